"""A running service, as the command line speaks to it: graphql-transport-ws on one socket."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

PROTOCOL = Subprotocol("graphql-transport-ws")
CONNECT_SECONDS = 5


class Unreachable(Exception):
    """One sentence: the service does not answer, or has gone away."""


class RefusedByService(Exception):
    """What the service says is wrong with the request."""


class Remote:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = map(str, count(1))

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of a query or mutation."""
        async for data in self.follow(query, **variables):
            return data
        raise Unreachable("The service ended the operation without an answer.")

    async def follow(self, query: str, **variables: Any) -> AsyncGenerator[dict[str, Any], None]:
        """The data of each answer, one operation at a time. Raises RefusedByService."""
        number = next(self._ids)
        await self._send(id=number, type="subscribe", payload={"query": query, "variables": variables})
        while (message := await self._receive())["type"] != "complete" or message["id"] != number:
            if message["type"] == "ping":
                await self._send(type="pong")
            elif message["type"] == "error":
                raise RefusedByService("; ".join(error["message"] for error in message["payload"]))
            elif message["type"] == "next":
                yield _data(message["payload"])

    async def greet(self) -> None:
        await self._send(type="connection_init")
        if (await self._receive())["type"] != "connection_ack":
            raise Unreachable("The service does not speak graphql-transport-ws.")

    async def _send(self, **message: Any) -> None:
        await self._connection.send(json.dumps(message))

    async def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self._connection.recv())
        return message


def _data(payload: dict[str, Any]) -> dict[str, Any]:
    if payload.get("errors"):
        raise RefusedByService("; ".join(error["message"] for error in payload["errors"]))
    data: dict[str, Any] = payload["data"]
    return data


@asynccontextmanager
async def reach(url: str) -> AsyncIterator[Remote]:
    """The service at an address such as http://127.0.0.1:8000. Raises Unreachable, also from within the block."""
    try:
        async with connect(
            _socket_address(url), subprotocols=[PROTOCOL], proxy=None, open_timeout=CONNECT_SECONDS
        ) as connection:
            remote = Remote(connection)
            await remote.greet()
            yield remote
    except (OSError, WebSocketException, ValueError) as error:
        raise Unreachable(f"No service answers at {url}: start one with `freshtape serve`, or name one with --url.") from error


def _socket_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("no address of a service")
    return f"{parts.scheme.replace('http', 'ws')}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/graphql')}/graphql"
