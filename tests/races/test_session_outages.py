"""A database that goes away under a session: nobody shows what it cannot know, and the session goes on from what is stored."""

import asyncio
from pathlib import Path

import pytest

from domain.session import Run
from tests.support.figures import told
from tests.support.led_sessions import comes_to, has_passed, kept
from tests.support.market import made_up, write_market, write_minutes
from tests.support.onboarded import processes_of
from tests.support.postgres import execute, failing_server
from tests.support.process import until
from tests.support.session_clients import SHOWS, STANDS, BarFollower, Looker, MoveFollower, at_work, cursor_of, start
from tests.support.stored import opened
from tests.support.universe import track_in

pytestmark = pytest.mark.timeout(120)

DATABASE = "freshtape"
TICKERS = made_up(2)
SPEED = 1300.0
OUTAGE_SECONDS, HEARD_SECONDS, LOOK_SECONDS = 8.0, 5.0, 0.5
HEAL_SECONDS = 10.0


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_market(tmp_path_factory.mktemp("market") / "made_up", TICKERS)
    write_minutes(folder, TICKERS)
    return folder


async def away_for_a_while(kind: str, market: Path) -> None:
    now = asyncio.get_running_loop().time
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
            bars = [BarFollower(TICKERS) for _ in services]
            lookers = (*standing, *showing)
            looking = [looker.look_on(service) for looker, service in zip(lookers, 2 * services, strict=True)]
            hearing = [follower.follow_on(service) for follower, service in zip(bars, services, strict=True)]
            async with at_work(*looking, *hearing, moved.follow_on([services[1]])):
                await comes_to(database, has_passed(60))
                gone_at = now()
                (server.kill if kind == "killed" else server.hang)()
                await asyncio.sleep(OUTAGE_SECONDS)
                back_at = now()
                await server.start() if kind == "killed" else server.go_on()
                await comes_to(database, lambda session: session.is_active, within=15)
                led_on_at = now()
                await comes_to(database, lambda session: session.run is Run.FINISHED, within=60)
                ended_at = now()
                await until(moved.has_ended, within=HEAL_SECONDS)
                told_at = now()
        after = await kept(database_url)
    last_word = gone_at + HEARD_SECONDS + LOOK_SECONDS
    for looker in standing:
        assert {code for look in looker.looks for code in look.codes} == set(), "the session's state is never an error"
        silent = looker.between(last_word, back_at)
        assert silent
        assert {"has not been heard since" in str(look.session and look.session["reason"]) for look in silent} == {True}
    for looker in lookers:
        assert any(look.shows_something for look in looker.between(0, gone_at)), "nothing was shown before"
        assert not any(look.shows_something for look in looker.between(last_word, back_at))
        assert {code for look in looker.looks for code in look.codes} <= {"DATABASE_UNAVAILABLE"}
    for follower in bars:
        assert follower.between(0, gone_at), "nothing was told before"
        assert follower.between(last_word, back_at) == []
        assert follower.between(led_on_at, now()), "nothing was told afterwards"
        assert follower.are_in_order
    assert after.faults() | after.losses() == set()
    assert moved.epochs == [epoch for epoch, _, _ in after.causes]
    assert any("has not been heard since" in str(reason) for *_, reason in moved.told)
    slowest = max(look.answered_at - look.asked_at for looker in standing for look in looker.looks)
    told(
        f"{kind} for {back_at - gone_at:.1f} s: shown again {led_on_at - back_at:.1f} s later, slowest answer {slowest:.1f} s, "
        f"the end told {told_at - ended_at:.1f} s after it"
    )


@pytest.mark.parametrize("kind", ["killed", "hung"])
async def test_a_session_whose_database_is_away_withholds_and_goes_on(kind: str, market: Path) -> None:
    await away_for_a_while(kind, market)
