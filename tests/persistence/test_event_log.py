"""The event log: numbers without gaps in commit order, and nobody who reads behind a cursor misses one."""

import asyncio
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, text, update

from domain.errors import CursorExpired
from domain.events import LoggedChange, Position, SymbolChanged, SymbolChangeKind
from domain.symbols import Symbol
from persistence.engine import Engine
from persistence.event_log import SqlEventLog
from persistence.tables import events
from persistence.types import real_time
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING
from tests.support.journal import append, changes_of, happened, head
from tests.support.mutants import mutated
from tests.support.provider import profile

ALL = 1000
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture(autouse=True)
async def _symbol(database: SqlDatabase) -> None:
    async with database.write() as unit:
        await unit.symbols.add(Symbol.tracked(profile(), None, None))


async def append_and_roll_back(database: SqlDatabase) -> None:
    with suppress(ZeroDivisionError):
        async with database.write() as unit:
            await unit.events.append(happened("never"))
            raise ZeroDivisionError


async def read(database: SqlDatabase, after: int, limit: int = ALL) -> list[LoggedChange]:
    log_id = (await head(database)).log_id
    async with database.read() as unit:
        return changes_of(await unit.events.after(Position(log_id, after), limit))


def details(changes: list[LoggedChange]) -> list[str | None]:
    return [change.event.detail for change in changes]


def numbers(changes: list[LoggedChange]) -> list[int]:
    return [change.position.number for change in changes]


async def test_an_event_comes_back_as_it_was_with_its_symbol_as_it_is(database: SqlDatabase) -> None:
    split = SymbolChanged(SymbolChangeKind.SPLIT, "AAPL", EVENING + timedelta(microseconds=1), "10:1")
    async with database.write() as unit:
        symbol = await unit.symbols.get("AAPL")
        await unit.events.append(split)
    (found,) = await read(database, 0)
    assert (found.event, found.symbol, found.position) == (split, symbol, await head(database))


async def test_an_empty_log_has_a_head_and_nothing_behind_it(database: SqlDatabase) -> None:
    assert (await head(database)).number == 0
    assert await read(database, 0) == []


async def test_reading_goes_on_where_it_stopped(database: SqlDatabase) -> None:
    await append(database, "a", "b", "c")
    assert details(await read(database, 0, limit=2)) == ["a", "b"]
    assert details(await read(database, 2, limit=2)) == ["c"]
    assert await read(database, 3) == []


async def test_several_events_of_one_transaction_stay_together(database: SqlDatabase) -> None:
    async with database.write() as unit:
        await unit.events.append(happened("a"))
        await unit.events.append(happened("b"))
    assert numbers(await read(database, 0)) == [1, 2]


async def test_a_transaction_that_is_rolled_back_leaves_no_gap(database: SqlDatabase) -> None:
    for n in range(5):
        await append(database, f"{n}")
        await append_and_roll_back(database)
    found = await read(database, 0)
    assert numbers(found) == [1, 2, 3, 4, 5]
    assert details(found) == ["0", "1", "2", "3", "4"]


# ── commit order


async def test_numbers_are_in_commit_order_over_processes(database: SqlDatabase, elsewhere: SqlDatabase) -> None:
    committed: list[str] = []

    async def write(number: int) -> None:
        async with (database, elsewhere)[number % 2].write() as unit:
            await unit.events.append(happened(f"{number}"))
            await asyncio.sleep(0.002 * (number % 3))
            if number % 4 == 3:
                raise RuntimeError
            # Nothing that another can do comes between this line and the commit.
            committed.append(f"{number}")

    await asyncio.gather(*(write(number) for number in range(24)), return_exceptions=True)
    found = await read(database, 0)
    assert numbers(found) == list(range(1, 19))
    assert details(found) == committed


async def open_then_others(database: SqlDatabase, elsewhere: SqlDatabase) -> list[str | None]:
    """What a reader sees, page by page, while a transaction that has appended is held open and others come along."""
    seen: list[str | None] = []
    position = await head(database)

    async def read_on() -> None:
        nonlocal position
        async with database.read() as unit:
            changes = changes_of(await unit.events.after(position, ALL))
        if changes:
            position = changes[-1].position
            seen.extend(details(changes))

    async with database.write() as unit:
        await unit.events.append(happened("held open"))
        others = asyncio.create_task(append(elsewhere, "second", "third"))
        for _ in range(4):
            await asyncio.sleep(0.05)
            await read_on()
    await others
    await read_on()
    return seen


async def test_who_reads_while_a_transaction_is_held_open_misses_nothing(database: SqlDatabase, elsewhere: SqlDatabase) -> None:
    assert await open_then_others(database, elsewhere) == ["held open", "second", "third"]


LOCKED_NUMBER = """update(event_log)
        .where(event_log.c.clock_generation == self._clock_generation)
        .values(last_number=event_log.c.last_number + len(given))
        .returning(event_log.c.last_number, real_time().label("recorded_at"))"""
NUMBER_OF_A_SEQUENCE = """select(func.nextval('numbers').label("last_number"), real_time().label("recorded_at"))"""


@on_postgresql
async def test_numbers_from_a_sequence_would_lose_what_is_held_open(
    database: SqlDatabase, elsewhere: SqlDatabase, engine: Engine
) -> None:
    """The log's row is what orders commits: numbers that are taken without its lock skip the late committer."""
    async with engine.write() as connection:
        await connection.execute(text("CREATE SEQUENCE numbers"))
    with (
        mutated(SqlEventLog.append, (LOCKED_NUMBER, NUMBER_OF_A_SEQUENCE)),
        mutated(SqlEventLog.after, ("position.number > log.last_number", "False"), ("if found != expected:", "if False:")),
    ):
        assert await open_then_others(database, elsewhere) == ["second", "third"]


# ── cursors that cannot be resumed


async def record_days_ago(engine: Engine, days: float, up_to: int) -> None:
    async with engine.write() as connection:
        await connection.execute(update(events).where(events.c.number <= up_to).values(recorded_at=real_time(-days * 86_400)))


async def prune(database: SqlDatabase, keep_days: int = 7) -> int:
    async with database.write() as unit:
        return await unit.events.prune(keep_days)


async def test_pruning_forgets_what_was_recorded_too_many_real_days_ago(database: SqlDatabase, engine: Engine) -> None:
    await append(database, "a", "b", "c", "d")
    await record_days_ago(engine, 6.9, up_to=3)
    await record_days_ago(engine, 7.1, up_to=2)
    assert await prune(database) == 2
    assert details(await read(database, 2)) == ["c", "d"]
    assert await prune(database) == 0
    await append(database, "e")
    assert numbers(await read(database, 4)) == [5]


async def test_market_time_has_no_part_in_pruning(database: SqlDatabase) -> None:
    async with database.write() as unit:
        await unit.events.append(SymbolChanged(SymbolChangeKind.ADDED, "AAPL", datetime(1990, 1, 2, tzinfo=UTC)))
    assert await prune(database) == 0


async def test_numbers_go_on_when_all_is_pruned(database: SqlDatabase, engine: Engine) -> None:
    await append(database, "a", "b")
    await record_days_ago(engine, 8, up_to=2)
    assert await prune(database) == 2
    assert await read(database, 2) == []
    with pytest.raises(CursorExpired):
        await read(database, 1)
    await append(database, "c")
    assert numbers(await read(database, 2)) == [3]


async def test_only_a_beginning_is_pruned(database: SqlDatabase, engine: Engine) -> None:
    """An old time on a later event, after the machine's clock was set, tears no hole."""
    await append(database, "a", "b", "c")
    async with engine.write() as connection:
        await connection.execute(update(events).where(events.c.number == 2).values(recorded_at=real_time(-8 * 86_400)))
    assert await prune(database) == 0
    assert numbers(await read(database, 0)) == [1, 2, 3]


@on_postgresql
async def test_pruning_spares_what_commits_meanwhile(database: SqlDatabase, engine: Engine, database_url: str) -> None:
    """Every reading statement of the pruning transaction is followed by an append that commits before the next."""
    await append(database, "old", "old")
    await record_days_ago(engine, 8, up_to=2)

    async def append_elsewhere() -> None:
        other = Engine(database_url)
        await append(SqlDatabase(other, clock_generation=0), "new")
        await other.close()

    def append_at_once(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT"):
            thread = threading.Thread(target=lambda: asyncio.run(append_elsewhere()))
            thread.start()
            thread.join()

    event.listen(engine.sync_engine, "after_cursor_execute", append_at_once)
    assert await prune(database) == 2
    event.remove(engine.sync_engine, "after_cursor_execute", append_at_once)
    found = await read(database, 2)
    assert len(found) >= 2
    assert set(details(found)) == {"new"}


async def test_a_pruned_cursor_has_expired(database: SqlDatabase, engine: Engine) -> None:
    await append(database, "a", "b", "c")
    await record_days_ago(engine, 8, up_to=2)
    await prune(database)
    for number in (0, 1):
        with pytest.raises(CursorExpired, match="older than what is retained"):
            await read(database, number)


async def test_without_the_check_a_gap_would_go_unnoticed(database: SqlDatabase, engine: Engine) -> None:
    await append(database, "a", "b", "c")
    await record_days_ago(engine, 8, up_to=2)
    await prune(database)
    with mutated(SqlEventLog.after, ("if found != expected:", "if False:")):
        assert details(await read(database, 0)) == ["c"]


async def test_a_cursor_beyond_the_end_has_expired(database: SqlDatabase) -> None:
    await append(database, "a")
    with pytest.raises(CursorExpired, match="beyond the end"):
        await read(database, 2)


async def test_a_cursor_of_another_log_has_expired(database: SqlDatabase) -> None:
    await append(database, "a")
    with pytest.raises(CursorExpired, match="another event log"):
        async with database.read() as unit:
            await unit.events.after(Position("another", 0), ALL)


# ── after the commit


async def test_who_appended_is_told_after_the_commit_and_only_then(database: SqlDatabase, elsewhere: SqlDatabase) -> None:

    async def read_elsewhere() -> int:
        return (await head(elsewhere)).number

    pending: list[asyncio.Task[int]] = []
    database.on_append = lambda: pending.append(asyncio.create_task(read_elsewhere()))
    await append(database, "a")
    async with database.write() as unit:
        await unit.symbols.get("AAPL")
    await append_and_roll_back(database)
    await append(database, "b")
    told = await asyncio.gather(*pending)
    assert len(told) == 2
    assert told[-1] == 2


@on_postgresql
async def test_one_transaction_is_announced_once(database: SqlDatabase, statements: list[str]) -> None:
    """NOTIFY makes commits wait for each other: however many events, one; and none without an event."""
    async with database.write() as unit:
        await unit.events.append(happened("a"))
        await unit.events.append(happened("b"))
    async with database.write() as unit:
        await unit.symbols.get("AAPL")
    assert sum("pg_notify" in statement for statement in statements) == 1


async def test_recorded_at_is_real_time(database: SqlDatabase, engine: Engine) -> None:
    await append(database, "a")
    async with engine.read() as connection:
        recorded = (await connection.execute(select(events.c.recorded_at))).scalar_one()
    assert abs(datetime.now(UTC) - recorded) < timedelta(seconds=30)
