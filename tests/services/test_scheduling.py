"""The schedule: when a run is due, that it is made once and never lost, and what it does while the database is away."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from domain.cron import Cron
from domain.errors import StoreUnavailable
from domain.services import backfills as backfilling
from domain.services import scheduling
from domain.services.backfills import Backfills
from domain.services.scheduling import Scheduler
from domain.windows import Windows
from persistence.unit_of_work import SqlDatabase
from tests.support.backfills import FaultyDatabase, backfills_of, starts, succeed
from tests.support.clock import ManualClock
from tests.support.mutants import in_force
from tests.support.process import until
from tests.support.universe import track

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
BEFORE = datetime(2026, 3, 28, 1, 59, 59, tzinfo=UTC)
DUE = BEFORE + SECOND
NIGHTLY = Cron("0 2 * * *")
MANY = [f"T{number:02}" for number in range(10)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(BEFORE)


@pytest.fixture
def faulty(database: SqlDatabase) -> FaultyDatabase:
    return FaultyDatabase(database)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run begins when it is due, and queues four symbols at a time."""
    monkeypatch.setattr(scheduling, "JITTER_SECONDS", 0.0)
    monkeypatch.setattr(backfilling, "CHUNK", 4)


@contextmanager
def without(guard: str) -> Iterator[None]:
    """With a mutant in force, which would give the constants of its module their own values."""
    with in_force(guard), pytest.MonkeyPatch.context() as patch:
        patch.setattr(scheduling, "JITTER_SECONDS", 0.0)
        patch.setattr(backfilling, "CHUNK", 4)
        yield


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/New_York"])
def _somewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's own time is that of another place."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
async def scheduler(faulty: FaultyDatabase, database: SqlDatabase, clock: ManualClock) -> Scheduler:
    """Of a process; two symbols are tracked."""
    await track(database, "AAPL", "MSFT")
    return scheduler_on(faulty, clock)


def scheduler_on(database: FaultyDatabase | SqlDatabase, clock: ManualClock, cron: Cron = NIGHTLY) -> Scheduler:
    return Scheduler(database, Backfills(database, clock, Windows()), clock, cron)


async def ran_at(database: SqlDatabase) -> datetime | None:
    async with database.write() as unit:
        return await unit.schedules.lock(scheduling.NAME)


# ── when it is due


@pytest.mark.usefixtures("_somewhere")
async def test_it_is_due_at_two_in_utc_and_then_on_the_next_day(
    scheduler: Scheduler, database: SqlDatabase, clock: ManualClock
) -> None:
    await scheduler.look()
    clock.at = DUE - timedelta(microseconds=1)
    await scheduler.look()
    assert await starts(database) == Counter()
    clock.at = DUE
    await scheduler.look()
    assert await starts(database) == Counter(AAPL=1, MSFT=1)
    job = (await backfills_of(database, ["AAPL"]))["AAPL"]
    assert (job.started_by, job.queued_at) == ("schedule", DUE)
    await succeed(database)
    clock.at = DUE + DAY - SECOND
    await scheduler.look()
    assert await starts(database) == Counter(AAPL=1, MSFT=1)
    clock.at = DUE + DAY
    await scheduler.look()
    assert await starts(database) == Counter(AAPL=2, MSFT=2)


async def test_the_very_first_start_only_notes_the_time(
    scheduler: Scheduler, database: SqlDatabase, clock: ManualClock
) -> None:
    clock.at = DUE + timedelta(hours=5)
    await scheduler.look()
    assert await ran_at(database) == clock.now()
    assert await starts(database) == Counter()


async def test_runs_missed_while_down_are_made_up_at_the_start_as_one(
    scheduler: Scheduler, database: SqlDatabase, clock: ManualClock
) -> None:
    await scheduler.look()
    clock.at = DUE + 4 * DAY + timedelta(hours=9)
    started_later = scheduler_on(database, clock)
    await started_later.look()
    assert await starts(database) == Counter(AAPL=1, MSFT=1)
    await succeed(database)
    for hours in range(1, 16):
        clock.at = DUE + 4 * DAY + timedelta(hours=9 + hours) - SECOND
        await started_later.look()
    assert await starts(database) == Counter(AAPL=1, MSFT=1), "until two at night"
    clock.at = DUE + 5 * DAY
    await started_later.look()
    assert await starts(database) == Counter(AAPL=2, MSFT=2)


async def test_a_clock_that_was_set_back_does_not_stop_it_for_ever(
    scheduler: Scheduler, database: SqlDatabase, clock: ManualClock
) -> None:
    await scheduler.look()
    clock.at = DUE
    await scheduler.look()
    await succeed(database)
    clock.at = BEFORE - 300 * DAY
    another = scheduler_on(database, clock)
    await another.look()
    assert await starts(database) == Counter(AAPL=1, MSFT=1)
    clock.advance(SECOND)
    await another.look()
    assert await starts(database) == Counter(AAPL=2, MSFT=2)


async def test_one_whose_clock_is_a_little_behind_makes_no_run_again(
    scheduler: Scheduler, database: SqlDatabase, clock: ManualClock
) -> None:
    await scheduler.look()
    clock.at = DUE
    await scheduler.look()
    await succeed(database)
    behind = ManualClock(DUE - timedelta(seconds=30))
    another = scheduler_on(database, behind)
    for _ in range(90):
        await another.look()
        behind.advance(SECOND)
    assert await starts(database) == Counter(AAPL=1, MSFT=1)


async def test_looking_costs_nothing_until_it_is_due(scheduler: Scheduler, clock: ManualClock, statements: list[str]) -> None:
    clock.at = BEFORE - timedelta(hours=1)
    await scheduler.look()
    statements.clear()
    for _ in range(3600):
        await scheduler.look()
        clock.advance(SECOND)
    assert statements == []


async def test_each_process_begins_within_a_minute_at_a_time_of_its_own(
    faulty: FaultyDatabase, database: SqlDatabase, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "JITTER_SECONDS", 60.0)
    scheduler = scheduler_on(faulty, clock, Cron("0 * * * *"))
    await scheduler.look()
    began: list[float] = []
    for hour in range(12):
        due = DUE + timedelta(hours=hour)
        for second in range(61):
            clock.at = due + second * SECOND
            await scheduler.look()
            if await ran_at(database) == clock.now():
                began.append(second)
                break
    assert len(began) == 12
    assert len(set(began)) > 1


async def test_it_runs_by_itself_each_second(
    scheduler: Scheduler, database: SqlDatabase, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "LOOK_SECONDS", 0.01)

    async def has_begun() -> bool:
        return await ran_at(database) is not None

    async def has_run() -> bool:
        return await starts(database) == Counter(AAPL=1, MSFT=1)

    running = asyncio.create_task(scheduler.run())
    await until(has_begun, within=20)
    clock.at = DUE
    await until(has_run, within=20)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


# ── once


async def made_by_two(database: SqlDatabase, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> list[str]:
    """One after the other, when both know that a run is due; what they say of it."""
    caplog.set_level(logging.INFO, "freshtape.schedule")
    await track(database, "AAPL", "MSFT")
    schedulers = [scheduler_on(database, clock) for _ in range(2)]
    for moment in (BEFORE, DUE):
        clock.at = moment
        for scheduler in schedulers:
            await scheduler.look()
            await succeed(database)
    assert await starts(database) == Counter(AAPL=1, MSFT=1)
    return [record.getMessage() for record in caplog.records]


ONE_RUN = "the backfills due at 2026-03-28T02:00:00+00:00: 2 of 2 symbols queued"
ANOTHER = "the backfills due at 2026-03-28T02:00:00+00:00: 0 of 2 symbols queued"


async def test_of_two_schedulers_one_makes_the_run(
    database: SqlDatabase, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    assert await made_by_two(database, clock, caplog) == [ONE_RUN]


async def test_where_nobody_looks_whether_another_was_first_both_do(
    database: SqlDatabase, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    with without("runs of others are not looked at"):
        assert await made_by_two(database, clock, caplog) == [ONE_RUN, ANOTHER]


# ── what goes wrong


async def test_a_list_that_cannot_be_read_is_the_last_good_one_and_the_run_is_made(
    scheduler: Scheduler, faulty: FaultyDatabase, database: SqlDatabase, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await scheduler.look()
    await track(database, "QQQ")
    faulty.no_reads = True
    sentence = (
        "Failed to load symbols: The database does not answer; try again in a moment. Going on with the 2 known since "
        "2026-03-28T01:59:59Z."
    )
    for night in range(3):
        clock.at = DUE + night * DAY
        await scheduler.look()
        assert await starts(database) == Counter(dict.fromkeys(("AAPL", "MSFT"), night + 1))
        assert scheduler.last_error == sentence
        assert await ran_at(database) == clock.now()
        await succeed(database)
    assert [record.getMessage() for record in caplog.records] == [sentence], "once for the outage"
    faulty.no_reads = False
    clock.at = DUE + 3 * DAY
    await scheduler.look()
    assert scheduler.last_error is None
    assert await starts(database) == Counter(AAPL=4, MSFT=4, QQQ=1)
    await succeed(database)
    faulty.no_reads = True
    clock.at = DUE + 4 * DAY
    await scheduler.look()
    assert [record.getMessage() for record in caplog.records][1:] == [
        sentence.replace("the 2 known", "the 3 known").replace("2026-03-28T01:59:59Z", "2026-03-31T02:00:00Z")
    ], "the next outage is told again"


async def test_without_any_list_the_run_is_due_until_there_is_one(
    scheduler: Scheduler, faulty: FaultyDatabase, database: SqlDatabase, clock: ManualClock
) -> None:
    faulty.no_reads = True
    with pytest.raises(StoreUnavailable):
        await scheduler.look()
    clock.at = DUE
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await scheduler.look()
    assert await ran_at(database) == BEFORE
    faulty.no_reads = False
    clock.advance(timedelta(minutes=10))
    await scheduler.look()
    assert await starts(database) == Counter(AAPL=1, MSFT=1)


@pytest.fixture
async def cut_off(database: SqlDatabase, clock: ManualClock) -> "CutOff":
    await track(database, *MANY)
    await scheduler_on(database, clock).look()
    return CutOff(database, clock)


class CutOff:
    """Runs that fail, a night each, and are made again three minutes later, by the same process or by another one; what was
    queued has been worked off meanwhile."""

    def __init__(self, database: SqlDatabase, clock: ManualClock) -> None:
        self._database = database
        self._clock = clock
        self._night = 0

    async def run(self, fails_at: int, *, is_another: bool) -> None:
        self._clock.at = DUE + self._night * DAY
        faulty = FaultyDatabase(self._database)
        faulty.fails_at = fails_at
        scheduler = scheduler_on(faulty, self._clock)
        with pytest.raises(StoreUnavailable):
            await scheduler.look()
        await succeed(self._database)
        self._clock.advance(timedelta(minutes=3))
        await (scheduler_on(self._database, self._clock) if is_another else scheduler).look()
        await succeed(self._database)
        self._night += 1
        assert await starts(self._database) == Counter(MANY * self._night), (fails_at, is_another)


WRITES = range(6)
"""Of a run at the start of a process: two looks at when it ran last, three chunks, and the note that it has run."""


async def test_a_run_is_made_whole_whichever_of_its_writes_fails(cut_off: CutOff) -> None:
    for fails_at in WRITES:
        for is_another in (False, True):
            await cut_off.run(fails_at, is_another=is_another)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        await cut_off.run(len(WRITES), is_another=False)


@pytest.mark.parametrize("guard", ["runs are noted before they are made", "what a run has queued is not looked at"])
async def test_without_its_guards_it_is_not(cut_off: CutOff, guard: str) -> None:
    with without(guard), pytest.raises(AssertionError, match=r"Counter"):
        await cut_off.run(fails_at=4, is_another=True)
