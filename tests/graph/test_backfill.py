"""Backfills through the schema, on both databases."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from domain.backfill import Backfill, Wanted
from domain.bars import Interval
from domain.symbols import Symbol
from persistence.event_feed import SqlEventFeed
from persistence.unit_of_work import SqlDatabase
from tests.support.backfills import backfills_of, succeed
from tests.support.client import GraphClient
from tests.support.clock import EVENING
from tests.support.provider import profile
from tests.support.universe import track

STATE = "status error lastAttemptAt lastSuccessAt recordsInserted"
BACKFILL = f"""mutation($input: BackfillSymbolInput!) {{ backfillSymbol(input: $input) {{
    __typename
    ... on BackfillStarted {{ symbol {{ ticker version backfill {{ {STATE} }} }} }}
    ... on Problem {{ message code }}
    ... on SymbolNotFound {{ ticker }}
    ... on AlreadyBackfilling {{ ticker }}
}} }}"""
NEVER = {"status": "PENDING", "error": None, "lastAttemptAt": None, "lastSuccessAt": None, "recordsInserted": None}


async def backfill(graph: GraphClient, **values: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await graph(BACKFILL, input={"ticker": "AAPL"} | values))["backfillSymbol"]
    return answer


async def state(graph: GraphClient, ticker: str = "AAPL") -> dict[str, Any]:
    query = f"query($t: String!) {{ symbol(ticker: $t) {{ backfill {{ {STATE} }} }} }}"
    found: dict[str, Any] = (await graph(query, t=ticker))["symbol"]["backfill"]
    return found


async def wanted(database: SqlDatabase) -> Wanted:
    (found,) = (await backfills_of(database, ["AAPL"]))["AAPL"].wanted
    return found


async def save(database: SqlDatabase, job: Backfill) -> None:
    async with database.write() as unit:
        await unit.backfills.lock(job.ticker)
        await unit.backfills.save(job)


# ── the command


async def test_it_is_started_and_waits_for_its_turn(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "AAPL")
    assert await state(graph) == NEVER
    answer = await backfill(graph, ticker=" aapl ", **{"from": "2026-03-02", "to": "2026-03-06"})
    assert answer == {"__typename": "BackfillStarted", "symbol": {"ticker": "AAPL", "version": 1, "backfill": NEVER}}
    job = (await backfills_of(database, ["AAPL"]))["AAPL"]
    assert (job.started_by, job.is_active) == ("api", True)
    assert job.wanted == (Wanted(Interval.ONE_DAY, date(2026, 3, 2), date(2026, 3, 6)),)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, Wanted(Interval.ONE_DAY, date(2024, 3, 27), date(2026, 3, 27))),
        ({"from": None, "to": None}, Wanted(Interval.ONE_DAY, date(2024, 3, 27), date(2026, 3, 27))),
        ({"interval": "ONE_MINUTE"}, Wanted(Interval.ONE_MINUTE, date(2026, 3, 20), date(2026, 3, 27))),
        ({"interval": "FOUR_HOURS", "from": "2026-03-26"}, Wanted(Interval.ONE_MINUTE, date(2026, 3, 26), date(2026, 3, 27))),
        ({"to": "2026-03-02"}, Wanted(Interval.ONE_DAY, date(2024, 3, 2), date(2026, 3, 2))),
    ],
)
async def test_what_is_left_out_is_as_usual(
    graph: GraphClient, database: SqlDatabase, values: dict[str, Any], expected: Wanted
) -> None:
    await track(database, "AAPL")
    assert (await backfill(graph, **values))["__typename"] == "BackfillStarted"
    assert await wanted(database) == expected


async def test_a_second_one_is_refused(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "AAPL")
    await backfill(graph)
    assert await backfill(graph, interval="ONE_MINUTE") == {
        "__typename": "AlreadyBackfilling",
        "message": ("AAPL is being backfilled already; what is wanted beyond that can be asked for when it has ended."),
        "code": "ALREADY_BACKFILLING",
        "ticker": "AAPL",
    }
    await succeed(database)
    assert (await backfill(graph))["__typename"] == "BackfillStarted"


async def test_so_is_one_of_a_symbol_that_is_being_onboarded(graph: GraphClient) -> None:
    await graph.add("AAPL")
    answer = await backfill(graph)
    assert (answer["__typename"], answer["message"]) == (
        "AlreadyBackfilling",
        "AAPL is being onboarded, which brings its history.",
    )


@pytest.mark.parametrize("ticker", ["MSFT", "", "no ticker at all", "\u00e9"])
async def test_what_is_not_tracked_is_not_found(graph: GraphClient, ticker: str) -> None:
    answer = await backfill(graph, ticker=ticker)
    assert (answer["__typename"], answer["code"], answer["ticker"]) == ("SymbolNotFound", "SYMBOL_NOT_FOUND", ticker)


async def test_nor_what_is_retired(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "AAPL")
    await graph.remove("AAPL", 1)
    assert (await backfill(graph))["__typename"] == "SymbolNotFound"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"to": "2026-03-28"}, "2026-03-28 has not begun for AAPL; ask for days up to 2026-03-27."),
        (
            {"from": "2026-03-06", "to": "2026-03-02"},
            "The range begins on 2026-03-06, after its end on 2026-03-02; it must begin first.",
        ),
        (
            {"from": "0001-01-01", "to": "0001-01-01"},
            "The calendar of AAPL does not know 0001-01-01; ask for later days, no earlier than 1990-01-02.",
        ),
        (
            {"from": "2024-03-27", "interval": "ONE_MINUTE"},
            "2024-03-27 to 2026-03-27 is 731 days of minutes; ask for at most 400 at a time.",
        ),
    ],
)
async def test_days_that_cannot_be_are_refused(
    graph: GraphClient, database: SqlDatabase, values: dict[str, Any], sentence: str
) -> None:
    await track(database, "AAPL")
    assert await backfill(graph, **values) == {
        "__typename": "InvalidRange",
        "message": sentence,
        "code": "INVALID_RANGE",
    }
    assert await state(graph) == NEVER


@pytest.mark.parametrize("values", [{"from": "yesterday"}, {"to": "2026-02-30"}, {"interval": None}, {"interval": "ONE_WEEK"}])
async def test_what_is_no_day_and_no_interval_is_no_request(graph: GraphClient, values: dict[str, Any]) -> None:
    await graph.refused(BACKFILL, input={"ticker": "AAPL"} | values)


# ── the state


async def test_every_state_is_shown_as_it_is_kept(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "AAPL")
    await backfill(graph)
    async with database.write() as unit:
        claim = await unit.backfills.claim(1, EVENING)
    assert claim is not None
    job = claim.job
    assert await state(graph) == NEVER | {"status": "IN_PROGRESS", "lastAttemptAt": EVENING.isoformat()}
    await save(database, job.stored(500, 12).postponed("The provider stub did not answer."))
    assert await state(graph) == NEVER | {
        "error": "The provider stub did not answer.",
        "lastAttemptAt": EVENING.isoformat(),
        "recordsInserted": 12,
    }
    await save(database, job.failed("The provider stub did not answer."))
    assert await state(graph) == NEVER | {
        "status": "FAILED",
        "error": "The provider stub did not answer.",
        "lastAttemptAt": EVENING.isoformat(),
    }
    at = EVENING + timedelta(minutes=5)
    await save(database, replace(job.stored(500, 12).completed(at), last_attempt_at=at))
    completed = {"status": "COMPLETED", "error": None, "recordsInserted": 12}
    assert await state(graph) == completed | {"lastAttemptAt": at.isoformat(), "lastSuccessAt": at.isoformat()}
    await backfill(graph)
    assert await state(graph) == NEVER | {"lastAttemptAt": at.isoformat(), "lastSuccessAt": at.isoformat()}


async def test_the_states_of_a_page_cost_one_statement(
    graph: GraphClient, database: SqlDatabase, statements: list[str]
) -> None:
    async with database.write() as unit:
        for number in range(60):
            await unit.symbols.add(Symbol.tracked(profile(f"T{number:03}"), None, None))
    await backfill(graph, ticker="T007")
    await graph("{ symbols { totalCount } }")
    query = "query($n: Int) { symbols(first: $n) { nodes { backfill { status } again: backfill { error } } } }"
    for size in (1, 10, 60):
        statements.clear()
        found = await graph(query, n=size)
        assert len(found["symbols"]["nodes"]) == size
        assert ["FROM backfills" in statement for statement in statements] == [True]


# ── who is told


async def test_whoever_follows_the_symbol_is_told(graph: GraphClient, database: SqlDatabase, feed: SqlEventFeed) -> None:
    await track(database, "AAPL", "MSFT")
    cursor = (await graph("{ symbols { cursor } }"))["symbols"]["cursor"]
    await backfill(graph, ticker="MSFT")
    await backfill(graph)
    query = """subscription($after: Cursor) { symbolChanged(tickers: ["AAPL"], after: $after) {
        kind at detail symbol { ticker backfill { status } } } }"""
    async with aclosing(graph.follow(query, after=cursor)) as answers, asyncio.timeout(20):
        answer = await anext(answers)
    assert answer.data == {
        "symbolChanged": {
            "kind": "BACKFILL_STARTED",
            "at": EVENING.isoformat(),
            "detail": "1d from 2024-03-27 to 2026-03-27",
            "symbol": {"ticker": "AAPL", "backfill": {"status": "PENDING"}},
        }
    }
