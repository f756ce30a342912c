"""Connections: how each of the two databases is opened, and what a transaction is on it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

BUSY_SECONDS = 10
"""How long a write waits for another process's on SQLite."""
COMMAND_SECONDS = 5
"""How long one statement may take on PostgreSQL: a half-open connection is noticed by it."""

_SERVER_SETTINGS = {
    "application_name": "freshtape",
    "jit": "off",
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "10000",
}

# PostgreSQL begins a transaction for writes alone: without, a connection is checked and a statement read in one round trip
# each, not in three, and READ COMMITTED gives each statement of a read a snapshot of its own either way.
_WRITES: dict[str, dict[str, Any]] = {
    "sqlite": {"freshtape_write": True},
    "postgresql": {"isolation_level": "READ COMMITTED"},
}


class Engine:
    """An open database, pooled. `write` is one transaction; so is `read` on SQLite, where its statements see one state."""

    def __init__(self, url: str) -> None:
        self.kind = make_url(url).get_backend_name()
        self._engine = _sqlite(url) if self.kind == "sqlite" else _postgresql(url)
        # SQLite has one writer at a time: waiting here costs nothing, waiting in the file lock is a poll.
        self._writer = asyncio.Lock() if self.kind == "sqlite" else None

    @property
    def sync_engine(self) -> Any:
        """What SQLAlchemy's event hooks attach to."""
        return self._engine.sync_engine

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        async with self._engine.connect() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        async with self._writer or nullcontext(), self._engine.connect() as connection:
            await connection.execution_options(**_WRITES[self.kind])
            async with connection.begin():
                yield connection

    async def reach(self) -> None:
        """Raises OSError for a SQLite file that cannot be opened: aiosqlite would leave a thread behind that outlives the loop.
        A server says by itself that it cannot be reached."""
        if self.kind == "sqlite":
            await asyncio.to_thread(_open_once, str(self._engine.url.database))

    async def close(self) -> None:
        await self._engine.dispose()


def _open_once(path: str) -> None:
    try:
        sqlite3.connect(path).close()
    except sqlite3.Error as error:
        raise OSError(str(error)) from error


def _postgresql(url: str) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=10,
        max_overflow=10,
        pool_pre_ping=True,
        pool_recycle=3600,
        isolation_level="AUTOCOMMIT",
        connect_args={
            "command_timeout": COMMAND_SECONDS,
            "timeout": COMMAND_SECONDS,
            "server_settings": _SERVER_SETTINGS,
        },
    )


def _sqlite(url: str) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=10, max_overflow=10, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine.sync_engine, "connect")
    def settle(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are ours to begin, see below
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and writes later cannot wait for another's write: it fails at once.
        writes = connection.get_execution_options().get("freshtape_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
