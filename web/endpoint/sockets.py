"""graphql-transport-ws: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md. No other protocol is spoken.

A frame that is no message of the protocol closes the socket with 4400; an operation that cannot be executed gets an `error` of
its own, and the others go on."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, Self

from graphql import GraphQLError, OperationType
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from graph.execution import Answer, Executor, NotExecutable
from graph.faults import fault_of
from graph.limits import LimitExceeded
from graph.request import BadRequest, Request, read_json, read_request, unstorable
from web.endpoint.encoding import encode, encode_json

PROTOCOL = "graphql-transport-ws"
GONE = WebSocketDisconnect, WebSocketDisconnected
"""Either end has closed the socket."""
LONGEST_ID = 128
LONGEST_REASON = 123

INVALID, UNAUTHORIZED, NOT_ACCEPTABLE, INIT_TIMEOUT, ID_TAKEN, TOO_MANY_INITS = 4400, 4401, 4406, 4408, 4409, 4429


class Closing(Exception):
    """The socket is to be closed; a close frame has room for 123 bytes of reason."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason.encode()[:LONGEST_REASON].decode(errors="ignore")


async def serve_socket(websocket: WebSocket, executor: Executor) -> None:
    """Speaks with one client until either end closes the socket."""
    if PROTOCOL not in websocket.scope["subprotocols"]:
        await websocket.accept()
        await websocket.close(NOT_ACCEPTABLE, "Subprotocol not acceptable")
        return
    await websocket.accept(PROTOCOL)
    async with _Connection(websocket, executor) as connection:
        try:
            await connection.converse()
        except Closing as closing:
            with suppress(*GONE):
                await websocket.close(closing.code, closing.reason)
        except GONE:
            pass


class _Connection:
    """An async context: its operations end with it, but for mutations, which are carried out."""

    def __init__(self, websocket: WebSocket, executor: Executor) -> None:
        self._websocket = websocket
        self._executor = executor
        self._is_acknowledged = False
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._takes: dict[str, Callable[[dict[str, Any]], Awaitable[None]]] = {
            "connection_init": self._take_init,
            "ping": self._take_ping,
            "pong": self._take_pong,
            "subscribe": self._take_subscribe,
            "complete": self._take_complete,
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._operations.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def converse(self) -> None:
        """Raises Closing and WebSocketDisconnect."""
        try:
            async with asyncio.timeout(self._executor.limits.connection_init_seconds):
                while not self._is_acknowledged:
                    await self._take(await self._next())
        except TimeoutError:
            seconds = self._executor.limits.connection_init_seconds
            raise Closing(INIT_TIMEOUT, f"Connection initialisation timeout: nothing came within {seconds:g} s") from None
        while True:
            await self._take(await self._next())

    async def _next(self) -> object:
        await asyncio.sleep(0)  # others' turn: many may have come in at once
        frame = await self._websocket.receive()
        if frame["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(frame.get("code", 1005))
        text = frame.get("text")
        if text is None:
            raise Closing(INVALID, "A message is text")
        try:
            return read_json(text.encode())
        except BadRequest as error:
            raise Closing(INVALID, str(error)) from None

    async def _take(self, message: object) -> None:
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Closing(INVALID, "A message is an object with a type")
        take = self._takes.get(message["type"])
        if take is None:
            raise Closing(INVALID, "The message's type is not one of the protocol's")
        await take(message)

    # ── messages

    async def _take_init(self, message: dict[str, Any]) -> None:
        _check_payload(message)
        if self._is_acknowledged:
            raise Closing(TOO_MANY_INITS, "Too many initialisation requests")
        self._is_acknowledged = True
        await self._send({"type": "connection_ack"})

    async def _take_ping(self, message: dict[str, Any]) -> None:
        _check_payload(message)
        await self._send({"type": "pong"})

    async def _take_pong(self, message: dict[str, Any]) -> None:
        _check_payload(message)

    async def _take_subscribe(self, message: dict[str, Any]) -> None:
        if not self._is_acknowledged:
            raise Closing(UNAUTHORIZED, "Unauthorized")
        number = _id(message)
        if number in self._operations:
            raise Closing(ID_TAKEN, f"Subscriber for {number} already exists")
        limit = self._executor.limits.socket_subscriptions
        if len(self._operations) >= limit:
            await self._refuse(number, LimitExceeded("socket_subscriptions", limit, limit + 1, " of this socket"))
            return
        _check_shape(message.get("payload"))
        self._operations[number] = asyncio.create_task(self._run(number, message["payload"]))

    async def _take_complete(self, message: dict[str, Any]) -> None:
        task = self._operations.pop(_id(message), None)
        if task is not None:
            task.cancel()

    # ── operations

    async def _run(self, number: str, payload: object) -> None:
        try:
            await self._answer(number, self._read(payload))
        except GONE:
            return
        except NotExecutable as refused:
            last = {"id": number, "type": "error", "payload": [error.formatted for error in refused.answer.errors]}
        except Exception as error:
            last = {"id": number, "type": "error", "payload": [fault_of(error).formatted]}
        else:
            last = {"id": number, "type": "complete"}
        if self._operations.get(number) is asyncio.current_task():  # else its client has completed it, and may use the id again
            del self._operations[number]
            with suppress(*GONE):
                await self._send(last)

    def _read(self, payload: object) -> Request:
        try:
            return read_request(payload, self._executor.limits.values)
        except BadRequest as error:
            raise NotExecutable(GraphQLError(str(error), extensions={"code": "BAD_REQUEST"})) from None
        except LimitExceeded as error:
            raise NotExecutable(error) from None

    async def _answer(self, number: str, request: Request) -> None:
        operation = await self._executor.prepare(request)
        if operation.kind is not OperationType.SUBSCRIPTION:
            await self._send_next(number, await self._executor.execute(operation))
            return
        async with aclosing(self._executor.stream(operation)) as answers:
            async for answer in answers:
                await self._send_next(number, answer)

    async def _send_next(self, number: str, answer: Answer) -> None:
        if answer.is_request_error:
            raise NotExecutable(*answer.errors)
        head = b'{"id":' + encode_json(number) + b',"type":"next","payload":'
        await self._websocket.send_text((head + encode(answer) + b"}").decode())

    async def _refuse(self, number: str, error: GraphQLError) -> None:
        await self._send({"id": number, "type": "error", "payload": [error.formatted]})

    async def _send(self, message: dict[str, Any]) -> None:
        await self._websocket.send_text(encode_json(message).decode())


def _id(message: dict[str, Any]) -> str:
    number = message.get("id")
    if not isinstance(number, str) or not 0 < len(number) <= LONGEST_ID or unstorable(number):
        raise Closing(INVALID, f"A message's id is text of 1 to {LONGEST_ID} characters")
    return number


def _check_payload(message: dict[str, Any]) -> None:
    if not isinstance(message.get("payload"), (dict, type(None))):
        raise Closing(INVALID, "The payload must be an object")


_OBJECT, _TEXT = (dict, type(None)), (str, type(None))
_SHAPE: dict[str, Any] = {"query": str, "variables": _OBJECT, "operationName": _TEXT, "extensions": _OBJECT}


def _check_shape(payload: object) -> None:
    if not isinstance(payload, dict) or not all(isinstance(payload.get(name), kind) for name, kind in _SHAPE.items()):
        raise Closing(INVALID, "A subscribe's payload has a query, and perhaps variables, operationName and extensions")
