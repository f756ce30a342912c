from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bars import ActionKind, CorporateAction, is_news, split_adjusted
from tests.support.provider import daily_bar

JUNE = date(2024, 6, 10)


def split(ex_date: date, ratio: str) -> CorporateAction:
    return CorporateAction("NVDA", ex_date, ActionKind.SPLIT, Decimal(ratio), "stub")


def test_a_split_divides_the_prices_before_it_and_multiplies_the_volume() -> None:
    before, on = daily_bar("NVDA", JUNE - timedelta(days=1), "1208.88"), daily_bar("NVDA", JUNE, "121.79")
    adjusted = split_adjusted([before, on], [split(JUNE, "10")], JUNE)
    assert [bar.close for bar in adjusted] == [Decimal("120.888"), Decimal("121.79")]
    assert (adjusted[0].open, adjusted[0].high, adjusted[0].low) == (
        Decimal("120.888"),
        Decimal("120.988"),
        Decimal("120.788"),
    )
    assert [str(bar.volume) for bar in adjusted] == ["10000", "1000"]
    assert adjusted[0].adjusted_to == before.adjusted_to  # what is stored says how far the provider went, not we


def test_only_splits_known_on_the_day_count() -> None:
    bar = daily_bar("NVDA", JUNE - timedelta(days=2), "100")
    assert split_adjusted([bar], [split(JUNE, "10")], JUNE - timedelta(days=1)) == [bar]


def test_a_bar_that_the_provider_has_adjusted_is_not_adjusted_again() -> None:
    given_raw = daily_bar("NVDA", date(2024, 1, 2), "100")
    given_adjusted = daily_bar("NVDA", date(2024, 1, 2), "10", adjusted_to=JUNE)
    splits = [split(JUNE, "10"), split(date(2025, 1, 2), "2")]
    at = date(2025, 2, 1)
    assert split_adjusted([given_raw], splits, at)[0].close == split_adjusted([given_adjusted], splits, at)[0].close == 5


def test_dividends_leave_prices_alone() -> None:
    bar = daily_bar("NVDA", JUNE - timedelta(days=1))
    assert split_adjusted([bar], [CorporateAction("NVDA", JUNE, ActionKind.DIVIDEND, Decimal(5), "stub")], JUNE) == [bar]


def test_a_price_that_does_not_come_out_even_has_ten_decimals() -> None:
    bar = daily_bar("NVDA", JUNE - timedelta(days=1), "100")
    (adjusted,) = split_adjusted([bar], [split(JUNE, "3")], JUNE)
    assert str(adjusted.close) == "33.3333333333"


def test_any_price_has_room() -> None:
    bar = daily_bar(
        "NVDA", JUNE - timedelta(days=1), "12345678901234567890123.5", volume=Decimal("1234567890123456789012345.5")
    )
    (adjusted,) = split_adjusted([bar], [split(JUNE, "3")], JUNE)
    assert str(adjusted.close) == "4115226300411522630041.1666666667"
    assert str(adjusted.volume) == "3703703670370370367037036.5"


def test_a_reverse_split_gives_whole_numbers_without_an_exponent() -> None:
    bar = daily_bar("NVDA", JUNE - timedelta(days=1), "10")
    (adjusted,) = split_adjusted([bar], [split(JUNE, "0.01")], JUNE)
    assert str(adjusted.close) == "1000"
    assert str(adjusted.volume) == "10"


@given(st.lists(st.sampled_from(["2", "3", "10", "0.1", "1.5"]), max_size=4), st.integers(1, 10**9))
def test_splits_multiply(ratios: list[str], cents: int) -> None:
    bar = daily_bar("NVDA", JUNE - timedelta(days=1), str(Decimal(cents) / 100 + 1))
    splits = [split(JUNE + timedelta(days=n), ratio) for n, ratio in enumerate(ratios)]
    (adjusted,) = split_adjusted([bar], splits, JUNE + timedelta(days=9))
    product = Decimal(1)
    for ratio in ratios:
        product *= Decimal(ratio)
    assert abs(adjusted.close * product - bar.close) <= product * Decimal("1e-10")
    assert adjusted.volume == bar.volume * product


@pytest.mark.parametrize(
    "wrong",
    [
        {"open": Decimal("NaN")},
        {"volume": Decimal("Infinity")},
        {"low": Decimal(-1)},
        {"high": Decimal(1), "low": Decimal(2)},
    ],
)
def test_a_bar_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^NVDA at 2024-06-10 00:00: "):
        daily_bar("NVDA", JUNE, "100", **wrong)


def test_the_day_of_a_bar_is_the_one_it_closes_on() -> None:
    sydney = daily_bar(
        "BHP.AX",
        date(2024, 1, 3),
        open_time=datetime(2024, 1, 2, 23, tzinfo=UTC),
        close_time=datetime(2024, 1, 3, 5, tzinfo=UTC),
    )
    assert sydney.day == date(2024, 1, 3)
    assert daily_bar("BTC-USD", JUNE).day == JUNE


@pytest.mark.parametrize(
    ("changes", "split_on", "expected"),
    [
        ({}, None, False),
        ({"adjusted_to": date(2026, 3, 9)}, None, False),
        ({"adjusted_to": date(2026, 3, 9)}, date(2026, 3, 2), False),
        ({"adjusted_to": date(2026, 3, 9)}, date(2026, 3, 3), True),
        ({"adjusted_to": date(2026, 3, 9)}, date(2026, 3, 9), True),
        ({"adjusted_to": date(2026, 3, 9)}, date(2026, 3, 10), False),
        ({"adjusted_to": date(2026, 3, 9), "volume": Decimal(7)}, None, True),
        ({"source": "another"}, None, True),
    ],
)
def test_what_is_news_of_a_bar(changes: dict[str, Any], split_on: date | None, expected: bool) -> None:
    held = daily_bar("AAPL", date(2026, 3, 2))
    actions = [CorporateAction("AAPL", split_on, ActionKind.SPLIT, Decimal(10), "stub")] if split_on else []
    dividend = CorporateAction("AAPL", date(2026, 3, 5), ActionKind.DIVIDEND, Decimal(1), "stub")
    assert is_news(replace(held, **changes), held, [*actions, dividend]) is expected
    assert is_news(held, None, actions)
