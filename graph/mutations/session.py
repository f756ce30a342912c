"""Running the trading session, and who takes part in it."""

from datetime import date
from typing import Annotated, Any

import strawberry

from domain import errors
from domain.session import StartSession
from domain.session import TradingSession as DomainSession
from domain.tickers import normalise
from graph.context import Info
from graph.problems import InvalidSession, SessionNotRunning, SymbolNotFound, VersionConflict
from graph.scalars import optional
from graph.types.enums import GatingPolicy, SessionMode
from graph.types.session import TradingSession

UNSET: Any = strawberry.UNSET

# A class with a field of that name would take it for the type.
Day = date


@strawberry.input
class StartSessionInput:
    mode: SessionMode
    tickers: list[str]
    date: Day | None = strawberry.field(default=UNSET, description="REPLAY: the trading day to replay.")
    speed: float = strawberry.field(default=1, description="0: as fast as possible. LIVE runs at 1.")
    gating: GatingPolicy = GatingPolicy.SESSION
    catchup_threshold_seconds: int | None = strawberry.field(
        default=UNSET, description="From 1 on. Left out: the configured one, also when that changes meanwhile."
    )
    catchup_check_interval: int | None = strawberry.field(
        default=UNSET, description="1 to 100 bars. Left out: the configured one, also when that changes meanwhile."
    )
    quarantine_after_seconds: int | None = strawberry.field(default=UNSET, description="From 1 on. Left out: never.")
    expected_version: int

    def to_domain(self) -> StartSession:
        return StartSession(
            mode=self.mode,
            tickers=_normalised(self.tickers),
            day=optional(self.date),
            speed=self.speed,
            gating=self.gating,
            threshold_seconds=optional(self.catchup_threshold_seconds),
            check_interval=optional(self.catchup_check_interval),
            quarantine_after_seconds=optional(self.quarantine_after_seconds),
        )


@strawberry.input
class SessionSymbolInput:
    ticker: str
    expected_version: int
    catchup_threshold_seconds: int | None = strawberry.field(default=UNSET, description="Seconds; this symbol's own threshold.")
    priority: int | None = strawberry.field(default=UNSET, description="0 to 100; with 1 its lag is checked twice as often.")


@strawberry.type
class SessionChanged:
    session: TradingSession

    @classmethod
    def from_domain(cls, session: DomainSession) -> "SessionChanged":
        return cls(session=TradingSession.from_domain(session))


SessionResult = Annotated[
    SessionChanged | VersionConflict | SymbolNotFound | SessionNotRunning | InvalidSession,
    strawberry.union("SessionResult"),
]


@strawberry.type
class SessionMutations:
    @strawberry.mutation(
        description="Replay a recorded trading day, or follow the present. One session at a time: a second is InvalidSession."
    )
    async def start_session(self, info: Info, input: StartSessionInput) -> SessionResult:
        started = await info.context.services.sessions.start(input.to_domain(), input.expected_version)
        return SessionChanged.from_domain(started)

    @strawberry.mutation(description="End the session; what it has stored stays.")
    async def stop_session(self, info: Info, expected_version: int) -> SessionResult:
        return SessionChanged.from_domain(await info.context.services.sessions.stop(expected_version))

    @strawberry.mutation(description="Hold the session's time and shut its gate, until it is resumed or stopped.")
    async def pause_session(self, info: Info, expected_version: int) -> SessionResult:
        return SessionChanged.from_domain(await info.context.services.sessions.pause(expected_version))

    @strawberry.mutation(description="Let a paused session go on.")
    async def resume_session(self, info: Info, expected_version: int) -> SessionResult:
        return SessionChanged.from_domain(await info.context.services.sessions.resume(expected_version))

    @strawberry.mutation(
        description=(
            "Add a symbol to the running session: it loads, catches up, then goes live. One that is FAILED is tried again; one "
            "that takes part already gets the threshold and the priority that are given."
        )
    )
    async def add_session_symbol(self, info: Info, input: SessionSymbolInput) -> SessionResult:
        threshold, priority = optional(input.catchup_threshold_seconds), optional(input.priority)
        sessions = info.context.services.sessions
        added = await sessions.add(_ticker(input.ticker), input.expected_version, threshold, priority)
        return SessionChanged.from_domain(added)

    @strawberry.mutation(description="Take a symbol out of the running session; the gate is judged without it at once.")
    async def remove_session_symbol(self, info: Info, input: SessionSymbolInput) -> SessionResult:
        without = await info.context.services.sessions.remove(_ticker(input.ticker), input.expected_version)
        return SessionChanged.from_domain(without)


def _normalised(texts: list[str]) -> tuple[str, ...]:
    """Canonical tickers, each once. Raises InvalidSession for a text that is none."""
    try:
        return tuple(dict.fromkeys(map(normalise, texts)))
    except errors.InvalidTicker as refusal:
        raise errors.InvalidSession(refusal.message, "tickers") from refusal


def _ticker(text: str) -> str:
    """A canonical ticker; what is no ticker is found nowhere."""
    try:
        return normalise(text)
    except errors.InvalidTicker as refusal:
        raise errors.SymbolNotFound(refusal.ticker, f"is not a ticker: {refusal.reason}") from refusal
