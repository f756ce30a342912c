"""The service on a real socket, in the test's own event loop, and clients for it."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from itertools import count
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.support.clock import EVENING
from web.container import Container, OpenProvider, open_container
from web.serving import serve
from web.settings import Settings

PROTOCOL = Subprotocol("graphql-transport-ws")
ANSWER_SECONDS = 15


class Served:
    """A service that is being served at `url`."""

    def __init__(self, url: str, container: Container, http: httpx.AsyncClient) -> None:
        self.url = url
        self.container = container
        self.http = http

    async def ask(self, query: str, **variables: Any) -> Any:
        """The whole answer over HTTP, errors and all."""
        return (await self.http.post("/graphql", json={"query": query, "variables": variables})).json()

    def socket(self) -> AbstractAsyncContextManager["Socket"]:
        return socket_to(self.url)


@asynccontextmanager
async def socket_to(url: str) -> AsyncIterator["Socket"]:
    """A WebSocket on which the protocol's greetings have been exchanged."""
    async with connect(url.replace("http", "ws", 1) + "/graphql", subprotocols=[PROTOCOL], proxy=None) as connection:
        socket = Socket(connection)
        await socket.send(type="connection_init")
        assert await socket.receive() == {"type": "connection_ack"}
        yield socket


class Socket:
    """Speaks graphql-transport-ws, frame by frame."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._ids = map(str, count(1))

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(ANSWER_SECONDS):
            frame = await self.connection.recv()
        assert isinstance(frame, str), "the protocol knows text frames only"
        return dict(json.loads(frame))

    async def start(self, query: str, **variables: Any) -> str:
        """Starts an operation; gives its id."""
        number = next(self._ids)
        await self.send(id=number, type="subscribe", payload={"query": query, "variables": variables})
        return number

    async def next(self, number: str) -> dict[str, Any]:
        """The payload of the operation's next frame, which must be one of type `next`."""
        frame = await self.receive()
        assert (frame["id"], frame["type"]) == (number, "next"), frame
        return dict(frame["payload"])

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The one result of a query or mutation, complete."""
        number = await self.start(query, **variables)
        payload = await self.next(number)
        assert await self.receive() == {"id": number, "type": "complete"}
        return payload


@asynccontextmanager
async def served(
    database_url: str,
    open_provider: OpenProvider,
    *,
    works: bool = False,
    **settings: Any,
) -> AsyncIterator[Served]:
    """The service as `freshtape serve` runs it, on the evening of the sample market, until the block ends; without a worker of
    the onboarding queue, unless it `works`."""
    wanted = {"database_url": database_url, "port": 0, "providers": ("sample",), "clock": EVENING, **settings}
    async with open_container(Settings.model_construct(**wanted), open_provider) as container:
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        with handlers_kept():
            serving = asyncio.create_task(serve(container, address.set_result, works=works))
            either: set[asyncio.Future[Any]] = {serving, address}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            async with httpx.AsyncClient(base_url=address.result(), timeout=ANSWER_SECONDS, trust_env=False) as http:
                await http.get("/readyz")  # answered: the server runs, and listens to signals
                try:
                    yield Served(address.result(), container, http)
                finally:
                    signal.raise_signal(signal.SIGTERM)
                    await serving


@contextmanager
def handlers_kept() -> Iterator[None]:
    """A server sets handlers of its own, and leaves them to a process that is about to end."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
