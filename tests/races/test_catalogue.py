"""Two processes that hold the symbols in memory: what one writes, both read."""

import asyncio
import signal

import pytest

from tests.support.figures import told
from tests.support.process import Processes, Service

CLOCK = "2026-03-27T20:30:00Z"
TICKER = "BTC-USD"
SECOND = 1.0
CHANGES = 8
NAME = "mutation($input: AddSymbolInput!) { addSymbol(input: $input) { ... on SymbolAdded { symbol { version } } } }"
READ = f'{{ symbol(ticker: "{TICKER}") {{ version }} symbols {{ nodes {{ version }} cursor }} }}'


def now() -> float:
    return asyncio.get_running_loop().time()


async def version_on(service: Service) -> int:
    found = (await service.ask(READ))["data"]
    assert [found["symbol"]] == found["symbols"]["nodes"], "the list and the symbol are of one moment"
    return int(found["symbol"]["version"])


async def seen(writer: Service, reader: Service, version: int) -> float:
    """One more version, and how long after it was answered the other process shows it, in seconds."""
    answer = await writer.ask(NAME, input={"ticker": TICKER, "name": f"version {version}", "expectedVersion": version - 1})
    answered = now()
    assert answer["data"]["addSymbol"]["symbol"]["version"] == version
    assert await version_on(writer) == version, "not read by its own process"
    while True:
        began = now()
        if await version_on(reader) == version:
            return began - answered
        assert began < answered + SECOND, "older than a second"
        await asyncio.sleep(0.02)


async def seen_by_both(database_url: str, *mutants: str) -> None:
    async with Processes(database_url, FRESHTAPE_CLOCK=CLOCK) as processes:
        one, other = await processes.start(2, *mutants)
        await one.add(TICKER)
        await asyncio.sleep(SECOND)
        assert await version_on(other) == 1, "older than a second"
        pairs = [(one, other), (other, one)] * (CHANGES // 2)
        delays = [await seen(*pair, version) for version, pair in enumerate(pairs, 2)]
        await seen_after_a_sleep(one, other, CHANGES + 2)
    told(f"{CHANGES} changes seen by the other process after {min(delays):.2f} to {max(delays):.2f} s")


async def seen_after_a_sleep(writer: Service, sleeper: Service, version: int) -> None:
    """A process that was suspended looks before it answers what was asked meanwhile."""
    sleeper.send(signal.SIGSTOP)
    answer = await writer.ask(NAME, input={"ticker": TICKER, "name": f"version {version}", "expectedVersion": version - 1})
    assert answer["data"]["addSymbol"]["symbol"]["version"] == version
    reading = asyncio.create_task(version_on(sleeper))
    await asyncio.sleep(1.5 * SECOND)
    sleeper.send(signal.SIGCONT)
    assert await reading == version, "older than a second"


async def test_a_write_is_read_by_its_own_process_at_once_and_by_others_within_a_second(
    sqlite_url: str, postgresql_url: str
) -> None:
    await asyncio.gather(seen_by_both(sqlite_url), seen_by_both(postgresql_url))


async def test_also_where_nobody_tells_and_the_log_is_hardly_polled(sqlite_url: str) -> None:
    await seen_by_both(sqlite_url, "polls seldom")


async def test_without_a_look_at_the_age_it_would_not_be(sqlite_url: str) -> None:
    with pytest.raises(AssertionError, match="older than a second"):
        await seen_by_both(sqlite_url, "polls seldom", "symbols however old")
