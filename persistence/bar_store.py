"""Bars, as their providers gave them or as the session made them, and corporate actions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, Select, Table, and_, cast, delete, extract, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.bars import ActionKind, Bar, CorporateAction, Interval
from domain.ports import BarPage, BarQuery
from persistence.bar_days import mark_removed
from persistence.columns import held, upsert, values_of
from persistence.tables import bars, corporate_actions, symbols
from persistence.types import UtcDateTime

_ticker = attrgetter("ticker")
_action_values = itemgetter(*(field.name for field in fields(CorporateAction)))
_FIRST = datetime(1, 1, 2, tzinfo=UTC)
_LAST = datetime(9999, 12, 30, tzinfo=UTC)
_ROWS_AT_ONCE = 1000
"""Enough for a column's work to be little for each; of more, Python's collector would go through them again and again."""


class SqlBars:
    """The bars of one table."""

    def __init__(self, connection: AsyncConnection, table: Table) -> None:
        self._connection = connection
        self._table = table

    async def upsert(self, given: Sequence[Bar]) -> None:
        await upsert(self._connection, self._table, given)

    async def _read(self, statement: Select[Any]) -> list[Bar]:
        columns, dialect = _columns(self._table), self._connection.dialect
        found: list[Bar] = []
        for rows in (await self._connection.execute(statement)).partitions(_ROWS_AT_ONCE):
            found.extend(map(Bar, *values_of(columns, rows, dialect)))
        return found

    async def pages(self, tickers: Sequence[str], query: BarQuery) -> Mapping[str, BarPage]:
        own, edge = self._table, self._edge(tickers, query)
        within = own.c.open_time >= edge.c.bound if query.newest else own.c.open_time <= edge.c.bound
        found = await self._read(
            _every(own)
            .join_from(edge, own, and_(own.c.ticker == edge.c.ticker, _range(own, query), within))
            .order_by(own.c.ticker, own.c.open_time)
        )
        each = {ticker: list(those) for ticker, those in groupby(found, _ticker)}
        return {ticker: _page(each.get(ticker, []), query) for ticker in tickers}

    def _edge(self, tickers: Sequence[str], query: BarQuery) -> Any:
        """For each ticker the open time of the last bar that its page (and one more) reaches, found on the index."""
        each = self._table.alias()
        order = each.c.open_time.desc() if query.newest else each.c.open_time
        bound = (
            select(each.c.open_time)
            .where(each.c.ticker == symbols.c.ticker, _range(each, query))
            .order_by(order)
            .offset(query.limit)
            .limit(1)
            .correlate(symbols)
            .scalar_subquery()
        )
        unbounded = literal(_FIRST if query.newest else _LAST, UtcDateTime())
        return (
            select(symbols.c.ticker, func.coalesce(bound, unbounded, type_=UtcDateTime()).label("bound"))
            .where(symbols.c.ticker.in_(tickers))
            .cte("edge")
        )

    async def closed_between(self, tickers: Sequence[str], interval: Interval, after: datetime, until: datetime) -> list[Bar]:
        own = self._table.c
        within = and_(own.interval == interval, own.close_time > after, own.close_time <= until)
        return await self._read(_every(self._table).where(own.ticker.in_(tickers), within).order_by(own.close_time, own.ticker))

    async def drop(self, ticker: str) -> None:
        await self._connection.execute(delete(self._table).where(self._table.c.ticker == ticker))

    async def clear(self) -> None:
        await self._connection.execute(delete(self._table))


class SqlBarStore(SqlBars):
    """Bars as their providers gave them, and corporate actions."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection, bars)

    async def around(self, ticker: str, interval: Interval, start: datetime, until: datetime, beside: int) -> list[Bar]:
        each = bars.alias().c
        far = select(each.open_time).where(each.ticker == ticker, each.interval == interval).offset(beside - 1).limit(1)
        first = far.where(each.open_time < start).order_by(each.open_time.desc()).scalar_subquery()
        last = far.where(each.open_time >= until).order_by(each.open_time).scalar_subquery()
        within = and_(
            bars.c.open_time >= func.coalesce(first, literal(_FIRST, UtcDateTime())),
            bars.c.open_time <= func.coalesce(last, literal(_LAST, UtcDateTime())),
        )
        own = and_(bars.c.ticker == ticker, bars.c.interval == interval)
        return await self._read(_every(bars).where(own, within).order_by(bars.c.open_time))

    async def remove(self, ticker: str, interval: Interval, opens: Sequence[datetime]) -> None:
        own = and_(bars.c.ticker == ticker, bars.c.interval == interval)
        await self._connection.execute(delete(bars).where(own, bars.c.open_time.in_(opens)))
        await mark_removed(self._connection, ticker, interval, opens)

    async def daily_since(self, ticker: str, start: date) -> list[Bar]:
        later = bars.c.close_time > _midnight(start)
        return await self._read(_every(bars).where(_daily(ticker), later).order_by(bars.c.open_time))

    async def daily_between(self, tickers: Sequence[str], first: date, last: date) -> list[Bar]:
        closed = bars.c.close_time
        within = and_(closed > _midnight(first), closed <= _midnight(last) + timedelta(days=1))
        return await self._read(_every(bars).where(bars.c.ticker.in_(tickers), bars.c.interval == Interval.ONE_DAY, within))

    async def newest_daily(self, ticker: str) -> Bar | None:
        found = await self._read(_every(bars).where(_daily(ticker)).order_by(bars.c.open_time.desc()).limit(1))
        return found[0] if found else None

    async def newest_final(self, tickers: Sequence[str]) -> Mapping[str, Bar]:
        each = bars.alias()
        newest = (
            select(each.c.open_time)
            .where(each.c.ticker == symbols.c.ticker, each.c.interval == Interval.ONE_DAY, each.c.is_final)
            .order_by(each.c.open_time.desc())
            .limit(1)
            .correlate(symbols)
            .scalar_subquery()
        )
        same = and_(bars.c.ticker == symbols.c.ticker, bars.c.interval == Interval.ONE_DAY, bars.c.open_time == newest)
        found = await self._read(_every(bars).join_from(symbols, bars, same).where(symbols.c.ticker.in_(tickers)))
        return {bar.ticker: bar for bar in found}

    async def opens_between(self, ticker: str, interval: Interval, start: int, until: int) -> list[int]:
        opens = bars.c.open_time
        within = and_(opens >= datetime.fromtimestamp(start, UTC), opens < datetime.fromtimestamp(until, UTC))
        statement = select(_epoch(opens)).where(_of(ticker, interval), within).order_by(opens)
        return list(await self._connection.scalars(statement))

    async def first_open(self, ticker: str, interval: Interval) -> int | None:
        statement = select(_epoch(func.min(bars.c.open_time))).where(_of(ticker, interval))
        return (await self._connection.execute(statement)).scalar_one()

    async def upsert_actions(self, given: Sequence[CorporateAction]) -> None:
        await upsert(self._connection, corporate_actions, given)

    async def actions(self, tickers: Sequence[str]) -> Mapping[str, list[CorporateAction]]:
        rows = await self._connection.execute(
            select(corporate_actions).where(corporate_actions.c.ticker.in_(tickers)).order_by(corporate_actions.c.ex_date)
        )
        found: defaultdict[str, list[CorporateAction]] = defaultdict(list)
        for row in rows:
            found[row.ticker].append(CorporateAction(*_action_values(row._mapping)))
        return found

    async def split_since_refreshed(self, today: date) -> list[str]:
        took_effect = and_(
            corporate_actions.c.kind == ActionKind.SPLIT,
            corporate_actions.c.ex_date > func.date(symbols.c.last_updated),
            corporate_actions.c.ex_date <= today,
        )
        rows = await self._connection.scalars(
            select(symbols.c.ticker)
            .join(corporate_actions, corporate_actions.c.ticker == symbols.c.ticker)
            .where(took_effect)
            .distinct()
        )
        return list(rows)


@cache
def _columns(table: Table) -> list[Column[Any]]:
    """In the order of a bar's fields."""
    return [table.c[field.name] for field in fields(Bar)]


@cache
def _every(table: Table) -> Select[Any]:
    return select(*held(_columns(table)))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _daily(ticker: str) -> ColumnElement[bool]:
    return _of(ticker, Interval.ONE_DAY)


def _of(ticker: str, interval: Interval) -> ColumnElement[bool]:
    return and_(bars.c.ticker == ticker, bars.c.interval == interval)


def _epoch(instant: ColumnElement[datetime]) -> ColumnElement[int]:
    """In whole seconds: a driver makes these many times faster than instants."""
    return cast(extract("epoch", instant), BigInteger)


def _range(table: Any, query: BarQuery) -> ColumnElement[bool]:
    conditions = [table.c.interval == query.interval, table.c.close_time <= query.until]
    if query.start is not None:
        conditions.append(table.c.open_time >= query.start)
    if query.end is not None:
        conditions.append(table.c.open_time < query.end)
    if query.after is not None:
        conditions.append(table.c.open_time > query.after)
    if query.before is not None:
        conditions.append(table.c.open_time < query.before)
    return and_(*conditions)


def _page(found: list[Bar], query: BarQuery) -> BarPage:
    kept = found[-query.limit :] if query.newest else found[: query.limit]
    return BarPage(kept, len(found) > query.limit)
