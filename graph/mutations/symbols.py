"""Tracking symbols, and keeping them fresh."""

from typing import Annotated, Any

import strawberry

from domain import errors
from domain.services.refreshing import Refreshed
from domain.tickers import normalise
from graph.context import Context, Info
from graph.problems import (
    AlreadyRefreshing,
    InvalidTicker,
    NoData,
    ProviderUnavailable,
    QueueFull,
    SymbolNotFound,
    VersionConflict,
)
from graph.scalars import optional
from graph.types.enums import AssetClass
from graph.types.onboarding import OnboardingJob
from graph.types.symbol import Symbol

UNSET: Any = strawberry.UNSET


@strawberry.input
class AddSymbolInput:
    ticker: str
    asset_class: AssetClass | None = UNSET
    name: str | None = UNSET
    expected_version: int | None = strawberry.field(
        default=UNSET,
        description="Required to revive a RETIRED symbol or to change a known one's class or name.",
    )


@strawberry.input
class RemoveSymbolInput:
    ticker: str
    expected_version: int


@strawberry.input
class RefreshSymbolInput:
    ticker: str
    expected_version: int | None = strawberry.field(
        default=UNSET, description="Left out: the version read at the start of the refresh."
    )


@strawberry.type
class SymbolAdded:
    symbol: Symbol
    job: OnboardingJob | None = strawberry.field(description="The onboarding that brings its history, if one was queued.")


@strawberry.type
class SymbolRemoved:
    symbol: Symbol


@strawberry.type
class SymbolRefreshed:
    symbol: Symbol
    levels_extracted: int
    bars_received: int
    bars_changed: int

    @classmethod
    def from_domain(cls, done: Refreshed, context: Context) -> "SymbolRefreshed":
        return cls(
            symbol=Symbol.from_domain(done.symbol, context.read_now()),
            levels_extracted=done.levels_extracted,
            bars_received=done.bars_received,
            bars_changed=done.bars_changed,
        )


AddSymbolResult = Annotated[
    SymbolAdded | InvalidTicker | SymbolNotFound | VersionConflict | QueueFull | ProviderUnavailable,
    strawberry.union("AddSymbolResult"),
]
RemoveSymbolResult = Annotated[SymbolRemoved | SymbolNotFound | VersionConflict, strawberry.union("RemoveSymbolResult")]
RefreshSymbolResult = Annotated[
    SymbolRefreshed | AlreadyRefreshing | SymbolNotFound | VersionConflict | ProviderUnavailable | NoData,
    strawberry.union("RefreshSymbolResult"),
]


@strawberry.type
class SymbolMutations:
    @strawberry.mutation(
        description=(
            "Track a symbol; its history arrives by onboarding. RETIRED: revives it. ACTIVE: answers SymbolAdded with "
            "job null, nothing changed. An expectedVersion given and wrong is VersionConflict, also when nothing would change."
        )
    )
    async def add_symbol(self, info: Info, input: AddSymbolInput) -> AddSymbolResult:
        added = await info.context.services.symbols.add(
            normalise(input.ticker),
            optional(input.asset_class),
            _name(optional(input.name)),
            optional(input.expected_version),
        )
        return SymbolAdded(
            symbol=Symbol.from_domain(added.symbol, info.context.read_now()),
            job=OnboardingJob.from_domain(added.job) if added.job is not None else None,
        )

    @strawberry.mutation(
        description=(
            "Stop tracking a symbol. Nothing is deleted; an onboarding under way is cancelled; portfolios keep their "
            "positions. A RETIRED one: VersionConflict."
        )
    )
    async def remove_symbol(self, info: Info, input: RemoveSymbolInput) -> RemoveSymbolResult:
        symbol = await info.context.services.symbols.remove(known(input.ticker), input.expected_version)
        return SymbolRemoved(symbol=Symbol.from_domain(symbol, info.context.read_now()))

    @strawberry.mutation(
        description=(
            "Fetch the newest daily bars and replace the price levels, all or nothing. Of a symbol being onboarded: "
            "AlreadyRefreshing, startedBy `onboarding`; of a RETIRED one: SymbolNotFound."
        )
    )
    async def refresh_symbol(self, info: Info, input: RefreshSymbolInput) -> RefreshSymbolResult:
        expected = optional(input.expected_version)
        done = await info.context.services.refreshing.refresh(known(input.ticker), expected, "api")
        return SymbolRefreshed.from_domain(done, info.context)


LONGEST_NAME = 200


def _name(text: str | None) -> str | None:
    if text is not None and len(text) > LONGEST_NAME:
        raise errors.InvalidArgument("name", f"at most {LONGEST_NAME} characters", f"{len(text):,} characters")
    return text


def known(text: str) -> str:
    """A canonical ticker; what is no ticker cannot be tracked."""
    try:
        return normalise(text)
    except errors.InvalidTicker as refusal:
        raise errors.SymbolNotFound(refusal.ticker) from refusal
