"""Callers that leave before they are answered: a query is given up, a mutation carried out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from graph.execution import Executor
from tests.support.mutants import mutated
from tests.support.process import until
from tests.support.provider import StubProvider
from tests.support.raw import RawClient, message, post
from tests.support.served import Served, served
from web.endpoint.http import HttpEndpoint

QUERY = '{ searchSymbols(text: "AAPL") { __typename } }'
MUTATION = 'mutation { addSymbol(input: {ticker: "AAPL"}) { __typename } }'


class SlowProvider(StubProvider):
    """Answers when it is told to; knows whether it has been given up."""

    def __init__(self) -> None:
        super().__init__("AAPL")
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.is_given_up = asyncio.Event()
        self.before_answer = self._wait

    async def _wait(self) -> None:
        self.is_asked.set()
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.is_given_up.set()
            raise


async def over_http(client: RawClient, query: str) -> None:
    await client.send(post(query))


async def over_events(client: RawClient, query: str) -> None:
    await client.send(post(query, accept="text/event-stream"))


async def over_a_socket(client: RawClient, query: str) -> None:
    await client.open_socket()
    await client.subscribe(query)


async def go(client: RawClient) -> None:
    client.reset()


async def complete(client: RawClient) -> None:
    await client.send(message(id="1", type="complete"))


Leave = tuple[Callable[[RawClient, str], Awaitable[None]], Callable[[RawClient], Awaitable[None]]]
WAYS: dict[str, Leave] = {
    "HTTP": (over_http, go),
    "events": (over_events, go),
    "a socket": (over_a_socket, go),
    "an operation": (over_a_socket, complete),
}


@asynccontextmanager
async def left(database_url: str, query: str, way: str) -> AsyncIterator[tuple[Served, SlowProvider]]:
    """A service whose caller has left while the provider is being asked for it."""
    ask, leave = WAYS[way]
    provider = SlowProvider()
    async with served(database_url, lambda *_: provider) as service, RawClient(service.url) as client:
        await ask(client, query)
        async with asyncio.timeout(10):
            await provider.is_asked.wait()
        await leave(client)
        try:
            yield service, provider
        finally:
            provider.may_answer.set()


async def is_query_given_up(database_url: str, way: str) -> bool:
    async with left(database_url, QUERY, way) as (_, provider):
        with suppress(TimeoutError):
            await asyncio.wait_for(provider.is_given_up.wait(), 2)
        return provider.is_given_up.is_set()


async def is_mutation_carried_out(database_url: str, way: str) -> bool:
    async with left(database_url, MUTATION, way) as (service, provider):
        await asyncio.sleep(0.3)  # it could be given up meanwhile
        provider.may_answer.set()

        async def is_added() -> bool:
            return (await service.ask('{ symbol(ticker: "AAPL") { ticker } }'))["data"]["symbol"] is not None

        with suppress(TimeoutError):
            await until(is_added, 2)
        return await is_added()


@pytest.mark.parametrize("way", WAYS)
async def test_a_query_is_given_up(sqlite_url: str, way: str) -> None:
    assert await is_query_given_up(sqlite_url, way)


async def test_over_http_nobody_else_would_notice(sqlite_url: str) -> None:
    watched = "_for_whoever_is_there(request, self._executor.execute(operation))"
    with mutated(HttpEndpoint._execute, (watched, "self._executor.execute(operation)")):
        assert not await is_query_given_up(sqlite_url, "HTTP")


@pytest.mark.parametrize("way", WAYS)
async def test_a_mutation_is_carried_out(sqlite_url: str, way: str) -> None:
    assert await is_mutation_carried_out(sqlite_url, way)


@pytest.mark.parametrize("way", WAYS)
async def test_unshielded_it_is_not(sqlite_url: str, way: str) -> None:
    with mutated(Executor.execute, ("asyncio.shield(task)", "task")):
        assert not await is_mutation_carried_out(sqlite_url, way)
