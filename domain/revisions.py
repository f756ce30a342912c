"""What a provider changed of a bar that was final: a fact that is kept."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.bars import WIDE, Bar, CorporateAction, Interval, adjusted, split_factor

FIELDS = ("open", "high", "low", "close", "volume")
_ROUNDED = Decimal("1e-6")
"""Providers adjust for splits with numbers of their own, some with seven digits: so much of a value is no change of it."""


@dataclass(frozen=True, slots=True)
class Revision:
    """Both values in the shares of the bar's new `adjusted_to`; `observed_at` is market time."""

    ticker: str
    interval: Interval
    open_time: datetime
    field: str
    old_value: Decimal
    new_value: Decimal
    source: str
    observed_at: datetime


def revisions(
    held: Sequence[Bar], fetched: Sequence[Bar], actions: Collection[CorporateAction], at: datetime
) -> list[Revision]:
    """Of bars that were held as final, each value that is another once both are in the same shares: a split is none."""
    final = {bar.open_time: bar for bar in held if bar.is_final}
    pairs = ((final[bar.open_time], bar) for bar in fetched if bar.open_time in final)
    return [revision for before, after in pairs for revision in _between(before, after, actions, at)]


def _between(before: Bar, after: Bar, actions: Collection[CorporateAction], at: datetime) -> Iterator[Revision]:
    factor = _shares(before, after, actions)
    before = adjusted(before, factor)
    for field in FIELDS:
        old, new = getattr(before, field), getattr(after, field)
        if old != new and (factor == 1 or abs(old - new) > _as_good_as_none(new)):
            yield Revision(after.ticker, after.interval, after.open_time, field, old, new, after.source, at)


def _shares(before: Bar, after: Bar, actions: Collection[CorporateAction]) -> Decimal:
    """How many of the later bar's shares are one of the earlier's."""
    if after.adjusted_to >= before.adjusted_to:
        return split_factor(actions, before.adjusted_to, after.adjusted_to)
    return WIDE.divide(Decimal(1), split_factor(actions, after.adjusted_to, before.adjusted_to))


def _as_good_as_none(value: Decimal) -> Decimal:
    """What a value may be off by having been adjusted by somebody else, who rounds it too."""
    last_digit = Decimal(1).scaleb(min(0, int(value.as_tuple().exponent)))
    return max(last_digit / 2, value * _ROUNDED)
