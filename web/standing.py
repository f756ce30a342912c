"""How things stand when somebody asks, for Prometheus: what is looked up for each page of `/metrics` and counted nowhere."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from domain.calendars import calendars_built
from domain.errors import StoreUnavailable
from domain.freshness import ClassFreshness
from domain.gates import CircuitState
from domain.loops import LoopState, LoopStatus
from domain.queues import QueueCount
from domain.services.providers import ProviderStatus
from graph.context import Services
from graph.execution import document_cache
from persistence.event_feed import SqlEventFeed

LOOK_SECONDS = 5
"""How long the database may take; who collects the page waits 10 s as a rule."""


class Standing:
    """Three statements a page, however much there is; without a database, all that can be known without."""

    def __init__(self, services: Services, feed: SqlEventFeed) -> None:
        self._services = services
        self._feed = feed

    async def look(self) -> CollectorRegistry:
        """How it is now."""
        families = [*await self._of_the_database(), *_of_loops(self._services.loops()), *self._of_caches()]
        registry = CollectorRegistry()
        registry.register(_Found(families))
        return registry

    async def _of_the_database(self) -> list[Metric]:
        is_up = GaugeMetricFamily("freshtape_database_up", "1 when the database answered just now.")
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                counts = await self._services.queues.counts()
                classes = await self._services.symbols.freshness_by_class(self._services.clock.now())
                providers = await self._services.providers.statuses()
        except (StoreUnavailable, TimeoutError):
            is_up.add_metric([], 0)
            return [is_up]
        is_up.add_metric([], 1)
        return [is_up, _of_queues(counts), *_of_classes(classes), *_of_providers(providers)]

    def _of_caches(self) -> Iterator[Metric]:
        held = self._feed.in_memory()
        if held is not None:
            yield _gauge("freshtape_catalogue_symbols", "Symbols in memory, retired ones too.", held.symbols)
            age = "How long ago the symbols in memory were known to be the newest."
            yield _gauge("freshtape_catalogue_age_seconds", age, held.age_seconds)
        documents = document_cache()
        hits = "GraphQL documents that were parsed and validated before."
        yield CounterMetricFamily("freshtape_document_cache_hits", hits, value=documents.hits)
        misses = "GraphQL documents that had to be parsed and validated."
        yield CounterMetricFamily("freshtape_document_cache_misses", misses, value=documents.misses)
        yield _gauge("freshtape_calendars", "Calendars of exchanges that are built.", calendars_built())


class _Found(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _of_queues(counts: Sequence[QueueCount]) -> Metric:
    jobs = GaugeMetricFamily("freshtape_jobs", "Jobs of all processes, ended ones too.", labels=["queue", "status"])
    for count in counts:
        for status, number in count.by_status.items():
            jobs.add_metric([count.name, status], number)
    return jobs


def _of_classes(classes: Sequence[ClassFreshness]) -> list[Metric]:
    symbols = GaugeMetricFamily("freshtape_symbols", "Symbols that are tracked.", labels=["asset_class", "state"])
    share = GaugeMetricFamily("freshtape_fresh_share", "The share of them that is fresh.", labels=["asset_class"])
    ages = GaugeMetricFamily(
        "freshtape_symbol_age_hours",
        "Since they were updated last, of those that ever were.",
        labels=["asset_class", "quantile"],
    )
    for each in classes:
        name = each.asset_class.name
        symbols.add_metric([name, "fresh"], each.fresh)
        symbols.add_metric([name, "stale"], each.stale)
        share.add_metric([name], each.fresh_share)
        for quantile, hours in (("0.5", each.median_hours), ("0.95", each.p95_hours)):
            if hours is not None:
                ages.add_metric([name, quantile], hours)
    return [symbols, share, ages]


def _of_providers(statuses: Sequence[ProviderStatus]) -> list[Metric]:
    circuits = GaugeMetricFamily(
        "freshtape_provider_circuit", "1 for the state that a provider's circuit is in.", labels=["provider", "state"]
    )
    budgets = GaugeMetricFamily(
        "freshtape_provider_budget_left",
        "Calls left to all processes together, of the minute and of the day.",
        labels=["provider", "window"],
    )
    for status in statuses:
        for state in CircuitState:
            circuits.add_metric([status.name, state.name.lower()], float(state is status.circuit))
        for window, left in (("minute", status.calls_left_this_minute), ("day", status.calls_left_today)):
            if left is not None:
                budgets.add_metric([status.name, window], left)
    return [circuits, budgets]


def _of_loops(statuses: Sequence[LoopStatus]) -> list[Metric]:
    restarts = CounterMetricFamily("freshtape_loop_restarts", "Times that a loop was started again.", labels=["loop"])
    states = GaugeMetricFamily("freshtape_loop_state", "1 for the state that a loop is in.", labels=["loop", "state"])
    for status in statuses:
        restarts.add_metric([status.name], status.restarts)
        for state in LoopState:
            states.add_metric([status.name, state.value], float(state is status.state))
    return [restarts, states]


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
