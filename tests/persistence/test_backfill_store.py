"""Backfills as they are kept: whole, true to themselves, and taken up in their order. And when a schedule ran last."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from domain.backfill import Backfill, BackfillStatus, Priority, Wanted
from domain.bars import Interval
from domain.portfolio import Portfolio
from domain.ports import Candidate
from domain.symbols import Symbol, SymbolStatus
from domain.tickers import AssetClass
from persistence import backfill_store
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING
from tests.support.portfolios import lot
from tests.support.provider import profile

DAILY = Wanted(Interval.ONE_DAY, date(2024, 3, 27), date(2026, 3, 27))
MINUTES = Wanted(Interval.ONE_MINUTE, date(2026, 3, 20), date(2026, 3, 27))
TICKERS = ("AAPL", "BRK-B", "BTC-USD", "MSFT", "QQQ")
WHOLE = Backfill(
    ticker="BRK-B",
    status=BackfillStatus.FAILED,
    wanted=(DAILY, MINUTES),
    started_by="api",
    priority=Priority.ASKED_FOR,
    error="The provider yahoo did not answer.",
    queued_at=EVENING - timedelta(minutes=3, microseconds=1),
    last_attempt_at=EVENING - timedelta(minutes=1),
    last_success_at=EVENING - timedelta(days=1),
    expected=500,
    received=499,
    records_inserted=12,
    attempts=3,
    lapses=2,
    failed_days=1,
    failed_on=date(2026, 3, 26),
)


@pytest.fixture(autouse=True)
async def _symbols(database: SqlDatabase) -> None:
    async with database.write() as unit:
        for ticker in TICKERS:
            await unit.symbols.add(Symbol.tracked(profile(ticker), None, None))


async def save(database: SqlDatabase, *jobs: Backfill, due_in_seconds: float = 0) -> None:
    async with database.write() as unit:
        for job in jobs:
            await unit.backfills.lock(job.ticker)
            await unit.backfills.save(job, due_in_seconds)


async def ask(database: SqlDatabase, ticker: str, priority: Priority, due_in_seconds: float = 0) -> Backfill:
    job = Backfill(ticker).asked_for((DAILY,), "schedule", priority, EVENING)
    await save(database, job, due_in_seconds=due_in_seconds)
    return job


async def read(database: SqlDatabase) -> dict[str, Backfill]:
    async with database.read() as unit:
        return dict(await unit.backfills.of([*TICKERS, "NOPE"]))


async def claimed(database: SqlDatabase, places: int = 100) -> list[str]:
    """All that can be taken up, one after the other."""
    taken: list[str] = []
    while True:
        async with database.write() as unit:
            claim = await unit.backfills.claim(places, EVENING)
        if claim is None:
            return taken
        taken.append(claim.job.ticker)


# ── what is kept


async def test_one_that_never_was_is_locked_as_one_that_waits_for_nothing(database: SqlDatabase) -> None:
    assert await read(database) == {}
    async with database.write() as unit:
        assert await unit.backfills.lock("AAPL") == Backfill("AAPL")
    assert await read(database) == {"AAPL": Backfill("AAPL")}
    assert not Backfill("AAPL").is_active
    assert await claimed(database) == []


@pytest.mark.parametrize(
    "job", [WHOLE, Backfill("BRK-B"), Backfill("BRK-B").asked_for((DAILY,), "cli", Priority.HELD, EVENING)]
)
async def test_it_comes_back_as_it_was_saved(database: SqlDatabase, job: Backfill) -> None:
    await save(database, replace(WHOLE, error="before"), job)
    assert await read(database) == {"BRK-B": job}
    async with database.write() as unit:
        assert await unit.backfills.lock("BRK-B") == job


@pytest.mark.parametrize(
    ("status", "error"),
    [(BackfillStatus.FAILED, None), (BackfillStatus.COMPLETED, "But it did not.")],
    ids=["failed without saying why", "completed, and yet an error"],
)
async def test_what_cannot_be_true_cannot_be_kept(database: SqlDatabase, status: BackfillStatus, error: str | None) -> None:
    await save(database, WHOLE)
    with pytest.raises(IntegrityError, match=r"failed_says_why|completed_without_error"):
        await save(database, replace(WHOLE, status=status, error=error))
    assert await read(database) == {"BRK-B": WHOLE}


async def test_nor_past_the_store(database: SqlDatabase) -> None:
    await save(database, WHOLE)
    for wrong in ("error = NULL", "status = 'completed'"):
        with pytest.raises(IntegrityError):
            async with database.engine.write() as connection:
                await connection.execute(text(f"UPDATE backfills SET {wrong}"))
    async with database.engine.write() as connection:
        await connection.execute(text("UPDATE backfills SET status = 'completed', error = NULL"))


async def test_there_is_none_of_a_symbol_that_is_not_known(database: SqlDatabase) -> None:
    with pytest.raises(IntegrityError):
        async with database.write() as unit:
            await unit.backfills.lock("NOPE")


async def test_they_are_counted_but_for_those_that_nobody_asked_for(database: SqlDatabase) -> None:
    async with database.write() as unit:
        await unit.backfills.lock("MSFT")
    await save(database, WHOLE)
    await ask(database, "AAPL", Priority.HELD)
    await ask(database, "BTC-USD", Priority.HELD, due_in_seconds=60)
    async with database.read() as unit:
        assert dict(await unit.backfills.counts()) == {BackfillStatus.FAILED: 1, BackfillStatus.PENDING: 2}


# ── whose turn it is


async def test_they_are_taken_up_by_priority_and_then_by_ticker(database: SqlDatabase) -> None:
    for ticker, priority in (
        ("BTC-USD", Priority.SCHEDULED),
        ("MSFT", Priority.HELD),
        ("QQQ", Priority.ASKED_FOR),
        ("AAPL", Priority.SCHEDULED),
        ("BRK-B", Priority.HELD),
    ):
        await ask(database, ticker, priority)
    assert await claimed(database) == ["QQQ", "BRK-B", "MSFT", "AAPL", "BTC-USD"]


async def test_as_many_as_there_are_places_and_none_before_it_is_due(database: SqlDatabase) -> None:
    for ticker in ("AAPL", "BRK-B", "MSFT"):
        await ask(database, ticker, Priority.SCHEDULED)
    await ask(database, "QQQ", Priority.ASKED_FOR, due_in_seconds=60)
    assert await claimed(database, places=2) == ["AAPL", "BRK-B"]
    async with database.read() as unit:
        assert [await unit.backfills.is_up(places) for places in (2, 3)] == [False, True]
    assert await claimed(database, places=3) == ["MSFT"]
    assert await claimed(database) == []


async def test_one_whose_worker_died_is_taken_over_first_under_a_higher_token(
    database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill_store, "LEASE_SECONDS", -1)
    await ask(database, "MSFT", Priority.SCHEDULED)
    async with database.write() as unit:
        lost = await unit.backfills.claim(1, EVENING)
    assert lost is not None
    await ask(database, "AAPL", Priority.ASKED_FOR)
    monkeypatch.setattr(backfill_store, "LEASE_SECONDS", 60)
    async with database.write() as unit:
        taken = await unit.backfills.claim(1, EVENING)
        assert taken is not None
        assert (taken.job.ticker, taken.job.attempts, taken.job.lapses) == ("MSFT", 1, 1)
        assert taken.token > lost.token
        assert not await unit.backfills.hold("MSFT", lost.token)
        assert await unit.backfills.hold("MSFT", taken.token)


async def test_what_is_given_back_is_up_at_once_and_counts_as_no_death(database: SqlDatabase) -> None:
    await ask(database, "MSFT", Priority.SCHEDULED)
    async with database.write() as unit:
        claim = await unit.backfills.claim(1, EVENING)
        assert claim is not None
        await unit.backfills.give_back("MSFT", claim.token)
    async with database.write() as unit:
        again = await unit.backfills.claim(1, EVENING)
    assert again is not None
    assert (again.job.attempts, again.job.lapses) == (1, 0)


async def test_one_that_has_ended_is_nobodys(database: SqlDatabase) -> None:
    await ask(database, "MSFT", Priority.SCHEDULED)
    async with database.write() as unit:
        claim = await unit.backfills.claim(1, EVENING)
        assert claim is not None
        await unit.backfills.save(claim.job.completed(EVENING))
        assert not await unit.backfills.hold("MSFT", claim.token)
    assert await claimed(database) == []
    assert (await read(database))["MSFT"].last_success_at == EVENING


# ── whom the schedule is for


async def test_candidates_are_the_symbols_in_use_and_first_those_that_are_held(database: SqlDatabase) -> None:
    others = {"DIS": SymbolStatus.SUSPECT, "IWM": SymbolStatus.RETIRED, "NVDA": SymbolStatus.ONBOARDING}
    async with database.write() as unit:
        for ticker, status in others.items():
            await unit.symbols.add(Symbol.tracked(profile(ticker), None, None, status))
        await unit.symbols.add(Symbol.tracked(profile("ETH-USD", AssetClass.CRYPTO), None, None))
        sold = lot("AAPL", place=3, entry_date=date(2026, 1, 2), exit_date=date(2026, 2, 2))
        portfolio = Portfolio("p", "Main", "digest", EVENING)
        await unit.portfolios.put(portfolio, [lot("QQQ"), lot("MSFT", place=1), lot("MSFT", place=2), sold])
    async with database.read() as unit:
        listed = await unit.backfills.candidates()
    assert [(one.ticker, one.priority) for one in listed] == [
        ("MSFT", Priority.HELD),
        ("QQQ", Priority.HELD),
        *((ticker, Priority.SCHEDULED) for ticker in ("AAPL", "BRK-B", "BTC-USD", "DIS", "ETH-USD")),
    ]
    assert listed[-1] == Candidate("ETH-USD", AssetClass.CRYPTO, None, Priority.SCHEDULED)


# ── schedules


async def test_a_schedule_remembers_when_it_ran_and_no_other_does(database: SqlDatabase) -> None:
    at = datetime(2026, 3, 28, 2, 0, 0, 1, tzinfo=UTC)
    async with database.write() as unit:
        assert await unit.schedules.lock("backfill") is None
        await unit.schedules.ran("backfill", at)
    async with database.write() as unit:
        assert await unit.schedules.lock("another") is None
        assert await unit.schedules.lock("backfill") == at
