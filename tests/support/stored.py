"""What a database holds of one symbol, read past the service, and what must be true of it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta

from domain.bars import Bar, CorporateAction, split_adjusted
from domain.errors import RefreshInFlight
from domain.events import Logged, LoggedChange, Position, SymbolChangeKind
from domain.levels import PriceLevel, SymbolLevelExtractor
from domain.symbols import Symbol
from persistence.engine import Engine
from persistence.unit_of_work import SqlDatabase
from tests.support.journal import changes_of

ALL = 100_000
ENDS = {SymbolChangeKind.REFRESHED, SymbolChangeKind.REFRESH_FAILED}


@dataclass(frozen=True)
class Stored:
    """`log` is the whole log; the rest is of the symbol."""

    symbol: Symbol
    levels: Sequence[PriceLevel]
    bars: Sequence[Bar]
    actions: Sequence[CorporateAction]
    refresh: RefreshInFlight | None
    log: Sequence[Logged]

    @property
    def changes(self) -> list[LoggedChange]:
        """Of symbols, in the whole log."""
        return changes_of(self.log)

    @property
    def kinds(self) -> list[SymbolChangeKind]:
        return [change.event.kind for change in self.changes if change.event.ticker == self.symbol.ticker]

    @property
    def is_numbered_without_gaps(self) -> bool:
        return [entry.position.number for entry in self.log] == list(range(1, len(self.log) + 1))

    @property
    def is_refreshed_one_at_a_time(self) -> bool:
        """Start and end take turns."""
        refreshes = [kind for kind in self.kinds if kind is SymbolChangeKind.REFRESH_STARTED or kind in ENDS]
        return all((kind in ENDS) == bool(place % 2) for place, kind in enumerate(refreshes))

    @property
    def is_whole(self) -> bool:
        """The levels are one extraction, from the very bars that are stored, and the symbol speaks of these."""
        if self.symbol.last_updated is None:
            return not self.bars and not self.levels and self.symbol.version == 1
        adjusted = split_adjusted(self.bars, self.actions, self.symbol.last_updated.date())
        extraction = SymbolLevelExtractor().extract(adjusted)
        return (
            sorted(self.levels, key=_order) == sorted(extraction.levels, key=_order)
            and len(self.levels) == self.symbol.level_count
            and self.bars[-1].close_time == self.symbol.as_of
            and adjusted[-1].close == self.symbol.last_price
        )


def _order(level: PriceLevel) -> tuple[object, ...]:
    return level.kind.value, level.price


async def stored(database_url: str, ticker: str) -> Stored:
    async with opened(database_url) as database:
        found = await stored_in(database, ticker, await whole_log(database))
    assert found is not None
    return found


@asynccontextmanager
async def opened(database_url: str) -> AsyncIterator[SqlDatabase]:
    """A database that others use, to look into."""
    engine = Engine(database_url)
    try:
        yield SqlDatabase(engine, clock_generation=0)
    finally:
        await engine.close()


async def whole_log(database: SqlDatabase) -> list[Logged]:
    async with database.read() as unit:
        return await unit.events.after(Position((await unit.events.head()).log_id, 0), ALL)


async def stored_in(database: SqlDatabase, ticker: str, log: Sequence[Logged]) -> Stored | None:
    """None when the symbol is not known."""
    async with database.read() as unit:
        symbol = await unit.symbols.get(ticker)
        if symbol is None:
            return None
        return Stored(
            symbol=symbol,
            levels=(await unit.symbols.levels([ticker])).get(ticker, []),
            bars=await unit.bars.daily_since(ticker, date.min + timedelta(days=1)),
            actions=(await unit.bars.actions([ticker])).get(ticker, []),
            refresh=(await unit.leases.in_flight([ticker])).get(ticker),
            log=log,
        )
