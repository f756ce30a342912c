"""The event log: what numbers in commit order cost, and what a hint saves.

*Appends*, one a transaction, beside inserts that take their number from a sequence. Those are faster together, and lose events:
a number can become visible after a higher one has been read past. *Delivery*, from the commit to a follower on another engine,
with a hint (NOTIFY on PostgreSQL; on SQLite the poke that a process gives itself) and by polling alone.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from sqlalchemy import Column, Identity, Integer, MetaData, String, Table, insert

from benchmarks.databases import databases
from benchmarks.report import Comparison, by_turns, print_machine, print_table
from domain.events import SymbolChanged, SymbolChangeKind
from domain.symbols import Profile, Symbol
from domain.tickers import AssetClass
from persistence.engine import Engine
from persistence.event_feed import POLL_SECONDS, Listener, SqlEventFeed
from persistence.unit_of_work import SqlDatabase
from persistence.upgrade import upgrade
from web.serving import run

SECONDS = 0.5
WRITERS = (1, 8)
DELIVERIES = 12
EVENT = SymbolChanged(SymbolChangeKind.UPDATED, "BENCH", datetime(2026, 3, 27, 20, 30, tzinfo=UTC))

sequenced = Table(
    "bench_sequenced",
    MetaData(),
    Column("number", Integer, Identity(), primary_key=True),
    Column("kind", String, nullable=False),
    Column("ticker", String, nullable=False),
    Column("occurred_at", String, nullable=False),
)

Write = Callable[[SqlDatabase], Coroutine[Any, Any, None]]


def main() -> None:
    appends, deliveries = [], []
    with databases() as urls:
        for name, url in urls.items():
            run(_prepare(url))
            appends += [_appends(f"{writers} at once, {name}", url, writers) for writers in WRITERS]
            hint = "poke" if name == "SQLite" else "NOTIFY"
            deliveries.append(run(_deliveries(f"{name}, {hint}", url)))
    print_table("Event log, appends", "in commit order", "by sequence", "events per second", appends)
    print_table("Event log, from commit to delivery", "hinted", "polled", "milliseconds", deliveries)


async def _prepare(url: str) -> None:
    async with _database(url) as database:
        await upgrade(database.engine)
        async with database.engine.write() as connection:
            await connection.run_sync(sequenced.create)
        async with database.write() as unit:
            await unit.symbols.add(Symbol.tracked(Profile("BENCH", None, AssetClass.STOCK, "XNAS", "USD"), None, None))


@asynccontextmanager
async def _database(url: str) -> AsyncIterator[SqlDatabase]:
    engine = Engine(url)
    try:
        yield SqlDatabase(engine, clock_generation=0)
    finally:
        await engine.close()


# ── appends


def _appends(label: str, url: str, writers: int) -> Comparison:
    return by_turns(
        label,
        lambda: run(_events_per_second(url, writers, _append)),
        lambda: run(_events_per_second(url, writers, _insert)),
        rounds=5,
    )


async def _events_per_second(url: str, writers: int, write: Write) -> float:
    async with _database(url) as database:
        await asyncio.gather(*(write(database) for _ in range(writers)))  # connections are opened before the count
        started = perf_counter()
        written = await asyncio.gather(*(_until(started + SECONDS, database, write) for _ in range(writers)))
        return sum(written) / (perf_counter() - started)


async def _until(end: float, database: SqlDatabase, write: Write) -> int:
    written = 0
    while perf_counter() < end:
        await write(database)
        written += 1
    return written


async def _append(database: SqlDatabase) -> None:
    async with database.write() as unit:
        await unit.events.append(EVENT)


async def _insert(database: SqlDatabase) -> None:
    async with database.engine.write() as connection:
        values = {"kind": EVENT.kind.value, "ticker": EVENT.ticker, "occurred_at": EVENT.occurred_at.isoformat()}
        await connection.execute(insert(sequenced).values(values))


# ── delivery


class _Follower:
    """Somebody who follows the log on an engine of their own."""

    def __init__(self, database: SqlDatabase) -> None:
        self.feed = SqlEventFeed(database)
        self._changes = self.feed.follow(None)

    async def arrival(self) -> float:
        await anext(self._changes)
        return perf_counter()


async def _deliveries(label: str, url: str) -> Comparison:
    """Each event is followed both ways, so that a pair of figures is of one commit."""
    draw = random.Random(20)
    async with _database(url) as writer, _database(url) as one, _database(url) as another, asyncio.TaskGroup() as group:
        hinted, polled = _Follower(one), _Follower(another)
        writer.on_append = hinted.feed.poke
        loops = [hinted.feed.run, polled.feed.run]
        if writer.kind == "postgresql":
            writer.on_append = lambda: None
            loops.append(Listener(url, hinted.feed).run)
        running = [group.create_task(loop()) for loop in loops]
        pairs = [await _delivery(writer, hinted, polled, draw.uniform(1, 2) * POLL_SECONDS) for _ in range(DELIVERIES)]
        for task in running:
            task.cancel()
    return Comparison(label, *zip(*pairs, strict=True))


async def _delivery(writer: SqlDatabase, hinted: _Follower, polled: _Follower, wait: float) -> tuple[float, float]:
    """Milliseconds from the moment before the commit."""
    arrivals = asyncio.gather(hinted.arrival(), polled.arrival())
    await asyncio.sleep(wait)  # to whatever moment between two polls
    async with writer.write() as unit:
        await unit.events.append(EVENT)
        committed = perf_counter()
    by_hint, by_poll = await arrivals
    return (by_hint - committed) * 1e3, (by_poll - committed) * 1e3


if __name__ == "__main__":
    print_machine()
    main()
