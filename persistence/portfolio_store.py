"""Portfolios, their lots and their snapshots."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.onboarding import ACTIVE
from domain.portfolio import Holding, Portfolio, Snapshot
from domain.symbols import Symbol
from persistence.symbol_store import symbol_of
from persistence.tables import onboarding_jobs as jobs
from persistence.tables import onboarding_waiting as waiting
from persistence.tables import portfolio_snapshots as snapshots
from persistence.tables import portfolios, positions, symbols

_PRICES_LOCK = 0x50524943  # "PRIC"

_holding_fields = [field.name for field in fields(Holding)]
_holding_values = itemgetter(*_holding_fields)
_own_fields = [field.name for field in fields(Portfolio) if field.name != "snapshot"]
_own_values = itemgetter(*_own_fields)
_snapshot_columns = [snapshots.c[field.name].label(f"snapshot_{field.name}") for field in fields(Snapshot)]
_snapshot_values = itemgetter(*(column.name for column in _snapshot_columns))
_is_open = positions.c.exit_date.is_(None)


class SqlPortfolioStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._is_shared = connection.dialect.name == "postgresql"  # SQLite has one writer anyway

    async def keep_prices_out(self) -> None:
        # Locked symbols would not do: one that is not there yet can come and be priced while its lots are not to be seen.
        if self._is_shared:
            await self._connection.execute(select(func.pg_advisory_xact_lock(_PRICES_LOCK)))

    # ── reading

    async def listed(self, first: int) -> list[Portfolio]:
        rows = await self._connection.execute(_selected().order_by(portfolios.c.name).limit(first))
        return [_portfolio(row) for row in rows]

    async def get(self, portfolio_id: str) -> Portfolio | None:
        return await self._one(_selected().where(portfolios.c.id == portfolio_id))

    async def named(self, name: str) -> Portfolio | None:
        return await self._one(_selected().where(portfolios.c.name == name))

    async def lock(self, portfolio_id: str) -> Portfolio | None:
        await self._connection.execute(select(portfolios.c.id).where(portfolios.c.id == portfolio_id).with_for_update())
        return await self.get(portfolio_id)

    async def lock_holders(self, ticker: str) -> list[Portfolio]:
        if self._is_shared:
            await self._connection.execute(select(func.pg_advisory_xact_lock_shared(_PRICES_LOCK)))
        holders = select(positions.c.portfolio_id).where(positions.c.ticker == ticker, _is_open)
        locked = select(portfolios.c.id).where(portfolios.c.id.in_(holders)).order_by(portfolios.c.id).with_for_update()
        ids = (await self._connection.scalars(locked)).all()
        if not ids:
            return []
        # Read again: what another revaluation committed before the lock was ours is there only now.
        rows = await self._connection.execute(_selected().where(portfolios.c.id.in_(ids)).order_by(portfolios.c.id))
        return [_portfolio(row) for row in rows]

    async def _one(self, statement: Select[Any]) -> Portfolio | None:
        row = (await self._connection.execute(statement)).one_or_none()
        return _portfolio(row) if row is not None else None

    async def holdings(self, portfolio_ids: Sequence[str]) -> Mapping[str, list[Holding]]:
        rows = await self._connection.execute(
            select(positions)
            .where(positions.c.portfolio_id.in_(portfolio_ids))
            .order_by(positions.c.portfolio_id, positions.c.place)
        )
        found: defaultdict[str, list[Holding]] = defaultdict(list)
        for row in rows:
            found[row.portfolio_id].append(Holding(*_holding_values(row._mapping)))
        return found

    async def pending(self, portfolio_ids: Sequence[str]) -> Mapping[str, list[str]]:
        is_active = select(jobs.c.id).where(jobs.c.ticker == positions.c.ticker, jobs.c.status.in_(ACTIVE)).exists()
        is_waiting = select(waiting.c.ticker).where(waiting.c.ticker == positions.c.ticker).exists()
        rows = await self._connection.execute(
            select(positions.c.portfolio_id, positions.c.ticker)
            .where(positions.c.portfolio_id.in_(portfolio_ids), or_(is_active, is_waiting))
            .group_by(positions.c.portfolio_id, positions.c.ticker)
            .order_by(func.min(positions.c.place))
        )
        found: defaultdict[str, list[str]] = defaultdict(list)
        for row in rows:
            found[row.portfolio_id].append(row.ticker)
        return found

    async def counted(self, portfolio_ids: Sequence[str]) -> Mapping[str, list[Symbol]]:
        rows = await self._connection.execute(
            select(positions.c.portfolio_id, *symbols.c)
            .join(snapshots, snapshots.c.portfolio_id == positions.c.portfolio_id)
            .join(symbols, symbols.c.ticker == positions.c.ticker)
            .where(positions.c.portfolio_id.in_(portfolio_ids), _is_counted())
            .distinct()
        )
        found: defaultdict[str, list[Symbol]] = defaultdict(list)
        for row in rows:
            found[row.portfolio_id].append(symbol_of(row))
        return found

    # ── writing

    async def put(self, portfolio: Portfolio, holdings: Sequence[Holding]) -> None:
        known = await self._connection.execute(_updated(portfolio))
        if not known.rowcount:
            await self._connection.execute(insert(portfolios).values(_own(portfolio)))
        await self._connection.execute(delete(positions).where(positions.c.portfolio_id == portfolio.id))
        rows = [{"portfolio_id": portfolio.id, **_row(holding)} for holding in holdings]
        await self._connection.execute(insert(positions), rows)
        await self._put_snapshots([portfolio])

    async def revalue(self, changed: Sequence[tuple[Portfolio, Sequence[Holding]]]) -> None:
        rows = [
            {"of_portfolio": portfolio.id, "at_place": holding.place, **_row(holding)}
            for portfolio, holdings in changed
            for holding in holdings
        ]
        if not rows:
            return
        same = and_(positions.c.portfolio_id == bindparam("of_portfolio"), positions.c.place == bindparam("at_place"))
        await self._connection.execute(update(positions).where(same), rows)
        for portfolio, _ in changed:
            await self._connection.execute(_updated(portfolio))
        await self._put_snapshots([portfolio for portfolio, _ in changed])

    async def _put_snapshots(self, given: Sequence[Portfolio]) -> None:
        ids = [portfolio.id for portfolio in given]
        await self._connection.execute(delete(snapshots).where(snapshots.c.portfolio_id.in_(ids)))
        rows = [{"portfolio_id": each.id, **asdict(each.snapshot)} for each in given if each.snapshot is not None]
        if rows:
            await self._connection.execute(insert(snapshots), rows)

    async def delete(self, portfolio_id: str) -> None:
        for table in (snapshots, positions):
            await self._connection.execute(delete(table).where(table.c.portfolio_id == portfolio_id))
        await self._connection.execute(delete(portfolios).where(portfolios.c.id == portfolio_id))


def _selected() -> Select[Any]:
    """The portfolios, each with its snapshot if there is one."""
    return select(portfolios, *_snapshot_columns).join_from(
        portfolios, snapshots, snapshots.c.portfolio_id == portfolios.c.id, isouter=True
    )


def _is_counted() -> ColumnElement[bool]:
    return and_(_is_open, positions.c.last_price.is_not(None), positions.c.currency == snapshots.c.currency)


def _updated(portfolio: Portfolio) -> Any:
    return update(portfolios).where(portfolios.c.id == portfolio.id).values(_own(portfolio))


def _portfolio(row: Row[Any]) -> Portfolio:
    values = _snapshot_values(row._mapping)
    snapshot = Snapshot(*values) if values[0] is not None else None
    return Portfolio(**dict(zip(_own_fields, _own_values(row._mapping), strict=True)), snapshot=snapshot)


def _own(portfolio: Portfolio) -> dict[str, Any]:
    return {name: getattr(portfolio, name) for name in _own_fields}


def _row(holding: Holding) -> dict[str, Any]:
    return {name: getattr(holding, name) for name in _holding_fields}
