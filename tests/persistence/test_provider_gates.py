"""The store of the gates, the same on both databases."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import ProviderUnavailable, Trouble
from domain.gates import Gate
from persistence.provider_gates import SqlProviderGates
from persistence.unit_of_work import SqlDatabase
from tests.support.mutants import mutated

NOW = datetime.now(UTC)
LIMITED = Gate("yahoo").failed(0, NOW, Trouble.RATE_LIMITED, 1, "The provider yahoo said it is too much.")
EVERYTHING = Gate(
    provider="yahoo",
    generation=2**40,
    failures=7,
    failed_at=NOW,
    last_error="Zu viele Anfragen – 伯克希尔",
    trouble=Trouble.DOWN,
    open_until=NOW + timedelta(seconds=60),
    probe_until=NOW + timedelta(seconds=75),
    spent_until=NOW + timedelta(microseconds=1),
)


async def save(database: SqlDatabase, gate: Gate) -> None:
    async with database.write() as unit:
        await unit.gates.lock(gate.provider)
        await unit.gates.save(gate)


async def read(database: SqlDatabase, *providers: str) -> dict[str, Gate]:
    async with database.read() as unit:
        return dict((await unit.gates.read(providers))[0])


async def test_a_gate_comes_back_as_it_was_saved(database: SqlDatabase, elsewhere: SqlDatabase) -> None:
    await save(database, EVERYTHING)
    assert await read(elsewhere, "yahoo") == {"yahoo": EVERYTHING}
    async with elsewhere.write() as unit:
        assert (await unit.gates.lock("yahoo"))[0] == EVERYTHING


async def test_what_is_not_remembered_is_as_new_and_nobody_elses(database: SqlDatabase) -> None:
    assert await read(database, "yahoo", "sample") == {"yahoo": Gate("yahoo"), "sample": Gate("sample")}
    await save(database, EVERYTHING)
    assert await read(database, "yahoo", "sample") == {"yahoo": EVERYTHING, "sample": Gate("sample")}
    async with database.write() as unit:
        assert (await unit.gates.lock("sample"))[0] == Gate("sample")


async def test_many_are_read_by_one_statement(database: SqlDatabase, statements: list[str]) -> None:
    await save(database, EVERYTHING)
    statements.clear()
    await read(database, "yahoo", "sample", "stub")
    assert len(statements) == 1


async def test_its_time_is_real_and_moves_on(database: SqlDatabase) -> None:
    async with database.write() as unit:
        _, first = await unit.gates.lock("yahoo")
        await asyncio.sleep(0.05)
        _, second = await unit.gates.read(["yahoo"])
    assert abs(first - datetime.now(UTC)) < timedelta(seconds=30)
    assert timedelta(seconds=0.04) <= second - first < timedelta(seconds=10)


async def test_of_many_that_lock_it_first_each_sees_what_the_one_before_did(
    database: SqlDatabase, elsewhere: SqlDatabase
) -> None:
    async def fail(through: SqlDatabase) -> None:
        async with through.write() as unit:
            gate, _ = await unit.gates.lock("yahoo")
            await unit.gates.save(replace(gate, failures=gate.failures + 1))

    await asyncio.gather(*(fail((database, elsewhere)[n % 2]) for n in range(20)))
    assert (await read(database, "yahoo"))["yahoo"].failures == 20


async def probes(database: SqlDatabase, elsewhere: SqlDatabase) -> int:
    """How many of ten that come at once after a cool-down are let through."""
    await save(database, replace(LIMITED, open_until=NOW - timedelta(seconds=1)))

    async def come(through: SqlDatabase) -> bool:
        with suppress(ProviderUnavailable):
            async with through.write() as unit:
                gate, now = await unit.gates.lock("yahoo")
                await asyncio.sleep(0.1)
                await unit.gates.save(gate.admitted(now))
                return True
        return False

    return sum(await asyncio.gather(*(come((database, elsewhere)[n % 2]) for n in range(10))))


async def test_of_many_that_come_at_once_one_probes(database: SqlDatabase, elsewhere: SqlDatabase) -> None:
    assert await probes(database, elsewhere) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_without_the_rows_lock_several_would(database: SqlDatabase, elsewhere: SqlDatabase) -> None:
    with mutated(SqlProviderGates.lock, (".with_for_update()", "")):
        assert await probes(database, elsewhere) > 1
