"""Minute bars of a provider that has no stream: it is asked for them, one symbol after the other."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from domain.bars import Bar, Interval, is_news
from domain.clock import Clock
from domain.errors import ProviderUnavailable, Refusal
from domain.ports import Heard, MarketDataProvider
from domain.services.asking import ask
from domain.symbols import Symbol

log = logging.getLogger("freshtape.session")


@dataclass(slots=True)
class _Told:
    """What has been told of a symbol, by open time, since the day of its last poll."""

    bars: dict[datetime, Bar] = field(default_factory=dict)
    polled_at: datetime | None = None


class PollingFeed:
    """A LiveFeed. Each symbol is asked for once a period of real time, and no two at once: the askings are spread over it."""

    def __init__(self, provider: MarketDataProvider, clock: Clock, period_seconds: float) -> None:
        self._provider = provider
        self._clock = clock
        self.period_seconds = period_seconds
        self._queue: list[Symbol] = []
        self._told: dict[str, _Told] = {}
        self._troubles: dict[str, str] = {}
        self._rewatched = asyncio.Event()

    def watch(self, symbols: Sequence[Symbol]) -> None:
        """Who is new is asked for next."""
        wanted = {symbol.ticker: symbol for symbol in symbols}
        known = [wanted.pop(symbol.ticker) for symbol in self._queue if symbol.ticker in wanted]
        self._queue = [*wanted.values(), *known]
        self._told = {symbol.ticker: self._told.get(symbol.ticker) or _Told() for symbol in self._queue}
        self._troubles = {ticker: cause for ticker, cause in self._troubles.items() if ticker in self._told}
        self._rewatched.set()

    async def heard(self) -> AsyncGenerator[Heard, None]:
        asked_at = float("-inf")
        while True:
            asked_at = await self._turn(asked_at)
            symbol = self._queue.pop(0)
            self._queue.append(symbol)
            bars = await self._polled(symbol)
            if bars is not None:
                yield Heard(bars)

    async def _turn(self, asked_at: float) -> float:
        """When the next one is to be asked for, the last having been at `asked_at`; then that is now."""
        loop = asyncio.get_running_loop()
        while True:
            self._rewatched.clear()
            due = asked_at + self.period_seconds / len(self._queue) if self._queue else float("inf")
            if due <= loop.time():
                return loop.time()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due if self._queue else None):
                    await self._rewatched.wait()

    async def _polled(self, symbol: Symbol) -> tuple[Bar, ...] | None:
        """What is new; None when the provider did not say, or nobody wants to know any more."""
        told, now = self._told[symbol.ticker], self._clock.now()
        start = min(told.polled_at or now, now).date()
        request = self._provider.history(symbol, Interval.ONE_MINUTE, start, now)
        try:
            history = await ask(self._provider.name, request)
        except Exception as error:  # also a fault of ours stops no other symbol
            self._complain(symbol.ticker, error)
            return None
        self._troubles.pop(symbol.ticker, None)
        if self._told.get(symbol.ticker) is not told:
            return None
        news = tuple(bar for bar in history.bars if is_news(bar, told.bars.get(bar.open_time), history.actions))
        told.polled_at = now
        told.bars = {opens: bar for opens, bar in told.bars.items() if opens.date() >= start}
        told.bars |= {bar.open_time: bar for bar in news}
        return news

    def _complain(self, ticker: str, error: Exception) -> None:
        """Of each cause once, until it has passed for all."""
        cause = str(error.trouble) if isinstance(error, ProviderUnavailable) else f"{type(error).__name__} {ticker}"
        if cause not in self._troubles.values():
            fault = None if isinstance(error, Refusal) else error
            log.warning("the minutes of %s cannot be had: %s", ticker, error, exc_info=fault)
        self._troubles[ticker] = cause
