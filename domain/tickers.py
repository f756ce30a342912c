"""What a ticker is: the asset classes, the grammar, and the one normaliser.

Four forms, told apart by their text alone:

    listed   AAPL  BRK-B  VOD.L  RCI-B.TO  0700.HK     stocks, ETFs, indices
    index    ^GSPC                                     indices
    forex    EUR/USD                                   two ISO 4217 currencies
    crypto   BTC-USD                                   a coin, and what it is quoted in

A stock's name is never searched for currencies or coins: a pair is a pair only when its whole text splits into two codes.
"""

import re
import unicodedata
from enum import Enum

from domain.errors import InvalidTicker


class AssetClass(Enum):
    """The values are what the database holds."""

    STOCK = "stock"
    ETF = "etf"
    CRYPTO = "crypto"
    FOREX = "forex"
    INDEX = "index"


class Form(Enum):
    LISTED = "listed"
    INDEX = "index"
    FOREX = "forex"
    CRYPTO = "crypto"


FORMS = {
    AssetClass.STOCK: {Form.LISTED},
    AssetClass.ETF: {Form.LISTED},
    AssetClass.INDEX: {Form.LISTED, Form.INDEX},
    AssetClass.FOREX: {Form.FOREX},
    AssetClass.CRYPTO: {Form.CRYPTO},
}


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


CURRENCIES = _codes(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNH CNY
    COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR
    IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR
    MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD
    SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XAG XAU
    XCD XOF XPD XPF XPT YER ZAR ZMW ZWG
    """
)
"""ISO 4217, with the offshore yuan and the four metals."""
COINS = _codes(
    """
    AAVE ADA ALGO APT ARB ATOM AVAX BCH BNB BTC DAI DOGE DOT EOS ETC ETH FIL GRT HBAR ICP INJ LINK LTC MATIC MKR NEAR PEPE POL
    RUNE SHIB SOL SUI TON TRX UNI USDC USDT VET XLM XMR XRP XTZ
    """
)
"""Coins recognised without a separator (BTCUSD); with one, any coin will do (PEPE2-USD)."""
COIN_QUOTES = _codes(
    """
    AUD BRL CAD CHF CNY EUR GBP INR JPY KRW TRY USD USDC USDT BTC ETH BNB
    """
)

LONGEST = 32
LONGEST_WRITTEN = 4 * LONGEST
"""With spaces around it."""
_LISTED = re.compile(r"[A-Z0-9]{1,12}(-[A-Z0-9]{1,4})?(\.[A-Z]{1,4})?")
_INDEX = re.compile(r"\^[A-Z0-9]{1,12}(\.[A-Z]{1,4})?")
_COIN = re.compile(r"[A-Z0-9]{2,12}")
_SHARE_CLASS_DOT = re.compile(r"^([A-Z0-9]+)[./ ]([ABCK])(?=$|\.)")
_SEPARATOR = re.compile(r"[-/_ ]")


def normalise(text: str) -> str:
    """The canonical ticker that `text` spells: ` brk.b ` → BRK-B, `eurusd` → EUR/USD, `btcusd` → BTC-USD.

    Total and idempotent. Raises InvalidTicker, with suggestions where there are any, for what is no ticker.
    """
    ticker, reason = _canonical(text)
    if ticker is None:
        raise InvalidTicker(_shown(text), reason, _suggestions(text))
    return ticker


def form_of(ticker: str) -> Form:
    """The form of a canonical ticker."""
    if "/" in ticker:
        return Form.FOREX
    if ticker.startswith("^"):
        return Form.INDEX
    base, _, quote = ticker.partition("-")
    return Form.CRYPTO if _is_crypto(base, quote) else Form.LISTED


def pair_of(ticker: str) -> tuple[str, str] | None:
    """Base and quote of a canonical pair; None for listed instruments."""
    if form_of(ticker) in (Form.LISTED, Form.INDEX):
        return None
    base, quote = re.split("[-/]", ticker)
    return base, quote


def check_class(ticker: str, asset_class: AssetClass) -> None:
    """Raises InvalidTicker when a canonical ticker cannot be of this class: AAPL is no currency pair."""
    if form_of(ticker) in FORMS[asset_class]:
        return
    suggestions: tuple[str, ...] = ()
    if asset_class is AssetClass.CRYPTO and form_of(ticker) is Form.LISTED:
        suggestions = tuple(s for s in (_split_coin(ticker), f"{ticker}-USD") if s and _canonical(s)[0] == s)[:1]
    raise InvalidTicker(ticker, _NEEDED[asset_class], suggestions)


_NEEDED = {
    AssetClass.STOCK: "a stock is listed under a name such as AAPL, BRK-B or VOD.L",
    AssetClass.ETF: "an ETF is listed under a name such as SPY",
    AssetClass.INDEX: "an index has a name such as ^GSPC or SPX",
    AssetClass.FOREX: "a currency pair is two ISO 4217 codes, such as EUR/USD",
    AssetClass.CRYPTO: "a crypto pair is a coin and its quote, such as BTC-USD",
}


def _canonical(text: str) -> tuple[str | None, str]:
    """The ticker, or None and why not."""
    clean = " ".join(unicodedata.normalize("NFKC", text[:LONGEST_WRITTEN]).split())
    if not clean:
        return None, "it is empty"
    if len(clean) > LONGEST or len(text) > LONGEST_WRITTEN:
        return None, f"it is longer than {LONGEST} characters"
    if not re.fullmatch(r"[A-Za-z0-9^./_ -]+", clean):
        return None, "only letters, digits and . - / ^ belong in one"
    clean = clean.upper()
    clean = _SHARE_CLASS_DOT.sub(r"\1-\2", clean)
    pair = _pair(clean)
    if pair is not None:
        base, quote = pair
        return (None, "a pair needs two different currencies") if base == quote else (_joined(base, quote), "")
    if _LISTED.fullmatch(clean) or _INDEX.fullmatch(clean):
        return clean, ""
    return None, "it is neither a listed name (AAPL, BRK-B, VOD.L, ^GSPC) nor a pair (EUR/USD, BTC-USD)"


def _pair(text: str) -> tuple[str, str] | None:
    parts = _SEPARATOR.split(text)
    if len(parts) == 2:
        base, quote = parts
        return (base, quote) if {base, quote} <= CURRENCIES or _is_crypto(base, quote) else None
    if len(text) == 6 and {text[:3], text[3:]} <= CURRENCIES:
        return text[:3], text[3:]
    for size in (4, 3):
        if text[:-size] in COINS and text[-size:] in COIN_QUOTES:
            return text[:-size], text[-size:]
    return None


def _is_crypto(base: str, quote: str) -> bool:
    """Whether two codes are a coin and its quote: not two currencies, and the quote one that coins are quoted in."""
    return quote in COIN_QUOTES and bool(_COIN.fullmatch(base)) and not {base, quote} <= CURRENCIES


def _joined(base: str, quote: str) -> str:
    return f"{base}/{quote}" if {base, quote} <= CURRENCIES else f"{base}-{quote}"


def _split_coin(ticker: str) -> str | None:
    """`FOOUSD` → FOO-USD, for an unlisted coin."""
    size = next((n for n in (4, 3) if ticker[-n:] in COIN_QUOTES and len(ticker) > n + 1), None)
    return f"{ticker[:-size]}-{ticker[-size:]}" if size else None


def _suggestions(text: str) -> tuple[str, ...]:
    """What was probably meant: without an exchange's prefix, a word behind it, or signs around it."""
    clean = unicodedata.normalize("NFKC", text[:LONGEST_WRITTEN]).upper().strip()
    guesses = (clean.rpartition(":")[2], clean.split("=")[0], *clean.split()[:1], re.sub(r"^[^A-Z0-9]+|[^A-Z0-9]+$", "", clean))
    found = (_canonical(guess)[0] for guess in guesses)
    return tuple(ticker for ticker in found if ticker)[:1]


def _shown(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
