"""Clients that stop reading, or never say what they want: let go within 15 s, at a bounded cost, felt by nobody else.

Those who wait do so together: each has a service and a database of its own."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.figures import told
from tests.support.pace import held_up
from tests.support.process import Processes, Service, until
from tests.support.raw import BIG, HANDSHAKE, PING, SMALL, TEXT, RawClient, frame, message, post, resident, stream

CLOCK = "2026-03-27T20:30:00Z"
LET_GO_SECONDS = 15
OTHERS_SHARE = 0.5
"""Of what the reading of 4 MiB takes here, others may wait so much, see `pace`."""
FIRST_EVENT_SECONDS = 60
GROWN_MB = 25
TICKER = "AAPL"
CHANGED = "subscription { symbolChanged { kind at cursor detail symbol { ticker name version status assetClass } } }"
VERSION = '{ symbol(ticker: "AAPL") { version } }'
RENAME = """
mutation($name: String!, $version: Int!) {
  addSymbol(input: {ticker: "AAPL", name: $name, expectedVersion: $version}) { __typename }
}"""
_BARS = "edges { node { ticker interval openTime closeTime open high low close volume isFinal isValidated source } }"
AT_LENGTH = f"subscription {{ symbolChanged {{ symbol {{ bars {{ {_BARS} }} }} }} }}"
ONE_MEGABYTE = '{ symbol(ticker: "AAPL") { ' + " ".join(f"a{n}: bars {{ {_BARS} }}" for n in range(15)) + " } }"

Databases = Callable[[], str]


@pytest.fixture
def databases(sqlite_template: Path, tmp_path: Path) -> Databases:
    """A new database, each time."""
    numbers = count()

    def another() -> str:
        path = tmp_path / f"{next(numbers)}.db"
        shutil.copy(sqlite_template, path)
        return f"sqlite+aiosqlite:///{path}"

    return another


@asynccontextmanager
async def serving(database_url: str, *mutants: str) -> AsyncIterator[Service]:
    """A service that must be rid of everybody in the end."""
    async with Processes(database_url, FRESHTAPE_CLOCK=CLOCK) as processes:
        service = await processes.start_one(*mutants)
        await service.add(TICKER)

        async def is_known() -> bool:
            """To the symbols in the service's memory, which hear of it within a second."""
            return (await service.ask(VERSION))["data"]["symbol"] is not None

        await until(is_known, 15)
        yield service
        for gauge in ("freshtape_sockets", "freshtape_subscriptions"):
            assert await settled(service, gauge, 0), f"{gauge} are left over"


async def settled(service: Service, gauge: str, value: float) -> bool:
    async def holds() -> bool:
        return await service.gauge(gauge) == value

    with suppress(TimeoutError):
        await until(holds, 2)
    return await holds()


async def let_go(*clients: RawClient) -> float:
    """How long it took; raises TimeoutError when it took too long."""

    async def all_are() -> bool:
        return not any(client.is_held() for client in clients)

    started = time.monotonic()
    await until(all_are, LET_GO_SECONDS)
    return time.monotonic() - started


def held(client: RawClient) -> Callable[[], Awaitable[bool]]:
    async def is_held() -> bool:
        return client.is_held()

    return is_held


@asynccontextmanager
async def meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """The work goes on until the block ends; that it failed meanwhile is raised."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def version_of(service: Service) -> int:
    return int((await service.ask(VERSION))["data"]["symbol"]["version"])


async def rename(service: Service, pause: float = 0) -> None:
    for version in count(await version_of(service)):
        answer = await service.ask(RENAME, name=f"Version {version + 1}", version=version)
        assert answer == {"data": {"addSymbol": {"__typename": "SymbolAdded"}}}
        await asyncio.sleep(pause)


async def watched(service: Service, *clients: RawClient) -> tuple[float, str]:
    """Until the clients are let go: the longest that others waited for a light query, asked every 20 ms; and the figures."""
    worst, before, request = 0.0, resident(service.process.pid), post("{ service { version } }")
    letting_go = asyncio.create_task(let_go(*clients))
    async with RawClient(service.url) as other:
        while not letting_go.done():
            started = time.monotonic()
            await other.send(request)
            await other.until(b"}}}")
            worst = max(worst, time.monotonic() - started)
            await asyncio.sleep(0.02)
    grown = resident(service.process.pid) - before
    assert grown < GROWN_MB
    return worst, f"gone after {await letting_go:.1f} s, {grown:+.0f} MB, others answered within {worst * 1000:.0f} ms"


async def assert_unnoticed(attempt: Callable[[], Awaitable[float]]) -> None:
    others = await held_up(attempt, OTHERS_SHARE)
    assert others.share < OTHERS_SHARE, f"others wait for {others}"


@asynccontextmanager
async def subscribers(service: Service, number: int, operations: int = 1, beside: int = 0) -> AsyncIterator[list[RawClient]]:
    """Clients that have not read a byte since they subscribed."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(RawClient(service.url, SMALL)) for _ in range(number)]
        for client in clients:
            await client.open_socket()
            for operation in range(operations):
                await client.subscribe(CHANGED, str(operation))
        assert await settled(service, "freshtape_subscriptions", beside + number * operations)
        yield clients


async def fails(attempt: Coroutine[Any, Any, Any], error: type[Exception], message: str | None = None) -> None:
    with pytest.raises(error, match=message):
        await attempt


# ── who reads nothing, says nothing


async def idle_subscriber(database_url: str, *mutants: str) -> None:
    async with serving(database_url, *mutants) as service, subscribers(service, 1) as clients:
        told(f"an idle subscriber that has stopped reading: gone after {await let_go(*clients):.1f} s")


async def half_a_frame(database_url: str) -> None:
    async with serving(database_url) as service, RawClient(service.url, SMALL) as client:
        await client.open_socket()
        await client.send(frame(TEXT, promised=65_536))
        told(f"half a frame: gone after {await let_go(client):.1f} s")


UNSAID = {
    "nothing": b"",
    "half a head": b"POST /graphql HTTP/1.1\r\nHost: local",
    "half a body": post(VERSION)[:-9],
    "half a body for nobody": b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf",
    "half a handshake": HANDSHAKE[:-2],
}


async def unfinished_requests(database_url: str) -> None:
    async with serving(database_url) as service, AsyncExitStack() as stack, asyncio.TaskGroup() as group:

        async def leave_unsaid(name: str, request: bytes) -> None:
            client = await stack.enter_async_context(RawClient(service.url))
            await client.send(request)
            await until(held(client), 2)
            told(f"{name}: gone after {await let_go(client):.1f} s")

        for name, request in UNSAID.items():
            group.create_task(leave_unsaid(name, request))


async def unread_stream(database_url: str) -> None:
    async with serving(database_url) as service, RawClient(service.url, SMALL) as client:
        await service.refresh(TICKER)
        await client.send(stream(AT_LENGTH))
        assert await settled(service, "freshtape_subscriptions", 1)
        async with meanwhile(rename(service)):
            told(f"a stream of events that is not read: gone after {await let_go(client):.1f} s")


async def reading_slowly(database_url: str, *mutants: str) -> None:
    """Some KB every now and then, for longer than somebody who reads nothing is kept."""
    seconds, came = 10, 0
    async with serving(database_url, *mutants) as service, RawClient(service.url, SMALL) as client:
        await service.refresh(TICKER)
        await client.send(post(ONE_MEGABYTE))
        started = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() - started < seconds:
                came += await client.sip(6_000)
                await asyncio.sleep(0.1)
        assert client.is_held(), "let go"
    told(f"one who reads {came / seconds / 1000:.0f} KB/s: held for {seconds} s")


async def test_who_reads_nothing_is_let_go_and_who_reads_slowly_is_not(databases: Databases) -> None:
    async with asyncio.TaskGroup() as group:
        for attempt in (idle_subscriber, half_a_frame, unfinished_requests, unread_stream, reading_slowly):
            group.create_task(attempt(databases()))


async def test_with_its_guards_out_the_service_keeps_or_lets_go_the_wrong_ones(databases: Databases) -> None:
    async with asyncio.TaskGroup() as group:
        for attempt in (
            fails(idle_subscriber(databases(), "no pings"), TimeoutError),
            fails(stalled_subscribers(databases(), "endless patience"), TimeoutError),
            fails(unread_answers(databases(), "endless patience"), TimeoutError),
            fails(reading_slowly(databases(), "patience runs out"), AssertionError, "let go"),
        ):
            group.create_task(attempt)


# ── who has much to read, or to say, and does not read


async def stalled_subscribers(database_url: str, *mutants: str) -> float:
    """Four that stop reading while events flow, beside one that reads."""
    received: list[int] = []
    async with serving(database_url, *mutants) as service, RawClient(service.url) as reader:
        await reader.open_socket()
        await reader.subscribe(CHANGED)
        async with meanwhile(read_versions(reader, received)):
            async with subscribers(service, 4, operations=25, beside=1) as clients, meanwhile(rename(service, 0.02)):
                worst, figures = await watched(service, *clients)
            newest = await version_of(service)
            async with asyncio.timeout(LET_GO_SECONDS):
                while not received or received[-1] < newest:  # noqa: ASYNC110 - what is awaited comes over a socket
                    await asyncio.sleep(0.05)
    told(f"four stalled subscribers: {figures}, {len(received)} events to the one who reads")
    assert received == list(range(2, newest + 1)), "the one who reads misses events"
    return worst


async def read_versions(client: RawClient, received: list[int]) -> None:
    while True:
        _, text = await client.frame(within=FIRST_EVENT_SECONDS)
        received.append(json.loads(text)["payload"]["data"]["symbolChanged"]["symbol"]["version"])


async def unread_answers(database_url: str, *mutants: str) -> float:
    """Asks on and on."""
    async with (
        serving(database_url, *mutants) as service,
        RawClient(service.url, SMALL) as client,
        meanwhile(client.flood(post(BIG))),
    ):
        worst, figures = await watched(service, client)
    told(f"unread answers: {figures}")
    return worst


FLOODS = {
    "pings of the WebSocket": (b"", frame(PING)),
    "pings of the protocol": (b"", message(type="ping")),
    "empty fragments": (frame(TEXT, is_final=False), frame(0, is_final=False)),
    "subscribe and complete": (
        b"",
        message(id="1", type="subscribe", payload={"query": CHANGED}) + message(id="1", type="complete"),
    ),
}


async def flooded(database_url: str, name: str, *mutants: str) -> float:
    begin, flood = FLOODS[name]
    async with serving(database_url, *mutants) as service, RawClient(service.url, SMALL) as client:
        await client.open_socket()
        await client.send(begin)
        async with meanwhile(client.flood(flood * (65_536 // len(flood)))):
            worst, figures = await watched(service, client)
    told(f"a flood of {name}: {figures}")
    return worst


async def test_nobody_else_notices_stalled_subscribers(databases: Databases) -> None:
    await assert_unnoticed(lambda: stalled_subscribers(databases()))


async def test_nobody_else_notices_unread_answers(databases: Databases) -> None:
    await assert_unnoticed(lambda: unread_answers(databases()))


@pytest.mark.parametrize("flood", FLOODS)
async def test_nobody_else_notices_a_flood(databases: Databases, flood: str) -> None:
    await assert_unnoticed(lambda: flooded(databases(), flood))


async def test_taken_in_at_once_a_flood_keeps_others_waiting(databases: Databases) -> None:
    with suppress(TimeoutError):  # of one who is not answered at all
        assert await flooded(databases(), "pings of the WebSocket", "all at once") > 1


# ── answers behind a connection that is lost

BEHIND = {"another request": post(VERSION), "an upgrade": HANDSHAKE}


async def lost_behind(database_url: str, behind: str, *mutants: str) -> None:
    """A stream whose connection is lost after something was sent behind its request."""
    async with serving(database_url, *mutants) as service, RawClient(service.url) as client:
        await client.send(stream(CHANGED))
        assert await settled(service, "freshtape_subscriptions", 1)
        await client.send(BEHIND[behind])
        await asyncio.sleep(0.2)
        client.reset()


@pytest.mark.parametrize("behind", BEHIND)
async def test_a_stream_ends_with_its_connection_whatever_was_sent_behind_it(databases: Databases, behind: str) -> None:
    await lost_behind(databases(), behind)


@pytest.mark.parametrize(
    ("behind", "mutant"), [("another request", "only the newest request is told"), ("an upgrade", "upgraded under way")]
)
async def test_or_else_it_goes_on_for_ever(databases: Databases, behind: str, mutant: str) -> None:
    await fails(lost_behind(databases(), behind, mutant), AssertionError, "freshtape_subscriptions are left over")
