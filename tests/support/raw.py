"""Clients that may misbehave: a TCP connection of which a test decides what is sent, and whether anything is read."""

import asyncio
import json
import os
import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

SMALL = 4096
"""A receive buffer that is full at once."""
ANSWER_SECONDS = 15
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA

_TYPE = "type { name description }"
_TYPES = (
    f"__schema {{ types {{ name description fields {{ name description {_TYPE} args {{ name description {_TYPE} }} }} }} }}"
)
BIG = "{ " + " ".join(f"a{number}: {_TYPES}" for number in range(2)) + " }"
"""A query with a long answer."""
HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2l4dGVlbiBieXRlcyBvaw==\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


def frame(opcode: int, payload: bytes = b"", promised: int | None = None, is_final: bool = True) -> bytes:
    """A client's frame, masked with zeros; its header promises more than it brings when told so."""
    length = len(payload) if promised is None else promised
    head = bytes([opcode | (0x80 if is_final else 0)])
    if length < 126:
        head += bytes([0x80 | length])
    else:
        head += struct.pack("!BH", 0x80 | 126, length) if length < 1 << 16 else struct.pack("!BQ", 0x80 | 127, length)
    return head + bytes(4) + payload


def message(**content: Any) -> bytes:
    return frame(TEXT, json.dumps(content).encode())


def post(query: str, accept: str = "application/json") -> bytes:
    body = json.dumps({"query": query}).encode()
    head = f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: {accept}\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def stream(query: str) -> bytes:
    """A request for server-sent events."""
    return f"GET /graphql?query={quote(query)} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode()


class RawClient:
    """An async context: connected, and closed when the block ends. Reads only what it is told to."""

    def __init__(self, url: str, receive_buffer: int | None = None) -> None:
        self._server = urlsplit(url)
        self._connection = socket.socket()
        self._connection.setblocking(False)
        if receive_buffer is not None:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._loop = asyncio.get_running_loop()
        self._came = b""

    async def __aenter__(self) -> Self:
        await self._loop.sock_connect(self._connection, (self._server.hostname, self._server.port))
        return self

    async def __aexit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def reset(self) -> None:
        """Gone without a word."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    def is_held(self) -> bool:
        """Whether the service still holds its end. One that it has let go is no process's any more, or not there at all."""
        ours, theirs = f":{self._connection.getsockname()[1]:04X}", f":{self._server.port:04X}"
        for line in Path("/proc/net/tcp").read_text().splitlines():
            fields = line.split()
            if fields[1].endswith(theirs) and fields[2].endswith(ours):
                return fields[9] != "0"
        return False

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._loop.sock_sendall(self._connection, data)

    async def flood(self, data: bytes) -> None:
        """Sends it again and again until the service takes no more, or has let go."""
        try:
            while True:
                await self._loop.sock_sendall(self._connection, data)
        except OSError:
            pass

    async def sip(self, size: int) -> int:
        """Reads so many bytes at most, and forgets them."""
        return len(await self._loop.sock_recv(self._connection, size))

    async def until(self, end: bytes, within: float = ANSWER_SECONDS) -> bytes:
        async with asyncio.timeout(within):
            while end not in self._came:
                await self._more()
        found, end, self._came = self._came.partition(end)
        return found + end

    async def rest(self, within: float = ANSWER_SECONDS) -> bytes:
        """All that comes until the service closes."""
        async with asyncio.timeout(within):
            try:
                while True:
                    await self._more()
            except ConnectionError:
                return self._came

    async def open_socket(self) -> None:
        """As far as connection_ack."""
        await self.send(HANDSHAKE)
        assert b" 101 " in await self.until(b"\r\n\r\n")
        await self.send(message(type="connection_init"))
        assert await self.frame() == (TEXT, b'{"type":"connection_ack"}')

    async def subscribe(self, query: str, number: str = "1") -> None:
        await self.send(message(id=number, type="subscribe", payload={"query": query}))

    async def frame(self, within: float = ANSWER_SECONDS) -> tuple[int, bytes]:
        """The next frame but for pings, which are answered."""
        async with asyncio.timeout(within):
            while (came := await self._frame())[0] == PING:
                await self._loop.sock_sendall(self._connection, frame(PONG, came[1]))
        return came

    async def _frame(self) -> tuple[int, bytes]:
        opcode, length = (await self._take(2))[:2]
        if length == 126:
            (length,) = struct.unpack("!H", await self._take(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self._take(8))
        return opcode & 0xF, await self._take(length)

    async def _take(self, count: int) -> bytes:
        while len(self._came) < count:
            await self._more()
        taken, self._came = self._came[:count], self._came[count:]
        return taken

    async def _more(self) -> None:
        data = await self._loop.sock_recv(self._connection, 1 << 16)
        if not data:
            raise ConnectionResetError("the service has closed the connection")
        self._came += data


def resident(pid: int) -> float:
    """The process's memory in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
