"""A second process on the test's database, as the stores see one."""

from collections.abc import AsyncIterator

import pytest

from persistence.engine import Engine
from persistence.unit_of_work import SqlDatabase


@pytest.fixture
async def elsewhere(database_url: str) -> AsyncIterator[SqlDatabase]:
    """Another process on the same database; it pokes nobody."""
    engine = Engine(database_url)
    yield SqlDatabase(engine, clock_generation=0)
    await engine.close()
