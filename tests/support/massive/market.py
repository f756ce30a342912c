"""What the stub knows: the recorded market of providers/sample_data, every number as it is written there, moved as Yahoo's stub
moves it, so that it ends at the present.

Stocks have minutes before and after hours as well. Currencies, of which no minutes are recorded, have one each quarter of an
hour from Sunday 22:00 UTC on, and a bar of every Sunday.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from math import prod
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from domain.bars import plain
from domain.calendars import FOREX, calendar_for
from domain.clock import parse_instant
from domain.symbols import Profile
from domain.tickers import AssetClass, pair_of
from providers.sample import listing
from tests.support.yahoo.market import MINUTE, Recorded, moved_by, rows_of
from web.settings import BUNDLED_SAMPLE

NEW_YORK = ZoneInfo("America/New_York")
QUARTER = timedelta(minutes=15)
LISTED = (AssetClass.STOCK, AssetClass.ETF)
MARKETS = {AssetClass.CRYPTO: ("crypto", "X:"), AssetClass.FOREX: ("fx", "C:")}
CURRENCY_NAMES = {"USD": "United States Dollar"}


class Window(NamedTuple):
    """`opens` as Massive tells it: of a day the midnight, of a stock's New York's. It is traded from `told_from` on."""

    opens: datetime
    told_from: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    @property
    def at(self) -> int:
        return round(self.opens.timestamp() * 1000)

    def divided(self, ratio: Decimal) -> "Window":
        prices: dict[str, Any] = {name: plain(getattr(self, name) / ratio) for name in ("open", "high", "low", "close")}
        return self._replace(**prices, volume=plain(self.volume * ratio)) if ratio != 1 else self


class Action(NamedTuple):
    day: date
    value: Decimal


@dataclass(frozen=True)
class Listing:
    """`currency` as Massive says it, null included."""

    symbol: str
    profile: Profile
    type: str | None
    currency: str | None
    days: tuple[Window, ...]
    minutes: tuple[Window, ...]
    splits: tuple[Action, ...]
    dividends: tuple[Action, ...]

    @property
    def is_listed(self) -> bool:
        return self.profile.asset_class in LISTED


class Special(NamedTuple):
    symbol: str
    ticker: str
    name: str
    type: str
    currency: str | None
    like: str


SPECIALS = (
    Special("BRK.B", "BRK-B", "Berkshire Hathaway Inc.", "CS", "usd", "VTV"),
    Special("NOCUR", "NOCUR", "No Currency Inc.", "CS", None, "MSFT"),
    Special("WARR", "WARR", "Warrants Inc.", "WARRANT", "usd", "MSFT"),
    Special("GAPS", "GAPS", "Gaps Inc.", "CS", "usd", "MSFT"),
)


class Market:
    """Everything at the present that `now` tells; `now` is asked anew for every answer."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        recorded = [profile for profile, _ in listing(BUNDLED_SAMPLE).values()]
        made = [_recorded(profile, now()) for profile in recorded]
        made += [_special(special, now()) for special in SPECIALS]
        self.listings: Mapping[str, Listing] = {listing.symbol: listing for listing in made}

    def windows(self, listing: Listing, span: str, begins: datetime | date, ends: datetime | date) -> list[Window]:
        """Those that had begun at the present; prices in the shares of the present."""
        told = listing.days if span == "day" else listing.minutes
        zone = NEW_YORK if listing.is_listed else UTC
        asked = [window for window in told if window.told_from <= self.now() and _within(window.opens, begins, ends, zone)]
        splits = [split for split in listing.splits if split.day <= self.now().astimezone(zone).date()]
        return [window.divided(_ratio(splits, window.opens.astimezone(zone).date())) for window in asked]

    def reference(self, listing: Listing) -> dict[str, Any]:
        """One of `results` of tickers."""
        profile, pair = listing.profile, pair_of(listing.profile.ticker)
        told: dict[str, Any] = {"ticker": listing.symbol, "name": profile.name, "active": True}
        if pair is None:
            told |= {"market": "stocks", "locale": "us", "primary_exchange": profile.exchange, "type": listing.type}
            return told | {"currency_name": listing.currency}
        names = {"currency_name": CURRENCY_NAMES[pair[1]], "base_currency_name": pair[0]}
        symbols = {"currency_symbol": pair[1], "base_currency_symbol": pair[0]}
        return told | {"market": MARKETS[profile.asset_class][0], "locale": "global"} | names | symbols

    def search(self, text: str, count: int) -> list[dict[str, Any]]:
        wanted = text.casefold()
        hits = (it for it in self.listings.values() if wanted in f"{it.symbol} {it.profile.name}".casefold())
        return [self.reference(hit) for hit in hits][:count]

    def snapshot(self, listing: Listing) -> dict[str, Any]:
        """One of `results` of snapshots: of a stock a trade, of a currency a quote, of a coin a minute."""
        *_, before, last = self.windows(listing, "day", date.min, date.max)
        at = min(self.now(), self._closes(listing, last))
        nanoseconds = int((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000
        session = {"previous_close": before.close, "close": last.close, "volume": last.volume}
        told: dict[str, Any] = {"ticker": listing.symbol, "name": listing.profile.name, "session": session}
        spread = Decimal("0.0002")
        match listing.profile.asset_class:
            case AssetClass.FOREX:
                quote = {"bid": last.close - spread, "ask": last.close + spread, "last_updated": nanoseconds}
                return told | {"type": "fx", "last_quote": quote}
            case AssetClass.CRYPTO:
                return told | {"type": "crypto", "last_minute": {"close": last.close, "last_updated": nanoseconds}}
            case _:
                return told | {"type": "stocks", "last_trade": {"price": last.close, "sip_timestamp": nanoseconds}}

    @staticmethod
    def _closes(listing: Listing, day: Window) -> datetime:
        calendar = calendar_for(listing.profile.asset_class, listing.profile.exchange)
        hours = calendar.trading_day(day.opens.astimezone(NEW_YORK if listing.is_listed else UTC).date())
        return hours.close if hours is not None else day.opens


def _ratio(splits: Iterable[Action], day: date) -> Decimal:
    return prod((split.value for split in splits if split.day > day), start=Decimal(1))


def _within(opens: datetime, begins: datetime | date, ends: datetime | date, zone: Any) -> bool:
    """A bound that is a date is the whole of that day."""
    day = opens.astimezone(zone).date()
    after = begins <= opens if isinstance(begins, datetime) else begins <= day
    return after and (opens <= ends if isinstance(ends, datetime) else day <= ends)


def _recorded(profile: Profile, now: datetime) -> Listing:
    pair = pair_of(profile.ticker)
    symbol = profile.ticker if pair is None else MARKETS[profile.asset_class][1] + "".join(pair)
    kind = {AssetClass.STOCK: "CS", AssetClass.ETF: "ETF"}.get(profile.asset_class)
    return _listing(symbol, profile, kind, profile.currency.lower(), profile.ticker, now)


def _special(it: Special, now: datetime) -> Listing:
    profile = Profile(it.ticker, it.name, AssetClass.STOCK, "XNYS" if it.ticker == "BRK-B" else "XNAS", "USD")
    made = _listing(it.symbol, profile, it.type, it.currency, it.like, now)
    if it.symbol != "GAPS":
        return made
    days = list(made.days)
    days[-10] = days[-10]._replace(high=Decimal("NaN"))
    days[-20] = days[-20]._replace(high=days[-20].low, low=days[-20].high)
    days[-30] = days[-30]._replace(volume=Decimal(-1))
    return replace(made, days=tuple(days))


def _listing(symbol: str, profile: Profile, kind: str | None, currency: str | None, like: str, now: datetime) -> Listing:
    daily = rows_of("daily", Recorded(like))
    moved = moved_by(daily, now)
    days = tuple(_days(profile, daily, moved))
    rows = [(date.fromisoformat(row["date"]) + moved, row) for row in daily]
    return Listing(
        symbol=symbol,
        profile=profile,
        type=kind,
        currency=currency,
        days=days,
        minutes=tuple(_minutes(profile, like, days, moved)),
        splits=tuple(Action(day, Decimal(row["split"])) for day, row in rows if row["split"] != "1"),
        dividends=tuple(Action(day, Decimal(row["dividend"])) for day, row in rows if row["dividend"] != "0"),
    )


def _window(opens: datetime, told_from: datetime, row: Mapping[str, str]) -> Window:
    return Window(opens, told_from, **{name: Decimal(row[name]) for name in ("open", "high", "low", "close", "volume")})


def _days(profile: Profile, rows: Iterable[dict[str, str]], moved: timedelta) -> Iterator[Window]:
    calendar = calendar_for(profile.asset_class, profile.exchange)
    for row in rows:
        hours = calendar.trading_day(date.fromisoformat(row["date"]) + moved)
        if hours is not None:
            midnight = datetime.combine(hours.day, time(), NEW_YORK if profile.asset_class in LISTED else UTC)
            if hours.eve:
                yield _window(midnight - timedelta(days=1), hours.open - hours.eve, row)
            yield _window(midnight.astimezone(UTC), hours.open, row)


def _minutes(profile: Profile, like: str, days: Iterable[Window], moved: timedelta) -> Iterator[Window]:
    if profile.asset_class is AssetClass.FOREX:
        yield from _quarters(days)
    calendar = calendar_for(profile.asset_class, profile.exchange)
    rows = {parse_instant(row["time"]): row for row in rows_of("minute", Recorded(like))}
    for day in sorted({opens.date() for opens in rows}):
        then, hours = calendar.trading_day(day), calendar.trading_day(day + moved)
        if then is not None and hours is not None:
            of_day = [(opens - then.open + hours.open, row) for opens, row in rows.items() if opens.date() == day]
            before, after = hours.open - 5 * MINUTE, hours.close + 5 * MINUTE
            around = [(before, of_day[0][1]), (after, of_day[-1][1])] if profile.asset_class in LISTED else []
            yield from (_window(opens, opens, row) for opens, row in sorted(of_day + around, key=lambda minute: minute[0]))


def _quarters(days: Iterable[Window]) -> Iterator[Window]:
    for day in days:
        hours = FOREX.trading_day(day.opens.date())
        if hours is not None:
            opens = hours.open - hours.eve
            while opens < hours.close:
                yield day._replace(opens=opens, told_from=opens)
                opens += QUARTER
