"""Tracking and reading symbols through the service."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.bars import ActionKind, CorporateAction, Interval
from domain.errors import InvalidTicker, ProviderUnavailable, QueueFull, SymbolNotFound, VersionConflict
from domain.events import Logged, LoggedStep, Position, SymbolChangeKind
from domain.onboarding import PENDING_SECONDS, JobStatus, OnboardingJob
from domain.ports import BarQuery, SymbolQuery
from domain.services import asking
from domain.services.pipeline import Pipeline
from domain.services.symbols import Added
from domain.symbols import Symbol, SymbolStatus
from domain.tickers import AssetClass
from graph.context import Services
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING, ManualClock
from tests.support.journal import changes_of
from tests.support.provider import StubProvider, daily_bar, profile
from tests.support.universe import track

ONBOARDED = Symbol.tracked(profile("AAPL"), None, None, SymbolStatus.ONBOARDING)
"""What a symbol is that has just been added."""


async def _log(database: SqlDatabase) -> list[Logged]:
    async with database.read() as unit:
        return await unit.events.after(Position((await unit.events.head()).log_id, 0), 100)


async def kinds(database: SqlDatabase) -> list[SymbolChangeKind]:
    return [change.event.kind for change in changes_of(await _log(database))]


async def steps(database: SqlDatabase) -> list[tuple[str, JobStatus]]:
    """Of onboardings: each job and how it stood."""
    jobs = [entry.event.job for entry in await _log(database) if isinstance(entry, LoggedStep)]
    return [(job.id, job.status) for job in jobs]


async def add(services: Services, ticker: str = "AAPL", **given: Any) -> Added:
    values: dict[str, Any] = {"asset_class": None, "name": None, "version": None}
    return await services.symbols.add(ticker, **(values | given))


async def queued(services: Services, ticker: str = "AAPL", **given: Any) -> OnboardingJob:
    """The onboarding that adding it is answered with, or that it has."""
    job = (await add(services, ticker, **given)).job
    assert job is not None
    return job


# ── add


async def test_a_new_symbol_is_what_the_provider_says_of_it(services: Services, database: SqlDatabase) -> None:
    added = (await add(services)).symbol
    assert added == ONBOARDED
    assert await services.symbols.get("AAPL") == added
    assert await kinds(database) == [SymbolChangeKind.ADDED]


async def test_the_history_of_a_new_symbol_is_queued(
    services: Services, database: SqlDatabase, provider: StubProvider, clock: ManualClock
) -> None:
    job = await queued(services)
    expected = OnboardingJob(job.id, "AAPL", clock.now(), position=1, estimated_seconds=PENDING_SECONDS)
    assert job == await services.onboarding.job(job.id) == expected
    assert provider.asked == [], "a worker fetches it"
    assert await steps(database) == [(job.id, JobStatus.PENDING)]


async def test_a_new_symbol_is_active_once_its_history_is_there(
    services: Services, database: SqlDatabase, pipeline: Pipeline, clock: ManualClock
) -> None:
    await add(services)
    await pipeline.work_off()
    found = await services.symbols.get("AAPL")
    assert found is not None
    assert (found.status, found.last_updated, found.version) == (SymbolStatus.ACTIVE, clock.now(), 2)
    assert found.level_count > 0
    assert await add(services) == Added(found, None), "nothing is left to bring"
    assert await kinds(database) == [SymbolChangeKind.ADDED, SymbolChangeKind.UPDATED, SymbolChangeKind.STATUS_CHANGED]


async def test_a_full_queue_adds_nothing(services: Services, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.onboarding.queue, "depth", 1)
    first = await queued(services)
    with pytest.raises(QueueFull) as full:
        await add(services, "MSFT")
    assert (full.value.depth, full.value.max_depth) == (1, 1)
    assert await services.symbols.get("MSFT") is None
    assert await kinds(database) == [SymbolChangeKind.ADDED]
    assert await steps(database) == [(first.id, JobStatus.PENDING)]
    assert await queued(services) == first, "who is in it already needs no place"


async def test_what_the_caller_says_wins(services: Services) -> None:
    added = (await add(services, asset_class=AssetClass.ETF, name="Mine")).symbol
    assert (added.asset_class, added.name, added.exchange) == (AssetClass.ETF, "Mine", "XNAS")


async def test_adding_again_changes_nothing_and_asks_nobody(
    services: Services, provider: StubProvider, database: SqlDatabase
) -> None:
    first = await add(services)
    provider.profiles.clear()
    assert await add(services) == first
    assert await add(services, version=1, name="AAPL Inc.") == first
    assert await kinds(database) == [SymbolChangeKind.ADDED]
    assert len(await steps(database)) == 1


async def test_a_wrong_version_conflicts_also_when_nothing_would_change(services: Services) -> None:
    await add(services)
    with pytest.raises(VersionConflict) as conflict:
        await add(services, version=2)
    assert (conflict.value.expected, conflict.value.current) == (2, 1)


async def test_a_change_needs_the_version(services: Services, database: SqlDatabase) -> None:
    job = await queued(services)
    with pytest.raises(VersionConflict) as conflict:
        await add(services, name="New")
    assert (conflict.value.expected, conflict.value.current) == (None, 1)
    again = await add(services, name="New", version=1)
    changed = again.symbol
    assert (changed.name, changed.version, changed.status) == ("New", 2, SymbolStatus.ONBOARDING)
    assert again.job == job, "it is being onboarded already"
    assert await services.symbols.get("AAPL") == changed
    assert await kinds(database) == [SymbolChangeKind.ADDED, SymbolChangeKind.UPDATED]


async def test_a_class_that_the_ticker_cannot_have(services: Services, database: SqlDatabase) -> None:
    with pytest.raises(InvalidTicker):
        await add(services, "AAPL", asset_class=AssetClass.FOREX)
    assert await kinds(database) == []


async def test_a_ticker_that_the_provider_does_not_know(services: Services, database: SqlDatabase) -> None:
    with pytest.raises(SymbolNotFound):
        await add(services, "TSLA")
    assert await services.symbols.get("TSLA") is None
    assert await kinds(database) == []


async def test_of_many_that_add_at_once_one_does_and_all_are_answered(
    services: Services, provider: StubProvider, database: SqlDatabase
) -> None:
    """All of them have asked the provider before any of them writes."""
    together = asyncio.Barrier(6)

    async def meet() -> None:
        await together.wait()

    provider.before_answer = meet
    answers = await asyncio.gather(*(add(services) for _ in range(6)))
    assert {answer.symbol for answer in answers} == {ONBOARDED}
    (job,) = {answer.job for answer in answers}
    assert job is not None
    assert await kinds(database) == [SymbolChangeKind.ADDED]
    assert await steps(database) == [(job.id, JobStatus.PENDING)]


async def test_somebody_else_added_it_otherwise_while_the_provider_was_asked(
    services: Services, provider: StubProvider, database: SqlDatabase
) -> None:
    async def add_elsewhere() -> None:
        provider.before_answer = None
        await add(services, name="Theirs")

    provider.before_answer = add_elsewhere
    with pytest.raises(VersionConflict):
        await add(services, name="Mine")
    found = await services.symbols.get("AAPL")
    assert found is not None
    assert (found.name, found.version) == ("Theirs", 1)


async def test_a_provider_that_does_not_answer_adds_nothing(
    services: Services, provider: StubProvider, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PROVIDER_SECONDS", 0.05)

    async def never() -> None:
        await asyncio.sleep(3600)

    provider.before_answer = never
    with pytest.raises(ProviderUnavailable):
        await add(services)
    with pytest.raises(ProviderUnavailable):
        await services.symbols.search("AAPL", 5)
    assert await kinds(database) == []


# ── remove and revive


async def test_a_removed_symbol_is_kept_and_can_be_revived(
    services: Services, database: SqlDatabase, pipeline: Pipeline, clock: ManualClock
) -> None:
    await track(database, "AAPL")
    refreshed = (await services.refreshing.refresh("AAPL", 1, "api")).symbol
    removed = await services.symbols.remove("AAPL", 2)
    assert removed == replace(refreshed, status=SymbolStatus.RETIRED, version=3)
    assert await services.symbols.get("AAPL") == removed
    assert len((await services.symbols.levels(["AAPL"]))["AAPL"]) == removed.level_count > 0
    bars = await services.symbols.bars(["AAPL"], BarQuery(Interval.ONE_DAY, 500, EVENING))
    assert len(bars["AAPL"].bars) == 120
    with pytest.raises(VersionConflict):
        await add(services)
    revived = await add(services, version=3)
    assert revived.symbol == replace(refreshed, status=SymbolStatus.ONBOARDING, version=4)
    assert revived.job is not None
    assert revived.job.previous_status is SymbolStatus.RETIRED
    assert await kinds(database) == [
        SymbolChangeKind.ADDED,
        SymbolChangeKind.REFRESH_STARTED,
        SymbolChangeKind.REFRESHED,
        SymbolChangeKind.REMOVED,
        SymbolChangeKind.ADDED,
    ]
    await pipeline.work_off()
    assert await services.symbols.get("AAPL") == replace(refreshed, version=5)


async def test_removing_calls_the_onboarding_off(
    services: Services, database: SqlDatabase, pipeline: Pipeline, provider: StubProvider, clock: ManualClock
) -> None:
    job = await queued(services)
    removed = await services.symbols.remove("AAPL", 1)
    assert removed == replace(ONBOARDED, status=SymbolStatus.RETIRED, version=2)
    cancelled = await services.onboarding.job(job.id)
    assert cancelled is not None
    assert (cancelled.status, cancelled.finished_at) == (JobStatus.CANCELLED, clock.now())
    assert cancelled.error == "its symbol was removed"
    await pipeline.work_off()
    assert provider.asked == []
    assert await services.symbols.get("AAPL") == removed
    assert await kinds(database) == [SymbolChangeKind.ADDED, SymbolChangeKind.REMOVED]
    assert await steps(database) == [(job.id, JobStatus.PENDING), (job.id, JobStatus.CANCELLED)]


async def test_removed_while_its_worker_is_at_it_nothing_more_is_written(
    services: Services, database: SqlDatabase, pipeline: Pipeline, provider: StubProvider
) -> None:
    job = await queued(services)

    async def remove_meanwhile() -> None:
        provider.before_answer = None
        await services.symbols.remove("AAPL", 1)

    provider.before_answer = remove_meanwhile
    await pipeline.work_off()
    assert [ticker for ticker, *_ in provider.asked] == ["AAPL"], "it was at it"
    assert await services.symbols.get("AAPL") == replace(ONBOARDED, status=SymbolStatus.RETIRED, version=2)
    assert (await services.symbols.bars(["AAPL"], BarQuery(Interval.ONE_DAY, 500, EVENING)))["AAPL"].bars == []
    assert await kinds(database) == [SymbolChangeKind.ADDED, SymbolChangeKind.REMOVED]
    assert (await steps(database))[-1] == (job.id, JobStatus.CANCELLED)


async def test_a_removal_that_is_refused_leaves_the_onboarding_alone(services: Services, database: SqlDatabase) -> None:
    job = await queued(services)
    with pytest.raises(VersionConflict):
        await services.symbols.remove("AAPL", 2)
    assert await services.onboarding.job(job.id) == job
    assert await steps(database) == [(job.id, JobStatus.PENDING)]


async def test_a_full_queue_revives_nothing(services: Services, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    await track(database, "AAPL")
    removed = await services.symbols.remove("AAPL", 1)
    monkeypatch.setattr(services.onboarding.queue, "depth", 1)
    await add(services, "MSFT")
    before = await kinds(database)
    with pytest.raises(QueueFull):
        await add(services, version=2)
    assert await services.symbols.get("AAPL") == removed
    assert await kinds(database) == before


async def test_what_cannot_be_removed(services: Services, database: SqlDatabase) -> None:
    with pytest.raises(SymbolNotFound):
        await services.symbols.remove("AAPL", 1)
    await add(services)
    with pytest.raises(VersionConflict):
        await services.symbols.remove("AAPL", 2)
    await services.symbols.remove("AAPL", 1)
    with pytest.raises(VersionConflict, match="retired already"):
        await services.symbols.remove("AAPL", 2)
    assert await kinds(database) == [SymbolChangeKind.ADDED, SymbolChangeKind.REMOVED]


async def test_of_two_that_remove_the_same_version_one_does(services: Services, database: SqlDatabase) -> None:
    await add(services)
    ended = await asyncio.gather(*(services.symbols.remove("AAPL", 1) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(each, VersionConflict) for each in ended) == 3
    assert await kinds(database) == [SymbolChangeKind.ADDED, SymbolChangeKind.REMOVED]


# ── queries


async def test_search_says_what_is_tracked(services: Services, database: SqlDatabase) -> None:
    await track(database, "AAPL", "MSFT")
    await services.symbols.remove("MSFT", 1)
    found = await services.symbols.search("", 10)
    assert {profile.ticker: tracked for profile, tracked in found} == {"AAPL": True, "MSFT": False, "BRK-B": False}


async def test_bars_are_in_the_shares_of_the_day_asked_about(services: Services, database: SqlDatabase) -> None:
    await track(database, "AAPL")
    friday, monday = date(2026, 3, 6), date(2026, 3, 9)
    async with database.write() as unit:
        await unit.bars.upsert([daily_bar("AAPL", friday, "100")])
        await unit.bars.upsert_actions([CorporateAction("AAPL", monday, ActionKind.SPLIT, Decimal(4), "stub")])

    async def close(until: datetime) -> Decimal:
        (bar,) = (await services.symbols.bars(["AAPL"], BarQuery(Interval.ONE_DAY, 10, until)))["AAPL"].bars
        return bar.close

    begins = datetime(2026, 3, 9, tzinfo=UTC)
    assert await close(begins - timedelta(microseconds=1)) == 100
    assert await close(begins) == 25


async def test_a_page_by_staleness_agrees_with_the_verdict(
    services: Services, database: SqlDatabase, clock: ManualClock
) -> None:
    await track(database, "AAPL", "MSFT", "BRK-B")
    for ticker in ("AAPL", "MSFT"):
        await services.refreshing.refresh(ticker, None, "api")
        clock.advance(timedelta(microseconds=1))
    clock.advance(timedelta(hours=48) - timedelta(microseconds=1))
    before = clock.now() - services.symbols.threshold
    page = await services.symbols.page(SymbolQuery(is_stale=True, updated_before=before), 10, None)
    everything = await services.symbols.page(SymbolQuery(), 10, None)
    by_verdict = [s for s in everything.symbols if services.symbols.freshness(s, clock.now()).is_stale]
    assert page.symbols == by_verdict
    assert [symbol.ticker for symbol in page.symbols] == ["AAPL", "BRK-B"]


async def test_calendars_are_loaded_for_what_is_tracked(
    services: Services, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await track(database, "AAPL")
    asked: list[tuple[AssetClass, str | None]] = []
    monkeypatch.setattr("domain.services.symbols.calendar_for", lambda *listing: asked.append(listing))
    await services.symbols.load_calendars()
    assert set(asked) == {(AssetClass.STOCK, "XNAS"), (AssetClass.STOCK, None)}
