"""What the stub knows: the recorded market of providers/sample_data, moved by whole weeks so that it ends at the present.

Each series is moved for itself, and a day on which nothing trades now is left out; so weekdays stay weekdays, prices keep
their shape, and nothing is of the day it seems to be of. Days and hours are those of the real exchanges.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import prod
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy

from domain.calendars import TradingDay, calendar_for
from domain.clock import parse_instant
from domain.symbols import Profile
from domain.tickers import AssetClass
from providers.sample import listing
from web.settings import BUNDLED_SAMPLE

WEEK, MINUTE, MICROSECOND = timedelta(days=7), timedelta(minutes=1), timedelta(microseconds=1)
TYPES = {
    AssetClass.STOCK: "EQUITY",
    AssetClass.ETF: "ETF",
    AssetClass.CRYPTO: "CRYPTOCURRENCY",
    AssetClass.FOREX: "CURRENCY",
    AssetClass.INDEX: "INDEX",
}
CODES = {"XNAS": "NMS", "XNYS": "NYQ", "ARCX": "PCX", "BATS": "BTS", "XLON": "LSE", "XJSE": "JNB"}
ZONES = {"LSE": "Europe/London", "JNB": "Africa/Johannesburg", "CCC": "UTC", "CCY": "Europe/London"}


class Minute(NamedTuple):
    """As a day's; of one without trades every price is None."""

    opens: datetime
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: int


class Day(NamedTuple):
    """A day as it was traded; a price that is None is sent as null."""

    hours: TradingDay
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: int
    dividend: float
    split: float


@dataclass(frozen=True)
class Listing:
    """`currency` as Yahoo says it, minor units and null included."""

    symbol: str
    name: str
    type: str
    exchange: str
    currency: str | None
    days: tuple[Day, ...]
    minutes: tuple[Minute, ...]

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(ZONES.get(self.exchange, "America/New_York"))

    def stamp(self, day: Day) -> int:
        """A day's timestamp: its opening, of a pair the midnight where it is told."""
        if self.exchange in ("CCC", "CCY"):
            return int(datetime.combine(day.hours.day, time(), self.zone).timestamp())
        return int(day.hours.open.timestamp())


class Recorded(NamedTuple):
    """A recorded series to make a listing of, its prices times a factor."""

    ticker: str
    factor: float = 1


class Special(NamedTuple):
    symbol: str
    name: str
    asset_class: AssetClass
    mic: str | None
    code: str
    currency: str | None
    like: Recorded


STOCK = AssetClass.STOCK
SPECIALS = (
    Special("BRK-B", "Berkshire Hathaway Inc.", STOCK, "XNYS", "NYQ", "USD", Recorded("VTV", 2.4)),
    Special("VOD.L", "Vodafone Group Plc", STOCK, "XLON", "LSE", "GBp", Recorded("DIS", 0.9)),
    Special("NPN.JO", "Naspers Limited", STOCK, "XJSE", "JNB", "ZAc", Recorded("INTC", 2500)),
    Special("^GSPC", "S&P 500", AssetClass.INDEX, "XNYS", "SNP", "USD", Recorded("SPY", 10)),
    Special("USDJPY=X", "USD/JPY", AssetClass.FOREX, None, "CCY", "JPY", Recorded("EUR/USD", 130)),
    Special("NOCUR", "No Currency Inc.", STOCK, "XNAS", "NMS", None, Recorded("MSFT")),
    Special("EMPTY", "Empty Inc.", STOCK, "XNAS", "NMS", "USD", Recorded("MSFT")),
    Special("GAPS", "Gaps Inc.", STOCK, "XNAS", "NMS", "USD", Recorded("MSFT")),
)
NOT_TRACKED: tuple[dict[str, Any], ...] = (
    {"symbol": "ES=F", "shortname": "E-Mini S&P 500", "quoteType": "FUTURE", "exchange": "CME"},
    {"symbol": "AAPL270115C00250000", "shortname": "AAPL call", "quoteType": "OPTION", "exchange": "OPR"},
    {"symbol": "VFIAX", "shortname": "Vanguard 500 Index", "quoteType": "MUTUALFUND", "exchange": "NAS"},
)


_PRICES = {"regularMarketPrice": 100.0, "regularMarketTime": 1_750_000_000}


class Market:
    """Everything at the present that `now` tells; `now` is asked anew for every answer."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        recorded = {ticker: profile for ticker, (profile, _) in listing(BUNDLED_SAMPLE).items()}
        made = [*(_recorded(profile, now()) for profile in recorded.values()), *(_special(it, now()) for it in SPECIALS)]
        self.listings: Mapping[str, Listing] = {listing.symbol: listing for listing in made}

    def find(self, symbol: str) -> Listing | None:
        return self.listings.get("USDJPY=X" if symbol == "JPY=X" else symbol)

    # ── Yahoo's shapes

    def chart(self, listing: Listing, start: int | None, end: int | None) -> dict[str, Any]:
        """`chart.result[0]`: the days whose timestamp is in [start, end), the newest only without bounds."""
        told = self._told(listing)
        asked = told[-1:] if start is None or end is None else [d for d in told if start <= listing.stamp(d) < end]
        result: dict[str, Any] = {"meta": self._meta(listing), "indicators": {"quote": [{}], "adjclose": [{}]}}
        if not asked or listing.symbol == "EMPTY":
            return result
        factors = [self._factor(told, day) for day in asked]
        prices = {
            name: [_sent(getattr(day, name), factor) for day, factor in zip(asked, factors, strict=True)]
            for name in ("open", "high", "low", "close")
        }
        volumes = [round(day.volume * factor) for day, factor in zip(asked, factors, strict=True)]
        result["timestamp"] = [listing.stamp(day) for day in asked]
        result["indicators"] = {
            "quote": [prices | {"volume": volumes}],
            "adjclose": [{"adjclose": prices["close"]}],
        }
        result["events"] = self._events(listing, told, asked)
        return result

    def minute_chart(self, listing: Listing, start: int, end: int) -> dict[str, Any]:
        """The same of minutes, the one under way included."""
        begins, until = datetime.fromtimestamp(start, UTC), min(datetime.fromtimestamp(end, UTC), self.now() + MICROSECOND)
        asked = [minute for minute in listing.minutes if begins <= minute.opens < until]
        days = sorted({minute.opens.astimezone(listing.zone).date() for minute in asked})
        meta = self._meta(listing) | {"dataGranularity": "1m", "tradingPeriods": [_period(listing, day) for day in days]}
        result: dict[str, Any] = {"meta": meta, "indicators": {"quote": [{}]}}
        if asked:
            prices = {name: [_sent(getattr(minute, name), 1) for minute in asked] for name in ("open", "high", "low", "close")}
            result["timestamp"] = [int(minute.opens.timestamp()) for minute in asked]
            result["indicators"] = {"quote": [prices | {"volume": [minute.volume for minute in asked]}]}
        return result

    def quote(self, symbol: str) -> dict[str, Any] | None:
        """One of `quoteResponse.result`; None for an unknown symbol."""
        listing = self.find(symbol)
        if listing is None:
            return next((it | {"currency": "USD", **_PRICES} for it in NOT_TRACKED if it["symbol"] == symbol), None)
        told = [day for day in self._told(listing) if day.close is not None]
        now, last, before = self.now(), told[-1], told[-2]
        return {
            "symbol": listing.symbol,
            "longName": listing.name,
            "quoteType": listing.type,
            "exchange": listing.exchange,
            "currency": listing.currency,
            "regularMarketPrice": _rounded(last.close),
            "regularMarketPreviousClose": _rounded(before.close, self._factor(told, before)),
            "regularMarketTime": int(min(now, last.hours.close).timestamp()),
            "marketState": "REGULAR" if now < last.hours.close else "CLOSED",
        }

    def search(self, text: str, count: int) -> list[dict[str, Any]]:
        wanted = text.casefold()
        hits: list[dict[str, Any]] = [
            {"symbol": it.symbol, "shortname": it.name, "quoteType": it.type, "exchange": it.exchange, "score": 1.0}
            for it in self.listings.values()
        ]
        hits = [*NOT_TRACKED, *hits]
        return [hit for hit in hits if wanted in f"{hit['symbol']} {hit['shortname']}".casefold()][:count]

    def _told(self, listing: Listing) -> list[Day]:
        """The days that have opened."""
        return [day for day in listing.days if day.hours.open <= self.now()]

    @staticmethod
    def _factor(told: list[Day], day: Day) -> float:
        """What a day's prices are divided by: every split after it."""
        return prod(later.split for later in told if later.hours.day > day.hours.day)

    def _events(self, listing: Listing, told: list[Day], asked: list[Day]) -> dict[str, Any]:
        dividends = {
            str(listing.stamp(day)): {"amount": day.dividend / self._factor(told, day), "date": listing.stamp(day)}
            for day in asked
            if day.dividend
        }
        splits = {
            str(listing.stamp(day)): {
                "date": listing.stamp(day),
                "numerator": day.split,
                "denominator": 1.0,
                "splitRatio": f"{day.split:g}:1",
            }
            for day in asked
            if day.split != 1
        }
        return {name: events for name, events in (("dividends", dividends), ("splits", splits)) if events}

    def _meta(self, listing: Listing) -> dict[str, Any]:
        return {
            "currency": listing.currency,
            "symbol": listing.symbol,
            "exchangeName": listing.exchange,
            "instrumentType": listing.type,
            "exchangeTimezoneName": str(listing.zone),
            "regularMarketTime": int(min(self.now(), self._told(listing)[-1].hours.close).timestamp()),
            "priceHint": 2,
            "dataGranularity": "1d",
            "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
        }


def _period(listing: Listing, day: date) -> list[dict[str, Any]]:
    """A trading day as `tradingPeriods` tells it."""
    hours = next(it.hours for it in listing.days if it.hours.day == day)
    start, end = int(hours.open.timestamp()), int(hours.close.timestamp())
    return [{"timezone": "EST", "start": start, "end": end, "gmtoffset": -18000}]


def _sent(price: float | None, factor: float) -> float | None:
    """A price as a chart sends it: what its 32 bits are in 64."""
    return None if price is None else float(numpy.float32(price / factor))


def _rounded(price: float | None, factor: float = 1) -> float | None:
    """As a quote sends it."""
    return None if price is None else float(f"{price / factor:.9g}")


def _recorded(profile: Profile, now: datetime) -> Listing:
    code = {AssetClass.CRYPTO: "CCC", AssetClass.FOREX: "CCY"}.get(profile.asset_class) or CODES[profile.exchange or ""]
    symbol = profile.ticker.replace("/", "") + "=X" if profile.asset_class is AssetClass.FOREX else profile.ticker
    days = tuple(_days(Recorded(profile.ticker), profile.asset_class, profile.exchange, now))
    minutes = tuple(_minutes(Recorded(profile.ticker), profile.asset_class, profile.exchange, now))
    return Listing(symbol, profile.name or "", TYPES[profile.asset_class], code, profile.currency, days, minutes)


def _special(it: Special, now: datetime) -> Listing:
    days = list(_days(it.like, it.asset_class, it.mic, now))
    if it.symbol == "GAPS":
        days[-10] = days[-10]._replace(open=None, high=None, low=None, close=None, volume=0)
        days[-20] = days[-20]._replace(high=days[-20].low, low=days[-20].high)
    minutes = tuple(_minutes(it.like, it.asset_class, it.mic, now))
    return Listing(it.symbol, it.name, TYPES[it.asset_class], it.code, it.currency, tuple(days), minutes)


def _days(like: Recorded, asset_class: AssetClass, mic: str | None, now: datetime) -> Iterator[Day]:
    rows = rows_of("daily", like)
    moved = moved_by(rows, now)
    calendar = calendar_for(asset_class, mic)
    for row in rows:
        hours = calendar.trading_day(date.fromisoformat(row["date"]) + moved)
        if hours is not None:
            sent = {name: float(row[name]) * like.factor for name in ("open", "high", "low", "close", "dividend")}
            yield Day(hours=hours, volume=round(float(row["volume"])), split=float(row["split"]), **sent)


def _minutes(like: Recorded, asset_class: AssetClass, mic: str | None, now: datetime) -> Iterator[Minute]:
    """Every minute of the days of which minutes are recorded: as far behind the opening as it was then."""
    rows = {parse_instant(row["time"]): row for row in rows_of("minute", like)}
    calendar, moved = calendar_for(asset_class, mic), moved_by(rows_of("daily", like), now)
    for day in sorted({opens.date() for opens in rows}):
        then, hours = calendar.trading_day(day), calendar.trading_day(day + moved)
        if then is not None and hours is not None:
            for number in range((hours.close - hours.open) // MINUTE):
                yield _minute(hours.open + number * MINUTE, rows.get(then.open + number * MINUTE), like.factor)


def _minute(opens: datetime, row: dict[str, str] | None, factor: float) -> Minute:
    if row is None:
        return Minute(opens, None, None, None, None, 0)
    prices = {name: float(row[name]) * factor for name in ("open", "high", "low", "close")}
    return Minute(opens, volume=round(float(row["volume"])), **prices)


def moved_by(daily: list[dict[str, str]], now: datetime) -> timedelta:
    behind = now.astimezone(UTC).date() - date.fromisoformat(daily[-1]["date"])
    return max(0, -(-behind // WEEK)) * WEEK


def rows_of(kind: str, like: Recorded) -> list[dict[str, str]]:
    """Those that are recorded, of minutes of few."""
    path = BUNDLED_SAMPLE / kind / f"{like.ticker.replace('/', '')}.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
