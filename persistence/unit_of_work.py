"""One transaction and the stores that work in it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.bar_store import SqlBarStore
from persistence.engine import Engine
from persistence.event_log import SqlEventLog
from persistence.provider_gates import SqlProviderGates
from persistence.refresh_leases import SqlRefreshLeases
from persistence.symbol_store import SqlSymbolStore


class SqlUnitOfWork:
    def __init__(self, connection: AsyncConnection, clock_generation: int) -> None:
        self.symbols = SqlSymbolStore(connection)
        self.bars = SqlBarStore(connection)
        self.leases = SqlRefreshLeases(connection)
        self.gates = SqlProviderGates(connection)
        self.events = SqlEventLog(connection, clock_generation)


class SqlDatabase:
    """`clock_generation` is that of the clock this process runs on (see market_clock): after another process has changed the
    clock, every append raises ClockReplaced. `on_append` is called after each commit that appended an event."""

    def __init__(self, engine: Engine, clock_generation: int) -> None:
        self.engine = engine
        self._clock_generation = clock_generation
        self.on_append: Callable[[], None] = lambda: None

    @property
    def kind(self) -> str:
        return self.engine.kind

    @asynccontextmanager
    async def read(self) -> AsyncIterator[SqlUnitOfWork]:
        async with self.engine.read() as connection:
            yield SqlUnitOfWork(connection, self._clock_generation)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[SqlUnitOfWork]:
        async with self.engine.write() as connection:
            unit = SqlUnitOfWork(connection, self._clock_generation)
            yield unit
            await unit.events.announce()
        if unit.events.appended:
            self.on_append()
