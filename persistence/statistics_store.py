"""Which bars are held: counted a day at a time, and not again as long as no bar of the day is written.

A day that is not current is counted each time it is asked for, until it is settled: counted under a lock on its row, which
whoever writes a bar of it needs too, and kept.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Select, and_, bindparam, column, func, select, true, update, values
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import Date, LargeBinary

from domain.bars import Interval
from domain.faults import PRICE_GAPS, VALIDATED
from domain.held import DAILY, HeldDays, Numbers, Span, bits_of, day_number, day_of
from persistence.tables import bar_days, bars, symbols
from persistence.types import UtcDateTime, ticker_type

DAYS_AT_ONCE = 500
"""Counted by one statement."""
DAYS_SETTLED = 100
"""By one transaction: on SQLite nobody else writes meanwhile."""
_DAY = timedelta(days=1)
_INSTANT = UtcDateTime()


class _Day(NamedTuple):
    """A day of a symbol, as it is kept."""

    ticker: str
    day: date
    bars: int
    validated: int
    price_gaps: int
    minutes: bytes


class SqlStatisticsStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._kind = connection.dialect.name

    async def spans(self, tickers: Sequence[str], interval: Interval) -> Mapping[str, Span]:
        own = bars.alias()

        def edge(wanted: str, order: Any) -> ColumnElement[Any]:
            one = select(own.c[wanted]).where(own.c.ticker == symbols.c.ticker, own.c.interval == interval)
            return one.order_by(order).limit(1).correlate(symbols).scalar_subquery()

        newest = own.c.open_time.desc()
        edges = edge("open_time", own.c.open_time), edge("open_time", newest), edge("close_time", newest)
        rows = await self._connection.execute(select(symbols.c.ticker, *edges).where(symbols.c.ticker.in_(tickers)))
        return {row[0]: Span(*row[1:]) for row in rows if row[1] is not None}

    async def held(
        self, tickers: Sequence[str], interval: Interval, days: Collection[int] | None = None
    ) -> Mapping[str, HeldDays]:
        if interval is Interval.ONE_DAY:
            return await self._daily(tickers)
        each: defaultdict[str, list[_Day]] = defaultdict(list)
        for one in await self._days(tickers, interval, days):
            each[one.ticker].append(one)
        return {ticker: _together(those) for ticker, those in each.items()}

    async def _daily(self, tickers: Sequence[str]) -> Mapping[str, HeldDays]:
        own = bars.c
        counted = select(own.ticker, *_counts(), opening_days(own.open_time)).group_by(own.ticker)
        rows = await self._connection.execute(counted.where(own.ticker.in_(tickers), own.interval == Interval.ONE_DAY))
        return {
            row.ticker: HeldDays(row[1], row[2], row[3], dict.fromkeys(_day_numbers(row[4], self._kind), DAILY)) for row in rows
        }

    async def _days(self, tickers: Sequence[str], interval: Interval, days: Collection[int] | None) -> list[_Day]:
        own = bar_days.c
        within = own.day.in_([day_of(day) for day in days]) if days is not None else true()
        read = select(*(own[name] for name in _Day._fields), own.is_current)
        rows = (await self._connection.execute(read.where(own.interval == interval, own.ticker.in_(tickers), within))).all()
        stale = [(row.ticker, row.day) for row in rows if not row.is_current]
        return [_Day(*row[:-1]) for row in rows if row.is_current] + await self._counted(interval, stale)

    async def stale(self, interval: Interval) -> int:
        return int((await self._connection.execute(_stale(interval, func.count()))).scalar_one())

    async def settle(self, interval: Interval) -> int:
        own = bar_days.c
        # Locked first, and counted by a statement that begins when they are: it sees what was written up to the lock, and what
        # is written later waits for it, and marks the day again. A day that is being written is left to the next time.
        first = _stale(interval, own.ticker, own.day).order_by(own.ticker, own.day).limit(DAYS_SETTLED)
        rows = (await self._connection.execute(first.with_for_update(skip_locked=True))).all()
        counted = await self._counted(interval, [(row.ticker, row.day) for row in rows])
        if counted:
            key = own.ticker == bindparam("of_ticker"), own.day == bindparam("of_day"), own.interval == interval
            changed = [{f"of_{name}": value for name, value in one._asdict().items()} for one in counted]
            new: dict[str, Any] = {name: bindparam(f"of_{name}") for name in _Day._fields[2:]}
            await self._connection.execute(update(bar_days).where(*key).values(**new, is_current=True), changed)
        return len(counted)

    async def _counted(self, interval: Interval, days: Sequence[tuple[str, date]]) -> list[_Day]:
        found: list[_Day] = []
        for start in range(0, len(days), DAYS_AT_ONCE):
            rows = await self._connection.execute(_count(interval, days[start : start + DAYS_AT_ONCE], self._kind))
            found += [_Day(row[0], row[1], row[2], row[3], row[4], bits_of(_minutes(row[5], self._kind))) for row in rows]
        return found


def _together(days: Sequence[_Day]) -> HeldDays:
    return HeldDays(
        count=sum(each.bars for each in days),
        validated=sum(each.validated for each in days),
        price_gaps=sum(each.price_gaps for each in days),
        bits={day_number(each.day): each.minutes for each in days},
    )


def _stale(interval: Interval, *columns: Any) -> Select[Any]:
    return select(*columns).select_from(bar_days).where(~bar_days.c.is_current, bar_days.c.interval == interval)


def _counts() -> list[ColumnElement[int]]:
    faults = bars.c.faults
    among = (func.count().filter(faults.in_(sorted(those))) for those in (VALIDATED, PRICE_GAPS))
    return [func.count(bars.c.open_time), *among]


def _count(interval: Interval, days: Sequence[tuple[str, date]], kind: str) -> Select[Any]:
    """Also days of which all bars are gone."""
    begins = [datetime.combine(day, time(), UTC) for _, day in days]
    key = (
        values(column("ticker", ticker_type()), column("day", Date()), column("begins", _INSTANT), column("ends", _INSTANT))
        .data([(*day, midnight, midnight + _DAY) for day, midnight in zip(days, begins, strict=True)])
        .cte("key")
    )
    within = and_(bars.c.open_time >= key.c.begins, bars.c.open_time < key.c.ends)
    own = and_(bars.c.ticker == key.c.ticker, bars.c.interval == interval, within)
    counts = *_counts(), opening_minutes(bars.c.open_time)
    if kind == "sqlite":
        joined = key.outerjoin(bars, own)
        return select(key.c.ticker, key.c.day, *counts).select_from(joined).group_by(key.c.ticker, key.c.day)
    each = select(*counts).where(own).lateral()  # joined, PostgreSQL would rather read all bars than look for each day's
    return select(key.c.ticker, key.c.day, *each.c).join_from(key, each, true())


# ── many instants as one value


class opening_minutes(FunctionElement[Any]):  # noqa: N801 - reads as the SQL function that it is
    """Of the bars counted, in which minutes of their day they open."""

    type = LargeBinary()
    inherit_cache = True


class opening_days(FunctionElement[Any]):  # noqa: N801 - as above
    """Of the bars counted, on which days they open."""

    type = LargeBinary()
    inherit_cache = True


@compiles(opening_minutes, "postgresql")
def _minutes_postgresql(element: opening_minutes, compiler: Any, **options: Any) -> str:
    opens = compiler.process(element.clauses, **options)
    minute = f"(date_part('epoch', {opens})::bigint / 60 % 1440)::smallint"
    return f"string_agg(int2send({minute}), ''::bytea) FILTER (WHERE date_trunc('minute', {opens}) = {opens})"


@compiles(opening_minutes, "sqlite")
def _minutes_sqlite(element: opening_minutes, compiler: Any, **options: Any) -> str:
    opens = compiler.process(element.clauses, **options)
    return f"CAST(group_concat(substr({opens}, 12, 5), '') FILTER (WHERE substr({opens}, 18) = '00.000000') AS BLOB)"


@compiles(opening_days, "postgresql")
def _days_postgresql(element: opening_days, compiler: Any, **options: Any) -> str:
    opens = compiler.process(element.clauses, **options)
    return f"string_agg(int4send(({opens} AT TIME ZONE 'UTC')::date - date '1970-01-01'), ''::bytea)"


@compiles(opening_days, "sqlite")
def _days_sqlite(element: opening_days, compiler: Any, **options: Any) -> str:
    opens = compiler.process(element.clauses, **options)
    return f"CAST(group_concat(substr({opens}, 1, 10), '') AS BLOB)"


def _minutes(packed: bytes | None, kind: str) -> Numbers:
    if kind == "postgresql":
        return np.frombuffer(packed or b"", ">i2").astype(np.int64)
    digits = np.frombuffer(packed or b"", np.uint8).reshape(-1, 5).astype(np.int64) - ord("0")
    minutes: Numbers = digits[:, [0, 1, 3, 4]] @ np.array([600, 60, 10, 1])
    return minutes


def _day_numbers(packed: bytes, kind: str) -> list[int]:
    if kind == "postgresql":
        return list(np.frombuffer(packed, ">i4").tolist())
    return list(np.frombuffer(packed, "S10").astype("datetime64[D]").astype(np.int64).tolist())
