"""Failover within one request: Yahoo first, on the stub, which is in every kind of trouble; then a recorded market. Real gates
on both databases, asked through the schema."""

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.gates import Budget, CircuitState, Gate
from domain.ports import MarketDataProvider
from domain.services import asking
from domain.services.refreshing import Refreshing
from domain.services.symbols import Symbols
from graph.context import Services
from persistence.unit_of_work import SqlDatabase
from providers import gate as gating
from providers.chain import ProviderChain
from providers.gate import GatedProvider
from providers.massive import MassiveProvider
from providers.sample import SampleProvider
from providers.yahoo import YahooProvider
from tests.support.client import GraphClient
from tests.support.clock import EVENING
from tests.support.figures import told
from tests.support.market import write_market
from tests.support.massive.server import MassiveStub
from tests.support.provider import StubProvider
from tests.support.stubbed import Trouble
from tests.support.universe import track
from tests.support.yahoo.server import YahooStub

IN_TROUBLE = "T429S", "T500", "THTML", "TSLOW", "TCUT", "EMPTY", "UNKNOWN"
ANY = "QANY"
UP_TO_THREE = {1, 2, 3}
"""A quick failure is asked again for as long as its share of the time lets it."""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_market(tmp_path_factory.mktemp("failover") / "market", [*IN_TROUBLE, ANY])


class Failover:
    """The service with two gated providers, the falls between them, and what its database holds then."""

    def __init__(self, services: Services, database: SqlDatabase, *providers: MarketDataProvider, one_of: int = 2) -> None:
        self.falls: list[tuple[str, str, str]] = []
        gated = [GatedProvider(each, database, Budget(60, 1000), one_of=one_of) for each in providers]
        chain = ProviderChain(gated, {}, lambda *fall: self.falls.append(fall))
        symbols, clock = services.symbols, services.clock
        self.graph = GraphClient(
            replace(
                services,
                refreshing=Refreshing(database, chain, clock),
                symbols=Symbols(database, symbols._catalogue, chain, symbols._queue, clock, symbols.threshold),
            )
        )
        self._database = database

    async def sources(self, ticker: str) -> set[str]:
        async with self._database.read() as unit:
            return {bar.source for bar in await unit.bars.daily_since(ticker, EVENING.date() - timedelta(days=400))}

    async def gate(self, name: str = "yahoo") -> tuple[Gate, CircuitState]:
        async with self._database.read() as unit:
            gates, now = await unit.gates.read([name])
        return gates[name], gates[name].state(now)


@pytest.fixture
def failover(services: Services, database: SqlDatabase, yahoo: YahooProvider, market: Path) -> Failover:
    return Failover(services, database, yahoo, SampleProvider(market, services.clock))


async def test_while_the_first_is_well_the_second_is_not_asked(failover: Failover, database: SqlDatabase) -> None:
    await track(database, "SPY")
    assert (await failover.graph.refresh("SPY"))["__typename"] == "SymbolRefreshed"
    assert (await failover.sources("SPY"), failover.falls) == ({"yahoo"}, [])


@pytest.mark.parametrize(
    ("ticker", "reason", "failures", "circuit"),
    [
        ("T500", "down", UP_TO_THREE, CircuitState.CLOSED),
        ("THTML", "down", UP_TO_THREE, CircuitState.CLOSED),
        ("TCUT", "down", UP_TO_THREE, CircuitState.CLOSED),
        ("TSLOW", "down", {1}, CircuitState.CLOSED),
        ("T429S", "rate_limited", {1}, CircuitState.OPEN),
        ("UNKNOWN", "not_found", {0}, CircuitState.CLOSED),
        ("EMPTY", "no_data", {0}, CircuitState.CLOSED),
    ],
)
async def test_a_refresh_is_answered_by_the_second(
    failover: Failover, database: SqlDatabase, ticker: str, reason: str, failures: set[int], circuit: CircuitState
) -> None:
    await track(database, ticker)
    began = asyncio.get_running_loop().time()
    answer = await failover.graph.refresh(ticker)
    took = asyncio.get_running_loop().time() - began
    assert answer["__typename"] == "SymbolRefreshed", answer
    assert answer["barsReceived"] > 200
    assert answer["symbol"]["isStale"] is False
    assert await failover.sources(ticker) == {"sample"}
    assert failover.falls == [("yahoo", "sample", reason)]
    gate, state = await failover.gate()
    assert gate.failures in failures
    assert state is circuit
    assert took < asking.PROVIDER_SECONDS
    told(f"failover, {ticker}: the second's bars after {took:.2f} s, {database.kind}")


async def test_a_shut_circuit_sends_everybody_to_the_second_and_the_first_is_left_alone(
    failover: Failover, database: SqlDatabase, stub: YahooStub
) -> None:
    await track(database, "T429S", "SPY")
    await failover.graph.refresh("T429S")
    asked = len(stub.asked)
    assert (await failover.graph.refresh("SPY"))["__typename"] == "SymbolRefreshed"
    assert (await failover.sources("SPY"), len(stub.asked)) == ({"sample"}, asked)
    assert failover.falls == [("yahoo", "sample", "rate_limited")] * 2


class Hanging(StubProvider):
    name = "hanging"

    def __init__(self) -> None:
        super().__init__(ANY)

        async def hang() -> None:
            await asyncio.sleep(3600)

        self.before_answer = hang


class Slow(StubProvider):
    name = "slow"

    def __init__(self, seconds: float) -> None:
        super().__init__(ANY)
        self.before_answer = lambda: asyncio.sleep(seconds)


async def test_one_that_hangs_is_judged_each_time_until_its_circuit_opens(
    services: Services, database: SqlDatabase, market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gating, "CALL_SECONDS", 0.6)
    monkeypatch.setattr(gating, "START_SECONDS", 0.2)
    quick = Failover(services, database, Hanging(), SampleProvider(market, services.clock))
    await track(database, ANY)
    for failures in range(1, 6):
        assert (await quick.graph.refresh(ANY))["__typename"] == "SymbolRefreshed"
        assert (await quick.gate("hanging"))[0].failures == failures
    assert (await quick.gate("hanging"))[1] is CircuitState.OPEN
    assert (await quick.graph.refresh(ANY))["__typename"] == "SymbolRefreshed"
    assert (await quick.gate("hanging"))[0].failures == 5, "it was not asked again"


@pytest.mark.parametrize(("one_of", "ends"), [(2, "SymbolRefreshed"), (1, "ProviderUnavailable")])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_without_its_share_of_the_time_the_second_would_come_too_late(
    services: Services, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch, one_of: int, ends: str
) -> None:
    monkeypatch.setattr(asking, "PROVIDER_SECONDS", 3.2)
    monkeypatch.setattr(gating, "CALL_SECONDS", 2.8)
    monkeypatch.setattr(gating, "START_SECONDS", 1.2)
    failover = Failover(services, database, Hanging(), Slow(1.0), one_of=one_of)
    await track(database, ANY)
    assert (await failover.graph.refresh(ANY))["__typename"] == ends


@pytest.mark.parametrize(
    ("second", "provider", "message"),
    [
        ("T429S", "yahoo", "The provider yahoo asks for fewer requests. Try again in 30 s."),
        ("EMPTY", None, "yahoo or other answered and has no bar of EMPTY in the range asked for."),
        ("UNKNOWN", None, "UNKNOWN is not known to the provider yahoo."),
    ],
)
async def test_when_neither_has_an_answer_the_refusal_says_whose_it_is(
    services: Services, database: SqlDatabase, yahoo: YahooProvider, second: str, provider: str | None, message: str
) -> None:
    class Other(StubProvider):
        name = "other"

    other = Other("EMPTY")
    other.bars = []
    failover = Failover(services, database, yahoo, other)
    await track(database, second)
    answer = await failover.graph.refresh(second)
    assert answer["message"] == message
    assert answer.get("provider") == provider
    assert failover.falls[0][:2] == ("yahoo", "other")


async def test_a_symbol_that_only_the_second_knows_is_added_by_its_profile(failover: Failover) -> None:
    answer = await failover.graph.add("UNKNOWN")
    assert (answer["__typename"], answer["symbol"]["assetClass"]) == ("SymbolAdded", "STOCK")
    assert failover.falls == [("yahoo", "sample", "not_found")]


@pytest.mark.parametrize(
    ("trouble", "reason", "is_failure"),
    [("plan", "not_served", False), ("error", "down", True), ("rate_limited", "rate_limited", True)],
)
async def test_from_massive_to_yahoo(
    services: Services,
    database: SqlDatabase,
    massive: MassiveProvider,
    massive_stub: MassiveStub,
    yahoo: YahooProvider,
    trouble: Any,
    reason: str,
    is_failure: bool,
) -> None:
    """Two live ones; that the key's plan does not go so far back is nothing that the gate holds against Massive."""
    if trouble == "plan":
        massive_stub.plan_from = date(2030, 1, 2)
    else:
        massive_stub.troubles.append(Trouble(trouble))
    failover = Failover(services, database, massive, yahoo)
    await track(database, "AAPL")
    answer = await failover.graph.refresh("AAPL")
    assert answer["__typename"] == "SymbolRefreshed", answer
    assert (await failover.sources("AAPL"), failover.falls) == ({"yahoo"}, [("massive", "yahoo", reason)])
    gate, _ = await failover.gate("massive")
    assert (gate.failures > 0) is is_failure
