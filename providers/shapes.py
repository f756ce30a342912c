"""What every provider makes of what it was sent: which days and minutes were asked for, and how far they have come."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import NamedTuple, TypeVar

from domain.bars import Bar, CorporateAction, History
from domain.calendars import OutOfCalendar, TradingCalendar, TradingDay, calendar_for, hours_of
from domain.errors import SymbolNotFound
from domain.symbols import Symbol
from providers.calling import Unusable

T = TypeVar("T")
E = TypeVar("E")

MINUTE = timedelta(minutes=1)
PRESENT = timedelta(minutes=1)
"""Who asks for what was up to so long ago asks for the present: a request may wait before it is made."""


class Span(NamedTuple):
    opens: datetime
    closes: datetime
    is_final: bool


@dataclass(frozen=True)
class Asked:
    """The trading days of a symbol from `start` on, up to `until`, asked for at `now`."""

    symbol: Symbol
    start: date
    until: datetime
    now: datetime

    @cached_property
    def calendar(self) -> TradingCalendar:
        return calendar_for(self.symbol.asset_class, self.symbol.exchange)

    @cached_property
    def begins(self) -> datetime:
        """When the first minute of the first day opens: on its eve, if it has one."""
        first = hours_of(self.calendar, self.start)
        return first.open - first.eve

    @cached_property
    def newest(self) -> TradingDay:
        """The newest day that has opened; Sydney's opens on the eve."""
        return next(day for day in self._days(1) if day.open <= self.now)

    @cached_property
    def over(self) -> datetime:
        """The newest close: minutes before it are of days that are over."""
        return next(day.close for day in self._days(1) if day.close <= self.now)

    @property
    def under_way(self) -> TradingDay | None:
        """The day that is traded while its present is asked for."""
        day = self.newest
        is_told = self.now - self.until <= PRESENT and day.open < self.until < day.close
        return day if is_told and is_traded(self.calendar, day.day) else None

    def day(self, day: date, told_at: datetime | None) -> Span | None:
        """The bar of a day: final once it is over; while it is under way it goes up to when it was told. None for one that is
        not to be told of, which a day that opens on the eve (Sydney) is as well until its date has come."""
        hours = hours_of(self.calendar, day)
        if day < self.start:
            return None
        if hours.close <= self.until:
            return Span(hours.open, hours.close, True)
        if told_at is None or hours != self.under_way:
            return None
        closes = min(told_at, self.until)
        return Span(hours.open, closes, False) if hours.open < closes and (closes - datetime.resolution).date() == day else None

    def minute(self, opens: datetime) -> Span | None:
        """The bar of a minute; None for one that was not asked for or is not over. Not final before its day is over."""
        closes = opens + MINUTE
        return Span(opens, closes, closes <= self.over) if self.begins <= opens and closes <= self.until else None

    def _days(self, ahead: int) -> Iterator[TradingDay]:
        return (hours_of(self.calendar, self.now.date() + timedelta(days=days)) for days in range(ahead, -3, -1))


def is_traded(calendar: TradingCalendar, day: date) -> bool:
    """Whether the calendar says so, or does not know."""
    try:
        return calendar.trading_day(day) is not None
    except OutOfCalendar:
        return True


def told(made: Iterable[Bar | None], actions: Iterable[CorporateAction] = ()) -> History:
    """Of the bars made, None standing for one that cannot be."""
    bars = list(made)
    kept = tuple(bar for bar in bars if bar is not None)
    return History(kept, tuple(actions), refused=len(bars) - len(kept))


def usable(
    made: Callable[[str, E], T | None], tickers: Iterable[str], entries: Mapping[str, E], log: logging.Logger
) -> Iterator[T]:
    """What can be made of the entries, in the order of the tickers; the rest is left out."""
    for ticker in tickers:
        if ticker in entries:
            try:
                value = made(ticker, entries[ticker])
            except Unusable as error:
                log.warning("%s is left out: %s", ticker, error)
            else:
                if value is not None:
                    yield value


def unknown(ticker: str, provider: str) -> SymbolNotFound:
    return SymbolNotFound(ticker, f"is not known to the provider {provider}")
