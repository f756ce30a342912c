"""Every limit of a query at its value and one beyond it, and the worst of what stays within them."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLError,
    GraphQLField,
    GraphQLInt,
    GraphQLList,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    get_introspection_query,
    parse,
)
from hypothesis import given
from hypothesis import strategies as st

from domain.services.symbols import Symbols
from graph.context import Services
from graph.execution import INLINE_CHARACTERS, Executor, NotExecutable
from graph.limits import LimitExceeded, Limits, check_operation
from graph.request import BadRequest, Request, read_json, read_request
from tests.support.client import GraphClient
from tests.support.figures import told
from tests.support.mutants import mutated
from tests.support.pace import held_up
from tests.support.turns import turns_of_others


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is weighed has not met a database."""
    return sqlite_url


NAMES = [f"a{n}" for n in range(30)]


def aliased(count: int) -> str:
    return "{" + " ".join(f"{name}: __typename" for name in NAMES[:count]) + "}"


def of_characters(count: int) -> str:
    query = "{ __typename }"
    return query + " " * (count - len(query))


def of_tokens(count: int) -> str:
    """Sixteen, and those of a list."""
    return "{ symbols(filter: {tickers: [" + '"A" ' * (count - 16) + "]}) { totalCount } }"


def introspecting(count: int) -> str:
    return "{" + " ".join(f"{name}: __schema {{ description }}" for name in NAMES[:count]) + "}"


REFUSED = [
    (of_characters, "characters", 15_000),
    (of_tokens, "tokens", 1_000),
    (aliased, "aliases", 15),
    (introspecting, "introspections", 2),
]


@pytest.mark.parametrize(("query", "limit", "allowed"), REFUSED)
async def test_at_its_value_and_one_beyond(graph: GraphClient, query: Any, limit: str, allowed: int) -> None:
    assert not (await graph.raw(query(allowed))).errors
    (error,) = (await graph.raw(query(allowed + 1))).errors
    assert error.message == f"{limit} may be at most {allowed:,}; {allowed + 1:,} was asked for."
    assert error.extensions == {"code": "LIMIT_EXCEEDED", "limit": limit, "allowed": allowed, "asked": allowed + 1}


USUAL = Limits()


LEAVES = ("leaf", "stats", "factorExposures")


def _deep() -> GraphQLSchema:
    """{ a: Query, b(first: Int = 10): [Query], c(first: Int, last: Int): [Query], and the leaves }"""
    size, ten = GraphQLArgument(GraphQLInt), GraphQLArgument(GraphQLInt, default_value=10)
    query = GraphQLObjectType(
        "Query",
        lambda: {
            "a": GraphQLField(query),
            "b": GraphQLField(GraphQLList(query), {"first": ten}),
            "c": GraphQLField(GraphQLList(query), {"first": size, "last": size}),
            **{name: GraphQLField(GraphQLInt) for name in LEAVES},
        },
    )
    return GraphQLSchema(query)


DEEP = _deep()


def weighed(query: str, limits: Limits = USUAL, **variables: Any) -> None:
    document = parse(query)
    operation = next(node for node in document.definitions if isinstance(node, OperationDefinitionNode))
    check_operation(DEEP, document, operation, variables, limits)


def refused(query: str, limits: Limits = USUAL, **variables: Any) -> GraphQLError:
    with pytest.raises(GraphQLError) as error:
        weighed(query, limits, **variables)
    return error.value


def at_depth(depth: int, leaf: str = "leaf") -> str:
    return "{" + "a {" * (depth - 1) + leaf + "}" * depth


def test_depth() -> None:
    weighed(at_depth(10))
    assert refused(at_depth(11)).message == "depth may be at most 10; 11 was asked for."
    weighed(at_depth(11, "__typename"))
    assert refused(at_depth(12, "... on Query { ...F }") + " fragment F on Query { leaf }").message.startswith("depth")
    weighed(at_depth(3), Limits(depth=3))
    refused(at_depth(4), Limits(depth=3))


async def test_introspection_is_exempt_from_depth(graph: GraphClient) -> None:
    assert (await graph(get_introspection_query()))["__schema"]["queryType"]["name"] == "Query"


def test_fragments_are_counted_wherever_they_are_spread() -> None:
    fragments = " fragment F on Query { x: leaf ...G } fragment G on Query { y: leaf }"
    weighed("{ p: a { ...F } q: a { ...F } r: a { ...F } s: a { ...F } t: a { ...F } }" + fragments)
    error = refused("{ ...F p: a { ...F } q: a { ...F } r: a { ...F } s: a { ...F } t: a { ...F } }" + fragments)
    assert error.message == "aliases may be at most 15; 17 was asked for."


def test_fragments_that_multiply_are_weighed_at_once() -> None:
    """2 to the 60th spreads."""
    chain = " ".join(f"fragment F{n} on Query {{ a {{ ...F{n + 1} }} x{n}: a {{ ...F{n + 1} }} }}" for n in range(60))
    started = time.monotonic()
    error = refused("{ ...F0 } " + chain + " fragment F60 on Query { leaf }")
    assert error.message == "depth may be at most 10; 61 was asked for."
    error = refused("{ ...F0 } " + chain + " fragment F60 on Query { leaf }", Limits(depth=100))
    assert error.message == f"aliases may be at most 15; {2**60 - 1:,} was asked for."
    assert time.monotonic() - started < 5


# ── pages


@pytest.mark.parametrize("size", [1, 1_000])
def test_a_page_size_that_may_be(size: int) -> None:
    weighed(f"{{ b(first: {size}) {{ leaf }} }}")
    weighed("query($n: Int) { c(last: $n) { leaf } }", n=size)
    weighed(f"query($n: Int = {size}) {{ c(last: $n) {{ leaf }} }}")


@pytest.mark.parametrize("size", [0, -1, 1_001, 2**31 - 1])
def test_a_page_size_that_may_not_be(size: int) -> None:
    sentence = f"first must be from 1 to 1,000; {size:,} was asked for."
    cases: tuple[tuple[str, dict[str, Any]], ...] = (
        (f"{{ b(first: {size}) {{ leaf }} }}", {}),
        ("query($n: Int) { c(first: $n) { leaf } }", {"n": size}),
        (f"query($n: Int = {size}) {{ c(first: $n) {{ leaf }} }}", {}),
        (f"{{ a {{ ...F }} }} fragment F on Query {{ c(first: {size}) {{ leaf }} }}", {}),
    )
    for query, variables in cases:
        error = refused(query, **variables)
        assert (error.message, error.extensions) == (sentence, {"code": "BAD_USER_INPUT"})


def test_first_and_last_are_given_one_at_a_time() -> None:
    cases: tuple[tuple[str, dict[str, Any]], ...] = (
        ("{ c(first: 1, last: 1) { leaf } }", {}),
        ("query($n: Int, $m: Int) { c(first: $n, last: $m) { leaf } }", {"n": 1, "m": 2}),
    )
    for query, variables in cases:
        assert refused(query, **variables).message == "first and last must be given one at a time; both was asked for."
    weighed("query($n: Int, $m: Int) { c(first: $n, last: $m) { leaf } }", n=1, m=None)
    weighed("{ c(first: 1, last: null) { leaf } }")


@pytest.mark.parametrize(
    ("query", "variables", "nodes"),
    [
        ("{ b { leaf } }", {}, 10),
        ("{ b(first: null) { leaf } }", {}, 10),
        ("{ c { leaf } }", {}, 500),
        ("query($n: Int) { c(first: $n) { leaf } }", {}, 500),
        ("query($n: Int) { c(first: $n) { leaf } }", {"n": 7.0}, 7),
        ("{ b { b { leaf } c(last: 3) { leaf } } }", {}, 100),
        ("{ b(first: 7) { ...F } } fragment F on Query { a { c(first: 11) { leaf } } }", {}, 77),
    ],
)
def test_nodes_are_the_product_along_a_path(query: str, variables: dict[str, Any], nodes: int) -> None:
    weighed(query, Limits(nodes=nodes), **variables)
    error = refused(query, Limits(nodes=nodes - 1), **variables)
    assert error.message.startswith(f"nodes may be at most {nodes - 1:,}; {nodes:,} was asked for by ")


async def test_fifty_thousand_nodes_and_one_page_more(graph: GraphClient) -> None:
    assert not (await graph.raw("{ symbols(first: 100) { nodes { bars { nodes { close } } } } }")).errors
    (error,) = (await graph.raw("{ symbols(first: 100) { nodes { bars(last: 501) { nodes { close } } } } }")).errors
    assert error.message == "nodes may be at most 50,000; 50,100 was asked for by symbols.nodes.bars."


# ── what is costly

COSTLY_FRAGMENTS = " fragment F on Query { stats a { ...G } } fragment G on Query { factorExposures }"


@pytest.mark.parametrize(
    ("query", "variables", "costly"),
    [
        ("{ stats }", {}, 1),
        ("{ a { factorExposures } stats }", {}, 2),
        ("{ stats x: stats y: stats factorExposures }", {}, 4),
        ("{ b { stats } }", {}, 10),
        ("{ c { factorExposures } }", {}, 500),
        ("{ b(first: 7) { leaf a { stats factorExposures } } }", {}, 14),
        ("{ b(first: 7) { stats b(first: 3) { stats } } }", {}, 28),
        ("query($n: Int) { c(last: $n) { stats } }", {"n": 9}, 9),
        ("query($n: Int = 8) { c(last: $n) { stats } }", {}, 8),
        ("{ b { ...F } x: b(first: 2) { ... on Query { ...F } } }" + COSTLY_FRAGMENTS, {}, 24),
    ],
)
def test_what_is_costly_is_counted_on_all_paths_together(query: str, variables: dict[str, Any], costly: int) -> None:
    weighed(query, Limits(costly=costly), **variables)
    error = refused(query, Limits(costly=costly - 1), **variables)
    assert error.message == f"costly may be at most {costly - 1}; {costly} was asked for of factorExposures and stats."
    asked = {"limit": "costly", "allowed": costly - 1, "asked": costly}
    assert error.extensions == {"code": "LIMIT_EXCEEDED"} | asked


def test_costly_fragments_that_multiply_are_weighed_at_once() -> None:
    chain = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} a {{ ...F{n + 1} }} }}" for n in range(60))
    started = time.monotonic()
    error = refused("{ ...F0 } " + chain + " fragment F60 on Query { stats }", Limits(depth=100))
    assert error.message == f"costly may be at most 200; {2**60:,} was asked for of factorExposures and stats."
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "query",
    [
        "query($n: Int) { symbols(first: $n) { nodes { factorExposures { beta } } } }",
        "query($n: Int) { all: symbols(first: $n) { edges { node { betas: factorExposures { beta } } } } }",
        "query($n: Int) { symbols(first: $n) { nodes { ...F } } } fragment F on Symbol { factorExposures { factor } }",
    ],
)
async def test_two_hundred_times_betas_and_one_more(graph: GraphClient, query: str) -> None:
    assert not (await graph.raw(query, n=200)).errors
    (error,) = (await graph.raw(query, n=201)).errors
    assert error.message == "costly may be at most 200; 201 was asked for of factorExposures and stats."
    once = ' symbol(ticker: "AAPL") { factorExposures { beta } } '
    (error,) = (await graph.raw(query.replace("{", "{" + once, 1), n=200)).errors
    assert error.message == "costly may be at most 200; 201 was asked for of factorExposures and stats."


@given(st.one_of(st.text(max_size=5), st.floats(), st.booleans(), st.none(), st.lists(st.integers()), st.integers()))
def test_any_variable_can_be_weighed(value: object) -> None:
    """What is no number is refused later, with the words of GraphQL."""
    with suppress(GraphQLError):
        weighed("query($n: Int) { b(first: $n) { c(last: $n) { leaf } } }", n=value)


# ── time


async def test_a_query_is_given_up_when_its_time_is_over(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    is_cancelled = asyncio.Event()

    async def hang(*_: Any) -> Any:
        try:
            await asyncio.sleep(60)
        finally:
            is_cancelled.set()

    monkeypatch.setattr(Symbols, "get", hang)
    answer = await GraphClient(services, Limits(query_seconds=0.2)).raw('{ symbol(ticker: "AAPL") { id } }')
    (error,) = answer.errors
    assert answer.data is None
    assert error.message == "query_seconds may be at most 0.2; more than 0.2 was asked for."
    async with asyncio.timeout(5):
        await is_cancelled.wait()


async def test_a_mutation_is_not_given_up(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    add = Symbols.add

    async def slowly(*arguments: Any) -> Any:
        await asyncio.sleep(0.5)
        return await add(*arguments)

    monkeypatch.setattr(Symbols, "add", slowly)
    added = await GraphClient(services, Limits(query_seconds=0.1)).add("AAPL")
    assert added["__typename"] == "SymbolAdded"


# ── what is within the limits and still meant badly

_FIELDS = "service{name}"
HOSTILE = {
    "one field often": "{" + "__typename " * 998 + "}",
    "one object often": "{" + _FIELDS * 249 + "}",
    "merged deeply": "{symbols{nodes{" + "levels{price price}" * 190 + "}}}",
    "unknown fields": "{symbols{nodes{" + " ".join(f"stalenessReasom{n}" for n in range(900)) + "}}}",
    "unknown input": "mutation{addSymbol(input:{" + " ".join(f"tickr{n}:1" for n in range(300)) + "}){__typename}}",
    "fragments in a chain": "{...F0}" + " ".join(f"fragment F{n} on Query{{service{{name}}...F{n + 1}}}" for n in range(60)),
    "fragments in a ring": "{...F0}" + " ".join(f"fragment F{n} on Query{{...F{(n + 1) % 90}}}" for n in range(90)),
    "braces": "{a" * 333,
    "brackets": "{symbol(ticker:" + "[" * 900 + ")}",
    "digits": "{symbols(first:" + "1" * 14_000 + "){totalCount}}",
    "a comment": "#" * 14_000 + "\n{__typename}",
    "a long text": '{symbol(ticker:"' + "\u00e4" * 14_000 + '"){name}}',
    "introspection": "{" + " ".join(f"a{n}:__schema{{...S}}" for n in range(2)) + "} fragment S on __Schema{types{name "
    "fields{name args{name type{name ofType{name ofType{name}}}} type{name ofType{name ofType{name}}}} inputFields{name}}}",
}


@pytest.mark.parametrize("query", HOSTILE.values(), ids=HOSTILE.keys())
async def test_others_are_served_meanwhile(graph: GraphClient, query: str) -> None:
    """Each attempt in other words, for what is kept of a document that was seen before."""
    attempts = count()
    worst = await held_up(lambda: _held_up(graph, query + f" #{next(attempts)}"), 0.25)
    told(f"others wait for {worst} at most")
    assert worst.share < 0.25


async def _held_up(graph: GraphClient, query: str) -> float:
    """The longest time for which the event loop is."""
    worst = 0.0

    async def watch() -> None:
        nonlocal worst
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            worst = max(worst, time.monotonic() - before)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0.01)
    await graph.raw(query)
    await asyncio.sleep(0.01)  # the watch sees what held it up when it runs again
    watching.cancel()
    return worst


async def _turns_meanwhile(services: Services, query: str) -> int:
    """How many turns others have while a document is prepared, in vain."""
    executor = Executor(services, Limits())
    async with turns_of_others() as turns:
        with pytest.raises(NotExecutable):
            await executor.prepare(Request(query, {}))
        had = turns()
    await executor.close(0)
    return had


async def test_long_documents_are_prepared_beside_the_others(services: Services) -> None:
    assert await _turns_meanwhile(services, HOSTILE["merged deeply"] + " # beside") > 0
    with mutated(Executor.prepare, ("> INLINE_CHARACTERS", "> 1_000_000")):
        assert await _turns_meanwhile(services, HOSTILE["merged deeply"] + " # inline") == 0


async def test_the_most_introspection_is_answered(graph: GraphClient) -> None:
    assert not (await graph.raw(HOSTILE["introspection"])).errors


async def test_a_long_document_is_prepared_as_a_short_one_is(services: Services) -> None:
    executor = Executor(services, Limits())
    query = "{ nope }" + " " * INLINE_CHARACTERS
    with pytest.raises(NotExecutable) as refusal:
        await executor.prepare(Request(query, {}))
    assert "Cannot query field 'nope'" in refusal.value.answer.errors[0].message
    await executor.close(0)


# ── the request


def read(body: bytes) -> Request:
    return read_request(read_json(body), most_values=10)


def _long(count: int) -> bytes:
    return b'{"query":"{a}","variables":{"n":[%s]}}' % b",".join([b"1"] * count)


def test_the_values_of_variables_are_counted() -> None:
    read(_long(5))
    with pytest.raises(LimitExceeded, match="values may be at most 10; more than 10 was asked for in variables and extensions"):
        read(_long(6))


def _wrong_texts() -> Iterator[bytes]:
    for text in (r"\u0000", r"\ud83d", r"\ude00", r"a\u0000b", r"\ude00\ud83d"):
        wrong = text.encode()
        yield b'{"query":"{a}%s"}' % wrong
        yield b'{"query":"{a}","operationName":"%s"}' % wrong
        yield b'{"query":"{a}","variables":{"x":"%s"}}' % wrong
        yield b'{"query":"{a}","variables":{"x":[{"y":"%s"}]}}' % wrong
        yield b'{"query":"{a}","variables":{"%s":1}}' % wrong


@pytest.mark.parametrize("body", [*_wrong_texts()])
def test_text_that_cannot_be_kept_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="holds NUL or half a surrogate pair"):
        read(body)


async def test_text_in_the_query_that_cannot_be_kept_is_refused(graph: GraphClient) -> None:
    for text in (r'"\u0000"', r'"\ud83d"', r'"\u{0}"', r'"a\u0000b"'):
        (error,) = (await graph.raw(f"{{ symbol(ticker: {text}) {{ id }} }}")).errors
        assert error.message.startswith("Syntax Error")


def test_text_of_pairs_and_backslashes_may_be() -> None:
    body = rb'{"query":"{a}","variables":{"x":"\ud83d\ude00","y":"\\u0000","z":"\\ud83d"}}'
    assert read(body).variables == {"x": "\U0001f600", "y": r"\u0000", "z": r"\ud83d"}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a", "operationName is 'a', and no operation of the query has that name."),
        (None, "operationName must say which of the 2 operations is meant."),
    ],
)
async def test_which_operation_is_meant(services: Services, name: str | None, sentence: str) -> None:
    executor, query = Executor(services, Limits()), "query b { __typename } mutation c { __typename }"
    with pytest.raises(NotExecutable) as refusal:
        await executor.prepare(Request(query, {}, name))
    assert refusal.value.answer.errors[0].message == sentence
    assert (await executor.prepare(Request(query, {}, "c"))).kind.value == "mutation"
