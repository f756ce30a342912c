"""The clock that the processes of one database share."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update

from domain.clock import Clock, StartedClock, SystemClock
from persistence.engine import Engine
from persistence.tables import event_log, market_clock
from persistence.types import real_time

_LOCK = select(event_log.c.id).with_for_update()
"""One process at a time joins or changes the clock."""
_NEXT_GENERATION = update(event_log).values(clock_generation=event_log.c.clock_generation + 1)


@dataclass(frozen=True, slots=True)
class SharedClock:
    """A process's clock, and the generation of the record it follows."""

    clock: Clock
    generation: int
    is_recorded: bool


async def join_clock(engine: Engine, given: datetime | None) -> SharedClock:
    """The clock of this database's processes. The first to be `given` an instant records it with the real time; one with the
    same or none follows; another one replaces it."""
    async with engine.write() as connection:
        await connection.execute(_LOCK)
        recorded = await connection.scalar(select(market_clock.c.market_at))
        if given is not None and given != recorded:
            await connection.execute(delete(market_clock))
            await connection.execute(_NEXT_GENERATION)
            await connection.execute(insert(market_clock).values(id=1, market_at=given, real_at=real_time()))
        generation = (await connection.execute(select(event_log.c.clock_generation))).scalar_one()
        row = (await connection.execute(select(market_clock, real_time().label("real_now")))).one_or_none()
    if row is None:
        return SharedClock(SystemClock(), generation, is_recorded=False)
    elapsed: timedelta = row.real_now - row.real_at
    return SharedClock(StartedClock(row.market_at + elapsed), generation, is_recorded=True)


async def forget_clock(engine: Engine) -> bool:
    """Back to real time. False when no clock was recorded."""
    async with engine.write() as connection:
        await connection.execute(_LOCK)
        is_forgotten = (await connection.execute(delete(market_clock))).rowcount > 0
        if is_forgotten:
            await connection.execute(_NEXT_GENERATION)
        return is_forgotten


async def recorded_clock(engine: Engine) -> datetime | None:
    """The instant that was recorded, if one is."""
    async with engine.read() as connection:
        return await connection.scalar(select(market_clock.c.market_at))


async def clock_generation(engine: Engine) -> int:
    async with engine.read() as connection:
        generation: int = (await connection.execute(select(event_log.c.clock_generation))).scalar_one()
        return generation
