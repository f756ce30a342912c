"""Whatever comes in is answered for what it is: never 500, never a traceback, and nobody else waits for it."""

import asyncio
import json
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from graph.request import read_json
from tests.support.figures import told
from tests.support.malformed import (
    BAD_DOCUMENTS,
    BAD_FRAMES,
    BAD_REQUESTS,
    INIT,
    STRICT,
    BadFrames,
    Frame,
    Request,
    frame,
    frame_sequences,
    requests,
)
from tests.support.mutants import mutated
from tests.support.pace import HeldUp, held_up
from tests.support.provider import StubProvider
from tests.support.served import PROTOCOL, Served, served

FUZZED = settings(
    max_examples=int(os.environ.get("FRESHTAPE_TEST_FUZZED", "500")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
MOST = 0.5
"""Of the time that the reading of the worst body would take others wait so much at most."""
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
async def service(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Served]:
    async with served(sqlite_url, lambda *_: StubProvider("AAPL")) as service:
        yield service
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@asynccontextmanager
async def greeted(service: Served, is_greeted: bool = True) -> AsyncIterator[ClientConnection]:
    address = f"ws{service.url[4:]}/graphql"
    async with connect(address, subprotocols=[PROTOCOL], proxy=None, max_size=None) as connection:
        if is_greeted:
            await INIT.send(connection)
            assert json.loads(await connection.recv()) == {"type": "connection_ack"}
        yield connection


async def waited(service: Served, meanwhile: Callable[[], Awaitable[object]]) -> float:
    """The longest that a request waits for its answer, asked over and over while something else happens."""
    is_over, worst = False, 0.0

    async def ask() -> None:
        nonlocal worst
        while not is_over:
            asked = time.monotonic()
            await service.http.get("/healthz")
            worst = max(worst, time.monotonic() - asked)

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0.005)
    await meanwhile()
    is_over = True
    await asking
    return worst


async def others_waited(service: Served, request: Request, enough: float = MOST) -> HeldUp:
    return await held_up(lambda: waited(service, lambda: request.send(service.http)), enough)


# ── the list


async def test_requests(service: Served) -> None:
    wrong, worst = {}, list[HeldUp]()
    for case in BAD_REQUESTS:
        answer = await case.request.send(service.http)
        body = answer.text
        if (
            answer.status_code not in case.statuses
            or "Traceback" in body
            or ("errors" not in body and answer.status_code != 405)
        ):
            wrong[case.name] = (answer.status_code, body[:200])
        worst.append(await others_waited(service, case.request))
    assert wrong == {}
    told(f"{len(BAD_REQUESTS)} malformed requests; others waited for {max(worst)} at most")
    assert max(worst).share < MOST
    assert (await service.ask("{ symbols { totalCount } }"))["data"]["symbols"]["totalCount"] == 0


async def test_documents(service: Served) -> None:
    wrong = {}
    for name, document in BAD_DOCUMENTS.items():
        body = json.dumps({"query": document}).encode()
        older, newer = await Request(body).send(service.http), await Request(body, headers=STRICT).send(service.http)
        are_told = [set(answer.json()) == {"errors"} for answer in (older, newer)]
        if (older.status_code, newer.status_code, are_told) != (200, 400, [True, True]):
            wrong[name] = (older.status_code, newer.status_code, newer.text[:200])
    assert wrong == {}
    told(f"{len(BAD_DOCUMENTS)} documents")


async def met(service: Served, case: BadFrames, wrong: dict[str, int | str]) -> float:
    """How long others waited; a reaction that is not allowed is noted."""

    async def react() -> None:
        reaction = await case.reaction(connection)
        if not case.allows(reaction):
            wrong[case.name] = reaction

    async with greeted(service, case.is_greeted) as connection, asyncio.timeout(30):
        return await waited(service, react)


async def test_frames(service: Served) -> None:
    wrong = dict[str, int | str]()
    worst = max([await held_up(partial(met, service, case, wrong), MOST) for case in BAD_FRAMES])
    assert wrong == {}
    told(f"{len(BAD_FRAMES)} malformed frames; others waited for {worst} at most")
    assert worst.share < MOST


# ── what is large


def _filled(unit: str) -> bytes:
    start, end = '{"query":"{__typename}","variables":{"x":[', "]}}"
    count = (4 * 1024 * 1024 - len(start) - len(end)) // (len(unit) + 1)
    return (start + ",".join([unit] * count) + end).encode()


LARGE = {
    "lists": _filled("[]"),
    "objects": _filled("{}"),
    "numbers": _filled("1"),
    "digits": _filled("1" * 4_000),
    "texts": _filled('"xxxxxx"'),
    "names": ('{"query":"{__typename}","variables":{' + ",".join(f'"k{n}":1' for n in range(300_000)) + "}}").encode(),
    "a text of commas": (
        '{"query":"query($t: String!) { symbol(ticker: $t) { id } }","variables":{"t":"' + ",:[{" * 1_000_000 + '"}}'
    ).encode(),
    "texts of commas": _filled('","'),
    "no end of a text": b'{"query":"' + b'\\",:' * 1_000_000,
    "one text": (
        '{"query":"query($t: String!) { symbol(ticker: $t) { id } }","variables":{"t":"' + "ﷺ" * 1_300_000 + '"}}'
    ).encode(),
}


@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE.keys())
async def test_four_mebibytes(service: Served, body: bytes) -> None:
    request = Request(body)
    assert (await request.send(service.http)).status_code in (200, 400)
    worst = await others_waited(service, request)
    told(f"others waited for {worst} at most")
    assert worst.share < MOST


async def test_without_the_look_at_the_marks_they_would_wait(service: Served) -> None:
    with mutated(read_json, ("_is_laden(_marks(text))", "False")):
        assert (await others_waited(service, Request(LARGE["lists"]), enough=math.inf)).share > MOST


# ── what is made up


@FUZZED
@given(request=requests())
async def test_made_up_requests(service: Served, request: Request) -> None:
    answer = await request.send(service.http)
    assert answer.status_code < 500, answer.text
    assert "Traceback" not in answer.text


@FUZZED
@given(frames=frame_sequences())
async def test_made_up_frames(service: Served, frames: tuple[Frame, ...]) -> None:
    async with greeted(service) as connection, asyncio.timeout(30):
        with suppress(ConnectionClosed):
            for each in frames:
                await each.send(connection)
            await frame({"type": "ping", "payload": {}}).send(connection)
            pongs = 1 + sum(each.data.startswith(b'{"type": "ping"') for each in frames)
            while pongs:
                pongs -= json.loads(await connection.recv())["type"] == "pong"
    code = connection.close_code
    assert code in (1000, 1007, 1009, *range(4400, 4500)), code
