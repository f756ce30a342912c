"""Symbols in memory are found as the database would find them, and change as the log says."""

import random
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.events import LoggedChange, LoggedStep, OnboardingAdvanced, Position, SymbolChanged, SymbolChangeKind
from domain.onboarding import OnboardingJob
from domain.ports import SymbolPage, SymbolQuery
from domain.staleness import AttemptOutcome
from domain.symbols import Symbol, SymbolStatus
from domain.tickers import AssetClass
from persistence.catalogue import SqlCatalogue
from persistence.engine import Engine
from persistence.held_symbols import HeldSymbols
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING
from tests.support.mutants import mutated
from tests.support.provider import profile
from tests.support.symbol_pages import page_by_sql

MICROSECOND = timedelta(microseconds=1)
EMPTY = Position("log", 0)


def tracked(ticker: str = "AAPL", asset_class: AssetClass = AssetClass.STOCK) -> Symbol:
    return Symbol.tracked(profile(ticker, asset_class), None, None)


async def add(database: SqlDatabase, *given: Symbol) -> None:
    """As they are there before anybody reads."""
    async with database.write() as unit:
        for symbol in given:
            assert await unit.symbols.add(symbol)


def change(symbol: Symbol, number: int = 1) -> LoggedChange:
    event = SymbolChanged(SymbolChangeKind.UPDATED, symbol.ticker, EVENING)
    return LoggedChange(Position("log", number), event, symbol)


# ── which symbols, in which order


async def tickers(catalogue: SqlCatalogue, query: SymbolQuery) -> list[str]:
    page = await catalogue.page(query, 100, None)
    assert page.total == len(page.symbols)
    return [symbol.ticker for symbol in page.symbols]


async def test_the_retired_are_only_there_when_asked_for(database: SqlDatabase, catalogue: SqlCatalogue) -> None:
    await add(database, tracked("AAPL"), replace(tracked("MSFT"), status=SymbolStatus.RETIRED))
    assert await tickers(catalogue, SymbolQuery()) == ["AAPL"]
    assert await tickers(catalogue, SymbolQuery(status=SymbolStatus.RETIRED)) == ["MSFT"]
    assert await tickers(catalogue, SymbolQuery(tickers=["MSFT"])) == []
    found = await catalogue.get("MSFT")
    assert found is not None
    assert found.is_retired
    assert await catalogue.get("QQQ") is None


async def test_filters_narrow_together(database: SqlDatabase, catalogue: SqlCatalogue) -> None:
    await add(
        database,
        tracked("AAPL"),
        tracked("SPY", AssetClass.ETF),
        replace(tracked("QQQ", AssetClass.ETF), status=SymbolStatus.SUSPECT),
        tracked("BTC-USD", AssetClass.CRYPTO),
    )
    assert await tickers(catalogue, SymbolQuery(asset_class=AssetClass.ETF)) == ["QQQ", "SPY"]
    assert await tickers(catalogue, SymbolQuery(asset_class=AssetClass.ETF, status=SymbolStatus.SUSPECT)) == ["QQQ"]
    assert await tickers(catalogue, SymbolQuery(tickers=["SPY", "AAPL", "unknown", "SPY"])) == ["AAPL", "SPY"]
    assert await tickers(catalogue, SymbolQuery(tickers=["AAPL"], asset_class=AssetClass.ETF)) == []
    assert await tickers(catalogue, SymbolQuery(tickers=[])) == []


async def test_exactly_at_the_dividing_instant_is_fresh(database: SqlDatabase, catalogue: SqlCatalogue) -> None:
    await add(
        database,
        replace(tracked("AT"), last_updated=EVENING),
        replace(tracked("BEFORE"), last_updated=EVENING - MICROSECOND),
        replace(tracked("LATER"), last_updated=EVENING + MICROSECOND),
        tracked("NEVER"),
    )
    assert await tickers(catalogue, SymbolQuery(is_stale=True, updated_before=EVENING)) == ["BEFORE", "NEVER"]
    assert await tickers(catalogue, SymbolQuery(is_stale=False, updated_before=EVENING)) == ["AT", "LATER"]


BYTE_ORDERED = ["A", "AA", "AAPL", "B", "BRK-A", "BRK-B", "BRK.A", "BRKA", "EUR/USD", "EURA", "Z", "^GSPC", "a", "aapl", "É"]


async def test_the_order_is_that_of_the_bytes(database: SqlDatabase, catalogue: SqlCatalogue) -> None:
    assert sorted(BYTE_ORDERED, key=str.encode) == BYTE_ORDERED
    await add(database, *map(tracked, reversed(BYTE_ORDERED)))
    assert await tickers(catalogue, SymbolQuery()) == BYTE_ORDERED


TICKERS = st.sampled_from([*BYTE_ORDERED, "BTC-USD", "NVDA", "ZZ"])
INSTANTS = st.sampled_from([EVENING - timedelta(hours=1), EVENING - MICROSECOND, EVENING, EVENING + MICROSECOND])
SYMBOLS = st.builds(
    Symbol,
    ticker=TICKERS,
    name=st.none() | st.text("aé", max_size=2),
    asset_class=st.sampled_from(AssetClass),
    exchange=st.just("XNAS"),
    currency=st.just("USD"),
    status=st.sampled_from(SymbolStatus),
    version=st.integers(1, 4),
    last_updated=st.none() | INSTANTS,
    last_outcome=st.none() | st.sampled_from(AttemptOutcome),
)
UNIVERSES = st.lists(SYMBOLS, max_size=18, unique_by=lambda symbol: symbol.ticker)
QUERIES = st.builds(
    SymbolQuery,
    tickers=st.none() | st.lists(TICKERS | st.just("unknown"), max_size=6),
    asset_class=st.none() | st.sampled_from(AssetClass),
    status=st.none() | st.sampled_from(SymbolStatus),
    is_stale=st.none() | st.booleans(),
    updated_before=INSTANTS,
)


def is_wanted(symbol: Symbol, query: SymbolQuery) -> bool:
    is_stale = symbol.last_updated is None or symbol.last_updated < (query.updated_before or EVENING)
    return (
        (query.tickers is None or symbol.ticker in query.tickers)
        and query.asset_class in (None, symbol.asset_class)
        and (symbol.status is query.status if query.status is not None else symbol.status is not SymbolStatus.RETIRED)
        and query.is_stale in (None, is_stale)
    )


def expected(symbols: list[Symbol], query: SymbolQuery, first: int, after: str | None) -> SymbolPage:
    wanted = sorted((symbol for symbol in symbols if is_wanted(symbol, query)), key=lambda symbol: symbol.ticker.encode())
    beyond = [symbol for symbol in wanted if after is None or symbol.ticker.encode() > after.encode()]
    return SymbolPage(beyond[:first], len(beyond) > first, len(wanted), EMPTY)


@given(UNIVERSES, QUERIES, st.integers(1, 20), st.none() | TICKERS | st.just("between"))
@settings(max_examples=400)
def test_a_page_is_what_one_would_look_out_by_hand(
    symbols: list[Symbol], query: SymbolQuery, first: int, after: str | None
) -> None:
    assert HeldSymbols(EMPTY, symbols).page(query, first, after) == expected(symbols, query, first, after)


async def test_a_page_is_what_the_database_finds(engine: Engine, database: SqlDatabase, catalogue: SqlCatalogue) -> None:
    draw = random.Random(4)
    universe = [
        Symbol(
            f"T{number:03}",
            None,
            draw.choice(list(AssetClass)),
            None,
            "USD",
            draw.choice(list(SymbolStatus)),
            last_updated=draw.choice([None, EVENING - MICROSECOND, EVENING, EVENING + MICROSECOND]),
        )
        for number in range(120)
    ]
    await add(database, *universe)
    found = 0
    for _ in range(150):
        query = SymbolQuery(
            tickers=draw.choice([None, None, [symbol.ticker for symbol in draw.sample(universe, 40)]]),
            asset_class=draw.choice([None, None, *AssetClass]),
            status=draw.choice([None, None, *SymbolStatus]),
            is_stale=draw.choice([None, True, False]),
            updated_before=EVENING,
        )
        first, after = draw.randint(1, 50), draw.choice([None, "T050", "T0505", "Z"])
        page = await catalogue.page(query, first, after)
        assert page == await page_by_sql(engine, query, first, after)
        found += len(page.symbols)
    assert found > 500


# ── what the log says next


@given(UNIVERSES, st.lists(SYMBOLS, min_size=1, max_size=12), QUERIES)
def test_changes_one_by_one_come_to_what_all_of_them_are(
    symbols: list[Symbol], changed: list[Symbol], query: SymbolQuery
) -> None:
    held, model = HeldSymbols(EMPTY, symbols), {symbol.ticker: symbol for symbol in symbols}
    for number, symbol in enumerate(changed, 1):
        held.apply([change(symbol, number)])
        if symbol.ticker not in model or model[symbol.ticker].version <= symbol.version:
            model[symbol.ticker] = symbol
    anew = HeldSymbols(Position("log", len(changed)), model.values())
    assert held.page(query, 100, None) == anew.page(query, 100, None)
    assert all(held.get(ticker) == symbol for ticker, symbol in model.items())


def steps_back() -> Symbol | None:
    held = HeldSymbols(EMPTY, [])
    held.apply([change(replace(tracked(), version=3), 1), change(replace(tracked(), version=2), 2)])
    return held.get("AAPL")


def test_a_lower_version_replaces_no_higher_one() -> None:
    assert steps_back() == replace(tracked(), version=3)
    with mutated(HeldSymbols._hold, ("known.version > symbol.version", "known.version < 0")):
        assert steps_back() == replace(tracked(), version=2)


def test_what_has_no_version_of_its_own_is_held_too() -> None:
    held = HeldSymbols(EMPTY, [tracked()])
    failed = replace(tracked(), last_outcome=AttemptOutcome.DOWN)
    held.apply([change(failed)])
    assert held.get("AAPL") == failed
    assert held.page(SymbolQuery(), 10, None) == SymbolPage([failed], has_next=False, total=1, position=Position("log", 1))


def test_a_step_of_an_onboarding_moves_the_position_alone() -> None:
    job = OnboardingJob("job", "AAPL", EVENING)
    held = HeldSymbols(EMPTY, [tracked()])
    held.apply([LoggedStep(Position("log", 7), OnboardingAdvanced(job, EVENING))])
    assert held.page(SymbolQuery(), 10, None) == SymbolPage([tracked()], has_next=False, total=1, position=Position("log", 7))
