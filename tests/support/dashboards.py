"""What the browser's tests stand on: a market that is filled once, services on copies of it, and a provider that waits for the
test. All of it is called without an event loop: the browser's own runs in the test's thread."""

import asyncio
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal, Self

import httpx

from domain.errors import Trouble
from tests.support.inquiries import Clerk, Inquiries, Inquiry
from tests.support.process import ROOT, START_SECONDS, template
from web.demo import DEMO_CLOCK, demo_settings, fill
from web.settings import Settings

END_SECONDS = 15
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
Look = Callable[[str], None]
"""Keeps what the page shows as a picture of that name, where somebody wants to look at it."""


def fill_market(path: Path) -> None:
    """The demo's market in a new SQLite database: on the evening of 2026-03-27 four of its symbols are stale."""
    with demo_settings(Settings()) as settings:
        at = settings.model_copy(update={"database_url": f"sqlite+aiosqlite:///{path}"})
        in_a_thread = threading.Thread(target=lambda: asyncio.run(fill(at, lambda _: None)))
        in_a_thread.start()
        in_a_thread.join()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Service:
    """One process that serves a database, forked: `python -m web.cli serve` without the time it takes to start."""

    _numbers = count()

    def __init__(self, folder: Path, environment: dict[str, str], mutants: tuple[str, ...], *arguments: str) -> None:
        errors = folder / f"stderr-{next(self._numbers)}"
        wanted = {
            "arguments": ["serve", *arguments],
            "environment": environment,
            "mutants": mutants,
            "folder": str(folder),
            "errors": str(errors),
            "ended": str(errors.with_suffix(".ended")),
        }
        self._connection = socket.create_connection(("127.0.0.1", template()), timeout=START_SECONDS)
        self._lines = self._connection.makefile("r")
        self._connection.sendall(json.dumps(wanted).encode() + b"\n")
        self._ended = errors.with_suffix(".ended")
        self.pid = int(self._lines.readline())
        _, found, address = self._lines.readline().strip().partition("Freshtape is at ")
        assert found, f"the service did not start: {errors.read_text()}"
        self.url = address.removesuffix("/graphql")
        self._http = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        while self._http.get("/readyz").status_code != httpx.codes.OK:
            time.sleep(0.05)

    def ask(self, query: str, **variables: Any) -> Any:
        """The data; errors fail the test."""
        answer = self._http.post("/graphql", json={"query": query, "variables": variables}).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._ended.exists():
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
        self._connection.settimeout(END_SECONDS)
        self._lines.read()
        self._lines.close()
        self._connection.close()
        self._http.close()


@contextmanager
def served(database: Path, *arguments: str, mutants: tuple[str, ...] = (), **environment: str) -> Iterator[Service]:
    """On the evening of the sample market, with its workers, until the block ends."""
    everything = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "FRESHTAPE_DATABASE_URL": f"sqlite:///{database}",
        "FRESHTAPE_PORT": "0",
        "FRESHTAPE_PROVIDERS": "sample",
        "FRESHTAPE_CLOCK": DEMO_CLOCK.isoformat(),
        "BACKFILL_CRON": "",
        **environment,
    }
    service = Service(database.parent, everything, mutants, *arguments)
    try:
        yield service
    finally:
        service.end()


def copy_of(market: Path, folder: Path) -> Path:
    return Path(shutil.copy(market, folder / "freshtape.db"))


class Keeper:
    """A context around a provider that answers at once, but for these tickers, whose inquiries wait for the test; what it is
    told by is `environment`."""

    def __init__(self, *kept: str) -> None:
        self._kept = kept
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        self._inquiries = self._run(Inquiries().__aenter__())
        self._clerk = Clerk(self._inquiries, *self._kept)
        self._run(self._clerk.__aenter__())
        self.environment = {"FRESHTAPE_TEST_INQUIRIES": self._inquiries.address}
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._clerk.__aexit__())
        self._run(self._inquiries.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def kept(self) -> Inquiry:
        """The next one that waits."""
        inquiry: Inquiry = self._run(self._clerk.kept())
        return inquiry

    def answer(self, inquiry: Inquiry) -> None:
        self._loop.call_soon_threadsafe(inquiry.answer)

    def refuse(self, inquiry: Inquiry, trouble: Trouble = Trouble.DOWN) -> None:
        self._loop.call_soon_threadsafe(inquiry.refuse, trouble)

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)
