"""Portfolios, their lots and snapshots; rows of a file, and mistakes in it."""

from datetime import date, datetime
from decimal import Decimal

import strawberry

from domain import portfolio as domain
from domain import portfolio_csv
from graph.context import Reading
from graph.types.enums import PortfolioStatus
from graph.types.factor import FactorExposure
from graph.types.node import Node, global_id

# Resolvers of a type with a field of that name would take it for the type.
Day = date


@strawberry.type(
    description=(
        "One lot. quantity may be negative. Closed lots (exitDate) are listed and stay out of every total. currency is null "
        "until the symbol is known."
    )
)
class Position:
    ticker: str
    quantity: Decimal
    entry_price: Decimal
    entry_date: date | None
    exit_date: date | None
    last_price: Decimal | None
    last_price_date: date | None
    market_value: Decimal | None
    cost_basis: Decimal
    pnl: Decimal | None
    currency: str | None
    note: str | None = strawberry.field(description="Something to check about this lot, for a person.")

    @classmethod
    def from_domain(cls, holding: domain.Holding) -> "Position":
        return cls(
            ticker=holding.ticker,
            quantity=holding.quantity,
            entry_price=holding.entry_price,
            entry_date=holding.entry_date,
            exit_date=holding.exit_date,
            last_price=holding.last_price,
            last_price_date=holding.last_price_date,
            market_value=holding.market_value,
            cost_basis=holding.cost_basis,
            pnl=holding.pnl,
            currency=holding.currency,
            note=holding.note,
        )


@strawberry.type(
    description=(
        "Always recomputed from the positions, so that repeating it changes nothing. Totals cover open positions with a price "
        "in the snapshot's currency; isComplete says whether that is all of them. date: of the newest price counted. currency: "
        "that of most open lots, the first in the file on a tie."
    )
)
class PortfolioSnapshot:
    date: Day
    currency: str
    oldest_price_date: Day | None
    total_value: Decimal
    total_cost: Decimal
    total_pnl: Decimal
    pnl_percent: Decimal = strawberry.field(description="0 when totalCost is 0.")
    position_count: int = strawberry.field(description="How many lots the totals cover.")
    is_complete: bool
    key: strawberry.Private[str]
    reading: strawberry.Private[Reading]

    @classmethod
    def from_domain(cls, snapshot: domain.Snapshot, key: str, reading: Reading) -> "PortfolioSnapshot":
        return cls(
            date=snapshot.date,
            currency=snapshot.currency,
            oldest_price_date=snapshot.oldest_price_date,
            total_value=snapshot.total_value,
            total_cost=snapshot.total_cost,
            total_pnl=snapshot.total_pnl,
            pnl_percent=snapshot.pnl_percent,
            position_count=snapshot.position_count,
            is_complete=snapshot.is_complete,
            key=key,
            reading=reading,
        )

    @strawberry.field(description="True when a counted price is of a stale, PROVIDER_EMPTY or RETIRED symbol.")
    async def is_stale(self) -> bool:
        return await self.reading.is_stale.load(self.key)


@strawberry.type(
    description=(
        "version: +1 when its positions change, not when it is revalued. factorExposures: null betas when equity is not "
        "positive."
    )
)
class Portfolio(Node):
    name: str
    version: int
    snapshot: PortfolioSnapshot | None
    created_at: datetime
    portfolio: strawberry.Private[domain.Portfolio]
    reading: strawberry.Private[Reading]

    @classmethod
    def from_domain(cls, portfolio: domain.Portfolio, reading: Reading) -> "Portfolio":
        found = portfolio.snapshot
        return cls(
            id=global_id("Portfolio", portfolio.id),
            name=portfolio.name,
            version=portfolio.version,
            snapshot=PortfolioSnapshot.from_domain(found, portfolio.id, reading) if found is not None else None,
            created_at=portfolio.created_at,
            portfolio=portfolio,
            reading=reading,
        )

    @strawberry.field(
        description="PENDING while a ticker is queued, waiting or running; READY when every open lot has a price; else PARTIAL."
    )
    async def status(self) -> PortfolioStatus:
        return self.portfolio.status(await self.reading.pending.load(self.portfolio.id))

    @strawberry.field(description="Those that are queued, waiting for a place in the queue, or running; in the file's order.")
    async def pending_tickers(self) -> list[str]:
        return await self.reading.pending.load(self.portfolio.id)

    @strawberry.field(description="In the order of the file.")
    async def positions(self) -> list[Position]:
        return [Position.from_domain(holding) for holding in await self.reading.holdings.load(self.portfolio.id)]

    @strawberry.field(
        description="Σ signed value ÷ equity × beta, of the positions that the snapshot counts; null betas without equity."
    )
    async def factor_exposures(self) -> list[FactorExposure]:
        holdings = await self.reading.holdings.load(self.portfolio.id)
        tickers = sorted({holding.ticker for holding in holdings})
        measured = dict(zip(tickers, await self.reading.exposures.load_many(tickers), strict=True))
        return [FactorExposure.from_domain(exposure) for exposure in domain.exposures(holdings, measured)]


@strawberry.type
class ImportedRow:
    line: int
    ticker: str
    quantity: Decimal
    entry_price: Decimal
    entry_date: date | None
    exit_date: date | None

    @classmethod
    def from_domain(cls, lot: portfolio_csv.Lot) -> "ImportedRow":
        return cls(
            line=lot.line,
            ticker=lot.ticker,
            quantity=lot.quantity,
            entry_price=lot.entry_price,
            entry_date=lot.entry_date,
            exit_date=lot.exit_date,
        )


@strawberry.type(description="One mistake in the file; all of them are reported at once.")
class RowError:
    line: int
    column: str | None
    value: str | None
    code: str
    message: str
    hint: str | None

    @classmethod
    def from_domain(cls, error: portfolio_csv.RowError) -> "RowError":
        return cls(
            line=error.line,
            column=error.column,
            value=error.value,
            code=error.code,
            message=error.message,
            hint=error.hint,
        )
