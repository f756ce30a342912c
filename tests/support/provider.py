"""A provider whose every answer a test decides: the edge of the network."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from domain.bars import Bar, CorporateAction, History, Interval
from domain.errors import SymbolNotFound
from domain.ports import LiveFeed, Reach
from domain.quotes import Quote
from domain.symbols import Profile, Symbol
from domain.tickers import AssetClass


def profile(ticker: str = "AAPL", asset_class: AssetClass = AssetClass.STOCK) -> Profile:
    exchange = "XNAS" if asset_class in (AssetClass.STOCK, AssetClass.ETF) else None
    return Profile(ticker, f"{ticker} Inc.", asset_class, exchange, "USD")


def daily_bar(ticker: str, day: date, close: str = "100", **changes: Any) -> Bar:
    """A whole-day bar around its close."""
    opens = datetime.combine(day, time(), UTC)
    price = Decimal(close)
    values: dict[str, Any] = {
        "ticker": ticker,
        "interval": Interval.ONE_DAY,
        "open_time": opens,
        "close_time": opens + timedelta(days=1),
        "open": price,
        "high": price + 1,
        "low": price - 1,
        "close": price,
        "volume": Decimal(1000),
        "adjusted_to": day,
        "source": "stub",
    }
    return Bar(**(values | changes))


CREST = date(2025, 11, 27)


def wave(ticker: str, last: date, days: int = 120) -> tuple[Bar, ...]:
    """Bars that swing between 90 and 110, so that there are levels to find; the same of a day whatever the last."""
    found = [last - timedelta(days=n) for n in reversed(range(days))]
    return tuple(daily_bar(ticker, day, str(90 + abs(20 - 2 * (day - CREST).days % 40))) for day in found)


def walk(ticker: str, last: date, days: int = 250) -> tuple[Bar, ...]:
    """Bars that go their own way, the same for a ticker each time, so that no two symbols move alike."""
    chance, price = Random(ticker), Decimal(100)
    bars = []
    for n in range(days):
        price = max(Decimal(10), price + Decimal(chance.randint(-200, 205)) / 100)
        bars.append(daily_bar(ticker, last - timedelta(days=days - 1 - n), str(price)))
    return tuple(bars)


class StubProvider:
    """Knows `profiles`; answers `history` with `bars`, or its course, a wave by itself, and `quotes` with `prices`; `live`
    is its `feed`."""

    name = "stub"
    asset_classes = frozenset({AssetClass.STOCK, AssetClass.CRYPTO})

    def __init__(self, *tickers: str) -> None:
        self.profiles = {ticker: profile(ticker) for ticker in tickers or ("AAPL",)}
        self.bars: Sequence[Bar] | None = None
        self.course: Callable[[str, date], Sequence[Bar]] = wave
        self.actions: Sequence[CorporateAction] = ()
        self.prices: dict[str, Quote] = {}
        self.feed: LiveFeed | None = None
        self.asked: list[tuple[str, date, datetime]] = []
        self.before_answer: Callable[[], Awaitable[None]] | None = None
        self.before_answer_on: Callable[[str], Awaitable[None]] | None = None

    async def profile(self, ticker: str) -> Profile:
        await self._pause(ticker)
        self._expect(ticker)
        return self.profiles[ticker]

    async def search(self, text: str, first: int) -> list[Profile]:
        await self._pause()
        return [found for found in self.profiles.values() if text.upper() in found.ticker][:first]

    async def history(self, symbol: Symbol, interval: Interval, start: date, until: datetime) -> History:
        self.asked.append((symbol.ticker, start, until))
        await self._pause(symbol.ticker)
        self._expect(symbol.ticker)
        bars = self.bars if self.bars is not None else self.course(symbol.ticker, until.date() - timedelta(days=1))
        within = tuple(bar for bar in bars if start <= bar.day and bar.close_time <= until)
        return History(within, tuple(self.actions))

    async def quotes(self, tickers: Sequence[str]) -> list[Quote]:
        await self._pause()
        return [self.prices[ticker] for ticker in tickers if ticker in self.prices]

    def reach(self, asset_class: AssetClass, interval: Interval) -> Reach | None:
        return Reach() if interval in (Interval.ONE_DAY, Interval.ONE_MINUTE) else None

    def live(self) -> LiveFeed | None:
        return self.feed

    def _expect(self, ticker: str) -> None:
        if ticker not in self.profiles:
            raise SymbolNotFound(ticker, "is not known to the provider stub")

    async def _pause(self, ticker: str | None = None) -> None:
        if self.before_answer is not None:
            await self.before_answer()
        if self.before_answer_on is not None and ticker is not None:
            await self.before_answer_on(ticker)
        await asyncio.sleep(0)
