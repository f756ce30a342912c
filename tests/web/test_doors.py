"""Who may come in: by which name, from which site."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.provider import StubProvider
from tests.support.served import PROTOCOL, Served, served
from web.doors import host_name

DESK = "https://desk.example.com"
QUERY = {"query": "{ __typename }"}


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Served]:
    doors: dict[str, Any] = {"allowed_hosts": ("tape.example.com",), "allowed_origins": (DESK,)}
    async with served(sqlite_url, lambda *_: StubProvider("AAPL"), **doors) as service:
        yield service


@pytest.mark.parametrize(
    ("netloc", "name"),
    [("a.b", "a.b"), ("A.b:80", "a.b"), ("[::1]:80", "::1"), ("[::1", ""), ("", ""), ("a@b", "b"), ("a.b:x", "a.b")],
)
def test_the_name_in_a_host_header(netloc: str, name: str) -> None:
    assert host_name(netloc) == name


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8000", "LOCALHOST:80", "tape.example.com"])
async def test_names_that_are_served(service: Served, host: str) -> None:
    assert (await service.http.post("/graphql", json=QUERY, headers={"host": host})).status_code == 200


@pytest.mark.parametrize("path", ["/graphql", "/readyz", "/metrics"])
@pytest.mark.parametrize(
    "host", ["evil.example", "tape.example.com.evil.example", "127.0.0.1.nip.example", "[::1", "a@evil.example"]
)
async def test_a_name_that_was_rebound_does_not_reach_it(service: Served, path: str, host: str) -> None:
    answer = await service.http.post(path, json=QUERY, headers={"host": host})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"] == {"code": "UNKNOWN_HOST"}


def opening(service: Served, **headers: str) -> connect:
    address = service.url.replace("http", "ws", 1) + "/graphql"
    return connect(address, subprotocols=[PROTOCOL], proxy=None, additional_headers=headers)


async def test_pages_that_may_open_a_socket(service: Served) -> None:
    for headers in ({}, {"origin": service.url}, {"origin": DESK}):
        async with opening(service, **headers) as connection:
            assert connection.subprotocol == PROTOCOL


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://127.0.0.1", DESK + ".evil.example", "x"])
async def test_pages_that_may_not(service: Served, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        async with opening(service, origin=origin):
            pass
    assert refusal.value.response.status_code == 403


async def test_a_socket_under_a_rebound_name_is_refused(service: Served) -> None:
    port = int(service.url.rpartition(":")[2])
    with pytest.raises(InvalidStatus) as refusal:
        async with connect("ws://evil.example/graphql", host="127.0.0.1", port=port, subprotocols=[PROTOCOL], proxy=None):
            pass
    assert refusal.value.response.status_code == 400


async def test_which_pages_may_ask(service: Served) -> None:
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    welcome = await service.http.options("/graphql", headers={**preflight, "origin": DESK})
    assert (welcome.status_code, welcome.headers["access-control-allow-origin"]) == (200, DESK)
    foreign = await service.http.options("/graphql", headers={**preflight, "origin": "https://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers
    assert foreign.status_code == 400
    read = await service.http.post("/graphql", json=QUERY, headers={"origin": DESK})
    assert read.headers["access-control-allow-origin"] == DESK
    assert "access-control-allow-credentials" not in read.headers
