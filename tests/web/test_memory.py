"""Memory stays flat, however many come, follow and leave, and however they leave."""

import asyncio
import gc
import random
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace

import pytest
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from domain.events import LoggedChange, Position, SymbolChanged, SymbolChangeKind
from domain.symbols import Symbol
from graph.context import Services
from graph.execution import Executor
from graph.schema import LeanExecution
from persistence.event_feed import SqlEventFeed
from tests.support.client import GraphClient
from tests.support.clock import EVENING
from tests.support.figures import told
from tests.support.mutants import mutated
from tests.support.process import Processes, Service, until
from tests.support.provider import StubProvider, profile
from tests.support.raw import CLOSE, RawClient, frame, message, resident, stream
from tests.support.served import served
from tests.support.turns import turns_of_others

CHANGED = "subscription { symbolChanged { kind at cursor symbol { ticker version } } }"
CYCLES, WARM = 10_000, 2_000
AT_ONCE = 10
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SLACK_MB = 8
"""What an allocator may keep of its own accord; a KB left behind by each of 8,000 cycles is as much."""


class Comings:
    """Cycles of following and leaving on one service; a quarter of them in each of four ways, at any moment."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._moments = random.Random(7)

    async def make(self, cycles: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._make_some(cycles // AT_ONCE))

    async def _make_some(self, cycles: int) -> None:
        async with RawClient(self._url) as living:
            await living.open_socket()
            for number in range(cycles // 4):
                await self._complete(living, str(number))
                await self._close()
                await self._reset()
                await self._drop_stream()

    async def _complete(self, living: RawClient, number: str) -> None:
        await living.subscribe(CHANGED, number)
        await self._a_moment()
        await living.send(message(id=number, type="complete") + message(type="ping"))
        assert b"pong" in (await living.frame())[1]

    async def _close(self) -> None:
        async with RawClient(self._url) as client:
            await client.open_socket()
            await client.subscribe(CHANGED)
            await self._a_moment()
            await client.send(frame(CLOSE))
            assert (await client.frame())[0] == CLOSE

    async def _reset(self) -> None:
        async with RawClient(self._url) as client:
            await client.open_socket()
            await client.subscribe(CHANGED)
            await self._a_moment()
            client.reset()

    async def _drop_stream(self) -> None:
        async with RawClient(self._url) as client:
            await client.send(stream(CHANGED))
            if self._moments.random() < 0.5:
                await client.until(b"\r\n\r\n")
            await self._a_moment()
            client.reset()

    async def _a_moment(self) -> None:
        await asyncio.sleep(self._moments.choice((0, 0, 0.002, 0.01)))


async def nobody_is_there(service: Service) -> bool:
    return await service.gauge("freshtape_sockets") == 0 == await service.gauge("freshtape_subscriptions")


async def test_ten_thousand_come_follow_and_leave(sqlite_url: str) -> None:
    async with Processes(sqlite_url, FRESHTAPE_CLOCK=EVENING.isoformat()) as processes:
        service = await processes.start_one()
        comings = Comings(service.url)
        await comings.make(WARM)
        warm = resident(service.process.pid)
        await comings.make(CYCLES - WARM)
        await until(lambda: nobody_is_there(service), 15)
        grown = resident(service.process.pid) - warm
        service.send(signal.SIGTERM)
        assert await service.ended() == (0, "")
    told(f"{CYCLES} cycles: {warm:.1f} MB after {WARM}, {grown:+.1f} MB after all")
    assert grown < SLACK_MB


async def left_over(database_url: str) -> tuple[int, int]:
    """How many tasks and followers there are more than before some hundred came and left."""
    async with served(database_url, lambda *_: StubProvider("AAPL")) as service:
        feed, comings = service.container.feed, Comings(service.url)

        def now() -> tuple[int, int]:
            return len(asyncio.all_tasks()), len(feed._followers)

        async def as_before() -> bool:
            return now() == before

        await comings.make(AT_ONCE * 4)
        await asyncio.sleep(0.5)
        before = now()
        await comings.make(AT_ONCE * 40)
        with suppress(TimeoutError):
            await until(as_before, 2)
        tasks, followers = now()
        return tasks - before[0], followers - before[1]


async def test_no_task_and_no_follower_is_left_over(sqlite_url: str) -> None:
    assert await left_over(sqlite_url) == (0, 0)


async def test_without_leaving_followers_are(sqlite_url: str) -> None:
    with mutated(SqlEventFeed.follow, ("self._followers.discard(follower)", "pass")):
        assert (await left_over(sqlite_url))[1] > 0


# ── one subscription with many events


class Flow:
    """An event feed of the same event, so many times."""

    def __init__(self, count: int) -> None:
        self._count = count

    async def follow(self, _: Position | None) -> AsyncGenerator[LoggedChange, None]:
        symbol = Symbol.tracked(profile("AAPL"), None, None)
        event = SymbolChanged(SymbolChangeKind.UPDATED, "AAPL", EVENING)
        for number in range(self._count):
            yield LoggedChange(Position("log", number), event, symbol)


async def blocks_per_event(services: Services) -> float:
    """How many blocks of memory an event leaves behind in its subscription."""
    events, warm, blocks = 6_000, 1_000, {}
    graph = GraphClient(replace(services, feed=Flow(events + 1)))
    async with aclosing(graph.follow(CHANGED)) as answers:
        number = 0
        async for answer in answers:
            assert not answer.errors
            if number in (warm, events):
                gc.collect()
                blocks[number] = sys.getallocatedblocks()
            number += 1
    return (blocks[events] - blocks[warm]) / (events - warm)


async def turns_while_told(services: Services, events: int) -> int:
    """How many others had while so many events that had been waiting were told."""
    graph = GraphClient(replace(services, feed=Flow(events)))
    async with turns_of_others() as turns:
        async for answer in graph.follow(CHANGED):
            assert not answer.errors
        return turns()


@on_one_database
async def test_events_that_have_waited_keep_nobody_waiting(services: Services) -> None:
    assert await turns_while_told(services, 300) >= 300


@on_one_database
async def test_without_turns_they_do(services: Services) -> None:
    with mutated(Executor.stream, ("await asyncio.sleep(0)", "pass")):
        assert await turns_while_told(services, 300) < 30


@on_one_database
async def test_a_subscription_does_not_grow_with_its_events(services: Services) -> None:
    left = await blocks_per_event(services)
    told(f"{left:.3f} blocks of memory left behind by an event")
    assert left < 0.1


@on_one_database
async def test_as_graphql_core_has_it_it_does(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        LeanExecution, "build_per_event_executor", StrawberryGraphQLCoreExecutionContext.build_per_event_executor
    )
    left = await blocks_per_event(services)
    told(f"{left:.1f} blocks of memory left behind by an event as graphql-core has it")
    assert left > 1
