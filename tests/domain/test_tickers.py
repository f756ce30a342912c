from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.errors import InvalidTicker
from domain.tickers import AssetClass, Form, check_class, form_of, normalise, pair_of


@pytest.mark.parametrize(
    ("text", "ticker", "form"),
    [
        ("aapl", "AAPL", Form.LISTED),
        (" brk.b ", "BRK-B", Form.LISTED),
        ("BRK-B", "BRK-B", Form.LISTED),
        ("brk/b", "BRK-B", Form.LISTED),
        ("brk b", "BRK-B", Form.LISTED),
        ("bf.b", "BF-B", Form.LISTED),
        ("moog.a", "MOOG-A", Form.LISTED),
        ("cef.k", "CEF-K", Form.LISTED),
        ("vod.l", "VOD.L", Form.LISTED),
        ("7203.t", "7203.T", Form.LISTED),
        ("0700.hk", "0700.HK", Form.LISTED),
        ("rci.b.to", "RCI-B.TO", Form.LISTED),
        ("bac-pl", "BAC-PL", Form.LISTED),
        ("f", "F", Form.LISTED),
        ("btc", "BTC", Form.LISTED),
        ("ＡＡＰＬ", "AAPL", Form.LISTED),
        ("^gspc", "^GSPC", Form.INDEX),
        ("spx", "SPX", Form.LISTED),
        ("eurusd", "EUR/USD", Form.FOREX),
        ("EUR-USD", "EUR/USD", Form.FOREX),
        ("eur usd", "EUR/USD", Form.FOREX),
        ("eur_usd", "EUR/USD", Form.FOREX),
        ("xau/usd", "XAU/USD", Form.FOREX),
        ("btcusd", "BTC-USD", Form.CRYPTO),
        ("BTC/USD", "BTC-USD", Form.CRYPTO),
        ("btc-usd", "BTC-USD", Form.CRYPTO),
        ("btcusdt", "BTC-USDT", Form.CRYPTO),
        ("ethbtc", "ETH-BTC", Form.CRYPTO),
        ("dogeusd", "DOGE-USD", Form.CRYPTO),
        ("1inch-usd", "1INCH-USD", Form.CRYPTO),
    ],
)
def test_spellings(text: str, ticker: str, form: Form) -> None:
    assert normalise(text) == ticker
    assert form_of(ticker) is form


@pytest.mark.parametrize("name", ["ETHE", "BTCS", "USDP", "EURN", "BTCM", "GBTC", "BITO", "METH", "SOLAR", "LINKD"])
def test_a_stock_whose_name_holds_a_coin_or_a_currency_is_still_a_stock(name: str) -> None:
    assert normalise(name) == name
    assert form_of(name) is Form.LISTED


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("NASDAQ:AAPL", "AAPL"),
        ("$aapl", "AAPL"),
        ("EURUSD=X", "EUR/USD"),
        ("AAPL US Equity", "AAPL"),
        ("AAPL;", "AAPL"),
    ],
)
def test_what_is_no_ticker_is_refused_with_a_suggestion(text: str, suggestion: str) -> None:
    with pytest.raises(InvalidTicker) as refusal:
        normalise(text)
    assert suggestion in refusal.value.suggestions
    assert refusal.value.ticker == text


@pytest.mark.parametrize("text", ["", "   ", "EUR/EUR", "A" * 33, "A.B.C.D", "--", "é", "ß", "AAPL\x00", "A/B/C", "."])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(InvalidTicker):
        normalise(text)


def test_a_long_text_is_not_echoed_whole() -> None:
    with pytest.raises(InvalidTicker) as refusal:
        normalise("A" * 100_000)
    assert len(refusal.value.ticker) < 40


spelling = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="ABCKUSDERT^./-_ :=abek0", max_size=14),
    st.sampled_from(["BTC", "ETH", "EUR", "USD", "BRK", "USDT"]).flatmap(
        lambda a: st.tuples(
            st.just(a),
            st.sampled_from(["", "-", "/", ".", " ", "_"]),
            st.sampled_from(["USD", "B", "EUR", "L", "USDT"]),
        ).map("".join)
    ),
)


@given(spelling)
@example("USD.B.K")
def test_total_and_idempotent(text: str) -> None:
    ticker = tried(text)
    if ticker is not None:
        assert [tried(ticker), tried(ticker.lower()), tried(f"  {ticker} ")] == [ticker] * 3
        assert (pair_of(ticker) is not None) == (form_of(ticker) in (Form.FOREX, Form.CRYPTO))


@given(spelling)
def test_a_suggestion_is_a_ticker(text: str) -> None:
    with suppress(InvalidTicker):
        normalise(text)
        return
    with pytest.raises(InvalidTicker) as refusal:
        normalise(text)
    assert [normalise(suggestion) for suggestion in refusal.value.suggestions] == list(refusal.value.suggestions)


def tried(text: str) -> str | None:
    try:
        return normalise(text)
    except InvalidTicker:
        return None


def test_pairs() -> None:
    assert pair_of("EUR/USD") == ("EUR", "USD")
    assert pair_of("BTC-USD") == ("BTC", "USD")
    assert pair_of("BRK-B") is None
    assert pair_of("^GSPC") is None


@pytest.mark.parametrize(
    ("ticker", "asset_class"),
    [
        ("AAPL", AssetClass.FOREX),
        ("AAPL", AssetClass.CRYPTO),
        ("EUR/USD", AssetClass.CRYPTO),
        ("BTC-USD", AssetClass.STOCK),
        ("^GSPC", AssetClass.ETF),
    ],
)
def test_a_class_that_the_ticker_cannot_have(ticker: str, asset_class: AssetClass) -> None:
    with pytest.raises(InvalidTicker):
        check_class(ticker, asset_class)


def test_a_coin_without_its_quote_is_helped() -> None:
    with pytest.raises(InvalidTicker) as refusal:
        check_class("FOOUSD", AssetClass.CRYPTO)
    assert refusal.value.suggestions == ("FOO-USD",)
    check_class("FOO-USD", AssetClass.CRYPTO)
