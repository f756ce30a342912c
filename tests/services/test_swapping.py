"""A provider that counts in other shares or in another unit than it did: nothing is mixed, and all prices change at once."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.bars import ActionKind, Bar, CorporateAction, Interval
from domain.errors import AlreadyRefreshing, StoreUnavailable
from domain.events import LoggedChange, SymbolChangeKind
from domain.factors import FACTOR_ETFS
from domain.gaps import Absence, GapCause, Mark
from domain.levels import SymbolLevelExtractor
from domain.onboarding import JobStatus, OnboardingJob
from domain.ports import BarQuery
from domain.services.pipeline import Pipeline
from domain.services.storing import store, swap
from domain.symbols import Symbol, SymbolStatus
from graph.context import Services
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING, ManualClock
from tests.support.failing import cut_short
from tests.support.figures import told
from tests.support.mutants import in_force
from tests.support.process import ROOT
from tests.support.provider import StubProvider, walk
from tests.support.stored import opened, whole_log

ETFS = sorted(set(FACTOR_ETFS.values()))
DAY = timedelta(days=1)
YESTERDAY = EVENING.date() - DAY


@pytest.fixture
def provider() -> StubProvider:
    provider = StubProvider("AAPL", *ETFS)
    provider.course = walk
    return provider


def scaled(bars: Sequence[Bar], factor: str, **changes: Any) -> list[Bar]:
    prices = [{name: getattr(bar, name) * Decimal(factor) for name in ("open", "high", "low", "close")} for bar in bars]
    return [replace(bar, **each, **changes) for bar, each in zip(bars, prices, strict=True)]


def counts_in(provider: StubProvider, factor: str) -> None:
    """From now on, of AAPL."""
    provider.course = lambda ticker, last: scaled(walk(ticker, last), factor) if ticker == "AAPL" else walk(ticker, last)


def minute(day: date = YESTERDAY) -> Bar:
    opens = EVENING - DAY - timedelta(hours=2)
    return replace(
        walk("AAPL", day)[-1], interval=Interval.ONE_MINUTE, open_time=opens, close_time=opens + timedelta(minutes=1)
    )


async def fill(database: SqlDatabase, pipeline: Pipeline, services: Services) -> Symbol:
    """AAPL onboarded, with minutes, a mark and an absence."""
    await services.onboarding.onboard(["AAPL"], "tester")
    await pipeline.work_off()
    symbol = await symbol_of(database)
    async with database.write() as unit:
        await store(unit, symbol, [minute()], (), EVENING)
        await unit.quality.set_mark(Mark("AAPL", Interval.ONE_MINUTE, EVENING, EVENING))
        gone = YESTERDAY - 9 * DAY
        await unit.quality.note_absences(
            [Absence("AAPL", Interval.ONE_MINUTE, "stub", gone, gone, GapCause.UNKNOWN, EVENING, EVENING + DAY)]
        )
    return symbol


async def symbol_of(database: SqlDatabase) -> Symbol:
    async with database.read() as unit:
        symbol = await unit.symbols.get("AAPL")
    assert symbol is not None
    return symbol


async def held(database: SqlDatabase) -> dict[Interval, list[Bar]]:
    async with database.snapshot() as unit:
        pages = {
            interval: (await unit.bars.pages(["AAPL"], BarQuery(interval, 1000, EVENING + DAY)))["AAPL"].bars
            for interval in Interval
        }
    return {interval: bars for interval, bars in pages.items() if bars}


async def jobs_of(services: Services) -> list[OnboardingJob]:
    return [job for job in await services.onboarding.jobs(tuple(JobStatus), 100) if job.ticker == "AAPL"]


# ── from the refresh that finds out to the symbol that is active again


@pytest.mark.parametrize("factor", ["0.01", "100", "3"])
async def test_a_refresh_that_meets_other_prices_has_them_all_fetched_and_swapped(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider, clock: ManualClock, factor: str
) -> None:
    before = await fill(database, pipeline, services)
    old = await held(database)
    assert len(old) == len(Interval), "bars of every interval"
    counts_in(provider, factor)
    with pytest.raises(AlreadyRefreshing) as refused:
        await services.refreshing.refresh("AAPL", before.version, "api")
    job = (await jobs_of(services))[0]
    assert (refused.value.refresh.started_by, refused.value.refresh.started_at) == ("onboarding", job.queued_at)
    assert (job.status, job.swaps, job.previous_status) == (JobStatus.PENDING, True, SymbolStatus.ACTIVE)
    withheld = await symbol_of(database)
    assert (withheld.status, withheld.version) == (SymbolStatus.ONBOARDING, before.version + 1)
    assert (withheld.last_updated, withheld.last_price) == (before.last_updated, before.last_price)
    assert await held(database) == old, "nothing of that answer is merged"
    failed, changed = [
        entry.event for entry in await whole_log(database) if isinstance(entry, LoggedChange) and entry.event.ticker == "AAPL"
    ][-2:]
    assert [failed.kind, changed.kind] == [SymbolChangeKind.REFRESH_FAILED, SymbolChangeKind.STATUS_CHANGED]
    assert (
        changed.detail == f"stub now counts in other shares or another unit: its prices are {float(factor):g} times those held"
    )
    with pytest.raises(AlreadyRefreshing):
        await services.refreshing.refresh("AAPL", None, "api")
    await pipeline.work_off()
    await assert_swapped(database, services, before, factor)


async def assert_swapped(database: SqlDatabase, services: Services, before: Symbol, factor: str) -> None:
    """As if it had never been otherwise."""
    found, after = await held(database), await symbol_of(database)
    expected = scaled(walk("AAPL", YESTERDAY), factor)
    assert [replace(bar, faults=None) for bar in found[Interval.ONE_DAY]] == expected
    assert set(found) == {Interval.ONE_DAY}
    assert (after.status, after.last_price) == (SymbolStatus.ACTIVE, expected[-1].close)
    assert before.last_price is not None
    assert after.last_price == before.last_price * Decimal(factor)
    async with database.read() as unit:
        levels = (await unit.symbols.levels(["AAPL"]))["AAPL"]
        assert await unit.quality.revisions(["AAPL"], 10) == {}
        assert await unit.quality.marks(["AAPL"], Interval.ONE_MINUTE) == {}
        assert await unit.quality.absences(["AAPL"], Interval.ONE_MINUTE) == {}
        assert (await unit.exposures.of(["AAPL"]))["AAPL"]
    extraction = SymbolLevelExtractor().extract(found[Interval.ONE_DAY])
    assert sorted(levels, key=lambda each: each.price) == list(extraction.levels)
    assert (await jobs_of(services))[0].status is JobStatus.COMPLETED


async def test_an_onboarding_finds_out_for_itself(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider, clock: ManualClock
) -> None:
    """Of a symbol that comes back, with what was held of it before."""
    before = await fill(database, pipeline, services)
    await services.symbols.remove("AAPL", before.version)
    counts_in(provider, "0.01")
    await services.symbols.add("AAPL", None, None, before.version + 1)
    assert not (await jobs_of(services))[0].swaps
    await pipeline.work_off()
    await assert_swapped(database, services, before, "0.01")
    assert (await jobs_of(services))[0].swaps


async def test_what_is_older_than_a_year_is_swapped_too(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider, clock: ManualClock
) -> None:
    symbol = await fill(database, pipeline, services)
    course = {ticker: walk(ticker, YESTERDAY, 600) for ticker in ("AAPL", *ETFS)}
    provider.course = lambda ticker, last: course[ticker]
    async with database.write() as unit:
        await swap(unit, symbol, course["AAPL"], (), EVENING)
    provider.course = lambda ticker, last: scaled(course[ticker], "0.01") if ticker == "AAPL" else course[ticker]
    with pytest.raises(AlreadyRefreshing):
        await services.refreshing.refresh("AAPL", None, "api")
    await pipeline.work_off()
    found = (await held(database))[Interval.ONE_DAY]
    assert [bar.close for bar in found] == [bar.close / 100 for bar in course["AAPL"]]


async def test_a_swap_that_fails_leaves_the_symbol_as_it_was(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider, clock: ManualClock
) -> None:
    before = await fill(database, pipeline, services)
    old = await held(database)
    counts_in(provider, "100")
    with pytest.raises(AlreadyRefreshing):
        await services.refreshing.refresh("AAPL", None, "api")
    provider.course = lambda ticker, last: ()
    await pipeline.work_off()
    after = await symbol_of(database)
    assert (await jobs_of(services))[0].status is JobStatus.FAILED
    assert (after.status, after.last_price, await held(database)) == (SymbolStatus.ACTIVE, before.last_price, old)
    counts_in(provider, "100")
    with pytest.raises(AlreadyRefreshing):
        await services.refreshing.refresh("AAPL", None, "api")
    await pipeline.work_off()
    await assert_swapped(database, services, before, "100")


async def test_a_split_that_the_provider_tells_is_no_reason(
    database: SqlDatabase, services: Services, pipeline: Pipeline, provider: StubProvider, clock: ManualClock
) -> None:
    """Though it has adjusted all of its bars for it."""
    before = await fill(database, pipeline, services)
    clock.advance(DAY)
    taken = CorporateAction("AAPL", EVENING.date(), ActionKind.SPLIT, Decimal(4), "stub")
    adjusted = scaled(walk("AAPL", YESTERDAY), "0.25", adjusted_to=EVENING.date())
    provider.bars = [replace(bar, volume=bar.volume * 4) for bar in adjusted]
    provider.actions = [taken]
    done = await services.refreshing.refresh("AAPL", None, "api")
    assert before.last_price is not None
    assert (done.symbol.status, done.symbol.last_price) == (SymbolStatus.ACTIVE, before.last_price / 4)
    async with database.read() as unit:
        assert await unit.quality.revisions(["AAPL"], 10) == {}


# ── all at once


async def test_a_fault_between_any_two_statements_leaves_all_old_and_readers_see_nothing_else(
    database: SqlDatabase, services: Services, pipeline: Pipeline, database_url: str
) -> None:
    symbol = await fill(database, pipeline, services)
    old, new = await held(database), scaled(walk("AAPL", YESTERDAY), "100")
    seen: list[dict[Interval, list[Bar]]] = []
    async with opened(database_url) as other:

        async def look() -> None:
            seen.append(await held(other))

        count = 0
        for allowed in range(100):
            with suppress(StoreUnavailable):
                async with cut_short(database, allowed, look) as unit:
                    await swap(unit, symbol, new, (), EVENING)
                count = allowed
                break
            assert await held(other) == old, f"given up after {allowed} statements"
    told(f"a swap is {count - 1} calls and the commit; given up before each, and looked at {len(seen)} times")
    assert count > 5
    assert all(each == old for each in seen), "somebody saw what was not committed"
    found = await held(database)
    assert [replace(bar, faults=None) for bar in found[Interval.ONE_DAY]] == new
    assert set(found) == {Interval.ONE_DAY}


async def test_in_two_transactions_somebody_would_see_neither(
    database: SqlDatabase, services: Services, pipeline: Pipeline, database_url: str
) -> None:
    symbol = await fill(database, pipeline, services)
    old, new = await held(database), scaled(walk("AAPL", YESTERDAY), "100")
    seen: list[dict[Interval, list[Bar]]] = []
    async with opened(database_url) as other:

        async def look() -> None:
            seen.append(await held(other))

        with in_force("swapped in two transactions"):
            async with cut_short(database, 100, look) as unit:
                await swap(unit, symbol, new, (), EVENING)
    assert any(each != old for each in seen)
    assert {} in seen


async def test_readers_in_other_processes_see_all_old_or_all_new(
    database: SqlDatabase, services: Services, pipeline: Pipeline, database_url: str
) -> None:
    symbol = await fill(database, pipeline, services)
    course = walk("AAPL", YESTERDAY)
    either = [course, scaled(course, "100")]
    command = [sys.executable, "-m", "tests.support.looking", database_url, "AAPL"]
    pipe = asyncio.subprocess.PIPE
    readers = [await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe) for _ in range(2)]
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert await reader.stdout.readline() == b"looking\n"
        for n in range(1, 21):
            async with database.write() as unit:
                await swap(unit, symbol, either[n % 2], (), EVENING)
            await asyncio.sleep(0.02)
        outputs = [(await reader.communicate(b""))[0].decode() for reader in readers]
    finally:
        for reader in readers:
            if reader.returncode is None:
                reader.kill()
                await reader.wait()
    seen = [line.partition(" times ") for output in outputs for line in output.splitlines()]
    told("; ".join("".join(line) for line in seen))
    assert {state for _, _, state in seen} == {f"250 bars, {sum(bar.close for bar in bars):f}" for bars in either}
