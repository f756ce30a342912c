"""What every provider owes the services, held against each: the recorded market, Yahoo and Massive on their stubs, and the
tests' own. The first three tell of one market, and so the same."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from domain.bars import ActionKind, Bar, History, Interval, split_adjusted
from domain.errors import ProviderUnavailable, SymbolNotFound
from domain.ports import MarketDataProvider
from domain.quotes import Quote
from domain.symbols import Symbol
from domain.tickers import AssetClass
from providers.sample import SampleProvider
from tests.support.clock import EVENING, ManualClock
from tests.support.massive.server import MassiveStub
from tests.support.provider import StubProvider, profile, wave
from web.settings import BUNDLED_SAMPLE


def _stub() -> StubProvider:
    stub = StubProvider("AAPL", "MSFT")
    stub.bars = wave("AAPL", EVENING.date() - timedelta(days=1))
    at = EVENING - timedelta(minutes=30)
    stub.prices = {ticker: Quote(ticker, Decimal("248.8"), at, "USD", Decimal(250)) for ticker in stub.profiles}
    return stub


@pytest.fixture
def sample(present: ManualClock) -> SampleProvider:
    present.at = EVENING
    return SampleProvider(BUNDLED_SAMPLE, present)


@pytest.fixture
def stubbed() -> StubProvider:
    return _stub()


@pytest.fixture(params=["sample", "yahoo", "massive", "stubbed"])
def provider(request: pytest.FixtureRequest) -> MarketDataProvider:
    """Its present is the last evening of the sample market; it knows AAPL and MSFT, and not ZZZZ."""
    found: MarketDataProvider = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["sample", "yahoo", "massive"])
def market(request: pytest.FixtureRequest) -> MarketDataProvider:
    """One that tells of the whole sample market, whose present is that of `present`."""
    found: MarketDataProvider = request.getfixturevalue(request.param)
    return found


async def tracked(provider: MarketDataProvider, ticker: str) -> Symbol:
    return Symbol.tracked(await provider.profile(ticker), None, None)


async def test_it_says_what_it_is(provider: MarketDataProvider) -> None:
    assert provider.name in ("sample", "yahoo", "massive", "stub")
    assert AssetClass.STOCK in provider.asset_classes


async def test_profile(provider: MarketDataProvider) -> None:
    found = await provider.profile("AAPL")
    assert (found.ticker, found.asset_class, found.exchange, found.currency) == ("AAPL", AssetClass.STOCK, "XNAS", "USD")
    assert found.name
    with pytest.raises(SymbolNotFound, match=f"ZZZZ is not known to the provider {provider.name}"):
        await provider.profile("ZZZZ")


async def test_search(provider: MarketDataProvider) -> None:
    assert await provider.search("AAPL", 5) == [await provider.profile("AAPL")]
    assert len(await provider.search("A", 1)) == 1
    assert await provider.search("no such thing", 5) == []


async def test_history(provider: MarketDataProvider) -> None:
    symbol = await tracked(provider, "AAPL")
    start = date(2026, 3, 2)
    told = await provider.history(symbol, Interval.ONE_DAY, start, EVENING)
    opens = [bar.open_time for bar in told.bars]
    assert len(opens) >= 15
    assert opens == sorted(set(opens)), "oldest first, each once"
    assert all(start <= bar.day and bar.close_time <= EVENING for bar in told.bars)
    assert all(bar.ticker == "AAPL" and bar.interval is Interval.ONE_DAY and bar.is_final for bar in told.bars)
    assert {bar.source for bar in told.bars} == {provider.name}
    assert all(bar.day <= bar.adjusted_to <= EVENING.date() for bar in told.bars)
    again = await provider.history(symbol, Interval.ONE_DAY, start, EVENING)
    assert again == told, "what has not changed is told alike: it is no news"


async def test_history_ends_where_it_was_asked_to(provider: MarketDataProvider) -> None:
    symbol = await tracked(provider, "AAPL")
    whole = await provider.history(symbol, Interval.ONE_DAY, date(2026, 3, 2), EVENING)
    last = whole.bars[-3]
    for until, expected in ((last.close_time, -2), (last.close_time - timedelta(microseconds=1), -3)):
        part = await provider.history(symbol, Interval.ONE_DAY, date(2026, 3, 2), until)
        assert part.bars == whole.bars[:expected]


async def test_no_history(provider: MarketDataProvider) -> None:
    symbol = await tracked(provider, "AAPL")
    tomorrow = EVENING + timedelta(days=1)
    assert (await provider.history(symbol, Interval.ONE_DAY, tomorrow.date(), tomorrow)).bars == ()
    long_ago = await provider.history(symbol, Interval.ONE_DAY, date(2001, 1, 1), datetime(2001, 2, 1, tzinfo=UTC))
    assert long_ago.bars == ()
    unknown = Symbol.tracked(profile("ZZZZ"), None, None)
    with pytest.raises(SymbolNotFound, match=f"ZZZZ is not known to the provider {provider.name}"):
        await provider.history(unknown, Interval.ONE_DAY, date(2026, 3, 2), EVENING)


async def test_quotes(provider: MarketDataProvider) -> None:
    quotes = await provider.quotes(["MSFT", "ZZZZ", "AAPL"])
    assert [quote.ticker for quote in quotes] == ["MSFT", "AAPL"]
    for quote in quotes:
        assert quote.price > 0
        assert quote.currency == "USD"
        assert EVENING - timedelta(days=1) < quote.at <= EVENING
        assert quote.at.utcoffset() == timedelta()
        assert quote.previous_close is not None
    assert quotes[1].price == Decimal("248.8"), "the close of the last day"
    assert await provider.quotes(["ZZZZ"]) == []
    assert await provider.quotes([]) == []


async def test_a_provider_without_a_stream_says_so(provider: MarketDataProvider) -> None:
    feed = provider.live()
    assert (feed is None) == (provider.name != "yahoo")
    if feed is not None:
        assert feed.period_seconds == 0, "it is pushed to"


# ── one market, told alike

EVERY_CLASS = ("AAPL", "SPY", "BTC-USD", "EUR/USD")
OF_THE_PRESENT = EVERY_CLASS[:-1]
"""Of EUR/USD less was recorded; the stubs move it to the present."""
FIRST = date(2026, 3, 25)
"""From then on there are minutes."""


async def recorded(ticker: str, interval: Interval, at: datetime = EVENING, start: date = FIRST) -> Sequence[Bar]:
    """The bars of the sample market that are over."""
    sample = SampleProvider(BUNDLED_SAMPLE, ManualClock(at))
    return (await sample.history(await tracked(sample, ticker), interval, start, at)).bars


def near(ours: Bar, theirs: Bar) -> bool:
    """Equal as far as 32 bits reach, which is what Yahoo's charts are sent in."""
    pairs = [(getattr(ours, name), getattr(theirs, name)) for name in ("open", "high", "low", "close")]
    return all(abs(one - other) <= other * Decimal("1e-6") for one, other in pairs)


@pytest.mark.parametrize("ticker", EVERY_CLASS)
async def test_profiles_of_every_class(market: MarketDataProvider, ticker: str) -> None:
    found = await market.profile(ticker)
    sample = await SampleProvider(BUNDLED_SAMPLE, ManualClock()).profile(ticker)
    assert found.asset_class in market.asset_classes
    assert (found.ticker, found.asset_class, found.exchange) == (ticker, sample.asset_class, sample.exchange)
    assert found.currency == "USD", "the major unit, in capitals"


@pytest.mark.parametrize("ticker", OF_THE_PRESENT)
async def test_days(market: MarketDataProvider, ticker: str) -> None:
    told = await market.history(await tracked(market, ticker), Interval.ONE_DAY, date(2026, 1, 5), EVENING)
    over = [bar for bar in told.bars if bar.is_final]
    expected = await recorded(ticker, Interval.ONE_DAY, start=date(2026, 1, 5))
    assert [(bar.open_time, bar.close_time) for bar in over] == [(bar.open_time, bar.close_time) for bar in expected]
    assert all(near(ours, theirs) for ours, theirs in zip(over, expected, strict=True))
    assert told.refused == 0


@pytest.mark.parametrize("ticker", OF_THE_PRESENT)
async def test_minutes(market: MarketDataProvider, ticker: str) -> None:
    """Those of trading hours that are over, oldest first; final where their day is over."""
    told = await market.history(await tracked(market, ticker), Interval.ONE_MINUTE, FIRST, EVENING)
    expected = await recorded(ticker, Interval.ONE_MINUTE)
    assert [bar.open_time for bar in told.bars] == [bar.open_time for bar in expected]
    assert all(near(ours, theirs) for ours, theirs in zip(told.bars, expected, strict=True))
    assert {bar.close_time - bar.open_time for bar in told.bars} == {timedelta(minutes=1)}
    midnight = datetime(2026, 3, 27, tzinfo=UTC)
    assert all(bar.is_final == (ticker != "BTC-USD" or bar.open_time < midnight) for bar in told.bars)
    assert {bar.source for bar in told.bars} == {market.name}
    assert all(bar.day <= bar.adjusted_to <= EVENING.date() for bar in told.bars)


async def test_minutes_of_a_day_that_is_under_way(market: MarketDataProvider, present: ManualClock) -> None:
    present.at = datetime(2026, 3, 27, 15, 0, 30, tzinfo=UTC)
    told = await market.history(await tracked(market, "AAPL"), Interval.ONE_MINUTE, date(2026, 3, 26), present.at)
    today = [bar for bar in told.bars if bar.day == present.at.date()]
    assert (today[0].open_time, today[-1].close_time) == (
        present.at.replace(hour=13, minute=30, second=0),
        present.at.replace(second=0),
    )
    assert not any(bar.is_final for bar in today)
    assert all(bar.is_final for bar in told.bars if bar not in today)


@pytest.mark.parametrize("ticker", OF_THE_PRESENT)
async def test_the_day_under_way_is_told_as_it_stands_or_not_at_all(
    market: MarketDataProvider, present: ManualClock, ticker: str
) -> None:
    present.at = now = datetime(2026, 3, 27, 15, 0, 30, tzinfo=UTC)
    symbol = await tracked(market, ticker)
    told = await market.history(symbol, Interval.ONE_DAY, FIRST, now)
    over = await recorded(ticker, Interval.ONE_DAY, now)
    assert [bar.open_time for bar in told.bars if bar.is_final] == [bar.open_time for bar in over]
    news = [bar for bar in told.bars if not bar.is_final]
    assert news == list(told.bars[len(over) :]), "it is the newest"
    assert len(news) == (0 if market.name == "sample" else 1)
    for bar in news:
        assert bar.open_time < bar.close_time <= now
        assert now - bar.close_time <= timedelta(minutes=15)
        assert bar.day == now.date()
    past = await market.history(symbol, Interval.ONE_DAY, FIRST, now - timedelta(hours=1))
    assert all(bar.is_final for bar in past.bars), "what is told now is not of then"


async def test_currencies_have_days_from_monday_to_friday(market: MarketDataProvider) -> None:
    """Each of a whole UTC day; what is traded on Sunday evening belongs to no day bar, as everyone's day bar has it."""
    end = EVENING if market.name != "sample" else datetime(2025, 8, 8, 20, tzinfo=UTC)
    start = end.date() - timedelta(days=9)
    told = await market.history(await tracked(market, "EUR/USD"), Interval.ONE_DAY, start, end)
    over = [bar for bar in told.bars if bar.is_final]
    days = [start + timedelta(days=n) for n in range(9)]
    assert [bar.open_time.date() for bar in over] == [day for day in days if day.weekday() < 5]
    assert {bar.close_time - bar.open_time for bar in over} == {timedelta(days=1)}
    assert [bar.day for bar in told.bars if bar not in over] == ([] if market.name == "sample" else [end.date()])


async def test_a_split_is_told_and_applied_once(market: MarketDataProvider) -> None:
    symbol, start = await tracked(market, "NFLX"), date(2025, 10, 1)
    told = await market.history(symbol, Interval.ONE_DAY, start, EVENING)
    (split,) = [action for action in told.actions if action.kind is ActionKind.SPLIT]
    assert (split.ex_date, split.value, split.source) == (date(2025, 11, 17), Decimal(10), market.name)
    ours = split_adjusted(told.bars, told.actions, EVENING.date())
    expected = split_adjusted(await recorded("NFLX", Interval.ONE_DAY, start=start), [split], EVENING.date())
    assert all(near(one, other) for one, other in zip(ours, expected, strict=True))
    assert all(0.8 < now.close / before.close < 1.2 for before, now in pairwise(ours)), "it is no return"
    before = await market.history(symbol, Interval.ONE_DAY, start, datetime(2025, 11, 1, tzinfo=UTC))
    assert before.actions == (), "it was after what was asked for"
    assert before.bars == told.bars[: len(before.bars)]


async def test_dividends_are_a_share_of_the_price_of_their_day(market: MarketDataProvider) -> None:
    told = await market.history(await tracked(market, "AAPL"), Interval.ONE_DAY, date(2025, 3, 20), EVENING)
    assert [(action.ex_date, action.value, action.kind) for action in told.actions] == [
        (date(2025, 5, 12), Decimal("0.26"), ActionKind.DIVIDEND),
        (date(2025, 8, 11), Decimal("0.26"), ActionKind.DIVIDEND),
        (date(2025, 11, 10), Decimal("0.26"), ActionKind.DIVIDEND),
        (date(2026, 2, 9), Decimal("0.26"), ActionKind.DIVIDEND),
    ]


# ── what it refuses, and what it leaves behind


async def test_what_it_does_not_serve_is_refused_and_has_no_reach(market: MarketDataProvider) -> None:
    symbol = await tracked(market, "AAPL")
    for interval in Interval:
        if market.reach(symbol.asset_class, interval) is None:
            with pytest.raises(ProviderUnavailable, match=rf"does not serve bars of {interval.value}\."):
                await market.history(symbol, interval, FIRST, EVENING)
        else:
            assert (await market.history(symbol, interval, FIRST, EVENING)).bars


async def test_its_reach_is_what_it_answers(market: MarketDataProvider, massive_stub: MassiveStub) -> None:
    """The longest request that it accepts is answered, and the oldest; beyond it is nothing, or a refusal that says so."""
    massive_stub.plan_from = EVENING.date() - timedelta(days=730)
    symbol = await tracked(market, "AAPL")
    for interval in (Interval.ONE_DAY, Interval.ONE_MINUTE):
        reach = market.reach(symbol.asset_class, interval)
        assert reach is not None
        at_once = timedelta(days=reach.days_at_once or 365)
        newest = await market.history(symbol, interval, (EVENING - at_once).date() + timedelta(days=1), EVENING)
        assert newest.bars
        back = EVENING - timedelta(days=reach.days_back or 365)
        oldest = await market.history(symbol, interval, back.date(), back + timedelta(days=1))
        assert all(bar.day >= back.date() for bar in oldest.bars)
        if reach.days_back is not None:
            beyond = back - timedelta(days=10)
            with suppress(NotCovered):
                assert (await told_of(market, symbol, interval, beyond)).bars == ()


class NotCovered(Exception):
    """The refusal of what is beyond its reach."""


async def told_of(market: MarketDataProvider, symbol: Symbol, interval: Interval, day: datetime) -> History:
    try:
        return await market.history(symbol, interval, day.date(), day + timedelta(days=1))
    except ProviderUnavailable as refusal:
        raise NotCovered if "does not cover" in refusal.message else refusal from None


async def test_who_gives_up_leaves_nothing_behind(market: MarketDataProvider) -> None:
    symbol = await tracked(market, "AAPL")
    before = asyncio.all_tasks()
    for pause in (0, 0.001, 0.01):
        asked = asyncio.create_task(market.history(symbol, Interval.ONE_DAY, FIRST, EVENING))
        await asyncio.sleep(pause)
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await asked
    assert asyncio.all_tasks() == before
    assert len((await market.history(symbol, Interval.ONE_DAY, FIRST, EVENING)).bars) == 3
