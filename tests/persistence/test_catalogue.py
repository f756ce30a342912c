"""Symbols in memory: never without what this process wrote, and never old."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from domain.errors import CursorExpired, StoreUnavailable
from domain.events import Logged, LoggedChange, Position, SymbolChanged, SymbolChangeKind
from domain.ports import SymbolPage, SymbolQuery
from domain.staleness import AttemptOutcome
from domain.symbols import Symbol, SymbolStatus
from persistence import event_feed, unit_of_work
from persistence.catalogue import SqlCatalogue
from persistence.engine import Engine
from persistence.event_feed import SqlEventFeed
from persistence.symbol_store import SqlSymbolStore
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING
from tests.support.figures import told
from tests.support.mutants import mutated
from tests.support.process import until
from tests.support.provider import profile

EVERYTHING = 10_000

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def tracked(ticker: str = "AAPL") -> Symbol:
    return Symbol.tracked(profile(ticker), None, None)


async def add(database: SqlDatabase, *given: Symbol) -> None:
    """As they are there before anybody reads."""
    async with database.write() as unit:
        for symbol in given:
            assert await unit.symbols.add(symbol)


# ── how old


class Elapsed:
    """The monotonic clock of the module under test, as the test moves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1_000.0
        for module in (event_feed, unit_of_work):
            monkeypatch.setattr(module, "monotonic", lambda: self.seconds)


@pytest.fixture
def elapsed(monkeypatch: pytest.MonkeyPatch) -> Elapsed:
    return Elapsed(monkeypatch)


async def named(database: SqlDatabase, name: str, ticker: str = "AAPL") -> None:
    async with database.write() as unit:
        found = await unit.symbols.lock(ticker)
        assert found is not None
        await unit.symbols.save(replace(found, name=name, version=found.version + 1), found.version)
        await unit.events.append(SymbolChanged(SymbolChangeKind.UPDATED, ticker, EVENING, f"{found.version + 1}"))


async def name_of(catalogue: SqlCatalogue, ticker: str = "AAPL") -> str | None:
    found = await catalogue.get(ticker)
    return found.name if found is not None else None


async def test_for_a_second_nothing_is_asked(
    catalogue: SqlCatalogue, database: SqlDatabase, elapsed: Elapsed, statements: list[str]
) -> None:
    await add(database, tracked())
    elapsed.seconds += 1
    await catalogue.get("AAPL")
    statements.clear()
    elapsed.seconds += event_feed.FRESH_SECONDS
    for _ in range(10):
        await catalogue.get("AAPL")
        await catalogue.page(SymbolQuery(is_stale=True, updated_before=EVENING), 10, None)
    assert statements == []
    elapsed.seconds += 0.001
    await catalogue.get("AAPL")
    assert len(statements) == 2, "the log's end, and what is behind the position"


async def seen_after_a_second(
    catalogue: SqlCatalogue, database: SqlDatabase, elsewhere: SqlDatabase, elapsed: Elapsed
) -> str | None:
    await add(database, tracked())
    elapsed.seconds += 1
    assert await name_of(catalogue) == "AAPL Inc."
    await named(elsewhere, "theirs")
    elapsed.seconds += event_feed.FRESH_SECONDS + 0.001
    return await name_of(catalogue)


async def test_what_another_process_wrote_is_read_a_second_later(
    catalogue: SqlCatalogue, database: SqlDatabase, elsewhere: SqlDatabase, elapsed: Elapsed
) -> None:
    """Nobody but the reader looks: no loop runs, and nothing is told by notice."""
    assert await seen_after_a_second(catalogue, database, elsewhere, elapsed) == "theirs"


async def test_without_a_look_at_the_age_it_would_not_be(
    catalogue: SqlCatalogue, database: SqlDatabase, elsewhere: SqlDatabase, elapsed: Elapsed
) -> None:
    with mutated(SqlEventFeed.symbols, ("monotonic() - FRESH_SECONDS", "0.0")):
        assert await seen_after_a_second(catalogue, database, elsewhere, elapsed) == "AAPL Inc."


async def test_what_another_process_writes_comes_by_itself(
    feed: SqlEventFeed, catalogue: SqlCatalogue, database: SqlDatabase, elsewhere: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader never looks for itself: what it sees, the feed's loop has read."""
    await add(database, tracked())
    await catalogue.get("AAPL")
    monkeypatch.setattr(event_feed, "FRESH_SECONDS", 3600)
    slowest = 0.0
    for number in range(3):
        await named(elsewhere, f"{number}")

        async def is_there(name: str = f"{number}") -> bool:
            return await name_of(catalogue) == name

        began = asyncio.get_running_loop().time()
        await until(is_there, 5)
        slowest = max(slowest, asyncio.get_running_loop().time() - began)
    told(f"another process's commits are seen after {slowest:.2f} s at most, by polling alone")


# ── what this process wrote


async def own_writes_seen(catalogue: SqlCatalogue, database: SqlDatabase) -> bool:
    await add(database, tracked())
    await catalogue.get("AAPL")
    await named(database, "ours")
    return await name_of(catalogue) == "ours"


async def test_an_own_write_is_read_at_once(catalogue: SqlCatalogue, database: SqlDatabase) -> None:
    assert await own_writes_seen(catalogue, database)


async def test_without_heed_of_own_writes_it_would_not_be(
    catalogue: SqlCatalogue, database: SqlDatabase, elapsed: Elapsed
) -> None:
    elapsed.seconds += 0.5
    with mutated(SqlEventFeed.symbols, ("self._database.written_at", "0.0")):
        assert not await own_writes_seen(catalogue, database)


async def test_fifty_writers_read_what_they_wrote(
    catalogue: SqlCatalogue, database: SqlDatabase, statements: list[str]
) -> None:
    many = [f"T{number:02}" for number in range(50)]
    await add(database, *map(tracked, many))

    async def write(ticker: str) -> None:
        for number in range(4):
            await named(database, f"{number}", ticker)
            assert await name_of(catalogue, ticker) == f"{number}"

    async with asyncio.TaskGroup() as group:
        for ticker in many:
            group.create_task(write(ticker))
    looks = sum("FROM events" in statement for statement in statements)
    told(f"{len(many) * 4} writes by {len(many)} at once, each read at once: the log was looked at {looks} times")
    assert looks <= len(many) * 4


async def test_who_was_refused_reads_why(catalogue: SqlCatalogue, database: SqlDatabase, elsewhere: SqlDatabase) -> None:
    """A conflict names a version that another process has just given: the symbol that is read next has it."""
    await add(database, tracked())
    await catalogue.get("AAPL")
    await named(elsewhere, "theirs")
    with suppress(ZeroDivisionError):
        async with database.write() as unit:
            await unit.symbols.lock("AAPL")
            raise ZeroDivisionError
    assert await name_of(catalogue) == "theirs"


# ── many readers, one look


def failing(asked: list[Position], seconds: float = 0.05) -> Callable[[Position], Awaitable[list[Logged]]]:
    async def fail(position: Position) -> list[Logged]:
        asked.append(position)
        await asyncio.sleep(seconds)
        raise StoreUnavailable

    return fail


async def test_many_that_find_it_old_share_one_look(
    catalogue: SqlCatalogue, database: SqlDatabase, elsewhere: SqlDatabase, elapsed: Elapsed, statements: list[str]
) -> None:
    await add(database, tracked())
    elapsed.seconds += 1
    statements.clear()
    assert {await one for one in asyncio.as_completed([name_of(catalogue) for _ in range(100)])} == {"AAPL Inc."}
    assert len(statements) == 2, "the log's end, and the symbols"
    await named(elsewhere, "theirs")
    elapsed.seconds += 2
    statements.clear()
    assert {await one for one in asyncio.as_completed([name_of(catalogue) for _ in range(100)])} == {"theirs"}
    assert len(statements) == 2, "the log's end, and what is behind the position"


async def refused_together(catalogue: SqlCatalogue, monkeypatch: pytest.MonkeyPatch) -> int:
    """Ten read while the database does not answer: how often it was asked."""
    await catalogue.get("AAPL")
    asked: list[Position] = []
    with monkeypatch.context() as patched:
        patched.setattr(catalogue._feed, "_page", failing(asked))
        patched.setattr(event_feed, "FRESH_SECONDS", -1)
        answers = await asyncio.gather(*(catalogue.get("AAPL") for _ in range(10)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {StoreUnavailable}
    return len(asked)


async def test_who_waited_for_a_look_that_failed_does_not_wait_for_another(
    catalogue: SqlCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await refused_together(catalogue, monkeypatch) == 1
    assert await catalogue.get("AAPL") is None, "and is answered when the database answers again"


async def refused_at_once(catalogue: SqlCatalogue, monkeypatch: pytest.MonkeyPatch, within: float) -> None:
    """Of a database that did not answer, somebody asks again and has no answer yet: what another reader gets."""
    asked: list[Position] = []

    async def is_asking() -> bool:
        return len(asked) == 2

    await catalogue.get("AAPL")
    with monkeypatch.context() as patched:
        patched.setattr(event_feed, "FRESH_SECONDS", -1)
        patched.setattr(catalogue._feed, "_page", failing(asked))
        with pytest.raises(StoreUnavailable):
            await catalogue.get("AAPL")
        patched.setattr(catalogue._feed, "_page", failing(asked, 3600))
        asking = asyncio.create_task(catalogue.get("AAPL"))
        await until(is_asking, 5)
        try:
            async with asyncio.timeout(within):
                await catalogue.get("AAPL")
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


async def test_nobody_waits_for_a_database_that_did_not_answer_before(
    catalogue: SqlCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreUnavailable):
        await refused_at_once(catalogue, monkeypatch, within=10)
    assert await catalogue.get("AAPL") is None, "and is answered when the database answers again"


async def test_without_remembering_it_everybody_would(catalogue: SqlCatalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    unheeded = "if is_looking and self._is_refused:", "if False:"
    with mutated(SqlEventFeed._read_since, unheeded), pytest.raises(TimeoutError):
        await refused_at_once(catalogue, monkeypatch, within=0.2)


async def read_when_another_has_left(catalogue: SqlCatalogue, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch) -> int:
    """Two wait for one look, and the one who began it leaves: how often the log is looked at for the other."""
    feed, begun, go_on = catalogue._feed, list[Position](), asyncio.Event()
    await add(database, tracked())
    await catalogue.get("AAPL")
    await named(database, "ours")
    page = feed._page

    async def wait(position: Position) -> list[Logged]:
        begun.append(position)
        await go_on.wait()
        return await page(position)

    async def has_begun() -> bool:
        return bool(begun)

    monkeypatch.setattr(feed, "_page", wait)
    first, second = asyncio.create_task(name_of(catalogue)), asyncio.create_task(name_of(catalogue))
    await until(has_begun, 5)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    go_on.set()
    assert await second == "ours"
    return len(begun)


async def test_a_reader_that_leaves_spoils_nothing_for_the_others(
    catalogue: SqlCatalogue, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await read_when_another_has_left(catalogue, database, monkeypatch) == 1


async def test_unshielded_it_would(catalogue: SqlCatalogue, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    unshielded = "asyncio.shield(self._look)", "self._look"
    with mutated(SqlEventFeed._read_since, unshielded), pytest.raises(asyncio.CancelledError):
        await read_when_another_has_left(catalogue, database, monkeypatch)


async def look_of_another_when_the_loop_fails(feed: SqlEventFeed, monkeypatch: pytest.MonkeyPatch) -> asyncio.Task[None]:
    """A reader's look that has just begun when the loop learns that its own has failed."""
    begun: list[asyncio.Task[None]] = []

    async def answered() -> None:
        await asyncio.sleep(0.05)

    async def refused() -> None:
        raise StoreUnavailable

    def begin(_: asyncio.Task[None]) -> None:
        feed._look = asyncio.create_task(answered())
        begun.append(feed._look)

    monkeypatch.setattr(feed, "_read", refused)
    feed._look = asyncio.create_task(refused())
    feed._look.add_done_callback(begin)
    with pytest.raises(StoreUnavailable):
        await feed.run()
    (look,) = begun
    await asyncio.wait({look})
    return look


async def test_a_loop_that_fails_takes_no_readers_look_with_it(
    feed_at_rest: SqlEventFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not (await look_of_another_when_the_loop_fails(feed_at_rest, monkeypatch)).cancelled()


async def test_did_it_end_what_is_looked_for_it_would(feed_at_rest: SqlEventFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    with mutated(SqlEventFeed.run, ("except asyncio.CancelledError:", "except BaseException:")):
        assert (await look_of_another_when_the_loop_fails(feed_at_rest, monkeypatch)).cancelled()


@pytest.fixture
def feed_at_rest(database: SqlDatabase) -> SqlEventFeed:
    """Not running."""
    return SqlEventFeed(database)


# ── while the database is away


async def test_nothing_is_read_that_cannot_be_brought_up_to_date(
    catalogue: SqlCatalogue, database: SqlDatabase, elapsed: Elapsed, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(database, tracked())
    elapsed.seconds += 1
    await catalogue.get("AAPL")
    with monkeypatch.context() as away:
        away.setattr(catalogue._feed, "_page", failing([]))
        elapsed.seconds += event_feed.FRESH_SECONDS + 0.001
        with pytest.raises(StoreUnavailable):
            await catalogue.get("AAPL")
        with pytest.raises(StoreUnavailable):
            await catalogue.page(SymbolQuery(), 10, None)
    assert await name_of(catalogue) == "AAPL Inc."


# ── a log that cannot be read on


async def renewed(engine: Engine, catalogue: SqlCatalogue, *statements: str) -> str | None:
    """What is read after the log has been changed from outside, and a symbol with it."""
    async with engine.write() as connection:
        for statement in statements:
            await connection.execute(text(statement))
        await connection.execute(text("UPDATE symbols SET name = 'of the copy'"))
    catalogue._feed._read_at = 0
    return await name_of(catalogue)


@pytest.mark.parametrize(
    "statements",
    [
        ["UPDATE event_log SET log_id = 'the copy'"],
        ["UPDATE event_log SET last_number = 1", "DELETE FROM events WHERE number > 1"],
        ["DELETE FROM events WHERE number < 4"],
    ],
    ids=["another log", "an older copy", "pruned"],
)
async def test_everything_is_read_anew(
    engine: Engine, database: SqlDatabase, elsewhere: SqlDatabase, catalogue: SqlCatalogue, statements: list[str]
) -> None:
    await add(database, tracked())
    await named(database, "one")
    await named(database, "two")
    follower = catalogue._feed.follow(None)
    following = asyncio.ensure_future(anext(follower))
    assert await name_of(catalogue) == "two"
    await asyncio.sleep(0.1)
    await named(elsewhere, "three")
    await named(elsewhere, "four")
    assert await renewed(engine, catalogue, *statements) == "of the copy"
    with pytest.raises(CursorExpired):
        await following
    await named(database, "ours")
    assert await name_of(catalogue) == "ours"


# ── nothing is older than the position says


@dataclass
class Reader:
    """Takes everything at once, follows from where that stood, and puts together what it was told."""

    page: SymbolPage
    known: dict[str, Symbol] = field(default_factory=dict)
    number: int = 0

    def __post_init__(self) -> None:
        self.known = {symbol.ticker: symbol for symbol in self.page.symbols}
        self.number = self.page.position.number

    async def follow(self, feed: SqlEventFeed) -> None:
        changes = feed.follow(self.page.position)
        try:
            async for entry in changes:
                assert isinstance(entry, LoggedChange)
                self.known[entry.symbol.ticker] = entry.symbol
                self.number = entry.position.number
        finally:
            await changes.aclose()


@asynccontextmanager
async def following(readers: list[Reader], feed: SqlEventFeed) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(reader.follow(feed)) for reader in readers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def running(feed: SqlEventFeed) -> AsyncIterator[None]:
    task = asyncio.create_task(feed.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def attempted(database: SqlDatabase, ticker: str, outcome: AttemptOutcome) -> None:
    """A change that leaves the version alone."""
    async with database.write() as unit:
        found = await unit.symbols.lock(ticker)
        assert found is not None
        await unit.symbols.note_attempt(ticker, EVENING, outcome)
        await unit.events.append(SymbolChanged(SymbolChangeKind.REFRESH_FAILED, ticker, EVENING, f"{found.version}"))


async def removed_or_revived(database: SqlDatabase, ticker: str) -> None:
    async with database.write() as unit:
        found = await unit.symbols.lock(ticker)
        assert found is not None
        status = SymbolStatus.ACTIVE if found.is_retired else SymbolStatus.RETIRED
        await unit.symbols.save(replace(found, status=status, version=found.version + 1), found.version)
        await unit.events.append(SymbolChanged(SymbolChangeKind.REMOVED, ticker, EVENING, f"{found.version + 1}"))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["name", "name", "attempt", "attempt", "status", "read", "read", "pause"]),
        st.sampled_from(["AAPL", "MSFT"]),
        st.booleans(),
        st.sampled_from(AttemptOutcome),
    ),
    min_size=5,
    max_size=20,
)
Step = tuple[str, str, bool, AttemptOutcome]


async def whole(catalogue: SqlCatalogue) -> SymbolPage:
    """Everybody, the retired too: two shelves of one moment."""
    held = await catalogue._feed.symbols()
    shelves = [held.page(SymbolQuery(status=status), EVERYTHING, None) for status in (None, SymbolStatus.RETIRED)]
    return replace(shelves[0], symbols=[symbol for page in shelves for symbol in page.symbols])


async def interleaved(database: SqlDatabase, elsewhere: SqlDatabase, steps: list[Step]) -> None:
    feed, readers, writing = SqlEventFeed(database), list[Reader](), list[asyncio.Task[None]]()
    catalogue = SqlCatalogue(feed)
    async with running(feed):
        for what, ticker, is_ours, outcome in steps:
            writer = database if is_ours else elsewhere
            match what:
                case "name":
                    writing.append(asyncio.create_task(named(writer, "renamed", ticker)))
                case "attempt":
                    writing.append(asyncio.create_task(attempted(writer, ticker, outcome)))
                case "status":
                    writing.append(asyncio.create_task(removed_or_revived(writer, ticker)))
                case "read":
                    readers.append(Reader(await whole(catalogue)))
                case _:
                    await asyncio.sleep(0.003)
        await asyncio.gather(*writing)
        readers.append(Reader(await whole(catalogue)))
        await assert_not_older(elsewhere, readers)
        await assert_all_come_to_the_same(elsewhere, readers, feed)


async def assert_not_older(database: SqlDatabase, readers: list[Reader]) -> None:
    async with database.read() as unit:
        entries = await unit.events.after(Position((await unit.events.head()).log_id, 0), EVERYTHING)
    for reader in readers:
        for entry in entries:
            assert isinstance(entry, LoggedChange)
            if entry.position.number <= reader.page.position.number:
                seen = next(symbol for symbol in reader.page.symbols if symbol.ticker == entry.event.ticker)
                assert seen.version >= int(entry.event.detail or ""), "older than the position says"


async def assert_all_come_to_the_same(database: SqlDatabase, readers: list[Reader], feed: SqlEventFeed) -> None:
    async with database.read() as unit:
        end = (await unit.events.head()).number
        truth = {symbol.ticker: symbol for symbol in await unit.symbols.all()}

    async def all_are_told() -> bool:
        return all(reader.number == end for reader in readers)

    async with following(readers, feed):
        await until(all_are_told, 10)
    assert all(reader.known == truth for reader in readers)


async def anew(database: SqlDatabase) -> None:
    async with database.engine.write() as connection:
        for statement in ("DELETE FROM events", "DELETE FROM symbols", "UPDATE event_log SET last_number = 0"):
            await connection.execute(text(statement))
    await add(database, tracked("AAPL"), tracked("MSFT"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(steps=STEPS)
async def test_who_follows_from_a_page_comes_to_the_truth(
    database: SqlDatabase, elsewhere: SqlDatabase, monkeypatch: pytest.MonkeyPatch, steps: list[Step]
) -> None:
    monkeypatch.setattr(event_feed, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(event_feed, "PAGE", 2)
    await anew(elsewhere)
    await interleaved(database, elsewhere, steps)


async def missed(database: SqlDatabase, elsewhere: SqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that is committed while everything is read, between the symbols and what is read next."""
    await anew(elsewhere)
    everything = SqlSymbolStore.all

    async def all_and_then(store: SqlSymbolStore) -> list[Symbol]:
        found = await everything(store)
        await named(elsewhere, "meanwhile")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(SqlSymbolStore, "all", all_and_then)
        feed = SqlEventFeed(database)
        reader = Reader(await whole(SqlCatalogue(feed)))
    await assert_not_older(elsewhere, [reader])
    await assert_all_come_to_the_same(elsewhere, [reader], feed)


async def test_what_is_written_while_everything_is_read_is_told(
    database: SqlDatabase, elsewhere: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await missed(database, elsewhere, monkeypatch)


@on_postgresql
async def test_were_the_position_taken_after_the_symbols_it_would_be_missed(
    database: SqlDatabase, elsewhere: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite the two reads see one state, whichever comes first."""
    first = "position = await unit.events.head()", "symbols = await unit.symbols.all()"
    later = "HeldSymbols(position, await unit.symbols.all())", "HeldSymbols(await unit.events.head(), symbols)"
    with mutated(SqlEventFeed._load, first, later), pytest.raises(AssertionError, match="older than the position says"):
        await missed(database, elsewhere, monkeypatch)


async def test_who_is_told_of_a_change_can_read_it(
    catalogue: SqlCatalogue, database: SqlDatabase, elsewhere: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also who comes with a cursor of another process and is told of what nobody here has read yet."""
    monkeypatch.setattr(event_feed, "FRESH_SECONDS", 3600)
    await add(database, tracked())
    position = (await catalogue.page(SymbolQuery(), 1, None)).position
    await named(elsewhere, "theirs")
    assert await name_of(catalogue) == "AAPL Inc."
    changes = catalogue._feed.follow(position)
    told_of: Any = await anext(changes)
    assert told_of.symbol.name == "theirs"
    assert await name_of(catalogue) == "theirs"
    await changes.aclose()
