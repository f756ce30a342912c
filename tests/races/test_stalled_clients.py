"""Clients that stop reading, or never say what they want: let go within 15 s, at a bounded cost, felt by nobody else."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest

from tests.support.process import Processes, Service, until
from tests.support.raw import HANDSHAKE, PING, SMALL, TEXT, RawClient, frame, message, post, resident, stream

pytestmark = pytest.mark.timeout(120)

CLOCK = "2026-03-27T20:30:00Z"
LET_GO_SECONDS = 15
OTHERS_SECONDS = 0.1
GROWN_MB = 25
TICKER = "AAPL"
CHANGED = "subscription { symbolChanged { kind at cursor detail symbol { ticker name version status assetClass } } }"
RENAME = """
mutation($name: String!, $version: Int!) {
  addSymbol(input: {ticker: "AAPL", name: $name, expectedVersion: $version}) { __typename }
}"""
BIG = "{ " + " ".join(f"a{n}: __schema {{ types {{ name description fields {{ name description }} }} }}" for n in range(4)) + " }"


@asynccontextmanager
async def serving(database_url: str, *mutants: str) -> AsyncIterator[Service]:
    async with Processes(database_url, FRESHTAPE_CLOCK=CLOCK) as processes:
        service = await processes.start_one(*mutants)
        await service.add(TICKER)
        yield service
        for gauge in ("freshtape_sockets", "freshtape_subscriptions"):
            assert await settled(service, gauge, 0), gauge


async def settled(service: Service, name: str, value: float) -> bool:
    async def holds() -> bool:
        return await service.gauge(name) == value

    try:
        await until(holds, 2)
    except TimeoutError:
        return False
    return True


async def let_go(*clients: RawClient, within: float = LET_GO_SECONDS) -> float:
    """How long it took; raises TimeoutError when it took too long."""

    async def all_are() -> bool:
        return not any(client.is_held() for client in clients)

    started = time.monotonic()
    await until(all_are, within)
    return time.monotonic() - started


async def rename(service: Service, version: int) -> None:
    """From this version to the next."""
    answer = await service.ask(RENAME, name=f"Version {version + 1}", version=version)
    assert answer == {"data": {"addSymbol": {"__typename": "SymbolAdded"}}}


async def rename_on(service: Service, pause: float = 0) -> None:
    version = await version_of(service)
    while True:
        await rename(service, version)
        version += 1
        await asyncio.sleep(pause)


async def worst_answer(service: Service, during: Awaitable[Any]) -> float:
    """The longest that a light query took meanwhile, asked every 20 ms."""
    worst, request = 0.0, post("{ service { version } }")
    task = asyncio.ensure_future(during)
    async with RawClient(service.url) as other:
        while not task.done():
            started = time.monotonic()
            await other.send(request)
            await other.until(b"}}}")
            worst = max(worst, time.monotonic() - started)
            await asyncio.sleep(0.02)
    await task
    return worst


async def best_of_three(attempt: Callable[[], Coroutine[Any, Any, float]]) -> float:
    """The machine is others' too: what is shown once is shown."""
    best = await attempt()
    for _ in range(2):
        if best > OTHERS_SECONDS:
            best = min(best, await attempt())
    return best


@asynccontextmanager
async def subscribers(service: Service, count: int, operations: int = 1, beside: int = 0) -> AsyncIterator[list[RawClient]]:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(RawClient(service.url, SMALL)) for _ in range(count)]
        for client in clients:
            await client.open_socket()
            for number in range(operations):
                await client.subscribe(CHANGED, str(number))
        assert await settled(service, "freshtape_subscriptions", beside + count * operations)
        yield clients


# ── WebSockets


async def idle_subscriber(database_url: str, *mutants: str) -> float:
    async with serving(database_url, *mutants) as service, subscribers(service, 1) as clients:
        return await let_go(*clients)


async def test_a_subscriber_that_answers_no_ping_is_let_go(sqlite_url: str) -> None:
    print(f"\nidle subscriber that stopped reading: gone after {await idle_subscriber(sqlite_url):.1f} s")


async def test_without_pings_it_stays(sqlite_url: str) -> None:
    with pytest.raises(TimeoutError):
        await idle_subscriber(sqlite_url, "no pings")


async def stalled_subscribers(database_url: str, *mutants: str) -> float:
    """Four that stop reading while events flow, beside one that reads. Gives the worst answer to others meanwhile."""
    received: list[int] = []
    async with serving(database_url, *mutants) as service, RawClient(service.url) as reader:
        await reader.open_socket()
        await reader.subscribe(CHANGED)
        reading = asyncio.create_task(read_versions(reader, received))
        async with subscribers(service, 4, operations=25, beside=1) as clients:
            before = resident(service.process.pid)
            renaming = asyncio.create_task(rename_on(service, 0.02))
            letting_go = asyncio.create_task(let_go(*clients))
            worst = await worst_answer(service, letting_go)
            grown = resident(service.process.pid) - before
            renaming.cancel()
            await asyncio.gather(renaming, return_exceptions=True)
            assert await settled(service, "freshtape_sockets", 1)
        newest = await version_of(service)
        async with asyncio.timeout(LET_GO_SECONDS):
            while received[-1] < newest:  # noqa: ASYNC110 - what is awaited comes over a socket
                await asyncio.sleep(0.05)
        reading.cancel()
    seconds, count = letting_go.result(), len(received)
    print(f"\n4 stalled: gone after {seconds:.1f} s, {grown:+.0f} MB, {count} events to the other, answers within {worst * 1000:.0f} ms")
    assert received == list(range(2, count + 2)), "the other one misses events"
    assert grown < GROWN_MB
    return worst


async def read_versions(client: RawClient, received: list[int]) -> None:
    while True:
        _, text = await client.frame()
        received.append(json.loads(text)["payload"]["data"]["symbolChanged"]["symbol"]["version"])


async def version_of(service: Service) -> int:
    return int((await service.ask('{ symbol(ticker: "AAPL") { version } }'))["data"]["symbol"]["version"])


async def test_stalled_subscribers_are_let_go_and_nobody_else_notices(sqlite_url: str) -> None:
    assert await best_of_three(lambda: stalled_subscribers(sqlite_url)) < OTHERS_SECONDS


async def test_with_endless_patience_they_stay(sqlite_url: str) -> None:
    with pytest.raises(TimeoutError):
        await stalled_subscribers(sqlite_url, "endless patience")


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
    """One that sends as fast as it can and never reads."""
    begin, flood = FLOODS[name]
    async with serving(database_url, *mutants) as service, RawClient(service.url, SMALL) as client:
        await client.open_socket()
        await client.send(begin)
        before = resident(service.process.pid)
        flooding = asyncio.create_task(client.flood(flood * (65_536 // len(flood))))
        letting_go = asyncio.create_task(let_go(client))
        worst = await worst_answer(service, letting_go)
        grown = resident(service.process.pid) - before
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
    print(f"\nflood of {name}: gone after {letting_go.result():.1f} s, {grown:+.0f} MB, answers within {worst * 1000:.0f} ms")
    assert grown < GROWN_MB
    return worst


@pytest.mark.parametrize("flood", FLOODS)
async def test_one_who_floods_and_never_reads_is_let_go(sqlite_url: str, flood: str) -> None:
    assert await best_of_three(lambda: flooded(sqlite_url, flood)) < OTHERS_SECONDS


async def test_taken_in_at_once_a_flood_keeps_others_waiting(sqlite_url: str) -> None:
    assert await flooded(sqlite_url, "pings of the WebSocket", "all at once") > OTHERS_SECONDS


async def test_half_a_frame_is_not_waited_for(sqlite_url: str) -> None:
    async with serving(sqlite_url) as service, RawClient(service.url, SMALL) as client:
        await client.open_socket()
        await client.send(frame(TEXT, promised=65_536))
        print(f"\nhalf a frame: gone after {await let_go(client):.1f} s")


# ── HTTP


async def not_reading(database_url: str, request: bytes, *mutants: str) -> float:
    async with serving(database_url, *mutants) as service, RawClient(service.url, SMALL) as client:
        before = resident(service.process.pid)
        sending = asyncio.create_task(client.flood(request))
        letting_go = asyncio.create_task(let_go(client))
        worst = await worst_answer(service, letting_go)
        grown = resident(service.process.pid) - before
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    print(f"\nunread answers: gone after {letting_go.result():.1f} s, {grown:+.0f} MB, others within {worst * 1000:.0f} ms")
    assert grown < GROWN_MB
    return worst


async def test_answers_that_nobody_reads_are_not_kept(sqlite_url: str) -> None:
    assert await best_of_three(lambda: not_reading(sqlite_url, post(BIG))) < OTHERS_SECONDS


async def test_with_endless_patience_they_are_kept(sqlite_url: str) -> None:
    with pytest.raises(TimeoutError):
        await not_reading(sqlite_url, post(BIG), "endless patience")


async def reading_slowly(database_url: str, *mutants: str) -> None:
    """Some KB every now and then, for longer than somebody who reads nothing is kept."""
    answers, seconds = 60, 10
    async with serving(database_url, *mutants) as service, RawClient(service.url, SMALL) as client:
        await client.send(post(BIG) * answers)
        started, came = time.monotonic(), 0
        with suppress(ConnectionError):
            while time.monotonic() - started < seconds:
                came += await client.sip(6_000)
                await asyncio.sleep(0.1)
        assert client.is_held(), "let go"
    print(f"\n{came / seconds / 1000:.0f} KB/s are read: held for {seconds:.0f} s")


async def test_one_who_reads_slowly_is_not_let_go(sqlite_url: str) -> None:
    await reading_slowly(sqlite_url)


async def test_without_a_look_at_what_is_read_it_is(sqlite_url: str) -> None:
    with pytest.raises(AssertionError, match="let go"):
        await reading_slowly(sqlite_url, "patience runs out")


UNSAID = {
    "nothing": b"",
    "half a head": b"POST /graphql HTTP/1.1\r\nHost: local",
    "half a body": post("{ service { version } }")[:-9],
    "half a body for nobody": b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf",
    "half a handshake": b"GET /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
}


async def test_requests_that_are_never_finished_are_not_waited_for(sqlite_url: str) -> None:
    async with serving(sqlite_url) as service, AsyncExitStack() as stack:
        times = {}

        async def leave_unsaid(name: str) -> None:
            client = await stack.enter_async_context(RawClient(service.url))
            await client.send(UNSAID[name])
            times[name] = await let_go(client)

        async with asyncio.TaskGroup() as group:
            for name in UNSAID:
                group.create_task(leave_unsaid(name))
    print("\n" + "; ".join(f"{name}: gone after {seconds:.1f} s" for name, seconds in times.items()))


async def test_a_stream_that_is_not_read_any_more_ends(sqlite_url: str) -> None:
    async with serving(sqlite_url) as service, RawClient(service.url, SMALL) as client:
        await client.send(stream(CHANGED))
        assert await settled(service, "freshtape_subscriptions", 1)
        renaming = asyncio.create_task(rename_on(service))
        seconds = await let_go(client)
        renaming.cancel()
        await asyncio.gather(renaming, return_exceptions=True)
    print(f"\nevents not read: gone after {seconds:.1f} s")


# ── answers behind a connection that is lost

BEHIND = {"another request": post("{ service { version } }"), "an upgrade": HANDSHAKE}


async def lost_behind(database_url: str, sent_behind: bytes, *mutants: str) -> None:
    async with serving(database_url, *mutants) as service, RawClient(service.url) as client:
        await client.send(stream(CHANGED))
        assert await settled(service, "freshtape_subscriptions", 1)
        await client.send(sent_behind)
        await asyncio.sleep(0.2)
        client.reset()


@pytest.mark.parametrize("behind", BEHIND)
async def test_a_stream_ends_with_its_connection_whatever_was_sent_behind_it(sqlite_url: str, behind: str) -> None:
    await lost_behind(sqlite_url, BEHIND[behind])


@pytest.mark.parametrize(
    ("behind", "mutant"), [("another request", "only the newest request is told"), ("an upgrade", "upgraded under way")]
)
async def test_or_else_it_goes_on_for_ever(sqlite_url: str, behind: str, mutant: str) -> None:
    with pytest.raises(AssertionError, match="freshtape_subscriptions"):
        await lost_behind(sqlite_url, BEHIND[behind], mutant)
