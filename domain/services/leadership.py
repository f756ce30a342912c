"""Leading one session: brought forward, stored, and told, step by step."""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from domain.clock import Clock
from domain.errors import StoreUnavailable
from domain.events import SessionMoved
from domain.lanes import Arrival, Lanes
from domain.ports import Database, LiveFeed
from domain.services.hearing import Live
from domain.services.loading import Loaded, Loading
from domain.services.mending import Mending
from domain.services.recording import Record
from domain.services.staffing import Staff
from domain.services.telling import BarFeed
from domain.session import Epoch, Moved, Run, SessionMode, StreamingRules, TradingSession

log = logging.getLogger("freshtape.session")

BEAT_SECONDS = 1.0
LINGER_SECONDS = 1.0
"""How long a replay that has come to its end stays open: other processes look for its last bars twice a second."""
AGAIN_SECONDS = 0.5
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


class Leadership:
    """Of one session by this process, from taking it over to its end."""

    def __init__(self, lead: Lead, tools: Tools, wake: asyncio.Event) -> None:
        self._session, self._token = lead.session, lead.token
        self._tools = tools
        self._wake = wake
        self._is_live = self._session.mode is SessionMode.LIVE
        clock = self._session.clock.timestamp()
        self._lanes = Lanes(clock, is_live=self._is_live, quarantine_after=self._session.quarantine_after_seconds)
        self._pace = Pace(clock, self._session.speed)
        loaded: dict[str, Loaded] = {}
        mending = Mending(tools.loading, loaded, tools.clock, wake)
        self._live = Live(tools.open_feed(), mending, wake) if self._is_live else None
        self._staff = Staff(self._lanes, loaded, self._live, tools.loading, tools.observer.arrived, wake)
        self._record = Record(self._lanes, loaded, is_final=not self._is_live)
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
                self._session = self._session.ruled(self._rules())
                self._staff.attend(self._session)
                if not await self._forward():
                    await self._wait()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await self._staff.dismiss()

    # ── bringing it forward

    async def _forward(self) -> bool:
        """Works off what is due; False when there is nothing to do for now."""
        if self._is_moving:
            self._advance()
        if self._staff.has_moved or self._lanes.has_news or self._now() - self._beat_at >= BEAT_SECONDS:
            self._staff.has_moved = False
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
        ends = self._staff.ends
        return not self._is_live and not self._session.speed and ends is not None and self._lanes.clock < ends

    @property
    def _is_over(self) -> bool:
        ends = self._staff.ends
        is_at_its_end = not self._is_live and ends is not None and self._lanes.clock >= ends and not self._staff.is_loading
        return is_at_its_end and self._now() - self._came_at >= LINGER_SECONDS

    def _advance(self) -> None:
        lanes, target = self._lanes, self._target()
        self._staff.take_in(target)
        lanes.advance(target, FRONT_AT_ONCE)
        if lanes.clock < target:
            self._pace.set(lanes.clock)  # the clock waits for the work
        if lanes.clock >= lanes.next_sweep():
            lanes.sweep()

    def _target(self) -> float:
        if self._is_live:
            return max(self._lanes.clock, self._tools.clock.now().timestamp())
        ends = self._staff.ends
        return min(self._pace.now(), ends) if ends is not None else self._lanes.clock

    def _rules(self) -> StreamingRules:
        """What is asked for every so often is so much further behind."""
        rules = self._tools.rules()
        period = math.ceil(self._live.period_seconds) if self._live is not None else 0
        return replace(rules, catchup_threshold_seconds=rules.catchup_threshold_seconds + period)

    async def _wait(self) -> None:
        seconds = BEAT_SECONDS - (self._now() - self._beat_at)
        if self._is_moving and not self._is_live:
            ahead = [close for close in (self._lanes.next_close(), self._staff.ends) if close is not None]
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
                found, after = await self._store(change, known)
                break
            except StoreUnavailable as error:
                known = None  # it may be stored all the same, and its epochs must not begin again
                log.warning("the session cannot be stored, and is tried again: %s", error)
                await asyncio.sleep(AGAIN_SECONDS)
                if self._is_live:
                    self._lanes.clock = self._target()  # what was of the present then may be of the past now
        if after is None:
            raise LeadershipLost
        self._note(before, after, has_waited=known is None)
        if known is None:
            found = before  # what was found may be this very commit
        self._tools.bar_feed.publish(self._record.to_tell(found, after, self._tools.bar_feed.followed), after.number)
        bars = sum(len(lane.processed_anew()) for lane in self._lanes)
        self._tools.observer.stored(after, bars, has_turned=before.is_active is not after.is_active)
        self._lanes.settle()

    async def _store(
        self, change: Callable[[TradingSession], Moved], known: TradingSession | None
    ) -> tuple[TradingSession, TradingSession | None]:
        """The session as it was found, commands included, and as it is now: None when it was stopped. What a live session has
        heard by then is stored all the same."""
        async with self._tools.database.write() as unit:
            stored = await unit.session.lock(known)
            if stored is None or stored.token != self._token:
                raise LeadershipLost
            if self._is_live:
                await unit.bars.upsert(self._record.minutes())
            if not stored.session.is_going:
                return stored.session, None
            if stored.session.version != self._session.version:
                self._staff.adopt(self._session, stored.session)
            tracked = {symbol.ticker: self._staff.standing(symbol) for symbol in stored.session.symbols}
            clock = datetime.fromtimestamp(self._lanes.clock, UTC)
            session, epochs = stored.session.ruled(self._rules()).advanced(clock, tracked)
            session, more = change(session)
            await unit.session_bars.upsert(self._record.windows())
            await unit.session.save(session)
            await unit.session.lead(self._token)
            await unit.events.append(*self._tools.told([*epochs, *more]))
        return stored.session, session

    def _note(self, before: TradingSession, after: TradingSession, *, has_waited: bool) -> None:
        """Time in which it stood still is no time of the replay's."""
        self._session = after
        self._beat_at = self._now()
        if self._lanes.has_news:
            self._came_at = self._beat_at
        if has_waited or before.run is not after.run or before.has_begun is not after.has_begun:
            self._pace.set(self._lanes.clock)
