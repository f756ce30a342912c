"""The trading session as the outside has it: commands by version, and reading through the gate."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import date, datetime

from domain.bars import Interval, split_adjusted
from domain.calendars import OutOfCalendar, TradingDay, calendar_for
from domain.clock import Clock
from domain.errors import InvalidSession, ProviderUnavailable, StoreUnavailable, SymbolNotFound
from domain.events import Logged, LoggedMove, Position, SessionMoved
from domain.ports import BarPage, BarQuery, Database, EventFeed, MarketDataProvider, SymbolCatalogue, UnitOfWork
from domain.services.asking import ask
from domain.services.watching import SessionWatch, seen
from domain.session import Moved, StartSession, StreamingRules, TradingSession
from domain.symbols import Profile, Symbol

ASKED_AT_ONCE = 4
PULSE_SECONDS = 0.5

Listed = Profile | Symbol
Command = Callable[[UnitOfWork, TradingSession], Awaitable[Moved]]


class Sessions:
    """Tickers are canonical already: they are normalised at the edge. `rules` are those in force now."""

    def __init__(
        self,
        database: Database,
        feed: EventFeed,
        catalogue: SymbolCatalogue,
        provider: MarketDataProvider,
        watch: SessionWatch,
        clock: Clock,
        rules: Callable[[], StreamingRules],
    ) -> None:
        self._database = database
        self._feed = feed
        self._catalogue = catalogue
        self._provider = provider
        self._watch = watch
        self._clock = clock
        self._rules = rules

    # ── queries

    async def current(self) -> TradingSession:
        """Shut when its leader, or the database, has not been heard for 5 s."""
        return await self._watch.look()

    async def bars(self, ticker: str, query: BarQuery) -> BarPage:
        """The session's own of one of its symbols; `until` of the query is the session's to say. Withheld, too, when the
        database has not been heard for 5 s. Raises SymbolNotFound."""
        try:
            return await self._bars(ticker, query)
        except StoreUnavailable:
            known = self._watch.known()
            if (symbol := known.get(ticker)) is None or not symbol.is_withheld:
                raise
            return BarPage([], has_more=False, is_withheld=True, epoch=known.epoch)

    async def _bars(self, ticker: str, query: BarQuery) -> BarPage:
        async with self._database.snapshot() as unit:
            session = seen(await unit.session.read(), self._clock)
            symbol = session.get(ticker)
            if symbol is None:
                raise SymbolNotFound(ticker, "does not take part in the session")
            if symbol.is_withheld or symbol.watermark is None:
                return BarPage([], has_more=False, is_withheld=symbol.is_withheld, epoch=session.epoch)
            store = unit.bars if query.interval is Interval.ONE_MINUTE else unit.session_bars
            until = symbol.watermark if query.interval is Interval.ONE_MINUTE else session.clock
            pages = await store.pages([ticker], replace(query, until=until, start=symbol.since))
            actions = await unit.bars.actions([ticker])
        bars = split_adjusted(pages[ticker].bars, actions.get(ticker, ()), session.clock.date())
        return BarPage(bars, pages[ticker].has_more, epoch=session.epoch)

    async def follow(self, after: Position | None) -> AsyncGenerator[LoggedMove, None]:
        """Without `after` first the session as it stands, then its epochs; and when its leader is heard no more, or again, a
        word of that under the epoch it has. Raises CursorExpired."""
        async with self._database.snapshot() as unit:
            head = await unit.events.head()
            stored = await unit.session.read()
        position = after or head
        told = seen(stored, self._clock)
        if after is None:
            yield self._as_it_stands(head, told)
        elif stored is not None:
            told = stored.session  # as the last of its events has it
        async with aclosing(_pulses(self._feed.follow(position), PULSE_SECONDS)) as entries:
            async for entry in entries:
                position = entry.position if entry is not None else position
                if isinstance(entry, LoggedMove):
                    told = entry.event.session
                    yield entry
                elif position.number >= head.number:  # of the present, once all that is past is told
                    known = self._watch.known()
                    if known.epoch == told.epoch and known.is_active != told.is_active:
                        told = known
                        yield self._as_it_stands(position, told)

    def _as_it_stands(self, position: Position, session: TradingSession) -> LoggedMove:
        return LoggedMove(position, SessionMoved(session, session.reason or "", self._clock.now()))

    # ── commands

    async def start(self, asked: StartSession, expected: int) -> TradingSession:
        """Raises VersionConflict, InvalidSession and SymbolNotFound."""
        now = self._clock.now()
        (await self._watch.look()).started(asked, expected, self._rules(), now, now)  # before a provider is asked in vain
        listed = await self._known(asked.tickers)
        opens = await asyncio.to_thread(self._opening, asked.day, list(listed.values())) if asked.day else self._clock.now()

        async def start(unit: UnitOfWork, session: TradingSession) -> Moved:
            moved = session.started(asked, expected, self._rules(), opens, self._clock.now())
            await unit.session_bars.clear()
            await unit.session.offer()
            return moved

        return await self._command(start)

    async def stop(self, expected: int) -> TradingSession:
        """Raises VersionConflict and SessionNotRunning."""
        return await self._decide(lambda session: session.stopped(expected))

    async def pause(self, expected: int) -> TradingSession:
        """Raises VersionConflict, SessionNotRunning and InvalidSession."""
        return await self._decide(lambda session: session.paused(expected))

    async def resume(self, expected: int) -> TradingSession:
        """Raises VersionConflict, SessionNotRunning and InvalidSession."""
        return await self._decide(lambda session: session.resumed(expected))

    async def add(self, ticker: str, expected: int, threshold: int | None, priority: int | None) -> TradingSession:
        """Raises VersionConflict, SessionNotRunning, InvalidSession and SymbolNotFound."""
        now = self._clock.now()
        (await self._watch.look()).joined(ticker, expected, threshold, priority, now)  # before a provider is asked in vain
        await self._known([ticker])
        return await self._decide(lambda session: session.joined(ticker, expected, threshold, priority, now))

    async def remove(self, ticker: str, expected: int) -> TradingSession:
        """Raises VersionConflict, SessionNotRunning and SymbolNotFound."""
        return await self._decide(lambda session: session.left(ticker, expected))

    async def _decide(self, decide: Callable[[TradingSession], Moved]) -> TradingSession:
        async def decided(_: UnitOfWork, session: TradingSession) -> Moved:
            return decide(session)

        return await self._command(decided)

    async def _command(self, command: Command) -> TradingSession:
        async with self._database.write() as unit:
            stored = await unit.session.lock()
            session = stored.session if stored is not None else TradingSession(self._clock.now())
            after, epochs = await command(unit, session)
            await unit.session.save(after)
            await unit.events.append(*(SessionMoved(epoch.session, epoch.cause, self._clock.now()) for epoch in epochs))
        return await self._watch.look()

    # ── who may take part, and when

    async def _known(self, tickers: Sequence[str]) -> Mapping[str, Listed]:
        """Those tracked, and what the provider says of the others; without one that says nothing: its onboarding will. Raises
        SymbolNotFound for what cannot take part."""
        places = asyncio.Semaphore(ASKED_AT_ONCE)

        async def listed(ticker: str) -> Listed | None:
            known = await self._catalogue.get(ticker)
            if known is not None and known.is_retired:
                raise SymbolNotFound(ticker, "was removed: add it again first")
            if known is not None:
                return known
            async with places:
                with suppress(ProviderUnavailable):
                    return await ask(self._provider.name, self._provider.profile(ticker))
            return None

        found = await asyncio.gather(*map(listed, tickers))
        return {ticker: one for ticker, one in zip(tickers, found, strict=True) if one is not None}

    def _opening(self, day: date, listed: Sequence[Listed]) -> datetime:
        """When the first of them opens on the day. Raises InvalidSession when none trades on it, or it is not over yet."""
        if not listed:
            raise InvalidSession(f"None of the symbols is tracked, and {self._provider.name} does not say when they trade.")
        days = [hours for one in listed if (hours := _hours(one, day)) is not None]
        if not days:
            raise InvalidSession(f"None of the symbols trades on {day}.", "date")
        last, now = max(hours.close for hours in days), self._clock.now()
        if last > now:
            raise InvalidSession(
                f"{day} can be replayed once it is over, at {last:%Y-%m-%dT%H:%M:%SZ}; it is {now:%Y-%m-%dT%H:%M:%SZ}.", "date"
            )
        return min(hours.open for hours in days)


def _hours(listed: Listed, day: date) -> TradingDay | None:
    with suppress(OutOfCalendar):
        return calendar_for(listed.asset_class, listed.exchange).trading_day(day)
    return None


async def _pulses(entries: AsyncGenerator[Logged, None], seconds: float) -> AsyncGenerator[Logged | None, None]:
    """The entries as they come, and None whenever none has come for so long."""
    async with aclosing(entries):
        coming = asyncio.ensure_future(anext(entries))
        try:
            while True:
                done, _ = await asyncio.wait((coming,), timeout=seconds)
                if not done:
                    yield None
                    continue
                yield coming.result()
                coming = asyncio.ensure_future(anext(entries))
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
