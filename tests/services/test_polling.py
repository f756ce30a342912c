"""A provider that is polled for minutes: what is told, how it is asked, and what its troubles stop."""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from domain.bars import Bar, Interval
from domain.errors import ProviderUnavailable, SymbolNotFound, Trouble
from domain.ports import Heard
from domain.services.polling import PollingFeed
from domain.symbols import Symbol
from providers.sample import SampleProvider
from tests.support.clock import ManualClock
from tests.support.listener import listening
from tests.support.mutants import mutated
from tests.support.provider import StubProvider, daily_bar
from tests.support.yahoo.provider import symbol
from web.settings import BUNDLED_SAMPLE

TEN = datetime(2026, 3, 25, 14, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
AAPL, MSFT, BA = symbol("AAPL"), symbol("MSFT"), symbol("BA")
PERIOD = 0.12


def minute(number: int, close: str = "100", ticker: str = "AAPL") -> Bar:
    opens = TEN + number * MINUTE
    times = {"interval": Interval.ONE_MINUTE, "open_time": opens, "close_time": opens + MINUTE}
    return daily_bar(ticker, opens.date(), close, **times)


def minutes(ticker: str, count: int) -> list[Bar]:
    return [minute(number, ticker=ticker) for number in range(count)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(TEN + 5 * MINUTE)


@pytest.fixture
def provider() -> StubProvider:
    """Tells the minutes of whom it is asked for, from ten o'clock to eternity."""
    stub = StubProvider("AAPL", "MSFT", "BA")
    stub.course = lambda ticker, _: minutes(ticker, 120)
    return stub


@pytest.fixture
def feed(provider: StubProvider, clock: ManualClock) -> PollingFeed:
    return PollingFeed(provider, clock, PERIOD)


def told(heard: Sequence[Heard]) -> list[tuple[str, int]]:
    return [(bar.ticker, (bar.open_time - TEN) // MINUTE) for each in heard for bar in each.bars]


# ── what is told


async def test_only_what_is_new_or_changed_is_told(feed: PollingFeed, provider: StubProvider, clock: ManualClock) -> None:
    feed.watch([AAPL])
    assert feed.period_seconds == PERIOD
    async with listening(feed) as listener:
        assert told(await listener.more(1)) == [("AAPL", number) for number in range(5)]
        assert await listener.more(2) == [Heard(), Heard()], "nothing new, and all is well"
        clock.advance(2 * MINUTE)
        news = [each for each in await listener.more(3) if each.bars]
        assert told(news) == [("AAPL", 5), ("AAPL", 6)]
        provider.bars = [minute(0), minute(1, "101"), *minutes("AAPL", 120)[2:]]
        news = [each for each in await listener.more(3) if each.bars]
        assert [[(bar.open_time, bar.close) for bar in each.bars] for each in news] == [[(TEN + MINUTE, Decimal(101))]]
        provider.bars = ()
        assert await listener.more(2) == [Heard(), Heard()]
        provider.bars = [minute(0), minute(1, "101"), *minutes("AAPL", 120)[2:]]
        assert await listener.more(2) == [Heard(), Heard()], "what was told is remembered, though it was not there"


async def test_the_days_minutes_are_asked_for_up_to_the_clock(
    feed: PollingFeed, provider: StubProvider, clock: ManualClock
) -> None:
    """Over midnight from the day of the last answer on: its last minutes are told the next day."""
    feed.watch([AAPL])
    async with listening(feed) as listener:
        await listener.more(1)
        clock.at = datetime(2026, 3, 26, 0, 0, 5, tzinfo=UTC)
        await listener.more(3)
        clock.at = datetime(2026, 3, 24, 23, 0, tzinfo=UTC)  # a clock that was wrong
        await listener.more(3)
    asked = list(dict.fromkeys((start.day, until.day) for _, start, until in provider.asked))
    assert asked == [(25, 25), (25, 26), (26, 26), (24, 24)]


async def test_minutes_of_yesterday_are_forgotten(feed: PollingFeed, provider: StubProvider, clock: ManualClock) -> None:
    feed.watch([AAPL])
    async with listening(feed) as listener:
        await listener.more(1)
        assert len(feed._told["AAPL"].bars) == 5
        provider.bars = ()
        clock.advance(timedelta(days=1))
        await listener.more(3)
    assert feed._told["AAPL"].bars == {}


async def test_the_sample_market_is_told_as_it_was(clock: ManualClock) -> None:
    clock.at = datetime(2026, 3, 25, 15, 0, tzinfo=UTC)
    sample = SampleProvider(BUNDLED_SAMPLE, clock)
    assert sample.live() is None
    feed = PollingFeed(sample, clock, PERIOD)
    spy = Symbol.tracked(await sample.profile("SPY"), None, None)
    feed.watch([spy])
    heard: list[Heard] = []
    async with listening(feed) as listener:
        heard += await listener.more(1)
        clock.advance(5 * MINUTE)
        heard += await listener.more(3)
    whole = await sample.history(spy, Interval.ONE_MINUTE, date(2026, 3, 25), clock.at)
    assert len(whole.bars) > 60
    assert tuple(bar for each in heard for bar in each.bars) == whole.bars


# ── how it is asked


class Asked:
    """Notes when each asking begins, and how many there are at once."""

    def __init__(self, provider: StubProvider, seconds: float = 0.0) -> None:
        self.begun: list[tuple[str, float]] = []
        self.most = self._now = 0
        self._seconds = seconds
        provider.before_answer_on = self._note

    async def _note(self, ticker: str) -> None:
        self.begun.append((ticker, time.monotonic()))
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(self._seconds)
        self._now -= 1


async def test_each_is_asked_for_once_a_period_and_never_two_at_once(provider: StubProvider, clock: ManualClock) -> None:
    """Spread over the period, without a burst even at the start."""
    assert await shortest_gap_of_three(provider, clock) >= 0.05
    with mutated(PollingFeed._turn, ("/ len(self._queue) if", "/ 1000 if")):
        assert await shortest_gap_of_three(provider, clock) < 0.05


async def shortest_gap_of_three(provider: StubProvider, clock: ManualClock) -> float:
    """Between two askings of three symbols, where it should be 0.1 s."""
    feed, asked = PollingFeed(provider, clock, 0.3), Asked(provider)
    feed.watch([AAPL, MSFT, BA])
    async with listening(feed) as listener:
        await listener.more(9)
    assert [ticker for ticker, _ in asked.begun[:9]] == 3 * ["AAPL", "MSFT", "BA"]
    assert asked.most == 1
    return min(second - first for first, second in pairwise(at for _, at in asked.begun))


async def test_a_slow_provider_is_not_hurried(feed: PollingFeed, provider: StubProvider) -> None:
    """Each answer takes a whole period: then two symbols take two, and what was missed is not made up for."""
    asked = Asked(provider, PERIOD)
    feed.watch([AAPL, MSFT])
    async with listening(feed) as listener:
        await listener.more(6)
    assert asked.most == 1
    assert [ticker for ticker, _ in asked.begun[:6]] == 3 * ["AAPL", "MSFT"]


async def test_what_is_watched_changes(feed: PollingFeed, provider: StubProvider) -> None:
    async with listening(feed) as listener:
        await asyncio.sleep(2 * PERIOD)
        assert (listener.heard, provider.asked) == ([], []), "nothing is watched"
        feed.watch([AAPL])
        assert told(await listener.more(1)) == [("AAPL", number) for number in range(5)]
        feed.watch([AAPL, MSFT])
        assert told(await listener.more(1)) == [("MSFT", number) for number in range(5)], "who is new is next"
        feed.watch([MSFT])
        asked = Asked(provider)
        await listener.more(3)
        assert {ticker for ticker, _ in asked.begun} == {"MSFT"}
        feed.watch([MSFT, AAPL])
        assert told(await listener.more(1)) == [("AAPL", number) for number in range(5)], "again, after it was left out"
        feed.watch([])
        asked = Asked(provider)
        await asyncio.sleep(2 * PERIOD)
        assert asked.begun == []


async def test_who_is_left_out_while_it_is_asked_for_is_not_told(feed: PollingFeed, provider: StubProvider) -> None:
    asked = Asked(provider, 0.05)
    feed.watch([AAPL, MSFT])
    async with listening(feed) as listener:
        while not asked.begun:  # noqa: ASYNC110 - two tasks of one loop
            await asyncio.sleep(0.001)
        feed.watch([MSFT])
        assert {ticker for ticker, _ in told(await listener.more(1))} == {"MSFT"}


# ── when it does not answer


async def test_a_refusal_tells_nothing_and_is_logged_once(
    feed: PollingFeed, provider: StubProvider, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse() -> None:
        raise ProviderUnavailable("stub", Trouble.RATE_LIMITED, "asks for fewer requests", len(provider.asked))

    feed.watch([AAPL, MSFT])
    provider.before_answer = refuse
    async with listening(feed) as listener:
        while len(provider.asked) < 6:  # noqa: ASYNC110 - two tasks of one loop
            await asyncio.sleep(0.01)
        assert listener.heard == []
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert "the minutes of AAPL cannot be had: The provider stub asks for fewer requests." in caplog.text
        provider.before_answer = None
        assert len(await listener.more(4)) == 4
        provider.before_answer = refuse
        asked = len(provider.asked)
        while len(provider.asked) < asked + 4:  # noqa: ASYNC110 - two tasks of one loop
            await asyncio.sleep(0.01)
    assert len(caplog.records) == 2, "a trouble that comes again is said again"


async def test_a_symbols_failure_stops_no_other(
    feed: PollingFeed, provider: StubProvider, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(ticker: str) -> None:
        if ticker == "BA":
            raise SymbolNotFound("BA", "is not known to the provider stub")
        if ticker == "SPY":
            raise KeyError("a fault of ours")
        if ticker == "MSFT":
            await asyncio.sleep(1)

    feed.watch([BA, symbol("SPY"), MSFT, AAPL])
    provider.before_answer_on = refuse
    async with listening(feed) as listener:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("domain.services.asking.PROVIDER_SECONDS", 0.05)
            heard = await listener.more(4)
    assert {ticker for ticker, _ in told(heard)} == {"AAPL"}
    assert [record.getMessage() for record in caplog.records] == [
        "the minutes of BA cannot be had: BA is not known to the provider stub.",
        "the minutes of SPY cannot be had: 'a fault of ours'",
        "the minutes of MSFT cannot be had: The provider stub did not answer within 0.05 s.",
    ]


@pytest.mark.parametrize("moment", [0.0, 0.01, 0.06, 0.2])
async def test_whenever_it_is_ended_nothing_is_left(feed: PollingFeed, provider: StubProvider, moment: float) -> None:
    before = asyncio.all_tasks()
    Asked(provider, 0.03)
    feed.watch([AAPL, MSFT])
    async with listening(feed):
        await asyncio.sleep(moment)
    assert asyncio.all_tasks() == before
