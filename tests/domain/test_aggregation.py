"""Longer bars, beside the rules taken literally: a day is walked minute by minute, and each minute put into its bucket."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.aggregation import Columns, Hours, Minute, Rollup, Window, aggregate, rolled
from domain.bars import Interval
from domain.calendars import CRYPTO, FOREX, ExchangeCalendar, OutOfCalendar, TradingCalendar, calendar_for
from domain.clock import parse_instant
from domain.tickers import AssetClass
from web.settings import BUNDLED_SAMPLE

LENGTHS = {
    Interval.FIVE_MINUTES: 300,
    Interval.FIFTEEN_MINUTES: 900,
    Interval.THIRTY_MINUTES: 1800,
    Interval.ONE_HOUR: 3600,
    Interval.FOUR_HOURS: 14_400,
    Interval.ONE_DAY: 86_400,
}
DAY = timedelta(days=1)
Key = tuple[Interval, int]


def at(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp())


def clock(instant: int) -> str:
    return f"{datetime.fromtimestamp(instant, UTC):%a %H:%M}"


def spans(windows: Iterable[Window], interval: Interval) -> list[tuple[str, str]]:
    return [(clock(each.opens), clock(each.closes)) for each in windows if each.interval is interval]


def volumes(windows: Iterable[Window]) -> list[tuple[str, int]]:
    return [(each.interval.value, int(each.volume)) for each in windows]


@cache
def calendar(mic: str) -> TradingCalendar:
    return {"crypto": CRYPTO, "forex": FOREX}.get(mic) or calendar_for(AssetClass.STOCK, mic)


@cache
def hours(mic: str) -> Hours:
    return Hours(calendar(mic))


# ── the rules, taken literally


class Day:
    """A trading day, every minute of it."""

    def __init__(self, mic: str, day: date) -> None:
        known = calendar(mic).trading_day(day)
        assert known is not None
        eve = timedelta(hours=2) if mic == "forex" and day.weekday() == 0 else timedelta()
        self.open = int(known.open.timestamp())
        every = range(int((known.open - eve).timestamp()), int(known.close.timestamp()), 60)
        if known.break_start and known.break_end:
            rest = range(int(known.break_start.timestamp()), int(known.break_end.timestamp()))
            self.minutes = [minute for minute in every if minute not in rest]
        else:
            self.minutes = list(every)

    def buckets(self, interval: Interval) -> Mapping[int, Sequence[int]]:
        """Its minutes by bucket; but all of a day, also of one with an eve, are the day's."""
        found: dict[int, list[int]] = {}
        for minute in self.minutes:
            bucket = 0 if interval is Interval.ONE_DAY else (minute - self.open) // LENGTHS[interval]
            found.setdefault(bucket, []).append(minute)
        return found

    def spans(self, interval: Interval) -> Iterator[tuple[int, int, Sequence[int]]]:
        for minutes in self.buckets(interval).values():
            opens = self.open if interval is Interval.ONE_DAY else minutes[0]
            yield opens, minutes[-1] + 60, minutes


@cache
def days(mic: str, first: str, count: int) -> Sequence[Day]:
    """So many trading days from a date on."""
    start = date.fromisoformat(first)
    dates = [start + n * DAY for n in range(count * 4)]
    return [Day(mic, day) for day in dates if calendar(mic).trading_day(day)][:count]


def literally(minutes: Sequence[Minute], traded: Sequence[Day], interval: Interval, until: int) -> list[Window]:
    held = {minute.opens: minute for minute in minutes}
    now = max(until, max(held, default=0) + 60)
    windows = []
    for day in traded:
        for opens, closes, within in day.spans(interval):
            bars = [held[minute] for minute in within if minute in held]
            if bars and closes <= now:
                windows.append(
                    Window(
                        interval,
                        opens,
                        closes,
                        bars[0].open,
                        max(bar.high for bar in bars),
                        min(bar.low for bar in bars),
                        bars[-1].close,
                        sum((bar.volume for bar in bars), Decimal()),
                    )
                )
    return windows


MARKETS = {
    "New York, with a holiday and a half day": ("XNYS", "2024-11-27", 4),
    "New York, when summer time begins": ("XNYS", "2025-03-07", 2),
    "New York, when it ends": ("XNYS", "2025-10-31", 2),
    "London, when it ends": ("XLON", "2024-10-25", 2),
    "Tokyo, closing half an hour later from one day on": ("XTKS", "2024-11-01", 2),
    "Hong Kong, a half day without a break": ("XHKG", "2024-12-23", 2),
    "Sydney, opening on the eve in UTC": ("XASX", "2025-01-10", 2),
    "Wellington, closing on the eve in UTC": ("XNZE", "2024-12-23", 2),
    "crypto": ("crypto", "2024-12-31", 2),
    "forex, over a weekend": ("forex", "2025-06-13", 2),
}


# ── which window a minute belongs to


@pytest.mark.parametrize("market", MARKETS)
def test_each_minute_of_a_day_and_of_the_time_around_it(market: str) -> None:
    mic, first, count = MARKETS[market]
    asked = hours(mic)
    expected: dict[int, tuple[Day, dict[Interval, tuple[int, int]]]] = {}
    for day in days(mic, first, count):
        for interval in LENGTHS:
            for opens, closes, within in day.spans(interval):
                for minute in within:
                    expected.setdefault(minute, (day, {}))[1][interval] = opens, closes
    for minute in range(min(expected), max(expected), 60):
        day_, windows = expected.get(minute, (None, {}))
        assert asked.is_open(minute) is bool(windows)
        assert asked.day(minute) == (day_ and (day_.minutes[0], day_.minutes[-1] + 60))
        for interval in LENGTHS:
            assert asked.window(interval, minute) == windows.get(interval)


@pytest.mark.parametrize("market", MARKETS)
def test_what_is_due_next(market: str) -> None:
    mic, first, count = MARKETS[market]
    every = [minute + 60 for day in days(mic, first, count) for minute in day.minutes]
    for before, due in pairwise(every):
        for closes in {before, before + 1, before + 59, due - 60, due - 1}:
            assert hours(mic).due_after(closes) == due


def test_what_a_calendar_does_not_know_is_not_said_to_be_closed() -> None:
    known = ExchangeCalendar(
        days=[date(2025, 6, 12), date(2025, 6, 13)],
        opens=[datetime(2025, 6, 12, 9, tzinfo=UTC), datetime(2025, 6, 13, 9, tzinfo=UTC)],
        closes=[datetime(2025, 6, 12, 17, tzinfo=UTC), datetime(2025, 6, 13, 17, tzinfo=UTC)],
    )
    asked = Hours(known)
    assert asked.is_open(at("2025-06-13 09:00"))
    assert asked.due_after(at("2025-06-13 16:59")) == at("2025-06-13 17:00")
    assert asked.due_after(at("2025-06-13 17:00")) is None
    for unknown in (at("2025-06-11 12:00"), at("2025-06-13 17:00"), at("2025-06-16 12:00")):
        with pytest.raises(OutOfCalendar, match="is not within the calendar"):
            asked.is_open(unknown)
        with pytest.raises(OutOfCalendar):
            asked.window(Interval.ONE_HOUR, unknown)
        with pytest.raises(OutOfCalendar):
            aggregate([minute(unknown)], asked, Interval.ONE_HOUR, unknown)


# ── examples


def minute(opens: int, price: Decimal | int = 100, volume: Decimal | int = 1) -> Minute:
    return Minute(opens, Decimal(price), Decimal(price) + 1, Decimal(price) - 1, Decimal(price), Decimal(volume))


def whole(mic: str, day: str) -> list[Minute]:
    return [minute(opens) for opens in Day(mic, date.fromisoformat(day)).minutes]


def added(minutes: Iterable[Minute], to: Rollup) -> list[Window]:
    return [window for each in minutes for window in to.add(each)]


def test_a_half_days_windows_end_with_it() -> None:
    windows = added(whole("XNYS", "2024-11-29"), Rollup(hours("XNYS")))
    assert spans(windows, Interval.FOUR_HOURS) == [("Fri 14:30", "Fri 18:00")]
    assert spans(windows, Interval.ONE_DAY) == [("Fri 14:30", "Fri 18:00")]
    assert spans(windows, Interval.ONE_HOUR)[-1] == ("Fri 17:30", "Fri 18:00")
    assert volumes(windows)[-1] == ("1d", 210)


def test_tokyos_lunch() -> None:
    """In Tokyo's time: the hour from 11:00 ends at 11:30, and that from 12:00 opens at 12:30."""
    windows = added(whole("XTKS", "2024-11-01"), Rollup(hours("XTKS")))
    assert spans(windows, Interval.ONE_HOUR)[2:4] == [("Fri 02:00", "Fri 02:30"), ("Fri 03:30", "Fri 04:00")]
    assert spans(windows, Interval.FOUR_HOURS) == [("Fri 00:00", "Fri 04:00"), ("Fri 04:00", "Fri 06:00")]
    assert [held for held in volumes(windows) if held[0] == "4h"] == [("4h", 180), ("4h", 120)]


def test_forexs_sunday_evening_is_mondays() -> None:
    windows = added(whole("forex", "2025-06-16"), Rollup(hours("forex")))
    assert spans(windows, Interval.ONE_HOUR)[:3] == [
        ("Sun 22:00", "Sun 23:00"),
        ("Sun 23:00", "Mon 00:00"),
        ("Mon 00:00", "Mon 01:00"),
    ]
    assert spans(windows, Interval.FOUR_HOURS)[:2] == [("Sun 22:00", "Mon 00:00"), ("Mon 00:00", "Mon 04:00")]
    assert spans(windows, Interval.ONE_DAY) == [("Mon 00:00", "Tue 00:00")]
    assert volumes(windows)[-1] == ("1d", 26 * 60)
    assert not hours("forex").is_open(at("2025-06-15 21:59"))
    assert hours("forex").due_after(at("2025-06-14 00:00")) == at("2025-06-15 22:01")


def test_the_days_last_windows_close_by_the_clock() -> None:
    rollup = Rollup(hours("XNYS"))
    close = at("2024-11-29 18:00")
    added(whole("XNYS", "2024-11-29")[:-3], rollup)
    assert rollup.due == close
    assert not rollup.pass_time(close - 1)
    windows = rollup.pass_time(close)
    assert [window.interval for window in windows] == list(LENGTHS)
    assert {window.closes for window in windows} == {close}
    assert not rollup.due
    assert not rollup.pass_time(close + 3600)


def test_a_silent_symbols_windows_close_one_after_the_other() -> None:
    rollup = Rollup(hours("XNYS"))
    rollup.add(minute(at("2024-11-27 14:32")))
    closed = []
    for _ in LENGTHS:
        assert rollup.due
        closed += [(clock(rollup.due), [window.interval.value for window in rollup.pass_time(rollup.due)])]
    assert closed == [
        ("Wed 14:35", ["5m"]),
        ("Wed 14:45", ["15m"]),
        ("Wed 15:00", ["30m"]),
        ("Wed 15:30", ["1h"]),
        ("Wed 18:30", ["4h"]),
        ("Wed 21:00", ["1d"]),
    ]


def test_a_clock_that_goes_back_closes_nothing_twice() -> None:
    rollup = Rollup(hours("XNYS"))
    rollup.add(minute(at("2024-11-27 14:32")))
    assert volumes(rollup.pass_time(at("2024-11-27 14:50"))) == [("5m", 1), ("15m", 1)]
    assert not rollup.pass_time(at("2024-11-27 14:34"))
    assert rollup.due == at("2024-11-27 15:00")
    assert volumes(rollup.pass_time(at("2024-11-27 15:00"))) == [("30m", 1)]


def test_hours_hold_no_more_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """A year's minutes of crypto would be a hundred megabytes."""
    monkeypatch.setattr("domain.hours._NESTS_HELD", 10)
    asked = Hours(calendar("XNYS"))
    every = whole("XNYS", "2024-11-29")
    assert added(every, Rollup(asked)) == added(every, Rollup(hours("XNYS")))
    assert 0 < len(asked.nests) <= 10


def test_a_minute_that_comes_after_the_clock_completes_its_windows_again() -> None:
    """As every live minute does that is delivered a second after its close."""
    rollup = Rollup(hours("XNYS"))
    early, late = whole("XNYS", "2024-11-27")[:14], whole("XNYS", "2024-11-27")[14]
    added(early, rollup)
    before = rollup.pass_time(at("2024-11-27 14:45"))
    assert volumes(before) == [("5m", 4), ("15m", 14)]
    again = rollup.add(late)
    assert volumes(again) == [("5m", 5), ("15m", 15)]
    after = rollup.pass_time(at("2024-11-27 15:00"))
    assert volumes(after) == [("30m", 15)]


def test_a_minute_outside_trading_hours_closes_what_it_leaves_and_is_in_nothing() -> None:
    rollup = Rollup(hours("XNYS"))
    rollup.add(minute(at("2024-11-29 17:59") - 60))
    left = rollup.add(minute(at("2024-11-29 18:00"), price=900))
    assert [window.interval for window in left] == list(LENGTHS)
    assert {window.high for window in left} == {Decimal(101)}
    assert rollup.due is None


def test_a_revision_of_an_earlier_day_leaves_the_open_windows_alone() -> None:
    rollup = Rollup(hours("XNYS"))
    friday, monday = whole("XNYS", "2024-11-29"), whole("XNYS", "2024-12-02")[:7]
    added([*friday, *monday], rollup)
    friday[3] = minute(friday[3].opens, price=500)
    again = rollup.amend(friday, friday[3].opens)
    assert [(window.interval.value, window.high) for window in again] == [
        (interval.value, Decimal(501)) for interval in LENGTHS
    ]
    after = added(whole("XNYS", "2024-12-02")[7:10], rollup)
    assert volumes(after) == [("5m", 5)]
    assert after[0].high == 101


def test_totals_are_exact_however_long_the_numbers() -> None:
    """Twenty-eight digits, Python's habit, would lose the small ones."""
    price, volume = (
        Decimal("100000000000000000000.000000000000000001"),
        Decimal("10000000000000000000000000.000000000000000001"),
    )
    long = [Minute(each.opens, price, price, price, price, volume) for each in whole("XNYS", "2024-11-29")]
    windows = added(long, Rollup(hours("XNYS")))
    assert windows[-1].volume == Decimal("2100000000000000000000000000.000000000000000210")
    assert windows[-1].high == price
    for interval in LENGTHS:
        assert aggregate(long, hours("XNYS"), interval, 0) == [each for each in windows if each.interval is interval]


def test_nothing_comes_of_nothing() -> None:
    assert aggregate([], hours("XNYS"), Interval.ONE_HOUR, at("2024-11-29 18:00")) == []
    night = [minute(at("2024-11-29 03:00"))]
    assert aggregate(night, hours("XNYS"), Interval.ONE_HOUR, at("2024-11-29 18:00")) == []
    assert Rollup(hours("XNYS")).due is None


# ── one at a time is as in bulk


def priced(opens: Iterable[int], draw: Random) -> list[Minute]:
    """Prices in cents, and volumes in up to eight decimals."""
    bars = []
    for each in opens:
        low, opened, closed, high = sorted(Decimal(draw.randint(9_900, 10_100)) / 100 for _ in range(4))
        volume = Decimal(draw.randint(0, 10**9)).scaleb(-draw.randint(0, 8))
        bars.append(Minute(each, opened, high, low, closed, volume))
    return bars


@st.composite
def feeds(draw: st.DrawFn, market: tuple[str, str, int]) -> list[Minute]:
    """A market's minutes from anywhere to anywhere, with holes, and with some that nobody trades in."""
    traded = [opens for day in days(*market) for opens in day.minutes]
    start = draw(st.integers(0, len(traded) - 1))
    stop = draw(st.integers(start + 1, len(traded)))
    opens = set(traded[start:stop])
    for hole in draw(st.lists(st.integers(start, stop), max_size=6)):
        opens -= set(traded[hole : hole + draw(st.integers(1, 300))])
    if draw(st.booleans()):
        chance = Random(draw(st.integers(0, 2**32)))
        opens = {each for each in opens if chance.random() < 0.4}
    night = [each + 60 for each, after in pairwise(traded) if after > each + 60]
    opens |= set(draw(st.lists(st.sampled_from(night), max_size=3))) if night else set()
    return priced(sorted(opens), Random(start))


markets = st.sampled_from(list(MARKETS.values()))


@settings(max_examples=120)
@given(data=st.data(), market=markets, wait=st.integers(0, 90_000))
def test_one_at_a_time_is_as_in_bulk_and_as_the_rules_say(data: st.DataObject, market: tuple[str, str, int], wait: int) -> None:
    minutes = data.draw(feeds(market))
    until = (minutes[-1].opens if minutes else 0) + wait
    rollup = Rollup(hours(market[0]))
    completed = [rollup.add(each) for each in minutes]
    completed.append(rollup.pass_time(until))
    for together in completed:
        assert list(together) == sorted(together, key=lambda window: (window.closes, LENGTHS[window.interval]))
    for interval in LENGTHS:
        one_by_one = [window for together in completed for window in together if window.interval is interval]
        in_bulk = aggregate(minutes, hours(market[0]), interval, until)
        assert one_by_one == in_bulk
        assert in_bulk == literally(minutes, days(*market), interval, until)


def ever(minutes: Sequence[Minute], market: tuple[str, str, int], until: int) -> set[Window]:
    return {window for interval in LENGTHS for window in literally(minutes, days(*market), interval, until)}


@settings(max_examples=60)
@given(data=st.data(), market=markets)
def test_a_window_is_given_as_soon_as_it_is_complete(data: st.DataObject, market: tuple[str, str, int]) -> None:
    minutes = data.draw(feeds(market))[:400]
    rollup = Rollup(hours(market[0]))
    given: list[Window] = []
    for count, each in enumerate(minutes, 1):
        given += rollup.add(each)
        if count % 40 == 0 or count == len(minutes):
            assert set(given) == ever(minutes[:count], market, 0)
            still_open = ever(minutes[:count], market, 2**40) - set(given)
            assert rollup.due == min((window.closes for window in still_open), default=None)


@cache
def recorded(ticker: str) -> Sequence[Minute]:
    with (BUNDLED_SAMPLE / "minute" / f"{ticker}.csv").open(newline="", encoding="utf-8") as file:
        return [
            Minute(
                int(parse_instant(row["time"]).timestamp()),
                *(Decimal(row[column]) for column in ("open", "high", "low", "close", "volume")),
            )
            for row in csv.DictReader(file)
        ]


RECORDED = sorted(path.stem for path in (BUNDLED_SAMPLE / "minute").glob("*.csv"))


@settings(max_examples=60)
@given(st.sampled_from(RECORDED), st.data())
@example("SPY", None)
@example("BTC-USD", None)
def test_recorded_minutes(ticker: str, data: st.DataObject | None) -> None:
    """All of them; and from anywhere on, with holes."""
    minutes = list(recorded(ticker))
    if data is not None:
        minutes = minutes[data.draw(st.integers(0, len(minutes) - 1), "start") :]
        for hole in data.draw(st.lists(st.integers(0, len(minutes)), max_size=8), "holes"):
            del minutes[hole : hole + data.draw(st.integers(1, 200), "length")]
    market = ("crypto", "2026-03-23", 5) if ticker.endswith("-USD") else ("XNYS", "2026-03-23", 5)
    until = at("2026-03-28 00:00")
    rollup = Rollup(hours(market[0]))
    completed = [*added(minutes, rollup), *rollup.pass_time(until)]
    for interval in LENGTHS:
        in_bulk = aggregate(minutes, hours(market[0]), interval, until)
        assert [window for window in completed if window.interval is interval] == in_bulk
        if data is None:
            assert in_bulk == literally(minutes, days(*market), interval, until)


@settings(max_examples=40)
@given(data=st.data(), market=markets, interval=st.sampled_from(list(LENGTHS)))
def test_whole_numbers_give_what_decimals_do(data: st.DataObject, market: tuple[str, str, int], interval: Interval) -> None:
    minutes = data.draw(feeds(market)) or [minute(days(*market)[0].minutes[0])]
    decimals = Columns.of(minutes)
    scaled = {
        name: np.array([int(value.scaleb(8)) for value in getattr(decimals, name)], np.int64)
        for name in ("open", "high", "low", "close", "volume")
    }
    until = minutes[-1].opens + 7000
    ours = rolled(Columns(decimals.opens, decimals.closes, **scaled), hours(market[0]), interval, until)
    assert all(column.dtype == np.int64 for column in (ours.open, ours.high, ours.low, ours.close, ours.volume))
    back = [
        Window(interval, window.opens, window.closes, *(Decimal(number).scaleb(-8) for number in window[3:]))
        for window in ours.windows(interval)
    ]
    assert back == aggregate(minutes, hours(market[0]), interval, until)


# ── late, twice, revised, and the clock in between


class Listener:
    """Sends each minute where it belongs, as a session does, and keeps the newest of each window that it was given."""

    def __init__(self, mic: str) -> None:
        self.hours = hours(mic)
        self.rollup = Rollup(self.hours)
        self.minutes: dict[int, Minute] = {}
        self.newest = self.passed = 0
        self.windows: dict[Key, Window] = {}

    def hear(self, told: Minute) -> None:
        if self.minutes.get(told.opens) == told or not self.hours.is_open(told.opens):
            return
        self.minutes[told.opens] = told
        if told.opens > self.newest:
            self.newest = told.opens
            self.keep(self.rollup.add(told))
        else:
            day = self.hours.day(told.opens)
            assert day is not None
            of_the_day = sorted(each for each in self.minutes.values() if day[0] <= each.opens < day[1])
            self.keep(self.rollup.amend(of_the_day, told.opens))

    def pass_time(self, now: int) -> None:
        self.passed = max(self.passed, now)
        self.keep(self.rollup.pass_time(now))

    def keep(self, windows: Iterable[Window]) -> None:
        self.windows.update({(window.interval, window.opens): window for window in windows})


@settings(max_examples=150)
@given(data=st.data(), market=markets, seed=st.integers(0, 2**32))
def test_a_shuffled_duplicated_late_and_revised_feed_ends_in_the_same_windows(
    data: st.DataObject, market: tuple[str, str, int], seed: int
) -> None:
    minutes, draw = data.draw(feeds(market))[-700:], Random(seed)
    told = [(each.opens + draw.choice([0, 0, 0, 61, 500, 5_000, 100_000]), each) for each in minutes]
    told += [(when + draw.randint(0, 1000), each) for when, each in draw.sample(told, len(told) // 5)]
    for _, each in draw.sample(told, min(len(told), 10)):
        told.append((each.opens + draw.randint(0, 20_000), priced([each.opens], draw)[0]))
    listener = Listener(market[0])
    for when, each in sorted(told, key=lambda one: one[0]):
        listener.hear(each)
        if draw.random() < 0.3:
            listener.pass_time(when - draw.choice([0, 30, 3000]))
    final = sorted(listener.minutes.values())
    listener.pass_time(listener.newest + draw.choice([0, 60, 1800, 100_000]))
    for interval in LENGTHS:
        in_bulk = aggregate(final, hours(market[0]), interval, listener.passed)
        assert [window for (kind, _), window in sorted(listener.windows.items(), key=by_opens) if kind is interval] == in_bulk


def by_opens(item: tuple[Key, Window]) -> int:
    return item[0][1]


@settings(max_examples=40)
@given(data=st.data(), market=markets)
def test_an_amendment_gives_the_complete_windows_of_its_minute_and_no_others(
    data: st.DataObject, market: tuple[str, str, int]
) -> None:
    """However often the same is said: nothing more."""
    listener = Listener(market[0])
    for each in data.draw(feeds(market).filter(lambda minutes: len(minutes) > 3)):
        listener.hear(each)
    if not listener.minutes:
        return
    opens = data.draw(st.sampled_from(sorted(listener.minutes)))
    day = listener.hours.day(opens)
    assert day is not None
    of_the_day = sorted(each for each in listener.minutes.values() if day[0] <= each.opens < day[1])
    due = listener.rollup.due
    for _ in range(2):
        again = listener.rollup.amend(of_the_day, opens)
        theirs = {(interval, listener.hours.window(interval, opens)) for interval in LENGTHS}
        expected = [each for each in listener.windows.values() if (each.interval, (each.opens, each.closes)) in theirs]
        assert sorted(again, key=str) == sorted(expected, key=str)
        assert listener.rollup.due == due
