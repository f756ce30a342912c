"""Asking for onboardings, and calling them off."""

from typing import Annotated, Any

import strawberry

from domain import errors
from domain.services.queueing import Entered
from domain.tickers import normalise
from graph.context import Info
from graph.problems import InvalidTickers, JobNotCancellable, JobNotFound, JobNotRetryable, QueueFull
from graph.scalars import optional
from graph.types.node import read_global_id
from graph.types.onboarding import OnboardingJob

UNSET: Any = strawberry.UNSET
LONGEST_REQUESTER = 200


@strawberry.input
class OnboardSymbolsInput:
    tickers: list[str]
    requested_by: str | None = UNSET


@strawberry.type(description="Queued: new jobs. Already queued or running: the job that is. Ready: nothing to do.")
class OnboardingQueued:
    jobs: list[OnboardingJob]
    ready_tickers: list[str]

    @classmethod
    def from_domain(cls, entered: Entered) -> "OnboardingQueued":
        return cls(jobs=[OnboardingJob.from_domain(job) for job in entered.jobs], ready_tickers=entered.ready)


@strawberry.type
class OnboardingCancelled:
    job: OnboardingJob


OnboardSymbolsResult = Annotated[OnboardingQueued | InvalidTickers | QueueFull, strawberry.union("OnboardSymbolsResult")]
RetryOnboardingResult = Annotated[
    OnboardingQueued | JobNotFound | JobNotRetryable | QueueFull, strawberry.union("RetryOnboardingResult")
]
CancelOnboardingResult = Annotated[
    OnboardingCancelled | JobNotFound | JobNotCancellable, strawberry.union("CancelOnboardingResult")
]


@strawberry.type
class OnboardingMutations:
    @strawberry.mutation(
        description="Bring these symbols to where analytics can use them: all of those that need a job are queued, or none."
    )
    async def onboard_symbols(self, info: Info, input: OnboardSymbolsInput) -> OnboardSymbolsResult:
        requested_by = checked_requester(optional(input.requested_by))
        entered = await info.context.services.onboarding.onboard(_normalised(input.tickers), requested_by)
        return OnboardingQueued.from_domain(entered)

    @strawberry.mutation(description="A new job for the symbol of one that failed, is partial or was cancelled.")
    async def retry_onboarding(self, info: Info, job_id: strawberry.ID) -> RetryOnboardingResult:
        return OnboardingQueued.from_domain(await info.context.services.onboarding.retry(_key(job_id)))

    @strawberry.mutation(
        description=(
            "Call an onboarding off, also while it runs: nothing more is written for it. A symbol that has bars is again what "
            "it was before, one without is RETIRED."
        )
    )
    async def cancel_onboarding(self, info: Info, job_id: strawberry.ID) -> CancelOnboardingResult:
        job = await info.context.services.onboarding.cancel(_key(job_id))
        return OnboardingCancelled(job=OnboardingJob.from_domain(job))


def checked_requester(text: str | None) -> str | None:
    if text is not None and len(text) > LONGEST_REQUESTER:
        raise errors.InvalidArgument("requestedBy", f"at most {LONGEST_REQUESTER} characters", f"{len(text):,} characters")
    return text


def _normalised(texts: list[str]) -> list[str]:
    """Canonical tickers; raises InvalidTickers with all that are none."""
    found: list[str] = []
    wrong: list[errors.InvalidTicker] = []
    for text in texts:
        try:
            found.append(normalise(text))
        except errors.InvalidTicker as refusal:
            wrong.append(refusal)
    if wrong:
        raise errors.InvalidTickers(tuple(wrong))
    return found


def _key(job_id: strawberry.ID) -> str:
    """The job's own id; what is no id of a job names none."""
    kind, key = read_global_id(job_id) or ("", "")
    if kind != "OnboardingJob":
        raise errors.JobNotFound(job_id)
    return key
