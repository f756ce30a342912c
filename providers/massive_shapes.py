"""What Massive sends and what we make of it: pure functions, without a request.

listed   BRK-B  AAPL               BRK.B  AAPL; listings outside of the United States are not served
crypto   BTC-USD                   X:BTCUSD
forex    EUR/USD                   C:EURUSD
index    ^GSPC                     not served

The days of stocks are New York's, from midnight to midnight, those of pairs UTC's. Massive's windows also hold what is traded
before and after hours: such minutes are left out, as is what is told of a day on which nothing trades by the calendar, which a
pair's Sunday is. Prices are adjusted for splits overnight: up to the date that it is in New York.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from domain.bars import ActionKind, Bar, CorporateAction, History, Interval, plain, quotient
from domain.calendars import OutOfCalendar
from domain.errors import InvalidTicker
from domain.hours import Hours
from domain.quotes import Quote
from domain.symbols import Profile, Symbol
from domain.tickers import FORMS, AssetClass, Form, form_of, normalise, pair_of
from providers.calling import Unusable
from providers.shapes import Asked, Span, is_traded, told

log = logging.getLogger("freshtape.massive")

SOURCE = "massive"
NEW_YORK = ZoneInfo("America/New_York")
LISTED = frozenset({AssetClass.STOCK, AssetClass.ETF})
MARKS = {Form.CRYPTO: "X:", Form.FOREX: "C:"}
CLASSES = {
    "CS": AssetClass.STOCK,
    "OS": AssetClass.STOCK,
    "PFD": AssetClass.STOCK,
    "ADRC": AssetClass.STOCK,
    "ADRP": AssetClass.STOCK,
    "GDR": AssetClass.STOCK,
    "NYRS": AssetClass.STOCK,
    "FUND": AssetClass.STOCK,
    "ETF": AssetClass.ETF,
    "ETN": AssetClass.ETF,
    "ETV": AssetClass.ETF,
    "ETS": AssetClass.ETF,
}
"""Massive's types of what is listed; a FUND is closed-end, and traded as a stock. Warrants, rights, units and bonds are not
tracked."""
PAIRS = {"crypto": AssetClass.CRYPTO, "fx": AssetClass.FOREX}
"""Massive's markets of pairs; what is listed is in the market `stocks`."""
LONGEST_NUMBER = 30
"""Digits before the point, or zeros behind it, of a number that can be meant."""
_CURRENCY = re.compile(r"[A-Z]{3,5}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND, _MICROSECOND = timedelta(milliseconds=1), timedelta(microseconds=1)


# ── tickers


def massive_symbol(ticker: str) -> str | None:
    """What Massive calls a canonical ticker; None for what it does not serve."""
    form, pair = form_of(ticker), pair_of(ticker)
    if pair is not None:
        return f"{MARKS[form]}{pair[0]}{pair[1]}"
    return None if form is Form.INDEX or "." in ticker else ticker.replace("-", ".")


def ticker_of(hit: Any) -> str | None:
    """The canonical ticker of a reference; None for what is no ticker of ours, or is not called as its class is."""
    asset_class = class_of(hit)
    if asset_class is None or not isinstance(hit.ticker, str):
        return None
    spelled = hit.ticker.replace(".", "-")
    if asset_class not in LISTED:
        joint = "/" if asset_class is AssetClass.FOREX else "-"
        spelled = f"{hit.base_currency_symbol}{joint}{hit.currency_symbol}"
    try:
        return spelled if normalise(spelled) == spelled and form_of(spelled) in FORMS[asset_class] else None
    except InvalidTicker:
        return None


def class_of(hit: Any) -> AssetClass | None:
    """The class of a reference; None for what is not tracked."""
    return CLASSES.get(hit.type) if hit.market == "stocks" else PAIRS.get(hit.market)


def zone_of(symbol: Symbol) -> tzinfo:
    """The one whose midnight ends a day of the symbol's."""
    return NEW_YORK if symbol.asset_class in LISTED else UTC


# ── profiles and quotes


def profile_of(ticker: str, hit: Any) -> Profile | None:
    """None for what is not tracked. Raises Unusable."""
    asset_class = class_of(hit)
    if asset_class is None:
        return None
    is_listed = asset_class in LISTED
    currency = (hit.currency_name or "").upper() if is_listed else hit.currency_symbol or ""
    if not _CURRENCY.fullmatch(currency):
        raise Unusable("no currency")
    return Profile(ticker, hit.name or None, asset_class, hit.primary_exchange or None if is_listed else None, currency)


def quote_of(ticker: str, snapshot: Any) -> Quote | None:
    """None for a ticker that Massive does not know. Raises Unusable.

    The price is the newest of the last trade and the last minute; of currencies, which nobody reports the trades of, the middle
    of the last bid and ask. A snapshot does not say its currency: what is listed in the United States is traded in dollars.
    """
    if snapshot.error == "NOT_FOUND":
        return None
    if snapshot.error is not None:
        raise Unusable(f"Massive says {snapshot.error}")
    pair = pair_of(ticker)
    newest = max(_prices(snapshot, form_of(ticker) is Form.FOREX), default=None)
    if newest is None:
        raise Unusable("no price")
    previous = snapshot.session.previous_close if snapshot.session is not None else None
    try:
        return Quote(
            ticker=ticker,
            price=_number(newest[1]),
            at=_EPOCH + newest[0] // 1000 * _MICROSECOND,
            currency=pair[1] if pair is not None else "USD",
            previous_close=None if previous is None else _number(previous),
        )
    except (ArithmeticError, ValueError, TypeError) as error:
        raise Unusable(str(error)) from error


def _prices(snapshot: Any, is_forex: bool) -> Iterator[tuple[int, Any]]:
    """Nanoseconds and a price."""
    trade, minute, quote = snapshot.last_trade, snapshot.last_minute, snapshot.last_quote
    told = [(trade.last_updated or trade.sip_timestamp, trade.price)] if trade is not None else []
    told += [(minute.last_updated, minute.close)] if minute is not None else []
    if is_forex and quote is not None and quote.bid is not None and quote.ask is not None:
        told.append((quote.last_updated, (_number(quote.bid) + _number(quote.ask)) / 2))
    return ((at, price) for at, price in told if isinstance(at, int) and price is not None)


# ── history


def history_of(asked: Asked, days: Iterable[Any], actions: Iterable[CorporateAction], told_at: datetime | None) -> History:
    """The days asked for, as they stood then; that which is under way, as it stood at `told_at`."""
    zone, adjusted_to = zone_of(asked.symbol), _adjusted_to(asked)
    made: dict[date, Bar | None] = {}
    for row in days:
        day = _instant(row).astimezone(zone).date()
        span = asked.day(day, told_at) if is_traded(asked.calendar, day) else None
        if span is not None:
            made[day] = _bar(asked.symbol.ticker, Interval.ONE_DAY, span, row, adjusted_to)
    within = (action for action in actions if asked.start <= action.ex_date <= asked.until.astimezone(zone).date())
    return told((made[day] for day in sorted(made)), within)


def minutes_of(asked: Asked, minutes: Iterable[Any]) -> History:
    """The minutes of trading hours that are over."""
    hours, adjusted_to = Hours(asked.calendar), _adjusted_to(asked)
    made: dict[datetime, Bar | None] = {}
    for row in minutes:
        opens = _instant(row)
        span = asked.minute(opens) if _is_open(hours, opens) else None
        if span is not None:
            made[opens] = _bar(asked.symbol.ticker, Interval.ONE_MINUTE, span, row, adjusted_to)
    return told(made[opens] for opens in sorted(made))


def end_of(minute: Any) -> datetime:
    """When a minute that was told ends."""
    return _instant(minute) + timedelta(minutes=1)


def _is_open(hours: Hours, opens: datetime) -> bool:
    try:
        return opens.second == 0 and hours.is_open(int(opens.timestamp()))
    except OutOfCalendar:
        return False


def _adjusted_to(asked: Asked) -> date:
    return asked.now.astimezone(zone_of(asked.symbol)).date()


def _bar(ticker: str, interval: Interval, span: Span, row: Any, adjusted_to: date) -> Bar | None:
    """None for what cannot be."""
    try:
        return Bar(
            ticker=ticker,
            interval=interval,
            open_time=span.opens,
            close_time=span.closes,
            open=_number(row.open),
            high=_number(row.high),
            low=_number(row.low),
            close=_number(row.close),
            volume=_number(row.volume),
            adjusted_to=adjusted_to,
            source=SOURCE,
            is_final=span.is_final,
        )
    except ValueError as error:
        log.warning("%s %s at %s is refused: %s", ticker, interval.value, span.opens, error)
        return None


# ── actions


def actions_of(asked: Asked, splits: Iterable[Any], dividends: Iterable[Any]) -> list[CorporateAction]:
    """The splits from the first day asked for on until now, and the dividends in the same shares as the prices are.

    Massive tells a dividend in the shares of its day. Its own amount in today's is wrong where it lists a split twice, which
    here counts once.
    """
    ticker = asked.symbol.ticker
    ratios = dict(_ratios(ticker, splits, _adjusted_to(asked)))
    told = [CorporateAction(ticker, day, ActionKind.SPLIT, ratio, SOURCE) for day, ratio in sorted(ratios.items())]
    amounts: dict[date, Decimal] = {}
    for day, amount in _amounts(asked.symbol, dividends):
        amounts[day] = amounts.get(day, Decimal()) + amount  # a special one may fall on the day of a regular one
    for day, amount in sorted(amounts.items()):
        for ex_date, ratio in ratios.items():
            amount = quotient(amount, ratio) if ex_date > day else amount
        told.append(CorporateAction(ticker, day, ActionKind.DIVIDEND, amount, SOURCE))
    return told


def _ratios(ticker: str, splits: Iterable[Any], until: date) -> Iterator[tuple[date, Decimal]]:
    for split in splits:
        try:
            day, ratio = date.fromisoformat(split.execution_date), _number(split.split_to) / _number(split.split_from)
        except (ArithmeticError, ValueError, TypeError):
            log.warning("%s: the split %r is refused", ticker, split)
            continue
        if day <= until and ratio not in (0, 1):
            yield day, plain(ratio)


def _amounts(symbol: Symbol, dividends: Iterable[Any]) -> Iterator[tuple[date, Decimal]]:
    """Those in the symbol's currency: one that was declared in another is no share of its price."""
    seen: set[tuple[Any, ...]] = set()
    for dividend in dividends:
        told = (dividend.ex_dividend_date, dividend.cash_amount, dividend.currency, dividend.distribution_type)
        try:
            day, amount = date.fromisoformat(dividend.ex_dividend_date), _number(dividend.cash_amount)
            if dividend.currency != symbol.currency:
                raise ValueError("of another currency")
        except (ValueError, TypeError):
            log.warning("%s: the dividend %r is refused", symbol.ticker, told)
            continue
        if amount and told not in seen:
            yield day, amount
        seen.add(told)


# ── numbers


def _number(told: Any) -> Decimal:
    """As it was sent, without an exponent. Raises ValueError for what is no number, or none that can be meant."""
    try:
        number = Decimal(told)
    except (InvalidOperation, TypeError, ValueError):
        raise ValueError(f"{told!r} is no number") from None
    if not number.is_finite() or number < 0 or abs(number.adjusted()) > LONGEST_NUMBER:
        raise ValueError(f"{told!r} is no price, amount or volume")
    return plain(number)


def _instant(row: Any) -> datetime:
    """When a window opens. Raises Unusable."""
    try:
        opens: datetime = _EPOCH + row.timestamp * _MILLISECOND
    except (TypeError, OverflowError):
        raise Unusable("a window without a time") from None
    return opens
