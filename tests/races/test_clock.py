"""One market time for all processes of a database, real time for everything that is waited for; and an orderly end."""

import asyncio
import json
import signal
from datetime import datetime, timedelta

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from domain.clock import parse_instant
from domain.events import SymbolChangeKind
from persistence.engine import Engine
from persistence.market_clock import SharedClock, join_clock
from tests.support.inquiries import Inquiries
from tests.support.mutants import in_force
from tests.support.process import Processes, Service, until
from tests.support.stored import stored

EVENING = "2026-03-27T20:30:00Z"
ANOTHER = "2025-11-14T15:00:00Z"
TICKER = "BTC-USD"
NEAR = timedelta(seconds=1)
WRONG_CONFIGURATION = 2
REPLACED = "The clock recorded in the database was changed by another process"
UNWATCHED = "clock not watched", "patient with providers", "patient gate"


async def now(service: Service) -> datetime:
    answer = await service.ask("{ service { now } }")
    return parse_instant(answer["data"]["service"]["now"])


async def assert_together(first: Service, second: Service, start: str) -> None:
    one, two = await asyncio.gather(now(first), now(second))
    assert abs(one - two) < NEAR, "clocks apart"
    assert timedelta() < one - parse_instant(start) < timedelta(minutes=1)


async def has_run(service: Service) -> bool:
    """For longer than two clocks may be apart."""
    return await now(service) > parse_instant(EVENING) + 2 * NEAR


async def shared(database_url: str, *mutants: str) -> None:
    async with Processes(database_url) as processes:
        first = await processes.start_one(*mutants, FRESHTAPE_CLOCK=EVENING)
        await until(lambda: has_run(first), within=10)
        second = await processes.start_one(*mutants)
        await assert_together(first, second, EVENING)


async def test_without_the_elapsed_time_the_clocks_are_apart(database_url: str) -> None:
    with pytest.raises(AssertionError, match="clocks apart"):
        await shared(database_url, "clock begins anew")


async def joined_together(database_url: str) -> set[int | str]:
    """The generations, or errors, that four get who bring the same clock at the same time."""
    engines = [Engine(database_url) for _ in range(4)]
    joins = (join_clock(engine, parse_instant(EVENING)) for engine in engines)
    joined = await asyncio.gather(*joins, return_exceptions=True)
    await asyncio.gather(*(engine.close() for engine in engines))
    return {clock.generation if isinstance(clock, SharedClock) else type(clock).__name__ for clock in joined}


async def test_one_clock_brought_by_four_at_once_is_recorded_once(database_url: str) -> None:
    with in_force("slow to join"):
        assert await joined_together(database_url) == {1}


async def test_without_the_lock_a_clock_is_recorded_twice(postgresql_url: str) -> None:
    with in_force("slow to join", "clock joined unlocked"):
        assert "IntegrityError" in await joined_together(postgresql_url)


async def test_another_clock_replaces_the_recorded_one(database_url: str) -> None:
    async with Processes(database_url) as processes:
        first = await processes.start_one(FRESHTAPE_CLOCK=EVENING)
        second = await processes.start_one()
        await assert_together(first, second, EVENING)
        third = await processes.start_one(FRESHTAPE_CLOCK=ANOTHER)
        for service in (first, second):
            code, said = await service.ended(within=8)
            assert code == WRONG_CONFIGURATION
            assert said.startswith(REPLACED)
            assert said.count("\n") == 1, "one sentence"
        assert await now(third) - parse_instant(ANOTHER) < timedelta(minutes=1)
        code, output = await processes.command("db", "forget-clock")
        assert (code, output) == (0, "The recorded clock is forgotten: it is real time again.\n")
        assert (await third.ended(within=8))[0] == WRONG_CONFIGURATION
        assert await processes.command("db", "forget-clock") == (0, "No clock was recorded.\n")


async def writes_on_a_replaced_clock(database_url: str, *mutants: str) -> None:
    """A refresh that is under way and a symbol to be added, in a process that has not noticed yet."""
    async with Inquiries() as inquiries, Processes(database_url, inquiries) as processes:
        late = await processes.start_one(*UNWATCHED, *mutants, FRESHTAPE_CLOCK=EVENING)
        await late.add(TICKER)
        refreshing = asyncio.create_task(
            late.ask(f'mutation {{ refreshSymbol(input: {{ticker: "{TICKER}"}}) {{ __typename }} }}')
        )
        inquiry = await inquiries.next()
        other = await processes.start_one(FRESHTAPE_CLOCK=ANOTHER)
        before = await stored(database_url, TICKER)
        inquiry.answer()
        adding = await late.ask('mutation { addSymbol(input: {ticker: "ETH-USD"}) { __typename } }')
        answers = [await refreshing, adding]
        found = await other.ask('{ symbol(ticker: "ETH-USD") { version } }')
        assert await stored(database_url, TICKER) == before, "written on a clock that is gone"
        assert found["data"] == {"symbol": None}
        assert {error["extensions"]["code"] for answer in answers for error in answer["errors"]} == {"CLOCK_REPLACED"}


async def test_nothing_is_written_on_a_replaced_clock(database_url: str) -> None:
    await writes_on_a_replaced_clock(database_url)


async def test_without_the_generation_it_is_written(database_url: str) -> None:
    with pytest.raises(AssertionError, match="written on a clock that is gone"):
        await writes_on_a_replaced_clock(database_url, "any clock may write")


# ── leases run on real time


PAST, FUTURE = "2001-01-02T03:04:05Z", "2099-01-02T03:04:05Z"


async def lapses_in_real_time(database_url: str, clock: str, *mutants: str) -> None:
    """A refresh whose process dies, with market time years away: its lease is held for seconds, no less and no more."""
    async with Inquiries() as inquiries, Processes(database_url, inquiries) as processes:
        victim = await processes.start_one("short lease", *mutants, FRESHTAPE_CLOCK=clock)
        survivor = await processes.start_one(*mutants)
        await victim.add(TICKER)
        refreshing = asyncio.create_task(victim.refresh(TICKER))
        await inquiries.next()
        held = (await survivor.refresh(TICKER))["__typename"]
        await victim.kill()
        await asyncio.gather(refreshing, return_exceptions=True)
        assert held == "AlreadyRefreshing", "lapsed too soon"

        async def is_told() -> bool:
            return (await stored(database_url, TICKER)).kinds[-1] is SymbolChangeKind.REFRESH_FAILED

        await until(is_told, within=8)


@pytest.mark.parametrize("clock", [PAST, FUTURE])
async def test_leases_do_not_run_on_market_time(sqlite_url: str, postgresql_url: str, clock: str) -> None:
    await asyncio.gather(*(lapses_in_real_time(database_url, clock) for database_url in (sqlite_url, postgresql_url)))


async def test_on_market_time_leases_would_lapse_too_soon(sqlite_url: str) -> None:
    with pytest.raises(AssertionError, match="lapsed too soon"):
        await lapses_in_real_time(sqlite_url, PAST, "lease on market time", "impatient with providers")


async def test_on_market_time_leases_would_never_lapse(postgresql_url: str) -> None:
    with pytest.raises(TimeoutError):
        await lapses_in_real_time(postgresql_url, FUTURE, "lease on market time")


# ── an orderly end


async def exit_code_with_a_follower(database_url: str, *mutants: str) -> int:
    """Of an idle process with a subscription open, after SIGTERM."""
    async with Processes(database_url, from_scratch=not mutants, FRESHTAPE_CLOCK=EVENING) as processes:
        service = await processes.start_one(*mutants)
        address = service.url.replace("http://", "ws://") + "/graphql"
        async with connect(address, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
            await socket.send('{"type": "connection_init"}')
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            subscription = {"id": "1", "type": "subscribe", "payload": {"query": "subscription { symbolChanged { kind } }"}}
            await socket.send(json.dumps(subscription))
            await service.add(TICKER)
            assert json.loads(await socket.recv())["payload"] == {"data": {"symbolChanged": {"kind": "ADDED"}}}
            service.send(signal.SIGTERM)
            return (await service.ended(within=5))[0]


async def test_sigterm_ends_a_service_that_is_followed(database_url: str) -> None:
    assert await exit_code_with_a_follower(database_url) == 0


async def test_signals_as_they_come_would_end_it_rudely(sqlite_url: str) -> None:
    assert await exit_code_with_a_follower(sqlite_url, "signals as they come") == -signal.SIGTERM
