"""What a provider changed of final bars, and when it counts in something else."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.bars import ActionKind, Bar, CorporateAction
from domain.rescaling import rescaling
from domain.revisions import revisions
from tests.support.provider import daily_bar

DAY = timedelta(days=1)
MONDAY = date(2026, 3, 2)
NOW = datetime(2026, 3, 20, tzinfo=UTC)
HELD = daily_bar("AAPL", MONDAY, "100")


def split(day: date, ratio: str) -> CorporateAction:
    return CorporateAction("AAPL", day, ActionKind.SPLIT, Decimal(ratio), "stub")


def changes(held: Bar, fetched: Bar, *actions: CorporateAction) -> dict[str, tuple[Decimal, Decimal]]:
    found = revisions([held], [fetched], actions, NOW)
    return {revision.field: (revision.old_value, revision.new_value) for revision in found}


def test_each_value_that_differs_is_one_with_old_new_source_and_when() -> None:
    fetched = replace(HELD, close=Decimal("100.5"), volume=Decimal(7), source="another")
    close, volume = revisions([HELD], [fetched], (), NOW)
    assert (close.field, close.old_value, close.new_value) == ("close", Decimal(100), Decimal("100.5"))
    assert (volume.field, volume.old_value, volume.new_value) == ("volume", Decimal(1000), Decimal(7))
    for found in (close, volume):
        assert (found.ticker, found.interval, found.open_time) == ("AAPL", HELD.interval, HELD.open_time)
        assert (found.source, found.observed_at) == ("another", NOW)


def test_only_of_bars_that_were_final_and_are_held() -> None:
    fetched = replace(HELD, close=Decimal("100.5"))
    assert changes(replace(HELD, is_final=False), fetched) == {}
    assert changes(daily_bar("AAPL", MONDAY - DAY), fetched) == {}
    assert changes(HELD, replace(HELD, source="another", adjusted_to=MONDAY + DAY)) == {}
    assert changes(HELD, replace(HELD, close=Decimal("100.00"))) == {}


@pytest.mark.parametrize("ratio", ["2", "7", "0.1", "1.5"])
def test_a_split_is_none_also_where_it_does_not_come_out_even(ratio: str) -> None:
    taken, factor = split(MONDAY + DAY, ratio), Decimal(ratio)
    for digits in ("1e-10", "1e-6", "1e-4"):
        prices = {name: (getattr(HELD, name) / factor).quantize(Decimal(digits)) for name in ("open", "high", "low", "close")}
        again = replace(HELD, **prices, volume=HELD.volume * factor, adjusted_to=MONDAY + DAY)
        assert changes(HELD, again, taken) == {}
        assert changes(replace(again, faults=None), HELD, taken) == {}, "nor by a provider that gives it as traded"
        mended = replace(again, close=again.close + Decimal("0.01"))
        assert list(changes(HELD, mended, taken)) == ["close"]


def test_values_are_told_in_the_new_shares() -> None:
    again = replace(daily_bar("AAPL", MONDAY, "51"), adjusted_to=MONDAY + DAY)
    found = changes(HELD, again, split(MONDAY + DAY, "2"))
    assert found["close"] == (Decimal(50), Decimal(51))
    assert found["volume"] == (Decimal(2000), Decimal(1000))


# ── rescaling


def days(factor: str = "1", count: int = 6, **changed: Any) -> list[Bar]:
    closes = [str((100 + n) * Decimal(factor)) for n in range(count)]
    found = [daily_bar("AAPL", MONDAY + n * DAY, close) for n, close in enumerate(closes)]
    return [replace(bar, **changed) for bar in found]


@pytest.mark.parametrize("factor", ["0.01", "100", "2", "0.25", "1.02"])
def test_one_factor_that_no_split_explains_is_a_rescaling(factor: str) -> None:
    assert rescaling(days(), days(factor), []) == pytest.approx(float(factor))
    assert rescaling(days(), days(factor, count=3), []) == pytest.approx(float(factor))


def test_what_is_none() -> None:
    assert rescaling(days(), days(), []) is None
    assert rescaling(days(), days("1.009"), []) is None, "too small to tell from a correction"
    assert rescaling(days(), days("100", count=2), []) is None, "too few to tell"
    assert rescaling(days(), days("100", is_final=False), []) is None
    assert rescaling(days(is_final=False), days("100"), []) is None
    assert rescaling(days(), [], []) is None
    uneven = days("100")
    uneven[2] = daily_bar("AAPL", uneven[2].day, "99")
    assert rescaling(days(), uneven, []) is None, "not one factor"


def test_nor_what_a_split_explains() -> None:
    """Told by a provider that gives bars as traded, or one that has adjusted them all."""
    taken = split(MONDAY + 10 * DAY, "4")
    assert rescaling(days(), days(), [taken]) is None
    assert rescaling(days(), days("0.25", adjusted_to=MONDAY + 10 * DAY), [taken]) is None
    assert rescaling(days(), days("0.25"), [taken]) == pytest.approx(0.25), "as traded, it is no split"
    assert rescaling(days(), days("0.25", adjusted_to=MONDAY + 10 * DAY), []) == pytest.approx(0.25)
