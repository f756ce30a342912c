"""Symbols through the schema, on both databases: what is tracked, under which rules it changes, and how it is found."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from domain.errors import ProviderUnavailable, Trouble
from domain.services.pipeline import Pipeline
from domain.symbols import Profile, Symbol
from domain.tickers import AssetClass
from persistence import event_feed
from persistence.event_feed import SqlEventFeed
from persistence.unit_of_work import SqlDatabase
from tests.support.client import GraphClient
from tests.support.clock import EVENING, ManualClock
from tests.support.mutants import mutated
from tests.support.provider import StubProvider, profile
from tests.support.universe import track

SPELLINGS = {" brk.b ": "BRK-B", "eurusd": "EUR/USD", "btcusd": "BTC-USD", "aapl": "AAPL"}
NO_IDS = ["Symbol:NOPE", "Symbol:", "Symbol:\0", "Symbol:a?b", "Bar:AAPL", "Symbol", "AAPL", "", ":", "é"]


@pytest.fixture
def provider() -> StubProvider:
    stub = StubProvider("AAPL", "MSFT", "BRK-B")
    stub.profiles["EUR/USD"] = Profile("EUR/USD", "Euro / US Dollar", AssetClass.FOREX, None, "USD")
    stub.profiles["BTC-USD"] = Profile("BTC-USD", "Bitcoin", AssetClass.CRYPTO, None, "USD")
    return stub


def unavailable(trouble: Trouble, seconds: int | None) -> Callable[[], Awaitable[None]]:
    async def fail() -> None:
        raise ProviderUnavailable("stub", trouble, "is out", seconds)

    return fail


async def read(graph: GraphClient, ticker: str) -> dict[str, Any]:
    found = await graph(
        "query($t: String!) { symbol(ticker: $t) { id ticker name assetClass exchange currency baseCurrency quoteCurrency "
        "status version lastUpdated levelCount levels { price } bars { nodes { close } } refresh { startedBy startedAt } } }",
        t=ticker,
    )
    return dict(found["symbol"])


async def tickers(graph: GraphClient, **wanted: Any) -> list[str]:
    found = await graph("query($f: SymbolFilter) { symbols(filter: $f) { totalCount nodes { ticker } } }", f=wanted)
    listed = [node["ticker"] for node in found["symbols"]["nodes"]]
    assert found["symbols"]["totalCount"] == len(listed)
    return listed


async def log_end(graph: GraphClient) -> str:
    return str((await graph("{ symbols { cursor } }"))["symbols"]["cursor"])


# ── add


async def test_a_new_symbol_is_what_the_provider_says(graph: GraphClient) -> None:
    added = await graph.add("AAPL")
    assert added["__typename"] == "SymbolAdded"
    assert added["symbol"] == {
        "ticker": "AAPL",
        "name": "AAPL Inc.",
        "assetClass": "STOCK",
        "status": "ONBOARDING",
        "version": 1,
        "lastUpdated": None,
        "asOf": None,
        "levelCount": 0,
        "lastPrice": None,
        "isStale": True,
        "stalenessReason": "NEVER_UPDATED",
    }


async def test_its_history_is_queued_and_makes_it_active(graph: GraphClient, pipeline: Pipeline) -> None:
    await graph.add("MSFT")
    job = (await graph.add("AAPL"))["job"]
    expected = {"ticker": "AAPL", "status": "PENDING", "phase": "QUEUED", "position": 2, "requestedBy": None}
    assert job == expected | {"id": job["id"]}
    assert await tickers(graph, status="ONBOARDING") == ["AAPL", "MSFT"]
    await pipeline.work_off()
    stored = await read(graph, "AAPL")
    assert (stored["status"], stored["version"], stored["lastUpdated"]) == ("ACTIVE", 2, EVENING.isoformat())
    assert len(stored["bars"]["nodes"]) == 120
    assert len(stored["levels"]) == stored["levelCount"] > 0
    again = await graph.add("AAPL")
    assert (again["symbol"]["status"], again["symbol"]["version"], again["job"]) == ("ACTIVE", 2, None)


async def test_a_full_queue_is_told_and_adds_nothing(graph: GraphClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph.services.onboarding.queue, "depth", 1)
    await graph.add("AAPL")
    end = await log_end(graph)
    assert await graph.add("MSFT") == {
        "__typename": "QueueFull",
        "message": "The queue holds 1 of at most 1 and has no room for 1 more; try again in 30 s.",
        "code": "QUEUE_FULL",
        "depth": 1,
        "maxDepth": 1,
        "freeAfterSeconds": 30,
    }
    assert await tickers(graph) == ["AAPL"]
    assert await log_end(graph) == end


async def test_the_callers_class_and_name_win(graph: GraphClient) -> None:
    symbol = (await graph.add("AAPL", assetClass="ETF", name="An orchard"))["symbol"]
    assert (symbol["assetClass"], symbol["name"], symbol["version"]) == ("ETF", "An orchard", 1)


async def test_adding_what_is_there_changes_nothing(graph: GraphClient) -> None:
    job = (await graph.add("AAPL"))["job"]
    end = await log_end(graph)
    for same in ({}, {"expectedVersion": 1}, {"assetClass": "STOCK"}, {"assetClass": "STOCK", "name": "AAPL Inc."}):
        again = await graph.add("AAPL", **same)
        assert (again["__typename"], again["symbol"]["version"], again["job"]) == ("SymbolAdded", 1, job)
    assert await log_end(graph) == end


async def test_a_wrong_version_is_a_conflict_also_when_nothing_would_change(graph: GraphClient) -> None:
    await graph.add("AAPL")
    conflict = await graph.add("AAPL", expectedVersion=7)
    assert conflict == {
        "__typename": "VersionConflict",
        "message": "AAPL was changed meanwhile: expected version 7, it is 1.",
        "code": "VERSION_CONFLICT",
        "expectedVersion": 7,
        "currentVersion": 1,
    }


@pytest.mark.parametrize(("field", "value"), [("assetClass", "ETF"), ("name", "Another")])
async def test_a_change_of_class_or_name_needs_the_version(graph: GraphClient, field: str, value: str) -> None:
    await graph.add("AAPL")
    refused = await graph.add("AAPL", **{field: value})
    assert (refused["__typename"], refused["expectedVersion"], refused["currentVersion"]) == ("VersionConflict", None, 1)
    assert "expectedVersion" in refused["message"]
    changed = (await graph.add("AAPL", **{field: value}, expectedVersion=1))["symbol"]
    assert (changed[field], changed["version"]) == (value, 2)
    stored = await read(graph, "AAPL")
    assert (stored[field], stored["version"]) == (value, 2)


async def test_a_retired_symbol_is_revived_with_its_version(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "AAPL")
    await graph.remove("AAPL", 1)
    for wrong in ({}, {"expectedVersion": 1}):
        refused = await graph.add("AAPL", **wrong)
        assert (refused["__typename"], refused["currentVersion"]) == ("VersionConflict", 2)
        assert (await read(graph, "AAPL"))["status"] == "RETIRED"
    revived = await graph.add("AAPL", expectedVersion=2)
    assert (revived["symbol"]["status"], revived["symbol"]["version"]) == ("ONBOARDING", 3)
    assert (revived["job"]["ticker"], revived["job"]["status"]) == ("AAPL", "PENDING")
    assert await tickers(graph) == ["AAPL"]


async def test_what_is_no_ticker_gets_a_suggestion(graph: GraphClient) -> None:
    assert await graph.add("NASDAQ:AAPL") == {
        "__typename": "InvalidTicker",
        "message": "'NASDAQ:AAPL' is not a ticker: only letters, digits and . - / ^ belong in one. Did you mean AAPL?",
        "code": "INVALID_TICKER",
        "ticker": "NASDAQ:AAPL",
        "suggestions": ["AAPL"],
    }


async def test_a_class_that_cannot_be_is_refused(graph: GraphClient) -> None:
    refused = await graph.add("AAPL", assetClass="FOREX")
    assert (refused["__typename"], refused["ticker"]) == ("InvalidTicker", "AAPL")
    assert "EUR/USD" in refused["message"]
    assert await tickers(graph) == []


async def test_what_the_provider_does_not_know_is_not_found(graph: GraphClient) -> None:
    assert await graph.add("NOPE") == {
        "__typename": "SymbolNotFound",
        "message": "NOPE is not known to the provider stub.",
        "code": "SYMBOL_NOT_FOUND",
        "ticker": "NOPE",
    }


async def test_nothing_is_added_while_the_provider_is_out(graph: GraphClient, provider: StubProvider) -> None:
    provider.before_answer = unavailable(Trouble.RATE_LIMITED, 30)
    assert await graph.add("AAPL") == {
        "__typename": "ProviderUnavailable",
        "message": "The provider stub is out. Try again in 30 s.",
        "code": "PROVIDER_UNAVAILABLE",
        "provider": "stub",
        "retryAfterSeconds": 30,
    }
    assert await tickers(graph) == []


async def test_two_who_add_at_once_get_one_symbol(graph: GraphClient) -> None:
    answers = await asyncio.gather(*(graph.add("AAPL") for _ in range(5)))
    assert [(answer["__typename"], answer["symbol"]["version"]) for answer in answers] == [("SymbolAdded", 1)] * 5
    assert len({answer["job"]["id"] for answer in answers}) == 1
    assert await tickers(graph) == ["AAPL"]


# ── what was answered is read


async def told_and_read(graph: GraphClient, database: SqlDatabase) -> list[tuple[Any, Any]]:
    """Fifty who change a symbol each, and read it and the list as soon as they are answered: what was told, what was read."""
    names = [f"T{number:02}" for number in range(50)]
    async with database.write() as unit:
        for ticker in names:
            await unit.symbols.add(Symbol.tracked(profile(ticker), None, None))
    assert await tickers(graph) == names
    pairs: list[tuple[Any, Any]] = []

    async def compare(ticker: str, answer: dict[str, Any], is_listed: bool) -> None:
        found = await graph("query($t: String!) { symbol(ticker: $t) { version } symbols { nodes { ticker } } }", t=ticker)
        pairs.append((answer["symbol"]["version"], found["symbol"]["version"]))
        pairs.append((is_listed, {"ticker": ticker} in found["symbols"]["nodes"]))

    async def change(ticker: str) -> None:
        await compare(ticker, await graph.add(ticker, name="another", expectedVersion=1), is_listed=True)
        await compare(ticker, await graph.remove(ticker, 2), is_listed=False)

    async with asyncio.TaskGroup() as group:
        for ticker in names:
            group.create_task(change(ticker))
    return pairs


async def test_what_a_mutation_answers_the_next_query_reads(graph: GraphClient, database: SqlDatabase) -> None:
    pairs = await told_and_read(graph, database)
    assert len(pairs) == 200
    assert all(answered == found for answered, found in pairs)


async def test_without_heed_of_own_writes_it_would_not(
    graph: GraphClient, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "FRESH_SECONDS", 3600)
    with mutated(SqlEventFeed.symbols, ("self._database.written_at", "0.0")):
        pairs = await told_and_read(graph, database)
    assert any(answered != found for answered, found in pairs)


# ── remove


async def test_a_removed_symbol_keeps_its_history(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "AAPL")
    await graph.refresh("AAPL")
    held = await read(graph, "AAPL")
    assert held["bars"]["nodes"]
    assert held["levels"]
    removed = await graph.remove("AAPL", 2)
    assert (removed["__typename"], removed["symbol"]["status"], removed["symbol"]["version"]) == ("SymbolRemoved", "RETIRED", 3)
    assert await read(graph, "AAPL") == held | {"status": "RETIRED", "version": 3}


async def test_a_retired_symbol_is_seen_only_by_who_asks_for_it(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "AAPL", "MSFT")
    await graph.remove("AAPL", 1)
    assert await tickers(graph) == ["MSFT"]
    assert await tickers(graph, tickers=["AAPL", "MSFT"]) == ["MSFT"]
    assert await tickers(graph, status="RETIRED") == ["AAPL"]
    assert await tickers(graph, status="ACTIVE") == ["MSFT"]
    assert (await read(graph, "AAPL"))["status"] == "RETIRED"


async def test_removing_cancels_the_onboarding(graph: GraphClient) -> None:
    job = (await graph.add("AAPL"))["job"]
    assert (await graph.remove("AAPL", 1))["symbol"]["status"] == "RETIRED"
    found = await graph("query($id: ID!) { onboardingJob(id: $id) { status error finishedAt position } }", id=job["id"])
    assert found["onboardingJob"] == {
        "status": "CANCELLED",
        "error": "its symbol was removed",
        "finishedAt": EVENING.isoformat(),
        "position": None,
    }


async def test_a_removal_needs_the_version_and_a_symbol_that_is_there(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "AAPL")
    wrong = await graph.remove("AAPL", 2)
    assert (wrong["__typename"], wrong["expectedVersion"], wrong["currentVersion"]) == ("VersionConflict", 2, 1)
    await graph.remove("AAPL", 1)
    again = await graph.remove("AAPL", 2)
    assert (again["__typename"], again["expectedVersion"], again["currentVersion"]) == ("VersionConflict", 2, 2)
    assert again["message"] == "AAPL is retired already; its version is 2."
    unknown = await graph.remove("MSFT", 1)
    assert (unknown["__typename"], unknown["message"]) == ("SymbolNotFound", "MSFT is not tracked.")


# ── refresh


async def test_a_refresh_brings_bars_and_levels(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "AAPL")
    done = await graph.refresh("AAPL")
    assert (done["__typename"], done["barsReceived"], done["barsChanged"]) == ("SymbolRefreshed", 120, 120)
    assert done["levelsExtracted"] == done["symbol"]["levelCount"] > 0
    assert (done["symbol"]["version"], done["symbol"]["isStale"]) == (2, False)
    assert done["symbol"]["lastUpdated"] == "2026-03-27T20:30:00+00:00"
    stored = await read(graph, "AAPL")
    assert (len(stored["levels"]), stored["version"]) == (done["levelsExtracted"], 2)


async def test_a_second_refresh_changes_only_what_is_news(
    graph: GraphClient, database: SqlDatabase, clock: ManualClock
) -> None:
    await track(database, "AAPL")
    await graph.refresh("AAPL")
    clock.advance(timedelta(days=1))
    again = await graph.refresh("AAPL", expectedVersion=2)
    assert again["symbol"]["version"] == 3
    assert 0 < again["barsChanged"] <= again["barsReceived"] < 120


async def test_the_refresh_in_flight_is_shown_and_another_is_refused(
    graph: GraphClient, database: SqlDatabase, provider: StubProvider
) -> None:
    await track(database, "AAPL")
    started, may_answer = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        started.set()
        await may_answer.wait()

    provider.before_answer = wait
    first = asyncio.create_task(graph.refresh("AAPL"))
    await started.wait()
    running = {"ticker": "AAPL", "startedAt": EVENING.isoformat(), "startedBy": "api"}
    assert (await read(graph, "AAPL"))["refresh"] == {"startedBy": "api", "startedAt": running["startedAt"]}
    assert await graph.refresh("AAPL") == {
        "__typename": "AlreadyRefreshing",
        "message": "AAPL is already being refreshed, since 2026-03-27T20:30:00Z by api.",
        "code": "ALREADY_REFRESHING",
        "refresh": running,
    }
    may_answer.set()
    assert (await first)["__typename"] == "SymbolRefreshed"
    assert (await read(graph, "AAPL"))["refresh"] is None


async def test_a_symbol_that_is_being_onboarded_is_not_refreshed(graph: GraphClient) -> None:
    await graph.add("AAPL")
    assert await graph.refresh("AAPL") == {
        "__typename": "AlreadyRefreshing",
        "message": "AAPL is already being refreshed, since 2026-03-27T20:30:00Z by onboarding.",
        "code": "ALREADY_REFRESHING",
        "refresh": {"ticker": "AAPL", "startedAt": EVENING.isoformat(), "startedBy": "onboarding"},
    }
    assert (await graph.refresh("AAPL", expectedVersion=2))["__typename"] == "VersionConflict"


async def test_a_refresh_that_finds_nothing_changes_nothing(
    graph: GraphClient, database: SqlDatabase, provider: StubProvider
) -> None:
    await track(database, "AAPL")
    await graph.refresh("AAPL")
    held = await read(graph, "AAPL")
    provider.bars = []
    empty = await graph.refresh("AAPL")
    assert (empty["__typename"], empty["code"]) == ("NoData", "NO_DATA")
    assert empty["message"] == "stub answered and has no bar of AAPL in the range asked for."
    provider.before_answer = unavailable(Trouble.DOWN, None)
    down = await graph.refresh("AAPL")
    assert (down["__typename"], down["provider"], down["retryAfterSeconds"]) == ("ProviderUnavailable", "stub", None)
    assert await read(graph, "AAPL") == held


async def test_a_refresh_needs_a_tracked_symbol_and_its_version(graph: GraphClient, database: SqlDatabase) -> None:
    assert (await graph.refresh("AAPL"))["__typename"] == "SymbolNotFound"
    await track(database, "AAPL")
    wrong = await graph.refresh("AAPL", expectedVersion=3)
    assert (wrong["__typename"], wrong["expectedVersion"], wrong["currentVersion"]) == ("VersionConflict", 3, 1)
    await graph.remove("AAPL", 1)
    retired = await graph.refresh("AAPL")
    assert (retired["__typename"], retired["message"]) == ("SymbolNotFound", "AAPL is retired.")


# ── finding


async def test_every_spelling_is_accepted_everywhere(graph: GraphClient, pipeline: Pipeline) -> None:
    for text, ticker in SPELLINGS.items():
        assert (await graph.add(text))["symbol"]["ticker"] == ticker
        assert (await read(graph, text))["ticker"] == ticker
        assert await tickers(graph, tickers=[text, "nope"]) == [ticker]
        await pipeline.work_off()
        assert (await graph.refresh(text))["symbol"]["ticker"] == ticker
        assert (await graph.remove(text, 3))["symbol"]["ticker"] == ticker


async def test_what_is_no_ticker_names_nothing(graph: GraphClient) -> None:
    assert (await graph.remove("a?b", 1))["__typename"] == "SymbolNotFound"
    assert (await graph.refresh("a?b"))["__typename"] == "SymbolNotFound"
    assert (await graph('{ symbol(ticker: "a?b") { id } }'))["symbol"] is None
    code, message = await graph.refused('{ symbols(filter: {tickers: ["AAPL", "a?b"]}) { totalCount } }')
    assert (code, message.split(":")[0]) == ("INVALID_TICKER", "'a?b' is not a ticker")


async def test_a_pair_says_what_it_is_made_of(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "EUR/USD", "AAPL")
    pair, stock = await read(graph, "EUR/USD"), await read(graph, "AAPL")
    assert (pair["baseCurrency"], pair["quoteCurrency"], pair["exchange"]) == ("EUR", "USD", None)
    assert (stock["baseCurrency"], stock["quoteCurrency"], stock["exchange"]) == (None, None, "XNAS")


async def test_a_filter_narrows_by_all_that_it_names(graph: GraphClient, database: SqlDatabase) -> None:
    for ticker in ("MSFT", "BTC-USD", "AAPL", "EUR/USD"):
        await track(database, ticker)
    assert await tickers(graph) == ["AAPL", "BTC-USD", "EUR/USD", "MSFT"]
    assert await tickers(graph, assetClass="STOCK") == ["AAPL", "MSFT"]
    assert await tickers(graph, assetClass="CRYPTO", tickers=["AAPL"]) == []
    assert await tickers(graph, tickers=["MSFT", "MSFT", "AAPL"]) == ["AAPL", "MSFT"]
    assert await tickers(graph, tickers=[]) == []
    assert await tickers(graph, status="SUSPECT") == []


async def test_a_name_may_be_any_text(graph: GraphClient) -> None:
    name = "Ærøskøbing ”Ω” 証券 \U0001f680 'x' -- \\ \n"
    assert (await graph.add("AAPL", name=name))["symbol"]["name"] == name
    assert (await read(graph, "AAPL"))["name"] == name


async def test_a_global_id_leads_back(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "BRK-B")
    held = await read(graph, "BRK-B")
    found = await graph("query($id: ID!) { node(id: $id) { __typename id ... on Symbol { ticker } } }", id=held["id"])
    assert found["node"] == {"__typename": "Symbol", "id": held["id"], "ticker": "BRK-B"}


async def test_an_id_that_names_nothing_is_null(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "AAPL")
    for text in (*NO_IDS, *(base64.urlsafe_b64encode(key.encode()).decode() for key in NO_IDS)):
        assert (await graph("query($id: ID!) { node(id: $id) { id } }", id=text))["node"] is None, text


async def test_a_search_says_what_is_tracked(graph: GraphClient, database: SqlDatabase) -> None:
    await track(database, "AAPL", "MSFT")
    await graph.remove("MSFT", 1)
    query = "query($text: String!, $first: Int) { searchSymbols(text: $text, first: $first) { ticker isTracked currency } }"
    found = (await graph(query, text="a", first=None))["searchSymbols"]
    assert found == [{"ticker": "AAPL", "isTracked": True, "currency": "USD"}]
    assert [match["isTracked"] for match in (await graph(query, text="f"))["searchSymbols"]] == [False]
    assert len((await graph(query, text="", first=2))["searchSymbols"]) == 2
    assert (await graph.refused(query, text="a", first=0))[0] == "BAD_USER_INPUT"


async def test_a_search_is_an_error_while_the_provider_is_out(graph: GraphClient, provider: StubProvider) -> None:
    provider.before_answer = unavailable(Trouble.DOWN, 5)
    code, message = await graph.refused('{ searchSymbols(text: "aapl") { ticker } }')
    assert (code, message) == ("PROVIDER_UNAVAILABLE", "The provider stub is out. Try again in 5 s.")


async def test_the_service_says_what_it_is(graph: GraphClient) -> None:
    found = await graph("{ service { name version now database stalenessThresholdHours } symbols { stalenessThresholdHours } }")
    assert found["service"] == {
        "name": "Freshtape",
        "version": "0.0.0",
        "now": "2026-03-27T20:30:00+00:00",
        "database": graph.services.about.database,
        "stalenessThresholdHours": 48,
    }
    assert found["symbols"]["stalenessThresholdHours"] == 48
