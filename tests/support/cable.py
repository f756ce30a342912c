"""A cable between a client and the service that can be cut: what was sent is lost, and both ends find a broken connection."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Cable:
    """Carries TCP connections to the service."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._is_cut = False
        self._ends: set[StreamWriter] = set()
        self.url = ""
        self.cut_off = 0
        """Connections that were open when they were cut."""

    def cut(self) -> None:
        """Breaks every connection, and every one that is attempted, until it is mended."""
        self._is_cut = True
        self.cut_off += len(self._ends) // 2
        for end in self._ends:
            end.transport.abort()

    def mend(self) -> None:
        self._is_cut = False

    async def carry(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        ends = {writer, far_writer}
        self._ends |= ends
        try:
            await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
        finally:
            self._ends -= ends
            for end in ends:
                end.close()


async def _pass_on(reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(ConnectionError):
        while received := await reader.read(2**16):
            writer.write(received)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def cable(url: str) -> AsyncIterator[Cable]:
    carrying = Cable(url)
    server = await asyncio.start_server(carrying.carry, "127.0.0.1", 0)
    carrying.url = "http://{}:{}".format(*server.sockets[0].getsockname())
    try:
        yield carrying
    finally:
        server.close()
        carrying.cut()
