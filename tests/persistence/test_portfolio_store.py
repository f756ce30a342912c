"""What the portfolio store keeps and finds, and what its neighbours learned for it, the same on both databases."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from domain.bars import ActionKind, CorporateAction
from domain.errors import RefreshInFlight
from domain.onboarding import OnboardingJob
from domain.portfolio import Holding, Portfolio, Snapshot
from persistence.tables import portfolios
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING
from tests.support.portfolios import TODAY, YESTERDAY, lot, priced
from tests.support.provider import daily_bar

DAY = timedelta(days=1)
LONG = Decimal("123456789012345.1234567891")
TOTALS = Snapshot(TODAY, "USD", YESTERDAY, LONG * 7, -LONG, Decimal("1e-20"), Decimal("-3.3333333333"), 2, False)
MAIN = Portfolio("main", "Main — 主", "digest", EVENING, 3, True, TOTALS)
LOTS = [
    Holding(0, "AAPL", LONG, Decimal("0.0000000001"), TODAY, None, TODAY, LONG, YESTERDAY, "USD", "Look ﷺ"),
    lot("ZZZZ", "-1", "0", place=1, exit_date=TODAY),
]


async def put(database: SqlDatabase, portfolio: Portfolio = MAIN, lots: list[Holding] | None = None) -> None:
    async with database.write() as unit:
        await unit.portfolios.put(portfolio, LOTS if lots is None else lots)


async def test_it_comes_back_as_it_was_put(database: SqlDatabase) -> None:
    await put(database)
    async with database.write() as unit:
        for found in (
            await unit.portfolios.get("main"),
            await unit.portfolios.named("Main — 主"),
            await unit.portfolios.lock("main"),
            *await unit.portfolios.listed(1),
            *await unit.portfolios.lock_holders("AAPL"),
        ):
            assert found == MAIN
        assert await unit.portfolios.holdings(["main", "other"]) == {"main": LOTS}
        assert await unit.portfolios.lock_holders("ZZZZ") == [], "a closed lot"
        for missing in (
            await unit.portfolios.get("other"),
            await unit.portfolios.named("main"),
            await unit.portfolios.lock("other"),
        ):
            assert missing is None


async def test_what_is_put_again_takes_the_place_of_all(database: SqlDatabase) -> None:
    await put(database)
    less = replace(MAIN, version=4, snapshot=None, is_priced=False, digest="other")
    await put(database, less, LOTS[1:])
    async with database.read() as unit:
        assert await unit.portfolios.listed(9) == [less]
        assert await unit.portfolios.holdings(["main"]) == {"main": LOTS[1:]}


async def test_a_revaluation_writes_what_has_changed(database: SqlDatabase) -> None:
    await put(database)
    await put(database, replace(MAIN, id="other", name="Other"), LOTS)
    news = replace(LOTS[0], last_price=Decimal(1), note=None)
    after = replace(MAIN, version=4, snapshot=replace(TOTALS, total_value=Decimal(2)))
    async with database.write() as unit:
        await unit.portfolios.revalue([(after, [news])])
        await unit.portfolios.revalue([])
    async with database.read() as unit:
        assert await unit.portfolios.get("main") == after
        assert await unit.portfolios.holdings(["main", "other"]) == {"main": [news, LOTS[1]], "other": LOTS}


async def test_what_is_deleted_leaves_nothing(database: SqlDatabase) -> None:
    await put(database)
    async with database.write() as unit:
        await unit.portfolios.delete("main")
        assert await unit.portfolios.listed(9) == []
        assert await unit.portfolios.holdings(["main"]) == {}
    await put(database, replace(MAIN, id="again"))


async def test_a_name_is_one_portfolio_s(database: SqlDatabase) -> None:
    await put(database)
    values = {"id": "x", "name": MAIN.name, "digest": "", "created_at": EVENING, "version": 1, "is_priced": False}
    for changes in ({}, {"name": "other", "version": 0}):
        with pytest.raises(IntegrityError):
            async with database.engine.write() as connection:
                await connection.execute(insert(portfolios).values(values | changes))


async def test_pending_are_those_that_are_active_or_wait(database: SqlDatabase) -> None:
    lots = [lot(ticker, place=place) for place, ticker in enumerate(["WAITS", "ENDED", "ACTIVE", "WAITS", "NEVER"])]
    await put(database, MAIN, lots)
    await put(database, replace(MAIN, id="other", name="Other"), lots[2:3])
    ended = OnboardingJob("1", "ENDED", EVENING).completed(EVENING)
    async with database.write() as unit:
        await unit.jobs.lock_queue()
        await unit.jobs.add([OnboardingJob("2", "ACTIVE", EVENING), ended])
        await unit.jobs.wait_for_place("main", ["WAITS"], None)
    async with database.read() as unit:
        found = await unit.portfolios.pending(["main", "other"])
    assert found == {"main": ["WAITS", "ACTIVE"], "other": ["ACTIVE"]}


async def test_counted_are_the_symbols_of_the_snapshots_currency(database: SqlDatabase) -> None:
    for ticker in ("AAPL", "MSFT", "SAP"):
        await priced(database, ticker)
    at: dict[str, Any] = {"last_price": Decimal(1), "last_price_date": TODAY, "currency": "USD"}
    lots = [
        lot("AAPL", place=0, **at),
        lot("AAPL", place=1, **at),
        lot("MSFT", place=2, exit_date=TODAY, **at),
        lot("SAP", place=3, **(at | {"currency": "EUR"})),
        lot("ZZZZ", place=4),
    ]
    await put(database, MAIN, lots)
    await put(database, replace(MAIN, id="other", name="Other", snapshot=None), lots)
    async with database.read() as unit:
        found = await unit.portfolios.counted(["main", "other"])
        assert found == {"main": [await unit.symbols.get("AAPL")]}


# ── what the other stores learned for it


async def test_the_newest_final_day_of_each(database: SqlDatabase) -> None:
    first = await priced(database, "AAPL")
    await priced(database, "MSFT", day=YESTERDAY - 5 * DAY)
    async with database.write() as unit:
        later = daily_bar("MSFT", YESTERDAY - 4 * DAY)
        await unit.bars.upsert([later, daily_bar("MSFT", TODAY, is_final=False), daily_bar("AAPL", YESTERDAY - DAY)])
        assert await unit.bars.newest_final(["AAPL", "MSFT", "ZZZZ"]) == {"AAPL": first, "MSFT": later}
        assert await unit.symbols.currencies(["AAPL", "ZZZZ"]) == {"AAPL": "USD"}
        days = [bar.day for bar in await unit.bars.daily_between(["MSFT", "ZZZZ"], YESTERDAY - 5 * DAY, YESTERDAY - 4 * DAY)]
        assert sorted(days) == [YESTERDAY - 5 * DAY, YESTERDAY - 4 * DAY]


async def test_who_was_split_since_the_day_of_the_last_refresh(database: SqlDatabase) -> None:
    for ticker in ("AAPL", "MSFT", "SPY", "NEW"):
        await priced(database, ticker, last_updated=None if ticker == "NEW" else EVENING)
    ahead = {"AAPL": TODAY + DAY, "MSFT": TODAY, "NEW": TODAY + DAY}
    async with database.write() as unit:
        splits = [CorporateAction(ticker, day, ActionKind.SPLIT, Decimal(2), "stub") for ticker, day in ahead.items()]
        dividend = CorporateAction("SPY", TODAY + DAY, ActionKind.DIVIDEND, Decimal(2), "stub")
        await unit.bars.upsert_actions([*splits, dividend])
        assert await unit.bars.split_since_refreshed(TODAY) == []
        assert await unit.bars.split_since_refreshed(TODAY + DAY) == ["AAPL"]


async def test_a_lease_is_held_by_its_token_alone(database: SqlDatabase) -> None:
    await priced(database, "AAPL")
    async with database.write() as unit:
        await unit.leases.take(RefreshInFlight("AAPL", EVENING, "api"), "mine")
        assert await unit.leases.hold("AAPL", "mine")
        assert not await unit.leases.hold("AAPL", "other")
        await unit.leases.release("AAPL", "mine")
        assert not await unit.leases.hold("AAPL", "mine")
