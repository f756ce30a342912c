"""Asking for backfills, by hand and for all, and how they stand. The work itself is filling.py's."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

from domain.backfill import Backfill, Priority, Wanted
from domain.bars import Interval
from domain.calendars import calendar_for
from domain.clock import Clock
from domain.errors import AlreadyBackfilling, SymbolNotFound
from domain.events import SymbolChanged, SymbolChangeKind
from domain.ports import Candidate, Database, UnitOfWork
from domain.services.queueing import READY
from domain.symbols import Symbol, SymbolStatus
from domain.windows import Windows, check, today_on

CHUNK = 100
"""Symbols that are queued in one transaction."""
SKEW = timedelta(minutes=1)
"""How far the clocks of two machines may be apart. What was noted further ahead is of a clock that has been set back since."""


class Backfills:
    """Commands and queries on backfills, over all processes. Tickers are canonical."""

    def __init__(self, database: Database, clock: Clock, windows: Windows) -> None:
        self._database = database
        self._clock = clock
        self._windows = windows

    # ── commands

    async def start(self, ticker: str, interval: Interval, first: date | None, last: date | None, started_by: str) -> Symbol:
        """Queues the backfill of these days, of the usual ones where none are named. A symbol that is being onboarded is
        refused like one that is backfilled: its history is on its way. Raises SymbolNotFound, InvalidRange and
        AlreadyBackfilling."""
        async with self._database.read() as unit:
            symbol = _tracked(ticker, await unit.symbols.get(ticker))
        wanted = await self._chosen(symbol, interval, first, last)
        async with self._database.write() as unit:
            job = await unit.backfills.lock(ticker)
            symbol = _tracked(ticker, await unit.symbols.get(ticker))
            if symbol.status is SymbolStatus.ONBOARDING:
                raise AlreadyBackfilling(ticker, "is being onboarded, which brings its history")
            if job.is_active:
                raise AlreadyBackfilling(ticker)
            job = job.asked_for((wanted,), started_by, Priority.ASKED_FOR, self._clock.now())
            await unit.backfills.save(job)
            await unit.events.append(self._started(job))
        return symbol

    async def _chosen(self, symbol: Symbol, interval: Interval, first: date | None, last: date | None) -> Wanted:
        calendar = await asyncio.to_thread(calendar_for, symbol.asset_class, symbol.exchange)
        today = today_on(calendar, self._clock.now())
        wanted = self._windows.chosen(interval, first, last, today)
        check(wanted, symbol.ticker, calendar, today)
        return wanted

    async def enqueue(self, listed: Sequence[Candidate], started_by: str, since: datetime) -> list[str]:
        """Queues the usual days of each that is not active, and which nobody of that name has queued `since`: what is cut off
        can be done again, by anybody, and queues each once. The tickers that are new in the queue."""
        queued: list[str] = []
        for chunk in _chunks(listed):
            wanted = [(one, await self._usual(one)) for one in chunk]
            async with self._database.write() as unit:
                new = await self._queue(unit, wanted, started_by, since)
                await unit.events.append(*map(self._started, new))
            queued += [job.ticker for job in new]
        return queued

    async def _usual(self, one: Candidate) -> tuple[Wanted, ...]:
        calendar = await asyncio.to_thread(calendar_for, one.asset_class, one.exchange)
        return self._windows.usual(today_on(calendar, self._clock.now()))

    async def _queue(
        self, unit: UnitOfWork, listed: Sequence[tuple[Candidate, tuple[Wanted, ...]]], started_by: str, since: datetime
    ) -> list[Backfill]:
        now, new = self._clock.now(), []
        statuses = await unit.symbols.statuses([one.ticker for one, _ in listed])
        for one, wanted in listed:
            if not wanted or statuses.get(one.ticker) not in READY:
                continue
            job = await unit.backfills.lock(one.ticker)
            if not job.is_active and not _is_queued(job, started_by, since, now):
                new.append(job.asked_for(wanted, started_by, one.priority, now))
                await unit.backfills.save(new[-1])
        return new

    def _started(self, job: Backfill) -> SymbolChanged:
        days = "; ".join(map(str, job.wanted))
        return SymbolChanged(SymbolChangeKind.BACKFILL_STARTED, job.ticker, self._clock.now(), days)

    # ── queries

    async def of(self, tickers: Sequence[str]) -> Mapping[str, Backfill]:
        """Of each; PENDING, with nothing wanted, where there never was one."""
        async with self._database.read() as unit:
            found = await unit.backfills.of(tickers)
        return {ticker: found.get(ticker) or Backfill(ticker) for ticker in tickers}

    async def candidates(self) -> list[Candidate]:
        """The symbols that `enqueue` is for, by priority and then by ticker."""
        async with self._database.read() as unit:
            return await unit.backfills.candidates()


def _tracked(ticker: str, symbol: Symbol | None) -> Symbol:
    if symbol is None or symbol.is_retired:
        raise SymbolNotFound(ticker)
    return symbol


def _chunks(listed: Sequence[Candidate]) -> Iterator[Sequence[Candidate]]:
    """In their order; each by ticker, as locks are taken."""
    for start in range(0, len(listed), CHUNK):
        yield sorted(listed[start : start + CHUNK], key=lambda one: one.ticker)


def _is_queued(job: Backfill, started_by: str, since: datetime, now: datetime) -> bool:
    return job.started_by == started_by and job.queued_at is not None and since <= job.queued_at <= now + SKEW
