"""Trading days by symbol: exchanges from the exchange_calendars library, crypto and forex from plain arithmetic.

Every instant is aware UTC. A calendar answers only for the time it knows: what lies outside is unknown, never closed.
"""

import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from threading import Lock
from typing import Any, Protocol

import numpy as np

from domain.tickers import AssetClass

FIRST_DAY, LAST_DAY = "1990-01-01", "2040-12-31"
"""What is asked of the library, which knows less of some exchanges: XTKS from 1997 on, XBOM until 2026."""
NEW_YORK = "XNYS"
SIBLINGS = {"NEOE": "XTSE", "ROCO": "XTAI", "XCNQ": "XTSE", "XKOS": "XKRX", "XNSE": "XBOM", "XSHE": "XSHG"}
"""Exchanges that the library does not know, and those of the same country, with the same trading days, that it does."""


class OutOfCalendar(ValueError):
    """A calendar was asked about a time that it does not know."""


@dataclass(frozen=True, slots=True)
class TradingDay:
    """The day that an exchange calls `day`, traded over [open, close) but for a break over [break_start, break_end).

    What is traded on the evening before, for as long as `eve` before its open, belongs to it too.
    """

    day: date
    open: datetime
    close: datetime
    break_start: datetime | None = None
    break_end: datetime | None = None
    eve: timedelta = timedelta()


class TradingCalendar(Protocol):
    """An exchange's calendar knows the instants from its first close up to its last, without that one, and the days
    from its first trading day to its last."""

    @property
    def known(self) -> tuple[datetime, datetime]:
        """Every trading day that closes after the first of these instants and not after the second is known."""
        ...

    def trading_day(self, day: date) -> TradingDay | None:
        """None when nothing trades on that day. Raises OutOfCalendar."""
        ...

    def closed_between(self, after: datetime, until: datetime) -> int:
        """How many trading days have their close in (after, until]; 0 when `until` is not later than `after`.

        Raises OutOfCalendar when `after` is outside the calendar or `until` beyond it."""
        ...

    def next_close(self, after: datetime) -> datetime | None:
        """The first close strictly later; None when `after` is outside the calendar."""
        ...

    def next_to_close(self, after: datetime) -> TradingDay | None:
        """The trading day of that close."""
        ...

    def days_back(self, day: date, count: int) -> date:
        """The trading day `count` trading days before `day`; when nothing trades on that, before the newest one that
        is older. Raises OutOfCalendar."""
        ...


@dataclass(frozen=True, slots=True)
class ExchangeCalendar:
    """The trading days of one exchange, oldest first: three sequences of one length, and the breaks of days that have one."""

    days: Sequence[date]
    opens: Sequence[datetime]
    closes: Sequence[datetime]
    breaks: Mapping[date, tuple[datetime, datetime]] = field(default_factory=dict)

    @property
    def known(self) -> tuple[datetime, datetime]:
        return self.closes[0], self.closes[-1]

    def trading_day(self, day: date) -> TradingDay | None:
        self._expect(day)
        index = bisect_left(self.days, day)
        return self._day(index) if self.days[index] == day else None

    def closed_between(self, after: datetime, until: datetime) -> int:
        last = self.closes[-1]
        if not self.closes[0] <= after < last or until >= last:
            raise OutOfCalendar(f"{after} to {until} is not within {self.closes[0]} to {last}")
        return max(0, bisect_right(self.closes, until) - bisect_right(self.closes, after))

    def next_close(self, after: datetime) -> datetime | None:
        day = self.next_to_close(after)
        return day.close if day else None

    def next_to_close(self, after: datetime) -> TradingDay | None:
        return self._day(bisect_right(self.closes, after)) if self.closes[0] <= after < self.closes[-1] else None

    def days_back(self, day: date, count: int) -> date:
        self._expect(day)
        index = bisect_right(self.days, day) - 1 - count
        if index < 0:
            raise OutOfCalendar(f"{count} trading days before {day} is before {self.days[0]}")
        return self.days[index]

    def _day(self, index: int) -> TradingDay:
        day = self.days[index]
        return TradingDay(day, self.opens[index], self.closes[index], *self.breaks.get(day, (None, None)))

    def _expect(self, day: date) -> None:
        if not self.days[0] <= day <= self.days[-1]:
            raise OutOfCalendar(f"{day} is not within {self.days[0]} to {self.days[-1]}")


_MONDAY = datetime(1, 1, 1, tzinfo=UTC)
_LAST_FRIDAY = datetime(9999, 12, 31, tzinfo=UTC)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class WeeklyCalendar:
    """The first `length` days of every week from Monday on, each traded from 00:00 to 24:00 UTC.

    Monday has an eve of that length. Days and trading days are both counted from Monday 0001-01-01, so that a week is a
    division by seven.
    """

    length: int
    eve: timedelta = timedelta()

    @property
    def known(self) -> tuple[datetime, datetime]:
        return _MONDAY, _LAST_FRIDAY

    def trading_day(self, day: date) -> TradingDay | None:
        if day == date.max:
            raise OutOfCalendar(f"{day} closes in a year that cannot be written")
        if day.weekday() >= self.length:
            return None
        open_time = datetime.combine(day, time(), UTC)
        return TradingDay(day, open_time, open_time + _DAY, eve=timedelta() if day.weekday() else self.eve)

    def closed_between(self, after: datetime, until: datetime) -> int:
        return max(0, self._closed_by(until) - self._closed_by(after))

    def next_close(self, after: datetime) -> datetime | None:
        try:
            return _MONDAY + (self._day_number(self._closed_by(after)) + 1) * _DAY
        except OverflowError:
            return None

    def next_to_close(self, after: datetime) -> TradingDay | None:
        close = self.next_close(after)
        return self.trading_day((close - _DAY).date()) if close else None

    def days_back(self, day: date, count: int) -> date:
        trading_day = self._trading_days_before(day.toordinal()) - 1 - count
        if trading_day < 0:
            raise OutOfCalendar(f"{count} trading days before {day} is before {date.min}")
        return date.fromordinal(self._day_number(trading_day) + 1)

    def _closed_by(self, instant: datetime) -> int:
        return self._trading_days_before((instant - _MONDAY).days)

    def _trading_days_before(self, day_number: int) -> int:
        weeks, weekday = divmod(day_number, 7)
        return weeks * self.length + min(weekday, self.length)

    def _day_number(self, trading_day: int) -> int:
        weeks, weekday = divmod(trading_day, self.length)
        return weeks * 7 + weekday


CRYPTO = WeeklyCalendar(7)
FOREX = WeeklyCalendar(5, eve=timedelta(hours=2))
"""Sunday evening's trading, from 22:00 UTC on, belongs to Monday: after Saturday 00:00 UTC the next close is Tuesday 00:00."""


def calendar_for(asset_class: AssetClass, exchange: str | None) -> TradingCalendar:
    """The calendar of a symbol by its class and the MIC it is listed under.

    A MIC that is None, unknown, or of a calendar that cannot be built is taken for New York's. The first call for an
    exchange imports the library, once, and builds half a century of days: a second or more. Later ones are free.
    """
    if asset_class is AssetClass.CRYPTO:
        return CRYPTO
    if asset_class is AssetClass.FOREX:
        return FOREX
    return _listed(exchange or NEW_YORK)


def hours_of(calendar: TradingCalendar, day: date) -> TradingDay:
    """The day as its provider tells of it: when the calendar knows nothing of it, or that nothing trades, a whole UTC day."""
    with suppress(OutOfCalendar):
        known = calendar.trading_day(day)
        if known is not None:
            return known
    midnight = datetime.combine(day, time(), UTC)
    return TradingDay(day, midnight, midnight + _DAY)


@cache
def _listed(mic: str) -> ExchangeCalendar:
    import exchange_calendars as library  # not at the top: it takes a second

    known = SIBLINGS.get(mic, mic)
    if known not in library.get_calendar_names():
        return _built(NEW_YORK)
    try:
        return _built(library.resolve_alias(known))
    except (NotImplementedError, ValueError):  # release 4.13 with pandas 3 breaks on ASEX, XBEL, XBSE, XCYS and XTAE
        return _built(NEW_YORK)


_BUILDING = Lock()
"""Threads that need the same calendar wait for the first of them; and what Python warns of is a matter of all threads."""


def _built(name: str) -> ExchangeCalendar:
    with _BUILDING:
        return _build(name)


@cache
def _build(name: str) -> ExchangeCalendar:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(Series\.values|DatetimeIndex\.weekday) ", DeprecationWarning)
        found = _from_library(name)
    days = found.sessions.values.astype("datetime64[D]")
    broken = ~np.isnat(found.break_starts_nanos.astype("datetime64[ns]"))
    breaks = zip(_instants(found.break_starts_nanos[broken]), _instants(found.break_ends_nanos[broken]), strict=True)
    return ExchangeCalendar(
        days=days.tolist(),
        opens=_instants(found.opens_nanos),
        closes=_instants(found.closes_nanos),
        breaks=dict(zip(days[broken].tolist(), breaks, strict=True)),
    )


def calendars_built() -> int:
    return _build.cache_info().currsize


def _from_library(name: str) -> Any:
    """As much of FIRST_DAY to LAST_DAY as the library knows. Its default range would follow the machine's clock."""
    from exchange_calendars import get_calendar

    one_year = get_calendar(name, "2024-01-01", "2024-12-31")  # within every calendar's bounds, which only it can tell
    earliest, latest = one_year.bound_min(), one_year.bound_max()
    start = max(FIRST_DAY, str(earliest.date())) if earliest else FIRST_DAY
    end = min(LAST_DAY, str(latest.date())) if latest else LAST_DAY
    return type(one_year)(start, end)


def _instants(nanoseconds: Any) -> list[datetime]:
    return [instant.replace(tzinfo=UTC) for instant in nanoseconds.astype("datetime64[ns]").astype("datetime64[us]").tolist()]
