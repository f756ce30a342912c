"""Asking for onboardings, calling them off and following them, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from domain.errors import JobNotCancellable, JobNotFound, JobNotRetryable, ProviderUnavailable, QueueFull
from domain.events import LoggedStep, Position
from domain.factors import FACTOR_ETFS
from domain.onboarding import JobStatus, OnboardingJob, OnboardingPhase
from domain.services.onboarding import Onboarding, ReadinessStatus
from domain.services.pipeline import Pipeline
from domain.services.queueing import OnboardingQueue
from domain.symbols import SymbolStatus
from graph.context import Services
from persistence.event_feed import SqlEventFeed
from persistence.job_store import SqlJobStore
from persistence.symbol_store import SqlSymbolStore
from persistence.tables import onboarding_jobs, onboarding_timings
from persistence.types import real_time
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING, ManualClock
from tests.support.journal import followed
from tests.support.provider import StubProvider, walk
from tests.support.universe import track

ETFS = sorted(set(FACTOR_ETFS.values()))
MANY = [f"N{number}" for number in range(60)]
ALL = tuple(JobStatus)


@pytest.fixture
def provider() -> StubProvider:
    provider = StubProvider("AAPL", "MSFT", *MANY, *ETFS)
    provider.course = walk
    return provider


async def ask(services: Services, *tickers: str) -> list[OnboardingJob]:
    return (await services.onboarding.onboard(tickers, "tester")).jobs


async def jobs(services: Services) -> dict[str, list[JobStatus]]:
    found: dict[str, list[JobStatus]] = {}
    for job in await services.onboarding.jobs(ALL, 1000):
        found.setdefault(job.ticker, []).append(job.status)
    return found


async def claimed_job(pipeline: Pipeline) -> OnboardingJob:
    claim = await pipeline.claim()
    assert claim is not None
    return claim.job


async def head(database: SqlDatabase) -> Position:
    async with database.read() as unit:
        return await unit.events.head()


# ── entering


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer: nothing ends in between
async def test_a_job_that_ends_while_its_symbol_is_asked_for_again_is_the_only_one(
    database: SqlDatabase, services: Services, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(services, "AAPL")
    claim = await pipeline.claim()
    assert claim is not None
    looks: list[str] = []

    def ending_it(store: type[Any], name: str) -> None:
        """The job ends behind the first look at whatever tells of it."""
        look = getattr(store, name)

        async def looked(*arguments: Any) -> Any:
            found = await look(*arguments)
            looks.append(name)
            if len(looks) == 1:
                await pipeline.run(claim)
            return found

        monkeypatch.setattr(store, name, looked)

    ending_it(SqlSymbolStore, "statuses")
    ending_it(SqlJobStore, "listed")
    async with database.write() as unit:
        await unit.jobs.lock_queue()
        entered = await services.onboarding.queue.enter(unit, ["AAPL"], None)
        imported = await services.onboarding.queue.enter_for(unit, "portfolio", ["AAPL"], None)
    assert set(looks) == {"listed", "statuses"}
    assert (entered.new, entered.ready, imported) == ([], ["AAPL"], [])
    assert await jobs(services) == {"AAPL": [JobStatus.COMPLETED]}


async def test_those_that_are_ready_need_no_job(database: SqlDatabase, services: Services) -> None:
    await track(database, "MSFT")
    entered = await services.onboarding.onboard(["AAPL", "MSFT", "AAPL"], "tester")
    assert [job.ticker for job in entered.jobs] == ["AAPL"]
    assert entered.ready == ["MSFT"]
    (job,) = entered.new
    assert (job.status, job.phase, job.position, job.attempts) == (JobStatus.PENDING, OnboardingPhase.QUEUED, 1, 0)
    assert (job.requested_by, job.queued_at, job.estimated_seconds) == ("tester", EVENING, 60)


async def test_asking_again_returns_the_job_there_is(services: Services, pipeline: Pipeline) -> None:
    (first,) = await ask(services, "AAPL")
    again = await services.onboarding.onboard(["MSFT", "AAPL"], None)
    assert [job.ticker for job in again.jobs] == ["MSFT", "AAPL"]
    assert [job.ticker for job in again.new] == ["MSFT"]
    assert again.jobs[1] == first
    running = await claimed_job(pipeline)
    (while_it_runs,) = await ask(services, "AAPL")
    assert while_it_runs.id == running.id == first.id
    assert while_it_runs.status is JobStatus.PROCESSING


async def test_asked_for_by_many_at_once_each_symbol_has_one_job(services: Services) -> None:
    tickers = MANY[:10]
    answers = await asyncio.gather(*(services.onboarding.onboard(tickers, f"upload {n}") for n in range(8)))
    assert {tuple(job.id for job in answer.jobs) for answer in answers} == {tuple(job.id for job in answers[0].jobs)}
    assert sum(len(answer.new) for answer in answers) == 10
    assert len(await jobs(services)) == 10


@pytest.mark.parametrize("provider_knows", [True, False], ids=["completed", "failed"])
async def test_a_job_that_has_ended_blocks_no_new_one(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider_knows: bool
) -> None:
    ticker = "AAPL" if provider_knows else "NOPE"
    await ask(services, ticker)
    await pipeline.work_off()
    if provider_knows:
        await services.symbols.remove(ticker, 2)
    await ask(services, ticker)
    expected = [JobStatus.PENDING, JobStatus.COMPLETED if provider_knows else JobStatus.FAILED]
    assert await jobs(services) == {ticker: expected}


async def test_a_request_that_is_larger_than_the_free_places_queues_nothing(services: Services) -> None:
    await ask(services, *MANY[:40])
    before = await jobs(services)
    with pytest.raises(QueueFull) as refused:
        await ask(services, *MANY[35:51])
    assert (refused.value.depth, refused.value.max_depth, refused.value.asked) == (40, 50, 11)
    assert refused.value.retry_after_seconds >= 1
    assert "holds 40 of at most 50 and has no room for 11 more" in refused.value.message
    assert await jobs(services) == before
    await ask(services, *MANY[35:50])
    assert len(await jobs(services)) == 50
    await ask(services, *MANY[:50])  # nothing new: none is refused


async def test_more_than_the_queue_holds_can_never_be_taken_and_it_says_so(services: Services) -> None:
    with pytest.raises(QueueFull, match="51 symbols were asked for, and the queue holds 50; ask for fewer"):
        await ask(services, *MANY[:51])


async def test_running_ones_count_and_ended_ones_do_not(services: Services, pipeline: Pipeline) -> None:
    await ask(services, *MANY[:50])
    running = await pipeline.claim()
    with pytest.raises(QueueFull):
        await ask(services, "AAPL")
    assert running is not None
    await pipeline.run(running)
    await ask(services, "AAPL")


async def test_no_more_are_taken_up_than_there_are_places(services: Services, pipeline: Pipeline) -> None:
    await ask(services, *MANY[:5])
    claims = [await pipeline.claim() for _ in range(4)]
    assert [claim.job.ticker if claim is not None else None for claim in claims] == ["N0", "N1", "N2", None]
    positions = {job.ticker: job.position for job in await services.onboarding.jobs(ALL, 100)}
    assert positions == {"N0": None, "N1": None, "N2": None, "N3": 1, "N4": 2}


# ── waiting for a place


async def enter_for(database: SqlDatabase, queue: OnboardingQueue, portfolio: str, *tickers: str) -> list[str]:
    async with database.write() as unit:
        await unit.jobs.lock_queue()
        new = await queue.enter_for(unit, portfolio, tickers, "importer")
        await unit.events.append(*queue.steps(new))
    return [job.ticker for job in new]


async def waiting(database: SqlDatabase) -> list[str]:
    async with database.read() as unit:
        return [ticker for ticker, _ in await unit.jobs.waiting()]


async def test_an_import_is_never_refused_what_finds_no_place_waits_and_enters_in_order(
    database: SqlDatabase, services: Services, pipeline: Pipeline
) -> None:
    queue = services.onboarding.queue
    await ask(services, *MANY[:48])
    assert await enter_for(database, queue, "p", *MANY[45:55]) == ["N48", "N49"]
    assert await waiting(database) == ["N50", "N51", "N52", "N53", "N54"]
    assert await enter_for(database, queue, "q", "N54", "N53", "AAPL") == []
    with pytest.raises(QueueFull):
        await ask(services, "MSFT")
    claim = await pipeline.claim()
    assert claim is not None
    await pipeline.run(claim)
    with pytest.raises(QueueFull):
        await ask(services, "MSFT")  # the free place is for those that wait
    claim = await pipeline.claim()
    assert await waiting(database) == ["N51", "N52", "N53", "N54", "AAPL"]
    (entered,) = [job for job in await services.onboarding.jobs((JobStatus.PENDING,), 100) if job.ticker == "N50"]
    assert entered.requested_by == "importer"
    await pipeline.work_off()
    assert claim is not None
    await pipeline.run(claim)
    await pipeline.work_off()
    assert await waiting(database) == []
    found = await jobs(services)
    assert len(found) == 56
    assert set(map(tuple, found.values())) == {(JobStatus.COMPLETED,)}


async def test_one_that_has_become_ready_while_it_waited_is_told_to_have_ended(
    database: SqlDatabase, services: Services, pipeline: Pipeline
) -> None:
    await ask(services, *MANY[:50])
    await enter_for(database, services.onboarding.queue, "p", "SPY")
    claim = await pipeline.claim()
    assert claim is not None
    await pipeline.run(claim)  # loads the ETF, and frees a place
    await pipeline.claim()
    assert await waiting(database) == []
    (job,) = [job for job in await services.onboarding.jobs(ALL, 100) if job.ticker == "SPY"]
    assert (job.status, job.phase) == (JobStatus.COMPLETED, OnboardingPhase.DONE)


# ── again, and not at all


async def test_one_that_failed_is_retried_with_a_new_job(
    services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    provider.bars = ()
    (failed,) = await ask(services, "AAPL")
    await pipeline.work_off()
    provider.bars = None
    (again,) = (await services.onboarding.retry(failed.id)).jobs
    assert (again.status, again.attempts, again.requested_by) == (JobStatus.PENDING, 0, "tester")
    assert again.id != failed.id
    assert (await services.onboarding.retry(failed.id)).jobs == [again], "the job there is"
    await pipeline.work_off()
    assert await jobs(services) == {"AAPL": [JobStatus.COMPLETED, JobStatus.FAILED]}
    entered = await services.onboarding.retry(failed.id)
    assert (entered.jobs, entered.ready) == ([], ["AAPL"]), "it has been done since"


async def test_a_partial_one_is_measured_again(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    profile = provider.profiles.pop("MTUM")
    (partial,) = await ask(services, "AAPL")
    await pipeline.work_off()
    provider.profiles["MTUM"] = profile
    await services.onboarding.retry(partial.id)
    await pipeline.work_off()
    assert await jobs(services) == {"AAPL": [JobStatus.COMPLETED, JobStatus.PARTIAL]}
    measured = (await services.measuring.exposures(["AAPL"]))["AAPL"]
    assert all(exposure.beta is not None for exposure in measured)


async def test_what_runs_or_has_succeeded_is_not_retried(services: Services, pipeline: Pipeline) -> None:
    (job,) = await ask(services, "AAPL")
    with pytest.raises(JobNotRetryable, match="is pending"):
        await services.onboarding.retry(job.id)
    await pipeline.work_off()
    with pytest.raises(JobNotRetryable, match="is completed"):
        await services.onboarding.retry(job.id)
    with pytest.raises(JobNotFound):
        await services.onboarding.retry("nothing")


async def test_a_full_queue_takes_no_retry(services: Services, pipeline: Pipeline) -> None:
    (failed,) = await ask(services, "NOPE")
    await pipeline.work_off()
    await ask(services, *MANY[:50])
    with pytest.raises(QueueFull):
        await services.onboarding.retry(failed.id)


async def test_a_pending_one_is_called_off_and_the_rest_move_up(services: Services, pipeline: Pipeline) -> None:
    first, second = await ask(services, "AAPL", "MSFT")
    cancelled = await services.onboarding.cancel(first.id)
    assert (cancelled.status, cancelled.finished_at) == (JobStatus.CANCELLED, EVENING)
    positions = {job.ticker: job.position for job in await services.onboarding.jobs(ALL, 100)}
    assert positions == {"MSFT": 1, "AAPL": None}
    with pytest.raises(JobNotCancellable, match="is cancelled already"):
        await services.onboarding.cancel(first.id)
    with pytest.raises(JobNotFound):
        await services.onboarding.cancel("nothing")
    await pipeline.work_off()
    with pytest.raises(JobNotCancellable, match="is completed already"):
        await services.onboarding.cancel(second.id)


async def test_an_older_job_is_not_called_off_in_the_place_of_the_newest(services: Services, pipeline: Pipeline) -> None:
    (failed,) = await ask(services, "NOPE")
    await pipeline.work_off()
    await services.onboarding.retry(failed.id)
    with pytest.raises(JobNotCancellable):
        await services.onboarding.cancel(failed.id)
    assert await jobs(services) == {"NOPE": [JobStatus.PENDING, JobStatus.FAILED]}


async def test_a_retry_that_is_called_off_leaves_the_symbol_as_it_was(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    profile = provider.profiles.pop("MTUM")
    (partial,) = await ask(services, "AAPL")
    await pipeline.work_off()
    provider.profiles["MTUM"] = profile
    before = await services.symbols.get("AAPL")
    (again,) = (await services.onboarding.retry(partial.id)).jobs
    claim = await pipeline.claim()
    assert claim is not None
    await pipeline._commit(claim.job, claim.token, await pipeline._validate(claim.job))
    during = await current(database, "AAPL")
    await services.onboarding.cancel(again.id)
    after = await current(database, "AAPL")
    assert before is not None
    assert (during, after) == ((SymbolStatus.ONBOARDING, before.version + 1), (SymbolStatus.ACTIVE, before.version + 2))


async def current(database: SqlDatabase, ticker: str) -> tuple[SymbolStatus, int]:
    async with database.read() as unit:
        symbol = await unit.symbols.get(ticker)
    assert symbol is not None
    return symbol.status, symbol.version


# ── estimates, retention


async def test_estimates_come_from_the_phases_that_were_measured(
    database: SqlDatabase, services: Services, pipeline: Pipeline
) -> None:
    async with database.engine.write() as connection:
        phases = [phase for phase in OnboardingPhase if phase not in (OnboardingPhase.QUEUED, OnboardingPhase.DONE)]
        seconds = [1, 4, 1, 3, 1]
        rows = [{"phase": phase, "seconds": taken} for phase, taken in zip(phases, seconds, strict=True)]
        await connection.execute(insert(onboarding_timings), rows)
    asked = await ask(services, *MANY[:7])
    assert [job.estimated_seconds for job in asked] == [20, 20, 20, 30, 30, 30, 40]
    claim = await pipeline.claim()
    assert claim is not None
    after_validating = await pipeline._commit(claim.job, claim.token, await pipeline._validate(claim.job))
    found = await services.onboarding.job(after_validating.id)
    assert found is not None
    assert found.estimated_seconds in (9, 10), "what lies ahead of it"


async def test_phases_are_measured_while_they_run(database: SqlDatabase, services: Services, pipeline: Pipeline) -> None:
    await ask(services, "AAPL")
    await pipeline.work_off()
    async with database.read() as unit:
        measured = await unit.jobs.measured()
    assert len(measured) == 5
    assert all(0 <= seconds < 30 for seconds in measured.values())


async def test_jobs_are_kept_for_thirty_days_after_they_ended(
    database: SqlDatabase, services: Services, pipeline: Pipeline
) -> None:
    await ask(services, "AAPL", "MSFT")
    await pipeline.work_off()
    await ask(services, "N1")
    for ticker, days in (("AAPL", 30.01), ("MSFT", 29.99), ("N1", 90)):
        async with database.engine.write() as connection:
            long_ago = real_time(-days * 86_400)
            aged = update(onboarding_jobs).where(onboarding_jobs.c.ticker == ticker)
            ended = {} if ticker == "N1" else {"ended_at": long_ago}
            await connection.execute(aged.values(due_at=long_ago, **ended))
    assert await services.onboarding.forget_old() == 1
    assert set(await jobs(services)) == {"MSFT", "N1"}


# ── readiness


async def test_readiness_in_the_documents_words(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    async def told(ticker: str) -> tuple[ReadinessStatus, str, int | None]:
        readiness = await services.onboarding.readiness(ticker)
        return readiness.status, readiness.message, readiness.estimated_seconds

    unknown = (ReadinessStatus.UNKNOWN, "Symbol not found", None)
    assert await told("AAPL") == unknown
    (job,) = await ask(services, "AAPL")
    assert await told("AAPL") == (ReadinessStatus.PENDING, "Queued for processing", 60)
    claim = await pipeline.claim()
    assert await told("AAPL") == (ReadinessStatus.PROCESSING, "Loading data...", 30)
    assert claim is not None
    await pipeline.run(claim)
    ready = (ReadinessStatus.READY, "Symbol data available", None)
    assert await told("AAPL") == ready
    assert (await services.onboarding.readiness("AAPL")).job == await services.onboarding.job(job.id)
    await services.symbols.remove("AAPL", 2)
    assert await told("AAPL") == unknown
    await ask(services, "NOPE")
    await pipeline.work_off()
    assert await told("NOPE") == (ReadinessStatus.ERROR, "NOPE is not known to the provider stub.", None)
    provider.profiles.pop("MTUM")
    await ask(services, "MSFT")
    await pipeline.work_off()
    assert await told("MSFT") == ready, "also after a partial one"
    await ask(services, *MANY[:50])
    await enter_for(database, services.onboarding.queue, "p", "AAPL")
    assert (await told("AAPL"))[:2] == (ReadinessStatus.PENDING, "Queued for processing")


# ── following


async def follow(
    onboarding: Onboarding, tickers: list[str] | None, after: Position | None = None
) -> list[tuple[str, OnboardingPhase, JobStatus]]:
    told: list[tuple[str, OnboardingPhase, JobStatus]] = []
    async with asyncio.timeout(30), aclosing(onboarding.follow(tickers, after)) as steps:
        async for step in steps:
            job = step.event.job
            told.append((job.ticker, job.phase, job.status))
    return told


async def first_steps(steps: AsyncIterator[LoggedStep], number: int) -> list[LoggedStep]:
    async with asyncio.timeout(30):
        return [await anext(steps) for _ in range(number)]


async def test_a_job_is_followed_to_its_end_and_the_stream_with_it(
    services: Services, pipeline: Pipeline, feed: SqlEventFeed
) -> None:
    await ask(services, "AAPL", "MSFT")
    following = asyncio.create_task(follow(services.onboarding, ["AAPL"]))
    await followed(feed)
    await pipeline.work_off()
    told = await following
    assert [phase for _, phase, _ in told] == list(OnboardingPhase)
    assert {ticker for ticker, _, _ in told} == {"AAPL"}
    assert told[-1][2] is JobStatus.COMPLETED


async def test_ended_ones_are_told_once_and_the_stream_ends(services: Services, pipeline: Pipeline, feed: SqlEventFeed) -> None:
    await ask(services, "AAPL", "NOPE")
    await pipeline.work_off()
    assert await follow(services.onboarding, ["AAPL", "NOPE", "MSFT"]) == [
        ("AAPL", OnboardingPhase.DONE, JobStatus.COMPLETED),
        ("NOPE", OnboardingPhase.VALIDATING, JobStatus.FAILED),
    ]


async def test_after_a_cursor_every_later_step_is_told_also_when_all_have_ended(
    database: SqlDatabase, services: Services, pipeline: Pipeline, feed: SqlEventFeed
) -> None:
    start = await head(database)
    await ask(services, "AAPL", "MSFT")
    await pipeline.work_off()
    assert [phase for _, phase, _ in await follow(services.onboarding, ["MSFT"], start)] == list(OnboardingPhase)
    assert await follow(services.onboarding, ["MSFT"], await head(database)) == []


async def test_of_all_the_active_ones_come_first_and_the_stream_goes_on(
    services: Services, pipeline: Pipeline, feed: SqlEventFeed
) -> None:
    await ask(services, "AAPL")
    await pipeline.work_off()
    await ask(services, "MSFT")
    async with aclosing(services.onboarding.follow(None, None)) as steps:
        (standing,) = await first_steps(steps, 1)
        assert standing.event.job.ticker == "MSFT"
        await pipeline.work_off()
        told = await first_steps(steps, 6)
        assert told[-1].event.job.status is JobStatus.COMPLETED
        await ask(services, "N1")
        (more,) = await first_steps(steps, 1)
        assert more.event.job.ticker == "N1"


async def test_one_that_waits_for_a_place_counts_as_followed(
    database: SqlDatabase, services: Services, pipeline: Pipeline, feed: SqlEventFeed
) -> None:
    await ask(services, *MANY[:50])
    await enter_for(database, services.onboarding.queue, "p", "AAPL")
    following = asyncio.create_task(follow(services.onboarding, ["AAPL"]))
    await followed(feed)
    await services.onboarding.cancel((await services.onboarding.jobs((JobStatus.PENDING,), 1))[0].id)
    await pipeline.work_off()
    told = await following
    assert [phase for _, phase, _ in told] == list(OnboardingPhase)


async def test_a_retry_meanwhile_is_followed_too(
    services: Services, pipeline: Pipeline, feed: SqlEventFeed, provider: StubProvider, clock: ManualClock
) -> None:
    async def fail(ticker: str) -> None:
        raise ProviderUnavailable("stub")

    provider.before_answer_on = fail
    await ask(services, "AAPL")
    async with aclosing(services.onboarding.follow(["AAPL"], None)) as steps:
        await first_steps(steps, 1)
        clock.advance(timedelta(seconds=1))
        await pipeline.work_off()
        _, postponed = await first_steps(steps, 2)
        assert (postponed.event.job.status, postponed.event.job.error) == (
            JobStatus.PENDING,
            "The provider stub did not answer.",
        )
        assert postponed.event.occurred_at == EVENING + timedelta(seconds=1)
