"""Asking for onboardings, calling them off, and following them. The work itself is pipeline.py's."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum

from domain.clock import Clock
from domain.errors import JobNotCancellable, JobNotFound, JobNotRetryable
from domain.events import LoggedStep, OnboardingAdvanced, Position
from domain.onboarding import PENDING_SECONDS, PROCESSING_SECONDS, JobStatus, OnboardingJob
from domain.ports import Database, EventFeed, UnitOfWork
from domain.services.queueing import READY, Entered, OnboardingQueue, call_off, leave
from domain.symbols import Symbol

JOBS_KEPT_DAYS = 30


class ReadinessStatus(Enum):
    READY = "ready"
    PROCESSING = "processing"
    PENDING = "pending"
    ERROR = "error"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether analytics can use a symbol; `job` is its newest."""

    ticker: str
    status: ReadinessStatus
    message: str
    estimated_seconds: int | None = None
    job: OnboardingJob | None = None


@dataclass(frozen=True, slots=True)
class QueueView:
    """The queue at one time; who follows the log from `position` misses nothing of it."""

    depth: int
    position: Position


class Onboarding:
    """Commands and queries on onboardings, over all processes. Tickers are canonical."""

    def __init__(self, database: Database, feed: EventFeed, queue: OnboardingQueue, clock: Clock) -> None:
        self._database = database
        self._feed = feed
        self._clock = clock
        self.queue = queue

    # ── commands

    async def onboard(self, tickers: Sequence[str], requested_by: str | None) -> Entered:
        """A job for each symbol that is not ready, or the one that it has. Raises QueueFull, and queues none."""
        async with self._database.write() as unit:
            await unit.jobs.lock_queue()
            entered = await self.queue.enter(unit, list(dict.fromkeys(tickers)), requested_by)
            await unit.events.append(*self.queue.steps(entered.new))
        return entered

    async def retry(self, job_id: str) -> Entered:
        """A new job for the symbol of one that failed, is partial or was cancelled. Raises JobNotFound, JobNotRetryable and
        QueueFull."""
        async with self._database.write() as unit:
            await unit.jobs.lock_queue()
            job = await self._existing(unit, job_id)
            if not job.is_retryable:
                raise JobNotRetryable(job)
            newest = (await unit.jobs.newest([job.ticker]))[job.ticker]
            # Of an older job than the newest all that can be said is what the symbol is now.
            enter = self.queue.enter_again if newest.id == job.id else self.queue.enter
            entered = await enter(unit, [job.ticker], job.requested_by)
            await unit.events.append(*self.queue.steps(entered.new))
        return entered

    async def cancel(self, job_id: str) -> OnboardingJob:
        """Calls it off, also while it runs: its worker writes nothing more. Raises JobNotFound and JobNotCancellable."""
        async with self._database.write() as unit:
            await unit.jobs.lock_queue()
            job = await self._existing(unit, job_id)
            cancelled, events = await call_off(unit, job.ticker, "cancelled", self._clock)
            if cancelled is None or cancelled.id != job_id:
                raise JobNotCancellable(job)
            symbol = await unit.symbols.lock(job.ticker)
            events = [*await leave(unit, symbol, cancelled, self._clock), *events]
            await unit.events.append(*events)
        return cancelled

    async def _existing(self, unit: UnitOfWork, job_id: str) -> OnboardingJob:
        job = await unit.jobs.get(job_id)
        if job is None:
            raise JobNotFound(job_id)
        (estimated,) = await self.queue.estimated(unit, [job])
        return estimated

    async def forget_old(self) -> int:
        """Jobs are kept for 30 days after they have ended; returns how many are gone."""
        async with self._database.write() as unit:
            return await unit.jobs.prune(JOBS_KEPT_DAYS)

    # ── queries

    async def job(self, job_id: str) -> OnboardingJob | None:
        async with self._database.read() as unit:
            job = await unit.jobs.get(job_id)
            return (await self.queue.estimated(unit, [job]))[0] if job is not None else None

    async def view(self) -> QueueView:
        async with self._database.read() as unit:
            position = await unit.events.head()
            return QueueView(await unit.jobs.depth(), position)

    async def jobs(self, statuses: Collection[JobStatus], first: int) -> list[OnboardingJob]:
        """The active ones in the order of the queue, then the ended ones, newest first."""
        async with self._database.read() as unit:
            return await self.queue.estimated(unit, await unit.jobs.listed(statuses, first))

    async def readiness(self, ticker: str) -> Readiness:
        async with self._database.read() as unit:
            symbol = await unit.symbols.get(ticker)
            newest = await unit.jobs.newest([ticker])
            job = next(iter(await self.queue.estimated(unit, list(newest.values()))), None)
            is_waiting = bool(await unit.jobs.waiting([ticker]))
        return _readiness(ticker, symbol, job, is_waiting)

    # ── following

    async def follow(self, tickers: Collection[str] | None, after: Position | None) -> AsyncGenerator[LoggedStep, None]:
        """Without `after` first the newest job of each ticker as it stands (of all: the active ones), then every step. Ends
        when every job of the tickers has ended; of all, never."""
        # Of one moment: a step between the two would be in the job already, and be told again.
        async with self._database.snapshot() as unit:
            start = await unit.events.head()
            jobs = await self._standing(unit, tickers)
            waiting = {ticker for ticker, _ in await unit.jobs.waiting(list(tickers))} if tickers is not None else set()
        running = waiting | {job.ticker for job in jobs if job.is_active}
        if after is None:
            for job in jobs:
                yield LoggedStep(start, OnboardingAdvanced(job, self._clock.now()))
        if not _is_over(tickers, running, after or start, start):
            async with aclosing(self._feed.follow(after or start)) as logged:
                async for entry in logged:
                    if isinstance(entry, LoggedStep) and (tickers is None or entry.event.job.ticker in tickers):
                        yield entry
                        running = _still(running, entry, start)
                    if _is_over(tickers, running, entry.position, start):
                        return

    async def _standing(self, unit: UnitOfWork, tickers: Collection[str] | None) -> list[OnboardingJob]:
        if tickers is None:
            jobs = await unit.jobs.listed((JobStatus.PENDING, JobStatus.PROCESSING), 10_000)
        else:
            newest = await unit.jobs.newest(list(tickers))
            jobs = [newest[ticker] for ticker in tickers if ticker in newest]
        return await self.queue.estimated(unit, jobs)


def _is_over(tickers: Collection[str] | None, running: set[str], at: Position, start: Position) -> bool:
    """Whether all that was followed has ended: not before what came until the start has been told."""
    return tickers is not None and not running and at.number >= start.number


def _still(running: set[str], entry: LoggedStep, start: Position) -> set[str]:
    """Who is still running after a step; what was known at the start is not undone by the steps before it."""
    job = entry.event.job
    if entry.position.number <= start.number:
        return running
    return running | {job.ticker} if job.is_active else running - {job.ticker}


def _readiness(ticker: str, symbol: Symbol | None, job: OnboardingJob | None, is_waiting: bool) -> Readiness:
    if symbol is not None and symbol.status in READY:
        return Readiness(ticker, ReadinessStatus.READY, "Symbol data available", None, job)
    if job is not None and job.status is JobStatus.PROCESSING:
        seconds = job.estimated_seconds or PROCESSING_SECONDS
        return Readiness(ticker, ReadinessStatus.PROCESSING, "Loading data...", seconds, job)
    if is_waiting or (job is not None and job.is_active):
        seconds = (job.estimated_seconds if job is not None else None) or PENDING_SECONDS
        return Readiness(ticker, ReadinessStatus.PENDING, "Queued for processing", seconds, job)
    if job is not None and job.status is JobStatus.FAILED:
        return Readiness(ticker, ReadinessStatus.ERROR, job.error or "The onboarding failed", None, job)
    return Readiness(ticker, ReadinessStatus.UNKNOWN, "Symbol not found", None, job)
