"""Portfolios over GraphQL: every answer of the unions, what is read of them, and how many statements that takes."""

from datetime import timedelta
from typing import Any

import pytest

from domain.portfolio_csv import MAX_BYTES
from domain.symbols import SymbolStatus
from graph.types.node import global_id
from persistence.unit_of_work import SqlDatabase
from tests.graph.test_query_counts import every_field
from tests.support.client import GraphClient
from tests.support.clock import EVENING, ManualClock
from tests.support.portfolios import YESTERDAY, file_of, priced

PORTFOLIO = every_field("Portfolio")
ERROR = "line column value code message hint"
IMPORT = f"""mutation($input: ImportPortfolioInput!) {{ importPortfolio(input: $input) {{
    __typename ... on Problem {{ message code }}
    ... on PortfolioImported {{
        portfolio {{ {PORTFOLIO} }} pendingTickers jobs {{ ticker status position }} rejected {{ {ERROR} }}
    }}
    ... on PortfolioChecked {{
        rows {{ line ticker quantity entryPrice entryDate exitDate }} errors {{ {ERROR} }} knownTickers unknownTickers
    }}
    ... on InvalidPortfolio {{ errors {{ {ERROR} }} }}
    ... on VersionConflict {{ expectedVersion currentVersion }}
    ... on QueueFull {{ depth }}
}} }}"""
REMOVE = """mutation($id: ID!, $version: Int!) { removePortfolio(id: $id, expectedVersion: $version) {
    __typename ... on Problem { message code } ... on PortfolioRemoved { portfolioId name }
    ... on PortfolioNotFound { portfolioId } ... on VersionConflict { expectedVersion currentVersion }
} }"""
READ = f"query($first: Int) {{ portfolios(first: $first) {{ {PORTFOLIO} }} }}"


async def imported(graph: GraphClient, csv: str, name: str = "Main", **values: Any) -> Any:
    return (await graph(IMPORT, input={"name": name, "csv": csv, **values}))["importPortfolio"]


async def read(graph: GraphClient, first: int | None = None) -> Any:
    return (await graph(READ, first=first))["portfolios"]


# ── import


async def test_an_import_answers_what_is_then_read(graph: GraphClient, database: SqlDatabase) -> None:
    await priced(database, "AAPL", "123.45")
    done = await imported(graph, file_of("AAPL,-2,100.10,2025-01-02", "ZZZZ,1,1", "AAPL,1,1,2025-01-02,2025-03-04"))
    assert done["__typename"] == "PortfolioImported"
    assert (done["pendingTickers"], done["rejected"]) == (["ZZZZ"], [])
    assert done["jobs"] == [{"ticker": "ZZZZ", "status": "PENDING", "position": 1}]
    portfolio = done["portfolio"]
    assert (portfolio["name"], portfolio["status"], portfolio["version"]) == ("Main", "PENDING", 1)
    assert portfolio["pendingTickers"] == ["ZZZZ"]
    assert portfolio["createdAt"] == EVENING.isoformat()
    assert portfolio["positions"][0] == {
        "ticker": "AAPL",
        "quantity": "-2",
        "entryPrice": "100.1",
        "entryDate": "2025-01-02",
        "exitDate": None,
        "lastPrice": "123.45",
        "lastPriceDate": YESTERDAY.isoformat(),
        "marketValue": "-246.9",
        "costBasis": "-200.2",
        "pnl": "-46.7",
        "currency": "USD",
        "note": None,
    }
    assert (portfolio["positions"][1]["currency"], portfolio["positions"][1]["marketValue"]) == (None, None)
    assert (portfolio["positions"][2]["exitDate"], portfolio["positions"][2]["marketValue"]) == ("2025-03-04", None)
    assert portfolio["snapshot"] == {
        "date": YESTERDAY.isoformat(),
        "currency": "USD",
        "isStale": False,
        "oldestPriceDate": YESTERDAY.isoformat(),
        "totalValue": "-246.9",
        "totalCost": "-200.2",
        "totalPnl": "-46.7",
        "pnlPercent": "23.3266733267",
        "positionCount": 1,
        "isComplete": False,
    }
    assert await read(graph) == [portfolio]
    by_id = await graph(
        f"query($id: ID!) {{ portfolio(id: $id) {{ {PORTFOLIO} }} node(id: $id) {{ __typename id }} }}", id=portfolio["id"]
    )
    assert by_id == {"portfolio": portfolio, "node": {"__typename": "Portfolio", "id": portfolio["id"]}}


async def test_a_check_answers_the_check_whatever_there_is(graph: GraphClient, database: SqlDatabase) -> None:
    await priced(database, "AAPL")
    await imported(graph, file_of("AAPL,1,1"))
    before = await read(graph)
    csv = file_of("AAPL,2,2,2025-01-02,2025-01-03", "ZZZZ,nothing,1", "MSFT,1,1")
    for values in ({}, {"acceptValidRows": True}, {"expectedVersion": 9}, {"requestedBy": "me"}):
        found = await imported(graph, csv, dryRun=True, **values)
        assert found["__typename"] == "PortfolioChecked"
        assert found["rows"] == [
            {
                "line": 2,
                "ticker": "AAPL",
                "quantity": "2",
                "entryPrice": "2",
                "entryDate": "2025-01-02",
                "exitDate": "2025-01-03",
            },
            {"line": 4, "ticker": "MSFT", "quantity": "1", "entryPrice": "1", "entryDate": None, "exitDate": None},
        ]
        assert [(error["line"], error["column"], error["value"]) for error in found["errors"]] == [(3, "quantity", "nothing")]
        assert (found["knownTickers"], found["unknownTickers"]) == (["AAPL"], ["MSFT"])
    assert (await imported(graph, "", dryRun=True))["rows"] == []
    assert await read(graph) == before


async def test_refusals(graph: GraphClient) -> None:
    wrong = file_of("AAPL,1,1", "MSFT,nothing,1")
    refused = await imported(graph, wrong)
    assert (refused["__typename"], refused["code"]) == ("InvalidPortfolio", "INVALID_PORTFOLIO")
    assert [(error["line"], error["column"]) for error in refused["errors"]] == [(3, "quantity")]
    accepted = await imported(graph, wrong, acceptValidRows=True)
    assert (len(accepted["rejected"]), len(accepted["portfolio"]["positions"])) == (1, 1)
    conflict = await imported(graph, file_of("SPY,1,1"))
    assert (conflict["__typename"], conflict["expectedVersion"], conflict["currentVersion"]) == ("VersionConflict", None, 1)
    assert conflict["message"].startswith("The portfolio 'Main' is there with other lots")
    conflict = await imported(graph, file_of("SPY,1,1"), expectedVersion=3)
    assert (conflict["expectedVersion"], conflict["currentVersion"]) == (3, 1)
    replaced = await imported(graph, file_of("SPY,1,1"), expectedVersion=1)
    assert (replaced["portfolio"]["version"], replaced["portfolio"]["id"]) == (2, accepted["portfolio"]["id"])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": " "}, "name must be 1 to 200 characters long; one of 0 characters was asked for."),
        ({"name": "x" * 201}, "name must be 1 to 200 characters long; one of 201 characters was asked for."),
        ({"name": " ", "dryRun": True}, "name must be 1 to 200 characters long; one of 0 characters was asked for."),
        ({"requestedBy": "x" * 201}, "requestedBy must be at most 200 characters; 201 characters was asked for."),
    ],
)
async def test_what_is_no_name(graph: GraphClient, values: dict[str, Any], sentence: str) -> None:
    given = {"name": "Main", "csv": file_of("AAPL,1,1"), **values}
    assert await graph.refused(IMPORT, input=given) == ("BAD_USER_INPUT", sentence)


async def test_an_import_never_finds_the_queue_full(graph: GraphClient) -> None:
    done = await imported(graph, file_of(*(f"T{number},1,1" for number in range(120))))
    assert (len(done["jobs"]), len(done["pendingTickers"])) == (50, 120)


# ── remove


async def test_remove(graph: GraphClient) -> None:
    portfolio = (await imported(graph, file_of("AAPL,1,1")))["portfolio"]
    conflict = (await graph(REMOVE, id=portfolio["id"], version=2))["removePortfolio"]
    assert (conflict["__typename"], conflict["expectedVersion"], conflict["currentVersion"]) == ("VersionConflict", 2, 1)
    removed = (await graph(REMOVE, id=portfolio["id"], version=1))["removePortfolio"]
    assert removed == {"__typename": "PortfolioRemoved", "portfolioId": portfolio["id"], "name": "Main"}
    for gone in (portfolio["id"], global_id("Symbol", "AAPL"), "x", "ﷺ"):
        answer = (await graph(REMOVE, id=gone, version=1))["removePortfolio"]
        assert (answer["__typename"], answer["code"], answer["portfolioId"]) == (
            "PortfolioNotFound",
            "PORTFOLIO_NOT_FOUND",
            gone,
        )
        found = await graph("query($id: ID!) { portfolio(id: $id) { id } }", id=gone)
        assert found == {"portfolio": None}
    assert await read(graph) == []


# ── reading


async def test_stale_is_judged_when_it_is_read(graph: GraphClient, database: SqlDatabase, clock: ManualClock) -> None:
    async def is_stale() -> dict[str, bool]:
        return {each["name"]: each["snapshot"]["isStale"] for each in await read(graph)}

    await priced(database, "AAPL")
    await priced(database, "MSFT", last_updated=EVENING + timedelta(hours=1))
    await priced(database, "EUR", currency="EUR", last_updated=EVENING - timedelta(days=9))
    await priced(database, "EMPTY", day=YESTERDAY - timedelta(days=9))
    await priced(database, "GONE", status=SymbolStatus.RETIRED)
    for name, rows in {
        "both": ("AAPL,1,1", "MSFT,1,1"),
        "closed": ("AAPL,1,1", "GONE,1,1,2025-01-02,2025-01-03"),
        "empty": ("AAPL,1,1", "EMPTY,1,1"),
        "gone": ("AAPL,1,1", "GONE,1,1"),
        "newer": ("MSFT,1,1",),
        "not counted": ("AAPL,1,1", "EUR,1,1"),
    }.items():
        await imported(graph, file_of(*rows), name)
    fresh = {"both": False, "closed": False, "empty": True, "gone": True, "newer": False, "not counted": False}
    assert await is_stale() == fresh
    clock.advance(timedelta(hours=48))
    assert await is_stale() == fresh
    clock.advance(timedelta(microseconds=1))
    assert await is_stale() == dict.fromkeys(fresh, True) | {"newer": False}


async def test_more_portfolios_cost_no_more_statements(
    graph: GraphClient, database: SqlDatabase, statements: list[str]
) -> None:
    for number in range(3):
        await priced(database, f"P{number}")
    for number in range(25):
        await imported(graph, file_of(*(f"P{place % 3},1,1" for place in range(number + 1)), f"Z{number},1,1"), f"N{number:02}")
    counts = set()
    for first in (1, 5, 25):
        statements.clear()
        found = await read(graph, first)
        assert [len(each["positions"]) for each in found] == [number + 2 for number in range(first)]
        assert all(each["snapshot"]["isStale"] is False and each["pendingTickers"] for each in found)
        counts.add(len(statements))
    assert counts == {5}, statements
    statements.clear()
    await graph("{ portfolios { name version snapshot { totalValue } } }")
    assert len(statements) == 1


async def test_long_lists_weigh_what_they_may(graph: GraphClient) -> None:
    query = "query($first: Int) { portfolios(first: $first) { positions { ticker } } }"
    assert (await graph(query, first=100)) == {"portfolios": []}
    code, sentence = await graph.refused(query, first=101)
    assert (code, sentence) == (
        "LIMIT_EXCEEDED",
        "nodes may be at most 50,000; 50,500 was asked for by portfolios.positions.",
    )


async def test_a_file_beyond_the_limit_is_a_mistake_of_the_file(graph: GraphClient) -> None:
    answer = await imported(graph, "#" * (MAX_BYTES + 1))
    assert [error["code"] for error in answer["errors"]] == ["FILE_TOO_LARGE"]
