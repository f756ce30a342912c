"""Pages of symbols from memory beside the query that they were before.

The feed reads the log meanwhile, as it does in a service. The query opens a transaction, counts, and reads the page.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import perf_counter

from sqlalchemy import insert

from benchmarks.databases import databases
from benchmarks.report import Comparison, by_turns, print_machine, print_table
from domain.ports import SymbolPage, SymbolQuery
from domain.symbols import Symbol, SymbolStatus
from domain.tickers import AssetClass
from persistence.catalogue import SqlCatalogue
from persistence.engine import Engine
from persistence.event_feed import SqlEventFeed
from persistence.tables import symbols
from persistence.unit_of_work import SqlDatabase
from persistence.upgrade import upgrade
from tests.support.symbol_pages import page_by_sql

SYMBOLS = 5_000
RETIRED = 0.05
NOW = datetime(2026, 3, 27, 20, 30, tzinfo=UTC)
FILTERED = SymbolQuery(asset_class=AssetClass.STOCK, is_stale=True, updated_before=NOW - timedelta(hours=48))
AT_LEAST_SECONDS = 0.1


@dataclass(frozen=True)
class Page:
    label: str
    query: SymbolQuery
    first: int
    after: str | None = None


PAGES = (
    Page("100", SymbolQuery(), 100),
    Page("1,000", SymbolQuery(), 1_000),
    Page("100 behind the middle", SymbolQuery(), 100, f"T{SYMBOLS // 2:05}"),
    Page("100 stale stocks", FILTERED, 100),
    Page("1,000 stale stocks", FILTERED, 1_000),
    Page("100 by name", SymbolQuery(tickers=[f"T{number:05}" for number in range(0, SYMBOLS, SYMBOLS // 100)]), 100),
)


def main() -> None:
    found = []
    with databases() as urls:
        for name, url in urls.items():
            found += _measured(name, url)
    print_table(f"Pages of {SYMBOLS:,} symbols", "catalogue", "the query", "microseconds", found)


def _measured(name: str, url: str) -> list[Comparison]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            database, catalogue = runner.run(stack.enter_async_context(_followed(url)))
            return [_compared(runner, f"{page.label}, {name}", page, catalogue, database.engine) for page in PAGES]
        finally:
            runner.run(stack.aclose())


def _compared(runner: asyncio.Runner, label: str, page: Page, catalogue: SqlCatalogue, engine: Engine) -> Comparison:
    async def held() -> SymbolPage:
        return await catalogue.page(page.query, page.first, page.after)

    async def queried() -> SymbolPage:
        return await page_by_sql(engine, page.query, page.first, page.after)

    if runner.run(held()) != runner.run(queried()):
        raise RuntimeError(f"the two do not find the same: {label}")
    return by_turns(
        label, lambda: runner.run(_microseconds_each(held)), lambda: runner.run(_microseconds_each(queried)), rounds=5
    )


async def _microseconds_each(work: Callable[[], Awaitable[object]]) -> float:
    times, started = 0, perf_counter()
    while (elapsed := perf_counter() - started) < AT_LEAST_SECONDS:
        await work()
        times += 1
    return elapsed / times * 1e6


@asynccontextmanager
async def _followed(url: str) -> AsyncIterator[tuple[SqlDatabase, SqlCatalogue]]:
    """A database full of symbols, and the catalogue of a feed that runs."""
    engine = Engine(url)
    try:
        await upgrade(engine)
        async with engine.write() as connection:
            await connection.execute(insert(symbols), list(map(asdict, _symbols())))
        database = SqlDatabase(engine, clock_generation=0)
        feed = SqlEventFeed(database)
        running = asyncio.create_task(feed.run())
        yield database, SqlCatalogue(feed)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    finally:
        await engine.close()


def _symbols() -> list[Symbol]:
    draw = random.Random(20)
    return [
        Symbol(
            ticker=f"T{number:05}",
            name=f"Symbol {number} Inc.",
            asset_class=draw.choice(list(AssetClass)),
            exchange="XNAS",
            currency="USD",
            status=SymbolStatus.RETIRED if draw.random() < RETIRED else SymbolStatus.ACTIVE,
            last_price=Decimal(draw.randrange(100, 100_000)) / 100,
            last_updated=NOW - timedelta(hours=draw.randrange(0, 96)),
            as_of=NOW,
        )
        for number in range(SYMBOLS)
    ]


if __name__ == "__main__":
    print_machine()
    main()
