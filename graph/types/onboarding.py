"""The onboarding job, as the contract shows it."""

from datetime import datetime

import strawberry

from domain import onboarding as domain
from graph.types.enums import JobStatus, OnboardingPhase
from graph.types.node import Node, global_id


@strawberry.type
class OnboardingJob(Node):
    ticker: str
    status: JobStatus
    phase: OnboardingPhase
    progress_percent: int = strawberry.field(description="0 to 100, never decreasing within an attempt.")
    position: int | None = strawberry.field(description="1-based place in the queue while pending.")
    estimated_seconds: int | None
    attempts: int
    max_attempts: int
    requested_by: str | None
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None

    @classmethod
    def from_domain(cls, job: domain.OnboardingJob) -> "OnboardingJob":
        return cls(
            id=global_id("OnboardingJob", job.id),
            ticker=job.ticker,
            status=job.status,
            phase=job.phase,
            progress_percent=job.progress_percent,
            position=job.position,
            estimated_seconds=job.estimated_seconds,
            attempts=job.attempts,
            max_attempts=domain.MAX_ATTEMPTS,
            requested_by=job.requested_by,
            queued_at=job.queued_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            error=job.error,
        )
