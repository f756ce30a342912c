"""Loops that fail."""

from functools import partial

import pytest

from tests.support.process import until
from web import workers
from web.workers import Loops


async def test_a_loop_that_goes_on_failing_goes_on_trying_and_is_logged_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(workers, "LONGEST_WAIT_SECONDS", 0.002)
    tries = 0

    async def fail() -> None:
        nonlocal tries
        tries += 1
        raise OSError("gone" if tries <= 50 else "gone for good")

    async def has_tried(times: int) -> bool:
        return tries >= times

    async with Loops() as loops:
        loops.start("work", fail)
        await until(partial(has_tried, 100), within=10)
    assert [record.getMessage() for record in caplog.records] == [
        "the loop 'work' failed and is started again: OSError('gone')",
        "the loop 'work' failed and is started again: OSError('gone for good')",
    ]
    monkeypatch.setattr(workers, "QUIET_SECONDS", 0.0)
    async with Loops() as loops:
        loops.start("work", fail)
        await until(partial(has_tried, 200), within=10)
    assert len(caplog.records) > 50
