"""The onboarding job, as the contract shows it."""

from datetime import datetime

import strawberry

from graph.types.enums import JobStatus, OnboardingPhase
from graph.types.node import Node


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
