"""The onboarding queue: its order, its places, and whose turn it is."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.onboarding import ACTIVE, PHASES, JobStatus, OnboardingJob, OnboardingPhase
from domain.ports import Claim
from persistence.tables import onboarding_jobs as jobs
from persistence.tables import onboarding_queue as queue
from persistence.tables import onboarding_timings as timings
from persistence.tables import onboarding_waiting as waiting
from persistence.types import real_time

LEASE_SECONDS = 15
"""How long a worker that is not heard of keeps its job."""
NEWS = 0.2
"""The share of a new measurement in the mean of its phase."""
MEASURED = PHASES[1:-1]
"""The phases in which something is done."""

_FIELDS = [field.name for field in fields(OnboardingJob) if field.name in jobs.c]
_is_active = jobs.c.status.in_(ACTIVE)
_is_pending = jobs.c.status == JobStatus.PENDING
_is_processing = jobs.c.status == JobStatus.PROCESSING
_is_lapsed = and_(_is_processing, jobs.c.lease_expires_at <= real_time())


_UNDER_WAY = (jobs.c.phase, jobs.c.phase_since, real_time().label("now"))
"""What is measured by: the phase under way, since when, and the time."""


class SqlJobStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._held: dict[str, Row[Any] | None] = {}

    async def lock_queue(self) -> None:
        await self._connection.execute(select(queue.c.id).with_for_update())

    # ── in and out

    async def add(self, given: Sequence[OnboardingJob]) -> None:
        if not given:
            return
        last = await self._number(len(given))
        now = (await self._connection.execute(select(real_time()))).scalar_one()
        rows = [
            {"number": number, "token": 0, "due_at": now, "ended_at": None if job.is_active else now, **_values(job)}
            for number, job in enumerate(given, last - len(given) + 1)
        ]
        await self._connection.execute(insert(jobs), rows)

    async def _number(self, count: int) -> int:
        """The last of so many new numbers."""
        numbered = update(queue).values(last_number=queue.c.last_number + count).returning(queue.c.last_number)
        last: int = (await self._connection.execute(numbered)).scalar_one()
        return last

    async def claim(self, places: int, now: datetime) -> Claim | None:
        # A job whose worker died has its place already, and goes first.
        found = (
            await self._connection.execute(
                select(jobs)
                .where(or_(_is_lapsed, _is_due(places)))
                .order_by(_is_pending, jobs.c.number)
                .limit(1)
                .with_for_update()
            )
        ).one_or_none()
        if found is None:
            return None
        job, token = _job(found).claimed(now), found.token + 1
        await self._connection.execute(
            update(jobs)
            .where(jobs.c.id == job.id)
            .values(_values(job) | {"token": token, "lease_expires_at": real_time(LEASE_SECONDS), "phase_since": real_time()})
        )
        return Claim(job, token)

    async def hold(self, job_id: str, token: int) -> bool:
        held = await self._connection.execute(
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.token == token, _is_processing, jobs.c.lease_expires_at > real_time())
            .values(lease_expires_at=real_time(LEASE_SECONDS))
            .returning(*_UNDER_WAY)
        )
        self._held[job_id] = held.one_or_none()
        return self._held[job_id] is not None

    async def give_back(self, job_id: str, token: int) -> None:
        # Its next worker counts a lapse, which this is none.
        await self._connection.execute(
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.token == token, _is_processing)
            .values(lease_expires_at=real_time(), lapses=jobs.c.lapses - 1)
        )

    async def is_up(self, places: int) -> bool:
        is_up = or_(_is_lapsed, _is_due(places))
        someone = select(jobs.c.id).where(is_up).exists()
        waits = select(waiting.c.ticker).exists()
        return bool((await self._connection.execute(select(or_(someone, waits)))).scalar_one())

    async def save(self, job: OnboardingJob, due_in_seconds: float = 0) -> None:
        before = self._held.get(job.id) or (await self._connection.execute(_under_way(job))).one()
        changed: dict[str, Any] = _values(job)
        if job.status is not JobStatus.PROCESSING:
            changed |= {"lease_expires_at": None, "phase_since": None, "due_at": real_time(due_in_seconds)}
            if not job.is_active:
                changed |= {"ended_at": real_time()}
        elif job.phase is not before.phase:
            changed |= {"phase_since": real_time()}
        await self._connection.execute(update(jobs).where(jobs.c.id == job.id).values(changed))
        if before.phase in MEASURED and job.phase is not before.phase and before.phase_since is not None:
            await self._measure(before.phase, (before.now - before.phase_since).total_seconds())

    # ── reading

    async def get(self, job_id: str) -> OnboardingJob | None:
        row = (await self._connection.execute(_placed().where(jobs.c.id == job_id))).one_or_none()
        return _job(row) if row is not None else None

    async def lock(self, ticker: str) -> OnboardingJob | None:
        statement = select(jobs).where(jobs.c.ticker == ticker, _is_active).with_for_update()
        row = (await self._connection.execute(statement)).one_or_none()
        return _job(row) if row is not None else None

    async def newest(self, tickers: Sequence[str]) -> Mapping[str, OnboardingJob]:
        last = select(func.max(jobs.c.number)).where(jobs.c.ticker.in_(tickers)).group_by(jobs.c.ticker)
        rows = await self._connection.execute(_placed().where(jobs.c.number.in_(last)))
        return {row.ticker: _job(row) for row in rows}

    async def listed(self, statuses: Collection[JobStatus], first: int) -> list[OnboardingJob]:
        order = case((_is_active, jobs.c.number)).asc().nulls_last(), jobs.c.number.desc()
        rows = await self._connection.execute(_placed().where(jobs.c.status.in_(statuses)).order_by(*order).limit(first))
        return [_job(row) for row in rows]

    async def depth(self) -> int:
        return (await self._connection.execute(select(func.count()).select_from(jobs).where(_is_active))).scalar_one()

    async def counts(self) -> Mapping[JobStatus, int]:
        each = select(jobs.c.status, func.count()).group_by(jobs.c.status)
        return {row[0]: row[1] for row in await self._connection.execute(each)}

    # ── waiting for a place

    async def wait_for_place(self, portfolio_id: str, tickers: Sequence[str], requested_by: str | None) -> None:
        if not tickers:
            return
        last = await self._number(len(tickers))
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        rows = [
            {"portfolio_id": portfolio_id, "ticker": ticker, "number": number, "requested_by": requested_by}
            for number, ticker in enumerate(tickers, last - len(tickers) + 1)
        ]
        await self._connection.execute(dialect.insert(waiting).on_conflict_do_nothing(), rows)

    async def waiting(self, tickers: Sequence[str] | None = None) -> list[tuple[str, str | None]]:
        statement = select(waiting.c.ticker, waiting.c.requested_by).order_by(waiting.c.number)
        if tickers is not None:
            statement = statement.where(waiting.c.ticker.in_(tickers))
        first_come: dict[str, str | None] = {}
        for row in await self._connection.execute(statement):
            first_come.setdefault(row.ticker, row.requested_by)
        return list(first_come.items())

    async def stop_waiting(self, tickers: Sequence[str], portfolio_id: str | None = None) -> None:
        statement = delete(waiting).where(waiting.c.ticker.in_(tickers))
        if portfolio_id is not None:
            statement = statement.where(waiting.c.portfolio_id == portfolio_id)
        await self._connection.execute(statement)

    # ── measuring and forgetting

    async def measured(self) -> Mapping[OnboardingPhase, float]:
        found = {row.phase: row.seconds for row in await self._connection.execute(select(timings))}
        return found if found.keys() >= set(MEASURED) else {}

    async def _measure(self, phase: OnboardingPhase, seconds: float) -> None:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(timings).values(phase=phase, seconds=seconds)
        mean = timings.c.seconds * (1 - NEWS) + seconds * NEWS
        await self._connection.execute(statement.on_conflict_do_update(index_elements=["phase"], set_={"seconds": mean}))

    async def prune(self, keep_days: int) -> int:
        ended = delete(jobs).where(~_is_active, jobs.c.ended_at < real_time(-keep_days * 86_400))
        return (await self._connection.execute(ended)).rowcount


def _is_due(places: int) -> ColumnElement[bool]:
    others = jobs.alias()
    under_way = select(func.count()).select_from(others).where(others.c.status == JobStatus.PROCESSING).scalar_subquery()
    return and_(_is_pending, jobs.c.due_at <= real_time(), under_way < places)


def _placed() -> Select[Any]:
    """The jobs, each pending one with its place among the pending."""
    ahead = jobs.alias()
    place = (
        select(func.count())
        .select_from(ahead)
        .where(ahead.c.status == JobStatus.PENDING, ahead.c.number <= jobs.c.number)
        .correlate(jobs)
        .scalar_subquery()
    )
    return select(jobs, case((_is_pending, place)).label("position"))


def _under_way(job: OnboardingJob) -> Select[Any]:
    return select(*_UNDER_WAY).where(jobs.c.id == job.id)


def _values(job: OnboardingJob) -> dict[str, Any]:
    return {name: getattr(job, name) for name in _FIELDS}


def _job(row: Row[Any]) -> OnboardingJob:
    mapping = row._mapping
    return OnboardingJob(**{name: mapping[name] for name in _FIELDS}, position=mapping.get("position"))
