"""Processes that die or sleep in the middle of a refresh."""

import asyncio
import signal
from collections.abc import Sequence

import httpx
import pytest

from domain.events import SymbolChangeKind
from tests.support.inquiries import Inquiries
from tests.support.process import Processes, Service, until
from tests.support.stored import Stored, stored

CLOCK = "2026-03-27T20:30:00Z"
TICKER = "BTC-USD"
SWEEP_SECONDS = 3
FAILED = SymbolChangeKind.REFRESH_FAILED
PATIENT = "patient with providers", "patient gate"


async def refreshed(service: Service, inquiries: Inquiries, days_left_out: int = 0, ticker: str = TICKER) -> str:
    """Refreshes with the history up to so many days ago."""
    refreshing = asyncio.create_task(service.refresh(ticker))
    (await inquiries.next()).answer(days_left_out)
    answer = await refreshing
    return str(answer["__typename"])


async def failure_is_told(database_url: str, within: float, ticker: str = TICKER) -> None:
    async def is_told() -> bool:
        return FAILED in (await stored(database_url, ticker)).kinds

    await until(is_told, within)


def told(found: Stored) -> object:
    """What a refresh that failed must leave as it was."""
    symbol = found.symbol
    facts = symbol.version, symbol.level_count, symbol.last_price, symbol.last_updated, symbol.as_of
    return facts, found.levels, found.bars, found.actions


# ── killed while the provider is asked


async def killed_while_asking(database_url: str, within: float, *mutants: str) -> None:
    async with Inquiries() as inquiries, Processes(database_url, inquiries, FRESHTAPE_CLOCK=CLOCK) as processes:
        victim, *survivors = await processes.start(3, *mutants)
        await victim.add(TICKER)
        await refreshed(victim, inquiries, days_left_out=30)
        before = await stored(database_url, TICKER)
        refreshing = asyncio.create_task(victim.refresh(TICKER))
        await inquiries.next()
        await victim.kill()
        with pytest.raises(httpx.TransportError):
            await refreshing
        deadline = asyncio.get_running_loop().time() + within
        await assert_held(survivors)
        assert told(await stored(database_url, TICKER)) == told(before)
        await failure_is_told(database_url, deadline - asyncio.get_running_loop().time())
        await asyncio.sleep(SWEEP_SECONDS + 1)  # each survivor has swept once more
        after = await stored(database_url, TICKER)
        assert after.kinds.count(FAILED) == 1, "told more than once"
        assert told(after) == told(before)
        assert await refreshed(survivors[0], inquiries) == "SymbolRefreshed"
    final = await stored(database_url, TICKER)
    assert final.symbol.version == before.symbol.version + 1
    assert final.is_whole
    assert final.is_refreshed_one_at_a_time


async def assert_held(survivors: Sequence[Service]) -> None:
    answers = await asyncio.gather(*(service.refresh(TICKER) for service in survivors))
    assert {(answer["__typename"], answer["refresh"]["startedBy"]) for answer in answers} == {("AlreadyRefreshing", "api")}


async def test_a_killed_refresh_is_told_once_within_30_seconds(sqlite_url: str, postgresql_url: str) -> None:
    async with asyncio.TaskGroup() as both:
        for database_url in (sqlite_url, postgresql_url):
            both.create_task(killed_while_asking(database_url, 30))


async def test_without_the_sweep_it_is_never_told(sqlite_url: str) -> None:
    with pytest.raises(TimeoutError):
        await killed_while_asking(sqlite_url, 8, "short lease", "lapsed leases are nobody's work")


async def test_where_lapsed_leases_stay_it_is_told_again(postgresql_url: str) -> None:
    with pytest.raises(AssertionError, match="told more than once"):
        await killed_while_asking(postgresql_url, 15, "short lease", "lapsed leases stay")


# ── killed while writing

DEATHS = {
    "BTC-USD": "dies with the bars written",
    "ETH-USD": "dies with the levels deleted",
    "SOL-USD": "dies before the commit",
}


async def killed_while_writing(database_url: str, ticker: str, death: str) -> None:
    async with Inquiries() as inquiries, Processes(database_url, inquiries, FRESHTAPE_CLOCK=CLOCK) as processes:
        survivor, doomed = await asyncio.gather(processes.start_one(), processes.start_one("short lease", death))
        await survivor.add(ticker)
        await refreshed(survivor, inquiries, days_left_out=30, ticker=ticker)
        before = await stored(database_url, ticker)
        with pytest.raises(httpx.TransportError):
            await refreshed(doomed, inquiries, ticker=ticker)
        assert (await doomed.ended())[0] == -signal.SIGKILL
        found = await stored(database_url, ticker)
        assert told(found) == told(before), "half-written"
        await failure_is_told(database_url, within=15, ticker=ticker)
        assert await refreshed(survivor, inquiries, ticker=ticker) == "SymbolRefreshed"
    final = await stored(database_url, ticker)
    assert final.is_whole
    assert final.is_refreshed_one_at_a_time
    assert final.kinds.count(FAILED) == 1


async def test_killed_while_writing_leaves_nothing_half_written(database_url: str) -> None:
    await asyncio.gather(*(killed_while_writing(database_url, ticker, death) for ticker, death in DEATHS.items()))


async def test_without_one_transaction_half_is_written(database_url: str) -> None:
    with pytest.raises(AssertionError, match="half-written"):
        await killed_while_writing(database_url, TICKER, "dies with the bars committed")


# ── asleep for longer than the lease


async def outlived_lease(database_url: str, *mutants: str) -> None:
    async with Inquiries() as inquiries, Processes(database_url, inquiries, FRESHTAPE_CLOCK=CLOCK) as processes:
        # Its own sweep is off, so that it never falls asleep with the database locked.
        sleeper, other = await asyncio.gather(
            processes.start_one("short lease", *PATIENT, "lapsed leases are nobody's work", *mutants),
            processes.start_one(*PATIENT),
        )
        await other.add(TICKER)
        sleeping = asyncio.create_task(sleeper.refresh(TICKER))
        old = await inquiries.next()
        sleeper.send(signal.SIGSTOP)
        await failure_is_told(database_url, within=15)
        refreshing = asyncio.create_task(other.refresh(TICKER))
        new = await inquiries.next()
        before = await stored(database_url, TICKER)
        old.answer(days_left_out=30)
        sleeper.send(signal.SIGCONT)
        late = (await sleeping)["__typename"]
        after = await stored(database_url, TICKER)
        assert after == before, "written without the lease"
        assert late == "ProviderUnavailable"
        new.answer()
        assert (await refreshing)["__typename"] == "SymbolRefreshed"
    final = await stored(database_url, TICKER)
    assert final.symbol.version == 2
    assert final.is_whole
    assert final.is_refreshed_one_at_a_time


async def test_a_refresh_that_outlived_its_lease_writes_nothing(sqlite_url: str, postgresql_url: str) -> None:
    await asyncio.gather(outlived_lease(sqlite_url), outlived_lease(postgresql_url))


async def test_without_the_fence_it_writes(sqlite_url: str, postgresql_url: str) -> None:
    async def writes(database_url: str, mutant: str) -> None:
        with pytest.raises(AssertionError, match="written without the lease"):
            await outlived_lease(database_url, mutant)

    await asyncio.gather(writes(sqlite_url, "any token releases"), writes(postgresql_url, "lease not needed to write"))
