"""`service.providers`: what the service says of its providers."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from domain.errors import Trouble
from domain.gates import Budget, Gate
from domain.services.providers import Providers
from graph.context import Services
from persistence.unit_of_work import SqlDatabase
from tests.support.client import GraphClient
from tests.support.clock import EVENING
from tests.support.provider import StubProvider

QUERY = "{ service { providers { name assetClasses circuit retryAt consecutiveFailures lastError } } }"
LEFT = "{ service { providers { name callsLeftThisMinute callsLeftToday } } }"
WELL = {
    "name": "stub",
    "assetClasses": ["STOCK", "CRYPTO"],
    "circuit": "CLOSED",
    "retryAt": None,
    "consecutiveFailures": 0,
    "lastError": None,
}
LIMITED = {"consecutiveFailures": 1, "lastError": "The provider stub was asked too often."}


async def shown(graph: GraphClient) -> dict[str, Any]:
    (provider,) = (await graph(QUERY))["service"]["providers"]
    return dict(provider)


async def remember(database: SqlDatabase, *, since: timedelta, probing: bool = False) -> None:
    """A 429 that long ago, which said to come back after 40 s."""
    async with database.write() as unit:
        gate, now = await unit.gates.lock("stub")
        gate = gate.failed(gate.generation, now - since, Trouble.RATE_LIMITED, 40, "The provider stub was asked too often.")
        await unit.gates.save(gate.admitted(now) if probing else gate)


async def test_a_provider_that_was_never_in_trouble(graph: GraphClient) -> None:
    assert await shown(graph) == WELL


@pytest.mark.parametrize(
    ("since", "probing", "circuit", "retry_in"),
    [(10, False, "OPEN", 30), (50, False, "HALF_OPEN", None), (50, True, "HALF_OPEN", 15)],
)
async def test_after_a_429(
    graph: GraphClient, database: SqlDatabase, since: int, probing: bool, circuit: str, retry_in: int | None
) -> None:
    """The service's clock stands still, months before the real time that the cool-down runs on."""
    await remember(database, since=timedelta(seconds=since), probing=probing)
    found = await shown(graph)
    retry_at = found.pop("retryAt")
    assert found == {key: value for key, value in (WELL | LIMITED | {"circuit": circuit}).items() if key != "retryAt"}
    if retry_in is None:
        assert retry_at is None
    else:
        left = datetime.fromisoformat(retry_at) - EVENING
        assert timedelta(seconds=retry_in - 5) < left <= timedelta(seconds=retry_in)


async def test_one_that_has_answered_again_is_well(graph: GraphClient, database: SqlDatabase) -> None:
    await remember(database, since=timedelta(seconds=50), probing=True)
    async with database.write() as unit:
        gate, _ = await unit.gates.lock("stub")
        await unit.gates.save(gate.succeeded(gate.generation))
    assert await shown(graph) == WELL


async def test_all_are_read_by_one_statement_in_the_order_of_preference(
    services: Services, database: SqlDatabase, statements: list[str]
) -> None:
    class Other(StubProvider):
        name = "other"

    async with database.write() as unit:
        await unit.gates.lock("other")
        await unit.gates.save(Gate("other", failures=2))
    providers = Providers(database, [StubProvider(), Other()])
    graph = GraphClient(replace(services, providers=providers))
    statements.clear()
    found = (await graph(QUERY))["service"]["providers"]
    assert len(statements) == 1
    assert [(each["name"], each["consecutiveFailures"]) for each in found] == [("stub", 0), ("other", 2)]


async def test_what_is_left_of_the_budgets(services: Services, database: SqlDatabase) -> None:
    class Recorded(StubProvider):
        name = "recorded"

    budget = Budget(per_minute=4, per_day=1000)
    async with database.write() as unit:
        gate, now = await unit.gates.lock("stub")
        for _ in range(3):
            gate = gate.entered(now, budget, timedelta())
        await unit.gates.save(gate)
    providers = Providers(database, [StubProvider(), Recorded()], {"stub": budget, "recorded": None})
    found = (await GraphClient(replace(services, providers=providers))(LEFT))["service"]["providers"]
    assert found[0]["callsLeftThisMinute"] in (1, 2), "one is earned in a quarter of a minute"
    assert found[0]["callsLeftToday"] in (997, 1000), "1000: midnight has passed since"
    assert found[1] == {"name": "recorded", "callsLeftThisMinute": None, "callsLeftToday": None}
