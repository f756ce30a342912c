"""The trading session: led within a test, and what a database holds of it, read past the service."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from domain.aggregation import Hours, Minute, Window, aggregate, minute_of
from domain.bars import Bar, Interval
from domain.calendars import calendar_for
from domain.clock import Clock
from domain.events import LoggedMove, Position
from domain.hours import LENGTHS
from domain.ports import Database, MarketDataProvider
from domain.services.leadership import Tools
from domain.services.leading import Leader
from domain.services.loading import Loading
from domain.services.polling import PollingFeed
from domain.session import SessionMode, SessionSymbol, StartSession, StreamingRules, TradingSession
from domain.tickers import AssetClass
from graph.context import Services
from persistence.unit_of_work import SqlDatabase
from tests.support.market import MINUTES_CLOSE, MINUTES_DAY, MINUTES_OPEN
from tests.support.process import until
from tests.support.stored import ALL, opened
from web.metrics import Metrics

AT_ONCE, FAST = 0.0, 12_000.0
"""Speeds: the whole day without a wait, and in two seconds."""
POLL_SECONDS = 60.0


# ── led within the test


@asynccontextmanager
async def leading(
    database: Database,
    services: Services,
    provider: MarketDataProvider,
    clock: Clock,
) -> AsyncIterator[asyncio.Task[None]]:
    """A share in leading, until the block ends or the task is cancelled."""
    loading = Loading(database, provider, services.onboarding, clock)

    def open_feed() -> PollingFeed:
        return PollingFeed(provider, clock, POLL_SECONDS)

    tools = Tools(database, loading, services.bar_feed, open_feed, clock, StreamingRules, Metrics())
    leader = Leader(services.feed, tools)
    running = [asyncio.create_task(leader.run()), asyncio.create_task(leader.listen())]
    try:
        yield running[0]
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def replay(*tickers: str, speed: float) -> StartSession:
    return StartSession(SessionMode.REPLAY, tickers, MINUTES_DAY, speed)


async def comes_to(database: Database, holds: Callable[[TradingSession], bool], within: float = 20) -> TradingSession:
    """The session as soon as it is so."""

    async def is_so() -> bool:
        return holds(await stands(database))

    await until(is_so, within)
    return await stands(database)


async def stands(database: Database) -> TradingSession:
    async with database.read() as unit:
        stored = await unit.session.read()
    assert stored is not None
    return stored.session


def has_passed(minutes: int) -> Callable[[TradingSession], bool]:
    return lambda session: session.clock >= MINUTES_OPEN + timedelta(minutes=minutes)


# ── what is stored


@dataclass(frozen=True)
class Kept:
    """The session, its epochs as the log tells them, and of each of its symbols the minutes and the windows that are stored."""

    session: TradingSession
    token: int
    moves: Sequence[LoggedMove]
    minutes: Mapping[str, Sequence[Minute]]
    windows: Mapping[str, Sequence[Window]]

    @property
    def causes(self) -> list[tuple[int, bool, str]]:
        """Of each epoch: its number, whether the gate is open in it, and what began it."""
        return [(move.event.session.epoch, move.event.session.is_active, move.event.cause) for move in self.moves]

    def faults(self) -> set[str]:
        """What is not as it must be at every moment."""
        epochs = [move.event.session.epoch for move in self.moves]
        holds = {"each epoch once and in order": epochs == list(range(1, self.session.epoch + 1))}
        for symbol in self.session.symbols:
            stored, ticker = set(self.windows[symbol.ticker]), symbol.ticker
            by_watermark, by_clock = self._due(symbol)
            holds[f"{ticker}: all windows by its watermark"] = stored >= by_watermark
            holds[f"{ticker}: no windows beyond the clock"] = stored <= by_clock
        return {name for name, is_true in holds.items() if not is_true}

    def losses(self) -> set[str]:
        """What is not as it must be when the whole day has been replayed: the same as in bulk, each window once."""
        holds: dict[str, bool] = {}
        for symbol in self.session.symbols:
            ticker, minutes = symbol.ticker, self.minutes[symbol.ticker]
            holds[f"{ticker}: the watermark"] = _seconds(symbol.watermark) == minutes[-1].opens + 60
            holds[f"{ticker}: bars processed"] = symbol.bars_processed == len(minutes)
            holds[f"{ticker}: the windows"] = self.windows[ticker] == in_bulk(minutes, MINUTES_CLOSE)
        return {name for name, is_true in holds.items() if not is_true}

    def _due(self, symbol: SessionSymbol) -> tuple[set[Window], set[Window]]:
        if symbol.watermark is None:
            return set(), set()
        processed = [minute for minute in self.minutes[symbol.ticker] if minute.opens + 60 <= _seconds(symbol.watermark)]
        return set(in_bulk(processed, symbol.watermark)), set(in_bulk(processed, self.session.clock))


async def kept_in(database: SqlDatabase) -> Kept:
    """All of one moment."""
    async with database.snapshot() as unit:
        logged = await unit.events.after(Position((await unit.events.head()).log_id, 0), ALL)
        stored = await unit.session.read()
        assert stored is not None
        tickers = [symbol.ticker for symbol in stored.session.symbols]
        begins, ends = MINUTES_OPEN - timedelta(days=1), MINUTES_CLOSE
        minutes = await unit.bars.closed_between(tickers, Interval.ONE_MINUTE, MINUTES_OPEN, ends)
        longer = [bar for each in LENGTHS for bar in await unit.session_bars.closed_between(tickers, each, begins, ends)]
    moves = [entry for entry in logged if isinstance(entry, LoggedMove)]
    return Kept(
        session=stored.session,
        token=stored.token,
        moves=moves,
        minutes={ticker: [minute_of(bar) for bar in minutes if bar.ticker == ticker] for ticker in tickers},
        windows=_by_ticker(longer),
    )


async def kept(database_url: str) -> Kept:
    async with opened(database_url) as database:
        return await kept_in(database)


def in_bulk(minutes: Sequence[Minute], until: datetime) -> list[Window]:
    return [window for interval in LENGTHS for window in aggregate(minutes, _hours(), interval, _seconds(until))]


def _by_ticker(bars: Sequence[Bar]) -> Mapping[str, Sequence[Window]]:
    found: defaultdict[str, list[Window]] = defaultdict(list)
    for bar in bars:
        prices = bar.open, bar.high, bar.low, bar.close, bar.volume
        found[bar.ticker].append(Window(bar.interval, _seconds(bar.open_time), _seconds(bar.close_time), *prices))
    return found


@cache
def _hours() -> Hours:
    return Hours(calendar_for(AssetClass.STOCK, "XNAS"))


def _seconds(instant: datetime | None) -> int:
    return int((instant or datetime.min.replace(tzinfo=UTC)).timestamp())
