"""The onboarding job, as the contract shows it."""

from datetime import datetime
from typing import Any

import strawberry

from domain import onboarding as domain
from domain.events import Position
from domain.services.onboarding import Onboarding, Readiness
from graph.scalars import given, optional
from graph.types.enums import JobStatus, OnboardingPhase, ReadinessStatus
from graph.types.node import Node, global_id

UNSET: Any = strawberry.UNSET


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
    error: str | None = strawberry.field(
        description="Why it failed or waits for its next attempt; of a PARTIAL one, what is missing."
    )

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


@strawberry.type(
    description=(
        "Is the symbol ready for analytics? READY: ACTIVE or SUSPECT, also after a PARTIAL onboarding. `Symbol data "
        "available`, `Loading data...`, `Queued for processing`, the error, or `Symbol not found`."
    )
)
class SymbolReadiness:
    ticker: str
    status: ReadinessStatus
    message: str
    estimated_seconds: int | None
    job: OnboardingJob | None

    @classmethod
    def from_domain(cls, readiness: Readiness) -> "SymbolReadiness":
        return cls(
            ticker=readiness.ticker,
            status=readiness.status,
            message=readiness.message,
            estimated_seconds=readiness.estimated_seconds,
            job=OnboardingJob.from_domain(readiness.job) if readiness.job is not None else None,
        )


@strawberry.type(description="Over all processes.")
class OnboardingQueue:
    depth: int
    max_depth: int
    max_concurrent: int
    cursor: Position = strawberry.field(description="Subscribe with it as `after` and miss nothing since this read.")
    onboarding: strawberry.Private[Onboarding]

    @classmethod
    async def read(cls, onboarding: Onboarding) -> "OnboardingQueue":
        view = await onboarding.view()
        return cls(
            depth=view.depth,
            max_depth=onboarding.queue.depth,
            max_concurrent=onboarding.queue.places,
            cursor=view.position,
            onboarding=onboarding,
        )

    @strawberry.field(description="The active ones in the order of the queue, then the ended ones, newest first.")
    async def jobs(self, status: JobStatus | None = UNSET, first: int | None = 100) -> list[OnboardingJob]:
        wanted = optional(status)
        statuses = tuple(domain.JobStatus) if wanted is None else (wanted,)
        jobs = await self.onboarding.jobs(statuses, given(first, 100))
        return [OnboardingJob.from_domain(job) for job in jobs]
