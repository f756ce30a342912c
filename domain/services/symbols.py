"""Tracking symbols, and reading them."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from domain.bars import split_adjusted
from domain.calendars import calendar_for
from domain.clock import Clock
from domain.errors import RefreshInFlight, SymbolNotFound, VersionConflict
from domain.events import Event, SymbolChanged, SymbolChangeKind
from domain.freshness import ClassFreshness, by_class
from domain.levels import PriceLevel
from domain.onboarding import OnboardingJob
from domain.ports import (
    BarPage,
    BarQuery,
    Database,
    MarketDataProvider,
    SymbolCatalogue,
    SymbolPage,
    SymbolQuery,
    UnitOfWork,
)
from domain.quotes import Quote
from domain.revisions import Revision
from domain.services.asking import ask
from domain.services.queueing import OnboardingQueue, call_off
from domain.services.watching import seen
from domain.session import TradingSession
from domain.staleness import Freshness, assess
from domain.symbols import Profile, Symbol, SymbolStatus
from domain.tickers import AssetClass, check_class


@dataclass(frozen=True, slots=True)
class Added:
    """A symbol, and the onboarding that brings its history, if one is queued or under way."""

    symbol: Symbol
    job: OnboardingJob | None


class Symbols:
    """Commands and queries on symbols. Texts that name a ticker are canonical already: they are normalised at the edge."""

    def __init__(
        self,
        database: Database,
        catalogue: SymbolCatalogue,
        provider: MarketDataProvider,
        queue: OnboardingQueue,
        clock: Clock,
        threshold: timedelta,
    ) -> None:
        self._database = database
        self._catalogue = catalogue
        self._queue = queue
        self._provider = provider
        self._clock = clock
        self.threshold = threshold
        self.threshold_hours = threshold // timedelta(hours=1)

    # ── queries

    async def get(self, ticker: str) -> Symbol | None:
        return await self._catalogue.get(ticker)

    async def page(self, query: SymbolQuery, first: int, after: str | None) -> SymbolPage:
        return await self._catalogue.page(query, first, after)

    async def search(self, text: str, first: int) -> list[tuple[Profile, bool]]:
        """What the provider has by that ticker or name, and whether it is tracked. Raises ProviderUnavailable."""
        found = await ask(self._provider.name, self._provider.search(text, first))
        known = await self._catalogue.page(SymbolQuery(tickers=[profile.ticker for profile in found]), len(found), None)
        tracked = {symbol.ticker for symbol in known.symbols}
        return [(profile, profile.ticker in tracked) for profile in found]

    async def quotes(self, tickers: Sequence[str]) -> list[Quote]:
        """What the provider says they are worth now; those that it does not know are left out. Raises ProviderUnavailable."""
        return await ask(self._provider.name, self._provider.quotes(tickers))

    def freshness(self, symbol: Symbol, now: datetime) -> Freshness:
        return assess(
            last_updated=symbol.last_updated,
            as_of=symbol.as_of,
            last_outcome=symbol.last_outcome,
            calendar=calendar_for(symbol.asset_class, symbol.exchange),
            threshold=self.threshold,
            now=now,
        )

    async def freshness_by_class(self, now: datetime) -> list[ClassFreshness]:
        """Of the symbols that are not retired."""
        return by_class(await self._catalogue.tracked(), self.threshold, now)

    async def levels(self, tickers: Sequence[str]) -> Mapping[str, list[PriceLevel]]:
        """Strongest first."""
        async with self._database.read() as unit:
            return await unit.symbols.levels(tickers)

    async def refreshes(self, tickers: Sequence[str]) -> Mapping[str, RefreshInFlight]:
        async with self._database.read() as unit:
            return await unit.leases.in_flight(tickers)

    async def bars(self, tickers: Sequence[str], query: BarQuery) -> Mapping[str, BarPage]:
        """A page for each ticker, adjusted for the splits known at the query's `until`. Of the trading day of a live session
        that it takes part in, only what the gate lets through."""
        async with self._database.snapshot() as unit:
            session = seen(await unit.session.read(), self._clock)
            pages = await _shown(unit, tickers, query, session)
            actions = await unit.bars.actions(tickers)
        day = query.until.date()
        return {
            ticker: replace(page, bars=split_adjusted(page.bars, actions.get(ticker, ()), day))
            for ticker, page in pages.items()
        }

    async def revisions(self, tickers: Sequence[str], first: int) -> Mapping[str, list[Revision]]:
        """Newest first, so many of each."""
        async with self._database.read() as unit:
            return await unit.quality.revisions(tickers, first)

    async def load_calendars(self) -> None:
        """Builds the calendars of the symbols there are: seconds, for some exchanges, that no request should wait for."""
        async with self._database.read() as unit:
            listings = await unit.symbols.listings()
        for listing in listings | {(AssetClass.STOCK, None)}:
            await asyncio.to_thread(calendar_for, *listing)

    # ── add and remove

    async def add(self, ticker: str, asset_class: AssetClass | None, name: str | None, version: int | None) -> Added:
        """Tracks a symbol and queues its onboarding, or answers the one there is. Raises InvalidTicker, SymbolNotFound,
        VersionConflict, QueueFull and ProviderUnavailable."""
        if asset_class is not None:
            check_class(ticker, asset_class)
        known = await self._add_known(ticker, asset_class, name, version)
        if known is not None:
            return known
        if version:
            raise VersionConflict(ticker, version, 0, "is not tracked yet")
        profile = await ask(self._provider.name, self._provider.profile(ticker))
        symbol = Symbol.tracked(profile, asset_class, name, SymbolStatus.ONBOARDING)
        await asyncio.to_thread(calendar_for, symbol.asset_class, symbol.exchange)
        async with self._database.write() as unit:
            await unit.jobs.lock_queue()
            if await unit.symbols.add(symbol):
                return await self._enter(unit, symbol, None, [self._event(SymbolChangeKind.ADDED, symbol.ticker)])
        # Somebody else added it while the provider was asked.
        added = await self._add_known(ticker, asset_class, name, version)
        assert added is not None, "a symbol is never deleted"
        return added

    async def _add_known(
        self, ticker: str, asset_class: AssetClass | None, name: str | None, version: int | None
    ) -> Added | None:
        async with self._database.write() as unit:
            await unit.jobs.lock_queue()
            known = await unit.symbols.lock(ticker)
            if known is None:
                return None
            wanted = known.added_again(version, asset_class, name)
            events: list[Event] = []
            if wanted != known:
                await unit.symbols.save(wanted, known.version)
                kind = SymbolChangeKind.ADDED if known.is_retired else SymbolChangeKind.UPDATED
                events.append(self._event(kind, ticker))
            if wanted.status is SymbolStatus.ONBOARDING:
                return await self._enter(unit, wanted, SymbolStatus.RETIRED if known.is_retired else None, events)
            await unit.events.append(*events)
            return Added(wanted, None)

    async def _enter(self, unit: UnitOfWork, symbol: Symbol, previous: SymbolStatus | None, events: Sequence[Event]) -> Added:
        entered = await self._queue.enter(unit, [symbol.ticker], None, previous)
        await unit.events.append(*events, *self._queue.steps(entered.new))
        return Added(symbol, entered.jobs[0])

    async def remove(self, ticker: str, version: int) -> Symbol:
        """Retires a symbol and calls off its onboarding; nothing is deleted. Raises SymbolNotFound and VersionConflict."""
        async with self._database.write() as unit:
            await unit.jobs.lock_queue()
            _, events = await call_off(unit, ticker, "its symbol was removed", self._clock)
            symbol = await unit.symbols.lock(ticker)
            if symbol is None:
                raise SymbolNotFound(ticker)
            retired = symbol.retired(version)
            await unit.symbols.save(retired, version)
            await unit.events.append(self._event(SymbolChangeKind.REMOVED, ticker), *events)
            return retired

    def _event(self, kind: SymbolChangeKind, ticker: str, detail: str | None = None) -> SymbolChanged:
        return SymbolChanged(kind, ticker, self._clock.now(), detail)


async def _shown(unit: UnitOfWork, tickers: Sequence[str], query: BarQuery, session: TradingSession) -> Mapping[str, BarPage]:
    """Read once for what is not withheld, and once for each trading day that is: for as many as open at different times."""
    part = {symbol.ticker for symbol in session.symbols} if session.is_live else set()
    together: defaultdict[datetime | None, list[str]] = defaultdict(list)
    for ticker in tickers:
        together[session.withholds(ticker) if ticker in part else None].append(ticker)
    shown: dict[str, BarPage] = {}
    for since, alike in together.items():
        end = min((bound for bound in (since, query.end) if bound is not None), default=None)
        for ticker, page in (await unit.bars.pages(alike, replace(query, end=end))).items():
            is_withheld = since is not None and query.reaches(since)
            shown[ticker] = replace(page, is_withheld=is_withheld, epoch=session.epoch if ticker in part else None)
    return shown
