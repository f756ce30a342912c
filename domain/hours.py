"""Trading hours in whole epoch seconds, for what must ask often: which windows of each interval a minute belongs to.

A minute's bucket is (its open − the trading day's open) // the interval, and its window that bucket, cut to the trading time
within. Windows nest: each lies within one of every longer interval.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from domain.bars import Interval
from domain.calendars import OutOfCalendar, TradingCalendar, TradingDay

MINUTE, DAY = 60, 86_400
LENGTHS = {
    Interval.FIVE_MINUTES: 5 * MINUTE,
    Interval.FIFTEEN_MINUTES: 15 * MINUTE,
    Interval.THIRTY_MINUTES: 30 * MINUTE,
    Interval.ONE_HOUR: 60 * MINUTE,
    Interval.FOUR_HOURS: 240 * MINUTE,
    Interval.ONE_DAY: DAY,
}
"""In seconds, shortest first, each a divisor of the next."""
_LEVELS = {interval: level for level, interval in enumerate(LENGTHS)}
_NESTS_HELD = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)

Span = tuple[int, int]
"""From the first instant on, up to the second without it."""
Nest = tuple[Span, ...]
"""The windows that a minute belongs to, as LENGTHS has them; of one outside trading hours, none."""
Instants = NDArray[np.int64]
_NOTHING: Instants = np.empty(0, np.int64)
_NO_ROWS: Instants = np.empty((0, 2), np.int64)


class _Day:
    """A trading day in epoch seconds. Without a break, an empty one at its end."""

    __slots__ = ("_windows", "begins", "break_end", "break_start", "closes", "opens")

    def __init__(self, day: TradingDay) -> None:
        self.opens, self.closes = _seconds(day.open), _seconds(day.close)
        self.begins = self.opens - day.eve // _SECOND
        self.break_start = _seconds(day.break_start) if day.break_start else self.closes
        self.break_end = _seconds(day.break_end) if day.break_end else self.closes
        self._windows: dict[int, Instants] = {}

    def trading(self, instant: int) -> Span | None:
        """The time around an instant over which it trades without a break."""
        if self.begins <= instant < self.break_start:
            return self.begins, self.break_start
        if self.break_end <= instant < self.closes:
            return self.break_end, self.closes
        return None

    def window(self, length: int, instant: int) -> Span:
        """Of an instant at which it trades. The day's opens with the day, whatever its eve: as everyone's day bar does."""
        if length == DAY:
            return self.opens, self.closes
        start = instant - (instant - self.opens) % length
        opens, closes = max(start, self.begins), min(start + length, self.closes)
        if self.break_start <= opens < self.break_end:
            opens = self.break_end
        if self.break_start < closes <= self.break_end:
            closes = self.break_start
        return opens, closes

    def minutes(self) -> Instants:
        """When each opens."""
        spans = (self.begins, self.break_start), (self.break_end, self.closes)
        return np.concatenate([np.arange(*span, MINUTE, dtype=np.int64) for span in spans])

    def windows(self, length: int) -> Instants:
        """A row for each: the first instant that belongs to it, its opens and its closes."""
        known = self._windows.get(length)
        if known is None:
            known = self._windows[length] = np.array(list(self._walk(length)), np.int64)
        return known

    def _walk(self, length: int) -> Iterator[tuple[int, int, int]]:
        instant = self.begins
        while instant < self.closes:
            opens, closes = self.window(length, instant)
            yield instant, opens, closes
            instant = self.break_end if closes == self.break_start else closes


class _Nests(dict[int, Nest]):
    """The windows of each minute that was asked about, worked out once for all symbols."""

    def __init__(self, nest: Callable[[int], Nest]) -> None:
        self._nest = nest

    def __missing__(self, opens: int) -> Nest:
        if len(self) >= _NESTS_HELD:
            self.clear()
        found = self[opens] = self._nest(opens)
        return found


class Hours:
    """A calendar's trading hours in epoch seconds; one for all symbols that share the calendar.

    `nests` has the windows of any minute, by when it opens. Raises OutOfCalendar when asked about a time that the calendar
    does not know.
    """

    def __init__(self, calendar: TradingCalendar) -> None:
        self.nests: Mapping[int, Nest] = _Nests(self._nest)
        self._calendar = calendar
        self._dates: dict[int, Sequence[_Day]] = {}
        self._asked: Span = (0, 0)

    def is_open(self, opens: int) -> bool:
        """Whether a minute that opens then belongs to a trading day."""
        first, last = self._asked
        if first <= opens < last:
            return True
        found = self._next_to_close(opens).trading(opens)
        if found is None:
            return False
        self._asked = found
        return True

    def window(self, interval: Interval, opens: int) -> Span | None:
        """The window, a completed one's `opens` and `closes`, that a minute belongs to."""
        nest = self.nests[opens]
        return nest[_LEVELS[interval]] if nest else None

    def day(self, opens: int) -> Span | None:
        """The trading day that a minute belongs to: from its first minute, on its eve if it has one, to its close."""
        day = self._next_to_close(opens)
        return (day.begins, day.closes) if day.trading(opens) else None

    def due_after(self, closes: int) -> int | None:
        """When the first trading minute that closes later than `closes` does. None when the calendar does not know."""
        opens = closes - closes % MINUTE
        try:
            day = self._next_to_close(opens)
        except OutOfCalendar:
            return None
        if day.break_start <= opens < day.break_end:
            opens = day.break_end
        return max(opens, day.begins) + MINUTE

    def windows(self, interval: Interval, opens: Instants) -> Instants:
        """All windows from that of the first minute, of one or more, or before, to that of the last or later: a row for each,
        the first instant that belongs to it, its opens and its closes."""
        length = LENGTHS[interval]
        return np.concatenate([day.windows(length) for day in self._days(opens)])

    def expected(self, interval: Interval, start: int, until: int) -> Instants:
        """The bars that ought to be there when something is traded in every minute: a row, opens and closes, for each that
        opens at `start` or later and closes by `until`."""
        days = self._between(start, until)
        if interval is Interval.ONE_MINUTE:
            opens = np.concatenate([_NOTHING, *(day.minutes() for day in days)])
            rows = np.stack([opens, opens + MINUTE], axis=1)
        else:
            rows = np.concatenate([_NO_ROWS, *(day.windows(LENGTHS[interval])[:, 1:] for day in days)])
        return rows[(rows[:, 0] >= start) & (rows[:, 1] <= until)]

    def traded(self, opens: Instants) -> NDArray[np.bool_] | None:
        """Which of the minutes, one or more and in order, belong to a trading day; None for all."""
        spans = np.array([(d.begins, d.break_start, d.break_end, d.closes) for d in self._days(opens)], np.int64).ravel()
        edges = np.searchsorted(opens, spans)
        if (edges[1::2] - edges[::2]).sum() == len(opens):
            return None
        traded: NDArray[np.bool_] = np.searchsorted(spans, opens, side="right") % 2 == 1
        return traded

    def _days(self, opens: Instants) -> Iterator[_Day]:
        """Those of minutes in order."""
        day = self._next_to_close(int(opens[0]))
        yield day
        while day.closes <= opens[-1]:
            day = self._next_to_close(day.closes)
            yield day

    def _between(self, start: int, until: int) -> Iterator[_Day]:
        """Those that are traded between two instants."""
        while start < until and (day := self._next_to_close(start)).begins < until:
            yield day
            start = day.closes

    def _nest(self, opens: int) -> Nest:
        day = self._next_to_close(opens)
        return tuple(day.window(length, opens) for length in LENGTHS.values()) if day.trading(opens) else ()

    def _next_to_close(self, instant: int) -> _Day:
        date = instant // DAY
        days = self._dates.get(date)
        if days is None:
            days = self._dates[date] = self._closing_from(date * DAY)
        for day in days:
            if instant < day.closes:
                return day
        raise OutOfCalendar(f"{_EPOCH + instant * _SECOND} is not within the calendar")

    def _closing_from(self, midnight: int) -> Sequence[_Day]:
        """The days that are the next to close at some time of a UTC date."""
        days: list[_Day] = []
        closes = midnight
        while closes < midnight + DAY and (found := self._calendar.next_to_close(_EPOCH + closes * _SECOND)):
            days.append(_Day(found))
            closes = days[-1].closes
        return days


_shared: dict[int, Hours] = {}


def hours_for(calendar: TradingCalendar) -> Hours:
    """The one of all who ask about this calendar."""
    hours = _shared.get(id(calendar))  # which stays its id: the hours keep the calendar alive
    if hours is None:
        hours = _shared[id(calendar)] = Hours(calendar)
    return hours


def _seconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _SECOND
