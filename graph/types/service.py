"""What the service says of itself."""

from datetime import datetime

import strawberry

from domain import freshness, loops, queues
from graph.context import Info
from graph.types.enums import AssetClass, LoopState
from graph.types.provider import Provider


@strawberry.type(description="Symbols of one asset class: how many are fresh.")
class ClassFreshness:
    asset_class: AssetClass
    tracked: int = strawberry.field(description="Those that are not RETIRED.")
    fresh: int
    stale: int = strawberry.field(description="Those that were never updated are among them.")
    median_hours: float | None = strawberry.field(
        description="Since they were last updated, of those that ever were; null when none was."
    )
    p95_hours: float | None = strawberry.field(
        description="The same of the 95th percentile, interpolated between the two nearest symbols."
    )

    @classmethod
    def from_domain(cls, found: freshness.ClassFreshness) -> "ClassFreshness":
        return cls(
            asset_class=found.asset_class,
            tracked=found.tracked,
            fresh=found.fresh,
            stale=found.stale,
            median_hours=found.median_hours,
            p95_hours=found.p95_hours,
        )


@strawberry.type
class BackgroundLoop:
    name: str
    state: LoopState
    restarts: int
    last_error: str | None = strawberry.field(description="Of its last failure, also when it has run well since.")
    seconds: float = strawberry.field(description="How long it has been in its state, in real time.")

    @classmethod
    def from_domain(cls, status: loops.LoopStatus) -> "BackgroundLoop":
        return cls(
            name=status.name,
            state=status.state,
            restarts=status.restarts,
            last_error=status.last_error,
            seconds=status.lasts.total_seconds(),
        )


@strawberry.type(description="Jobs of the whole database, whichever process works them: `onboarding` or `backfill`.")
class JobQueue:
    name: str
    pending: int
    under_way: int
    failed: int = strawberry.field(
        description="Of onboardings, those of the last 30 days; of backfills, symbols whose last failed."
    )

    @classmethod
    def from_domain(cls, count: queues.QueueCount) -> "JobQueue":
        return cls(name=count.name, pending=count.pending, under_way=count.under_way, failed=count.failed)


@strawberry.type(description="database: sqlite or postgresql.")
class Service:
    name: str
    version: str
    now: datetime
    database: str
    staleness_threshold_hours: int

    @strawberry.field(description="Where market data comes from, the preferred provider first.")
    async def providers(self, info: Info) -> list[Provider]:
        statuses = await info.context.services.providers.statuses()
        return [Provider.from_domain(status, self.now) for status in statuses]

    @strawberry.field(description="Of each asset class of which symbols are tracked.")
    async def freshness(self, info: Info) -> list[ClassFreshness]:
        found = await info.context.reading.freshness.load_many(list(AssetClass))
        return [ClassFreshness.from_domain(each) for each in found if each is not None]

    @strawberry.field(description="The background work of the process that answers; empty when it does none.")
    async def loops(self, info: Info) -> list[BackgroundLoop]:
        return [BackgroundLoop.from_domain(status) for status in info.context.services.loops()]

    @strawberry.field
    async def queues(self, info: Info) -> list[JobQueue]:
        return [JobQueue.from_domain(count) for count in await info.context.services.queues.counts()]

    @classmethod
    def read(cls, info: Info) -> "Service":
        about, reading = info.context.services.about, info.context.reading
        return cls(
            name="Freshtape",
            version=about.version,
            now=reading.now,
            database=about.database,
            staleness_threshold_hours=reading.symbols.threshold_hours,
        )
