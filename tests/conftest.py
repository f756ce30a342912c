"""What the tests stand on: both databases for real, a clock that stands still, a provider that a test decides."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import event
from sqlalchemy.engine import URL

from domain.factors import FACTOR_ETFS, FactorModel
from domain.services.backfills import Backfills
from domain.services.measuring import Measuring
from domain.services.onboarding import Onboarding
from domain.services.pipeline import Pipeline
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
from domain.windows import Windows
from graph.context import About, Services
from persistence.catalogue import SqlCatalogue
from persistence.engine import Engine
from persistence.event_feed import SqlEventFeed
from persistence.unit_of_work import SqlDatabase
from persistence.upgrade import upgrade
from tests.support import postgres
from tests.support.client import GraphClient
from tests.support.clock import ManualClock
from tests.support.figures import FIGURES
from tests.support.provider import StubProvider

settings.register_profile("freshtape", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("freshtape")

DATABASES = ("sqlite", "postgresql")
TEMPLATE = "freshtape_template"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("figures")
        for figure in FIGURES:
            terminalreporter.write_line(figure)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser's tests come last: from the first of them on, its event loop runs in this thread, and no other can."""
    items.sort(key=lambda item: "browser" in getattr(item, "fixturenames", ()))


@pytest.fixture(autouse=True)
def _no_settings_of_the_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name in ("SYMBOL_STALENESS_HOURS", "BACKFILL_CRON") or (
            name.startswith("FRESHTAPE_") and not name.startswith("FRESHTAPE_TEST_")
        ):
            monkeypatch.delenv(name)


async def _upgraded(url: str) -> None:
    engine = Engine(url)
    try:
        await upgrade(engine)
    finally:
        await engine.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "template.db"
    asyncio.run(_upgraded(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """A server with a database, brought up to date, that each test's own is a copy of."""
    with postgres.server() as url:
        asyncio.run(postgres.execute(url, f"DROP DATABASE IF EXISTS {TEMPLATE}"))
        asyncio.run(postgres.execute(url, f"CREATE DATABASE {TEMPLATE}"))
        asyncio.run(_upgraded(url.set(database=TEMPLATE).render_as_string(hide_password=False)))
        yield url


def _sqlite_url(request: pytest.FixtureRequest) -> Iterator[str]:
    path = request.getfixturevalue("tmp_path") / "freshtape.db"
    shutil.copy(request.getfixturevalue("sqlite_template"), path)
    yield f"sqlite+aiosqlite:///{path}"


def _postgresql_url(request: pytest.FixtureRequest) -> Iterator[str]:
    server: URL = request.getfixturevalue("postgres_server")
    name = f"test_{uuid4().hex}"
    asyncio.run(postgres.execute(server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    asyncio.run(postgres.execute(server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a database of the test's own, up to date and empty; the test runs once on each kind."""
    yield from (_sqlite_url if request.param == "sqlite" else _postgresql_url)(request)


@pytest.fixture
def postgresql_url(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from _postgresql_url(request)


@pytest.fixture
def sqlite_url(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from _sqlite_url(request)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    engine = Engine(database_url)
    yield engine
    await engine.close()


@pytest.fixture
def database(engine: Engine) -> SqlDatabase:
    return SqlDatabase(engine, clock_generation=0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def provider() -> StubProvider:
    return StubProvider("AAPL", "MSFT", "BRK-B")


@pytest.fixture
def watch(database: SqlDatabase, clock: ManualClock) -> SessionWatch:
    return SessionWatch(database, clock)


@pytest.fixture
def services(database: SqlDatabase, provider: StubProvider, clock: ManualClock, watch: SessionWatch) -> Services:
    feed = SqlEventFeed(database)
    database.on_append = feed.poke
    queue = OnboardingQueue(clock, depth=50, places=3)
    refreshing = Refreshing(database, provider, clock)
    catalogue = SqlCatalogue(feed)
    return Services(
        symbols=Symbols(database, catalogue, provider, queue, clock, timedelta(hours=48)),
        refreshing=refreshing,
        onboarding=Onboarding(database, feed, queue, clock),
        backfills=Backfills(database, clock, Windows()),
        measuring=Measuring(database, provider, refreshing, FactorModel(FACTOR_ETFS), clock, timedelta(hours=48)),
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


@pytest.fixture
def pipeline(database: SqlDatabase, provider: StubProvider, clock: ManualClock, services: Services) -> Pipeline:
    return Pipeline(database, provider, services.onboarding.queue, services.measuring, clock)


@pytest.fixture
def catalogue(services: Services) -> SqlCatalogue:
    """The one that the services read."""
    assert isinstance(services.feed, SqlEventFeed)
    return SqlCatalogue(services.feed)


@pytest.fixture
async def feed(services: Services, database: SqlDatabase) -> AsyncIterator[SqlEventFeed]:
    """The event feed, running."""
    assert isinstance(services.feed, SqlEventFeed)
    async with database.read():
        pass  # a connection is there: one that is cancelled while it opens would outlive the test's event loop
    running = asyncio.create_task(services.feed.run())
    yield services.feed
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def graph(services: Services) -> GraphClient:
    return GraphClient(services)


@pytest.fixture
def statements(engine: Engine) -> list[str]:
    """Every statement that the engine sends, for tests that count."""
    sent: list[str] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            sent.append(statement)

    return sent
