"""The stub's streamer: a WebSocket at / that tells in Yahoo's frames what a test, in whatever thread, wants told."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from random import gauss
from typing import Any

from starlette.types import Receive, Scope, Send
from yfinance.pricing_pb2 import PricingData

from tests.support.yahoo.market import Market

PRE, REGULAR, POST = 0, 1, 2
STEP_SECONDS = 0.5
HEARTBEAT = '{"type":"heartbeat"}'


def pricing(symbol: str, at: datetime, price: float, volume: int = 0, **fields: Any) -> str:
    """A PricingData in base64: a frame of version 1. What is not said has Yahoo's default, which is not sent."""
    values = {"market_hours": REGULAR, "exchange": "NMS", "price_hint": 2} | fields
    data = PricingData(id=symbol, price=price, time=round(at.timestamp() * 1000), day_volume=volume, **values)
    return b64encode(data.SerializeToString()).decode()


def framed(message: object) -> str:
    """The same in version 2."""
    return json.dumps({"type": "pricing", "message": message})


@dataclass(eq=False)
class Client:
    """A connection: all that it has said, oldest first, and what it is subscribed to."""

    loop: asyncio.AbstractEventLoop
    transport: Any
    outbox: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    said: list[dict[str, list[str]]] = field(default_factory=list)
    subscribed: set[str] = field(default_factory=set)
    is_open: bool = True

    def understand(self, text: str) -> None:
        message = json.loads(text)
        self.said.append(message)
        self.subscribed |= set(message.get("subscribe", ()))
        self.subscribed -= set(message.get("unsubscribe", ()))


class Streamer:
    """An ASGI application. `clients` are all that ever connected, oldest first."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.is_silent = False
        self.walks_on: Market | None = None

    # ── for tests

    def calm(self) -> None:
        self.clients = []
        self.is_silent = False

    @property
    def open(self) -> list[Client]:
        return [client for client in self.clients if client.is_open]

    def say(self, *frames: str) -> None:
        """To all who listen."""
        for client in self.open:
            for frame in frames:
                client.loop.call_soon_threadsafe(client.outbox.put_nowait, frame)

    def tick(self, symbol: str, at: datetime, price: float, volume: int = 0, **fields: Any) -> None:
        self.say(framed(pricing(symbol, at, price, volume, **fields)))

    def close(self) -> None:
        """With a farewell."""
        for client in self.open:
            client.loop.call_soon_threadsafe(client.outbox.put_nowait, None)

    def abort(self) -> None:
        """Without one."""
        for client in self.open:
            client.loop.call_soon_threadsafe(client.transport.abort)

    # ── as a server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        protocol: Any = getattr(receive, "__self__", None)  # uvicorn's own: a broken connection is none of ASGI's events
        client = Client(asyncio.get_running_loop(), protocol.transport)
        await receive()
        await send({"type": "websocket.accept"})
        self.clients.append(client)
        with _running(self._tell(client, send)), _running(self._walk(client)):
            while (event := await receive())["type"] == "websocket.receive":
                client.understand(event["text"])
        client.is_open = False

    async def _tell(self, client: Client, send: Send) -> None:
        while (frame := await client.outbox.get()) is not None:
            if not self.is_silent:
                await send({"type": "websocket.send", "text": frame})
        await send({"type": "websocket.close", "code": 1000})

    async def _walk(self, client: Client) -> None:
        """A random walk of every symbol that is subscribed to, from its last price on."""
        prices: dict[str, float] = {}
        volume = 0
        while self.walks_on is not None:
            await asyncio.sleep(STEP_SECONDS)
            volume += 100
            for symbol in sorted(client.subscribed):
                quote = self.walks_on.quote(symbol)
                if quote is not None:
                    price = prices[symbol] = prices.get(symbol, quote["regularMarketPrice"]) * gauss(1, 0.0002)
                    fields = {"currency": quote["currency"] or ""}
                    client.outbox.put_nowait(framed(pricing(symbol, self.walks_on.now(), price, volume, **fields)))


@contextmanager
def _running(work: Any) -> Iterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.InvalidStateError, asyncio.CancelledError):
            task.exception()  # whoever is told may be gone already
