"""The one place that wires: settings in, a running system out."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from types import MappingProxyType

from sqlalchemy.exc import SQLAlchemyError

from domain.clock import Clock
from domain.cron import Cron
from domain.errors import StoreUnavailable
from domain.factors import FactorModel
from domain.gates import Budget
from domain.ports import LiveFeed, MarketDataProvider
from domain.services.backfills import Backfills
from domain.services.canary import Canary
from domain.services.filling import Filling
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
from domain.services.queues import Queues
from domain.services.scheduling import Scheduler
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
from providers.chain import ProviderChain
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
PATIENT_WAIT_SECONDS = 60.0
"""The longest wait of loops that nobody waits for."""


class CannotStart(Exception):
    """One sentence that says why, and what to do."""


class DatabaseUnavailable(CannotStart):
    """The database cannot be opened: perhaps later."""


@dataclass(frozen=True)
class Container:
    """Everything a process needs; `clock_generation` is that of the clock it runs on. `scheduler` is None where nothing is
    scheduled."""

    settings: Settings
    engine: Engine
    database: SqlDatabase
    feed: SqlEventFeed
    services: Services
    metrics: Metrics
    pipeline: Pipeline
    canary: Canary
    filling: Filling
    watch: SessionWatch
    leader: Leader
    scheduler: Scheduler | None
    session_config: SessionConfig
    loops: Loops
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


OpenProvider = Callable[[str, Settings, Clock], MarketDataProvider]


def _open(name: str, settings: Settings, clock: Clock) -> MarketDataProvider:
    return open_provider(
        name,
        clock,
        sample_dir=settings.sample_dir,
        yahoo_url=settings.yahoo_url,
        massive_url=settings.massive_url,
        massive_key=settings.massive_api_key.get_secret_value(),
    )


@asynccontextmanager
async def open_container(settings: Settings, open_provider: OpenProvider = _open) -> AsyncIterator[Container]:
    """Opens the database, joins its clock and wires the services. Raises CannotStart, UnknownRevision and WrongSetting."""
    session_config = SessionConfig(settings)
    _refuse_mixture(settings)
    async with open_database(settings) as opened:
        await _refuse_clock(opened.engine, settings)
        clock = await join_clock(opened.engine, settings.clock)
        providers = [open_provider(name, settings, clock.clock) for name in settings.providers]
        _refuse_orders(settings, providers)
        container = _wired(settings, opened.engine, clock, providers, session_config)
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


def _refuse_mixture(settings: Settings) -> None:
    live = [name for name in settings.providers if name not in RECORDED]
    recorded = [name for name in settings.providers if name in RECORDED]
    if live and recorded:
        raise CannotStart(
            f"FRESHTAPE_PROVIDERS names {recorded[0]}, a recorded market, beside {live[0]}, which serves the present: name "
            "only providers of one kind."
        )


def _refuse_orders(settings: Settings, providers: Sequence[MarketDataProvider]) -> None:
    served = {provider.name: provider.asset_classes for provider in providers}
    for asset_class, names in settings.provider_order.items():
        for name in names:
            if asset_class not in served[name]:
                raise CannotStart(f"FRESHTAPE_PROVIDER_ORDER names {name} for {asset_class.name}, which it does not serve.")


def _wired(
    settings: Settings,
    engine: Engine,
    clock: SharedClock,
    opened: Sequence[MarketDataProvider],
    session_config: SessionConfig,
) -> Container:
    database = SqlDatabase(engine, clock.generation)
    metrics = Metrics()
    budgets = {each.name: _budget(settings, each) for each in opened}
    observers = metrics.provider_call, metrics.bars_refused
    gated = [GatedProvider(each, database, budgets[each.name], *observers, one_of=len(opened)) for each in opened]
    provider = ProviderChain(gated, settings.provider_order, metrics.fall_through)
    feed = SqlEventFeed(database)
    database.on_append = feed.poke
    queue = OnboardingQueue(clock.clock, settings.onboarding_max_depth, settings.onboarding_max_concurrent)
    refreshing = CountedRefreshing(database, provider, clock.clock, metrics.refresh)
    measuring = Measuring(
        database, provider, refreshing, FactorModel(settings.factor_etfs), clock.clock, settings.staleness_threshold
    )
    catalogue = SqlCatalogue(feed)
    watch = SessionWatch(database, clock.clock)
    loops = Loops()
    services = Services(
        symbols=Symbols(database, catalogue, provider, queue, clock.clock, settings.staleness_threshold),
        refreshing=refreshing,
        onboarding=Onboarding(database, feed, queue, clock.clock),
        backfills=Backfills(database, clock.clock, settings.backfill_windows),
        measuring=measuring,
        counting=Counting(database, catalogue, clock.clock),
        providers=Providers(database, gated, budgets),
        portfolios=Portfolios(database, queue, clock.clock),
        sessions=Sessions(database, feed, catalogue, provider, watch, clock.clock, rules=session_config.rules),
        bar_feed=BarFeed(database, clock.clock),
        feed=feed,
        clock=clock.clock,
        about=About(version("freshtape"), engine.kind),
        queues=Queues(database),
        loops=loops.statuses,
    )
    pipeline = Pipeline(database, provider, queue, measuring, clock.clock, metrics.onboarding)

    canary = Canary(provider.asked, clock.clock, settings.canaries)
    filling = Filling(
        database,
        provider,
        refreshing,
        clock.clock,
        canary,
        metrics.backfill,
        places=settings.backfill_max_concurrent,
    )

    def open_feed() -> LiveFeed:
        return provider.live() or PollingFeed(provider, clock.clock, settings.session_poll_seconds)

    loading = Loading(database, provider, services.onboarding, clock.clock)
    tools = Tools(database, loading, services.bar_feed, open_feed, clock.clock, session_config.rules, metrics)
    cron = settings.backfill_cron
    scheduler = Scheduler(database, services.backfills, clock.clock, Cron(cron)) if cron else None
    return Container(
        settings,
        engine,
        database,
        feed,
        services,
        metrics,
        pipeline,
        canary,
        filling,
        watch,
        Leader(feed, tools),
        scheduler,
        session_config,
        loops,
        clock.generation,
    )


def _budget(settings: Settings, provider: MarketDataProvider) -> Budget | None:
    """None for a recorded market: it is a folder of ours, which no number of calls wears out, and nobody would refuse them."""
    if provider.name in RECORDED:
        return None
    return Budget(settings.provider_calls_per_minute, settings.provider_calls_per_day)


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

    async with container.loops as loops:
        loops.start("event feed", container.feed.run)
        loops.start("lapsed refreshes", every(SWEEP_SECONDS, sweep))
        loops.start("due splits", every(SPLIT_SECONDS, split), PATIENT_WAIT_SECONDS)
        loops.start("statistics", every(SETTLE_SECONDS, container.services.counting.settle))
        loops.start("clock watch", every(CLOCK_WATCH_SECONDS, watch_clock))
        loops.start("retention", every(PRUNE_SECONDS, prune), PATIENT_WAIT_SECONDS)
        loops.start("session", container.watch.run)
        loops.start("session bars", container.services.bar_feed.run)
        if container.settings.session_config is not None:
            loops.start("session config", container.session_config.run, PATIENT_WAIT_SECONDS)
        if works:
            _start_work(container, loops)
        for name, loop in beside.items():
            loops.start(name, loop)
        if container.engine.kind == "postgresql":
            loops.start("listener", Listener(container.settings.database_url, container.feed).run)
        yield


def _start_work(container: Container, loops: Loops) -> None:
    """What one process of all that work must do, whichever comes first."""
    for worker in (Worker(container.pipeline, container.feed), Worker(container.filling, container.feed)):
        loops.start(worker.name, worker.run)
        loops.start(f"{worker.name} news", worker.listen)
    loops.start("session leader", container.leader.run)
    loops.start("session news", container.leader.listen)
    if container.scheduler is not None:
        loops.start("schedule", container.scheduler.run)
