"""Ticks in any order, late, doubled or out of a day that begins anew: the minute bars they come to."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bars import Bar, Interval
from domain.ticks import GRACE_SECONDS, KEPT_MINUTES, Minute, MinuteBars, Tick, _Series, opening
from tests.support.mutants import mutated

TEN = datetime(2026, 3, 25, 14, 0, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
GRACE = GRACE_SECONDS * SECOND
LATER = TEN + timedelta(hours=2)


def tick(seconds: float, price: str = "100", volume: int | None = None, ticker: str = "AAPL") -> Tick:
    """So many seconds after ten."""
    return Tick(ticker, TEN + seconds * SECOND, Decimal(price), None if volume is None else Decimal(volume))


def following(*tickers: str) -> MinuteBars:
    minutes = MinuteBars("yahoo")
    minutes.follow(tickers or ["AAPL"])
    return minutes


def put(minutes: MinuteBars, *ticks: Tick, now: datetime = TEN) -> None:
    for each in ticks:
        minutes.put(each, now)


def told(minutes: MinuteBars, now: datetime = LATER) -> list[tuple[str, str, tuple[Decimal, ...]]]:
    return [(bar.ticker, f"{bar.open_time:%H:%M}", figures(bar)) for bar in minutes.take(now)]


def figures(bar: Bar) -> tuple[Decimal, ...]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume


def of(*numbers: int) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, numbers))


# ── a minute


def test_a_minute_is_a_bar() -> None:
    minutes = following()
    put(minutes, tick(1, "100", 1000), tick(20, "103", 1500), tick(40, "99"), tick(59.999, "101", 1800), tick(60, "102", 1900))
    assert minutes.take(TEN + MINUTE) == [
        Bar(
            ticker="AAPL",
            interval=Interval.ONE_MINUTE,
            open_time=TEN,
            close_time=TEN + MINUTE,
            open=Decimal(100),
            high=Decimal(103),
            low=Decimal(99),
            close=Decimal(101),
            volume=Decimal(800),
            adjusted_to=TEN.date(),
            source="yahoo",
            is_final=True,
        )
    ]


def test_a_minute_is_over_by_a_later_tick_or_by_the_clock() -> None:
    minutes = following("AAPL", "MSFT")
    assert not minutes.put(tick(30), TEN)
    assert not minutes.put(tick(30, ticker="MSFT"), TEN)
    assert minutes.put(tick(60), TEN + MINUTE), "a later minute has begun"
    assert told(minutes, TEN + MINUTE) == [("AAPL", "14:00", of(100, 100, 100, 100, 0))], "the other's has not"
    assert told(minutes, TEN + MINUTE + GRACE - SECOND) == []
    assert told(minutes, TEN + MINUTE + GRACE) == [("MSFT", "14:00", of(100, 100, 100, 100, 0))]
    assert told(minutes, TEN + 2 * MINUTE + GRACE) == [("AAPL", "14:01", of(100, 100, 100, 100, 0))]
    assert told(minutes) == [], "each once"


def test_bars_come_by_close_time_then_ticker() -> None:
    minutes = following("MSFT", "AAPL", "BA")
    put(minutes, *(tick(60 * n, ticker=ticker) for ticker in ("MSFT", "AAPL", "BA") for n in (2, 0, 1)))
    assert [(time, ticker) for ticker, time, _ in told(minutes)] == [
        (f"14:0{n}", ticker) for n in range(3) for ticker in ("AAPL", "BA", "MSFT")
    ]


# ── late, doubled, in any order


def test_a_late_tick_is_told_in_its_whole_minute() -> None:
    minutes = following()
    put(minutes, tick(10, "100", 1000), tick(50, "101", 1200), tick(70, "102", 1500), tick(130, "103", 1600))
    assert told(minutes, TEN + 2 * MINUTE) == [
        ("AAPL", "14:00", of(100, 101, 100, 101, 200)),
        ("AAPL", "14:01", of(102, 102, 102, 102, 300)),
    ]
    assert minutes.put(tick(30, "110", 1100), TEN + 2 * MINUTE)
    assert told(minutes, TEN + 2 * MINUTE) == [("AAPL", "14:00", of(100, 110, 100, 101, 200))]
    put(minutes, tick(55, "90", 1400))  # also the next minute's volume is another by it
    assert told(minutes, TEN + 2 * MINUTE) == [
        ("AAPL", "14:00", of(100, 110, 90, 90, 400)),
        ("AAPL", "14:01", of(102, 102, 102, 102, 100)),
    ]
    put(minutes, tick(55, "90", 1400), tick(30, "95", 1100))
    assert told(minutes, TEN + 2 * MINUTE) == [], "nothing that changes a bar"


prices = st.integers(1, 50).map(Decimal)
volumes = st.none() | st.integers(0, 1000).map(Decimal)


@st.composite
def traded(draw: st.DrawFn) -> list[Tick]:
    """The ticks of some minutes with holes between, in their order, each at an instant of its own."""
    seconds = draw(st.lists(st.integers(0, 599), min_size=1, max_size=40, unique=True).map(sorted))
    return [Tick("AAPL", TEN + second * SECOND, draw(prices), draw(volumes)) for second in seconds]


def plainly(ticks: Iterable[Tick]) -> dict[datetime, tuple[Decimal, ...]]:
    """The bars of ticks in their order, worked out all at once."""
    bars: dict[datetime, tuple[Decimal, ...]] = {}
    in_order, before = list(ticks), None
    for opens in sorted({opening(each.at) for each in in_order}):
        own = [each for each in in_order if opening(each.at) == opens]
        counted = [each.day_volume for each in own if each.day_volume is not None]
        first = before if before is not None else (counted or [Decimal(0)])[0]
        volume = max(Decimal(0), counted[-1] - first) if counted else Decimal(0)
        before = counted[-1] if counted else before
        prices = [each.price for each in own]
        bars[opens] = (prices[0], max(prices), min(prices), prices[-1], volume)
    return bars


@given(traded(), st.randoms(use_true_random=False), st.integers(1, 9))
def test_in_whatever_order_they_come_the_last_bars_told_are_the_same(ticks: list[Tick], chance: Random, every: int) -> None:
    shuffled_they_end_alike(ticks, chance, every)


def shuffled_they_end_alike(ticks: list[Tick], chance: Random, every: int) -> None:
    """Also when they are taken while ticks are still missing, and some come twice: nothing is lost, each change told once."""
    shuffled = [*ticks, *chance.sample(ticks, len(ticks) // 2)]
    chance.shuffle(shuffled)
    minutes, held = following(), dict[datetime, Bar]()
    for number, each in enumerate(shuffled, 1):
        minutes.put(each, TEN)
        if number % every == 0:
            note(held, minutes.take(TEN + timedelta(minutes=5)))
    note(held, minutes.take(LATER))
    assert {opens: figures(bar) for opens, bar in held.items()} == plainly(ticks)
    assert minutes.take(LATER) == []


def note(held: dict[datetime, Bar], bars: Sequence[Bar]) -> None:
    keys = [bar.close_time for bar in bars]
    assert keys == sorted(set(keys))
    for bar in bars:
        assert held.get(bar.open_time) != bar, "told again though it is the same"
        held[bar.open_time] = bar


@given(traded(), st.data())
def test_the_volume_of_a_day_that_only_grows_is_shared_out_among_its_minutes(ticks: list[Tick], data: st.DataObject) -> None:
    grown = data.draw(st.lists(st.integers(0, 9), min_size=len(ticks), max_size=len(ticks)))
    growing = [Tick(each.ticker, each.at, each.price, Decimal(sum(grown[: number + 1]))) for number, each in enumerate(ticks)]
    minutes = following()
    put(minutes, *growing)
    first, last = growing[0].day_volume, growing[-1].day_volume
    assert first is not None
    assert last is not None
    assert sum(bar.volume for bar in minutes.take(LATER)) == last - first


@pytest.mark.parametrize(
    ("what", "wrong"),
    [
        (Minute.with_tick, ("_earlier(tick, self.first)", "self.first")),
        (Minute.with_tick, ("_later(tick, self.last)", "tick")),
        (Minute.bar, ("before or self.counted_first", "self.counted_first")),
        (_Series.put, ("minute in self.minutes[at + 1 :]", "minute in ()")),
        (_Series.take, ("bar != self.told.get(opens)", "True")),
    ],
)
def test_that_property_sees_what_is_wrong(what: object, wrong: tuple[str, str]) -> None:
    with mutated(what, wrong), pytest.raises(AssertionError):
        many_shuffles_end_alike()


def many_shuffles_end_alike() -> None:
    chance = Random(5)
    for _ in range(50):
        seconds = sorted(chance.sample(range(600), 30))
        traded = [
            Tick("AAPL", TEN + at * SECOND, Decimal(chance.randint(1, 50)), Decimal(chance.randint(0, 99))) for at in seconds
        ]
        shuffled_they_end_alike(traded, chance, 3)


# ── volumes


def test_a_day_that_begins_anew_is_no_negative_volume() -> None:
    minutes = following()
    put(minutes, tick(0, volume=5000), tick(60, volume=5600), tick(120, volume=40), tick(180, volume=100))
    assert [figures[4] for _, _, figures in told(minutes)] == [0, 600, 0, 60]


def test_a_tick_that_says_no_volume_changes_none() -> None:
    minutes = following()
    put(minutes, tick(0, volume=5000), tick(60), tick(90, volume=5500), tick(91), tick(120), tick(180, volume=5700))
    assert [figures[4] for _, _, figures in told(minutes)] == [0, 500, 0, 200]


# ── what stood before anybody listened


def test_a_price_that_stands_since_long_is_no_bar() -> None:
    """What a server tells first may have been traded an hour ago, and its minute is known better by others."""
    minutes, now = following(), TEN + 10 * MINUTE
    put(minutes, tick(30, "90", 4000), tick(30, "90", 4000), now=now)
    assert told(minutes) == []
    put(minutes, tick(600, "100", 4100), tick(660, "101", 4150), now=now)
    assert told(minutes) == [("AAPL", "14:10", of(100, 100, 100, 100, 100)), ("AAPL", "14:11", of(101, 101, 101, 101, 50))]


def test_the_minute_that_is_not_over_is_told_from_the_first_tick_on() -> None:
    minutes = following()
    put(minutes, tick(30, "90", 4000), now=TEN + 31 * SECOND)
    assert told(minutes) == [("AAPL", "14:00", of(90, 90, 90, 90, 0))]


def test_a_feed_that_is_minutes_behind_is_told_all_the_same() -> None:
    minutes, now = following(), TEN + 15 * MINUTE
    put(minutes, tick(5, "90", 4000), tick(10, "91", 4010), tick(70, "92", 4030), now=now)
    assert told(minutes, now) == [("AAPL", "14:00", of(90, 91, 90, 91, 10)), ("AAPL", "14:01", of(92, 92, 92, 92, 20))]


def test_after_an_interruption_the_first_may_have_stood_but_late_ticks_are_late_ticks() -> None:
    minutes = following()
    put(minutes, tick(10, "100", 1000), tick(70, "101", 1100))
    assert len(told(minutes, TEN + 4 * MINUTE)) == 2
    minutes.interrupted()
    now = TEN + 5 * MINUTE
    put(minutes, tick(200, "105", 3000), now=now)  # traded while nobody listened
    assert told(minutes, now) == []
    put(minutes, tick(300, "106", 3050), now=now)
    assert told(minutes) == [("AAPL", "14:05", of(106, 106, 106, 106, 50))]
    minutes.interrupted()
    put(minutes, tick(330, "110", 3060), now=now + 2 * MINUTE)
    assert told(minutes) == [("AAPL", "14:05", of(106, 110, 106, 110, 60))], "of a minute that is known"


# ── what is held


def test_what_is_not_followed_is_nothing() -> None:
    minutes = following("AAPL", "MSFT")
    assert not minutes.put(tick(0, ticker="BA"), TEN)
    put(minutes, tick(0), tick(0, ticker="MSFT"))
    minutes.follow(["MSFT"])
    assert [ticker for ticker, _, _ in told(minutes)] == ["MSFT"]
    minutes.follow(["AAPL", "MSFT"])
    assert told(minutes) == []


def held(minutes: MinuteBars) -> int:
    return sum(len(series.minutes) + len(series.told) + len(series.untold) for series in minutes._series.values())


def flood(minutes: MinuteBars, tickers: Sequence[str]) -> None:
    for second in range(300):
        put(minutes, *(tick(second + n / 10, str(n % 7 + 1), second, ticker) for ticker in tickers for n in range(10)))


def test_however_many_ticks_come_what_is_held_is_one_minute_each() -> None:
    minutes = following("AAPL", "MSFT")
    flood(minutes, ["AAPL", "MSFT"])
    assert held(minutes) == 2 * (5 + 5), "6000 ticks"
    assert [figures for _, _, figures in told(minutes)] == 2 * [of(1, 7, 1, 3, 59)] + 8 * [of(1, 7, 1, 3, 60)]


def test_minutes_are_kept_until_they_are_told_and_then_for_an_hour() -> None:
    minutes = following()
    late = KEPT_MINUTES + 30
    put(minutes, *(tick(60 * n, "100", 10 * n) for n in range(late)))
    bars = minutes.take(LATER)
    assert len(bars) == late, "a listener that was busy for so long has missed nothing"
    assert {bar.volume for bar in bars} == {Decimal(0), Decimal(10)}
    assert held(minutes) == 2 * KEPT_MINUTES
    assert not minutes.put(tick(60 * 29, "1"), LATER), "too late: of that minute no whole bar can be made any more"
    assert told(minutes) == []
    put(minutes, tick(60 * 30 + 1, "101", 305))
    assert told(minutes)[0] == ("AAPL", "14:30", of(100, 101, 100, 101, 15)), "the volume of before is remembered"
    for first, second in pairwise(minutes._series["AAPL"].minutes):
        assert first.open_time < second.open_time
