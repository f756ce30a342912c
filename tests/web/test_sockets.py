"""graphql-transport-ws on a real socket: its limits, its close codes, and that one operation never harms another."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect

from domain.services.symbols import Symbols
from tests.support.process import until
from tests.support.provider import StubProvider
from tests.support.served import PROTOCOL, Served, Socket, served

CHANGED = "subscription { symbolChanged { kind symbol { ticker } } }"
ADD = "mutation($input: AddSymbolInput!) { addSymbol(input: $input) { __typename } }"


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, lambda *_: StubProvider("AAPL", "MSFT"), connection_init_seconds=0.5) as service:
        yield service


async def closed(socket: Socket) -> tuple[int, str]:
    async with asyncio.timeout(10):
        await socket.connection.wait_closed()
    return socket.connection.close_code or 0, socket.connection.close_reason or ""


# ── greetings


async def test_who_does_not_greet_is_let_go(service: Served) -> None:
    async with connect(f"ws{service.url[4:]}/graphql", subprotocols=[PROTOCOL], proxy=None) as connection:
        socket = Socket(connection)
        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}
        started = asyncio.get_running_loop().time()
        assert await closed(socket) == (4408, "Connection initialisation timeout: nothing came within 0.5 s")
        assert asyncio.get_running_loop().time() - started < 5


async def test_who_has_greeted_may_be_silent(service: Served) -> None:
    async with service.socket() as socket:
        await asyncio.sleep(1)
        assert (await socket.ask("{ __typename }"))["data"]


async def test_who_greets_twice_is_let_go(service: Served) -> None:
    async with service.socket() as socket:
        await socket.send(type="connection_init", payload={})
        assert await closed(socket) == (4429, "Too many initialisation requests")


# ── operations


WRONG = ["{ nope }", "{", "{ symbols(first: 0) { totalCount } }", "query A { __typename } query B { __typename }"]


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_bad_operation_leaves_the_others_alone(service: Served, wrong: str) -> None:
    async with service.socket() as socket:
        followed = await socket.start(CHANGED)
        assert (await socket.ask("{ __typename }"))["data"]
        number = await socket.start(wrong)
        refused = await socket.receive()
        assert (refused["id"], refused["type"]) == (number, "error")
        assert refused["payload"][0]["message"]
        await service.ask(ADD, input={"ticker": "AAPL"})
        assert (await socket.next(followed))["data"]["symbolChanged"]["kind"] == "ADDED"
        await socket.send(id=number, type="subscribe", payload={"query": "{ __typename }"})
        assert (await socket.next(number))["data"] == {"__typename": "Query"}


@pytest.mark.parametrize("text", ["\0", "\ud83d"])
async def test_text_that_cannot_be_kept_is_an_error_of_its_operation(service: Served, text: str) -> None:
    async with service.socket() as socket:
        number = await socket.start(ADD, input={"ticker": "AAPL", "name": text})
        refused = await socket.receive()
        assert (refused["id"], refused["type"]) == (number, "error")
        assert "holds NUL or half a surrogate pair" in refused["payload"][0]["message"]
        assert (await socket.ask("{ symbols { totalCount } }"))["data"] == {"symbols": {"totalCount": 0}}


async def test_an_id_that_is_taken_closes_the_socket(service: Served) -> None:
    async with service.socket() as socket:
        number = await socket.start(CHANGED)
        await socket.send(id=number, type="subscribe", payload={"query": "{ __typename }"})
        assert await closed(socket) == (4409, f"Subscriber for {number} already exists")


async def test_any_id_fits_a_close_frame(service: Served) -> None:
    async with service.socket() as socket:
        for _ in range(2):
            await socket.send(id="é" * 128, type="subscribe", payload={"query": CHANGED})
        code, reason = await closed(socket)
        assert (code, reason[:15]) == (4409, "Subscriber for ")


async def test_what_was_completed_is_free_again_and_silent(service: Served) -> None:
    async with service.socket() as socket:
        for _ in range(3):
            await socket.send(id="a", type="subscribe", payload={"query": CHANGED})
            await socket.send(id="a", type="complete")
        await socket.send(id="b", type="complete")  # never was
        await service.ask(ADD, input={"ticker": "AAPL"})
        assert (await socket.ask("{ __typename }"))["data"], "the next frame is this one's"


async def test_a_mutation_whose_client_has_gone_is_carried_out(service: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    add, begun = Symbols.add, asyncio.Event()

    async def slowly(*arguments: Any) -> Any:
        begun.set()
        await asyncio.sleep(0.3)
        return await add(*arguments)

    monkeypatch.setattr(Symbols, "add", slowly)
    async with service.socket() as socket:
        await socket.start(ADD, input={"ticker": "AAPL"})
        await begun.wait()
        socket.connection.transport.abort()

    async def is_added() -> bool:
        return bool((await service.ask("{ symbols { totalCount } }"))["data"]["symbols"]["totalCount"])

    await until(is_added, within=5)


async def test_a_query_whose_client_has_gone_is_given_up(service: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang(*_: Any) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    monkeypatch.setattr(Symbols, "get", hang)
    async with service.socket() as socket:
        await socket.start('{ symbol(ticker: "AAPL") { id } }')
        await begun.wait()
    async with asyncio.timeout(5):
        await ended.wait()


# ── limits


async def test_a_socket_has_so_many_operations(sqlite_url: str) -> None:
    async with served(sqlite_url, lambda *_: StubProvider("AAPL")) as service, service.socket() as socket:
        numbers = [await socket.start(CHANGED) for _ in range(100)]
        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}
        number = await socket.start(CHANGED)
        refused = await socket.receive()
        assert (refused["id"], refused["type"]) == (number, "error")
        told = "socket_subscriptions may be at most 100; 101 was asked for of this socket."
        assert refused["payload"][0]["message"] == told
        await socket.send(id=numbers[0], type="complete")
        assert (await socket.ask("{ __typename }"))["data"]


def message(size: int) -> str:
    text = json.dumps({"id": "1", "type": "subscribe", "payload": {"query": "{ __typename }"}})
    return text + " " * (size - len(text))


async def test_a_frame_at_the_limit(service: Served) -> None:
    async with service.socket() as socket:
        await socket.connection.send(message(65_536))
        assert (await socket.next("1"))["data"] == {"__typename": "Query"}


@pytest.mark.parametrize("in_pieces", [False, True])
async def test_a_frame_one_byte_beyond_the_limit(service: Served, in_pieces: bool) -> None:
    async with service.socket() as socket:
        text = message(65_537)
        await socket.connection.send([text[:40_000], text[40_000:]] if in_pieces else text)
        code, reason = await closed(socket)
        assert code == 1009
        assert "65536" in reason
        assert in_pieces or "65537" in reason
    assert (await service.ask("{ __typename }"))["data"]
