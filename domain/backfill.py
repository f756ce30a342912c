"""The backfill of a symbol: what is wanted of it, how far that has got, and how it ended.

A symbol has one, for ever: what is asked for next takes the place of what has ended. What has been stored is not noted here; a
worker that takes over plans anew from what is missing.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import Enum, IntEnum

from domain.bars import Interval

MAX_ATTEMPTS = 3
MAX_LAPSES = 5
"""Workers that may die over one backfill before it is given up: it may be what kills them."""
SUSPECT_AFTER_DAYS = 3
"""Trading days on which a provider that is well had nothing of the symbol, before it becomes SUSPECT."""


class BackfillStatus(Enum):
    """The values are what the database holds."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"


class Priority(IntEnum):
    """Who is served first; then by ticker."""

    SCHEDULED = 0
    HELD = 1
    """By the schedule too, and a portfolio holds it."""
    ASKED_FOR = 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """The trading days from `first` to `last`, of one interval: daily bars, or minutes with the longer bars made of them."""

    interval: Interval
    first: date
    last: date

    def __str__(self) -> str:
        return f"{self.interval.value} from {self.first} to {self.last}"


@dataclass(frozen=True, slots=True)
class Backfill:
    """Times are market time. PENDING without anything `wanted`: never asked for. `expected` is how many bars the calendar
    expected that were missing, `received` how many the provider gave of the days asked for, `records_inserted` how many of them
    were new, all three of the present or last one. `failed_days` counts the trading days in a row, the last of them
    `failed_on`, on which a provider that is well had nothing."""

    ticker: str
    status: BackfillStatus = BackfillStatus.PENDING
    wanted: tuple[Wanted, ...] = ()
    started_by: str | None = None
    priority: Priority = Priority.SCHEDULED
    error: str | None = None
    queued_at: datetime | None = None
    last_attempt_at: datetime | None = None
    last_success_at: datetime | None = None
    expected: int = 0
    received: int = 0
    records_inserted: int | None = None
    attempts: int = 0
    lapses: int = 0
    failed_days: int = 0
    failed_on: date | None = None

    @property
    def is_active(self) -> bool:
        return self.status is BackfillStatus.IN_PROGRESS or (self.status is BackfillStatus.PENDING and bool(self.wanted))

    @property
    def is_scheduled(self) -> bool:
        return self.priority is not Priority.ASKED_FOR

    @property
    def is_last_attempt(self) -> bool:
        return self.attempts >= MAX_ATTEMPTS

    @property
    def is_suspicious(self) -> bool:
        return self.failed_days >= SUSPECT_AFTER_DAYS

    def asked_for(self, wanted: tuple[Wanted, ...], started_by: str, priority: Priority, now: datetime) -> "Backfill":
        """Queued. What the one before left behind is forgotten, but for when it was tried and when it succeeded."""
        return Backfill(
            ticker=self.ticker,
            wanted=wanted,
            started_by=started_by,
            priority=priority,
            queued_at=now,
            last_attempt_at=self.last_attempt_at,
            last_success_at=self.last_success_at,
            failed_days=self.failed_days,
            failed_on=self.failed_on,
        )

    def claimed(self, now: datetime) -> "Backfill":
        """Taken up: as a new attempt, or, when its worker died, as the same one."""
        is_new = self.status is BackfillStatus.PENDING
        return replace(
            self,
            status=BackfillStatus.IN_PROGRESS,
            attempts=self.attempts + is_new,
            lapses=self.lapses + (not is_new),
            last_attempt_at=now,
            error=None,
        )

    def expecting(self, missing: int) -> "Backfill":
        """With so many missing: whoever takes it over finds fewer."""
        return replace(self, expected=self.expected or missing)

    def stored(self, received: int, inserted: int) -> "Backfill":
        """With so many bars more."""
        return replace(self, received=self.received + received, records_inserted=(self.records_inserted or 0) + inserted)

    def postponed(self, error: str, *, counts: bool = True) -> "Backfill":
        """Back in the queue. One that waits for its provider's budget has not had its attempt."""
        return replace(self, status=BackfillStatus.PENDING, error=error, attempts=self.attempts - (not counts))

    def completed(self, now: datetime) -> "Backfill":
        return replace(
            self,
            status=BackfillStatus.COMPLETED,
            error=None,
            last_success_at=now,
            records_inserted=self.records_inserted or 0,
        )

    def failed(self, error: str) -> "Backfill":
        return replace(self, status=BackfillStatus.FAILED, error=error)

    def found_something(self) -> "Backfill":
        """A provider has newest bars of the symbol."""
        return replace(self, failed_days=0, failed_on=None)

    def found_nothing_on(self, day: date) -> "Backfill":
        """A provider that is well had nothing of the symbol on a trading day: counted once a day."""
        return self if self.failed_on == day else replace(self, failed_days=self.failed_days + 1, failed_on=day)
