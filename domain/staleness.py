"""How fresh a symbol is: a verdict computed on every read, never stored.

Ages are whole microseconds, the resolution of a datetime, so that every boundary is exact: at the threshold a symbol is
fresh, one microsecond later it is stale.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from domain.calendars import OutOfCalendar, TradingCalendar

_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000
_HOUR = 3_600 * _SECOND
_TENTH = _HOUR // 10
_DAY = 24 * _HOUR
_WEEK = 7 * _DAY
_SKEW = 60 * _SECOND


class AttemptOutcome(Enum):
    """How a refresh ended; FAILED: for no fault of the provider. The values are what the database holds."""

    SUCCEEDED = "succeeded"
    RATE_LIMITED = "rate_limited"
    DOWN = "down"
    EMPTY = "empty"
    FAILED = "failed"


class StalenessReason(Enum):
    FRESH = "fresh"
    NEVER_UPDATED = "never_updated"
    MARKET_CLOSED = "market_closed"
    PROVIDER_RATE_LIMITED = "provider_rate_limited"
    PROVIDER_EMPTY = "provider_empty"
    PROVIDER_DOWN = "provider_down"
    OVERDUE = "overdue"
    CLOCK_SKEW = "clock_skew"


@dataclass(frozen=True, slots=True)
class Freshness:
    """The verdict at one instant. At `fresh_until`, and not before, the passing of time alone changes another field.

    `hours_since_update` is rounded to 0.1, half up. `missed_sessions` counts the trading days closed since `as_of`;
    None when never updated, when there is no `as_of`, or when the calendar cannot tell.
    """

    is_stale: bool
    hours_since_update: float | None
    message: str | None
    reason: StalenessReason
    fresh_until: datetime | None
    missed_sessions: int | None


NEVER_UPDATED = Freshness(
    is_stale=True,
    hours_since_update=None,
    message="Never updated",
    reason=StalenessReason.NEVER_UPDATED,
    fresh_until=None,
    missed_sessions=None,
)

_MET: dict[AttemptOutcome | None, StalenessReason] = {
    AttemptOutcome.RATE_LIMITED: StalenessReason.PROVIDER_RATE_LIMITED,
    AttemptOutcome.DOWN: StalenessReason.PROVIDER_DOWN,
    AttemptOutcome.EMPTY: StalenessReason.PROVIDER_EMPTY,
}


def assess(
    *,
    last_updated: datetime | None,
    as_of: datetime | None,
    last_outcome: AttemptOutcome | None,
    calendar: TradingCalendar,
    threshold: timedelta,
    now: datetime,
) -> Freshness:
    """The freshness at `now` of a symbol last refreshed at `last_updated`, when its newest bar closed at `as_of`.

    Stale is an age above `threshold`, which is not negative. What the calendar cannot tell is held against nobody: the
    symbol is then neither PROVIDER_EMPTY for the days it lacks nor MARKET_CLOSED.
    """
    if last_updated is None:
        return NEVER_UPDATED
    age = age_of(last_updated, now)
    limit = threshold // _MICROSECOND
    elapsed = max(age, 0)
    is_stale = age > limit
    missed = _closed_since(as_of, now, calendar)
    lacked = _closed_since(as_of, last_updated, calendar)
    changes_at = last_updated + _next_change(age, limit) * _MICROSECOND
    if as_of is not None and missed is not None:
        changes_at = min(changes_at, calendar.next_close(max(as_of, now)) or changes_at)
    return Freshness(
        is_stale=is_stale,
        hours_since_update=hours(elapsed),
        message=_message(elapsed) if is_stale else None,
        reason=_reason(age, is_stale, lacked, missed, last_outcome),
        fresh_until=changes_at,
        missed_sessions=missed,
    )


def age_of(last_updated: datetime, now: datetime) -> int:
    """In microseconds; negative when the clock has been set back."""
    return (now - last_updated) // _MICROSECOND


def hours(age: int) -> float:
    """Of an age in microseconds, rounded to 0.1, half up."""
    return _half_up(age, _TENTH) / 10


def _reason(
    age: int, is_stale: bool, lacked: int | None, missed: int | None, last_outcome: AttemptOutcome | None
) -> StalenessReason:
    """`lacked` is how many trading days the provider already owed when it last answered."""
    if age <= -_SKEW:
        return StalenessReason.CLOCK_SKEW
    if lacked is not None and lacked >= 2:
        return StalenessReason.PROVIDER_EMPTY
    if not is_stale:
        return StalenessReason.FRESH
    return _MET.get(last_outcome, StalenessReason.MARKET_CLOSED if missed == 0 else StalenessReason.OVERDUE)


def _message(elapsed: int) -> str:
    period = f"{_half_up(elapsed, _HOUR)}h" if elapsed < _WEEK else f"{elapsed // _DAY} days"
    return f"Data is {period} old - may be outdated"


def _next_change(age: int, limit: int) -> int:
    """The first later age at which the hours, the threshold, the message or the skew change."""
    if age <= -_SKEW:
        return 1 - _SKEW
    hours = _next_half_up(age, _TENTH)  # a minute ahead still rounds to 0
    if age <= limit:
        return min(hours, limit + 1)
    if age < _WEEK:
        return min(hours, _next_half_up(age, _HOUR), _WEEK)
    return min(hours, (age // _DAY + 1) * _DAY)


def _closed_since(as_of: datetime | None, until: datetime, calendar: TradingCalendar) -> int | None:
    try:
        return None if as_of is None else calendar.closed_between(as_of, until)
    except OutOfCalendar:
        return None


def _half_up(amount: int, unit: int) -> int:
    return (amount + unit // 2) // unit


def _next_half_up(amount: int, unit: int) -> int:
    """The smallest larger amount that rounds to another number of units."""
    return (_half_up(amount, unit) + 1) * unit - unit // 2
