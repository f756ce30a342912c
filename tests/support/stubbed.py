"""What the local servers in place of a provider's have in common: they keep what they were asked, and get into trouble."""

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

PAGE = "<!DOCTYPE html><html><body>Will be right back</body></html>"

Kind = Literal["rate_limited", "error", "html", "body", "slow", "dripping", "cut_off", "unauthorised"]


@dataclass(slots=True)
class Trouble:
    """`times` is how often it will still happen: None for ever."""

    kind: Kind
    path: str = ""
    retry_after: str | None = None
    seconds: float = 30
    times: int | None = None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Asked:
    path: str
    query: str
    at: float


class Stub:
    """An ASGI application in front of that of a provider's pages."""

    def __init__(self, app: Starlette) -> None:
        self.asked: list[Asked] = []
        self.troubles: list[Trouble] = []
        self.open = self.most_open = 0
        self._app = app

    @property
    def counts(self) -> Counter[str]:
        """How often each path was asked for."""
        return Counter(asked.path for asked in self.asked)

    def calm(self) -> None:
        """No trouble, nothing asked."""
        self.troubles.clear()
        self.asked.clear()
        self.most_open = 0

    def unauthorised(self) -> Response:
        """As the provider says it: for each stub to say."""
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_stub/"):
            return await self._app(scope, receive, send)
        query = scope["query_string"].decode()
        self.asked.append(Asked(scope["path"], query, time.monotonic()))
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self._answer(self.trouble_of(scope["path"], Request(scope)), scope, receive, send)
        finally:
            self.open -= 1
        return None

    def trouble_of(self, path: str, request: Request) -> Trouble | None:
        for trouble in self.troubles:
            if path.startswith(trouble.path) and trouble.times != 0:
                if trouble.times is not None:
                    trouble.times -= 1
                return trouble
        return None

    async def _answer(self, trouble: Trouble | None, scope: Scope, receive: Receive, send: Send) -> None:
        match trouble:
            case Trouble("slow"):
                await asyncio.sleep(trouble.seconds)
            case Trouble("dripping"):
                return await _drip(trouble.seconds, send)
            case Trouble("cut_off"):
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100000")]})
                await send({"type": "http.response.body", "body": b'{"chart": {"result": [', "more_body": True})
                raise ConnectionAbortedError("as asked for")
        app: ASGIApp = self._app if trouble is None else self._refusal(trouble) or self._app
        return await app(scope, receive, send)

    def _refusal(self, trouble: Trouble) -> Response | None:
        match trouble.kind:
            case "rate_limited":
                headers = {} if trouble.retry_after is None else {"Retry-After": trouble.retry_after}
                return PlainTextResponse("Edge: Too Many Requests", 429, headers)
            case "error":
                return HTMLResponse(PAGE, 500)
            case "html":
                return HTMLResponse(PAGE)
            case "body":
                return Response(trouble.body, media_type="application/json")
            case "unauthorised":
                return self.unauthorised()
            case _:
                return None


async def _drip(seconds: float, send: Send) -> None:
    """A space each tenth of a second, which a JSON may begin with."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(round(seconds * 10)):
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": b"{}"})


@contextmanager
def running(stub: Any) -> Iterator[str]:
    """The stub on a socket, in a thread of its own; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(stub, lifespan="off", ws="websockets-sansio", log_level=60, timeout_graceful_shutdown=0)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
