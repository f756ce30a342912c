"""Statistics of a hundred symbols over ten million minute bars, of which one in a thousand is missing.

All at once, with every gap and its cause: when all days are counted, and when a day of each symbol has been written since. And
the counting of all days, which is done once. Beside plain SQL over the same rows: it counts them, takes the first and the last,
counts what is validated and what opens away, and finds the gaps by `lag()`; it knows no calendar, so that nights are among
them, and no causes.
"""

import gc
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import perf_counter

from sqlalchemy import Column, Date, Integer, MetaData, Table, insert, text

from benchmarks.databases import databases
from benchmarks.report import Comparison, print_machine, print_table
from domain.bars import Interval
from domain.calendars import calendar_for
from domain.clock import SystemClock
from domain.expected import Expectation
from domain.gaps import Statistics
from domain.services.statistics import Counting
from domain.symbols import Profile, Symbol
from domain.tickers import AssetClass
from persistence.catalogue import SqlCatalogue
from persistence.engine import Engine
from persistence.event_feed import SqlEventFeed
from persistence.types import UtcDateTime
from persistence.unit_of_work import SqlDatabase
from persistence.upgrade import upgrade
from web.serving import run

TICKERS = [f"S{n:03}" for n in range(100)]
EACH = 100_000
MISSING = 1000
ENDS = datetime(2026, 3, 27, 20, tzinfo=UTC)
DAY, YEARS = timedelta(days=1), 2
ROUNDS = 3

MADE_UP = Table(
    "made_up",
    MetaData(),
    Column("place", Integer),
    Column("opens", UtcDateTime),
    Column("closes", UtcDateTime),
    Column("day", Date),
    prefixes=["TEMPORARY"],
)
LOAD = """
INSERT INTO bars
(ticker, interval, open_time, close_time, open, high, low, close, volume, adjusted_to, source, is_final, faults)
SELECT ticker, '1m', opens, closes, 100.25, 100.75, 99.5, 100.5, 1200, day, 'made up', true,
CASE place % 20 WHEN 0 THEN 4 ELSE 0 END
FROM symbols CROSS JOIN made_up WHERE (place + CAST(substr(ticker, 2) AS integer) * 37) % {missing} <> 0 ORDER BY ticker, opens
"""
MARK = """
INSERT INTO bar_days (ticker, interval, day, bars, validated, price_gaps, minutes, is_current)
SELECT ticker, '1m', day, 0, 0, 0, {nothing}, false FROM symbols CROSS JOIN (SELECT DISTINCT day FROM made_up) AS days
"""
PLAIN = """
SELECT ticker, count(*), min(open_time), max(close_time), count(*) FILTER (WHERE faults IN (0, 8, 16, 24, 32, 40)),
count(*) FILTER (WHERE faults & 12 <> 0), count(*) FILTER (WHERE open_time > previous)
FROM (
SELECT *, lag(close_time) OVER (PARTITION BY ticker ORDER BY open_time) AS previous FROM bars WHERE interval = '1m'
) AS each
GROUP BY ticker
"""


def main() -> None:
    found: list[Comparison] = []
    with databases() as urls:
        for name, url in urls.items():
            run(_measure(name, url, found))
    print_table("Statistics of 100 symbols, 10 million minutes", "freshtape", "plain SQL", "seconds", found)


async def _measure(name: str, url: str, found: list[Comparison]) -> None:
    engine = Engine(url)
    await upgrade(engine)
    database = SqlDatabase(engine, clock_generation=0)
    absent = await _load(engine, database)
    counting = Counting(database, SqlCatalogue(SqlEventFeed(database)), SystemClock())
    plain = [await _plain(engine)] * ROUNDS  # minutes on SQLite: once
    began = perf_counter()
    await counting.settle()
    settling = perf_counter() - began
    counted = [await _ours(counting, absent) for _ in range(ROUNDS)]
    await _write_a_day(database)
    written = [await _ours(counting, absent) for _ in range(ROUNDS)]
    found += [
        Comparison(f"all days counted, {name}", counted, plain),
        Comparison(f"a day of each written since, {name}", written, plain),
        Comparison(f"the counting of all days, once, {name}", [settling] * ROUNDS, plain),
    ]
    await engine.close()


async def _ours(counting: Counting, absent: int) -> float:
    gc.collect()
    began = perf_counter()
    statistics: Mapping[str, Statistics] = await counting.of(TICKERS, Interval.ONE_MINUTE)
    seconds = perf_counter() - began
    if (missing := sum(each.absent for each in statistics.values())) != absent:
        raise RuntimeError(f"{missing:,} bars are said to be missing, and {absent:,} are")
    return seconds


async def _plain(engine: Engine) -> float:
    async with engine.migrate() as connection:
        began = perf_counter()
        (await connection.execute(text(PLAIN))).all()
        return perf_counter() - began


async def _load(engine: Engine, database: SqlDatabase) -> int:
    """How many bars are missing between the first and the last of their symbol."""
    async with database.write() as unit:
        for ticker in TICKERS:
            await unit.symbols.add(Symbol.tracked(Profile(ticker, None, AssetClass.STOCK, "XNAS", "USD"), None, None))
    end = int(ENDS.timestamp()) // 60
    expected = Expectation(calendar_for(AssetClass.STOCK, "XNAS")).between(Interval.ONE_MINUTE, end - YEARS * 366 * 1440, end)
    opens = [datetime.fromtimestamp(each, UTC) for each in expected.opens[-EACH:].tolist()]
    rows = [
        {"place": place, "opens": each, "closes": each + DAY / 1440, "day": each.date()} for place, each in enumerate(opens)
    ]
    is_server = engine.kind == "postgresql"
    async with engine.migrate() as connection:
        await connection.run_sync(MADE_UP.create)
        await connection.execute(insert(MADE_UP), rows)
        if is_server:  # to look for the symbol of each row would take longer than all the rest
            await connection.execute(text("ALTER TABLE bars DROP CONSTRAINT fk_bars_ticker"))
        await connection.execute(text(LOAD.format(missing=MISSING)))
        await connection.execute(text(MARK.format(nothing="''::bytea" if is_server else "x''").replace("::", r"\:\:")))
        await connection.execute(text("ANALYZE"))
    places = range(1, EACH - 1)
    return sum((place + n * 37) % MISSING == 0 for n in range(len(TICKERS)) for place in places)


async def _write_a_day(database: SqlDatabase) -> None:
    """The last of each, as a provider gives it again."""
    for ticker in TICKERS:
        async with database.write() as unit:
            bars = await unit.bars.closed_between([ticker], Interval.ONE_MINUTE, ENDS - DAY / 2, ENDS)
            await unit.bars.upsert([replace(bar, volume=bar.volume + 1) for bar in bars])


if __name__ == "__main__":
    print_machine()
    main()
