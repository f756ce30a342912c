"""Backfills as a test finds them in a database, and brings to an end without a worker."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from domain.backfill import Backfill
from domain.errors import StoreUnavailable
from domain.events import SymbolChangeKind
from domain.ports import UnitOfWork
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING
from tests.support.journal import changes_of
from tests.support.stored import whole_log


async def backfills_of(database: SqlDatabase, tickers: Sequence[str]) -> dict[str, Backfill]:
    async with database.read() as unit:
        return dict(await unit.backfills.of(tickers))


async def succeed(database: SqlDatabase) -> list[str]:
    """All that are up, taken up in their order and completed; their tickers."""
    done: list[str] = []
    while True:
        async with database.write() as unit:
            claim = await unit.backfills.claim(1000, EVENING)
            if claim is None:
                return done
            await unit.backfills.save(claim.job.completed(EVENING))
        done.append(claim.job.ticker)


async def starts(database: SqlDatabase) -> Counter[str]:
    """How often each symbol's backfill was told to have started."""
    told = (change.event for change in changes_of(await whole_log(database)))
    return Counter(event.ticker for event in told if event.kind is SymbolChangeKind.BACKFILL_STARTED)


class FaultyDatabase:
    """Refuses the reads while `no_reads`, and the write numbered `fails_at`, from 0 on, before its commit."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self.no_reads = False
        self.fails_at: int | None = None
        self.writes = 0

    @property
    def kind(self) -> str:
        return self._database.kind

    @asynccontextmanager
    async def read(self) -> AsyncIterator[UnitOfWork]:
        if self.no_reads:
            raise StoreUnavailable
        async with self._database.read() as unit:
            yield unit

    def snapshot(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return self._database.snapshot()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[UnitOfWork]:
        number, self.writes = self.writes, self.writes + 1
        async with self._database.write() as unit:
            yield unit
            if number == self.fails_at:
                raise StoreUnavailable
