"""The onboarding queue: who may enter, over all processes, and who waits outside. Every method works in its caller's
transaction, with the queue locked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from domain.clock import Clock
from domain.errors import QueueFull
from domain.events import Event, OnboardingAdvanced, SymbolChanged, SymbolChangeKind
from domain.onboarding import ACTIVE, JobStatus, OnboardingJob, estimate, seconds_until_free
from domain.ports import UnitOfWork
from domain.symbols import Symbol, SymbolStatus

READY = (SymbolStatus.ACTIVE, SymbolStatus.SUSPECT)


@dataclass(frozen=True, slots=True)
class Entered:
    """What became of the tickers: `jobs` in the order asked for, the `new` ones among them; `ready` need none."""

    jobs: list[OnboardingJob]
    new: list[OnboardingJob]
    ready: list[str]


class OnboardingQueue:
    """`depth` jobs pending and under way, `places` of them under way."""

    def __init__(self, clock: Clock, depth: int, places: int) -> None:
        self._clock = clock
        self.depth = depth
        self.places = places

    async def enter(
        self, unit: UnitOfWork, tickers: Sequence[str], requested_by: str | None, previous: SymbolStatus | None = None
    ) -> Entered:
        """All of the tickers or none: raises QueueFull when there are fewer places than tickers that need a job. `previous` is
        what their symbols were, if they are ONBOARDING already."""
        # A job ends without the queue's lock: one that is not active any more has left its symbol as it is read behind it.
        known = await self._active(unit, tickers)
        statuses = await unit.symbols.statuses(tickers)
        ready = [ticker for ticker in tickers if statuses.get(ticker) in READY]
        rest = [ticker for ticker in tickers if ticker not in ready]
        return replace(await self._enter(unit, rest, known, requested_by, previous), ready=ready)

    async def enter_again(
        self, unit: UnitOfWork, tickers: Sequence[str], requested_by: str | None, previous: SymbolStatus | None = None
    ) -> Entered:
        """As enter, also for tickers whose symbols are ready."""
        return await self._enter(unit, tickers, await self._active(unit, tickers), requested_by, previous)

    async def _enter(
        self,
        unit: UnitOfWork,
        tickers: Sequence[str],
        known: Mapping[str, OnboardingJob],
        requested_by: str | None,
        previous: SymbolStatus | None,
    ) -> Entered:
        wanted = [ticker for ticker in tickers if ticker not in known]
        free = await self._free(unit)
        if len(wanted) > free:
            wait = seconds_until_free(len(wanted) - free, await unit.jobs.measured(), self.places)
            raise QueueFull(await unit.jobs.depth(), self.depth, len(wanted), wait)
        standing = await self.estimated(unit, [known[ticker] for ticker in tickers if ticker in known])
        new = await self._add(unit, [self._job(ticker, requested_by, previous) for ticker in wanted])
        jobs = {job.ticker: job for job in (*standing, *new)}
        return Entered([jobs[ticker] for ticker in tickers], new, [])

    async def enter_for(
        self, unit: UnitOfWork, portfolio_id: str, tickers: Sequence[str], requested_by: str | None
    ) -> list[OnboardingJob]:
        """Never refuses: the tickers that need a job and find no place wait, and enter as places free. The new jobs."""
        known = await self._active(unit, tickers)
        statuses = await unit.symbols.statuses(tickers)
        wanted = [ticker for ticker in tickers if statuses.get(ticker) not in READY and ticker not in known]
        free = await self._free(unit)
        await unit.jobs.wait_for_place(portfolio_id, wanted[free:], requested_by)
        return await self._add(unit, [self._job(ticker, requested_by) for ticker in wanted[:free]])

    async def let_in(self, unit: UnitOfWork) -> list[OnboardingJob]:
        """Those that wait and find a place now, first come first: the new jobs. One whose symbol has become ready by other
        means gets a job that has ended, so that whoever follows it learns of it."""
        waiting = dict(await unit.jobs.waiting())
        if not waiting:
            return []
        known = await self._active(unit, list(waiting))
        statuses = await unit.symbols.statuses(list(waiting))
        ready = [ticker for ticker in waiting if ticker not in known and statuses.get(ticker) in READY]
        wanted = [ticker for ticker in waiting if ticker not in known and ticker not in ready]
        entering = wanted[: max(0, self.depth - await unit.jobs.depth())]
        await unit.jobs.stop_waiting([*known, *ready, *entering])
        ended = [self._job(ticker, waiting[ticker]).completed(self._clock.now()) for ticker in ready]
        return await self._add(unit, ended + [self._job(ticker, waiting[ticker]) for ticker in entering])

    async def dismiss(self, unit: UnitOfWork, portfolio_id: str, tickers: Sequence[str], error: str) -> list[OnboardingJob]:
        """The tickers wait no longer for this portfolio. One that now waits for none gets a job that is cancelled already, so
        that whoever follows it learns of it."""
        before = dict(await unit.jobs.waiting())
        await unit.jobs.stop_waiting(tickers, portfolio_id)
        still = {*dict(await unit.jobs.waiting()), *await self._active(unit, tickers)}
        gone = [self._job(ticker, requested_by) for ticker, requested_by in before.items() if ticker not in still]
        ended = [job.ended(JobStatus.CANCELLED, self._clock.now(), error) for job in gone]
        await unit.jobs.add(ended)
        return ended

    async def _free(self, unit: UnitOfWork) -> int:
        """Places that nobody has, and nobody waits for."""
        return max(0, self.depth - await unit.jobs.depth() - len(await unit.jobs.waiting()))

    async def under_way(self, unit: UnitOfWork, tickers: Sequence[str]) -> list[OnboardingJob]:
        """The active jobs of those of the tickers that have one, in their order."""
        active = await self._active(unit, tickers)
        return await self.estimated(unit, [active[ticker] for ticker in tickers if ticker in active])

    async def _active(self, unit: UnitOfWork, tickers: Sequence[str]) -> dict[str, OnboardingJob]:
        wanted, depth = set(tickers), await unit.jobs.depth()
        return {job.ticker: job for job in await unit.jobs.listed(ACTIVE, depth) if job.ticker in wanted}

    async def _add(self, unit: UnitOfWork, jobs: Sequence[OnboardingJob]) -> list[OnboardingJob]:
        await unit.jobs.add(jobs)
        added = await unit.jobs.newest([job.ticker for job in jobs])
        return await self.estimated(unit, [added[job.ticker] for job in jobs])

    async def estimated(self, unit: UnitOfWork, jobs: Sequence[OnboardingJob]) -> list[OnboardingJob]:
        """With what they will take, by what the phases took of late."""
        measured = await unit.jobs.measured() if any(job.is_active for job in jobs) else {}
        return [replace(job, estimated_seconds=estimate(job, measured, self.places)) for job in jobs]

    def _job(self, ticker: str, requested_by: str | None, previous: SymbolStatus | None = None) -> OnboardingJob:
        return OnboardingJob(uuid4().hex, ticker, self._clock.now(), requested_by, previous_status=previous)

    def steps(self, jobs: Sequence[OnboardingJob]) -> list[OnboardingAdvanced]:
        """The events that say where these jobs are."""
        return [OnboardingAdvanced(job, self._clock.now()) for job in jobs]


async def call_off(unit: UnitOfWork, ticker: str, why: str, clock: Clock) -> tuple[OnboardingJob | None, list[Event]]:
    """With the queue locked: cancels the active job of a ticker, if there is one, and leaves its symbol alone. The job, and the
    events to append."""
    active = await unit.jobs.lock(ticker)
    if active is None:
        return None, []
    now = clock.now()
    cancelled = active.ended(JobStatus.CANCELLED, now, why)
    await unit.jobs.save(cancelled)
    return cancelled, [OnboardingAdvanced(cancelled, now)]


async def swapped(unit: UnitOfWork, symbol: Symbol, why: str, clock: Clock) -> tuple[OnboardingJob, list[Event]]:
    """With the queue and a symbol locked that nobody onboards: it leaves analytics, to have all its prices put in the place of
    those held. Without asking for a place: prices that are wrong do not wait outside. The job, and the events to append."""
    now = clock.now()
    left = symbol.onboarding()
    await unit.symbols.save(left, symbol.version)
    await unit.jobs.add([OnboardingJob(uuid4().hex, symbol.ticker, now, None, previous_status=symbol.status, swaps=True)])
    job = (await unit.jobs.newest([symbol.ticker]))[symbol.ticker]
    changed = SymbolChanged(SymbolChangeKind.STATUS_CHANGED, symbol.ticker, now, why)
    return job, [changed, OnboardingAdvanced(job, now)]


async def leave(unit: UnitOfWork, symbol: Symbol | None, job: OnboardingJob, clock: Clock) -> list[Event]:
    """What becomes of a locked symbol whose onboarding did not succeed: with bars it is again what it was, without it is
    retired. The events to append."""
    if symbol is None or symbol.status is not SymbolStatus.ONBOARDING:
        return []
    has_bars = await unit.bars.newest_daily(symbol.ticker) is not None
    status = (job.previous_status if has_bars else None) or SymbolStatus.RETIRED
    left = symbol.left_onboarding(status)
    await unit.symbols.save(left, symbol.version)
    return [SymbolChanged(SymbolChangeKind.STATUS_CHANGED, symbol.ticker, clock.now(), job.error)]
