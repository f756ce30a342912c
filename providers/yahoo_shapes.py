"""What Yahoo sends and what we make of it: pure functions, without a request and without a frame.

listed   BRK-B  VOD.L  0700.HK     as they are
index    ^GSPC                     as they are
crypto   BTC-USD                   as they are
forex    EUR/USD  USD/JPY          EURUSD=X  USDJPY=X, which Yahoo also calls JPY=X
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import isnan
from typing import Any, NamedTuple

import numpy

from domain.bars import ActionKind, Bar, CorporateAction, History, Interval
from domain.errors import InvalidTicker
from domain.quotes import Quote
from domain.symbols import Profile, Symbol
from domain.tickers import FORMS, AssetClass, Form, form_of, normalise, pair_of
from domain.ticks import Tick
from providers.calling import Unusable
from providers.shapes import Asked, Span, told

log = logging.getLogger("freshtape.yahoo")

SOURCE = "yahoo"
FOREX_MARK = "=X"
DIGITS = 12
"""Significant digits of a 64-bit price: more than any market quotes, fewer than the fifteen that are free of noise."""

CLASSES = {
    "EQUITY": AssetClass.STOCK,
    "ETF": AssetClass.ETF,
    "CRYPTOCURRENCY": AssetClass.CRYPTO,
    "CURRENCY": AssetClass.FOREX,
    "INDEX": AssetClass.INDEX,
}
"""Yahoo's quote types; futures, options and funds are not tracked."""


def _pairs(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


MICS = _pairs(
    """
    NMS XNAS  NGM XNAS  NCM XNAS  NAS XNAS  NIM XNAS  NYQ XNYS  NYS XNYS  SNP XNYS  DJI XNYS  ASE XASE  PCX ARCX  BTS BATS
    TOR XTSE  VAN XTSX  CNQ XCNQ  NEO NEOE  MEX XMEX  SAO BVMF  BUE XBUE  SGO XSGO
    LSE XLON  IOB XLON  FGI XLON  GER XETR  FRA XFRA  STU XSTU  MUN XMUN  DUS XDUS  HAM XHAM  BER XBER  PAR XPAR  AMS XAMS
    BRU XBRU  LIS XLIS  MIL XMIL  MCE XMAD  EBS XSWX  VIE XWBO  CPH XCSE  STO XSTO  HEL XHEL  OSL XOSL  ISE XDUB  ICE XICE
    WSE XWAR  PRA XPRA  BUD XBUD  ATH ASEX  IST XIST  TLV XTAE  SAU XSAU  JNB XJSE
    JPX XTKS  OSA XTKS  HKG XHKG  SHH XSHG  SHZ XSHE  KSC XKRX  KOE XKOS  TAI XTAI  TWO ROCO  SES XSES  ASX XASX  NZE XNZE
    NSI XNSE  BSE XBOM  JKT XIDX  KLS XKLS  SET XBKK
    """
)
"""Yahoo's exchanges by ISO 10383; those of indices are where their members are traded."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What prices are sent in: so many make one of the currency."""

    currency: str
    in_one: int = 1

    def price(self, number: float) -> Decimal:
        return decimal_of(number) / self.in_one


MINOR = {
    "GBp": Unit("GBP", 100),
    "GBX": Unit("GBP", 100),
    "ZAc": Unit("ZAR", 100),
    "ILA": Unit("ILS", 100),
    "KWF": Unit("KWD", 1000),
}


def unit_of(currency: object) -> Unit:
    """Raises Unusable without a currency: a price without one is no price."""
    if not isinstance(currency, str) or not currency:
        raise Unusable("no currency")
    return MINOR.get(currency) or Unit(currency)


def decimal_of(number: float) -> Decimal:
    """The shortest decimal that reads back as the number sent: Yahoo keeps most prices in 32 bits, and 189.98 comes as
    189.97999572753906. What no 32-bit number can be is rounded to twelve significant digits."""
    with numpy.errstate(over="ignore"):
        single = numpy.float32(number)
    if float(single) == number:
        return Decimal(numpy.format_float_positional(single, trim="-"))
    return Decimal(f"{Decimal(f'{number:.{DIGITS}g}'):f}")


# ── tickers


def yahoo_symbol(ticker: str) -> str:
    """What Yahoo calls a canonical ticker."""
    pair = pair_of(ticker)
    return f"{pair[0]}{pair[1]}{FOREX_MARK}" if pair is not None and form_of(ticker) is Form.FOREX else ticker


def ticker_of(symbol: str) -> str | None:
    """The canonical ticker of what Yahoo calls `symbol`; None for what is no ticker of ours, such as the future ES=F."""
    pair = symbol.removesuffix(FOREX_MARK)
    spelled = symbol if pair == symbol else f"{pair[:-3] or 'USD'}/{pair[-3:]}"
    try:
        return spelled if normalise(spelled) == spelled else None
    except InvalidTicker:
        return None


def class_of(entry: Mapping[str, Any]) -> AssetClass | None:
    """The class of a quote or search hit; None for what is not tracked, or is not called as its class is."""
    asset_class = CLASSES.get(entry.get("quoteType", ""))
    ticker = ticker_of(entry["symbol"])
    return asset_class if asset_class and ticker and form_of(ticker) in FORMS[asset_class] else None


# ── quotes


def profile_of(ticker: str, entry: Mapping[str, Any]) -> Profile | None:
    """None for what is not tracked. Raises Unusable."""
    asset_class = class_of(entry)
    if asset_class is None:
        return None
    is_listed = asset_class not in (AssetClass.CRYPTO, AssetClass.FOREX)
    return Profile(
        ticker=ticker,
        name=entry.get("longName") or entry.get("shortName") or None,
        asset_class=asset_class,
        exchange=MICS.get(entry.get("exchange", "")) if is_listed else None,
        currency=unit_of(entry.get("currency")).currency,
    )


def quote_of(ticker: str, entry: Mapping[str, Any]) -> Quote | None:
    """None for what is not tracked. Raises Unusable."""
    if class_of(entry) is None:
        return None
    unit = unit_of(entry.get("currency"))
    price, at, previous = (entry.get(f"regularMarket{name}") for name in ("Price", "Time", "PreviousClose"))
    if price is None or at is None:
        raise Unusable("no price")
    try:
        return Quote(
            ticker=ticker,
            price=unit.price(price),
            at=datetime.fromtimestamp(at, UTC),
            currency=unit.currency,
            previous_close=None if previous is None else unit.price(previous),
        )
    except (ArithmeticError, ValueError, TypeError, OSError) as error:
        raise Unusable(str(error)) from error


# ── ticks

REGULAR = 1
"""Of `market_hours`; before and after them are 0 and 2."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_IN_PARTS = {unit.currency for unit in MINOR.values()}


def tick_of(symbol: Symbol, pricing: Any) -> Tick:
    """A PricingData of the symbol, in its major unit. What was not sent is 0 or empty. Raises Unusable.

    Most ticks do not say their currency: it is then the symbol's, unless that may be told in parts of it as well.
    """
    unit = unit_of(pricing.currency or (symbol.currency if symbol.currency not in _IN_PARTS else None))
    if not 0 < pricing.price < float("inf"):
        raise Unusable("no price")
    try:
        at = _EPOCH + timedelta(milliseconds=pricing.time)
    except OverflowError:
        raise Unusable("no time") from None
    if pricing.time <= 0:
        raise Unusable("no time")
    volume = Decimal(pricing.day_volume) if pricing.day_volume > 0 else None
    return Tick(symbol.ticker, at, unit.price(pricing.price), volume)


# ── history


class Row(NamedTuple):
    """A day or minute of a chart; a price that was not sent is NaN, a dividend or split that did not happen 0."""

    day: date
    open: float
    high: float
    low: float
    close: float
    volume: float
    dividend: float
    split: float

    @property
    def has_gaps(self) -> bool:
        return any(map(isnan, (self.open, self.high, self.low, self.close)))


def history_of(asked: Asked, rows: Iterable[Row], unit: Unit, told_at: datetime | None) -> History:
    """The days asked for, as they stood then; that which is under way, as it stood at `told_at`.

    Yahoo divides by every split that it knows of, also by one that came after `until`: the bars are adjusted up to the newest
    day that had opened when it was asked, or to a split told ahead of its opening. Its dividends are a share of that day, too.
    """
    ticker = asked.symbol.ticker
    within = sorted(row for row in rows if asked.start <= row.day <= asked.until.date())
    adjusted_to = _adjusted_to(asked, within)
    spans = ((row, asked.day(row.day, told_at)) for row in within if not _has_gaps(ticker, row))
    bars = (_bar(ticker, Interval.ONE_DAY, span, row, unit, adjusted_to) for row, span in spans if span is not None)
    return told(bars, (action for row in within for action in _actions(ticker, row, unit)))


def minutes_of(asked: Asked, rows: Mapping[datetime, Row], unit: Unit) -> History:
    """The minutes that are over in which something was traded, by when they opened; their days tell the actions.

    Yahoo's newest row may be no minute but the last trade, at its instant.
    """
    ticker, adjusted_to = asked.symbol.ticker, _adjusted_to(asked, rows.values())
    traded = sorted((opens, row) for opens, row in rows.items() if opens.second == 0 and not row.has_gaps)
    spans = ((row, asked.minute(opens)) for opens, row in traded)
    return told(_bar(ticker, Interval.ONE_MINUTE, span, row, unit, adjusted_to) for row, span in spans if span is not None)


def _adjusted_to(asked: Asked, rows: Iterable[Row]) -> date:
    return max([asked.newest.day, *(row.day for row in rows if 0 < row.split < float("inf"))])


def _has_gaps(ticker: str, row: Row) -> bool:
    if row.has_gaps:
        log.info("%s on %s is left out: a price is missing", ticker, row.day)
    return row.has_gaps


def _bar(ticker: str, interval: Interval, span: Span, row: Row, unit: Unit, adjusted_to: date) -> Bar | None:
    """None for what cannot be."""
    try:
        return Bar(
            ticker=ticker,
            interval=interval,
            open_time=span.opens,
            close_time=span.closes,
            open=unit.price(row.open),
            high=unit.price(row.high),
            low=unit.price(row.low),
            close=unit.price(row.close),
            volume=Decimal(int(row.volume)),
            adjusted_to=adjusted_to,
            source=SOURCE,
            is_final=span.is_final,
        )
    except (ValueError, OverflowError) as error:
        log.warning("%s on %s is refused: %s", ticker, row.day, error)
        return None


def _actions(ticker: str, row: Row, unit: Unit) -> Iterator[CorporateAction]:
    for kind, number in ((ActionKind.SPLIT, row.split), (ActionKind.DIVIDEND, row.dividend)):
        if not (0 <= number < float("inf")):
            log.warning("%s: a %s of %s on %s is refused", ticker, kind.value, number, row.day)
        elif number:
            value = unit.price(number) if kind is ActionKind.DIVIDEND else decimal_of(number)
            yield CorporateAction(ticker, row.day, kind, value, SOURCE)
