"""The clock that the processes of one database share."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from domain.clock import StartedClock, SystemClock
from domain.errors import ClockReplaced
from domain.events import SymbolChanged, SymbolChangeKind
from domain.symbols import Symbol
from persistence.engine import Engine
from persistence.market_clock import SharedClock, clock_generation, forget_clock, join_clock, recorded_clock
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING
from tests.support.provider import profile

OTHER = datetime(2025, 6, 13, 12, tzinfo=UTC)
SLACK = timedelta(seconds=5)


def shows(shared: SharedClock, instant: datetime) -> bool:
    return instant <= shared.clock.now() < instant + SLACK


async def test_without_a_clock_it_is_real_time(engine: Engine) -> None:
    joined = await join_clock(engine, None)
    assert isinstance(joined.clock, SystemClock)
    assert not joined.is_recorded
    assert joined.generation == 0
    assert await recorded_clock(engine) is None


async def test_the_first_that_is_given_a_clock_records_it(engine: Engine) -> None:
    joined = await join_clock(engine, EVENING)
    assert isinstance(joined.clock, StartedClock)
    assert shows(joined, EVENING)
    assert joined.is_recorded
    assert joined.generation == await clock_generation(engine) == 1
    assert await recorded_clock(engine) == EVENING


@pytest.mark.parametrize("given", [EVENING, None])
async def test_the_same_or_none_follows_as_time_goes_by(engine: Engine, given: datetime | None) -> None:
    first = await join_clock(engine, EVENING)
    await asyncio.sleep(0.3)
    second = await join_clock(engine, given)
    # Read in this order, the second can only be ahead by what passed between the two readings.
    assert -timedelta(milliseconds=50) <= second.clock.now() - first.clock.now() < SLACK
    assert second.clock.now() >= EVENING + timedelta(milliseconds=290)
    assert second.generation == first.generation
    assert second.is_recorded


async def test_another_one_replaces_it(engine: Engine) -> None:
    first = await join_clock(engine, EVENING)
    second = await join_clock(engine, OTHER)
    assert shows(second, OTHER)
    assert second.generation == first.generation + 1
    assert await recorded_clock(engine) == OTHER
    assert shows(await join_clock(engine, None), OTHER)


async def test_a_clock_keeps_its_microseconds_and_its_instant(engine: Engine) -> None:
    odd = EVENING + timedelta(microseconds=1)
    first = await join_clock(engine, odd)
    assert await recorded_clock(engine) == odd
    assert (await join_clock(engine, odd)).generation == first.generation


async def test_a_forgotten_clock_is_real_time_again(engine: Engine) -> None:
    first = await join_clock(engine, EVENING)
    assert await forget_clock(engine)
    joined = await join_clock(engine, None)
    assert isinstance(joined.clock, SystemClock)
    assert joined.generation == first.generation + 1
    assert not await forget_clock(engine)
    assert await clock_generation(engine) == joined.generation


async def test_of_many_that_start_together_one_records_and_all_agree(database_url: str) -> None:
    engines = [Engine(database_url) for _ in range(8)]
    try:
        await asyncio.gather(*map(clock_generation, engines))  # connected already: they really start together
        joined = await asyncio.gather(*(join_clock(engine, EVENING) for engine in engines))
    finally:
        for engine in engines:
            await engine.close()
    assert {shared.generation for shared in joined} == {1}
    assert all(shows(shared, EVENING) for shared in joined)


async def test_joining_and_forgetting_at_once_wait_for_each_other(database_url: str) -> None:
    """Each clock and each forgetting that changed something is a generation; nobody fails."""
    engines = [Engine(database_url) for _ in range(4)]

    async def join_and_forget(engine: Engine, given: datetime) -> None:
        for _ in range(5):
            await join_clock(engine, given)
            await forget_clock(engine)

    try:
        await asyncio.gather(*(join_and_forget(engine, EVENING + timedelta(days=n)) for n, engine in enumerate(engines)))
        assert await recorded_clock(engines[0]) is None
        assert 5 <= await clock_generation(engines[0]) <= 40
    finally:
        for engine in engines:
            await engine.close()


# ── who runs on a clock that was replaced


async def append(engine: Engine, generation: int) -> None:
    async with SqlDatabase(engine, generation).write() as unit:
        await unit.symbols.add(Symbol.tracked(profile(), None, None))
        await unit.events.append(SymbolChanged(SymbolChangeKind.ADDED, "AAPL", EVENING))


async def test_who_runs_on_a_replaced_clock_writes_nothing_more(engine: Engine) -> None:
    before = await join_clock(engine, EVENING)
    after = await join_clock(engine, OTHER)
    with pytest.raises(ClockReplaced):
        await append(engine, before.generation)
    database = SqlDatabase(engine, after.generation)
    async with database.read() as unit:
        assert await unit.symbols.get("AAPL") is None
        assert (await unit.events.head()).number == 0
    await append(engine, after.generation)
    async with database.read() as unit:
        assert (await unit.events.head()).number == 1


async def test_a_forgotten_clock_is_a_replaced_one(engine: Engine) -> None:
    before = await join_clock(engine, EVENING)
    await forget_clock(engine)
    with pytest.raises(ClockReplaced):
        await append(engine, before.generation)


async def test_who_runs_on_real_time_stops_at_the_first_recorded_clock(engine: Engine) -> None:
    before = await join_clock(engine, None)
    await join_clock(engine, EVENING)
    with pytest.raises(ClockReplaced):
        await append(engine, before.generation)
