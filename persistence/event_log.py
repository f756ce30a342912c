"""The event log: appended in the transaction, numbered in commit order, read behind a cursor."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import ClockReplaced, CursorExpired
from domain.events import (
    Event,
    Logged,
    LoggedChange,
    LoggedMove,
    LoggedStep,
    OnboardingAdvanced,
    Position,
    SessionMoved,
    SymbolChanged,
    SymbolChangeKind,
)
from domain.onboarding import OnboardingJob
from domain.session import TradingSession
from persistence.records import read, written
from persistence.symbol_store import symbol_of
from persistence.tables import event_log, events, symbols
from persistence.types import real_time

CHANNEL = "freshtape_events"
"""Where PostgreSQL is told of the newest number: a hint, never the truth."""


@dataclass(frozen=True, slots=True)
class Appended:
    """An event of this transaction. A number may be given again after a rollback, and then at a later time."""

    number: int
    recorded_at: datetime


class SqlEventLog:
    def __init__(self, connection: AsyncConnection, clock_generation: int) -> None:
        self._connection = connection
        self._clock_generation = clock_generation
        self.newest: Appended | None = None

    async def append(self, *given: Event) -> None:
        if not given:
            return
        # The row's lock is held until the commit. A number is therefore visible before any higher one is given, and
        # `number > cursor` can skip nobody.
        numbered = await self._connection.execute(
            update(event_log)
            .where(event_log.c.clock_generation == self._clock_generation)
            .values(last_number=event_log.c.last_number + len(given))
            .returning(event_log.c.last_number, real_time().label("recorded_at"))
        )
        log = numbered.one_or_none()
        if log is None:
            raise ClockReplaced
        rows = [
            {"number": number, "recorded_at": log.recorded_at, **_row(event)}
            for number, event in enumerate(given, log.last_number - len(given) + 1)
        ]
        await self._connection.execute(insert(events), rows)
        self.newest = Appended(log.last_number, log.recorded_at)

    async def announce(self) -> None:
        """Once a transaction, at its end: NOTIFY makes commits wait for each other."""
        if self.newest is not None and self._connection.dialect.name == "postgresql":
            await self._connection.execute(select(func.pg_notify(CHANNEL, str(self.newest.number))))

    async def has(self, event: Appended) -> bool:
        """Whether it was committed. The log's lock is waited for: its transaction held it, and is over when we have it."""
        await self._connection.execute(select(event_log.c.id).with_for_update())
        found = await self._connection.scalar(select(events.c.recorded_at).where(events.c.number == event.number))
        return found == event.recorded_at

    async def head(self) -> Position:
        row = (await self._connection.execute(select(event_log.c.log_id, event_log.c.last_number))).one()
        return Position(row.log_id, row.last_number)

    async def after(self, position: Position, limit: int) -> list[Logged]:
        log = (await self._connection.execute(select(event_log))).one()
        if position.log_id != log.log_id:
            raise CursorExpired("belongs to another event log")
        if position.number > log.last_number:
            raise CursorExpired("lies beyond the end of the event log")
        rows = await self._connection.execute(
            select(events.c.number, events.c.kind, events.c.occurred_at, events.c.detail, events.c.body, *symbols.c)
            .join_from(events, symbols, events.c.ticker == symbols.c.ticker, isouter=True)
            .where(events.c.number > position.number)
            .order_by(events.c.number)
            .limit(limit)
        )
        changes = [_logged(log.log_id, row) for row in rows]
        # Numbers have no gaps, so a missing one has been pruned, perhaps between the two statements above.
        expected, found = position.number + 1, changes[0].position.number if changes else log.last_number + 1
        if found != expected:
            raise CursorExpired
        return changes

    async def prune(self, keep_days: int) -> int:
        recent = events.c.recorded_at >= real_time(-keep_days * 86_400)
        # The end is read first: an event that commits in between is recent, and found.
        end = (await self.head()).number
        oldest_kept = await self._connection.scalar(select(func.min(events.c.number)).where(recent))
        first_kept = oldest_kept if oldest_kept is not None else end + 1
        pruned = await self._connection.execute(delete(events).where(events.c.number < first_kept))
        return pruned.rowcount


_STEP, _MOVE = "onboarding_advanced", "session_moved"
"""The kinds of events that have a body, what moved as it was then; the others are a SymbolChangeKind's values."""
_TOLD = ("kind", "ticker", "detail", "body")


def _row(event: Event) -> dict[str, Any]:
    told: tuple[str, str, str | None, str | None]
    match event:
        case OnboardingAdvanced(job=job):
            told = _STEP, job.ticker, None, written(job)
        case SessionMoved(session=session, cause=cause):
            told = _MOVE, "", cause, written(session)
        case SymbolChanged(kind=kind, ticker=ticker, detail=detail):
            told = kind.value, ticker, detail, None
    return {"occurred_at": event.occurred_at, **dict(zip(_TOLD, told, strict=True))}


def _logged(log_id: str, row: Row[Any]) -> Logged:
    position = Position(log_id, row.number)
    if row.kind == _STEP:
        return LoggedStep(position, OnboardingAdvanced(read(OnboardingJob, row.body), row.occurred_at))
    if row.kind == _MOVE:
        return LoggedMove(position, SessionMoved(read(TradingSession, row.body), row.detail, row.occurred_at))
    symbol = symbol_of(row)
    return LoggedChange(
        position=position,
        event=SymbolChanged(SymbolChangeKind(row.kind), symbol.ticker, row.occurred_at, row.detail),
        symbol=symbol,
    )
