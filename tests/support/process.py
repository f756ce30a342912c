"""The service as processes of their own: started for real, asked over HTTP, ended by real signals, always reaped."""

import asyncio
import atexit
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Protocol, Self

import httpx

from tests.support.client import mutation
from tests.support.inquiries import Inquiries
from tests.support.universe import track_in

ROOT = Path(__file__).parents[2]
START_SECONDS = 45
END_SECONDS = 15
POLL_SECONDS = 0.05


async def until(holds: Callable[[], Awaitable[bool]], within: float) -> None:
    """Returns as soon as the condition holds; raises TimeoutError when it has not after so many seconds."""
    async with asyncio.timeout(within):
        while not await holds():  # noqa: ASYNC110 - what is awaited happens in another process
            await asyncio.sleep(POLL_SECONDS)


# ── processes, plain and forked


class Process(Protocol):
    """What there is of asyncio's processes in both kinds."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    @property
    def stdout(self) -> asyncio.StreamReader | None: ...

    def send_signal(self, number: int) -> None: ...

    async def wait(self) -> int: ...


class ForkedProcess:
    """Forked from the template: see runner.py."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader, writer: asyncio.StreamWriter, ended: Path) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._writer = writer
        self._ended = ended

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def wait(self) -> int:
        if self.returncode is None:
            await self.stdout.read()
            self.returncode = int(self._ended.read_text())
            self._writer.close()
        return self.returncode


@cache
def template() -> int:
    """The port of the template, which lives as long as this process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.runner"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    atexit.register(process.communicate)
    assert process.stdout is not None
    return int(process.stdout.readline())


async def forked(environment: dict[str, str], mutants: tuple[str, ...], errors: Path, *arguments: str) -> ForkedProcess:
    reader, writer = await asyncio.open_connection("127.0.0.1", await asyncio.to_thread(template))
    ended = errors.with_suffix(".ended")
    wanted = {
        "arguments": arguments,
        "environment": environment,
        "mutants": mutants,
        "folder": str(errors.parent),
        "errors": str(errors),
        "ended": str(ended),
    }
    writer.write(json.dumps(wanted).encode() + b"\n")
    return ForkedProcess(int(await reader.readline()), reader, writer, ended)


async def plain(environment: dict[str, str], errors: Path, *arguments: str) -> Process:
    with errors.open("wb") as stderr:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "web.cli",
            *arguments,
            cwd=errors.parent,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )


# ── the service


class Service:
    """One process that serves the database at `database_url`, ready to be asked."""

    def __init__(self, process: Process, url: str, database_url: str, client: httpx.AsyncClient, errors: Path) -> None:
        self.process = process
        self.url = url
        self._database_url = database_url
        self._client = client
        self._errors = errors

    async def ask(self, query: str, **variables: Any) -> Any:
        """The whole answer, errors and all."""
        answer = await self._client.post(f"{self.url}/graphql", json={"query": query, "variables": variables})
        return answer.json()

    async def add(self, ticker: str) -> None:
        """Tracked and ready, never refreshed: past the service, so that no onboarding is queued."""
        await track_in(self._database_url, ticker)

    async def remove(self, ticker: str, version: int) -> dict[str, Any]:
        return await self._mutate("removeSymbol", ticker=ticker, expectedVersion=version)

    async def refresh(self, ticker: str) -> dict[str, Any]:
        return await self._mutate("refreshSymbol", ticker=ticker)

    async def _mutate(self, field: str, **values: Any) -> dict[str, Any]:
        """The member of the mutation's union that it answers with; anything else fails the test."""
        body = await self.ask(mutation(field), input=values)
        assert "errors" not in body, f"answered with errors: {body}"
        answer: dict[str, Any] = body["data"][field]
        return answer

    @property
    def said(self) -> str:
        """On stderr, so far."""
        return self._errors.read_text()

    async def is_ready(self) -> bool:
        return (await self._client.get(f"{self.url}/readyz")).status_code == httpx.codes.OK

    async def gauge(self, name: str) -> float:
        """One number of /metrics."""
        page = (await self._client.get(f"{self.url}/metrics")).text
        (value,) = re.findall(rf"^{name} (\S+)$", page, re.MULTILINE)
        return float(value)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def kill(self) -> None:
        self.send(signal.SIGKILL)
        await self.process.wait()

    async def ended(self, within: float = END_SECONDS) -> tuple[int, str]:
        """The exit code and what was said on stderr, once it has ended by itself."""
        async with asyncio.timeout(within):
            code = await self.process.wait()
        return code, self.said


class Processes:
    """An async context around the processes of one database: none outlives it. What they said on stderr is noted on the
    exception that leaves it.

    `from_scratch` they are `python -m web.cli …`, which takes seconds to start; otherwise they are forked."""

    def __init__(
        self, database_url: str, inquiries: Inquiries | None = None, *, from_scratch: bool = False, **environment: str
    ) -> None:
        self._from_scratch = from_scratch
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "FRESHTAPE_DATABASE_URL": database_url,
            "FRESHTAPE_PORT": "0",
            "FRESHTAPE_PROVIDERS": "sample",
            **environment,
        }
        if inquiries is not None:
            self._environment["FRESHTAPE_TEST_INQUIRIES"] = inquiries.address
        # A folder of their own: a developer's .env is none of their settings.
        self._folder = TemporaryDirectory(prefix="freshtape-processes-")
        self._started: list[tuple[Process, Path]] = []
        self._number = count()
        self._client = httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None), trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        for process, _errors in self._started:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
        for process, errors in self._started:
            await process.wait()
            if error is not None:
                error.add_note(f"stderr of process {process.pid}, exit code {process.returncode}:\n{errors.read_text()}")
        await self._client.aclose()
        self._folder.cleanup()

    async def start(self, number: int, *mutants: str, works: bool = False, **environment: str) -> list[Service]:
        """So many processes, started together."""
        async with asyncio.TaskGroup() as group:
            starting = [group.create_task(self.start_one(*mutants, works=works, **environment)) for _ in range(number)]
        return [task.result() for task in starting]

    async def start_one(self, *mutants: str, works: bool = False, **environment: str) -> Service:
        """With a worker of the onboarding queue in it, if it `works`."""
        process, errors = await self._run(mutants, environment, "serve", *([] if works else ["--no-workers"]))
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = (await process.stdout.readline()).decode()
            _, found, address = line.strip().partition("Freshtape is at ")
            assert found, f"the service did not start: {line!r} {errors.read_text()}"
            database_url = (self._environment | environment)["FRESHTAPE_DATABASE_URL"]
            service = Service(process, address.removesuffix("/graphql"), database_url, self._client, errors)
            await until(service.is_ready, START_SECONDS)
        return service

    async def start_worker(self, *mutants: str, **environment: str) -> Process:
        """`freshtape worker`, at work."""
        process, errors = await self._run(mutants, environment, "worker")
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("Working: "), f"the worker did not start: {line!r} {errors.read_text()}"
        return process

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Runs a command to its end: the exit code and the output."""
        process, _ = await self._run((), {}, *arguments)
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            output = await process.stdout.read()
            return await process.wait(), output.decode()

    async def _run(self, mutants: tuple[str, ...], environment: dict[str, str], *arguments: str) -> tuple[Process, Path]:
        environment = self._environment | environment
        errors = Path(self._folder.name) / f"stderr-{next(self._number)}"
        process: Process
        if self._from_scratch:
            assert not mutants
            process = await plain(environment, errors, *arguments)
        else:
            process = await forked(environment, mutants, errors, *arguments)
        self._started.append((process, errors))
        return process, errors
