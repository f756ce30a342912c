"""Serving: a socket, a server, and an orderly end."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import uvicorn
from starlette.types import ASGIApp

from domain.errors import ClockReplaced
from graph.execution import Executor
from web.app import create_app
from web.container import CannotStart, Container, running_loops
from web.protocols import PING_SECONDS, PatientHttp, PatientSocket
from web.settings import Settings
from web.workers import Loop

T = TypeVar("T")

SEND_BUFFER_BYTES = 64 * 1024
"""What the kernel may hold for a client; Linux makes it twice as much. By itself it takes megabytes for one that does not read,
and what is sent says little about what is read."""
SHUTDOWN_SECONDS = 5
"""How long answers under way may take when the service ends."""
MUTATION_SECONDS = 1.5
"""How much longer a mutation may take whose caller is not there any more, and then to undo what it has begun."""


MOST_DIGITS = 640
"""Of a whole number in a request. Reading one takes time that grows with the square of them."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs to the end on the fastest event loop there is."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def keep_what_is_loaded() -> None:
    """Of a process that is about to serve for long: the garbage collector need not look at it again, for a tenth of a second
    each time in which nobody is served."""
    gc.collect()
    gc.freeze()


async def serve(
    container: Container,
    announce: Callable[[str], None],
    *,
    works: bool = True,
    beside: Mapping[str, Loop] = MappingProxyType({}),
) -> None:
    """Serves until a signal comes, and runs the loops of running_loops, all if it `works`. `announce` is told the address once
    connections are taken. Raises CannotStart, and ClockReplaced when another process has changed the database's clock."""
    sys.set_int_max_str_digits(MOST_DIGITS)
    listener = listen(container.settings.host, container.settings.port)
    executor = Executor(container.services, container.settings.limits, container.metrics.operation)
    container.metrics.subscriptions.set_function(lambda: executor.subscriptions)
    server = _Server(_config(create_app(container, executor), container.settings), executor)
    is_replaced = asyncio.Event()

    def stop() -> None:
        is_replaced.set()
        server.should_exit = True

    _end_quietly_on_signals(server)
    async with running_loops(container, on_clock_replaced=stop, works=works, beside=beside):
        announce(_address(container.settings.host, listener.getsockname()[1]))
        await server.serve(sockets=[listener])
    if is_replaced.is_set():
        raise ClockReplaced


async def work(container: Container, announce: Callable[[], None]) -> None:
    """Works the onboarding queue until a signal comes. Raises CannotStart, and ClockReplaced as serve does."""
    if container.engine.kind != "postgresql":
        raise CannotStart(
            "Workers of their own need PostgreSQL, which they share with the services (FRESHTAPE_DATABASE_URL); on SQLite "
            "`freshtape serve` works the queue itself."
        )
    ended, is_replaced = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)

    def stop() -> None:
        is_replaced.set()
        ended.set()

    async with running_loops(container, on_clock_replaced=stop):
        announce()
        await ended.wait()
    if is_replaced.is_set():
        raise ClockReplaced


def _config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=PatientHttp,
        ws=PatientSocket,
        ws_max_size=settings.max_frame_bytes,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


class _Server(uvicorn.Server):
    """uvicorn waits for every answer under way: those without an end are told to end first."""

    def __init__(self, config: uvicorn.Config, executor: Executor) -> None:
        super().__init__(config)
        self._executor = executor

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._executor.closing.set()
        await super().shutdown(sockets)
        await self._executor.close(MUTATION_SECONDS)


def _end_quietly_on_signals(server: uvicorn.Server) -> None:
    """For signals that come before uvicorn listens to them, and for the one that stopped it, which it raises once more when it
    is done: with the default handlers the process would be gone before the database is closed."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))


def listen(host: str, port: int) -> socket.socket:
    """Raises CannotStart."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise CannotStart(
            f"{host}:{port} cannot be listened on ({why}): set FRESHTAPE_HOST or FRESHTAPE_PORT to another; port 0 takes any "
            "that is free."
        ) from error
    # The sockets it accepts inherit both. asyncio leaves out the second where a listener was not made by itself, and then the
    # body of every answer waits for the client to confirm its head: 40 ms.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
