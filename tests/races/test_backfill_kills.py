"""Workers of backfills that die or sleep in the middle of one, and many that want the same few."""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from domain.backfill import BackfillStatus
from domain.bars import Interval
from domain.events import SymbolChangeKind
from domain.ports import BackfillClaim
from persistence.engine import Engine
from persistence.unit_of_work import SqlDatabase
from tests.support.backfilled import Backfilled, backfilled, days, queue, queue_in
from tests.support.clock import EVENING
from tests.support.figures import told
from tests.support.inquiries import Clerk, Inquiries, Inquiry
from tests.support.market import DAYS, made_up
from tests.support.mutants import in_force
from tests.support.onboarded import processes_of
from tests.support.process import Processes, until
from tests.support.stored import opened
from tests.support.universe import track, track_in

YEAR = days(EVENING.date().replace(year=2025), EVENING.date())
DEATHS = (
    "dies with an answer given",
    "dies with the bars of an answer written",
    "dies with an answer written",
    "dies with an answer committed",
    "dies with its end written",
    "dies with its end committed",
)
RESUME_SECONDS, LEASE_SECONDS = 30, 3
WRITE_SECONDS, PATIENCE_SECONDS = 1, 20
FENCE_ALONE = "short backfill lease", "no heartbeat", "patient with providers", "patient gate"
CLAIMERS, BACKFILLS, PLACES = 20, 5, 3
ONE = made_up(1)[0]


async def held(database_url: str, ticker: str = ONE) -> Backfilled:
    async with opened(database_url) as database:
        return await backfilled(database, ticker, Interval.ONE_DAY)


async def ended(database_url: str, ticker: str = ONE, within: float = 60) -> Backfilled:
    async with opened(database_url) as database:

        async def is_over() -> bool:
            async with database.read() as unit:
                return not (await unit.backfills.of([ticker]))[ticker].is_active

        await until(is_over, within)
        return await backfilled(database, ticker, Interval.ONE_DAY)


async def written_within(database_url: str, before: Backfilled, seconds: float) -> bool:
    """Whether something becomes another than before."""
    async with opened(database_url) as database:

        async def is_another() -> bool:
            return await backfilled(database, ONE, Interval.ONE_DAY) != before

        with suppress(TimeoutError):
            await until(is_another, seconds)
        return await is_another()


def faults(found: Backfilled) -> set[str]:
    """What is not as it must be of one that was filled once and well."""
    holds = {
        "completed": found.job.status is BackfillStatus.COMPLETED,
        "each bar once": len(found.opens) == DAYS,
        "each bar counted once": found.job.received == found.job.records_inserted == DAYS,
        "told once": [kind for kind, _ in found.told].count(SymbolChangeKind.BACKFILLED) == 1,
        "version 2": found.symbol.version == 2,
        "one attempt": found.job.attempts == 1,
        "what was not there is noted": {each.provider for each in found.absences} <= {"sample"},
        "known up to its newest day": found.mark is not None and found.mark.complete_until == found.mark.attempted_until,
    }
    return {name for name, is_true in holds.items() if not is_true}


# ── killed


class Deaths:
    """Workers that die one after the other, each in another place of another backfill, and one that takes over from them."""

    def __init__(self, database_url: str, market: Path) -> None:
        self._database_url = database_url
        self._processes = processes_of(database_url, market)
        self.resumed_after: list[float] = []

    async def run(self) -> list[Backfilled]:
        tickers = made_up(len(DEATHS))
        async with self._processes:
            survivor = await self._processes.start_one("no new backfill is taken up", "a month at once", works=True)
            async with asyncio.TaskGroup() as group:
                for ticker, death in zip(tickers, DEATHS, strict=True):
                    await self._die(ticker, death)
                    group.create_task(self._watch(ticker))
            self.taken_over = await survivor.gauge(r'freshtape_backfill_outcomes_total\{outcome="completed"\}')
        return [await held(self._database_url, ticker) for ticker in tickers]

    async def _die(self, ticker: str, death: str) -> None:
        await track_in(self._database_url, ticker)
        doomed = await self._processes.start_one(death, "dead workers' backfills stay", "a month at once", works=True)
        await queue_in(self._database_url, ticker, YEAR)
        # It finds no place before the survivor has taken over from one of those before it.
        assert (await doomed.ended(2 * RESUME_SECONDS))[0] == -signal.SIGKILL
        found = await held(self._database_url, ticker)
        assert found.job.is_active or death == DEATHS[-1], f"{ticker} was to be left by one that {death}"

    async def _watch(self, ticker: str) -> None:
        died_at = asyncio.get_running_loop().time()
        await ended(self._database_url, ticker, RESUME_SECONDS)
        self.resumed_after.append(asyncio.get_running_loop().time() - died_at)


async def test_killed_anywhere_a_backfill_goes_on_and_each_bar_is_there_once(
    sqlite_url: str, postgresql_url: str, market: Path
) -> None:
    both = [Deaths(database_url, market) for database_url in (sqlite_url, postgresql_url)]
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(deaths.run()) for deaths in both]
    for found in (task.result() for task in running):
        assert {(one.symbol.ticker, *sorted(faults(one))) for one in found if faults(one)} == set()
        assert [one.job.lapses for one in found] == [1] * (len(DEATHS) - 1) + [0], "the last died when all was done"
    assert [deaths.taken_over for deaths in both] == [len(DEATHS) - 1] * 2
    slowest = max(seconds for deaths in both for seconds in deaths.resumed_after)
    places = f"{2 * len(DEATHS)} workers killed, {len(DEATHS)} places on each database"
    told(f"{places}: the last backfill was at its end {slowest:.1f} s later")


async def test_where_dead_workers_backfills_stay_they_stay(postgresql_url: str, market: Path) -> None:
    await track_in(postgresql_url, ONE)
    await queue_in(postgresql_url, ONE, YEAR)
    async with processes_of(postgresql_url, market) as processes:
        doomed = await processes.start_worker("dies with an answer given", "short backfill lease")
        assert await doomed.wait() == -signal.SIGKILL
        await processes.start_one("dead workers' backfills stay", works=True)
        with pytest.raises(TimeoutError):
            await ended(postgresql_url, within=6)
    assert (await held(postgresql_url)).job.status is BackfillStatus.IN_PROGRESS


# ── asleep for longer than the lease


async def woken(database_url: str, market: Path, *mutants: str, alone: bool) -> None:
    """A worker asleep while it waits for bars, its lease lapsed; it wakes when another has the backfill, or `alone`."""
    async with (
        Inquiries() as inquiries,
        Clerk(inquiries, ONE) as clerk,
        processes_of(database_url, market, inquiries) as processes,
    ):
        sleeper = await processes.start_one(*FENCE_ALONE, "dead workers' backfills stay", *mutants, works=True)
        await track_in(database_url, ONE)
        await queue_in(database_url, ONE, YEAR)
        inquiry = await clerk.kept()
        sleeper.send(signal.SIGSTOP)
        await asyncio.sleep(LEASE_SECONDS + 0.5)
        other = None if alone else await another(processes, clerk)
        before = await held(database_url)
        inquiry.answer()
        sleeper.send(signal.SIGCONT)

        seconds = PATIENCE_SECONDS if mutants else WRITE_SECONDS
        assert not await written_within(database_url, before, seconds), "written without the lease"
        (other or await another(processes, clerk)).answer()
        found = await ended(database_url)
        assert (faults(found), found.job.lapses) == (set(), 1)


async def another(processes: Processes, clerk: Clerk) -> Inquiry:
    """A worker that has taken it up, and waits for bars."""
    await processes.start_one("patient with providers", "patient gate", works=True)
    return await clerk.kept()


async def test_a_worker_that_outlived_its_lease_writes_nothing(sqlite_url: str, postgresql_url: str, market: Path) -> None:
    await asyncio.gather(woken(sqlite_url, market, alone=True), woken(postgresql_url, market, alone=False))


async def test_without_the_fence_it_writes(sqlite_url: str, postgresql_url: str, market: Path) -> None:
    async def writes(database_url: str, mutant: str, alone: bool) -> None:
        with pytest.raises(AssertionError, match="written without the lease"):
            await woken(database_url, market, mutant, alone=alone)

    await asyncio.gather(
        writes(postgresql_url, "any worker's token holds a backfill", False),
        writes(sqlite_url, "a lapsed lease holds a backfill", True),
    )


# ── many that want the same few


async def claimed_by_many(database_url: str, places: int) -> list[BackfillClaim]:
    """What twenty claimers, each on a connection of its own, have taken up when none finds anything more."""
    async with opened(database_url) as database:
        for ticker in made_up(BACKFILLS):
            await track(database, ticker)
            await queue(database, ticker, YEAR)
    engines = [Engine(database_url) for _ in range(CLAIMERS)]
    at_once = asyncio.Barrier(CLAIMERS)

    async def claim(engine: Engine, chance: Random) -> list[BackfillClaim]:
        database = SqlDatabase(engine, clock_generation=0)
        mine: list[BackfillClaim] = []
        async with database.read():
            await at_once.wait()
        while True:
            async with database.write() as unit:
                await unit.jobs.lock_queue()
                found = await unit.backfills.claim(places, EVENING)
            if found is None:
                return mine
            mine.append(found)
            await asyncio.sleep(chance.random() / 50)

    try:
        taken = await asyncio.gather(*(claim(engine, Random(number)) for number, engine in enumerate(engines)))
    finally:
        await asyncio.gather(*(engine.close() for engine in engines))
    return [one for claims in taken for one in claims]


async def test_twenty_claimers_take_five_backfills_each_once(database_url: str) -> None:
    taken = await claimed_by_many(database_url, places=CLAIMERS)
    assert sorted(claim.job.ticker for claim in taken) == made_up(BACKFILLS)
    assert {(claim.token, claim.job.attempts, claim.job.lapses) for claim in taken} == {(1, 1, 0)}


async def test_twenty_claimers_find_three_places(database_url: str) -> None:
    assert len(await claimed_by_many(database_url, PLACES)) == PLACES


async def test_where_places_are_not_counted_they_find_more(database_url: str) -> None:
    with in_force("places of backfills not counted"):
        assert len(await claimed_by_many(database_url, PLACES)) == BACKFILLS
