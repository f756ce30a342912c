"""Starting to listen, and being told to stop."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator

import pytest

from tests.support.clock import EVENING
from tests.support.served import handlers_kept
from web.container import CannotStart, Container, open_container
from web.serving import listen, serve
from web.settings import Settings


@pytest.fixture
async def container(sqlite_url: str) -> AsyncIterator[Container]:
    settings = Settings.model_construct(database_url=sqlite_url, providers=("sample",), clock=EVENING, port=0)
    async with open_container(settings) as container:
        yield container


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_that_comes_as_soon_as_it_listens_ends_it(container: Container, number: signal.Signals) -> None:
    with handlers_kept():
        async with asyncio.timeout(10):
            await serve(container, lambda _: signal.raise_signal(number))


async def test_a_port_that_is_taken_is_said(container: Container) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = Container(**{**vars(container), "settings": container.settings.model_copy(update={"port": port})})
        with pytest.raises(
            CannotStart,
            match=rf"^127\.0\.0\.1:{port} cannot be listened on \(Address already in use\): set FRESHTAPE_HOST or ",
        ):
            await serve(taken, lambda _: None)


def test_an_answer_is_sent_as_it_is_written() -> None:
    """Without waiting for what was sent before to be confirmed."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
