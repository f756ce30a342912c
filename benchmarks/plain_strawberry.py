"""The alternative: the same data through Strawberry as it comes, with its own scalars, encoder and endpoint, and none of its
optional caches. Its Symbol has the fields that are asked for and no others."""

from datetime import datetime
from decimal import Decimal

import strawberry
from strawberry.asgi import GraphQL

from domain import symbols as domain
from domain.ports import SymbolQuery
from domain.staleness import Freshness
from graph.context import Services
from graph.types.enums import AssetClass


@strawberry.type
class Symbol:
    ticker: str
    name: str | None
    asset_class: AssetClass
    version: int
    last_updated: datetime | None
    last_price: Decimal | None
    is_stale: bool
    hours_since_update: float | None

    @classmethod
    def from_domain(cls, symbol: domain.Symbol, freshness: Freshness) -> "Symbol":
        return cls(
            ticker=symbol.ticker,
            name=symbol.name,
            asset_class=symbol.asset_class,
            version=symbol.version,
            last_updated=symbol.last_updated,
            last_price=symbol.last_price,
            is_stale=freshness.is_stale,
            hours_since_update=freshness.hours_since_update,
        )


@strawberry.type
class SymbolConnection:
    nodes: list[Symbol]


def create_app(services: Services) -> GraphQL[None, None]:
    tracked, clock = services.symbols, services.clock

    @strawberry.type
    class Query:
        @strawberry.field
        async def symbols(self, first: int) -> SymbolConnection:
            page, now = await tracked.page(SymbolQuery(), first, None), clock.now()
            return SymbolConnection(nodes=[Symbol.from_domain(each, tracked.freshness(each, now)) for each in page.symbols])

        @strawberry.field
        async def symbol(self, ticker: str) -> Symbol | None:
            found = await tracked.get(ticker)
            return Symbol.from_domain(found, tracked.freshness(found, clock.now())) if found is not None else None

    return GraphQL(strawberry.Schema(Query))
