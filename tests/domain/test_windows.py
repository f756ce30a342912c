"""Which days a backfill covers, on whose calendar."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.backfill import Wanted
from domain.bars import Interval
from domain.calendars import calendar_for
from domain.errors import InvalidRange
from domain.tickers import AssetClass
from domain.windows import LONGEST, Windows, check, today_on

TODAY = date(2026, 3, 27)
NEW_YORK = calendar_for(AssetClass.STOCK, None)


def test_usual_are_two_years_of_days_and_a_week_of_minutes() -> None:
    assert Windows().usual(TODAY) == (
        Wanted(Interval.ONE_DAY, date(2024, 3, 27), TODAY),
        Wanted(Interval.ONE_MINUTE, date(2026, 3, 20), TODAY),
    )


@pytest.mark.parametrize(("daily", "minute", "intervals"), [(0, 7, ["1m"]), (730, 0, ["1d"]), (0, 0, [])])
def test_a_window_of_no_days_is_none(daily: int, minute: int, intervals: list[str]) -> None:
    assert [wanted.interval.value for wanted in Windows(daily, minute).usual(TODAY)] == intervals


def test_days_that_are_not_named_are_the_usual_ones() -> None:
    first, last = date(2026, 3, 2), date(2026, 3, 6)
    windows = Windows()
    assert windows.chosen(Interval.ONE_DAY, None, None, TODAY) == Wanted(Interval.ONE_DAY, date(2024, 3, 27), TODAY)
    assert windows.chosen(Interval.ONE_DAY, first, None, TODAY) == Wanted(Interval.ONE_DAY, first, TODAY)
    assert windows.chosen(Interval.ONE_DAY, None, last, TODAY) == Wanted(Interval.ONE_DAY, date(2024, 3, 6), last)
    assert windows.chosen(Interval.ONE_DAY, first, last, TODAY) == Wanted(Interval.ONE_DAY, first, last)


@pytest.mark.parametrize("interval", [interval for interval in Interval if interval is not Interval.ONE_DAY])
def test_bars_of_less_than_a_day_are_asked_for_as_minutes(interval: Interval) -> None:
    assert Windows().chosen(interval, None, None, TODAY) == Wanted(Interval.ONE_MINUTE, date(2026, 3, 20), TODAY)


TOKYO = (AssetClass.STOCK, "XTKS")
SYDNEY = (AssetClass.STOCK, "XASX")
FOREX = (AssetClass.FOREX, None)
STOCK = (AssetClass.STOCK, "XNYS")


@pytest.mark.parametrize(
    ("listing", "now", "today"),
    [
        (STOCK, "2026-03-27T13:29", "2026-03-27"),
        (STOCK, "2026-03-27T20:30", "2026-03-27"),
        (STOCK, "2026-03-28T02:00", "2026-03-28"),
        (SYDNEY, "2026-03-26T22:59", "2026-03-26"),
        (SYDNEY, "2026-03-26T23:00", "2026-03-27"),
        (TOKYO, "2026-03-26T23:30", "2026-03-26"),
        (TOKYO, "2026-03-27T00:00", "2026-03-27"),
        (FOREX, "2026-03-29T21:59", "2026-03-29"),
        (FOREX, "2026-03-29T22:00", "2026-03-30"),
        ((AssetClass.CRYPTO, None), "2026-03-29T23:59", "2026-03-29"),
    ],
)
def test_today_is_the_trading_day_that_has_begun(listing: tuple[AssetClass, str | None], now: str, today: str) -> None:
    found = today_on(calendar_for(*listing), datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert found == date.fromisoformat(today)


@pytest.mark.parametrize(
    ("interval", "first", "last", "sentence"),
    [
        ("1d", "2026-03-05", "2026-03-02", "The range begins on 2026-03-05, after its end on 2026-03-02; it must begin first."),
        ("1d", "2026-03-05", "2026-03-28", "2026-03-28 has not begun for AAPL; ask for days up to 2026-03-27."),
        ("1d", "2026-03-28", "2026-03-27", "The range begins on 2026-03-28, after its end on 2026-03-27; it must begin first."),
        (
            "1d",
            "1989-12-29",
            "1990-03-02",
            "The calendar of AAPL does not know 1989-12-29; ask for later days, no earlier than 1990-01-02.",
        ),
        (
            "1d",
            "2016-03-01",
            "2026-03-02",
            "2016-03-01 to 2026-03-02 is 3,654 days of daily bars; ask for at most 3,653 at a time.",
        ),
        (
            "1m",
            "2025-02-20",
            "2026-03-27",
            "2025-02-20 to 2026-03-27 is 401 days of minutes; ask for at most 400 at a time.",
        ),
    ],
)
def test_days_that_cannot_be_backfilled_are_refused(interval: str, first: str, last: str, sentence: str) -> None:
    with pytest.raises(InvalidRange) as refusal:
        check(Wanted(Interval(interval), date.fromisoformat(first), date.fromisoformat(last)), "AAPL", NEW_YORK, TODAY)
    assert (refusal.value.message, refusal.value.code) == (sentence, "INVALID_RANGE")


@pytest.mark.parametrize(
    ("interval", "first", "last"),
    [("1d", "2026-03-27", "2026-03-27"), ("1d", "2016-03-02", "2026-03-02"), ("1m", "2025-02-21", "2026-03-27")],
)
def test_up_to_the_longest_they_are_not(interval: str, first: str, last: str) -> None:
    check(Wanted(Interval(interval), date.fromisoformat(first), date.fromisoformat(last)), "AAPL", NEW_YORK, TODAY)


def test_the_first_day_is_the_calendars_own() -> None:
    tokyo = calendar_for(*TOKYO)
    with pytest.raises(InvalidRange, match="does not know 1996-12-30"):
        check(Wanted(Interval.ONE_DAY, date(1996, 12, 30), date(1997, 2, 3)), "7203.T", tokyo, TODAY)
    with pytest.raises(InvalidRange, match="does not know 0001-01-01"):
        check(Wanted(Interval.ONE_DAY, date.min, date.min), "BTC-USD", calendar_for(AssetClass.CRYPTO, None), TODAY)


@given(st.sampled_from(Interval), st.none() | st.dates(), st.none() | st.dates())
def test_any_days_are_taken_or_refused(interval: Interval, first: date | None, last: date | None) -> None:
    wanted = Windows().chosen(interval, first, last, TODAY)
    try:
        check(wanted, "AAPL", NEW_YORK, TODAY)
    except InvalidRange:
        return
    assert date(1990, 1, 2) <= wanted.first <= wanted.last <= TODAY
    assert (wanted.last - wanted.first).days < LONGEST[wanted.interval][1]
