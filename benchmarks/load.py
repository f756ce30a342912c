"""A client for measuring: cheap, so that it is the server that one sees."""

import asyncio
import re
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

CONNECTIONS = 16
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


async def requests_per_second(url: str, body: bytes, seconds: float) -> float:
    """POSTs the body over and over on 16 kept-alive connections, one request at a time on each. Raises RuntimeError for any
    answer that is not 200, or has errors."""
    target = urlsplit(url)
    host, _, port = target.netloc.partition(":")
    request = (
        f"POST {target.path} HTTP/1.1\r\nhost: {target.netloc}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: _Connection(request), host, int(port)) for _ in range(CONNECTIONS)]
    connections = [connection for _, connection in opened]
    started = perf_counter()
    for connection in connections:
        connection.ask()
    await asyncio.sleep(seconds)
    answered, elapsed = sum(connection.answered for connection in connections), perf_counter() - started
    failure = next((connection.failure for connection in connections if connection.failure), None)
    for transport, _ in opened:
        transport.abort()
    if failure is not None:
        raise RuntimeError(failure)
    return answered / elapsed


class _Connection(asyncio.Protocol):
    """Asks again as soon as it is answered."""

    def __init__(self, request: bytes) -> None:
        self.answered = 0
        self.failure: str | None = None
        self._request = request
        self._answer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.failure = self.failure or "the server has closed the connection"

    def ask(self) -> None:
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head = self._answer.find(b"\r\n\r\n")
        length = _LENGTH.search(self._answer, 0, head) if head >= 0 else None
        if length is None or len(self._answer) < head + 4 + int(length[1]):
            return
        if not self._answer.startswith(b"HTTP/1.1 200") or b'"errors"' in self._answer:
            self.failure = self._answer[:300].decode(errors="replace")
            return
        self._answer.clear()
        self.answered += 1
        self.ask()
