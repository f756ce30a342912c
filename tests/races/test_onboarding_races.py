"""Many askers and several workers on one onboarding queue. Each race is run once as the code is, and once for each guard that
is taken out."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from domain.errors import Trouble
from domain.events import SymbolChangeKind
from domain.onboarding import JobStatus, OnboardingPhase
from domain.symbols import SymbolStatus
from tests.support.figures import told
from tests.support.inquiries import Clerk, Inquiries
from tests.support.market import ETFS, made_up
from tests.support.onboarded import Onboarded, Replayed, ended, onboard, onboarded, processes_of, replayed
from tests.support.process import Processes, Service, until

DEPTH, PLACES = 50, 3
BATCH = 10
ASK_AGAIN_SECONDS = 0.4


# ── more symbols than there is room for


class Crowd:
    """Clients, one at each service, that all ask for the same symbols in batches, each in its own order, again and again until
    they are taken. `ids` are of the jobs that a ticker was answered with."""

    def __init__(self, services: Sequence[Service], tickers: Sequence[str]) -> None:
        self._services = services
        self._tickers = tickers
        self.ids: defaultdict[str, set[str]] = defaultdict(set)
        self.answers: Counter[str] = Counter()
        self.most_seen: Counter[str] = Counter()

    async def ask(self) -> None:
        watching = asyncio.create_task(self._watch())
        async with asyncio.TaskGroup() as clients:
            for number, service in enumerate(self._services):
                clients.create_task(self._client(service, Random(number)))
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    async def _client(self, service: Service, chance: Random) -> None:
        # All begin with the same batches, at the same time; then each goes its own way.
        same, own = list(self._tickers[: 2 * BATCH]), list(self._tickers[2 * BATCH :])
        chance.shuffle(own)
        tickers = same + own
        for start in range(0, len(tickers), BATCH):
            await self._until_taken(service, tickers[start : start + BATCH])

    async def _until_taken(self, service: Service, batch: Sequence[str]) -> None:
        while (answer := await onboard(service, *batch))["__typename"] == "QueueFull":
            self.answers["QueueFull"] += 1
            assert answer["retryAfterSeconds"] >= 1
            await asyncio.sleep(ASK_AGAIN_SECONDS)
        self.answers[answer["__typename"]] += 1
        for job in answer["jobs"]:
            self.ids[job["ticker"]].add(job["id"])
        assert {job["ticker"] for job in answer["jobs"]} | set(answer["readyTickers"]) == set(batch)

    async def _watch(self) -> None:
        """What a client sees of the limits."""
        query = "{ onboarding { depth jobs(status: PROCESSING) { id } } }"
        while True:
            seen = (await self._services[0].ask(query))["data"]["onboarding"]
            self.most_seen |= Counter(active=seen["depth"], under_way=len(seen["jobs"]))
            await asyncio.sleep(0.1)


async def crowded(database_url: str, market: Path, number: int, processes: int, depth: int, *mutants: str) -> Crowd:
    tickers = made_up(number)
    async with processes_of(database_url, market, FRESHTAPE_ONBOARDING_MAX_DEPTH=str(depth)) as running:
        crowd = Crowd(await running.start(processes, *mutants, works=True), tickers)
        await crowd.ask()
        await ended(database_url, *tickers, within=60)
    return crowd


def limits_broken(crowd: Crowd, found: Replayed, depth: int) -> set[str]:
    holds = {
        "depth": max(found.most_active, crowd.most_seen["active"]) <= depth,
        "places": max(found.most_under_way, crowd.most_seen["under_way"]) <= PLACES,
    }
    return {name for name, is_true in holds.items() if not is_true}


async def assert_each_once(database_url: str, crowd: Crowd, tickers: Sequence[str]) -> None:
    found = await onboarded(database_url, *tickers)
    assert {(one.ticker, *sorted(one.faults())) for one in found if one.faults()} == set()
    assert [one.job.lapses for one in found] == [0] * len(tickers)
    assert {ticker for ticker, ids in crowd.ids.items() if len(ids) != 1} == set(), "asked for twice, queued twice"


def shown(crowd: Crowd, found: Replayed, number: int) -> str:
    return (
        f"{number} symbols, each onboarded once; {crowd.answers['QueueFull']} times QueueFull before "
        f"{crowd.answers['OnboardingQueued']} batches were taken; at most {found.most_active} active and "
        f"{found.most_under_way} under way"
    )


async def pressed(database_url: str, market: Path, number: int, processes: int, depth: int) -> None:
    """All are onboarded once, and the limits hold though the queue was as full as batches can make it."""
    tickers = made_up(number)
    crowd = await crowded(database_url, market, number, processes, depth)
    found = await replayed(database_url)
    assert limits_broken(crowd, found, depth) == set()
    assert (found.active, found.is_without_gaps) == (0, True)
    await assert_each_once(database_url, crowd, tickers)
    assert found.most_active > depth - BATCH
    assert found.most_under_way == PLACES
    assert crowd.answers["QueueFull"] > 0
    told(shown(crowd, found, number))


async def test_two_hundred_symbols_through_three_processes(postgresql_url: str, market: Path) -> None:
    await pressed(postgresql_url, market, 200, 3, DEPTH)


async def test_forty_symbols_through_two_processes_on_one_file(sqlite_url: str, market: Path) -> None:
    await pressed(sqlite_url, market, 40, 2, 12)


async def deepest(database_url: str, market: Path, *mutants: str) -> int:
    """When three ask at the same moment, through a process each, where there is room for one of them."""
    batches = [made_up(30)[start : start + BATCH] for start in range(0, 30, BATCH)]
    async with processes_of(database_url, market, FRESHTAPE_ONBOARDING_MAX_DEPTH="12") as processes:
        services = await processes.start(3, "slow to queue", *mutants)
        asking = (onboard(service, *batch) for service, batch in zip(services, batches, strict=True))
        answers = await asyncio.gather(*asking)
    taken = [answer for answer in answers if answer["__typename"] == "OnboardingQueued"]
    found = await replayed(database_url)
    assert found.most_active == BATCH * len(taken)
    return found.most_active


async def test_of_three_that_ask_at_once_one_finds_room(sqlite_url: str, postgresql_url: str, market: Path) -> None:
    both = await asyncio.gather(deepest(sqlite_url, market), deepest(postgresql_url, market))
    assert set(both) == {BATCH}


async def test_without_the_queues_lock_it_is_deeper_than_allowed(postgresql_url: str, market: Path) -> None:
    assert await deepest(postgresql_url, market, "queue not locked") == 3 * BATCH


async def test_where_places_are_not_counted_each_process_has_its_own(
    sqlite_url: str, postgresql_url: str, market: Path
) -> None:
    async def breaks(database_url: str) -> None:
        crowd = await crowded(database_url, market, 20, 2, DEPTH, "places not counted")
        assert limits_broken(crowd, await replayed(database_url), DEPTH) == {"places"}

    await asyncio.gather(breaks(sqlite_url), breaks(postgresql_url))


# ── the same symbols twice


async def asked_twice(database_url: str, market: Path, *mutants: str) -> Counter[str]:
    """Two ask for the same ten at the same moment, through a process each: how often each one's prices were asked for."""
    tickers = made_up(10)
    async with (
        Inquiries() as inquiries,
        Clerk(inquiries) as clerk,
        processes_of(database_url, market, inquiries) as processes,
    ):
        services = await processes.start(2, *mutants, works=True)
        first, second = await asyncio.gather(*(onboard(service, *tickers) for service in services))
        await ended(database_url, *tickers, within=30)
        third = await onboard(services[0], *tickers)
    ids = [{job["ticker"]: job["id"] for job in answer["jobs"]} for answer in (first, second)]
    assert ids[0] == ids[1]
    assert (third["jobs"], third["readyTickers"]) == ([], tickers)
    assert {(one.ticker, *one.faults()) for one in await onboarded(database_url, *tickers) if one.faults()} == set()
    return Counter(inquiry.ticker for inquiry in clerk.seen)


async def test_two_that_ask_at_once_run_each_symbol_once(sqlite_url: str, postgresql_url: str, market: Path) -> None:
    once = Counter([*made_up(10), *ETFS])
    counted = await asyncio.gather(asked_twice(sqlite_url, market), asked_twice(postgresql_url, market))
    assert list(counted) == [once, once]
    told("10 symbols asked for twice at once: 10 jobs and 18 calls for prices, of 8 ETFs among them, on either database")


async def test_where_active_jobs_are_not_looked_at_one_of_the_two_fails(postgresql_url: str, market: Path) -> None:
    with pytest.raises(AssertionError, match="answered with errors"):
        await asked_twice(postgresql_url, market, "active jobs not looked at")


# ── the ETFs that all need

PATIENT = "patient with providers", "patient gate"
"""What they ask is answered when the test has seen enough."""
LEASES_SECONDS = 60
"""By then those of a dead process have lapsed, of its job and of its refreshes."""


async def loaded_by_one(database_url: str, market: Path, *mutants: str, killed: bool = False) -> None:
    """One process has asked for the prices of all; another needs them, too."""
    mine, other = made_up(2)
    async with (
        Inquiries() as inquiries,
        Clerk(inquiries, *ETFS) as clerk,
        processes_of(database_url, market, inquiries) as processes,
    ):
        loader = await processes.start_one(*PATIENT, works=True, FRESHTAPE_ONBOARDING_MAX_CONCURRENT="1")
        await onboard(loader, mine)
        loads = [await clerk.kept() for _ in ETFS]
        needs = await processes.start_one(*PATIENT, *mutants, works=True)
        await onboard(needs, other)
        await is_measured(database_url, other)
        await asyncio.sleep(1)
        assert {inquiry.pid for inquiry in clerk.seen if inquiry.ticker in ETFS} == {loader.process.pid}, "loaded beside"
        if killed:
            await loader.kill()
            for _ in ETFS:
                (await clerk.kept(LEASES_SECONDS)).answer()
        for load in loads:
            load.answer()
        await ended(database_url, mine, other, within=LEASES_SECONDS)
    for one in await onboarded(database_url, mine, other):
        assert one.faults() == set()
    for etf in await onboarded(database_url, *ETFS):
        assert etf.stored is not None
        assert (etf.jobs, etf.stored.symbol.status, etf.stored.symbol.version) == ([], SymbolStatus.ACTIVE, 2)
        assert etf.stored.kinds.count(SymbolChangeKind.REFRESHED) == 1
        assert etf.stored.is_whole
    assert Counter(inquiry.ticker for inquiry in clerk.seen if inquiry.ticker in ETFS) == Counter(ETFS * (1 + killed))


async def is_measured(database_url: str, ticker: str) -> None:
    async def has_come_there() -> bool:
        (found,) = await onboarded(database_url, ticker)
        return bool(found.steps) and found.steps[-1].phase is OnboardingPhase.CALCULATING_FACTORS

    await until(has_come_there, 15)


async def test_the_etfs_are_loaded_once_over_all_processes(sqlite_url: str, postgresql_url: str, market: Path) -> None:
    await asyncio.gather(loaded_by_one(sqlite_url, market), loaded_by_one(postgresql_url, market))


async def test_when_their_loader_is_killed_another_loads_them(sqlite_url: str, postgresql_url: str, market: Path) -> None:
    await asyncio.gather(loaded_by_one(sqlite_url, market, killed=True), loaded_by_one(postgresql_url, market, killed=True))


async def test_without_wait_and_lease_they_are_loaded_beside(postgresql_url: str, market: Path) -> None:
    with pytest.raises(AssertionError, match="loaded beside"):
        await loaded_by_one(postgresql_url, market, "loads are not waited for", "lease taken from its holder")


# ── everything at once

HASTY = "short job lease", "short lease", "quick heartbeat", "short waits", "short probe", "short cool-down"
STORM_SECONDS = 12
TROUBLE = 0.12


class Storm:
    """Workers killed at random instants, and a provider in trouble at random calls."""

    def __init__(self, database_url: str, market: Path, seed: int) -> None:
        self._database_url = database_url
        self._market = market
        self._chance = Random(seed)
        self.killed = self.refused = 0

    async def rage(self, tickers: Sequence[str]) -> list[Onboarded]:
        async with Inquiries() as inquiries, processes_of(self._database_url, self._market, inquiries) as processes:
            answering = asyncio.create_task(self._answer(inquiries))
            asked, *workers = await processes.start(1), *await processes.start(2, *HASTY, works=True)
            for start in range(0, len(tickers), BATCH):
                assert (await onboard(asked[0], *tickers[start : start + BATCH]))["__typename"] == "OnboardingQueued"
            await self._kill(processes, workers)
            await ended(self._database_url, *tickers, within=45)
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
        return await onboarded(self._database_url, *tickers)

    async def _kill(self, processes: Processes, workers: list[Service]) -> None:
        now = asyncio.get_running_loop().time
        end = now() + STORM_SECONDS
        while now() < end:
            await asyncio.sleep(self._chance.uniform(0.3, 1.5))
            await workers.pop(0).kill()
            self.killed += 1
            workers.append(await processes.start_one(*HASTY, works=True))

    async def _answer(self, inquiries: Inquiries) -> None:
        while True:
            inquiry = await inquiries.next(within=3600)
            if self._chance.random() < TROUBLE:
                self.refused += 1
                inquiry.refuse(*self._chance.choice([(Trouble.DOWN, None), (Trouble.DOWN, 1), (Trouble.RATE_LIMITED, 1)]))
            else:
                inquiry.answer()


def astray(one: Onboarded) -> set[str]:
    """What is not as it must be, whatever has happened."""
    has_failed = one.job.status is JobStatus.FAILED
    holds = {
        "an end": one.job.status in {JobStatus.COMPLETED, JobStatus.PARTIAL, JobStatus.FAILED},
        "a reason": (one.job.status is JobStatus.COMPLETED) == (one.job.error is None),
        "step by step": one.is_step_by_step,
        "progress never goes back": one.never_goes_back,
        "whole": has_failed or not one.faults() - {"one attempt", "one job, completed", "twelve betas"},
        "twelve betas": one.job.status is not JobStatus.COMPLETED or "twelve betas" not in one.faults(),
        "retired": not has_failed or one.stored is None or one.stored.symbol.status is SymbolStatus.RETIRED,
    }
    return {name for name, is_true in holds.items() if not is_true}


async def test_through_kills_and_trouble_every_symbol_ends_once(sqlite_url: str, postgresql_url: str, market: Path) -> None:
    storms = [Storm(sqlite_url, market, seed=4), Storm(postgresql_url, market, seed=5)]
    async with asyncio.TaskGroup() as group:
        raging = [group.create_task(storm.rage(made_up(40))) for storm in storms]
    for storm, found in zip(storms, (task.result() for task in raging), strict=True):
        assert {(one.ticker, *sorted(astray(one))) for one in found if astray(one)} == set()
        ends = Counter(one.job.status.name for one in found)
        lapses = sum(one.job.lapses for one in found)
        assert min(storm.killed, storm.refused, lapses) > 0
        told(f"{storm.killed} workers killed, {storm.refused} calls refused, {lapses} jobs taken over: {dict(ends)}")
    for database_url in (sqlite_url, postgresql_url):
        queue = await replayed(database_url)
        assert (queue.most_under_way <= PLACES, queue.active, queue.is_without_gaps) == (True, 0, True)
