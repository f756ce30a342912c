"""When a provider counts in other shares, or in another unit, than it did, and says so of no split."""

from collections.abc import Collection, Sequence
from datetime import date
from statistics import median

from domain.bars import Bar, CorporateAction, split_adjusted

DAYS = 3
"""So many days, final both times, tell; fewer may have been mended alike by chance."""
ALIKE, ANOTHER = 0.005, 0.01
"""Factors are one when each is within the first of their median, which tells when it is more than the second away from 1."""


def rescaling(held: Sequence[Bar], fetched: Sequence[Bar], actions: Collection[CorporateAction]) -> float | None:
    """By what the closes of daily bars fetched again are multiplied, when it is one factor that no split of `actions` explains;
    None when they are not."""
    before, after = _closes(held, actions), _closes(fetched, actions)
    factors = [after[day] / before[day] for day in before.keys() & after.keys()]
    if len(factors) < DAYS:
        return None
    factor = median(factors)
    is_one = all(abs(each / factor - 1) <= ALIKE for each in factors)
    return factor if is_one and abs(factor - 1) > ANOTHER else None


def _closes(bars: Sequence[Bar], actions: Collection[CorporateAction]) -> dict[date, float]:
    """By day, in the shares of one date, of final bars."""
    final = [bar for bar in bars if bar.is_final]
    return {bar.day: float(bar.close) for bar in split_adjusted(final, actions, date.max) if bar.close > 0}
