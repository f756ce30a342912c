"""The symbol store and what the tables themselves refuse, the same on both databases."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.exc import IntegrityError

from domain.errors import SymbolNotFound, VersionConflict
from domain.events import SymbolChanged, SymbolChangeKind
from domain.levels import Direction, LevelKind, PriceLevel
from domain.staleness import AttemptOutcome
from domain.symbols import Symbol, SymbolStatus
from domain.tickers import AssetClass
from persistence.engine import Engine
from persistence.symbol_store import SqlSymbolStore
from persistence.tables import price_levels, symbols
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING
from tests.support.mutants import mutated
from tests.support.provider import profile

MICROSECOND = timedelta(microseconds=1)


def tracked(ticker: str = "AAPL", asset_class: AssetClass = AssetClass.STOCK) -> Symbol:
    return Symbol.tracked(profile(ticker, asset_class), None, None)


def level(price: str, strength: float = 0.5, kind: LevelKind = LevelKind.SUPPORT) -> PriceLevel:
    return PriceLevel(kind, Decimal(price), None, strength, 2, EVENING)


async def add(database: SqlDatabase, *given: Symbol) -> None:
    async with database.write() as unit:
        for symbol in given:
            assert await unit.symbols.add(symbol)


async def get(database: SqlDatabase, ticker: str = "AAPL") -> Symbol:
    async with database.read() as unit:
        found = await unit.symbols.get(ticker)
    assert found is not None
    return found


# ── add, get, save


async def test_a_symbol_comes_back_as_it_was_added(database: SqlDatabase) -> None:
    everything = Symbol(
        ticker="BRK-B",
        name="Bärkshire „Häthaway“ 伯克希尔",
        asset_class=AssetClass.STOCK,
        exchange="XNYS",
        currency="USD",
        status=SymbolStatus.SUSPECT,
        direction=Direction.BEARISH,
        version=7,
        level_count=12,
        last_price=Decimal("20614.449300000001"),
        last_updated=EVENING + MICROSECOND,
        as_of=EVENING,
        last_attempt_at=EVENING + timedelta(hours=1),
        last_outcome=AttemptOutcome.RATE_LIMITED,
    )
    await add(database, everything)
    assert await get(database, "BRK-B") == everything


async def test_an_unknown_symbol_is_none(database: SqlDatabase) -> None:
    async with database.write() as unit:
        assert await unit.symbols.get("AAPL") is None
        assert await unit.symbols.lock("AAPL") is None


async def test_adding_a_second_time_overwrites_nothing(database: SqlDatabase) -> None:
    first = replace(tracked(), name="first", version=3)
    await add(database, first)
    async with database.write() as unit:
        assert not await unit.symbols.add(replace(tracked(), name="second"))
    assert await get(database) == first


async def test_of_many_that_add_at_once_one_does(database: SqlDatabase) -> None:
    async def try_to(name: str) -> bool:
        async with database.write() as unit:
            return await unit.symbols.add(replace(tracked(), name=name))

    added = await asyncio.gather(*(try_to(f"{n}") for n in range(8)))
    assert sum(added) == 1
    assert (await get(database)).name == f"{added.index(True)}"


async def test_save_swaps_when_the_version_is_the_expected_one(database: SqlDatabase) -> None:
    await add(database, tracked())
    changed = replace(tracked(), name="new", version=2, as_of=EVENING)
    async with database.write() as unit:
        await unit.symbols.save(changed, 1)
    assert await get(database) == changed


@pytest.mark.parametrize("expected", [1, 4])
async def test_save_refuses_another_version_and_says_which_is_current(database: SqlDatabase, expected: int) -> None:
    stored = replace(tracked(), version=3)
    await add(database, stored)
    with pytest.raises(VersionConflict) as refused:
        async with database.write() as unit:
            await unit.symbols.save(replace(stored, name="new", version=expected + 1), expected)
    assert (refused.value.expected, refused.value.current) == (expected, 3)
    assert await get(database) == stored


async def test_save_of_an_unknown_symbol(database: SqlDatabase) -> None:
    with pytest.raises(SymbolNotFound):
        async with database.write() as unit:
            await unit.symbols.save(tracked(), 1)


async def writers_that_won(database: SqlDatabase) -> int:
    """Of eight that read version 1 at the same time and then save, how many were let through."""
    await add(database, tracked())
    all_have_read = asyncio.Barrier(8)

    async def change(name: str) -> bool:
        async with database.read() as unit:
            read = await unit.symbols.get("AAPL")
        assert read is not None
        await all_have_read.wait()
        try:
            async with database.write() as unit:
                await unit.symbols.save(replace(read, name=name, version=read.version + 1), read.version)
        except VersionConflict:
            return False
        return True

    return sum(await asyncio.gather(*(change(f"{n}") for n in range(8))))


async def test_of_many_that_save_the_same_version_one_does(database: SqlDatabase) -> None:
    assert await writers_that_won(database) == 1
    assert (await get(database)).version == 2


async def test_without_the_versions_predicate_updates_would_be_lost(database: SqlDatabase) -> None:
    with mutated(SqlSymbolStore.save, (", symbols.c.version == expected_version", "")):
        assert await writers_that_won(database) == 8


async def test_a_locked_symbol_is_written_by_nobody_else(database: SqlDatabase, database_url: str) -> None:
    await add(database, tracked())
    elsewhere = Engine(database_url)
    other = SqlDatabase(elsewhere, clock_generation=0)

    async def change() -> None:
        async with other.write() as unit:
            found = await unit.symbols.lock("AAPL")
            assert found is not None
            await unit.symbols.save(replace(found, name=f"{found.name} then theirs", version=found.version + 1), found.version)

    try:
        async with database.write() as unit:
            mine = await unit.symbols.lock("AAPL")
            assert mine is not None
            waiting = asyncio.create_task(change())
            await asyncio.sleep(0.2)
            assert not waiting.done()
            await unit.symbols.save(replace(mine, name="mine", version=2), 1)
        await waiting
    finally:
        await elsewhere.close()
    found = await get(database)
    assert (found.name, found.version) == ("mine then theirs", 3)


async def test_a_block_that_raises_leaves_nothing_behind(database: SqlDatabase) -> None:
    with suppress(ZeroDivisionError):
        async with database.write() as unit:
            await unit.symbols.add(tracked())
            await unit.symbols.replace_levels("AAPL", [level("100")])
            await unit.events.append(SymbolChanged(SymbolChangeKind.ADDED, "AAPL", EVENING))
            raise ZeroDivisionError
    async with database.read() as unit:
        assert await unit.symbols.get("AAPL") is None
        assert await unit.symbols.levels(["AAPL"]) == {}
        assert (await unit.events.head()).number == 0


async def test_noting_an_attempt_leaves_the_rest_alone(database: SqlDatabase) -> None:
    stored = replace(tracked(), version=3, last_updated=EVENING, level_count=2)
    await add(database, stored, tracked("MSFT"))
    later = EVENING + timedelta(hours=1)
    async with database.write() as unit:
        await unit.symbols.note_attempt("AAPL", later, AttemptOutcome.EMPTY)
    assert await get(database) == replace(stored, last_attempt_at=later, last_outcome=AttemptOutcome.EMPTY)
    assert await get(database, "MSFT") == tracked("MSFT")


async def test_all_are_all_the_retired_too(database: SqlDatabase) -> None:
    given = [tracked("AAPL"), replace(tracked("MSFT"), status=SymbolStatus.RETIRED), replace(tracked("NVDA"), last_price=None)]
    await add(database, *given)
    async with database.read() as unit:
        assert sorted(await unit.symbols.all(), key=lambda symbol: symbol.ticker) == given


async def test_listings_are_told_once_each_the_retired_too(database: SqlDatabase) -> None:
    await add(
        database,
        tracked("AAPL"),
        tracked("MSFT"),
        tracked("BTC-USD", AssetClass.CRYPTO),
        replace(tracked("SHEL.L"), exchange="XLON", status=SymbolStatus.RETIRED),
    )
    async with database.read() as unit:
        assert await unit.symbols.listings() == {
            (AssetClass.STOCK, "XNAS"),
            (AssetClass.CRYPTO, None),
            (AssetClass.STOCK, "XLON"),
        }


# ── levels


async def test_levels_are_replaced_and_come_strongest_first(database: SqlDatabase) -> None:
    await add(database, tracked(), tracked("MSFT"))
    zone = PriceLevel(LevelKind.RESISTANCE, Decimal("0.00000812"), Decimal("0.00000900"), 0.9, 3, EVENING)
    async with database.write() as unit:
        await unit.symbols.replace_levels("AAPL", [level("90", 0.1), level("91", 0.2)])
        await unit.symbols.replace_levels("MSFT", [level("400")])
        await unit.symbols.replace_levels("AAPL", [level("100", 0.25), zone, level("99", 0.25)])
    async with database.read() as unit:
        found = await unit.symbols.levels(["AAPL", "MSFT", "QQQ"])
    assert found == {"AAPL": [zone, level("99", 0.25), level("100", 0.25)], "MSFT": [level("400")]}
    async with database.write() as unit:
        await unit.symbols.replace_levels("AAPL", [])
        assert await unit.symbols.levels(["AAPL", "MSFT"]) == {"MSFT": [level("400")]}


async def test_a_level_is_never_there_twice(database: SqlDatabase) -> None:
    await add(database, tracked())
    with pytest.raises(IntegrityError):
        async with database.write() as unit:
            await unit.symbols.replace_levels("AAPL", [level("100", 0.3), level("100", 0.4)])


async def test_two_that_replace_levels_at_once_leave_one_set(database: SqlDatabase) -> None:
    await add(database, tracked())

    async def replace_by(price: int) -> None:
        async with database.write() as unit:
            await unit.symbols.lock("AAPL")
            await unit.symbols.replace_levels("AAPL", [level(f"{price}"), level(f"{price + 1}", 0.4)])

    await asyncio.gather(*(replace_by(price) for price in range(100, 120, 2)))
    async with database.read() as unit:
        found = (await unit.symbols.levels(["AAPL"]))["AAPL"]
    assert len(found) == 2
    assert found[1].price == found[0].price + 1


# ── what the tables refuse by themselves


@pytest.mark.parametrize("wrong", [{"version": 0}, {"level_count": -1}])
async def test_a_symbol_that_cannot_be(engine: Engine, database: SqlDatabase, wrong: dict[str, int]) -> None:
    await add(database, tracked())
    with pytest.raises(IntegrityError):
        async with engine.write() as connection:
            await connection.execute(update(symbols).values(wrong))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE price_levels SET strength = 1.01",
        "UPDATE price_levels SET strength = -0.01",
        "UPDATE symbols SET ticker = 'MSFT'",
        "DELETE FROM symbols",
        "INSERT INTO event_log SELECT 2, log_id, last_number, clock_generation FROM event_log",
        "INSERT INTO event_log SELECT * FROM event_log",
    ],
)
async def test_rows_that_cannot_be(engine: Engine, database: SqlDatabase, statement: str) -> None:
    await add(database, tracked())
    async with database.write() as unit:
        await unit.symbols.replace_levels("AAPL", [level("100")])
    with pytest.raises(IntegrityError):
        async with engine.write() as connection:
            await connection.execute(text(statement))


async def test_levels_of_nothing_are_refused(engine: Engine) -> None:
    row = {"ticker": "AAPL", "place": 0, "kind": LevelKind.SUPPORT, "price": Decimal(1), "strength": 0.5, "touches": 1}
    with pytest.raises(IntegrityError):
        async with engine.write() as connection:
            await connection.execute(insert(price_levels).values(**row, last_touched_at=EVENING))
