"""Judging bars: each fault by itself, at its very limit; and the same whatever way bars are handed over."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from statistics import median
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.bars import ActionKind, Bar, CorporateAction, Interval, split_adjusted
from domain.faults import PENALTIES, PRICE_GAPS, VALIDATED, Fault, score
from domain.validation import NEIGHBOURS, judged
from tests.support.figures import told
from tests.support.provider import daily_bar

DAY = timedelta(days=1)
MONDAY = date(2026, 3, 2)
NONE = Fault(0)


def bar(day: date = MONDAY + DAY, close: str = "100", **changes: str) -> Bar:
    """Of a day around its close, with volume 1000."""
    return daily_bar("AAPL", day, close, **{name: Decimal(value) for name, value in changes.items()})


def after(one: Bar, *before: Bar, actions: tuple[CorporateAction, ...] = ()) -> Fault:
    (found,) = judged([one], before, actions)
    assert found.faults is not None
    return found.faults


def split(day: date, ratio: str) -> CorporateAction:
    return CorporateAction("AAPL", day, ActionKind.SPLIT, Decimal(ratio), "stub")


# ── each fault


@pytest.mark.parametrize(
    ("one", "fault"),
    [
        (bar(), NONE),
        (bar(open="98.99"), Fault.BROKEN),
        (bar(open="101.01"), Fault.BROKEN),
        (bar(close="101.01", open="100", high="101", low="99"), Fault.BROKEN),
        (bar(close="98.99", open="100", high="101", low="99"), Fault.BROKEN),
        (bar(open="99", high="101", low="99"), NONE),
        (bar(open="100", low="0"), Fault.BROKEN),
        (bar(close="0", open="100", high="100", low="0"), Fault.BROKEN),
        (bar(close="600", open="100", high="600", low="100"), NONE),
        (bar(close="600.01", open="100", high="600.01", low="100"), Fault.MOVE),
        (bar(close="0.01", open="100", high="100", low="0.01"), NONE),
    ],
)
def test_faults_of_a_bar_alone(one: Bar, fault: Fault) -> None:
    assert after(one) == fault


@pytest.mark.parametrize(
    ("close", "opens", "fault"),
    [
        ("100", "110", NONE),
        ("100", "110.0000000001", Fault.GAP),
        ("100", "90", NONE),
        ("100", "89.9999999999", Fault.GAP),
        ("0.1", "0.11", NONE),
        ("0.3", "0.33", NONE),
        ("1.1", "1.21", NONE),
        ("0.07", "0.077", NONE),
        ("0.07", "0.063", NONE),
        ("12345678901234.5", "13580246791357.95", NONE),
        ("12345678901234.5", "13580246791357.95000001", Fault.GAP),
        ("10", "60", Fault.GAP),
        ("10", "60.01", Fault.GAP | Fault.MOVE),
        ("0", "50", NONE),
    ],
)
def test_a_gap_is_more_than_ten_percent_from_the_close_before(close: str, opens: str, fault: Fault) -> None:
    before = bar(MONDAY, open=close, high=close, low=close, close=close)
    assert after(bar(open=opens, high=opens, low=opens, close=opens), before) == fault


@given(st.integers(1, 10**12), st.integers(-6, 6))
def test_exactly_ten_percent_is_no_gap_at_any_price(digits: int, exponent: int) -> None:
    """By floats alone, one price in five says otherwise."""
    price = Decimal(digits).scaleb(exponent)
    before = flat(price, MONDAY)
    for factor, step in (("1.1", 1), ("0.9", -1)):
        opens = price * Decimal(factor)
        assert after(flat(opens), before) == NONE
        assert after(flat(opens + step * price * Decimal("1e-15")), before) == Fault.GAP


def flat(price: Decimal, day: date = MONDAY + DAY) -> Bar:
    return replace(daily_bar("AAPL", day), open=price, high=price, low=price, close=price)


def test_floats_alone_would_say_otherwise() -> None:
    wrong = sum(abs(n / 100 * 1.1 - n / 100) > 0.1 * (n / 100) for n in range(1, 10_000))
    told(f"{wrong} of 9,999 prices that open exactly 10 % away would be gaps by floats")
    assert wrong > 0


@pytest.mark.parametrize(
    ("first", "second", "fault"),
    [
        (date(2026, 3, 6), date(2026, 3, 9), Fault.WEEKEND_GAP),  # Friday, Monday
        (date(2026, 3, 5), date(2026, 3, 6), Fault.GAP),
        (date(2026, 3, 6), date(2026, 3, 7), Fault.GAP),  # crypto trades every day
        (date(2026, 3, 7), date(2026, 3, 8), Fault.GAP),
        (date(2026, 3, 8), date(2026, 3, 9), Fault.GAP),
        (date(2026, 3, 2), date(2026, 3, 6), Fault.GAP),  # a week without a weekend
        (date(2026, 3, 6), date(2026, 3, 8), Fault.WEEKEND_GAP),  # forex, on Sunday's eve
        (date(2026, 3, 4), date(2026, 7, 1), Fault.WEEKEND_GAP),
        (date(2026, 3, 7), date(2026, 3, 9), Fault.WEEKEND_GAP),  # crypto with a hole on Sunday
    ],
)
def test_a_gap_over_a_weekend_is_exempt(first: date, second: date, fault: Fault) -> None:
    found = after(bar(second, close="120"), bar(first))
    assert found == fault
    assert (score(found), found in PRICE_GAPS) == (80 if fault is Fault.GAP else 100, True)


@pytest.mark.parametrize(
    ("volume", "before", "fault"),
    [
        ("1000", ["100"], NONE),
        ("1000.000001", ["100"], Fault.HIGH_VOLUME),
        ("10", ["100"], NONE),
        ("9.999999", ["100"], Fault.LOW_VOLUME),
        ("0.00000001", [], NONE),
        ("5", ["0", "0", "0"], NONE),
        ("0", ["100"], Fault.LOW_VOLUME),
        ("150", ["10", "20"], NONE),
        ("150.1", ["10", "20"], Fault.HIGH_VOLUME),
        ("1", ["0.1", "0.1", "0.1"], NONE),
        ("0.03", ["0.3"], NONE),
        ("1001", ["100"] * 26 + ["9000"] * 24, Fault.HIGH_VOLUME),
        ("1001", ["1"] * 30 + ["1000"] * 50, NONE),  # the thirty are too long ago
    ],
)
def test_volumes_beside_the_median(volume: str, before: list[str], fault: Fault) -> None:
    held = [bar(MONDAY - (len(before) - n) * DAY, volume=each) for n, each in enumerate(before)]
    assert after(bar(volume=volume), *held) == fault


def test_a_split_is_neither_a_gap_nor_a_move_nor_a_volume() -> None:
    before = bar(MONDAY, close="1400", volume="1000")
    one = bar(close="100", volume="14000")
    assert after(one, before) == Fault.GAP | Fault.HIGH_VOLUME
    assert after(one, before, actions=(split(MONDAY + DAY, "14"),)) == NONE
    reverse = bar(close="14000", volume="100")
    assert after(reverse, before) == Fault.GAP | Fault.MOVE
    assert after(reverse, before, actions=(split(MONDAY + DAY, "0.1"),)) == NONE
    adjusted = replace(before, adjusted_to=MONDAY + DAY)
    assert after(one, adjusted, actions=(split(MONDAY + DAY, "14"),)) == Fault.GAP | Fault.HIGH_VOLUME


def test_exactly_ten_percent_after_a_split_that_does_not_come_out_even() -> None:
    before = bar(MONDAY, close="100", volume="1000")
    taken = split(MONDAY + DAY, "7")
    away = flat(Decimal(110) / 7)
    assert after(replace(away, volume=Decimal(7000)), before, actions=(taken,)) == NONE


def test_a_dividend_is_no_split() -> None:
    dividend = CorporateAction("AAPL", MONDAY + DAY, ActionKind.DIVIDEND, Decimal(20), "stub")
    assert after(bar(close="80"), bar(MONDAY), actions=(dividend,)) == Fault.GAP


# ── the score


@pytest.mark.parametrize(
    ("faults", "points", "is_validated"),
    [
        (NONE, 100, True),
        (Fault.WEEKEND_GAP, 100, True),
        (Fault.HIGH_VOLUME, 90, True),
        (Fault.LOW_VOLUME, 85, True),
        (Fault.LOW_VOLUME | Fault.WEEKEND_GAP, 85, True),
        (Fault.GAP, 80, False),
        (Fault.MOVE, 70, False),
        (Fault.BROKEN, 50, False),
        (Fault.BROKEN | Fault.MOVE | Fault.GAP | Fault.HIGH_VOLUME, 0, False),
        (Fault.HIGH_VOLUME | Fault.LOW_VOLUME, 75, False),
    ],
)
def test_scores(faults: Fault, points: int, is_validated: bool) -> None:
    assert (score(faults), faults in VALIDATED) == (points, is_validated)
    assert bar().judged(faults).is_validated is is_validated


def test_what_nobody_has_judged_is_not_validated() -> None:
    assert bar().faults is None
    assert not bar().is_validated


def test_every_penalty_is_as_documented() -> None:
    assert {fault.name: penalty for fault, penalty in PENALTIES.items()} == {
        "BROKEN": 50,
        "MOVE": 30,
        "GAP": 20,
        "HIGH_VOLUME": 10,
        "LOW_VOLUME": 15,
    }


# ── whatever bars there are

NUMBERS = [Decimal(text) for text in ("0", "0.7", "0.77", "0.63", "7", "7.7", "4.2", "42", "1", "1.1", "0.1", "10", "10.01")]
"""Many a one exactly ten percent, six times or a tenth of another."""


def row(seed: int, count: int) -> list[Bar]:
    """The same for a seed each time."""
    chance, found = Random(seed), []
    for n in range(count):
        opens, closes, one, other, volume = chance.choices(NUMBERS, k=5)
        values = {"open": opens, "high": max(one, other), "low": min(one, other), "volume": volume}
        found.append(daily_bar("AAPL", MONDAY + n * DAY, f"{closes:f}", **values))
    return found


@settings(max_examples=60)
@given(
    st.integers(0, 2**32),
    st.integers(1, 80),
    st.integers(0, 80),
    st.lists(st.tuples(st.integers(0, 80), st.sampled_from(["2", "0.1", "4"])), max_size=2, unique_by=lambda each: each[0]),
)
def test_it_is_as_the_definition_says_and_does_not_depend_on_the_parts(
    seed: int, count: int, cut: int, splits: list[tuple[int, str]]
) -> None:
    bars = row(seed, count)
    actions = [split(MONDAY + n * DAY, ratio) for n, ratio in splits]
    whole = judged(bars, [], actions)
    assert [each.faults for each in whole] == [defined(bars, at, actions) for at in range(len(bars))]
    cut = min(cut, len(bars))
    before = judged(bars[:cut], [], actions)
    assert [*before, *judged(bars[cut:], before, actions)] == whole
    assert judged(bars[cut:], bars[max(0, cut - NEIGHBOURS) : cut], actions) == whole[cut:]
    assert [replace(each, faults=None) for each in whole] == bars


def defined(bars: list[Bar], at: int, actions: list[CorporateAction]) -> Fault:
    """One bar by the words of the rule."""
    row = split_adjusted(bars[max(0, at - NEIGHBOURS) : at + 1], actions, date.max)
    one, last = row[-1], row[-2] if len(row) > 1 else None
    found = NONE
    if not (one.low <= one.open <= one.high and one.low <= one.close <= one.high) or 0 in (one.open, one.low, one.close):
        found |= Fault.BROKEN
    bases = [one.open] + ([last.close] if last else [])
    if any(base > 0 and abs(one.close - base) > 5 * base for base in bases):
        found |= Fault.MOVE
    if last and last.close > 0 and abs(one.open - last.close) * 10 > last.close:
        between = [last.day + n * DAY for n in range(1, (one.day - last.day).days)]
        found |= Fault.WEEKEND_GAP if any(day.weekday() > 4 for day in between) else Fault.GAP
    middle = median(each.volume for each in row[:-1]) if last else Decimal(0)
    if middle > 0 and one.volume > 10 * middle:
        found |= Fault.HIGH_VOLUME
    if middle > 0 and one.volume * 10 < middle:
        found |= Fault.LOW_VOLUME
    return found


def test_no_bars_no_verdicts() -> None:
    assert judged([], [bar()], []) == []


def test_a_symbol_year_of_minutes_is_judged_in_a_moment() -> None:
    begins = datetime(2026, 3, 2, tzinfo=UTC)
    given_, price = [], Decimal(100)
    for n in range(98_000):
        opens = begins + n * timedelta(minutes=1)
        values = price, price + 1, price - 1, price, Decimal(100 + n % 7)
        given_.append(Bar("A", Interval.ONE_MINUTE, opens, opens + timedelta(minutes=1), *values, MONDAY, "stub"))
    began = perf_counter()
    assert {each.faults for each in judged(given_, [], [split(MONDAY + 30 * DAY, "2")])} == {NONE}
    told(f"98,000 minutes judged in {perf_counter() - began:.2f} s")
