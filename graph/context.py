"""What a resolver can reach: the services, and one reading of the clock with the loaders that belong to it."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from graphql import DocumentNode
from strawberry.dataloader import DataLoader
from strawberry.types import Info as StrawberryInfo

from domain.backfill import Backfill
from domain.bars import Interval
from domain.clock import Clock
from domain.errors import RefreshInFlight
from domain.factors import Exposure, Factor
from domain.freshness import ClassFreshness
from domain.gaps import Statistics
from domain.levels import PriceLevel
from domain.loops import LoopStatus
from domain.portfolio import Holding
from domain.ports import BarPage, BarQuery, EventFeed
from domain.revisions import Revision
from domain.services.backfills import Backfills
from domain.services.measuring import Measuring
from domain.services.onboarding import Onboarding
from domain.services.portfolios import Portfolios
from domain.services.providers import Providers
from domain.services.queues import Queues
from domain.services.refreshing import Refreshing
from domain.services.sessions import Sessions
from domain.services.statistics import Counting
from domain.services.symbols import Symbols
from domain.services.telling import BarFeed
from domain.staleness import StalenessReason
from domain.symbols import Symbol
from domain.tickers import AssetClass

Asked = TypeVar("Asked", bound=Hashable)


@dataclass(frozen=True)
class About:
    """What the service says of itself; `database` is sqlite or postgresql."""

    version: str
    database: str


@dataclass(frozen=True)
class Services:
    symbols: Symbols
    refreshing: Refreshing
    onboarding: Onboarding
    backfills: Backfills
    measuring: Measuring
    counting: Counting
    providers: Providers
    portfolios: Portfolios
    sessions: Sessions
    bar_feed: BarFeed
    feed: EventFeed
    clock: Clock
    about: About
    queues: Queues
    loops: Callable[[], Sequence[LoopStatus]]


class Reading:
    """One `now`, and one query a kind of thing for all the symbols and portfolios that are read at it."""

    def __init__(self, services: Services, now: datetime) -> None:
        self._services = services
        self.symbols = services.symbols
        self.now = now

    @cached_property
    def levels(self) -> DataLoader[str, list[PriceLevel]]:
        return DataLoader(load_fn=self._levels)

    @cached_property
    def refreshes(self) -> DataLoader[str, RefreshInFlight | None]:
        return DataLoader(load_fn=self._refreshes)

    @cached_property
    def backfills(self) -> DataLoader[str, Backfill]:
        return DataLoader(load_fn=self._backfills)

    @cached_property
    def bars(self) -> DataLoader[tuple[str, BarQuery], BarPage]:
        return DataLoader(load_fn=self._bars)

    @cached_property
    def revisions(self) -> DataLoader[tuple[str, int], list[Revision]]:
        return DataLoader(load_fn=self._revisions)

    @cached_property
    def exposures(self) -> DataLoader[str, list[Exposure]]:
        return DataLoader(load_fn=self._exposures)

    @cached_property
    def statistics(self) -> DataLoader[tuple[str, Interval], Statistics]:
        return DataLoader(load_fn=self._statistics)

    @cached_property
    def holdings(self) -> DataLoader[str, list[Holding]]:
        return DataLoader(load_fn=self._holdings)

    @cached_property
    def pending(self) -> DataLoader[str, list[str]]:
        return DataLoader(load_fn=self._pending)

    @cached_property
    def is_stale(self) -> DataLoader[str, bool]:
        """Of portfolios: whether a price that counts is not to be trusted."""
        return DataLoader(load_fn=self._is_stale)

    @cached_property
    def freshness(self) -> DataLoader[AssetClass, ClassFreshness | None]:
        """Of the asset classes; None for one of which no symbol is tracked."""
        return DataLoader(load_fn=self._freshness)

    async def _levels(self, tickers: list[str]) -> list[list[PriceLevel]]:
        found = await self.symbols.levels(tickers)
        return [found.get(ticker, []) for ticker in tickers]

    async def _exposures(self, tickers: list[str]) -> list[list[Exposure]]:
        found = await self._services.measuring.exposures(tickers)
        return [found.get(ticker) or [Exposure.unavailable(factor) for factor in Factor] for ticker in tickers]

    async def _statistics(self, keys: list[tuple[str, Interval]]) -> list[Statistics]:
        wanted: dict[Interval, list[str]] = {}
        for ticker, interval in keys:
            wanted.setdefault(interval, []).append(ticker)
        found = {interval: await self._services.counting.of(tickers, interval) for interval, tickers in wanted.items()}
        return [found[interval][ticker] for ticker, interval in keys]

    async def _refreshes(self, tickers: list[str]) -> list[RefreshInFlight | None]:
        found = await self.symbols.refreshes(tickers)
        return [found.get(ticker) for ticker in tickers]

    async def _backfills(self, tickers: list[str]) -> list[Backfill]:
        found = await self._services.backfills.of(tickers)
        return [found[ticker] for ticker in tickers]

    async def _holdings(self, portfolio_ids: list[str]) -> list[list[Holding]]:
        found = await self._services.portfolios.holdings(portfolio_ids)
        return [found.get(portfolio_id, []) for portfolio_id in portfolio_ids]

    async def _pending(self, portfolio_ids: list[str]) -> list[list[str]]:
        found = await self._services.portfolios.pending(portfolio_ids)
        return [found.get(portfolio_id, []) for portfolio_id in portfolio_ids]

    async def _is_stale(self, portfolio_ids: list[str]) -> list[bool]:
        found = await self._services.portfolios.counted(portfolio_ids)
        return [any(map(self._is_doubtful, found.get(portfolio_id, []))) for portfolio_id in portfolio_ids]

    def _is_doubtful(self, symbol: Symbol) -> bool:
        freshness = self.symbols.freshness(symbol, self.now)
        return symbol.is_retired or freshness.is_stale or freshness.reason is StalenessReason.PROVIDER_EMPTY

    async def _freshness(self, classes: list[AssetClass]) -> list[ClassFreshness | None]:
        found = {each.asset_class: each for each in await self.symbols.freshness_by_class(self.now)}
        return [found.get(asset_class) for asset_class in classes]

    async def _bars(self, keys: list[tuple[str, BarQuery]]) -> Sequence[BarPage]:
        pages = {query: await self.symbols.bars(tickers, query) for query, tickers in _alike(keys).items()}
        return [pages[query][ticker] for ticker, query in keys]

    async def _revisions(self, keys: list[tuple[str, int]]) -> list[list[Revision]]:
        found = {first: await self.symbols.revisions(tickers, first) for first, tickers in _alike(keys).items()}
        return [found[first].get(ticker, []) for ticker, first in keys]


def _alike(keys: list[tuple[str, Asked]]) -> dict[Asked, list[str]]:
    """The tickers of which the same is asked."""
    wanted: dict[Asked, list[str]] = {}
    for ticker, asked in keys:
        wanted.setdefault(asked, []).append(ticker)
    return wanted


@dataclass
class Context:
    """Of one operation, whose document it brings."""

    services: Services
    document: DocumentNode

    @cached_property
    def reading(self) -> Reading:
        """The operation's one reading of the clock."""
        return self.read_now()

    def read_now(self) -> Reading:
        return Reading(self.services, self.services.clock.now())


Info = StrawberryInfo[Context, None]
