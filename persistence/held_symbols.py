"""The symbols of a database in memory."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter

from domain.events import Logged, LoggedChange, Position
from domain.ports import SymbolPage, SymbolQuery
from domain.symbols import Symbol, SymbolStatus

_ticker = attrgetter("ticker")


class HeldSymbols:
    """`position` is of the log: all that happened up to there is in the symbols. The retired stand on a shelf of their own, so
    that a page of the others, which is what most ask for, is a slice of theirs."""

    def __init__(self, position: Position, symbols: Iterable[Symbol]) -> None:
        self.position = position
        self._by_ticker = {symbol.ticker: symbol for symbol in symbols}
        self._shelves: dict[bool, list[Symbol]] = {True: [], False: []}
        for symbol in sorted(self._by_ticker.values(), key=_ticker):
            self._shelves[symbol.is_retired].append(symbol)

    def get(self, ticker: str) -> Symbol | None:
        return self._by_ticker.get(ticker)

    def page(self, query: SymbolQuery, first: int, after: str | None) -> SymbolPage:
        found = self._found(query)
        start = bisect_right(found, after, key=_ticker) if after is not None else 0
        symbols = found[start : start + first]
        return SymbolPage(symbols, start + first < len(found), len(found), self.position)

    def tracked(self) -> list[Symbol]:
        """Those that are not retired, by ticker."""
        return self._shelves[False][:]

    @property
    def count(self) -> int:
        """The retired ones too."""
        return len(self._by_ticker)

    def apply(self, entries: Sequence[Logged]) -> None:
        """What comes next in the log."""
        for entry in entries:
            if isinstance(entry, LoggedChange):
                self._hold(entry.symbol)
        self.position = entries[-1].position

    def _hold(self, symbol: Symbol) -> None:
        known = self._by_ticker.get(symbol.ticker)
        # Equal versions too: a failed attempt is noted without a new one.
        if known is not None and known.version > symbol.version:
            return
        if known is not None:
            shelf = self._shelves[known.is_retired]
            del shelf[bisect_left(shelf, symbol.ticker, key=_ticker)]
        shelf = self._shelves[symbol.is_retired]
        shelf.insert(bisect_left(shelf, symbol.ticker, key=_ticker), symbol)
        self._by_ticker[symbol.ticker] = symbol

    def _found(self, query: SymbolQuery) -> list[Symbol]:
        """By ticker. The shelf itself where nothing is filtered."""
        is_retired = query.status is SymbolStatus.RETIRED
        found = self._shelves[is_retired]
        if query.tickers is not None:
            named = map(self._by_ticker.get, sorted(set(query.tickers)))
            found = [symbol for symbol in named if symbol is not None and symbol.is_retired is is_retired]
        if query.asset_class is not None:
            found = [symbol for symbol in found if symbol.asset_class is query.asset_class]
        if query.status not in (None, SymbolStatus.RETIRED):
            found = [symbol for symbol in found if symbol.status is query.status]
        if query.is_stale is not None:
            divide = query.updated_before
            assert divide is not None
            found = [symbol for symbol in found if (not (at := symbol.last_updated) or at < divide) is query.is_stale]
        return found
