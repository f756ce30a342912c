"""SIGTERM while five hundred clients are connected, some of which do not read: over within 10 s, and told to all who listen."""

import asyncio
import signal
import struct
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from domain.events import SymbolChangeKind
from tests.support.figures import told
from tests.support.inquiries import Inquiries
from tests.support.process import Processes, Service
from tests.support.raw import BIG, CLOSE, SMALL, TEXT, RawClient, post, stream
from tests.support.stored import stored

CLOCK = "2026-03-27T20:30:00Z"
END_SECONDS, PATIENCE_SECONDS = 10, 120
READING, STALLED, STREAMS = 460, 40, 5
TICKER = "BTC-USD"
CHANGED = "subscription { symbolChanged { kind at cursor detail symbol { ticker name version } } }"
REFRESH = 'mutation { refreshSymbol(input: {ticker: "BTC-USD"}) { __typename } }'
SERVICE_RESTART = 1012


@asynccontextmanager
async def serving(database_url: str, *mutants: str) -> AsyncIterator[tuple[Service, Inquiries]]:
    async with Inquiries() as inquiries, Processes(database_url, inquiries, FRESHTAPE_CLOCK=CLOCK) as processes:
        service = await processes.start_one(*mutants)
        await service.add(TICKER)
        yield service, inquiries


class Crowd:
    """An async context: `reading` and `stalled` have sockets with a subscription each, `streams` are of server-sent events.
    Those that read do so from the beginning, and end with the code with which they are closed."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stack = AsyncExitStack()
        self.reading: list[asyncio.Task[int]] = []
        self.stalled: list[RawClient] = []
        self.streams: list[RawClient] = []

    async def __aenter__(self) -> "Crowd":
        await self._stack.__aenter__()
        for _ in range(READING):
            self.reading.append(asyncio.create_task(close_code(await self._subscriber(None))))
        for _ in range(STALLED):
            self.stalled.append(await self._subscriber(SMALL))
        for _ in range(STREAMS):
            client = await self.client()
            await client.send(stream(CHANGED))
            await client.until(b"\r\n\r\n")
            self.streams.append(client)
        for client in self.stalled:
            for number in range(3):
                await client.subscribe(BIG, f"big {number}")
        await asyncio.sleep(1)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.reading:
            task.cancel()
        await asyncio.gather(*self.reading, return_exceptions=True)
        await self._stack.aclose()

    async def client(self, receive_buffer: int | None = None) -> RawClient:
        return await self._stack.enter_async_context(RawClient(self._service.url, receive_buffer))

    async def _subscriber(self, receive_buffer: int | None) -> RawClient:
        client = await self.client(receive_buffer)
        await client.open_socket()
        await client.subscribe(CHANGED)
        return client


async def close_code(client: RawClient) -> int:
    while (came := await client.frame(within=PATIENCE_SECONDS))[0] == TEXT:
        pass
    assert came[0] == CLOSE
    code: int = struct.unpack("!H", came[1][:2])[0]
    return code


async def shut_down(database_url: str, *mutants: str) -> None:
    async with serving(database_url, *mutants) as (service, inquiries), Crowd(service) as crowd:
        idle, busy = await crowd.client(), await crowd.client()
        await idle.send(post("{ service { version } }"))
        await idle.until(b"}}}")
        await busy.send(post(REFRESH))
        inquiry = await inquiries.next()
        service.send(signal.SIGTERM)
        started = time.monotonic()
        await asyncio.sleep(0.5)
        inquiry.answer()
        code, errors = await service.ended(END_SECONDS)
        seconds = time.monotonic() - started
        codes = [await task for task in crowd.reading]
        streams = [await client.rest() for client in crowd.streams]
        answer = await busy.rest()
        assert await idle.rest() == b""
    told(
        f"SIGTERM with {len(codes) + STALLED} sockets, {STALLED} of them stalled: over after {seconds:.1f} s with code {code}, "
        f"{codes.count(SERVICE_RESTART)} closed with {SERVICE_RESTART}"
    )
    assert code == 0
    assert set(codes) == {SERVICE_RESTART}
    assert all(came.endswith(b"0\r\n\r\n") and b"complete" not in came for came in streams)
    assert b'"SymbolRefreshed"' in answer
    assert "Traceback" not in errors, errors
    found = await stored(database_url, TICKER)
    assert found.is_whole
    assert found.refresh is None


async def test_sigterm_with_five_hundred_sockets(sqlite_url: str) -> None:
    await shut_down(sqlite_url)


async def test_with_endless_patience_and_grace_the_stalled_keep_it(sqlite_url: str) -> None:
    with pytest.raises(TimeoutError):
        await shut_down(sqlite_url, "endless patience", "endless grace")


async def cut_short(database_url: str, *mutants: str) -> None:
    """A refresh whose provider answers after the service has ended."""
    async with (
        serving(database_url, "patient with providers", "patient gate", *mutants) as (service, inquiries),
        RawClient(service.url) as client,
    ):
        await client.send(post(REFRESH))
        await inquiries.next()
        service.send(signal.SIGTERM)
        started = time.monotonic()
        code, errors = await service.ended(END_SECONDS)
        seconds = time.monotonic() - started
        answer = await client.rest()
    found = await stored(database_url, TICKER)
    told(f"SIGTERM with a refresh under way: over after {seconds:.1f} s with code {code}, its caller told {answer[9:12]!r}")
    assert code == 0
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"SERVICE_ENDS"' in answer
    assert "Traceback" not in errors, errors
    assert found.refresh is None, "the lease is kept"
    assert found.kinds == [SymbolChangeKind.ADDED, SymbolChangeKind.REFRESH_STARTED, SymbolChangeKind.REFRESH_FAILED]
    assert found.is_whole


async def test_a_refresh_that_takes_too_long_gives_its_lease_back(sqlite_url: str, postgresql_url: str) -> None:
    async with asyncio.TaskGroup() as group:
        for database_url in (sqlite_url, postgresql_url):
            group.create_task(cut_short(database_url))


async def test_with_endless_grace_it_is_waited_for(sqlite_url: str) -> None:
    with pytest.raises(TimeoutError):
        await cut_short(sqlite_url, "endless grace")
