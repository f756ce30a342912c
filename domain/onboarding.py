"""The onboarding job: from a ticker that somebody asks for to a symbol that analytics can use, phase by phase.

A phase is finished when its effect is committed; the commit that does so moves the job to the next one. Whoever takes the job
up later begins with the phase that is under way, never with one that is finished.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from domain.symbols import SymbolStatus


class JobStatus(Enum):
    """The values are what the database holds."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


class OnboardingPhase(Enum):
    """In their order. The values are what the database holds."""

    QUEUED = "queued"
    VALIDATING = "validating"
    FETCHING_PRICES = "fetching_prices"
    JOINING_UNIVERSE = "joining_universe"
    CALCULATING_FACTORS = "calculating_factors"
    UPDATING_PORTFOLIOS = "updating_portfolios"
    DONE = "done"


ACTIVE = (JobStatus.PENDING, JobStatus.PROCESSING)
RETRYABLE = (JobStatus.PARTIAL, JobStatus.FAILED, JobStatus.CANCELLED)
PHASES = tuple(OnboardingPhase)
PROGRESS: Mapping[OnboardingPhase, int] = {
    OnboardingPhase.QUEUED: 0,
    OnboardingPhase.VALIDATING: 5,
    OnboardingPhase.FETCHING_PRICES: 15,
    OnboardingPhase.JOINING_UNIVERSE: 55,
    OnboardingPhase.CALCULATING_FACTORS: 65,
    OnboardingPhase.UPDATING_PORTFOLIOS: 90,
    OnboardingPhase.DONE: 100,
}
"""How far a job is, in percent, when it enters a phase: about what share of its time lies before."""
MAX_ATTEMPTS = 3
MAX_LAPSES = 5
"""Workers that may die over one job before it is given up: it may be the job that kills them."""
FIRST_WAIT_SECONDS = 2.0
WAIT_GROWS = 4
PENDING_SECONDS, PROCESSING_SECONDS = 60, 30
"""The estimates as long as no phase has been measured."""


@dataclass(frozen=True, slots=True)
class OnboardingJob:
    """Times are market time. `previous_status` is what the symbol was before, None when it was not known; `prices_at` is when
    its prices were fetched; `shortfall` says which betas are missing, and why; `position` is its place among the pending, from
    1, and None when it is not. One that `swaps` puts all prices in the place of those held, which are of other shares or of
    another unit."""

    id: str
    ticker: str
    queued_at: datetime
    requested_by: str | None = None
    status: JobStatus = JobStatus.PENDING
    phase: OnboardingPhase = OnboardingPhase.QUEUED
    attempts: int = 0
    lapses: int = 0
    previous_status: SymbolStatus | None = None
    prices_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None
    shortfall: str | None = None
    swaps: bool = False
    position: int | None = None
    estimated_seconds: int | None = None

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE

    @property
    def is_retryable(self) -> bool:
        return self.status in RETRYABLE

    @property
    def progress_percent(self) -> int:
        return PROGRESS[self.phase]

    @property
    def is_last_attempt(self) -> bool:
        return self.attempts >= MAX_ATTEMPTS

    def claimed(self, now: datetime) -> "OnboardingJob":
        """Taken up: as a new attempt, or, when its worker died, as the same one."""
        is_new = self.status is JobStatus.PENDING
        return replace(
            self,
            status=JobStatus.PROCESSING,
            phase=OnboardingPhase.VALIDATING if self.phase is OnboardingPhase.QUEUED else self.phase,
            attempts=self.attempts + is_new,
            lapses=self.lapses + (not is_new),
            started_at=self.started_at or now,
            error=None,
            position=None,
        )

    def advanced(self) -> "OnboardingJob":
        """With the phase under way finished."""
        return replace(self, phase=PHASES[PHASES.index(self.phase) + 1])

    def postponed(self, error: str) -> "OnboardingJob":
        """Back in the queue, until the next attempt."""
        return replace(self, status=JobStatus.PENDING, error=error)

    def completed(self, now: datetime, error: str | None = None) -> "OnboardingJob":
        """Done; PARTIAL when something is missing, and the error says what."""
        done = replace(self, phase=OnboardingPhase.DONE)
        return done.ended(JobStatus.PARTIAL if error else JobStatus.COMPLETED, now, error)

    def ended(self, status: JobStatus, now: datetime, error: str | None = None) -> "OnboardingJob":
        return replace(self, status=status, finished_at=now, error=error, position=None, estimated_seconds=None)


def wait_seconds(attempts: int, retry_after: int | None, jitter: float) -> float:
    """How long an attempt that met provider trouble waits for the next: longer each time, half as long to half as long again
    by `jitter` (0 to 1), and never shorter than the provider asked for."""
    grown: float = FIRST_WAIT_SECONDS * WAIT_GROWS ** (attempts - 1)
    return max(grown * (0.5 + jitter), float(retry_after or 0))


def estimate(job: OnboardingJob, measured: Mapping[OnboardingPhase, float], places: int) -> int | None:
    """Seconds until the job has ended, by what its phases took of late; `places` are worked at a time. None when it has."""
    if not job.is_active:
        return None
    whole = sum(measured.values())
    if job.status is JobStatus.PROCESSING:
        ahead = PHASES[PHASES.index(job.phase) :]
        return max(1, round(sum(measured.get(phase, 0.0) for phase in ahead))) if measured else PROCESSING_SECONDS
    rounds = -(-(job.position or 1) // places)
    return max(1, round(whole * (rounds + 1))) if measured else PENDING_SECONDS


def seconds_until_free(wanted: int, measured: Mapping[OnboardingPhase, float], places: int) -> int:
    """Seconds until so many jobs more have ended, by the same measure: when a queue that is full is worth asking again."""
    whole = sum(measured.values()) if measured else PROCESSING_SECONDS
    return max(1, round(whole * -(-wanted // places)))
