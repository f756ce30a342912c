"""Judging bars: what is odd about each, beside those before it. None is refused here, and none is changed but for that mark.

All comparisons are in the shares of one date. Floats decide, and where they are too close to a limit to tell, the decimals
themselves: a bar that opens exactly 10 % away opens no more than 10 % away.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from fractions import Fraction
from statistics import median

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from domain.bars import Bar, CorporateAction, split_factor
from domain.faults import Fault

NEIGHBOURS = 50
"""A bar's volume is held against the median of so many before it: days of ten weeks, or most of an hour of minutes. Few enough
to go with what is traded nowadays, and so many that a week of odd ones does not move it."""
GAP = Fraction(10, 100)
MOVE = Fraction(500, 100)
HIGH, LOW = 10, Fraction(1, 10)
_NOISE = 1e-9
"""Nearer than this share to its limit, a float does not decide."""
_FAULTS = [Fault(bits) for bits in range(2 * max(Fault))]

Numbers = NDArray[np.float64]
Marks = NDArray[np.bool_]


def judged(bars: Sequence[Bar], before: Sequence[Bar], actions: Iterable[CorporateAction]) -> list[Bar]:
    """The bars, of one ticker and interval and oldest first, with their faults; `before` are those that come before the first,
    of which the last NEIGHBOURS matter."""
    if not bars:
        return []
    context = before[-NEIGHBOURS:]
    found = _Row([*context, *bars], actions).faults(len(context))
    return [bar if bar.faults == bits else bar.judged(_FAULTS[bits]) for bar, bits in zip(bars, found, strict=True)]


class _Row:
    """Bars in their order, as floats in the shares of one date. What is looked at of a bar is looked at of all."""

    def __init__(self, bars: Sequence[Bar], actions: Iterable[CorporateAction]) -> None:
        self._bars = bars
        splits = list(actions)
        self._factors = {day: split_factor(splits, day, date.max) for day in {bar.adjusted_to for bar in bars}}
        factors = np.fromiter((self._factors[bar.adjusted_to] for bar in bars), np.float64, len(bars))
        self._opens = _floats([bar.open for bar in bars]) / factors
        self._closes = _floats([bar.close for bar in bars]) / factors
        self._volumes = _floats([bar.volume for bar in bars]) * factors

    def faults(self, first: int) -> list[int]:
        """The bits of those from the first on."""
        volumes = self._beside_the_median(first)
        found = np.zeros(len(self._bars), np.int64)
        for fault, marks in (
            (Fault.BROKEN, np.array([_is_broken(bar) for bar in self._bars])),
            (Fault.MOVE, self._moves()),
            (Fault.HIGH_VOLUME, volumes[0]),
            (Fault.LOW_VOLUME, volumes[1]),
        ):
            found[marks] |= fault
        for at in np.flatnonzero(self._gaps()).tolist():
            is_over_weekend = _is_weekend_between(self._bars[at - 1].day, self._bars[at].day)
            found[at] |= Fault.WEEKEND_GAP if is_over_weekend else Fault.GAP
        bits: list[int] = found[first:].tolist()
        return bits

    def _moves(self) -> Marks:
        within = self._away(self._closes, self._opens, MOVE, lambda at: (self._close(at), self._open(at)))
        since = self._away(self._closes[1:], self._closes[:-1], MOVE, lambda at: (self._close(at + 1), self._close(at)))
        within[1:] |= since
        return within

    def _gaps(self) -> Marks:
        away = self._away(self._opens[1:], self._closes[:-1], GAP, lambda at: (self._open(at + 1), self._close(at)))
        return np.append(False, away)

    def _away(
        self, values: Numbers, bases: Numbers, share: Fraction, exact: Callable[[int], tuple[Fraction, Fraction]]
    ) -> Marks:
        """Where a value is more than this share of its base away from it. From a base of 0 nothing is."""

        def is_away(at: int) -> bool:
            value, base = exact(at)
            return abs(value - base) > share * base

        return _above(np.abs(values - bases), float(share) * bases, bases > 0, is_away)

    def _beside_the_median(self, first: int) -> tuple[Marks, Marks]:
        """Which volumes are high, and which low. Beside a median of 0 none is, nor where nothing comes before."""
        medians = _medians(self._volumes, first)
        volumes, is_known = self._volumes, medians > 0
        high = _above(volumes, HIGH * medians, is_known, lambda at: self._volume(at) > HIGH * self._median(at))
        low = _above(float(LOW) * medians, volumes, is_known, lambda at: self._volume(at) < LOW * self._median(at))
        return high, low

    # ── exactly

    def _open(self, at: int) -> Fraction:
        return Fraction(self._bars[at].open) / self._factor(at)

    def _close(self, at: int) -> Fraction:
        return Fraction(self._bars[at].close) / self._factor(at)

    def _volume(self, at: int) -> Fraction:
        return Fraction(self._bars[at].volume) * self._factor(at)

    def _median(self, at: int) -> Fraction:
        return median(map(self._volume, range(max(0, at - NEIGHBOURS), at)))

    def _factor(self, at: int) -> Fraction:
        return Fraction(self._factors[self._bars[at].adjusted_to])


def _floats(values: Sequence[object]) -> Numbers:
    return np.fromiter(map(float, values), np.float64, len(values))  # type: ignore[arg-type]  # of decimals


def _above(values: Numbers, bounds: Numbers, where: Marks, is_above: Callable[[int], bool]) -> Marks:
    """Where a value is above its bound: where it can be told by floats, so, else by `is_above`."""
    above: Marks = (values > bounds) & where
    for at in np.flatnonzero((np.abs(values - bounds) <= _NOISE * np.abs(bounds)) & where).tolist():
        above[at] = is_above(at)
    return above


def _medians(volumes: Numbers, first: int) -> Numbers:
    """Of up to NEIGHBOURS before each from the first on, 0 of the others."""
    medians = np.zeros(len(volumes))
    for at in range(max(1, first), min(NEIGHBOURS, len(volumes))):
        medians[at] = np.median(volumes[:at])
    if len(volumes) > NEIGHBOURS:
        middle = NEIGHBOURS // 2
        ordered = np.sort(sliding_window_view(volumes[:-1], NEIGHBOURS), axis=1)
        medians[NEIGHBOURS:] = (ordered[:, middle - 1] + ordered[:, middle]) / 2
    return medians


def _is_broken(bar: Bar) -> bool:
    low, high = bar.low, bar.high
    return not (low <= bar.open <= high and low <= bar.close <= high and low)


def _is_weekend_between(earlier: date, later: date) -> bool:
    """Whether a Saturday or a Sunday lies strictly between."""
    days = min((later - earlier).days, 8)
    return any((earlier + timedelta(days=n)).weekday() >= 5 for n in range(1, days))
