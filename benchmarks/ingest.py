"""Bars into the store and out of it, beside the drivers alone.

*Stored*, a symbol-year of minutes as it is fetched: judged, compared with what is held, rolled up to five longer intervals, and
written with them, in one transaction; then the same again, of which nothing is news.
*Written*, minutes of a hundred symbols in one transaction, new and then as they are there already; beside the driver's own
executemany of a plain insert, and on PostgreSQL its COPY, both into the same table and with values made ready before the count;
and beside what would do the same as ours, a COPY of the bars' values into a temporary table with an upsert from there.
*Read*, the bars that closed on a day, beside the driver's rows of the same columns, of which no bars are made.
"""

import gc
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from random import Random
from time import perf_counter
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.databases import databases
from benchmarks.report import Comparison, print_machine, print_table
from domain.bars import Bar, Interval
from domain.calendars import calendar_for
from domain.hours import hours_for
from domain.services.storing import store
from domain.symbols import Profile, Symbol
from domain.tickers import AssetClass
from persistence.bar_store import SqlBarStore
from persistence.engine import Engine
from persistence.tables import bars
from persistence.unit_of_work import SqlDatabase, SqlUnitOfWork
from persistence.upgrade import upgrade
from web.serving import keep_what_is_loaded, run

SYMBOLS = [f"C{n:03}-USD" for n in range(100)]
STOCK = Symbol("STOCK", None, AssetClass.STOCK, "XNYS", "USD")
DAY = date(2026, 3, 25)
BEGINS = datetime(2026, 3, 25, tzinfo=UTC)
WRITTEN, READ = 200, 1000
"""Minutes of each symbol."""
ROUNDS = 5

Work = Callable[[AsyncConnection], Awaitable[int]]


def main() -> None:
    written: list[Comparison] = []
    read: list[Comparison] = []
    stored: list[Comparison] = []
    with databases() as urls:
        for name, url in urls.items():
            run(_measure(name, url, written, read, stored))
    print_table(f"A symbol-year, {len(_a_year()):,} minutes, stored", "first", "again", "seconds", stored)
    print_table("Bars written", "freshtape", "the driver alone", "thousand a second", written)
    print_table("Bars read, 100,000 minutes", "freshtape", "the driver's rows", "thousand a second", read)


async def _measure(name: str, url: str, written: list[Comparison], read: list[Comparison], stored: list[Comparison]) -> None:
    engine = Engine(url)
    await upgrade(engine)
    async with SqlDatabase(engine, clock_generation=0).write() as unit:
        for ticker in SYMBOLS:
            await unit.symbols.add(Symbol.tracked(Profile(ticker, None, AssetClass.CRYPTO, None, "USD"), None, None))
        await unit.symbols.add(STOCK)
    given = minutes(WRITTEN)
    rows = [_as_the_driver_takes_it(bar, name) for bar in given]
    alone: dict[str, Work] = {"executemany": lambda connection: _executemany(connection, rows)}
    if name == "PostgreSQL":
        alone["COPY"] = lambda connection: _copy(connection, rows)
        alone["COPY and upsert"] = lambda connection: _copy_and_upsert(connection, given)
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for label, work in alone.items():
            await _note(found, label, engine, work, into_empty=True)
        await _note(found, "new", engine, lambda connection: _upsert(connection, given), into_empty=True)
        await _note(found, "there already", engine, lambda connection: _upsert(connection, given))
    for label in alone:
        written += [
            Comparison(f"{kind}, beside {label}, {name}", found[kind], found[label]) for kind in ("new", "there already")
        ]
    async with engine.migrate() as connection:
        await SqlBarStore(connection).upsert(minutes(READ))
    for _ in range(ROUNDS):
        await _note(found, "bars", engine, _closed)
        await _note(found, "rows", engine, _rows)
    read.append(Comparison(name, found["bars"], found["rows"]))
    _a_year()
    keep_what_is_loaded()  # as the service does
    for _ in range(ROUNDS):
        await _note(found, "year", engine, _store, into_empty=True)
        await _note(found, "year again", engine, _store)
    seconds = ([len(_a_year()) / each / 1e3 for each in found[label]] for label in ("year", "year again"))
    stored.append(Comparison(name, *seconds))
    await engine.close()


async def _note(found: dict[str, list[float]], label: str, engine: Engine, work: Work, *, into_empty: bool = False) -> None:
    """Thousands of rows a second, to the commit."""
    if into_empty:
        async with engine.migrate() as connection:
            await connection.exec_driver_sql("TRUNCATE bars" if engine.kind == "postgresql" else "DELETE FROM bars")
    gc.collect()
    began = perf_counter()
    async with engine.migrate() as connection:
        count = await work(connection)
    found.setdefault(label, []).append(count / (perf_counter() - began) / 1e3)


def minutes(each: int) -> list[Bar]:
    """In the order of time, as they come."""
    chance = Random(7)
    found = []
    for n in range(each):
        opens = BEGINS + timedelta(minutes=n)
        for ticker in SYMBOLS:
            price, volume = Decimal(chance.randint(9_000, 11_000)) / 100, Decimal(chance.randint(1, 10_000))
            prices = price, price + 1, price - 1, price
            found.append(Bar(ticker, Interval.ONE_MINUTE, opens, opens + timedelta(minutes=1), *prices, volume, DAY, "made up"))
    return found


@cache
def _a_year() -> list[Bar]:
    """Of a stock: the trading minutes of the year before BEGINS."""
    chance, price, found = Random(7), Decimal(100), []
    hours = hours_for(calendar_for(AssetClass.STOCK, STOCK.exchange))
    begins, ends = (int(instant.timestamp()) for instant in (BEGINS - timedelta(days=367), BEGINS))
    for opens, closes in hours.expected(Interval.ONE_MINUTE, begins, ends).tolist():
        opened, price = price, max(Decimal(10), price + Decimal(chance.randint(-20, 20)) / 100)
        prices = opened, max(opened, price) + 1, min(opened, price) - 1, price
        times = datetime.fromtimestamp(opens, UTC), datetime.fromtimestamp(closes, UTC)
        volume = Decimal(chance.randint(100, 5_000))
        found.append(Bar(STOCK.ticker, Interval.ONE_MINUTE, *times, *prices, volume, times[0].date(), "made up"))
    return found


async def _store(connection: AsyncConnection) -> int:
    year = _a_year()
    await store(SqlUnitOfWork(connection, clock_generation=0), STOCK, year, (), BEGINS)
    return len(year)


async def _upsert(connection: AsyncConnection, given: Sequence[Bar]) -> int:
    await SqlBarStore(connection).upsert(given)
    return len(given)


async def _closed(connection: AsyncConnection) -> int:
    return len(await SqlBarStore(connection).closed_between(SYMBOLS, Interval.ONE_MINUTE, BEGINS, BEGINS + timedelta(days=1)))


# ── the drivers alone


def _as_the_driver_takes_it(bar: Bar, name: str) -> tuple[Any, ...]:
    values = [getattr(bar, column.key) for column in bars.c]
    if name == "PostgreSQL":
        return tuple(value.value if isinstance(value, Interval) else value for value in values)
    return tuple(_as_text(value) if not isinstance(value, bool) else value for value in values)


def _as_text(value: Any) -> str:
    match value:
        case Interval():
            return str(value.value)
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S.%f}"
        case _:
            return str(value)


async def _executemany(connection: AsyncConnection, rows: list[tuple[Any, ...]]) -> int:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.executemany(str(insert(bars).compile(dialect=connection.dialect)), rows)
    return len(rows)


async def _copy(connection: AsyncConnection, rows: list[tuple[Any, ...]]) -> int:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.copy_records_to_table("bars", records=rows, columns=[column.name for column in bars.c])
    return len(rows)


async def _copy_and_upsert(connection: AsyncConnection, given: Sequence[Bar]) -> int:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    names = [column.name for column in bars.c]
    await driver.execute("CREATE TEMPORARY TABLE copied (LIKE bars) ON COMMIT DROP")
    rows = [_as_the_driver_takes_it(bar, "PostgreSQL") for bar in given]
    await driver.copy_records_to_table("copied", records=rows, columns=names)
    changed = ", ".join(f"{name} = excluded.{name}" for name in names if name not in bars.primary_key.columns)
    await driver.execute(
        "INSERT INTO bars SELECT * FROM copied ON CONFLICT (ticker, interval, open_time) "
        f"DO UPDATE SET {changed} WHERE bars.* *<> excluded.*"
    )
    return len(rows)


async def _rows(connection: AsyncConnection) -> int:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    statement = "SELECT * FROM bars ORDER BY close_time, ticker"
    if connection.dialect.name == "postgresql":
        return len(await driver.fetch(statement))
    return len(await driver.execute_fetchall(statement))


if __name__ == "__main__":
    print_machine()
    main()
