"""The bars that a calendar expects, worked out once a year of it for all symbols that share the calendar."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import date
from threading import Lock

import numpy as np

from domain.bars import Interval
from domain.calendars import TradingCalendar
from domain.held import Numbers, day_number, day_of, places_a_day
from domain.hours import DAY, MINUTE, Hours, Span

YEARS_HELD = 64
_OVERLAP = 4 * DAY
"""Longer than a trading day with its eve."""


@dataclass(frozen=True, slots=True)
class Expected:
    """In order: the place of each bar, and when it opens, closes, and its trading day ends, in epoch seconds."""

    places: Numbers
    opens: Numbers
    closes: Numbers
    ends: Numbers

    def cut(self, first: int, last: int) -> "Expected":
        """From one place to another."""
        kept = slice(np.searchsorted(self.places, first), np.searchsorted(self.places, last, side="right"))
        return Expected(self.places[kept], self.opens[kept], self.closes[kept], self.ends[kept])


class Expectation:
    """What one calendar expects. Of a time that it does not know it expects nothing."""

    def __init__(self, calendar: TradingCalendar) -> None:
        self._hours = Hours(calendar)
        first, last = calendar.known
        self._known: Span = int(first.timestamp()), int(last.timestamp())
        self._years: OrderedDict[tuple[Interval, int], Expected] = OrderedDict()
        self._one_at_a_time = Lock()

    def between(self, interval: Interval, first: int, last: int) -> Expected:
        """From one place to another."""
        width = places_a_day(interval)
        years = range(_year_of(first // width), _year_of(last // width) + 1)
        with self._one_at_a_time:
            found = [self._year(interval, year) for year in years]
        together = (np.concatenate(columns) for columns in zip(*map(_columns, found), strict=True))
        return Expected(*together).cut(first, last)

    def _year(self, interval: Interval, year: int) -> Expected:
        """Those that open in it."""
        key = interval, year
        if key not in self._years:
            self._years[key] = self._worked_out(interval, _new_year(year) * DAY, _new_year(year + 1) * DAY)
        self._years.move_to_end(key)
        if len(self._years) > YEARS_HELD:
            self._years.popitem(last=False)
        return self._years[key]

    def _worked_out(self, interval: Interval, start: int, until: int) -> Expected:
        rows = self._hours.expected(interval, max(start, self._known[0]), min(until + _OVERLAP, self._known[1]))
        opens, closes = rows[rows[:, 0] < until].T
        around = max(start - _OVERLAP, self._known[0]), min(until + _OVERLAP, self._known[1])
        ends = self._hours.expected(Interval.ONE_DAY, *around)[:, 1]
        places = opens // DAY * places_a_day(interval) if interval is Interval.ONE_DAY else opens // MINUTE
        return Expected(places, opens, closes, ends[np.searchsorted(ends, opens, side="right")])


def _columns(expected: Expected) -> tuple[Numbers, ...]:
    return expected.places, expected.opens, expected.closes, expected.ends


def _new_year(year: int) -> int:
    return day_number(date(year, 1, 1))


def _year_of(day: int) -> int:
    return day_of(day).year
