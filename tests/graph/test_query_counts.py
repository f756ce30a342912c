"""Symbols cost no statement, and one more on a page no more of them, whatever is asked of it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from graphql import GraphQLObjectType, get_named_type, is_required_argument

from domain.errors import RefreshInFlight
from domain.factors import Exposure, ExposureQuality, Factor
from domain.levels import LevelKind, PriceLevel
from domain.revisions import Revision
from domain.symbols import Symbol
from domain.tickers import AssetClass
from graph.schema import schema
from persistence import event_feed
from persistence.event_feed import SqlEventFeed
from persistence.unit_of_work import SqlDatabase
from tests.support.client import GraphClient
from tests.support.clock import EVENING
from tests.support.figures import told
from tests.support.provider import StubProvider, daily_bar, profile

MANY = 50
"""As many as a request may ask costly fields of, two of them in two places."""


def every_field(kind: str, *above: str) -> str:
    """A selection of all that a type has, however deep, but for what would lead back to where it came from."""
    fields = []
    definition = schema._schema.get_type(kind)
    assert isinstance(definition, GraphQLObjectType)
    for name, field in definition.fields.items():
        inner = get_named_type(field.type)
        if any(is_required_argument(argument) for argument in field.args.values()) or inner.name in above:
            continue
        below = f" {{ {every_field(inner.name, kind, *above)} }}" if isinstance(inner, GraphQLObjectType) else ""
        fields.append(name + below)
    return " ".join(fields)


QUERY = f"query($first: Int) {{ symbols(first: $first) {{ {every_field('SymbolConnection')} }} }}"


@pytest.fixture
async def universe(graph: GraphClient, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch) -> GraphClient:
    """So many symbols, each with bars, levels and a beta, each being refreshed. They have been read just now, and the test is
    done before they are old."""
    monkeypatch.setattr(event_feed, "FRESH_SECONDS", 3600)
    beta = Exposure(Factor.MARKET, 1.5, 0.5, 90, 90, ExposureQuality.FULL_HISTORY, EVENING.date())
    async with database.write() as unit:
        for ticker in (f"T{number:03}" for number in range(MANY)):
            await unit.symbols.add(Symbol(ticker, None, AssetClass.STOCK, "XNAS", "USD"))
            bar = daily_bar(ticker, EVENING.date() - timedelta(days=1))
            level = PriceLevel(LevelKind.SUPPORT, bar.low, None, 0.5, 2, bar.close_time)
            await unit.bars.upsert([bar])
            await unit.symbols.replace_levels(ticker, [level])
            await unit.exposures.replace(ticker, [beta])
            revision = Revision(ticker, bar.interval, bar.open_time, "close", bar.low, bar.close, bar.source, EVENING)
            await unit.quality.add_revisions([revision])
            await unit.leases.take(RefreshInFlight(ticker, EVENING, "api"), "token")
    await graph("{ symbols { totalCount } }")
    return graph


async def sent_for(graph: GraphClient, statements: list[str], query: str, **variables: Any) -> tuple[dict[str, Any], int]:
    statements.clear()
    found = await graph(query, **variables)
    return found, len(statements)


async def test_a_page_of_any_size_sends_the_same_statements(universe: GraphClient, statements: list[str]) -> None:
    counts = set()
    for size in (1, 5, MANY):
        found, count = await sent_for(universe, statements, QUERY, first=size)
        nodes = found["symbols"]["nodes"]
        assert len(nodes) == size
        assert all(node["levels"] and node["refresh"] and node["bars"]["nodes"] and node["revisions"] for node in nodes)
        assert all([exposure["beta"] for exposure in node["factorExposures"]] == [1.5] for node in nodes)
        counts.add(count)
    assert len(counts) == 1, statements


async def test_differing_arguments_do_not_depend_on_the_number_of_symbols(universe: GraphClient, statements: list[str]) -> None:
    query = """query($first: Int) { symbols(first: $first) { nodes {
        stats { coverage } minutes: stats(interval: ONE_MINUTE) { gapsDetected missingIntervals { cause } }
        some: bars(last: 1) { nodes { close } } more: bars(last: 2) { nodes { close } } again: bars(last: 2) { nodes { open } }
        supports: levels(kind: SUPPORT) { price } resistances: levels(kind: RESISTANCE) { price }
    } } }"""
    counts = {(await sent_for(universe, statements, query, first=size))[1] for size in (1, 5, MANY)}
    assert len(counts) == 1, statements


async def test_what_is_not_asked_for_is_not_read(universe: GraphClient, statements: list[str]) -> None:
    async def count(fields: str) -> int:
        return (await sent_for(universe, statements, f"{{ symbols {{ nodes {{ {fields} }} }} }}"))[1]

    assert await count("ticker isStale levelCount lastPrice freshUntil") == 0
    assert await count("levels { price }") == 1
    assert await count("a: levels { price } b: levels(kind: SUPPORT, first: 1) { price }") == 1
    assert await count("refresh { startedBy }") == 1
    assert await count("backfill { status lastSuccessAt }") == 1
    assert await count("revisions { field } again: revisions { newValue }") == 1
    assert await count("factorExposures { beta }") == 1
    assert (
        0 < await count("bars { nodes { close } }") <= 3
    )  # the session with its gate, the bars, and the splits they are adjusted for
    assert (await sent_for(universe, statements, "{ service { name now } __typename }"))[1] == 0


@pytest.mark.parametrize(
    "query",
    [
        "{ symbols(first: 5, filter: {isStale: true, assetClass: STOCK, status: ACTIVE}) { totalCount nodes { ticker } } }",
        '{ symbols(filter: {tickers: ["T001", "T002"]}) { nodes { ticker hoursSinceUpdate stalenessReason } cursor } }',
        '{ symbol(ticker: "T001") { ticker version freshUntil } missing: symbol(ticker: "NOPE") { name } }',
        '{ node(id: "U3ltYm9sOlQwMDE=") { id ... on Symbol { ticker } } }',
    ],
)
async def test_symbols_cost_no_statement(universe: GraphClient, statements: list[str], query: str) -> None:
    found, count = await sent_for(universe, statements, query)
    assert "T00" in str(found)
    assert count == 0


async def test_nor_while_the_service_runs(universe: GraphClient, feed: SqlEventFeed, statements: list[str]) -> None:
    """Only the log is read, as often as if nobody asked."""
    statements.clear()
    began, asked = asyncio.get_running_loop().time(), 0
    while (seconds := asyncio.get_running_loop().time() - began) < 3 * event_feed.POLL_SECONDS:
        await universe('{ symbols { nodes { ticker } } symbol(ticker: "T001") { name } }')
        asked += 1
    assert all("event" in statement for statement in statements), statements
    looks = sum("FROM events" in statement for statement in statements)
    told(f"{asked} requests in {seconds:.1f} s, and the log was read {looks} times")
    assert looks <= seconds / event_feed.POLL_SECONDS + 1


async def test_a_search_costs_no_statement(universe: GraphClient, provider: StubProvider, statements: list[str]) -> None:
    provider.profiles = {ticker: profile(ticker) for ticker in (f"T{number:03}" for number in range(2 * MANY))}
    for first in (1, 2 * MANY):
        query = 'query($first: Int) { searchSymbols(text: "t", first: $first) { isTracked } }'
        found, count = await sent_for(universe, statements, query, first=first)
        assert (len(found["searchSymbols"]), count) == (first, 0)
        assert [match["isTracked"] for match in found["searchSymbols"]] == [number < MANY for number in range(first)]
