"""The betas of symbols."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from operator import itemgetter

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.factors import Exposure, Factor
from persistence.tables import factor_exposures

_values = itemgetter(*(field.name for field in fields(Exposure)))
_ORDER = {factor: place for place, factor in enumerate(Factor)}


class SqlExposureStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def replace(self, ticker: str, exposures: Sequence[Exposure]) -> None:
        await self._connection.execute(delete(factor_exposures).where(factor_exposures.c.ticker == ticker))
        if exposures:
            await self._connection.execute(
                insert(factor_exposures), [{"ticker": ticker, **asdict(exposure)} for exposure in exposures]
            )

    async def of(self, tickers: Sequence[str]) -> Mapping[str, list[Exposure]]:
        rows = await self._connection.execute(select(factor_exposures).where(factor_exposures.c.ticker.in_(tickers)))
        found: defaultdict[str, list[Exposure]] = defaultdict(list)
        for row in rows:
            found[row.ticker].append(Exposure(*_values(row._mapping)))
        return {ticker: sorted(measured, key=lambda exposure: _ORDER[exposure.factor]) for ticker, measured in found.items()}
