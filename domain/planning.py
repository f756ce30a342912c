"""What to ask a provider for: what the calendar expects and is over, less what is held and what it is known not to have.

Instants are whole epoch seconds, as in `hours`. A trading day is asked for as a whole or not at all.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

import numpy as np

from domain.bars import Interval
from domain.calendars import OutOfCalendar, TradingCalendar
from domain.gaps import Absence, GapCause, Mark
from domain.hours import Hours, Instants
from domain.ports import Reach

RECENT_DAYS = 5
"""The newest trading days, which providers still mend: what is missing of them is asked for again soon, and by the schedule
also what is held."""
AT_ONCE_DAYS = {Interval.ONE_MINUTE: 10, Interval.ONE_DAY: 3650}
"""However many days a provider would give: the bars of one answer are one transaction, and others wait for it."""
HOLE_EXPIRES, RECENT_EXPIRES, NOT_LISTED_EXPIRES = timedelta(days=7), timedelta(days=1), timedelta(days=30)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """A trading day of which bars are over: when each of them opens, and when the last closes. `closes` is the day's own."""

    day: date
    begins: int
    opens: Instants
    ends: int
    closes: int

    @property
    def starts_on(self) -> date:
        """The UTC date on which its trading begins: that of an eve, if it has one."""
        return _instant(self.begins).date()

    def missing(self, held: Instants) -> Instants:
        """The opens that are not among those held, which are in order."""
        first, last = np.searchsorted(held, (self.opens[0], self.opens[-1] + 1))
        return np.setdiff1d(self.opens, held[first:last], assume_unique=True)


@dataclass(frozen=True, slots=True)
class Request:
    """Trading days that follow each other, oldest first."""

    days: tuple[Day, ...]

    @property
    def first(self) -> date:
        return self.days[0].day

    @property
    def last(self) -> date:
        return self.days[-1].day

    @property
    def starts_on(self) -> date:
        return self.days[0].starts_on

    @property
    def begins(self) -> int:
        return self.days[0].begins

    @property
    def ends(self) -> int:
        return self.days[-1].ends

    @property
    def until(self) -> datetime:
        return _instant(self.ends)

    @property
    def expected(self) -> int:
        return sum(len(day.opens) for day in self.days)


@dataclass(frozen=True, slots=True)
class Plan:
    """`days` are all that are wanted, oldest first; `requests` the newest first; `missing` how many bars each day lacks that is
    asked for and lacks some. `beyond` are days that lack some and that the provider does not go back to."""

    interval: Interval
    days: Sequence[Day]
    requests: Sequence[Request]
    missing: Mapping[date, int]
    beyond: Sequence[Day]

    def mark(self, ticker: str, first_held: int | None, known: Mark | None, hours: Hours) -> Mark | None:
        """When all requests have been answered; None when nothing is expected of the days, or nothing can be asked of them."""
        if not self.days or (self.beyond and not self.requests):
            return None
        ends = _instant(self.days[-1].ends)
        known_from = _seconds(known.complete_until) if known is not None and known.complete_until is not None else first_held
        is_complete = known_from is not None and self._begins_by(known_from, hours) and not self._lacks_since(first_held)
        return Mark(ticker, self.interval, ends if is_complete else None, ends)

    def _begins_by(self, instant: int, hours: Hours) -> bool:
        """Whether nothing is expected between an instant and the first day."""
        with suppress(OutOfCalendar):
            return not len(hours.expected(self.interval, instant, self.days[0].begins))
        return False

    def _lacks_since(self, first_held: int | None) -> bool:
        return first_held is not None and any(day.ends > first_held for day in self.beyond)


def fetched_as(interval: Interval) -> Interval:
    """What is asked for to have bars of an interval: those between a minute and a day are made of minutes."""
    return interval if interval is Interval.ONE_DAY else Interval.ONE_MINUTE


def expected_days(
    calendar: TradingCalendar, hours: Hours, interval: Interval, first: date, last: date, now: datetime
) -> list[Day]:
    """The trading days from `first` to `last` of which bars are over, oldest first; of those that the calendar knows."""
    # A trading day may be a date ahead of the instant at which it begins.
    dates = (first + n * _DAY for n in range((min(last, now.date() + _DAY) - first).days + 1))
    return [day for each in dates for day in _expected(calendar, hours, interval, each, now)]


def _expected(calendar: TradingCalendar, hours: Hours, interval: Interval, date: date, now: datetime) -> Iterator[Day]:
    with suppress(OutOfCalendar):
        traded = calendar.trading_day(date)
        if traded is None:
            return
        begins, closes = _seconds(traded.open - traded.eve), _seconds(traded.close)
        rows = hours.expected(interval, begins, min(closes, _seconds(now)))
        if len(rows):
            yield Day(date, begins, rows[:, 0], int(rows[-1, 1]), closes)


def recent_since(calendar: TradingCalendar, now: datetime) -> date:
    """The first of the newest trading days; of a calendar that has ended, its last day."""
    with suppress(OutOfCalendar):
        return calendar.days_back(now.date(), RECENT_DAYS - 1)
    return now.date()


def blocked(days: Sequence[Day], absences: Sequence[Absence], provider: str, now: datetime) -> set[date]:
    """The days that the provider is known, for now, not to have."""
    known = [
        each
        for each in absences
        if each.provider == provider and each.cause is not GapCause.FETCH_FAILED and each.expires_at > now
    ]
    return {day.day for day in days if any(each.first <= day.day <= each.last for each in known)}


def plan(
    interval: Interval,
    days: Sequence[Day],
    held: Instants,
    absent: set[date],
    reach: Reach | None,
    now: datetime,
    again_since: date | None = None,
) -> Plan:
    """`absent` are not asked for; the days `again_since` one are, whatever is held or known of them. Without a reach there is
    nothing to be asked."""
    lacking = [len(day.missing(held)) for day in days]
    is_again = [again_since is not None and day.day >= again_since for day in days]
    wanted = [again or (lacks > 0 and day.day not in absent) for day, lacks, again in zip(days, lacking, is_again, strict=True)]
    earliest = _earliest(reach, now)
    asked = [number for number, day in enumerate(days) if wanted[number] and day.starts_on >= earliest]
    beyond = [day for number, day in enumerate(days) if wanted[number] and lacking[number] and day.starts_on < earliest]
    requests = [Request(tuple(days[number] for number in run)) for run in _runs(days, asked, _at_once(interval, reach))]
    return Plan(interval, days, requests, {days[number].day: lacking[number] for number in asked if lacking[number]}, beyond)


def _earliest(reach: Reach | None, now: datetime) -> date:
    if reach is None:
        return date.max
    return now.date() - timedelta(days=reach.days_back) if reach.days_back is not None else date.min


def _at_once(interval: Interval, reach: Reach | None) -> int:
    most = AT_ONCE_DAYS[interval]
    return min(most, reach.days_at_once) if reach is not None and reach.days_at_once is not None else most


def _runs(days: Sequence[Day], asked: Sequence[int], at_once: int) -> Iterator[range]:
    """The newest first, each of trading days that follow each other, within so many calendar days."""
    rest = list(asked)
    while rest:
        last = first = rest.pop()
        while rest and rest[-1] == first - 1 and (days[last].day - days[rest[-1]].starts_on).days < at_once:
            first = rest.pop()
        yield range(first, last + 1)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked for what, and when."""

    ticker: str
    interval: Interval
    provider: str
    at: datetime


def absences(asked: Asked, request: Request, held: Instants, recent: date, listed_since: int | None) -> list[Absence]:
    """What a provider that has answered did not give, with `held` as it is now. Days that ended before `listed_since` are of a
    time in which nobody traded it."""

    def absence(day: Day) -> Absence:
        is_unlisted = listed_since is not None and day.ends <= listed_since
        cause = GapCause.NOT_LISTED if is_unlisted else GapCause.PROVIDER_HOLE
        return _absence(asked, day, cause, _expiry(day, asked.at, is_unlisted, day.day >= recent))

    return _joined(request, [absence(day) for day in request.days if len(day.missing(held))])


def unfetched(asked: Asked, request: Request, missing: Collection[date]) -> list[Absence]:
    """What a provider could not be asked for: it may be at any time."""
    lacking = [day for day in request.days if day.day in missing]
    return _joined(request, [_absence(asked, day, GapCause.FETCH_FAILED, asked.at) for day in lacking])


def _absence(asked: Asked, day: Day, cause: GapCause, expires_at: datetime) -> Absence:
    return Absence(asked.ticker, asked.interval, asked.provider, day.day, day.day, cause, asked.at, expires_at)


def _expiry(day: Day, at: datetime, is_unlisted: bool, is_recent: bool) -> datetime:
    """A day that is still traded is asked for again when it is over."""
    if is_unlisted:
        return at + NOT_LISTED_EXPIRES
    if not is_recent:
        return at + HOLE_EXPIRES
    closes = _instant(day.closes)
    return min(at + RECENT_EXPIRES, closes) if closes > at else at + RECENT_EXPIRES


def _joined(request: Request, each: Sequence[Absence]) -> list[Absence]:
    """Those of trading days that follow each other as one, where they are alike."""
    places = {day.day: number for number, day in enumerate(request.days)}
    numbered = list(enumerate(each))
    runs = groupby(numbered, lambda one: (places[one[1].first] - one[0], one[1].cause, one[1].expires_at))
    found = [[absence for _, absence in run] for _, run in runs]
    return [replace(run[0], last=run[-1].last) for run in found]


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
