"""Events to append, and the log to read them from."""

from collections.abc import Iterable

from domain.events import Logged, LoggedChange, Position, SymbolChanged, SymbolChangeKind
from persistence.event_feed import SqlEventFeed
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING
from tests.support.process import until


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


async def followed(feed: SqlEventFeed, count: int = 1) -> None:
    """Waits until so many have read the log to its end and wait for what comes."""

    async def is_followed() -> bool:
        return sum(len(follower._filled._waiters) for follower in feed._followers) >= count

    await until(is_followed, within=20)
