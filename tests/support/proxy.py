"""A TCP proxy in front of PostgreSQL that loses what a test wants lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from enum import Enum
from typing import Self

from sqlalchemy.engine import URL

from persistence.event_log import CHANNEL

LATE_SECONDS = 1.0


class Fate(Enum):
    """What becomes of the next COMMIT of a transaction that appended an event."""

    ANSWER_CUT = "the server commits, and the connection is cut before its answer"
    ANSWER_SWALLOWED = "the server commits, and its answer never comes"
    COMMIT_CUT = "the connection is cut before the server has it"
    COMMIT_SWALLOWED = "the server never gets it, and does not learn that it was sent"
    COMMIT_LATE = "the connection is cut, and the server gets it a second later"


class Proxy:
    """An async context; `url` leads through it. What it does holds for connections there are, and for those that come while it
    does: one that has been `swallow`ed stays half-open for ever, and the server does not learn when its client leaves."""

    def __init__(self, server: URL) -> None:
        self._server = server
        self._is_cut = self._is_swallowing = False
        self._links: set[_Link] = set()
        self.at_commit: Fate | None = None

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._take, "127.0.0.1", 0)
        host, port = self._listener.sockets[0].getsockname()
        self._url = self._server.difference_update_query(["host"]).set(host=host, port=port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for link in self._links:
            link.close()
        await asyncio.gather(*(link.ended for link in self._links), return_exceptions=True)

    def url(self, database: str | None = None) -> str:
        return self._url.set(database=database or self._url.database).render_as_string(hide_password=False)

    def swallow(self) -> None:
        self._is_swallowing = True
        for link in self._links:
            link.is_dead = True

    def cut(self) -> None:
        self._is_cut = True
        for link in self._links:
            link.close()

    def restore(self) -> None:
        self._is_cut = self._is_swallowing = False

    def take_fate(self) -> Fate | None:
        fate, self.at_commit = self.at_commit, None
        return fate

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.close()
            return
        link = _Link(self, reader, writer)
        link.is_dead = self._is_swallowing
        self._links.add(link)
        with suppress(OSError):
            await link.run(*await self._reach())

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host = str(self._server.query.get("host", self._server.host))
        port = self._server.port or 5432
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)


class _Link:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._client = writer
        self._server: asyncio.StreamWriter | None = None
        self._has_announced = False
        self._fate: Fate | None = None
        self.is_dead = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def close(self) -> None:
        self._client.close()
        if self._server is not None:
            self._server.close()

    async def run(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        self._server = server
        try:
            await asyncio.gather(self._carry_up(server), self._carry_down(reader))
        finally:
            self.close()
            self.ended.set_result(None)

    async def _carry_up(self, server: asyncio.StreamWriter) -> None:
        async for data in _read(self._reader):
            self._decide(data)
            if self._fate is Fate.COMMIT_CUT:
                self.close()
            elif self._fate is Fate.COMMIT_SWALLOWED:
                self.is_dead = True
            elif self._fate is Fate.COMMIT_LATE:
                self._client.close()
                await asyncio.sleep(LATE_SECONDS)
            if not self.is_dead:
                server.write(data)
        if not self.is_dead and self._fate is not Fate.COMMIT_LATE:
            server.close()

    async def _carry_down(self, reader: asyncio.StreamReader) -> None:
        async for data in _read(reader):
            if self._fate is Fate.ANSWER_CUT:
                self.close()
            elif self._fate is Fate.ANSWER_SWALLOWED:
                self.is_dead = True
            if not self.is_dead:
                self._client.write(data)
        if not self.is_dead:
            self._client.close()

    def _decide(self, data: bytes) -> None:
        if b"COMMIT;" in data and self._has_announced:
            self._fate = self._proxy.take_fate()
        self._has_announced = CHANNEL.encode() in data


async def _read(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            yield data
