"""The command line within the test's own process, and a market whose time a test moves."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from persistence.market_clock import SharedClock
from tests.support.clock import ManualClock
from web import container
from web.cli import main

Ran = tuple[int, str, str]


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """The market's time of every service that is opened."""
    clock = ManualClock()

    async def join(*_: object) -> SharedClock:
        return SharedClock(clock, 0, is_recorded=False)

    monkeypatch.setattr(container, "join_clock", join)
    return clock


@pytest.fixture
def freshtape(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Ran]:
    """Runs a command in an empty folder, on the last evening of the sample market; gives exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRESHTAPE_PROVIDERS", "sample")
    monkeypatch.setenv("FRESHTAPE_CLOCK", "2026-03-27T20:30:00Z")

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["freshtape", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0 if code is None else 1), output.out, output.err

    return run
