"""Bytes that are no request and no frame: answered, closed, and no traceback in the log."""

import gc

import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from tests.support.clock import EVENING
from tests.support.process import Processes
from tests.support.provider import StubProvider
from tests.support.raw import HANDSHAKE, PING, PONG, TEXT, RawClient, frame
from tests.support.served import served
from web.protocols import PatientSocket

HEAD = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
MORE_THAN_A_HEAD = 70_000


def greeting(more: bytes) -> bytes:
    """The handshake with more headers, and what follows them."""
    return HANDSHAKE[:-2] + more


REQUESTS = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00",
    "an endless head": HEAD + b"X: " + b"a" * MORE_THAN_A_HEAD,
    "endless trailers": CHUNKED + b"0\r\n" + b"X: a\r\n" * (MORE_THAN_A_HEAD // 6),
    "endless chunk extensions": CHUNKED + b"1;" + b"a" * MORE_THAN_A_HEAD,
    "a handshake with a body": greeting(b"Content-Length: 5\r\n\r\nhello"),
    "a handshake with many headers": greeting(b"X: a\r\n" * 200 + b"\r\n"),
    "a handshake with a long header": greeting(b"X: " + b"a" * 10_000 + b"\r\n\r\n"),
    "a handshake that is not ASCII": HANDSHAKE.replace(b"/graphql", b"/graphql\xff"),
}
FRAMES = {
    "text that is none": (frame(TEXT, b"\xff"), 1007),
    "text that is none, in fragments": (frame(TEXT, b"\xff", is_final=False) + frame(0, b"a"), 1007),
    "no mask": (b"\x81\x01a", 1002),
    "no opcode": (frame(3), 1002),
    "a frame too long": (frame(TEXT, promised=65_537), 1009),
    "a message too long": (frame(TEXT, b"a" * 40_000, is_final=False) + frame(0, b"a" * 40_000), 1009),
}


async def test_what_cannot_be_read_is_answered_and_closed(sqlite_url: str) -> None:
    async with Processes(sqlite_url, FRESHTAPE_CLOCK=EVENING.isoformat()) as processes:
        service = await processes.start_one()
        for name, request in REQUESTS.items():
            async with RawClient(service.url) as client:
                await client.send(request)
                assert (await client.rest(5)).startswith(b"HTTP/1.1 400 "), name
        for name, (frames, code) in FRAMES.items():
            async with RawClient(service.url) as client:
                await client.open_socket()
                await client.send(frames)
                assert (await client.rest(5))[2:4] == code.to_bytes(2, "big"), name
        await service.kill()
        _, errors = await service.ended()
    assert "Traceback" not in errors


@pytest.mark.parametrize("size", [1 << 20, 2 << 20])
async def test_a_body_is_no_head(sqlite_url: str, size: int) -> None:
    body = b'{"query":"{ service { version } }","extensions":{"x":"%s"}}' % (b"a" * (size - 100))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for at in range(0, len(body), 512) if (part := body[at : at + 512]))
    async with Processes(sqlite_url, FRESHTAPE_CLOCK=EVENING.isoformat()) as processes:
        service = await processes.start_one()
        async with RawClient(service.url) as client:
            await client.send(CHUNKED + chunks + b"0\r\n\r\n")
            assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def fragments_kept(database_url: str) -> int:
    """How many of a thousand empty ones."""
    async with served(database_url, lambda *_: StubProvider()) as service, RawClient(service.url) as client:
        await client.open_socket()
        await client.send(frame(TEXT, is_final=False) + frame(0, is_final=False) * 1000 + frame(PING))
        while (await client.frame())[0] != PONG:
            pass
        (connection,) = (thing for thing in gc.get_objects() if isinstance(thing, PatientSocket) and not thing.disconnected)
        return len(connection.frames)


async def test_empty_fragments_are_not_kept(sqlite_url: str) -> None:
    assert await fragments_kept(sqlite_url) == 1


async def test_as_uvicorn_has_it_they_are(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatientSocket, "handle_cont", WebSocketsSansIOProtocol.handle_cont)
    assert await fragments_kept(sqlite_url) == 1001
