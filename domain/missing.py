"""Which expected bars are missing, in runs, and why: by what is noted of a symbol, and by what others of its calendar hold.

A bar that others miss too, half of the witnesses at least, is the provider's. Witnesses are the symbols whose bars reach from
before it to after it; of bars shorter than a day only those that hold any of its UTC day, the symbol itself among them. A run
has the cause of most of its bars.

Where nobody else misses them there is the symbol's own day left. Five minutes or more of a day on which it has been traded
otherwise, while all witnesses were: an exchange halted it. Two minutes or more, but fewer than that, of a day of which it has
all else: too short for a halt and too long for a lack of trades, so the provider's again. Minutes of a symbol that is thinly
traded may have had no trade: UNKNOWN.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import overload

import numpy as np

from domain.bars import Interval
from domain.expected import Expected
from domain.gaps import Absence, GapCause, Mark, MissingInterval, Statistics
from domain.held import Bits, Held, Numbers, day_number, places_a_day
from domain.hours import DAY, MINUTE

HALT_SECONDS = 5 * MINUTE
LIVELY, RELENTLESS = 0.9, 0.99
"""How much there must be of the rest of a day, for a halt and for a hole. Of a symbol that is not traded in one minute of a
hundred, two in a row go without a trade once in a month."""
_CAUSES = list(GapCause)
_UNKNOWN = _CAUSES.index(GapCause.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Subject:
    """A symbol's bars and what is noted of them. `never_closes`: it trades round the clock, so that what a provider does not
    have of it is a hole; of others only a whole day is. `may_halt`: it trades on an exchange."""

    held: Held
    absences: Sequence[Absence]
    mark: Mark | None
    never_closes: bool
    may_halt: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of each expected bar: how many witnesses it has, and how many of them miss it. Worked out for the days in question."""

    witnesses: Numbers
    missing: Numbers


class Runs(Sequence[MissingInterval]):
    """In the order of time. Each is made when it is asked for: there may be very many."""

    def __init__(self, starts: Numbers, ends: Numbers, trading_days: Numbers, causes: Numbers) -> None:
        self._columns = starts, ends, trading_days, causes

    def __len__(self) -> int:
        return len(self._columns[0])

    @overload
    def __getitem__(self, place: int) -> MissingInterval: ...
    @overload
    def __getitem__(self, place: slice) -> "Runs": ...
    def __getitem__(self, place: int | slice) -> "MissingInterval | Runs":
        if isinstance(place, slice):
            return Runs(*(column[place] for column in self._columns))
        start, end, trading_days, cause = (int(column[place]) for column in self._columns)
        return MissingInterval(_instant(start), _instant(end), trading_days, _CAUSES[cause])


def missing(held: Held, expected: Expected) -> Numbers:
    """The indices of the expected bars between the first and the last that are not held."""
    first, last = np.searchsorted(expected.places, held.first), np.searchsorted(expected.places, held.last, side="right")
    width = places_a_day(held.interval)
    begins = held.first // width
    bits = held.on(range(begins, held.last // width + 1)).ravel()
    return first + np.flatnonzero(~bits[expected.places[first:last] - begins * width])


def days_of(absent: Sequence[Numbers], expected: Expected, interval: Interval) -> list[int]:
    """On which bars are missing."""
    together = np.concatenate(absent) if absent else np.empty(0, np.int64)
    return [int(day) for day in np.unique(expected.places[together] // places_a_day(interval))]


def evidence(days: Collection[int], peers: Sequence[Held], expected: Expected) -> Evidence:
    """Of the expected bars of these days."""
    found = Evidence(np.zeros(len(expected.places), np.int64), np.zeros(len(expected.places), np.int64))
    if not peers:
        return found
    width = places_a_day(peers[0].interval)
    firsts, lasts = (
        np.array([[bound] for bound in bounds]) for bounds in zip(*((p.first, p.last) for p in peers), strict=True)
    )
    for day in days:
        own = slice(*np.searchsorted(expected.places, (day * width, (day + 1) * width)))
        places = expected.places[own]
        bits = np.concatenate([peer.on([day]) for peer in peers])[:, places - day * width]
        speaks = (firsts <= places) & (places <= lasts)
        if peers[0].interval is not Interval.ONE_DAY:
            speaks &= bits.any(axis=1, keepdims=True)
        found.witnesses[own] = speaks.sum(axis=0)
        found.missing[own] = (speaks & ~bits).sum(axis=0)
    return found


def statistics(subject: Subject, absent: Numbers, expected: Expected, seen: Evidence, now: datetime) -> Statistics:
    """`absent` are the expected bars that the symbol misses."""
    days, span = subject.held.days, subject.held.span
    return Statistics(
        count=days.count,
        start=span.start,
        end=span.end,
        validated=days.validated,
        price_gaps=days.price_gaps,
        expected=len(expected.cut(subject.held.first, subject.held.last).places),
        absent=len(absent),
        missing=_runs(subject, absent, expected, seen, now) if len(absent) else (),
    )


@dataclass(frozen=True, slots=True)
class _Days:
    """Of each missing bar: its trading day's number, and how many bars of that day are expected and how many missing."""

    numbers: Numbers
    expected: Numbers
    missing: Numbers


def _days(held: Held, absent: Numbers, expected: Expected) -> _Days:
    first, last = np.searchsorted(expected.places, held.first), np.searchsorted(expected.places, held.last, side="right")
    ends = expected.ends[first:last]
    numbers = np.cumsum(np.diff(ends, prepend=ends[:1]) != 0)
    of_absent = numbers[absent - first]
    return _Days(of_absent, np.bincount(numbers)[of_absent], np.bincount(of_absent)[of_absent])


def _runs(subject: Subject, absent: Numbers, expected: Expected, seen: Evidence, now: datetime) -> Runs:
    """Of bars that are expected one after the other, also across a night."""
    days = _days(subject.held, absent, expected)
    begins = np.flatnonzero(np.diff(absent, prepend=-2) != 1)
    ends = np.append(begins[1:], len(absent)) - 1
    opens, closes = expected.opens[absent[begins]], expected.closes[absent[ends]]
    causes = _of_most(_causes(subject, absent, expected, seen, days, now), begins)
    if subject.held.interval is not Interval.ONE_DAY:
        is_alone = np.logical_and.reduceat((seen.missing[absent] == 1) & (seen.witnesses[absent] > 1), begins)
        is_long = closes - opens >= HALT_SECONDS
        is_halt = subject.may_halt & is_long & is_alone & _are_within(days, begins, ends, LIVELY)
        is_hole = ~is_long & (ends > begins) & _are_within(days, begins, ends, RELENTLESS)
        for cause, is_of_it in ((GapCause.HALT, is_halt), (GapCause.PROVIDER_HOLE, is_hole)):
            causes[(causes == _UNKNOWN) & is_of_it] = _CAUSES.index(cause)
    return Runs(opens, closes, days.numbers[ends] - days.numbers[begins] + 1, causes)


def _causes(subject: Subject, absent: Numbers, expected: Expected, seen: Evidence, days: _Days, now: datetime) -> Numbers:
    """What is noted of the symbol itself goes before what others tell."""
    causes = np.full(len(absent), _UNKNOWN)
    is_theirs = (seen.missing[absent] > 1) & (2 * seen.missing[absent] >= seen.witnesses[absent])
    causes[is_theirs] = _CAUSES.index(GapCause.PROVIDER_HOLE)
    own_days = (expected.ends[absent] - 1) // DAY
    for absence in subject.absences:
        covered = (own_days >= day_number(absence.first)) & (own_days <= day_number(absence.last))
        if absence.cause is GapCause.PROVIDER_HOLE and not subject.never_closes:
            covered &= days.expected == days.missing
        if absence.cause is GapCause.FETCH_FAILED or now < absence.expires_at:
            causes[covered] = _CAUSES.index(absence.cause)
    if subject.mark is not None:
        never_asked = expected.opens[absent] >= subject.mark.attempted_until.timestamp()
        causes[never_asked] = _CAUSES.index(GapCause.FETCH_FAILED)
    return causes


def _of_most(causes: Numbers, begins: Numbers) -> Numbers:
    """The one of most bars of each run; of two that are of as many the one that is named first."""
    counts = [np.add.reduceat((causes == cause).astype(np.int64), begins) for cause in range(len(_CAUSES))]
    most: Numbers = np.argmax(counts, axis=0)
    return most


def _are_within(days: _Days, begins: Numbers, ends: Numbers, share: float) -> Bits:
    """Which runs lie within one day, of whose other bars such a share is held."""
    expected, held = days.expected[begins], (days.expected - days.missing)[begins]
    is_held: Bits = (held > 0) & (held >= share * (expected - (ends - begins + 1)))
    is_one_day: Bits = days.numbers[begins] == days.numbers[ends]
    return is_held & is_one_day


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
