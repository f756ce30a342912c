"""GraphQL over HTTP: what is negotiated, what is refused and how, and that nothing simple changes anything."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx
import pytest

from tests.support.process import until
from tests.support.provider import StubProvider
from tests.support.served import Served, served
from tests.support.universe import track
from web.endpoint.negotiation import accepted

GRAPHQL = "application/graphql-response+json; charset=utf-8"
JSON = "application/json; charset=utf-8"
EVENTS = "text/event-stream; charset=utf-8"
ADD = "mutation($input: AddSymbolInput!) { addSymbol(input: $input) { __typename } }"
CHANGED = "subscription($after: Cursor) { symbolChanged(after: $after) { kind symbol { ticker } } }"


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, lambda *_: StubProvider("AAPL"), max_body_bytes=10_000) as service:
        yield service


async def post(service: Served, query: str, accept: str | None = None, **variables: Any) -> httpx.Response:
    headers = {"accept": accept} if accept is not None else {}
    return await service.http.post("/graphql", json={"query": query, "variables": variables}, headers=headers)


def sentence(answer: httpx.Response) -> str:
    (error,) = answer.json()["errors"]
    assert "data" not in answer.json()
    return str(error["message"])


# ── what is negotiated


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, ["application/json"]),
        ("", ["application/json"]),
        ("*/*", ["application/json"]),
        ("application/*;q=0.5, text/html", ["text/html", "application/json"]),
        ("text/event-stream;q=0.1, application/json", ["application/json", "text/event-stream"]),
        ("TEXT/EVENT-STREAM", ["text/event-stream"]),
        ("application/json;q=0, application/graphql-response+json;q=0.9;charset=utf-8", ["application/graphql-response+json"]),
        ("a/b;q=x,,;", ["a/b", "", ""]),
    ],
)
def test_what_a_header_says(accept: str | None, wanted: list[str]) -> None:
    assert accepted(accept) == wanted


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, JSON),
        ("application/json", JSON),
        ("application/graphql-response+json, application/json;q=0.9", GRAPHQL),
        ("application/json, application/graphql-response+json;q=0.9", JSON),
        # urql lists the events last whatever it asks for, and Apollo Client a type of its own first
        ("application/graphql-response+json, application/graphql+json, application/json, text/event-stream, */*", GRAPHQL),
        ("multipart/mixed; deferSpec=20220824, application/json", JSON),
        ("text/event-stream", EVENTS),
        ("text/event-stream, application/json", EVENTS),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
    ],
)
async def test_the_type_of_an_answer(service: Served, accept: str | None, media_type: str) -> None:
    answer = await post(service, "{ __typename }", accept)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    if media_type != EVENTS:
        assert answer.json() == {"data": {"__typename": "Query"}}


async def test_who_accepts_nothing_of_ours_gets_nothing(service: Served) -> None:
    answer = await post(service, "{ __typename }", "image/png")
    assert answer.status_code == 406
    assert sentence(answer).startswith("Answers are application/graphql-response+json, ")


@pytest.mark.parametrize(
    "query", ["{", "{ nope }", "query($n: Int!) { symbols(first: $n) { totalCount } }", "{ symbols(first: 0) {totalCount} }"]
)
async def test_an_error_before_the_execution(service: Served, query: str) -> None:
    newer, older = await post(service, query, "application/graphql-response+json"), await post(service, query)
    assert (newer.status_code, older.status_code) == (400, 200)
    assert newer.json() == older.json()
    assert sentence(newer)


async def test_an_error_in_the_execution_is_an_answer(service: Served) -> None:
    answer = await post(service, '{ symbols(after: "nonsense") { totalCount } }', "application/graphql-response+json")
    assert answer.status_code == 200
    assert answer.json()["data"] is None
    assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_page_for_a_browser(service: Served) -> None:
    browser = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    page = await service.http.get("/graphql", headers=browser)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<title>Playground · Freshtape</title>" in page.text
    asked = await service.http.get("/graphql", params={"query": "{ __typename }"}, headers=browser)
    assert asked.json() == {"data": {"__typename": "Query"}}


# ── what is refused


async def test_a_body_at_the_limit_and_one_byte_beyond(service: Served) -> None:
    def body(size: int) -> bytes:
        text = json.dumps({"query": "{ __typename }"}).encode()
        return text + b" " * (size - len(text))

    async def in_pieces(size: int) -> AsyncIterator[bytes]:
        for start in range(0, size, 999):
            yield body(size)[start : start + 999]

    headers = {"content-type": "application/json"}
    for content in (lambda size: body(size), in_pieces):
        assert (await service.http.post("/graphql", content=content(10_000), headers=headers)).status_code == 200
        answer = await service.http.post("/graphql", content=content(10_001), headers=headers)
        assert answer.status_code == 413
        (error,) = answer.json()["errors"]
        asked = "10,001" if "content-length" in answer.request.headers else "more than 10,000"
        assert error["message"] == f"body_bytes may be at most 10,000; {asked} was asked for."
        assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert (await post(service, "{ __typename }")).status_code == 200


async def test_a_body_that_does_not_come(service: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.endpoint.http.BODY_SECONDS", 0.2)

    async def forever() -> AsyncIterator[bytes]:
        yield b'{"query":'
        await asyncio.sleep(1)

    answer = await service.http.post("/graphql", content=forever(), headers={"content-type": "application/json"})
    assert answer.status_code == 408
    assert sentence(answer) == "The body did not come in within 0.2 s."


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/json; charset=utf-16",
        "text/plain; application/json",
    ],
)
async def test_a_body_of_another_type(service: Served, content_type: str | None) -> None:
    """A page of any site may send the simple ones of these without asking."""
    body = json.dumps({"query": ADD, "variables": {"input": {"ticker": "AAPL"}}}).encode()
    headers = {"content-type": content_type} if content_type is not None else {}
    answer = await service.http.post("/graphql", content=body, headers=headers)
    assert answer.status_code == 415
    assert sentence(answer) == "The body must be application/json, in UTF-8."
    assert (await service.ask("{ symbols { totalCount } }"))["data"]["symbols"]["totalCount"] == 0


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", 'application/json;charset="UTF-8"']
)
async def test_a_body_of_the_right_type(service: Served, content_type: str) -> None:
    answer = await service.http.post("/graphql", content=b'{"query":"{__typename}"}', headers={"content-type": content_type})
    assert answer.status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_other_methods(service: Served, method: str) -> None:
    answer = await service.http.request(method, "/graphql", json={"query": "{ __typename }"})
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) >= {"GET", "POST"}


async def test_a_get_brings_variables(service: Served) -> None:
    query = "query A($n: Int) { symbols(first: $n) { totalCount } } query B { __typename }"
    parameters = {"query": query, "operationName": "A", "variables": '{"n": 1}', "extensions": "{}", "other": "1"}
    answer = await service.http.get("/graphql", params=parameters)
    assert answer.json() == {"data": {"symbols": {"totalCount": 0}}}
    wrong = await service.http.get("/graphql", params={**parameters, "variables": '{"n": 0}'})
    assert sentence(wrong) == "first must be from 1 to 1,000; 0 was asked for."


@pytest.mark.parametrize("query", [ADD, CHANGED])
async def test_a_subscription_needs_a_stream_and_a_mutation_a_post(service: Served, query: str) -> None:
    variables = '{"input": {"ticker": "AAPL"}}' if query is ADD else "{}"
    answer = await service.http.get("/graphql", params={"query": query, "variables": variables})
    assert answer.status_code == (405 if query is ADD else 406)
    if query is ADD:
        events = {"accept": "text/event-stream"}
        streamed = await service.http.get("/graphql", params={"query": query, "variables": variables}, headers=events)
        assert streamed.status_code == 405
    assert (await service.ask("{ symbols { totalCount } }"))["data"]["symbols"]["totalCount"] == 0


# ── what every answer says


@pytest.mark.parametrize("path", ["/graphql?query={__typename}", "/graphql", "/healthz", "/readyz", "/metrics", "/nowhere"])
async def test_nothing_is_kept(service: Served, path: str) -> None:
    answer = await service.http.get(path)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers


async def test_the_process_lives(service: Served) -> None:
    assert (await service.http.get("/healthz")).json() == {"status": "alive"}


async def test_what_is_counted(service: Served) -> None:
    async def counted(name: str) -> float:
        lines = (await service.http.get("/metrics")).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    queries = 'freshtape_operation_seconds_count{outcome="ok",type="query"}'
    requests = 'freshtape_http_requests_total{method="POST",path="/graphql",status="200"}'
    before = await counted(queries), await counted(requests)
    for _ in range(3):
        await post(service, "{ __typename }")
    assert (await counted(queries), await counted(requests)) == (before[0] + 3, before[1] + 3)
    await track(service.container.database, "AAPL")
    await service.ask(ADD, input={"ticker": "AAPL"})
    await service.ask('mutation { refreshSymbol(input: {ticker: "AAPL"}) { __typename } }')
    await service.ask('mutation { refreshSymbol(input: {ticker: "MSFT"}) { __typename } }')
    assert await counted('freshtape_refresh_seconds_count{outcome="refreshed"}') == 1
    assert await counted('freshtape_refresh_seconds_count{outcome="symbol_not_found"}') == 1
    assert await counted('freshtape_operation_seconds_count{outcome="ok",type="mutation"}') == 3
    async with service.socket() as socket:
        number = await socket.start(CHANGED)
        assert (await socket.ask("{ __typename }"))["data"]
        assert (await counted("freshtape_sockets"), await counted("freshtape_subscriptions")) == (1, 1)
        await socket.send(id=number, type="complete")

    async def is_over() -> bool:
        return (await counted("freshtape_sockets"), await counted("freshtape_subscriptions")) == (0, 0)

    await until(is_over, within=5)
    assert await counted('freshtape_operation_seconds_count{outcome="gone",type="subscription"}') == 1


# ── server-sent events


async def are_served(service: Served, subscriptions: int) -> bool:
    return f"freshtape_subscriptions {subscriptions}.0\n" in (await service.http.get("/metrics")).text


async def events(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in response.aiter_lines():
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value) if value else None


async def test_a_query_as_a_stream(service: Served) -> None:
    answer = await post(service, "{ __typename }", "text/event-stream")
    assert answer.text == 'event: next\ndata: {"data":{"__typename":"Query"}}\n\nevent: complete\ndata:\n\n'


async def test_an_operation_that_cannot_be_executed_is_told_in_the_stream(service: Served) -> None:
    answer = await post(service, "{ nope }", "text/event-stream")
    (name, payload), (last, nothing) = [event async for event in events(answer)]
    assert (answer.status_code, name, last, nothing) == (200, "next", "complete", None)
    assert payload["errors"][0]["message"].startswith("Cannot query field 'nope'")
    assert "data" not in payload


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_changes_are_streamed_until_the_client_goes(service: Served, method: str) -> None:
    cursor = (await service.ask("{ symbols { cursor } }"))["data"]["symbols"]["cursor"]
    request: dict[str, Any] = {"query": CHANGED, "variables": {"after": cursor}}
    sent: dict[str, Any] = {"json": request}
    if method == "GET":
        sent = {"params": {"query": CHANGED, "variables": json.dumps(request["variables"])}}
    headers = {"accept": "text/event-stream"}
    async with service.http.stream(method, "/graphql", headers=headers, **sent) as response:
        assert response.headers["content-type"] == EVENTS
        await service.ask(ADD, input={"ticker": "AAPL"})
        name, payload = await anext(events(response))
        assert name == "next"
        assert payload == {"data": {"symbolChanged": {"kind": "ADDED", "symbol": {"ticker": "AAPL"}}}}
    await until(partial(are_served, service, 0), within=5)


async def test_a_silent_stream_is_kept_open_by_comments(service: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.endpoint.sse.PULSE_SECONDS", 0.05)
    headers = {"accept": "text/event-stream"}
    async with service.http.stream("POST", "/graphql", headers=headers, json={"query": CHANGED}) as response:
        async for text in response.aiter_text():
            assert text == ":\n\n"
            break


async def test_a_process_has_so_many_subscriptions(sqlite_url: str) -> None:
    served_with_two = served(sqlite_url, lambda *_: StubProvider("AAPL"), max_subscriptions=2)
    async with served_with_two as service, service.socket() as socket:
        first, second = await socket.start(CHANGED), await socket.start(CHANGED)
        assert (await socket.ask("{ __typename }"))["data"]
        third = await socket.start(CHANGED)
        frame = await socket.receive()
        assert (frame["id"], frame["type"]) == (third, "error")
        told = "subscriptions may be at most 2; 3 was asked for of this process."
        assert frame["payload"][0]["message"] == told
        (_, payload), (last, _) = [event async for event in events(await post(service, CHANGED, "text/event-stream"))]
        assert (payload["errors"][0]["message"], last) == (told, "complete")
        await socket.send(id=first, type="complete")
        await until(partial(are_served, service, 1), within=5)
        fourth = await socket.start(CHANGED)
        assert (await socket.ask("{ __typename }"))["data"]
        await service.ask(ADD, input={"ticker": "AAPL"})
        assert {(await socket.receive())["id"] for _ in range(2)} == {second, fourth}
