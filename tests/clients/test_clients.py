"""The GraphQL clients that people use, as they come, each in a real Node: the same scenario through every one of them."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from persistence.event_feed import SqlEventFeed
from tests.support.cable import Cable, cable
from tests.support.figures import told
from tests.support.node import Script, script
from tests.support.process import until
from tests.support.provider import StubProvider
from tests.support.served import Served, served

# Those that can be told a newer cursor for the next connection come first.
RESUMING = ("graphql-ws", "graphql-sse")
CLIENTS = (*RESUMING, "urql over graphql-ws", "urql over SSE", "Apollo over graphql-ws", "Apollo over graphql-sse")

MANY = [f"{first}{second}" for first, second in itertools.product("ABCDEF", repeat=2)]

SERVICE = "query { service { __typename name } }"
CURSOR = "query { symbols { __typename cursor } }"
ADD = """
mutation Add($input: AddSymbolInput!) {
  addSymbol(input: $input) {
    __typename
    ... on SymbolAdded { symbol { __typename ticker version } }
    ... on Problem { message code }
  }
}"""
REMOVE = """
mutation Remove($input: RemoveSymbolInput!) {
  removeSymbol(input: $input) { __typename ... on SymbolRemoved { symbol { __typename ticker version } } }
}"""
CHANGES = """
subscription Changes($after: Cursor) {
  symbolChanged(after: $after) { __typename kind cursor symbol { __typename ticker version } }
}"""


class Client:
    """A client in a process of its own."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def ask(self, query: str, **variables: Any) -> Any:
        return await self._script.ask({"do": "ask", "query": query, "variables": variables})

    async def follow(self, name: str, query: str, **variables: Any) -> None:
        await self._script.ask({"do": "follow", "as": name, "query": query, "variables": variables})

    async def next(self, name: str) -> Any:
        """The subscription's next result, or None when it has ended."""
        return await self._script.ask({"do": "next", "of": name})

    async def next_change(self, name: str) -> tuple[str, str, int]:
        """Kind, ticker and version of the next change."""
        result = await self.next(name)
        assert list(result) == ["data"], result
        change = result["data"]["symbolChanged"]
        return change["kind"], change["symbol"]["ticker"], change["symbol"]["version"]

    async def leave(self, name: str) -> None:
        await self._script.ask({"do": "leave", "of": name})


@asynccontextmanager
async def client(name: str, url: str) -> AsyncIterator[Client]:
    async with script("client.mjs", name, f"{url}/graphql") as running:
        yield Client(running)


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, lambda *_: StubProvider("AAPL", "MSFT", *MANY)) as service:
        yield service


def followers(service: Served) -> int:
    """How many subscriptions the service has going."""
    feed = service.container.services.feed
    assert isinstance(feed, SqlEventFeed)
    return len(feed._followers)


async def nobody_follows(service: Served) -> None:
    async def is_left() -> bool:
        return followers(service) == 0

    await until(is_left, within=10)


async def end_of_log(service: Served) -> str:
    return str((await service.ask(CURSOR))["data"]["symbols"]["cursor"])


def message(answer: Any) -> str:
    """The sentence of the one error of an answer without data."""
    assert answer.get("data") is None, answer
    (error,) = answer["errors"]
    return str(error["message"])


# ── query, mutation, error


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_query_a_mutation_and_what_is_refused(service: Served, name: str) -> None:
    async with client(name, service.url) as asking:
        assert await asking.ask(SERVICE) == {"data": {"service": {"__typename": "Service", "name": "Freshtape"}}}
        added = {"__typename": "SymbolAdded", "symbol": {"__typename": "Symbol", "ticker": "AAPL", "version": 1}}
        assert await asking.ask(ADD, input={"ticker": " aapl "}) == {"data": {"addSymbol": added}}
        problem = (await asking.ask(ADD, input={"ticker": "no ticker!"}))["data"]["addSymbol"]
        assert (problem["__typename"], problem["code"]) == ("InvalidTicker", "INVALID_TICKER")
        assert problem["message"]


@pytest.mark.parametrize("name", CLIENTS)
async def test_the_sentence_of_an_error_arrives_and_the_client_goes_on(service: Served, name: str) -> None:
    async with client(name, service.url) as asking:
        for _ in range(2):
            assert message(await asking.ask("query { nope }")).startswith("Cannot query field 'nope' on type 'Query'.")
            assert "$input" in message(await asking.ask(ADD, input={"ticker": 1}))
            assert (await asking.ask(SERVICE))["data"]["service"]["name"] == "Freshtape"
    assert (await service.ask("{ symbols { totalCount } }"))["data"]["symbols"]["totalCount"] == 0


@pytest.mark.parametrize("name", RESUMING)
async def test_a_document_that_cannot_be_read_is_refused_by_the_service(service: Served, name: str) -> None:
    """The others read a document before they send it."""
    async with client(name, service.url) as asking:
        assert message(await asking.ask("{ nope")).startswith("Syntax Error")
        assert (await asking.ask(SERVICE))["data"]["service"]["name"] == "Freshtape"


# ── subscription


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_subscription_sees_what_mutations_do_until_it_is_left(service: Served, name: str) -> None:
    async with client(name, service.url) as following:
        await following.follow("changes", CHANGES, after=await end_of_log(service))
        await following.ask(ADD, input={"ticker": "AAPL"})
        assert await following.next_change("changes") == ("ADDED", "AAPL", 1)
        assert followers(service) == 1
        await following.ask(REMOVE, input={"ticker": "AAPL", "expectedVersion": 1})
        assert await following.next_change("changes") == ("REMOVED", "AAPL", 2)
        await following.leave("changes")
        await nobody_follows(service)
        assert (await following.ask(SERVICE))["data"]["service"]["name"] == "Freshtape"


@pytest.mark.parametrize("name", CLIENTS)
async def test_bad_operations_leave_a_subscription_alone(service: Served, name: str) -> None:
    async with client(name, service.url) as following:
        await following.follow("changes", CHANGES, after=await end_of_log(service))
        await following.ask(ADD, input={"ticker": "AAPL"})
        assert await following.next_change("changes") == ("ADDED", "AAPL", 1)
        assert "nope" in message(await following.ask("query { nope }"))
        await following.follow("unknown", "subscription { nope }")
        assert "nope" in message(await following.next("unknown"))
        await following.follow("expired", CHANGES, after="bm8gY3Vyc29yOjE=")
        (error,) = (await following.next("expired"))["errors"]
        assert error["message"]
        await following.ask(ADD, input={"ticker": "MSFT"})
        assert await following.next_change("changes") == ("ADDED", "MSFT", 1)
        assert followers(service) == 1
    await nobody_follows(service)


# ── cut off


@pytest.mark.parametrize("name", RESUMING)
async def test_a_client_that_is_cut_off_resumes_and_misses_nothing(service: Served, name: str) -> None:
    """Cut while changes arrive, kept away while more happen, and let back, three times."""
    async with cable(service.url) as line, client(name, line.url) as following:
        await following.follow("changes", CHANGES, after=await end_of_log(service))
        tickers = iter(MANY)
        seen = []
        for _ in range(3):
            await _add(service, itertools.islice(tickers, 5))
            seen += [await following.next_change("changes") for _ in range(3)]
            await _while_cut(line, service, itertools.islice(tickers, 5))
            seen += [await following.next_change("changes") for _ in range(7)]
        await _add(service, tickers)
        seen += [await following.next_change("changes") for _ in range(len(MANY) - len(seen))]
        told(f"{name}: {line.cut_off} connections cut, {len(seen)} changes, {len(set(seen))} of them different")
        assert seen == [("ADDED", ticker, 1) for ticker in MANY]
        assert line.cut_off >= 3


async def _add(service: Served, tickers: Any) -> None:
    for ticker in tickers:
        assert "errors" not in await service.ask(ADD, input={"ticker": ticker})


async def _while_cut(line: Cable, service: Served, tickers: Any) -> None:
    line.cut()
    await nobody_follows(service)
    await _add(service, tickers)
    await asyncio.sleep(0.2)  # it knocks a few times in vain
    line.mend()
