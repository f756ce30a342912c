"""The trading session: one run, live or replayed, with the symbols that take part and the gate between them and the outside.

The gate's flag is derived from all symbols, each time anew: it is never set by the bar that came last.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import Enum

from domain.errors import InvalidSession, SessionNotRunning, SymbolNotFound, VersionConflict

MOST_SYMBOLS = 1000
MOST_PRIORITY = 100
CHECKS = range(1, 101)
"""Bars between two checks of a symbol's lag."""
NAMED = 3
"""How many laggards a sentence names."""


class SessionMode(Enum):
    REPLAY = "replay"
    LIVE = "live"


class SessionState(Enum):
    STOPPED = "stopped"
    STARTING = "starting"
    ACTIVE = "active"
    INACTIVE = "inactive"
    PAUSED = "paused"
    FINISHED = "finished"


class SessionSymbolPhase(Enum):
    PENDING = "pending"
    LOADING = "loading"
    CATCHING_UP = "catching_up"
    LIVE = "live"
    LAGGING = "lagging"
    IDLE = "idle"
    QUARANTINED = "quarantined"
    FAILED = "failed"


class GatingPolicy(Enum):
    SESSION = "session"
    SYMBOL = "symbol"


class Run(Enum):
    """What it was told to do, or has come to; the state says with it whether the gate is open."""

    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"


WAITING = (SessionSymbolPhase.PENDING, SessionSymbolPhase.LOADING)
ON_ITS_WAY = (*WAITING, SessionSymbolPhase.CATCHING_UP)
AT_THE_FRONTIER = (SessionSymbolPhase.LIVE, SessionSymbolPhase.IDLE)
UNDER_WAY = (SessionSymbolPhase.CATCHING_UP, SessionSymbolPhase.LAGGING)
"""The phases in which a lag keeps a gate shut."""
OUT = (SessionSymbolPhase.FAILED, SessionSymbolPhase.QUARANTINED)


THRESHOLD_SECONDS = 60
CHECK_INTERVAL = 10


@dataclass(frozen=True, slots=True)
class StreamingRules:
    """What holds for a session that does not say otherwise."""

    catchup_threshold_seconds: int = THRESHOLD_SECONDS
    catchup_check_interval: int = CHECK_INTERVAL


@dataclass(frozen=True, slots=True)
class StartSession:
    """What is asked for. Raises InvalidSession for what can never be run. Tickers are canonical, each once."""

    mode: SessionMode
    tickers: tuple[str, ...]
    day: date | None = None
    speed: float = 1.0
    gating: GatingPolicy = GatingPolicy.SESSION
    threshold_seconds: int | None = None
    check_interval: int | None = None
    quarantine_after_seconds: int | None = None

    def __post_init__(self) -> None:
        is_replay = self.mode is SessionMode.REPLAY
        _expect(bool(self.tickers), "tickers", "A session needs at least one symbol to begin with.")
        _expect(len(self.tickers) <= MOST_SYMBOLS, "tickers", f"A session holds at most {MOST_SYMBOLS} symbols.")
        _expect(not is_replay or self.day is not None, "date", "A replay needs the trading day to replay.")
        _expect(is_replay or self.day is None, "date", "A live session is of the present: leave the date out.")
        _expect(math.isfinite(self.speed) and self.speed >= 0, "speed", "speed must be 0 (as fast as possible) or more.")
        _expect(is_replay or self.speed == 1, "speed", "A live session runs at speed 1.")
        _expect_threshold(self.threshold_seconds)
        allowed = f"catchupCheckInterval must be {CHECKS.start} to {CHECKS[-1]} bars."
        _expect(self.check_interval is None or self.check_interval in CHECKS, "catchupCheckInterval", allowed)
        quarantine = self.quarantine_after_seconds
        _expect(quarantine is None or quarantine >= 1, "quarantineAfterSeconds", "quarantineAfterSeconds must be 1 or more.")


@dataclass(frozen=True, slots=True)
class SessionSymbol:
    """A symbol's part in the session.

    `threshold_seconds` is its own, None for the session's. Its bars in the session begin at `since`, the open of its trading
    day, and end at `watermark`, the close of the newest that is processed. `is_behind` says that its lag keeps a gate shut: the
    session's, or its own. Of one that is shown, `shown_after` is the session's time when that began: what closed by then is
    never sent."""

    ticker: str
    added_at: datetime
    phase: SessionSymbolPhase = SessionSymbolPhase.PENDING
    threshold_seconds: int | None = None
    priority: int = 0
    since: datetime | None = None
    watermark: datetime | None = None
    is_behind: bool = False
    is_withheld: bool = True
    shown_after: datetime | None = None
    bars_processed: int = 0
    bars_queued: int = 0
    error: str | None = None

    @property
    def is_shown(self) -> bool:
        """Whether its bars are told as they complete: not what it works through on its way to the others."""
        return not self.is_withheld and self.phase in AT_THE_FRONTIER

    @property
    def is_lagging(self) -> bool:
        return self.is_behind and self.phase in UNDER_WAY


@dataclass(frozen=True, slots=True)
class TradingSession:
    """`clock` is its own time, `number` the version it was started with. `threshold_seconds` and `check_interval` are in force,
    the `given_` ones are what it was started with, if it was. `leaders` counts the processes that have led it; `has_begun` says
    that the symbols it was started or taken over with have been loaded, and have caught up."""

    clock: datetime
    number: int = 0
    mode: SessionMode = SessionMode.REPLAY
    run: Run = Run.STOPPED
    version: int = 0
    epoch: int = 0
    day: date | None = None
    speed: float = 1.0
    gating: GatingPolicy = GatingPolicy.SESSION
    threshold_seconds: int = THRESHOLD_SECONDS
    check_interval: int = CHECK_INTERVAL
    given_threshold_seconds: int | None = None
    given_check_interval: int | None = None
    quarantine_after_seconds: int | None = None
    leaders: int = 0
    has_begun: bool = False
    is_open: bool = False
    reason: str | None = "No session has been started."
    symbols: tuple[SessionSymbol, ...] = field(default=())

    # ── what it is

    @property
    def state(self) -> SessionState:
        if self.run is not Run.RUNNING:
            return SessionState(self.run.value)
        if not self.has_begun:
            return SessionState.STARTING
        return SessionState.ACTIVE if self.is_open else SessionState.INACTIVE

    @property
    def is_active(self) -> bool:
        return self.state is SessionState.ACTIVE

    @property
    def is_going(self) -> bool:
        """Whether somebody has to lead it."""
        return self.run in (Run.RUNNING, Run.PAUSED)

    @property
    def is_live(self) -> bool:
        return self.is_going and self.mode is SessionMode.LIVE

    @property
    def laggards(self) -> list[SessionSymbol]:
        return [symbol for symbol in self.symbols if symbol.is_lagging]

    def get(self, ticker: str) -> SessionSymbol | None:
        return next((symbol for symbol in self.symbols if symbol.ticker == ticker), None)

    def threshold_of(self, symbol: SessionSymbol) -> int:
        return symbol.threshold_seconds or self.threshold_seconds

    def checks_of(self, symbol: SessionSymbol) -> int:
        """Bars between two checks: with priority 1 half as many, with priority 2 a third."""
        return max(1, self.check_interval // (1 + symbol.priority))

    def lag_of(self, symbol: SessionSymbol) -> float | None:
        """In seconds; None before its first bar."""
        return (self.clock - symbol.watermark).total_seconds() if symbol.watermark is not None else None

    def withholds(self, ticker: str) -> datetime | None:
        """Since when a symbol's stored bars are not to be shown outside the session: the open of its trading day, while a live
        session that it takes part in is shut for it."""
        symbol = self.get(ticker)
        if symbol is None or not self.is_live or not symbol.is_withheld:
            return None
        return symbol.since or self.clock.replace(hour=0, minute=0, second=0, microsecond=0)

    def tells(self, symbol: SessionSymbol, closed: datetime) -> bool:
        """Whether a bar that closed then is told as it completes, of a symbol that is shown: it closed later than that began,
        and not so long ago that it would lag. A replay's clock waits for its bars."""
        if symbol.shown_after is not None and closed <= symbol.shown_after:
            return False
        return self.mode is SessionMode.REPLAY or (self.clock - closed).total_seconds() <= self.threshold_of(symbol)

    def unheard(self, since: datetime) -> "TradingSession":
        """As whoever has not heard its leader must see it: shut."""
        if self.run is not Run.RUNNING:
            return self
        reason = f"The session leader has not been heard since {since:%Y-%m-%dT%H:%M:%SZ}."
        return replace(_withheld(self), reason=reason)

    # ── commands: each accepted one raises the version

    def started(self, asked: StartSession, expected: int, rules: StreamingRules, clock: datetime, now: datetime) -> "Moved":
        """`clock` is where its own time begins, `now` the service's. Raises VersionConflict and InvalidSession."""
        self._expect_version(expected)
        _expect(not self.is_going, None, "A session is running already: stop it first.")
        begun = TradingSession(
            clock=clock,
            number=self.version + 1,
            mode=asked.mode,
            run=Run.RUNNING,
            version=self.version + 1,
            epoch=self.epoch,
            day=asked.day,
            speed=asked.speed,
            gating=asked.gating,
            given_threshold_seconds=asked.threshold_seconds,
            given_check_interval=asked.check_interval,
            quarantine_after_seconds=asked.quarantine_after_seconds,
            symbols=tuple(SessionSymbol(ticker, now) for ticker in sorted(asked.tickers)),
        ).ruled(rules)
        return _told(replace(begun, reason=_why_shut(begun)), "The session was started.")

    def stopped(self, expected: int) -> "Moved":
        """Raises VersionConflict and SessionNotRunning."""
        self._expect_going(expected)
        return _settled(self, replace(self._commanded(), run=Run.STOPPED), "The session was stopped.")

    def paused(self, expected: int) -> "Moved":
        """Raises VersionConflict, SessionNotRunning and InvalidSession."""
        self._expect_going(expected)
        _expect(self.run is Run.RUNNING, None, "The session is paused already.")
        return _settled(self, replace(self._commanded(), run=Run.PAUSED), "The session was paused.")

    def resumed(self, expected: int) -> "Moved":
        """Raises VersionConflict, SessionNotRunning and InvalidSession."""
        self._expect_going(expected)
        _expect(self.run is Run.PAUSED, None, "The session is not paused.")
        return _settled(self, replace(self._commanded(), run=Run.RUNNING), "The session was resumed.")

    def joined(self, ticker: str, expected: int, threshold: int | None, priority: int | None, now: datetime) -> "Moved":
        """A symbol that has failed is tried again; one that takes part already gets what is given. Raises VersionConflict,
        SessionNotRunning and InvalidSession."""
        self._expect_going(expected)
        _expect_threshold(threshold)
        allowed = f"priority must be 0 to {MOST_PRIORITY}."
        _expect(priority is None or 0 <= priority <= MOST_PRIORITY, "priority", allowed)
        known = self.get(ticker)
        if known is None:
            _expect(len(self.symbols) < MOST_SYMBOLS, "ticker", f"A session holds at most {MOST_SYMBOLS} symbols.")
            added = SessionSymbol(ticker, now, is_withheld=not self.is_active)
            return _regrouped(self._with(_given(added, threshold, priority)), f"{ticker} was added.")
        again = _given(known, threshold, priority)
        if known.phase is SessionSymbolPhase.FAILED:
            again = replace(again, phase=SessionSymbolPhase.PENDING, error=None, is_behind=False)
        return _settled(self, self._with(again), f"{ticker} is tried again.")

    def left(self, ticker: str, expected: int) -> "Moved":
        """Raises VersionConflict, SessionNotRunning and SymbolNotFound."""
        self._expect_going(expected)
        if self.get(ticker) is None:
            raise SymbolNotFound(ticker, "does not take part in the session")
        rest = tuple(symbol for symbol in self.symbols if symbol.ticker != ticker)
        return _regrouped(replace(self._commanded(), symbols=rest), f"{ticker} was removed.")

    # ── what it does by itself

    def ruled(self, rules: StreamingRules) -> "TradingSession":
        """With what holds where it was not told otherwise."""
        return replace(
            self,
            threshold_seconds=self.given_threshold_seconds or rules.catchup_threshold_seconds,
            check_interval=self.given_check_interval or rules.catchup_check_interval,
        )

    def led(self) -> "Moved":
        """By another process from now on. What the symbols were is loaded again, from what was stored."""
        again = [
            symbol
            if symbol.phase is SessionSymbolPhase.FAILED
            else replace(symbol, phase=SessionSymbolPhase.PENDING, is_behind=False, bars_queued=0)
            for symbol in self.symbols
        ]
        taken = replace(self, leaders=self.leaders + 1, has_begun=False, symbols=tuple(again))
        if self.leaders == 0:
            return taken, []
        shut = replace(_withheld(taken), reason=_why_shut(taken))
        return _told(shut, "Another process leads the session now.")

    def advanced(self, clock: datetime, tracked: Mapping[str, SessionSymbol]) -> "Moved":
        """As its leader has brought it: to a time, with those of its symbols that it holds."""
        symbols = tuple(tracked.get(symbol.ticker, symbol) for symbol in self.symbols)
        is_there = not any(symbol.phase in ON_ITS_WAY for symbol in symbols)
        moved = replace(self, clock=max(clock, self.clock), symbols=symbols, has_begun=self.has_begun or is_there)
        return _settled(self, moved, None)

    def finished(self) -> "Moved":
        """But for somebody who was added at the last moment."""
        if any(symbol.phase in ON_ITS_WAY for symbol in self.symbols):
            return self, []
        return _settled(self, replace(self, run=Run.FINISHED), None)

    # ── how

    def _commanded(self) -> "TradingSession":
        return replace(self, version=self.version + 1)

    def _with(self, symbol: SessionSymbol) -> "TradingSession":
        others = (other for other in self.symbols if other.ticker != symbol.ticker)
        return replace(self._commanded(), symbols=tuple(sorted((*others, symbol), key=lambda each: each.ticker)))

    def _expect_version(self, expected: int) -> None:
        if expected != self.version:
            raise VersionConflict("The session", expected, self.version)

    def _expect_going(self, expected: int) -> None:
        self._expect_version(expected)
        if not self.is_going:
            raise SessionNotRunning


@dataclass(frozen=True, slots=True)
class Epoch:
    """The session as an epoch of it began, and why it did."""

    session: TradingSession
    cause: str


Moved = tuple[TradingSession, list[Epoch]]
"""The session as it is after a change, and the epochs that the change began."""


def _told(session: TradingSession, cause: str) -> Moved:
    """With a new epoch, whatever the gate does."""
    new = replace(session, epoch=session.epoch + 1)
    return new, [Epoch(new, cause)]


def _regrouped(session: TradingSession, cause: str) -> Moved:
    """With other members: an epoch for that, and one more where the gate moves for it."""
    told, first = _told(session, cause)
    settled, second = _settled(told, told, cause)
    return settled, [*first, *second]


def _settled(before: TradingSession, session: TradingSession, cause: str | None) -> Moved:
    """With the gate as the symbols have it; a new epoch where more or less is shown than before."""
    shut = _why_shut(session)
    known = {symbol.ticker: symbol for symbol in before.symbols}
    symbols = tuple(
        _gated(symbol, known.get(symbol.ticker), session.clock if shut is None else None) for symbol in session.symbols
    )
    judged = replace(session, is_open=shut is None, reason=shut, symbols=symbols)
    is_same = judged.is_open == before.is_open and all(
        (old := known.get(symbol.ticker)) is None or old.is_withheld == symbol.is_withheld for symbol in symbols
    )
    return (judged, []) if is_same else _told(judged, cause or shut or _opened(before))


def _why_shut(session: TradingSession) -> str | None:
    """None: nothing keeps the gate shut."""
    if session.run is not Run.RUNNING:
        return {
            Run.STOPPED: "The session is stopped.",
            Run.PAUSED: "The session is paused.",
            Run.FINISHED: f"The replay of {session.day} has ended.",
        }[session.run]
    if not session.has_begun:
        return _starting(session)
    if not session.symbols:
        return "The session has no symbols."
    laggards = session.laggards
    if laggards and session.gating is GatingPolicy.SESSION:
        return _behind(session, laggards)
    if all(symbol.phase in OUT for symbol in session.symbols):
        return "Every symbol has failed or is in quarantine."
    if all(symbol.phase in OUT or symbol.is_lagging for symbol in session.symbols):
        return _behind(session, laggards)
    return None


def _gated(symbol: SessionSymbol, known: SessionSymbol | None, clock: datetime | None) -> SessionSymbol:
    """At the session's time; None: it is shut."""
    is_withheld = clock is None or _is_withheld_alone(symbol)
    is_shown = not is_withheld and symbol.phase in AT_THE_FRONTIER
    begins = is_shown and not (known is not None and known.is_shown)
    if is_withheld == symbol.is_withheld and not begins:
        return symbol
    return replace(symbol, is_withheld=is_withheld, shown_after=clock if begins else symbol.shown_after)


def _is_withheld_alone(symbol: SessionSymbol) -> bool:
    """Also while nothing goes on with what it has, since it failed and until it has been loaded again."""
    is_at_rest = symbol.phase in (*WAITING, SessionSymbolPhase.FAILED) and symbol.watermark is not None
    return symbol.is_lagging or is_at_rest or symbol.phase is SessionSymbolPhase.QUARANTINED


def _withheld(session: TradingSession) -> TradingSession:
    symbols = tuple(replace(symbol, is_withheld=True) for symbol in session.symbols)
    return replace(session, is_open=False, symbols=symbols)


def _opened(before: TradingSession) -> str:
    if before.is_open:
        return "Other symbols are withheld than before."
    return "Every symbol has caught up." if before.has_begun else "The session has begun."


def _starting(session: TradingSession) -> str:
    waiting = sum(symbol.phase in ON_ITS_WAY for symbol in session.symbols)
    return f"The session is starting: {waiting} of {len(session.symbols)} symbols are not there yet."


def _behind(session: TradingSession, laggards: Sequence[SessionSymbol]) -> str:
    told = [f"{symbol.ticker} ({session.lag_of(symbol) or 0:.0f} s)" for symbol in laggards[:NAMED]]
    more = f" and {len(laggards) - NAMED} more" if len(laggards) > NAMED else ""
    return f"{', '.join(told)}{more} {'is' if len(laggards) == 1 else 'are'} behind."


def _given(symbol: SessionSymbol, threshold: int | None, priority: int | None) -> SessionSymbol:
    return replace(
        symbol,
        threshold_seconds=threshold if threshold is not None else symbol.threshold_seconds,
        priority=priority if priority is not None else symbol.priority,
    )


def _expect_threshold(seconds: int | None) -> None:
    _expect(seconds is None or seconds >= 1, "catchupThresholdSeconds", "catchupThresholdSeconds must be 1 or more.")


def _expect(is_so: bool, field: str | None, sentence: str) -> None:
    if not is_so:
        raise InvalidSession(sentence, field)
