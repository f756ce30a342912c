"""The session's bars as they complete, told to whoever follows: what the gate withheld is never told later.

In the leader's process it tells them itself, as they are committed. In the others one reader looks at what is stored, through
the gate as it is in the same moment.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from domain.bars import Bar, Interval, split_adjusted
from domain.clock import Clock
from domain.errors import SlowSubscriber, StoreUnavailable
from domain.ports import Database, UnitOfWork
from domain.services.watching import seen
from domain.session import SessionSymbol, TradingSession

LOOK_SECONDS = 0.5
BUFFER = 5000
"""Bars a follower may be behind before it is let go."""

NEVER = datetime.min.replace(tzinfo=UTC)

Pair = tuple[str, Interval]


class BarFeed:
    """`is_told_here` while this process leads the session: its leader publishes."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._followers: defaultdict[Pair, set[_Follower]] = defaultdict(set)
        self._told: dict[Pair, datetime] = {}
        self._number = 0
        self.is_told_here = False

    # ── following

    async def follow(self, tickers: Collection[str], interval: Interval) -> AsyncGenerator[Bar, None]:
        """From now on, for ever, over restarts of the session too. Raises SlowSubscriber."""
        follower = _Follower()
        pairs = [(ticker, interval) for ticker in set(tickers)]
        for pair in pairs:
            self._followers[pair].add(follower)
        try:
            async for bar in follower.bars():
                yield bar
        finally:
            for pair in pairs:
                self._followers[pair].discard(follower)
                if not self._followers[pair]:
                    del self._followers[pair]
                    self._told.pop(pair, None)

    @property
    def followed(self) -> Collection[Pair]:
        return self._followers.keys()

    # ── telling

    def publish(self, bars: Sequence[Bar], number: int) -> None:
        """Of the session of that number, in their order, once they are committed. What is mended is not told again."""
        self._expect(number)
        for bar in bars:
            pair = bar.ticker, bar.interval
            if pair in self._followers and bar.close_time > self._told.get(pair, NEVER):
                self._told[pair] = bar.close_time
                for follower in self._followers[pair]:
                    follower.offer(bar)

    async def run(self) -> None:
        """Looks for what another process has stored, for ever."""
        while True:
            if self._followers and not self.is_told_here:
                with suppress(StoreUnavailable):  # what is stored meanwhile is told then, if the gate is open then
                    await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Tells what is stored and shown, and has not been told. Raises StoreUnavailable."""
        pairs = list(self._followers)
        async with self._database.snapshot() as unit:
            session = seen(await unit.session.read(), self._clock)
            self._expect(session.number)
            bars = await self._news(unit, session, pairs) if session.is_active else []
        if not self.is_told_here:
            self._skip(session, pairs)
            self.publish(sorted(bars, key=lambda bar: (bar.close_time, bar.ticker)), session.number)

    async def _news(self, unit: UnitOfWork, session: TradingSession, pairs: Sequence[Pair]) -> list[Bar]:
        shown = {symbol.ticker: symbol for symbol in session.symbols if symbol.is_shown}
        wanted: defaultdict[Interval, dict[str, datetime]] = defaultdict(dict)
        for ticker, interval in pairs:
            if ticker in shown and (ticker, interval) in self._told:
                wanted[interval][ticker] = self._told[ticker, interval]
        bars: list[Bar] = []
        for interval, after in wanted.items():
            store = unit.bars if interval is Interval.ONE_MINUTE else unit.session_bars
            stored = await store.closed_between(list(after), interval, min(after.values()), session.clock)
            bars += [
                bar
                for bar in stored
                if after[bar.ticker] < bar.close_time <= _end(shown[bar.ticker], bar)
                and session.tells(shown[bar.ticker], bar.close_time)
            ]
        actions = await unit.bars.actions(list(shown)) if bars else {}
        day = session.clock.date()
        return [adjusted for bar in bars for adjusted in split_adjusted([bar], actions.get(bar.ticker, ()), day)]

    def _skip(self, session: TradingSession, pairs: Sequence[Pair]) -> None:
        """What is withheld is told no more, and what was there before it was asked for is not told."""
        shown = {symbol.ticker for symbol in session.symbols if symbol.is_shown} if session.is_active else set()
        for pair in pairs:
            if pair in self._followers and (pair not in self._told or pair[0] not in shown):
                self._told[pair] = max(session.clock, self._told.get(pair, NEVER))

    def _expect(self, number: int) -> None:
        """Another session begins from nothing, perhaps at an earlier time."""
        if number != self._number:
            self._number = number
            self._told = dict.fromkeys(self._told, NEVER)


def _end(symbol: SessionSymbol, bar: Bar) -> datetime:
    """Up to where bars are the session's: of a replay there are later minutes, of longer bars none that it has not made."""
    return bar.close_time if bar.interval is not Interval.ONE_MINUTE else symbol.watermark or NEVER


class _Follower:
    def __init__(self) -> None:
        self._buffer: deque[Bar] = deque()
        self._filled = asyncio.Event()
        self._is_lost = False

    def offer(self, bar: Bar) -> None:
        self._is_lost = self._is_lost or len(self._buffer) >= BUFFER
        if not self._is_lost:
            self._buffer.append(bar)
        self._filled.set()

    async def bars(self) -> AsyncGenerator[Bar, None]:
        while not self._is_lost:
            if self._buffer:
                yield self._buffer.popleft()
            else:
                self._filled.clear()
                await self._filled.wait()
        raise SlowSubscriber(BUFFER, "read session.bars for what was missed, and follow them anew")
