"""A database that goes away under a session: nobody shows what it cannot know, and the session goes on from what is stored."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain.session import Run
from persistence.unit_of_work import SqlDatabase
from tests.support.figures import told
from tests.support.led_sessions import comes_to, has_passed, kept, stands
from tests.support.market import made_up, write_market, write_minutes
from tests.support.onboarded import processes_of
from tests.support.postgres import FailingServer, execute, failing_server
from tests.support.process import until
from tests.support.session_clients import SHOWS, STANDS, BarFollower, Looker, MoveFollower, at_work, cursor_of, start
from tests.support.stored import opened
from tests.support.universe import track_in

DATABASE = "freshtape"
TICKERS = made_up(2)
SPEED = 750.0
OUTAGE_SECONDS, BETWEEN_SECONDS, HEARD_SECONDS, ON_ITS_WAY_SECONDS = 9.5, 1.5, 5.0, 2.0
"""An outage leaves more time after the last word than the slowest of the answers takes, which waits for the database. What was
said before may still be on its way then, on a slow machine: for less time than anybody waits for the database."""
HEAL_SECONDS = 20.0


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_market(tmp_path_factory.mktemp("market") / "made_up", TICKERS)
    write_minutes(folder, TICKERS)
    return folder


@dataclass(frozen=True)
class Outage:
    """`last_word` is when nobody may be taken at his word any more; the session is led on at `led_on_at`."""

    gone_at: float
    back_at: float
    led_on_at: float

    @property
    def last_word(self) -> float:
        return self.gone_at + HEARD_SECONDS


async def goes_away(server: FailingServer, kind: str, database: SqlDatabase) -> Outage:
    """For a while: then the session goes on."""
    now, before = asyncio.get_running_loop().time, await stands(database)
    (server.kill if kind == "killed" else server.hang)()
    gone_at = now()
    await asyncio.sleep(OUTAGE_SECONDS)
    back_at = now()
    await server.start() if kind == "killed" else server.go_on()
    await comes_to(database, lambda session: session.is_active and session.clock > before.clock, within=30)
    told(f"{kind} for {back_at - gone_at:.1f} s: led on {now() - back_at:.1f} s later")
    return Outage(gone_at, back_at, now())


async def test_a_session_whose_database_is_away_withholds_and_goes_on(market: Path) -> None:
    async with failing_server() as server:
        await execute(server.url, f"CREATE DATABASE {DATABASE}")
        database_url = server.url.set(database=DATABASE).render_as_string(hide_password=False)
        async with processes_of(database_url, market) as processes, opened(database_url) as database:
            leader = await processes.start_one(works=True)
            await track_in(database_url, *TICKERS)
            moved = MoveFollower(await cursor_of(leader))
            await start(leader, *TICKERS, speed=SPEED)
            services = [leader, await processes.start_one(works=True)]
            standing, showing = [Looker(STANDS) for _ in services], [Looker(SHOWS, {"ticker": TICKERS[0]}) for _ in services]
            bars, lookers = [BarFollower(TICKERS) for _ in services], (*standing, *showing)
            looking = [looker.look_on(service) for looker, service in zip(lookers, 2 * services, strict=True)]
            hearing = [follower.follow_on(service) for follower, service in zip(bars, services, strict=True)]
            async with at_work(*looking, *hearing, moved.follow_on([services[1]])):
                await comes_to(database, has_passed(30))
                outages = []
                for kind in ("killed", "hung"):
                    await asyncio.sleep(BETWEEN_SECONDS)
                    outages.append(await goes_away(server, kind, database))
                await comes_to(database, lambda session: session.run is Run.FINISHED, within=60)
                await until(moved.has_ended, within=HEAL_SECONDS)
        after = await kept(database_url)
    assert {code for looker in standing for look in looker.looks for code in look.codes} == set(), "its state is never an error"
    assert {code for looker in showing for look in looker.looks for code in look.codes} <= {"DATABASE_UNAVAILABLE"}
    for outage in outages:
        for looker in standing:
            silent = looker.asked_between(outage.last_word, outage.back_at)
            assert silent
            assert {"has not been heard since" in str(look.session and look.session["reason"]) for look in silent} == {True}
        for looker in lookers:
            before = looker.asked_between(outage.gone_at - BETWEEN_SECONDS, outage.gone_at)
            assert any(look.shows_something for look in before), "nothing was shown before"
            assert [look for look in looker.asked_between(outage.last_word, outage.back_at) if look.shows_something] == []
            late = looker.answered_between(outage.last_word + ON_ITS_WAY_SECONDS, outage.back_at)
            assert [look for look in late if look.shows_something] == []
        for follower in bars:
            assert follower.between(outage.gone_at - BETWEEN_SECONDS, outage.gone_at), "nothing was told before"
            assert follower.between(outage.last_word, outage.back_at) == []
            assert follower.between(outage.back_at, outage.led_on_at + HEAL_SECONDS), "nothing was told afterwards"
    assert all(follower.are_in_order for follower in bars)
    assert after.faults() | after.losses() == set()
    assert moved.epochs == [epoch for epoch, _, _ in after.causes]
    assert any("has not been heard since" in str(reason) for *_, reason in moved.told)
    told(f"slowest answer {max(look.answered_at - look.asked_at for looker in standing for look in looker.looks):.1f} s")
