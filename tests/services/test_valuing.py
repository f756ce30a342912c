"""New prices and splits reach the lots that hold the symbol, each once, whoever dies in between."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.bars import ActionKind, CorporateAction
from domain.errors import VersionConflict
from domain.events import Position, SymbolChangeKind
from domain.portfolio import Holding, Portfolio, snapshot
from domain.services import valuing
from domain.services.portfolios import Portfolios
from domain.services.queueing import OnboardingQueue
from domain.services.refreshing import Refreshing
from domain.services.valuing import revalue
from domain.symbols import Symbol
from graph.context import Services
from persistence.engine import Engine
from persistence.portfolio_store import SqlPortfolioStore
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import ManualClock
from tests.support.journal import changes_of
from tests.support.mutants import mutated
from tests.support.portfolios import TODAY, YESTERDAY, file_of, kept, priced
from tests.support.provider import StubProvider, daily_bar
from tests.support.universe import track

DAY = timedelta(days=1)
UNLOCKED = ("if self._is_shared:", "if self._is_shared and not self:")
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


TOMORROW = TODAY + DAY


def split_of(ratio: str = "4", ex_date: date = TOMORROW) -> CorporateAction:
    return CorporateAction("AAPL", ex_date, ActionKind.SPLIT, Decimal(ratio), "stub")


@dataclass(frozen=True)
class Held:
    symbol: Symbol
    portfolio: Portfolio
    lots: list[Holding]
    kinds: list[SymbolChangeKind]

    @property
    def is_consistent(self) -> bool:
        """The snapshot is the lots', and every lot is at the symbol's price and in its shares."""
        lots = [lot for lot in self.lots if lot.ticker == "AAPL" and lot.is_open]
        return self.portfolio.snapshot == snapshot(self.lots) and {lot.last_price for lot in lots} == {self.symbol.last_price}

    @property
    def worth(self) -> Decimal:
        assert self.portfolio.snapshot is not None
        return self.portfolio.snapshot.total_value


async def held(database: SqlDatabase) -> Held:
    portfolio, lots = await kept(database)
    async with database.read() as unit:
        symbol = await unit.symbols.get("AAPL")
        assert symbol is not None
        log_id = (await unit.events.head()).log_id
        changes = changes_of(await unit.events.after(Position(log_id, 0), 1000))
    return Held(symbol, portfolio, lots, [change.event.kind for change in changes])


@pytest.fixture
async def main(services: Services, provider: StubProvider, database: SqlDatabase) -> Held:
    """AAPL, refreshed at 100, and a portfolio with 10 of it."""
    provider.bars = [daily_bar("AAPL", YESTERDAY - DAY, "98"), daily_bar("AAPL", YESTERDAY, "100")]
    await track(database, "AAPL")
    await services.refreshing.refresh("AAPL", None, "api")
    await services.portfolios.import_("Main", file_of("AAPL,10,90", "AAPL,5,90,2025-01-02,2025-02-03"))
    found = await held(database)
    assert [found.worth, found.is_consistent] == [1000, True]
    return found


async def refresh_with(
    services: Services, provider: StubProvider, clock: ManualClock, close: str, *actions: CorporateAction
) -> None:
    """Two days later, when the provider knows of the day between and perhaps of a split."""
    clock.advance(2 * DAY)
    assert provider.bars is not None
    day = clock.now().date() - DAY
    provider.bars = [*provider.bars, daily_bar("AAPL", day, close)]
    provider.actions = actions
    await services.refreshing.refresh("AAPL", None, "api")


# ── prices


async def test_a_new_price_reaches_every_open_lot(
    main: Held, services: Services, provider: StubProvider, database: SqlDatabase, clock: ManualClock
) -> None:
    await services.portfolios.import_("Other", file_of("AAPL,-1,90", "ZZZZ,1,1"))
    await services.portfolios.import_("Third", file_of("MSFT,1,1"))
    third = await kept(database, "Third")
    await refresh_with(services, provider, clock, "110")
    after = await held(database)
    assert [after.worth, after.is_consistent] == [1100, True]
    assert [after.lots[0].last_price, after.lots[0].last_price_date] == [110, TOMORROW]
    assert after.lots[1] == main.lots[1], "a closed lot stays as it was"
    assert after.portfolio.version == 1, "positions have not changed"
    other, _ = await kept(database, "Other")
    assert other.snapshot is not None
    assert [other.snapshot.total_value, other.snapshot.is_complete] == [-110, False]
    assert await kept(database, "Third") == third


async def test_how_many_really_changed_is_told(main: Held, database: SqlDatabase, services: Services) -> None:
    await services.portfolios.import_("Other", file_of("AAPL,-1,90"))
    async with database.write() as unit:
        await unit.symbols.lock("AAPL")
        assert await revalue(unit, "AAPL", TODAY) == 0
        assert await revalue(unit, "ZZZZ", TODAY) == 0
        await unit.bars.upsert([daily_bar("AAPL", TODAY, "101")])
        assert await revalue(unit, "AAPL", TODAY) == 2
        assert await revalue(unit, "AAPL", TODAY) == 0
    assert (await held(database)).worth == 1010


async def test_the_price_is_that_of_the_newest_final_day(main: Held, database: SqlDatabase) -> None:
    async with database.write() as unit:
        await unit.bars.upsert([daily_bar("AAPL", TODAY, "150", is_final=False)])
        assert await revalue(unit, "AAPL", TODAY) == 0


async def test_the_first_price_makes_it_ready_and_is_checked_against_the_entry(
    services: Services, database: SqlDatabase
) -> None:
    bought = YESTERDAY - 40 * DAY
    await services.portfolios.import_("Main", file_of(f"AAPL,10,400,{bought}"))
    before, _ = await kept(database)
    assert (before.snapshot, before.is_priced) == (None, False)
    await priced(database, "AAPL", "100")
    async with database.write() as unit:
        await unit.bars.upsert([daily_bar("AAPL", bought, "400")])
        await unit.bars.upsert_actions([split_of("4", YESTERDAY - 20 * DAY)])
        await unit.symbols.lock("AAPL")
        assert await revalue(unit, "AAPL", TODAY) == 1
    after, (lot,) = await kept(database)
    assert after.is_priced
    assert [lot.quantity, lot.note is not None, after.version] == [10, True, 1]


# ── splits


async def test_a_split_that_a_refresh_learns_of(
    main: Held, services: Services, provider: StubProvider, database: SqlDatabase, clock: ManualClock
) -> None:
    await refresh_with(services, provider, clock, "26", split_of())
    after = await held(database)
    assert [after.worth, after.is_consistent] == [40 * 26, True]
    assert [after.lots[0].quantity, after.lots[0].entry_price, after.lots[0].shares_as_of] == [40, Decimal("22.5"), TOMORROW]
    assert after.lots[1] == main.lots[1]
    assert after.portfolio.version == 2
    assert after.symbol.version == main.symbol.version + 2
    assert after.kinds[-3:] == [SymbolChangeKind.REFRESH_STARTED, SymbolChangeKind.SPLIT, SymbolChangeKind.REFRESHED]
    await refresh_with(services, provider, clock, "27", split_of())
    again = await held(database)
    assert [again.worth, again.portfolio.version, again.kinds.count(SymbolChangeKind.SPLIT)] == [40 * 27, 2, 1]


async def test_the_file_and_the_export_are_both_the_same_portfolio_after_a_split(
    main: Held, services: Services, provider: StubProvider, database: SqlDatabase, clock: ManualClock
) -> None:
    await refresh_with(services, provider, clock, "26", split_of())
    after = await held(database)
    exported = await services.portfolios.exported("Main")
    assert "AAPL,40,22.5," in exported
    for csv in (exported, file_of("AAPL,10,90", "AAPL,5,90,2025-01-02,2025-02-03")):
        assert (await services.portfolios.import_("Main", csv)).portfolio == after.portfolio
    assert (await held(database)).lots == after.lots


async def test_a_crash_between_split_and_price_leaves_what_belongs_together(
    main: Held, services: Services, provider: StubProvider, database: SqlDatabase, clock: ManualClock
) -> None:
    change = ("    ticker = before.ticker\n", "    raise RuntimeError('dies')\n")
    with mutated(Refreshing._finish, change), pytest.raises(RuntimeError, match="dies"):
        await refresh_with(services, provider, clock, "26", split_of())
    between = await held(database)
    assert (between.worth, between.is_consistent) == (main.worth, True)
    assert [between.symbol.last_price, between.lots[0].quantity] == [25, 40]
    await services.refreshing.refresh("AAPL", None, "api")
    after = await held(database)
    assert [after.worth, after.is_consistent, after.portfolio.version] == [40 * 26, True, 2]
    assert after.kinds.count(SymbolChangeKind.SPLIT) == 1


async def test_a_crash_within_the_split_leaves_nothing_of_it(
    main: Held, services: Services, provider: StubProvider, database: SqlDatabase, clock: ManualClock
) -> None:
    change = ("    await unit.portfolios.revalue(", "    raise RuntimeError('dies')\n    await unit.portfolios.revalue(")
    with mutated(valuing.revalue, change), pytest.raises(RuntimeError, match="dies"):
        await refresh_with(services, provider, clock, "26", split_of())
    between = await held(database)
    assert (between.lots, between.portfolio) == (main.lots, main.portfolio)
    assert [between.symbol.last_price, between.symbol.version] == [100, main.symbol.version]
    async with database.read() as unit:
        assert await unit.bars.actions(["AAPL"]) == {}


async def test_a_refresh_that_was_overtaken_splits_nothing(
    main: Held, services: Services, provider: StubProvider, database: SqlDatabase, clock: ManualClock
) -> None:
    async def retire() -> None:
        provider.before_answer = None
        await services.symbols.remove("AAPL", main.symbol.version)

    provider.before_answer = retire
    with pytest.raises(VersionConflict):
        await refresh_with(services, provider, clock, "26", split_of())
    assert (await held(database)).lots == main.lots


async def test_a_split_known_ahead_comes_when_its_day_does(
    main: Held, services: Services, database: SqlDatabase, clock: ManualClock
) -> None:
    async with database.write() as unit:
        await unit.bars.upsert_actions([split_of(), split_of("2", TODAY + 2 * DAY)])
    assert await services.refreshing.apply_due_splits() == []
    assert (await held(database)).lots == main.lots
    clock.advance(DAY)
    assert await services.refreshing.apply_due_splits() == ["AAPL"]
    after = await held(database)
    assert [after.worth, after.is_consistent, after.symbol.last_price] == [main.worth, True, 25]
    assert (after.portfolio.version, after.symbol.version) == (2, main.symbol.version + 1)
    assert after.kinds[-1] is SymbolChangeKind.SPLIT
    assert await services.refreshing.apply_due_splits() == []
    assert await held(database) == after
    clock.advance(DAY)
    assert await services.refreshing.apply_due_splits() == ["AAPL"]
    assert [(await held(database)).worth, (await held(database)).lots[0].quantity] == [main.worth, 80]


async def test_or_with_the_refresh_that_comes_first(
    main: Held, services: Services, provider: StubProvider, database: SqlDatabase, clock: ManualClock
) -> None:
    async with database.write() as unit:
        await unit.bars.upsert_actions([split_of()])
    clock.advance(DAY)
    await refresh_with(services, provider, clock, "26")
    after = await held(database)
    assert [after.worth, after.is_consistent, after.portfolio.version] == [40 * 26, True, 2]
    assert after.kinds.count(SymbolChangeKind.SPLIT) == 1
    assert await services.refreshing.apply_due_splits() == []


async def test_a_refresh_under_way_is_left_alone_by_the_days_splits(
    main: Held, services: Services, provider: StubProvider, database: SqlDatabase, clock: ManualClock
) -> None:
    async with database.write() as unit:
        await unit.bars.upsert_actions([split_of()])
    applied: list[list[str]] = []

    async def apply() -> None:
        applied.append(await services.refreshing.apply_due_splits())

    provider.before_answer = apply
    clock.advance(DAY)
    await refresh_with(services, provider, clock, "26")
    assert applied == [[]]
    assert [(await held(database)).worth, (await held(database)).is_consistent] == [40 * 26, True]


async def test_lots_imported_on_the_day_itself_are_in_its_shares_before_the_price_is(
    main: Held, services: Services, database: SqlDatabase, clock: ManualClock
) -> None:
    async with database.write() as unit:
        await unit.bars.upsert_actions([split_of()])
    clock.advance(DAY)
    new = (await services.portfolios.import_("New", file_of("AAPL,40,22.5"))).portfolio
    assert new.snapshot is not None
    assert new.snapshot.total_value == main.worth
    await services.refreshing.apply_due_splits()
    assert (await kept(database, "New"))[0] == new


async def test_a_split_heard_of_late_changes_the_lots_and_no_price(
    main: Held, services: Services, provider: StubProvider, database: SqlDatabase, clock: ManualClock
) -> None:
    await refresh_with(services, provider, clock, "25")
    assert (await held(database)).worth == 250, "as long as nobody has said why"
    await refresh_with(services, provider, clock, "25", split_of())
    after = await held(database)
    assert [after.worth, after.is_consistent, after.lots[0].quantity] == [1000, True, 40]


# ── an import beside a refresh


@pytest.fixture
async def elsewhere(database_url: str, clock: ManualClock) -> AsyncIterator[Portfolios]:
    """The portfolios of another process."""
    engine = Engine(database_url)
    yield Portfolios(SqlDatabase(engine, clock_generation=0), OnboardingQueue(clock, 50, 3), clock)
    await engine.close()


class HeldOpen:
    """A store's method that has done its work and goes on when it may: its transaction stays open that long."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: type, name: str) -> None:
        self.reached, self.may_go_on = asyncio.Event(), asyncio.Event()
        original = getattr(store, name)

        async def work(*arguments: object) -> None:
            await original(*arguments)
            self.reached.set()
            await self.may_go_on.wait()

        monkeypatch.setattr(store, name, work)

    async def until_ended(self, other: asyncio.Task[Any], patience: float) -> None:
        """Lets it go on when the other has ended, or has waited so long."""
        await asyncio.wait({other}, timeout=patience)
        self.may_go_on.set()
        await other


async def refreshed_within_an_import(
    services: Services,
    provider: StubProvider,
    clock: ManualClock,
    elsewhere: Portfolios,
    monkeypatch: pytest.MonkeyPatch,
    patience: float,
) -> None:
    held_open = HeldOpen(monkeypatch, SqlPortfolioStore, "put")
    importing = asyncio.create_task(elsewhere.import_("Raced", file_of("AAPL,1,1", "MSFT,1,1")))
    await held_open.reached.wait()
    refresh = asyncio.create_task(refresh_with(services, provider, clock, "110"))
    await held_open.until_ended(refresh, patience)
    await importing


async def test_a_refresh_within_an_import_gives_it_its_price(
    main: Held,
    services: Services,
    provider: StubProvider,
    database: SqlDatabase,
    clock: ManualClock,
    elsewhere: Portfolios,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await refreshed_within_an_import(services, provider, clock, elsewhere, monkeypatch, patience=0.5)
    _, lots = await kept(database, "Raced")
    assert [lot.last_price for lot in lots] == [110, None]
    assert (await held(database)).is_consistent


@on_postgresql
async def test_without_keeping_prices_out_the_old_one_stays(
    main: Held,
    services: Services,
    provider: StubProvider,
    database: SqlDatabase,
    clock: ManualClock,
    elsewhere: Portfolios,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with mutated(SqlPortfolioStore.keep_prices_out, UNLOCKED):
        await refreshed_within_an_import(services, provider, clock, elsewhere, monkeypatch, patience=2.5)
    _, lots = await kept(database, "Raced")
    assert lots[0].last_price == 100


async def test_an_import_within_a_refresh_has_its_price(
    main: Held,
    services: Services,
    provider: StubProvider,
    database: SqlDatabase,
    clock: ManualClock,
    elsewhere: Portfolios,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held_open = HeldOpen(monkeypatch, SqlPortfolioStore, "revalue")
    refresh = asyncio.create_task(refresh_with(services, provider, clock, "110"))
    await held_open.reached.wait()
    importing = asyncio.create_task(elsewhere.import_("Raced", file_of("AAPL,1,1")))
    await held_open.until_ended(importing, patience=0.5)
    await refresh
    assert (await kept(database, "Raced"))[1][0].last_price == 110


@pytest.mark.parametrize("with_lock", [True, False], ids=["as it is", "without the lock"])
@on_postgresql
async def test_a_symbol_that_comes_while_its_lots_are_imported(
    database: SqlDatabase, elsewhere: Portfolios, monkeypatch: pytest.MonkeyPatch, with_lock: bool
) -> None:
    """There is no row to lock yet: it is added, priced and revalued within the import."""

    async def come() -> None:
        await priced(database, "NEW", "7")
        async with database.write() as unit:
            await unit.symbols.lock("NEW")
            await revalue(unit, "NEW", TODAY)

    unlocked = nullcontext() if with_lock else mutated(SqlPortfolioStore.keep_prices_out, UNLOCKED)
    with unlocked:
        held_open = HeldOpen(monkeypatch, SqlPortfolioStore, "put")
        importing = asyncio.create_task(elsewhere.import_("Main", file_of("NEW,1,1")))
        await held_open.reached.wait()
        await held_open.until_ended(asyncio.create_task(come()), patience=0.5 if with_lock else 2.5)
        await importing
    _, (lot,) = await kept(database)
    assert (lot.last_price == 7) == with_lock


async def test_many_symbols_of_a_portfolio_refreshed_at_once_are_all_in_its_totals(
    services: Services, database: SqlDatabase
) -> None:
    tickers = [f"T{number}" for number in range(8)]
    for ticker in tickers:
        await priced(database, ticker, "1")
    await services.portfolios.import_("Main", file_of(*(f"{ticker},1,1" for ticker in tickers)))

    async def reprice(ticker: str) -> None:
        async with database.write() as unit:
            await unit.symbols.lock(ticker)
            await unit.bars.upsert([daily_bar(ticker, YESTERDAY, "2")])
            await revalue(unit, ticker, TODAY)

    await asyncio.gather(*map(reprice, tickers))
    portfolio, lots = await kept(database)
    assert portfolio.snapshot == snapshot(lots)
    assert portfolio.snapshot is not None
    assert portfolio.snapshot.total_value == 16
