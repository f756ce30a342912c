"""What a resolver can reach: the services, and one reading of the clock with the loaders that belong to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from graphql import DocumentNode
from strawberry.dataloader import DataLoader
from strawberry.types import Info as StrawberryInfo

from domain.bars import Interval
from domain.clock import Clock
from domain.errors import RefreshInFlight
from domain.factors import Exposure, Factor
from domain.gaps import Statistics
from domain.levels import PriceLevel
from domain.portfolio import Holding
from domain.ports import BarPage, BarQuery, EventFeed
from domain.services.measuring import Measuring
from domain.services.onboarding import Onboarding
from domain.services.portfolios import Portfolios
from domain.services.providers import Providers
from domain.services.refreshing import Refreshing
from domain.services.sessions import Sessions
from domain.services.statistics import Counting
from domain.services.symbols import Symbols
from domain.services.telling import BarFeed
from domain.staleness import StalenessReason
from domain.symbols import Symbol


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
    measuring: Measuring
    counting: Counting
    providers: Providers
    portfolios: Portfolios
    sessions: Sessions
    bar_feed: BarFeed
    feed: EventFeed
    clock: Clock
    about: About


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
    def bars(self) -> DataLoader[tuple[str, BarQuery], BarPage]:
        return DataLoader(load_fn=self._bars)

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

    async def _bars(self, keys: list[tuple[str, BarQuery]]) -> Sequence[BarPage]:
        wanted: dict[BarQuery, list[str]] = {}
        for ticker, query in keys:
            wanted.setdefault(query, []).append(ticker)
        pages = {query: await self.symbols.bars(tickers, query) for query, tickers in wanted.items()}
        return [pages[query][ticker] for ticker, query in keys]


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
