"""One socket with several subscriptions on it: all that it is told, in the order of arrival."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from tests.support.served import Socket, socket_to

WITHIN = 20.0


class Told(NamedTuple):
    """An answer of the operation that was started under a name; of one that has ended with errors, these."""

    name: str
    value: dict[str, Any]


class Ear:
    """`told` grows as it listens."""

    def __init__(self, socket: Socket) -> None:
        self.told: list[Told] = []
        self._socket = socket
        self._names: dict[str, str] = {}
        self._more = asyncio.Event()

    async def follow(self, name: str, query: str, **variables: Any) -> None:
        self._names[await self._socket.start(query, **variables)] = name

    async def listen(self) -> None:
        async for text in self._socket.connection:
            frame = json.loads(text)
            if frame["type"] == "next":
                payload = frame["payload"]
                value = payload if "errors" in payload else next(iter(payload["data"].values()))
                self.told.append(Told(self._names[frame["id"]], value))
                self._more.set()

    async def hears(self, holds: Callable[[list[Told]], bool], within: float = WITHIN) -> None:
        """When what was told is so."""
        async with asyncio.timeout(within):
            while not holds(self.told):
                self._more.clear()
                await self._more.wait()

    def of(self, name: str) -> list[dict[str, Any]]:
        return [told.value for told in self.told if told.name == name]


@asynccontextmanager
async def ear_to(url: str) -> AsyncIterator[Ear]:
    async with socket_to(url) as socket:
        ear = Ear(socket)
        listening = asyncio.create_task(ear.listen())
        try:
            yield ear
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
