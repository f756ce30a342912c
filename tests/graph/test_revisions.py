"""What a provider has changed of a symbol's bars, as a client reads it."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.services.storing import store
from persistence.unit_of_work import SqlDatabase
from tests.support.client import GraphClient
from tests.support.clock import EVENING
from tests.support.provider import daily_bar
from tests.support.universe import track

DAY = timedelta(days=1)
REVISIONS = """query($first: Int) { symbol(ticker: "AAPL") { revisions(first: $first) {
  interval openTime field oldValue newValue source observedAt } } }"""


@pytest.fixture
async def revised(database: SqlDatabase, graph: GraphClient) -> GraphClient:
    """Two values of one bar at once, and a day later one of another."""
    symbols = await track(database, "AAPL", "MSFT")
    first, second = (daily_bar("AAPL", EVENING.date() - n * DAY) for n in (3, 2))
    later = replace(second, volume=Decimal("1000.00000001"), source="another")
    changed = replace(first, open=Decimal("99.5"), close=Decimal("100.10"))
    async with database.write() as unit:
        for bars, at in (([first, second], 0), ([changed, second], 0), ([later], 1)):
            await store(unit, symbols[0], bars, (), EVENING + at * DAY)
    return graph


async def read(graph: GraphClient, **variables: Any) -> list[dict[str, Any]]:
    return list((await graph(REVISIONS, **variables))["symbol"]["revisions"])


async def test_they_are_read_newest_first_with_exact_values(revised: GraphClient) -> None:
    volume, close, opened = await read(revised)
    assert volume == {
        "interval": "ONE_DAY",
        "openTime": "2026-03-25T00:00:00+00:00",
        "field": "volume",
        "oldValue": "1000",
        "newValue": "1000.00000001",
        "source": "another",
        "observedAt": "2026-03-28T20:30:00+00:00",
    }
    assert [close["field"], close["oldValue"], close["newValue"]] == ["close", "100", "100.10"]
    assert [opened["field"], opened["observedAt"]] == ["open", "2026-03-27T20:30:00+00:00"]


async def test_so_many_as_are_asked_for(revised: GraphClient) -> None:
    assert [each["field"] for each in await read(revised, first=2)] == ["volume", "close"]
    assert len(await read(revised, first=None)) == 3


async def test_one_statement_reads_them_of_all_symbols(revised: GraphClient, statements: list[str]) -> None:
    query = """{ symbols { nodes { ticker revisions { field } again: revisions(first: 1) { field } } } }"""
    await revised("{ symbols { totalCount } }")
    statements.clear()
    nodes = (await revised(query))["symbols"]["nodes"]
    assert [(len(node["revisions"]), len(node["again"])) for node in nodes] == [(3, 1), (0, 0)]
    assert sum("bar_revisions" in statement for statement in statements) == 2, "one for each number asked for"
