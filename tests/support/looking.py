"""A process that reads a symbol's daily bars over and over until its stdin is closed, and prints what it saw."""

import asyncio
import sys
from datetime import date

from tests.support.stored import opened


async def main(url: str, ticker: str) -> None:
    closed = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    seen: dict[str, int] = {}
    async with opened(url) as database:
        while not closed.done():
            async with database.read() as unit:
                bars = await unit.bars.daily_since(ticker, date(2000, 1, 1))
            key = f"{len(bars)} bars, {sum(bar.close for bar in bars):f}"
            if not seen:
                print("looking", flush=True)  # noqa: T201 - read by whoever started it
            seen[key] = seen.get(key, 0) + 1
            await asyncio.sleep(0.002)  # and leaves the processor to who writes
    for key, times in seen.items():
        print(f"{times} times {key}")  # noqa: T201 - read by the test


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
