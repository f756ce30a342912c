"""Serving: a socket, a server, and an orderly end."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvicorn

from domain.errors import ClockReplaced
from web.app import create_app
from web.container import CannotStart, Container, running_loops

T = TypeVar("T")

SHUTDOWN_SECONDS = 5


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs to the end on the fastest event loop there is."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


async def serve(container: Container, announce: Callable[[str], None]) -> None:
    """Serves until a signal comes. `announce` is told the address once connections are taken. Raises CannotStart, and
    ClockReplaced when another process has changed the database's clock."""
    listener = _listen(container.settings.host, container.settings.port)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(container),
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )
    is_replaced = asyncio.Event()

    def stop() -> None:
        is_replaced.set()
        server.should_exit = True

    _end_quietly_on_signals(server)
    async with running_loops(container, on_clock_replaced=stop):
        announce(_address(container.settings.host, listener.getsockname()[1]))
        await server.serve(sockets=[listener])
    if is_replaced.is_set():
        raise ClockReplaced


def _end_quietly_on_signals(server: uvicorn.Server) -> None:
    """For signals that come before uvicorn listens to them, and for the one that stopped it, which it raises once more when it
    is done: with the default handlers the process would be gone before the database is closed."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise CannotStart(
            f"{host}:{port} cannot be listened on ({why}): set FRESHTAPE_HOST or FRESHTAPE_PORT to another; port 0 takes any "
            "that is free."
        ) from error


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
