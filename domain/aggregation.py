"""Longer bars from one-minute bars: one at a time as they come, and in bulk, with the same result.

A bar's bucket is (its open − the trading day's open) // the interval, in whole UTC seconds; its window is the bucket cut to the
trading time within. Windows nest: each lies within one of every longer interval. So what ends a five-minute window goes on, as
one bar, into the fifteen-minute one, and so forth up to the day's.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from typing import NamedTuple

from domain.bars import WIDE, Interval
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
_SHORTEST, *_ = LENGTHS.values()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)

Span = tuple[int, int]
"""From the first instant on, up to the second without it, in epoch seconds."""
Nest = tuple[Span, ...]
"""The windows that a minute belongs to, as LENGTHS has them."""


class Minute(NamedTuple):
    """A one-minute bar. `opens` is in epoch seconds; it closes 60 later."""

    opens: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class Window(NamedTuple):
    """A completed longer bar."""

    interval: Interval
    opens: int
    closes: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class _Day:
    """A trading day in epoch seconds. Without a break, an empty one at its end."""

    __slots__ = ("_nests", "begins", "break_end", "break_start", "closes", "opens")

    def __init__(self, day: TradingDay) -> None:
        self.opens, self.closes = _seconds(day.open), _seconds(day.close)
        self.begins = self.opens - day.eve // _SECOND
        self.break_start = _seconds(day.break_start) if day.break_start else self.closes
        self.break_end = _seconds(day.break_end) if day.break_end else self.closes
        self._nests: dict[int, Nest] = {}

    def trading(self, instant: int) -> Span | None:
        """The time around an instant over which it trades without a break."""
        if self.begins <= instant < self.break_start:
            return self.begins, self.break_start
        if self.break_end <= instant < self.closes:
            return self.break_end, self.closes
        return None

    def nest(self, instant: int) -> Nest:
        """Of an instant at which it trades."""
        bucket = (instant - self.opens) // _SHORTEST
        known = self._nests.get(bucket)
        if known is None:
            known = self._nests[bucket] = tuple(self.window(length, instant) for length in LENGTHS.values())
        return known

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


class Hours:
    """A calendar's trading hours in epoch seconds; one for all symbols that share the calendar.

    Raises OutOfCalendar when asked about a time that the calendar does not know.
    """

    def __init__(self, calendar: TradingCalendar) -> None:
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
        nest = self.nest(opens)
        return nest[_LEVELS[interval]] if nest else None

    def nest(self, opens: int) -> Nest | None:
        """All windows that a minute belongs to, shortest first."""
        day = self._next_to_close(opens)
        return day.nest(opens) if day.trading(opens) else None

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


class Rollup:
    """The open windows of one symbol, to which minutes are added as they come."""

    __slots__ = ("_hours", "_inside", "_nest", "_parts", "_passed")

    def __init__(self, hours: Hours) -> None:
        self._hours = hours
        self._nest: Nest = ()
        self._parts: list[list[Minute | Window]] = [[] for _ in LENGTHS]
        self._passed = 0
        self._inside = 0

    @property
    def due(self) -> int | None:
        """When the earliest open window ends: `pass_time` is for then."""
        return next((closes for _, closes in self._nest if closes > self._passed), None)

    def add(self, minute: Minute) -> Sequence[Window]:
        """The windows that a minute completes: those that it leaves, and those whose last it is.

        Minutes come in order, each once; others are for `amend`. One that comes when its windows have been closed by the
        clock completes them again. One outside trading hours is in no window.
        """
        if minute[0] < self._inside:
            self._parts[0].append(minute)
            return ()
        return self._turn(minute)

    def pass_time(self, now: int) -> Sequence[Window]:
        """The windows that the clock closes: those that end by then, and have not been given."""
        if now <= self._passed:
            return ()
        completed = self._completed(self._passed, now)
        self._pass(now)
        return completed

    def amend(self, minutes: Sequence[Minute], opens: int) -> Sequence[Window]:
        """The completed windows, anew, that a minute belongs to which came late or was revised.

        `minutes` are all of its trading day up to the newest added, in order, with this one in its place.
        """
        nest = self._hours.nest(opens)
        if nest is None:
            return ()
        again = Rollup(self._hours)
        completed = [window for minute in minutes for window in again.add(minute)]
        completed += again.pass_time(self._passed)
        if not self._nest or self._nest[-1] == nest[-1]:
            self._nest, self._parts, self._passed, self._inside = again._nest, again._parts, again._passed, again._inside
        return [window for window in completed if nest[_LEVELS[window.interval]] == (window.opens, window.closes)]

    def _turn(self, minute: Minute) -> Sequence[Window]:
        opens = minute[0]
        left = self.pass_time(opens)
        nest = self._hours.nest(opens)
        if nest is None:
            return left
        self._enter(nest)
        self._parts[0].append(minute)
        now = max(self._passed, opens + MINUTE)
        completed = self._completed(0, now)
        self._pass(now)
        return [*left, *completed]

    def _enter(self, nest: Nest) -> None:
        for parts, old, new in zip(self._parts, self._nest, nest, strict=False):
            if old == new:
                break
            parts.clear()
        self._nest = nest

    def _completed(self, after: int, now: int) -> list[Window]:
        """The windows that end in (after, now]; each becomes part of the next longer, in the place of what it was before."""
        completed = []
        for level, (interval, (opens, closes)) in enumerate(zip(LENGTHS, self._nest, strict=False)):
            if closes > now:
                break
            if closes > after:
                window = Window(interval, opens, closes, *_merged(self._parts[level]))
                completed.append(window)
                if interval is not Interval.ONE_DAY:
                    _put(self._parts[level + 1], window)
        return completed

    def _pass(self, now: int) -> None:
        self._passed = now
        closes = self._nest[0][1] if self._nest else 0
        self._inside = closes - MINUTE if closes > now else 0


def _put(parts: list[Minute | Window], window: Window) -> None:
    if parts and parts[-1].opens == window.opens:
        parts[-1] = window
    else:
        parts.append(window)


def _merged(parts: Iterable[Minute | Window]) -> tuple[Decimal, Decimal, Decimal, Decimal, Decimal]:
    """Open, high, low, close and volume: the last five fields of both."""
    opened, highs, lows, closed, volumes = tuple(zip(*parts, strict=True))[-5:]
    return opened[0], max(highs), min(lows), closed[-1], reduce(WIDE.add, volumes)


def _seconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _SECOND
