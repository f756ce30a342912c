"""Symbols and their levels."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import SymbolNotFound, VersionConflict
from domain.levels import PriceLevel
from domain.staleness import AttemptOutcome
from domain.symbols import Symbol, SymbolStatus
from domain.tickers import AssetClass
from persistence.tables import price_levels, symbols

# One itemgetter on a row's mapping: its attributes one by one take more than twice as long.
_symbol_values = itemgetter(*(field.name for field in fields(Symbol)))
_level_values = itemgetter(*(field.name for field in fields(PriceLevel)))


def symbol_of(row: Row[Any]) -> Symbol:
    return Symbol(*_symbol_values(row._mapping))


class SqlSymbolStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, ticker: str) -> Symbol | None:
        row = (await self._connection.execute(select(symbols).where(symbols.c.ticker == ticker))).one_or_none()
        return symbol_of(row) if row is not None else None

    async def lock(self, ticker: str) -> Symbol | None:
        statement = select(symbols).where(symbols.c.ticker == ticker).with_for_update()
        row = (await self._connection.execute(statement)).one_or_none()
        return symbol_of(row) if row is not None else None

    async def all(self) -> list[Symbol]:
        return [symbol_of(row) for row in await self._connection.execute(select(symbols))]

    async def several(self, tickers: Sequence[str]) -> Mapping[str, Symbol]:
        rows = await self._connection.execute(select(symbols).where(symbols.c.ticker.in_(tickers)))
        return {row.ticker: symbol_of(row) for row in rows}

    async def statuses(self, tickers: Sequence[str]) -> Mapping[str, SymbolStatus]:
        rows = await self._connection.execute(select(symbols.c.ticker, symbols.c.status).where(symbols.c.ticker.in_(tickers)))
        return {row.ticker: row.status for row in rows}

    async def currencies(self, tickers: Sequence[str]) -> Mapping[str, str]:
        rows = await self._connection.execute(select(symbols.c.ticker, symbols.c.currency).where(symbols.c.ticker.in_(tickers)))
        return {row.ticker: row.currency for row in rows}

    async def listings(self) -> set[tuple[AssetClass, str | None]]:
        rows = await self._connection.execute(select(symbols.c.asset_class, symbols.c.exchange).distinct())
        return {(row.asset_class, row.exchange) for row in rows}

    async def add(self, symbol: Symbol) -> bool:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(symbols).values(asdict(symbol)).on_conflict_do_nothing(index_elements=["ticker"])
        return (await self._connection.execute(statement)).rowcount == 1

    async def save(self, symbol: Symbol, expected_version: int) -> None:
        swapped = await self._connection.execute(
            update(symbols)
            .where(symbols.c.ticker == symbol.ticker, symbols.c.version == expected_version)
            .values(asdict(symbol))
        )
        if swapped.rowcount != 1:
            raise await self._conflict(symbol.ticker, expected_version)

    async def _conflict(self, ticker: str, expected_version: int) -> Exception:
        current = await self._connection.scalar(select(symbols.c.version).where(symbols.c.ticker == ticker))
        return SymbolNotFound(ticker) if current is None else VersionConflict(ticker, expected_version, current)

    async def note_attempt(self, ticker: str, at: datetime, outcome: AttemptOutcome) -> None:
        await self._connection.execute(
            update(symbols).where(symbols.c.ticker == ticker).values(last_attempt_at=at, last_outcome=outcome)
        )

    async def replace_levels(self, ticker: str, levels: Sequence[PriceLevel]) -> None:
        await self._connection.execute(delete(price_levels).where(price_levels.c.ticker == ticker))
        if levels:
            strongest = sorted(levels, key=lambda level: (-level.strength, level.price))
            rows = [{"ticker": ticker, "place": place, **asdict(level)} for place, level in enumerate(strongest)]
            await self._connection.execute(insert(price_levels), rows)

    async def levels(self, tickers: Sequence[str]) -> Mapping[str, list[PriceLevel]]:
        rows = await self._connection.execute(
            select(price_levels).where(price_levels.c.ticker.in_(tickers)).order_by(price_levels.c.place)
        )
        found: defaultdict[str, list[PriceLevel]] = defaultdict(list)
        for row in rows:
            found[row.ticker].append(PriceLevel(*_level_values(row._mapping)))
        return found
