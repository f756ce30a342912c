"""A live session of the real service whose feed a test decides: what is counted of it, its rules, and minutes by polling."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.bars import Bar
from domain.clock import Clock
from domain.ports import Heard, LiveFeed
from domain.services import leadership
from domain.session import SessionSymbolPhase, TradingSession
from domain.symbols import Symbol
from providers.sample import SampleProvider
from tests.support.clock import ManualClock
from tests.support.heard import ear_to
from tests.support.mutants import mutated
from tests.support.process import until
from tests.support.served import Served, served
from tests.support.sessions import ADD, REMOVE, START, minute
from tests.support.universe import track
from tests.web.test_session_service import BARS, closings, member
from web.session_config import LOOK_SECONDS
from web.settings import BUNDLED_SAMPLE, Settings

OPENS = datetime(2026, 3, 25, 13, 30, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
WITHIN = 20
THRESHOLDS = """{ session { version active catchupThresholdSeconds catchupCheckInterval
    symbols { ticker phase catchupThresholdSeconds } } }"""
STOP = "mutation($version: Int!) { stopSession(expectedVersion: $version) { __typename } }"


class Script:
    """A LiveFeed that tells what it is told to tell; an exception is raised."""

    period_seconds = 0.0

    def __init__(self) -> None:
        self._lines: asyncio.Queue[Heard | Exception] = asyncio.Queue()

    def watch(self, symbols: Sequence[Symbol]) -> None:
        pass

    def says(self, *bars: Bar) -> None:
        self._lines.put_nowait(Heard(bars))

    def breaks(self, fault: Exception) -> None:
        self._lines.put_nowait(fault)

    async def heard(self) -> AsyncGenerator[Heard, None]:
        while True:
            line = await self._lines.get()
            if isinstance(line, Exception):
                raise line
            yield line


class Scripted(SampleProvider):
    """The sample market, live."""

    def __init__(self, folder: Path, clock: Clock, script: Script) -> None:
        super().__init__(folder, clock)
        self._script = script

    def live(self) -> LiveFeed:
        return self._script


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leadership, "BEAT_SECONDS", 0.05)


@pytest.fixture
def script() -> Script:
    return Script()


@asynccontextmanager
async def live(url: str, script: Script, **settings: Any) -> AsyncIterator[Served]:
    def provider(_: str, settings: Settings, clock: Clock) -> Scripted:
        return Scripted(settings.sample_dir, clock, script)

    async with served(url, provider, works=True, sample_dir=BUNDLED_SAMPLE, **settings) as service:
        await track(service.container.database, "AAPL", "TSLA")
        yield service


async def started(service: Served, *tickers: str, version: int = 0, **given: Any) -> None:
    asked = {"mode": "LIVE", "tickers": tickers, "expectedVersion": version, **given}
    assert (await member(service, START, asked))["__typename"] == "SessionChanged"


async def becomes(service: Served, **wanted: Any) -> TradingSession:
    """When the session is so."""
    found: list[TradingSession] = []

    async def looked() -> bool:
        found[:] = [await service.container.services.sessions.current()]
        return all(getattr(found[0], name) == value for name, value in wanted.items())

    await until(looked, WITHIN)
    return found[0]


# ── what is counted


async def counted(service: Served) -> dict[str, float]:
    """What /metrics says of the session, by name and label."""
    page = (await service.http.get("/metrics")).text
    lines = re.findall(r"^freshtape_session_(\w+?)(?:_total)?(?:{\w+=\"(.*)\"})? (\S+)$", page, re.MULTILINE)
    return {f"{name} {label}".strip(): float(value) for name, label, value in lines}


async def counts(service: Served, **expected: float) -> None:
    wanted = {name.replace("__", " "): value for name, value in expected.items()}
    found: dict[str, float] = {}

    async def are_so() -> bool:
        found.clear()
        found.update(await counted(service))
        return found == wanted

    try:
        await until(are_so, WITHIN)
    except TimeoutError:
        raise AssertionError(f"{found} and not {wanted}") from None


def lags(aapl: float, tsla: float) -> dict[str, float]:
    return {"lag_seconds__AAPL": aapl, "lag_seconds__TSLA": tsla}


async def test_what_the_leader_does_is_counted(sqlite_url: str, by_hand: ManualClock, script: Script) -> None:
    by_hand.at = OPENS + 30 * MINUTE
    async with live(sqlite_url, script) as service:
        await counts(service, bars=0)
        await started(service, "AAPL", "TSLA")
        await counts(service, bars=60, gate_transitions__open=1, **lags(0, 0))

        at = {number: OPENS + number * MINUTE for number in range(-1, 40)}
        by_hand.at = at[31] + 3 * SECOND
        script.says(minute("AAPL", at[30]), minute("TSLA", at[30]))
        await counts(service, bars=62, gate_transitions__open=1, arrivals__next=2, **lags(3, 3))

        by_hand.at = at[33] + 4 * SECOND
        script.says(minute("AAPL", at[30]), minute("AAPL", at[30]))
        script.says(minute("AAPL", at[30], "101"), minute("TSLA", at[-1]))
        script.says(minute("AAPL", at[31]), minute("AAPL", at[32]), minute("TSLA", at[32]))
        arrivals = {"arrivals__next": 5, "arrivals__duplicate": 2, "arrivals__revised": 1, "arrivals__outside": 1}
        await counts(service, bars=65, gate_transitions__open=1, **arrivals, **lags(4, 4))
        script.says(minute("TSLA", at[31]))
        arrivals["arrivals__late"] = 1
        await counts(service, bars=65, gate_transitions__open=1, **arrivals, **lags(4, 4))

        by_hand.at = at[36]
        await becomes(service, is_active=False)
        await counts(service, bars=65, gate_transitions__open=1, gate_transitions__shut=1, **arrivals, **lags(180, 180))
        assert (await service.ask(STOP, version=1))["data"]["stopSession"]["__typename"] == "SessionChanged"
        await counts(service, bars=65, gate_transitions__open=1, gate_transitions__shut=1, **arrivals)


async def test_a_feed_that_fails_is_opened_anew(sqlite_url: str, by_hand: ManualClock, script: Script) -> None:
    by_hand.at = OPENS + 30 * MINUTE
    async with live(sqlite_url, script) as service:
        await started(service, "AAPL")
        await becomes(service, is_active=True)
        script.breaks(ArithmeticError("a fault of the feed"))
        await becomes(service, is_active=True, leaders=2)
        by_hand.at = OPENS + 31 * MINUTE + 2 * SECOND
        script.says(minute("AAPL", OPENS + 30 * MINUTE))
        await counts(service, bars=31, gate_transitions__open=2, arrivals__next=1, lag_seconds__AAPL=2.0)


async def told_after_a_laggard_is_removed(url: str, by_hand: ManualClock, script: Script) -> list[datetime]:
    """Of AAPL, by their close, once a feed that was away has come back with nothing of TSLA; the first that comes after the
    removal is in the leader's first commit since."""
    by_hand.at = OPENS + 30 * MINUTE

    async def are_told(*numbers: int) -> None:
        """These minutes, two seconds after the last of them."""
        by_hand.at = OPENS + (numbers[-1] + 1) * MINUTE + 2 * SECOND
        script.says(*(minute("AAPL", OPENS + number * MINUTE) for number in numbers))
        await becomes(service, clock=by_hand.at)

    async with live(url, script) as service, ear_to(service.url) as ear:
        await started(service, "AAPL", "TSLA", catchupThresholdSeconds=120)
        await becomes(service, is_active=True)
        by_hand.at = OPENS + 34 * MINUTE
        await becomes(service, is_active=False)
        await ear.follow("minutes", BARS, of=["AAPL", "TSLA"], every="ONE_MINUTE")
        for numbers in ((30, 31, 32, 33), (34,), (35,)):
            await are_told(*numbers)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(leadership, "BEAT_SECONDS", 30)
            await asyncio.sleep(0.2)
            assert (await member(service, REMOVE, {"ticker": "TSLA", "expectedVersion": 1}))["session"]["active"]
            await are_told(36)
        await are_told(37)
        await ear.hears(lambda _: closings(ear, "minutes", "AAPL")[-1:] == [OPENS + 38 * MINUTE])
        return closings(ear, "minutes", "AAPL")


async def test_what_comes_after_a_command_has_opened_the_gate_is_told(
    sqlite_url: str, by_hand: ManualClock, script: Script
) -> None:
    """And nothing of what came before it."""
    assert await told_after_a_laggard_is_removed(sqlite_url, by_hand, script) == [OPENS + 37 * MINUTE, OPENS + 38 * MINUTE]


async def test_were_the_command_not_looked_at_a_minute_would_be_missing(
    sqlite_url: str, by_hand: ManualClock, script: Script
) -> None:
    with mutated(leadership.Leadership._commit, ("if known is None:", "if True:")):
        assert await told_after_a_laggard_is_removed(sqlite_url, by_hand, script) == [OPENS + 38 * MINUTE]


# ── the rules, from the file


async def test_a_changed_file_is_taken_over_by_the_session_that_runs(
    sqlite_url: str, by_hand: ManualClock, script: Script, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "session.json"

    def write(text: str) -> None:
        new = file.with_suffix(".new")
        new.write_text(text)
        new.replace(file)

    def rule(threshold: int, interval: int) -> None:
        streaming = {"catchup_threshold_seconds": threshold, "catchup_check_interval": interval}
        write(json.dumps({"session_data_config": {"streaming": streaming}}))

    async def says(service: Served) -> tuple[int, int, list[int]]:
        session = (await service.ask(THRESHOLDS))["data"]["session"]
        own = [symbol["catchupThresholdSeconds"] for symbol in session["symbols"]]
        return session["catchupThresholdSeconds"], session["catchupCheckInterval"], own

    async def comes_to_say(service: Served, *rules: Any) -> None:
        async def is_so() -> bool:
            return await says(service) == rules

        await until(is_so, WITHIN)

    rule(300, 20)
    by_hand.at = OPENS + 30 * MINUTE
    async with live(sqlite_url, script, session_config=file) as service:
        await started(service, "AAPL")
        await becomes(service, is_active=True)
        added = await member(service, ADD, {"ticker": "TSLA", "expectedVersion": 1, "catchupThresholdSeconds": 1000})
        assert added["__typename"] == "SessionChanged"
        await comes_to_say(service, 300, 20, [300, 1000])
        await counts(service, bars=60, gate_transitions__open=2, gate_transitions__shut=1, **lags(0, 0))
        by_hand.at = OPENS + 32 * MINUTE + 40 * SECOND
        assert (await becomes(service, clock=by_hand.at)).is_active, "a lag of 160 s is none yet"
        rule(30, 5)
        await comes_to_say(service, 30, 5, [30, 1000])
        by_hand.at += 30 * SECOND
        session = await becomes(service, is_active=False)
        assert [symbol.ticker for symbol in session.laggards] == ["AAPL"], "by the new rule"

        write("{ broken")
        await asyncio.sleep(2 * LOOK_SECONDS)

        async def is_refused() -> bool:
            return any("stay as they were" in record.message for record in caplog.records)

        await until(is_refused, WITHIN)
        assert await says(service) == (30, 5, [30, 1000])

        await service.ask(STOP, version=2)
        await started(service, "AAPL", version=3, catchupThresholdSeconds=45)
        rule(77, 7)
        await comes_to_say(service, 45, 7, [45])
    assert [record.levelno for record in caplog.records if "stay as they were" in record.message] == [logging.WARNING]


# ── by polling


async def test_minutes_by_polling_come_as_they_close(sqlite_url: str) -> None:
    """On a clock that was set to the middle of a recorded day, and runs."""

    def sample(_: str, settings: Settings, clock: Clock) -> SampleProvider:
        return SampleProvider(settings.sample_dir, clock)

    noon = OPENS + 150 * MINUTE
    settings = {"clock": noon - 5 * SECOND, "session_poll_seconds": 1, "sample_dir": BUNDLED_SAMPLE}
    async with served(sqlite_url, sample, works=True, **settings) as service, ear_to(service.url) as ear:
        await track(service.container.database, "AAPL", "TSLA")
        await ear.follow("minutes", BARS, of=["AAPL", "TSLA"], every="ONE_MINUTE")
        await started(service, "AAPL", "TSLA")
        session = await becomes(service, is_active=True)
        assert [symbol.bars_processed for symbol in session.symbols] == [149, 149]
        assert (await service.ask(THRESHOLDS))["data"]["session"]["catchupThresholdSeconds"] == 61
        await ear.hears(lambda told: len(told) == 2)
        assert closings(ear, "minutes", "AAPL") == closings(ear, "minutes", "TSLA") == [noon]
        session = await becomes(service, is_active=True)
        assert {symbol.phase for symbol in session.symbols} == {SessionSymbolPhase.LIVE}
        assert session.clock - noon < 5 * SECOND
