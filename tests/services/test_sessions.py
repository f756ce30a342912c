"""What a process knows of the session, and the bars that it tells, where looks and followers cross."""

import asyncio
from contextlib import aclosing
from datetime import timedelta

import pytest

from domain.bars import Bar, Interval
from domain.errors import StoreUnavailable
from domain.ports import StoredSession
from domain.services import watching
from domain.services.telling import BarFeed
from domain.services.watching import SessionWatch
from domain.session import SessionState
from persistence.session_store import SqlSessionStore
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import ManualClock
from tests.support.sessions import MINUTE, NOON, active, hold, live_symbol, minute, put, told_apart

AAPL = ("AAPL", Interval.ONE_MINUTE)


class Halt:
    """The next read of the session's row ends when it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_read, self.is_let = asyncio.Event(), asyncio.Event()
        self._read = SqlSessionStore.read
        self._waits = True
        halt = self

        async def read(store: SqlSessionStore) -> StoredSession | None:
            stored = await halt._read(store)
            if halt._waits:
                halt._waits = False
                halt.is_read.set()
                await halt.is_let.wait()
            return stored

        monkeypatch.setattr(SqlSessionStore, "read", read)


@pytest.fixture
async def halt(monkeypatch: pytest.MonkeyPatch) -> Halt:
    return Halt(monkeypatch)


@pytest.fixture
def bar_feed(database: SqlDatabase, clock: ManualClock) -> BarFeed:
    return BarFeed(database, clock)


async def test_a_look_that_was_overtaken_brings_nothing(watch: SessionWatch, database: SqlDatabase, halt: Halt) -> None:
    await put(database, active("AAPL"))
    slow = asyncio.create_task(watch.look())
    await halt.is_read.wait()
    await put(database, active("AAPL", version=2))
    assert (await watch.look()).version == 2
    halt.is_let.set()
    assert (await slow).version == 2
    assert watch.known().version == 2


async def test_a_database_that_is_away_shuts_the_session_after_a_while(
    watch: SessionWatch, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: SqlSessionStore) -> None:
        raise StoreUnavailable

    await put(database, active("AAPL"))
    with monkeypatch.context() as patched:
        patched.setattr(SqlSessionStore, "read", away)
        with pytest.raises(StoreUnavailable):  # nothing was ever seen
            await watch.look()
        patched.undo()
        await watch.look()
        patched.setattr(SqlSessionStore, "read", away)
        assert (await watch.look()).state is SessionState.ACTIVE
        patched.setattr(watching, "HEARD_WITHIN", -MINUTE)
        assert (await watch.look()).state is SessionState.INACTIVE


# ── bars


def sent_to(feed: BarFeed, *tickers: str) -> tuple[list[Bar], asyncio.Task[None]]:
    sent: list[Bar] = []

    async def listen() -> None:
        async with aclosing(feed.follow(tickers, Interval.ONE_MINUTE)) as bars:
            while True:
                sent.append(await anext(bars))

    return sent, asyncio.create_task(listen())


async def left(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_was_published_when_nobody_followed_is_not_gone_back_to(bar_feed: BarFeed, database: SqlDatabase) -> None:
    """A process that has led, and whose followers come when another does."""
    await told_apart(database)
    await put(database, active("AAPL"))
    bar_feed.publish([minute("AAPL", NOON - 10 * MINUTE)], 1)
    sent, following = sent_to(bar_feed, "AAPL")
    await turns()
    await put(database, active(live_symbol("AAPL", shown_after=NOON - 20 * MINUTE)))
    await bar_feed.look()
    await turns()
    assert sent == []
    await left(following)


async def test_who_leaves_during_a_look_leaves_nothing_behind(bar_feed: BarFeed, database: SqlDatabase, halt: Halt) -> None:
    """A later follower would be told what it was not there for."""
    await told_apart(database)
    session = await put(database, active(live_symbol("AAPL", shown_after=NOON - 20 * MINUTE)))
    _, following = sent_to(bar_feed, "AAPL")
    await turns()
    looking = asyncio.create_task(bar_feed.look())
    await halt.is_read.wait()
    await left(following)
    halt.is_let.set()
    await looking
    moved = NOON + 5 * MINUTE
    await put(database, active(live_symbol("AAPL", shown_after=NOON, watermark=moved), clock=moved))
    sent, following = sent_to(bar_feed, "AAPL")
    await turns()
    await bar_feed.look()
    await turns()
    assert (session.clock, sent) == (NOON, [])
    await left(following)


@pytest.mark.parametrize(("late", "is_told"), [(60, True), (61, False)])
async def test_a_live_bar_that_is_stored_too_late_is_not_told(
    bar_feed: BarFeed, database: SqlDatabase, late: int, is_told: bool
) -> None:
    """Its leader had it in time, and the database was away."""
    await told_apart(database)
    await put(database, active(live_symbol("AAPL", shown_after=NOON - MINUTE, watermark=NOON - MINUTE), clock=NOON - MINUTE))
    sent, following = sent_to(bar_feed, "AAPL")
    await turns()
    await bar_feed.look()
    await hold(database, [minute("AAPL", NOON - MINUTE)])
    clock = NOON + timedelta(seconds=late)
    await put(database, active(live_symbol("AAPL", shown_after=NOON - MINUTE, watermark=NOON), clock=clock))
    await bar_feed.look()
    await turns()
    assert [bar.close_time for bar in sent] == ([NOON] if is_told else [])
    await left(following)


async def test_the_process_that_leads_does_not_read_what_it_tells(
    bar_feed: BarFeed, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = asyncio.Event()

    async def look() -> None:
        looked.set()

    monkeypatch.setattr("domain.services.telling.LOOK_SECONDS", 0.001)
    monkeypatch.setattr(bar_feed, "look", look)
    running = asyncio.create_task(bar_feed.run())
    await asyncio.sleep(0.02)
    assert not looked.is_set()  # nobody follows
    _, following = sent_to(bar_feed, "AAPL")
    bar_feed.is_told_here = True
    await asyncio.sleep(0.02)
    assert not looked.is_set()
    bar_feed.is_told_here = False
    async with asyncio.timeout(10):
        await looked.wait()
    await left(following)
    await left(running)
