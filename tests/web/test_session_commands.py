"""`freshtape session` against the real service, from the start of a replay to its end; and the demo's replay."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from domain.clock import Clock
from domain.errors import SessionNotRunning, VersionConflict
from domain.session import SessionMode, SessionState, StartSession, TradingSession
from providers.sample import SampleProvider
from tests.support.heard import ear_to
from tests.support.process import Processes, Service, until
from tests.support.served import Served, served
from tests.support.universe import track
from web import demo
from web.cli.service import _invite
from web.demo import DAY, REPLAYED, replay_over_and_over
from web.settings import BUNDLED_SAMPLE, Settings

CLOCK = "2026-03-27T20:30:00Z"
WITHIN = 20
STANDS = "{ session { state active epoch symbols { ticker phase } } }"


# ── the commands


async def test_a_replay_by_commands(sqlite_url: str) -> None:
    async with Processes(sqlite_url, FRESHTAPE_CLOCK=CLOCK) as processes:
        service = await processes.start_one(works=True)
        for ticker in ("AAPL", "SPY", "NVDA"):
            await service.add(ticker)

        async def session(*words: str) -> tuple[int, str]:
            return await processes.command("session", *words, "--url", service.url)

        async def stands(*, active: bool, epoch: int) -> None:
            async def is_so() -> bool:
                now = (await service.ask(STANDS))["data"]["session"]
                return (now["active"], now["epoch"]) == (active, epoch)

            await until(is_so, WITHIN)

        assert await session("stop") == (3, ""), "there is none"
        replay = ("start", "--replay", "2026-03-25", "--speed", "600", "SPY", "aapl")
        assert await session(*replay) == (0, "The session replays 2026-03-25 at 600×: 2 symbols.\n")
        assert await session(*replay) == (3, ""), "there is one already"
        assert await session("start", "SPY") == (2, "")
        await stands(active=True, epoch=2)
        watching = asyncio.create_task(session("watch"))
        await until(lambda: _is_followed(service), WITHIN)
        code, out = await session("add", "nvda", "--priority", "2")
        assert (code, re.sub(r"[A-Z_]+:", "…:", out)) == (0, "NVDA takes part in the session, …: 3 symbols.\n")
        await stands(active=True, epoch=5)
        assert await session("add", "NOPE") == (3, "")
        assert await session("remove", "NVDA") == (0, "NVDA has left the session: 2 symbols.\n")
        assert await session("remove", "NVDA") == (3, "")
        assert await session("resume") == (3, ""), "it is not paused"
        assert await session("pause") == (0, "The session is paused.\n")
        assert await session("resume") == (0, "The session goes on.\n")
        await stands(active=True, epoch=8)
        assert await session("stop") == (0, "The session is stopped.\n")
        code, out = await watching
        assert code == 0
        times, told = zip(*(line.split(" ", 1) for line in out.splitlines()), strict=True)
        assert list(times) == sorted(times)
        assert re.fullmatch(r"2026-03-25T1[3-9]:[0-5]\d:[0-5]\dZ", times[0])
        assert [re.sub(r"\(\d+ s\)", "(… s)", line) for line in told] == [
            "epoch 2 ACTIVE",
            "epoch 4 INACTIVE: NVDA (… s) is behind.",
            "epoch 5 ACTIVE",
            "epoch 7 INACTIVE: The session is paused.",
            "epoch 8 ACTIVE",
            "epoch 9 INACTIVE: The session is stopped.",
        ]
        code, out = await session("watch")
        assert (code, out.split(" ", 1)[1]) == (0, "epoch 9 INACTIVE: The session is stopped.\n")
        nowhere = await processes.command("session", "stop", "--url", "http://127.0.0.1:9")
        assert nowhere == (4, "")


async def _is_followed(service: Service) -> bool:
    return await service.gauge("freshtape_subscriptions") == 1


# ── the demo's replay


@asynccontextmanager
async def replaying(url: str) -> AsyncIterator[Served]:
    async with served(url, sample, works=True, sample_dir=BUNDLED_SAMPLE) as service:
        await track(service.container.database, *REPLAYED)
        replaying = asyncio.create_task(replay_over_and_over(service.container))
        try:
            yield service
            assert not replaying.done()
        finally:
            replaying.cancel()
            await asyncio.gather(replaying, return_exceptions=True)


def sample(_: str, settings: Settings, clock: Clock) -> SampleProvider:
    return SampleProvider(settings.sample_dir, clock)


async def becomes(service: Served, state: SessionState, number: int) -> TradingSession:
    """When the session that was started with that version is so."""
    sessions = service.container.services.sessions
    found: list[TradingSession] = []

    async def is_so() -> bool:
        found[:] = [await sessions.current()]
        return (found[0].state, found[0].number) == (state, number)

    await until(is_so, WITHIN)
    return found[0]


async def stop(service: Served) -> TradingSession:
    """Whichever round it is in."""
    sessions = service.container.services.sessions
    while True:
        with suppress(VersionConflict, SessionNotRunning):
            return await sessions.stop((await sessions.current()).version)


async def test_the_replay_starts_by_itself_and_over_again_until_somebody_stops_it(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "SPEED", 24_000.0)  # a day a second
    async with replaying(sqlite_url) as service, ear_to(service.url) as ear:
        await ear.follow("activation", "subscription { sessionActivation { epoch session { state version clock } } }")
        sessions = service.container.services.sessions
        for number in (1, 2, 3):
            begun = await becomes(service, SessionState.ACTIVE, number)
            assert (begun.mode, begun.day, begun.speed) == (SessionMode.REPLAY, DAY, 24_000.0)
            assert [symbol.ticker for symbol in begun.symbols] == sorted(REPLAYED)
        stopped = await stop(service)
        await asyncio.sleep(1)
        assert await sessions.current() == stopped, "who stops it has it stopped"

        # one of somebody's own is left alone, and when it has come to its end the demo's begins again
        own = StartSession(SessionMode.REPLAY, ("SPY",), DAY, speed=0)
        await sessions.start(own, stopped.version)
        again = await becomes(service, SessionState.ACTIVE, stopped.version + 2)
        assert [symbol.ticker for symbol in again.symbols] == sorted(REPLAYED)
        states = [(move["session"]["version"], move["session"]["state"]) for move in ear.of("activation")]
        rounds = ["STARTING", "ACTIVE", "FINISHED"]
        assert [state for version, state in states if version in (1, 2)] == rounds * 2
        assert [state for version, state in states if version == stopped.version + 1] == rounds


def test_what_it_says_when_it_starts(capsys: pytest.CaptureFixture[str]) -> None:
    _invite("http://127.0.0.1:8000")
    assert capsys.readouterr().out.endswith(
        """
A session replays 2026-03-25, a minute a second, over and over. Watch it, and add a symbol to it meanwhile:
  freshtape session watch --url http://127.0.0.1:8000
  freshtape session add TSLA --url http://127.0.0.1:8000
"""
    )
