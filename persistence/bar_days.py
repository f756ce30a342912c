"""Which days of bars shorter than a day must be counted again: those of bars that were written, in the very statement that
writes them on PostgreSQL, in the same transaction on SQLite. What changes no bar marks nothing."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Insert, String, cast, func, literal_column, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.bars import Interval
from persistence.tables import bar_days, bars

_NOTHING = {"bars": "0", "validated": "0", "price_gaps": "0", "minutes": "''::bytea", "is_current": "false"}
_MARK = (
    "INSERT INTO bar_days (ticker, interval, day, bars, validated, price_gaps, minutes, is_current) "
    "VALUES (?, ?, ?, 0, 0, 0, x'', 0) ON CONFLICT DO UPDATE SET is_current = 0 WHERE is_current"
)


def marking(upsert: postgresql.Insert) -> Insert:
    """The same, and the days of what it writes are current no more. In their order, so that no two wait for each other."""
    written = upsert.returning(bars.c.ticker, bars.c.interval, bars.c.open_time).cte("written")
    day = cast(func.timezone(literal_column("'UTC'"), written.c.open_time), bar_days.c.day.type)
    key = written.c.ticker, written.c.interval, day
    those = (
        select(*key, *(literal_column(value) for value in _NOTHING.values()))
        .where(cast(written.c.interval, String) != literal_column(f"'{Interval.ONE_DAY.value}'"))
        .distinct()
        .order_by(*key)
    )
    insert = postgresql.insert(bar_days).from_select(["ticker", "interval", "day", *_NOTHING], those).add_cte(written)
    return insert.on_conflict_do_update(
        index_elements=list(bar_days.primary_key), set_={"is_current": literal_column("false")}, where=bar_days.c.is_current
    )


async def mark(connection: AsyncConnection, tickers: Sequence[str], intervals: Sequence[str], opens: Sequence[str]) -> None:
    """For SQLite: the days of these bars, as they are written there."""
    day_of = {instant: instant[:10] for instant in set(opens)}
    days = set(zip(tickers, intervals, map(day_of.__getitem__, opens), strict=True))
    shorter = sorted(day for day in days if day[1] != Interval.ONE_DAY.value)
    if shorter:
        await connection.exec_driver_sql(_MARK, shorter)


async def mark_removed(connection: AsyncConnection, ticker: str, interval: Interval, opens: Sequence[datetime]) -> None:
    """The days of bars that were removed. Also those that are not current: they may be being settled, which has to be waited
    for."""
    own = bar_days.c.ticker == ticker, bar_days.c.interval == interval, bar_days.c.day.in_({each.date() for each in opens})
    await connection.execute(update(bar_days).where(*own).values(is_current=False))
