"""Leases: one refresh in flight per symbol, on the database's own time."""

import asyncio
from datetime import timedelta

import pytest

from domain.errors import RefreshInFlight
from domain.symbols import Symbol
from persistence import refresh_leases
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING
from tests.support.provider import profile

BY_HAND = RefreshInFlight("AAPL", EVENING, "api")
BY_SCHEDULE = RefreshInFlight("AAPL", EVENING + timedelta(seconds=1), "schedule")
OF_MSFT = RefreshInFlight("MSFT", EVENING, None)


@pytest.fixture(autouse=True)
async def _symbols(database: SqlDatabase) -> None:
    async with database.write() as unit:
        for ticker in ("AAPL", "MSFT"):
            await unit.symbols.add(Symbol.tracked(profile(ticker), None, None))


@pytest.fixture
def lapse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that are over as soon as they are taken."""
    monkeypatch.setattr(refresh_leases, "LEASE_SECONDS", -1)


async def take(database: SqlDatabase, refresh: RefreshInFlight, token: str) -> RefreshInFlight | None:
    async with database.write() as unit:
        return await unit.leases.take(refresh, token)


async def release(database: SqlDatabase, token: str) -> bool:
    async with database.write() as unit:
        return await unit.leases.release("AAPL", token)


async def end_lapsed(database: SqlDatabase, ticker: str | None = None) -> list[RefreshInFlight]:
    async with database.write() as unit:
        return await unit.leases.end_lapsed(ticker)


async def in_flight(database: SqlDatabase) -> dict[str, RefreshInFlight]:
    async with database.read() as unit:
        return dict(await unit.leases.in_flight(["AAPL", "MSFT", "QQQ"]))


async def test_a_lease_is_held_against_everybody_but_other_symbols(database: SqlDatabase) -> None:
    assert await take(database, BY_HAND, "first") is None
    assert await take(database, BY_SCHEDULE, "second") == BY_HAND
    assert await take(database, OF_MSFT, "third") is None
    assert await in_flight(database) == {"AAPL": BY_HAND, "MSFT": OF_MSFT}


async def test_only_its_holder_releases_it_and_only_once(database: SqlDatabase) -> None:
    await take(database, BY_HAND, "first")
    assert not await release(database, "second")
    assert await in_flight(database) == {"AAPL": BY_HAND}
    assert await release(database, "first")
    assert not await release(database, "first")
    assert await in_flight(database) == {}
    assert await take(database, BY_SCHEDULE, "second") is None


async def test_a_lease_that_has_not_lapsed_is_not_ended(database: SqlDatabase) -> None:
    await take(database, BY_HAND, "first")
    assert await end_lapsed(database) == []
    assert await in_flight(database) == {"AAPL": BY_HAND}


@pytest.mark.usefixtures("lapse")
async def test_a_lapsed_lease_is_no_longer_in_flight(database: SqlDatabase) -> None:
    await take(database, BY_HAND, "first")
    assert await in_flight(database) == {}


@pytest.mark.usefixtures("lapse")
async def test_the_lapsed_are_ended_by_symbol_or_all_together(database: SqlDatabase) -> None:
    await take(database, BY_HAND, "first")
    await take(database, OF_MSFT, "second")
    assert await end_lapsed(database, "AAPL") == [BY_HAND]
    assert await end_lapsed(database) == [OF_MSFT]
    assert await end_lapsed(database) == []


@pytest.mark.usefixtures("lapse")
async def test_who_has_lost_a_lapsed_lease_cannot_release_the_next_holders(database: SqlDatabase) -> None:
    await take(database, BY_HAND, "first")
    await end_lapsed(database)
    assert await take(database, BY_SCHEDULE, "second") is None
    assert not await release(database, "first")
    assert await release(database, "second")


async def test_a_lease_lapses_by_real_time(database: SqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh_leases, "LEASE_SECONDS", 2)
    await take(database, BY_HAND, "first")
    assert await end_lapsed(database) == []
    await asyncio.sleep(2.1)
    assert await end_lapsed(database) == [BY_HAND]


async def test_of_many_that_take_it_at_once_one_does(database: SqlDatabase, elsewhere: SqlDatabase) -> None:
    askers = [(database, elsewhere)[n % 2] for n in range(10)]
    refreshes = [RefreshInFlight("AAPL", EVENING + timedelta(seconds=n), "api") for n in range(10)]
    found = await asyncio.gather(*(take(askers[n], refreshes[n], f"{n}") for n in range(10)))
    assert found.count(None) == 1
    winner = refreshes[found.index(None)]
    assert [holder for holder in found if holder is not None] == [winner] * 9


@pytest.mark.usefixtures("lapse")
async def test_a_lapsed_lease_is_told_to_one_caller_only(database: SqlDatabase, elsewhere: SqlDatabase) -> None:
    await take(database, BY_HAND, "first")
    await take(database, OF_MSFT, "second")
    told = await asyncio.gather(*(end_lapsed((database, elsewhere)[n % 2]) for n in range(10)))
    assert sorted((refresh for ended in told for refresh in ended), key=lambda each: each.ticker) == [BY_HAND, OF_MSFT]
