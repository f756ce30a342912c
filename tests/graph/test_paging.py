"""Pages of symbols: every page joined is the whole, however it is cut."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.symbols import Symbol, SymbolStatus
from domain.tickers import AssetClass
from graph.paging import write_cursor
from persistence.unit_of_work import SqlDatabase
from tests.support.client import GraphClient

TICKERS = sorted(
    ["A", "A-B", "A.L", "AA", "AAPL", "B", "BRK", "BRK-A", "BRK-B", "BTC-USD", "EUR/USD", "^GSPC", "0700.HK", "ZM", "ZZ"]
)
"""Byte by byte, as both databases are to order them: `-` before `.` before digits before letters before `^`."""
RETIRED = "ZZ"
QUERY = """
query($filter: SymbolFilter, $first: Int, $after: String) {
  symbols(filter: $filter, first: $first, after: $after) {
    edges { cursor node { ticker } } nodes { ticker } totalCount cursor
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""


@pytest.fixture
async def universe(graph: GraphClient, database: SqlDatabase) -> GraphClient:
    async with database.write() as unit:
        for ticker in reversed(TICKERS):
            status = SymbolStatus.RETIRED if ticker == RETIRED else SymbolStatus.ACTIVE
            await unit.symbols.add(Symbol(ticker, None, AssetClass.STOCK, None, "USD", status))
    return graph


async def page(graph: GraphClient, **arguments: Any) -> dict[str, Any]:
    return dict((await graph(QUERY, **arguments))["symbols"])


def tickers(found: dict[str, Any]) -> list[str]:
    listed = [node["ticker"] for node in found["nodes"]]
    assert [edge["node"]["ticker"] for edge in found["edges"]] == listed
    return listed


@given(st.integers(1, 16), st.none() | st.lists(st.sampled_from(TICKERS)))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])  # nothing is written
async def test_the_pages_joined_are_the_whole(universe: GraphClient, size: int, wanted: list[str] | None) -> None:
    whole = [t for t in TICKERS if t != RETIRED and (wanted is None or t in wanted)]
    joined: list[str] = []
    cursor, has_next = None, True
    while has_next:
        found = await page(universe, filter={"tickers": wanted}, first=size, after=cursor)
        assert found["totalCount"] == len(whole)
        assert found["pageInfo"]["hasPreviousPage"] is (cursor is not None)
        assert len(found["nodes"]) <= size
        joined += tickers(found)
        assert len(joined) <= len(whole)
        cursor, has_next = found["pageInfo"]["endCursor"], found["pageInfo"]["hasNextPage"]
    assert joined == whole


async def test_the_first_100_come_when_nothing_is_said(graph: GraphClient, database: SqlDatabase) -> None:
    async with database.write() as unit:
        for number in range(101):
            await unit.symbols.add(Symbol(f"T{number:03}", None, AssetClass.STOCK, None, "USD"))
    found = await page(graph)
    assert (len(tickers(found)), found["totalCount"], found["pageInfo"]["hasNextPage"]) == (100, 101, True)
    assert await page(graph, filter=None, first=None, after=None) == found
    assert len(tickers(await page(graph, first=1000))) == 101


async def test_an_empty_page_has_no_cursors(graph: GraphClient) -> None:
    found = await page(graph)
    assert (found["nodes"], found["edges"], found["totalCount"]) == ([], [], 0)
    assert found["pageInfo"] == {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None}


async def test_every_edge_can_be_gone_on_from_also_when_its_symbol_has_gone(universe: GraphClient) -> None:
    every = await page(universe)
    assert (every["pageInfo"]["startCursor"], every["pageInfo"]["endCursor"]) == (
        every["edges"][0]["cursor"],
        every["edges"][-1]["cursor"],
    )
    await universe.remove("BRK", 1)
    for place, edge in enumerate(every["edges"]):
        rest = tickers(await page(universe, after=edge["cursor"]))
        assert rest == [t for t in tickers(every)[place + 1 :] if t != "BRK"]


async def test_a_size_out_of_bounds_is_refused(universe: GraphClient) -> None:
    for size, shown in ((0, "0"), (-1, "-1"), (1001, "1,001")):
        code, message = await universe.refused(QUERY, first=size)
        assert (code, message) == ("BAD_USER_INPUT", f"first must be from 1 to 1,000; {shown} was asked for.")


async def test_what_was_never_a_cursor_is_refused(universe: GraphClient) -> None:
    for text in ("", "x", "%%%", "é", *map(write_cursor, ("", "\0", "a?b", "é", "2026-03-27T00:00:00+00:00"))):
        code, message = await universe.refused(QUERY, after=text)
        assert code == "BAD_USER_INPUT", (text, message)
        assert message == f"after must be a cursor of an earlier page; {text!r} was asked for."
