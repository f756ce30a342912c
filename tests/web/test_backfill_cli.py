"""`freshtape backfill`: what it queues on the database, and what it shows until that has ended."""

import asyncio
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import pytest
from rich.console import Console

from domain.backfill import Backfill, Priority, Wanted
from domain.bars import Interval
from persistence import backfill_store
from persistence.unit_of_work import SqlDatabase
from tests.support.backfills import backfills_of
from tests.support.clock import EVENING
from tests.support.process import Processes, until
from tests.support.stored import opened
from tests.support.universe import track_in
from tests.web.conftest import Ran
from web.cli import backfill as command

Freshtape = Callable[..., Ran]
CLOCK = "2026-03-27T20:30:00Z"
TWO_YEARS = Wanted(Interval.ONE_DAY, date(2024, 3, 27), date(2026, 3, 27))


@pytest.fixture
def on_database(freshtape: Freshtape, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Freshtape:
    """On a database that tracks two symbols."""
    monkeypatch.setenv("FRESHTAPE_DATABASE_URL", sqlite_url)
    asyncio.run(track_in(sqlite_url, "AAPL", "MSFT"))
    return freshtape


def queued(database_url: str) -> dict[str, Backfill]:
    async def read() -> dict[str, Backfill]:
        async with opened(database_url) as database:
            return await backfills_of(database, ["AAPL", "MSFT"])

    return asyncio.run(read())


# ── queueing


def test_the_usual_days_are_queued(on_database: Freshtape, sqlite_url: str) -> None:
    assert on_database("backfill", "aapl") == (0, "AAPL is queued: 1d from 2024-03-27 to 2026-03-27\n", "")
    job = queued(sqlite_url)["AAPL"]
    assert (job.wanted, job.started_by, job.priority) == ((TWO_YEARS,), "cli", Priority.ASKED_FOR)


def test_so_are_days_that_are_named(on_database: Freshtape, sqlite_url: str) -> None:
    asked = "--interval", "1m", "--from", "2026-03-02", "--to", "2026-03-06"
    assert on_database("backfill", "AAPL", *asked)[:2] == (0, "AAPL is queued: 1m from 2026-03-02 to 2026-03-06\n")
    assert queued(sqlite_url)["AAPL"].wanted == (Wanted(Interval.ONE_MINUTE, date(2026, 3, 2), date(2026, 3, 6)),)


def test_all_are_queued_as_by_the_schedule(on_database: Freshtape, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHTAPE_BACKFILL_DAYS", "10")
    monkeypatch.setenv("FRESHTAPE_BACKFILL_MINUTE_DAYS", "0")
    on_database("backfill", "MSFT")
    code, out, _ = on_database("backfill", "--all")
    assert (code, out.splitlines()) == (0, ["1 symbol of 2 queued.", "AAPL is queued: 1d from 2026-03-17 to 2026-03-27"])
    assert on_database("backfill", "--all")[:2] == (0, "0 symbols of 2 queued.\n")
    assert queued(sqlite_url)["AAPL"].priority is Priority.SCHEDULED


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["NOPE"], "NOPE is not tracked."),
        (["no ticker"], "'no ticker' is not a ticker"),
        (["AAPL", "--to", "2026-03-28"], "2026-03-28 has not begun for AAPL; ask for days up to 2026-03-27."),
        (["MSFT"], "MSFT is being backfilled already; what is wanted beyond that can be asked for when it has ended."),
    ],
)
def test_refusals_are_one_sentence_and_code_3(on_database: Freshtape, arguments: list[str], sentence: str) -> None:
    on_database("backfill", "MSFT")
    code, out, err = on_database("backfill", *arguments)
    assert (code, out) == (3, "")
    assert err.startswith(sentence)


@pytest.mark.parametrize(
    "arguments",
    [[], ["AAPL", "--all"], ["--all", "--from", "2026-03-02"], ["--all", "--interval", "1m"], ["AAPL", "--to", "x"]],
)
def test_what_makes_no_sense_is_wrong_usage(on_database: Freshtape, sqlite_url: str, arguments: list[str]) -> None:
    code, _, err = on_database("backfill", *arguments)
    assert code == 2
    assert "Usage" in err
    assert queued(sqlite_url) == {}


# ── watching


@pytest.fixture
def _others_at_work(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All places are taken: nobody but the test takes up what is queued."""
    monkeypatch.setattr(backfill_store, "LEASE_SECONDS", 3600)
    asyncio.run(occupy(database_url))


async def occupy(database_url: str) -> None:
    others = ("DIS", "IWM", "TLT")
    await track_in(database_url, *others)
    async with opened(database_url) as database:
        for ticker in others:
            await save(database, Backfill(ticker).asked_for((TWO_YEARS,), "api", Priority.ASKED_FOR, EVENING))
            assert await claim(database)


async def claim(database: SqlDatabase) -> Backfill | None:
    async with database.write() as unit:
        found = await unit.backfills.claim(100, EVENING)
        return found.job if found is not None else None


async def is_claimed(database: SqlDatabase) -> Backfill:
    """The next one that is queued, taken up."""
    taken: list[Backfill] = []

    async def has_come() -> bool:
        taken.extend(filter(None, [await claim(database)]))
        return bool(taken)

    await until(has_come, within=30)
    return taken[0]


async def save(database: SqlDatabase, job: Backfill) -> None:
    async with database.write() as unit:
        await unit.backfills.lock(job.ticker)
        await unit.backfills.save(job)


async def shown_of(database_url: str, end: Callable[[Backfill], Backfill]) -> tuple[int, list[str]]:
    """The exit code and the lines of a command that waits, while the backfill is worked in this process."""
    await track_in(database_url, "AAPL")
    async with Processes(database_url, FRESHTAPE_CLOCK=CLOCK) as processes, opened(database_url) as database:
        running = asyncio.create_task(processes.command("backfill", "AAPL", "--wait"))
        job = await is_claimed(database)
        for step in (replace(job, expected=500).stored(200, 180), replace(job, expected=500).stored(500, 470)):
            await save(database, step)
            await asyncio.sleep(3 * command.LOOK_SECONDS)
        await save(database, end(step))
        code, out = await running
    return code, out.splitlines()


@pytest.mark.usefixtures("_others_at_work")
async def test_it_is_watched_until_it_is_done(database_url: str) -> None:
    code, lines = await shown_of(database_url, lambda job: job.completed(EVENING))
    assert code == 0
    assert lines[0] == "AAPL is queued: 1d from 2024-03-27 to 2026-03-27" or lines[0].startswith("AAPL is in work")
    assert lines[-3:] == [
        "AAPL is in work: 200 bars received, 180 new",
        "AAPL is in work: 500 bars received, 470 new",
        "AAPL is filled: 500 bars received, 470 new.",
    ]


@pytest.mark.usefixtures("_others_at_work")
async def test_one_that_fails_says_why_and_ends_with_1(database_url: str) -> None:
    code, lines = await shown_of(database_url, lambda job: job.failed("The provider sample has no bar of 2026-03-26."))
    assert (code, lines[-1]) == (1, "AAPL failed: The provider sample has no bar of 2026-03-26.")


@pytest.mark.usefixtures("_others_at_work")
async def test_of_all_that_are_watched_one_that_fails_is_enough(database_url: str) -> None:
    await track_in(database_url, "AAPL", "MSFT", "QQQ")
    async with Processes(database_url, FRESHTAPE_CLOCK=CLOCK) as processes, opened(database_url) as database:
        running = asyncio.create_task(processes.command("backfill", "--all", "--wait"))
        for _ in range(3):
            job = await is_claimed(database)
            await save(database, job.failed("So it is.") if job.ticker == "MSFT" else job.completed(EVENING))
        code, out = await running
    assert code == 1
    assert out.startswith("3 symbols of 6 queued.")
    assert {"AAPL is filled: 0 bars received, 0 new.", "MSFT failed: So it is."} < set(out.splitlines())


def test_one_that_waits_says_for_what() -> None:
    job = Backfill("AAPL").asked_for((TWO_YEARS,), "cli", Priority.ASKED_FOR, EVENING)
    waiting = job.claimed(EVENING).postponed("The provider yahoo asks for fewer requests.")
    assert command._line(waiting) == "AAPL waits for its next attempt: The provider yahoo asks for fewer requests."


def test_on_a_terminal_there_are_bars_and_what_has_ended_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(command, "err", Console(file=screen, force_terminal=True, highlight=False, width=100))
    job = replace(Backfill("AAPL").asked_for((TWO_YEARS,), "cli", Priority.ASKED_FOR, EVENING), expected=500)
    with command._board(2) as board:
        assert isinstance(board, command._Bars)
        board.show(job)
        board.show(job.claimed(EVENING).stored(200, 180))
        bars = [(task.description, task.completed, task.total) for task in board._progress.tasks]
        assert bars == [("all", 0, 2), ("AAPL", 200, 500)]
        board.show(job.claimed(EVENING).stored(500, 470).completed(EVENING + timedelta(minutes=1)))
        board.show(replace(job, ticker="MSFT").failed("So it is."))
        assert [(task.description, task.completed) for task in board._progress.tasks] == [("all", 2)]
    assert "AAPL is filled: 500 bars received, 470 new." in screen.getvalue()
    assert "MSFT failed: So it is." in screen.getvalue()
