"""The trading session over GraphQL: commands by version, and reading through its gate, on both databases."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.bars import ActionKind, CorporateAction, Interval
from domain.errors import ProviderUnavailable
from domain.session import GatingPolicy, SessionMode, SessionSymbolPhase
from persistence.unit_of_work import SqlDatabase
from tests.support.client import GraphClient
from tests.support.clock import EVENING, ManualClock
from tests.support.provider import StubProvider, daily_bar
from tests.support.sessions import (
    BEHIND,
    COMMANDS,
    DAY,
    MINUTE,
    NOON,
    OPENS,
    REMOVE,
    SESSION,
    SHUT,
    active,
    add,
    answer,
    command,
    hold,
    live_symbol,
    minute,
    put,
    shut,
    silence,
    start,
    told_apart,
)
from tests.support.universe import track

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ID = "VHJhZGluZ1Nlc3Npb246b25l"
DEFAULTS: dict[str, Any] = {
    "id": ID,
    "speed": 1.0,
    "gating": "SESSION",
    "catchupThresholdSeconds": 60,
    "catchupCheckInterval": 10,
    "quarantineAfterSeconds": None,
    "lagging": [],
}
PENDING: dict[str, Any] = {
    "phase": "PENDING",
    "lagSeconds": None,
    "barsProcessed": 0,
    "barsQueued": 0,
    "catchupThresholdSeconds": 60,
    "priority": 0,
    "error": None,
    "addedAt": EVENING.isoformat(),
}


async def current(graph: GraphClient) -> dict[str, Any]:
    return await answer(graph, f"{{ session {{ {SESSION} }} }}")


def standing(found: dict[str, Any]) -> tuple[Any, ...]:
    session = found.get("session", found)
    return session["state"], session["version"], session["epoch"]


# ── commands


async def test_before_the_first_start(graph: GraphClient, clock: ManualClock) -> None:
    clock.advance(timedelta(seconds=5))
    assert await current(graph) == DEFAULTS | {
        "mode": "REPLAY",
        "state": "STOPPED",
        "active": False,
        "reason": "No session has been started.",
        "epoch": 0,
        "version": 0,
        "clock": clock.at.isoformat(),
        "symbols": [],
    }


async def test_a_replay_is_started_as_asked(graph: GraphClient) -> None:
    found = await start(graph, tickers=[" msft ", "AAPL", "aapl"])
    assert found["__typename"] == "SessionChanged"
    assert found["session"] == DEFAULTS | {
        "mode": "REPLAY",
        "state": "STARTING",
        "active": False,
        "reason": "The session is starting: 2 of 2 symbols are not there yet.",
        "epoch": 1,
        "version": 1,
        "clock": "2026-03-25T13:30:00+00:00",
        "symbols": [{"ticker": "AAPL"} | PENDING, {"ticker": "MSFT"} | PENDING],
    }
    assert await current(graph) == found["session"]


async def test_a_live_session_is_started_as_asked(graph: GraphClient) -> None:
    asked = {"mode": "LIVE", "date": None, "gating": "SYMBOL", "catchupThresholdSeconds": 90, "catchupCheckInterval": 5}
    found = (await start(graph, **asked, quarantineAfterSeconds=300))["session"]
    assert (found["mode"], found["gating"], found["clock"]) == ("LIVE", "SYMBOL", EVENING.isoformat())
    assert (found["catchupThresholdSeconds"], found["catchupCheckInterval"], found["quarantineAfterSeconds"]) == (90, 5, 300)
    assert [symbol["catchupThresholdSeconds"] for symbol in found["symbols"]] == [90]


async def test_where_nothing_is_said_nulls_say_nothing(graph: GraphClient) -> None:
    nulls = dict.fromkeys(("catchupThresholdSeconds", "catchupCheckInterval", "quarantineAfterSeconds"))
    found = (await start(graph, **nulls))["session"]
    assert {name: found[name] for name in DEFAULTS} == DEFAULTS
    joined = (await add(graph, "MSFT", 1, catchupThresholdSeconds=None, priority=None))["session"]
    assert joined["symbols"][1] == {"ticker": "MSFT"} | PENDING


WRONG: list[tuple[dict[str, Any], str | None, str]] = [
    ({"tickers": []}, "tickers", "A session needs at least one symbol to begin with."),
    ({"tickers": [f"T{n}" for n in range(1001)]}, "tickers", "A session holds at most 1000 symbols."),
    (
        {"tickers": ["AAPL", "a?b"]},
        "tickers",
        "'a?b' is not a ticker: only letters, digits and . - / ^ belong in one.",
    ),
    ({"date": None}, "date", "A replay needs the trading day to replay."),
    ({"date": "2026-03-28"}, "date", "None of the symbols trades on 2026-03-28."),
    ({"date": "0001-01-01"}, "date", "None of the symbols trades on 0001-01-01."),
    ({"date": "9999-12-31"}, "date", "None of the symbols trades on 9999-12-31."),
    (
        {"date": "2026-03-30"},
        "date",
        "2026-03-30 can be replayed once it is over, at 2026-03-30T20:00:00Z; it is 2026-03-27T20:30:00Z.",
    ),
    ({"mode": "LIVE"}, "date", "A live session is of the present: leave the date out."),
    ({"mode": "LIVE", "date": None, "speed": 60}, "speed", "A live session runs at speed 1."),
    ({"speed": -1}, "speed", "speed must be 0 (as fast as possible) or more."),
    ({"catchupThresholdSeconds": 0}, "catchupThresholdSeconds", "catchupThresholdSeconds must be 1 or more."),
    ({"catchupCheckInterval": 101}, "catchupCheckInterval", "catchupCheckInterval must be 1 to 100 bars."),
    ({"quarantineAfterSeconds": 0}, "quarantineAfterSeconds", "quarantineAfterSeconds must be 1 or more."),
]


@on_sqlite
@pytest.mark.parametrize(("changes", "field", "message"), WRONG, ids=[f"{field}-{n}" for n, (_, field, _) in enumerate(WRONG)])
async def test_what_cannot_be_run_is_refused(
    graph: GraphClient, changes: dict[str, Any], field: str | None, message: str
) -> None:
    assert await start(graph, **changes) == {
        "__typename": "InvalidSession",
        "code": "INVALID_SESSION",
        "message": message,
        "field": field,
    }
    assert standing(await current(graph)) == ("STOPPED", 0, 0)


async def test_what_the_provider_does_not_know_cannot_be_started(graph: GraphClient, provider: StubProvider) -> None:
    assert await start(graph, tickers=["AAPL", "NOPE"]) == {
        "__typename": "SymbolNotFound",
        "code": "SYMBOL_NOT_FOUND",
        "message": "NOPE is not known to the provider stub.",
        "ticker": "NOPE",
    }

    async def out() -> None:
        raise ProviderUnavailable("stub")

    provider.before_answer = out
    refused = await start(graph)
    assert (refused["__typename"], refused["field"]) == ("InvalidSession", None)
    assert refused["message"] == "None of the symbols is tracked, and stub does not say when they trade."


async def test_a_silent_provider_keeps_no_tracked_symbol_out(
    graph: GraphClient, provider: StubProvider, database: SqlDatabase
) -> None:
    async def out() -> None:
        raise ProviderUnavailable("stub")

    await track(database, "AAPL")
    provider.before_answer = out
    assert standing(await start(graph, tickers=["AAPL", "MSFT"])) == ("STARTING", 1, 1)


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_command_says_which_version_there_is(graph: GraphClient, name: str) -> None:
    await start(graph)
    before = await current(graph)
    for wrong in (0, 2):
        assert await command(graph, name, wrong) == {
            "__typename": "VersionConflict",
            "code": "VERSION_CONFLICT",
            "message": f"The session was changed meanwhile: expected version {wrong}, it is 1.",
            "expectedVersion": wrong,
            "currentVersion": 1,
        }
    assert await current(graph) == before


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_command_needs_a_session_that_runs(graph: GraphClient, name: str) -> None:
    expected = {
        "__typename": "SessionNotRunning",
        "code": "SESSION_NOT_RUNNING",
        "message": "No session is running: start one first.",
    }
    assert await command(graph, name, 0) == expected
    await start(graph)
    assert standing(await command(graph, "stopSession", 1)) == ("STOPPED", 2, 1)
    assert await command(graph, name, 2) == expected


async def test_one_session_at_a_time(graph: GraphClient) -> None:
    await start(graph)
    refused = await start(graph, expectedVersion=1)
    assert refused == {
        "__typename": "InvalidSession",
        "code": "INVALID_SESSION",
        "message": "A session is running already: stop it first.",
        "field": None,
    }
    assert (await start(graph))["__typename"] == "VersionConflict"
    await command(graph, "stopSession", 1)
    assert standing(await start(graph, expectedVersion=2)) == ("STARTING", 3, 2)


async def test_of_starts_at_once_one_succeeds(graph: GraphClient, database: SqlDatabase) -> None:
    answers = await asyncio.gather(*(start(graph) for _ in range(5)))
    names = sorted(found["__typename"] for found in answers)
    assert names == ["SessionChanged", *["VersionConflict"] * 4]
    assert standing(await current(graph)) == ("STARTING", 1, 1)


async def test_a_session_is_paused_resumed_and_stopped(graph: GraphClient, database: SqlDatabase) -> None:
    await put(database, active("AAPL"))
    assert standing(await command(graph, "pauseSession", 1)) == ("PAUSED", 2, 3)
    again = await command(graph, "pauseSession", 2)
    assert (again["__typename"], again["field"], again["message"]) == ("InvalidSession", None, "The session is paused already.")
    paused = await current(graph)
    assert (paused["active"], paused["reason"]) == (False, "The session is paused.")
    assert standing(await command(graph, "resumeSession", 2)) == ("ACTIVE", 3, 4)
    again = await command(graph, "resumeSession", 3)
    assert (again["__typename"], again["field"], again["message"]) == ("InvalidSession", None, "The session is not paused.")
    resumed = await current(graph)
    assert (resumed["active"], resumed["reason"]) == (True, None)
    assert standing(await command(graph, "stopSession", 3)) == ("STOPPED", 4, 5)


async def test_a_symbol_joins_and_leaves(graph: GraphClient, database: SqlDatabase) -> None:
    await put(database, active("AAPL"))
    found = (await add(graph, " brk.b ", 1, catchupThresholdSeconds=30, priority=2))["session"]
    assert standing(found) == ("ACTIVE", 2, 3)
    assert found["symbols"][1] == {"ticker": "BRK-B"} | PENDING | {"catchupThresholdSeconds": 30, "priority": 2}
    left = (await answer(graph, REMOVE, input={"ticker": "brk b", "expectedVersion": 2}))["session"]
    assert standing(left) == ("ACTIVE", 3, 4)
    assert [symbol["ticker"] for symbol in left["symbols"]] == ["AAPL"]


async def test_what_cannot_join_or_leave_is_named(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "MSFT")
    assert (await graph.remove("MSFT", 1))["symbol"]["status"] == "RETIRED"
    await start(graph)
    refusals = {
        "NOPE": "NOPE is not known to the provider stub.",
        "MSFT": "MSFT was removed: add it again first.",
        "a?b": "a?b is not a ticker: only letters, digits and . - / ^ belong in one.",
    }
    for ticker, message in refusals.items():
        expected = {"__typename": "SymbolNotFound", "code": "SYMBOL_NOT_FOUND", "message": message, "ticker": ticker}
        assert await add(graph, ticker, 1) == expected
    for ticker, message in {"TSLA": "TSLA does not take part in the session.", "a?b": refusals["a?b"]}.items():
        found = await answer(graph, REMOVE, input={"ticker": ticker, "expectedVersion": 1})
        assert (found["__typename"], found["ticker"], found["message"]) == ("SymbolNotFound", ticker, message)
    for field, value in (("catchupThresholdSeconds", 0), ("priority", -1), ("priority", 101)):
        found = await add(graph, "BRK-B", 1, **{field: value})
        assert (found["__typename"], found["field"]) == ("InvalidSession", field)
    assert standing(await current(graph)) == ("STARTING", 1, 1)


async def test_the_session_is_a_node(graph: GraphClient) -> None:
    query = "query($id: ID!) { node(id: $id) { __typename id ... on TradingSession { version } } }"
    for version in (0, 1):
        assert await answer(graph, query, id=ID) == {"__typename": "TradingSession", "id": ID, "version": version}
        await start(graph)
    assert await graph(query, id="VHJhZGluZ1Nlc3Npb246dHdv") == {"node": None}


# ── what is shown of it


async def test_laggards_are_named_with_what_they_lack(graph: GraphClient, database: SqlDatabase) -> None:
    await put(database, shut())
    found = await current(graph)
    assert (found["state"], found["active"], found["reason"]) == ("INACTIVE", False, "MSFT (8940 s) is behind.")
    assert found["lagging"] == [{"ticker": "MSFT", "lagSeconds": 8940.0}]
    assert found["symbols"] == [
        {"ticker": "AAPL"} | PENDING | {"phase": "LIVE", "lagSeconds": 0.0, "barsProcessed": 150, "addedAt": OPENS.isoformat()},
        {
            "ticker": "MSFT",
            "phase": "CATCHING_UP",
            "lagSeconds": 8940.0,
            "barsProcessed": 1,
            "barsQueued": 149,
            "catchupThresholdSeconds": 30,
            "priority": 0,
            "error": None,
            "addedAt": OPENS.isoformat(),
        },
    ]


async def test_a_leader_that_is_silent_shuts_the_session(graph: GraphClient, database: SqlDatabase) -> None:
    await put(database, active("AAPL"))
    await silence(database, 4)
    assert standing(await current(graph)) == ("ACTIVE", 1, 2)
    await silence(database, 6)
    found = await current(graph)
    assert (standing(found), found["active"]) == (("INACTIVE", 1, 2), False)
    assert found["reason"].startswith("The session leader has not been heard since 20")


# ── session.bars

BARS = """query($ticker: String!, $interval: Interval! = ONE_MINUTE, $first: Int, $after: String) { session { bars(
    ticker: $ticker, interval: $interval, first: $first, after: $after) {
  edges { cursor } nodes { ticker openTime close } pageInfo { hasNextPage hasPreviousPage endCursor } withheld epoch } } }"""


async def session_bars(graph: GraphClient, ticker: str = "AAPL", **arguments: Any) -> dict[str, Any]:
    return dict((await answer(graph, BARS, ticker=ticker, **arguments))["bars"])


def opens(found: dict[str, Any]) -> list[datetime]:
    return [datetime.fromisoformat(node["openTime"]) for node in found["nodes"]]


async def test_its_bars_are_those_of_its_day_up_to_its_clock(graph: GraphClient, database: SqlDatabase) -> None:
    await told_apart(database)
    await put(database, active("AAPL", mode=SessionMode.REPLAY, day=DAY))
    found = await session_bars(graph, " aapl ")
    assert opens(found) == [OPENS + n * MINUTE for n in range(150)]
    assert (found["withheld"], found["epoch"]) == (False, 2)
    assert found["nodes"][0] == {"ticker": "AAPL", "openTime": OPENS.isoformat(), "close": "100"}
    assert await session_bars(graph, first=None, after=None) == found


async def test_its_pages_joined_are_the_whole(graph: GraphClient, database: SqlDatabase) -> None:
    await told_apart(database)
    await put(database, active("AAPL"))
    whole, joined, cursor = opens(await session_bars(graph)), [], None
    sizes = []
    while True:
        found = await session_bars(graph, first=64, after=cursor)
        joined += opens(found)
        sizes.append(len(found["nodes"]))
        assert found["pageInfo"]["hasPreviousPage"] is (cursor is not None)
        if not found["pageInfo"]["hasNextPage"]:
            break
        cursor = found["pageInfo"]["endCursor"]
    assert (joined, sizes) == (whole, [64, 64, 22])
    code, message = await graph.refused(BARS, ticker="AAPL", first=1001)
    assert (code, message) == ("BAD_USER_INPUT", "first must be from 1 to 1,000; 1,001 was asked for.")
    code, message = await graph.refused(BARS, ticker="AAPL", after="x")
    assert (code, message.startswith("after must be a cursor of an earlier page")) == ("BAD_USER_INPUT", True)


async def test_its_longer_bars_are_those_that_it_has_made(graph: GraphClient, database: SqlDatabase) -> None:
    await told_apart(database)
    five = [
        minute("AAPL", OPENS + 5 * n * MINUTE, interval=Interval.FIVE_MINUTES, close_time=OPENS + 5 * (n + 1) * MINUTE)
        for n in range(3)
    ]
    async with database.write() as unit:
        await unit.session_bars.upsert(five)
    await put(database, active("AAPL"))
    assert opens(await session_bars(graph, interval="FIVE_MINUTES")) == [bar.open_time for bar in five]
    assert opens(await session_bars(graph, interval="ONE_DAY")) == []


async def test_its_bars_are_in_the_shares_of_its_day(graph: GraphClient, database: SqlDatabase) -> None:
    """A split of the next day is not known to a replay."""
    await told_apart(database)
    split = CorporateAction("AAPL", DAY + timedelta(days=1), ActionKind.SPLIT, Decimal(2), "stub")
    async with database.write() as unit:
        await unit.bars.upsert_actions([split])
    await put(database, active("AAPL", mode=SessionMode.REPLAY, day=DAY))
    assert (await session_bars(graph))["nodes"][0]["close"] == "100"
    async with database.write() as unit:
        await unit.bars.upsert_actions([replace(split, ex_date=DAY)])
        await unit.bars.upsert([minute("AAPL", OPENS, "100", adjusted_to=DAY - timedelta(days=1))])
    assert (await session_bars(graph))["nodes"][0]["close"] == "50"


async def test_nothing_is_shown_while_the_gate_is_shut(graph: GraphClient, database: SqlDatabase) -> None:
    await told_apart(database)
    withheld = {
        "edges": [],
        "nodes": [],
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "endCursor": None},
        "withheld": True,
    }
    await put(database, shut())
    assert await session_bars(graph, "AAPL") == await session_bars(graph, "MSFT") == withheld | {"epoch": 3}
    alone = active("AAPL", BEHIND, gating=GatingPolicy.SYMBOL, epoch=3)
    await put(database, alone)
    assert await session_bars(graph, "MSFT") == withheld | {"epoch": 3}
    assert len((await session_bars(graph, "AAPL"))["nodes"]) == 150
    await put(database, active("AAPL"))
    await silence(database, 6)
    assert await session_bars(graph, "AAPL") == withheld | {"epoch": 2}


async def test_one_that_has_no_bar_yet_withholds_none(graph: GraphClient, database: SqlDatabase) -> None:
    await told_apart(database)
    joined = live_symbol("MSFT", phase=SessionSymbolPhase.LOADING, watermark=None, since=None, shown_after=None)
    await put(database, active("AAPL", joined))
    found = await session_bars(graph, "MSFT")
    assert (found["nodes"], found["withheld"], found["epoch"]) == ([], False, 2)


async def test_who_does_not_take_part_has_no_bars_there(graph: GraphClient, database: SqlDatabase) -> None:
    await told_apart(database)
    await put(database, active("AAPL"))
    assert await graph.refused(BARS, ticker="MSFT") == ("SYMBOL_NOT_FOUND", "MSFT does not take part in the session.")
    code, message = await graph.refused(BARS, ticker="a?b")
    assert (code, message[:22]) == ("INVALID_TICKER", "'a?b' is not a ticker:")


# ── Symbol.bars through the gate

STORED = """query($from: DateTime, $to: DateTime, $first: Int, $after: String, $last: Int, $before: String) {
  symbols { nodes { ticker bars(interval: ONE_MINUTE, from: $from, to: $to, first: $first, after: $after, last: $last,
    before: $before) { edges { cursor } nodes { openTime } pageInfo { hasNextPage hasPreviousPage } withheld epoch } } } }"""
EVE = [OPENS - timedelta(days=1) + n * MINUTE for n in range(5)]
TODAY = [OPENS + n * MINUTE for n in range(180)]


async def stored_bars(graph: GraphClient, **arguments: Any) -> dict[str, dict[str, Any]]:
    return {node["ticker"]: node["bars"] for node in (await answer(graph, STORED, **arguments))["nodes"]}


async def test_stored_bars_of_the_day_are_shown_while_the_gate_is_open(graph: GraphClient, database: SqlDatabase) -> None:
    await told_apart(database)
    await put(database, active("AAPL"))
    found = await stored_bars(graph)
    assert opens(found["AAPL"]) == opens(found["MSFT"]) == [*EVE, *TODAY]
    assert [(bars["withheld"], bars["epoch"]) for bars in found.values()] == [(False, 2), (False, None)]


async def test_stored_bars_of_the_day_are_left_out_while_it_is_shut(graph: GraphClient, database: SqlDatabase) -> None:
    await told_apart(database)
    await put(database, active(live_symbol("AAPL", is_withheld=True), **SHUT))
    found = await stored_bars(graph)
    assert (opens(found["AAPL"]), found["AAPL"]["withheld"], found["AAPL"]["epoch"]) == (EVE, True, 3)
    assert (opens(found["MSFT"]), found["MSFT"]["withheld"], found["MSFT"]["epoch"]) == ([*EVE, *TODAY], False, None)


async def test_under_symbol_gating_the_laggard_alone_is_left_out(graph: GraphClient, database: SqlDatabase) -> None:
    await told_apart(database)
    await put(database, active("AAPL", BEHIND, gating=GatingPolicy.SYMBOL))
    found = await stored_bars(graph)
    assert (len(opens(found["AAPL"])), opens(found["MSFT"])) == (185, EVE)
    assert [(bars["withheld"], bars["epoch"]) for bars in found.values()] == [(False, 2), (True, 2)]


async def test_what_a_silent_leader_has_stored_is_left_out(graph: GraphClient, database: SqlDatabase) -> None:
    await told_apart(database)
    await put(database, active("AAPL"))
    await silence(database, 6)
    assert opens((await stored_bars(graph))["AAPL"]) == EVE


async def test_a_replay_and_a_session_that_is_over_keep_no_stored_bar_back(graph: GraphClient, database: SqlDatabase) -> None:
    await told_apart(database)
    behind = active(live_symbol("AAPL", is_withheld=True), **SHUT)
    for session in (replace(behind, mode=SessionMode.REPLAY, day=DAY), behind.stopped(1)[0]):
        await put(database, session)
        found = (await stored_bars(graph))["AAPL"]
        assert (len(opens(found)), found["withheld"], found["epoch"]) == (185, False, None)


async def test_a_daily_bar_of_the_day_is_of_the_day(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "AAPL")
    days = [
        daily_bar("AAPL", DAY - timedelta(days=n), open_time=OPENS - timedelta(days=n), close_time=EVENING - timedelta(days=n))
        for n in range(2)
    ]
    await hold(database, days)
    await put(database, active(live_symbol("AAPL", is_withheld=True), **SHUT))
    found = await answer(graph, '{ symbol(ticker: "AAPL") { bars { nodes { openTime } withheld } } }')
    assert (opens(found["bars"]), found["bars"]["withheld"]) == ([days[1].open_time], True)


async def test_withheld_says_whether_the_range_reaches_what_is_kept_back(graph: GraphClient, database: SqlDatabase) -> None:
    await told_apart(database)
    await put(database, active("AAPL"))
    cursors = dict(zip([*EVE, *TODAY], (edge["cursor"] for edge in (await stored_bars(graph))["AAPL"]["edges"]), strict=True))
    await put(database, active(live_symbol("AAPL", is_withheld=True), **SHUT))
    noon = NOON.isoformat()
    cases: list[tuple[dict[str, Any], list[datetime], bool]] = [
        ({"to": OPENS.isoformat()}, EVE, False),
        ({"to": (OPENS + MINUTE).isoformat()}, EVE, True),
        ({"from": noon}, [], True),
        ({"from": noon, "to": noon}, [], False),
        ({"before": cursors[OPENS]}, EVE, False),
        ({"before": cursors[OPENS + MINUTE], "last": 2}, EVE[-2:], True),
        ({"after": cursors[EVE[2]], "first": 10}, EVE[3:], True),
        ({"after": cursors[NOON], "first": 10}, [], True),
        ({"from": EVE[0].isoformat(), "to": EVE[2].isoformat()}, EVE[:2], False),
        ({"first": 2}, EVE[:2], True),
    ]
    for arguments, expected, is_withheld in cases:
        found = (await stored_bars(graph, **arguments))["AAPL"]
        assert (opens(found), found["withheld"]) == (expected, is_withheld), arguments


async def test_a_clock_before_the_day_reaches_nothing_of_it(
    graph: GraphClient, database: SqlDatabase, clock: ManualClock
) -> None:
    await told_apart(database)
    await put(database, active(live_symbol("AAPL", is_withheld=True), **SHUT))
    clock.at = OPENS
    found = (await stored_bars(graph))["AAPL"]
    assert (opens(found), found["withheld"]) == (EVE, False)


async def test_the_gate_costs_one_statement_whatever_the_number_of_symbols(
    graph: GraphClient, database: SqlDatabase, statements: list[str]
) -> None:
    tickers = [f"T{number:03}" for number in range(40)]
    await track(database, *tickers)
    half = [live_symbol(ticker, is_withheld=number % 2 == 0) for number, ticker in enumerate(tickers)]
    await put(database, active(*half, gating=GatingPolicy.SYMBOL))
    await graph("{ symbols { totalCount } }")
    query = "query($first: Int) { symbols(first: $first) { nodes { bars(last: 5) { withheld epoch } } } }"
    counts = set()
    for size in (2, 10, 40):
        statements.clear()
        nodes = (await answer(graph, query, first=size))["nodes"]
        assert [node["bars"]["withheld"] for node in nodes] == [number % 2 == 0 for number in range(size)]
        counts.add(len(statements))
    assert counts == {4}, statements  # the session, the bars of those withheld and of those not, the splits
    statements.clear()
    await current(graph)
    assert len(statements) == 1
