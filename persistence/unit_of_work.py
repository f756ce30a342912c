"""One transaction and the stores that work in it."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import ChangeInDoubt, StoreUnavailable
from persistence.backfill_store import SqlBackfillStore
from persistence.bar_store import SqlBars, SqlBarStore
from persistence.engine import UNCHANGED, Engine
from persistence.event_log import Appended, SqlEventLog
from persistence.exposure_store import SqlExposureStore
from persistence.job_store import SqlJobStore
from persistence.portfolio_store import SqlPortfolioStore
from persistence.provider_gates import SqlProviderGates
from persistence.quality_store import SqlQualityStore
from persistence.refresh_leases import SqlRefreshLeases
from persistence.schedule_store import SqlScheduleStore
from persistence.session_store import SqlSessionStore
from persistence.statistics_store import SqlStatisticsStore
from persistence.symbol_store import SqlSymbolStore
from persistence.tables import session_bars

ANSWER_SECONDS = 4.3
"""How long a write may take together with finding out what became of it."""
LOOK_AGAIN_SECONDS = 0.2


class SqlUnitOfWork:
    def __init__(self, connection: AsyncConnection, clock_generation: int) -> None:
        self.symbols = SqlSymbolStore(connection)
        self.bars = SqlBarStore(connection)
        self.session = SqlSessionStore(connection)
        self.session_bars = SqlBars(connection, session_bars)
        self.leases = SqlRefreshLeases(connection)
        self.exposures = SqlExposureStore(connection)
        self.jobs = SqlJobStore(connection)
        self.backfills = SqlBackfillStore(connection)
        self.quality = SqlQualityStore(connection)
        self.statistics = SqlStatisticsStore(connection)
        self.schedules = SqlScheduleStore(connection)
        self.portfolios = SqlPortfolioStore(connection)
        self.gates = SqlProviderGates(connection)
        self.events = SqlEventLog(connection, clock_generation)


class SqlDatabase:
    """`clock_generation` is that of the clock this process runs on (see market_clock): after another process has changed the
    clock, every append raises ClockReplaced. `on_append` is called after each commit that appended an event; `written_at` is
    when the last write ended, whatever became of it: what is read later must not be older."""

    def __init__(self, engine: Engine, clock_generation: int) -> None:
        self.engine = engine
        self._clock_generation = clock_generation
        self.on_append: Callable[[], None] = lambda: None
        self.written_at = -math.inf

    @property
    def kind(self) -> str:
        return self.engine.kind

    @asynccontextmanager
    async def read(self) -> AsyncIterator[SqlUnitOfWork]:
        async with self.engine.read() as connection:
            yield SqlUnitOfWork(connection, self._clock_generation)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[SqlUnitOfWork]:
        async with self.engine.snapshot() as connection:
            yield SqlUnitOfWork(connection, self._clock_generation)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[SqlUnitOfWork]:
        deadline = asyncio.get_running_loop().time() + ANSWER_SECONDS
        try:
            async with self.engine.write() as connection:
                unit = SqlUnitOfWork(connection, self._clock_generation)
                yield unit
                await unit.events.announce()
        except ChangeInDoubt:
            if unit.events.newest is None:
                raise
            await self._assure(unit.events.newest, deadline)
        finally:
            self.written_at = monotonic()
        if unit.events.newest is not None:
            self.on_append()

    async def _assure(self, event: Appended, deadline: float) -> None:
        """Returns when the event was committed. Raises StoreUnavailable when it was not, ChangeInDoubt when nobody says."""
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    with suppress(StoreUnavailable):
                        async with self.engine.look_back() as connection:
                            is_committed = await SqlEventLog(connection, self._clock_generation).has(event)
                            break
                    await asyncio.sleep(LOOK_AGAIN_SECONDS)
        except TimeoutError:
            raise ChangeInDoubt from None
        if not is_committed:
            raise StoreUnavailable(UNCHANGED)
