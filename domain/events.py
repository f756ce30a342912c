"""What happened: frozen facts, appended in the transaction that made them true, numbered in commit order."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from domain.onboarding import OnboardingJob
from domain.session import TradingSession
from domain.symbols import Symbol


class SymbolChangeKind(Enum):
    """The values are what the database holds."""

    ADDED = "added"
    UPDATED = "updated"
    REFRESH_STARTED = "refresh_started"
    REFRESHED = "refreshed"
    REFRESH_FAILED = "refresh_failed"
    REMOVED = "removed"
    BACKFILL_STARTED = "backfill_started"
    BACKFILLED = "backfilled"
    STATUS_CHANGED = "status_changed"
    SPLIT = "split"


@dataclass(frozen=True, slots=True)
class SymbolChanged:
    """`occurred_at` is market time; `detail` says for a person why, where there is more to say than the kind."""

    kind: SymbolChangeKind
    ticker: str
    occurred_at: datetime
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class OnboardingAdvanced:
    """A step of an onboarding: queued, taken up, a phase finished, ended. `job` is as it was then."""

    job: OnboardingJob
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class SessionMoved:
    """A new epoch of the session, as it was then, and why it began."""

    session: TradingSession
    cause: str
    occurred_at: datetime


Event = SymbolChanged | OnboardingAdvanced | SessionMoved


@dataclass(frozen=True, slots=True)
class Position:
    """A place in one event log: `number` events of the log `log_id` lie before what comes next."""

    log_id: str
    number: int


@dataclass(frozen=True, slots=True)
class LoggedChange:
    """A change, where it stands in the log, and its symbol as it was when the log was read."""

    position: Position
    event: SymbolChanged
    symbol: Symbol


@dataclass(frozen=True, slots=True)
class LoggedStep:
    """A step of an onboarding, and where it stands in the log."""

    position: Position
    event: OnboardingAdvanced


@dataclass(frozen=True, slots=True)
class LoggedMove:
    """A new epoch of the session, and where it stands in the log."""

    position: Position
    event: SessionMoved


Logged = LoggedChange | LoggedStep | LoggedMove
