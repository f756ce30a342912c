"""Onboardings asked for over HTTP, and what a database holds of them, read past the service."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from domain.events import Logged, LoggedStep, SymbolChangeKind
from domain.factors import Exposure, Factor
from domain.onboarding import PHASES, JobStatus, OnboardingJob, OnboardingPhase
from tests.support.inquiries import Inquiries
from tests.support.market import closes_of
from tests.support.process import Processes, Service, until
from tests.support.stored import Stored, opened, stored_in, whole_log

ONBOARD = """mutation($tickers: [String!]!) { onboardSymbols(input: {tickers: $tickers, requestedBy: "test"}) {
  __typename
  ... on OnboardingQueued { jobs { id ticker status position estimatedSeconds } readyTickers }
  ... on QueueFull { depth maxDepth retryAfterSeconds } } }"""
PROGRESS = """subscription($tickers: [String!], $after: Cursor) { onboardingProgress(tickers: $tickers, after: $after) {
  cursor job { ticker status phase progressPercent attempts error } } }"""
CANCEL = "mutation($id: ID!) { cancelOnboarding(jobId: $id) { __typename } }"
CLOCK = "2026-03-27T20:30:00Z"
MANY = 10_000


def processes_of(database_url: str, market: Path, inquiries: Inquiries | None = None, **environment: str) -> Processes:
    """Processes to which a made-up market is the world."""
    world = {"FRESHTAPE_CLOCK": CLOCK, "FRESHTAPE_SAMPLE_DIR": str(market)}
    return Processes(database_url, inquiries, from_scratch=False, **world, **environment)


async def onboard(service: Service, *tickers: str) -> dict[str, Any]:
    body = await service.ask(ONBOARD, tickers=tickers)
    assert "errors" not in body, f"answered with errors: {body}"
    return dict(body["data"]["onboardSymbols"])


async def ended(database_url: str, *tickers: str, within: float = 15) -> None:
    """Returns when the newest job of each has."""
    async with opened(database_url) as database:

        async def are_over() -> bool:
            async with database.read() as unit:
                newest = await unit.jobs.newest(tickers)
            return len(newest) == len(tickers) and not any(job.is_active for job in newest.values())

        await until(are_over, within)


@dataclass(frozen=True)
class Onboarded:
    """`jobs` are the newest first; `stored` is None when there is no such symbol."""

    ticker: str
    jobs: Sequence[OnboardingJob]
    steps: Sequence[OnboardingJob]
    exposures: Sequence[Exposure]
    stored: Stored | None

    @property
    def job(self) -> OnboardingJob:
        """The one there is."""
        (job,) = self.jobs
        return job

    @property
    def is_step_by_step(self) -> bool:
        """From QUEUED to the end, nothing twice and nothing left out."""
        first, last = self.steps[0], self.steps[-1]
        begins = (first.phase, first.status) == (OnboardingPhase.QUEUED, JobStatus.PENDING)
        return begins and not last.is_active and all(_follows(*both) for both in pairwise(self.steps))

    @property
    def never_goes_back(self) -> bool:
        """The progress, within an attempt."""
        within = (both for both in pairwise(self.steps) if both[0].attempts == both[1].attempts)
        return all(before.progress_percent <= after.progress_percent for before, after in within)

    def faults(self) -> set[str]:
        """What is not as it must be of one that was onboarded once and well."""
        assert self.stored is not None
        symbol, bars = self.stored.symbol, self.stored.bars
        holds = {
            "one job, completed": [job.status for job in self.jobs] == [JobStatus.COMPLETED],
            "one attempt": {job.attempts for job in self.jobs} == {1},
            "step by step": self.is_step_by_step,
            "progress never goes back": self.never_goes_back,
            "each effect told once": self.stored.kinds == EFFECTS,
            "version 2": symbol.version == 2,
            "every bar": [bar.close for bar in bars] == closes_of(self.ticker),
            "levels of one extraction": self.stored.is_whole,
            "twelve betas": [exposure.factor for exposure in self.exposures if exposure.beta is not None] == list(Factor),
        }
        return {name for name, is_true in holds.items() if not is_true}


EFFECTS = [SymbolChangeKind.ADDED, SymbolChangeKind.UPDATED, SymbolChangeKind.STATUS_CHANGED]
"""What the phases tell of a symbol that was not known: its row, its levels, its being ACTIVE."""


def _follows(before: OnboardingJob, after: OnboardingJob) -> bool:
    moved = PHASES.index(after.phase) - PHASES.index(before.phase)
    match before.status, after.status:
        case JobStatus.PENDING, JobStatus.PROCESSING:
            is_first = before.phase is OnboardingPhase.QUEUED
            return moved == is_first and after.attempts == before.attempts + 1
        case JobStatus.PROCESSING, JobStatus.PROCESSING:
            is_taken_over = after.lapses > before.lapses
            return moved == (not is_taken_over) and after.attempts == before.attempts
        case JobStatus.PROCESSING, JobStatus.COMPLETED | JobStatus.PARTIAL:
            return moved == 1
        case JobStatus.PROCESSING, JobStatus.PENDING | JobStatus.FAILED:
            return moved == 0
        case JobStatus.PENDING | JobStatus.PROCESSING, JobStatus.CANCELLED:
            return moved == 0
        case _:
            return False


async def onboarded(database_url: str, *tickers: str) -> list[Onboarded]:
    """Of each of the tickers, in their order."""
    async with opened(database_url) as database:
        logged = await whole_log(database)
        async with database.read() as unit:
            jobs = await unit.jobs.listed(tuple(JobStatus), MANY)
            exposures = await unit.exposures.of(tickers)
        return [
            Onboarded(
                ticker,
                jobs=[job for job in jobs if job.ticker == ticker],
                steps=steps_of(logged, ticker),
                exposures=exposures.get(ticker, []),
                stored=await stored_in(database, ticker, logged),
            )
            for ticker in tickers
        ]


def steps_of(logged: Sequence[Logged], ticker: str) -> list[OnboardingJob]:
    steps = [entry.event.job for entry in logged if isinstance(entry, LoggedStep)]
    return [job for job in steps if job.ticker == ticker]


@dataclass(frozen=True)
class Replayed:
    """The queue as the log tells it: the most that were ever active and under way at one time, and how many are now."""

    most_active: int
    most_under_way: int
    active: int
    numbers: Sequence[int]

    @property
    def is_without_gaps(self) -> bool:
        return list(self.numbers) == list(range(1, len(self.numbers) + 1))


async def replayed(database_url: str) -> Replayed:
    """The log's order is that of the commits, and every change of a job is told in its own transaction: what holds after each
    step in turn held at every time."""
    async with opened(database_url) as database:
        logged = await whole_log(database)
    statuses: dict[str, JobStatus] = {}
    active = under_way = 0
    for entry in logged:
        if isinstance(entry, LoggedStep):
            statuses[entry.event.job.id] = entry.event.job.status
            counted = Counter(statuses.values())
            active = max(active, counted[JobStatus.PENDING] + counted[JobStatus.PROCESSING])
            under_way = max(under_way, counted[JobStatus.PROCESSING])
    counted = Counter(statuses.values())
    now = counted[JobStatus.PENDING] + counted[JobStatus.PROCESSING]
    return Replayed(active, under_way, now, [entry.position.number for entry in logged])
