"""A service that has nothing but a trading session, over graphql-transport-ws, in the contract's shapes: whatever is asked for
or answered otherwise is an error."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import Any

from graphql import ExecutionResult, GraphQLError, OperationType, build_schema, execute, get_operation_ast, parse, validate
from graphql import subscribe as subscribe_to
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

contract = build_schema((Path(__file__).parents[1] / "graph" / "contract.graphql").read_text())
COMMANDS = ("startSession", "stopSession", "pauseSession", "resumeSession", "addSessionSymbol", "removeSessionSymbol")
MOST_LOOKS = 300
"""At the session; who is not content then is left alone, so that a test of something that does not end comes to its own end."""


def symbol(ticker: str, phase: str = "PENDING", **changes: Any) -> dict[str, Any]:
    new = {"ticker": ticker, "phase": phase, "lagSeconds": None, "barsProcessed": 0, "barsQueued": 0, "error": None}
    return {**new, "catchupThresholdSeconds": 60, "priority": 0, "addedAt": "2026-03-27T20:30:00Z", **changes}


class SessionStub:
    """`asked` are the commands that came, `followed` the cursors that were followed from. What is `planned` for a look at the
    session, counted from 1, is done before it is answered."""

    def __init__(self, *tickers: str) -> None:
        self.session: dict[str, Any] = {
            "id": "session",
            "mode": "REPLAY",
            "state": "ACTIVE",
            "active": True,
            "reason": None,
            "epoch": 1,
            "version": 7,
            "clock": "2026-03-25T16:00:00Z",
            "speed": 60.0,
            "gating": "SESSION",
            "symbols": [symbol(ticker, "LIVE") for ticker in tickers],
        }
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.followed: list[str | None] = []
        self.planned: dict[int, Callable[[], None]] = {}
        self.refusal: dict[str, Any] | None = None
        self.fault: str | None = None
        """What keeps it from answering what the session is."""
        self.overtaken = 0
        """So often somebody else changes the session as soon as its version has been read."""
        self.forgotten = 0
        """So many of its epochs cannot be followed from any more."""
        self.looks = 0
        self._epochs: list[dict[str, Any]] = [self._activation()]
        self._connections: set[ServerConnection] = set()
        self._is_away = False

    # ── what happens to it

    def move(self, state: str, reason: str | None = None, **changes: Any) -> None:
        """Into another epoch, which is told."""
        active = state == "ACTIVE"
        why = None if active else reason
        self.session |= {"state": state, "active": active, "reason": why, "epoch": self.session["epoch"] + 1, **changes}
        self.tell()

    def tell(self) -> None:
        self._epochs.append(self._activation())

    def drop(self) -> None:
        """Every connection, without a word."""
        for connection in self._connections:
            connection.transport.abort()

    def leave(self) -> None:
        """It answers nobody any more."""
        self._is_away = True
        self.drop()

    def _activation(self) -> dict[str, Any]:
        session = dict(self.session)
        told = {name: session[name] for name in ("active", "epoch", "reason")}
        return {**told, "cursor": f"c{session['epoch']}", "at": session["clock"], "laggingTickers": [], "session": session}

    # ── what it answers

    def _look(self, _: Any) -> dict[str, Any]:
        self.looks += 1
        if self.looks == MOST_LOOKS:
            self.leave()
        if self.fault is not None:
            raise GraphQLError(self.fault)
        if self.looks in self.planned:
            self.planned[self.looks]()
        seen = dict(self.session)
        if self.overtaken:
            self.overtaken -= 1
            self.session["version"] += 1
        return seen

    def _command(self, field: str, _: Any, **arguments: Any) -> dict[str, Any]:
        values = arguments.get("input", arguments)
        self.asked.append((field, values))
        current, expected = self.session["version"], values["expectedVersion"]
        if self.refusal is not None:
            return self.refusal
        if expected != current:
            message = f"The session was changed meanwhile: expected version {expected}, it is {current}."
            return {
                "__typename": "VersionConflict",
                "message": message,
                "code": "VERSION_CONFLICT",
                "currentVersion": current,
            }
        asked_for = values.get("tickers") or [values.get("ticker")]
        rest = [] if field == "startSession" else [each for each in self.session["symbols"] if each["ticker"] not in asked_for]
        if field in ("startSession", "addSessionSymbol"):
            rest += map(symbol, asked_for)
        self.session |= {"version": current + 1, "symbols": rest}
        return {"__typename": "SessionChanged", "session": self.session}

    async def _activations(self, _: Any, after: str | None = None) -> AsyncIterator[dict[str, Any]]:
        self.followed.append(after)
        known = [epoch["cursor"] for epoch in self._epochs]
        if after is None:
            told = len(known) - 1
        elif after in known[self.forgotten :]:
            told = known.index(after) + 1
        else:
            raise GraphQLError("The cursor is older than what is kept.", extensions={"code": "CURSOR_EXPIRED"})
        while True:
            for epoch in self._epochs[told:]:
                yield {"sessionActivation": epoch}
            told = len(self._epochs)
            await asyncio.sleep(0.005)

    # ── how it is spoken to

    async def attend(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        if self._is_away:
            self.drop()
        under_way: list[asyncio.Task[None]] = []
        with suppress(ConnectionClosed):
            async for text in connection:
                message = json.loads(text)
                if message["type"] == "connection_init":
                    await connection.send(json.dumps({"type": "connection_ack"}))
                elif message["type"] == "subscribe":
                    operation = self._operate(connection, message["id"], message["payload"])
                    under_way.append(asyncio.create_task(operation))
        self._connections.discard(connection)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _operate(self, connection: ServerConnection, number: str, asked: dict[str, Any]) -> None:
        async def send(kind: str, **payload: Any) -> None:
            await connection.send(json.dumps({"id": number, "type": kind, **payload}))

        async for result in self._results(asked["query"], asked["variables"]):
            if isinstance(result, ExecutionResult):
                await send("next", payload=result.formatted)
            else:
                await send("error", payload=[error.formatted for error in result])
                return
        await send("complete")

    async def _results(self, query: str, variables: dict[str, Any]) -> AsyncIterator[ExecutionResult | list[GraphQLError]]:
        """Of an operation, or what is wrong with it."""
        document = parse(query)
        if errors := validate(contract, document):
            yield errors
            return
        root: dict[str, Any] = {"session": self._look, "sessionActivation": self._activations}
        root |= {field: partial(self._command, field) for field in COMMANDS}
        operation = get_operation_ast(document)
        assert operation is not None
        if operation.operation is not OperationType.SUBSCRIPTION:
            done = execute(contract, document, root, variable_values=variables)
            assert isinstance(done, ExecutionResult)
            yield done
            return
        stream = subscribe_to(contract, document, root, variable_values=variables)
        stream = await stream if isawaitable(stream) else stream
        if isinstance(stream, ExecutionResult):
            yield stream.errors or []
            return
        try:
            async for result in stream:
                yield result
        except GraphQLError as error:
            yield [error]


@contextmanager
def running(stub: SessionStub, port: int = 0) -> Iterator[str]:
    """The stub on a socket, in a thread of its own; gives its address."""
    ready: Future[tuple[int, Callable[[], object]]] = Future()

    async def work() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with serve(stub.attend, "127.0.0.1", port, subprotocols=[Subprotocol("graphql-transport-ws")]) as server:
            (listener,) = server.sockets
            ready.set_result((listener.getsockname()[1], lambda: loop.call_soon_threadsafe(stopped.set)))
            await stopped.wait()

    thread = threading.Thread(target=asyncio.run, args=(work(),))
    thread.start()
    try:
        number, stop = ready.result(timeout=10)
        yield f"http://127.0.0.1:{number}"
    finally:
        stop()
        thread.join()
