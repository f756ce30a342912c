"""The course of an onboarding, phase by phase, on both databases."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select, update

from domain.bars import ActionKind, CorporateAction
from domain.errors import NoData, ProviderUnavailable, SymbolNotFound, Trouble
from domain.events import LoggedStep, Position
from domain.factors import FACTOR_ETFS, ExposureQuality, Factor
from domain.findings import findings
from domain.levels import SymbolLevelExtractor
from domain.onboarding import MAX_ATTEMPTS, MAX_LAPSES, JobStatus, OnboardingJob, OnboardingPhase
from domain.portfolio import PortfolioStatus, Snapshot
from domain.ports import Claim
from domain.services.measuring import Measuring
from domain.services.pipeline import LeaseLost, Pipeline
from domain.symbols import Symbol, SymbolStatus
from graph.context import Services
from persistence.tables import onboarding_jobs
from persistence.types import real_time
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING, ManualClock
from tests.support.mutants import mutated
from tests.support.provider import StubProvider, daily_bar, profile, walk

ETFS = sorted(set(FACTOR_ETFS.values()))


@pytest.fixture
def provider() -> StubProvider:
    provider = StubProvider("AAPL", "MSFT", "NEW", *ETFS)
    provider.course = walk
    return provider


async def queue(services: Services, *tickers: str) -> list[OnboardingJob]:
    return (await services.onboarding.onboard(tickers or ("AAPL",), "tester")).jobs


async def newest(services: Services, ticker: str = "AAPL") -> OnboardingJob:
    (job,) = [job for job in await services.onboarding.jobs(tuple(JobStatus), 100) if job.ticker == ticker][:1]
    return job


async def symbol(database: SqlDatabase, ticker: str = "AAPL") -> Symbol | None:
    async with database.read() as unit:
        return await unit.symbols.get(ticker)


async def steps(database: SqlDatabase, ticker: str = "AAPL") -> list[OnboardingJob]:
    async with database.read() as unit:
        logged = await unit.events.after(Position((await unit.events.head()).log_id, 0), 1000)
    jobs = [entry.event.job for entry in logged if isinstance(entry, LoggedStep)]
    return [job for job in jobs if job.ticker == ticker]


async def make_due(database: SqlDatabase) -> None:
    """What waits for its next attempt has waited."""
    async with database.engine.write() as connection:
        await connection.execute(update(onboarding_jobs).values(due_at=real_time()))


async def let_lapse(database: SqlDatabase) -> None:
    async with database.engine.write() as connection:
        await connection.execute(update(onboarding_jobs).values(lease_expires_at=real_time(-1)))


async def claimed(pipeline: Pipeline) -> Claim:
    claim = await pipeline.claim()
    assert claim is not None, "nothing is up"
    return claim


def failing(ticker: str, error: Exception, times: int = 1000) -> Callable[[str], Awaitable[None]]:
    """The stub's next answers about the ticker."""
    left = times

    async def fail(asked: str) -> None:
        nonlocal left
        if asked == ticker and left:
            left -= 1
            raise error

    return fail


# ── to a good end


async def test_a_new_symbol_becomes_active_with_everything_that_analytics_needs(
    database: SqlDatabase, services: Services, pipeline: Pipeline, clock: ManualClock
) -> None:
    await queue(services)
    await pipeline.work_off()
    job = await newest(services)
    assert (job.status, job.phase, job.progress_percent, job.attempts, job.error) == (
        JobStatus.COMPLETED,
        OnboardingPhase.DONE,
        100,
        1,
        None,
    )
    assert (job.queued_at, job.started_at, job.finished_at, job.requested_by) == (EVENING, EVENING, EVENING, "tester")
    async with database.read() as unit:
        found = await unit.symbols.get("AAPL")
        bars = await unit.bars.daily_since("AAPL", date(2000, 1, 1))
        levels = (await unit.symbols.levels(["AAPL"]))["AAPL"]
        exposures = (await unit.exposures.of(["AAPL"]))["AAPL"]
    assert found is not None
    expected = findings(bars, [], clock.now().date(), SymbolLevelExtractor())
    assert set(levels) == set(expected.levels)
    assert (found.status, found.version, found.last_updated) == (SymbolStatus.ACTIVE, 2, EVENING)
    assert (found.last_price, found.as_of, found.direction, found.level_count) == (
        expected.last_price,
        expected.as_of,
        expected.direction,
        len(expected.levels),
    )
    assert [exposure.factor for exposure in exposures] == list(Factor)


async def test_every_phase_is_told_in_order_with_rising_progress(
    database: SqlDatabase, services: Services, pipeline: Pipeline
) -> None:
    await queue(services)
    await pipeline.work_off()
    told = await steps(database)
    assert [job.phase for job in told] == list(OnboardingPhase)
    assert [job.status for job in told] == [JobStatus.PENDING, *[JobStatus.PROCESSING] * 5, JobStatus.COMPLETED]
    progress = [job.progress_percent for job in told]
    assert progress == sorted(set(progress))
    assert told[0].position == 1
    assert (told[0].estimated_seconds, told[1].estimated_seconds, told[-1].estimated_seconds) == (60, 30, None)


async def test_its_row_is_there_before_its_prices_and_its_prices_before_its_betas(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    """What the documents had the other way round."""
    seen: list[tuple[str, bool, int]] = []

    async def look(ticker: str) -> None:
        async with database.read() as unit:
            bars = len(await unit.bars.daily_since("AAPL", date(2000, 1, 1)))
            seen.append((ticker, await unit.symbols.get("AAPL") is not None, bars))

    provider.before_answer_on = look
    await queue(services)
    await pipeline.work_off()
    own, *etfs = [(is_there, bars) for ticker, is_there, bars in seen[1:]]
    assert own == (True, 0), "the row first, then the prices"
    assert all(is_there and bars for is_there, bars in etfs), "the prices first, then the betas"


async def test_a_year_of_daily_bars_is_asked_for_at_once(
    services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    await queue(services)
    await pipeline.work_off()
    assert [asked for asked in provider.asked if asked[0] == "AAPL"] == [
        ("AAPL", (EVENING - timedelta(days=365)).date(), EVENING)
    ]


async def test_the_etfs_are_loaded_once_and_need_no_job(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    await queue(services, "AAPL", "MSFT")
    first, second = await claimed(pipeline), await claimed(pipeline)
    await asyncio.gather(pipeline.run(first), pipeline.run(second))
    for etf in ETFS:
        found = await symbol(database, etf)
        assert found is not None
        assert (found.status, found.last_updated) == (SymbolStatus.ACTIVE, EVENING)
        assert len([asked for asked in provider.asked if asked[0] == etf]) == 1
    jobs = await services.onboarding.jobs(tuple(JobStatus), 100)
    assert {(job.ticker, job.status) for job in jobs} == {("AAPL", JobStatus.COMPLETED), ("MSFT", JobStatus.COMPLETED)}


async def test_an_etf_that_is_stale_is_brought_up_to_date_for_new_betas(
    services: Services, pipeline: Pipeline, clock: ManualClock
) -> None:
    await queue(services)
    await pipeline.work_off()
    clock.advance(timedelta(days=10))
    await queue(services, "MSFT")
    await pipeline.work_off()
    measured = await services.measuring.exposures(["MSFT"])
    assert {exposure.as_of for exposure in measured["MSFT"]} == {clock.now().date() - timedelta(days=1)}


async def test_an_etf_that_waits_in_the_queue_itself_holds_nobody_up(services: Services, pipeline: Pipeline) -> None:
    """All places are taken by jobs that need it, and its own job waits behind them."""
    await queue(services, "AAPL", "MSFT", "NEW", "SPY")
    claims = [await claimed(pipeline) for _ in range(3)]
    assert await pipeline.claim() is None
    async with asyncio.timeout(30):
        await asyncio.gather(*map(pipeline.run, claims))
        await pipeline.work_off()
    jobs = await services.onboarding.jobs(tuple(JobStatus), 100)
    assert {job.status for job in jobs} == {JobStatus.COMPLETED}
    assert len(jobs) == 4


# ── to a bad one


async def test_an_unknown_symbol_fails_at_once_and_leaves_no_row(
    database: SqlDatabase, services: Services, pipeline: Pipeline
) -> None:
    await queue(services, "NOPE")
    await pipeline.work_off()
    job = await newest(services, "NOPE")
    assert (job.status, job.phase, job.attempts) == (JobStatus.FAILED, OnboardingPhase.VALIDATING, 1)
    assert job.error == "NOPE is not known to the provider stub."
    assert await symbol(database, "NOPE") is None


async def test_without_price_data_it_fails_with_that_reason_and_the_symbol_is_retired(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    provider.bars = ()
    await queue(services)
    await pipeline.work_off()
    job = await newest(services)
    assert (job.status, job.phase, job.attempts) == (JobStatus.FAILED, OnboardingPhase.FETCHING_PRICES, 1)
    assert job.error == "stub answered and has no bar of AAPL in the range asked for."
    found = await symbol(database)
    assert found is not None
    assert (found.status, found.version) == (SymbolStatus.RETIRED, 2)


async def test_provider_trouble_is_tried_three_times_with_growing_waits(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    provider.before_answer_on = failing("AAPL", ProviderUnavailable("stub"))
    await queue(services)
    waits: list[float] = []
    for attempt in range(1, MAX_ATTEMPTS + 1):
        await pipeline.run(await claimed(pipeline))
        job = await newest(services)
        assert job.attempts == attempt
        if attempt < MAX_ATTEMPTS:
            assert (job.status, job.error) == (JobStatus.PENDING, "The provider stub did not answer.")
            assert await pipeline.claim() is None, "it waits"
            waits.append(await seconds_until_due(database))
            await make_due(database)
    assert job.status is JobStatus.FAILED
    assert job.error == "The provider stub did not answer."
    assert 0.9 < waits[0] < 3.1
    assert 3.9 < waits[1] < 12.1
    assert await symbol(database) is None


async def seconds_until_due(database: SqlDatabase) -> float:
    async with database.engine.read() as connection:
        row = (await connection.execute(select(onboarding_jobs.c.due_at, real_time().label("now")))).one()
        return float((row.due_at - row.now).total_seconds())


async def test_it_waits_no_shorter_than_the_provider_asks_for(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    error = ProviderUnavailable("stub", Trouble.RATE_LIMITED, retry_after_seconds=60)
    provider.before_answer_on = failing("AAPL", error, times=1)
    await queue(services)
    await pipeline.work_off()
    assert 58 < await seconds_until_due(database) <= 60
    await make_due(database)
    await pipeline.work_off()
    assert (await newest(services)).status is JobStatus.COMPLETED


async def test_the_next_attempt_begins_where_the_last_one_met_trouble(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    provider.before_answer_on = failing("SPY", ProviderUnavailable("stub"), times=1)
    await queue(services)
    await pipeline.run(await claimed(pipeline))
    job = await newest(services)
    assert (job.status, job.phase) == (JobStatus.PENDING, OnboardingPhase.CALCULATING_FACTORS)
    await make_due(database)
    await pipeline.work_off()
    assert (await newest(services)).status is JobStatus.COMPLETED
    assert len([asked for asked in provider.asked if asked[0] == "AAPL"]) == 1, "the prices were there"


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (ProviderUnavailable("stub"), 3),
        (SymbolNotFound("MTUM", "is not known to the provider stub"), 1),
        (NoData("MTUM", "stub"), 1),
    ],
    ids=["unavailable", "unknown", "empty"],
)
async def test_betas_that_cannot_be_computed_make_it_partial_with_nulls_and_the_reason(
    database: SqlDatabase,
    services: Services,
    pipeline: Pipeline,
    provider: StubProvider,
    error: Exception,
    attempts: int,
) -> None:
    provider.before_answer_on = failing("MTUM", error)
    await queue(services)
    for _ in range(attempts):
        await pipeline.work_off()
        await make_due(database)
    job = await newest(services)
    assert (job.status, job.phase, job.progress_percent, job.attempts) == (
        JobStatus.PARTIAL,
        OnboardingPhase.DONE,
        100,
        attempts,
    )
    assert job.error is not None
    assert "MTUM" in job.error
    assert str(error) in job.error
    found = await symbol(database)
    assert found is not None
    assert found.status is SymbolStatus.ACTIVE
    exposures = {exposure.factor: exposure for exposure in (await services.measuring.exposures(["AAPL"]))["AAPL"]}
    assert exposures[Factor.MARKET].beta is not None
    for factor in (Factor.MOMENTUM, Factor.VALUE, Factor.MOMENTUM_SPREAD):
        assert exposures[factor].beta is None
        assert exposures[factor].quality is ExposureQuality.UNAVAILABLE


async def test_too_few_bars_make_it_partial(services: Services, pipeline: Pipeline, provider: StubProvider) -> None:
    provider.course = lambda ticker, last: walk(ticker, last, 10 if ticker == "AAPL" else 250)
    await queue(services)
    await pipeline.work_off()
    job = await newest(services)
    assert job.status is JobStatus.PARTIAL
    assert job.error is not None
    assert "9" in job.error, "it says how many returns there were"
    exposures = (await services.measuring.exposures(["AAPL"]))["AAPL"]
    assert {(exposure.beta, exposure.observations) for exposure in exposures} == {(None, 9)}


async def test_a_fault_of_ours_is_tried_again_and_shows_no_internals(
    database: SqlDatabase, services: Services, pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    await queue(services)
    with mutated(Measuring.measure, ("others = [", "raise RuntimeError('secret')\n    others = [")):
        for _ in range(MAX_ATTEMPTS):
            await pipeline.work_off()
            await make_due(database)
    job = await newest(services)
    assert (job.status, job.error) == (JobStatus.FAILED, "an internal fault, see the log")
    assert "secret" in caplog.text
    found = await symbol(database)
    assert found is not None
    assert found.status is SymbolStatus.RETIRED, "it had no status before"


async def test_one_symbols_failure_touches_no_other(services: Services, pipeline: Pipeline) -> None:
    await queue(services, "NOPE", "AAPL", "NADA", "MSFT")
    await pipeline.work_off()
    jobs = await services.onboarding.jobs(tuple(JobStatus), 100)
    assert {job.ticker: job.status for job in jobs} == {
        "NOPE": JobStatus.FAILED,
        "NADA": JobStatus.FAILED,
        "AAPL": JobStatus.COMPLETED,
        "MSFT": JobStatus.COMPLETED,
    }


async def test_each_attempt_is_a_line_with_its_outcome_and_why(
    services: Services, pipeline: Pipeline, provider: StubProvider, caplog: pytest.LogCaptureFixture
) -> None:
    async def limit(ticker: str) -> None:
        if ticker == "MSFT":
            raise ProviderUnavailable("stub", Trouble.RATE_LIMITED, "is asked too often", 60)

    provider.before_answer_on = limit
    with caplog.at_level(logging.INFO, logger="freshtape.onboarding"):
        await queue(services, "NOPE", "MSFT")
        await pipeline.work_off()
    lines = [re.sub(r" seconds=\d+\.\d{3}$", "", record.getMessage()) for record in caplog.records]
    assert lines == [
        'onboarding ticker=NOPE outcome=failed reason="NOPE is not known to the provider stub." attempt=1',
        'onboarding ticker=MSFT outcome=postponed reason="The provider stub is asked too often. Try again in 60 s." attempt=1',
    ]


async def test_a_failed_symbol_that_has_bars_is_again_what_it_was(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    await queue(services)
    await pipeline.work_off()
    before = await symbol(database)
    assert before is not None
    await services.symbols.remove("AAPL", before.version)
    provider.bars = ()
    await queue(services)
    await pipeline.work_off()
    after = await symbol(database)
    assert after is not None
    assert (await newest(services)).status is JobStatus.FAILED
    assert (after.status, after.last_updated, after.last_price) == (SymbolStatus.RETIRED, EVENING, before.last_price)


# ── the lease


async def test_a_dead_workers_job_goes_on_from_its_last_finished_phase(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    await queue(services)
    claim = await claimed(pipeline)
    job = claim.job
    for _ in range(2):  # validated and fetched, then the worker dies
        job = await pipeline._commit(job, claim.token, await pipeline._work[job.phase](job))
    assert await pipeline.claim() is None, "its lease lives"
    await let_lapse(database)
    await pipeline.work_off()
    done = await newest(services)
    assert (done.status, done.attempts, done.lapses) == (JobStatus.COMPLETED, 1, 1)
    assert len([asked for asked in provider.asked if asked[0] == "AAPL"]) == 1


async def test_who_lost_the_lease_writes_nothing_more(database: SqlDatabase, services: Services, pipeline: Pipeline) -> None:
    await queue(services)
    lost = await claimed(pipeline)
    await let_lapse(database)
    assert not await pipeline.prolong(lost)
    await pipeline.run(lost)
    assert await symbol(database) is None
    assert [job.phase for job in await steps(database)] == [OnboardingPhase.QUEUED, OnboardingPhase.VALIDATING]
    won = await claimed(pipeline)
    await pipeline.run(lost)
    assert await symbol(database) is None
    await pipeline.run(won)
    assert (await newest(services)).status is JobStatus.COMPLETED
    await pipeline.run(lost)
    assert len(await steps(database)) == len(OnboardingPhase) + 1


async def test_a_job_that_kills_its_workers_is_given_up(database: SqlDatabase, services: Services, pipeline: Pipeline) -> None:
    await queue(services)
    for _ in range(MAX_LAPSES + 1):
        await claimed(pipeline)
        await let_lapse(database)
    await pipeline.work_off()
    job = await newest(services)
    assert (job.status, job.error) == (JobStatus.FAILED, f"{MAX_LAPSES} workers died over it")


async def test_a_worker_that_is_stopped_gives_its_job_back_at_once(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    asked = asyncio.Event()

    async def hang(_: str) -> None:
        asked.set()
        await asyncio.sleep(60)

    provider.before_answer_on = hang
    await queue(services)
    running = asyncio.create_task(pipeline.run(await claimed(pipeline)))
    await asked.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    provider.before_answer_on = None
    await pipeline.work_off()
    job = await newest(services)
    assert (job.status, job.attempts, job.lapses) == (JobStatus.COMPLETED, 1, 0)


# ── called off


@pytest.mark.parametrize("finished", range(5))
async def test_called_off_in_any_phase_its_worker_writes_nothing_more(
    database: SqlDatabase, services: Services, pipeline: Pipeline, finished: int
) -> None:
    (job,) = await queue(services)
    claim = await claimed(pipeline)
    at = claim.job
    for _ in range(finished):
        at = await pipeline._commit(at, claim.token, await pipeline._work[at.phase](at))
    write = await pipeline._work[at.phase](at)
    cancelled = await services.onboarding.cancel(job.id)
    assert (cancelled.status, cancelled.phase, cancelled.error) == (JobStatus.CANCELLED, at.phase, "cancelled")
    before = await symbol(database), await steps(database)
    with pytest.raises(LeaseLost):
        await pipeline._commit(at, claim.token, write)
    assert (await symbol(database), await steps(database)) == before
    found = before[0]
    assert (found is None) if finished == 0 else (found is not None and found.status is SymbolStatus.RETIRED)


async def test_removing_the_symbol_calls_it_off(database: SqlDatabase, services: Services, pipeline: Pipeline) -> None:
    added = await services.symbols.add("AAPL", None, None, None)
    claim = await claimed(pipeline)
    await services.symbols.remove("AAPL", added.symbol.version)
    await pipeline.run(claim)
    job = await newest(services)
    assert (job.status, job.error) == (JobStatus.CANCELLED, "its symbol was removed")
    found = await symbol(database)
    assert found is not None
    assert (found.status, found.version) == (SymbolStatus.RETIRED, 2)


async def test_a_known_symbol_keeps_its_class_and_name(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    await services.symbols.add("AAPL", None, "My apple", None)
    await pipeline.work_off()
    found = await symbol(database)
    assert found is not None
    assert (found.name, found.status) == ("My apple", SymbolStatus.ACTIVE)


async def test_a_split_within_the_year_leaves_no_jump(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    last = EVENING.date() - timedelta(days=1)
    split_on = last - timedelta(days=50)
    days = [last - timedelta(days=119 - n) for n in range(120)]
    bars = [daily_bar("AAPL", day, str((1000 if day < split_on else 100) + n % 7)) for n, day in enumerate(days)]
    provider.course = lambda ticker, last: bars if ticker == "AAPL" else walk(ticker, last)
    provider.actions = [CorporateAction("AAPL", split_on, ActionKind.SPLIT, Decimal(10), "stub")]
    await queue(services)
    await pipeline.work_off()
    found = await symbol(database)
    assert found is not None
    assert found.last_price is not None
    async with database.read() as unit:
        levels = (await unit.symbols.levels(["AAPL"]))["AAPL"]
    assert max(level.price for level in levels) < 200


# ── into the portfolios


async def test_a_portfolio_of_unknown_symbols_fills_as_they_come_in(
    database: SqlDatabase, services: Services, pipeline: Pipeline
) -> None:
    csv = "symbol,quantity,entry price\nAAPL,10,90\nMSFT,-2,80.5\nAAPL,1.5,100\nNOPE,1,1\n"
    done = await services.portfolios.import_("Desk", csv)
    assert (done.pending, [job.ticker for job in done.jobs]) == (["AAPL", "MSFT", "NOPE"],) * 2
    assert await status_of(services, done.portfolio.id) == (PortfolioStatus.PENDING, None)
    await pipeline.run(await claimed(pipeline))
    _, first = await status_of(services, done.portfolio.id)
    price = await price_of(database, "AAPL")
    assert first is not None
    assert (first.position_count, first.is_complete, first.total_value) == (2, False, price * Decimal("11.5"))
    assert first.total_cost == Decimal(1050)
    await pipeline.work_off()
    status, last = await status_of(services, done.portfolio.id)
    assert last is not None
    assert (status, last.position_count, last.is_complete) == (PortfolioStatus.PARTIAL, 3, False), "one is unknown"
    assert last.total_value == price * Decimal("11.5") - 2 * await price_of(database, "MSFT")
    found = await services.portfolios.get(done.portfolio.id)
    assert found is not None
    assert found.version == 1, "valued, not changed"


async def status_of(services: Services, portfolio_id: str) -> tuple[PortfolioStatus, Snapshot | None]:
    found = await services.portfolios.get(portfolio_id)
    assert found is not None
    pending = (await services.portfolios.pending([portfolio_id])).get(portfolio_id, [])
    return found.status(pending), found.snapshot


async def price_of(database: SqlDatabase, ticker: str) -> Decimal:
    found = await symbol(database, ticker)
    assert found is not None
    assert found.last_price is not None
    return found.last_price


async def test_doing_it_once_more_counts_nothing_twice(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    """The documents added to the snapshot: a retry counted twice."""
    left_out = provider.profiles.pop("MTUM")
    done = await services.portfolios.import_("Desk", "symbol,quantity,entry price\nAAPL,10,90\n")
    await pipeline.work_off()
    _, before = await status_of(services, done.portfolio.id)
    provider.profiles["MTUM"] = left_out
    await services.onboarding.retry((await newest(services)).id)
    await pipeline.work_off()
    assert (await newest(services)).status is JobStatus.COMPLETED
    assert await status_of(services, done.portfolio.id) == (PortfolioStatus.READY, before)


async def test_a_portfolio_of_120_unknown_symbols_becomes_ready(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider
) -> None:
    tickers = [f"N{number}" for number in range(120)]
    provider.profiles |= {ticker: profile(ticker) for ticker in tickers}
    rows = "\n".join(f"{ticker},1,10" for ticker in tickers)
    done = await services.portfolios.import_("Many", f"symbol,quantity,entry price\n{rows}\n")
    assert (len(done.jobs), len(done.pending)) == (50, 120)
    depths: set[int] = set()
    while (claim := await pipeline.claim()) is not None:
        depths.add((await services.onboarding.view()).depth)
        await pipeline.run(claim)
    assert max(depths) == 50
    status, snapshot = await status_of(services, done.portfolio.id)
    assert snapshot is not None
    assert (status, snapshot.position_count, snapshot.is_complete) == (PortfolioStatus.READY, 120, True)
    jobs = await services.onboarding.jobs(tuple(JobStatus), 1000)
    assert sorted(job.ticker for job in jobs) == sorted(tickers)
    assert {job.status for job in jobs} == {JobStatus.COMPLETED}
