"""A provider of which the test decides, inquiry by inquiry and over processes, when it answers and what it then knows."""

import asyncio
import os
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Self

from domain.bars import History, Interval
from domain.clock import Clock
from domain.errors import ProviderUnavailable, Trouble
from domain.symbols import Symbol
from providers.sample import SampleProvider


class InquiringProvider(SampleProvider):
    """Runs in the service: the sample market, whose history is told when the test at `address` says so."""

    def __init__(self, folder: Path, clock: Clock, address: str) -> None:
        super().__init__(folder, clock)
        self._host, _, self._port = address.rpartition(":")

    async def history(self, symbol: Symbol, interval: Interval, start: date, until: datetime) -> History:
        left_out = await self._inquire(symbol.ticker)
        return await super().history(symbol, interval, start, until - timedelta(days=left_out))

    async def _inquire(self, ticker: str) -> int:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(f"{os.getpid()} {ticker}\n".encode())
            answer = await reader.readline()
        finally:
            writer.close()
        word, _, seconds = answer.decode().strip().partition(" ")
        if word in Trouble.__members__:
            raise ProviderUnavailable(self.name, Trouble[word], "refused the test", int(seconds) if seconds else None)
        if not word:
            raise ProviderUnavailable(self.name)
        return int(word)


class Inquiry:
    """A refresh that waits for its history; `at` is when it came in, by the event loop's clock."""

    def __init__(self, pid: int, ticker: str, writer: asyncio.StreamWriter) -> None:
        self.at = asyncio.get_running_loop().time()
        self.pid = pid
        self.ticker = ticker
        self._writer = writer

    def answer(self, days_left_out: int = 0) -> None:
        """Lets it have the history up to so many days ago."""
        self._writer.write(f"{days_left_out}\n".encode())

    def refuse(self, trouble: Trouble, retry_after_seconds: int | None = None) -> None:
        self._writer.write(f"{trouble.name} {retry_after_seconds or ''}\n".encode())


class Inquiries:
    """The test's end: an async context in which inquiries come in."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Inquiry] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        pid, ticker = (await reader.readline()).decode().split()
        self._waiting.put_nowait(Inquiry(int(pid), ticker, writer))

    async def next(self, within: float = 10) -> Inquiry:
        async with asyncio.timeout(within):
            return await self._waiting.get()

    @property
    def waiting(self) -> int:
        """How many have come in and were not taken by `next`."""
        return self._waiting.qsize()


class Clerk:
    """An async context that answers every inquiry as it comes in, but those about the tickers `kept`: they are the test's."""

    def __init__(self, inquiries: Inquiries, *kept: str) -> None:
        self._inquiries = inquiries
        self._kept = set(kept)
        self._for_the_test: asyncio.Queue[Inquiry] = asyncio.Queue()
        self.seen: list[Inquiry] = []

    async def __aenter__(self) -> Self:
        self._working = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._working.cancel()
        await asyncio.gather(self._working, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            inquiry = await self._inquiries.next(within=3600)
            self.seen.append(inquiry)
            if inquiry.ticker in self._kept:
                self._for_the_test.put_nowait(inquiry)
            else:
                inquiry.answer()

    async def kept(self, within: float = 15) -> Inquiry:
        async with asyncio.timeout(within):
            return await self._for_the_test.get()
