"""What can be asked."""

from typing import Any

import strawberry

from domain.errors import InvalidTicker
from domain.ports import SymbolQuery
from domain.tickers import normalise
from graph.context import Info, Reading
from graph.paging import read_cursor
from graph.scalars import given, optional
from graph.types.enums import AssetClass, SymbolStatus
from graph.types.node import Node, read_global_id
from graph.types.onboarding import OnboardingJob, OnboardingQueue, SymbolReadiness
from graph.types.portfolio import Portfolio
from graph.types.service import Service
from graph.types.session import THE_ONE, TradingSession
from graph.types.symbol import Symbol, SymbolConnection, SymbolMatch

UNSET: Any = strawberry.UNSET


@strawberry.input
class SymbolFilter:
    tickers: list[str] | None = UNSET
    asset_class: AssetClass | None = UNSET
    status: SymbolStatus | None = UNSET
    is_stale: bool | None = UNSET

    def to_domain(self, reading: Reading) -> SymbolQuery:
        tickers = optional(self.tickers)
        return SymbolQuery(
            tickers=[normalise(ticker) for ticker in tickers] if tickers is not None else None,
            asset_class=optional(self.asset_class),
            status=optional(self.status),
            is_stale=optional(self.is_stale),
            updated_before=reading.now - reading.symbols.threshold,
        )


@strawberry.type
class Query:
    @strawberry.field(
        description="Every tracked symbol that is not retired, by ticker; RETIRED ones only with `status: RETIRED`."
    )
    async def symbols(
        self, info: Info, filter: SymbolFilter | None = UNSET, first: int | None = 100, after: str | None = UNSET
    ) -> SymbolConnection:
        reading = info.context.reading
        query = given(filter, SymbolFilter()).to_domain(reading)
        cursor = optional(after)
        beyond = read_cursor("after", cursor, normalise) if cursor is not None else None
        page = await reading.symbols.page(query, given(first, 100), beyond)
        return SymbolConnection.from_domain(page, reading, cursor)

    @strawberry.field(
        description=(
            "Null when it was never tracked; a RETIRED one is returned. Any spelling that normalises to the ticker is "
            "accepted: ` brk.b `, `eurusd`, `btcusd`."
        )
    )
    async def symbol(self, info: Info, ticker: str) -> Symbol | None:
        return await _symbol(info.context.reading, ticker)

    @strawberry.field(description="What the provider has by that ticker or name, best match first.")
    async def search_symbols(self, info: Info, text: str, first: int | None = 10) -> list[SymbolMatch]:
        found = await info.context.reading.symbols.search(text, given(first, 10))
        return [SymbolMatch.from_domain(profile, is_tracked) for profile, is_tracked in found]

    @strawberry.field(description="By name.")
    async def portfolios(self, info: Info, first: int | None = 50) -> list[Portfolio]:
        found = await info.context.services.portfolios.listed(given(first, 50))
        return [Portfolio.from_domain(portfolio, info.context.reading) for portfolio in found]

    @strawberry.field(description="Null for an id that names no portfolio.")
    async def portfolio(self, info: Info, id: strawberry.ID) -> Portfolio | None:
        kind, key = read_global_id(id) or ("", "")
        return await _portfolio(info, key) if kind == "Portfolio" else None

    @strawberry.field
    async def symbol_readiness(self, info: Info, ticker: str) -> SymbolReadiness:
        return SymbolReadiness.from_domain(await info.context.services.onboarding.readiness(_spelled(ticker)))

    @strawberry.field
    async def onboarding(self, info: Info) -> OnboardingQueue:
        return await OnboardingQueue.read(info.context.services.onboarding)

    @strawberry.field(description="Null for an id that names no job; ended ones are kept for 30 days.")
    async def onboarding_job(self, info: Info, id: strawberry.ID) -> OnboardingJob | None:
        kind, key = read_global_id(id) or ("", "")
        return await _job(info, key) if kind == "OnboardingJob" else None

    @strawberry.field(description="As it is now, whichever process leads it.")
    async def session(self, info: Info) -> TradingSession:
        return await _session(info)

    @strawberry.field
    async def service(self, info: Info) -> Service:
        return Service.read(info)

    @strawberry.field(description="Null for an id that names nothing.")
    async def node(self, info: Info, id: strawberry.ID) -> Node | None:
        kind, key = read_global_id(id) or ("", "")
        if kind == "OnboardingJob":
            return await _job(info, key)
        if kind == "Portfolio":
            return await _portfolio(info, key)
        if kind == "TradingSession":
            return await _session(info) if key == THE_ONE else None
        return await _symbol(info.context.reading, key) if kind == "Symbol" else None


async def _symbol(reading: Reading, text: str) -> Symbol | None:
    try:
        found = await reading.symbols.get(normalise(text))
    except InvalidTicker:
        return None
    return Symbol.from_domain(found, reading) if found is not None else None


async def _job(info: Info, key: str) -> OnboardingJob | None:
    found = await info.context.services.onboarding.job(key)
    return OnboardingJob.from_domain(found) if found is not None else None


def _spelled(text: str) -> str:
    """The ticker that the text spells; what spells none is answered as it was given."""
    try:
        return normalise(text)
    except InvalidTicker:
        return text


async def _portfolio(info: Info, key: str) -> Portfolio | None:
    found = await info.context.services.portfolios.get(key)
    return Portfolio.from_domain(found, info.context.reading) if found is not None else None


async def _session(info: Info) -> TradingSession:
    return TradingSession.from_domain(await info.context.services.sessions.current())
