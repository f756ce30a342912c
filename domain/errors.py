"""Expected refusals: answers, not faults. Each carries what a caller needs to act on it.

Refusal
├── InvalidTicker          the text is no ticker
├── SymbolNotFound         never tracked, or unknown to the provider
├── VersionConflict        somebody changed it first
├── AlreadyRefreshing      one refresh at a time
├── NoData                 the provider answered, and has nothing
├── ProviderUnavailable    the provider did not answer, or refused to
├── InvalidTickers         several texts are no tickers
├── QueueFull              the onboarding queue has no room for that many
├── JobNotFound            there never was such a job, or it is forgotten
├── JobNotRetryable        it is under way, or it has succeeded
├── JobNotCancellable      it has ended
├── AlreadyBackfilling     one backfill of a symbol at a time
├── InvalidRange           days that cannot be backfilled
├── InvalidPortfolio       the file has mistakes
├── PortfolioNotFound      there is none, or it was removed
├── SessionNotRunning      a command to a session that nobody runs
├── InvalidSession         such a session cannot be run, or not now
├── CursorExpired          the event log cannot be resumed from here
├── SlowSubscriber         a reader fell too far behind to be served
├── InvalidArgument        a query asks for what cannot be
├── StoreUnavailable       the database does not answer; nothing was changed
│   └── ChangeInDoubt      it stopped answering at the commit, and cannot be asked what became of it
└── ClockReplaced          this process runs on a clock that its database has left
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from domain.onboarding import OnboardingJob
    from domain.portfolio_csv import RowError


class Refusal(Exception):
    """`code` is stable and machine-readable; str() is one sentence for a person."""

    code: str

    @property
    def message(self) -> str:
        return str(self)


@dataclass(frozen=True)
class RefreshInFlight:
    """The refresh of a symbol that is under way; `started_by` is api, cli, schedule or onboarding."""

    ticker: str
    started_at: datetime
    started_by: str | None


@dataclass(eq=False)
class InvalidTicker(Refusal):
    ticker: str
    reason: str
    suggestions: tuple[str, ...] = ()
    code = "INVALID_TICKER"

    def __str__(self) -> str:
        hint = f" Did you mean {' or '.join(self.suggestions)}?" if self.suggestions else ""
        return f"{self.ticker!r} is not a ticker: {self.reason}.{hint}"


@dataclass(eq=False)
class SymbolNotFound(Refusal):
    ticker: str
    detail: str = "is not tracked"
    code = "SYMBOL_NOT_FOUND"

    def __str__(self) -> str:
        return f"{self.ticker} {self.detail}."


@dataclass(eq=False)
class VersionConflict(Refusal):
    """Of a symbol, named by its ticker, or of another `subject` that is named for a person. `expected` is None when the caller
    gave none where one is required."""

    subject: str
    expected: int | None
    current: int
    detail: str = ""
    code = "VERSION_CONFLICT"

    def __str__(self) -> str:
        if self.detail:
            return f"{self.subject} {self.detail}; its version is {self.current}."
        return f"{self.subject} was changed meanwhile: expected version {self.expected}, it is {self.current}."


@dataclass(eq=False)
class AlreadyRefreshing(Refusal):
    refresh: RefreshInFlight
    code = "ALREADY_REFRESHING"

    def __str__(self) -> str:
        by = f" by {self.refresh.started_by}" if self.refresh.started_by else ""
        return f"{self.refresh.ticker} is already being refreshed, since {self.refresh.started_at:%Y-%m-%dT%H:%M:%SZ}{by}."


@dataclass(eq=False)
class NoData(Refusal):
    ticker: str
    provider: str
    code = "NO_DATA"

    def __str__(self) -> str:
        return f"{self.provider} answered and has no bar of {self.ticker} in the range asked for."


@dataclass(eq=False)
class InvalidTickers(Refusal):
    refusals: tuple[InvalidTicker, ...]
    code = "INVALID_TICKERS"

    @property
    def tickers(self) -> list[str]:
        return [refusal.ticker for refusal in self.refusals]

    def __str__(self) -> str:
        return " ".join(str(refusal) for refusal in self.refusals)


@dataclass(eq=False)
class QueueFull(Refusal):
    """Nothing of what was asked for is queued; `asked` new jobs would have been needed."""

    depth: int
    max_depth: int
    asked: int
    retry_after_seconds: int
    code = "QUEUE_FULL"

    def __str__(self) -> str:
        if self.asked > self.max_depth:
            return f"{self.asked} symbols were asked for, and the queue holds {self.max_depth}; ask for fewer at a time."
        return (
            f"The queue holds {self.depth} of at most {self.max_depth} and has no room for {self.asked} more; try again in "
            f"{self.retry_after_seconds} s."
        )


@dataclass(eq=False)
class JobNotFound(Refusal):
    job_id: str
    code = "JOB_NOT_FOUND"

    def __str__(self) -> str:
        return "There is no onboarding job with that id; ended ones are kept for 30 days."


@dataclass(eq=False)
class JobNotRetryable(Refusal):
    job: "OnboardingJob"
    code = "JOB_NOT_RETRYABLE"

    def __str__(self) -> str:
        is_so = f"The onboarding of {self.job.ticker} is {self.job.status.value}"
        return f"{is_so}; one that failed, is partial or was cancelled can be retried."


@dataclass(eq=False)
class JobNotCancellable(Refusal):
    job: "OnboardingJob"
    code = "JOB_NOT_CANCELLABLE"

    def __str__(self) -> str:
        is_so = f"The onboarding of {self.job.ticker} is {self.job.status.value} already"
        return f"{is_so}; one that is pending or under way can be cancelled."


@dataclass(eq=False)
class AlreadyBackfilling(Refusal):
    ticker: str
    detail: str = "is being backfilled already; what is wanted beyond that can be asked for when it has ended"
    code = "ALREADY_BACKFILLING"

    def __str__(self) -> str:
        return f"{self.ticker} {self.detail}."


@dataclass(eq=False)
class InvalidRange(Refusal):
    sentence: str
    code = "INVALID_RANGE"

    def __str__(self) -> str:
        return self.sentence


@dataclass(eq=False)
class InvalidPortfolio(Refusal):
    """Every mistake of the file, in the order of its lines; nothing of it is imported."""

    errors: "tuple[RowError, ...]"
    code = "INVALID_PORTFOLIO"

    def __str__(self) -> str:
        first, count = self.errors[0], len(self.errors)
        where = f"line {first.line}" + (f", {first.column}" if first.column else "")
        more = f" (the first of {count:,} mistakes)" if count > 1 else ""
        return f"The file cannot be imported. At {where}: {first.message}{more}"


@dataclass(eq=False)
class PortfolioNotFound(Refusal):
    """`portfolio` is the id or the name that was asked for."""

    portfolio: str
    code = "PORTFOLIO_NOT_FOUND"

    def __str__(self) -> str:
        return f"There is no portfolio {self.portfolio!r}."


@dataclass(eq=False)
class SessionNotRunning(Refusal):
    code = "SESSION_NOT_RUNNING"

    def __str__(self) -> str:
        return "No session is running: start one first."


@dataclass(eq=False)
class InvalidSession(Refusal):
    """`field` is the argument that is wrong, None when it is the moment."""

    sentence: str
    field: str | None = None
    code = "INVALID_SESSION"

    def __str__(self) -> str:
        return self.sentence


class Trouble(Enum):
    """Why a provider is unavailable."""

    RATE_LIMITED = "rate limited"
    DOWN = "down"
    NOT_SERVED = "not served"
    """It is well, and does not give what was asked for: bars of that length, or days that the key's plan does not cover."""


@dataclass(eq=False)
class ProviderUnavailable(Refusal):
    provider: str
    trouble: Trouble = Trouble.DOWN
    detail: str = "did not answer"
    retry_after_seconds: int | None = None
    code = "PROVIDER_UNAVAILABLE"

    def __str__(self) -> str:
        wait = f" Try again in {self.retry_after_seconds} s." if self.retry_after_seconds is not None else ""
        return f"The provider {self.provider} {self.detail}.{wait}"


@dataclass(eq=False)
class CursorExpired(Refusal):
    detail: str = "is older than what is retained"
    code = "CURSOR_EXPIRED"

    def __str__(self) -> str:
        return f"The cursor {self.detail}; read the present state again and go on from its cursor."


@dataclass(eq=False)
class SlowSubscriber(Refusal):
    """`advice` is what to do then."""

    buffered: int
    advice: str = "come back with the last cursor"
    code = "SLOW_SUBSCRIBER"

    def __str__(self) -> str:
        return f"More than {self.buffered} events were waiting to be read; {self.advice}."


@dataclass(eq=False)
class InvalidArgument(Refusal):
    name: str
    allowed: str
    asked: object
    code = "BAD_USER_INPUT"

    def __str__(self) -> str:
        return f"{self.name} must be {self.allowed}; {self.asked} was asked for."


@dataclass(eq=False)
class StoreUnavailable(Refusal):
    detail: str = "does not answer"
    code = "DATABASE_UNAVAILABLE"

    def __str__(self) -> str:
        return f"The database {self.detail}; try again in a moment."


@dataclass(eq=False)
class ChangeInDoubt(StoreUnavailable):
    def __str__(self) -> str:
        return "The database stopped answering, and it is not known whether the change was made; look before you try again."


@dataclass(eq=False)
class ClockReplaced(Refusal):
    code = "CLOCK_REPLACED"

    def __str__(self) -> str:
        return "The clock recorded in the database was changed by another process; start this one again to follow it."
