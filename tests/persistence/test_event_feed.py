"""The feed: every event once and in order, to everybody who follows, from wherever it was written."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError

from domain import loops as domain_loops
from domain.errors import CursorExpired, SlowSubscriber
from domain.events import LoggedChange, Position
from domain.symbols import Symbol
from persistence import event_feed
from persistence.engine import Engine
from persistence.event_feed import Listener, SqlEventFeed
from persistence.unit_of_work import SqlDatabase
from tests.support.figures import told
from tests.support.journal import append, followed, happened, head
from tests.support.mutants import mutated
from tests.support.provider import profile
from tests.support.proxy import Proxy
from web.workers import Loops

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture(autouse=True)
async def _symbol(database: SqlDatabase) -> None:
    async with database.write() as unit:
        await unit.symbols.add(Symbol.tracked(profile(), None, None))


async def append_together(database: SqlDatabase, count: int) -> None:
    async with database.write() as unit:
        for n in range(count):
            await unit.events.append(happened(f"{n}"))


@asynccontextmanager
async def running(feed: SqlEventFeed) -> AsyncIterator[SqlEventFeed]:
    task = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], bool], within: float) -> None:
    async with asyncio.timeout(within):
        while True:
            if holds():
                return
            await asyncio.sleep(0.005)


class Follower:
    """Reads a feed and keeps what it was told."""

    def __init__(self, feed: SqlEventFeed, after: Position | None = None, pause: float = 0) -> None:
        self.numbers: list[int] = []
        self.details: list[str | None] = []
        self._task = asyncio.create_task(self._read(feed, after, pause))

    async def _read(self, feed: SqlEventFeed, after: Position | None, pause: float) -> None:
        changes = feed.follow(after)
        try:
            async for change in changes:
                assert isinstance(change, LoggedChange)
                self.numbers.append(change.position.number)
                self.details.append(change.event.detail)
                await asyncio.sleep(pause)
        finally:
            await changes.aclose()

    async def has(self, count: int, within: float = 10) -> None:
        await until(lambda: len(self.numbers) >= count or self._task.done(), within)

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def fault(self, within: float = 10) -> BaseException | None:
        """What ended it."""
        async with asyncio.timeout(within):
            (error,) = await asyncio.gather(self._task, return_exceptions=True)
        return error


async def test_who_follows_is_told_from_now_on(database: SqlDatabase, feed: SqlEventFeed) -> None:
    await append(database, "before")
    follower = Follower(feed)
    await followed(feed, 1)
    await append(database, "a", "b")
    await follower.has(2)
    assert follower.details == ["a", "b"]
    await follower.leave()


async def test_who_comes_back_with_a_cursor_misses_nothing(database: SqlDatabase, feed: SqlEventFeed) -> None:
    await append(database, "a", "b", "c")
    start = await head(database)
    follower = Follower(feed, Position(start.log_id, 1))
    await follower.has(2)
    await append(database, "d")
    await follower.has(3)
    assert follower.details == ["b", "c", "d"]
    await follower.leave()


async def test_a_cursor_is_good_for_a_feed_of_another_process(
    database: SqlDatabase, feed: SqlEventFeed, elsewhere: SqlDatabase
) -> None:
    start = await head(database)
    first = Follower(feed, start)
    await append(database, "a", "b")
    await first.has(2)
    await first.leave()
    await append(elsewhere, "c")
    async with running(SqlEventFeed(elsewhere)) as restarted:
        second = Follower(restarted, Position(start.log_id, first.numbers[-1]))
        await second.has(1)
        assert second.details == ["c"]
        await second.leave()


async def test_pages_are_read_until_the_present(
    database: SqlDatabase, feed: SqlEventFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "PAGE", 3)
    start = await head(database)
    await append_together(database, 10)
    follower = Follower(feed, start)
    await follower.has(10)
    await append_together(database, 10)
    await follower.has(20)
    assert follower.numbers == list(range(1, 21))
    await follower.leave()


@pytest.mark.parametrize("wrong", [Position("another", 0), Position("", 99)])
async def test_a_cursor_that_cannot_be_resumed(database: SqlDatabase, feed: SqlEventFeed, wrong: Position) -> None:
    log_id = wrong.log_id or (await head(database)).log_id
    follower = Follower(feed, Position(log_id, wrong.number))
    assert isinstance(await follower.fault(), CursorExpired)
    assert not feed._followers


# ── who writes where


async def test_events_of_another_process_arrive_by_polling(
    feed: SqlEventFeed, elsewhere: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "POLL_SECONDS", 0.05)
    follower = Follower(feed)
    await followed(feed, 1)
    await append(elsewhere, "theirs")
    await follower.has(1, within=15)
    assert follower.details == ["theirs"]
    await follower.leave()


async def test_own_events_do_not_wait_for_the_poll(
    database: SqlDatabase, feed: SqlEventFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "POLL_SECONDS", 60)
    feed.poke()
    follower = Follower(feed)
    await followed(feed, 1)
    await append(database, "ours")
    await follower.has(1, within=15)
    assert follower.details == ["ours"]
    await follower.leave()


async def backends_that_listen(database: SqlDatabase) -> list[int]:
    async with database.engine.read() as connection:
        found = await connection.execute(
            text(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND (query LIKE 'LISTEN%' OR query LIKE 'SELECT pg_notify($1, '''')')"
            )
        )
        return [row.pid for row in found]


async def listening(database: SqlDatabase, besides: list[int] | None = None) -> list[int]:
    async with asyncio.timeout(10):
        while True:
            found = [pid for pid in await backends_that_listen(database) if pid not in (besides or [])]
            if found:
                return found
            await asyncio.sleep(0.02)


@on_postgresql
async def test_postgresql_tells_of_another_process_at_once(
    feed: SqlEventFeed, elsewhere: SqlDatabase, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "POLL_SECONDS", 60)
    async with Loops() as loops:
        loops.start("listener", Listener(database_url, feed).run)
        await listening(elsewhere)
        follower = Follower(feed)
        await followed(feed, 1)
        for n in range(5):
            await append(elsewhere, f"{n}")
            await follower.has(n + 1, within=15)
        await follower.leave()
    assert follower.details == ["0", "1", "2", "3", "4"]


@on_postgresql
async def test_nothing_is_missed_when_the_listeners_connection_is_cut(
    feed: SqlEventFeed, elsewhere: SqlDatabase, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polling is off: what is told after the cut is told by a listener that has come back."""
    monkeypatch.setattr(event_feed, "POLL_SECONDS", 60)
    monkeypatch.setattr(event_feed, "HEARTBEAT_SECONDS", 0.3)
    monkeypatch.setattr(domain_loops, "FIRST_WAIT_SECONDS", 0.05)
    async with Loops() as loops:
        loops.start("listener", Listener(database_url, feed).run)
        before = await listening(elsewhere)
        follower = Follower(feed)
        await followed(feed, 1)
        await append(elsewhere, "heard")
        await follower.has(1, within=15)
        async with elsewhere.engine.write() as connection:
            for pid in before:
                await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        await append(elsewhere, "while nobody listened")
        await listening(elsewhere, besides=before)
        await append(elsewhere, "heard again")
        await follower.has(3, within=15)
        await follower.leave()
    assert follower.details == ["heard", "while nobody listened", "heard again"]


@on_postgresql
@pytest.mark.parametrize("trouble", [Proxy.swallow, Proxy.cut])
async def test_the_listener_is_back_within_10_seconds(
    feed: SqlEventFeed,
    elsewhere: SqlDatabase,
    database_url: str,
    postgres_server: URL,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Callable[[Proxy], None],
) -> None:
    """Polling is off, and the service's own waits are on."""
    monkeypatch.setattr(event_feed, "POLL_SECONDS", 60)
    async with Proxy(postgres_server) as proxy, Loops() as loops:
        loops.start("listener", Listener(proxy.url(make_url(database_url).database), feed).run)
        before = await listening(elsewhere)
        follower = Follower(feed)
        await followed(feed, 1)
        trouble(proxy)
        await append(elsewhere, "while nobody listened")
        await asyncio.sleep(6)
        assert not follower.details
        proxy.restore()
        returned = asyncio.get_running_loop().time()
        await follower.has(1, within=10)
        await listening(elsewhere, besides=before)
        told(f"the listener is back after {asyncio.get_running_loop().time() - returned:.2f} s")
        await append(elsewhere, "heard again")
        await follower.has(2, within=15)
        await follower.leave()
    assert follower.details == ["while nobody listened", "heard again"]


@on_postgresql
async def test_polling_is_enough_when_nobody_can_listen(
    feed: SqlEventFeed, elsewhere: SqlDatabase, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "POLL_SECONDS", 0.05)
    with pytest.raises(OSError, match=r"(?i)connect"):
        await Listener("postgresql+asyncpg://nobody@127.0.0.1:1/nothing", feed).run()
    follower = Follower(feed)
    await followed(feed, 1)
    await append(elsewhere, "theirs")
    await follower.has(1, within=15)
    assert follower.details == ["theirs"]
    await follower.leave()


# ── failures


async def test_a_feed_that_is_started_again_goes_on_where_it_was(
    database: SqlDatabase, elsewhere: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database fails between two pages: what was told is not told again, and the rest still comes."""
    monkeypatch.setattr(event_feed, "PAGE", 3)
    monkeypatch.setattr(domain_loops, "FIRST_WAIT_SECONDS", 0.01)
    feed = SqlEventFeed(elsewhere)
    follower = Follower(feed)
    await followed(feed, 1)
    await append_together(database, 10)
    page, asked = feed._page, 0

    async def fail_at_times(position: Position) -> object:
        nonlocal asked
        asked += 1
        if asked in (2, 4):
            raise OperationalError("SELECT", {}, OSError("the connection is lost"))
        return await page(position)

    monkeypatch.setattr(feed, "_page", fail_at_times)
    async with Loops() as loops:
        loops.start("event feed", feed.run)
        await follower.has(10)
        await append(database, "after")
        await follower.has(11)
    assert follower.numbers == list(range(1, 12))
    await follower.leave()


async def test_nobody_who_follows_before_the_feed_runs_misses_anything(database: SqlDatabase) -> None:
    """The service answers while its loops are still coming up, or coming back."""
    feed = SqlEventFeed(database)
    follower = Follower(feed)
    await followed(feed, 1)
    await append(database, "between")
    async with running(feed):
        await append(database, "then")
        await follower.has(2)
    assert follower.details == ["between", "then"]
    await follower.leave()


async def test_a_log_that_cannot_be_resumed_is_told_to_everybody_and_begun_anew(
    database: SqlDatabase, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a database is put back from a copy while the service runs."""
    monkeypatch.setattr(event_feed, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(domain_loops, "FIRST_WAIT_SECONDS", 0.01)
    feed = SqlEventFeed(database)
    async with Loops() as loops:
        loops.start("event feed", feed.run)
        follower = Follower(feed)
        await followed(feed, 1)
        async with engine.write() as connection:
            await connection.execute(text("UPDATE event_log SET log_id = 'the copy'"))
        assert isinstance(await follower.fault(), CursorExpired)
        newcomer = Follower(feed)
        await followed(feed, 1)
        await append(database, "of the copy")
        await newcomer.has(1)
        assert newcomer.details == ["of the copy"]
        await newcomer.leave()


# ── followers


async def test_many_followers_are_all_told_the_same(database: SqlDatabase, feed: SqlEventFeed, statements: list[str]) -> None:
    followers = [Follower(feed) for _ in range(200)]
    await followed(feed, 200)
    statements.clear()
    await append_together(database, 20)
    for follower in followers:
        await follower.has(20)
    # The log is read for the feed, not for each of them.
    assert sum("FROM events" in statement for statement in statements) < 20
    assert {tuple(follower.numbers) for follower in followers} == {tuple(range(1, 21))}
    for follower in followers:
        await follower.leave()


async def test_a_follower_that_leaves_is_forgotten(database: SqlDatabase, feed: SqlEventFeed) -> None:
    followers = [Follower(feed) for _ in range(10)]
    await followed(feed, 10)
    await append(database, "a")
    for follower in followers[1:]:
        await follower.leave()
    assert len(feed._followers) == 1
    await append(database, "b")
    await followers[0].has(2)
    assert followers[0].details == ["a", "b"]
    await followers[0].leave()
    assert not feed._followers


async def test_a_slow_follower_is_let_go_and_the_others_are_served(
    database: SqlDatabase, feed: SqlEventFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "BUFFER", 20)
    slow, quick = Follower(feed, pause=60), Follower(feed)
    await followed(feed, 2)
    most = 0
    for n in range(40):
        await append(database, f"{n}")
        await quick.has(n + 1)
        most = max(most, *(len(follower._buffer) for follower in feed._followers))
    assert quick.numbers == list(range(1, 41))
    assert most <= 20
    assert sum(len(follower._buffer) for follower in feed._followers) <= 1
    await slow.leave()
    await quick.leave()


async def test_a_slow_follower_reads_why_it_was_let_go_and_comes_back(
    database: SqlDatabase, feed: SqlEventFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "BUFFER", 20)
    start = await head(database)
    slow = Follower(feed, start, pause=0.3)
    await followed(feed, 1)
    await append(database, "first")
    await slow.has(1)
    for _ in range(4):
        await append_together(database, 10)
        await asyncio.sleep(0.02)
    fault = await slow.fault()
    assert isinstance(fault, SlowSubscriber)
    assert fault.buffered == 20
    again = Follower(feed, Position(start.log_id, slow.numbers[-1]))
    await again.has(41 - len(slow.numbers))
    assert slow.numbers + again.numbers == list(range(1, 42))
    await again.leave()


# ── any interleaving

_steps = st.lists(
    st.sampled_from(["here", "elsewhere", "together", "rolled back", "follow", "resume", "leave", "pause"]),
    min_size=5,
    max_size=25,
)


async def interleaved(database: SqlDatabase, elsewhere: SqlDatabase, steps: list[str]) -> None:
    feed = SqlEventFeed(database)
    database.on_append = feed.poke
    start = await head(database)
    writing: list[asyncio.Task[None]] = []
    following: list[tuple[int, Follower]] = []
    async with running(feed):
        for step in steps:
            match step:
                case "here":
                    writing.append(asyncio.create_task(append(database, "here")))
                case "elsewhere":
                    writing.append(asyncio.create_task(append(elsewhere, "elsewhere")))
                case "together":
                    writing.append(asyncio.create_task(append_together(elsewhere, 3)))
                case "rolled back":
                    writing.append(asyncio.create_task(roll_back(elsewhere)))
                case "follow":
                    following.append((start.number, Follower(feed, start)))
                case "resume":
                    at = following[-1][1].numbers[-1] if following and following[-1][1].numbers else start.number
                    following.append((at, Follower(feed, Position(start.log_id, at))))
                case "leave" if following:
                    await following.pop(0)[1].leave()
                case _:
                    await asyncio.sleep(0.003)
        await asyncio.gather(*writing)
        end = (await head(database)).number
        for at, follower in following:
            await follower.has(end - at, within=15)
            await follower.leave()
            assert follower.numbers == list(range(at + 1, end + 1))


async def roll_back(database: SqlDatabase) -> None:
    async with database.engine.write() as connection:
        await connection.execute(text("UPDATE event_log SET last_number = last_number + 1"))
        await connection.rollback()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(steps=_steps)
async def test_nothing_is_lost_and_nothing_told_twice(
    database: SqlDatabase, elsewhere: SqlDatabase, monkeypatch: pytest.MonkeyPatch, steps: list[str]
) -> None:
    monkeypatch.setattr(event_feed, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(event_feed, "PAGE", 2)
    await interleaved(database, elsewhere, steps)


SUBSCRIBED = "    self._followers.add(follower)\n"
LIVE = "        async for change in follower.changes():\n"


async def test_snapshot_first_and_then_subscribing_would_lose_events(
    database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were buffering to start after the log is read, what commits in between would be lost."""
    in_between, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        in_between.set()
        await go_on.wait()

    monkeypatch.setattr(event_feed, "wait_in_between", wait, raising=False)
    with mutated(SqlEventFeed.follow, (SUBSCRIBED, ""), (LIVE, f"        await wait_in_between()\n    {SUBSCRIBED}{LIVE}")):
        feed = SqlEventFeed(database)
        database.on_append = feed.poke
        async with running(feed):
            follower = Follower(feed, await head(database))
            await in_between.wait()
            await append(database, "lost")
            await feed.look()
            go_on.set()
            await followed(feed)
            await append(database, "told")
            await follower.has(1)
            await follower.leave()
    assert follower.details == ["told"]
