"""Importing and removing portfolios: what is stored, what is refused, what is queued, on both databases."""

import asyncio
import time
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from domain.bars import ActionKind, CorporateAction
from domain.errors import InvalidArgument, InvalidPortfolio, PortfolioNotFound, VersionConflict
from domain.onboarding import JobStatus
from domain.portfolio import PortfolioStatus, is_priced, snapshot
from domain.portfolio_csv import MAX_BYTES
from domain.services.portfolios import Imported, Portfolios
from domain.services.queueing import OnboardingQueue
from domain.symbols import Symbol, SymbolStatus
from graph.context import Services
from persistence.engine import Engine
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING, ManualClock
from tests.support.figures import told
from tests.support.mutants import mutated
from tests.support.portfolios import TODAY, YESTERDAY, file_of, jobs_of, kept, priced, steps
from tests.support.provider import daily_bar, profile

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def portfolios(services: Services) -> Portfolios:
    return services.portfolios


@pytest.fixture
def few_places(database: SqlDatabase, clock: ManualClock) -> Portfolios:
    """The same portfolios, before a queue of two places."""
    return Portfolios(database, OnboardingQueue(clock, depth=2, places=1), clock)


async def status_of(database: SqlDatabase, done: Imported) -> PortfolioStatus:
    async with database.read() as unit:
        found = await unit.portfolios.get(done.portfolio.id)
        assert found is not None
        return found.status((await unit.portfolios.pending([found.id])).get(found.id, []))


# ── what is stored


async def test_known_symbols_are_valued_at_once(portfolios: Portfolios, database: SqlDatabase) -> None:
    bar = await priced(database, "AAPL", "123.4567890123")
    await priced(database, "MSFT", "50")
    done = await portfolios.import_("  Main ", file_of("aapl,10.5,100", "MSFT,-4,60", "AAPL,1,90,2025-01-02,2025-06-02"))
    portfolio, lots = await kept(database)
    assert done.portfolio == portfolio
    assert (portfolio.name, portfolio.version, portfolio.created_at) == ("Main", 1, EVENING)
    assert (done.pending, done.jobs, done.rejected) == ([], [], ())
    assert [lot.ticker for lot in lots] == ["AAPL", "MSFT", "AAPL"]
    assert lots[0].market_value == Decimal("10.5") * bar.close
    assert (lots[0].last_price, lots[0].last_price_date, lots[0].currency) == (bar.close, YESTERDAY, "USD")
    assert [lots[1].market_value, lots[1].cost_basis, lots[1].pnl] == [-200, -240, 40]
    assert (lots[2].market_value, lots[2].pnl, lots[2].currency) == (None, None, "USD")
    found = portfolio.snapshot
    assert found is not None
    assert found.total_value == Decimal("10.5") * bar.close - 200
    assert found.total_cost == 1050 - 240
    assert (found.position_count, found.is_complete, found.currency) == (2, True, "USD")
    assert (found.date, found.oldest_price_date) == (YESTERDAY, YESTERDAY)
    assert await status_of(database, done) is PortfolioStatus.READY
    assert found == snapshot(lots)
    assert portfolio.is_priced == is_priced(lots)


async def test_numbers_are_kept_to_the_last_digit(portfolios: Portfolios, database: SqlDatabase) -> None:
    most, least = "999999999999999.9999999999", "0.0000000001"
    bar = await priced(database, "AAPL", "20614.449300000001")
    await portfolios.import_("Main", file_of(f"AAPL,{most},{least}", f"AAPL,-{least},{most}", f"AAPL,{most},{most}"))
    portfolio, lots = await kept(database)
    assert [(f"{lot.quantity:f}", f"{lot.entry_price:f}") for lot in lots] == [
        (most, least),
        (f"-{least}", most),
        (most, most),
    ]
    assert portfolio.snapshot is not None
    quantities = [Fraction(lot.quantity) for lot in lots]
    assert Fraction(portfolio.snapshot.total_value) == sum(quantities) * Fraction(bar.close)
    costs = [Fraction(lot.quantity) * Fraction(lot.entry_price) for lot in lots]
    assert Fraction(portfolio.snapshot.total_cost) == sum(costs)
    assert Fraction(portfolio.snapshot.total_pnl) == sum(quantities) * Fraction(bar.close) - sum(costs)


async def test_unknown_symbols_are_queued_with_the_portfolio(portfolios: Portfolios, database: SqlDatabase) -> None:
    await priced(database, "AAPL")
    await priced(database, "GONE", status=SymbolStatus.RETIRED)
    done = await portfolios.import_("Main", file_of("ZZZZ,1,1", "AAPL,1,1", "GONE,1,1", "ZZZZ,2,2"), requested_by="me")
    assert done.pending == ["ZZZZ", "GONE"]
    assert [(job.ticker, job.status, job.position, job.requested_by) for job in done.jobs] == [
        ("ZZZZ", JobStatus.PENDING, 1, "me"),
        ("GONE", JobStatus.PENDING, 2, "me"),
    ]
    assert done.jobs[0].estimated_seconds == 60
    assert [job.ticker for job in await steps(database)] == ["ZZZZ", "GONE"]
    assert await status_of(database, done) is PortfolioStatus.PENDING
    _, lots = await kept(database)
    assert [(lot.currency, lot.last_price) for lot in lots] == [(None, None), ("USD", 100), ("USD", 100), (None, None)]


async def test_what_finds_no_place_waits(few_places: Portfolios, database: SqlDatabase) -> None:
    done = await few_places.import_("Main", file_of(*(f"T{number},1,1" for number in range(5))))
    assert done.pending == ["T0", "T1", "T2", "T3", "T4"]
    assert [job.ticker for job in done.jobs] == ["T0", "T1"]
    async with database.read() as unit:
        assert [ticker for ticker, _ in await unit.jobs.waiting()] == ["T2", "T3", "T4"]
    assert await status_of(database, done) is PortfolioStatus.PENDING


async def test_without_prices_and_without_anything_pending_it_is_partial(portfolios: Portfolios, database: SqlDatabase) -> None:
    async with database.write() as unit:
        await unit.symbols.add(Symbol.tracked(profile("AAPL"), None, None))
    done = await portfolios.import_("Main", file_of("AAPL,1,1"))
    assert (done.portfolio.snapshot, await status_of(database, done)) == (None, PortfolioStatus.PARTIAL)


async def test_a_split_that_the_entry_price_has_not_heard_of_is_noted(portfolios: Portfolios, database: SqlDatabase) -> None:
    before, ex_date = TODAY - timedelta(days=40), TODAY - timedelta(days=20)
    await priced(database, "AAPL", "25")
    async with database.write() as unit:
        await unit.bars.upsert([daily_bar("AAPL", before, "100")])
        await unit.bars.upsert_actions([CorporateAction("AAPL", ex_date, ActionKind.SPLIT, Decimal(4), "stub")])
    rows = [f"AAPL,1,{price},{day}" for price, day in ((100.5, before), (25.1, before), (70, before), (100.5, YESTERDAY))]
    await portfolios.import_("Main", file_of(*rows))
    _, lots = await kept(database)
    assert [lot.note is not None for lot in lots] == [True, False, False, False]
    assert str(lots[0].note) == (
        f"The entry price fits what AAPL traded at on {before}, before a split of 4 for 1. The lot is kept as the file has it; "
        "check whether it is in today's shares."
    )
    assert [lots[0].quantity, lots[0].entry_price, lots[0].last_price] == [1, Decimal("100.5"), 25]


# ── again


async def test_the_same_lots_again_change_nothing_however_they_are_spelled(
    portfolios: Portfolios, database: SqlDatabase
) -> None:
    first = await portfolios.import_("Main", file_of("AAPL,1000,12.50", "ZZZZ,1,1"))
    before, told_before = await kept(database), await steps(database)
    spelled = "Symbol;Qty;Cost basis per share;Name\n aapl ;1000,0;12,5;Apple\nzzzz;1;1;\n"
    for again in (
        await portfolios.import_("Main", spelled),
        await portfolios.import_("Main", spelled, expected_version=7),
        await portfolios.import_("Main", await portfolios.exported("Main")),
    ):
        assert again == first
    assert await kept(database) == before
    assert await steps(database) == told_before
    assert len(told_before) == 2


async def test_other_lots_replace_them_all_and_need_the_version(portfolios: Portfolios, database: SqlDatabase) -> None:
    await priced(database, "MSFT")
    first = await portfolios.import_("Main", file_of("AAPL,1,1", "MSFT,1,1"))
    before = await kept(database)
    other = file_of("MSFT,5,5")
    for version, sentence in (
        (
            None,
            "The portfolio 'Main' is there with other lots, and replacing them needs its expectedVersion; its version is 1.",
        ),
        (2, "The portfolio 'Main' was changed meanwhile: expected version 2, it is 1."),
    ):
        with pytest.raises(VersionConflict) as refused:
            await portfolios.import_("Main", other, expected_version=version)
        assert (str(refused.value), refused.value.current) == (sentence, 1)
        assert await kept(database) == before
    done = await portfolios.import_("Main", other, expected_version=1)
    portfolio, lots = await kept(database)
    assert (portfolio.id, portfolio.version, portfolio.created_at) == (first.portfolio.id, 2, first.portfolio.created_at)
    assert [(lot.ticker, f"{lot.quantity}") for lot in lots] == [("MSFT", "5")]
    assert portfolio.snapshot is not None
    assert portfolio.snapshot.total_value == 500
    assert done.pending == []
    assert (await jobs_of(database, ["AAPL"]))["AAPL"].status is JobStatus.PENDING, "what has begun is not called off"


async def test_a_version_of_a_portfolio_that_is_not_there(portfolios: Portfolios) -> None:
    with pytest.raises(VersionConflict, match="The portfolio 'Main' is not there yet; its version is 0"):
        await portfolios.import_("Main", file_of("AAPL,1,1"), expected_version=3)
    assert (await portfolios.import_("Main", file_of("AAPL,1,1"), expected_version=0)).portfolio.version == 1


async def test_names_are_compared_exactly(portfolios: Portfolios) -> None:
    for name in ("Main", "main", "Maïn", "x" * 200):
        assert (await portfolios.import_(name, file_of("AAPL,1,1"))).portfolio.version == 1
    assert [portfolio.name for portfolio in await portfolios.listed(10)] == ["Main", "Maïn", "main", "x" * 200]
    assert len(await portfolios.listed(2)) == 2
    for name in ("", "  ", "x" * 201):
        with pytest.raises(InvalidArgument, match="name must be 1 to 200 characters long"):
            await portfolios.import_(name, file_of("AAPL,1,1"))


# ── wrong files

MISTAKEN = file_of("AAPL,1,1", "MSFT,nothing,1", "SPY,1,1,2026-03-28", "QQQ,1,1,2026-03-27,2026-03-29")


async def test_a_file_with_mistakes_is_refused_with_all_of_them(portfolios: Portfolios, database: SqlDatabase) -> None:
    with pytest.raises(InvalidPortfolio) as refused:
        await portfolios.import_("Main", MISTAKEN)
    assert [(error.line, error.column, error.value) for error in refused.value.errors] == [
        (3, "quantity", "nothing"),
        (4, "entry date", "2026-03-28"),
        (5, "exit date", "2026-03-29"),
    ]
    assert {error.code for error in refused.value.errors[1:]} == {"DATE_IN_THE_FUTURE"}
    assert str(refused.value).startswith("The file cannot be imported. At line 3, quantity: ")
    assert str(refused.value).endswith("(the first of 3 mistakes)")
    assert await portfolios.listed(10) == []
    assert await steps(database) == []


async def test_its_good_rows_may_be_accepted_for_a_new_portfolio(portfolios: Portfolios, database: SqlDatabase) -> None:
    done = await portfolios.import_("Main", MISTAKEN, accept_valid_rows=True)
    assert [error.line for error in done.rejected] == [3, 4, 5]
    assert [lot.ticker for lot in (await kept(database))[1]] == ["AAPL"]
    assert await portfolios.import_("Main", MISTAKEN, accept_valid_rows=True) == done, "again, they change nothing"
    with pytest.raises(InvalidPortfolio):
        await portfolios.import_("Main", MISTAKEN)


async def test_and_never_in_place_of_others(portfolios: Portfolios, database: SqlDatabase) -> None:
    await portfolios.import_("Main", file_of("SPY,3,3"))
    before = await kept(database)
    with pytest.raises(InvalidPortfolio):
        await portfolios.import_("Main", MISTAKEN, accept_valid_rows=True, expected_version=1)
    assert await kept(database) == before


@pytest.mark.parametrize("csv", ["", "symbol,quantity,price\n", "hello", "x" * (MAX_BYTES + 1), file_of("MSFT,nothing,1")])
async def test_without_a_good_row_there_is_nothing_to_import(portfolios: Portfolios, csv: str) -> None:
    with pytest.raises(InvalidPortfolio) as refused:
        await portfolios.import_("Main", csv, accept_valid_rows=True)
    assert refused.value.errors


async def test_a_check_says_all_this_and_writes_nothing(
    portfolios: Portfolios, database: SqlDatabase, statements: list[str]
) -> None:
    await priced(database, "AAPL")
    await priced(database, "GONE", status=SymbolStatus.RETIRED)
    statements.clear()
    found = await portfolios.check("Main", MISTAKEN.replace("AAPL", "ZZZZ") + "AAPL,2,2,,\nGONE,1,1,,\nzzzz,1,1,,\n")
    assert [(lot.line, lot.ticker) for lot in found.lots] == [(2, "ZZZZ"), (6, "AAPL"), (7, "GONE"), (8, "ZZZZ")]
    assert [error.line for error in found.errors] == [3, 4, 5]
    assert (found.known, found.unknown) == (["AAPL"], ["ZZZZ", "GONE"])
    assert len(statements) == 1
    assert statements[0].startswith("SELECT")


# ── leaving


async def test_tickers_that_a_new_file_leaves_out_wait_no_longer(few_places: Portfolios, database: SqlDatabase) -> None:
    await few_places.import_("Main", file_of(*(f"T{number},1,1" for number in range(5))))
    await few_places.import_("Other", file_of("T3,1,1"))
    done = await few_places.import_("Main", file_of("T1,1,1", "T4,1,1"), expected_version=1)
    assert done.pending == ["T1", "T4"]
    async with database.read() as unit:
        assert [ticker for ticker, _ in await unit.jobs.waiting()] == ["T4", "T3"], "T3 for the other one, that came later"
    ended = [job for job in await steps(database) if not job.is_active]
    assert [(job.ticker, job.status) for job in ended] == [("T2", JobStatus.CANCELLED)]
    assert ended[0].error == "the portfolio that waited for it no longer has it"
    assert (await jobs_of(database, ["T2"]))["T2"] == ended[0]


async def test_a_removal_ends_what_waits_for_it_alone(few_places: Portfolios, database: SqlDatabase) -> None:
    main = (await few_places.import_("Main", file_of(*(f"T{number},1,1" for number in range(5))))).portfolio
    await few_places.import_("Other", file_of("T3,1,1"))
    for version, current in ((2, 1), (0, 1)):
        with pytest.raises(VersionConflict) as conflict:
            await few_places.remove(main.id, version)
        assert conflict.value.current == current
    assert await few_places.remove(main.id, 1) == main
    with pytest.raises(PortfolioNotFound):
        await few_places.remove(main.id, 1)
    assert [portfolio.name for portfolio in await few_places.listed(10)] == ["Other"]
    ended = [job for job in await steps(database) if not job.is_active]
    assert [(job.ticker, job.status) for job in ended] == [("T2", JobStatus.CANCELLED), ("T4", JobStatus.CANCELLED)]
    async with database.read() as unit:
        assert [ticker for ticker, _ in await unit.jobs.waiting()] == ["T3"]
        assert await unit.jobs.depth() == 2
        assert await unit.portfolios.holdings([main.id]) == {}
    assert (await few_places.import_("Main", file_of("T0,1,1"))).portfolio.version == 1, "its name is free"


async def test_one_that_got_a_place_by_another_way_is_not_called_off(few_places: Portfolios, database: SqlDatabase) -> None:
    main = (await few_places.import_("Main", file_of("T0,1,1", "T1,1,1", "T2,1,1"))).portfolio
    async with database.write() as unit:
        await unit.jobs.lock_queue()
        ended = (await unit.jobs.newest(["T0"]))["T0"]
        await unit.jobs.save(ended.completed(EVENING))
        await unit.jobs.add([replace(ended, id="mine", ticker="T2")])
    await few_places.remove(main.id, 1)
    assert (await jobs_of(database, ["T2"]))["T2"].status is JobStatus.PENDING


# ── many at once


async def test_the_same_file_twice_at_once_is_one_portfolio(
    portfolios: Portfolios, database: SqlDatabase, database_url: str, clock: ManualClock
) -> None:
    engine = Engine(database_url)
    try:
        other = Portfolios(SqlDatabase(engine, clock_generation=0), OnboardingQueue(clock, 50, 3), clock)
        csv = file_of(*(f"T{number},1,1" for number in range(20)))
        done = await asyncio.gather(*(each.import_("Main", csv) for each in (portfolios, other) * 4))
    finally:
        await engine.close()
    assert {each.portfolio for each in done} == {(await kept(database))[0]}
    assert done[0].portfolio.version == 1
    assert sorted(job.ticker for job in await steps(database)) == sorted(f"T{number}" for number in range(20))


async def two_files_at_once(database_url: str, clock: ManualClock) -> list[object]:
    engines = [Engine(database_url) for _ in range(2)]
    queue = OnboardingQueue(clock, 50, 3)
    try:
        each = [Portfolios(SqlDatabase(engine, clock_generation=0), queue, clock) for engine in engines]
        files = [file_of(f"AAPL,{number},1") for number in (1, 2)]
        return list(
            await asyncio.gather(
                *(one.import_("Main", csv) for one, csv in zip(each, files, strict=True)), return_exceptions=True
            )
        )
    finally:
        await asyncio.gather(*(engine.close() for engine in engines))


async def test_of_two_files_at_once_under_a_name_one_wins(database: SqlDatabase, database_url: str, clock: ManualClock) -> None:
    answers = await two_files_at_once(database_url, clock)
    (won,) = [answer for answer in answers if isinstance(answer, Imported)]
    (lost,) = [answer for answer in answers if isinstance(answer, VersionConflict)]
    assert (lost.expected, lost.current) == (None, 1)
    assert (await kept(database))[0] == won.portfolio
    assert (await kept(database))[1][0].quantity == answers.index(won) + 1


@on_postgresql
async def test_without_the_locks_both_try(database_url: str, clock: ManualClock) -> None:
    lock = "        await unit.jobs.lock_queue()\n        await unit.portfolios.keep_prices_out()\n"
    with mutated(Portfolios.import_, (lock, "        await __import__('asyncio').sleep(0)\n")):
        answers = await two_files_at_once(database_url, clock)
    assert not [answer for answer in answers if isinstance(answer, VersionConflict)]


async def test_a_removal_while_it_is_imported_again(
    portfolios: Portfolios, database: SqlDatabase, database_url: str, clock: ManualClock
) -> None:
    first = (await portfolios.import_("Main", file_of("AAPL,1,1"))).portfolio
    engine = Engine(database_url)
    other = Portfolios(SqlDatabase(engine, clock_generation=0), OnboardingQueue(clock, 50, 3), clock)
    try:
        imported, removed = await asyncio.gather(
            portfolios.import_("Main", file_of("AAPL,2,2"), expected_version=1),
            other.remove(first.id, 1),
            return_exceptions=True,
        )
    finally:
        await engine.close()
    left = await portfolios.listed(10)
    if isinstance(imported, Imported):
        assert isinstance(removed, VersionConflict)
        assert left == [imported.portfolio]
    else:
        assert isinstance(imported, VersionConflict)
        assert (removed, left, imported.current) == (first, [], 0)


async def test_the_largest_file_is_imported_in_a_transaction(portfolios: Portfolios, database: SqlDatabase) -> None:
    await priced(database, "T1")
    rows = [f"T{number},{number + 1}.5,{number}.25,2025-01-02" for number in range(10_000)]
    csv = file_of(*rows)
    started = time.monotonic()
    done = await portfolios.import_("Main", csv)
    imported = time.monotonic()
    again = await portfolios.import_("Main", csv)
    assert (len(done.pending), len(done.jobs)) == (9_999, 50)
    assert again == done
    assert [lot.quantity for lot in (await kept(database))[1]][-1] == Decimal("10000.5")
    replaced = time.monotonic()
    other = await portfolios.import_("Main", csv.replace(".5,", ".75,"), expected_version=1)
    ended = time.monotonic()
    told(f"{database.kind}: 10,000 lots of 10,000 symbols {imported - started:.1f} s, replaced {ended - replaced:.1f} s")
    assert (other.portfolio.version, other.pending, other.jobs) == (2, done.pending, done.jobs)


async def test_a_day_is_over_in_utc(portfolios: Portfolios, clock: ManualClock) -> None:
    with pytest.raises(InvalidPortfolio):
        await portfolios.import_("Main", file_of("AAPL,1,1,2026-03-28"))
    clock.advance(timedelta(hours=4))
    assert (await portfolios.import_("Main", file_of("AAPL,1,1,2026-03-28"))).portfolio.version == 1
    assert date(2026, 3, 28) == clock.now().date()
