"""Every event of the log, pushed to whoever follows: polling is the truth, PostgreSQL's NOTIFY a hint that saves the wait."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import asyncpg
from sqlalchemy.engine import make_url

from domain.errors import CursorExpired, Refusal, SlowSubscriber
from domain.events import Logged, Position
from persistence.event_log import CHANNEL
from persistence.unit_of_work import SqlDatabase

log = logging.getLogger("freshtape.feed")

POLL_SECONDS = 0.5
HEARTBEAT_SECONDS = 2
LISTENER_SECONDS = 3
"""How long the listener's connection may keep it waiting."""
PAGE = 500
BUFFER = 2000
"""Events a follower may be behind before it is let go."""


class SqlEventFeed:
    """`run` reads the log once for everybody; each follower has a bounded buffer of its own."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self._followers: set[_Follower] = set()
        self._wake = asyncio.Event()
        self._position: Position | None = None

    def poke(self) -> None:
        """There is probably something new."""
        self._wake.set()

    async def run(self) -> None:
        """Follows the log for ever, after a failure from where it was."""
        position = await self._start()
        try:
            while True:
                position = await self._deliver(position)
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._wake.wait()
                self._wake.clear()
        except CursorExpired as error:
            self._position = None
            for follower in self._followers:
                follower.lose(error)
            raise

    async def _start(self) -> Position:
        """Where the log was when it was first looked at, here or by a follower: no buffer begins later than its follower."""
        if (position := self._position) is None:
            head = await self._head()
            position = self._position = self._position or head
        return position

    async def _deliver(self, position: Position) -> Position:
        while changes := await self._page(position):
            position = self._position = changes[-1].position
            for follower in self._followers:
                follower.offer(changes)
        return position

    async def follow(self, after: Position | None) -> AsyncGenerator[Logged, None]:
        """As EventFeed says; raises SlowSubscriber for a reader that falls too far behind."""
        follower = _Follower()
        # Buffering starts first, then the log is read: an event is in one of the two, or in both, never in none.
        self._followers.add(follower)
        try:
            await self._start()
            position = after if after is not None else await self._head()
            while changes := await self._page(position):
                position = changes[-1].position
                for change in changes:
                    yield change
            async for change in follower.changes():
                if change.position.number > position.number:
                    yield change
        finally:
            self._followers.discard(follower)

    async def _head(self) -> Position:
        async with self._database.read() as unit:
            return await unit.events.head()

    async def _page(self, position: Position) -> list[Logged]:
        async with self._database.read() as unit:
            return await unit.events.after(position, PAGE)


class _Follower:
    def __init__(self) -> None:
        self._buffer: deque[Logged] = deque()
        self._filled = asyncio.Event()
        self._lost: Refusal | None = None

    def offer(self, changes: list[Logged]) -> None:
        if len(self._buffer) + len(changes) > BUFFER:
            self.lose(SlowSubscriber(BUFFER))
        if self._lost is None:
            self._buffer.extend(changes)
            self._filled.set()

    def lose(self, why: Refusal) -> None:
        self._lost = why
        self._buffer.clear()
        self._filled.set()

    async def changes(self) -> AsyncGenerator[Logged, None]:
        while True:
            while self._buffer:
                yield self._buffer.popleft()
            if self._lost is not None:
                raise self._lost
            self._filled.clear()
            await self._filled.wait()


class Listener:
    """Pokes the feed when PostgreSQL notifies. Its connection neither reconnects nor notices a dead peer by itself: `run`
    sends itself a heartbeat, raises when it does not come back, and is started again by whoever supervises it."""

    def __init__(self, url: str, feed: SqlEventFeed) -> None:
        parts = make_url(url)
        self._arguments: dict[str, Any] = {
            "host": parts.query.get("host", parts.host),
            "port": parts.port,
            "user": parts.username,
            "password": parts.password,
            "database": parts.database,
            "ssl": parts.query.get("ssl"),
        }
        self._feed = feed

    async def run(self) -> None:
        connection = await asyncpg.connect(**self._arguments, timeout=LISTENER_SECONDS, command_timeout=LISTENER_SECONDS)
        try:
            heard = asyncio.Event()
            await connection.add_listener(CHANNEL, lambda *_: self._feed.poke())
            own = f"{CHANNEL}_{connection.get_server_pid()}"
            await connection.add_listener(own, lambda *_: heard.set())
            self._feed.poke()
            while True:
                heard.clear()
                await connection.execute("SELECT pg_notify($1, '')", own)
                async with asyncio.timeout(LISTENER_SECONDS):
                    await heard.wait()
                await asyncio.sleep(HEARTBEAT_SECONDS)
        finally:
            connection.terminate()
