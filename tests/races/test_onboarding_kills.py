"""Workers of the onboarding queue that die, sleep or are told to end in the middle of a job."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from domain.onboarding import PHASES, JobStatus, OnboardingPhase
from domain.symbols import SymbolStatus
from tests.support.cable import cable
from tests.support.figures import told
from tests.support.inquiries import Clerk, Inquiries
from tests.support.market import made_up
from tests.support.onboarded import CANCEL, PROGRESS, Onboarded, ended, onboard, onboarded, processes_of
from tests.support.process import Processes, Service, until
from tests.support.served import socket_to

WORKING = PHASES[1:-1]
POINTS = ("worked out", "written", "committed")
DEATHS = [(phase, point) for phase in WORKING for point in POINTS]
RESUME_SECONDS, END_SECONDS, TAKE_OVER_SECONDS = 30, 10, 5
LEASE_SECONDS = 3
WRITE_SECONDS = 1
"""Enough to write what one has: it takes a hundredth of it."""
PATIENCE_SECONDS = 20
"""The same, where the guard is out and it is waited for what then is written."""
FENCE_ALONE = "short job lease", "no heartbeat"
PATIENT = "patient with providers", "patient gate"
ONE = made_up(1)[0]


# ── killed in each phase


class Deaths:
    """Workers that die one after the other, each in another place of another job, and one that takes up what they leave."""

    def __init__(self, database_url: str, market: Path) -> None:
        self._database_url = database_url
        self._processes = processes_of(database_url, market, FRESHTAPE_ONBOARDING_MAX_CONCURRENT="20")
        self._died_at: dict[str, float] = {}
        self.resumed_after: list[float] = []

    async def run(self, deaths: Sequence[tuple[OnboardingPhase, str]]) -> list[Onboarded]:
        tickers = made_up(len(deaths))
        async with self._processes, asyncio.TaskGroup() as group:
            survivor = await self._processes.start_one("no new job is taken up", works=True)
            group.create_task(self._watch(tickers))
            for ticker, (phase, point) in zip(tickers, deaths, strict=True):
                await self._die(survivor, ticker, phase, point)
        return await onboarded(self._database_url, *tickers)

    async def _die(self, survivor: Service, ticker: str, phase: OnboardingPhase, point: str) -> None:
        doomed = await self._processes.start_one(f"dies with {phase.value} {point}", "dead workers' jobs stay", works=True)
        await onboard(survivor, ticker)
        assert (await doomed.ended())[0] == -signal.SIGKILL
        self._died_at[ticker] = asyncio.get_running_loop().time()
        (found,) = await onboarded(self._database_url, ticker)
        reached = PHASES[PHASES.index(phase) + 1] if point == "committed" else phase
        assert found.steps[-1].phase is reached, f"{ticker} was to die with {phase.value} {point}"

    async def _watch(self, tickers: Sequence[str]) -> None:
        """In the order of their deaths."""
        for ticker in tickers:
            await ended(self._database_url, ticker, within=90)
            self.resumed_after.append(asyncio.get_running_loop().time() - self._died_at[ticker])


async def test_killed_in_each_phase_a_job_is_resumed_and_each_effect_is_there_once(
    sqlite_url: str, postgresql_url: str, market: Path
) -> None:
    both = [Deaths(database_url, market) for database_url in (sqlite_url, postgresql_url)]
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(deaths.run(DEATHS)) for deaths in both]
    for found in (task.result() for task in running):
        assert {(one.ticker, *sorted(one.faults())) for one in found if one.faults()} == set()
        assert [one.job.lapses for one in found] == [1] * (len(DEATHS) - 1) + [0], "the last died when its job was done"
    slowest = max(seconds for deaths in both for seconds in deaths.resumed_after)
    assert slowest < RESUME_SECONDS
    told(f"{2 * len(DEATHS)} workers killed, {len(DEATHS)} places on each database: the last job ended {slowest:.1f} s after")


async def test_where_dead_workers_jobs_stay_they_stay(postgresql_url: str, market: Path) -> None:
    async with processes_of(postgresql_url, market) as processes:
        await left_by_a_dead_worker(processes, "dies with fetching_prices written")
        await processes.start_one("dead workers' jobs stay", works=True)
        with pytest.raises(TimeoutError):
            await ended(postgresql_url, ONE, within=6)


async def broken_apart(database_url: str, market: Path, phase: OnboardingPhase) -> set[str]:
    """What is wrong after a worker has died between the commit of a phase's effect and that of the job's next phase."""
    async with processes_of(database_url, market) as processes:
        await left_by_a_dead_worker(processes, f"dies with the effect of {phase.value} committed")
        await processes.start_one(works=True)
        await ended(database_url, ONE)
    (found,) = await onboarded(database_url, ONE)
    return found.faults()


async def test_were_effect_and_phase_not_one_transaction_one_would_be_lost_or_there_twice(
    sqlite_url: str, postgresql_url: str, market: Path
) -> None:
    lost, twice = await asyncio.gather(
        broken_apart(sqlite_url, market, OnboardingPhase.VALIDATING),
        broken_apart(postgresql_url, market, OnboardingPhase.UPDATING_PORTFOLIOS),
    )
    assert (lost, twice) == ({"each effect told once"}, {"version 2"})


async def left_by_a_dead_worker(processes: Processes, death: str) -> None:
    doomed = await processes.start_one(death, "short job lease", works=True)
    with suppress(httpx.TransportError):  # the answer and the death race
        await onboard(doomed, ONE)
    await doomed.ended()


# ── asleep for longer than the lease


class Sleep:
    """An async context: a worker asleep while it waits for prices, its lease lapsed, and a service that works nothing."""

    def __init__(self, database_url: str, market: Path, *mutants: str) -> None:
        self._database_url = database_url
        self._market = market
        self._mutants = mutants
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        inquiries = await self._stack.enter_async_context(Inquiries())
        self.clerk = await self._stack.enter_async_context(Clerk(inquiries, ONE))
        self.processes = await self._stack.enter_async_context(processes_of(self._database_url, self._market, inquiries))
        self.sleeper, self.asked = await asyncio.gather(
            self.processes.start_one(*FENCE_ALONE, *PATIENT, *self._mutants, works=True), self.processes.start_one()
        )
        await onboard(self.asked, ONE)
        self.inquiry = await self.clerk.kept()
        self.sleeper.send(signal.SIGSTOP)
        await asyncio.sleep(LEASE_SECONDS + 0.5)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.__aexit__(*error)

    async def wake(self, seconds: float = WRITE_SECONDS) -> None:
        """It gets older prices than there are, and has the time to write what it makes of them."""
        before = await self.found()
        self.inquiry.answer(days_left_out=30)
        self.sleeper.send(signal.SIGCONT)

        async def writes() -> bool:
            return await self.found() != before

        with suppress(TimeoutError):
            await until(writes, seconds)

    async def found(self) -> Onboarded:
        (found,) = await onboarded(self._database_url, ONE)
        return found


async def woken_under_another(database_url: str, market: Path, *mutants: str) -> None:
    """While another has its job, and when that has finished it."""
    async with Sleep(database_url, market, *mutants) as sleep:
        await sleep.processes.start_one(*PATIENT, works=True)
        other = await sleep.clerk.kept()
        before = await sleep.found()
        await sleep.wake(PATIENCE_SECONDS if mutants else WRITE_SECONDS)
        assert await sleep.found() == before, "written without the lease"
        other.answer()
        await ended(database_url, ONE)
        found = await sleep.found()
        assert found.faults() == set()
        assert found.job.lapses == 1


async def woken_too_late(database_url: str, market: Path) -> None:
    async with Sleep(database_url, market) as sleep:
        other = await sleep.processes.start_one(works=True)
        (await sleep.clerk.kept()).answer()
        await ended(database_url, ONE)
        before = await sleep.found()
        await other.kill()
        await sleep.wake()
        assert await sleep.found() == before
        assert before.faults() == set()


async def woken_alone(database_url: str, market: Path, *mutants: str) -> None:
    """Before anybody has taken its job up; it does not take it up again either."""
    async with Sleep(database_url, market, "dead workers' jobs stay", *mutants) as sleep:
        before = await sleep.found()
        await sleep.wake(PATIENCE_SECONDS if mutants else WRITE_SECONDS)
        assert await sleep.found() == before, "written without the lease"
        await sleep.processes.start_one(works=True)
        (await sleep.clerk.kept()).answer()
        await ended(database_url, ONE)
        found = await sleep.found()
        assert found.faults() == set()
        assert found.job.lapses == 1


async def test_a_worker_that_outlived_its_lease_writes_nothing(sqlite_url: str, postgresql_url: str, market: Path) -> None:
    await asyncio.gather(woken_under_another(sqlite_url, market), woken_under_another(postgresql_url, market))


async def test_nor_does_it_when_the_job_is_done_or_nobody_has_it(sqlite_url: str, postgresql_url: str, market: Path) -> None:
    await asyncio.gather(woken_too_late(postgresql_url, market), woken_alone(sqlite_url, market))


async def test_without_the_fence_it_writes(sqlite_url: str, postgresql_url: str, market: Path) -> None:
    async def writes(course: Any, database_url: str, mutant: str) -> None:
        with pytest.raises(AssertionError, match="written without the lease"):
            await course(database_url, market, mutant)

    await asyncio.gather(
        writes(woken_under_another, postgresql_url, "any worker's token holds"),
        writes(woken_alone, sqlite_url, "a lapsed lease holds"),
    )


# ── called off


async def called_off(database_url: str, market: Path, how: str, *mutants: str) -> None:
    """While its worker, in another process, waits for the prices."""
    async with (
        Inquiries() as inquiries,
        Clerk(inquiries, ONE) as clerk,
        processes_of(database_url, market, inquiries) as processes,
    ):
        _, asked = await asyncio.gather(processes.start_one("no heartbeat", *mutants, works=True), processes.start_one())
        (job,) = (await onboard(asked, ONE))["jobs"]
        inquiry = await clerk.kept()
        if how == "cancelled":
            answer = (await asked.ask(CANCEL, id=job["id"]))["data"]["cancelOnboarding"]
            assert answer["__typename"] == "OnboardingCancelled"
        else:
            assert (await asked.remove(ONE, 1))["__typename"] == "SymbolRemoved"
        (before,) = await onboarded(database_url, ONE)
        inquiry.answer()

        async def writes() -> bool:
            return await onboarded(database_url, ONE) != [before]

        with suppress(TimeoutError):
            await until(writes, PATIENCE_SECONDS if mutants else WRITE_SECONDS)
        (after,) = await onboarded(database_url, ONE)
    assert after == before, "written after it was called off"
    assert (after.job.status, after.job.phase) == (JobStatus.CANCELLED, OnboardingPhase.FETCHING_PRICES)
    assert after.stored is not None
    assert (after.stored.symbol.status, after.stored.bars) == (SymbolStatus.RETIRED, [])
    assert after.is_step_by_step


async def test_called_off_from_another_process_its_worker_writes_nothing_more(
    sqlite_url: str, postgresql_url: str, market: Path
) -> None:
    await asyncio.gather(called_off(sqlite_url, market, "cancelled"), called_off(postgresql_url, market, "removed"))


async def test_where_what_is_called_off_is_held_it_writes(sqlite_url: str, postgresql_url: str, market: Path) -> None:
    async def writes(database_url: str, how: str) -> None:
        with pytest.raises(AssertionError, match="written after it was called off"):
            await called_off(database_url, market, how, "what is called off is held")

    await asyncio.gather(writes(sqlite_url, "removed"), writes(postgresql_url, "cancelled"))


# ── told to end


async def taken_over_after(database_url: str, market: Path, *mutants: str) -> float:
    """Seconds from SIGTERM to the worker until another is at the same job."""
    now = asyncio.get_running_loop().time
    async with (
        Inquiries() as inquiries,
        Clerk(inquiries, ONE) as clerk,
        processes_of(database_url, market, inquiries) as processes,
    ):
        asked, worker = await asyncio.gather(processes.start_one(), processes.start_worker(*mutants))
        await onboard(asked, ONE)
        inquiry = await clerk.kept()
        assert inquiry.pid == worker.pid, "who serves with --no-workers works nothing"
        other = await processes.start_worker()
        told_at = now()
        worker.send_signal(signal.SIGTERM)
        async with asyncio.timeout(END_SECONDS):
            assert await worker.wait() == 0
        again = await clerk.kept(TAKE_OVER_SECONDS)
        taken_over = now() - told_at
        assert again.pid == other.pid
        again.answer()
        await ended(database_url, ONE)
    (found,) = await onboarded(database_url, ONE)
    assert (found.job.status, found.job.attempts, found.job.lapses) == (JobStatus.COMPLETED, 1, 0)
    return taken_over


async def test_a_worker_that_is_told_to_end_gives_its_job_back_at_once(postgresql_url: str, market: Path) -> None:
    seconds = await taken_over_after(postgresql_url, market)
    told(f"another worker was at the job {seconds:.2f} s after SIGTERM; the lease would have lasted up to 15 s")


async def test_where_it_is_not_given_back_it_waits_for_the_lease(postgresql_url: str, market: Path) -> None:
    with pytest.raises(TimeoutError):
        await taken_over_after(postgresql_url, market, "given back to nobody")


# ── followed


async def followed(database_url: str, market: Path, *mutants: str) -> int:
    """Over a killed worker and one that goes on, the wire cut in between: the steps of the log, each once, in order."""
    async with Inquiries() as inquiries, Clerk(inquiries, ONE) as clerk, AsyncExitStack() as stack:
        processes = await stack.enter_async_context(processes_of(database_url, market, inquiries))
        service, doomed = await asyncio.gather(
            processes.start_one(*mutants), processes.start_one("short job lease", works=True)
        )
        wire = await stack.enter_async_context(cable(service.url))
        await onboard(service, ONE)
        seen: list[dict[str, Any]] = []
        async with socket_to(wire.url) as socket:
            number = await socket.start(PROGRESS, tickers=[ONE])
            while not seen or seen[-1]["job"]["phase"] != "FETCHING_PRICES":
                seen.append((await socket.next(number))["data"]["onboardingProgress"])
            await clerk.kept()
            await doomed.kill()
            wire.cut()
            with pytest.raises(ConnectionClosed):
                await socket.receive()
        await processes.start_one(works=True)
        again = await clerk.kept()
        wire.mend()
        async with socket_to(wire.url) as socket:
            number = await socket.start(PROGRESS, tickers=[ONE], after=seen[-1]["cursor"])
            await asyncio.sleep(0.5)  # so that who begins at the log's end misses what came while the wire was cut
            again.answer()
            while (frame := await socket.receive())["type"] == "next":
                seen.append(frame["payload"]["data"]["onboardingProgress"])
            assert frame == {"id": number, "type": "complete"}, "it ends by itself"
    cursors = [step["cursor"] for step in seen]
    assert len(set(cursors)) == len(cursors)
    (found,) = await onboarded(database_url, ONE)
    standing = [(step["job"]["phase"], step["job"]["status"]) for step in seen]
    logged = [(step.phase.name, step.status.name) for step in found.steps]
    assert standing == logged[-len(standing) :], "something was missed or told twice"
    return len(seen)


async def test_progress_is_followed_across_a_killed_worker_and_a_cut_wire(
    sqlite_url: str, postgresql_url: str, market: Path
) -> None:
    steps = await asyncio.gather(followed(sqlite_url, market), followed(postgresql_url, market))
    told(f"{steps[0]} and {steps[1]} steps followed, each once, across a killed worker and a cut wire")


async def test_where_the_cursor_is_not_looked_at_a_step_is_missed(postgresql_url: str, market: Path) -> None:
    with pytest.raises(AssertionError, match="missed or told twice"):
        await followed(postgresql_url, market, "cursors are not looked at")
