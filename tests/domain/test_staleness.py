from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.calendars import CRYPTO, FOREX, ExchangeCalendar, TradingCalendar, calendar_for
from domain.staleness import AttemptOutcome, Freshness, StalenessReason, assess
from domain.tickers import AssetClass

US = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
THRESHOLD = timedelta(hours=48)
XNYS = calendar_for(AssetClass.STOCK, "XNAS")
NOW = datetime(2025, 6, 13, 12, tzinfo=UTC)  # a Friday, before the open
CLOSE = datetime(2025, 6, 12, 20, tzinfo=UTC)  # Thursday's


def fresh(
    last_updated: datetime | None,
    as_of: datetime | None = CLOSE,
    last_outcome: AttemptOutcome | None = AttemptOutcome.SUCCEEDED,
    calendar: TradingCalendar = XNYS,
    threshold: timedelta = THRESHOLD,
    now: datetime = NOW,
) -> Freshness:
    return assess(
        last_updated=last_updated,
        as_of=as_of,
        last_outcome=last_outcome,
        calendar=calendar,
        threshold=threshold,
        now=now,
    )


@pytest.mark.parametrize(
    ("age", "is_stale", "hours", "message"),
    [
        (1 * HOUR, False, 1.0, None),
        (180 * SECOND - US, False, 0.0, None),
        (180 * SECOND, False, 0.1, None),
        (47.95 * HOUR - US, False, 47.9, None),
        (47.95 * HOUR, False, 48.0, None),
        (48 * HOUR, False, 48.0, None),
        (48 * HOUR + US, True, 48.0, "Data is 48h old - may be outdated"),
        (48.5 * HOUR - US, True, 48.5, "Data is 48h old - may be outdated"),
        (48.5 * HOUR, True, 48.5, "Data is 49h old - may be outdated"),
        (49 * HOUR, True, 49.0, "Data is 49h old - may be outdated"),
        (72 * HOUR, True, 72.0, "Data is 72h old - may be outdated"),
        (167.6 * HOUR, True, 167.6, "Data is 168h old - may be outdated"),
        (168 * HOUR - US, True, 168.0, "Data is 168h old - may be outdated"),
        (168 * HOUR, True, 168.0, "Data is 7 days old - may be outdated"),
        (191.9 * HOUR, True, 191.9, "Data is 7 days old - may be outdated"),
        (192 * HOUR, True, 192.0, "Data is 8 days old - may be outdated"),
        (365 * 24 * HOUR, True, 8760.0, "Data is 365 days old - may be outdated"),
        (timedelta(), False, 0.0, None),
        (-59.999 * SECOND, False, 0.0, None),
        (-90 * HOUR, False, 0.0, None),
    ],
)
def test_age(age: timedelta, is_stale: bool, hours: float, message: str | None) -> None:
    verdict = fresh(NOW - age)
    assert verdict.is_stale is is_stale
    assert verdict.hours_since_update == hours
    assert verdict.message == message


@pytest.mark.parametrize("outcome", [None, *AttemptOutcome])
def test_never_updated(outcome: AttemptOutcome | None) -> None:
    assert fresh(None, last_outcome=outcome) == Freshness(
        is_stale=True,
        hours_since_update=None,
        message="Never updated",
        reason=StalenessReason.NEVER_UPDATED,
        fresh_until=None,
        missed_sessions=None,
    )


def test_another_threshold() -> None:
    assert not fresh(NOW - HOUR, threshold=HOUR).is_stale
    assert fresh(NOW - HOUR - US, threshold=HOUR).message == "Data is 1h old - may be outdated"


SATURDAY = datetime(2025, 6, 14, 22, tzinfo=UTC)
FRIDAYS_CLOSE = datetime(2025, 6, 13, 20, tzinfo=UTC)
SUNDAY_NIGHT = datetime(2025, 6, 15, 23, tzinfo=UTC)


def over_the_weekend(now: datetime = SUNDAY_NIGHT, outcome: AttemptOutcome = AttemptOutcome.SUCCEEDED) -> Freshness:
    """Refreshed right after Friday's close."""
    return fresh(FRIDAYS_CLOSE + HOUR, FRIDAYS_CLOSE, outcome, now=now)


def test_stale_over_a_weekend_because_the_market_is_closed() -> None:
    verdict = over_the_weekend()
    assert verdict.is_stale
    assert verdict.missed_sessions == 0
    assert verdict.reason is StalenessReason.MARKET_CLOSED


def test_overdue_from_the_next_close_on() -> None:
    mondays_close = datetime(2025, 6, 16, 20, tzinfo=UTC)
    assert over_the_weekend(mondays_close - US).reason is StalenessReason.MARKET_CLOSED
    assert over_the_weekend(mondays_close).reason is StalenessReason.OVERDUE
    assert over_the_weekend(mondays_close).missed_sessions == 1


def test_crypto_has_no_weekend() -> None:
    verdict = fresh(FRIDAYS_CLOSE, FRIDAYS_CLOSE, calendar=CRYPTO, now=SUNDAY_NIGHT)
    assert verdict.missed_sessions == 2
    assert verdict.reason is StalenessReason.OVERDUE


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (AttemptOutcome.RATE_LIMITED, StalenessReason.PROVIDER_RATE_LIMITED),
        (AttemptOutcome.DOWN, StalenessReason.PROVIDER_DOWN),
        (AttemptOutcome.EMPTY, StalenessReason.PROVIDER_EMPTY),
        (AttemptOutcome.FAILED, StalenessReason.MARKET_CLOSED),
        (AttemptOutcome.SUCCEEDED, StalenessReason.MARKET_CLOSED),
    ],
)
def test_what_the_last_attempt_met_explains_only_the_stale(outcome: AttemptOutcome, reason: StalenessReason) -> None:
    assert over_the_weekend(outcome=outcome).reason is reason
    assert over_the_weekend(SATURDAY, outcome).reason is StalenessReason.FRESH


def test_a_provider_that_lacked_two_trading_days_is_empty_even_while_fresh() -> None:
    wednesday = datetime(2025, 6, 11, 20, tzinfo=UTC)
    verdict = fresh(FRIDAYS_CLOSE, wednesday, now=SATURDAY)
    assert not verdict.is_stale
    assert verdict.reason is StalenessReason.PROVIDER_EMPTY
    assert fresh(FRIDAYS_CLOSE - US, wednesday, now=SATURDAY).reason is StalenessReason.FRESH
    assert fresh(FRIDAYS_CLOSE, wednesday, AttemptOutcome.DOWN, now=SUNDAY_NIGHT).reason is StalenessReason.PROVIDER_EMPTY


def test_days_that_closed_after_the_refresh_are_not_the_providers() -> None:
    verdict = fresh(CLOSE, CLOSE, now=CLOSE + timedelta(days=7))
    assert verdict.missed_sessions == 4  # the 19th of June is a holiday
    assert verdict.reason is StalenessReason.OVERDUE


@pytest.mark.parametrize(
    ("ahead", "reason"),
    [
        (59.999 * SECOND, StalenessReason.FRESH),
        (60 * SECOND - US, StalenessReason.FRESH),
        (60 * SECOND, StalenessReason.CLOCK_SKEW),
        (timedelta(days=400), StalenessReason.CLOCK_SKEW),
    ],
)
def test_last_updated_ahead_of_the_clock(ahead: timedelta, reason: StalenessReason) -> None:
    verdict = fresh(NOW + ahead, as_of=NOW + ahead)
    assert verdict.reason is reason
    assert verdict.hours_since_update == 0
    assert verdict.missed_sessions == 0


def test_clock_skew_comes_before_an_empty_provider() -> None:
    wednesday = datetime(2025, 6, 4, 20, tzinfo=UTC)
    assert fresh(NOW + 60 * SECOND, wednesday).reason is StalenessReason.CLOCK_SKEW
    assert fresh(NOW + 60 * SECOND - US, wednesday).reason is StalenessReason.PROVIDER_EMPTY


def test_without_bars_there_are_no_sessions_to_miss() -> None:
    verdict = fresh(NOW - 72 * HOUR, as_of=None)
    assert verdict.missed_sessions is None
    assert verdict.reason is StalenessReason.OVERDUE


THREE_DAYS = ExchangeCalendar(
    days=[date(2025, 6, 12), date(2025, 6, 13), date(2025, 6, 16)],
    opens=[datetime(2025, 6, day, 9, tzinfo=UTC) for day in (12, 13, 16)],
    closes=[datetime(2025, 6, day, 17, tzinfo=UTC) for day in (12, 13, 16)],
)


def test_what_the_calendar_cannot_tell_is_not_guessed() -> None:
    before = THREE_DAYS.closes[0] - US
    verdict = fresh(NOW, as_of=before, calendar=THREE_DAYS, now=NOW + 60 * HOUR)
    assert verdict.missed_sessions is None
    assert verdict.reason is StalenessReason.OVERDUE
    known = fresh(NOW, as_of=THREE_DAYS.closes[0], calendar=THREE_DAYS, now=THREE_DAYS.closes[-1] - US)
    assert known.missed_sessions == 1
    assert known.fresh_until == THREE_DAYS.closes[-1]
    assert replace(known, missed_sessions=None, reason=StalenessReason.OVERDUE, fresh_until=None) == replace(
        fresh(NOW, as_of=THREE_DAYS.closes[0], calendar=THREE_DAYS, now=THREE_DAYS.closes[-1]), fresh_until=None
    )


@pytest.mark.parametrize(
    ("age", "change"),
    [
        (timedelta(), 180 * SECOND),
        (47.96 * HOUR, 48 * HOUR + US),
        (48 * HOUR, 48 * HOUR + US),
        (48 * HOUR + US, 48.05 * HOUR),
        (48.46 * HOUR, 48.5 * HOUR),
        (167.96 * HOUR, 168 * HOUR),
        (191.96 * HOUR, 192 * HOUR),
        (-30 * SECOND, 180 * SECOND),
        (-60 * SECOND, -60 * SECOND + US),
        (-72 * HOUR, -60 * SECOND + US),
    ],
)
def test_fresh_until(age: timedelta, change: timedelta) -> None:
    assert fresh(NOW, as_of=NOW, now=NOW + age).fresh_until == NOW + change


def test_fresh_until_the_next_close() -> None:
    assert fresh(FRIDAYS_CLOSE - SECOND, CLOSE, now=FRIDAYS_CLOSE - US).fresh_until == FRIDAYS_CLOSE


def around(*marks: timedelta) -> st.SearchStrategy[timedelta]:
    """Durations on and within a few microseconds or minutes of a mark."""
    nudge = st.integers(-3, 3).map(lambda n: n * US) | st.timedeltas(-10 * 60 * SECOND, 10 * 60 * SECOND)
    return st.tuples(st.sampled_from(marks), nudge).map(lambda pair: pair[0] + pair[1])


closes = st.sampled_from(
    [
        datetime(2025, 6, 13, 20, tzinfo=UTC),
        datetime(2025, 6, 14, tzinfo=UTC),
        datetime(2025, 6, 16, 17, tzinfo=UTC),
        datetime(2025, 6, 17, tzinfo=UTC),
        datetime(2024, 11, 29, 18, tzinfo=UTC),
    ]
)
thresholds = st.just(THRESHOLD) | st.timedeltas(timedelta(), timedelta(days=10))
instants = st.tuples(closes, around(timedelta(), 7 * HOUR)).map(lambda pair: pair[0] + pair[1])
ages = around(timedelta(), -60 * SECOND, THRESHOLD, 48.5 * HOUR, 167.5 * HOUR, 168 * HOUR, 192 * HOUR) | st.timedeltas(
    timedelta(days=-3), timedelta(days=20)
)
lags = around(timedelta(), 24 * HOUR, 48 * HOUR) | st.timedeltas(timedelta(days=-3), timedelta(days=9))
calendars: st.SearchStrategy[TradingCalendar] = st.sampled_from([XNYS, CRYPTO, FOREX, THREE_DAYS])


def told(verdict: Freshness) -> dict[str, object]:
    return {field.name: getattr(verdict, field.name) for field in fields(verdict) if field.name != "fresh_until"}


@settings(max_examples=600, deadline=None)
@given(
    calendar=calendars,
    now=instants,
    age=ages,
    lag=lags,
    threshold=thresholds,
    outcome=st.none() | st.sampled_from(AttemptOutcome),
    share=st.floats(0, 1),
)
@example(
    calendar=THREE_DAYS,
    now=THREE_DAYS.closes[-1] - US,
    age=HOUR,
    lag=HOUR,
    threshold=THRESHOLD,
    outcome=None,
    share=0.5,
)
def test_a_verdict_holds_until_fresh_until_and_not_longer(
    calendar: TradingCalendar,
    now: datetime,
    age: timedelta,
    lag: timedelta,
    threshold: timedelta,
    outcome: AttemptOutcome | None,
    share: float,
) -> None:
    last_updated = now - age

    def at(instant: datetime) -> Freshness:
        return fresh(last_updated, last_updated - lag, outcome, calendar, threshold, instant)

    verdict = at(now)
    assert verdict.fresh_until is not None
    assert verdict.fresh_until > now
    last = verdict.fresh_until - US
    assert told(at(last)) == told(verdict)
    assert told(at(now + share * (last - now))) == told(verdict)
    assert told(at(verdict.fresh_until)) != told(verdict)
