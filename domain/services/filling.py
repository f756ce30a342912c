"""The course of a backfill. It is planned from what is missing, so that whoever takes it up asks only for the rest. A provider
is asked with no transaction open; then the bars of its answer, what it did not give, and how far the backfill has got are one
transaction, which only the holder of its lease can commit: with the last of them it ends."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from time import monotonic
from typing import Protocol

import numpy as np

from domain.backfill import MAX_LAPSES, Backfill, BackfillStatus
from domain.bars import History, Interval
from domain.calendars import OutOfCalendar, TradingCalendar, calendar_for
from domain.clock import Clock
from domain.errors import AlreadyRefreshing, NoData, ProviderUnavailable, Refusal, StoreUnavailable, SymbolNotFound, Trouble
from domain.events import Logged, LoggedChange, SymbolChanged, SymbolChangeKind
from domain.findings import Findings, findings
from domain.gaps import Absence, Mark
from domain.hours import Hours, Instants
from domain.levels import SymbolLevelExtractor
from domain.onboarding import wait_seconds
from domain.outcomes import outcome_line
from domain.planning import (
    Asked,
    Day,
    Plan,
    Request,
    absences,
    blocked,
    expected_days,
    fetched_as,
    plan,
    recent_since,
    unfetched,
)
from domain.ports import BackfillClaim, Database, MarketDataProvider, UnitOfWork
from domain.services.asking import ask
from domain.services.queueing import READY
from domain.services.refreshing import FIRST_HISTORY, Refreshed, Refreshing, splits_since_refreshed
from domain.services.storing import store
from domain.services.valuing import revalue
from domain.symbols import Symbol

log = logging.getLogger("freshtape.backfill")

LONG_WAIT_SECONDS = 3600
"""Whoever is told to wait for longer has met the end of a day's budget: that is no failed attempt."""
NEWS = (SymbolChangeKind.BACKFILL_STARTED, SymbolChangeKind.BACKFILLED, SymbolChangeKind.UPDATED)


class Canary(Protocol):
    async def is_well(self, symbol: Symbol) -> bool:
        """Whether the provider has what it must have, so that it is the symbol of which there is nothing."""
        ...


class LeaseLost(Exception):
    """The backfill is another worker's: nothing more may be written for it."""


class CannotFill(Exception):
    """One sentence for a person: why a backfill fails. `is_empty`: there was nothing of the symbol, newest days among it."""

    def __init__(self, reason: str, *, is_empty: bool = False) -> None:
        super().__init__(reason)
        self.is_empty = is_empty


@dataclass(frozen=True, slots=True)
class _Traded:
    """A symbol, and when it is traded."""

    symbol: Symbol
    calendar: TradingCalendar
    hours: Hours


@dataclass(slots=True)
class _Course:
    """A backfill under way, `job` as it was committed last. `given` counts the bars that have come of each interval, those of
    its refresh among them; `is_known`: newest bars of the symbol have come; `was_begun` by somebody else, or at an attempt
    before."""

    job: Backfill
    token: int
    traded: _Traded
    plans: Sequence[Plan]
    given: Counter[Interval]
    is_known: bool
    was_begun: bool

    @property
    def steps(self) -> list[tuple[Plan, Request]]:
        return [(each, request) for each in self.plans for request in each.requests]

    @property
    def empty(self) -> list[Plan]:
        """Those that were asked for and that nothing came of. Where it was begun before, that may have been of any of them; and
        the schedule asks for what there is: a symbol whose days come need not have minutes."""
        if self.was_begun or (self.job.is_scheduled and self.given.total()):
            return []
        return [each for each in self.plans if each.requests and not self.given[each.interval]]


@dataclass(frozen=True, slots=True)
class _Answer:
    """The provider's to one request, cut to what was asked for."""

    plan: Plan
    request: Request
    history: History


@dataclass(frozen=True, slots=True)
class _End:
    """How an attempt ended, and why."""

    outcome: str
    reason: str
    job: Backfill


class Filling:
    """Takes backfills up and brings them to their end."""

    name = "backfill"

    def __init__(
        self,
        database: Database,
        provider: MarketDataProvider,
        refreshing: Refreshing,
        clock: Clock,
        canary: Canary | None = None,
        observe: Callable[[str], None] = lambda _: None,
        *,
        places: int = 3,
    ) -> None:
        """Without a `canary` no symbol becomes SUSPECT. `observe` is told how each attempt ends: completed, failed, postponed
        or lost. All processes together work at so many `places`."""
        self.places = places
        self._database = database
        self._provider = provider
        self._refreshing = refreshing
        self._clock = clock
        self._canary = canary
        self._observe = observe
        self._extractor = SymbolLevelExtractor()

    async def claim(self) -> BackfillClaim | None:
        """Takes up the one that is next, if there is one."""
        async with self._database.read() as unit:
            if not await unit.backfills.is_up(self.places):
                return None
        async with self._database.write() as unit:
            await unit.jobs.lock_queue()
            return await unit.backfills.claim(self.places, self._clock.now())

    async def run(self, claim: BackfillClaim) -> None:
        """To the end of the backfill or of the attempt, whatever happens on the way."""
        end, began = _End("lost", "given back", claim.job), monotonic()
        try:
            end = await self._run(claim.job, claim.token)
        except LeaseLost:
            end = replace(end, reason="taken away")
        except StoreUnavailable as error:
            end = replace(end, reason=f"to go on when the lease has lapsed: {error}")
        except Exception:
            end = replace(end, reason="to go on when the lease has lapsed: an internal fault")
            log.exception("the end of the backfill of %s met a fault", claim.job.ticker)
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(claim))
            raise
        finally:
            self._tell(end, monotonic() - began)

    async def work_off(self) -> None:
        """One backfill after the other, until none is up."""
        while (claim := await self.claim()) is not None:
            await self.run(claim)

    async def prolong(self, claim: BackfillClaim) -> bool:
        """The heartbeat. False when the backfill is no longer the claim's."""
        async with self._database.write() as unit:
            return await unit.backfills.hold(claim.job.ticker, claim.token)

    def is_news(self, entry: Logged) -> bool:
        """A backfill that is queued, or that has ended and frees a place."""
        return isinstance(entry, LoggedChange) and entry.event.kind in NEWS

    def _tell(self, end: _End, seconds: float) -> None:
        job = end.job
        self._observe(end.outcome)
        counts = {"attempt": job.attempts, "received": job.received, "inserted": job.records_inserted or 0}
        line = outcome_line("backfill", job.ticker, end.outcome, end.reason, seconds, **counts)
        log.log(logging.INFO if end.outcome == BackfillStatus.COMPLETED.value else logging.WARNING, line)

    async def _give_back(self, claim: BackfillClaim) -> None:
        try:
            async with self._database.write() as unit:
                await unit.backfills.give_back(claim.job.ticker, claim.token)
        except Exception:
            log.exception("the backfill of %s could not be given back; its lease will lapse", claim.job.ticker)

    async def _run(self, job: Backfill, token: int) -> _End:
        if job.lapses > MAX_LAPSES:
            return await self._fail(job, token, CannotFill(f"{MAX_LAPSES} workers died over it."))
        course: _Course | None = None
        try:
            course = await self._begin(job, token)
            return await self._fill(course)
        except (LeaseLost, StoreUnavailable):
            raise
        except Exception as error:
            return await self._end_badly(course.job if course is not None else job, token, error)

    # ── what there is to do

    async def _begin(self, job: Backfill, token: int) -> _Course:
        symbol = _fillable(await self._symbol(job), job)
        traded = await _traded(symbol)
        refreshed = await self._refresh(symbol) if job.is_scheduled else None
        plans = await self._plans(job, traded)
        course = _Course(job, token, traded, plans, Counter(), is_known=False, was_begun=job.received > 0)
        course.job = job.expecting(sum(sum(each.missing.values()) for each in plans))
        if refreshed is not None:
            self._count(course, Interval.ONE_DAY, refreshed.bars_received, refreshed.symbol.as_of)
        return course

    async def _symbol(self, job: Backfill) -> Symbol | None:
        async with self._database.read() as unit:
            return await unit.symbols.get(job.ticker)

    async def _refresh(self, symbol: Symbol) -> Refreshed | None:
        """None when somebody else is at it."""
        with suppress(AlreadyRefreshing):
            return await self._refreshing.refresh(symbol.ticker, None, "schedule")
        return None

    def _count(self, course: _Course, interval: Interval, bars: int, newest: datetime | None) -> None:
        course.given[interval] += bars
        recent = recent_since(course.traded.calendar, self._clock.now())
        course.is_known |= newest is not None and newest.date() >= recent

    async def _plans(self, job: Backfill, traded: _Traded) -> list[Plan]:
        return [await self._plan(job, traded, fetched_as(each.interval), each.first, each.last) for each in job.wanted]

    async def _plan(self, job: Backfill, traded: _Traded, interval: Interval, first: date, last: date) -> Plan:
        now = self._clock.now()
        days = await asyncio.to_thread(expected_days, traded.calendar, traded.hours, interval, first, last, now)
        async with self._database.read() as unit:
            held = await _held(unit, job.ticker, interval, days)
            known = (await unit.quality.absences([job.ticker], interval)).get(job.ticker, [])
        absent = blocked(days, known, self._provider.name, now)
        reach = self._provider.reach(traded.symbol.asset_class, interval)
        # The newest daily bars are the refresh's.
        again_since = recent_since(traded.calendar, now) if job.is_scheduled and interval is not Interval.ONE_DAY else None
        return plan(interval, days, held, absent, reach, now, again_since)

    # ── bringing it forward

    async def _fill(self, course: _Course) -> _End:
        steps = course.steps
        if not steps:
            return await self._end(course, None, self._unreachable(course))
        for each, request in steps[:-1]:
            await self._store(course, await self._answer(course, each, request))
        last = await self._answer(course, *steps[-1])
        return await self._end(course, last, await self._shortfall(course))

    async def _answer(self, course: _Course, asked: Plan, request: Request) -> _Answer:
        answer = self._provider.history(course.traded.symbol, asked.interval, request.starts_on, request.until)
        history = await ask(self._provider.name, answer)
        begins = datetime.fromtimestamp(request.begins, UTC)
        bars = tuple(bar for bar in history.bars if begins <= bar.open_time < request.until)
        self._count(course, asked.interval, len(bars), bars[-1].close_time if bars else None)
        return _Answer(asked, request, replace(history, bars=bars))

    async def _store(self, course: _Course, answer: _Answer) -> None:
        async with self._database.write() as unit:
            symbol = await self._held_symbol(unit, course)
            job = await self._put(unit, symbol, course, answer)
            await unit.quality.set_mark(Mark(job.ticker, answer.plan.interval, None, answer.request.until))
            await unit.backfills.save(job)
        course.job = job

    async def _end(self, course: _Course, last: _Answer | None, failure: CannotFill | None) -> _End:
        """With what came last: bars, mark and status are one transaction."""
        async with self._database.write() as unit:
            symbol = await self._held_symbol(unit, course)
            job = await self._put(unit, symbol, course, last) if last is not None else course.job
            for each in course.plans:
                await self._settle(unit, course, each)
            has_days = course.given[Interval.ONE_DAY] > 0
            found = await self._findings(unit, symbol) if has_days and not job.is_scheduled else None
            return await self._close(unit, symbol, job, failure, is_known=course.is_known, found=found)

    async def _findings(self, unit: UnitOfWork, symbol: Symbol) -> Findings | None:
        """What its days say now, as after a refresh; the schedule has made one. None while a split has yet to take effect: a
        new price must not meet an old number of shares."""
        now, ticker = self._clock.now(), symbol.ticker
        held = await unit.bars.daily_since(ticker, (now - FIRST_HISTORY).date())
        actions = (await unit.bars.actions([ticker])).get(ticker, [])
        if not held or splits_since_refreshed(symbol, actions, now.date()):
            return None
        return findings(held, actions, now.date(), self._extractor)

    async def _held_symbol(self, unit: UnitOfWork, course: _Course) -> Symbol:
        await self._hold(unit, course.job, course.token)
        return _fillable(await unit.symbols.lock(course.job.ticker), course.job)

    async def _hold(self, unit: UnitOfWork, job: Backfill, token: int) -> None:
        if not await unit.backfills.hold(job.ticker, token):
            raise LeaseLost

    async def _put(self, unit: UnitOfWork, symbol: Symbol, course: _Course, answer: _Answer) -> Backfill:
        """The bars, and what is missing of them, which is not asked for again soon."""
        now, ticker, request, interval = self._clock.now(), symbol.ticker, answer.request, answer.plan.interval
        stored = await store(unit, symbol, answer.history.bars, answer.history.actions, now)
        held = await _held(unit, ticker, interval, request.days)
        listed_since = await unit.bars.first_open(ticker, interval) if interval is Interval.ONE_DAY else None
        asked = Asked(ticker, interval, self._provider.name, now)
        absent = absences(asked, request, held, recent_since(course.traded.calendar, now), listed_since)
        await unit.quality.forget_absences(ticker, interval, request.first, request.last)
        await unit.quality.note_absences(absent)
        return course.job.stored(len(answer.history.bars), stored.inserted)

    async def _settle(self, unit: UnitOfWork, course: _Course, each: Plan) -> None:
        """How far an interval is known. Where nothing came, nothing is: the days may be asked for again at any time."""
        ticker, interval = course.job.ticker, each.interval
        if each in course.empty:
            await unit.quality.forget_absences(ticker, interval, each.days[0].day, each.days[-1].day)
            await unit.quality.set_mark(Mark(ticker, interval, None, each.requests[0].until))
            return
        first = await unit.bars.first_open(ticker, interval)
        known = (await unit.quality.marks([ticker], interval)).get(ticker)
        mark = each.mark(ticker, first, known, course.traded.hours)
        if mark is not None:
            await unit.quality.set_mark(mark)

    # ── ends

    def _unreachable(self, course: _Course) -> CannotFill | None:
        """Of a backfill that can ask for nothing: None when nothing is missing."""
        beyond = next((each for each in course.plans if each.beyond), None)
        if beyond is None:
            return None
        name, interval = self._provider.name, beyond.interval
        reach = self._provider.reach(course.traded.symbol.asset_class, interval)
        if reach is None or reach.days_back is None:
            return CannotFill(f"{name} has no bars of {interval.value}.")
        since = self._clock.now().date() - timedelta(days=reach.days_back)
        return CannotFill(f"{name} has no bars of {interval.value} before {since}, and of later ones none is missing.")

    async def _shortfall(self, course: _Course) -> CannotFill | None:
        if not (empty := course.empty):
            return None
        recent = recent_since(course.traded.calendar, self._clock.now())
        is_recent = any(each.interval is Interval.ONE_DAY and each.requests[0].last >= recent for each in empty)
        told = " ".join(self._sentence(course.job.ticker, each) for each in empty)
        return await self._judged(course.job, CannotFill(told, is_empty=is_recent and not course.is_known))

    def _sentence(self, ticker: str, empty: Plan) -> str:
        first, last = empty.requests[-1].first, empty.requests[0].last
        expected = sum(request.expected for request in empty.requests)
        what = f"{self._provider.name} sent no bars of {ticker} from {first} to {last}"
        return f"{what}, of which the calendar expects {expected} of {empty.interval.value}."

    async def _judged(self, job: Backfill, failure: CannotFill) -> CannotFill:
        """That there is nothing speaks against the symbol only if its provider is well."""
        if not failure.is_empty:
            return failure
        symbol = await self._symbol(job)
        is_well = symbol is not None and self._canary is not None and await self._canary.is_well(symbol)
        return CannotFill(str(failure), is_empty=is_well)

    async def _close(
        self,
        unit: UnitOfWork,
        symbol: Symbol,
        job: Backfill,
        failure: CannotFill | None,
        *,
        is_known: bool = False,
        found: Findings | None = None,
    ) -> _End:
        """The last writes of the transaction that ends a backfill. `is_known`: newest bars of the symbol have come; `found` is
        what its days say then, where that may be something else."""
        now = self._clock.now()
        is_empty = failure is not None and failure.is_empty
        if is_known:
            job = job.found_something()
        elif is_empty:
            job = job.found_nothing_on(_trading_day(symbol, now))
        after = symbol.backfilled(is_known=is_known, is_suspicious=is_empty and job.is_suspicious)
        reason = str(failure) if failure is not None else _summary(job)
        job = job.failed(reason) if failure is not None else job.completed(now)
        if found is not None:
            after = after.joined(found)
        await unit.backfills.save(job)
        await unit.symbols.save(after, symbol.version)
        if found is not None:
            await unit.symbols.replace_levels(job.ticker, found.levels)
        if after.last_price != symbol.last_price:
            await revalue(unit, job.ticker, now.date())
        kind = SymbolChangeKind.UPDATED if failure is not None else SymbolChangeKind.BACKFILLED
        told = [SymbolChanged(kind, job.ticker, now, reason)]
        if after.status is not symbol.status:
            told.append(SymbolChanged(SymbolChangeKind.STATUS_CHANGED, job.ticker, now, f"{after.status.value}: {reason}"))
        await unit.events.append(*told)
        return _End(job.status.value, reason, job)

    async def _end_badly(self, job: Backfill, token: int, error: Exception) -> _End:
        if isinstance(error, SymbolNotFound | NoData):
            error = CannotFill(error.message, is_empty=True)
        if isinstance(error, CannotFill):
            return await self._fail(job, token, await self._judged(job, error))
        if not isinstance(error, Refusal):
            log.error("the backfill of %s met a fault", job.ticker, exc_info=error)
        why = error.message if isinstance(error, Refusal) else "an internal fault, see the log"
        retry_after = error.retry_after_seconds if isinstance(error, ProviderUnavailable) else None
        if isinstance(error, ProviderUnavailable) and error.trouble is Trouble.NOT_SERVED:
            return await self._fail(job, token, CannotFill(why))
        if isinstance(error, ProviderUnavailable) and _is_out_of_budget(error):
            return await self._postpone(job.postponed(why, counts=False), token, float(retry_after or 0))
        if job.is_last_attempt:
            unasked = await self._unasked(job) if isinstance(error, ProviderUnavailable) else []
            return await self._fail(job, token, CannotFill(why), unasked)
        return await self._postpone(job.postponed(why), token, wait_seconds(job.attempts, retry_after, random.random()))

    async def _postpone(self, job: Backfill, token: int, seconds: float) -> _End:
        async with self._database.write() as unit:
            await self._hold(unit, job, token)
            await unit.backfills.save(job, seconds)
        return _End("postponed", job.error or "", job)

    async def _fail(self, job: Backfill, token: int, failure: CannotFill, unasked: Sequence[Absence] = ()) -> _End:
        async with self._database.write() as unit:
            await self._hold(unit, job, token)
            symbol = await unit.symbols.lock(job.ticker)
            assert symbol is not None, "a symbol is never deleted"
            await unit.quality.note_absences(unasked)
            return await self._close(unit, symbol, job, failure)

    async def _unasked(self, job: Backfill) -> list[Absence]:
        """What a provider that does not answer leaves missing."""
        symbol = await self._symbol(job)
        plans = await self._plans(job, await _traded(symbol)) if symbol is not None else []
        now, name = self._clock.now(), self._provider.name
        return [
            absence
            for each in plans
            for request in each.requests
            for absence in unfetched(Asked(job.ticker, each.interval, name, now), request, each.missing)
        ]


async def _traded(symbol: Symbol) -> _Traded:
    calendar = await asyncio.to_thread(calendar_for, symbol.asset_class, symbol.exchange)
    return _Traded(symbol, calendar, Hours(calendar))


async def _held(unit: UnitOfWork, ticker: str, interval: Interval, days: Sequence[Day]) -> Instants:
    if not days:
        return np.empty(0, np.int64)
    return np.array(await unit.bars.opens_between(ticker, interval, days[0].begins, days[-1].ends), np.int64)


def _fillable(symbol: Symbol | None, job: Backfill) -> Symbol:
    """Raises CannotFill for one that is retired, or that an onboarding brings the history of."""
    if symbol is None or symbol.status not in READY:
        state = "retired" if symbol is None or symbol.is_retired else "being onboarded"
        raise CannotFill(f"{job.ticker} is {state}.")
    return symbol


def _is_out_of_budget(error: ProviderUnavailable) -> bool:
    return error.trouble is Trouble.RATE_LIMITED and (error.retry_after_seconds or 0) > LONG_WAIT_SECONDS


def _summary(job: Backfill) -> str:
    of = " and ".join(dict.fromkeys(fetched_as(each.interval).value for each in job.wanted))
    return f"{job.received} bars of {of}, {job.records_inserted or 0} new"


def _trading_day(symbol: Symbol, now: datetime) -> date:
    try:
        return calendar_for(symbol.asset_class, symbol.exchange).days_back(now.date(), 0)
    except OutOfCalendar:
        return now.date()
