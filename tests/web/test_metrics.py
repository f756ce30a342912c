"""`/metrics`: how things stand, whatever the database does, and what docs/operations.md says of it."""

import logging
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from sqlalchemy import event

from domain.bars import Bar
from domain.errors import NoData, ProviderUnavailable, Trouble
from tests.support.clock import EVENING
from tests.support.figures import told
from tests.support.provider import StubProvider, daily_bar
from tests.support.served import Served, served
from tests.support.universe import track_in

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
REFRESH = 'mutation { refreshSymbol(input: {ticker: "AAPL"}) { __typename } }'
STANDING = {"freshtape_symbols", "freshtape_fresh_share", "freshtape_symbol_age_hours", "freshtape_jobs"}


@pytest.fixture
def provider() -> StubProvider:
    provider = StubProvider("AAPL", "MSFT")
    provider.bars = bars()
    return provider


def bars() -> list[Bar]:
    return [daily_bar("AAPL", EVENING.date() - timedelta(days=1))]


@pytest.fixture
async def service(database_url: str, provider: StubProvider) -> AsyncIterator[Served]:
    await track_in(database_url, "AAPL", "MSFT", "BTC-USD")
    async with served(database_url, lambda *_: provider) as service:
        yield service


async def samples(service: Served) -> list[Sample]:
    answer = await service.http.get("/metrics")
    assert answer.status_code == 200
    return [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]


async def values(service: Served, name: str) -> dict[tuple[str, ...], float]:
    return {tuple(sample.labels.values()): sample.value for sample in await samples(service) if sample.name == name}


async def test_symbols_are_fresh_or_stale(service: Served) -> None:
    assert (await service.ask(REFRESH))["data"]["refreshSymbol"]["__typename"] == "SymbolRefreshed"
    assert await values(service, "freshtape_symbols") == {
        ("STOCK", "fresh"): 1,
        ("STOCK", "stale"): 1,
        ("CRYPTO", "fresh"): 0,
        ("CRYPTO", "stale"): 1,
    }
    assert await values(service, "freshtape_fresh_share") == {("STOCK",): 0.5, ("CRYPTO",): 0}
    assert await values(service, "freshtape_symbol_age_hours") == {("STOCK", "0.5"): 0, ("STOCK", "0.95"): 0}


async def test_jobs_and_loops_and_caches(service: Served) -> None:
    await service.ask('mutation { addSymbol(input: {ticker: "AMD"}) { __typename } }')
    await service.ask('mutation { onboardSymbols(input: {tickers: ["NVDA"]}) { __typename } }')
    jobs = await values(service, "freshtape_jobs")
    assert jobs["onboarding", "pending"] >= 1
    assert {queue for queue, _ in jobs} == {"onboarding", "backfill"}
    assert sum(jobs.values()) == jobs["onboarding", "pending"]
    states = await values(service, "freshtape_loop_state")
    running = {loop for (loop, state), value in states.items() if state == "running" and value == 1}
    assert {"event feed", "lapsed refreshes", "clock watch"} <= running
    assert sum(states.values()) == len(running)
    assert set((await values(service, "freshtape_loop_restarts_total")).values()) == {0}
    assert await values(service, "freshtape_catalogue_symbols") == {(): 3}
    assert 0 <= (await values(service, "freshtape_catalogue_age_seconds"))[()] < 5
    assert (await values(service, "freshtape_calendars"))[()] >= 1
    before = (await values(service, "freshtape_document_cache_hits_total"))[()]
    for _ in range(3):
        await service.ask("{ symbols { totalCount } }")
    assert (await values(service, "freshtape_document_cache_hits_total"))[()] >= before + 2


async def test_a_page_costs_three_statements_however_many_symbols(service: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persistence.event_feed.FRESH_SECONDS", 3600)
    await samples(service)
    sent: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if (
            "GROUP BY" in statement or "provider_gates" in statement or statement.startswith("SELECT symbols")
        ):  # the loops send some of their own
            sent.append(statement)

    event.listen(service.container.engine.sync_engine, "before_cursor_execute", note)
    await samples(service)
    event.remove(service.container.engine.sync_engine, "before_cursor_execute", note)
    assert len(sent) == 3, sent
    told(f"/metrics: {len(sent)} statements")


async def test_without_a_database_it_says_what_it_can(service: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await values(service, "freshtape_database_up") == {(): 1}

    async def refuse(*_: Any) -> Any:
        raise ConnectionRefusedError

    monkeypatch.setattr("persistence.job_store.SqlJobStore.counts", refuse)
    found = {sample.name for sample in await samples(service)}
    assert await values(service, "freshtape_database_up") == {(): 0}
    assert not found & STANDING
    assert {"freshtape_loop_state", "freshtape_catalogue_symbols", "freshtape_http_requests_total"} <= found


# ── the log


async def limited() -> None:
    raise ProviderUnavailable("stub", Trouble.RATE_LIMITED, "says\nno")


async def test_each_refresh_that_changed_something_or_failed_is_one_line(
    service: Served, provider: StubProvider, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="freshtape.refreshing"):
        await service.ask(REFRESH)
        await service.ask(REFRESH)  # nothing has changed
        provider.bars = []
        await service.ask(REFRESH)
        provider.before_answer = limited
        await service.ask(REFRESH)
    lines = [
        re.sub(r" by=api seconds=\d+\.\d{3}$", "", record.getMessage().replace(" bars=1", "")) for record in caplog.records
    ]
    assert lines == [
        "refresh ticker=AAPL outcome=refreshed",
        f'refresh ticker=AAPL outcome=no_data reason="{NoData("AAPL", "stub")}"',
        r'refresh ticker=AAPL outcome=provider_unavailable reason="The provider stub says\nno. Try again in 60 s."',
    ]


# ── what the documentation says


def selectors() -> Iterator[tuple[str, list[str]]]:
    """Every metric that the page names, with the labels that it is asked for by."""
    for name, labels in re.findall(r"\b(freshtape_[a-z_]+)(?:\{([^}]*)\})?", OPERATIONS.read_text()):
        yield name, re.findall(r"(\w+)!?=", labels)


async def test_every_metric_that_the_page_names_is_served(service: Served, provider: StubProvider) -> None:
    await service.ask(REFRESH)
    labels: dict[str, set[str]] = {}
    for sample in await samples(service):
        labels.setdefault(sample.name, set()).update(sample.labels)
    asked = list(selectors())
    assert len({name for name, _ in asked}) >= 12
    for name, by in asked:
        assert name in labels, f"{name} is not served"
        assert set(by) <= labels[name], f"{name} has no such labels"


async def test_the_values_that_alerts_ask_for_exist(service: Served) -> None:
    await service.ask(REFRESH)
    served_values = {(name, value) for sample in await samples(service) for name, value in sample.labels.items()}
    asked = set(re.findall(r'(\w+)="([^"]+)"[,}]', OPERATIONS.read_text()))
    assert asked
    assert asked <= served_values


async def test_the_page_names_the_loops_there_are(service: Served) -> None:
    page = OPERATIONS.read_text()
    for loop in await values(service, "freshtape_loop_restarts_total"):
        assert re.search(rf"^\|[^|]*\b{loop[0]}\b[^|]*\|", page, re.MULTILINE), loop
