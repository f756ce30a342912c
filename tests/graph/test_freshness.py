"""Freshness as clients read it: one instant an operation, a fresh one each event, exact at every edge."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.errors import ProviderUnavailable, Trouble
from domain.services.symbols import Symbols
from graph.context import Services
from persistence.catalogue import SqlCatalogue
from persistence.event_feed import SqlEventFeed
from persistence.unit_of_work import SqlDatabase
from tests.support.client import GraphClient
from tests.support.clock import EVENING, ManualClock
from tests.support.provider import StubProvider, daily_bar
from tests.support.universe import track
from web.container import open_container
from web.settings import load_settings

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

INSTANT = timedelta(microseconds=1)
HOURS = timedelta(hours=1)
DAYS = timedelta(days=1)
CLOSE = datetime(2026, 3, 27, 20, tzinfo=UTC)
"""Of the Friday on whose evening the tests stand; New York closes next on Monday at the same hour."""

FRESHNESS = "isStale hoursSinceUpdate stalenessMessage stalenessReason missedSessions"
FIELDS = FRESHNESS.split()


class TickingClock(ManualClock):
    """An hour later at every look."""

    def now(self) -> datetime:
        self.advance(HOURS)
        return self.at


async def freshness(graph: GraphClient) -> tuple[Any, ...]:
    found = (await graph(f'{{ symbol(ticker: "AAPL") {{ {FRESHNESS} }} }}'))["symbol"]
    return tuple(found[field] for field in FIELDS)


@pytest.fixture
async def refreshed(graph: GraphClient, database: SqlDatabase, provider: StubProvider, clock: ManualClock) -> ManualClock:
    """AAPL, refreshed on the evening with a bar of that day; gives the clock."""
    provider.bars = [daily_bar("AAPL", CLOSE.date(), close_time=CLOSE)]
    await track(database, "AAPL")
    assert (await graph.refresh("AAPL"))["__typename"] == "SymbolRefreshed"
    return clock


TABLE = [
    (timedelta(), (False, 0.0, None, "FRESH", 0)),
    (3 * timedelta(minutes=1) - INSTANT, (False, 0.0, None, "FRESH", 0)),
    (3 * timedelta(minutes=1), (False, 0.1, None, "FRESH", 0)),
    (48 * HOURS, (False, 48.0, None, "FRESH", 0)),
    (48 * HOURS + INSTANT, (True, 48.0, "Data is 48h old - may be outdated", "MARKET_CLOSED", 0)),
    (71.5 * HOURS - INSTANT, (True, 71.5, "Data is 71h old - may be outdated", "MARKET_CLOSED", 0)),
    (71.5 * HOURS, (True, 71.5, "Data is 72h old - may be outdated", "OVERDUE", 1)),
    (7 * DAYS - INSTANT, (True, 168.0, "Data is 168h old - may be outdated", "OVERDUE", 4)),
    (7 * DAYS, (True, 168.0, "Data is 7 days old - may be outdated", "OVERDUE", 4)),
    (8 * DAYS - INSTANT, (True, 192.0, "Data is 7 days old - may be outdated", "OVERDUE", 4)),
    (8 * DAYS, (True, 192.0, "Data is 8 days old - may be outdated", "OVERDUE", 4)),
    (-60 * timedelta(seconds=1) + INSTANT, (False, 0.0, None, "FRESH", 0)),
    (-60 * timedelta(seconds=1), (False, 0.0, None, "CLOCK_SKEW", 0)),
]
"""Time since the refresh, and what is read then. 2026-04-03 is Good Friday: nothing is missed on it."""


@on_sqlite
async def test_the_table(graph: GraphClient, refreshed: ManualClock) -> None:
    for since, expected in TABLE:
        refreshed.at = EVENING + since
        assert await freshness(graph) == expected, since


@on_sqlite
async def test_what_was_never_refreshed_is_stale_for_ever(
    graph: GraphClient, database: SqlDatabase, clock: ManualClock
) -> None:
    await track(database, "AAPL")
    for _ in range(2):
        assert await freshness(graph) == (True, None, "Never updated", "NEVER_UPDATED", None)
        assert (await graph('{ symbol(ticker: "AAPL") { freshUntil } }'))["symbol"]["freshUntil"] is None
        clock.advance(100 * DAYS)


@on_sqlite
async def test_nothing_changes_before_fresh_until_and_something_does_then(graph: GraphClient, refreshed: ManualClock) -> None:
    refreshed.at = EVENING + 48 * HOURS - timedelta(minutes=4)
    for _ in range(30):
        held = await freshness(graph)
        until = (await graph('{ symbol(ticker: "AAPL") { freshUntil } }'))["symbol"]["freshUntil"]
        refreshed.at = datetime.fromisoformat(until) - INSTANT
        assert await freshness(graph) == held
        refreshed.advance(INSTANT)
        assert await freshness(graph) != held


@on_sqlite
@pytest.mark.parametrize(
    ("trouble", "reason"),
    [(Trouble.RATE_LIMITED, "PROVIDER_RATE_LIMITED"), (Trouble.DOWN, "PROVIDER_DOWN"), (None, "PROVIDER_EMPTY")],
)
async def test_a_stale_symbol_says_what_its_last_refresh_met(
    graph: GraphClient, provider: StubProvider, refreshed: ManualClock, trouble: Trouble | None, reason: str
) -> None:
    async def fail() -> None:
        if trouble is not None:
            raise ProviderUnavailable("stub", trouble)

    provider.bars, provider.before_answer = (), fail
    refreshed.advance(48 * HOURS)
    await graph.refresh("AAPL")
    assert (await freshness(graph))[3] == "FRESH"
    refreshed.advance(INSTANT)
    assert (await freshness(graph))[3] == reason


@on_sqlite
async def test_a_provider_that_owes_two_trading_days_is_told_of_while_fresh(
    graph: GraphClient, database: SqlDatabase, provider: StubProvider
) -> None:
    await track(database, "AAPL")
    provider.bars = [daily_bar("AAPL", date(2026, 3, 25), close_time=CLOSE - 2 * DAYS)]
    await graph.refresh("AAPL")
    assert await freshness(graph) == (False, 0.0, None, "PROVIDER_EMPTY", 2)


@on_sqlite
async def test_an_operation_reads_the_clock_once(
    services: Services,
    database: SqlDatabase,
    catalogue: SqlCatalogue,
    provider: StubProvider,
    graph: GraphClient,
    refreshed: ManualClock,
) -> None:
    ticking = TickingClock(EVENING)
    symbols = Symbols(database, catalogue, provider, services.onboarding.queue, ticking, 48 * HOURS)
    graph.services = replace(services, clock=ticking, symbols=symbols)
    found = await graph(
        '{ a: symbol(ticker: "AAPL") { hoursSinceUpdate } symbols { nodes { hoursSinceUpdate } } service { now } '
        'b: symbol(ticker: "AAPL") { hoursSinceUpdate } }'
    )
    hours = (datetime.fromisoformat(found["service"]["now"]) - EVENING) / HOURS
    read = [found["a"]["hoursSinceUpdate"], found["symbols"]["nodes"][0]["hoursSinceUpdate"], found["b"]["hoursSinceUpdate"]]
    assert read == [hours] * 3
    assert (await graph("{ service { now } }"))["service"]["now"] > found["service"]["now"]


@on_sqlite
async def test_every_event_is_read_at_its_own_instant(graph: GraphClient, feed: SqlEventFeed, refreshed: ManualClock) -> None:
    end = (await graph("{ symbols { cursor } }"))["symbols"]["cursor"]
    events = graph.follow(
        "subscription($after: Cursor) { symbolChanged(after: $after) { at symbol { version hoursSinceUpdate isStale } } }",
        after=end,
    )
    for hours, is_stale in ((1, False), (49, True)):
        refreshed.at = EVENING + hours * HOURS
        symbol = (await graph.add("AAPL", name=f"Apple {hours}", expectedVersion=2 if hours == 1 else 3))["symbol"]
        answer = await anext(events)
        assert answer.data is not None
        event = answer.data["symbolChanged"]
        assert event["at"] == refreshed.at.isoformat()
        assert event["symbol"] == {"version": symbol["version"], "hoursSinceUpdate": float(hours), "isStale": is_stale}
    await events.aclose()


async def test_the_filter_agrees_with_the_field_to_the_microsecond(
    graph: GraphClient, database: SqlDatabase, clock: ManualClock
) -> None:
    for ticker, earlier in (("AAPL", INSTANT), ("MSFT", timedelta())):
        clock.at = EVENING - earlier
        await track(database, ticker)
        await graph.refresh(ticker)
    await track(database, "BRK-B")
    for since, stale in (
        (48 * HOURS - INSTANT, ["BRK-B"]),
        (48 * HOURS, ["AAPL", "BRK-B"]),
        (48 * HOURS + INSTANT, ["AAPL", "BRK-B", "MSFT"]),
    ):
        clock.at = EVENING + since
        found = await graph(
            "{ all: symbols { nodes { ticker isStale } } "
            "stale: symbols(filter: {isStale: true}) { totalCount nodes { ticker } } "
            "fresh: symbols(filter: {isStale: false}) { totalCount nodes { ticker } } }"
        )
        every = {node["ticker"]: node["isStale"] for node in found["all"]["nodes"]}
        assert [node["ticker"] for node in found["stale"]["nodes"]] == stale == [t for t, is_stale in every.items() if is_stale]
        assert [node["ticker"] for node in found["fresh"]["nodes"]] == [t for t in every if t not in stale]
        assert (found["stale"]["totalCount"], found["fresh"]["totalCount"]) == (len(stale), 3 - len(stale))


async def test_the_operator_sets_the_threshold(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRESHTAPE_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("FRESHTAPE_PROVIDERS", "sample")
    monkeypatch.setenv("SYMBOL_STALENESS_HOURS", "1")
    for clock, is_stale in ((EVENING, False), (EVENING + 2 * HOURS, True)):
        monkeypatch.setenv("FRESHTAPE_CLOCK", clock.isoformat())
        async with open_container(load_settings()[0]) as container:
            graph = GraphClient(container.services)
            if not is_stale:
                await track(container.database, "AAPL")
                await graph.refresh("AAPL")
            found = await graph(
                '{ symbol(ticker: "AAPL") { isStale } symbols(filter: {isStale: true}) { totalCount stalenessThresholdHours } '
                "service { stalenessThresholdHours } }"
            )
        assert found == {
            "symbol": {"isStale": is_stale},
            "symbols": {"totalCount": int(is_stale), "stalenessThresholdHours": 1},
            "service": {"stalenessThresholdHours": 1},
        }
