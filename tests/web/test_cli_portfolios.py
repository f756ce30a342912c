"""Portfolios on the command line: from a file and back, and what is told while their symbols come in."""

import asyncio
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from domain.events import OnboardingAdvanced
from domain.onboarding import JobStatus, OnboardingJob
from persistence.engine import Engine
from persistence.market_clock import clock_generation
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING
from tests.support.portfolios import HEADER, file_of
from tests.support.universe import track_in
from tests.web.conftest import Ran
from web.cli import portfolios as commands

Freshtape = Callable[..., Ran]


@pytest.fixture
def tracked(freshtape: Freshtape) -> Freshtape:
    """With AAPL and SPY tracked and refreshed."""
    assert freshtape("db", "upgrade")[0] == 0
    asyncio.run(track_in("sqlite+aiosqlite:///./freshtape.db", "AAPL", "SPY"))
    assert freshtape("symbols", "refresh", "--all")[0] == 0
    return freshtape


def write(name: str, *rows: str) -> None:
    Path(name).write_text(file_of(*rows))


# ── from a file and back


def test_import_show_export_remove(tracked: Freshtape) -> None:
    write("main.csv", "AAPL,10,200,2025-11-03", "SPY,-2,650.5", "AAPL,1,100,2025-01-02,2025-02-03")
    code, out, err = tracked("portfolio", "import", "main.csv")
    assert (code, err) == (0, "")
    assert re.fullmatch(
        r"main is imported, version 1\. Worth \d+\.\d+ USD on 2026-03-27, \+\d+\.\d+ \(\+\d+\.\d\d %\)\.\n", out
    )
    assert tracked("portfolio", "import", "main.csv")[1] == out, "again, it is the same"
    code, out, _ = tracked("portfolio", "show")
    assert [line.split()[:3] for line in out.splitlines()] == [["name", "status", "version"], ["main", "READY", "1"]]
    code, out, _ = tracked("portfolio", "show", "main")
    assert re.search(r"^AAPL +10 +200 +2025-11-03 +– +248\.8 +2026-03-27 +2488 +488 +USD *$", out, re.MULTILINE)
    assert re.search(r"^AAPL +1 +100 +2025-01-02 +2025-02-03 +– +– +– +– +USD *$", out, re.MULTILINE)
    assert "main is READY, version 1. Worth " in out
    code, exported, err = tracked("portfolio", "export", "main")
    assert (code, err) == (0, "")
    assert exported == HEADER + "AAPL,10,200,2025-11-03,\nSPY,-2,650.5,,\nAAPL,1,100,2025-01-02,2025-02-03\n"
    Path("again.csv").write_text(exported)
    assert tracked("portfolio", "import", "again.csv", "--name", "main")[0] == 0
    assert "main is READY, version 1." in tracked("portfolio", "show", "main")[1]
    assert tracked("portfolio", "remove", "main", "--expected-version", "7") == (
        3,
        "",
        "The portfolio 'main' was changed meanwhile: expected version 7, it is 1.\n",
    )
    assert tracked("portfolio", "remove", "main") == (0, "main is removed.\n", "")
    for command in ("show", "export", "remove"):
        assert tracked("portfolio", command, "main") == (3, "", "There is no portfolio 'main'.\n")


def test_replacing_needs_the_version(tracked: Freshtape) -> None:
    write("main.csv", "AAPL,10,200")
    assert tracked("portfolio", "import", "main.csv")[0] == 0
    write("main.csv", "AAPL,11,200")
    assert tracked("portfolio", "import", "main.csv") == (
        3,
        "",
        "The portfolio 'main' is there with other lots, and replacing them needs its expectedVersion; its version is 1.\n",
    )
    assert "main is imported, version 2." in tracked("portfolio", "import", "main.csv", "--expected-version", "1")[1]


def test_mistakes_are_a_table(tracked: Freshtape) -> None:
    write("main.csv", "AAPL,10,200", "SPY,[red]many,1", "SPY,1,1,2026-03-28")
    code, out, err = tracked("portfolio", "import", "main.csv")
    assert (code, out) == (3, "")
    assert [line.split()[0] for line in err.splitlines()] == ["line", "3", "4", "The"]
    assert re.search(r"^3 +quantity +\[red\]many +\S", err, re.MULTILINE)
    assert re.search(
        r"^4 +entry date +2026-03-28 +The entry date is later than today, 2026-03-27\. +Leave out", err, re.MULTILINE
    )
    assert tracked("portfolio", "show")[1].splitlines()[1:] == []
    code, out, _ = tracked("portfolio", "import", "main.csv", "--dry-run")
    assert (code, out) == (3, "1 row would be imported, 2 mistakes.\ntracked: AAPL\n")
    code, out, err = tracked("portfolio", "import", "main.csv", "--accept-valid-rows")
    assert code == 0
    assert out.endswith("2 mistakes: these rows are left out.\n")
    assert len(err.splitlines()) == 3


def test_a_check_says_what_is_not_tracked(tracked: Freshtape) -> None:
    write("main.csv", "AAPL,10,200", "MSFT,1,1")
    assert tracked("portfolio", "import", "main.csv", "--dry-run") == (
        0,
        "2 rows would be imported, 0 mistakes.\ntracked: AAPL\nnot tracked yet: MSFT\n",
        "",
    )


def test_what_is_no_text(freshtape: Freshtape) -> None:
    Path("main.csv").write_bytes(b"\xff\xfe\x00")
    assert freshtape("portfolio", "import", "main.csv") == (3, "", "main.csv is not UTF-8 text: save it as CSV in UTF-8.\n")
    assert freshtape("portfolio", "import", "nowhere.csv")[0] == 2


# ── what is pending


async def _work(ended: threading.Event, hold: threading.Event | None, *jobs: tuple[JobStatus, str | None]) -> None:
    """Takes up what is queued, one after the other, and ends it as it is told to."""
    engine = Engine("sqlite+aiosqlite:///./freshtape.db")
    try:
        database = SqlDatabase(engine, await clock_generation(engine))
        ahead = list(jobs)
        while ahead and not ended.is_set():
            if (job := await _take(database)) is None:
                await asyncio.sleep(0.05)
                continue
            if hold is not None:
                await asyncio.to_thread(hold.wait, 20)
            status, error = ahead.pop(0)
            await _save(database, job.completed(EVENING, error) if error is None else job.ended(status, EVENING, error))
    finally:
        await engine.close()


async def _take(database: SqlDatabase) -> OnboardingJob | None:
    async with database.write() as unit:
        await unit.jobs.lock_queue()
        claim = await unit.jobs.claim(3, EVENING)
        if claim is not None:
            await unit.events.append(OnboardingAdvanced(claim.job, EVENING))
    return claim.job if claim is not None else None


async def _save(database: SqlDatabase, job: OnboardingJob) -> None:
    async with database.write() as unit:
        await unit.jobs.lock_queue()
        await unit.jobs.save(job)
        await unit.events.append(OnboardingAdvanced(job, EVENING))


@contextmanager
def worker(*jobs: tuple[JobStatus, str | None], hold: threading.Event | None = None) -> Iterator[None]:
    """A worker on the database, in a thread of its own: there is a queue, and the commands only follow it."""
    ended = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_work(ended, hold, *jobs)))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(20)
        assert not thread.is_alive()


def test_pending_symbols_are_followed_to_their_end(tracked: Freshtape) -> None:
    write("main.csv", "AAPL,1,1", "MSFT,1,1", "ZZZZ,1,1")
    with worker((JobStatus.COMPLETED, None), (JobStatus.FAILED, "ZZZZ is not known")):
        code, out, err = tracked("portfolio", "import", "main.csv")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[1:4] == ["2 symbols to be loaded.", "MSFT is queued", "ZZZZ is queued"]
    assert sorted(lines[4:]) == [
        "MSFT is in work: validating",
        "MSFT is ready.",
        "ZZZZ failed: ZZZZ is not known",
        "ZZZZ is in work: validating",
    ]


def test_on_a_terminal_by_a_bar(tracked: Freshtape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "err", Console(stderr=True, force_terminal=True, width=100, highlight=False))
    write("main.csv", "MSFT,1,1")
    with worker((JobStatus.COMPLETED, None)):
        code, out, err = tracked("portfolio", "import", "main.csv")
    assert code == 0
    assert out == "main is imported, version 1.\n1 symbol to be loaded.\n"
    assert "100%" in err
    assert "MSFT is ready." in err


def test_nobody_takes_them_up(tracked: Freshtape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "PATIENCE_SECONDS", 0.4)
    write("main.csv", "MSFT,1,1", "QQQ,1,1")
    code, out, _ = tracked("portfolio", "import", "main.csv")
    assert code == 0
    assert out.splitlines()[-1] == "Nobody takes them up: `freshtape serve` does. Still queued: 2 symbols."
    assert "main is PENDING" in tracked("portfolio", "show", "main")[1]
    assert "pending: MSFT, QQQ" in tracked("portfolio", "show", "main")[1]


def test_whoever_works_slowly_is_waited_for(tracked: Freshtape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "PATIENCE_SECONDS", 0.4)
    write("main.csv", "MSFT,1,1")
    hold = threading.Event()
    is_worked, asked = commands._is_worked, 0

    async def count(container: Any) -> bool:
        nonlocal asked
        asked += 1
        answer = await is_worked(container)
        if asked == 3:
            hold.set()
        return answer

    monkeypatch.setattr(commands, "_is_worked", count)
    with worker((JobStatus.COMPLETED, None), hold=hold):
        code, out, _ = tracked("portfolio", "import", "main.csv")
    assert (code, out.splitlines()[-1], asked) == (0, "MSFT is ready.", 3)


def test_ctrl_c_leaves_them_to_go_on(tracked: Freshtape, monkeypatch: pytest.MonkeyPatch) -> None:
    next_step = commands._next

    async def interrupted(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return await next_step(*arguments)

    monkeypatch.setattr(commands, "_next", interrupted)
    write("main.csv", "MSFT,1,1")
    code, out, err = tracked("portfolio", "import", "main.csv")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "They go on without you: 1 symbol to come."
