"""The course of an onboarding. A phase asks and computes with no transaction open; then its effect, the job's next phase and
the event that tells of it are one transaction, which only the holder of the job's lease can commit."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from domain.bars import History, Interval
from domain.calendars import calendar_for
from domain.clock import Clock
from domain.errors import NoData, ProviderUnavailable, Refusal, StoreUnavailable, SymbolNotFound
from domain.events import Event, Logged, LoggedStep, SymbolChanged, SymbolChangeKind
from domain.findings import findings
from domain.levels import SymbolLevelExtractor
from domain.onboarding import MAX_LAPSES, JobStatus, OnboardingJob, OnboardingPhase, wait_seconds
from domain.outcomes import outcome_line
from domain.ports import Claim, Database, MarketDataProvider, UnitOfWork
from domain.rescaling import rescaling
from domain.services.asking import ask
from domain.services.measuring import Measuring
from domain.services.queueing import OnboardingQueue, leave
from domain.services.refreshing import FIRST_HISTORY
from domain.services.storing import store, swap
from domain.services.valuing import revalue
from domain.symbols import Symbol, SymbolStatus

log = logging.getLogger("freshtape.onboarding")

FAULT = "an internal fault, see the log"
FIRST_DAY = date(1900, 1, 1)
"""Before any bar."""


class LeaseLost(Exception):
    """The job is another worker's, or was called off: nothing more may be written for it."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a phase has written: the job as far as that changes it, and the events to append."""

    job: OnboardingJob
    events: Sequence[Event] = ()


Write = Callable[[UnitOfWork], Awaitable[Effect]]


class Pipeline:
    """Takes jobs up and brings them to their end."""

    name = "onboarding"

    def __init__(
        self,
        database: Database,
        provider: MarketDataProvider,
        queue: OnboardingQueue,
        measuring: Measuring,
        clock: Clock,
        observe: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`observe` is told how each attempt ends: completed, partial, failed, postponed or lost."""
        self._database = database
        self._provider = provider
        self._queue = queue
        self._measuring = measuring
        self._clock = clock
        self._observe = observe
        self._extractor = SymbolLevelExtractor()
        self._work: dict[OnboardingPhase, Callable[[OnboardingJob], Awaitable[Write]]] = {
            OnboardingPhase.VALIDATING: self._validate,
            OnboardingPhase.FETCHING_PRICES: self._fetch_prices,
            OnboardingPhase.JOINING_UNIVERSE: self._join_universe,
            OnboardingPhase.CALCULATING_FACTORS: self._calculate_factors,
            OnboardingPhase.UPDATING_PORTFOLIOS: self._update_portfolios,
        }

    @property
    def places(self) -> int:
        return self._queue.places

    async def claim(self) -> Claim | None:
        """Lets those in who find a place, and takes up the job that is next, if there is one."""
        async with self._database.read() as unit:
            if not await unit.jobs.is_up(self._queue.places):
                return None
        async with self._database.write() as unit:
            await unit.jobs.lock_queue()
            entered = await self._queue.let_in(unit)
            claim = await unit.jobs.claim(self._queue.places, self._clock.now())
            claimed = await self._queue.estimated(unit, [claim.job] if claim is not None else [])
            await unit.events.append(*self._queue.steps([*entered, *claimed]))
        return claim

    async def run(self, claim: Claim) -> None:
        """To the end of the job or of the attempt, whatever happens on the way."""
        outcome, reason, started = "lost", None, asyncio.get_running_loop().time()
        try:
            outcome, reason = await self._run(claim.job, claim.token)
        except LeaseLost:
            reason = "it was called off, or another worker has taken it over"
        except StoreUnavailable as error:
            reason = error.message
            log.warning("the onboarding of %s goes on when its lease has lapsed: %s", claim.job.ticker, error)
        except Exception:
            reason = FAULT
            log.exception("the onboarding of %s goes on when its lease has lapsed", claim.job.ticker)
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(claim))
            raise
        finally:
            self._observe(outcome)
            seconds = asyncio.get_running_loop().time() - started
            log.info(outcome_line("onboarding", claim.job.ticker, outcome, reason, seconds, attempt=claim.job.attempts))

    async def work_off(self) -> None:
        """One job after the other, until none is up."""
        while (claim := await self.claim()) is not None:
            await self.run(claim)

    async def prolong(self, claim: Claim) -> bool:
        """The heartbeat. False when the job is no longer the claim's."""
        async with self._database.write() as unit:
            return await unit.jobs.hold(claim.job.id, claim.token)

    def is_news(self, entry: Logged) -> bool:
        """A job that is queued, or that has ended and frees a place."""
        return isinstance(entry, LoggedStep) and entry.event.job.status is not JobStatus.PROCESSING

    async def _run(self, job: OnboardingJob, token: int) -> tuple[str, str | None]:
        """How it ended, and why so."""
        if job.lapses > MAX_LAPSES:
            return await self._fail(job, token, f"{MAX_LAPSES} workers died over it")
        while job.is_active:
            try:
                write = await self._work[job.phase](job)
                job = await self._commit(job, token, write)
            except (LeaseLost, StoreUnavailable):
                raise
            except (SymbolNotFound, NoData) as refusal:
                return await self._fail(job, token, refusal.message)
            except Exception as error:
                return await self._end_attempt(job, token, error)
        return job.status.value, job.error

    async def _commit(self, job: OnboardingJob, token: int, write: Write) -> OnboardingJob:
        async with self._database.write() as unit:
            await self._hold(unit, job, token)
            effect = await write(unit)
            done = effect.job if not effect.job.is_active else effect.job.advanced()
            await unit.jobs.save(done)
            (told,) = await self._queue.estimated(unit, [done])
            await unit.events.append(*effect.events, *self._queue.steps([told]))
        return done

    async def _hold(self, unit: UnitOfWork, job: OnboardingJob, token: int) -> None:
        if not await unit.jobs.hold(job.id, token):
            raise LeaseLost

    # ── ends that are none, or no good ones

    async def _end_attempt(self, job: OnboardingJob, token: int, error: Exception) -> tuple[str, str]:
        why = error.message if isinstance(error, Refusal) else FAULT
        if not isinstance(error, ProviderUnavailable):
            log.error("the onboarding of %s met a fault in %s", job.ticker, job.phase.value, exc_info=error)
        if job.is_last_attempt:
            return await self._fail(job, token, why)
        retry_after = error.retry_after_seconds if isinstance(error, ProviderUnavailable) else None
        wait = wait_seconds(job.attempts, retry_after, random.random())
        async with self._database.write() as unit:
            await self._hold(unit, job, token)
            await unit.jobs.save(job.postponed(why), wait)
            postponed = await unit.jobs.get(job.id)
            assert postponed is not None
            await unit.events.append(*self._queue.steps(await self._queue.estimated(unit, [postponed])))
        return "postponed", why

    async def _fail(self, job: OnboardingJob, token: int, why: str) -> tuple[str, str]:
        failed = job.ended(JobStatus.FAILED, self._clock.now(), why)
        async with self._database.write() as unit:
            await self._hold(unit, job, token)
            events = await leave(unit, await unit.symbols.lock(job.ticker), failed, self._clock)
            await unit.jobs.save(failed)
            await unit.events.append(*events, *self._queue.steps([failed]))
        return failed.status.value, why

    async def _give_back(self, claim: Claim) -> None:
        try:
            async with self._database.write() as unit:
                await unit.jobs.give_back(claim.job.id, claim.token)
        except Exception:
            log.exception("the onboarding of %s could not be given back; its lease will lapse", claim.job.ticker)

    # ── the phases

    async def _validate(self, job: OnboardingJob) -> Write:
        new = await self._asked(job) if await self._stored(job) is None else None

        async def write(unit: UnitOfWork) -> Effect:
            if new is not None and await unit.symbols.add(new):
                return Effect(job, [self._event(SymbolChangeKind.ADDED, job)])
            symbol = await self._locked(unit, job)
            if symbol.status is SymbolStatus.ONBOARDING:
                return Effect(job)
            await unit.symbols.save(symbol.onboarding(), symbol.version)
            return Effect(replace(job, previous_status=symbol.status), [self._event(SymbolChangeKind.STATUS_CHANGED, job)])

        return write

    async def _asked(self, job: OnboardingJob) -> Symbol:
        profile = await ask(self._provider.name, self._provider.profile(job.ticker))
        symbol = Symbol.tracked(profile, None, None, SymbolStatus.ONBOARDING)
        await asyncio.to_thread(calendar_for, symbol.asset_class, symbol.exchange)
        return symbol

    async def _fetch_prices(self, job: OnboardingJob) -> Write:
        symbol, at = await self._expected(job), self._clock.now()
        async with self._database.read() as unit:
            held = await unit.bars.daily_since(job.ticker, FIRST_DAY)
            known = (await unit.bars.actions([job.ticker])).get(job.ticker, [])
        start = (at - FIRST_HISTORY).date()
        anew = min([start, *(bar.day for bar in held[:1])])
        history = await self._history(symbol, anew if job.swaps else start, at)
        if not job.swaps and rescaling(held, history.bars, [*known, *history.actions]) is not None:
            job = replace(job, swaps=True)
            history = await self._history(symbol, anew, at)

        async def write(unit: UnitOfWork) -> Effect:
            await unit.symbols.lock(job.ticker)
            await (swap if job.swaps else store)(unit, symbol, history.bars, history.actions, at)
            return Effect(replace(job, prices_at=at))

        return write

    async def _history(self, symbol: Symbol, start: date, until: datetime) -> History:
        history = await ask(self._provider.name, self._provider.history(symbol, Interval.ONE_DAY, start, until))
        if not history.bars:
            raise NoData(symbol.ticker, self._provider.name)
        return history

    async def _join_universe(self, job: OnboardingJob) -> Write:
        today = self._clock.now().date()
        async with self._database.read() as unit:
            bars = await unit.bars.daily_since(job.ticker, (self._fetched_at(job) - FIRST_HISTORY).date())
            actions = (await unit.bars.actions([job.ticker])).get(job.ticker, [])
        found = findings(bars, actions, today, self._extractor)

        async def write(unit: UnitOfWork) -> Effect:
            symbol = await self._locked(unit, job)
            await unit.symbols.save(symbol.joined(found), symbol.version)
            await unit.symbols.replace_levels(job.ticker, found.levels)
            return Effect(job, [self._event(SymbolChangeKind.UPDATED, job)])

        return write

    async def _calculate_factors(self, job: OnboardingJob) -> Write:
        measured = await self._measuring.measure(job.ticker, gives_up=job.is_last_attempt)

        async def write(unit: UnitOfWork) -> Effect:
            await unit.exposures.replace(job.ticker, measured.exposures)
            return Effect(replace(job, shortfall=measured.shortfall))

        return write

    async def _update_portfolios(self, job: OnboardingJob) -> Write:
        async def write(unit: UnitOfWork) -> Effect:
            symbol = await self._locked(unit, job)
            await unit.symbols.save(symbol.onboarded(self._fetched_at(job)), symbol.version)
            await revalue(unit, job.ticker, self._clock.now().date())
            events = [self._event(SymbolChangeKind.STATUS_CHANGED, job)]
            return Effect(job.completed(self._clock.now(), job.shortfall), events)

        return write

    # ── shared

    async def _stored(self, job: OnboardingJob) -> Symbol | None:
        async with self._database.read() as unit:
            return await unit.symbols.get(job.ticker)

    async def _expected(self, job: OnboardingJob) -> Symbol:
        symbol = await self._stored(job)
        assert symbol is not None, "the phase before made it, and a symbol is never deleted"
        return symbol

    async def _locked(self, unit: UnitOfWork, job: OnboardingJob) -> Symbol:
        symbol = await unit.symbols.lock(job.ticker)
        assert symbol is not None, "the phase before made it, and a symbol is never deleted"
        return symbol

    def _fetched_at(self, job: OnboardingJob) -> datetime:
        assert job.prices_at is not None, "the phase before fetched them"
        return job.prices_at

    def _event(self, kind: SymbolChangeKind, job: OnboardingJob) -> SymbolChanged:
        return SymbolChanged(kind, job.ticker, self._clock.now())
