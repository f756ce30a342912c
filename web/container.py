"""The one place that wires: settings in, a running system out."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from types import MappingProxyType

from sqlalchemy.exc import SQLAlchemyError

from domain.clock import Clock
from domain.errors import StoreUnavailable
from domain.factors import FactorModel
from domain.ports import LiveFeed, MarketDataProvider
from domain.services.leadership import Tools
from domain.services.leading import Leader
from domain.services.loading import Loading
from domain.services.measuring import Measuring
from domain.services.onboarding import Onboarding
from domain.services.pipeline import Pipeline
from domain.services.polling import PollingFeed
from domain.services.portfolios import Portfolios
from domain.services.providers import Providers
from domain.services.queueing import OnboardingQueue
from domain.services.sessions import Sessions
from domain.services.statistics import Counting
from domain.services.symbols import Symbols
from domain.services.telling import BarFeed
from domain.services.watching import SessionWatch
from domain.services.working import Worker
from graph.context import About, Services
from persistence.answering import root
from persistence.catalogue import SqlCatalogue
from persistence.engine import Engine
from persistence.event_feed import Listener, SqlEventFeed
from persistence.market_clock import SharedClock, clock_generation, join_clock, recorded_clock
from persistence.unit_of_work import SqlDatabase
from persistence.upgrade import upgrade
from providers.gate import GatedProvider
from providers.registry import RECORDED, open_provider
from web.metrics import CountedRefreshing, Metrics
from web.session_config import SessionConfig
from web.settings import Settings
from web.workers import Loop, Loops, every

log = logging.getLogger("freshtape")

SWEEP_SECONDS = 3
SPLIT_SECONDS = 30
SETTLE_SECONDS = 60
CLOCK_WATCH_SECONDS = 1
PRUNE_SECONDS = 3600
EVENTS_KEPT_DAYS = 7


class CannotStart(Exception):
    """One sentence that says why, and what to do."""


class DatabaseUnavailable(CannotStart):
    """The database cannot be opened: perhaps later."""


@dataclass(frozen=True)
class Container:
    """Everything a process needs; `clock_generation` is that of the clock it runs on."""

    settings: Settings
    engine: Engine
    database: SqlDatabase
    feed: SqlEventFeed
    services: Services
    metrics: Metrics
    pipeline: Pipeline
    watch: SessionWatch
    leader: Leader
    session_config: SessionConfig
    clock_generation: int


@dataclass(frozen=True)
class OpenDatabase:
    engine: Engine
    was_upgraded: bool


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[OpenDatabase]:
    """Opens the database and brings it up to date. Raises DatabaseUnavailable, and UnknownRevision for a newer one's."""
    engine = Engine(settings.database_url)
    try:
        try:
            await engine.reach()
            was_upgraded = await upgrade(engine)
        except (SQLAlchemyError, StoreUnavailable, OSError) as error:
            log.debug("the database cannot be opened", exc_info=error)
            cause = str(root(error)).partition("\n")[0] or "it does not answer"
            raise DatabaseUnavailable(f"The database that FRESHTAPE_DATABASE_URL names cannot be opened: {cause}.") from error
        yield OpenDatabase(engine, was_upgraded)
    finally:
        await engine.close()


@asynccontextmanager
async def open_container(
    settings: Settings, open_provider: Callable[[Settings, Clock], MarketDataProvider] | None = None
) -> AsyncIterator[Container]:
    """Opens the database, joins its clock and wires the services. Raises CannotStart, UnknownRevision and WrongSetting."""
    session_config = SessionConfig(settings)
    async with open_database(settings) as opened:
        await _refuse_clock(opened.engine, settings)
        clock = await join_clock(opened.engine, settings.clock)
        container = _wired(settings, opened.engine, clock, (open_provider or _provider)(settings, clock.clock), session_config)
        await container.services.symbols.load_calendars()
        yield container


async def _refuse_clock(engine: Engine, settings: Settings) -> None:
    live = [name for name in settings.providers if name not in RECORDED]
    if not live or (settings.clock is None and await recorded_clock(engine) is None):
        return
    raise CannotStart(
        f"The provider {live[0]} serves the present, and this database runs on a recorded clock: leave FRESHTAPE_CLOCK "
        "empty and run `freshtape db forget-clock`, or ask the provider sample."
    )


def _provider(settings: Settings, clock: Clock) -> MarketDataProvider:
    name = settings.providers[0]
    return open_provider(name, clock, sample_dir=settings.sample_dir, yahoo_url=settings.yahoo_url)


def _wired(
    settings: Settings, engine: Engine, clock: SharedClock, opened: MarketDataProvider, session_config: SessionConfig
) -> Container:
    database = SqlDatabase(engine, clock.generation)
    metrics = Metrics()
    provider = GatedProvider(opened, database, _budget(settings, opened), metrics.provider_call)
    feed = SqlEventFeed(database)
    database.on_append = feed.poke
    queue = OnboardingQueue(clock.clock, settings.onboarding_max_depth, settings.onboarding_max_concurrent)
    refreshing = CountedRefreshing(database, provider, clock.clock, metrics.refresh)
    measuring = Measuring(
        database, provider, refreshing, FactorModel(settings.factor_etfs), clock.clock, settings.staleness_threshold
    )
    catalogue = SqlCatalogue(feed)
    watch = SessionWatch(database, clock.clock)
    services = Services(
        symbols=Symbols(database, catalogue, provider, queue, clock.clock, settings.staleness_threshold),
        refreshing=refreshing,
        onboarding=Onboarding(database, feed, queue, clock.clock),
        measuring=measuring,
        counting=Counting(database, catalogue, clock.clock),
        providers=Providers(database, [provider]),
        portfolios=Portfolios(database, queue, clock.clock),
        sessions=Sessions(database, feed, catalogue, provider, watch, clock.clock, rules=session_config.rules),
        bar_feed=BarFeed(database, clock.clock),
        feed=feed,
        clock=clock.clock,
        about=About(version("freshtape"), engine.kind),
    )
    pipeline = Pipeline(database, provider, queue, measuring, clock.clock, metrics.onboarding)

    def open_feed() -> LiveFeed:
        return provider.live() or PollingFeed(provider, clock.clock, settings.session_poll_seconds)

    loading = Loading(database, provider, services.onboarding, clock.clock)
    tools = Tools(database, loading, services.bar_feed, open_feed, clock.clock, session_config.rules, metrics)
    return Container(
        settings,
        engine,
        database,
        feed,
        services,
        metrics,
        pipeline,
        watch,
        Leader(feed, tools),
        session_config,
        clock.generation,
    )


def _budget(settings: Settings, provider: MarketDataProvider) -> int | None:
    """None for a recorded market: it is a folder of ours, which no number of calls wears out, and nobody would refuse them."""
    return None if provider.name in RECORDED else settings.provider_calls_per_minute


@asynccontextmanager
async def running_loops(
    container: Container,
    on_clock_replaced: Callable[[], None],
    *,
    works: bool = True,
    beside: Mapping[str, Loop] = MappingProxyType({}),
) -> AsyncIterator[None]:
    """The service's background work, supervised, for as long as the block lasts; if it `works` with the queue's and the
    session's, and with what is to run `beside` them."""

    async def sweep() -> None:
        await container.services.refreshing.end_lapsed_refreshes()

    async def split() -> None:
        await container.services.refreshing.apply_due_splits()

    async def prune() -> None:
        async with container.database.write() as unit:
            await unit.events.prune(EVENTS_KEPT_DAYS)
        await container.services.onboarding.forget_old()

    async def watch_clock() -> None:
        if await clock_generation(container.engine) != container.clock_generation:
            on_clock_replaced()

    async with Loops() as loops:
        loops.start("event feed", container.feed.run)
        loops.start("lapsed refreshes", every(SWEEP_SECONDS, sweep))
        loops.start("due splits", every(SPLIT_SECONDS, split))
        loops.start("statistics", every(SETTLE_SECONDS, container.services.counting.settle))
        loops.start("clock watch", every(CLOCK_WATCH_SECONDS, watch_clock))
        loops.start("retention", every(PRUNE_SECONDS, prune))
        loops.start("session", container.watch.run)
        loops.start("session bars", container.services.bar_feed.run)
        if container.settings.session_config is not None:
            loops.start("session config", container.session_config.run)
        if works:
            worker = Worker(container.pipeline, container.feed)
            loops.start("onboarding", worker.run)
            loops.start("onboarding news", worker.listen)
            loops.start("session leader", container.leader.run)
            loops.start("session news", container.leader.listen)
        for name, loop in beside.items():
            loops.start(name, loop)
        if container.engine.kind == "postgresql":
            loops.start("listener", Listener(container.settings.database_url, container.feed).run)
        yield
