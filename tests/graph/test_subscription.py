"""Changes as they are pushed: over a real WebSocket, on both databases, none lost and none twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from websockets.exceptions import ConnectionClosed

from domain.errors import ProviderUnavailable
from domain.events import Position, SymbolChanged, SymbolChangeKind
from domain.tickers import AssetClass
from graph.scalars import read_position, write_position
from persistence.tables import events as events_table
from tests.support.clock import EVENING
from tests.support.provider import StubProvider, profile
from tests.support.served import Served, Socket, served
from tests.support.universe import track

CHANGED = """
subscription($tickers: [String!], $after: Cursor) {
  symbolChanged(tickers: $tickers, after: $after) { cursor at kind detail symbol { ticker version status name } }
}"""
READ = "{ symbols { cursor nodes { ticker version name refresh { startedBy } levels { price } } } }"
ADD = "mutation($input: AddSymbolInput!) { addSymbol(input: $input) { __typename } }"
REMOVE = "mutation($input: RemoveSymbolInput!) { removeSymbol(input: $input) { __typename } }"
REFRESH = "mutation($input: RefreshSymbolInput!) { refreshSymbol(input: $input) { __typename } }"


@pytest.fixture
def provider() -> StubProvider:
    stub = StubProvider("AAPL", "MSFT", "BRK-B")
    stub.profiles["BTC-USD"] = profile("BTC-USD", AssetClass.CRYPTO)
    return stub


@pytest.fixture
async def service(database_url: str, provider: StubProvider) -> AsyncIterator[Served]:
    async with served(database_url, lambda *_: provider) as service:
        yield service


async def change(service: Served, mutation: str, ticker: str, **values: Any) -> str:
    """Does it; gives the name of the answer's type."""
    (answer,) = (await service.ask(mutation, input={"ticker": ticker, **values}))["data"].values()
    return str(answer["__typename"])


async def rename(service: Served, ticker: str, version: int) -> None:
    assert await change(service, ADD, ticker, name=f"Version {version + 1}", expectedVersion=version) == "SymbolAdded"


async def changes(socket: Socket, number: str, count: int) -> list[dict[str, Any]]:
    received = []
    for _ in range(count):
        payload = await socket.next(number)
        assert "errors" not in payload, payload
        received.append(payload["data"]["symbolChanged"])
    return received


async def cursor_of(service: Served) -> str:
    return str((await service.ask(READ))["data"]["symbols"]["cursor"])


def numbers(received: list[dict[str, Any]]) -> list[int]:
    """The places in the log: opaque to clients, and here to show that none is missing."""
    return [read_position(change["cursor"]).number for change in received]


async def append(service: Served, *kinds: SymbolChangeKind) -> None:
    for kind in kinds:
        async with service.container.database.write() as unit:
            await unit.events.append(SymbolChanged(kind, "AAPL", EVENING, "on purpose"))


async def test_what_is_done_is_pushed_in_order(service: Served, provider: StubProvider) -> None:
    async def out() -> None:
        raise ProviderUnavailable("stub")

    async with service.socket() as socket:
        number = await socket.start(CHANGED, after=await cursor_of(service))
        await change(service, ADD, "AAPL")
        await rename(service, "AAPL", 1)
        await service.container.pipeline.work_off()
        await change(service, REFRESH, "AAPL")
        provider.before_answer = out
        await change(service, REFRESH, "AAPL")
        await change(service, REMOVE, "AAPL", expectedVersion=4)
        await change(service, ADD, "AAPL", expectedVersion=5)
        received = await changes(socket, number, 10)
    assert [change["kind"] for change in received] == [
        "ADDED",
        "UPDATED",
        "UPDATED",
        "STATUS_CHANGED",
        "REFRESH_STARTED",
        "REFRESHED",
        "REFRESH_STARTED",
        "REFRESH_FAILED",
        "REMOVED",
        "ADDED",
    ]
    # Between them lie the steps of the onboarding: queued, taken up, a phase after the other.
    assert numbers(received) == [1, 3, 7, 10, *range(12, 18)]
    assert [change["detail"] for change in received] == [*[None] * 7, "The provider stub did not answer.", None, None]
    assert received[-1]["symbol"] == {"ticker": "AAPL", "version": 6, "status": "ONBOARDING", "name": "Version 2"}
    assert all(change["at"].startswith("2026-03-27T20:3") and change["at"].endswith("+00:00") for change in received)


async def test_every_kind_of_change_is_pushed(service: Served) -> None:
    await track(service.container.database, "AAPL")
    async with service.socket() as socket:
        number = await socket.start(CHANGED, after=await cursor_of(service))
        await append(service, *SymbolChangeKind)
        received = await changes(socket, number, len(SymbolChangeKind))
    assert [change["kind"] for change in received] == [kind.name for kind in SymbolChangeKind]
    assert {(change["at"], change["detail"]) for change in received} == {(EVENING.isoformat(), "on purpose")}


async def test_without_a_cursor_only_what_comes_is_pushed(service: Served) -> None:
    await track(service.container.database, "AAPL")
    async with service.socket() as socket:
        number = await socket.start(CHANGED)
        # Nothing tells when it listens: changes go on until one arrives.
        receiving = asyncio.create_task(changes(socket, number, 1))
        version = 1
        while not receiving.done():
            await rename(service, "AAPL", version)
            version += 1
            await asyncio.wait({receiving}, timeout=0.2)
    (received,) = receiving.result()
    assert (received["kind"], received["symbol"]["ticker"]) == ("UPDATED", "AAPL")


async def test_a_read_and_a_subscription_from_its_cursor_miss_nothing(service: Served) -> None:
    """The reads and the subscriptions fall anywhere between the changes."""
    await track(service.container.database, "AAPL")
    last = 15

    async def change_on() -> None:
        for version in range(1, last):
            await rename(service, "AAPL", version)

    async def follow() -> None:
        async with service.socket() as socket:
            symbols = (await socket.ask(READ))["data"]["symbols"]
            number = await socket.start(CHANGED, after=symbols["cursor"])
            seen = symbols["nodes"][0]["version"]
            received: list[dict[str, Any]] = []
            while seen < last:
                received += await changes(socket, number, 1)
                seen = received[-1]["symbol"]["version"]
            first = numbers(received)[0] if received else last
            assert numbers(received) == list(range(first, first + len(received)))
            # One that was under way during the read is told again: never left out.
            assert first <= symbols["nodes"][0]["version"] + 1

    changing = asyncio.create_task(change_on())
    following = []
    while not changing.done():
        following.append(asyncio.create_task(follow()))
        await asyncio.wait({changing}, timeout=0.05)
    await asyncio.gather(changing, *following)


async def test_a_cursor_goes_on_over_a_restart_without_a_gap(database_url: str, provider: StubProvider) -> None:
    async with served(database_url, lambda *_: provider) as service:
        await track(service.container.database, "AAPL")
        async with service.socket() as socket:
            number = await socket.start(CHANGED, after=await cursor_of(service))
            await append(service, *SymbolChangeKind)
            before = await changes(socket, number, 4)
            cursor = before[-1]["cursor"]
    async with served(database_url, lambda *_: provider) as service:
        await rename(service, "AAPL", 1)
        async with service.socket() as socket:
            number = await socket.start(CHANGED, after=cursor)
            after = await changes(socket, number, len(SymbolChangeKind) - 4 + 1)
            await rename(service, "AAPL", 2)
            after += await changes(socket, number, 1)
    assert numbers(before + after) == list(range(2, 2 + len(SymbolChangeKind) + 2))
    assert after[-1]["symbol"]["version"] == 3


async def test_a_client_is_told_when_the_server_goes(database_url: str, provider: StubProvider) -> None:
    async with served(database_url, lambda *_: provider) as service:
        opened = service.socket()
        socket = await opened.__aenter__()
        await socket.start(CHANGED)
    with pytest.raises(ConnectionClosed) as closed:
        await socket.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    await opened.__aexit__(None, None, None)


async def test_a_cursor_that_cannot_be_resumed_ends_the_stream_with_its_code(service: Served) -> None:
    await track(service.container.database, "AAPL")
    first = await cursor_of(service)
    log_id = read_position(first).log_id
    for version in (1, 2, 3):
        await rename(service, "AAPL", version)
    database = service.container.database
    async with service.container.engine.write() as connection:
        await connection.execute(
            update(events_table).where(events_table.c.number <= 3).values(recorded_at=EVENING - timedelta(days=4000))
        )
    async with database.write() as unit:
        assert await unit.events.prune(7) == 3
    wrong = {
        "is older than what is retained": first,
        "lies beyond the end of the event log": write_position(Position(log_id, 5)),
        "belongs to another event log": write_position(Position("another", 1)),
    }
    async with service.socket() as socket:
        for reason, cursor in wrong.items():
            number = await socket.start(CHANGED, after=cursor)
            payload = await socket.next(number)
            assert payload["data"] is None
            (error,) = payload["errors"]
            assert error["extensions"] == {"code": "CURSOR_EXPIRED"}
            assert error["message"] == f"The cursor {reason}; read the present state again and go on from its cursor."
            assert await socket.receive() == {"id": number, "type": "complete"}
        # The socket goes on, and the newest pruned position is still a good one: nothing behind it has gone.
        number = await socket.start(CHANGED, after=write_position(Position(log_id, 3)))
        assert numbers(await changes(socket, number, 1)) == [4]


async def test_what_was_never_a_cursor_or_a_ticker_is_refused(service: Served) -> None:
    async with service.socket() as socket:
        number = await socket.start(CHANGED, after="nonsense")
        frame = await socket.receive()
        assert (frame["id"], frame["type"]) == (number, "error")
        assert frame["payload"][0]["message"].endswith("'nonsense' is not a cursor of this service.")
        assert frame["payload"][0]["extensions"] == {"code": "BAD_USER_INPUT"}
        number = await socket.start(CHANGED, tickers=["AAPL", "a?b"])
        payload = await socket.next(number)
        assert payload["errors"][0]["extensions"] == {"code": "INVALID_TICKER"}
        assert await socket.receive() == {"id": number, "type": "complete"}


async def test_only_the_tickers_asked_for_are_pushed(service: Served) -> None:
    async with service.socket() as socket:
        cursor = await cursor_of(service)
        pairs = await socket.start(CHANGED, tickers=[" btcusd ", "brk.b"], after=cursor)
        await track(service.container.database, "AAPL", "BTC-USD", "MSFT", "BRK-B")
        received = await changes(socket, pairs, 2)
        assert [change["symbol"]["ticker"] for change in received] == ["BTC-USD", "BRK-B"]
        await socket.send(id=pairs, type="complete")
        every = await socket.start(CHANGED, tickers=None, after=cursor)
        assert len(await changes(socket, every, 4)) == 4
        await socket.start(CHANGED, tickers=[], after=cursor)
        await rename(service, "AAPL", 1)
        assert (await changes(socket, every, 1))[0]["kind"] == "UPDATED"
        await socket.ask("{ __typename }")  # fails on any other frame


async def test_a_stream_that_is_completed_falls_silent_and_its_id_is_free(service: Served) -> None:
    await track(service.container.database, "AAPL")
    async with service.socket() as socket:
        cursor = await cursor_of(service)
        number = await socket.start(CHANGED, after=cursor)
        await rename(service, "AAPL", 1)
        await changes(socket, number, 1)
        await socket.send(id=number, type="complete")
        assert (await socket.ask(READ))["data"]["symbols"]["nodes"][0]["version"] == 2
        await rename(service, "AAPL", 2)
        await socket.send(id=number, type="subscribe", payload={"query": CHANGED, "variables": {"after": cursor}})
        assert len(await changes(socket, number, 2)) == 2


async def test_each_operation_on_a_socket_reads_afresh(service: Served) -> None:
    await track(service.container.database, "AAPL")
    async with service.socket() as socket:
        (first,) = (await socket.ask(READ))["data"]["symbols"]["nodes"]
        assert (first["version"], first["levels"], first["refresh"]) == (1, [], None)
        await change(service, REFRESH, "AAPL")
        (second,) = (await socket.ask(READ))["data"]["symbols"]["nodes"]
        assert second["version"] == 2
        assert second["levels"]
        nows = [(await socket.ask("{ service { now } }"))["data"]["service"]["now"] for _ in range(2)]
        assert nows[0] < nows[1]


async def test_each_event_reads_afresh(service: Served) -> None:
    """The levels of a symbol are loaded through loaders, which remember."""
    await track(service.container.database, "AAPL")
    async with service.socket() as socket:
        query = "subscription($after: Cursor) { symbolChanged(after: $after) { kind symbol { levels { price } } } }"
        number = await socket.start(query, after=await cursor_of(service))
        await append(service, SymbolChangeKind.UPDATED)
        assert (await changes(socket, number, 1))[0]["symbol"]["levels"] == []
        await change(service, REFRESH, "AAPL")
        started, refreshed = await changes(socket, number, 2)
        assert (started["kind"], refreshed["kind"]) == ("REFRESH_STARTED", "REFRESHED")
        assert refreshed["symbol"]["levels"]
