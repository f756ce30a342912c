"""How often somebody else has a turn on the event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


@asynccontextmanager
async def turns_of_others() -> AsyncIterator[Callable[[], int]]:
    """How many there were since the block began, whenever it is asked."""
    turns = 0

    async def count_on() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_on())
    await asyncio.sleep(0)
    before = turns
    try:
        yield lambda: turns - before
    finally:
        counting.cancel()
