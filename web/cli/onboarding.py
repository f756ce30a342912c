"""Asking a running service for onboardings, and watching them until all have ended."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import typer

from domain.onboarding import JobStatus, OnboardingPhase
from web.cli.board import Board, board
from web.cli.shared import REFUSED, Tickers, Url, ask_service, err, out
from web.remote import RefusedByService, Unreachable, reach

ONBOARD = """mutation ($input: OnboardSymbolsInput!) { onboardSymbols(input: $input) {
    ... on OnboardingQueued { jobs { ticker } readyTickers }
    ... on Problem { message }
} }"""
PROGRESS = """subscription ($tickers: [String!]) { onboardingProgress(tickers: $tickers) {
    job { ticker status phase progressPercent error }
} }"""
RETRIES = 10
RETRY_SECONDS = 1.0


app = typer.Typer()


@app.command()
def onboard(
    tickers: Tickers,
    url: Url = None,
) -> None:
    """Ask a running service to bring symbols to where analytics can use them, and watch."""

    async def work(address: str) -> int:
        with board(out, err, len(tickers)) as shown:
            await _onboard(address, tickers, shown)
        return 0 if shown.is_good else REFUSED

    raise typer.Exit(ask_service(work, url))


async def _onboard(url: str, tickers: Sequence[str], board: Board) -> None:
    """Raises Unreachable and RefusedByService."""
    wanted = await _ask(url, tickers, board)
    attempt = 0
    while wanted:
        try:
            await _follow(url, wanted, board)
            return
        except Unreachable:
            # The jobs stay queued, and whoever begins to follow is told first where each of them is.
            attempt += 1
            if attempt > RETRIES:
                raise
            await asyncio.sleep(RETRY_SECONDS)


async def _ask(url: str, tickers: Sequence[str], board: Board) -> list[str]:
    """The tickers that have a job."""
    async with reach(url) as remote:
        asked = {"tickers": list(tickers), "requestedBy": "cli"}
        queued = (await remote.ask(ONBOARD, input=asked))["onboardSymbols"]
    if "message" in queued:
        raise RefusedByService(queued["message"])
    for ticker in queued["readyTickers"]:
        board.show(ticker, JobStatus.COMPLETED, OnboardingPhase.DONE, 100, None)
    return [job["ticker"] for job in queued["jobs"]]


async def _follow(url: str, tickers: Sequence[str], board: Board) -> None:
    async with reach(url) as remote, aclosing(remote.follow(PROGRESS, tickers=tickers)) as answers:
        async for answer in answers:
            _show(board, answer["onboardingProgress"]["job"])


def _show(board: Board, job: dict[str, Any]) -> None:
    board.show(job["ticker"], JobStatus[job["status"]], OnboardingPhase[job["phase"]], job["progressPercent"], job["error"])
