"""What is asked of a provider: exactly the days that lack something, and exactly as the calendars have them."""

import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bars import Interval
from domain.calendars import calendar_for
from domain.gaps import Absence, GapCause, Mark
from domain.hours import Hours, Instants
from domain.planning import (
    AT_ONCE_DAYS,
    Asked,
    Day,
    Plan,
    absences,
    blocked,
    expected_days,
    fetched_as,
    plan,
    recent_since,
    unfetched,
)
from domain.ports import Reach
from domain.tickers import AssetClass
from tests.support.clock import EVENING

NEW_YORK = AssetClass.STOCK, "XNYS"
TOKYO = AssetClass.STOCK, "XTKS"
SYDNEY = AssetClass.STOCK, "XASX"
CRYPTO = AssetClass.CRYPTO, None
FOREX = AssetClass.FOREX, None
Listing = tuple[AssetClass, str | None]
NOTHING: Instants = np.empty(0, np.int64)
LATER = datetime(2026, 12, 31, tzinfo=UTC)
FRIDAY = EVENING.date()


def wanted(
    listing: Listing, first: date, last: date, now: datetime = LATER, interval: Interval = Interval.ONE_MINUTE
) -> list[Day]:
    calendar = calendar_for(*listing)
    return expected_days(calendar, Hours(calendar), interval, first, last, now)


def held_of(days: Sequence[Day]) -> Instants:
    return np.concatenate([NOTHING, *(day.opens for day in days)])


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


# ── as the calendars have it


@pytest.mark.parametrize(
    ("listing", "day", "count", "first", "last"),
    [
        (NEW_YORK, date(2024, 11, 29), 210, "2024-11-29T14:30", "2024-11-29T17:59"),  # half a day
        (NEW_YORK, date(2024, 11, 27), 390, "2024-11-27T14:30", "2024-11-27T20:59"),
        (NEW_YORK, date(2025, 1, 9), 0, "", ""),  # closed for a day of mourning
        (NEW_YORK, date(2026, 3, 6), 390, "2026-03-06T14:30", "2026-03-06T20:59"),  # before New York's clocks go forward
        (NEW_YORK, date(2026, 3, 9), 390, "2026-03-09T13:30", "2026-03-09T19:59"),  # and after
        (NEW_YORK, date(2025, 10, 31), 390, "2025-10-31T13:30", "2025-10-31T19:59"),  # before they go back
        (NEW_YORK, date(2025, 11, 3), 390, "2025-11-03T14:30", "2025-11-03T20:59"),  # and after
        (TOKYO, date(2026, 3, 27), 330, "2026-03-27T00:00", "2026-03-27T06:29"),
        (SYDNEY, date(2026, 3, 27), 360, "2026-03-26T23:00", "2026-03-27T04:59"),
        (CRYPTO, date(2026, 3, 28), 1440, "2026-03-28T00:00", "2026-03-28T23:59"),  # a Saturday
        (FOREX, date(2026, 3, 28), 0, "", ""),
        (FOREX, date(2026, 3, 29), 0, "", ""),  # Sunday's evening is Monday's
        (FOREX, date(2026, 3, 30), 1560, "2026-03-29T22:00", "2026-03-30T23:59"),
        (FOREX, date(2026, 3, 31), 1440, "2026-03-31T00:00", "2026-03-31T23:59"),
    ],
)
def test_the_minutes_of_a_day_are_what_its_calendar_expects(
    listing: Listing, day: date, count: int, first: str, last: str
) -> None:
    days = wanted(listing, day, day)
    opens = held_of(days)
    assert len(opens) == count
    assert [each.day for each in days] == ([day] if count else [])
    if count:
        assert (opens[0], opens[-1]) == (at(first), at(last))
        assert days[0].begins == at(first)
        assert days[0].ends == at(last) + 60


def test_tokyos_lunch_is_not_expected() -> None:
    (day,) = wanted(TOKYO, FRIDAY, FRIDAY)
    lunch = set(range(at("2026-03-27T02:30"), at("2026-03-27T03:30"), 60))
    assert not lunch & set(day.opens.tolist())
    assert {at("2026-03-27T02:29"), at("2026-03-27T03:30")} <= set(day.opens.tolist())


@pytest.mark.parametrize(
    ("first", "last", "sessions"), [(date(2024, 1, 1), date(2024, 12, 31), 252), (date(2025, 1, 1), date(2025, 12, 31), 250)]
)
def test_a_years_days_and_minutes(first: date, last: date, sessions: int) -> None:
    """As counted elsewhere: 97,740 minutes in 2024, 96,960 in 2025."""
    days = wanted(NEW_YORK, first, last, interval=Interval.ONE_DAY)
    assert [len(day.opens) for day in days] == [1] * sessions
    assert len(held_of(wanted(NEW_YORK, first, last))) == {252: 97_740, 250: 96_960}[sessions]


def test_only_bars_that_are_over_are_expected() -> None:
    noon = datetime(2026, 3, 27, 16, 0, 30, tzinfo=UTC)
    (day,) = wanted(NEW_YORK, FRIDAY, date(2026, 4, 30), noon)
    assert (len(day.opens), day.ends) == (150, at("2026-03-27T16:00"))
    assert wanted(NEW_YORK, FRIDAY, FRIDAY, noon, Interval.ONE_DAY) == []
    assert wanted(NEW_YORK, FRIDAY, FRIDAY, datetime(2026, 3, 27, 13, 30, 59, tzinfo=UTC)) == []


def test_a_day_ahead_of_its_date_is_expected_when_it_has_begun() -> None:
    """Monday in forex begins on Sunday evening, Friday in Sydney on Thursday."""
    sunday = datetime(2026, 3, 29, 22, 10, tzinfo=UTC)
    (monday,) = wanted(FOREX, date(2026, 3, 28), date(2026, 4, 3), sunday)
    assert (monday.day, len(monday.opens), monday.starts_on) == (date(2026, 3, 30), 10, date(2026, 3, 29))
    (friday,) = wanted(SYDNEY, FRIDAY, FRIDAY, datetime(2026, 3, 26, 23, 5, tzinfo=UTC))
    assert (friday.day, len(friday.opens), friday.starts_on) == (FRIDAY, 5, date(2026, 3, 26))


def test_what_no_calendar_knows_is_not_asked_for() -> None:
    assert wanted(NEW_YORK, date(1980, 1, 1), date(1985, 1, 1), interval=Interval.ONE_DAY) == []
    assert wanted(NEW_YORK, date(2045, 1, 1), date(2046, 1, 1), datetime(2050, 1, 1, tzinfo=UTC)) == []


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_the_servers_time_zone_changes_nothing(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    ranges = [(listing, date(2026, 3, 1), FRIDAY) for listing in (NEW_YORK, TOKYO, SYDNEY, CRYPTO, FOREX)]
    before = [held_of(wanted(*each, EVENING)).tolist() for each in ranges]
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert time.localtime(0).tm_hour != 0
        assert [held_of(wanted(*each, EVENING)).tolist() for each in ranges] == before
        (request,) = planned(wanted(NEW_YORK, FRIDAY, FRIDAY)).requests
        assert (request.starts_on, request.until) == (FRIDAY, datetime(2026, 3, 27, 20, tzinfo=UTC))
    finally:
        monkeypatch.undo()
        time.tzset()


def test_intervals_between_a_minute_and_a_day_are_filled_by_minutes() -> None:
    assert {each: fetched_as(each) for each in Interval} == {
        each: Interval.ONE_DAY if each is Interval.ONE_DAY else Interval.ONE_MINUTE for each in Interval
    }


# ── exactly what is missing


def planned(
    days: Sequence[Day],
    held: Instants = NOTHING,
    absent: frozenset[date] = frozenset(),
    reach: Reach | None = Reach(),  # noqa: B008 - frozen
    again_since: date | None = None,
    now: datetime = LATER,
    interval: Interval = Interval.ONE_MINUTE,
) -> Plan:
    return plan(interval, days, held, set(absent), reach, now, again_since)


LISTINGS = st.sampled_from([NEW_YORK, TOKYO, SYDNEY, CRYPTO, FOREX])
REACHES = st.builds(Reach, st.one_of(st.none(), st.integers(1, 12)), st.one_of(st.none(), st.integers(0, 60)))


@given(LISTINGS, st.sampled_from([Interval.ONE_MINUTE, Interval.ONE_DAY]), st.data())
def test_requests_cover_exactly_what_is_missing_within_reach_each_day_once_newest_first(
    listing: Listing, interval: Interval, data: st.DataObject
) -> None:
    first = data.draw(st.dates(date(2025, 9, 1), date(2026, 3, 20)), "first")
    days = wanted(listing, first, first + timedelta(days=data.draw(st.integers(0, 45), "length")), LATER, interval)
    states = data.draw(st.lists(st.sampled_from(["held", "part", "nothing", "absent"]), min_size=len(days), max_size=len(days)))
    now = datetime.combine(first + timedelta(days=60), datetime.min.time(), UTC)
    reach = data.draw(REACHES, "reach")
    again_since = data.draw(st.one_of(st.none(), st.sampled_from([day.day for day in days] or [first])), "again since")
    kept = [
        day.opens if state == "held" else day.opens[1:] if state == "part" else NOTHING
        for day, state in zip(days, states, strict=True)
    ]
    absent = frozenset(day.day for day, state in zip(days, states, strict=True) if state == "absent")
    held = np.concatenate([NOTHING, *kept])
    found = planned(days, held, absent, reach, again_since, now, interval)

    earliest = date.min if reach.days_back is None else now.date() - timedelta(days=reach.days_back)
    lacking = {day.day for day, state in zip(days, states, strict=True) if state in ("part", "nothing")}
    again = {day.day for day in days if again_since is not None and day.day >= again_since}
    within = {day.day for day in days if day.starts_on >= earliest}
    asked = [day.day for request in found.requests for day in request.days]
    assert sorted(asked) == sorted((lacking | again) & within), "exactly these, none twice"
    assert {day.day for day in found.beyond} == (lacking | (again & absent)) - within
    assert all(later.first > earlier.last for later, earlier in pairwise(found.requests)), "newest first"
    at_once = min(AT_ONCE_DAYS[interval], reach.days_at_once or 10_000)
    calendar_days = [(request.last - request.starts_on).days + 1 for request in found.requests if len(request.days) > 1]
    assert all(length <= at_once for length in calendar_days)
    traded = [day.day for day in days]
    for request in found.requests:  # nothing that is held, unless it is asked for again
        place = traded.index(request.first)
        assert [day.day for day in request.days] == traded[place : place + len(request.days)]
        assert request.expected == sum(len(day.opens) for day in request.days)
    for later, earlier in pairwise(found.requests):  # what can be one request is one
        is_next = traded.index(later.first) == traded.index(earlier.last) + 1
        assert not is_next or (later.last - earlier.days[-1].starts_on).days + 1 > at_once
    assert found.missing == {day.day: len(day.missing(held)) for day in days if day.day in asked and len(day.missing(held))}


def test_a_weekend_parts_no_request_and_a_held_day_does() -> None:
    days = wanted(NEW_YORK, date(2026, 3, 19), date(2026, 3, 27))
    assert [(each.first, each.last) for each in planned(days).requests] == [(date(2026, 3, 19), FRIDAY)]
    rest = planned(days, days[3].opens).requests
    assert [(each.first, each.last) for each in rest] == [
        (date(2026, 3, 25), FRIDAY),
        (date(2026, 3, 19), date(2026, 3, 23)),
    ]


def test_a_provider_that_gives_eight_days_is_asked_for_eight_at_most() -> None:
    days = wanted(CRYPTO, date(2026, 3, 1), date(2026, 3, 20))
    assert [(each.first.day, each.last.day) for each in planned(days, reach=Reach(8)).requests] == [(13, 20), (5, 12), (1, 4)]


def test_a_provider_without_such_bars_is_asked_for_none() -> None:
    days = wanted(NEW_YORK, FRIDAY, FRIDAY)
    found = planned(days, reach=None)
    assert (found.requests, found.beyond, found.missing) == ([], days, {})


# ── what is known not to be there


def absence(first: date, last: date, cause: GapCause = GapCause.PROVIDER_HOLE, **changes: Any) -> Absence:
    values: dict[str, Any] = {"provider": "stub", "expires_at": EVENING + timedelta(days=1)} | changes
    return Absence("AAPL", Interval.ONE_MINUTE, first=first, last=last, cause=cause, observed_at=EVENING, **values)


@pytest.mark.parametrize(
    ("known", "blocks"),
    [
        (absence(date(2026, 3, 24), date(2026, 3, 25)), [24, 25]),
        (absence(date(2026, 3, 24), date(2026, 3, 25), GapCause.NOT_LISTED), [24, 25]),
        (absence(date(2026, 3, 24), date(2026, 3, 25), GapCause.FETCH_FAILED), []),
        (absence(date(2026, 3, 24), date(2026, 3, 25), provider="another"), []),
        (absence(date(2026, 3, 24), date(2026, 3, 25), expires_at=EVENING), []),
        (absence(date(2026, 3, 24), date(2026, 3, 25), expires_at=EVENING + timedelta(seconds=1)), [24, 25]),
    ],
)
def test_what_keeps_a_day_from_being_asked_for(known: Absence, blocks: list[int]) -> None:
    days = wanted(NEW_YORK, date(2026, 3, 23), FRIDAY)
    assert sorted(day.day for day in blocked(days, [known], "stub", EVENING)) == blocks


def lacking(day: Day, *places: int) -> Instants:
    return np.delete(day.opens, places)


def test_what_is_missing_of_an_answer_is_noted_by_run_and_expires_by_age() -> None:
    days = wanted(NEW_YORK, date(2026, 3, 16), FRIDAY)
    (request,) = planned(days, reach=Reach(30)).requests[:1]
    assert len(request.days) == 8, "within ten days"
    held = np.concatenate([day.opens if day.day.day in (20, 26) else lacking(day, 7) for day in request.days])
    recent = recent_since(calendar_for(*NEW_YORK), EVENING)
    assert recent == date(2026, 3, 23)
    found = absences(Asked("AAPL", Interval.ONE_MINUTE, "stub", EVENING), request, held, recent, None)
    tomorrow, in_a_week = EVENING + timedelta(days=1), EVENING + timedelta(days=7)
    assert [(each.first.day, each.last.day, each.cause, each.expires_at) for each in found] == [
        (18, 19, GapCause.PROVIDER_HOLE, in_a_week),
        (23, 25, GapCause.PROVIDER_HOLE, tomorrow),
        (27, 27, GapCause.PROVIDER_HOLE, tomorrow),
    ]


def test_a_day_that_is_still_traded_is_asked_for_again_when_it_is_over() -> None:
    noon = datetime(2026, 3, 27, 16, tzinfo=UTC)
    days = wanted(NEW_YORK, FRIDAY, FRIDAY, noon)
    (request,) = planned(days, now=noon).requests
    (found,) = absences(Asked("AAPL", Interval.ONE_MINUTE, "stub", noon), request, NOTHING, FRIDAY, None)
    assert found.expires_at == datetime(2026, 3, 27, 20, tzinfo=UTC)


def test_days_before_the_first_bar_of_all_were_not_listed() -> None:
    days = wanted(NEW_YORK, date(2026, 3, 2), date(2026, 3, 10), interval=Interval.ONE_DAY)
    (request,) = planned(days, interval=Interval.ONE_DAY).requests
    held = held_of([days[3], days[5], days[6]])
    found = absences(Asked("AAPL", Interval.ONE_DAY, "stub", EVENING), request, held, FRIDAY, int(held[0]))
    assert [(each.first.day, each.last.day, each.cause, each.expires_at - EVENING) for each in found] == [
        (2, 4, GapCause.NOT_LISTED, timedelta(days=30)),
        (6, 6, GapCause.PROVIDER_HOLE, timedelta(days=7)),
    ]


def test_what_could_not_be_fetched_may_be_at_any_time() -> None:
    days = wanted(NEW_YORK, date(2026, 3, 23), FRIDAY)
    found = planned(days, days[1].opens, again_since=date(2026, 3, 23))
    (request,) = found.requests
    noted = unfetched(Asked("AAPL", Interval.ONE_MINUTE, "stub", EVENING), request, found.missing)
    assert [(each.first.day, each.last.day, each.cause) for each in noted] == [
        (23, 23, GapCause.FETCH_FAILED),
        (25, 27, GapCause.FETCH_FAILED),
    ]
    assert blocked(days, noted, "stub", EVENING) == set()


# ── how far an interval is known

CLOSE = datetime(2026, 3, 27, 20, tzinfo=UTC)


def mark_of(found: Plan, first_held: int | None, known: Mark | None = None) -> Mark | None:
    return found.mark("AAPL", first_held, known, Hours(calendar_for(*NEW_YORK)))


@pytest.mark.parametrize(
    ("first_held", "complete_until", "is_complete"),
    [
        ("2026-03-24T13:30", None, True),  # its first bar is one of them
        ("2026-03-02T14:30", None, False),  # it is older: who knows what lies between
        ("2026-03-02T14:30", datetime(2026, 3, 20, 20, tzinfo=UTC), True),  # known up to the Friday before
        ("2026-03-02T14:30", datetime(2026, 3, 20, 19, 59, tzinfo=UTC), False),  # but for its last minute
        (None, None, False),
    ],
)
def test_it_is_complete_where_nothing_lies_between(
    first_held: str | None, complete_until: datetime | None, is_complete: bool
) -> None:
    found = planned(wanted(NEW_YORK, date(2026, 3, 23), FRIDAY))
    known = Mark("AAPL", Interval.ONE_MINUTE, complete_until, CLOSE) if complete_until else None
    mark = mark_of(found, at(first_held) if first_held else None, known)
    assert mark == Mark("AAPL", Interval.ONE_MINUTE, CLOSE if is_complete else None, CLOSE)


def test_it_is_not_complete_where_the_provider_does_not_reach() -> None:
    days = wanted(NEW_YORK, date(2026, 3, 2), FRIDAY)
    short = planned(days, days[0].opens[:1], reach=Reach(None, 10), now=EVENING)
    assert short.beyond
    assert mark_of(short, int(days[0].opens[0])) == Mark("AAPL", Interval.ONE_MINUTE, None, CLOSE)
    assert mark_of(short, at("2026-03-23T13:30")) == Mark("AAPL", Interval.ONE_MINUTE, CLOSE, CLOSE), "all beyond lies before"


def test_of_no_days_nothing_is_known() -> None:
    assert mark_of(planned([]), None) is None
    assert mark_of(planned(wanted(NEW_YORK, FRIDAY, FRIDAY), reach=None), None) is None


def test_recent_days_are_the_calendars() -> None:
    sunday = datetime(2026, 3, 29, 12, tzinfo=UTC)
    assert recent_since(calendar_for(*CRYPTO), sunday) == date(2026, 3, 25)
    assert recent_since(calendar_for(*NEW_YORK), sunday) == date(2026, 3, 23)
