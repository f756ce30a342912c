"""Leading the session: one process does, and brings it forward; the others wait to take its place."""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from domain.aggregation import Part, Window
from domain.bars import Bar, Interval
from domain.clock import Clock
from domain.errors import StoreUnavailable
from domain.events import LoggedMove, SessionMoved
from domain.lanes import Arrival, Lanes
from domain.ports import Database, EventFeed, Heard, LiveFeed, UnitOfWork
from domain.services.loading import CannotLoad, Loaded, Loading, minute_of
from domain.services.mending import Mending
from domain.services.telling import BarFeed
from domain.session import Epoch, Moved, Run, SessionMode, SessionSymbol, SessionSymbolPhase, StreamingRules, TradingSession
from domain.symbols import Symbol

log = logging.getLogger("freshtape.session")

LOOK_SECONDS = 1.0
"""How often a process that does not lead looks whether somebody does."""
BEAT_SECONDS = 1.0
LINGER_SECONDS = 1.0
"""How long a replay that has come to its end stays open: other processes look for its last bars twice a second."""
AGAIN_SECONDS = 0.5
HEARD_AT_ONCE = 1000
MINUTE = timedelta(minutes=1)
FRONT_AT_ONCE = 20_000
"""Bars of the frontier between two commits, where they come as fast as they can."""
CHUNK = 500
"""Bars of a symbol that catches up between two looks at the frontier: it must not wait."""


class LeadershipLost(Exception):
    """Another process leads the session, or nobody has to any more."""


@dataclass(frozen=True, slots=True)
class Lead:
    """The session as it was taken over, and the token under which it may be written."""

    session: TradingSession
    token: int


class Observer(Protocol):
    """Who counts what the leader does."""

    def stored(self, session: TradingSession, bars: int, *, has_turned: bool) -> None:
        """A commit: how the session stands, the minutes processed, and whether its gate has opened or shut."""
        ...

    def arrived(self, arrival: Arrival) -> None:
        """A minute of a live session."""
        ...

    def left(self) -> None:
        """This process leads no more."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What leading a session takes."""

    database: Database
    loading: Loading
    bar_feed: BarFeed
    open_feed: Callable[[], LiveFeed]
    clock: Clock
    rules: Callable[[], StreamingRules]
    observer: Observer

    def told(self, epochs: Sequence[Epoch]) -> list[SessionMoved]:
        return [SessionMoved(epoch.session, epoch.cause, self.clock.now()) for epoch in epochs]


class Leader:
    """A process's share in leading: takes the session over when nobody leads it, and leads it until it ends or is lost."""

    def __init__(self, feed: EventFeed, tools: Tools) -> None:
        self._feed = feed
        self.tools = tools
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """For ever. Cancelled, it gives the session up, so that another process goes on at once."""
        while True:
            self._wake.clear()
            if (lead := await self._claim()) is not None:
                await self._lead(lead)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()

    async def listen(self) -> None:
        """For ever: a command is news."""
        async with aclosing(self._feed.follow(None)) as entries:
            async for entry in entries:
                if isinstance(entry, LoggedMove):
                    self._wake.set()

    async def _claim(self) -> Lead | None:
        with suppress(StoreUnavailable):
            async with self.tools.database.read() as unit:
                stored = await unit.session.read()
            if stored is not None and stored.session.is_going and stored.is_free:
                async with self.tools.database.write() as unit:
                    return await self._take(unit)
        return None

    async def _take(self, unit: UnitOfWork) -> Lead | None:
        stored = await unit.session.lock()
        if stored is None or not stored.session.is_going or not stored.is_free:
            return None
        session, epochs = stored.session.led()
        await unit.session.save(session)
        await unit.session.lead(stored.token + 1)
        await unit.events.append(*self.tools.told(epochs))
        return Lead(session, stored.token + 1)

    async def _lead(self, lead: Lead) -> None:
        self.tools.bar_feed.is_told_here = True
        try:
            await Leadership(lead, self.tools, self._wake).run()
        except LeadershipLost:
            log.info("the session is led no more by this process")
        finally:
            self.tools.bar_feed.is_told_here = False
            self.tools.observer.left()
            await self._resign(lead.token)

    async def _resign(self, token: int) -> None:
        with suppress(StoreUnavailable):
            async with self.tools.database.write() as unit:
                await unit.session.resign(token)


class Pace:
    """Where a replay's clock should be: so many of its seconds for one of real time, from where it was set last."""

    def __init__(self, clock: float, speed: float) -> None:
        self._speed = speed
        self.set(clock)

    def set(self, clock: float) -> None:
        self._clock, self._since = clock, asyncio.get_running_loop().time()

    def now(self) -> float:
        if not self._speed:
            return math.inf
        return self._clock + (asyncio.get_running_loop().time() - self._since) * self._speed

    def seconds_until(self, clock: float) -> float:
        return max(0.0, (clock - self.now()) / self._speed) if self._speed else 0.0


class Live:
    """The minutes that a live session hears. `early` are those of symbols that have no lane yet, `mending` has those that were
    missed."""

    def __init__(self, feed: LiveFeed, mending: Mending, wake: asyncio.Event) -> None:
        self.mending = mending
        self._feed = feed
        self._wake = wake
        self._heard: asyncio.Queue[Heard] = asyncio.Queue(HEARD_AT_ONCE)
        self.early: dict[str, list[Bar]] = {}
        self.period_seconds = feed.period_seconds

    def watch(self, symbols: Iterable[Symbol]) -> None:
        self._feed.watch(list(symbols))

    async def listen(self) -> None:
        """For ever. When nobody takes what was heard, the feed waits: it keeps what comes meanwhile within bounds."""
        async with aclosing(self._feed.heard()) as told:
            async for heard in told:
                await self._heard.put(heard)
                self._wake.set()

    def heard_by_now(self) -> Iterator[Heard]:
        while not self._heard.empty():
            yield self._heard.get_nowait()


class Leadership:
    """Of one session by this process, from taking it over to its end."""

    def __init__(self, lead: Lead, tools: "Tools", wake: asyncio.Event) -> None:
        self._session, self._token = lead.session, lead.token
        self._tools = tools
        self._wake = wake
        self._is_live = self._session.mode is SessionMode.LIVE
        clock = self._session.clock.timestamp()
        self._lanes = Lanes(clock, is_live=self._is_live, quarantine_after=self._session.quarantine_after_seconds)
        self._pace = Pace(clock, self._session.speed)
        self._admitted: dict[str, Symbol] = {}
        self._loads: dict[str, asyncio.Task[Loaded]] = {}
        self._loaded: dict[str, Loaded] = {}
        mending = Mending(tools.loading, self._loaded, tools.clock, wake)
        self._live = Live(tools.open_feed(), mending, wake) if self._is_live else None
        self._failed: dict[str, str] = {}
        self._is_staffed_anew = True
        self._beat_at = self._came_at = -math.inf

    async def run(self) -> None:
        """Raises LeadershipLost, when it is over for this process."""
        work = (self._live.listen(), self._live.mending.run()) if self._live is not None else ()
        beside = [asyncio.create_task(each, name="live feed") for each in work]
        try:
            while True:
                self._wake.clear()
                for task in beside:
                    if task.done():
                        task.result()  # a fault: the leader begins anew
                self._staff()
                if not await self._forward():
                    await self._wait()
        finally:
            tasks: list[asyncio.Task[Any]] = [*self._loads.values(), *beside]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ── who takes part

    def _staff(self) -> None:
        """A lane for each symbol that is loaded, and a load for each that is not."""
        for symbol in self._session.symbols:
            task = self._loads.get(symbol.ticker)
            if task is None and self._is_to_load(symbol):
                work = self._load(symbol.ticker)
                self._loads[symbol.ticker] = asyncio.create_task(work, name=f"session load of {symbol.ticker}")
            elif task is not None and task.done():
                del self._loads[symbol.ticker]
                self._enter(symbol, task)
                self._is_staffed_anew = True
        self._session = self._session.ruled(self._rules())
        for symbol in self._session.symbols:
            if (lane := self._lanes.get(symbol.ticker)) is not None:
                lane.rule(self._session.threshold_of(symbol), self._session.checks_of(symbol))

    def _is_to_load(self, symbol: SessionSymbol) -> bool:
        is_out = symbol.phase is SessionSymbolPhase.FAILED or symbol.ticker in self._failed
        return not is_out and self._lanes.get(symbol.ticker) is None

    async def _load(self, ticker: str) -> Loaded:
        try:
            symbol = await self._tools.loading.admit(ticker)
            self._admitted[ticker] = symbol
            if self._live is not None:
                self._live.watch(self._admitted.values())  # what arrives while its history is read waits for it
            self._is_staffed_anew = True
            self._wake.set()
            return await self._tools.loading.load(symbol, self._session.day)
        finally:
            self._wake.set()

    def _enter(self, symbol: SessionSymbol, task: asyncio.Task[Loaded]) -> None:
        try:
            loaded = task.result()
        except CannotLoad as error:
            self._failed[symbol.ticker] = str(error)
            return
        except Exception as error:
            log.exception("%s cannot be loaded", symbol.ticker)
            self._failed[symbol.ticker] = f"An internal fault, see the log: {type(error).__name__}."
            return
        self._loaded[symbol.ticker] = replace(loaded, minutes=())
        watermark = int(symbol.watermark.timestamp()) if symbol.watermark is not None else None
        threshold, every = self._session.threshold_of(symbol), self._session.checks_of(symbol)
        lane = self._lanes.enter(symbol.ticker, loaded.hours, loaded.minutes, threshold, every, watermark)
        if self._live is not None:
            for bar in self._live.early.pop(symbol.ticker, ()):
                self._tools.observer.arrived(self._lanes.arrive(lane, minute_of(bar)))

    def _adopt(self, stored: TradingSession) -> None:
        """What was commanded meanwhile: who left, and who is to be tried again."""
        for known in self._session.symbols:
            now = stored.get(known.ticker)
            has_failed = known.phase is SessionSymbolPhase.FAILED
            if now is None or (has_failed and now.phase is SessionSymbolPhase.PENDING):
                self._drop(known.ticker)

    def _drop(self, ticker: str) -> None:
        self._lanes.leave(ticker)
        self._admitted.pop(ticker, None)
        if self._live is not None:
            self._live.watch(self._admitted.values())
            self._live.mending.forget(ticker)
        self._failed.pop(ticker, None)
        self._loaded.pop(ticker, None)
        if (task := self._loads.pop(ticker, None)) is not None:
            task.cancel()

    # ── bringing it forward

    async def _forward(self) -> bool:
        """Works off what is due; False when there is nothing to do for now."""
        if self._is_moving:
            self._advance()
        if self._is_staffed_anew or self._lanes.has_news or self._now() - self._beat_at >= BEAT_SECONDS:
            self._is_staffed_anew = False
            await self._commit(lambda session: (session, []))
        if self._is_processing and self._lanes.is_catching_up:
            self._lanes.catch_up(CHUNK)
            return True
        if not self._is_moving:
            return False
        if self._is_over:
            await self._commit(TradingSession.finished)
            if not self._session.is_going:
                raise LeadershipLost
        return self._lanes.has_news or self._is_in_a_hurry

    @property
    def _is_processing(self) -> bool:
        """Of a live session also while it is paused for the outside."""
        return self._is_live or self._session.run is Run.RUNNING

    @property
    def _is_moving(self) -> bool:
        """Whether its clock is: a replay's stands still until all symbols are there."""
        return self._is_processing and (self._is_live or self._session.has_begun)

    @property
    def _is_in_a_hurry(self) -> bool:
        """Whether it is a replay that goes as fast as it can, and has further to go."""
        ends = self._ends
        return not self._is_live and not self._session.speed and ends is not None and self._lanes.clock < ends

    @property
    def _is_over(self) -> bool:
        ends = self._ends
        is_at_its_end = not self._is_live and ends is not None and self._lanes.clock >= ends and not self._loads
        return is_at_its_end and self._now() - self._came_at >= LINGER_SECONDS

    @property
    def _ends(self) -> float | None:
        """Of a replay, when the last of its symbols closes; None while none is loaded."""
        return max((loaded.day.close.timestamp() for loaded in self._loaded.values()), default=None)

    def _advance(self) -> None:
        lanes, target = self._lanes, self._target()
        if self._live is not None:
            self._take_in(self._live, target)
        lanes.advance(target, FRONT_AT_ONCE)
        if lanes.clock < target:
            self._pace.set(lanes.clock)  # the clock waits for the work
        if lanes.clock >= lanes.next_sweep():
            lanes.sweep()

    def _take_in(self, live: "Live", now: float) -> None:
        """What was heard: of symbols whose history is still being read it waits. And what was missed."""
        for heard in live.heard_by_now():
            self._lanes.heard = now
            live.mending.note(heard.missed)
            for bar in heard.bars:
                if (lane := self._lanes.get(bar.ticker)) is not None:
                    self._tools.observer.arrived(self._lanes.arrive(lane, minute_of(bar)))
                elif bar.ticker in self._admitted:
                    live.early.setdefault(bar.ticker, []).append(bar)
        for ticker, minutes in live.mending.mended():
            if (lane := self._lanes.get(ticker)) is not None:
                for minute in minutes:
                    self._lanes.arrive(lane, minute)

    def _rules(self) -> StreamingRules:
        """What is asked for every so often is so much further behind."""
        rules = self._tools.rules()
        period = math.ceil(self._live.period_seconds) if self._live is not None else 0
        return replace(rules, catchup_threshold_seconds=rules.catchup_threshold_seconds + period)

    def _target(self) -> float:
        if self._is_live:
            return max(self._lanes.clock, self._tools.clock.now().timestamp())
        ends = self._ends
        return min(self._pace.now(), ends) if ends is not None else self._lanes.clock

    async def _wait(self) -> None:
        seconds = BEAT_SECONDS - (self._now() - self._beat_at)
        if self._is_moving and not self._is_live:
            ahead = [close for close in (self._lanes.next_close(), self._ends) if close is not None]
            seconds = min([seconds, *(self._pace.seconds_until(close) for close in ahead if close > self._lanes.clock)])
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._wake.wait()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # ── storing and telling

    async def _commit(self, change: Callable[[TradingSession], Moved]) -> None:
        """Stores what is new with how the session stands, in one transaction, again and again until the database takes it; then
        tells it. Raises LeadershipLost."""
        before = self._session
        known: TradingSession | None = before
        while True:
            try:
                after = await self._store(change, known)
                break
            except StoreUnavailable as error:
                known = None  # it may be stored all the same, and its epochs must not begin again
                log.warning("the session cannot be stored, and is tried again: %s", error)
                await asyncio.sleep(AGAIN_SECONDS)
        if after is None:
            raise LeadershipLost
        self._beat_at = self._now()
        if self._lanes.has_news:
            self._came_at = self._beat_at
        has_resumed = before.run is not after.run or before.has_begun is not after.has_begun
        if has_resumed:
            self._pace.set(self._lanes.clock)
        self._session = after
        self._tools.bar_feed.publish(self._to_tell(before, after), after.number)
        bars = sum(len(lane.processed_anew()) for lane in self._lanes)
        self._tools.observer.stored(after, bars, has_turned=before.is_active is not after.is_active)
        self._lanes.settle()

    async def _store(self, change: Callable[[TradingSession], Moved], known: TradingSession | None) -> TradingSession | None:
        """None when it was stopped: what a live session has heard by then is stored all the same."""
        async with self._tools.database.write() as unit:
            stored = await unit.session.lock(known)
            if stored is None or stored.token != self._token:
                raise LeadershipLost
            if self._is_live:
                await unit.bars.upsert(self._minutes_to_store())
            if not stored.session.is_going:
                return None
            if stored.session.version != self._session.version:
                self._adopt(stored.session)
            session, epochs = stored.session.ruled(self._rules()).advanced(self._clock(), self._tracked(stored.session))
            session, more = change(session)
            await unit.session_bars.upsert(self._windows())
            await unit.session.save(session)
            await unit.session.lead(self._token)
            await unit.events.append(*self._tools.told([*epochs, *more]))
        return session

    def _clock(self) -> datetime:
        return datetime.fromtimestamp(self._lanes.clock, UTC)

    def _tracked(self, session: TradingSession) -> dict[str, SessionSymbol]:
        return {symbol.ticker: self._standing(symbol) for symbol in session.symbols}

    def _standing(self, symbol: SessionSymbol) -> SessionSymbol:
        ticker = symbol.ticker
        if (lane := self._lanes.get(ticker)) is not None:
            day = self._loaded[ticker].day
            return lane.told(symbol, day.open - day.eve, self._lanes.clock)
        if ticker in self._failed:
            failed = SessionSymbolPhase.FAILED
            return replace(symbol, phase=failed, error=self._failed[ticker], is_behind=False, bars_queued=0)
        return replace(symbol, phase=SessionSymbolPhase.LOADING) if ticker in self._admitted else symbol

    def _minutes_to_store(self) -> list[Bar]:
        return [self._minute(lane.ticker, row) for lane in self._lanes for row in lane.to_store()]

    def _windows(self) -> list[Bar]:
        return [self._window(ticker, window) for ticker, window in self._lanes.windows]

    def _to_tell(self, before: TradingSession, after: TradingSession) -> list[Bar]:
        """Of what is followed, in order: what was shown before and is after."""
        shown = {symbol.ticker: symbol.shown_after for symbol in after.symbols if after.is_active and symbol.is_shown}
        shown = {symbol.ticker: shown[symbol.ticker] for symbol in before.symbols if symbol.is_shown and symbol.ticker in shown}
        followed = self._tools.bar_feed.followed
        bars = [
            self._minute(lane.ticker, row)
            for lane in self._lanes
            if lane.ticker in shown and (lane.ticker, Interval.ONE_MINUTE) in followed
            for row in lane.processed_anew()
        ]
        bars += [
            self._window(ticker, window)
            for ticker, window in self._lanes.windows
            if ticker in shown and (ticker, window.interval) in followed
        ]
        told = [bar for bar in bars if (since := shown[bar.ticker]) is None or bar.close_time > since]
        return sorted(told, key=lambda bar: (bar.close_time, bar.ticker, bar.open_time))

    def _minute(self, ticker: str, row: Part) -> Bar:
        opens = datetime.fromtimestamp(row[0], UTC)
        return self._bar(ticker, Interval.ONE_MINUTE, opens, opens + MINUTE, *row[1:])

    def _window(self, ticker: str, window: Window) -> Bar:
        opens, closes = (datetime.fromtimestamp(instant, UTC) for instant in window[1:3])
        return self._bar(ticker, window.interval, opens, closes, *window[3:])

    def _bar(
        self,
        ticker: str,
        interval: Interval,
        opens: datetime,
        closes: datetime,
        opened: Decimal,
        high: Decimal,
        low: Decimal,
        close: Decimal,
        volume: Decimal,
    ) -> Bar:
        source = self._loaded[ticker].source
        return Bar(ticker, interval, opens, closes, opened, high, low, close, volume, opens.date(), source)
