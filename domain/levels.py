"""Support, resistance and direction, from bars alone.

A *swing* is a bar whose high (or low) stands out from the bars on both sides of it. Swings that lie close together, as
measured by how far the price moves in one bar, are one *zone*, highs and lows alike: a broken resistance often holds as
support. A zone with the touches it has had is a `PriceLevel`. Volume plays no part: forex has none.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from domain.bars import Bar

Numbers = NDArray[np.float64]
Indexes = NDArray[np.intp]


class LevelKind(Enum):
    """On which side of the last close a level lies. The values are what the database holds."""

    SUPPORT = "support"
    RESISTANCE = "resistance"


class Direction(Enum):
    """Where the price has been going. The values are what the database holds."""

    BULLISH = "bullish"
    BEARISH = "bearish"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class PriceLevel:
    """A price, or a zone from `price` up to `price_upper`, at which the symbol has turned before.

    Both edges are highs or lows of bars, as they stand there: nothing is computed, so nothing is rounded. SUPPORT
    starts at or below the last close, which makes a zone that holds the last close a support; RESISTANCE starts above
    it. `strength` runs from 0 (weak) to 1 (strong) and grows with every touch, most with recent ones. A touch is a turn
    there, however many bars it took; `last_touched_at` is the close time, in UTC, of the bar that made the latest.
    """

    kind: LevelKind
    price: Decimal
    price_upper: Decimal | None
    strength: float
    touches: int
    last_touched_at: datetime


@dataclass(frozen=True, slots=True)
class Extraction:
    """What bars say: the levels, lowest first and no two of the same kind and price, and the direction."""

    levels: tuple[PriceLevel, ...]
    direction: Direction


@dataclass(frozen=True, slots=True)
class _Swings:
    """Turns, lowest price first: the index of the bar that made each, its price, and that price's logarithm."""

    bars: Indexes
    prices: tuple[Decimal, ...]
    logs: Numbers


@dataclass(frozen=True, slots=True)
class SymbolLevelExtractor:
    """Finds the levels and the direction of one symbol.

    - `swing_bars`: a high is a swing once so many bars on each side of it are lower; a low, once so many are higher.
    - `zone_width`: how high a zone may be, as a share of the average true range.
    - `half_life`: after so many bars a touch counts half.
    - `levels_per_kind`: so many supports and so many resistances are kept, the strongest.
    - `trend_bars`: the direction is that of so many changes from close to close.
    """

    swing_bars: int = 5
    zone_width: float = 0.75
    half_life: int = 120
    levels_per_kind: int = 6
    trend_bars: int = 50

    def extract(self, bars: Sequence[Bar]) -> Extraction:
        """Levels and direction as of the last of `bars`: one symbol, one interval, split-adjusted, oldest first.

        The same bars in another unit give the same levels in that unit. Bars with a zero price are passed over: they
        have no place on a relative scale. Too few bars give no levels and NEUTRAL.
        """
        priced = [bar for bar in bars if bar.low > 0 and bar.close > 0]
        if not priced:
            return Extraction((), Direction.NEUTRAL)
        unit = priced[-1].close
        highs, lows, closes = (
            _logs([bar.high for bar in priced], unit),
            _logs([bar.low for bar in priced], unit),
            _logs([bar.close for bar in priced], unit),
        )
        width = self.zone_width * _average_true_range(highs, lows, closes)
        levels = self._strongest(self._levels(priced, self._swings(priced, highs, lows), width))
        return Extraction(tuple(sorted(levels, key=lambda level: level.price)), self._direction(closes))

    def _swings(self, bars: Sequence[Bar], highs: Numbers, lows: Numbers) -> _Swings:
        tops, bottoms = _peaks(highs, self.swing_bars), _peaks(-lows, self.swing_bars)
        prices = [bars[i].high for i in tops] + [bars[i].low for i in bottoms]
        logs = np.concatenate((highs[tops], lows[bottoms]))
        order = np.argsort(logs, kind="stable")
        return _Swings(np.concatenate((tops, bottoms))[order], tuple(prices[i] for i in order), logs[order])

    def _levels(self, bars: Sequence[Bar], swings: _Swings, width: float) -> Iterator[PriceLevel]:
        newest = len(bars) - 1
        for zone in _zones(swings.logs, self._weights(newest - swings.bars), width):
            lower, upper = min(swings.prices[zone]), max(swings.prices[zone])
            touches = _run_ends(np.sort(swings.bars[zone]), self.swing_bars)
            yield PriceLevel(
                kind=LevelKind.SUPPORT if lower <= bars[newest].close else LevelKind.RESISTANCE,
                price=_plain(lower),
                price_upper=_plain(upper) if upper > lower else None,
                strength=1 - float(np.prod(1 - self._weights(newest - touches))),
                touches=len(touches),
                last_touched_at=bars[touches[-1]].close_time,
            )

    def _weights(self, ages: Indexes) -> Numbers:
        """½ for a touch of age 0. Strength is 1 − Π(1 − weight): each touch takes its share of what is missing to 1."""
        return np.asarray(0.5 ** (1 + ages / self.half_life))

    def _strongest(self, levels: Iterable[PriceLevel]) -> list[PriceLevel]:
        ranked = sorted(levels, key=lambda level: (-level.strength, level.price))
        supports = [level for level in ranked if level.kind is LevelKind.SUPPORT]
        resistances = [level for level in ranked if level.kind is LevelKind.RESISTANCE]
        return supports[: self.levels_per_kind] + resistances[: self.levels_per_kind]

    def _direction(self, closes: Numbers) -> Direction:
        """By Σr / √Σr², r the logarithmic changes of the close: the net change, in units of what a walk without drift
        typically makes by steps as large. NEUTRAL from −1 to 1, and while there are fewer than `trend_bars` changes."""
        changes = np.diff(closes[-self.trend_bars - 1 :])
        net, typical = changes.sum(), np.sqrt(np.square(changes).sum())
        if len(changes) < self.trend_bars or abs(net) <= typical:
            return Direction.NEUTRAL
        return Direction.BULLISH if net > 0 else Direction.BEARISH


def _logs(prices: Sequence[Decimal], unit: Decimal) -> Numbers:
    """Divided while still decimal: prices in any unit then give the very same floats, and ties fall the same way."""
    logs: Numbers = np.log(np.array([float(price / unit) for price in prices]))
    return logs


def _average_true_range(highs: Numbers, lows: Numbers, closes: Numbers) -> float:
    """The mean of Wilder's true range: from the lower to the higher of a bar's extremes and the close before it."""
    if len(closes) < 2:
        return 0.0
    return float(np.mean(np.maximum(highs[1:], closes[:-1]) - np.minimum(lows[1:], closes[:-1])))


def _peaks(values: Numbers, reach: int) -> Indexes:
    """Where `values` stand above the `reach` on both sides. Equals within reach of each other are one: the last."""
    if len(values) <= 2 * reach:
        return np.empty(0, dtype=np.intp)
    maxima = sliding_window_view(values, reach).max(axis=1)
    inner, before, after = values[reach:-reach], maxima[: -reach - 1], maxima[reach + 1 :]
    tops = np.flatnonzero((inner >= before) & (inner >= after))
    firsts, lasts = _run_starts(tops, reach), _run_ends(tops, reach)
    peaks: Indexes = lasts[(inner[firsts] > before[firsts]) & (inner[lasts] > after[lasts])] + reach
    return peaks


def _run_starts(indexes: Indexes, reach: int) -> Indexes:
    """The first of each run of ascending `indexes` that are no more than `reach` apart."""
    return indexes[np.diff(indexes, prepend=-reach - 1) > reach]


def _run_ends(indexes: Indexes, reach: int) -> Indexes:
    """The last of each run of ascending `indexes` that are no more than `reach` apart."""
    return indexes[np.diff(indexes, append=indexes[-1:] + reach + 1) > reach]


def _zones(logs: Numbers, weights: Numbers, width: float) -> Iterator[slice]:
    """Cuts ascending `logs` into zones no higher than `width`: the heaviest, then likewise what is below and above."""
    stops = np.searchsorted(logs, logs + width, side="right")
    sums = np.append(0.0, np.cumsum(weights))
    uncut = [(0, len(logs))] if len(logs) else []
    while uncut:
        low, high = uncut.pop()
        ends = np.minimum(stops[low:high], high)
        heaviest = np.argmax(sums[ends] - sums[low:high])
        start, stop = low + int(heaviest), int(ends[heaviest])
        yield slice(start, stop)
        uncut += [(a, b) for a, b in ((low, start), (stop, high)) if a < b]


def _plain(price: Decimal) -> Decimal:
    """Without an exponent: 1E+3 → 1000."""
    return Decimal(f"{price:f}")
