"""The service on a real socket: what HTTP and WebSocket clients get, frame by frame and byte by byte."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy.engine import make_url
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from domain.errors import StoreUnavailable
from domain.services.symbols import Symbols
from graph.execution import Answer
from tests.conftest import TEMPLATE
from tests.support import postgres
from tests.support.process import until
from tests.support.provider import StubProvider
from tests.support.served import PROTOCOL, Served, served
from web.endpoint.encoding import encode

SECRET = "password=hush"
ADD = "mutation($input: AddSymbolInput!) { addSymbol(input: $input) { __typename ... on SymbolAdded { symbol { name } } } }"
REMOVE = """
mutation($v: Int!) {
  removeSymbol(input: {ticker: "AAPL", expectedVersion: $v}) { ... on VersionConflict { expectedVersion } }
}"""


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, lambda *_: StubProvider("AAPL")) as service:
        yield service


def raising(error: Exception) -> Callable[..., Any]:
    async def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


# ── answers


async def test_text_of_every_script_comes_back_as_it_went(service: Served) -> None:
    name = 'Ærø ”Ω” 証券 \U0001f680 \\ " \n \u2028 </script>'
    answer = await service.http.post("/graphql", json={"query": ADD, "variables": {"input": {"ticker": "AAPL", "name": name}}})
    assert answer.json() == {"data": {"addSymbol": {"__typename": "SymbolAdded", "symbol": {"name": name}}}}
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert "証券".encode() in answer.content
    async with service.socket() as socket:
        found = await socket.ask('{ symbol(ticker: "AAPL") { name } }')
        assert found["data"] == {"symbol": {"name": name}}


async def test_numbers_are_whole(service: Served) -> None:
    await service.ask(ADD, input={"ticker": "AAPL"})
    for number in (2**31 - 1, -(2**31)):
        assert (await service.ask(REMOVE, v=number))["data"]["removeSymbol"] == {"expectedVersion": number}
    for number in (2**31, 2**63, 2**70, 10**40):
        (error,) = (await service.ask(REMOVE, v=number))["errors"]
        assert str(number) in error["message"]


def test_a_number_beyond_64_bits_is_encoded_too() -> None:
    assert json.loads(encode(Answer({"many": 2**63, "most": 10**40}, []))) == {"data": {"many": 2**63, "most": 10**40}}


async def test_a_fault_is_hidden_over_both(
    service: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Symbols, "get", raising(RuntimeError(SECRET)))
    query = '{ symbol(ticker: "AAPL") { id } }'
    async with service.socket() as socket:
        for answer in (await service.ask(query), await socket.ask(query)):
            assert answer["data"] == {"symbol": None}
            (error,) = answer["errors"]
            assert SECRET not in str(answer)
            number = error["extensions"]["id"]
            assert len([record for record in caplog.records if number in record.getMessage()]) == 1


async def test_a_fault_outside_of_resolvers_is_hidden_over_both(
    service: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with service.socket() as socket:
        followed = await socket.start("subscription { symbolChanged { kind } }")
        assert (await socket.ask("{ __typename }"))["data"]
        with monkeypatch.context() as patched:
            patched.setattr("graph.execution.check_operation", Mock(side_effect=RuntimeError(SECRET)))
            answer = await service.http.post("/graphql", json={"query": "{ __typename }"})
            number = await socket.start("{ __typename }")
            frame = await socket.receive()
        assert (answer.status_code, frame["id"], frame["type"]) == (500, number, "error")
        for error in (*answer.json()["errors"], *frame["payload"]):
            assert SECRET not in str(error)
            assert len([record for record in caplog.records if error["extensions"]["id"] in record.getMessage()]) == 1
        await service.ask(ADD, input={"ticker": "AAPL"})
        assert (await socket.next(followed))["data"] == {"symbolChanged": {"kind": "ADDED"}}


async def test_a_get_reads_and_never_writes(service: Served) -> None:
    read = await service.http.get("/graphql", params={"query": "{ __typename }"})
    assert read.json() == {"data": {"__typename": "Query"}}
    write = await service.http.get(
        "/graphql", params={"query": 'mutation { addSymbol(input: {ticker: "AAPL"}) { __typename } }'}
    )
    assert (write.status_code, write.headers["allow"]) == (405, "POST")
    assert (await service.ask("{ symbols { totalCount } }"))["data"]["symbols"]["totalCount"] == 0


# ── the WebSocket


@pytest.mark.parametrize("offered", [["graphql-ws"], ["nonsense"], None])
async def test_no_other_protocol_is_spoken(service: Served, offered: Any) -> None:
    async with connect(service.url.replace("http", "ws") + "/graphql", subprotocols=offered, proxy=None) as connection:
        assert connection.subprotocol is None
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4406, "Subprotocol not acceptable")


async def test_the_newer_protocol_is_chosen(service: Served) -> None:
    offered: Any = ["graphql-ws", PROTOCOL]
    async with connect(service.url.replace("http", "ws") + "/graphql", subprotocols=offered, proxy=None) as connection:
        assert connection.subprotocol == PROTOCOL


async def test_an_operation_is_next_then_complete_or_error(service: Served) -> None:
    async with service.socket() as socket:
        number = await socket.start("{ __typename }")
        assert await socket.receive() == {"id": number, "type": "next", "payload": {"data": {"__typename": "Query"}}}
        assert await socket.receive() == {"id": number, "type": "complete"}
        number = await socket.start("{ nope }")
        refused = await socket.receive()
        assert (refused["id"], refused["type"]) == (number, "error")
        assert refused["payload"][0]["message"].startswith("Cannot query field 'nope' on type 'Query'.")
        added = await socket.ask(ADD, input={"ticker": "AAPL"})
        assert added["data"]["addSymbol"]["__typename"] == "SymbolAdded"
        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}


async def test_operations_on_one_socket_do_not_wait_for_each_other(service: Served) -> None:
    await service.ask(ADD, input={"ticker": "AAPL"})
    async with service.socket() as socket:
        followed = await socket.start("subscription { symbolChanged { kind } }")
        for _ in range(3):
            assert (await socket.ask("{ __typename }"))["data"] == {"__typename": "Query"}
        number = await socket.start("{ __typename }")
        frames = [await socket.receive() for _ in range(2)]
        assert [frame["id"] for frame in frames] == [number, number] != [followed] * 2


async def test_a_socket_that_has_not_greeted_gets_nothing(service: Served) -> None:
    address, protocols = service.url.replace("http", "ws") + "/graphql", [PROTOCOL]
    async with connect(address, subprotocols=protocols, proxy=None) as connection:
        await connection.send('{"id": "1", "type": "subscribe", "payload": {"query": "{ __typename }"}}')
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


# ── readiness

READY = {"status": "ready", "unwell": []}
UNAVAILABLE = {"status": "unavailable", "reason": "the database does not answer"}


def without_loops(body: dict[str, Any]) -> dict[str, Any]:
    """Which of the loops have noticed already is a matter of the moment."""
    return {key: value for key, value in body.items() if key != "unwell"}


class Vanishing:
    """A database that can be taken away from under the service, and given back."""

    def __init__(self, url: str, server: Any) -> None:
        self.url, self._server = url, server

    async def go(self) -> None:
        if self._server is not None:
            await postgres.execute(self._server, f"DROP DATABASE {make_url(self.url).database} WITH (FORCE)")
        else:
            self._path.rename(self._path.with_suffix(".gone"))
            self._path.mkdir()

    async def come_back(self) -> None:
        if self._server is not None:
            await postgres.execute(self._server, f"CREATE DATABASE {make_url(self.url).database} TEMPLATE {TEMPLATE}")
        else:
            self._path.rmdir()
            self._path.with_suffix(".gone").rename(self._path)

    @property
    def _path(self) -> Path:
        return Path(str(make_url(self.url).database))


@pytest.fixture
def vanishing(database_url: str, request: pytest.FixtureRequest) -> Vanishing:
    is_file = make_url(database_url).get_backend_name() == "sqlite"
    return Vanishing(database_url, None if is_file else request.getfixturevalue("postgres_server"))


async def test_ready_while_the_database_answers(vanishing: Vanishing) -> None:
    # Without a clock: what comes back has none, and a service on another one would end.
    async with served(vanishing.url, lambda *_: StubProvider("AAPL"), clock=None) as service:
        ready = await service.http.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, READY)
        await vanishing.go()
        # An open file outlives its name: SQLite notices with its next connection.
        await service.container.engine.close()
        try:
            gone = await service.http.get("/readyz")
            assert gone.status_code == 503
            assert without_loops(gone.json()) == UNAVAILABLE
            await until(lambda: refuses(service), 5)  # for a second, what is held is good enough
            answer = await service.http.post("/graphql", json={"query": "{ symbols { totalCount } }"})
            (error,) = answer.json()["errors"]
            assert (error["message"], error["extensions"]) == (
                "The database does not answer; try again in a moment.",
                {"code": "DATABASE_UNAVAILABLE"},
            )
            assert "Traceback" not in answer.text
            assert "sqlite" not in answer.text.lower()
        finally:
            await vanishing.come_back()
        await until(lambda: is_ready(service), 5)  # the feed's own look may have failed just now, for all who waited for it
        assert not await refuses(service)


async def refuses(service: Served) -> bool:
    return "errors" in await service.ask("{ symbols { totalCount } }")


async def is_ready(service: Served) -> bool:
    return (await service.http.get("/readyz")).status_code == 200


async def hang(*_: Any) -> None:
    await asyncio.sleep(60)


@pytest.mark.parametrize("trouble", [hang, raising(ConnectionRefusedError(SECRET))])
async def test_not_ready_while_nobody_answers(service: Served, monkeypatch: pytest.MonkeyPatch, trouble: Any) -> None:
    monkeypatch.setattr("web.health.READY_SECONDS", 0.1)
    monkeypatch.setattr("persistence.event_log.SqlEventLog.after", trouble)
    answer = await service.http.get("/readyz")
    assert (answer.status_code, without_loops(answer.json())) == (503, UNAVAILABLE)


async def test_not_ready_until_the_symbols_are_in_memory(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database answers all the while."""
    with monkeypatch.context() as patched:
        patched.setattr("persistence.symbol_store.SqlSymbolStore.all", raising(StoreUnavailable()))
        async with served(sqlite_url, lambda *_: StubProvider("AAPL")) as service:
            assert (await service.http.get("/readyz")).status_code == 503
            assert (await service.http.get("/healthz")).status_code == 200
            patched.undo()
            assert (await service.http.get("/readyz")).status_code == 200
            assert (await service.ask("{ symbols { totalCount } }"))["data"]["symbols"]["totalCount"] == 0


LOOPS = "{ service { loops { name state restarts lastError } } }"
ON_SQLITE = [
    "event feed", "lapsed refreshes", "due splits", "statistics", "clock watch", "retention", "session", "session bars"
]  # fmt: skip
WORKING = ["onboarding", "onboarding news", "backfill", "backfill news", "session leader", "session news", "schedule"]


async def shown(service: Served) -> dict[str, Any]:
    return {loop["name"]: loop for loop in (await service.ask(LOOPS))["data"]["service"]["loops"]}


async def test_readiness_names_the_loop_that_is_unwell_and_readers_are_served(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.loops.FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr("domain.loops.STEADY_SECONDS", 0.5)
    monkeypatch.setattr("web.container.PATIENT_WAIT_SECONDS", 0.2)
    with monkeypatch.context() as patched:
        patched.setattr("domain.services.refreshing.Refreshing.apply_due_splits", raising(RuntimeError(SECRET)))
        async with served(sqlite_url, lambda *_: StubProvider("AAPL"), works=True) as service:
            failed = {"name": "due splits", "state": "FAILED", "lastError": "RuntimeError, see the log."}
            await until(lambda: says(service, {"status": "degraded", "unwell": [failed]}), 10)
            assert (await service.http.get("/readyz")).status_code == 200
            assert (await service.ask("{ symbols { totalCount } }"))["data"]["symbols"]["totalCount"] == 0
            found = await shown(service)
            assert list(found) == ON_SQLITE + WORKING
            assert {name for name, loop in found.items() if loop["state"] != "RUNNING"} == {"due splits"}
            assert found["due splits"]["restarts"] >= 4
            patched.undo()
            await until(lambda: says(service, READY), 10)
            assert (await shown(service))["due splits"]["lastError"] == "RuntimeError, see the log."


async def says(service: Served, expected: dict[str, Any]) -> bool:
    return bool((await service.http.get("/readyz")).json() == expected)
