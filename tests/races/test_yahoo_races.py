"""Two processes ask one Yahoo: how many requests leave them once it has said no."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest

from tests.support.figures import told
from tests.support.process import Processes, Service
from tests.support.yahoo.server import Trouble, YahooStub, running

TICKERS = ("AAPL", "MSFT", "NVDA", "TSLA", "AMZN", "META")
RETRY_AFTER = 15


@pytest.fixture
def stub() -> YahooStub:
    return YahooStub()


@pytest.fixture
def yahoo(stub: YahooStub) -> Iterator[str]:
    with running(stub) as url:
        yield url


async def refreshed(services: Sequence[Service]) -> list[str]:
    """What each service answers of each symbol, all asked at once."""
    asked = [service.refresh(ticker) for service in services for ticker in TICKERS]
    return [answer["__typename"] for answer in await asyncio.gather(*asked)]


async def one_429(database_url: str, stub: YahooStub, yahoo: str, *mutants: str) -> str:
    async with Processes(database_url, FRESHTAPE_PROVIDERS="yahoo", FRESHTAPE_YAHOO_URL=yahoo) as processes:
        first, second = await processes.start(2, *mutants)
        for ticker in TICKERS:
            await first.add(ticker)
        for service in (first, second):  # each has its cookie then
            assert (await service.refresh("AAPL"))["__typename"] == "SymbolRefreshed"
        stub.asked.clear()
        stub.troubles.append(Trouble("rate_limited", retry_after=str(RETRY_AFTER), times=1))
        assert (await first.refresh("AAPL"))["__typename"] == "ProviderUnavailable"
        told_at = time.monotonic()
        until_then = len(stub.asked)
        refused = await refreshed([first, second])
        await first.kill()
        restarted = await processes.start_one(*mutants)
        refused += await refreshed([restarted, second])
        further = len(stub.asked) - until_then
        assert time.monotonic() - told_at < RETRY_AFTER, "too slow a machine for this cool-down"
        assert further <= 1, f"{further} further requests"
        assert set(refused) <= {"ProviderUnavailable", "AlreadyRefreshing"}
        await asyncio.sleep(RETRY_AFTER - (time.monotonic() - told_at) + 0.2)
        assert (await restarted.refresh("AAPL"))["__typename"] == "SymbolRefreshed"
        assert await refreshed([second]) == ["SymbolRefreshed"] * len(TICKERS)
        return f"{further} requests in the {RETRY_AFTER} s after the 429, of {len(refused)} refreshes asked for"


async def test_one_429(database_url: str, stub: YahooStub, yahoo: str) -> None:
    told(await one_429(database_url, stub, yahoo))


async def test_without_a_circuit_it_is_asked_on(sqlite_url: str, stub: YahooStub, yahoo: str) -> None:
    with pytest.raises(AssertionError, match="further requests"):
        await one_429(sqlite_url, stub, yahoo, "open circuit not looked at")


async def test_a_429_among_many(sqlite_url: str, stub: YahooStub, yahoo: str) -> None:
    """Every thread of both processes has a request under way when the first of them is refused: what is under way cannot be
    called back, and no more than that leaves."""
    async with Processes(sqlite_url, FRESHTAPE_PROVIDERS="yahoo", FRESHTAPE_YAHOO_URL=yahoo) as processes:
        services = await processes.start(2)
        for ticker in TICKERS:
            await services[0].add(ticker)
        for service in services:  # each has its cookie then
            assert (await service.refresh("AAPL"))["__typename"] == "SymbolRefreshed"
        stub.asked.clear()
        stub.troubles.append(Trouble("rate_limited", retry_after="30"))
        answers = await refreshed(services)
        answers += await refreshed(services)
        assert set(answers) <= {"ProviderUnavailable", "AlreadyRefreshing"}
        told(f"{len(stub.asked)} requests of {len(answers)} refreshes, over two processes of four threads")
        assert len(stub.asked) <= 8


# ── a day's budget, over both processes

A_DAY = 5
MORE_TICKERS = ("AMD", "AVGO", "BA", "DIS", "GOOG", "INTC")


async def days_budget(database_url: str, stub: YahooStub, yahoo: str, *mutants: str) -> str:
    began = datetime.now(UTC).date()
    async with Processes(
        database_url,
        FRESHTAPE_PROVIDERS="yahoo",
        FRESHTAPE_YAHOO_URL=yahoo,
        FRESHTAPE_PROVIDER_CALLS_PER_DAY=str(A_DAY),
    ) as processes:
        first, second = await processes.start(2, *mutants)
        for ticker in TICKERS + MORE_TICKERS:
            await first.add(ticker)
        asked = [first.refresh(ticker) for ticker in TICKERS] + [second.refresh(ticker) for ticker in MORE_TICKERS]
        answers = await asyncio.gather(*asked)
        await first.kill()
        restarted = await processes.start_one(*mutants)
        answers += await asyncio.gather(*(restarted.refresh(ticker) for ticker in TICKERS))
    refreshed = [answer for answer in answers if answer["__typename"] == "SymbolRefreshed"]
    days = 1 + (datetime.now(UTC).date() - began).days  # midnight may have passed
    assert len(refreshed) <= days * A_DAY, f"{len(refreshed)} calls of {A_DAY}"
    refused = [answer for answer in answers if answer["__typename"] == "ProviderUnavailable"]
    assert len(refreshed) + len(refused) == len(answers)
    assert len(refreshed) >= A_DAY, "refused with calls left"
    assert all("has no calls left in today's budget" in answer["message"] for answer in refused)
    assert all(1 <= answer["retryAfterSeconds"] <= 86_400 for answer in refused)
    assert {asked.path for asked in stub.asked if asked.path.startswith("/v8/")} <= {
        f"/v8/finance/chart/{answer['symbol']['ticker']}" for answer in refreshed
    }
    return f"{len(answers)} refreshes in three processes, {len(refreshed)} calls, {len(refused)} refused"


async def test_a_days_budget_is_never_exceeded_by_several_processes(
    sqlite_url: str, postgresql_url: str, stub: YahooStub, yahoo: str
) -> None:
    for database_url in (sqlite_url, postgresql_url):
        stub.asked.clear()
        told(await days_budget(database_url, stub, yahoo))


@pytest.mark.parametrize("mutants", [("days are not counted",), ("a gate for each process",)])
async def test_without_the_guard_it_is(sqlite_url: str, stub: YahooStub, yahoo: str, mutants: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match=rf"calls of {A_DAY}"):
        await days_budget(sqlite_url, stub, yahoo, *mutants)


async def test_without_the_lock_it_is(postgresql_url: str, stub: YahooStub, yahoo: str) -> None:
    with pytest.raises(AssertionError, match=rf"calls of {A_DAY}"):
        await days_budget(postgresql_url, stub, yahoo, "slow at the gate", "gate not locked")
