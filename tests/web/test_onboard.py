"""`freshtape onboard`: a command beside a running service, and what it shows on a terminal."""

import asyncio
import io

import pytest
from rich.console import Console

from domain.onboarding import JobStatus, OnboardingPhase
from tests.support.process import Processes, Service, until
from web.cli.board import Bars, board
from web.remote import Unreachable, reach

CLOCK = "2026-03-27T20:30:00Z"


async def test_symbols_are_onboarded_and_each_step_is_a_line(sqlite_url: str) -> None:
    async with Processes(sqlite_url, FRESHTAPE_CLOCK=CLOCK) as processes:
        service = await processes.start_one(works=True)
        code, out = await processes.command("onboard", "--url", service.url, "aapl", "NOPE")
        lines = out.splitlines()
        assert code == 3, "one of them failed"
        assert [line for line in lines if line.startswith("AAPL")] == [
            "AAPL is queued",
            "AAPL is in work: validating",
            "AAPL is in work: fetching prices",
            "AAPL is in work: joining universe",
            "AAPL is in work: calculating factors",
            "AAPL is in work: updating portfolios",
            "AAPL is ready.",
        ]
        assert lines.count("NOPE failed: NOPE is not known to the provider sample.") == 1
        assert await processes.command("onboard", "--url", f"{service.url}/graphql", "AAPL") == (0, "AAPL is ready.\n")


async def test_it_goes_on_after_the_service_has_died_and_is_back(sqlite_url: str) -> None:
    async with Processes(sqlite_url, FRESHTAPE_CLOCK=CLOCK) as processes:
        first = await processes.start_one()  # works nothing off: the job stays queued
        onboarding = asyncio.create_task(processes.command("onboard", "--url", first.url, "MSFT"))
        await until(lambda: queued(first), 15)
        await first.kill()
        port = first.url.rpartition(":")[2]
        await processes.start_one(works=True, FRESHTAPE_PORT=port)
        code, out = await onboarding
    assert code == 0
    assert out.splitlines()[-1] == "MSFT is ready."


async def queued(service: Service) -> bool:
    answer = await service.ask("{ onboarding { depth } }")
    return bool(answer["data"]["onboarding"]["depth"])


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "127.0.0.1:8000", "ftp://127.0.0.1", "http://"])
async def test_where_nobody_answers_it_says_so(url: str) -> None:
    with pytest.raises(Unreachable, match=f"No service answers at {url}: start one with `freshtape serve`"):
        async with reach(url):
            pass


def test_on_a_terminal_there_are_bars_and_what_has_ended_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100)
    with board(Console(file=io.StringIO()), terminal, 2) as shown:
        shown.show("AAPL", JobStatus.PENDING, OnboardingPhase.QUEUED, 0, None)
        shown.show("AAPL", JobStatus.PROCESSING, OnboardingPhase.FETCHING_PRICES, 15, None)
        shown.show("MSFT", JobStatus.PENDING, OnboardingPhase.VALIDATING, 5, "The provider yahoo did not answer.")
        assert isinstance(shown, Bars)
        assert [(task.description, task.completed) for task in shown._progress.tasks] == [("all", 20), ("AAPL", 15)]
        shown.show("AAPL", JobStatus.PARTIAL, OnboardingPhase.DONE, 100, "MOMENTUM: no prices of MTUM")
        shown.show("MSFT", JobStatus.CANCELLED, OnboardingPhase.VALIDATING, 5, "cancelled")
    assert "AAPL is ready, but for some betas: MOMENTUM: no prices of MTUM" in screen.getvalue()
    assert "MSFT was cancelled." in screen.getvalue()
    assert not shown.is_good
