"""A session led from its start to its end, on both databases, with a market of made-up minutes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from domain.aggregation import Minute, Rollup
from domain.bars import Bar, History, Interval
from domain.clock import Clock
from domain.errors import ProviderUnavailable
from domain.ports import BarQuery
from domain.services.pipeline import Pipeline
from domain.services.telling import BarFeed
from domain.services.working import Worker
from domain.session import Run, SessionState, SessionSymbolPhase, TradingSession
from domain.symbols import Symbol
from graph.context import Services
from persistence.engine import Engine
from persistence.event_feed import SqlEventFeed
from persistence.tables import trading_session
from persistence.types import real_time
from persistence.unit_of_work import SqlDatabase
from providers.sample import SampleProvider
from tests.support.clock import ManualClock
from tests.support.led_sessions import AT_ONCE, FAST, comes_to, has_passed, kept_in, leading, replay, stands
from tests.support.market import MINUTES_CLOSE, MINUTES_DAY, MINUTES_OPEN, made_up, minutes_of, write_market, write_minutes
from tests.support.mutants import in_force
from tests.support.process import until
from tests.support.universe import track

FIRST, SECOND, THIRD, SILENT = TICKERS = made_up(4)

STARTED = (1, False, "The session was started.")
LOADED = (2, True, "The session has begun.")
ENDED = False, f"The replay of {MINUTES_DAY} has ended."


class Moody(SampleProvider):
    """The sample market, whose minutes of some symbols are refused, or wait until they are let go."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        super().__init__(folder, clock)
        self.refused: set[str] = set()
        self.held: dict[str, asyncio.Event] = {}

    async def history(self, symbol: Symbol, interval: Interval, start: date, until: datetime) -> History:
        if interval is Interval.ONE_MINUTE and symbol.ticker in self.held:
            await self.held[symbol.ticker].wait()
        if symbol.ticker in self.refused:
            raise ProviderUnavailable(self.name, detail="is in no mood")
        return await super().history(symbol, interval, start, until)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_market(tmp_path_factory.mktemp("market") / "made_up", TICKERS)
    write_minutes(folder, [FIRST, SECOND, THIRD])
    return folder


@pytest.fixture
def provider(market: Path, clock: ManualClock) -> Moody:
    return Moody(market, clock)


@pytest.fixture
async def led(
    database: SqlDatabase, feed: SqlEventFeed, services: Services, provider: Moody, clock: ManualClock
) -> AsyncIterator[None]:
    """One process's share in leading; the symbols with minutes are tracked."""
    await track(database, FIRST, SECOND, THIRD)
    async with leading(database, services, provider, clock):
        yield


def is_finished(session: TradingSession) -> bool:
    return session.run is Run.FINISHED


def phase_of(session: TradingSession, ticker: str) -> SessionSymbolPhase | None:
    symbol = session.get(ticker)
    return symbol.phase if symbol is not None else None


def is_in(ticker: str, phase: SessionSymbolPhase) -> Callable[[TradingSession], bool]:
    return lambda session: phase_of(session, ticker) is phase


# ── from the open to the close


@pytest.mark.usefixtures("led")
async def test_a_day_replayed_at_once_is_the_same_as_in_bulk(database: SqlDatabase, services: Services) -> None:
    started = await services.sessions.start(replay(FIRST, SECOND, THIRD, speed=AT_ONCE), 0)
    assert (started.state, started.version, started.clock) == (SessionState.STARTING, 1, MINUTES_OPEN)
    await comes_to(database, is_finished)
    kept = await kept_in(database)
    assert kept.faults() | kept.losses() == set()
    assert kept.causes == [STARTED, LOADED, (3, *ENDED)]
    assert kept.session.clock == MINUTES_CLOSE
    assert kept.minutes == {ticker: minutes_of(ticker) for ticker in (FIRST, SECOND, THIRD)}
    assert (kept.session.version, kept.token) == (1, 2)


@pytest.mark.usefixtures("led")
async def test_a_symbol_without_bars_on_the_day_is_idle(database: SqlDatabase, services: Services) -> None:
    await track(database, SILENT)
    await services.sessions.start(replay(FIRST, SILENT, speed=AT_ONCE), 0)
    session = await comes_to(database, is_finished)
    silent = session.get(SILENT)
    assert silent is not None
    assert (silent.phase, silent.watermark, silent.bars_processed) == (SessionSymbolPhase.IDLE, None, 0)
    kept = await kept_in(database)
    assert kept.causes == [STARTED, LOADED, (3, *ENDED)]
    assert kept.windows.get(SILENT) is None


@pytest.mark.usefixtures("led")
async def test_a_session_that_is_stopped_and_started_at_once_begins_from_nothing(
    database: SqlDatabase, services: Services
) -> None:
    await services.sessions.start(replay(FIRST, SECOND, speed=FAST), 0)
    before = await comes_to(database, has_passed(60))
    await services.sessions.stop(before.version)
    again = await services.sessions.start(replay(FIRST, speed=3000), 2)
    assert (again.clock, again.number, again.version) == (MINUTES_OPEN, 3, 3)
    opened = await comes_to(database, lambda session: session.is_active)
    assert opened.clock < MINUTES_OPEN + timedelta(minutes=30)
    assert [symbol.ticker for symbol in opened.symbols] == [FIRST]
    await comes_to(database, has_passed(30))
    kept = await kept_in(database)
    assert kept.faults() == set()
    causes = [cause for _, _, cause in kept.causes]
    assert causes == [
        "The session was started.",
        "The session has begun.",
        "The session was stopped.",
        "The session was started.",
        "The session has begun.",
    ]
    async with database.read() as unit:
        assert await unit.session_bars.closed_between([SECOND], Interval.FIVE_MINUTES, MINUTES_OPEN, MINUTES_CLOSE) == []


async def comes_to_rest(database: SqlDatabase) -> TradingSession:
    """The session as soon as its clock stands still for longer than its leader takes to hear of a command."""
    stood = [await stands(database)]

    async def is_at_rest() -> bool:
        await asyncio.sleep(1.1)
        stood.append(await stands(database))
        return stood[-1].clock == stood[-2].clock

    await until(is_at_rest, within=20)
    return stood[-1]


@pytest.mark.usefixtures("led")
async def test_a_pause_holds_the_clock_and_no_time_is_lost_or_skipped(database: SqlDatabase, services: Services) -> None:
    speed, now = FAST / 4, asyncio.get_running_loop().time
    await services.sessions.start(replay(FIRST, SECOND, speed=speed), 0)
    running = await comes_to(database, has_passed(30))
    await services.sessions.pause(running.version)
    held = await comes_to_rest(database)
    assert (held.state, held.reason) == (SessionState.PAUSED, "The session is paused.")
    resumed_at = now()
    await services.sessions.resume(held.version)
    after = await comes_to(database, lambda session: session.clock > held.clock)
    assert after.clock - held.clock <= timedelta(seconds=(now() - resumed_at) * speed)
    await comes_to(database, is_finished)
    kept = await kept_in(database)
    assert kept.faults() | kept.losses() == set()
    assert [cause for *_, cause in kept.causes[2:4]] == ["The session was paused.", "The session was resumed."]


# ── symbols that come and go


@pytest.mark.usefixtures("led")
async def test_adding_one_shuts_the_gate_on_its_first_bar_until_it_has_caught_up(
    database: SqlDatabase, services: Services
) -> None:
    await services.sessions.start(replay(FIRST, speed=3000), 0)
    running = await comes_to(database, has_passed(30))
    added = await services.sessions.add(SECOND, running.version, None, None)
    assert phase_of(added, SECOND) is SessionSymbolPhase.PENDING
    await comes_to(database, is_in(SECOND, SessionSymbolPhase.LIVE))
    kept = await kept_in(database)
    assert kept.faults() == set()
    shut = kept.moves[3].event.session
    first_close = datetime.fromtimestamp(minutes_of(SECOND)[0].opens + 60, MINUTES_OPEN.tzinfo)
    late = shut.get(SECOND)
    assert late is not None
    assert (late.watermark, late.bars_processed, late.phase) == (first_close, 1, SessionSymbolPhase.CATCHING_UP)
    behind = (shut.clock - first_close).total_seconds()
    assert kept.causes == [
        STARTED,
        LOADED,
        (3, True, f"{SECOND} was added."),
        (4, False, f"{SECOND} ({behind:.0f} s) is behind."),
        (5, True, "Every symbol has caught up."),
    ]


@pytest.mark.usefixtures("led")
async def test_one_that_is_not_known_is_onboarded_and_joins(
    database: SqlDatabase, services: Services, pipeline: Pipeline, feed: SqlEventFeed
) -> None:
    worker = Worker(pipeline, feed)
    working = [asyncio.create_task(worker.run()), asyncio.create_task(worker.listen())]
    try:
        running = await services.sessions.start(replay(FIRST, speed=60), 0)
        running = await comes_to(database, lambda session: session.is_active)
        await services.sessions.add(SILENT, running.version, None, None)
        session = await comes_to(database, is_in(SILENT, SessionSymbolPhase.IDLE), within=30)
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
    assert session.is_active
    async with database.read() as unit:
        symbol = await unit.symbols.get(SILENT)
    assert symbol is not None
    assert symbol.last_price is not None, "it has no history"


@pytest.mark.usefixtures("led")
async def test_a_load_that_fails_is_told_and_is_tried_again(database: SqlDatabase, services: Services, provider: Moody) -> None:
    provider.refused.add(SECOND)
    await services.sessions.start(replay(FIRST, SECOND, speed=600), 0)
    session = await comes_to(database, is_in(SECOND, SessionSymbolPhase.FAILED))
    failed = session.get(SECOND)
    assert failed is not None
    assert failed.error == "The provider sample is in no mood."
    session = await comes_to(database, lambda session: session.is_active)  # it keeps nobody else from running
    again = await services.sessions.add(SECOND, session.version, None, None)
    assert phase_of(again, SECOND) is SessionSymbolPhase.PENDING
    session = await comes_to(database, is_in(SECOND, SessionSymbolPhase.FAILED))
    provider.refused.clear()
    await services.sessions.add(SECOND, session.version, None, None)
    session = await comes_to(database, is_in(SECOND, SessionSymbolPhase.LIVE))
    live = session.get(SECOND)
    assert live is not None
    assert live.error is None
    assert (await kept_in(database)).faults() == set()


@pytest.mark.usefixtures("led")
async def test_one_that_is_removed_while_it_loads_is_gone(database: SqlDatabase, services: Services, provider: Moody) -> None:
    provider.held[SECOND] = asyncio.Event()
    await services.sessions.start(replay(FIRST, speed=FAST), 0)
    running = await comes_to(database, lambda session: session.is_active)
    await services.sessions.add(SECOND, running.version, None, None)
    loading = await comes_to(database, is_in(SECOND, SessionSymbolPhase.LOADING))
    without = await services.sessions.remove(SECOND, loading.version)
    assert without.get(SECOND) is None
    assert without.is_active
    provider.held.pop(SECOND).set()
    session = await comes_to(database, is_finished)
    assert [symbol.ticker for symbol in session.symbols] == [FIRST]
    kept = await kept_in(database)
    assert kept.faults() | kept.losses() == set()
    async with database.read() as unit:
        assert await unit.session_bars.closed_between([SECOND], Interval.FIVE_MINUTES, MINUTES_OPEN, MINUTES_CLOSE) == []


@pytest.mark.usefixtures("led")
async def test_a_replay_in_a_hurry_waits_at_its_end_for_who_is_still_loading(
    database: SqlDatabase, services: Services, provider: Moody
) -> None:
    begun = await services.sessions.start(replay(FIRST, speed=AT_ONCE), 0)
    begun = await services.sessions.pause(begun.version)
    await comes_to(database, lambda session: session.has_begun)
    provider.held[SECOND] = asyncio.Event()
    begun = await services.sessions.add(SECOND, begun.version, None, None)
    await comes_to(database, is_in(SECOND, SessionSymbolPhase.LOADING))
    await services.sessions.resume(begun.version)
    waiting = await comes_to(database, lambda session: session.clock == MINUTES_CLOSE)
    assert (waiting.state, phase_of(waiting, SECOND)) == (SessionState.ACTIVE, SessionSymbolPhase.LOADING)
    provider.held.pop(SECOND).set()
    await comes_to(database, is_finished)
    kept = await kept_in(database)
    assert kept.faults() | kept.losses() == set()


@pytest.mark.usefixtures("led")
async def test_one_that_has_left_and_comes_back_loses_nothing(database: SqlDatabase, services: Services) -> None:
    running = await services.sessions.start(replay(FIRST, SECOND, speed=FAST), 0)
    await comes_to(database, has_passed(60))
    running = await services.sessions.remove(SECOND, running.version)
    await comes_to(database, has_passed(120))
    await services.sessions.add(SECOND, running.version, None, None)
    await comes_to(database, is_finished)
    kept = await kept_in(database)
    assert kept.faults() | kept.losses() == set()


@pytest.mark.usefixtures("led")
async def test_a_bar_that_cannot_be_processed_fails_its_symbol_and_no_other_each_time_it_is_tried(
    database: SqlDatabase, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = minutes_of(SECOND)[20]
    add = Rollup.add

    def poisoned(rollup: Rollup, minute: Minute) -> object:
        if minute == poison:
            raise ArithmeticError
        return add(rollup, minute)

    monkeypatch.setattr(Rollup, "add", poisoned)
    await services.sessions.start(replay(FIRST, SECOND, speed=FAST), 0)
    session = await comes_to(database, is_in(SECOND, SessionSymbolPhase.FAILED))
    told = session.get(SECOND)
    assert told is not None
    assert told.error is not None
    assert "ArithmeticError" in told.error
    await services.sessions.add(SECOND, session.version, None, None)
    await asyncio.sleep(0.5)
    session = await comes_to(database, is_finished)
    assert phase_of(session, SECOND) is SessionSymbolPhase.FAILED
    assert session.leaders == 1, "its leader went on"
    kept = await kept_in(database)
    assert {fault for fault in kept.faults() | kept.losses() if fault.startswith(FIRST)} == set()


# ── who leads


@asynccontextmanager
async def another(
    database_url: str, services: Services, provider: Moody, clock: ManualClock
) -> AsyncIterator[asyncio.Task[None]]:
    """A share in leading as another process has it: with nothing in common but the database."""
    engine = Engine(database_url)
    try:
        database = SqlDatabase(engine, clock_generation=0)
        async with leading(database, services, provider, clock) as task:
            yield task
    finally:
        await engine.close()


async def test_of_several_one_leads_and_when_it_ends_the_next_goes_on_at_once(
    database_url: str, database: SqlDatabase, feed: SqlEventFeed, services: Services, provider: Moody, clock: ManualClock
) -> None:
    await track(database, FIRST, SECOND)
    async with another(database_url, services, provider, clock) as one:
        await services.sessions.start(replay(FIRST, SECOND, speed=FAST), 0)
        await comes_to(database, has_passed(30))
        async with another(database_url, services, provider, clock), another(database_url, services, provider, clock):
            led_by_one = await comes_to(database, has_passed(120))
            assert led_by_one.leaders == 1
            one.cancel()
            await comes_to(database, lambda session: session.leaders == 2, within=7)
            await comes_to(database, is_finished)
    kept = await kept_in(database)
    assert kept.faults() | kept.losses() == set()
    assert kept.session.leaders == 2
    assert kept.causes == [
        STARTED,
        LOADED,
        (3, False, "Another process leads the session now."),
        (4, True, "The session has begun."),
        (5, *ENDED),
    ]


async def test_were_leases_nothing_each_would_take_it_from_the_other(
    database_url: str, database: SqlDatabase, feed: SqlEventFeed, services: Services, provider: Moody, clock: ManualClock
) -> None:
    await track(database, FIRST)
    with in_force("session leases are nothing"):
        async with another(database_url, services, provider, clock), another(database_url, services, provider, clock):
            await services.sessions.start(replay(FIRST, speed=60), 0)
            await comes_to(database, lambda session: session.leaders > 3)


# ── who hears of it


@pytest.mark.parametrize("seconds", [4, 6])
async def test_who_looks_does_not_take_the_word_of_a_leader_for_longer_than_5_seconds(
    seconds: int,
    database: SqlDatabase,
    feed: SqlEventFeed,
    services: Services,
    provider: Moody,
    clock: ManualClock,
) -> None:
    await track(database, FIRST)
    async with leading(database, services, provider, clock):
        await services.sessions.start(replay(FIRST, speed=3000), 0)
        await comes_to(database, has_passed(10))
    query = BarQuery(Interval.ONE_MINUTE, 500, MINUTES_CLOSE)
    async with database.engine.write() as connection:
        await connection.execute(trading_session.update().values(heard_at=real_time(-seconds)))
    session, page = await services.sessions.current(), await services.sessions.bars(FIRST, query)
    if seconds < 5:
        assert session.is_active
        assert page.bars
    else:
        assert session.state is SessionState.INACTIVE
        assert (session.reason or "").startswith("The session leader has not been heard since 20")
        assert (page.bars, page.is_withheld) == ([], True)
    with in_force("silence is not noticed"):
        assert (await services.sessions.current()).is_active
        assert (await services.sessions.bars(FIRST, query)).bars


async def test_the_last_bars_of_a_day_are_told_everywhere(
    database_url: str, database: SqlDatabase, feed: SqlEventFeed, services: Services, provider: Moody, clock: ManualClock
) -> None:
    await track(database, FIRST)
    told: dict[str, list[Bar]] = {"where it is led": [], "elsewhere": []}

    async def follow(bar_feed: BarFeed, where: str) -> None:
        async for bar in bar_feed.follow([FIRST], Interval.ONE_DAY):
            told[where].append(bar)

    async def are_told() -> bool:
        return all(told.values())

    elsewhere = BarFeed(database, clock)
    following = [
        asyncio.create_task(follow(services.bar_feed, "where it is led")),
        asyncio.create_task(follow(elsewhere, "elsewhere")),
        asyncio.create_task(elsewhere.run()),
    ]
    async with leading(database, services, provider, clock):
        await services.sessions.start(replay(FIRST, speed=FAST), 0)
        await comes_to(database, is_finished)
        with suppress(TimeoutError):
            await until(are_told, within=10)
        await asyncio.sleep(0.2)  # in which it could be told twice
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    assert {where: [bar.close_time for bar in bars] for where, bars in told.items()} == {
        "where it is led": [MINUTES_CLOSE],
        "elsewhere": [MINUTES_CLOSE],
    }
