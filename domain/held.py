"""Which bars of a symbol are held: a bit for each place that a bar can have on a day.

A day is that in UTC on which the bar opens. A bar shorter than a day has the place of the minute at which it does, a daily bar
the first of its day. Days are counted from 1970-01-01 on, and so are places.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from domain.bars import Interval

Bits = NDArray[np.bool_]
Numbers = NDArray[np.int64]

MINUTES_A_DAY = 1440
DAILY = b"\x80"
"""A day whose bar is held."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)


def places_a_day(interval: Interval) -> int:
    """Of daily bars as many as a byte has bits, though there is one."""
    return 8 * len(DAILY) if interval is Interval.ONE_DAY else MINUTES_A_DAY


def day_number(day: date) -> int:
    return day.toordinal() - _EPOCH.toordinal()


def day_of(number: int) -> date:
    return date.fromordinal(number + _EPOCH.toordinal())


def bits_of(minutes: Numbers) -> bytes:
    """The minutes of one day at which bars open."""
    bits = np.zeros(MINUTES_A_DAY, np.bool_)
    bits[minutes] = True
    return np.packbits(bits).tobytes()


@dataclass(frozen=True, slots=True)
class HeldDays:
    """How many bars there are, how many of them are validated, how many open away from the previous close, and the bits of each
    day that has any."""

    count: int = 0
    validated: int = 0
    price_gaps: int = 0
    bits: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """From the open of the first bar to the close of the last."""

    start: datetime
    last_open: datetime
    end: datetime


@dataclass(frozen=True)
class Held:
    """A symbol's bars of one interval, one or more. Of a symbol that others are compared with `days` may be just some."""

    interval: Interval
    span: Span
    days: HeldDays

    @cached_property
    def first(self) -> int:
        """The place of the first bar."""
        if self.interval is Interval.ONE_DAY:
            return min(self.days.bits) * places_a_day(self.interval)
        return -((_EPOCH - self.span.start) // _MINUTE)

    @cached_property
    def last(self) -> int:
        if self.interval is Interval.ONE_DAY:
            return max(self.days.bits) * places_a_day(self.interval)
        return (self.span.last_open - _EPOCH) // _MINUTE

    def on(self, days: Collection[int]) -> Bits:
        """A row for each of the days, of its places: whether a bar is held there."""
        width = places_a_day(self.interval)
        nothing = bytes(width // 8)
        packed = b"".join(self.days.bits.get(day, nothing) for day in days)
        return np.unpackbits(np.frombuffer(packed, np.uint8)).view(np.bool_).reshape(-1, width)
