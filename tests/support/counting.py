"""A process that writes minute bars, or counts their days, beside others on one database: `python -m tests.support.counting`.

Its arguments: the database's address, `write` or `settle`, a seed or nothing, and the mutants it runs on. A writer ends by
itself; who settles when its stdin is closed.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from domain.bars import Bar, Interval
from persistence import bar_days, statistics_store  # noqa: F401 - what mutants change is there before they do
from persistence.engine import Engine
from persistence.unit_of_work import SqlDatabase
from tests.support.mutants import in_force

TICKERS = ("AAPL", "MSFT", "SPY")
FIRST = datetime(2026, 3, 23, tzinfo=UTC)
DAYS, WRITES = 15, 8


def minute(ticker: str, opens: datetime, volume: int = 1) -> Bar:
    prices = (Decimal(100),) * 4
    closes = opens + timedelta(minutes=1)
    return Bar(ticker, Interval.ONE_MINUTE, opens, closes, *prices, Decimal(volume), opens.date(), "made up")


async def write(database: SqlDatabase, seed: str) -> None:
    """Each day some times in a row, never again after that, and most bars by one writer alone."""
    chance = Random(seed)
    for day in range(DAYS):
        for ticker in TICKERS:
            for _ in range(WRITES):
                opens = {FIRST + timedelta(days=day, minutes=chance.randrange(1440)) for _ in range(3)}
                async with database.write() as unit:
                    await unit.bars.upsert([minute(ticker, each, chance.randint(1, 3)) for each in sorted(opens)])


async def settle(database: SqlDatabase) -> None:
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    settled = 0
    while not ended.done():
        async with database.write() as unit:
            settled += await unit.statistics.settle(Interval.ONE_MINUTE)
        await asyncio.sleep(0.03)
    print(settled)  # noqa: T201 - read by the test


async def main(url: str, role: str, seed: str) -> None:
    engine = Engine(url)
    try:
        database = SqlDatabase(engine, clock_generation=0)
        await (write(database, seed) if role == "write" else settle(database))
    finally:
        await engine.close()


if __name__ == "__main__":
    address, part, chosen, *mutants = sys.argv[1:]
    with in_force(*mutants):
        asyncio.run(main(address, part, chosen))
