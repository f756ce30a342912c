"""A page of symbols as the database finds it: what the catalogue is measured against."""

from typing import Any

from sqlalchemy import ColumnElement, and_, func, not_, or_, select

from domain.events import Position
from domain.ports import SymbolPage, SymbolQuery
from domain.symbols import SymbolStatus
from persistence.engine import Engine
from persistence.symbol_store import symbol_of
from persistence.tables import event_log, symbols


async def page_by_sql(engine: Engine, query: SymbolQuery, first: int, after: str | None) -> SymbolPage:
    wanted = _condition(query)
    total = select(func.count()).select_from(symbols).where(wanted).scalar_subquery()
    beyond = symbols.c.ticker > (after or "")
    async with engine.read() as connection:
        log: Any = (await connection.execute(select(event_log, total.label("total")))).one()
        rows = await connection.execute(select(symbols).where(wanted, beyond).order_by(symbols.c.ticker).limit(first + 1))
        found = [symbol_of(row) for row in rows]
    return SymbolPage(found[:first], len(found) > first, log.total, Position(log.log_id, log.last_number))


def _condition(query: SymbolQuery) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = []
    if query.tickers is not None:
        conditions.append(symbols.c.ticker.in_(query.tickers))
    if query.asset_class is not None:
        conditions.append(symbols.c.asset_class == query.asset_class)
    if query.status is not None:
        conditions.append(symbols.c.status == query.status)
    else:
        conditions.append(symbols.c.status != SymbolStatus.RETIRED)
    if query.is_stale is not None:
        stale = or_(symbols.c.last_updated.is_(None), symbols.c.last_updated < query.updated_before)
        conditions.append(stale if query.is_stale else not_(stale))
    return and_(*conditions)
