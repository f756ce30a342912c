"""Extraction of levels beside the same definition written down as plain loops, without arrays."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import exp, isclose, log, prod

from benchmarks.report import Comparison, by_turns, microseconds, print_machine, print_table
from domain.bars import Bar, Interval
from domain.levels import LevelKind, PriceLevel, SymbolLevelExtractor

LENGTHS = (252, 5_000)
FIRST = datetime(2005, 1, 3, tzinfo=UTC)


def main() -> None:
    found = [_compared(walk(length)) for length in LENGTHS]
    print_table("Levels", "SymbolLevelExtractor", "plain loops", "microseconds", found)


def _compared(bars: Sequence[Bar]) -> Comparison:
    rules = SymbolLevelExtractor()
    _expect_same(rules.extract(bars).levels, PlainLoops(rules, bars).levels())
    return by_turns(
        f"{len(bars):,} bars",
        lambda: microseconds(lambda: rules.extract(bars)),
        lambda: microseconds(lambda: PlainLoops(rules, bars).levels()),
        rounds=5,
    )


def _expect_same(ours: Sequence[PriceLevel], plain: Sequence[PriceLevel]) -> None:
    same = len(ours) == len(plain) and all(
        a == replace(b, strength=a.strength) and isclose(a.strength, b.strength) for a, b in zip(ours, plain, strict=True)
    )
    if not same:
        raise RuntimeError(f"the two do not find the same levels: {ours} and {plain}")


def walk(length: int) -> list[Bar]:
    """A random walk in cents, the same each time: each day ten steps of 0.5 %."""
    draw, price = random.Random(20), 100.0
    bars = []
    for number in range(length):
        path = [price := price * exp(draw.gauss(0, 0.005)) for _ in range(10)]
        opened, highest, lowest, closed = (Decimal(f"{p:.2f}") for p in (path[0], max(path), min(path), path[-1]))
        at = FIRST + timedelta(days=number)
        bars.append(
            Bar(
                ticker="WALK",
                interval=Interval.ONE_DAY,
                open_time=at,
                close_time=at + timedelta(days=1),
                open=opened,
                high=highest,
                low=lowest,
                close=closed,
                volume=Decimal(1000),
                adjusted_to=at.date(),
                source="walk",
            )
        )
    return bars


class PlainLoops:
    """The rules that `domain/levels.py` documents, one bar and one pair of swings at a time."""

    def __init__(self, rules: SymbolLevelExtractor, bars: Sequence[Bar]) -> None:
        self.rules = rules
        self.bars = bars
        unit = bars[-1].close
        self.highs = [log(bar.high / unit) for bar in bars]
        self.lows = [log(bar.low / unit) for bar in bars]
        self.closes = [log(bar.close / unit) for bar in bars]
        self.width = self._width()

    def levels(self) -> list[PriceLevel]:
        tops = [(self.highs[i], i, self.bars[i].high) for i in self._peaks(self.highs)]
        bottoms = [(self.lows[i], i, self.bars[i].low) for i in self._peaks([-low for low in self.lows])]
        swings = sorted(tops + bottoms, key=lambda swing: swing[0])
        found = sorted(map(self._level, self._zones(swings)), key=lambda level: (-level.strength, level.price))
        kept = [
            level for kind in LevelKind for level in [one for one in found if one.kind is kind][: self.rules.levels_per_kind]
        ]
        return sorted(kept, key=lambda level: level.price)

    def _peaks(self, values: list[float]) -> list[int]:
        reach = self.rules.swing_bars
        tops = [i for i in range(reach, len(values) - reach) if values[i] >= max(values[i - reach : i + reach + 1])]
        return [
            run[-1]
            for run in self._runs(tops)
            if values[run[0]] > max(values[run[0] - reach : run[0]])
            and values[run[-1]] > max(values[run[-1] + 1 : run[-1] + reach + 1])
        ]

    def _runs(self, indexes: list[int]) -> list[list[int]]:
        runs: list[list[int]] = []
        for index in indexes:
            if runs and index - runs[-1][-1] <= self.rules.swing_bars:
                runs[-1].append(index)
            else:
                runs.append([index])
        return runs

    def _zones(self, swings: list[tuple[float, int, Decimal]]) -> list[list[tuple[float, int, Decimal]]]:
        """The heaviest zone by trying every swing as its lowest and adding up those above it; then both sides of it."""
        if not swings:
            return []
        heaviest, start, stop = 0.0, 0, 0
        for low in range(len(swings)):
            weight, high = 0.0, low
            while high < len(swings) and swings[high][0] <= swings[low][0] + self.width:
                weight += self._weight(swings[high][1])
                high += 1
            if weight > heaviest:
                heaviest, start, stop = weight, low, high
        return [*self._zones(swings[:start]), swings[start:stop], *self._zones(swings[stop:])]

    def _width(self) -> float:
        days = zip(self.highs[1:], self.lows[1:], self.closes, strict=False)
        ranges = [max(high, before) - min(low, before) for high, low, before in days]
        return self.rules.zone_width * sum(ranges) / len(ranges)

    def _weight(self, bar: int) -> float:
        return float(0.5 ** (1 + (len(self.bars) - 1 - bar) / self.rules.half_life))

    def _level(self, zone: list[tuple[float, int, Decimal]]) -> PriceLevel:
        lower, upper = min(price for _, _, price in zone), max(price for _, _, price in zone)
        touches = [run[-1] for run in self._runs(sorted(bar for _, bar, _ in zone))]
        return PriceLevel(
            kind=LevelKind.SUPPORT if lower <= self.bars[-1].close else LevelKind.RESISTANCE,
            price=lower,
            price_upper=upper if upper > lower else None,
            strength=1 - prod(1 - self._weight(bar) for bar in touches),
            touches=len(touches),
            last_touched_at=self.bars[touches[-1]].close_time,
        )


if __name__ == "__main__":
    print_machine()
    main()
