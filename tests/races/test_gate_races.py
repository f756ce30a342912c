"""Several processes at one gate: what reaches the provider. Each race is run once as the code is, and once for each guard that
is taken out."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from domain.errors import Trouble
from tests.support.figures import told
from tests.support.inquiries import Inquiries, Inquiry
from tests.support.process import Processes, Service, until

CLOCK = "2026-03-27T20:30:00Z"
TICKERS = "BTC-USD", "ETH-USD", "SOL-USD"
RETRY_AFTER = 10
PROVIDERS = "{ service { now providers { name assetClasses circuit retryAt consecutiveFailures lastError } } }"


@asynccontextmanager
async def two_processes(database_url: str, *mutants: str) -> AsyncIterator[tuple[Inquiries, Processes, Service, Service]]:
    async with Inquiries() as inquiries, Processes(database_url, inquiries, FRESHTAPE_CLOCK=CLOCK) as processes:
        first, second = await processes.start(2, *mutants)
        for ticker in TICKERS:
            await first.add(ticker)
        yield inquiries, processes, first, second


async def shown(service: Service) -> dict[str, Any]:
    """The one provider as the service shows it; `retryAt` as seconds from now."""
    found = (await service.ask(PROVIDERS))["data"]["service"]
    (provider,) = found["providers"]
    if provider["retryAt"] is not None:
        span = datetime.fromisoformat(provider["retryAt"]) - datetime.fromisoformat(found["now"])
        provider["retryAt"] = span / timedelta(seconds=1)
    return dict(provider)


class Asking:
    """An async context around callers, each of which refreshes its symbol again and again for as long as it is refused.

    Each has a symbol of its own, so that no refresh's lease is in its way."""

    def __init__(self) -> None:
        self.refusals: Counter[int] = Counter()
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def __aenter__(self) -> "Asking":
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def start(self, service: Service, ticker: str) -> None:
        self._tasks[service.process.pid] = asyncio.create_task(self._ask(service, ticker))

    async def _ask(self, service: Service, ticker: str) -> None:
        while (answer := await service.refresh(ticker))["__typename"] == "ProviderUnavailable":
            assert answer["retryAfterSeconds"] >= 1
            self.refusals[service.process.pid] += 1
            await asyncio.sleep(0.05)
        assert answer["__typename"] == "SymbolRefreshed"

    def forget(self, service: Service) -> None:
        self._tasks.pop(service.process.pid).cancel()

    async def ended(self) -> None:
        """All have been answered."""
        await asyncio.gather(*self._tasks.values())


async def limited(service: Service, inquiries: Inquiries, seconds: int) -> float:
    """The provider answers the process with a 429; returns when."""
    refreshing = asyncio.create_task(service.refresh(TICKERS[0]))
    at = refuse(await inquiries.next(), seconds)
    assert seconds - 1 <= (await refreshing)["retryAfterSeconds"] <= seconds
    return at


def refuse(inquiry: Inquiry, seconds: int) -> float:
    inquiry.refuse(Trouble.RATE_LIMITED, seconds)
    return asyncio.get_running_loop().time()


# ── one 429, two processes, a restart in between


async def one_429(database_url: str, *mutants: str) -> None:
    async with two_processes(database_url, *mutants) as (inquiries, processes, first, second), Asking() as asking:
        refused_at = await limited(first, inquiries, RETRY_AFTER)
        asking.start(first, TICKERS[0])
        asking.start(second, TICKERS[1])
        await until(lambda: has_refused(asking, inquiries, 2), within=10)
        asking.forget(first)
        await first.kill()
        restarted = await processes.start_one(*mutants)
        asking.start(restarted, TICKERS[2])
        for seconds in (RETRY_AFTER, 1, 1):
            probe = await inquiries.next(within=seconds + 15)
            assert probe.at - refused_at >= seconds, "asked while it is open"
            assert {second.process.pid, restarted.process.pid} <= set(asking.refusals), "not both were refused before"
            asking.refusals.clear()
            await until(lambda: has_refused_since(asking, inquiries), within=10)
            assert inquiries.waiting == 0, "two probes at once"
            told(f"429 for {seconds} s, then one request after {probe.at - refused_at:.3f} s")
            refused_at = refuse(probe, 1)
        (await inquiries.next()).answer()  # the probe that closes it
        (await inquiries.next()).answer()
        await asking.ended()
        assert (await shown(second))["circuit"] == "CLOSED"


async def has_refused(asking: Asking, inquiries: Inquiries, processes: int) -> bool:
    """So many processes have been refused; or somebody has been let through, which is for the test to judge."""
    return len(asking.refusals) >= processes or inquiries.waiting > 0


async def has_refused_since(asking: Asking, inquiries: Inquiries) -> bool:
    """The one who does not probe has been refused twice: the first may have been asked before the probe was let through."""
    return asking.refusals.total() >= 2 or inquiries.waiting > 0


async def test_after_a_429_nobody_asks_until_the_cool_down_is_over_and_then_one_does(
    sqlite_url: str, postgresql_url: str
) -> None:
    async with asyncio.TaskGroup() as both:
        for database_url in (sqlite_url, postgresql_url):
            both.create_task(one_429(database_url))


@pytest.mark.parametrize(
    ("mutant", "broken"),
    [
        ("open circuit not looked at", "asked while it is open"),
        ("a gate for each process", "asked while it is open"),
        ("probe not leased", "two probes at once"),
    ],
)
async def test_without_the_guard_somebody_does(sqlite_url: str, postgresql_url: str, mutant: str, broken: str) -> None:
    async def fails(database_url: str) -> None:
        with pytest.raises(AssertionError, match=broken):
            await one_429(database_url, mutant)

    await asyncio.gather(fails(sqlite_url), fails(postgresql_url))


async def test_processes_that_are_slow_at_the_gate_wait_for_each_other(postgresql_url: str) -> None:
    await one_429(postgresql_url, "slow at the gate")


async def test_without_the_lock_they_do_not(postgresql_url: str) -> None:
    with pytest.raises(AssertionError, match="two probes at once"):
        await one_429(postgresql_url, "slow at the gate", "gate not locked")


# ── five failures in a row, over both processes


async def five_failures(database_url: str, *mutants: str) -> None:
    async with two_processes(database_url, *mutants) as (inquiries, processes, first, second):
        told = [await fails(first, TICKERS[0], inquiries, 3), await fails(second, TICKERS[1], inquiries, 2)]
        assert [answer["retryAfterSeconds"] for answer in told] == [None, 60]
        await first.kill()
        restarted = await processes.start_one(*mutants)
        for service, ticker in ((second, TICKERS[1]), (restarted, TICKERS[2])):
            answer = await service.refresh(ticker)
            assert (answer["__typename"], answer["code"]) == ("ProviderUnavailable", "PROVIDER_UNAVAILABLE")
            assert 30 < answer["retryAfterSeconds"] <= 60
            assert "failed 5 times in a row" in answer["message"]
            provider = await shown(service)
            assert 30 < provider.pop("retryAt") <= 60
            assert provider == {
                "name": "sample",
                "assetClasses": ["STOCK", "ETF", "CRYPTO", "FOREX", "INDEX"],
                "circuit": "OPEN",
                "consecutiveFailures": 5,
                "lastError": "The provider sample refused the test.",
            }
        code, output = await processes.command("providers")
        assert code == 0
        assert output.splitlines()[0].split() == [
            "name",
            "circuit",
            "failures",
            "retry",
            "in",
            "left",
            "today",
            "last",
            "error",
        ]
        assert output.splitlines()[1].split()[:3] == ["sample", "OPEN", "5"]
        assert inquiries.waiting == 0


async def fails(service: Service, ticker: str, inquiries: Inquiries, times: int) -> dict[str, Any]:
    """The answer to a refresh whose every request fails, of which there must be so many."""
    refreshing = asyncio.create_task(service.refresh(ticker))
    for _ in range(times):
        (await inquiries.next()).refuse(Trouble.DOWN)
    more = asyncio.create_task(inquiries.next(within=60))
    await asyncio.wait({refreshing, more}, return_when=asyncio.FIRST_COMPLETED)
    is_asked_more = more.done()
    more.cancel()
    if is_asked_more:
        refreshing.cancel()
    assert not is_asked_more, "asked once more"
    return await refreshing


async def test_five_failures_in_a_row_open_it_for_all(sqlite_url: str, postgresql_url: str) -> None:
    await asyncio.gather(five_failures(sqlite_url), five_failures(postgresql_url))


async def test_counted_by_each_process_they_do_not(sqlite_url: str) -> None:
    with pytest.raises(AssertionError, match="asked once more"):
        await five_failures(sqlite_url, "a gate for each process")


# ── a probe whose process dies


async def killed_probe(database_url: str, *mutants: str) -> None:
    async with two_processes(database_url, "short probe", *mutants) as (inquiries, _, first, second), Asking() as asking:
        await limited(first, inquiries, 1)
        await asyncio.sleep(1.05)
        probing = asyncio.create_task(first.refresh(TICKERS[0]))
        lost = await inquiries.next()
        await first.kill()
        with pytest.raises(httpx.TransportError):
            await probing
        asking.start(second, TICKERS[1])
        probe = await inquiries.next(within=7)
        assert probe.at - lost.at > 2, "let through beside the probe"
        assert asking.refusals[second.process.pid] > 0
        told(f"a probe was lost, the next let through after {probe.at - lost.at:.2f} s")
        probe.answer()
        await asking.ended()
        provider = await shown(second)
        assert (provider["circuit"], provider["retryAt"]) == ("CLOSED", None)
        assert (provider["consecutiveFailures"], provider["lastError"]) == (0, None)


async def test_a_probe_whose_process_is_killed_is_taken_over(sqlite_url: str, postgresql_url: str) -> None:
    await asyncio.gather(killed_probe(sqlite_url), killed_probe(postgresql_url))


async def test_without_its_lease_it_is_not_waited_for(sqlite_url: str) -> None:
    with pytest.raises(AssertionError, match="let through beside the probe"):
        await killed_probe(sqlite_url, "probe not leased")


async def test_with_a_lease_that_never_lapses_nobody_asks_again(postgresql_url: str) -> None:
    with pytest.raises(TimeoutError):
        await killed_probe(postgresql_url, "lost probe never lapses")
