"""Commands to the session from two processes, against each other and against what its leader stores all the while."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from domain.session import Run
from tests.support.figures import told
from tests.support.led_sessions import comes_to, has_passed, kept
from tests.support.market import made_up, write_market, write_minutes
from tests.support.onboarded import processes_of
from tests.support.process import Processes, Service
from tests.support.session_clients import command, start
from tests.support.stored import opened
from tests.support.universe import track_in

ADDED, ROUNDS = 20, 6
FIRST, *REST = TICKERS = made_up(ADDED + 1)
SPEED = 3000.0


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_market(tmp_path_factory.mktemp("market") / "made_up", TICKERS)
    write_minutes(folder, TICKERS)
    return folder


async def two(processes: Processes, database_url: str, *mutants: str) -> list[Service]:
    services = await processes.start(2, *mutants, works=True)
    await track_in(database_url, *TICKERS)
    return services


def kinds(answers: Sequence[dict[str, Any]]) -> Counter[str]:
    return Counter(answer["__typename"] for answer in answers)


# ── with the same version

ONE = Counter({"SessionChanged": 1, "VersionConflict": 1})


async def contested(services: Sequence[Service]) -> list[Counter[str]]:
    """What two at once were answered: starts, and then again and again additions, each with the version that both have read."""
    answers = [await asyncio.gather(*(start(service, FIRST, speed=SPEED) for service in services))]
    for number in range(ROUNDS):
        (*_, version) = sorted(answer["session"]["version"] for answer in answers[-1] if "session" in answer)
        given = [{"ticker": ticker, "expectedVersion": version} for ticker in REST[2 * number : 2 * number + 2]]
        adding = (command(service, "addSessionSymbol", each) for service, each in zip(services, given, strict=True))
        answers.append(await asyncio.gather(*adding))
    return [kinds(each) for each in answers]


async def test_of_two_with_the_same_version_one_is_accepted(database_url: str, market: Path) -> None:
    async with processes_of(database_url, market) as processes:
        assert await contested(await two(processes, database_url)) == [ONE] * (1 + ROUNDS)
    after = await kept(database_url)
    assert len(after.session.symbols) == 1 + ROUNDS
    assert after.session.version == 1 + ROUNDS
    assert after.faults() == set()


async def test_were_versions_not_compared_both_would_be(postgresql_url: str, market: Path) -> None:
    async with processes_of(postgresql_url, market) as processes:
        answers = await contested(await two(processes, postgresql_url, "any version commands"))
    assert Counter({"SessionChanged": 2}) in answers


# ── against the leader


async def one_after_another(services: Sequence[Service], name: str, version: int) -> int:
    """For each of the rest, by the processes in turn; the version that the last has given."""
    for number, ticker in enumerate(REST):
        given = {"ticker": ticker, "expectedVersion": version}
        answer = await command(services[number % len(services)], name, given)
        assert answer["__typename"] == "SessionChanged", answer
        assert (answer["session"]["version"], version) == (version + 1, version), "a command is lost"
        version += 1
        is_there = any(symbol["ticker"] == ticker for symbol in answer["session"]["symbols"])
        assert is_there == (name == "addSessionSymbol")
    return version


async def commanded(database_url: str, market: Path, *mutants: str) -> None:
    async with processes_of(database_url, market) as processes, opened(database_url) as database:
        services = await two(processes, database_url, *mutants)
        await start(services[0], FIRST, speed=SPEED)
        await comes_to(database, has_passed(5))
        now = asyncio.get_running_loop().time
        began = now()
        version = await one_after_another(services, "addSessionSymbol", 1)
        added = await comes_to(database, lambda session: session.version == version, within=10)
        assert [symbol.ticker for symbol in added.symbols] == sorted(TICKERS), "an addition is lost"
        version = await one_after_another(services, "removeSessionSymbol", version)
        took = now() - began
        without = await comes_to(database, lambda session: session.version == version, within=10)
        assert [symbol.ticker for symbol in without.symbols] == [FIRST], "a removal is lost"
        await comes_to(database, lambda session: session.run is Run.FINISHED, within=60)
    after = await kept(database_url)
    assert after.faults() | after.losses() == set()
    assert [symbol.ticker for symbol in after.session.symbols] == [FIRST]
    told(f"{2 * ADDED} commands in {took:.1f} s")


async def test_commands_that_race_the_leader_are_not_lost(sqlite_url: str, postgresql_url: str, market: Path) -> None:
    await asyncio.gather(commanded(sqlite_url, market), commanded(postgresql_url, market))


async def test_were_the_session_not_locked_they_would_be(postgresql_url: str, market: Path) -> None:
    with pytest.raises(AssertionError, match=r"VersionConflict|is lost"):
        await commanded(postgresql_url, market, "session not locked")
