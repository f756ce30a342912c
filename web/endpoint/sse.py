"""Server-sent events, one connection an operation: https://github.com/enisdenjo/graphql-sse, "distinct connections mode"."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from graphql import OperationType
from starlette.types import Message, Receive, Scope, Send

from graph.execution import Answer, Executor, Operation
from web.endpoint.encoding import encode
from web.endpoint.negotiation import EVENTS

PULSE_SECONDS = 10
"""A comment so often keeps the ways between open, and finds out who has stopped reading."""


class EventStream:
    """The answers to an operation, or the one that says why there are none; then `complete`.

    A stream that ends without `complete` was cut, by us too when the service stops: its client may come back."""

    def __init__(self, executor: Executor, source: Operation | Answer) -> None:
        self._executor = executor
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", f"{EVENTS}; charset=utf-8".encode()), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        writing = asyncio.create_task(self._write(send))
        others = [asyncio.create_task(work) for work in (gone(receive), self._executor.closing.wait(), _pulse(send))]
        try:
            await asyncio.wait([writing, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writing, *others):
                task.cancel()
            await asyncio.gather(writing, *others, return_exceptions=True)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, send: Send) -> None:
        async with aclosing(self._answers()) as answers:
            async for answer in answers:
                await send(_part(b"event: next\ndata: " + encode(answer) + b"\n\n"))
        await send(_part(b"event: complete\ndata:\n\n"))

    async def _answers(self) -> AsyncGenerator[Answer, None]:
        if isinstance(self._source, Answer):
            yield self._source
        elif self._source.kind is not OperationType.SUBSCRIPTION:
            yield await self._executor.execute(self._source)
        else:
            async with aclosing(self._executor.stream(self._source)) as answers:
                async for answer in answers:
                    yield answer


async def gone(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pulse(send: Send) -> None:
    while True:
        await asyncio.sleep(PULSE_SECONDS)
        await send(_part(b":\n\n"))


def _part(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}
