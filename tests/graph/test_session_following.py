"""Following the trading session: its activation and its bars, on both databases."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from domain.bars import Bar, Interval
from domain.events import Position
from domain.services.watching import SessionWatch
from domain.session import SessionMode, TradingSession
from graph.context import Services
from graph.execution import Answer
from graph.scalars import read_position, write_position
from persistence.event_feed import SqlEventFeed
from persistence.tables import events as events_table
from persistence.unit_of_work import SqlDatabase
from tests.support.client import GraphClient
from tests.support.clock import EVENING
from tests.support.sessions import (
    DAY,
    MINUTE,
    NOON,
    OPENS,
    REMOVE,
    active,
    add,
    answer,
    live_symbol,
    minute,
    put,
    shut,
    silence,
    start,
    told_apart,
)
from tests.support.universe import track

FOLLOW = """subscription($after: Cursor) { sessionActivation(after: $after) { cursor at active epoch reason laggingTickers
    session { state version epoch active reason symbols { ticker } lagging { ticker } } } }"""


@pytest.fixture
async def watching(watch: SessionWatch, database: SqlDatabase) -> AsyncIterator[None]:
    """The session is looked at all the time."""
    async with database.read():
        pass  # a connection is there: one that is cancelled while it opens would outlive the test's event loop
    running = asyncio.create_task(watch.run())
    yield
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def activation(answers: AsyncGenerator[Answer, None]) -> dict[str, Any]:
    async with asyncio.timeout(20):
        found = await anext(answers)
    assert not found.errors, found.errors
    assert found.data is not None
    return dict(found.data["sessionActivation"])


def short(told: dict[str, Any]) -> tuple[int, bool, str | None, list[str]]:
    session = told["session"]
    assert (session["epoch"], session["active"], session["reason"]) == (told["epoch"], told["active"], told["reason"])
    assert [symbol["ticker"] for symbol in session["lagging"]] == told["laggingTickers"]
    return told["epoch"], told["active"], told["reason"], told["laggingTickers"]


async def test_first_the_present_then_every_epoch(graph: GraphClient, feed: SqlEventFeed, database: SqlDatabase) -> None:
    async with aclosing(graph.follow(FOLLOW)) as answers:
        assert short(await activation(answers)) == (0, False, "No session has been started.", [])
        await start(graph)
        await add(graph, "MSFT", 1)
        assert short(await activation(answers))[:2] == (1, False)
        joined = await activation(answers)
        assert ([each["ticker"] for each in joined["session"]["symbols"]], joined["session"]["version"]) == (
            ["AAPL", "MSFT"],
            2,
        )
        assert joined["at"] == EVENING.isoformat()
        await put(database, active("AAPL", "MSFT", epoch=3), cause="Every symbol has been loaded.")
        assert short(await activation(answers)) == (3, True, None, [])
        await put(database, replace(shut(), epoch=4), cause="MSFT is behind.")
        assert short(await activation(answers)) == (4, False, "MSFT (8940 s) is behind.", ["MSFT"])
        await answer(graph, REMOVE, input={"ticker": "MSFT", "expectedVersion": 1})
        assert [short(await activation(answers))[:2] for _ in range(2)] == [(5, False), (6, True)]


async def test_a_cursor_goes_on_where_it_was(graph: GraphClient, feed: SqlEventFeed, database: SqlDatabase) -> None:
    async with aclosing(graph.follow(FOLLOW)) as answers:
        seen = [await activation(answers)]
    await start(graph)
    await track(database, "TSLA")  # other events lie between
    await put(database, active("AAPL"), cause="Every symbol has been loaded.")
    for later in (3, 4):
        async with aclosing(graph.follow(FOLLOW, after=seen[-1]["cursor"])) as answers:
            while seen[-1]["epoch"] < later - 1:
                seen.append(await activation(answers))
            await put(database, active("AAPL", epoch=later), cause="As it happens.")
            seen.append(await activation(answers))
    assert [told["epoch"] for told in seen] == [0, 1, 2, 3, 4]
    assert [read_position(told["cursor"]).number for told in seen] == [0, 1, 3, 4, 5]


async def test_a_cursor_that_cannot_be_resumed_ends_the_stream(
    graph: GraphClient, feed: SqlEventFeed, database: SqlDatabase
) -> None:
    async with aclosing(graph.follow(FOLLOW)) as answers:
        first = (await activation(answers))["cursor"]
    await start(graph)
    async with database.engine.write() as connection:
        await connection.execute(update(events_table).values(recorded_at=EVENING - timedelta(days=4000)))
    async with database.write() as unit:
        assert await unit.events.prune(7) == 1
    log_id = read_position(first).log_id
    for cursor in (first, write_position(Position(log_id, 99)), write_position(Position("another", 1))):
        async with aclosing(graph.follow(FOLLOW, after=cursor)) as answers:
            found = await anext(answers)
            (error,) = found.errors
            assert (found.data, error.extensions) == (None, {"code": "CURSOR_EXPIRED"})
            assert [each async for each in answers] == []


async def test_a_leader_that_falls_silent_is_told_and_that_it_is_back(
    graph: GraphClient, feed: SqlEventFeed, watching: None, database: SqlDatabase
) -> None:
    session = await put(database, active("AAPL"), cause="Every symbol has been loaded.")
    async with aclosing(graph.follow(FOLLOW)) as answers:
        heard = await activation(answers)
        assert short(heard) == (2, True, None, [])
        await silence(database, 6)
        silent = await activation(answers)
        assert (silent["epoch"], silent["active"], silent["session"]["state"]) == (2, False, "INACTIVE")
        assert silent["reason"].startswith("The session leader has not been heard since ")
        assert silent["cursor"] == heard["cursor"]
        # Who comes with the cursor of what it saw last, while it is silent, is told too.
        async with aclosing(graph.follow(FOLLOW, after=heard["cursor"])) as later:
            assert (await activation(later))["active"] is False
        await put(database, session)
        assert short(await activation(answers)) == (2, True, None, [])


async def test_silence_is_told_also_while_other_things_happen(
    graph: GraphClient, feed: SqlEventFeed, watching: None, database: SqlDatabase
) -> None:
    """The log never rests, and still the leader is missed."""
    await put(database, active("AAPL"), cause="Every symbol has been loaded.")
    async with aclosing(graph.follow(FOLLOW)) as answers:
        await activation(answers)
        await silence(database, 6)
        told = asyncio.ensure_future(activation(answers))
        number = 0
        while not told.done():
            number += 1
            await track(database, f"Q{number}")
            await asyncio.wait({told}, timeout=0.1)
        assert short(told.result())[:2] == (2, False)


async def test_what_is_past_is_told_before_the_silence_of_now(
    graph: GraphClient, feed: SqlEventFeed, watching: None, watch: SessionWatch, database: SqlDatabase
) -> None:
    async with aclosing(graph.follow(FOLLOW)) as answers:
        first = (await activation(answers))["cursor"]
    await track(database, *(f"Q{number}" for number in range(20)))
    await put(database, active("AAPL"), cause="Every symbol has been loaded.")
    await track(database, "R1")
    await silence(database, 6)
    await watch.look()
    async with aclosing(graph.follow(FOLLOW, after=first)) as answers:
        told = [await activation(answers) for _ in range(2)]
    assert [short(each)[:2] for each in told] == [(2, True), (2, False)]
    assert [read_position(each["cursor"]).number for each in told] == [21, 22]


# ── bars as they complete

PUSHED = """subscription($tickers: [String!]!, $interval: Interval! = ONE_MINUTE) {
    bars(tickers: $tickers, interval: $interval) { ticker interval openTime } }"""


@pytest.fixture
async def following(services: Services) -> AsyncIterator["Following"]:
    following = Following(services)
    yield following
    await following.end()


async def others_turn() -> None:
    """Whoever waits for nothing but its turn has had it."""
    for _ in range(50):
        await asyncio.sleep(0)


class Following:
    """Subscribers to bars, and what each has been sent."""

    def __init__(self, services: Services) -> None:
        self._graph = GraphClient(services)
        self._feed = services.bar_feed
        self._tasks: list[asyncio.Task[None]] = []

    async def follow(self, *tickers: str, interval: str = "ONE_MINUTE") -> list[Any]:
        """What it is sent, from now on: it listens."""
        sent: list[Any] = []
        self._tasks.append(asyncio.create_task(self._listen(sent, tickers, interval)))
        await others_turn()
        return sent

    async def _listen(self, sent: list[Any], tickers: tuple[str, ...], interval: str) -> None:
        async with aclosing(self._graph.follow(PUSHED, tickers=tickers, interval=interval)) as answers:
            async for each in answers:
                assert not each.errors, each.errors
                assert each.data is not None
                bar = each.data["bars"]
                sent.append((bar["ticker"], datetime.fromisoformat(bar["openTime"])))

    async def look(self) -> None:
        """What is stored is looked at, and what is told has arrived."""
        await self._feed.look()
        await others_turn()

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert not self._feed.followed


def at(session: TradingSession, minutes: int, **changes: Any) -> TradingSession:
    """So many minutes after noon, its shown symbols with it."""
    clock = NOON + minutes * MINUTE
    moved = tuple(replace(each, watermark=clock) if each.is_shown else each for each in session.symbols)
    return replace(session, clock=clock, symbols=moved, **changes)


async def test_bars_are_pushed_as_their_leader_tells_them(services: Services, following: Following) -> None:
    both, one, fives = (
        await following.follow(" aapl ", "MSFT"),
        await following.follow("BRK-B", "TSLA"),
        await following.follow("AAPL", interval="FIVE_MINUTES"),
    )
    bars: list[Bar] = [minute(ticker, NOON) for ticker in ("AAPL", "BRK-B", "MSFT", "NVDA")]
    five = minute("AAPL", NOON, interval=Interval.FIVE_MINUTES, close_time=NOON + 5 * MINUTE)
    services.bar_feed.publish([*bars, five], 1)
    services.bar_feed.publish([minute("MSFT", NOON + MINUTE)], 1)
    await others_turn()
    assert both == [("AAPL", NOON), ("MSFT", NOON), ("MSFT", NOON + MINUTE)]
    assert (one, fives) == ([("BRK-B", NOON)], [("AAPL", NOON)])


async def test_elsewhere_bars_are_pushed_as_they_are_stored(database: SqlDatabase, following: Following) -> None:
    await told_apart(database)
    session = await put(database, active("AAPL", "MSFT"))
    sent = await following.follow("AAPL", "MSFT")
    await following.look()
    assert sent == []  # what was there before it was asked for
    await put(database, at(session, 2))
    await following.look()
    await following.look()
    assert sent == [(ticker, NOON + n * MINUTE) for n in range(2) for ticker in ("AAPL", "MSFT")]
    later = await following.follow("AAPL", "TSLA")
    await following.look()
    await put(database, at(session, 3))
    await following.look()
    assert later == [("AAPL", NOON + 2 * MINUTE)]
    assert sent[4:] == [(ticker, NOON + 2 * MINUTE) for ticker in ("AAPL", "MSFT")]


async def test_what_was_withheld_is_never_pushed(database: SqlDatabase, following: Following) -> None:
    await told_apart(database)
    session = await put(database, active("AAPL"))
    sent = await following.follow("AAPL", "MSFT")
    await following.look()
    closed = replace(shut(), clock=NOON + 2 * MINUTE)
    await put(database, closed)
    await following.look()
    assert sent == []
    shown = [live_symbol(each, watermark=NOON + 4 * MINUTE, shown_after=NOON + 3 * MINUTE) for each in ("AAPL", "MSFT")]
    await put(database, replace(session, clock=NOON + 4 * MINUTE, epoch=4, symbols=tuple(shown)))
    await following.look()
    assert sent == [("AAPL", NOON + 3 * MINUTE), ("MSFT", NOON + 3 * MINUTE)]
    await silence(database, 6)
    await put_silently(database, at(active("AAPL", "MSFT", epoch=4), 6))
    await following.look()
    assert len(sent) == 2


async def put_silently(database: SqlDatabase, session: TradingSession) -> None:
    async with database.write() as unit:
        await unit.session.lock()
        await unit.session.save(session)


async def test_a_replay_pushes_nothing_of_its_future(database: SqlDatabase, following: Following) -> None:
    """Its minutes are all there from the beginning."""
    await told_apart(database)
    session = await put(database, active("AAPL", mode=SessionMode.REPLAY, day=DAY))
    sent = await following.follow("AAPL")
    for minutes_on in range(4):
        await put(database, at(session, minutes_on))
        await following.look()
        assert sent == [("AAPL", NOON + n * MINUTE) for n in range(minutes_on)]


async def test_it_may_be_asked_before_a_session_runs_and_goes_on_over_the_next(
    graph: GraphClient, database: SqlDatabase, following: Following
) -> None:
    await told_apart(database)
    sent = await following.follow("AAPL")
    await following.look()
    first = active("AAPL", mode=SessionMode.REPLAY, day=DAY)
    await put(database, first)
    await following.look()
    await put(database, at(first, 1))
    await following.look()
    assert sent == [("AAPL", NOON)]
    # The next one plays the same day again, from an earlier time.
    begun = replace(
        first, number=5, version=5, epoch=5, clock=OPENS, symbols=(live_symbol("AAPL", watermark=OPENS, shown_after=OPENS),)
    )
    await put(database, begun)
    await following.look()
    await put(database, replace(begun, clock=OPENS + MINUTE, symbols=(replace(begun.symbols[0], watermark=OPENS + MINUTE),)))
    await following.look()
    assert sent == [("AAPL", NOON), ("AAPL", OPENS)]


async def test_what_is_no_ticker_cannot_be_followed(graph: GraphClient) -> None:
    async with aclosing(graph.follow(PUSHED, tickers=["AAPL", "a?b"])) as answers:
        (error,) = (await anext(answers)).errors
    assert error.extensions == {"code": "INVALID_TICKER"}


async def test_whoever_does_not_read_is_let_go(services: Services, database: SqlDatabase) -> None:
    """With a code, and the others go on."""
    graph = GraphClient(services)
    async with aclosing(graph.follow(PUSHED, tickers=["AAPL"])) as slow:
        reading = asyncio.ensure_future(anext(slow))
        await others_turn()
        services.bar_feed.publish([minute("AAPL", OPENS + n * MINUTE) for n in range(5001)], 1)
        while not (found := await reading).errors:
            reading = asyncio.ensure_future(anext(slow))
        (error,) = found.errors
        assert error.extensions == {"code": "SLOW_SUBSCRIBER"}
    assert not services.bar_feed.followed
