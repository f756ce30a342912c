"""Many processes, one symbol. Each race is run once as the code is, and once for each guard that is taken out."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest

from domain.events import SymbolChangeKind
from domain.factors import FACTOR_ETFS, FactorModel
from domain.services.backfills import Backfills
from domain.services.measuring import Measuring
from domain.services.onboarding import Onboarding
from domain.services.portfolios import Portfolios
from domain.services.providers import Providers
from domain.services.queueing import OnboardingQueue
from domain.services.queues import Queues
from domain.services.refreshing import Refreshing
from domain.services.sessions import Sessions
from domain.services.statistics import Counting
from domain.services.symbols import Symbols
from domain.services.telling import BarFeed
from domain.services.watching import SessionWatch
from domain.session import StreamingRules
from domain.symbols import SymbolStatus
from domain.windows import Windows
from graph.context import About, Services
from persistence.catalogue import SqlCatalogue
from persistence.engine import Engine
from persistence.event_feed import SqlEventFeed
from persistence.unit_of_work import SqlDatabase
from tests.support.client import GraphClient
from tests.support.clock import ManualClock
from tests.support.inquiries import Inquiries
from tests.support.mutants import in_force
from tests.support.process import Processes, Service
from tests.support.provider import StubProvider
from tests.support.stored import Stored, stored
from tests.support.universe import track_in

CLOCK = "2026-03-27T20:30:00Z"
TICKER = "BTC-USD"
OVERLAP_SECONDS = 2
THRESHOLD = timedelta(hours=48)
ANSWERS = {
    "SymbolRefreshed",
    "AlreadyRefreshing",
    "SymbolNotFound",
    "VersionConflict",
    "ProviderUnavailable",
    "NoData",
}

Answer = dict[str, Any]


def faults(found: Stored, answers: Sequence[Answer]) -> set[str]:
    refreshed = [answer for answer in answers if answer["__typename"] == "SymbolRefreshed"]
    holds = {
        "one refresh at a time": found.is_refreshed_one_at_a_time,
        "a version for each refresh": found.symbol.version == 1 + len(refreshed),
        "an event for each refresh": found.kinds.count(SymbolChangeKind.REFRESHED) == len(refreshed),
        "levels of one extraction": found.is_whole,
        "numbers without gaps": found.is_numbered_without_gaps,
        "only members of the union": {answer["__typename"] for answer in answers} <= ANSWERS,
    }
    return {name for name, is_true in holds.items() if not is_true}


# ── many refreshes


async def test_a_hundred_refreshes_over_four_processes(database_url: str) -> None:
    async with Inquiries() as inquiries, Processes(database_url, inquiries, FRESHTAPE_CLOCK=CLOCK) as processes:
        services = await processes.start(4)
        await services[0].add(TICKER)
        answers = await storm(services, inquiries, each=25)
    found = await stored(database_url, TICKER)
    assert faults(found, answers) == set()
    assert found.refresh is None
    counted = Counter(answer["__typename"] for answer in answers)
    assert counted["SymbolRefreshed"] >= 1
    assert counted["AlreadyRefreshing"] >= 1
    assert counted.total() == 100
    told = [answer["refresh"] for answer in answers if answer["__typename"] == "AlreadyRefreshing"]
    assert {(refresh["ticker"], refresh["startedBy"]) for refresh in told} == {(TICKER, "api")}


async def storm(services: Sequence[Service], inquiries: Inquiries, each: int) -> list[Answer]:
    """The provider takes until every process has been told that a refresh is under way; each time it knows one more day."""
    told: set[Service] = set()
    all_told = asyncio.Event()

    async def refresh(service: Service) -> Answer:
        answer = await service.refresh(TICKER)
        if answer["__typename"] == "AlreadyRefreshing":
            told.add(service)
        if len(told) == len(services):
            all_told.set()
        return answer

    async def provide() -> None:
        for days_left_out in range(100, -1, -1):
            inquiry = await inquiries.next(within=60)
            with suppress(TimeoutError):
                async with asyncio.timeout(OVERLAP_SECONDS):
                    await all_told.wait()
            inquiry.answer(days_left_out)

    providing = asyncio.create_task(provide())
    try:
        return await asyncio.gather(*(refresh(service) for service in services for _ in range(each)))
    finally:
        providing.cancel()
        await asyncio.gather(providing, return_exceptions=True)


# ── two refreshes, the second begun before the first has ended


@pytest.mark.parametrize(
    ("mutants", "broken"),
    [
        ((), set()),
        (("lease taken from its holder",), {"one refresh at a time"}),
        (
            ("lease taken from its holder", "lease not needed to write", "any version saved"),
            {"one refresh at a time", "a version for each refresh"},  # levels are of the bars that the write itself has read
        ),
    ],
    ids=["as it is", "without the lease", "without lease, fence and version"],
)
async def test_two_refreshes_do_not_overlap(database_url: str, mutants: tuple[str, ...], broken: set[str]) -> None:
    async with Inquiries() as inquiries, Processes(database_url, inquiries, FRESHTAPE_CLOCK=CLOCK) as processes:
        first, second = await processes.start(2, *mutants)
        await first.add(TICKER)
        answers = await duel(first, second, inquiries)
    assert faults(await stored(database_url, TICKER), answers) == broken


async def duel(first: Service, second: Service, inquiries: Inquiries) -> list[Answer]:
    """The first refresh hears the newest bars; the second, where it may ask at all, older ones, and ends later."""
    one = asyncio.create_task(first.refresh(TICKER))
    newest = await inquiries.next()
    two = asyncio.create_task(second.refresh(TICKER))
    older = asyncio.create_task(inquiries.next())
    await asyncio.wait({two, older}, return_when=asyncio.FIRST_COMPLETED)
    newest.answer()
    await one
    if older.done():
        older.result().answer(days_left_out=30)
    older.cancel()
    return [await one, await two]


# ── a removal while a refresh is under way


@pytest.mark.parametrize("mutants", [(), ("any version saved",)], ids=["as it is", "without the version"])
async def test_a_removal_overtakes_a_refresh(database_url: str, mutants: tuple[str, ...]) -> None:
    async with Inquiries() as inquiries, Processes(database_url, inquiries, FRESHTAPE_CLOCK=CLOCK) as processes:
        refreshing, removing = await processes.start(2, *mutants)
        await refreshing.add(TICKER)
        refresh = asyncio.create_task(refreshing.refresh(TICKER))
        inquiry = await inquiries.next()
        removed = await removing.remove(TICKER, 1)
        inquiry.answer()
        answer = await refresh
    found = await stored(database_url, TICKER)
    assert removed["__typename"] == "SymbolRemoved"
    stays_removed = (answer["__typename"], found.symbol.status) == ("VersionConflict", SymbolStatus.RETIRED)
    assert stays_removed == (not mutants)
    assert (found.levels == [] and found.bars == []) == (not mutants)


# ── many removals with one version

REMOVALS = 20


async def removals(clients: Sequence[Service | GraphClient]) -> list[Answer]:
    removing = (clients[number % len(clients)].remove(TICKER, 1) for number in range(REMOVALS))
    answers = await asyncio.gather(*removing, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if isinstance(answer, dict)]


def assert_one_removed(found: Stored, answers: Sequence[Answer]) -> None:
    counted = Counter(answer["__typename"] for answer in answers)
    assert counted == {"SymbolRemoved": 1, "VersionConflict": REMOVALS - 1}
    assert {answer["currentVersion"] for answer in answers if answer["__typename"] == "VersionConflict"} == {2}
    assert found.kinds == [SymbolChangeKind.ADDED, SymbolChangeKind.REMOVED]
    assert found.symbol.version == 2
    assert found.is_numbered_without_gaps


async def test_one_of_twenty_removals_wins(database_url: str) -> None:
    async with Processes(database_url, FRESHTAPE_CLOCK=CLOCK) as processes:
        services = await processes.start(4, "slow to remove")
        await services[0].add(TICKER)
        answers = await removals(services)
    assert_one_removed(await stored(database_url, TICKER), answers)


async def test_without_locks_and_version_several_removals_win(postgresql_url: str) -> None:
    with in_force("slow to remove", "queue not locked", "row not locked", "any version saved"):
        async with local(postgresql_url) as clients:
            answers = await removals(clients)
    with pytest.raises(AssertionError, match="SymbolRemoved"):
        assert_one_removed(await stored(postgresql_url, TICKER), answers)


async def test_where_writes_begin_as_reads_removals_fail(sqlite_url: str) -> None:
    with in_force("slow to remove", "writes begin as reads"):
        async with local(sqlite_url) as clients:
            with pytest.raises(AssertionError, match="DATABASE_UNAVAILABLE"):
                await removals(clients)


@asynccontextmanager
async def local(database_url: str) -> AsyncIterator[list[GraphClient]]:
    """Four services in this process that share nothing but the database, in which the symbol is tracked."""
    await track_in(database_url, TICKER)
    engines = [Engine(database_url) for _ in range(4)]
    try:
        yield [GraphClient(services_on(SqlDatabase(engine, clock_generation=0))) for engine in engines]
    finally:
        await asyncio.gather(*(engine.close() for engine in engines))


def services_on(database: SqlDatabase) -> Services:
    clock, provider, feed = ManualClock(), StubProvider(TICKER), SqlEventFeed(database)
    queue, threshold = OnboardingQueue(clock, depth=50, places=3), timedelta(hours=48)
    refreshing, catalogue = Refreshing(database, provider, clock), SqlCatalogue(feed)
    watch = SessionWatch(database, clock)
    return Services(
        symbols=Symbols(database, catalogue, provider, queue, clock, threshold),
        refreshing=refreshing,
        onboarding=Onboarding(database, feed, queue, clock),
        backfills=Backfills(database, clock, Windows()),
        measuring=Measuring(database, provider, refreshing, FactorModel(FACTOR_ETFS), clock, threshold),
        counting=Counting(database, catalogue, clock),
        providers=Providers(database, [provider]),
        portfolios=Portfolios(database, queue, clock),
        sessions=Sessions(database, feed, catalogue, provider, watch, clock, rules=StreamingRules),
        bar_feed=BarFeed(database, clock),
        feed=feed,
        clock=clock,
        about=About("0.0.0", database.kind),
        queues=Queues(database),
        loops=list,
    )
