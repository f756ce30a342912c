"""Symbols, read without asking the database."""

from collections.abc import Sequence

from domain.ports import SymbolPage, SymbolQuery
from domain.symbols import Symbol
from persistence.event_feed import SqlEventFeed


class SqlCatalogue:
    """What the feed holds in memory, brought up to date where it must be."""

    def __init__(self, feed: SqlEventFeed) -> None:
        self._feed = feed

    async def get(self, ticker: str) -> Symbol | None:
        return (await self._feed.symbols()).get(ticker)

    async def page(self, query: SymbolQuery, first: int, after: str | None) -> SymbolPage:
        return (await self._feed.symbols()).page(query, first, after)

    async def tracked(self) -> Sequence[Symbol]:
        return (await self._feed.symbols()).tracked()
