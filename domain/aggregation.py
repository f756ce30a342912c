"""Longer bars from one-minute bars: one at a time as they come, and in bulk, with the same result.

Which windows there are is for `domain/hours.py` to say. Because they nest, what ends a window of five minutes goes on, as one
bar, into that of fifteen, and so forth up to the day's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from functools import reduce
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.bars import WIDE, Bar, Interval
from domain.hours import LENGTHS, MINUTE, Hours, Instants, Nest

__all__ = ["Columns", "Hours", "Minute", "Rollup", "Window", "aggregate", "bar_of", "minute_of", "rolled"]

Part = tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal]
"""A minute, or of a completed window as much as a minute has."""
Numbers = NDArray[Any]
_SHORTER_THAN_A_DAY = list(LENGTHS)[-2::-1]
_add = WIDE.add
_new = tuple.__new__
"""Makes a named tuple in less than half the time that its class takes."""


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


def minute_of(bar: Bar) -> Minute:
    return Minute(int(bar.open_time.timestamp()), bar.open, bar.high, bar.low, bar.close, bar.volume)


def bar_of(window: Window, ticker: str, adjusted_to: date, source: str, *, is_final: bool) -> Bar:
    interval, opens, closes, opened, high, low, close, volume = window
    times = datetime.fromtimestamp(opens, UTC), datetime.fromtimestamp(closes, UTC)
    return Bar(ticker, interval, *times, opened, high, low, close, volume, adjusted_to, source, is_final)


class _Level:
    """The window of one interval that holds the newest minute, with the windows of the next shorter one, or minutes, in it."""

    __slots__ = ("closes", "interval", "longer", "opens", "parts")

    def __init__(self, interval: Interval, longer: "_Level | None") -> None:
        self.interval, self.longer = interval, longer
        self.opens = self.closes = 0
        self.parts: list[Part] = []

    def complete(self) -> Window:
        """What its parts come to; it becomes part of the next longer window, in the place of what it was before."""
        opens, parts = self.opens, self.parts
        _, opened, highest, lowest, _, total = parts[0]
        closed = parts[-1][4]
        for _, _, high, low, _, volume in parts[1:]:
            if high > highest:
                highest = high
            if low < lowest:
                lowest = low
            total = _add(total, volume)
        if self.longer is not None:
            parts = self.longer.parts
            if parts and parts[-1][0] == opens:
                parts.pop()
            parts.append((opens, opened, highest, lowest, closed, total))
        return _new(Window, (self.interval, opens, self.closes, opened, highest, lowest, closed, total))


class Rollup:
    """The open windows of one symbol, to which minutes are added as they come."""

    __slots__ = ("_hours", "_last", "_minutes", "_passed", "_shortest", "due")

    due: int | None
    """When the earliest open window ends: `pass_time` is for then."""

    def __init__(self, hours: Hours) -> None:
        self.due = None
        self._hours = hours
        longest = _Level(Interval.ONE_DAY, None)
        self._shortest = reduce(lambda longer, interval: _Level(interval, longer), _SHORTER_THAN_A_DAY, longest)
        self._minutes = self._shortest.parts
        self._passed = 0  # what ends by then has been given
        self._last = -1  # when the last minute of the shortest window opens, while that is open

    def add(self, minute: Part) -> Sequence[Window]:
        """The windows that a minute completes: those that it leaves, and those whose last it is.

        Minutes come in order, each once; others are for `amend`. One that comes when the clock has closed its windows
        completes them again. One outside trading hours is in no window.
        """
        opens = minute[0]
        if opens < self._last:
            self._minutes.append(minute)
            return ()
        if opens == self._last:
            self._minutes.append(minute)
            return self._completed(self._passed, opens + MINUTE)
        return self._turn(minute)

    def pass_time(self, now: int) -> Sequence[Window]:
        """The windows that the clock closes: those that end by then and have not been given."""
        return self._completed(self._passed, now) if now > self._passed else ()

    def amend(self, minutes: Sequence[Part], opens: int) -> Sequence[Window]:
        """The completed windows, anew, that a minute belongs to which came late or was revised.

        `minutes` are all of its trading day up to the newest added, in order, with this one in its place.
        """
        again = Rollup(self._hours)
        completed = [window for minute in minutes for window in again.add(minute)]
        completed += again.pass_time(self._passed)
        if again._shortest.opens >= self._shortest.opens:  # the newest minute's day, not an earlier one
            for name in self.__slots__:
                setattr(self, name, getattr(again, name))
        nest = self._hours.nests[opens]
        return [window for window in completed if (window.opens, window.closes) in nest]

    def _turn(self, minute: Part) -> Sequence[Window]:
        """Adds a minute that is the first of its shortest window, or comes when the clock has closed that."""
        opens = minute[0]
        due = self.due
        left = self._completed(self._passed, opens) if due is not None and opens >= due else ()
        nest = self._hours.nests[opens]
        if not nest:
            return left
        self._enter(nest)
        self._minutes.append(minute)
        now, closes = opens + MINUTE, self._shortest.closes
        if now < self._passed:
            now = self._passed
        if now >= closes:
            return [*left, *self._completed(0, now)]
        self.due, self._passed, self._last = closes, now, closes - MINUTE
        return left

    def _enter(self, nest: Nest) -> None:
        level: _Level | None = self._shortest
        for opens, closes in nest:
            if level is None or level.closes == closes:
                break
            level.opens, level.closes, level.parts = opens, closes, []
            level = level.longer
        self._minutes = self._shortest.parts

    def _completed(self, after: int, now: int) -> Sequence[Window]:
        """The windows that end in (after, now]."""
        completed: list[Window] = []
        self.due, self._passed, self._last = None, now, -1
        level: _Level | None = self._shortest
        while level is not None:
            closes = level.closes
            if closes > now:
                self.due = closes
                break
            if closes > after:
                completed.append(level.complete())
            level = level.longer
        return completed


@dataclass(frozen=True, slots=True)
class Columns:
    """Bars as arrays of one length, in order, each once.

    Prices and volumes are int64 in a unit in which all of them, and the sum of the volumes, are whole numbers that fit; or else
    Decimals, as objects. Both are exact. The first are far faster to aggregate, for whoever has them: to make them of Decimals
    takes longer than it saves.
    """

    opens: Instants
    closes: Instants
    open: Numbers
    high: Numbers
    low: Numbers
    close: Numbers
    volume: Numbers

    @classmethod
    def of(cls, minutes: Sequence[Minute]) -> "Columns":
        opens = np.fromiter(map(itemgetter(0), minutes), np.int64, len(minutes))
        numbers = [np.fromiter(map(itemgetter(place), minutes), object, len(minutes)) for place in range(1, 6)]
        return cls(opens, opens + MINUTE, *numbers)

    def windows(self, interval: Interval) -> list[Window]:
        """Of columns of Decimals."""
        columns = (self.opens, self.closes, self.open, self.high, self.low, self.close, self.volume)
        return [Window(interval, *row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def aggregate(minutes: Sequence[Minute], hours: Hours, interval: Interval, until: int) -> list[Window]:
    """What a Rollup would have given of one interval, had the minutes been added one by one and the time passed."""
    return rolled(Columns.of(minutes), hours, interval, until).windows(interval) if minutes else []


def rolled(minutes: Columns, hours: Hours, interval: Interval, until: int) -> Columns:
    """The windows that minutes, one or more, have completed, or the clock by `until`."""
    now = max(until, int(minutes.closes[-1]))
    first, opens, closes = hours.windows(interval, minutes.opens).T
    traded = hours.traded(minutes.opens)
    if traded is not None:
        minutes = Columns(*(getattr(minutes, column.name)[traded] for column in fields(minutes)))
    edges = np.append(np.searchsorted(minutes.opens, first), len(minutes.opens))
    held = (edges[:-1] < edges[1:]) & (closes <= now)
    starts, ends = edges[:-1][held], edges[1:][held]
    whole = slice(0, ends[-1] if len(ends) else 0)
    with localcontext(WIDE):
        return Columns(
            opens[held],
            closes[held],
            minutes.open[starts],
            np.maximum.reduceat(minutes.high[whole], starts),
            np.minimum.reduceat(minutes.low[whole], starts),
            minutes.close[ends - 1],
            np.add.reduceat(minutes.volume[whole], starts),
        )
