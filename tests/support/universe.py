"""Symbols that are tracked and ready, without the onboarding that would have brought their history."""

from datetime import UTC, datetime

from domain.events import SymbolChanged, SymbolChangeKind
from domain.symbols import Profile, Symbol
from domain.tickers import AssetClass
from persistence.engine import Engine
from persistence.market_clock import clock_generation
from persistence.unit_of_work import SqlDatabase
from providers.sample import listing
from web.settings import BUNDLED_SAMPLE


def profile_of(ticker: str) -> Profile:
    """As the sample market has it; of others, a stock of the Nasdaq."""
    listed = listing(BUNDLED_SAMPLE).get(ticker)
    return listed[0] if listed is not None else Profile(ticker, f"{ticker} Inc.", AssetClass.STOCK, "XNAS", "USD")


async def track(database: SqlDatabase, *tickers: str) -> list[Symbol]:
    """ACTIVE at version 1, never updated, without a bar: what an ETF is before its first load."""
    return await track_as(database, *map(profile_of, tickers))


async def track_as(database: SqlDatabase, *profiles: Profile) -> list[Symbol]:
    symbols = [Symbol.tracked(profile, None, None) for profile in profiles]
    async with database.write() as unit:
        for symbol in symbols:
            assert await unit.symbols.add(symbol), f"{symbol.ticker} is tracked already"
        at = datetime(2026, 3, 27, 20, 30, tzinfo=UTC)
        await unit.events.append(*(SymbolChanged(SymbolChangeKind.ADDED, symbol.ticker, at) for symbol in symbols))
    return symbols


async def track_in(database_url: str, *tickers: str) -> None:
    """As track, in a database that others use."""
    engine = Engine(database_url)
    try:
        await track(SqlDatabase(engine, await clock_generation(engine)), *tickers)
    finally:
        await engine.close()
