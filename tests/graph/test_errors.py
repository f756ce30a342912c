"""What goes wrong: a fault is hidden from the client under an id that the log has, a refusal is told with its code."""

import logging
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from domain.errors import ClockReplaced, CursorExpired, InvalidArgument, ProviderUnavailable, Refusal, SlowSubscriber
from domain.events import LoggedChange, Position, SymbolChanged, SymbolChangeKind
from domain.services.refreshing import Refreshing
from domain.services.symbols import Symbols
from domain.symbols import Symbol
from graph.context import Services
from graph.execution import NotExecutable
from persistence.engine import Engine
from persistence.tables import event_log
from persistence.unit_of_work import SqlDatabase
from tests.support.client import GraphClient
from tests.support.clock import EVENING
from tests.support.provider import StubProvider, profile
from tests.support.universe import track

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
pytestmark = on_sqlite

SECRET = "password=hush"
CHANGED = "subscription { symbolChanged { kind } }"
REFRESH = 'mutation { refreshSymbol(input: {ticker: "AAPL"}) { __typename } }'


def raising(error: Exception) -> Callable[..., Any]:
    async def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


class BrokenFeed:
    """Tells that these were added, then fails."""

    def __init__(self, error: Exception, *tickers: str) -> None:
        self._error, self._tickers = error, tickers

    async def follow(self, after: Position | None) -> AsyncGenerator[LoggedChange, None]:
        for number, ticker in enumerate(self._tickers, 1):
            event = SymbolChanged(SymbolChangeKind.ADDED, ticker, EVENING)
            yield LoggedChange(Position("log", number), event, Symbol.tracked(profile(ticker), None, None))
        raise self._error


def fault(caplog: pytest.LogCaptureFixture, error: Any) -> None:
    """Asserts that the error tells nothing but an id, and that the log has the whole story under it, once."""
    assert set(error.extensions) == {"code", "id"}
    number = error.extensions["id"]
    assert error.extensions["code"] == "FAULT"
    assert error.message == f"Something went wrong here. The service's log has it under {number}."
    (record,) = [record for record in caplog.records if number in record.getMessage()]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert SECRET in str(record.exc_info[1])
    assert record.exc_info[2] is not None, "no traceback"


async def test_a_fault_in_a_query_is_hidden_and_logged_once(
    graph: GraphClient, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await track(database, "AAPL")
    monkeypatch.setattr(Symbols, "levels", raising(RuntimeError(SECRET)))
    result = await graph.raw('{ service { name } symbol(ticker: "AAPL") { ticker levels { price } } }')
    assert result.data == {"service": {"name": "Freshtape"}, "symbol": None}
    (error,) = result.errors
    assert error.path == ["symbol", "levels"]
    fault(caplog, error)
    assert len(caplog.records) == 1
    assert SECRET not in str(error.formatted)


async def test_every_fault_has_an_id_of_its_own(
    graph: GraphClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Symbols, "get", raising(ValueError(SECRET)))
    errors: Any = (await graph.raw('{ a: symbol(ticker: "AAPL") { id } b: symbol(ticker: "AAPL") { id } }')).errors
    assert len({error.extensions["id"] for error in errors}) == len(caplog.records) == 2
    for error in errors:
        fault(caplog, error)


async def test_a_fault_in_a_mutation_is_hidden_and_logged_once(
    graph: GraphClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Refreshing, "refresh", raising(KeyError(SECRET)))
    result = await graph.raw(REFRESH)
    assert result.data is None
    fault(caplog, *result.errors)
    assert len(caplog.records) == 1


async def test_a_provider_that_breaks_is_a_fault_and_releases_the_symbol(
    graph: GraphClient, database: SqlDatabase, provider: StubProvider, caplog: pytest.LogCaptureFixture
) -> None:
    await track(database, "AAPL")
    provider.before_answer = raising(RuntimeError(SECRET))
    fault(caplog, *(await graph.raw(REFRESH)).errors)
    found = (await graph('{ symbol(ticker: "AAPL") { version refresh { startedAt } } }'))["symbol"]
    assert found == {"version": 1, "refresh": None}
    provider.before_answer = None
    assert (await graph.refresh("AAPL"))["__typename"] == "SymbolRefreshed"


@pytest.mark.parametrize("tickers", [(), ("AAPL", "MSFT")])
async def test_a_fault_in_a_subscription_is_hidden_logged_once_and_ends_it(
    services: Services, caplog: pytest.LogCaptureFixture, tickers: tuple[str, ...]
) -> None:
    graph = GraphClient(replace(services, feed=BrokenFeed(RuntimeError(SECRET), *tickers)))
    results = [result async for result in graph.follow(CHANGED)]
    assert [result.data for result in results] == [*({"symbolChanged": {"kind": "ADDED"}} for _ in tickers), None]
    (error,) = results[-1].errors
    fault(caplog, error)
    assert len(caplog.records) == 1
    assert SECRET not in str(error.formatted)


async def test_a_fault_while_an_event_is_read_is_hidden(
    services: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    graph = GraphClient(replace(services, feed=BrokenFeed(CursorExpired(), "AAPL")))
    monkeypatch.setattr(Symbols, "levels", raising(RuntimeError(SECRET)))
    query = "subscription { symbolChanged { kind symbol { levels { price } } } }"
    event, end = [result async for result in graph.follow(query)]
    fault(caplog, *event.errors)
    assert len(caplog.records) == 1
    assert end.errors[0].extensions == {"code": "CURSOR_EXPIRED"}


REFUSALS = [
    (InvalidArgument("first", "from 1 to 1,000", 0), "BAD_USER_INPUT"),
    (ProviderUnavailable("stub"), "PROVIDER_UNAVAILABLE"),
    (CursorExpired(), "CURSOR_EXPIRED"),
    (SlowSubscriber(2000), "SLOW_SUBSCRIBER"),
    (ClockReplaced(), "CLOCK_REPLACED"),
]


@pytest.mark.parametrize(("refusal", "code"), REFUSALS, ids=lambda value: value if isinstance(value, str) else "")
async def test_a_refusal_keeps_its_sentence_and_gets_its_code(
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    refusal: Refusal,
    code: str,
) -> None:
    graph = GraphClient(replace(services, feed=BrokenFeed(refusal)))
    monkeypatch.setattr(Symbols, "page", raising(refusal))
    (result,) = [result async for result in graph.follow(CHANGED)]
    for error in (*(await graph.raw("{ symbols { totalCount } }")).errors, *result.errors):
        assert error.message == refusal.message
        assert error.extensions == {"code": code}
    assert caplog.records == []


async def test_a_process_on_a_replaced_clock_refuses_to_write(graph: GraphClient, engine: Engine) -> None:
    async with engine.write() as connection:
        await connection.execute(update(event_log).values(clock_generation=event_log.c.clock_generation + 1))
    code, message = await graph.refused('mutation { addSymbol(input: {ticker: "AAPL"}) { __typename } }')
    assert code == "CLOCK_REPLACED"
    assert "start this one again" in message
    assert (await graph("{ symbols { totalCount } }"))["symbols"]["totalCount"] == 0


async def test_what_graphql_says_of_an_operation_is_kept_and_not_logged(
    graph: GraphClient, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(NotExecutable) as refused:
        await anext(graph.follow("subscription { nope }"))
    for query in ("{ symbols", "{ nope }", "query($f: Int!) { symbols(first: $f) { totalCount } }"):
        (error,) = (await graph.raw(query)).errors
        assert re.search(r"Syntax Error|Cannot query field 'nope'|Variable '\$f'", error.message)
        assert error.locations
    assert "Cannot query field 'nope'" in refused.value.answer.errors[0].message
    assert caplog.records == []
