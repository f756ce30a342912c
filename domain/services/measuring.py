"""A symbol's betas, and the ETFs that they are measured against."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from domain.calendars import calendar_for
from domain.clock import Clock
from domain.errors import AlreadyRefreshing, NoData, ProviderUnavailable, Refusal, SymbolNotFound, VersionConflict
from domain.events import SymbolChanged, SymbolChangeKind
from domain.factors import DailyReturns, Exposure, FactorModel, daily_returns
from domain.ports import Database, MarketDataProvider
from domain.services.asking import ask
from domain.services.queueing import READY
from domain.services.refreshing import FIRST_HISTORY, ONBOARDING, Refreshing
from domain.symbols import Symbol

LOOK_AGAIN_SECONDS = 0.1
"""How often it is looked whether another's load of an ETF has ended."""


@dataclass(frozen=True, slots=True)
class Measured:
    """`shortfall` says which betas are missing, and why; None when none is."""

    exposures: list[Exposure]
    shortfall: str | None


class Measuring:
    def __init__(
        self,
        database: Database,
        provider: MarketDataProvider,
        refreshing: Refreshing,
        model: FactorModel,
        clock: Clock,
        threshold: timedelta,
    ) -> None:
        self._database = database
        self._provider = provider
        self._refreshing = refreshing
        self._model = model
        self._clock = clock
        self._threshold = threshold
        self._kept: dict[str, tuple[_State, DailyReturns]] = {}

    async def exposures(self, tickers: Sequence[str]) -> Mapping[str, list[Exposure]]:
        """As they were measured last; of those that were."""
        async with self._database.read() as unit:
            return await unit.exposures.of(tickers)

    async def measure(self, ticker: str, *, gives_up: bool) -> Measured:
        """The betas of a symbol whose prices are there, with the ETFs loaded that are not. Raises ProviderUnavailable for one
        that cannot be loaded now, unless it `gives_up`: then its betas are missing."""
        others = [etf for etf in self._model.tickers if etf != ticker]
        troubles = await self._load_all(others)
        for trouble in troubles:
            if isinstance(trouble, ProviderUnavailable) and not gives_up:
                raise trouble
        own, etfs = await self._returns(ticker)
        exposures = self._model.exposures(own, etfs)
        reasons = [self._model.missing_reason(exposures, etfs), *map(str, troubles)]
        return Measured(exposures, " ".join(reason for reason in reasons if reason) or None)

    async def _returns(self, ticker: str) -> tuple[DailyReturns, Mapping[str, DailyReturns]]:
        """The symbol's and the ETFs'. Those of an ETF are kept until it has another version or another newest day: every job
        needs them, and to read eight years of days is most of its work."""
        today, etfs = self._clock.now().date(), self._model.tickers
        async with self._database.read() as unit:
            # What is read before the bars may be older than they are, never newer: then they are read once more than needed.
            symbols, newest = await unit.symbols.several(etfs), await unit.bars.newest_final(etfs)
            states = {etf: _State(today, symbols[etf].version, bar.close_time) for etf, bar in newest.items()}
            kept = {etf: returns for etf, (state, returns) in self._kept.items() if states.get(etf) == state and etf != ticker}
            wanted = [ticker, *(etf for etf in etfs if etf not in kept and etf != ticker)]
            actions = await unit.bars.actions(wanted)
            bars = {each: await unit.bars.daily_since(each, today - FIRST_HISTORY) for each in wanted}
        read = {
            each: daily_returns([bar for bar in bars[each] if bar.is_final], actions.get(each, ()), today) for each in wanted
        }
        self._kept |= {etf: (states[etf], read[etf]) for etf in read if etf in states}
        found = kept | read
        return found[ticker], {etf: found[etf] for etf in etfs}

    async def _load_all(self, etfs: Sequence[str]) -> list[Refusal]:
        """Sees to it that they have prices, fresh ones if they can be had, and gives what stands in the way of any. Those that
        somebody is loading already are waited for."""
        troubles: list[Refusal] = []
        while etfs:
            holdings = await self._held(etfs)
            if not holdings:
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
            ends = await asyncio.gather(*map(self._load, holdings), return_exceptions=True)
            settled: set[str] = set()
            for holding, end in zip(holdings, ends, strict=True):
                match end:
                    case AlreadyRefreshing() | VersionConflict():
                        continue  # somebody was faster
                    case ProviderUnavailable() | SymbolNotFound() | NoData():
                        troubles += [] if holding.has_prices else [end]
                    case BaseException():
                        raise end
                settled.add(holding.etf)
            etfs = [etf for etf in etfs if etf not in settled]
        return troubles

    async def _held(self, etfs: Sequence[str]) -> list["_Holding"]:
        """What there is of those that nobody is loading, by one look at all."""
        async with self._database.read() as unit:
            loading = await unit.leases.in_flight(etfs)
            symbols, newest = await unit.symbols.several(etfs), await unit.bars.newest_final(etfs)
        return [_Holding(etf, symbols.get(etf), etf in newest) for etf in etfs if etf not in loading]

    async def _load(self, holding: "_Holding") -> None:
        if holding.has_prices and not self._is_stale(holding.symbol):
            return
        version = holding.symbol.version if holding.symbol is not None else await self._track(holding.etf)
        # The version is another than was read, if somebody has loaded it meanwhile.
        await self._refreshing.refresh(holding.etf, version, ONBOARDING)

    def _is_stale(self, symbol: Symbol | None) -> bool:
        """One that is retired or being onboarded is taken as it is."""
        if symbol is None or symbol.status not in READY:
            return False
        return symbol.last_updated is None or self._clock.now() - symbol.last_updated > self._threshold

    async def _track(self, etf: str) -> int:
        """Its version: another, if somebody was faster, is met by the refresh."""
        symbol = Symbol.tracked(await ask(self._provider.name, self._provider.profile(etf)), None, None)
        await asyncio.to_thread(calendar_for, symbol.asset_class, symbol.exchange)
        async with self._database.write() as unit:
            if await unit.symbols.add(symbol):
                await unit.events.append(SymbolChanged(SymbolChangeKind.ADDED, etf, self._clock.now()))
        return symbol.version


@dataclass(frozen=True, slots=True)
class _Holding:
    """`symbol` is None for one that is not tracked."""

    etf: str
    symbol: Symbol | None
    has_prices: bool


@dataclass(frozen=True, slots=True)
class _State:
    """What the returns of an ETF come from."""

    today: date
    version: int
    newest: datetime
