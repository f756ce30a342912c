"""The session's leader killed or put to sleep: another process takes its place, and goes on from what was stored."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from domain.ports import StoredSession
from domain.session import Run
from persistence.unit_of_work import SqlDatabase
from tests.support.figures import told
from tests.support.led_sessions import kept
from tests.support.market import MINUTES_OPEN, made_up, write_market, write_minutes
from tests.support.onboarded import processes_of
from tests.support.process import Processes, Service, until
from tests.support.session_clients import SHOWS, BarFollower, Looker, MoveFollower, at_work, cursor_of, start
from tests.support.stored import opened
from tests.support.universe import track_in

TICKERS = made_up(3)
DAY_SECONDS = 18
SPEED = 6.5 * 3600 / DAY_SECONDS
HEARD_SECONDS, TAKE_OVER_SECONDS = 5.0, 15.0
HEAL_SECONDS = 20.0


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_market(tmp_path_factory.mktemp("market") / "made_up", TICKERS)
    write_minutes(folder, TICKERS)
    return folder


@dataclass(frozen=True)
class Reached:
    """What is stored as soon as something is so; the event loop's time when it was not yet, and when it was seen."""

    stored: StoredSession
    not_yet_at: float
    seen_at: float


async def comes_to(database: SqlDatabase, holds: Callable[[StoredSession], bool], within: float) -> Reached:
    now = asyncio.get_running_loop().time
    found: list[StoredSession] = []
    looked_at = [now(), now()]

    async def is_so() -> bool:
        looked_at.append(now())
        async with database.read() as unit:
            stored = await unit.session.read()
        assert stored is not None
        found.append(stored)
        return holds(stored)

    await until(is_so, within)
    return Reached(found[-1], looked_at[-2], now())


def has_passed(minutes: int) -> Callable[[StoredSession], bool]:
    return lambda stored: stored.session.is_active and stored.session.clock >= MINUTES_OPEN + timedelta(minutes=minutes)


def is_led_by(leaders: int) -> Callable[[StoredSession], bool]:
    return lambda stored: stored.session.leaders == leaders


def is_led_on(stored: StoredSession) -> bool:
    return stored.session.leaders == 2 and stored.session.is_active


def is_finished(stored: StoredSession) -> bool:
    return stored.session.run is Run.FINISHED


async def led(processes: Processes, database_url: str, *mutants: str) -> Service:
    """A process that leads a session."""
    leader = await processes.start_one(*mutants, works=True)
    await track_in(database_url, *TICKERS)
    assert (await start(leader, *TICKERS, speed=SPEED))["__typename"] == "SessionChanged"
    return leader


# ── killed


async def killed_before_two_others(database_url: str, market: Path) -> None:
    now = asyncio.get_running_loop().time
    async with processes_of(database_url, market) as processes, opened(database_url) as database:
        leader = await led(processes, database_url)
        others = await processes.start(2, works=True)
        beginning = await cursor_of(others[0])
        lookers = [Looker(SHOWS, {"ticker": TICKERS[0]}) for _ in others]
        bars = [BarFollower(TICKERS) for _ in others]
        moved, cut_off = MoveFollower(beginning), MoveFollower(beginning)
        looking = [looker.look_on(other) for looker, other in zip(lookers, others, strict=True)]
        hearing = [follower.follow_on(other) for follower, other in zip(bars, others, strict=True)]
        async with at_work(*looking, *hearing, moved.follow_on(others[:1]), cut_off.follow_on([leader, others[1]])):
            before = await comes_to(database, has_passed(100), within=20)
            await leader.kill()
            killed_at = now()
            taken = await comes_to(database, is_led_by(2), within=TAKE_OVER_SECONDS)
            led_on = await comes_to(database, is_led_on, within=HEAL_SECONDS)
            finished = await comes_to(database, is_finished, within=3 * DAY_SECONDS)
            await until(moved.has_ended, within=HEAL_SECONDS)
            await until(cut_off.has_ended, within=HEAL_SECONDS)
    assert taken.stored.session.epoch > before.stored.session.epoch
    assert finished.stored.token == before.stored.token + 1
    last_word = killed_at + HEARD_SECONDS
    for looker, follower in zip(lookers, bars, strict=True):
        assert any(look.shows_something for look in looker.asked_between(0, killed_at)), "nothing was shown before"
        silent = looker.asked_between(last_word, taken.not_yet_at)
        assert silent
        assert not any(look.shows_something for look in looker.asked_between(last_word, led_on.not_yet_at))
        assert {"has not been heard since" in str(look.session and look.session["reason"]) for look in silent} == {True}
        assert follower.between(0, killed_at), "nothing was told before"
        assert follower.between(last_word, led_on.not_yet_at) == []
        assert follower.between(led_on.not_yet_at, now()), "nothing was told afterwards"
        assert follower.are_in_order
    after = await kept(database_url)
    assert after.faults() | after.losses() == set()
    assert moved.epochs == cut_off.epochs == [epoch for epoch, _, _ in after.causes if epoch > 1]
    assert (moved.streams, cut_off.streams) == (1, 2)
    after_kill = [reached.seen_at - killed_at for reached in (taken, led_on)]
    told(f"PostgreSQL: led on after {after_kill[0]:.1f} s, shown again after {after_kill[1]:.1f} s")


async def killed_and_started_again(database_url: str, market: Path) -> None:
    now = asyncio.get_running_loop().time
    async with processes_of(database_url, market) as processes, opened(database_url) as database:
        leader = await led(processes, database_url)
        moved, services = MoveFollower(await cursor_of(leader)), [leader]
        async with at_work(moved.follow_on(services)):
            before = await comes_to(database, has_passed(60), within=20)
            await leader.kill()
            killed_at = now()
            services.append(await processes.start_one(works=True))
            await comes_to(database, is_led_by(2), within=TAKE_OVER_SECONDS)
            led_on = await comes_to(database, is_led_on, within=HEAL_SECONDS)
            finished = await comes_to(database, is_finished, within=3 * DAY_SECONDS)
            await until(moved.has_ended, within=HEAL_SECONDS)
    assert finished.stored.token == before.stored.token + 1
    after = await kept(database_url)
    assert after.faults() | after.losses() == set()
    assert moved.epochs == [epoch for epoch, _, _ in after.causes if epoch > 1]
    told(f"SQLite, started again: shown again after {led_on.seen_at - killed_at:.1f} s")


async def test_a_killed_leader_is_replaced_and_nothing_is_lost(sqlite_url: str, postgresql_url: str, market: Path) -> None:
    await asyncio.gather(killed_and_started_again(sqlite_url, market), killed_before_two_others(postgresql_url, market))


async def test_were_its_lease_never_to_lapse_it_would_not_be_replaced(sqlite_url: str, market: Path) -> None:
    async with processes_of(sqlite_url, market) as processes, opened(sqlite_url) as database:
        leader = await led(processes, sqlite_url, "session leases never lapse")
        await comes_to(database, has_passed(1), within=20)
        await leader.kill()
        await processes.start_one(works=True)
        with pytest.raises(TimeoutError):
            await comes_to(database, is_led_by(2), within=TAKE_OVER_SECONDS / 3)


# ── put to sleep


async def slept(database_url: str, market: Path, *mutants: str) -> set[str]:
    """What was not as it must be when a leader has slept for longer than its lease, and wakes when another leads."""
    seen: list[StoredSession] = []

    async def look_on(database: SqlDatabase) -> None:
        while True:
            async with database.read() as unit:
                stored = await unit.session.read()
            assert stored is not None
            seen.append(stored)
            await asyncio.sleep(0.01)

    async with processes_of(database_url, market) as processes, opened(database_url) as database:
        leader = await led(processes, database_url, "short session lease", *mutants)
        await processes.start_one("short session lease", *mutants, works=True)
        await comes_to(database, has_passed(60), within=20)
        async with at_work(look_on(database)):
            leader.send(signal.SIGSTOP)
            await comes_to(database, is_led_on, within=TAKE_OVER_SECONDS + HEAL_SECONDS)
            leader.send(signal.SIGCONT)
            await asyncio.sleep(2)
    after = await kept(database_url)
    tokens, epochs = [stored.token for stored in seen], [stored.session.epoch for stored in seen]
    clocks = [stored.session.clock for stored in seen]
    holds = {
        "one takeover": sorted(set(tokens)) == [tokens[0], tokens[0] + 1],
        "tokens rise": tokens == sorted(tokens),
        "epochs rise": epochs == sorted(epochs),
        "the clock never goes back": clocks == sorted(clocks),
    }
    return after.faults() | {name for name, is_true in holds.items() if not is_true}


async def test_a_leader_that_was_asleep_writes_nothing_more(postgresql_url: str, market: Path) -> None:
    assert await slept(postgresql_url, market) == set()


async def test_could_any_token_lead_one_that_was_asleep_would_write(postgresql_url: str, market: Path) -> None:
    assert "tokens rise" in await slept(postgresql_url, market, "any token may lead")
