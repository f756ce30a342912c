"""PostgreSQL killed, hung and half-open under two services that are written to, read and followed all the while."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from graph.scalars import read_position
from persistence.engine import SERVER_SECONDS
from tests.support.client import mutation
from tests.support.figures import told
from tests.support.postgres import execute, failing_server
from tests.support.process import Processes, Service, until
from tests.support.proxy import Fate, Proxy
from tests.support.served import PROTOCOL, Socket
from tests.support.stored import Stored, stored

CLOCK = "2026-03-27T20:30:00Z"
BEFORE_SECONDS = 1.5
OUTAGE_SECONDS = 6.0
ANSWER_SECONDS = 7.0
"""4.4 at most by the limits of the service, the rest is for a slow machine."""
READY_SECONDS = 10.0
HEAL_SECONDS = 10.0
AFTER_SECONDS = 1.0
PAUSE = 0.05
PATIENCE = (1.3, 600.0)
MOST_LINES = 20
DATABASE = "freshtape"
TICKERS = ("AAPL", "MSFT", "NVDA", "SPY")

READ = "query($t: String!) { symbol(ticker: $t) { ticker version status name levels { price } } }"
CURSOR = "{ symbols(first: 1) { cursor } }"
FOLLOW = "subscription($after: Cursor) { symbolChanged(after: $after) { cursor symbol { ticker } } }"
UNCHANGED = "nothing was changed"


# ── who asks, writes and follows


@dataclass
class Answers:
    """When each request was asked and answered, and whether with data."""

    asked: list[tuple[float, float, bool]] = field(default_factory=list)

    @contextmanager
    def timed(self) -> Iterator[list[bool]]:
        started, succeeded = time.monotonic(), list[bool]()
        try:
            yield succeeded
        finally:
            self.asked.append((started, time.monotonic(), bool(succeeded)))

    @property
    def slowest(self) -> float:
        return max(end - start for start, end, _ in self.asked)

    def succeeded_after(self, at: float) -> float | None:
        """When the first that was asked after that instant, and answered with data, was answered."""
        return min((end for start, end, succeeded in self.asked if succeeded and start >= at), default=None)

    def failed_after(self, at: float) -> float | None:
        return min((end for start, end, succeeded in self.asked if not succeeded and end >= at), default=None)


@dataclass
class Written:
    """What a writer was told of one symbol: the version it has at least, and that version's name or None when retired."""

    ticker: str
    version: int = 0
    name: str | None = None
    acknowledged: int = 0
    in_doubt: int = 0
    refused: int = 0


async def data_of(answers: Answers, service: Service, query: str, **variables: Any) -> dict[str, Any]:
    """The answer to a request that may find no database, and nothing else wrong."""
    with answers.timed() as succeeded:
        body: dict[str, Any] = await service.ask(query, **variables)
        errors = body.get("errors", [])
        if not errors:
            succeeded.append(True)
    assert {error["extensions"]["code"] for error in errors} <= {"DATABASE_UNAVAILABLE"}, body
    return body


async def write_on(service: Service, written: Written, answers: Answers, enough: asyncio.Event) -> None:
    """Adds, renames, retires and revives one symbol that nobody else writes, each time the version that it read."""
    while not enough.is_set():
        step = written.acknowledged + written.in_doubt + written.refused
        if written.name is not None and step % 5 == 4:
            name, values = None, {"ticker": written.ticker, "expectedVersion": written.version}
        else:
            name, values = f"{step}", {"ticker": written.ticker, "name": f"{step}", "expectedVersion": written.version}
        what = "addSymbol" if name is not None else "removeSymbol"
        body = await data_of(answers, service, mutation(what), input=values)
        if "errors" not in body:
            answer = body["data"][what]
            assert answer["__typename"] in ("SymbolAdded", "SymbolRemoved"), f"{values} was answered with {answer}"
            assert answer["symbol"]["version"] == written.version + 1, "an acknowledged write is lost"
            written.version, written.name = written.version + 1, name
            written.acknowledged += 1
        elif UNCHANGED in body["errors"][0]["message"]:
            written.refused += 1
            assert await found(service, written, answers) == (written.version, written.name), "it was changed after all"
        else:
            written.in_doubt += 1
            await found(service, written, answers)
            await asyncio.sleep(SERVER_SECONDS)  # by then the server has ended what was in flight
            version, stands = await found(service, written, answers)
            assert (version, stands) in {(written.version, written.name), (written.version + 1, name)}, "something was lost"
            written.version, written.name = version, stands


async def found(service: Service, written: Written, answers: Answers) -> tuple[int, str | None]:
    """Version and name of a symbol, once the database is there again."""
    while True:
        body = await data_of(answers, service, READ, t=written.ticker)
        if "errors" not in body:
            break
        await asyncio.sleep(PAUSE)
    symbol = body["data"]["symbol"]
    if symbol is None:
        return 0, None
    return symbol["version"], symbol["name"] if symbol["status"] != "RETIRED" else None


async def read_on(service: Service, answers: Answers) -> None:
    while True:
        await data_of(answers, service, READ, t="AAPL")
        await asyncio.sleep(PAUSE)


async def probe_on(service: Service, answers: Answers) -> None:
    while True:
        with answers.timed() as succeeded:
            if await service.is_ready():
                succeeded.append(True)
        await asyncio.sleep(PAUSE)


@dataclass
class Follower:
    """A client that follows from its cursor on, and comes back with it when its stream or its patience ends."""

    cursor: str
    patience: float
    numbers: list[int] = field(default_factory=list)
    told_at: list[float] = field(default_factory=list)
    streams: int = 0

    async def follow_on(self, service: Service) -> None:
        address = service.url.replace("http", "ws", 1) + "/graphql"
        while True:
            with suppress(OSError, WebSocketException, TimeoutError):
                async with asyncio.timeout(self.patience), connect(address, subprotocols=[PROTOCOL], proxy=None) as connection:
                    await self._follow(Socket(connection))
            await asyncio.sleep(PAUSE)

    async def _follow(self, socket: Socket) -> None:
        await socket.send(type="connection_init")
        await socket.receive()
        await socket.start(FOLLOW, after=self.cursor)
        self.streams += 1
        async for text in socket.connection:
            frame = json.loads(text)
            if frame["type"] != "next" or frame["payload"].get("errors"):
                assert "CURSOR_EXPIRED" not in str(frame)
                return
            self.cursor = frame["payload"]["data"]["symbolChanged"]["cursor"]
            self.numbers.append(read_position(self.cursor).number)
            self.told_at.append(time.monotonic())


# ── outages


@dataclass
class Outage:
    begin: Callable[[], None]
    end: Callable[[], Awaitable[None]]
    url: str
    proxy: Proxy


@asynccontextmanager
async def outage(kind: str) -> AsyncIterator[Outage]:
    """A server with a database, and how to take it away and give it back."""
    async with failing_server() as server, Proxy(server.url) as proxy:
        await execute(server.url, f"CREATE DATABASE {DATABASE}")
        direct = server.url.set(database=DATABASE).render_as_string(hide_password=False)

        async def go_on() -> None:
            server.go_on()

        async def restore() -> None:
            proxy.restore()

        match kind:
            case "killed":
                yield Outage(server.kill, server.start, direct, proxy)
            case "hung":
                yield Outage(server.hang, go_on, direct, proxy)
            case _:
                yield Outage(proxy.swallow, restore, proxy.url(DATABASE), proxy)


@dataclass
class Course:
    """What was seen of an outage."""

    began: float = 0
    ended: float = 0
    requests: list[Answers] = field(default_factory=list)
    probes: list[Answers] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)
    followers: list[Follower] = field(default_factory=list)
    after: list[Stored] = field(default_factory=list)

    def healed(self) -> dict[str, float | None]:
        """When each thing that must work again did, in seconds after the database's return."""
        kinds = {
            "/readyz": [answers.succeeded_after(self.ended) for answers in self.probes],
            "queries and mutations": [answers.succeeded_after(self.ended) for answers in self.requests],
            "pushed events": [next((at for at in f.told_at if at > self.ended), None) for f in self.followers],
        }
        return {kind: None if None in at else max(filter(None, at)) - self.ended for kind, at in kinds.items()}


async def undergo(outage: Outage, services: list[Service]) -> Course:
    """Everybody works, the database goes away and comes back, and everybody works on until all of it works again."""
    course = Course()
    tickers = iter(TICKERS)
    cursor = (await services[0].ask(CURSOR))["data"]["symbols"]["cursor"]
    async with asyncio.TaskGroup() as working, asyncio.TaskGroup() as following:
        writing, reading, enough = [], [], asyncio.Event()
        for service in services:
            for ticker in (next(tickers), next(tickers)):
                course.written.append(Written(ticker))
                course.requests.append(Answers())
                writing.append(working.create_task(write_on(service, course.written[-1], course.requests[-1], enough)))
            course.requests.append(Answers())
            reading.append(working.create_task(read_on(service, course.requests[-1])))
            course.probes.append(Answers())
            reading.append(working.create_task(probe_on(service, course.probes[-1])))
        followers = []
        for service, patience in itertools.product(services, PATIENCE):
            course.followers.append(Follower(cursor, patience))
            followers.append(following.create_task(course.followers[-1].follow_on(service)))
        await asyncio.sleep(BEFORE_SECONDS)
        course.began = time.monotonic()
        outage.begin()
        await asyncio.sleep(OUTAGE_SECONDS)
        await outage.end()
        course.ended = time.monotonic()
        await came_true(lambda: None not in course.healed().values(), HEAL_SECONDS)
        await asyncio.sleep(AFTER_SECONDS)
        enough.set()
        await asyncio.wait(writing, timeout=HEAL_SECONDS)
        await cancelled([*writing, *reading])
        course.after = [await stored(outage.url, ticker) for ticker in TICKERS]
        end = course.after[0].changes[-1].position.number
        await came_true(lambda: all(follower.numbers[-1] >= end for follower in course.followers), HEAL_SECONDS)
        await cancelled(followers)
    return course


async def came_true(holds: Callable[[], bool], within: float) -> None:
    """Returns when it holds, and when time is over: what is asserted afterwards says what was missing."""

    async def is_so() -> bool:
        return holds()

    with suppress(TimeoutError):
        await until(is_so, within)


async def cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def survived(kind: str, *mutants: str) -> None:
    async with outage(kind) as away, Processes(away.url, FRESHTAPE_CLOCK=CLOCK) as processes:
        services = await processes.start(2, *mutants)
        course = await undergo(away, services)
        lines = max(sum(" freshtape.loops" in line for line in service.said.splitlines()) for service in services)
        unready = max((answers.failed_after(course.began) or course.ended + 99) - course.began for answers in course.probes)
        report(kind, course, unready, lines)
        assert max(answers.slowest for answers in (*course.requests, *course.probes)) < ANSWER_SECONDS, "answered too late"
        assert unready < READY_SECONDS
        healed = course.healed()
        assert all(seconds is not None and seconds < HEAL_SECONDS for seconds in healed.values()), healed
        for written, after in zip(course.written, course.after, strict=True):
            assert_kept(written, after)
        for follower in course.followers:
            changes = [change.position.number for change in course.after[0].changes]
            assert follower.numbers == changes, "missed, or told twice"
        assert lines <= MOST_LINES


def assert_kept(written: Written, after: Stored) -> None:
    name = None if after.symbol.is_retired else after.symbol.name
    assert written.acknowledged
    assert (after.symbol.version, name) == (written.version, written.name), "an acknowledged write is lost"
    assert len(after.kinds) == after.symbol.version, "a change without its event, or an event without its change"
    assert after.is_numbered_without_gaps


def report(kind: str, course: Course, unready: float, lines: int) -> None:
    requests = [asked for answers in course.requests for asked in answers.asked]
    healed = {what: None if seconds is None else f"{seconds:.2f} s" for what, seconds in course.healed().items()}
    told(
        f"{kind} for {course.ended - course.began:.1f} s: {len(requests)} requests, the slowest answered after "
        f"{max(answers.slowest for answers in course.requests):.2f} s (/readyz {max(a.slowest for a in course.probes):.2f} s); "
        f"not ready after {unready:.2f} s; back after its return: {healed}; "
        f"{sum(w.acknowledged for w in course.written)} writes acknowledged, {sum(w.refused for w in course.written)} refused, "
        f"{sum(w.in_doubt for w in course.written)} in doubt, none lost; {len(course.after[0].changes)} events told to each of "
        f"{len(course.followers)} followers in {[f.streams for f in course.followers]} streams; {lines} lines logged by loops"
    )


@pytest.mark.parametrize("kind", ["killed", "hung", "half-open"])
async def test_an_outage_is_survived(kind: str) -> None:
    await survived(kind)


async def test_with_more_patience_answers_would_be_late() -> None:
    with pytest.raises(AssertionError, match="answered too late"):
        await survived("half-open", "patient with the database")


# ── the answer to a COMMIT


async def renamed(fate: Fate, *mutants: str) -> tuple[int, dict[str, Any]]:
    """The answer to a change whose COMMIT meets this fate, and the version that the symbol has then."""
    async with outage("half-open") as away, Processes(away.url, FRESHTAPE_CLOCK=CLOCK) as processes:
        service = await processes.start_one(*mutants)
        await service.add("AAPL")
        away.proxy.at_commit = fate
        values = {"ticker": "AAPL", "name": "renamed", "expectedVersion": 1}
        answer = await service.ask(mutation("addSymbol"), input=values)
        return (await stored(away.url, "AAPL")).symbol.version, answer


async def test_a_change_is_answered_truthfully_when_its_commit_is_not() -> None:
    (version, answer), (unchanged, refused) = await asyncio.gather(renamed(Fate.ANSWER_CUT), renamed(Fate.COMMIT_CUT))
    assert version == answer["data"]["addSymbol"]["symbol"]["version"] == 2
    assert unchanged == 1
    assert refused["data"] is None
    (error,) = refused["errors"]
    assert error["extensions"] == {"code": "DATABASE_UNAVAILABLE"}
    assert UNCHANGED in error["message"]


async def test_without_looking_back_what_was_committed_would_be_refused() -> None:
    version, answer = await renamed(Fate.ANSWER_CUT, "commits are not looked back on")
    assert version == 2
    assert "not known whether the change was made" in answer["errors"][0]["message"]
