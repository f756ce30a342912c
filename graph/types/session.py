"""The trading session, as the contract shows it."""

from datetime import datetime
from typing import Any

import strawberry

from domain import session as domain
from domain.events import LoggedMove, Position
from domain.tickers import normalise
from graph.context import Info
from graph.scalars import given
from graph.types.bar import BarConnection, bar_query
from graph.types.enums import GatingPolicy, Interval, SessionMode, SessionState, SessionSymbolPhase
from graph.types.node import Node, global_id

UNSET: Any = strawberry.UNSET
THE_ONE = "one"
"""The key of the session's id: there is one session, stopped or not."""


@strawberry.type
class SessionSymbol:
    ticker: str
    phase: SessionSymbolPhase
    lag_seconds: float | None = strawberry.field(
        description="Session time minus the close time of its newest processed bar; null before the first."
    )
    bars_processed: int
    bars_queued: int
    catchup_threshold_seconds: int = strawberry.field(description="Its own, or the session's where it has none.")
    priority: int = strawberry.field(description="0 is the usual; a higher one has its lag checked more often.")
    error: str | None = strawberry.field(description="Why it is FAILED; adding it again tries again.")
    added_at: datetime

    @classmethod
    def from_domain(cls, symbol: domain.SessionSymbol, session: domain.TradingSession) -> "SessionSymbol":
        return cls(
            ticker=symbol.ticker,
            phase=symbol.phase,
            lag_seconds=session.lag_of(symbol),
            bars_processed=symbol.bars_processed,
            bars_queued=symbol.bars_queued,
            catchup_threshold_seconds=session.threshold_of(symbol),
            priority=symbol.priority,
            error=symbol.error,
            added_at=symbol.added_at,
        )


@strawberry.type(description="There is one, for all processes; its id stays the same over restarts.")
class TradingSession(Node):
    mode: SessionMode
    state: SessionState
    active: bool = strawberry.field(description="Whether the gate is open: state is ACTIVE.")
    reason: str | None = strawberry.field(description="Why it is not active, for a person; null when active.")
    epoch: int = strawberry.field(
        description=(
            "+1 on every activation change and every membership change. Two reads with the same epoch saw one consistent "
            "session."
        )
    )
    version: int = strawberry.field(
        description=(
            "+1 on every accepted command; what the session does by itself moves epoch alone. Before the first start: STOPPED, "
            "version 0, epoch 0, the service's clock."
        )
    )
    clock: datetime = strawberry.field(description="The session's own time.")
    speed: float = strawberry.field(description="Session seconds per wall-clock second; 0 means as fast as possible.")
    gating: GatingPolicy
    catchup_threshold_seconds: int
    catchup_check_interval: int = strawberry.field(description="Bars between two checks of a symbol's lag.")
    quarantine_after_seconds: int | None = strawberry.field(description="Null: never.")
    session: strawberry.Private[domain.TradingSession]

    @classmethod
    def from_domain(cls, session: domain.TradingSession) -> "TradingSession":
        return cls(
            id=global_id("TradingSession", THE_ONE),
            mode=session.mode,
            state=session.state,
            active=session.is_active,
            reason=session.reason,
            epoch=session.epoch,
            version=session.version,
            clock=session.clock,
            speed=session.speed,
            gating=session.gating,
            catchup_threshold_seconds=session.threshold_seconds,
            catchup_check_interval=session.check_interval,
            quarantine_after_seconds=session.quarantine_after_seconds,
            session=session,
        )

    @strawberry.field(description="By ticker.")
    def symbols(self) -> list[SessionSymbol]:
        return [SessionSymbol.from_domain(symbol, self.session) for symbol in self.session.symbols]

    @strawberry.field(description="Symbols that keep the gate shut: LAGGING or CATCHING_UP, more than their threshold behind.")
    def lagging(self) -> list[SessionSymbol]:
        return [SessionSymbol.from_domain(symbol, self.session) for symbol in self.session.laggards]

    @strawberry.field(
        description=(
            "The session's own bars of one of its symbols, up to its clock, through the gate, oldest first. Always of the "
            "present, with the epoch it has then, also of a session that is told as of an event."
        )
    )
    async def bars(
        self,
        info: Info,
        ticker: str,
        interval: Interval = Interval.ONE_MINUTE,
        first: int | None = 500,
        after: str | None = UNSET,
    ) -> BarConnection:
        size = given(first, 500)
        query = bar_query(interval, self.clock, start=None, end=None, first=size, after=after, last=None, before=None)
        return BarConnection.from_domain(await info.context.services.sessions.bars(normalise(ticker), query), query)


@strawberry.type(
    description=(
        "session is as of the event. One that repeats the cursor and the epoch before it tells that the session's leader is "
        "heard no more, or again."
    )
)
class SessionActivation:
    cursor: Position
    at: datetime
    active: bool
    epoch: int
    reason: str | None = strawberry.field(description="Why it is not active, for a person; null when active.")
    lagging_tickers: list[str] = strawberry.field(description="The tickers of session.lagging.")
    session: TradingSession

    @classmethod
    def from_domain(cls, move: LoggedMove) -> "SessionActivation":
        session = move.event.session
        return cls(
            cursor=move.position,
            at=move.event.occurred_at,
            active=session.is_active,
            epoch=session.epoch,
            reason=session.reason,
            lagging_tickers=[symbol.ticker for symbol in session.laggards],
            session=TradingSession.from_domain(session),
        )
