"""Symbols through the schema, on both databases."""

from datetime import timedelta

from tests.support.client import GraphClient
from tests.support.clock import ManualClock


async def test_add_refresh_read(graph: GraphClient, clock: ManualClock) -> None:
    added = await graph.add(" aapl ")
    assert added["__typename"] == "SymbolAdded"
    assert added["symbol"]["version"] == 1
    assert added["symbol"]["isStale"]
    refreshed = await graph.refresh("AAPL")
    assert refreshed["__typename"] == "SymbolRefreshed", refreshed
    assert refreshed["symbol"]["version"] == 2
    assert refreshed["levelsExtracted"] == refreshed["symbol"]["levelCount"] > 0
    clock.advance(timedelta(hours=72))
    found = (
        await graph(
            '{ symbol(ticker: "aapl") { isStale stalenessMessage hoursSinceUpdate levels { price kind } refresh { startedAt } bars(last: 2) { nodes { close } pageInfo { hasPreviousPage } } } }'
        )
    )["symbol"]
    assert found["isStale"]
    assert found["stalenessMessage"] == "Data is 72h old - may be outdated"
