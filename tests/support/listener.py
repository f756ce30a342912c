"""Who listens to a live feed while a test does something else."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from domain.bars import Bar
from domain.ports import Heard, LiveFeed


class Listener:
    """Hears what a feed tells, in the background."""

    def __init__(self, feed: LiveFeed) -> None:
        self._heard = feed.heard()
        self.heard: list[Heard] = []
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        try:
            async for heard in self._heard:
                self.heard.append(heard)
        finally:
            await self._heard.aclose()

    @property
    def bars(self) -> list[Bar]:
        """All that were told, in their order."""
        return [bar for heard in self.heard for bar in heard.bars]

    async def more(self, count: int, within: float = 10) -> Sequence[Heard]:
        """The next so many."""
        had = len(self.heard)
        async with asyncio.timeout(within):
            while len(self.heard) < had + count:
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.002)
        return self.heard[had : had + count]

    async def end(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


@asynccontextmanager
async def listening(feed: LiveFeed) -> AsyncIterator[Listener]:
    listener = Listener(feed)
    try:
        yield listener
    finally:
        await listener.end()
