"""Bars that ought to be there and are not, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum

from domain.bars import Interval


class GapCause(Enum):
    """The values are what the database holds."""

    PROVIDER_HOLE = "provider_hole"
    HALT = "halt"
    NOT_LISTED = "not_listed"
    FETCH_FAILED = "fetch_failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class MissingInterval:
    """A run of expected bars that are missing, from the open of the first to the close of the last."""

    start: datetime
    end: datetime
    trading_days: int
    cause: GapCause


@dataclass(frozen=True, slots=True)
class Absence:
    """Days that a provider was asked for, and of which it did not give all that the calendar expects: it is not asked for them
    again before `expires_at`, market time. FETCH_FAILED: it did not answer, and may be asked at any time."""

    ticker: str
    interval: Interval
    provider: str
    first: date
    last: date
    cause: GapCause
    observed_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Mark:
    """How far an interval of a symbol is known: all that is expected from its first bar up to `complete_until` is held or known
    to be absent, and nothing later than `attempted_until` was ever asked for. Neither goes back, or beyond the clock."""

    ticker: str
    interval: Interval
    complete_until: datetime | None
    attempted_until: datetime


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of a symbol's bars of one interval: `start` is the open of the first, `end` the close of the last. So many are expected
    between the two, and so many of these `absent`: those of the runs that are `missing`."""

    count: int = 0
    start: datetime | None = None
    end: datetime | None = None
    validated: int = 0
    price_gaps: int = 0
    expected: int = 0
    absent: int = 0
    missing: Sequence[MissingInterval] = ()

    @property
    def validation_rate(self) -> float:
        return self.validated / self.count if self.count else 0.0

    @property
    def coverage(self) -> float:
        """Of what is expected between the first and the last."""
        return 1 - self.absent / self.expected if self.expected else 0.0
