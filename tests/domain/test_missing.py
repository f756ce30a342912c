"""What is missing and why, beside the rules taken literally: every minute of every trading day is looked at."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.bars import Interval
from domain.calendars import CRYPTO, FOREX, TradingCalendar, calendar_for
from domain.expected import Expectation
from domain.gaps import Absence, GapCause, Mark, MissingInterval, Statistics
from domain.held import DAILY, Held, HeldDays, Span, bits_of
from domain.missing import Subject, days_of, evidence, missing, statistics
from domain.tickers import AssetClass

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
NOW = datetime(2026, 3, 27, 20, 30, tzinfo=UTC)
LENGTHS = {
    Interval.ONE_MINUTE: 1,
    Interval.FIVE_MINUTES: 5,
    Interval.FIFTEEN_MINUTES: 15,
    Interval.THIRTY_MINUTES: 30,
    Interval.ONE_HOUR: 60,
    Interval.FOUR_HOURS: 240,
}
MARKETS = {
    "New York, with a holiday and a half day": ("XNYS", "2024-11-27", "2024-12-03"),
    "New York, closed for a funeral": ("XNYS", "2025-01-08", "2025-01-11"),
    "New York, when summer time begins": ("XNYS", "2025-03-06", "2025-03-12"),
    "New York, when it ends, over the month's end": ("XNYS", "2025-10-30", "2025-11-05"),
    "Tokyo, closing half an hour later from one day on": ("XTKS", "2024-11-01", "2024-11-07"),
    "Sydney, opening on the eve in UTC": ("XASX", "2025-01-09", "2025-01-15"),
    "Wellington, closing on the eve in UTC": ("XNZE", "2024-12-20", "2024-12-31"),
    "crypto, over the year's end": ("crypto", "2024-12-30", "2025-01-03"),
    "forex, over two Sundays": ("forex", "2025-06-06", "2025-06-17"),
}


@cache
def calendar(mic: str) -> TradingCalendar:
    return {"crypto": CRYPTO, "forex": FOREX}.get(mic) or calendar_for(AssetClass.STOCK, mic)


@cache
def expectation(mic: str) -> Expectation:
    return Expectation(calendar(mic))


class Slot:
    """A bar that the rules expect."""

    def __init__(self, opens: datetime, closes: datetime, day: date) -> None:
        self.opens, self.closes, self.day = opens, closes, day


@cache
def slots(mic: str, interval: Interval, first: date, last: date) -> Sequence[Slot]:
    """Of the trading days from one to another, walked minute by minute."""
    found = []
    for number in range((last - first).days + 1):
        day = calendar(mic).trading_day(first + number * DAY)
        if day is None:
            continue
        if interval is Interval.ONE_DAY:
            found.append(Slot(day.open, day.close, day.day))
            continue
        eve = timedelta(hours=2) if mic == "forex" and day.day.weekday() == 0 else timedelta()
        minutes = [day.open - eve + n * MINUTE for n in range((day.close - day.open + eve) // MINUTE)]
        if day.break_start and day.break_end:
            minutes = [minute for minute in minutes if not day.break_start <= minute < day.break_end]
        for _, each in groupby(minutes, key=lambda minute: (minute - day.open) // (LENGTHS[interval] * MINUTE)):
            within = list(each)
            found.append(Slot(within[0], within[-1] + MINUTE, day.day))
    return found


def held(interval: Interval, opens: Collection[datetime], closes: Mapping[datetime, datetime]) -> Held:
    """By a symbol that has bars which open then, one or more."""
    first, last = min(opens), max(opens)
    days = {}
    for day, each in groupby(sorted(opens), key=lambda instant: instant.date()):
        minutes = np.array([instant.hour * 60 + instant.minute for instant in each])
        days[(day - date(1970, 1, 1)).days] = DAILY if interval is Interval.ONE_DAY else bits_of(minutes)
    return Held(interval, Span(first, last, closes.get(last, last + MINUTE)), HeldDays(len(opens), bits=days))


def judged(mic: str, asked: Held, *others: Held, absences: Sequence[Absence] = (), mark: Mark | None = None) -> Statistics:
    """As a crypto's where it is its calendar, else as a listed symbol's."""
    expected = expectation(mic).between(asked.interval, asked.first, asked.last)
    absent = missing(asked, expected)
    seen = evidence(days_of([absent], expected, asked.interval), [asked, *others], expected)
    subject = Subject(asked, absences, mark, never_closes=mic == "crypto", may_halt=mic not in ("crypto", "forex"))
    return statistics(subject, absent, expected, seen, NOW)


# ── runs


def runs(between: Sequence[Slot], opens: Collection[datetime]) -> list[tuple[datetime, datetime, int]]:
    return [
        (run[0].opens, run[-1].closes, len({slot.day for slot in run}))
        for is_held, those in groupby(between, key=lambda slot: slot.opens in opens)
        if not is_held and (run := list(those))
    ]


@pytest.mark.parametrize("market", MARKETS)
@settings(max_examples=15)
@given(interval=st.sampled_from([*LENGTHS, Interval.ONE_DAY]), data=st.data())
def test_runs_and_coverage_are_as_a_walk_through_every_minute_finds_them(
    market: str, interval: Interval, data: st.DataObject
) -> None:
    """Whatever is held: expected bars, and such as nobody expects."""
    mic, first, last = MARKETS[market]
    around = slots(mic, interval, date.fromisoformat(first) - 3 * DAY, date.fromisoformat(last) + 3 * DAY)
    each = slots(mic, interval, date.fromisoformat(first), date.fromisoformat(last))
    gone = data.draw(st.sets(st.integers(0, len(each) - 1), max_size=min(len(each) - 1, 60)))
    run = data.draw(st.integers(0, len(each) - 1))
    gone |= set(range(run, min(len(each), run + data.draw(st.integers(0, len(each) // 2)))))
    kept = [slot.opens for number, slot in enumerate(each) if number not in gone] or [each[0].opens]
    strange = data.draw(st.sets(st.integers(-100, 3000), max_size=5)) if interval is not Interval.ONE_DAY else set()
    opens = {*kept, *(each[0].opens + n * MINUTE for n in strange)}
    found = judged(mic, held(interval, opens, {slot.opens: slot.closes for slot in around}))
    first_open, last_open = min(opens), max(opens)
    between = [slot for slot in around if first_open <= slot.opens <= last_open]
    assert [(one.start, one.end, one.trading_days) for one in found.missing] == runs(between, opens)
    assert found.expected == len(between)
    assert found.absent == sum(slot.opens not in opens for slot in between)
    assert found.count == len(opens)


@pytest.mark.parametrize("interval", [Interval.ONE_DAY, Interval.ONE_MINUTE])
def test_what_a_calendar_does_not_know_is_not_expected(interval: Interval) -> None:
    """Bombay's ends in the library some months from now; bars lie on both sides of its end."""
    known = calendar("XBOM").known[1]
    last = calendar("XBOM").trading_day(known.date())
    assert last is not None
    beyond = known + 5 * DAY
    opens = [last.open, beyond]
    found = judged("XBOM", held(interval, opens, {}))
    assert found.expected == (1 if interval is Interval.ONE_DAY else (last.close - last.open) // MINUTE)
    assert found.absent == found.expected - 1
    found = judged("XBOM", held(interval, [beyond, beyond + DAY], {}))
    assert (found.expected, found.coverage, list(found.missing)) == (0, 0.0, [])


# ── causes

DAY_OPENS = datetime(2026, 3, 25, 13, 30, tzinfo=UTC)
ALL_DAY = [DAY_OPENS + n * MINUTE for n in range(390)]


def without(*gone: int) -> Held:
    """A whole day of New York, but for these minutes of it."""
    return held(Interval.ONE_MINUTE, [each for n, each in enumerate(ALL_DAY) if n not in gone], {})


def causes(found: Statistics) -> list[GapCause]:
    return [each.cause for each in found.missing]


def test_what_half_of_the_witnesses_miss_is_the_providers() -> None:
    asked, like, whole = without(100), without(100), without()
    assert causes(judged("XNYS", asked, like)) == [GapCause.PROVIDER_HOLE]
    assert causes(judged("XNYS", asked, like, whole, whole)) == [GapCause.PROVIDER_HOLE]
    assert causes(judged("XNYS", asked, like, whole, whole, whole)) == [GapCause.UNKNOWN], "two of five"
    assert causes(judged("XNYS", asked)) == [GapCause.UNKNOWN], "nobody else was there"
    assert causes(judged("XNYS", asked, whole)) == [GapCause.UNKNOWN], "half, but itself alone"


def test_who_holds_nothing_of_the_day_is_no_witness() -> None:
    later = held(Interval.ONE_MINUTE, [DAY_OPENS - DAY, DAY_OPENS + DAY], {})
    assert causes(judged("XNYS", without(100), later, later)) == [GapCause.UNKNOWN]


@pytest.mark.parametrize(
    ("gone", "cause"),
    [
        ({100, 101, 102, 103, 104}, GapCause.HALT),
        ({100, 101, 102, 103}, GapCause.PROVIDER_HOLE),
        ({100, 101}, GapCause.PROVIDER_HOLE),
        ({100}, GapCause.UNKNOWN),
    ],
)
def test_how_long_it_was_not_traded_while_the_others_were(gone: set[int], cause: GapCause) -> None:
    assert causes(judged("XNYS", without(*gone), without())) == [cause]
    assert causes(judged("XNYS", without(*gone), without(gone.pop()), without(), without())) != [GapCause.HALT], "not all were"


def test_what_is_thinly_traded_was_not_halted() -> None:
    thin = without(*range(0, 390, 7), *range(100, 106))
    assert set(causes(judged("XNYS", thin, without()))) == {GapCause.UNKNOWN}
    thin = without(*range(5, 390, 60), 100, 101)
    assert set(causes(judged("XNYS", thin, without()))) == {GapCause.UNKNOWN}, "chance enough"


def test_a_night_is_no_halt() -> None:
    over_night = [each + day * DAY for day in (0, 1) for each in ALL_DAY]
    opens = [each for each in over_night if not ALL_DAY[386] <= each < ALL_DAY[4] + DAY]
    found = judged("XNYS", held(Interval.ONE_MINUTE, opens, {}), held(Interval.ONE_MINUTE, over_night, {}))
    assert list(found.missing) == [MissingInterval(ALL_DAY[386], ALL_DAY[4] + DAY, 2, GapCause.UNKNOWN)]


def absence(cause: GapCause, day: date, expires_at: datetime = NOW + DAY) -> Absence:
    return Absence("AAPL", Interval.ONE_MINUTE, "sample", day, day, cause, NOW, expires_at)


TODAY = DAY_OPENS.date()


def test_what_is_noted_of_the_symbol_goes_first() -> None:
    asked, like = without(*range(100, 105)), without(*range(100, 105))
    assert causes(judged("XNYS", asked, like, absences=[absence(GapCause.FETCH_FAILED, TODAY)])) == [GapCause.FETCH_FAILED]
    assert causes(judged("XNYS", asked, like, absences=[absence(GapCause.NOT_LISTED, TODAY)])) == [GapCause.NOT_LISTED]
    expired = absence(GapCause.NOT_LISTED, TODAY, NOW)
    assert causes(judged("XNYS", asked, like, absences=[expired])) == [GapCause.PROVIDER_HOLE]
    elsewhere = absence(GapCause.FETCH_FAILED, TODAY - DAY)
    assert causes(judged("XNYS", asked, like, absences=[elsewhere])) == [GapCause.PROVIDER_HOLE]
    mark = Mark("AAPL", Interval.ONE_MINUTE, None, ALL_DAY[103])
    assert causes(judged("XNYS", asked, mark=mark)) == [GapCause.UNKNOWN], "three of five had been asked for"
    mark = Mark("AAPL", Interval.ONE_MINUTE, None, ALL_DAY[102])
    assert causes(judged("XNYS", asked, mark=mark)) == [GapCause.FETCH_FAILED]


def test_asked_for_and_not_given() -> None:
    """Round the clock that is a hole; of a day that closes only all of it is, since a minute may have had no trade."""
    noted = [absence(GapCause.PROVIDER_HOLE, TODAY)]
    assert causes(judged("XNYS", without(100), absences=noted)) == [GapCause.UNKNOWN]
    assert causes(judged("crypto", without(100), absences=noted)) == [GapCause.PROVIDER_HOLE]
    opens = [each + days * DAY for each in ALL_DAY for days in (-1, 1)]
    found = judged("XNYS", held(Interval.ONE_MINUTE, opens, {}), absences=noted)
    assert [(each.trading_days, each.cause) for each in found.missing] == [(1, GapCause.PROVIDER_HOLE)]


def test_a_daily_bar_is_missed_by_who_has_older_and_newer_ones() -> None:
    week = [datetime(2026, 2, day, tzinfo=UTC) for day in range(12, 19)]
    closes = {each: each + DAY for each in week}
    whole, lacks = (held(Interval.ONE_DAY, [each for each in week if each.day != gone], closes) for gone in (0, 15))
    assert causes(judged("crypto", lacks, lacks, whole)) == [GapCause.PROVIDER_HOLE]
    ended = held(Interval.ONE_DAY, week[:2], closes)
    assert causes(judged("crypto", lacks, ended, ended, whole)) == [GapCause.UNKNOWN]


def test_runs_are_made_as_they_are_asked_for() -> None:
    found = judged("XNYS", without(10, 20, 30)).missing
    assert len(found) == 3
    assert [each.start for each in found[1:]] == [ALL_DAY[20], ALL_DAY[30]]
    assert found[-1].end == ALL_DAY[31]
