"""Asking for backfills: by hand, one at a time for a symbol, and for all symbols at once."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from domain.backfill import Backfill, BackfillStatus, Priority, Wanted
from domain.bars import Interval
from domain.errors import AlreadyBackfilling, InvalidRange, StoreUnavailable, SymbolNotFound
from domain.events import SymbolChanged, SymbolChangeKind
from domain.portfolio import Portfolio
from domain.ports import Candidate
from domain.services import backfills as backfilling
from domain.services.backfills import Backfills
from domain.symbols import Symbol, SymbolStatus
from domain.tickers import AssetClass
from domain.windows import Windows
from graph.context import Services
from persistence.unit_of_work import SqlDatabase
from tests.support.backfills import FaultyDatabase, backfills_of, starts, succeed
from tests.support.clock import EVENING, ManualClock
from tests.support.journal import changes_of
from tests.support.mutants import mutated
from tests.support.portfolios import lot
from tests.support.provider import profile
from tests.support.stored import whole_log
from tests.support.universe import track

TODAY = date(2026, 3, 27)
TWO_YEARS = Wanted(Interval.ONE_DAY, date(2024, 3, 27), TODAY)
A_WEEK = Wanted(Interval.ONE_MINUTE, date(2026, 3, 20), TODAY)
MARCH = date(2026, 3, 2), date(2026, 3, 6)


@pytest.fixture
def backfills(services: Services) -> Backfills:
    return services.backfills


async def track_with(database: SqlDatabase, ticker: str, status: SymbolStatus) -> None:
    async with database.write() as unit:
        await unit.symbols.add(Symbol.tracked(profile(ticker), None, None, status))


async def start(backfills: Backfills, ticker: str = "AAPL") -> Symbol:
    return await backfills.start(ticker, Interval.ONE_DAY, *MARCH, "api")


# ── by hand


async def test_it_is_queued_and_told_of_and_the_symbol_stays_as_it_is(backfills: Backfills, database: SqlDatabase) -> None:
    (symbol,) = await track(database, "AAPL")
    assert await start(backfills) == symbol
    expected = Backfill(
        "AAPL",
        wanted=(Wanted(Interval.ONE_DAY, *MARCH),),
        started_by="api",
        priority=Priority.ASKED_FOR,
        queued_at=EVENING,
    )
    assert await backfills.of(["AAPL"]) == {"AAPL": expected}
    assert expected.is_active
    told = changes_of(await whole_log(database))[-1]
    assert told.event == SymbolChanged(SymbolChangeKind.BACKFILL_STARTED, "AAPL", EVENING, "1d from 2026-03-02 to 2026-03-06")
    assert told.symbol == symbol


@pytest.mark.parametrize(
    ("interval", "wanted"), [(Interval.ONE_DAY, TWO_YEARS), (Interval.ONE_MINUTE, A_WEEK), (Interval.ONE_HOUR, A_WEEK)]
)
async def test_where_no_days_are_named_they_are_the_usual_ones(
    backfills: Backfills, database: SqlDatabase, interval: Interval, wanted: Wanted
) -> None:
    await track(database, "AAPL")
    await backfills.start("AAPL", interval, None, None, "cli")
    assert (await backfills.of(["AAPL"]))["AAPL"].wanted == (wanted,)


async def test_today_is_that_of_the_symbols_calendar(backfills: Backfills, database: SqlDatabase, clock: ManualClock) -> None:
    clock.at = datetime(2026, 3, 29, 22, 30, tzinfo=UTC)  # Sunday evening: forex trades, and it is Monday's
    await track(database, "AAPL", "EUR/USD")
    monday = date(2026, 3, 30)
    await backfills.start("EUR/USD", Interval.ONE_DAY, monday, monday, "api")
    with pytest.raises(InvalidRange, match="2026-03-30 has not begun for AAPL; ask for days up to 2026-03-29"):
        await backfills.start("AAPL", Interval.ONE_DAY, monday, monday, "api")


async def test_what_was_tried_and_what_succeeded_is_remembered(
    backfills: Backfills, database: SqlDatabase, clock: ManualClock
) -> None:
    await track(database, "AAPL")
    await start(backfills)
    await succeed(database)
    clock.advance(timedelta(days=1))
    await start(backfills)
    job = (await backfills.of(["AAPL"]))["AAPL"]
    assert (job.status, job.last_success_at, job.queued_at) == (BackfillStatus.PENDING, EVENING, clock.now())
    assert job.records_inserted is None, "of the new one"


async def test_a_symbol_that_never_had_one_waits_for_nothing(backfills: Backfills, database: SqlDatabase) -> None:
    await track(database, "AAPL")
    assert await backfills.of(["AAPL", "NOPE"]) == {"AAPL": Backfill("AAPL"), "NOPE": Backfill("NOPE")}
    assert await backfills_of(database, ["AAPL", "NOPE"]) == {}, "nothing is written by reading"


# ── refused


async def nothing_queued(database: SqlDatabase, *tickers: str) -> bool:
    return not await backfills_of(database, tickers) and not await starts(database)


@pytest.mark.parametrize("status", [None, SymbolStatus.RETIRED])
async def test_of_a_symbol_that_is_not_tracked_it_is_refused(
    backfills: Backfills, database: SqlDatabase, status: SymbolStatus | None
) -> None:
    if status is not None:
        await track_with(database, "AAPL", status)
    with pytest.raises(SymbolNotFound, match=r"^AAPL is not tracked\.$"):
        await start(backfills)
    assert await nothing_queued(database, "AAPL")


async def test_of_one_that_is_being_onboarded_too(backfills: Backfills, database: SqlDatabase) -> None:
    await track_with(database, "AAPL", SymbolStatus.ONBOARDING)
    with pytest.raises(AlreadyBackfilling, match=r"^AAPL is being onboarded, which brings its history\.$"):
        await start(backfills)
    assert await nothing_queued(database, "AAPL")


async def test_one_that_is_suspect_may_recover_by_it(backfills: Backfills, database: SqlDatabase) -> None:
    await track_with(database, "AAPL", SymbolStatus.SUSPECT)
    assert (await start(backfills)).status is SymbolStatus.SUSPECT


async def test_days_that_cannot_be_backfilled_are_refused(backfills: Backfills, database: SqlDatabase) -> None:
    await track(database, "AAPL")
    with pytest.raises(InvalidRange, match="it must begin first"):
        await backfills.start("AAPL", Interval.ONE_DAY, TODAY, TODAY - timedelta(days=1), "api")
    assert await nothing_queued(database, "AAPL")


@pytest.mark.parametrize("is_taken_up", [False, True], ids=["pending", "in progress"])
async def test_a_second_one_is_refused_as_long_as_the_first_has_not_ended(
    backfills: Backfills, database: SqlDatabase, is_taken_up: bool
) -> None:
    await track(database, "AAPL")
    await start(backfills)
    if is_taken_up:
        async with database.write() as unit:
            assert await unit.backfills.claim(1, EVENING)
    before = await backfills.of(["AAPL"])
    with pytest.raises(AlreadyBackfilling) as refusal:
        await backfills.start("AAPL", Interval.ONE_MINUTE, None, None, "cli")
    assert (refusal.value.ticker, refusal.value.code) == ("AAPL", "ALREADY_BACKFILLING")
    assert await backfills.of(["AAPL"]) == before
    assert await starts(database) == Counter(AAPL=1)


async def asked_at_once(backfills: Backfills, database: SqlDatabase, times: int = 8) -> list[Symbol | BaseException]:
    """Of a symbol that has had one before: there is a row that nobody has to write first."""
    await track(database, "AAPL")
    await start(backfills)
    await succeed(database)
    return list(await asyncio.gather(*(start(backfills) for _ in range(times)), return_exceptions=True))


async def test_of_many_that_ask_at_once_one_is_heard(backfills: Backfills, database: SqlDatabase) -> None:
    answers = await asked_at_once(backfills, database)
    assert Counter(type(answer) for answer in answers) == {Symbol: 1, AlreadyBackfilling: 7}
    assert await starts(database) == Counter(AAPL=2)


# ── for all


async def queue_all(backfills: Backfills, since: datetime = EVENING) -> list[str]:
    return await backfills.enqueue(await backfills.candidates(), "schedule", since)


async def test_all_that_are_in_use_are_queued_and_first_those_that_are_held(
    backfills: Backfills, database: SqlDatabase
) -> None:
    await track(database, "AAPL", "BTC-USD", "EUR/USD", "MSFT")
    for ticker, status in (("DIS", SymbolStatus.SUSPECT), ("IWM", SymbolStatus.RETIRED), ("QQQ", SymbolStatus.ONBOARDING)):
        await track_with(database, ticker, status)
    async with database.write() as unit:
        await unit.portfolios.put(Portfolio("p", "Main", "digest", EVENING), [lot("MSFT"), lot("IWM", place=1)])
    assert await queue_all(backfills) == ["AAPL", "BTC-USD", "DIS", "EUR/USD", "MSFT"]
    found = await backfills_of(database, ["AAPL", "BTC-USD", "DIS", "EUR/USD", "IWM", "MSFT", "QQQ"])
    assert {job.wanted for job in found.values()} == {(TWO_YEARS, A_WEEK)}
    assert {job.started_by for job in found.values()} == {"schedule"}
    assert await starts(database) == Counter(["AAPL", "BTC-USD", "DIS", "EUR/USD", "MSFT"])
    assert await succeed(database) == ["MSFT", "AAPL", "BTC-USD", "DIS", "EUR/USD"]


async def test_what_is_active_is_left_as_it_is(backfills: Backfills, database: SqlDatabase) -> None:
    await track(database, "AAPL", "MSFT")
    await start(backfills)
    before = (await backfills.of(["AAPL"]))["AAPL"]
    assert await queue_all(backfills) == ["MSFT"]
    assert (await backfills.of(["AAPL"]))["AAPL"] == before


async def test_a_run_queues_each_once_though_it_has_ended_meanwhile(
    backfills: Backfills, database: SqlDatabase, clock: ManualClock
) -> None:
    await track(database, "AAPL", "MSFT")
    await queue_all(backfills)
    assert await succeed(database) == ["AAPL", "MSFT"]
    assert await queue_all(backfills) == []
    clock.advance(timedelta(days=1))
    assert await queue_all(backfills, since=clock.now()) == ["AAPL", "MSFT"], "of the next run"


async def test_what_was_asked_for_by_hand_is_no_part_of_the_run(backfills: Backfills, database: SqlDatabase) -> None:
    await track(database, "AAPL")
    await start(backfills)
    await succeed(database)
    assert await queue_all(backfills) == ["AAPL"]


async def test_who_was_listed_and_has_left_is_passed_over(backfills: Backfills, database: SqlDatabase) -> None:
    await track(database, "AAPL", "MSFT")
    listed = await backfills.candidates()
    async with database.write() as unit:
        (aapl,) = (await unit.symbols.several(["AAPL"])).values()
        await unit.symbols.save(replace(aapl, status=SymbolStatus.RETIRED, version=2), 1)
    gone = Candidate("NOPE", AssetClass.STOCK, None, Priority.SCHEDULED)
    assert await backfills.enqueue([*listed, gone], "schedule", EVENING) == ["MSFT"]


async def test_where_no_window_is_set_nothing_is_queued(database: SqlDatabase) -> None:
    await track(database, "AAPL")
    assert await queue_all(Backfills(database, ManualClock(), Windows(0, 0))) == []
    assert await nothing_queued(database, "AAPL")


MANY = [f"T{number:02}" for number in range(10)]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    """The symbols are queued in three transactions."""
    monkeypatch.setattr(backfilling, "CHUNK", 4)
    return 4


async def test_a_run_that_is_cut_off_between_chunks_is_gone_on_with(database: SqlDatabase, small_chunks: int) -> None:
    """At each of the three chunks in turn; what was queued before has been worked off when the run is made again."""
    await track(database, *MANY)
    clock, faulty = ManualClock(), FaultyDatabase(database)
    backfills = Backfills(faulty, clock, Windows())
    for night in range(3):
        clock.at = EVENING + timedelta(days=night)
        faulty.writes, faulty.fails_at = 0, night
        with pytest.raises(StoreUnavailable):
            await queue_all(backfills, since=clock.now())
        done = await succeed(database)
        assert done == MANY[: night * small_chunks], "whole chunks"
        assert await queue_all(backfills, since=clock.now()) == MANY[len(done) :]
        await succeed(database)
        assert await starts(database) == Counter(MANY * (night + 1))


async def test_without_the_look_back_what_is_done_is_queued_again(database: SqlDatabase) -> None:
    await track(database, "AAPL")
    with mutated(backfilling._is_queued, ("since <= job.queued_at", "since < job.queued_at")):
        backfills = Backfills(database, ManualClock(), Windows())
        await queue_all(backfills)
        await succeed(database)
        assert await queue_all(backfills) == ["AAPL"]


@pytest.mark.usefixtures("small_chunks")
async def test_two_runs_beside_each_other_queue_each_once(database: SqlDatabase) -> None:
    """And neither waits for the other for ever, though they begin at different ends."""
    await track(database, *MANY)
    backfills = Backfills(database, ManualClock(), Windows())
    listed = await backfills.candidates()
    async with asyncio.timeout(60):
        one, other = await asyncio.gather(
            backfills.enqueue(listed, "schedule", EVENING), backfills.enqueue(listed[::-1], "schedule", EVENING)
        )
    assert Counter(one + other) == Counter(MANY)
    assert await starts(database) == Counter(MANY)
