"""What a live session hears, on its way to the lanes."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import aclosing

from domain.bars import Bar
from domain.ports import Heard, LiveFeed
from domain.services.mending import Mending
from domain.symbols import Symbol

HEARD_AT_ONCE = 1000


class Live:
    """The minutes that a live session hears. `early` are those of symbols that have no lane yet, `mending` has those that were
    missed."""

    def __init__(self, feed: LiveFeed, mending: Mending, wake: asyncio.Event) -> None:
        self.mending = mending
        self._feed = feed
        self._wake = wake
        self._heard: asyncio.Queue[Heard] = asyncio.Queue(HEARD_AT_ONCE)
        self.early: dict[str, list[Bar]] = {}
        self.period_seconds = feed.period_seconds

    def watch(self, symbols: Iterable[Symbol]) -> None:
        self._feed.watch(list(symbols))

    async def listen(self) -> None:
        """For ever. When nobody takes what was heard, the feed waits: it keeps what comes meanwhile within bounds."""
        async with aclosing(self._feed.heard()) as told:
            async for heard in told:
                await self._heard.put(heard)
                self._wake.set()

    def heard_by_now(self) -> Iterator[Heard]:
        while not self._heard.empty():
            yield self._heard.get_nowait()
