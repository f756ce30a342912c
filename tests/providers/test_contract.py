"""What every provider owes the services, held against each: the recorded market, Yahoo on the stub, and the tests' own."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from domain.bars import Interval
from domain.errors import SymbolNotFound
from domain.ports import MarketDataProvider
from domain.quotes import Quote
from domain.symbols import Symbol
from domain.tickers import AssetClass
from providers.sample import SampleProvider
from providers.yahoo import YahooProvider
from tests.support.clock import EVENING, ManualClock
from tests.support.provider import StubProvider, profile, wave
from web.settings import BUNDLED_SAMPLE


def _stub() -> StubProvider:
    stub = StubProvider("AAPL", "MSFT")
    stub.bars = wave("AAPL", EVENING.date() - timedelta(days=1))
    at = EVENING - timedelta(minutes=30)
    stub.prices = {ticker: Quote(ticker, Decimal("248.8"), at, "USD", Decimal(250)) for ticker in stub.profiles}
    return stub


@pytest.fixture(params=["sample", "yahoo", "stub"])
def provider(request: pytest.FixtureRequest) -> MarketDataProvider:
    """Its present is the last evening of the sample market; it knows AAPL and MSFT, and not ZZZZ."""
    makers: dict[str, Callable[[], MarketDataProvider]] = {
        "sample": lambda: SampleProvider(BUNDLED_SAMPLE, ManualClock()),
        "yahoo": lambda: _yahoo(request),
        "stub": _stub,
    }
    return makers[request.param]()


def _yahoo(request: pytest.FixtureRequest) -> YahooProvider:
    found = request.getfixturevalue("yahoo")
    assert isinstance(found, YahooProvider)
    return found


async def tracked(provider: MarketDataProvider, ticker: str) -> Symbol:
    return Symbol.tracked(await provider.profile(ticker), None, None)


async def test_it_says_what_it_is(provider: MarketDataProvider) -> None:
    assert provider.name in ("sample", "yahoo", "stub")
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
