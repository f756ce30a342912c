"""Loops that fail, wait, heal and are stopped."""

import asyncio
from functools import partial

import pytest

from domain import loops as domain_loops
from domain.loops import LoopState, LoopStatus
from tests.support.mutants import mutated
from tests.support.process import until
from web import workers
from web.workers import Loops, every

AT_ONCE = 1.5
"""Seconds: a wait or a sleep that is sat out takes many times as long."""


class Patient:
    """Work that fails so many times, and then goes on for ever."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.tries = 0
        self._failures = failures
        self._error = error or OSError("gone")

    async def run(self) -> None:
        self.tries += 1
        if self.tries <= self._failures:
            raise self._error
        await asyncio.Event().wait()

    async def has_tried(self, times: int) -> bool:
        return self.tries >= times


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain_loops, "FIRST_WAIT_SECONDS", 0.001)


def status_of(loops: Loops) -> LoopStatus:
    (status,) = loops.statuses()
    return status


@pytest.mark.usefixtures("quick")
async def test_a_loop_that_goes_on_failing_goes_on_trying_and_is_logged_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = 0

    async def fail() -> None:
        nonlocal tries
        tries += 1
        raise OSError("gone" if tries <= 50 else "gone for good")

    async def has_tried(times: int) -> bool:
        return tries >= times

    async with Loops() as loops:
        loops.start("work", fail, longest_wait=0.002)
        await until(partial(has_tried, 100), within=10)
    assert [record.getMessage() for record in caplog.records] == [
        "the loop 'work' failed and is started again: OSError('gone')",
        "the loop 'work' failed and is started again: OSError('gone for good')",
    ]
    monkeypatch.setattr(workers, "TELL_SECONDS", 0.0)
    async with Loops() as loops:
        loops.start("work", fail, longest_wait=0.002)
        await until(partial(has_tried, 200), within=10)
    assert len(caplog.records) > 50


@pytest.mark.usefixtures("quick")
async def test_it_is_waiting_then_failed_and_running_again_once_it_is_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain_loops, "STEADY_SECONDS", 0.3)
    work, states = Patient(6), list[LoopState]()

    async def run() -> None:
        states.append(status_of(loops).state)
        await work.run()

    async def is_healed() -> bool:
        return status_of(loops).state is LoopState.RUNNING

    async with Loops() as loops:
        assert loops.statuses() == []
        loops.start("work", run)
        await until(partial(work.has_tried, 7), within=5)
        await until(is_healed, within=5)
        healed = status_of(loops)
        assert (healed.restarts, healed.last_error) == (6, "OSError, see the log.")
        assert healed.lasts.total_seconds() >= 0.3
    assert status_of(loops).state is LoopState.STOPPED
    assert states == [LoopState.RUNNING] + 4 * [LoopState.WAITING] + 2 * [LoopState.FAILED], "as each try began"


@pytest.mark.usefixtures("quick")
async def test_a_loop_that_ends_by_itself_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    runs = 0

    async def end() -> None:
        nonlocal runs
        runs += 1

    async def has_run_again() -> bool:
        return runs > 2

    async with Loops() as loops:
        loops.start("work", end)
        await until(has_run_again, within=5)
        assert status_of(loops).is_unwell
    assert len(caplog.records) == 1


async def test_the_waits_are_as_long_as_the_noun_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own jitter: the shortest that chance allows is waited at least."""
    monkeypatch.setattr(domain_loops, "FIRST_WAIT_SECONDS", 0.1)
    work, now = Patient(4), asyncio.get_running_loop().time
    async with Loops() as loops:
        began = now()
        loops.start("work", work.run, longest_wait=0.2)
        await until(partial(work.has_tried, 5), within=10)
        took = now() - began
    assert took >= 0.75 * (0.1 + 0.2 + 0.2 + 0.2)


# ── stopping


async def stop_in_time(*works: workers.Loop) -> None:
    """Starts them, lets them come to where they are to be stopped, and stops them: at once, and nothing is started again."""
    now = asyncio.get_running_loop().time
    before = asyncio.all_tasks()
    loops = Loops()
    async with asyncio.timeout(5):
        async with loops:
            for number, work in enumerate(works):
                loops.start(f"work {number}", work, longest_wait=3600)
            await asyncio.sleep(0.1)
            ending = now()
        assert now() - ending < AT_ONCE
    assert {status.state for status in loops.statuses()} == {LoopState.STOPPED}
    assert asyncio.all_tasks() == before


async def slept() -> None:
    pass


async def test_all_are_stopped_at_once_in_their_waits_their_sleeps_and_their_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain_loops, "FIRST_WAIT_SECONDS", 3600.0)
    await stop_in_time(Patient(9).run, every(3600, slept), Patient(0).run)


async def test_loops_that_are_waited_for_instead_of_stopped_are_noticed() -> None:
    with mutated(Loops.__aexit__, ("task.cancel()", "pass")), pytest.raises(TimeoutError):
        await stop_in_time(Patient(0).run)
