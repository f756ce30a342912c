"""Yahoo's streamer, as the stub speaks it over a real WebSocket: what is told, and what becomes of connections that end."""

import asyncio
import logging
import socket
import tracemalloc
from collections.abc import Callable, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bars import Bar
from domain.ports import Heard
from domain.tickers import AssetClass
from domain.ticks import GRACE_SECONDS
from providers import yahoo_stream
from providers.calling import Unusable
from providers.yahoo import YahooProvider
from providers.yahoo_stream import YahooStream, _pricing, _streamer
from tests.support.clock import EVENING, ManualClock
from tests.support.figures import told as shown
from tests.support.listener import listening
from tests.support.mutants import mutated
from tests.support.yahoo.provider import symbol
from tests.support.yahoo.server import YahooStub
from tests.support.yahoo.streamer import HEARTBEAT, POST, PRE, Streamer, framed, pricing

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
AAPL, MSFT = symbol("AAPL"), symbol("MSFT")
YEN = symbol("USD/JPY", AssetClass.FOREX, None)
VODAFONE = symbol("VOD.L", exchange="XLON")
SILENCE = 0.5


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yahoo_stream, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(yahoo_stream, "FIRST_PAUSE_SECONDS", 0.02)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yahoo_stream, "SILENCE_SECONDS", SILENCE)


@pytest.fixture
def streamer(stub: YahooStub) -> Streamer:
    return stub.streamer


@pytest.fixture
def stream(yahoo: YahooProvider) -> YahooStream:
    return yahoo.live()


async def eventually(holds: Callable[[], bool], within: float = 30) -> None:
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - what is awaited happens in the stub's thread
            await asyncio.sleep(0.002)


async def subscribed(streamer: Streamer, *names: str, connections: int = 1) -> None:
    """When the newest of so many connections is subscribed to these."""
    await eventually(lambda: len(streamer.clients) >= connections and streamer.clients[-1].subscribed == set(names))


async def taken_in(stream: YahooStream, ticker: str, price: float) -> None:
    """When the stream has had the tick of this price, the newest of its symbol."""
    minutes = stream._minutes._series[ticker].minutes
    await eventually(lambda: bool(minutes) and minutes[-1].last.price == Decimal(price))


def told(bars: list[Bar]) -> list[tuple[str, str, tuple[str, ...]]]:
    figures = ("open", "high", "low", "close", "volume")
    return [(bar.ticker, f"{bar.open_time:%H:%M}", tuple(f"{getattr(bar, name):g}" for name in figures)) for bar in bars]


# ── what is told


@pytest.mark.parametrize("shape", [framed, str], ids=["version 2", "version 1"])
async def test_ticks_become_minute_bars(
    stream: YahooStream, streamer: Streamer, present: ManualClock, shape: Callable[[str], str]
) -> None:
    stream.watch([AAPL, MSFT])
    assert stream.period_seconds == 0
    at = present.at
    async with listening(stream) as listener:
        await subscribed(streamer, "AAPL", "MSFT")
        traded = ((1, 248.8, 1000), (30, 250.25, 1500), (40, 247.5, 1600), (59, 249, 1800), (60, 251, 1900))
        for second, price, volume in traded:
            streamer.say(shape(pricing("AAPL", at + second * SECOND, price, volume)))
        streamer.say(shape(pricing("MSFT", at + 60 * SECOND, 371.5, 90)))
        await eventually(lambda: bool(listener.bars))
        assert told(listener.bars) == [("AAPL", "20:30", ("248.8", "250.25", "247.5", "249", "800"))]
        (bar,) = listener.bars
        assert (bar.open_time, bar.close_time, bar.adjusted_to) == (at, at + MINUTE, at.date())
        assert (bar.source, bar.is_final) == ("yahoo", True)
        streamer.say(shape(pricing("AAPL", at + 20 * SECOND, 260, 1400)))
        await eventually(lambda: len(listener.bars) == 2)
        assert told(listener.bars[1:]) == [("AAPL", "20:30", ("248.8", "260", "247.5", "249", "800"))], "late, and whole"


async def test_a_minute_that_ends_by_the_clock_is_told_with_the_next_frame(
    stream: YahooStream, streamer: Streamer, present: ManualClock
) -> None:
    """As long as nothing is heard, nobody knows what was traded."""
    stream.watch([AAPL, MSFT])
    async with listening(stream) as listener:
        await subscribed(streamer, "AAPL", "MSFT")
        for name in ("MSFT", "AAPL"):
            streamer.tick(name, present.at + SECOND, 100)
        await listener.more(1)
        present.advance(MINUTE + GRACE_SECONDS * SECOND)
        await asyncio.sleep(0.2)
        had = len(listener.heard)
        await asyncio.sleep(0.2)
        assert (listener.bars, len(listener.heard)) == ([], had), "nothing is heard, nothing is told"
        streamer.say(HEARTBEAT)
        assert [bar.ticker for bar in (await listener.more(1))[0].bars] == ["AAPL", "MSFT"]
        streamer.say(HEARTBEAT)
        assert await listener.more(1) == [Heard()], "all is well, and nothing is new"


async def test_a_listener_that_was_busy_is_told_as_of_when_something_was_heard(
    stream: YahooStream, streamer: Streamer, present: ManualClock
) -> None:
    stream.watch([AAPL])
    async with aclosing(stream.heard()) as heard:
        first = asyncio.ensure_future(anext(heard))
        await subscribed(streamer, "AAPL")
        streamer.say(HEARTBEAT)
        await first
        streamer.tick("AAPL", present.at + SECOND, 100)
        await taken_in(stream, "AAPL", 100)
        present.advance(2 * MINUTE)
        assert await anext(heard) == Heard(), "of the rest of that minute nothing is known"
        streamer.say(HEARTBEAT)
        assert [bar.ticker for bar in (await anext(heard)).bars] == ["AAPL"]


async def test_names_units_and_what_is_not_ours(stream: YahooStream, streamer: Streamer, present: ManualClock) -> None:
    stream.watch([YEN, VODAFONE])
    at = present.at
    async with listening(stream) as listener:
        await subscribed(streamer, "USDJPY=X", "VOD.L")
        for second in (1, 60):
            streamer.tick("JPY=X", at + second * SECOND, 151.23)  # Yahoo's other name for it
            streamer.tick("VOD.L", at + second * SECOND, 70.5, 10 * second, currency="GBp")
            for other in ("ES=F", "AAPL", "no ticker", "…"):
                streamer.tick(other, at + second * SECOND, 1)
        await eventually(lambda: len(listener.bars) == 2)
    assert told(listener.bars) == [
        ("USD/JPY", "20:30", ("151.23", "151.23", "151.23", "151.23", "0")),
        ("VOD.L", "20:30", ("0.705", "0.705", "0.705", "0.705", "0")),
    ]


async def test_what_is_traded_out_of_hours_is_a_sign_of_life_and_no_bar(
    stream: YahooStream, streamer: Streamer, present: ManualClock
) -> None:
    stream.watch([AAPL])
    async with listening(stream) as listener:
        await subscribed(streamer, "AAPL")
        for second, hours in ((1, PRE), (61, POST), (121, PRE)):
            streamer.tick("AAPL", present.at + second * SECOND, 100, market_hours=hours)
            await listener.more(1)
    assert listener.bars == []


async def test_after_a_while_without_a_connection_what_stands_is_no_bar(
    stream: YahooStream, streamer: Streamer, present: ManualClock
) -> None:
    stream.watch([AAPL])
    async with listening(stream) as listener:
        await subscribed(streamer, "AAPL")
        streamer.tick("AAPL", present.at, 100, 1000)
        await taken_in(stream, "AAPL", 100)
        streamer.close()
        present.advance(10 * MINUTE)
        await subscribed(streamer, "AAPL", connections=2)
        streamer.tick("AAPL", present.at - 5 * MINUTE, 105, 5000)
        streamer.tick("AAPL", present.at, 110, 5100)
        streamer.tick("AAPL", present.at + MINUTE, 111, 5200)
        await eventually(lambda: len(listener.bars) == 2)
    assert told(listener.bars) == [
        ("AAPL", "20:30", ("100", "100", "100", "100", "0")),
        ("AAPL", "20:40", ("110", "110", "110", "110", "100")),
    ]


# ── frames that cannot be used

UNUSABLE = {
    "no JSON": ["{", '{"type": "pricing"', "{]"],
    "no base64": ["ping!", "…", *(framed(message) for message in ("ping!", None, 7, ["x"]))],
    "no PricingData": ["////", framed("CgVBQQ==")],
    "no symbol": ["", framed("")],
}


@pytest.mark.parametrize("why", UNUSABLE)
def test_garbage(why: str) -> None:
    for frame in UNUSABLE[why]:
        with pytest.raises(Unusable, match=f"^{why}$"):
            _pricing(frame)
        with pytest.raises(Unusable):
            _pricing(frame.encode())


@given(st.text() | st.binary() | st.binary().map(lambda data: framed(data.hex())) | st.text().map(lambda text: f"{{{text}"))
def test_whatever_comes_is_a_pricing_another_kind_or_unusable(frame: str | bytes) -> None:
    try:
        found = _pricing(frame)
    except Unusable:
        return
    assert found is None or found.id


async def test_what_cannot_be_used_is_said_once_and_skipped(
    stream: YahooStream, streamer: Streamer, present: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    stream.watch([AAPL, VODAFONE])
    at = present.at
    async with listening(stream) as listener:
        await subscribed(streamer, "AAPL", "VOD.L")
        for _ in range(3):
            streamer.say(*(frame for frames in UNUSABLE.values() for frame in frames))
            streamer.tick("AAPL", at, 0)
            streamer.tick("AAPL", at, float("nan"))
            streamer.tick("AAPL", at, -1)
            streamer.tick("AAPL", datetime.fromtimestamp(0, at.tzinfo), 100)
            streamer.tick("AAPL", at + timedelta(days=1), 100)
            streamer.tick("AAPL", datetime.max.replace(tzinfo=at.tzinfo), 100)
        streamer.tick("AAPL", at + SECOND, 101)
        streamer.tick("AAPL", at + MINUTE, 102)
        await eventually(lambda: bool(listener.bars))
    assert told(listener.bars) == [("AAPL", "20:30", ("101", "101", "101", "101", "0"))]
    assert [reason(record) for record in caplog.records] == [*UNUSABLE, "no price", "no time", "a time ahead of the clock"]


def reason(record: logging.LogRecord) -> str:
    return record.getMessage().partition("said once: ")[2].partition(" in ")[0]


async def test_a_price_whose_unit_is_in_doubt_is_none(
    stream: YahooStream, streamer: Streamer, present: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A hundredfold price is worse than no price: pounds are told in pence, too."""
    pounds = symbol("VOD.L", exchange="XLON")
    object.__setattr__(pounds, "currency", "GBP")
    stream.watch([pounds, AAPL])
    async with listening(stream) as listener:
        await subscribed(streamer, "AAPL", "VOD.L")
        for second in (1, 60):
            streamer.tick("VOD.L", present.at + second * SECOND, 70.5)
            streamer.tick("AAPL", present.at + second * SECOND, 70.5)
        await eventually(lambda: bool(listener.bars))
    assert [bar.ticker for bar in listener.bars] == ["AAPL"]
    assert [reason(record) for record in caplog.records] == ["no currency"]


# ── what is watched


async def test_what_is_watched_is_what_is_subscribed_to(stream: YahooStream, streamer: Streamer, present: ManualClock) -> None:
    async with listening(stream) as listener:
        await asyncio.sleep(0.1)
        assert streamer.clients == [], "nothing is watched, nobody is asked"
        stream.watch([MSFT, AAPL])
        await subscribed(streamer, "AAPL", "MSFT")
        stream.watch([MSFT, YEN])
        await subscribed(streamer, "MSFT", "USDJPY=X")
        assert streamer.clients[0].said == [
            {"subscribe": ["AAPL", "MSFT"]},
            {"unsubscribe": ["AAPL"]},
            {"subscribe": ["MSFT", "USDJPY=X"]},
        ]
        for second in (1, 60):
            for name in ("AAPL", "MSFT"):
                streamer.tick(name, present.at + second * SECOND, 100)
        await eventually(lambda: bool(listener.bars))
        assert [bar.ticker for bar in listener.bars] == ["MSFT"]
        stream.watch([])
        await eventually(lambda: streamer.open == [])
        stream.watch([AAPL])
        await subscribed(streamer, "AAPL", connections=2)


async def test_what_nobody_listened_to_is_told_of_once(stream: YahooStream, streamer: Streamer, present: ManualClock) -> None:
    """Of who is new since it is watched, and of all since the last frame of a connection that was lost."""
    began = present.at
    stream.watch([AAPL])
    async with listening(stream) as listener:

        async def missed_by(seconds: int) -> Mapping[str, datetime]:
            present.at = began + seconds * SECOND
            streamer.say(HEARTBEAT)
            return (await listener.more(1))[0].missed

        await subscribed(streamer, "AAPL")
        assert await missed_by(1) == {"AAPL": began}
        assert await missed_by(2) == {}
        stream.watch([AAPL, MSFT])
        await subscribed(streamer, "AAPL", "MSFT")
        assert await missed_by(3) == {"MSFT": began + 2 * SECOND}
        present.at = began + 10 * SECOND
        streamer.abort()
        await subscribed(streamer, "AAPL", "MSFT", connections=2)
        assert await missed_by(12) == {"AAPL": began + 3 * SECOND, "MSFT": began + 3 * SECOND}
        stream.watch([MSFT])
        assert await missed_by(13) == {}


async def test_the_subscription_is_renewed(stream: YahooStream, streamer: Streamer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yahoo_stream, "RENEWAL_SECONDS", 0.02)
    stream.watch([AAPL])
    async with listening(stream):
        await subscribed(streamer, "AAPL")
        await eventually(lambda: len(streamer.clients[0].said) >= 4)
    assert all(said == {"subscribe": ["AAPL"]} for said in streamer.clients[0].said)


# ── connections that end


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_a_connection_that_ends_is_made_anew_with_all_that_is_watched(
    stream: YahooStream, streamer: Streamer, present: ManualClock, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    stream.watch([AAPL, MSFT])
    at = present.at
    async with listening(stream) as listener:
        await subscribed(streamer, "AAPL", "MSFT")
        stream.watch([AAPL, MSFT, YEN])
        for number in range(5):
            await subscribed(streamer, "AAPL", "MSFT", "USDJPY=X", connections=number + 1)
            for name in ("AAPL", "USDJPY=X"):
                streamer.tick(name, at + number * MINUTE, 100 + number)
            await taken_in(stream, "USD/JPY", 100 + number)
            present.advance(MINUTE)
            getattr(streamer, how)()
        await eventually(lambda: len(listener.bars) == 8)
    assert [bar.close for bar in listener.bars] == [Decimal(100 + number // 2) for number in range(8)]
    assert [(bar.close_time, bar.ticker) for bar in listener.bars] == sorted((b.close_time, b.ticker) for b in listener.bars)
    assert [client.said for client in streamer.clients[1:5]] == 4 * [[{"subscribe": ["AAPL", "MSFT", "USDJPY=X"]}]]
    lost = [record for record in caplog.records if "was lost" in record.getMessage()]
    assert [record.levelno for record in lost] == [logging.WARNING], "said once, for none of the others lasted"
    assert stream._failures >= 4, "whoever is sent away at once, again and again, comes back ever later"


async def test_without_subscribing_anew_nothing_would_come(stream: YahooStream, streamer: Streamer) -> None:
    forgets = ("subscribed: set[str] = set()", "subscribed = self.__dict__.setdefault('subscribed_once', set())")
    only_new = ('await socket.send(_said("subscribe", wanted))', 'await socket.send(_said("subscribe", wanted - subscribed))')
    kept = ("subscribed = wanted", "subscribed |= wanted")
    with mutated(YahooStream._keep_subscribed, forgets, only_new, kept):
        stream.watch([AAPL])
        async with listening(stream):
            await subscribed(streamer, "AAPL")
            streamer.close()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await subscribed(streamer, "AAPL", connections=2)
            assert len(streamer.clients) == 2


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_is_silent_is_given_up_and_made_anew(stream: YahooStream, streamer: Streamer) -> None:
    assert yahoo_stream.SILENCE_SECONDS == SILENCE
    stream.watch([AAPL])
    streamer.is_silent = True
    async with listening(stream) as listener:
        await subscribed(streamer, "AAPL")
        streamer.say(HEARTBEAT)
        await subscribed(streamer, "AAPL", connections=2)
        assert listener.heard == [], "silence is not told of"
        streamer.is_silent = False
        streamer.say(HEARTBEAT)
        assert await listener.more(1) == [Heard(missed={"AAPL": EVENING})]
        await eventually(lambda: not streamer.clients[0].is_open)


@pytest.mark.usefixtures("impatient")
async def test_without_the_watchdog_silence_would_last(stream: YahooStream, streamer: Streamer) -> None:
    with mutated(YahooStream._receive, ("asyncio.timeout(SILENCE_SECONDS)", "asyncio.timeout(3600)")):
        stream.watch([AAPL])
        async with listening(stream):
            await subscribed(streamer, "AAPL")
            await asyncio.sleep(4 * SILENCE)
            assert len(streamer.clients) == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("frame", "is_alive"),
    [(HEARTBEAT, True), (framed(pricing("ES=F", EVENING, 1)), True), ("?", False)],
    ids=["heartbeat", "another's price", "garbage"],
)
async def test_what_is_a_sign_of_life(stream: YahooStream, streamer: Streamer, frame: str, is_alive: bool) -> None:
    """A frame that cannot be understood is none: it would look as if nothing were traded."""
    stream.watch([AAPL])
    async with listening(stream) as listener:
        await subscribed(streamer, "AAPL")
        for _ in range(20):
            streamer.say(frame)
            await asyncio.sleep(SILENCE / 8)
        assert (len(streamer.clients) == 1) == is_alive
        assert bool(listener.heard) == is_alive
    assert listener.bars == []


async def test_waits_between_connections_grow(
    stream: YahooStream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The port is nobody's for a while."""
    monkeypatch.setattr(yahoo_stream, "LONGEST_PAUSE_SECONDS", 0.3)
    attempts: list[float] = []

    async def refuse(*_: Any, **__: Any) -> Any:
        attempts.append(asyncio.get_running_loop().time())
        raise ConnectionRefusedError("nobody is there")

    monkeypatch.setattr(yahoo_stream, "connect", refuse)
    stream.watch([AAPL])
    async with listening(stream) as listener:
        await eventually(lambda: len(attempts) == 9)
    gaps = [second - first for first, second in pairwise(attempts)]
    assert all(gap >= least for gap, least in zip(gaps, [0.01, 0.02, 0.04, 0.08, 0.15, 0.15, 0.15, 0.15], strict=True))
    assert len({round(gap, 3) for gap in gaps[4:]}) > 1, "jittered"
    assert listener.heard == []
    assert [record.levelno for record in caplog.records] == [logging.WARNING], "said once, not at every attempt"


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_lasted_is_made_anew_at_once(
    stream: YahooStream, streamer: Streamer, caplog: pytest.LogCaptureFixture
) -> None:
    stream.watch([AAPL])
    stream._failures = 8
    async with listening(stream):
        for connections in (1, 2):
            await subscribed(streamer, "AAPL", connections=connections)
            while stream._failures:
                streamer.say(HEARTBEAT)
                await asyncio.sleep(0.02)
            streamer.close()
            await eventually(lambda: stream._failures == 1)
    assert len([record for record in caplog.records if "was lost" in record.getMessage()]) == 2


@pytest.mark.parametrize("where", ["_connected", "_keep_subscribed", "_receive"])
async def test_a_fault_of_ours_ends_the_feed_aloud(stream: YahooStream, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError

    before = asyncio.all_tasks()
    monkeypatch.setattr(stream, where, broken)
    stream.watch([AAPL])
    async with aclosing(stream.heard()) as heard:
        with pytest.raises((ZeroDivisionError, ExceptionGroup)):
            await anext(heard)
    assert asyncio.all_tasks() == before


# ── a flood

TICKS = 10_000


async def test_a_flood_with_a_listener_that_is_busy_stays_small_and_right(
    stream: YahooStream, streamer: Streamer, present: ManualClock
) -> None:
    grown = await flooded(stream, streamer, present)
    shown(f"{TICKS} ticks unread: {grown / 1024:.0f} KiB held")
    assert grown < 300_000


async def test_without_the_bound_a_flood_would_pile_up(stream: YahooStream, streamer: Streamer, present: ManualClock) -> None:
    queued = "self._heard_at = self._newest_at = now; self.__dict__.setdefault('frames', []).append(frame)"
    with mutated(YahooStream._understood, ("self._heard_at = self._newest_at = now", queued)):
        assert await flooded(stream, streamer, present) > 300_000


async def flooded(stream: YahooStream, streamer: Streamer, present: ManualClock) -> int:
    """What is held, in bytes, when 10,000 ticks of two symbols and five minutes have come and nobody has taken a bar; then they
    are taken, and are right."""
    stream.watch([AAPL, MSFT])
    at = present.at
    frames = [
        framed(pricing(("MSFT", "AAPL")[number % 2], at + number * (300 * SECOND / TICKS), float(price(number)), number))
        for number in range(TICKS)
    ]
    present.advance(6 * MINUTE)
    async with aclosing(stream.heard()) as heard:
        first = asyncio.ensure_future(anext(heard))
        await subscribed(streamer, "AAPL", "MSFT")
        streamer.tick("AAPL", at + 6 * MINUTE, 1, TICKS)  # not a price that stands
        streamer.tick("MSFT", at + 6 * MINUTE, 1, TICKS)
        assert (await first).bars == (), "from here on the listener is busy"
        tracemalloc.start()
        streamer.say(*frames, framed(pricing("MSFT", at + 390 * SECOND, 2, TICKS)))
        await taken_in(stream, "MSFT", 2)
        grown = held_of("/domain/", "/providers/yahoo", "/websockets/")
        assert sum(len(series.minutes) for series in stream._minutes._series.values()) == 12
        bars = [bar for bar in (await anext(heard)).bars if bar.open_time < at + 5 * MINUTE]
    for number, bar in enumerate(bars):
        own = range(number // 2 * TICKS // 5 + (number + 1) % 2, (number // 2 + 1) * TICKS // 5, 2)
        prices = [price(each) for each in own]
        assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])
        assert bar.volume == own[-1] - (own[0] - 2 if number > 1 else own[0] or 2)
    minutes = [at + number * MINUTE for number in range(5)]
    assert [(bar.open_time, bar.ticker) for bar in bars] == [(minute, name) for minute in minutes for name in ("AAPL", "MSFT")]
    return grown


def price(number: int) -> Decimal:
    return Decimal(100 + number * 7919 % 100)


def held_of(*folders: str) -> int:
    """The bytes that code in these folders has allocated since tracing began, and holds; ends it."""
    held = tracemalloc.take_snapshot().statistics("filename")
    tracemalloc.stop()
    return sum(each.size for each in held if any(folder in each.traceback[0].filename for folder in folders))


# ── the end


@pytest.mark.parametrize("moment", [0.0, 0.001, 0.01, 0.03, 0.1])
@pytest.mark.parametrize("is_silent", [False, True])
async def test_whenever_it_is_ended_no_task_and_no_socket_is_left(
    stream: YahooStream, streamer: Streamer, moment: float, is_silent: bool
) -> None:
    streamer.is_silent = is_silent
    before = asyncio.all_tasks()
    stream.watch([AAPL])
    for _ in range(3):
        async with listening(stream):
            await asyncio.sleep(moment)
            streamer.say(HEARTBEAT)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    await eventually(lambda: streamer.open == [])


async def test_it_is_ended_while_it_is_connecting_or_waiting(
    stream: YahooStream, streamer: Streamer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yahoo_stream, "FIRST_PAUSE_SECONDS", 60)
    before = asyncio.all_tasks()
    stream.watch([AAPL])
    async with listening(stream):
        await subscribed(streamer, "AAPL")
        streamer.abort()
        await eventually(lambda: streamer.open == [])
        await asyncio.sleep(0.05)  # in its pause
    assert asyncio.all_tasks() == before
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        other = YahooStream(ManualClock(), "http://{}:{}".format(*deaf.getsockname()))
        other.watch([AAPL])
        async with listening(other):
            await asyncio.sleep(0.05)  # in the handshake
    assert asyncio.all_tasks() == before


async def test_it_may_be_closed_after_any_that_was_told(stream: YahooStream, streamer: Streamer) -> None:
    before = asyncio.all_tasks()
    stream.watch([AAPL])
    async with aclosing(stream.heard()) as heard:
        first = asyncio.ensure_future(anext(heard))
        await subscribed(streamer, "AAPL")
        streamer.say(HEARTBEAT)
        assert await first == Heard(missed={"AAPL": EVENING})
    assert asyncio.all_tasks() == before
    await eventually(lambda: streamer.open == [])
    async with listening(stream) as listener:  # and be listened to again
        await subscribed(streamer, "AAPL", connections=2)
        streamer.say(HEARTBEAT)
        assert await listener.more(1) == [Heard(missed={"AAPL": EVENING})]


# ── where it is


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("", "wss://streamer.finance.yahoo.com/?version=2"),
        ("http://127.0.0.1:8765", "ws://127.0.0.1:8765/?version=2"),
        ("https://yahoo.example.com", "wss://yahoo.example.com/?version=2"),
    ],
)
def test_addresses(url: str, address: str) -> None:
    assert _streamer(url) == address
