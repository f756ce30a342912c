"""What `/metrics` says of the providers: their circuits, what is left of their budgets, and the falls from one to the next."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest

from domain.bars import History, Interval
from domain.clock import Clock
from domain.errors import ProviderUnavailable, StoreUnavailable, Trouble
from domain.symbols import Symbol
from persistence.provider_gates import SqlProviderGates
from tests.support.provider import StubProvider
from tests.support.served import Served, served
from web.settings import Settings

BUDGETS: dict[str, Any] = {"provider_calls_per_minute": 50, "provider_calls_per_day": 500}
OURS = r"^freshtape_provider_((?:circuit|budget_left|fallthroughs_total)\{.*?\}) (\S+)$"


class Named(StubProvider):
    def __init__(self, name: str) -> None:
        super().__init__("AAPL")
        self.name = name
        if name == "first":
            self.before_answer_on = self._refuse

    async def _refuse(self, ticker: str) -> None:
        raise ProviderUnavailable(self.name, Trouble.RATE_LIMITED, "was asked too often", 300)


def named(name: str, settings: Settings, clock: Clock) -> StubProvider:
    return Named(name)


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url, named, providers=("first", "second"), clock=None, **BUDGETS) as service:
        yield service


async def series(service: Served) -> dict[str, float]:
    """Of the providers: what stands behind freshtape_provider_, without what their calls took."""
    answer = await service.http.get("/metrics")
    assert answer.status_code == 200
    found = re.findall(OURS, answer.text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def state_of(found: dict[str, float], provider: str) -> list[str]:
    return [state for state in ("closed", "open", "half_open") if found[f'circuit{{provider="{provider}",state="{state}"}}']]


async def test_circuits_budgets_and_falls(service: Served) -> None:
    before = await series(service)
    assert {name: value for name, value in before.items() if name.startswith("budget")} == {
        f'budget_left{{provider="{provider}",window="{window}"}}': left
        for provider in ("first", "second")
        for window, left in (("minute", 50), ("day", 500))
    }
    assert (state_of(before, "first"), state_of(before, "second")) == (["closed"], ["closed"])
    await service.container.services.symbols.add("AAPL", None, None, None)
    after = await series(service)
    assert after['budget_left{provider="second",window="day"}'] == 499
    assert (state_of(after, "first"), state_of(after, "second")) == (["open"], ["closed"])
    assert after['fallthroughs_total{from="first",reason="rate_limited",to="second"}'] == 1
    assert after['budget_left{provider="first",window="day"}'] == 499
    for provider in ("first", "second"):
        assert after[f'budget_left{{provider="{provider}",window="minute"}}'] in (49, 50), "50: one has been earned"


async def test_while_the_database_does_not_answer_nothing_is_claimed(service: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(SqlProviderGates, "read", fail)
        assert await series(service) == {}
    assert await series(service)


async def test_bars_that_cannot_be_are_counted(database_url: str) -> None:
    class Sloppy(StubProvider):
        async def history(self, symbol: Symbol, interval: Interval, start: date, until: datetime) -> History:
            return replace(await super().history(symbol, interval, start, until), refused=3)

    async with served(database_url, lambda *_: Sloppy("AAPL")) as service:
        await service.container.services.symbols.add("AAPL", None, None, None)
        await service.container.pipeline.work_off()
        page = (await service.http.get("/metrics")).text
    assert re.findall(r"^freshtape_bars_refused_total(.*)$", page, re.MULTILINE) == ['{provider="stub"} 3.0']
