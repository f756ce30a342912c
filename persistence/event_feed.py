"""Every event of the log, pushed to whoever follows, and the symbols that they come to.

Polling is the truth, PostgreSQL's NOTIFY a hint that saves the wait.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

import asyncpg
from sqlalchemy.engine import make_url

from domain.errors import CursorExpired, Refusal, SlowSubscriber, StoreUnavailable
from domain.events import Logged, Position
from persistence.event_log import CHANNEL
from persistence.held_symbols import HeldSymbols
from persistence.unit_of_work import SqlDatabase

log = logging.getLogger("freshtape.feed")

POLL_SECONDS = 0.5
FRESH_SECONDS = 1.0
"""How long ago the log may have been read when symbols are: longer than a poll, so that readers need not read it themselves."""
HEARTBEAT_SECONDS = 2
LISTENER_SECONDS = 3
"""How long the listener's connection may keep it waiting."""
PAGE = 500
BUFFER = 2000
"""Events a follower may be behind before it is let go."""


@dataclass(frozen=True, slots=True)
class InMemory:
    """How many symbols are in memory, and how long ago they were known to be all there is to know."""

    symbols: int
    age_seconds: float


class SqlEventFeed:
    """The one reader of the log in its process. `run` reads it all the time, and who needs it newer reads it for all; each
    follower has a bounded buffer of its own."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self._followers: set[_Follower] = set()
        self._wake = asyncio.Event()
        self._held: HeldSymbols | None = None
        self._read_at = -math.inf
        self._look: asyncio.Task[None] | None = None
        self._is_refused = False

    def poke(self) -> None:
        """There is probably something new."""
        self._wake.set()

    async def run(self) -> None:
        """Follows the log for ever, after a failure from where it was."""
        try:
            while True:
                await self.look()
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._wake.wait()
                self._wake.clear()
        except asyncio.CancelledError:
            # Only now: one that failed is followed by others' looks, which must not end with it.
            if (look := self._look) is not None:
                look.cancel()
                await asyncio.gather(look, return_exceptions=True)
            raise

    async def symbols(self) -> HeldSymbols:
        """As they were a second ago or later, and with all that this process has written or met when it wrote. Raises
        StoreUnavailable."""
        since = max(monotonic() - FRESH_SECONDS, self._database.written_at)
        if self._held is not None and self._read_at >= since:
            return self._held
        return await self._read_since(since)

    def in_memory(self) -> InMemory | None:
        """None as long as the symbols were not read."""
        return InMemory(self._held.count, monotonic() - self._read_at) if self._held is not None else None

    async def look(self) -> HeldSymbols:
        """What is committed by now has been told, and is in the symbols. Raises StoreUnavailable."""
        return await self._read_since(monotonic())

    async def follow(self, after: Position | None) -> AsyncGenerator[Logged, None]:
        """As EventFeed says; raises SlowSubscriber for a reader that falls too far behind."""
        follower = _Follower()
        # Buffering starts first, then the log is read: an event is in one of the two, or in both, never in none.
        self._followers.add(follower)
        try:
            held = self._held or await self.look()
            position = after if after is not None else await self._head()
            while changes := await self._page(position):
                position = changes[-1].position
                if position.number > held.position.number:  # nobody is told of what cannot be read here yet
                    held = await self.look()
                for change in changes:
                    yield change
            async for change in follower.changes():
                if change.position.number > position.number:
                    yield change
        finally:
            self._followers.discard(follower)

    async def _read_since(self, since: float) -> HeldSymbols:
        """One look serves all who wait meanwhile, and goes on when the one who began it leaves. Nobody is kept waiting for a
        database that did not answer the last one."""
        is_looking = self._look is not None and not self._look.done()
        if is_looking and self._is_refused:
            raise StoreUnavailable
        while self._held is None or self._read_at < since:
            if self._look is None or self._look.done():
                self._look = asyncio.create_task(self._read())
                self._look.add_done_callback(self._end_look)
            await asyncio.shield(self._look)
        return self._held

    def _end_look(self, look: asyncio.Task[None]) -> None:
        self._is_refused = not look.cancelled() and isinstance(look.exception(), StoreUnavailable)

    async def _read(self) -> None:
        try:
            await (self._load() if self._held is None else self._go_on(self._held))
        except CursorExpired as error:
            log.warning("the event log cannot be read on, and everything is read anew: %s", error)
            self._held = None
            for follower in self._followers:
                follower.lose(error)
            await self._load()

    async def _load(self) -> None:
        began = monotonic()
        async with self._database.read() as unit:
            # The log's end is read before the symbols: what commits in between is then told again, never left out.
            position = await unit.events.head()
            self._held = HeldSymbols(position, await unit.symbols.all())
        self._read_at = began

    async def _go_on(self, held: HeldSymbols) -> None:
        while True:
            began = monotonic()
            if changes := await self._page(held.position):
                held.apply(changes)
                for follower in self._followers:
                    follower.offer(changes)
            if len(changes) < PAGE:
                self._read_at = began
                return

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
