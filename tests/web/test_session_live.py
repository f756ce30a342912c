"""A live session of the real service, on a real socket: with Yahoo's stream as the stub speaks it, and by polling.

The market's time is moved by hand, so that every number is exact."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from domain.aggregation import Hours, aggregate
from domain.aggregation import Minute as Row
from domain.bars import Interval
from domain.calendars import calendar_for
from domain.clock import Clock
from domain.hours import LENGTHS
from domain.services import leadership, mending
from domain.session import SessionSymbolPhase, TradingSession
from domain.tickers import AssetClass
from providers import yahoo_stream
from providers.yahoo import YahooProvider
from providers.yahoo_stream import YahooStream
from tests.support.clock import ManualClock
from tests.support.heard import ear_to
from tests.support.process import until
from tests.support.served import Served, served
from tests.support.sessions import ADD, START
from tests.support.universe import track
from tests.support.yahoo.market import Minute
from tests.support.yahoo.provider import new
from tests.support.yahoo.server import YahooStub, running
from tests.support.yahoo.streamer import HEARTBEAT
from tests.web.test_session_service import ACTIVATION, BARS, closings, every, figures, member, shown
from web.settings import Settings

MIDNIGHT = datetime(2026, 3, 27, tzinfo=UTC)
NOON = MIDNIGHT + timedelta(hours=12)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
ROUND_THE_CLOCK = Hours(calendar_for(AssetClass.CRYPTO, None))
WITHIN = 20
BTC, ETH = "BTC-USD", "ETH-USD"
PAGES = """query($of: String!, $every: Interval!, $after: String) { session {
    bars(ticker: $of, interval: $every, first: 1000, after: $after) { withheld pageInfo { hasNextPage endCursor }
        nodes { openTime closeTime open high low close volume } } } }"""


# ── the market


def minute_of_the_market(ticker: str, opens: datetime) -> Minute:
    """No two of a day alike."""
    number = (opens - MIDNIGHT) // MINUTE
    price = (1000 if ticker == BTC else 200) + number % 97
    return Minute(opens, price, price + 3, price - 2, price + 1, 10 + number % 13)


def the_days(ticker: str) -> tuple[Minute, ...]:
    return tuple(minute_of_the_market(ticker, MIDNIGHT + number * MINUTE) for number in range(1440))


def rows_of(ticker: str, to: datetime) -> list[Row]:
    """What the market's minutes are, up to a time."""
    whole = (minute for minute in the_days(ticker) if minute.opens + MINUTE <= to)
    return [Row(int(minute.opens.timestamp()), *(Decimal(number or 0) for number in minute[1:])) for minute in whole]


def the_markets(ticker: str, interval: Interval, to: datetime) -> list[tuple[Any, ...]]:
    rows = rows_of(ticker, to)
    if interval is Interval.ONE_MINUTE:
        return [(row.opens, row.opens + 60, *row[1:]) for row in rows]
    return [tuple(window)[1:] for window in aggregate(rows, ROUND_THE_CLOCK, interval, int(to.timestamp()))]


class Yahoo(YahooProvider):
    """Shows its stream."""

    def __init__(self, clock: Clock, url: str) -> None:
        super().__init__(clock, url)
        self.streams: list[YahooStream] = []

    def live(self) -> YahooStream:
        self.streams.append(super().live())
        return self.streams[-1]


class Market:
    """A service in a live session, the stub that is its provider, and the time."""

    def __init__(self, service: Served, stub: YahooStub, provider: Yahoo, clock: ManualClock) -> None:
        self.service = service
        self.stub = stub
        self.clock = clock
        self._provider = provider

    @property
    def stream(self) -> YahooStream:
        return self._provider.streams[-1]

    async def traded(self, opens: datetime, *tickers: str, ticks: str = "ohlc") -> None:
        """A minute as it is traded, or so many of its ticks; the clock is ten seconds before its end then."""
        self.clock.at = opens + 50 * SECOND
        for ticker in tickers:
            minute = minute_of_the_market(ticker, opens)
            before = sum(earlier.volume for earlier in the_days(ticker) if earlier.opens < opens)
            prices = {"o": (5, minute.open), "h": (20, minute.high), "l": (35, minute.low), "c": (50, minute.close)}
            for name in ticks:
                second, price = prices[name]
                volume = before + (minute.volume if name == "c" else 1)
                assert price is not None, "every minute of this market is traded"
                self.stub.streamer.tick(ticker, opens + second * SECOND, price, volume, market_hours=1)
            await until(partial(self._has_had, ticker, opens, price), WITHIN)

    async def _has_had(self, ticker: str, opens: datetime, price: float | None) -> bool:
        minutes = self.stream._minutes._series[ticker].minutes
        return bool(minutes) and minutes[-1].open_time == opens and minutes[-1].last.price == price

    async def told(self, closes: datetime, *tickers: str) -> None:
        """When the minute that closed then has been processed: its last tick waits for two seconds."""
        self.clock.at = closes + 2 * SECOND
        self.stub.streamer.say(HEARTBEAT)
        await self.becomes(lambda session: all(_watermark(session, ticker) == closes for ticker in tickers))

    async def live(self, opens: datetime, *tickers: str) -> None:
        """A minute, whole, up to two seconds after its end."""
        await self.traded(opens, *tickers)
        await self.told(opens + MINUTE, *tickers)

    async def becomes(self, holds: Callable[[TradingSession], bool], within: float = WITHIN) -> TradingSession:
        found: list[TradingSession] = []

        async def looked() -> bool:
            found[:] = [await self.service.container.services.sessions.current()]
            return holds(found[0])

        try:
            await until(looked, within)
        except TimeoutError:
            raise AssertionError(f"the session is {found}") from None
        return found[0]

    async def holds_the_markets(self, ticker: str, to: datetime) -> None:
        """When its bars in the session are those of the market, up to a time, of every interval."""

        async def looked() -> bool:
            return await self.shown(ticker, Interval.ONE_MINUTE) == the_markets(ticker, Interval.ONE_MINUTE, to)

        await until(looked, WITHIN)
        for interval in LENGTHS:
            assert await self.shown(ticker, interval) == the_markets(ticker, interval, to), interval

    async def shown(self, ticker: str, interval: Interval) -> list[tuple[Any, ...]]:
        """All of its bars in the session."""
        found: list[tuple[Any, ...]] = []
        page: dict[str, Any] = {"pageInfo": {"hasNextPage": True, "endCursor": None}}
        while page["pageInfo"]["hasNextPage"]:
            after = page["pageInfo"]["endCursor"]
            answer = await self.service.ask(PAGES, of=ticker, every=interval.name, after=after)
            page = answer["data"]["session"]["bars"]
            found += map(figures, page["nodes"])
        return found


def _watermark(session: TradingSession, ticker: str) -> datetime | None:
    symbol = session.get(ticker)
    return symbol.watermark if symbol is not None else None


def phase_of(session: TradingSession, ticker: str) -> SessionSymbolPhase | None:
    symbol = session.get(ticker)
    return symbol.phase if symbol is not None else None


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yahoo_stream, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(yahoo_stream, "LONGEST_PAUSE_SECONDS", 0.5)
    monkeypatch.setattr(leadership, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(mending, "LOOK_SECONDS", 0.05)


@pytest.fixture
def clock(by_hand: ManualClock) -> ManualClock:
    by_hand.at = NOON + 10 * SECOND
    return by_hand


@pytest.fixture
def stub(clock: ManualClock) -> Iterator[tuple[YahooStub, str]]:
    stub = YahooStub(clock.now)
    known = stub.market.listings
    stub.market.listings = {**known, **{ticker: replace(known[ticker], minutes=the_days(ticker)) for ticker in (BTC, ETH)}}
    with running(stub) as url:
        yield stub, url


@pytest.fixture
async def market(database_url: str, clock: ManualClock, stub: tuple[YahooStub, str]) -> AsyncIterator[Market]:
    provider = new(Yahoo, stub[1], clock)

    def yahoo(_: str, settings: Settings, clock: Clock) -> Yahoo:
        return provider

    async with served(database_url, yahoo, works=True, clock=None) as service:
        await track(service.container.database, BTC, ETH, "AAPL")
        yield Market(service, stub[0], provider, clock)


async def started(market: Market, *tickers: str, **given: Any) -> None:
    asked = {"mode": "LIVE", "tickers": tickers, "expectedVersion": 0, **given}
    assert (await member(market.service, START, asked))["__typename"] == "SessionChanged"
    await market.becomes(lambda session: session.is_active)
    await subscribed(market, *tickers)


async def subscribed(market: Market, *tickers: str, connections: int = 1) -> None:
    """When so many connections have been made, and the newest is subscribed to these."""
    clients = market.stub.streamer.clients

    async def is_so() -> bool:
        return len(clients) >= connections and clients[-1].is_open and clients[-1].subscribed == set(tickers)

    await until(is_so, WITHIN)


# ── Yahoo's stream


def at(wall: str) -> datetime:
    hour, minute, second = (int(part) for part in wall.split(":"))
    return MIDNIGHT + timedelta(hours=hour, minutes=minute, seconds=second)


async def test_one_that_is_added_and_a_stream_that_is_cut_leave_nothing_missing(market: Market) -> None:
    await started(market, BTC, catchupThresholdSeconds=10)
    async with ear_to(market.service.url) as ear:
        await ear.follow("activation", ACTIVATION)
        await ear.follow("minutes", BARS, of=[BTC, ETH], every="ONE_MINUTE")
        await ear.follow("fives", BARS, of=[BTC, ETH], every="FIVE_MINUTES")
        await ear.hears(lambda told: bool(told))

        # ticks become bars; of the minute under way when it began, history has what nobody heard
        await market.traded(at("12:00:00"), BTC, ticks="lc")
        await market.told(at("12:01:00"), BTC)
        assert (await market.shown(BTC, Interval.ONE_MINUTE))[-1] != the_markets(BTC, Interval.ONE_MINUTE, at("12:01:00"))[-1]
        market.clock.at = at("12:01:15")
        await market.holds_the_markets(BTC, at("12:01:00"))
        for minute in ("12:01:00", "12:02:00", "12:03:00"):
            await market.live(at(minute), BTC)

        # another is added
        market.clock.at = at("12:04:10")
        assert (await member(market.service, ADD, {"ticker": ETH, "expectedVersion": 1}))["__typename"] == "SessionChanged"
        session = await market.becomes(lambda session: phase_of(session, ETH) is SessionSymbolPhase.LIVE and session.is_active)
        assert [(symbol.ticker, symbol.bars_processed) for symbol in session.symbols] == [(BTC, 724), (ETH, 724)]
        await subscribed(market, BTC, ETH)
        await market.traded(at("12:04:00"), BTC)
        await market.traded(at("12:04:00"), ETH, ticks="hlc")
        await market.told(at("12:05:00"), BTC, ETH)
        for minute in ("12:05:00", "12:06:00"):
            await market.live(at(minute), BTC, ETH)
        for ticker in (BTC, ETH):
            await market.holds_the_markets(ticker, at("12:07:00"))

        # the stream is cut: silence is lag when it lasts longer than the threshold after the next bar was due, and no sooner
        market.stub.streamer.is_silent = True
        market.stub.streamer.abort()
        market.clock.at = at("12:08:10")
        session = await market.becomes(lambda session: session.clock == market.clock.at)
        assert session.is_active
        market.clock.at = at("12:08:16")
        session = await market.becomes(lambda session: not session.is_active)
        assert {symbol.phase for symbol in session.symbols} == {SessionSymbolPhase.LAGGING}
        assert session.reason == "BTC-USD (76 s), ETH-USD (76 s) are behind."
        market.clock.at = at("12:12:30")
        await market.becomes(lambda session: session.clock == market.clock.at)
        for ticker in (BTC, ETH):
            page = await shown(market.service, ticker)
            assert (page["bars"]["withheld"], page["bars"]["nodes"]) == (True, [])

        # and is back
        await subscribed(market, BTC, ETH, connections=2)
        market.stub.streamer.is_silent = False
        await market.traded(at("12:12:00"), BTC, ETH, ticks="lc")
        await market.told(at("12:13:00"), BTC, ETH)
        session = await market.becomes(lambda session: session.clock == market.clock.at)
        assert not session.is_active, "one good bar is not enough"
        await market.live(at("12:13:00"), BTC, ETH)
        await market.becomes(lambda session: session.is_active)
        for ticker in (BTC, ETH):
            await market.holds_the_markets(ticker, at("12:14:00"))
        await market.live(at("12:14:00"), BTC, ETH)
        await ear.hears(lambda _: all(closings(ear, name, ETH)[-1:] == [at("12:15:00")] for name in ("minutes", "fives")))

        told = [(move["epoch"], move["active"], move["laggingTickers"]) for move in ear.of("activation")]
        assert told == [
            (2, True, []),
            (3, True, []),
            (4, False, [ETH]),
            (5, True, []),
            (6, False, [BTC, ETH]),
            (7, True, []),
        ]
        assert closings(ear, "minutes", BTC) == [*every(1, at("12:01:00"), at("12:07:00")), at("12:15:00")]
        assert closings(ear, "minutes", ETH) == [*every(1, at("12:05:00"), at("12:07:00")), at("12:15:00")]
        for ticker in (BTC, ETH):
            assert closings(ear, "fives", ticker) == [at("12:05:00"), at("12:15:00")], "what is mended is not told again"
            await market.holds_the_markets(ticker, at("12:15:00"))


async def test_a_stock_at_night_is_idle_and_nothing_lags(market: Market) -> None:
    market.clock.at = at("02:00:00")
    await started(market, "AAPL", catchupThresholdSeconds=10)
    market.stub.streamer.is_silent = True
    for minutes in (2, 60, 600):
        market.clock.at = at("02:00:00") + minutes * MINUTE
        session = await market.becomes(lambda session: session.clock == market.clock.at)
        await market.becomes(lambda session: phase_of(session, "AAPL") is SessionSymbolPhase.IDLE)
        assert session.is_active
    market.clock.at = at("13:31:11")  # New York has been open since 13:30, and nothing is heard
    session = await market.becomes(lambda session: not session.is_active)
    assert phase_of(session, "AAPL") is SessionSymbolPhase.LAGGING
