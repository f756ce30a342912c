"""The trading session of a running service: started, changed, stopped, and watched."""

import asyncio
import math
import signal
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any

import typer

from domain.session import CHECKS, MOST_PRIORITY, GatingPolicy, SessionMode
from domain.tickers import normalise
from web.cli.session_board import SessionBoard, pace, session_board
from web.cli.shared import Tickers, Url, ask_service, many, out
from web.remote import RefusedByService, Remote, Unreachable, reach

VERSION = "{ session { version } }"
_OUTCOME = "{ __typename ... on SessionChanged { session { symbols { ticker phase } } } ... on Problem { message } }"
START = f"mutation ($input: StartSessionInput!) {{ done: startSession(input: $input) {_OUTCOME} }}"
ADD = f"mutation ($input: SessionSymbolInput!) {{ done: addSessionSymbol(input: $input) {_OUTCOME} }}"
REMOVE = f"mutation ($input: SessionSymbolInput!) {{ done: removeSessionSymbol(input: $input) {_OUTCOME} }}"
STOP = f"mutation ($version: Int!) {{ done: stopSession(expectedVersion: $version) {_OUTCOME} }}"
PAUSE = f"mutation ($version: Int!) {{ done: pauseSession(expectedVersion: $version) {_OUTCOME} }}"
RESUME = f"mutation ($version: Int!) {{ done: resumeSession(expectedVersion: $version) {_OUTCOME} }}"
SESSION = """{ session { mode state active reason epoch clock speed gating symbols {
    ticker phase lagSeconds barsProcessed barsQueued catchupThresholdSeconds error
} } }"""
ACTIVATION = """subscription ($after: Cursor) { sessionActivation(after: $after) {
    cursor active epoch reason session { clock }
} }"""

ENDED = ("STOPPED", "FINISHED")
POLL_SECONDS = 0.5
RETRIES = 10
RETRY_SECONDS = 1.0

Ticker = Annotated[str, typer.Argument(show_default=False)]
Variables = dict[str, Any]

app = typer.Typer(no_args_is_help=True, help="The trading session of a running service.")


@app.command()
def start(
    tickers: Tickers,
    replay: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Replay this trading day.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Stream the present.")] = False,
    speed: Annotated[float, typer.Option(min=0, help="Of a replay: times real time; 0 is as fast as it goes.")] = 1,
    gating: Annotated[
        GatingPolicy, typer.Option(help="Whether one that lags is withheld with all the others, or alone.")
    ] = GatingPolicy.SESSION,
    threshold: Annotated[int | None, typer.Option(min=1, help="Seconds that a symbol may be behind.")] = None,
    check_interval: Annotated[
        int | None, typer.Option(min=CHECKS.start, max=CHECKS[-1], help="Bars between two looks at how far it is.")
    ] = None,
    quarantine: Annotated[
        int | None, typer.Option(min=1, help="Seconds after which one that lags is withheld alone. Left out: never.")
    ] = None,
    url: Url = None,
) -> None:
    """Start a session: a replay of a trading day, or live."""
    if (replay is not None) == live:
        raise typer.BadParameter("give either --replay with a trading day, or --live")
    if not math.isfinite(speed):
        raise typer.BadParameter("--speed must be a number, 0 or more")
    asked = {
        "mode": (SessionMode.LIVE if live else SessionMode.REPLAY).name,
        "tickers": list(dict.fromkeys(map(normalise, tickers))),
        "date": replay.date().isoformat() if replay is not None else None,
        "speed": speed,
        "gating": gating.name,
        "catchupThresholdSeconds": threshold,
        "catchupCheckInterval": check_interval,
        "quarantineAfterSeconds": quarantine,
    }
    begun = _change(url, START, lambda version: {"input": {**asked, "expectedVersion": version}}, tries=1)
    what = f"replays {asked['date']} {pace(speed)}" if replay is not None else "is live"
    out.print(f"The session {what}: {_symbols(begun)}.")


@app.command()
def add(
    ticker: Ticker,
    threshold: Annotated[int | None, typer.Option(min=1, help="Seconds that it may be behind.")] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=MOST_PRIORITY, help="The higher, the oftener checked.")] = None,
    url: Url = None,
) -> None:
    """Add a symbol to the session. One that has failed is tried again."""
    added = normalise(ticker)
    asked = {"ticker": added, "catchupThresholdSeconds": threshold, "priority": priority}
    changed = _change(url, ADD, lambda version: {"input": {**asked, "expectedVersion": version}})
    (phase,) = (symbol["phase"] for symbol in changed["symbols"] if symbol["ticker"] == added)
    out.print(f"{added} takes part in the session, {phase}: {_symbols(changed)}.")


@app.command()
def remove(ticker: Ticker, url: Url = None) -> None:
    """Take a symbol out of the session."""
    removed = normalise(ticker)
    changed = _change(url, REMOVE, lambda version: {"input": {"ticker": removed, "expectedVersion": version}})
    out.print(f"{removed} has left the session: {_symbols(changed)}.")


@app.command()
def stop(url: Url = None) -> None:
    """End the session."""
    _change(url, STOP, lambda version: {"version": version})
    out.print("The session is stopped.")


@app.command()
def pause(url: Url = None) -> None:
    """Halt the session; what it has is withheld meanwhile."""
    _change(url, PAUSE, lambda version: {"version": version})
    out.print("The session is paused.")


@app.command()
def resume(url: Url = None) -> None:
    """Let a paused session go on."""
    _change(url, RESUME, lambda version: {"version": version})
    out.print("The session goes on.")


@app.command()
def watch(url: Url = None) -> None:
    """Watch the session until it ends: a table on a terminal, elsewhere a line for each change of its gate."""

    async def work(address: str) -> None:
        with session_board(out) as board:
            watching = asyncio.create_task(Watching(address, board).run())
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, watching.cancel)
            await asyncio.wait({watching})
        if not watching.cancelled():
            watching.result()

    ask_service(work, url)


class Watching:
    """Of the session at an address. A service that has answered once is waited for when it goes away."""

    def __init__(self, url: str, board: SessionBoard) -> None:
        self._url = url
        self._board = board
        self._cursor: str | None = None
        self._attempt = RETRIES

    async def run(self) -> None:
        """Until the session has ended. Raises Unreachable and RefusedByService."""
        while True:
            try:
                return await self._watch()
            except (Unreachable, RefusedByService) as trouble:
                is_refused = isinstance(trouble, RefusedByService)
                self._attempt += 1
                if self._attempt > RETRIES or (is_refused and self._cursor is None):
                    raise
                if is_refused:
                    self._cursor = None  # too old, or of another database: from the present on
            await asyncio.sleep(RETRY_SECONDS)

    async def _watch(self) -> None:
        async with reach(self._url) as asked, reach(self._url) as followed:
            following = asyncio.create_task(self._follow(followed))
            try:
                while not self._has_ended((await asked.ask(SESSION))["session"]):
                    await asyncio.wait({following}, timeout=POLL_SECONDS)
                    if following.done():
                        following.result()
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _follow(self, remote: Remote) -> None:
        async with aclosing(remote.follow(ACTIVATION, after=self._cursor)) as answers:
            async for answer in answers:
                activation = answer["sessionActivation"]
                self._cursor = activation["cursor"]
                self._board.tell(activation)
        raise Unreachable("The service has ended.")

    def _has_ended(self, session: dict[str, Any]) -> bool:
        """And the last of its epochs was told."""
        self._attempt = 0
        self._board.show(session)
        return session["state"] in ENDED and self._board.epoch >= session["epoch"]


def _change(url: str | None, mutation: str, variables: Callable[[int], Variables], tries: int = 2) -> dict[str, Any]:
    """The session after a change of the version that is read first; of another version, when somebody else was faster."""

    async def work(address: str) -> Any:
        async with reach(address) as remote:
            for _ in range(tries):
                version = (await remote.ask(VERSION))["session"]["version"]
                done = (await remote.ask(mutation, **variables(version)))["done"]
                if done["__typename"] != "VersionConflict":
                    break
        if "message" in done:
            raise RefusedByService(done["message"])
        return done["session"]

    changed: dict[str, Any] = ask_service(work, url)
    return changed


def _symbols(session: dict[str, Any]) -> str:
    return many(len(session["symbols"]), "symbol")
