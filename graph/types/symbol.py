"""The symbol, with its freshness on every read."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import strawberry

from domain import backfill as domain_backfill
from domain import levels as domain_levels
from domain import symbols as domain
from domain.errors import RefreshInFlight
from domain.events import Position
from domain.ports import SymbolPage
from domain.tickers import pair_of
from graph.context import Reading
from graph.paging import PageInfo, write_cursor
from graph.scalars import given, optional
from graph.types.bar import BarConnection, BarRevision, bar_query
from graph.types.enums import AssetClass, BackfillStatus, Direction, Interval, LevelKind, StalenessReason, SymbolStatus
from graph.types.factor import FactorExposure
from graph.types.node import Node, global_id
from graph.types.statistics import SymbolStats

UNSET: Any = strawberry.UNSET


@strawberry.type
class PriceLevel:
    kind: LevelKind
    price: Decimal
    price_upper: Decimal | None = strawberry.field(description="Upper edge when the level is a zone.")
    strength: float = strawberry.field(description="0 (weak) to 1 (strong).")
    touches: int
    last_touched_at: datetime

    @classmethod
    def from_domain(cls, level: domain_levels.PriceLevel) -> "PriceLevel":
        return cls(
            kind=level.kind,
            price=level.price,
            price_upper=level.price_upper,
            strength=level.strength,
            touches=level.touches,
            last_touched_at=level.last_touched_at,
        )


@strawberry.type(description="startedBy: api, cli, schedule or onboarding.")
class RefreshJob:
    ticker: str
    started_at: datetime
    started_by: str | None

    @classmethod
    def from_domain(cls, refresh: RefreshInFlight) -> "RefreshJob":
        return cls(ticker=refresh.ticker, started_at=refresh.started_at, started_by=refresh.started_by)


@strawberry.type(
    description=(
        "How a symbol's backfill stands; PENDING with nulls where there never was one. Only success moves lastSuccessAt. "
        "recordsInserted counts the bars that were new."
    )
)
class BackfillState:
    status: BackfillStatus
    error: str | None
    last_attempt_at: datetime | None
    last_success_at: datetime | None
    records_inserted: int | None

    @classmethod
    def from_domain(cls, job: domain_backfill.Backfill) -> "BackfillState":
        return cls(
            status=job.status,
            error=job.error,
            last_attempt_at=job.last_attempt_at,
            last_success_at=job.last_success_at,
            records_inserted=job.records_inserted,
        )


@strawberry.type
class Symbol(Node):
    ticker: str = strawberry.field(description="Canonical name: AAPL, BRK-B, BTC-USD, EUR/USD.")
    name: str | None
    asset_class: AssetClass
    exchange: str | None = strawberry.field(description="ISO 10383 MIC of the listing (XNAS); null for crypto and forex.")
    currency: str = strawberry.field(description="ISO 4217 or crypto code of the prices, major unit.")
    base_currency: str | None = strawberry.field(
        description="Base and quote of a pair (EUR/USD: EUR, USD); null for listed instruments."
    )
    quote_currency: str | None
    status: SymbolStatus
    direction: Direction
    version: int = strawberry.field(
        description=(
            "Optimistic-lock version; +1 on add, revive, remove, refresh, change of class, name or status, split, end of "
            "onboarding or backfill. Not when a session stores bars."
        )
    )
    last_updated: datetime | None = strawberry.field(
        description=(
            "Instant of the last successful refresh: by hand, at the end of onboarding, or by the schedule. Never moved by a "
            "failure, nor by a backfill of older days."
        )
    )
    as_of: datetime | None = strawberry.field(
        description=(
            "Close time of the newest bar held; of a bar not yet over, the provider's own time of it. Never later than the "
            "clock."
        )
    )
    is_stale: bool = strawberry.field(
        description=(
            "True when more than the threshold (48 h by default, SYMBOL_STALENESS_HOURS) has passed since lastUpdated, or it "
            "never was. Exactly at the threshold is fresh."
        )
    )
    hours_since_update: float | None = strawberry.field(
        description="Hours since lastUpdated, rounded to 0.1, half up; null when never updated; never negative."
    )
    staleness_message: str | None = strawberry.field(
        description=(
            "`Never updated`, `Data is 72h old - may be outdated` (nearest whole hour, half up), from 168 h `Data is 7 days "
            "old - may be outdated` (whole days, rounded down); null when fresh."
        )
    )
    staleness_reason: StalenessReason = strawberry.field(
        description=(
            "NEVER_UPDATED; else CLOCK_SKEW when lastUpdated is 60 s or more ahead; else PROVIDER_EMPTY when, at lastUpdated, "
            "two or more trading days after asOf had already closed (also while isStale is false); else FRESH when not stale; "
            "else what the last attempt met (PROVIDER_RATE_LIMITED, PROVIDER_DOWN, PROVIDER_EMPTY); else MARKET_CLOSED when "
            "missedSessions is 0; else OVERDUE."
        )
    )
    fresh_until: datetime | None = strawberry.field(
        description=(
            "The next instant at which any of these freshness fields can change by the passing of time alone; null when none "
            "will."
        )
    )
    missed_sessions: int | None = strawberry.field(
        description="Trading days that have closed on the symbol's own calendar since asOf; null when never updated."
    )
    level_count: int
    last_price: Decimal | None = strawberry.field(description="Close of the newest final daily bar.")
    reading: strawberry.Private[Reading]

    @classmethod
    def from_domain(cls, symbol: domain.Symbol, reading: Reading) -> "Symbol":
        freshness = reading.symbols.freshness(symbol, reading.now)
        base, quote = pair_of(symbol.ticker) or (None, None)
        return cls(
            id=global_id("Symbol", symbol.ticker),
            ticker=symbol.ticker,
            name=symbol.name,
            asset_class=symbol.asset_class,
            exchange=symbol.exchange,
            currency=symbol.currency,
            base_currency=base,
            quote_currency=quote,
            status=symbol.status,
            direction=symbol.direction,
            version=symbol.version,
            last_updated=symbol.last_updated,
            as_of=symbol.as_of,
            is_stale=freshness.is_stale,
            hours_since_update=freshness.hours_since_update,
            staleness_message=freshness.message,
            staleness_reason=freshness.reason,
            fresh_until=freshness.fresh_until,
            missed_sessions=freshness.missed_sessions,
            level_count=symbol.level_count,
            last_price=symbol.last_price,
            reading=reading,
        )

    @strawberry.field(description="Strongest first.")
    async def levels(self, kind: LevelKind | None = UNSET, first: int | None = 50) -> list[PriceLevel]:
        size, wanted = given(first, 50), optional(kind)
        found = await self.reading.levels.load(self.ticker)
        return [PriceLevel.from_domain(level) for level in found if wanted in (None, level.kind)][:size]

    @strawberry.field(description="The refresh in flight, if one is.")
    async def refresh(self) -> RefreshJob | None:
        found = await self.reading.refreshes.load(self.ticker)
        return RefreshJob.from_domain(found) if found is not None else None

    @strawberry.field(description="The present backfill, or the last one.")
    async def backfill(self) -> BackfillState:
        return BackfillState.from_domain(await self.reading.backfills.load(self.ticker))

    @strawberry.field(
        description="One for each factor, as measured when the symbol was onboarded; UNAVAILABLE where it never was."
    )
    async def factor_exposures(self) -> list[FactorExposure]:
        return [FactorExposure.from_domain(exposure) for exposure in await self.reading.exposures.load(self.ticker)]

    @strawberry.field(description="Of all stored bars of the interval, without those that a session has made of its minutes.")
    async def stats(self, interval: Interval = Interval.ONE_DAY) -> SymbolStats:
        return SymbolStats.from_domain(await self.reading.statistics.load((self.ticker, interval)))

    @strawberry.field(
        description=(
            "Stored bars up to the service's clock, oldest first; with neither first nor last, the newest 500. `from` and "
            "`to` are instants of opening: from included, to excluded. Of the trading day of a LIVE session the symbol takes "
            "part in, only while the gate is open."
        )
    )
    async def bars(
        self,
        interval: Interval = Interval.ONE_DAY,
        start: Annotated[datetime | None, strawberry.argument(name="from")] = UNSET,
        end: Annotated[datetime | None, strawberry.argument(name="to")] = UNSET,
        first: int | None = UNSET,
        after: str | None = UNSET,
        last: int | None = UNSET,
        before: str | None = UNSET,
    ) -> BarConnection:
        query = bar_query(interval, self.reading.now, start=start, end=end, first=first, after=after, last=last, before=before)
        return BarConnection.from_domain(await self.reading.bars.load((self.ticker, query)), query)

    @strawberry.field(description="Newest first. Both values are in the shares that the bar is in since; a split is none.")
    async def revisions(self, first: int | None = 100) -> list[BarRevision]:
        found = await self.reading.revisions.load((self.ticker, given(first, 100)))
        return [BarRevision.from_domain(revision) for revision in found]


@strawberry.type
class SymbolEdge:
    cursor: str
    node: Symbol


@strawberry.type
class SymbolConnection:
    edges: list[SymbolEdge]
    nodes: list[Symbol]
    page_info: PageInfo
    total_count: int
    staleness_threshold_hours: int
    cursor: Position = strawberry.field(description="Subscribe with it as `after` and miss nothing since this read.")

    @classmethod
    def from_domain(cls, page: SymbolPage, reading: Reading, after: str | None) -> "SymbolConnection":
        nodes = [Symbol.from_domain(symbol, reading) for symbol in page.symbols]
        edges = [SymbolEdge(cursor=write_cursor(node.ticker), node=node) for node in nodes]
        return cls(
            edges=edges,
            nodes=nodes,
            page_info=PageInfo(
                has_next_page=page.has_next,
                has_previous_page=after is not None,
                start_cursor=edges[0].cursor if edges else None,
                end_cursor=edges[-1].cursor if edges else None,
            ),
            total_count=page.total,
            staleness_threshold_hours=reading.symbols.threshold_hours,
            cursor=page.position,
        )


@strawberry.type
class SymbolMatch:
    ticker: str
    name: str | None
    asset_class: AssetClass
    exchange: str | None
    currency: str | None
    is_tracked: bool

    @classmethod
    def from_domain(cls, profile: domain.Profile, is_tracked: bool) -> "SymbolMatch":
        return cls(
            ticker=profile.ticker,
            name=profile.name,
            asset_class=profile.asset_class,
            exchange=profile.exchange,
            currency=profile.currency,
            is_tracked=is_tracked,
        )
