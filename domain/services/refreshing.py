"""Keeping symbols fresh: read, release, fetch, decide, write. No transaction is open while the provider is asked."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import uuid4

from domain.bars import Bar, CorporateAction, History, Interval
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
from domain.events import SymbolChanged, SymbolChangeKind
from domain.findings import Findings, findings, merged
from domain.levels import SymbolLevelExtractor
from domain.ports import Database, MarketDataProvider, UnitOfWork
from domain.services.asking import ask
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
    """A refresh under way: what was read at its start, under the lease that `token` holds."""

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
            return await self._finish(attempt, history)
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
        held = await unit.bars.daily_since(symbol.ticker, min(first, start))
        actions = await unit.bars.actions([symbol.ticker])
        return _Attempt(symbol, token, held, list(actions.get(symbol.ticker, ())), start)

    async def _fetch(self, attempt: _Attempt) -> History:
        until = self._clock.now()
        answer = self._provider.history(attempt.symbol, Interval.ONE_DAY, attempt.start, until)
        history = await ask(self._provider.name, answer)
        if not history.bars:
            raise NoData(attempt.symbol.ticker, self._provider.name)
        return history

    async def _finish(self, attempt: _Attempt, history: History) -> Refreshed:
        now = self._clock.now()
        actions = {(a.ex_date, a.kind): a for a in (*attempt.actions, *history.actions)}
        bars, changed = merged(attempt.held, history.bars, actions.values())
        found = findings(bars, actions.values(), now.date(), self._extractor)
        symbol = attempt.symbol.refreshed(now, found)
        await self._write(attempt, symbol, changed, history.actions, found)
        return Refreshed(symbol, symbol.level_count, len(history.bars), len(changed))

    async def _write(
        self,
        attempt: _Attempt,
        symbol: Symbol,
        changed: Sequence[Bar],
        actions: Sequence[CorporateAction],
        found: Findings,
    ) -> None:
        ticker = symbol.ticker
        async with self._database.write() as unit:
            if not await unit.leases.release(ticker, attempt.token):
                raise ProviderUnavailable(self._provider.name, detail="answered too late: the refresh had lost its lease")
            await unit.symbols.lock(ticker)
            await unit.symbols.save(symbol, attempt.symbol.version)
            await unit.bars.upsert(changed)
            await unit.bars.upsert_actions(actions)
            await unit.symbols.replace_levels(ticker, found.levels)
            await unit.events.append(self._event(SymbolChangeKind.REFRESHED, ticker))

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
        since = (job.started_at or job.queued_at) if job is not None else started.started_at
        raise AlreadyRefreshing(RefreshInFlight(symbol.ticker, since, ONBOARDING))
    return symbol


_OUTCOMES = {Trouble.RATE_LIMITED: AttemptOutcome.RATE_LIMITED, Trouble.DOWN: AttemptOutcome.DOWN}


def _outcome(error: BaseException) -> AttemptOutcome:
    if isinstance(error, ProviderUnavailable):
        return _OUTCOMES[error.trouble]
    return AttemptOutcome.EMPTY if isinstance(error, NoData) else AttemptOutcome.FAILED


def _why(error: BaseException) -> str:
    return error.message if isinstance(error, Refusal) else "an internal fault, see the log"
