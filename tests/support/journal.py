"""Events to append, and the log to read them from."""

from collections.abc import Iterable

from domain.events import Logged, LoggedChange, Position, SymbolChanged, SymbolChangeKind
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING


def happened(detail: str, kind: SymbolChangeKind = SymbolChangeKind.UPDATED) -> SymbolChanged:
    return SymbolChanged(kind, "AAPL", EVENING, detail)


def changes_of(logged: Iterable[Logged]) -> list[LoggedChange]:
    """Those that are of symbols."""
    return [entry for entry in logged if isinstance(entry, LoggedChange)]


async def append(database: SqlDatabase, *details: str) -> None:
    """An event for each, in a transaction of its own."""
    for detail in details:
        async with database.write() as unit:
            await unit.events.append(happened(detail))


async def head(database: SqlDatabase) -> Position:
    async with database.read() as unit:
        return await unit.events.head()
