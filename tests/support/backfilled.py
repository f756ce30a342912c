"""Backfills queued past the service, and what a database holds of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import update

from domain.backfill import Backfill, Priority, Wanted
from domain.bars import Interval
from domain.events import LoggedChange, SymbolChanged, SymbolChangeKind
from domain.gaps import Absence, Mark
from domain.symbols import Symbol
from persistence.engine import Engine
from persistence.market_clock import clock_generation
from persistence.tables import backfills
from persistence.types import real_time
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING
from tests.support.stored import whole_log

EVER = 0, 4_000_000_000


def minutes(first: date, last: date | None = None) -> Wanted:
    return Wanted(Interval.ONE_MINUTE, first, last or first)


def days(first: date, last: date) -> Wanted:
    return Wanted(Interval.ONE_DAY, first, last)


async def queue(
    database: SqlDatabase,
    ticker: str,
    *wanted: Wanted,
    priority: Priority = Priority.ASKED_FOR,
    now: datetime = EVENING,
) -> None:
    """As the command and the schedule do."""
    started_by = "api" if priority is Priority.ASKED_FOR else "schedule"
    async with database.write() as unit:
        job = await unit.backfills.lock(ticker)
        await unit.backfills.save(job.asked_for(wanted, started_by, priority, now))
        await unit.events.append(SymbolChanged(SymbolChangeKind.BACKFILL_STARTED, ticker, now))


async def queue_in(database_url: str, ticker: str, *wanted: Wanted) -> None:
    """As queue, in a database that others use."""
    engine = Engine(database_url)
    try:
        await queue(SqlDatabase(engine, await clock_generation(engine)), ticker, *wanted)
    finally:
        await engine.close()


async def let_lapse(database: SqlDatabase) -> None:
    async with database.engine.write() as connection:
        await connection.execute(update(backfills).values(lease_expires_at=real_time(-1)))


async def make_due(database: SqlDatabase) -> None:
    """What waits for its next attempt has waited."""
    async with database.engine.write() as connection:
        await connection.execute(update(backfills).where(backfills.c.due_at.is_not(None)).values(due_at=real_time()))


@dataclass(frozen=True)
class Backfilled:
    """Of one symbol and one interval; `told` are the kinds and details of its events."""

    job: Backfill
    symbol: Symbol
    opens: Sequence[int]
    absences: Sequence[Absence]
    mark: Mark | None
    told: Sequence[tuple[SymbolChangeKind, str | None]]


async def backfilled(database: SqlDatabase, ticker: str, interval: Interval = Interval.ONE_MINUTE) -> Backfilled:
    log = await whole_log(database)
    async with database.read() as unit:
        symbol = await unit.symbols.get(ticker)
        assert symbol is not None
        return Backfilled(
            job=(await unit.backfills.of([ticker]))[ticker],
            symbol=symbol,
            opens=await unit.bars.opens_between(ticker, interval, *EVER),
            absences=(await unit.quality.absences([ticker], interval)).get(ticker, []),
            mark=(await unit.quality.marks([ticker], interval)).get(ticker),
            told=[
                (entry.event.kind, entry.event.detail)
                for entry in log
                if isinstance(entry, LoggedChange) and entry.event.ticker == ticker
            ],
        )
