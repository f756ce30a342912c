"""How fresh the symbols are, taken together."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.staleness import age_of, hours
from domain.symbols import Symbol
from domain.tickers import AssetClass


@dataclass(frozen=True, slots=True)
class ClassFreshness:
    """Of the tracked symbols of one asset class. The hours are percentiles of the time since each was updated last, of those
    that ever were, interpolated linearly between the two nearest of them (so that the median of two is their mean)."""

    asset_class: AssetClass
    tracked: int
    fresh: int
    median_hours: float | None
    p95_hours: float | None

    @property
    def stale(self) -> int:
        return self.tracked - self.fresh

    @property
    def fresh_share(self) -> float:
        return self.fresh / self.tracked


def by_class(symbols: Iterable[Symbol], threshold: timedelta, now: datetime) -> list[ClassFreshness]:
    """One for each asset class that has a symbol, in their order. As everywhere, exactly at the threshold is fresh."""
    updated: defaultdict[AssetClass, list[datetime | None]] = defaultdict(list)
    for symbol in symbols:
        updated[symbol.asset_class].append(symbol.last_updated)
    return [_freshness(each, updated[each], threshold, now) for each in AssetClass if each in updated]


def _freshness(
    asset_class: AssetClass, updated: Sequence[datetime | None], threshold: timedelta, now: datetime
) -> ClassFreshness:
    ages = sorted(max(age_of(at, now), 0) for at in updated if at is not None)
    fresh = sum(at is not None and now - at <= threshold for at in updated)
    return ClassFreshness(asset_class, len(updated), fresh, _percentile(ages, 50), _percentile(ages, 95))


def _percentile(ages: Sequence[int], percent: int) -> float | None:
    """Of ages in microseconds, the smallest first; in hours."""
    if not ages:
        return None
    below, part = divmod(percent * (len(ages) - 1), 100)
    above = min(below + 1, len(ages) - 1)
    return hours((ages[below] * (100 - part) + ages[above] * part) // 100)
