"""Connections: how each of the two databases is opened, and what a transaction is on it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, column, event, func, select, table
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from domain.errors import ChangeInDoubt, StoreUnavailable
from persistence.answering import Answering

BUSY_SECONDS = 10
"""How long a write waits for another process's on SQLite."""
TRANSACTION_SECONDS = 3.4
"""How long a whole transaction may take on PostgreSQL, from the wait for a connection to the commit's answer. SQLite is on this
machine: it has no such limit."""
SERVER_SECONDS = 3.1
"""How long the server lets it live: less, so that one whose end it cannot hear has let go of its locks when its caller looks
what became of it."""
STATEMENT_SECONDS = 2.8
"""How long the server lets a statement run or the transaction idle, and how long the pool keeps a caller waiting: less again,
so that what is slow is told from what is silent."""

UNCHANGED = "did not answer, and nothing was changed"


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


_LIMITS = ("statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")
_SERVER_SETTINGS = {
    "application_name": "freshtape",
    "jit": "off",
    "timezone": "UTC",
    "statement_timeout": _milliseconds(STATEMENT_SECONDS),
    "idle_in_transaction_session_timeout": _milliseconds(STATEMENT_SECONDS),
}

# PostgreSQL begins a transaction for writes alone: without, a connection is checked and a statement read in one round trip
# each, not in three, and READ COMMITTED gives each statement of a read a snapshot of its own either way.
_WRITES: dict[str, dict[str, Any]] = {
    "sqlite": {"freshtape_write": True},
    "postgresql": {"isolation_level": "READ COMMITTED"},
}

_SNAPSHOTS: dict[str, dict[str, Any]] = {"sqlite": {}, "postgresql": {"isolation_level": "REPEATABLE READ"}}


class Engine:
    """An open database, pooled. `write` is one transaction; so is `read` on SQLite, where its statements see one state. All
    raise StoreUnavailable when the database does not answer."""

    def __init__(self, url: str) -> None:
        self.kind = make_url(url).get_backend_name()
        self._engine = _sqlite(url) if self.kind == "sqlite" else _postgresql(url)
        # SQLite has one writer at a time: waiting here costs nothing, waiting in the file lock is a poll.
        self._writer = asyncio.Lock() if self.kind == "sqlite" else None
        self._seconds = TRANSACTION_SECONDS if self.kind == "postgresql" else None
        self._answering = Answering(on_silence=self._distrust, knock=self._knock)
        self._pooled: WeakSet[ConnectionPoolEntry] = WeakSet()
        event.listen(self._engine.sync_engine, "connect", lambda _, entry: self._pooled.add(entry))

    @property
    def sync_engine(self) -> Any:
        """What SQLAlchemy's event hooks attach to."""
        return self._engine.sync_engine

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._reading({})

    def snapshot(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A read whose statements see one state on PostgreSQL too."""
        return self._reading(_SNAPSHOTS[self.kind])

    @asynccontextmanager
    async def _reading(self, options: dict[str, Any], *, in_any_case: bool = False) -> AsyncIterator[AsyncConnection]:
        async with (
            self._answering.asked(StoreUnavailable(), self._seconds, in_any_case=in_any_case),
            self._engine.connect() as connection,
        ):
            await connection.execution_options(**options)
            async with connection.begin():
                yield connection

    def write(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Raises ChangeInDoubt when PostgreSQL's answer to the commit is lost."""
        return self._transaction(self._seconds)

    def look_back(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A write for who must know what became of another: the database is asked however silent it has been."""
        return self._transaction(self._seconds, in_any_case=True)

    @asynccontextmanager
    async def migrate(self) -> AsyncIterator[AsyncConnection]:
        """A write whose statements take as long as they need."""
        async with self._transaction(None) as connection:
            if self.kind == "postgresql":
                limits = select(func.set_config(column("name"), "0", True)).select_from(table("pg_settings"))
                await connection.execute(limits.where(column("name").in_(_LIMITS)))
            yield connection

    @asynccontextmanager
    async def _transaction(self, seconds: float | None, *, in_any_case: bool = False) -> AsyncIterator[AsyncConnection]:
        async with (
            self._writer or nullcontext(),
            self._answering.asked(StoreUnavailable(UNCHANGED), seconds, in_any_case=in_any_case) as asked,
            self._engine.connect() as connection,
        ):
            await connection.execution_options(**_WRITES[self.kind])
            async with connection.begin() as transaction:
                yield connection
                if self.kind == "postgresql":
                    asked.refusal = ChangeInDoubt()
                if transaction.is_active:
                    await transaction.commit()

    def _distrust(self) -> None:
        """What is in the pool may be as dead as the connection that was waited for: none of it is used again."""
        for entry in self._pooled:
            entry.invalidate(soft=True)

    async def _knock(self) -> None:
        async with self._reading({}, in_any_case=True) as connection:
            await connection.execute(select(1))

    async def reach(self) -> None:
        """Raises OSError for a SQLite file that cannot be opened: aiosqlite would leave a thread behind that outlives the loop.
        A server says by itself that it cannot be reached."""
        if self.kind == "sqlite":
            await asyncio.to_thread(_open_once, str(self._engine.url.database))

    async def close(self) -> None:
        await self._answering.close()
        await self._engine.dispose()


def _open_once(path: str) -> None:
    try:
        sqlite3.connect(path).close()
    except sqlite3.Error as error:
        raise OSError(str(error)) from error


def _postgresql(url: str) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=10,
        max_overflow=10,
        pool_timeout=STATEMENT_SECONDS,
        pool_pre_ping=True,
        pool_recycle=3600,
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": TRANSACTION_SECONDS, "server_settings": _SERVER_SETTINGS},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def limit(connection: Any, _record: Any) -> None:
        # The one limit that ends a server which waits within a statement, prepared and not yet executed; since PostgreSQL 17.
        if connection.driver_connection.get_server_version() >= (17,):
            limited = f"SET transaction_timeout = '{_milliseconds(SERVER_SECONDS)}'"
            connection.run_async(lambda driver: driver.execute(limited))

    @event.listens_for(engine.sync_engine, "close")
    def hang_up(connection: Any, _record: Any) -> None:
        # A farewell would wait for the answer of a server that may be gone; without, there is nothing left to wait for.
        connection.driver_connection.terminate()

    return engine


def _sqlite(url: str) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=10, max_overflow=10, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine.sync_engine, "connect")
    def settle(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are ours to begin, see below
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "close")
    def let_go(connection: Any, _record: Any) -> None:
        # Closed with a statement that somebody still holds, as a cancelled one in its traceback, SQLite keeps the locks.
        connection.rollback()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and writes later cannot wait for another's write: it fails at once.
        writes = connection.get_execution_options().get("freshtape_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
