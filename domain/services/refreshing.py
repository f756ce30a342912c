"""Keeping symbols fresh: read, release, fetch, decide, write. No transaction is open while the provider is asked."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from uuid import uuid4

from domain.bars import ActionKind, Bar, CorporateAction, History, Interval
from domain.calendars import calendar_for
from domain.clock import Clock
from domain.errors import (
    AlreadyRefreshing,
    NoData,
    ProviderUnavailable,
    RefreshInFlight,
    Refusal,
    SymbolNotFound,
    Trouble,
)
from domain.events import Event, SymbolChanged, SymbolChangeKind
from domain.findings import findings
from domain.levels import SymbolLevelExtractor
from domain.onboarding import OnboardingJob
from domain.ports import Database, MarketDataProvider, UnitOfWork
from domain.rescaling import rescaling
from domain.services.asking import ask
from domain.services.queueing import swapped
from domain.services.storing import store
from domain.services.valuing import market, revalue
from domain.staleness import AttemptOutcome
from domain.symbols import Symbol, SymbolStatus

log = logging.getLogger("freshtape.refreshing")

ONBOARDING = "onboarding"
"""Who a refresh is started by when it is part of an onboarding."""
FIRST_HISTORY = timedelta(days=365)
OVERLAP_DAYS = 5
"""Trading days before the newest bar held that a refresh asks for again: providers mend their newest bars."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    symbol: Symbol
    levels_extracted: int
    bars_received: int
    bars_changed: int


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A refresh under way: what was read at its start, under the lease that `token` holds. It asks for all from `start` on, and
    what is `held` of that."""

    symbol: Symbol
    token: str
    held: list[Bar]
    actions: list[CorporateAction]
    start: date


class Refreshing:
    """One refresh in flight per symbol, over all processes."""

    def __init__(
        self,
        database: Database,
        provider: MarketDataProvider,
        clock: Clock,
        extractor: SymbolLevelExtractor | None = None,
    ) -> None:
        self._database = database
        self._provider = provider
        self._clock = clock
        self._extractor = extractor or SymbolLevelExtractor()

    async def refresh(self, ticker: str, version: int | None, started_by: str) -> Refreshed:
        """Fetches the newest daily bars and replaces the levels, all or nothing. Raises SymbolNotFound, VersionConflict,
        AlreadyRefreshing, ProviderUnavailable and NoData."""
        attempt = await self._begin(ticker, version, started_by)
        try:
            history = await self._fetch(attempt)
            await self._refuse_rescaled(attempt, history)
            return await self._finish(await self._split(attempt, history), history)
        except BaseException as error:
            # Also when the caller has gone: the lease must not outlive the work.
            await asyncio.shield(self._give_up(attempt, error))
            raise

    async def _begin(self, ticker: str, version: int | None, started_by: str) -> _Attempt:
        started = RefreshInFlight(ticker, self._clock.now(), started_by)
        token = uuid4().hex
        async with self._database.write() as unit:
            await self._end_lapsed(unit, ticker)
            await _refreshable(unit, started, version)
            holder = await unit.leases.take(started, token)
            if holder is not None:
                raise AlreadyRefreshing(holder)
            # Read again: a refresh that ended between the reading and the lease has moved the version.
            attempt = await self._plan(unit, await _refreshable(unit, started, version), token)
            await unit.events.append(self._event(SymbolChangeKind.REFRESH_STARTED, ticker))
        return attempt

    async def _plan(self, unit: UnitOfWork, symbol: Symbol, token: str) -> _Attempt:
        first = (self._clock.now() - FIRST_HISTORY).date()
        newest = await unit.bars.newest_daily(symbol.ticker)
        calendar = calendar_for(symbol.asset_class, symbol.exchange)
        start = calendar.days_back(newest.day, OVERLAP_DAYS) if newest is not None else first
        held = await unit.bars.daily_since(symbol.ticker, start)
        actions = await unit.bars.actions([symbol.ticker])
        return _Attempt(symbol, token, held, list(actions.get(symbol.ticker, ())), start)

    async def _fetch(self, attempt: _Attempt) -> History:
        until = self._clock.now()
        answer = self._provider.history(attempt.symbol, Interval.ONE_DAY, attempt.start, until)
        history = await ask(self._provider.name, answer)
        if not history.bars:
            raise NoData(attempt.symbol.ticker, self._provider.name)
        return history

    async def _refuse_rescaled(self, attempt: _Attempt, history: History) -> None:
        """An answer in other shares or in another unit than what is held, of which no split tells, is not merged: an onboarding
        fetches everything anew. Raises AlreadyRefreshing for that."""
        ticker, told = attempt.symbol.ticker, [*attempt.actions, *history.actions]
        factor = rescaling(attempt.held, history.bars, told)
        if factor is None:
            return
        why = f"{self._provider.name} now counts in other shares or another unit: its prices are {factor:.6g} times those held"
        async with self._database.write() as unit:
            await unit.jobs.lock_queue()
            job = await unit.jobs.lock(ticker)
            if not await unit.leases.release(ticker, attempt.token):
                raise self._too_late()
            symbol = await unit.symbols.lock(ticker)
            assert symbol is not None, "it was there, and a symbol is never deleted"
            events: Sequence[Event] = ()
            if job is None:  # one that is active finds out for itself
                symbol.expect(attempt.symbol.version)
                job, events = await swapped(unit, symbol, why, self._clock)
            await unit.symbols.note_attempt(ticker, self._clock.now(), AttemptOutcome.FAILED)
            await unit.events.append(self._event(SymbolChangeKind.REFRESH_FAILED, ticker, why), *events)
        raise AlreadyRefreshing(_in_onboarding(job))

    async def _split(self, attempt: _Attempt, history: History) -> _Attempt:
        """Splits that a symbol with a price has not been through take effect first, in a transaction of their own: at no time
        does a new price meet an old number of shares."""
        symbol, today = attempt.symbol, self._clock.now().date()
        known = {(action.ex_date, action.kind) for action in attempt.actions}
        new = [action for action in history.actions if (action.ex_date, action.kind) not in known]
        unseen = _splits(new, after=date.min, until=today)
        if symbol.last_price is None or not (unseen or splits_since_refreshed(symbol, attempt.actions, today)):
            return attempt
        async with self._database.write() as unit:
            if not await unit.leases.hold(symbol.ticker, attempt.token):
                raise self._too_late()
            await unit.symbols.lock(symbol.ticker)
            await unit.bars.upsert_actions(new)
            due = unseen or await self._due(unit, symbol, today)
            after = await self._take_effect(unit, symbol, due, today) if due else symbol
        return replace(attempt, symbol=after, actions=[*attempt.actions, *new])

    async def apply_due_splits(self) -> list[str]:
        """Splits that were known ahead of their day take effect when it has come; to be called now and then. The tickers."""
        today = self._clock.now().date()
        async with self._database.read() as unit:
            tickers = await unit.bars.split_since_refreshed(today)
        return [ticker for ticker in tickers if await self._apply_due(ticker, today)]

    async def _apply_due(self, ticker: str, today: date) -> bool:
        """A refresh under way does it itself: what it has read of the symbol must not change meanwhile."""
        token = uuid4().hex
        async with self._database.write() as unit:
            if await unit.leases.take(RefreshInFlight(ticker, self._clock.now(), "schedule"), token) is not None:
                return False
            symbol = await unit.symbols.lock(ticker)
            due = await self._due(unit, symbol, today) if symbol is not None else []
            await unit.leases.release(ticker, token)
            if symbol is not None and due:
                await self._take_effect(unit, symbol, due, today)
            return bool(due)

    async def _due(self, unit: UnitOfWork, symbol: Symbol, today: date) -> list[CorporateAction]:
        """The splits since the symbol's last refresh that its price does not show yet."""
        price = (await market(unit, [symbol.ticker], today)).prices[symbol.ticker].value
        actions = (await unit.bars.actions([symbol.ticker])).get(symbol.ticker, [])
        return splits_since_refreshed(symbol, actions, today) if price != symbol.last_price else []

    async def _take_effect(self, unit: UnitOfWork, symbol: Symbol, splits: Sequence[CorporateAction], today: date) -> Symbol:
        """With the symbol locked and its splits stored."""
        price = (await market(unit, [symbol.ticker], today)).prices[symbol.ticker].value
        after = symbol.split(price)
        await unit.symbols.save(after, symbol.version)
        await revalue(unit, symbol.ticker, today)
        told = ", ".join(f"{each.value:f} for 1 on {each.ex_date}" for each in splits)
        await unit.events.append(self._event(SymbolChangeKind.SPLIT, symbol.ticker, told))
        return after

    async def _finish(self, attempt: _Attempt, history: History) -> Refreshed:
        """Bars, levels and symbol in one transaction, in which what is held is read."""
        before, now = attempt.symbol, self._clock.now()
        ticker = before.ticker
        async with self._database.write() as unit:
            if not await unit.leases.release(ticker, attempt.token):
                raise self._too_late()
            await unit.symbols.lock(ticker)
            stored = await store(unit, before, history.bars, history.actions, now)
            held = await unit.bars.daily_since(ticker, min(attempt.start, (now - FIRST_HISTORY).date()))
            actions = (await unit.bars.actions([ticker])).get(ticker, [])
            found = findings(held, actions, now.date(), self._extractor)
            symbol = before.refreshed(now, found)
            await unit.symbols.save(symbol, before.version)
            await unit.symbols.replace_levels(ticker, found.levels)
            if stored.changed or symbol.last_price != before.last_price:
                await revalue(unit, ticker, now.date())
            await unit.events.append(self._event(SymbolChangeKind.REFRESHED, ticker))
        return Refreshed(symbol, symbol.level_count, len(history.bars), len(stored.changed))

    async def _give_up(self, attempt: _Attempt, error: BaseException) -> None:
        ticker = attempt.symbol.ticker
        try:
            async with self._database.write() as unit:
                if await unit.leases.release(ticker, attempt.token):
                    await unit.symbols.note_attempt(ticker, self._clock.now(), _outcome(error))
                    await unit.events.append(self._event(SymbolChangeKind.REFRESH_FAILED, ticker, _why(error)))
        except Exception:
            log.exception("the failed refresh of %s could not be noted; its lease will lapse", ticker)

    async def end_lapsed_refreshes(self) -> list[RefreshInFlight]:
        """Ends the refreshes whose process died, each once, and tells; to be called every few seconds."""
        async with self._database.write() as unit:
            return await self._end_lapsed(unit, None)

    async def _end_lapsed(self, unit: UnitOfWork, ticker: str | None) -> list[RefreshInFlight]:
        lapsed = await unit.leases.end_lapsed(ticker)
        for refresh in lapsed:
            await unit.symbols.note_attempt(refresh.ticker, self._clock.now(), AttemptOutcome.FAILED)
        for refresh in lapsed:  # the event log last: who holds it must not wait for a symbol
            detail = "the process that refreshed it died"
            await unit.events.append(self._event(SymbolChangeKind.REFRESH_FAILED, refresh.ticker, detail))
        return lapsed

    def _too_late(self) -> ProviderUnavailable:
        return ProviderUnavailable(self._provider.name, detail="answered too late: the refresh had lost its lease")

    def _event(self, kind: SymbolChangeKind, ticker: str, detail: str | None = None) -> SymbolChanged:
        return SymbolChanged(kind, ticker, self._clock.now(), detail)


async def _refreshable(unit: UnitOfWork, started: RefreshInFlight, version: int | None) -> Symbol:
    """The symbol. Of one that is being onboarded only an onboarding may bring the prices."""
    symbol = await unit.symbols.get(started.ticker)
    if symbol is None:
        raise SymbolNotFound(started.ticker)
    symbol.require_refreshable(version)
    if symbol.status is SymbolStatus.ONBOARDING and started.started_by != ONBOARDING:
        job = (await unit.jobs.newest([symbol.ticker])).get(symbol.ticker)
        found = _in_onboarding(job) if job is not None else RefreshInFlight(symbol.ticker, started.started_at, ONBOARDING)
        raise AlreadyRefreshing(found)
    return symbol


def _in_onboarding(job: OnboardingJob) -> RefreshInFlight:
    return RefreshInFlight(job.ticker, job.started_at or job.queued_at, ONBOARDING)


def splits_since_refreshed(symbol: Symbol, actions: Iterable[CorporateAction], today: date) -> list[CorporateAction]:
    """The splits that took effect after the day of the symbol's last refresh."""
    return _splits(actions, after=symbol.last_updated.date(), until=today) if symbol.last_updated is not None else []


def _splits(actions: Iterable[CorporateAction], *, after: date, until: date) -> list[CorporateAction]:
    return [each for each in actions if each.kind is ActionKind.SPLIT and after < each.ex_date <= until]


_OUTCOMES = {
    Trouble.RATE_LIMITED: AttemptOutcome.RATE_LIMITED,
    Trouble.DOWN: AttemptOutcome.DOWN,
    Trouble.NOT_SERVED: AttemptOutcome.FAILED,
}


def _outcome(error: BaseException) -> AttemptOutcome:
    if isinstance(error, ProviderUnavailable):
        return _OUTCOMES[error.trouble]
    return AttemptOutcome.EMPTY if isinstance(error, NoData) else AttemptOutcome.FAILED


def _why(error: BaseException) -> str:
    return error.message if isinstance(error, Refusal) else "an internal fault, see the log"
