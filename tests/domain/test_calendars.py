import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import exchange_calendars
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain import calendars
from domain.calendars import (
    CRYPTO,
    FOREX,
    SIBLINGS,
    ExchangeCalendar,
    OutOfCalendar,
    TradingCalendar,
    TradingDay,
    calendar_for,
)
from domain.tickers import AssetClass

US = timedelta(microseconds=1)
DAY = timedelta(days=1)


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def listed(mic: str | None) -> TradingCalendar:
    return calendar_for(AssetClass.STOCK, mic)


def days_of(calendar: TradingCalendar, first: date, until: date) -> list[TradingDay]:
    asked = (calendar.trading_day(first + n * DAY) for n in range((until - first).days))
    return [day for day in asked if day is not None]


XNYS = listed("XNYS")


@pytest.mark.parametrize(("year", "days", "minutes"), [(2024, 252, 97_740), (2025, 250, 96_960)])
def test_a_new_york_year(year: int, days: int, minutes: int) -> None:
    traded = days_of(XNYS, date(year, 1, 1), date(year + 1, 1, 1))
    assert len(traded) == days
    assert sum((day.close - day.open for day in traded), timedelta()) == timedelta(minutes=minutes)
    assert XNYS.closed_between(at(year, 1, 1), at(year + 1, 1, 1)) == days


@pytest.mark.parametrize(
    ("day", "opened", "closed"),
    [
        (date(2024, 1, 2), at(2024, 1, 2, 14, 30), at(2024, 1, 2, 21)),
        (date(2024, 3, 8), at(2024, 3, 8, 14, 30), at(2024, 3, 8, 21)),
        (date(2024, 3, 11), at(2024, 3, 11, 13, 30), at(2024, 3, 11, 20)),
        (date(2024, 7, 3), at(2024, 7, 3, 13, 30), at(2024, 7, 3, 17)),
        (date(2024, 11, 1), at(2024, 11, 1, 13, 30), at(2024, 11, 1, 20)),
        (date(2024, 11, 4), at(2024, 11, 4, 14, 30), at(2024, 11, 4, 21)),
        (date(2024, 11, 29), at(2024, 11, 29, 14, 30), at(2024, 11, 29, 18)),
        (date(2024, 12, 24), at(2024, 12, 24, 14, 30), at(2024, 12, 24, 18)),
    ],
)
def test_new_york_hours_with_summer_time_and_half_days(day: date, opened: datetime, closed: datetime) -> None:
    assert XNYS.trading_day(day) == TradingDay(day, opened, closed)


@pytest.mark.parametrize("day", [date(2025, 1, 9), date(2025, 6, 14), date(2025, 12, 25), date(2001, 9, 12)])
def test_new_york_is_closed(day: date) -> None:
    assert XNYS.trading_day(day) is None


def test_a_close_is_counted_from_its_own_instant_on() -> None:
    close = at(2025, 6, 13, 20)
    assert XNYS.closed_between(close - US, close) == 1
    assert XNYS.closed_between(close - US, close - US) == 0
    assert XNYS.closed_between(close, close + US) == 0
    assert XNYS.closed_between(at(2025, 6, 20), at(2025, 6, 10)) == 0
    assert XNYS.next_close(close - US) == close
    assert XNYS.next_close(close) == at(2025, 6, 16, 20)


def test_days_back() -> None:
    assert XNYS.days_back(date(2025, 6, 16), 0) == date(2025, 6, 16)
    assert XNYS.days_back(date(2025, 6, 16), 1) == date(2025, 6, 13)
    assert XNYS.days_back(date(2025, 6, 15), 0) == date(2025, 6, 13)
    assert XNYS.days_back(date(2025, 1, 10), 1) == date(2025, 1, 8)
    assert XNYS.days_back(date(2024, 12, 31), 251) == date(2024, 1, 2)


@pytest.mark.parametrize("mic", [None, "XNAS", "ARCX", "BATS", "XASE", "IEXG", "XNGS", "XNMS", "ZZZZ", ""])
@pytest.mark.parametrize("asset_class", [AssetClass.STOCK, AssetClass.ETF, AssetClass.INDEX])
def test_what_shares_new_yorks_calendar(asset_class: AssetClass, mic: str | None) -> None:
    assert calendar_for(asset_class, mic) is XNYS


@pytest.mark.parametrize("fault", [NotImplementedError, ValueError])
def test_a_calendar_that_the_library_cannot_build_is_new_yorks(fault: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise fault(name)

    monkeypatch.setattr(calendars, "_from_library", broken)
    assert listed("ASEX") is XNYS
    calendars._listed.cache_clear()


def test_london_has_its_own_days() -> None:
    london = listed("XLON")
    assert london.trading_day(date(2025, 5, 26)) is None
    assert london.trading_day(date(2025, 7, 4)) == TradingDay(date(2025, 7, 4), at(2025, 7, 4, 7), at(2025, 7, 4, 15, 30))
    assert XNYS.trading_day(date(2025, 7, 4)) is None


@pytest.mark.parametrize(
    ("mic", "day", "pause"),
    [
        ("XTKS", date(2024, 11, 5), (at(2024, 11, 5, 2, 30), at(2024, 11, 5, 3, 30))),
        ("XHKG", date(2024, 12, 23), (at(2024, 12, 23, 4), at(2024, 12, 23, 5))),
        ("XHKG", date(2024, 12, 24), (None, None)),  # a half day
        ("XSHE", date(2025, 6, 13), (at(2025, 6, 13, 3, 30), at(2025, 6, 13, 5))),
        ("XNYS", date(2024, 11, 29), (None, None)),
        ("XKRX", date(2025, 6, 13), (None, None)),  # no longer
    ],
)
def test_a_break_is_the_days_own(mic: str, day: date, pause: tuple[datetime | None, datetime | None]) -> None:
    found = listed(mic).trading_day(day)
    assert found is not None
    assert (found.break_start, found.break_end) == pause


def test_hong_kongs_half_day_ends_where_its_break_would_begin() -> None:
    assert listed("XHKG").trading_day(date(2024, 12, 24)) == TradingDay(
        date(2024, 12, 24), at(2024, 12, 24, 1, 30), at(2024, 12, 24, 4)
    )


def test_an_exchange_of_the_same_country() -> None:
    assert listed("XSHE") is listed("XSHG")
    assert listed("XSHE").trading_day(date(2025, 10, 1)) is None
    assert set(SIBLINGS.values()) <= set(exchange_calendars.get_calendar_names())


def test_outside_its_bounds_a_calendar_does_not_know() -> None:
    mumbai = listed("XBOM")
    with pytest.raises(OutOfCalendar):
        mumbai.trading_day(date(1996, 12, 31))
    with pytest.raises(OutOfCalendar):
        mumbai.trading_day(date(2040, 1, 3))
    with pytest.raises(OutOfCalendar):
        mumbai.closed_between(at(2026, 1, 1), at(2040, 1, 3))
    assert mumbai.next_close(at(2040, 1, 3)) is None
    assert XNYS.trading_day(date(2040, 1, 3)) is not None
    with pytest.raises(OutOfCalendar):
        XNYS.trading_day(date(2041, 1, 2))


THREE_DAYS = ExchangeCalendar(
    days=[date(2025, 6, 12), date(2025, 6, 13), date(2025, 6, 16)],
    opens=[at(2025, 6, 12, 9), at(2025, 6, 13, 9), at(2025, 6, 16, 9)],
    closes=[at(2025, 6, 12, 17), at(2025, 6, 13, 17), at(2025, 6, 16, 17)],
)
FIRST, LAST = THREE_DAYS.closes[0], THREE_DAYS.closes[-1]


def test_what_an_exchange_calendar_knows_ends_at_its_last_close() -> None:
    assert THREE_DAYS.closed_between(FIRST, LAST - US) == 1
    assert THREE_DAYS.closed_between(FIRST, FIRST - US) == 0
    assert THREE_DAYS.next_close(LAST - US) == LAST
    assert THREE_DAYS.next_close(FIRST) == at(2025, 6, 13, 17)
    assert THREE_DAYS.next_close(FIRST - US) is None
    assert THREE_DAYS.next_close(LAST) is None
    assert THREE_DAYS.next_to_close(FIRST - US) is None
    assert THREE_DAYS.next_to_close(LAST) is None
    assert THREE_DAYS.trading_day(date(2025, 6, 16)) is not None
    assert THREE_DAYS.trading_day(date(2025, 6, 12)) is not None
    assert THREE_DAYS.days_back(date(2025, 6, 16), 2) == date(2025, 6, 12)


@pytest.mark.parametrize(("after", "until"), [(FIRST - US, FIRST), (FIRST, LAST), (LAST, LAST - DAY), (LAST, LAST + DAY)])
def test_a_count_that_an_exchange_calendar_cannot_know(after: datetime, until: datetime) -> None:
    with pytest.raises(OutOfCalendar):
        THREE_DAYS.closed_between(after, until)


@pytest.mark.parametrize(
    ("day", "count"), [(date(2025, 6, 11), 0), (date(2025, 6, 17), 0), (date(2025, 6, 17), 1), (date(2025, 6, 16), 3)]
)
def test_days_that_an_exchange_calendar_cannot_know(day: date, count: int) -> None:
    with pytest.raises(OutOfCalendar):
        THREE_DAYS.days_back(day, count)
    if count == 0:
        with pytest.raises(OutOfCalendar):
            THREE_DAYS.trading_day(day)


def test_crypto_trades_every_day() -> None:
    saturday = date(2025, 6, 14)
    assert calendar_for(AssetClass.CRYPTO, None) is CRYPTO
    assert CRYPTO.trading_day(saturday) == TradingDay(saturday, at(2025, 6, 14), at(2025, 6, 15))
    assert CRYPTO.closed_between(at(2025, 6, 13, 12), at(2025, 6, 16)) == 3
    assert CRYPTO.next_close(at(2025, 6, 15)) == at(2025, 6, 16)
    assert CRYPTO.days_back(saturday, 7) == date(2025, 6, 7)


def test_forex_rests_from_saturday_to_monday_midnight() -> None:
    friday, monday = date(2025, 6, 13), date(2025, 6, 16)
    assert calendar_for(AssetClass.FOREX, None) is FOREX
    assert FOREX.trading_day(friday) == TradingDay(friday, at(2025, 6, 13), at(2025, 6, 14))
    assert FOREX.trading_day(date(2025, 6, 14)) is None
    assert FOREX.trading_day(date(2025, 6, 15)) is None
    assert FOREX.trading_day(monday) == TradingDay(monday, at(2025, 6, 16), at(2025, 6, 17), eve=timedelta(hours=2))
    assert FOREX.closed_between(at(2025, 6, 14), at(2025, 6, 17) - US) == 0
    assert FOREX.closed_between(at(2025, 6, 14) - US, at(2025, 6, 17)) == 2
    assert FOREX.closed_between(at(2025, 6, 17), at(2025, 6, 13)) == 0
    assert FOREX.next_close(at(2025, 6, 14)) == at(2025, 6, 17)
    assert FOREX.next_close(at(2025, 6, 15, 22)) == at(2025, 6, 17)
    assert FOREX.days_back(date(2025, 6, 15), 0) == friday
    assert FOREX.days_back(monday, 1) == friday
    assert FOREX.days_back(monday, 6) == date(2025, 6, 6)


@pytest.mark.parametrize("calendar", [CRYPTO, FOREX])
def test_the_ends_of_time(calendar: TradingCalendar) -> None:
    assert calendar.next_close(datetime.max.replace(tzinfo=UTC)) is None
    assert calendar.next_to_close(datetime.max.replace(tzinfo=UTC)) is None
    assert calendar.closed_between(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)) > 2_000_000
    with pytest.raises(OutOfCalendar):
        calendar.trading_day(date.max)
    with pytest.raises(OutOfCalendar):
        calendar.days_back(date.min, 1)


any_calendar = st.sampled_from([CRYPTO, FOREX, XNYS])
instants = st.datetimes(datetime(1995, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds it


@given(any_calendar, instants)
@example(FOREX, at(2025, 6, 14))
@example(XNYS, at(2025, 6, 13, 20))
def test_next_close_is_the_first_that_is_counted(calendar: TradingCalendar, instant: datetime) -> None:
    close = calendar.next_close(instant)
    assert close is not None
    assert close > instant
    assert calendar.closed_between(instant, close - US) == 0
    assert calendar.closed_between(instant, close) == 1


@given(any_calendar, instants)
@example(FOREX, at(2025, 6, 14))
@example(XNYS, at(2025, 6, 13, 20))
@example(listed("XNZE"), at(2024, 12, 23, 12))  # whose half days close on the UTC date before
def test_the_next_to_close_is_the_day_of_the_next_close(calendar: TradingCalendar, instant: datetime) -> None:
    found = calendar.next_to_close(instant)
    assert found is not None
    assert found.close == calendar.next_close(instant)
    assert calendar.closed_between(instant, found.close) == 1
    assert found == calendar.trading_day(found.day)


@given(any_calendar, instants, st.integers(0, 60))
def test_counting_agrees_with_walking_the_days(calendar: TradingCalendar, start: datetime, span: int) -> None:
    end = start + timedelta(days=span)
    days = days_of(calendar, start.date() - 2 * DAY, end.date() + 2 * DAY)
    assert calendar.closed_between(start, end) == sum(start < day.close <= end for day in days)


@given(any_calendar, instants.map(datetime.date), st.integers(0, 300))
def test_days_back_skips_exactly_so_many_trading_days(calendar: TradingCalendar, day: date, count: int) -> None:
    back = calendar.days_back(day, count)
    assert calendar.trading_day(back) is not None
    assert len(days_of(calendar, back, day + DAY)) == count + 1


def test_only_a_listed_symbol_costs_the_librarys_import(pytestconfig: pytest.Config) -> None:
    script = """
import sys
from domain.calendars import calendar_for
from domain.tickers import AssetClass
calendar_for(AssetClass.CRYPTO, None)
calendar_for(AssetClass.FOREX, None)
assert "exchange_calendars" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30, cwd=pytestconfig.rootpath)


def test_hong_kong_is_built_in_silence() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert listed("XHKG").trading_day(date(2025, 1, 29)) is None
    assert heard == []


def test_threads_that_need_the_same_calendar_build_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    build = calendars._from_library

    def count(name: str) -> Any:
        built.append(name)
        return build(name)

    monkeypatch.setattr(calendars, "_from_library", count)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: calendar_for(AssetClass.STOCK, "XBUD"), range(4)))
    assert built == ["XBUD"]  # of no other test
    assert len(set(map(id, found))) == 1
