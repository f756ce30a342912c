"""Freshness taken together: counts that agree with each symbol's verdict, and percentiles that agree with numpy's."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calendars import CRYPTO
from domain.freshness import ClassFreshness, by_class
from domain.staleness import assess
from domain.symbols import Symbol
from domain.tickers import AssetClass
from tests.support.clock import EVENING

THRESHOLD = timedelta(hours=48)
HOUR = timedelta(hours=1)
INSTANT = timedelta.resolution
BASE = Symbol("T", None, AssetClass.CRYPTO, None, "USD")

ages = st.lists(st.none() | st.timedeltas(timedelta(minutes=-5), timedelta(days=30)), min_size=1, max_size=40)


def aged(*given: timedelta | None, asset_class: AssetClass = AssetClass.CRYPTO) -> list[Symbol]:
    """Symbols that were updated so long ago; None: never."""
    return [replace(BASE, asset_class=asset_class, last_updated=None if age is None else EVENING - age) for age in given]


def of(*given: timedelta | None) -> ClassFreshness:
    (found,) = by_class(aged(*given), THRESHOLD, EVENING)
    return found


def test_of_no_symbols_there_is_no_class() -> None:
    assert by_class([], THRESHOLD, EVENING) == []


def test_exactly_at_the_threshold_is_fresh_and_an_instant_later_is_not() -> None:
    assert of(THRESHOLD) == ClassFreshness(AssetClass.CRYPTO, 1, 1, 48.0, 48.0)
    assert of(THRESHOLD + INSTANT) == ClassFreshness(AssetClass.CRYPTO, 1, 0, 48.0, 48.0)
    assert of(THRESHOLD, THRESHOLD + INSTANT).fresh_share == 0.5


def test_one_that_was_never_updated_is_stale_and_has_no_age() -> None:
    assert of(None) == ClassFreshness(AssetClass.CRYPTO, 1, 0, None, None)
    assert of(None, HOUR, None) == ClassFreshness(AssetClass.CRYPTO, 3, 1, 1.0, 1.0)


def test_one_that_is_ahead_of_the_clock_is_of_no_age() -> None:
    assert of(-HOUR) == ClassFreshness(AssetClass.CRYPTO, 1, 1, 0.0, 0.0)


def test_the_median_of_two_is_their_mean_and_the_95th_percentile_lies_near_the_older() -> None:
    found = of(10 * HOUR, 30 * HOUR)
    assert (found.median_hours, found.p95_hours) == (20.0, 29.0)


def test_classes_come_in_their_own_order() -> None:
    mixed = [*aged(HOUR, asset_class=AssetClass.INDEX), *aged(None, HOUR), *aged(HOUR, asset_class=AssetClass.STOCK)]
    found = by_class(mixed, THRESHOLD, EVENING)
    assert [(each.asset_class.name, each.tracked, each.stale) for each in found] == [
        ("STOCK", 1, 0),
        ("CRYPTO", 2, 1),
        ("INDEX", 1, 0),
    ]


@given(ages)
def test_counts_agree_with_each_symbols_own_verdict_and_percentiles_with_numpys(given_ages: list[timedelta | None]) -> None:
    symbols = aged(*given_ages)
    found = of(*given_ages)
    verdicts = [
        assess(
            last_updated=symbol.last_updated,
            as_of=None,
            last_outcome=None,
            calendar=CRYPTO,
            threshold=THRESHOLD,
            now=EVENING,
        ).is_stale
        for symbol in symbols
    ]
    assert (found.tracked, found.stale) == (len(symbols), sum(verdicts))
    known = [max(age, timedelta()) / HOUR for age in given_ages if age is not None]
    if not known:
        assert (found.median_hours, found.p95_hours) == (None, None)
        return
    assert [found.median_hours, found.p95_hours] == pytest.approx(np.percentile(known, [50, 95]), abs=0.0501)
