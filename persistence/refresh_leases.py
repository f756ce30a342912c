"""Leases of refreshes: one a symbol, on the database's own time, lost by whoever dies."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import RefreshInFlight
from persistence.tables import refresh_leases
from persistence.types import real_time

LEASE_SECONDS = 20
"""Longer than a refresh can take (8 s for the provider, then one short transaction); with the sweep a dead process's lease is
ended within 30 s."""

_alive = refresh_leases.c.expires_at > real_time()


class SqlRefreshLeases:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def take(self, refresh: RefreshInFlight, token: str) -> RefreshInFlight | None:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        claim = dialect.insert(refresh_leases).on_conflict_do_nothing(index_elements=["ticker"])
        mine = {
            "ticker": refresh.ticker,
            "token": token,
            "started_at": refresh.started_at,
            "started_by": refresh.started_by,
            "expires_at": real_time(LEASE_SECONDS),
        }
        held = select(refresh_leases).where(refresh_leases.c.ticker == refresh.ticker)
        while (await self._connection.execute(claim.values(mine))).rowcount == 0:
            row = (await self._connection.execute(held)).one_or_none()
            if row is not None:
                return _refresh(row)
        return None

    async def hold(self, ticker: str, token: str) -> bool:
        statement = update(refresh_leases).where(_is_of(ticker, token)).values(token=token)
        return (await self._connection.execute(statement)).rowcount == 1

    async def release(self, ticker: str, token: str) -> bool:
        statement = delete(refresh_leases).where(_is_of(ticker, token))
        return (await self._connection.execute(statement)).rowcount == 1

    async def end_lapsed(self, ticker: str | None = None) -> list[RefreshInFlight]:
        statement = delete(refresh_leases).where(~_alive).returning(refresh_leases)
        if ticker is not None:
            statement = statement.where(refresh_leases.c.ticker == ticker)
        return [_refresh(row) for row in await self._connection.execute(statement)]

    async def in_flight(self, tickers: Sequence[str]) -> Mapping[str, RefreshInFlight]:
        statement = select(refresh_leases).where(refresh_leases.c.ticker.in_(tickers), _alive)
        return {row.ticker: _refresh(row) for row in await self._connection.execute(statement)}


def _is_of(ticker: str, token: str) -> ColumnElement[bool]:
    return and_(refresh_leases.c.ticker == ticker, refresh_leases.c.token == token)


def _refresh(row: Row[Any]) -> RefreshInFlight:
    return RefreshInFlight(row.ticker, row.started_at, row.started_by)
