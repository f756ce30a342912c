from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import log

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.bars import Bar, Interval
from domain.levels import Direction, Extraction, LevelKind, PriceLevel, SymbolLevelExtractor

SUPPORT, RESISTANCE = LevelKind.SUPPORT, LevelKind.RESISTANCE
START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
extractor = SymbolLevelExtractor()


def bar(day: int, high: Decimal, low: Decimal, close: Decimal, volume: int = 0) -> Bar:
    opened = START + day * DAY
    return Bar(
        ticker="EUR/USD",
        interval=Interval.ONE_DAY,
        open_time=opened,
        close_time=opened + DAY,
        open=close,
        high=high,
        low=low,
        close=close,
        volume=Decimal(volume),
        adjusted_to=date(2024, 1, 1),
        source="test",
    )


def flat_bars(prices: Iterable[Decimal | int | str]) -> list[Bar]:
    """Bars without a range, so that every swing lies exactly where the price turned."""
    decimals = map(Decimal, prices)
    return [bar(day, price, price, price) for day, price in enumerate(decimals)]


def zigzag(*turns: Decimal | int | str, leg: int = 6) -> list[Bar]:
    """Straight lines from turn to turn; the first and the last of them are ends, not turns."""
    corners = [Decimal(turn) for turn in turns]
    line = [a + (b - a) * step / leg for a, b in pairwise(corners) for step in range(leg)]
    return flat_bars([*line, corners[-1]])


def closed_at(bars: Sequence[Bar], index: int) -> datetime:
    return bars[index].close_time


def scaled(bars: Iterable[Bar], factor: Decimal) -> list[Bar]:
    return mapped(bars, lambda price: price * factor)


def mapped(bars: Iterable[Bar], change: Callable[[Decimal], Decimal]) -> list[Bar]:
    def priced(b: Bar) -> Bar:
        low, high = sorted((change(b.low), change(b.high)))
        return replace(b, open=change(b.open), high=high, low=low, close=change(b.close))

    return [priced(b) for b in bars]


def in_unit(extraction: Extraction, factor: Decimal) -> Extraction:
    def priced(level: PriceLevel) -> PriceLevel:
        upper = level.price_upper and level.price_upper * factor
        return replace(level, price=level.price * factor, price_upper=upper)

    return replace(extraction, levels=tuple(map(priced, extraction.levels)))


def average_true_range(bars: Sequence[Bar]) -> float:
    ranges = [log(max(b.high, a.close) / min(b.low, a.close)) for a, b in pairwise(bars)]
    return sum(ranges) / len(ranges)


def brief(levels: Iterable[PriceLevel]) -> list[tuple[LevelKind, str, int]]:
    return [(level.kind, str(level.price), level.touches) for level in levels]


@st.composite
def walks(draw: st.DrawFn, min_size: int = 0, lowest: int = 1) -> list[Bar]:
    """A walk on a grid so coarse that equal highs, equal closes and zones with ties are common."""
    price, bars = 60, []
    for day, step in enumerate(draw(st.lists(st.integers(0, 7 * 3 * 3 - 1), min_size=min_size, max_size=120))):
        price = max(lowest, price + step // 9 - 3)
        high, low = price + step // 3 % 3, max(lowest, price - step % 3)
        bars.append(bar(day, Decimal(high), Decimal(low), Decimal(price)))
    return bars


factors = st.sampled_from([Decimal(f) for f in ("0.0001", "0.1", "0.3", "0.7", "3", "7", "10", "1.1", "999983", "1E+6")])
factors |= st.decimals("0.0001", "1000000", places=6).filter(lambda factor: factor > 0)


# ── Few bars and odd ones


@pytest.mark.parametrize("count", [0, 1, 2, 10])
def test_too_few_bars_say_nothing(count: int) -> None:
    assert extractor.extract(flat_bars(range(100, 100 + 30 * count, 30))) == Extraction((), Direction.NEUTRAL)


@pytest.mark.parametrize("price", ["0", "0.00001", "1.1", "70000"])
def test_a_price_that_never_moves_has_no_levels(price: str) -> None:
    assert extractor.extract(flat_bars([price] * 200)) == Extraction((), Direction.NEUTRAL)


@given(bars=walks(), at=st.lists(st.integers(0, 120), max_size=5), zero=st.sampled_from(("all", "low", "close")))
@settings(max_examples=50)
def test_bars_with_a_zero_price_are_passed_over(bars: list[Bar], at: list[int], zero: str) -> None:
    high, low, close = (Decimal(price) for price in {"all": (0, 0, 0), "low": (50, 0, 50), "close": (50, 40, 0)}[zero])
    broken = list(bars)
    for index in at:
        broken.insert(index, bar(index, high, low, close))
    assert extractor.extract(broken) == extractor.extract(bars)


# ── Swings


def test_a_high_is_a_swing_once_its_confirming_bars_exist() -> None:
    bars = flat_bars([10, 11, 12, 13, 14, 20, 14, 13, 12, 11, 10])
    assert extractor.extract(bars[:-1]).levels == ()
    assert extractor.extract(bars).levels == (
        PriceLevel(RESISTANCE, Decimal(20), None, 1 - (1 - 0.5 ** (1 + 5 / 120)), 1, closed_at(bars, 5)),
    )


def test_a_low_is_a_swing_once_its_confirming_bars_exist() -> None:
    bars = flat_bars([20, 19, 18, 17, 16, 10, 16, 17, 18, 19, 20])
    assert extractor.extract(bars[:-1]).levels == ()
    assert brief(extractor.extract(bars).levels) == [(SUPPORT, "10", 1)]


def test_swings_are_taken_from_highs_and_lows_not_from_closes() -> None:
    bars = flat_bars([100] * 20)
    bars[7] = replace(bars[7], high=Decimal(110))
    bars[13] = replace(bars[13], low=Decimal(90))
    assert brief(extractor.extract(bars).levels) == [(SUPPORT, "90", 1), (RESISTANCE, "110", 1)]


@pytest.mark.parametrize(
    ("top", "last"),
    [
        ([20, 20], 6),
        ([20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20], 17),
        ([20, 19, 20], 7),
        ([20, 19, 19, 19, 19, 20, 20, 19, 20], 13),
    ],
)
def test_equal_highs_are_one_swing_at_the_last_of_them(top: list[int], last: int) -> None:
    bars = flat_bars([10, 11, 12, 13, 14, *top, 14, 13, 12, 11, 10])
    assert extractor.extract(bars[:-1]).levels == ()
    (level,) = extractor.extract(bars).levels
    assert (level.touches, level.last_touched_at) == (1, closed_at(bars, last))


@pytest.mark.parametrize("rest", [1, 3, 6, 12, 30])
def test_a_rest_on_the_way_is_not_a_swing(rest: int) -> None:
    stairs = [*range(10, 20), *[20] * rest, *range(21, 31)]
    assert extractor.extract(flat_bars(stairs)).levels == ()
    assert extractor.extract(flat_bars(reversed(stairs))).levels == ()


def test_an_equal_high_that_is_passed_soon_after_is_not_a_swing() -> None:
    bars = flat_bars([10, 11, 12, 13, 14, 20, 19, 19, 19, 19, 20, 25, 26, 27, 28, 29, 30])
    assert extractor.extract(bars).levels == ()


@given(walks(min_size=30), st.data())
@settings(max_examples=50)
def test_later_bars_add_swings_and_never_move_one(bars: list[Bar], data: st.DataObject) -> None:
    every = SymbolLevelExtractor(zone_width=0, levels_per_kind=1000)
    seen = data.draw(st.integers(1, len(bars)), "bars seen")
    before = {level.price: level for level in every.extract(bars[:seen]).levels}
    after = {level.price: level for level in every.extract(bars).levels}
    confirmed = bars[max(0, seen - 1 - every.swing_bars)].close_time
    assert all(level.last_touched_at <= confirmed for level in before.values())
    assert before.keys() <= after.keys()
    for price, level in after.items():
        known = before.get(price)
        if known and level.last_touched_at == known.last_touched_at:
            assert level.touches == known.touches
        else:
            assert level.last_touched_at > confirmed


# ── Zones


@given(walks(min_size=11, lowest=0))
@example(zigzag(100, 110, 100, 110, 100, 110, 105))
@settings(max_examples=50)
def test_levels_are_distinct_ordered_and_on_the_right_side(bars: list[Bar]) -> None:
    levels = extractor.extract(bars).levels
    last = next((b.close for b in reversed(bars) if b.low > 0 and b.close > 0), Decimal(0))
    prices = {price for b in bars for price in (b.high, b.low)}
    assert len({(level.kind, level.price) for level in levels}) == len(levels)
    for level in levels:
        assert (level.kind is SUPPORT) == (level.price <= last)
        assert {level.price, level.price_upper or level.price} <= prices
        assert level.price_upper is None or level.price < level.price_upper
        assert 0 < level.strength < 1
        assert level.touches >= 1
        assert (type(level.strength), type(level.touches)) == (float, int)
    for below, above in pairwise(levels):
        assert (below.price_upper or below.price) < above.price


@given(walks(min_size=30), st.floats(0, 2))
@settings(max_examples=50)
def test_no_zone_is_higher_than_its_share_of_the_average_true_range(bars: list[Bar], zone_width: float) -> None:
    for level in SymbolLevelExtractor(zone_width=zone_width).extract(bars).levels:
        height = log((level.price_upper or level.price) / level.price)
        assert height <= zone_width * average_true_range(bars) + 1e-12


def test_swings_within_a_zone_are_one_level_and_its_edges_are_theirs() -> None:
    bars = zigzag(90, "100.2", 90, 100, 90, "100.1", 80)
    level = extractor.extract(bars).levels[-1]
    missing = (1 - 0.5 ** (1 + 30 / 120)) * (1 - 0.5 ** (1 + 18 / 120)) * (1 - 0.5 ** (1 + 6 / 120))
    assert level.strength == pytest.approx(1 - missing)
    assert replace(level, strength=0) == PriceLevel(RESISTANCE, Decimal(100), Decimal("100.2"), 0, 3, closed_at(bars, 30))


def test_swings_further_apart_are_levels_of_their_own() -> None:
    levels = extractor.extract(zigzag(90, 100, 90, 103, 85)).levels
    assert brief(levels) == [(RESISTANCE, "90", 1), (RESISTANCE, "100", 1), (RESISTANCE, "103", 1)]


def test_more_volatile_bars_have_wider_zones() -> None:
    def levels(depth: int) -> list[tuple[LevelKind, str, int]]:
        return brief(extractor.extract(zigzag(100 - depth, 100, 100 - depth, 101, 100 - depth)).levels[-1:])

    assert levels(5) == [(RESISTANCE, "101", 1)]
    assert levels(40) == [(RESISTANCE, "100", 2)]


def test_the_heaviest_zone_is_cut_first() -> None:
    bars = zigzag(90, 100, 90, "100.7", 90, "100.8", 90, "100.9", 85)
    width = 0.008 / average_true_range(bars)
    levels = SymbolLevelExtractor(zone_width=width).extract(bars).levels
    assert brief(levels[-2:]) == [(RESISTANCE, "100", 1), (RESISTANCE, "100.7", 3)]


def test_a_newer_swing_outweighs_an_older_one_in_drawing_zones() -> None:
    bars = zigzag(90, "100.8", 90, 100, 90, "101.5", 85)
    width = 0.008 / average_true_range(bars)
    levels = SymbolLevelExtractor(zone_width=width).extract(bars).levels
    assert brief(levels[-2:]) == [(RESISTANCE, "100", 1), (RESISTANCE, "100.8", 2)]


def test_a_broken_resistance_that_holds_is_one_level() -> None:
    assert brief(extractor.extract(zigzag(90, 100, 92, 110, 100, 108)).levels) == [
        (SUPPORT, "92", 1),
        (SUPPORT, "100", 2),
        (RESISTANCE, "110", 1),
    ]


@pytest.mark.parametrize(
    ("last", "kind"),
    [("99.9", RESISTANCE), ("100", SUPPORT), ("100.1", SUPPORT), ("100.2", SUPPORT), ("101", SUPPORT)],
)
def test_a_zone_is_support_from_its_lower_edge_up(last: str, kind: LevelKind) -> None:
    levels = extractor.extract(zigzag(90, 100, 90, "100.2", 95, last)).levels
    assert (kind, "100", 2) in brief(levels)


# ── Touches


@pytest.mark.parametrize(
    ("floor", "ceiling", "places"),
    [("100", "110", 2), ("1.1000", "1.2100", 5), ("60000", "66000", 5), ("0.00002", "0.000022", 10)],
)
@given(bounces=st.integers(1, 8), seed=st.integers(0, 2**32))
@settings(max_examples=20)
def test_planted_levels_are_found_with_their_touches(floor: str, ceiling: str, places: int, bounces: int, seed: int) -> None:
    noise = np.random.default_rng(seed).uniform(-0.001, 0.001, size=(bounces * 2 * 13 + 14, 3))
    up = [0.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0]
    shares = [0.5, *up[7:], *(up[::-1] + up) * bounces, *up[::-1][:7]]
    low, high = Decimal(floor), Decimal(ceiling)

    def price(share: float, error: float) -> Decimal:
        return round((low + Decimal(share) * (high - low)) * Decimal(1 + error), places)

    bars = []
    for day, share in enumerate(shares):
        near, far, shift = noise[day]
        middle = price(share, shift)
        bars.append(bar(day, max(middle, price(share, 0.002 + near)), min(middle, price(share, far - 0.002)), middle))
    support, resistance = extractor.extract(bars).levels
    assert (support.kind, support.touches) == (SUPPORT, bounces)
    assert (resistance.kind, resistance.touches) == (RESISTANCE, bounces + 1)
    for level, planted in ((support, low), (resistance, high)):
        for edge in (level.price, level.price_upper or level.price):
            assert edge == pytest.approx(planted, rel=Decimal("0.004"))


def test_turns_within_reach_of_each_other_are_one_touch() -> None:
    dip = ["99.9", "99.8", "99.7", "99.6", "99.5"]
    bars = flat_bars([90, 92, 94, 96, 98, 100, *dip, "99.6", "99.7", "99.8", "99.9", "100.01", 98, 96, 94, 92, 90])
    wide = SymbolLevelExtractor(zone_width=1)
    assert brief(wide.extract(bars).levels) == [(RESISTANCE, "99.5", 1)]
    assert wide.extract(bars).levels[0].last_touched_at == closed_at(bars, 15)


# ── Strength


def test_a_touch_counts_half_after_a_half_life() -> None:
    peak = [10, 11, 12, 13, 14, 20, 14, 13, 12, 11, 10]
    (new,) = SymbolLevelExtractor(half_life=30).extract(flat_bars(peak)).levels
    (old,) = SymbolLevelExtractor(half_life=30).extract(flat_bars([*peak, *[10] * 30])).levels
    assert old.strength == pytest.approx(new.strength / 2)


def test_strength_grows_with_touches() -> None:
    strengths = [extractor.extract(zigzag(*[90, 100] * n, 85)).levels[-1].strength for n in range(1, 12)]
    assert strengths == sorted(set(strengths))


def test_strength_grows_with_recency() -> None:
    highs = [level for level in extractor.extract(zigzag(90, 100, 90, 105, 90, 110, 85)).levels if level.price > 95]
    strengths = [level.strength for level in highs]
    assert len(strengths) == 3
    assert strengths == sorted(set(strengths))


def test_only_the_strongest_of_each_kind_are_kept() -> None:
    bars = zigzag(90, 120, 80, 130, 70, 140, 60, 150, 50, 160, 40, 100)
    few = SymbolLevelExtractor(levels_per_kind=2, zone_width=0.1)
    assert brief(few.extract(bars).levels) == [
        (SUPPORT, "40", 1),
        (SUPPORT, "50", 1),
        (RESISTANCE, "150", 1),
        (RESISTANCE, "160", 1),
    ]
    assert len(replace(few, levels_per_kind=4).extract(bars).levels) == 8


def test_weak_levels_of_one_kind_are_kept_beside_strong_ones_of_the_other() -> None:
    bars = zigzag(100, 50, 100, 40, 90, 150, 110, 160, 120, 170, 95)
    few = SymbolLevelExtractor(levels_per_kind=2, zone_width=0.1)
    assert brief(few.extract(bars).levels) == [
        (SUPPORT, "40", 1),
        (SUPPORT, "50", 1),
        (RESISTANCE, "120", 1),
        (RESISTANCE, "170", 1),
    ]


# ── Units


@given(walks(min_size=11), factors)
@settings(max_examples=50)
def test_another_unit_scales_the_levels_and_changes_nothing_else(bars: list[Bar], factor: Decimal) -> None:
    assert extractor.extract(scaled(bars, factor)) == in_unit(extractor.extract(bars), factor)


@pytest.mark.parametrize("zone_width", [1.0, 2.0, 3.0])
@given(factor=factors)
def test_swings_exactly_a_zone_apart_fall_together_in_no_unit_or_in_all(zone_width: float, factor: Decimal) -> None:
    rise = [Decimal("1.1") ** n for n in range(7)]
    bars = flat_bars([*rise, *rise[-2::-1], *rise[1:-1], *rise[-3::-1], *rise[1:-2], *rise[-4::-1]])
    exact = SymbolLevelExtractor(zone_width=zone_width, swing_bars=2)
    assert exact.extract(scaled(bars, factor)) == in_unit(exact.extract(bars), factor)


@given(walks(min_size=11), st.integers(1, 10**9))
@settings(max_examples=50)
def test_volume_plays_no_part(bars: list[Bar], volume: int) -> None:
    traded = [replace(b, volume=Decimal(volume * day % 1009)) for day, b in enumerate(bars)]
    assert extractor.extract(traded) == extractor.extract(bars)


def test_prices_have_no_exponent() -> None:
    bars = zigzag(*[Decimal(text) for text in ("1E+2", "2E+3", "1E+2", "1E+3", "1E+2")], leg=6)
    assert [str(level.price) for level in extractor.extract(bars).levels] == ["100", "1000", "2000"]


# ── Direction


def trend(rate: float, noise: float = 0, count: int = 51, seed: int = 0) -> Direction:
    errors = np.random.default_rng(seed).normal(0, noise, count)
    prices = [round(Decimal(100 * (1 + rate) ** day * (1 + errors[day])), 4) for day in range(count)]
    return extractor.extract(flat_bars(prices)).direction


@pytest.mark.parametrize("rate", [0.0001, 0.001, 0.01, 0.1])
def test_a_steady_course_has_a_direction(rate: float) -> None:
    assert trend(rate) is Direction.BULLISH
    assert trend(-rate) is Direction.BEARISH


def test_a_course_with_noise_has_a_direction() -> None:
    assert {trend(0.006, noise=0.01, seed=seed) for seed in range(50)} == {Direction.BULLISH}
    assert {trend(-0.006, noise=0.01, seed=seed) for seed in range(50)} == {Direction.BEARISH}


@pytest.mark.parametrize("noise", [0.0001, 0.01, 0.1])
def test_noise_around_a_mean_has_none(noise: float) -> None:
    assert {trend(0, noise=noise, seed=seed) for seed in range(50)} == {Direction.NEUTRAL}


def test_a_walk_without_drift_is_mostly_neutral() -> None:
    steps = np.random.default_rng(7).normal(0, 0.01, (100, 50)).cumsum(axis=1)
    walked = [extractor.extract(flat_bars(map(Decimal, 100 * np.exp(path)))).direction for path in steps]
    assert walked.count(Direction.NEUTRAL) > 60


def test_direction_waits_for_enough_bars() -> None:
    assert trend(0.01, count=50) is Direction.NEUTRAL
    assert trend(0.01, count=51) is Direction.BULLISH


def test_direction_forgets_what_is_long_ago() -> None:
    fall, rise = range(300, 100, -4), range(100, 151)
    assert extractor.extract(flat_bars([*fall, *rise])).direction is Direction.BULLISH


@given(st.lists(st.integers(-3, 5), min_size=51, max_size=51))
def test_mirrored_prices_mirror_the_direction(moves: list[int]) -> None:
    bars = flat_bars(Decimal(1000 + total) for total in np.cumsum(moves).tolist())
    mirrored = mapped(bars, lambda price: 1 / price)
    opposite = {
        Direction.BULLISH: Direction.BEARISH,
        Direction.BEARISH: Direction.BULLISH,
        Direction.NEUTRAL: Direction.NEUTRAL,
    }
    assert extractor.extract(mirrored).direction is opposite[extractor.extract(bars).direction]
