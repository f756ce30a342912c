"""`service`: what it says of the freshness of its symbols, of its loops and of its queues."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.backfill import Priority, Wanted
from domain.bars import Interval
from domain.loops import LoopState, LoopStatus
from domain.onboarding import JobStatus
from domain.symbols import Profile, Symbol
from domain.tickers import AssetClass
from graph.context import Services
from persistence import event_feed
from persistence.unit_of_work import SqlDatabase
from tests.support.client import GraphClient
from tests.support.clock import EVENING
from tests.support.figures import told
from tests.support.universe import track

FRESHNESS = "{ service { freshness { assetClass tracked fresh stale medianHours p95Hours } } }"
QUEUES = "{ service { queues { name pending underWay failed } } }"
HOUR = timedelta(hours=1)
MANY = 400


async def freshness(graph: GraphClient) -> list[tuple[Any, ...]]:
    return [tuple(each.values()) for each in (await graph(FRESHNESS))["service"]["freshness"]]


async def hold(database: SqlDatabase, *ages: timedelta | None, asset_class: AssetClass = AssetClass.STOCK) -> None:
    """Symbols that were updated so long ago; None: never."""
    async with database.write() as unit:
        for number, age in enumerate(ages):
            profile = Profile(f"{asset_class.name}{number}", None, asset_class, None, "USD")
            updated = EVENING - age if age is not None else None
            await unit.symbols.add(replace(Symbol.tracked(profile, None, None), last_updated=updated))


# ── freshness


async def test_without_symbols_there_is_nothing_to_be_fresh(graph: GraphClient) -> None:
    assert await freshness(graph) == []


async def test_one_at_the_threshold_is_fresh_and_an_instant_beyond_is_stale(graph: GraphClient, database: SqlDatabase) -> None:
    await hold(database, 48 * HOUR)
    await hold(database, 48 * HOUR + timedelta.resolution, asset_class=AssetClass.FOREX)
    assert await freshness(graph) == [("STOCK", 1, 1, 0, 48.0, 48.0), ("FOREX", 1, 0, 1, 48.0, 48.0)]


async def test_one_that_was_never_updated_and_one_that_is_retired(graph: GraphClient, database: SqlDatabase) -> None:
    await hold(database, None)
    await track(database, "BTC-USD")
    assert await freshness(graph) == [("STOCK", 1, 0, 1, None, None), ("CRYPTO", 1, 0, 1, None, None)]
    await graph.remove("BTC-USD", 1)
    assert await freshness(graph) == [("STOCK", 1, 0, 1, None, None)]


async def test_many_cost_no_statement_and_are_counted_once_an_operation(
    graph: GraphClient, database: SqlDatabase, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await hold(database, *(n * HOUR / 4 for n in range(MANY)))
    await hold(database, None, HOUR, asset_class=AssetClass.ETF)
    monkeypatch.setattr(event_feed, "FRESH_SECONDS", 3600)
    fresh = 48 * 4 + 1
    expected = [("STOCK", MANY, fresh, MANY - fresh, 49.9, 94.8), ("ETF", 2, 1, 1, 1.0, 1.0)]
    assert await freshness(graph) == expected
    statements.clear()
    counted = 0
    by_class = graph.services.symbols.freshness_by_class

    async def count(*arguments: Any) -> Any:
        nonlocal counted
        counted += 1
        return await by_class(*arguments)

    monkeypatch.setattr(graph.services.symbols, "freshness_by_class", count)
    aliased = " ".join(f"a{n}: service {{ freshness {{ tracked }} }}" for n in range(15))
    answer = await graph(f"{{ {aliased} }}")
    assert [each["tracked"] for each in answer["a14"]["freshness"]] == [MANY, 2]
    assert (statements, counted) == ([], 1)
    told(f"service.freshness of {MANY + 2} symbols, asked for 15 times: {len(statements)} statements, counted {counted} time")


# ── loops


async def test_the_loops_of_the_process_that_answers(services: Services) -> None:
    statuses = [
        LoopStatus("event feed", LoopState.RUNNING, 0, None, timedelta(seconds=90)),
        LoopStatus("listener", LoopState.FAILED, 7, "TimeoutError, see the log.", timedelta(seconds=2.5)),
    ]
    graph = GraphClient(replace(services, loops=lambda: statuses))
    found = (await graph("{ service { loops { name state restarts lastError seconds } } }"))["service"]["loops"]
    assert [tuple(each.values()) for each in found] == [
        ("event feed", "RUNNING", 0, None, 90.0),
        ("listener", "FAILED", 7, "TimeoutError, see the log.", 2.5),
    ]


# ── queues


async def queues(graph: GraphClient) -> dict[str, tuple[int, ...]]:
    found = (await graph(QUEUES))["service"]["queues"]
    return {each["name"]: (each["pending"], each["underWay"], each["failed"]) for each in found}


async def test_jobs_are_counted_where_they_stand(
    graph: GraphClient, services: Services, database: SqlDatabase, statements: list[str]
) -> None:
    assert await queues(graph) == {"onboarding": (0, 0, 0), "backfill": (0, 0, 0)}
    wanted = (Wanted(Interval.ONE_DAY, EVENING.date(), EVENING.date()),)
    await track(database, "SPY", "QQQ", "IWM", "VTV")
    async with database.write() as unit:
        for ticker in ("SPY", "QQQ", "IWM"):
            await unit.backfills.save((await unit.backfills.lock(ticker)).asked_for(wanted, "t", Priority.SCHEDULED, EVENING))
        await unit.backfills.lock("VTV")  # never asked for
    await graph.add("AAPL")
    await graph.add("MSFT")
    async with database.write() as unit:
        await unit.jobs.lock_queue()
        claim = await unit.jobs.claim(3, EVENING)
        assert claim is not None
        await unit.jobs.save(claim.job.ended(JobStatus.FAILED, EVENING, "no"))
        await unit.jobs.claim(3, EVENING)
        done = await unit.backfills.claim(3, EVENING)
        assert done is not None
        await unit.backfills.save(done.job.failed("no"))
        await unit.backfills.claim(3, EVENING)
    statements.clear()
    assert await queues(graph) == {"onboarding": (0, 1, 1), "backfill": (1, 1, 1)}
    assert len(statements) == 2
    onboarding, backfill = await services.queues.counts()
    assert dict(onboarding.by_status) == {
        "pending": 0, "processing": 1, "completed": 0, "partial": 0, "failed": 1, "cancelled": 0
    }  # fmt: skip
    assert dict(backfill.by_status) == {"pending": 1, "in_progress": 1, "completed": 0, "failed": 1}
