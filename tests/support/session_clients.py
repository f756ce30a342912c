"""Clients of the session: who commands it, who looks at it again and again, and who follows it and comes back."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.exceptions import WebSocketException

from tests.support.market import MINUTES_DAY
from tests.support.process import Service
from tests.support.served import Socket, socket_to

_CHANGED = (
    "{ __typename ... on SessionChanged { session { version epoch symbols { ticker } } } ... on Problem { message code } }"
)
_FIELDS = {
    "startSession": ("StartSessionInput", "input"),
    "addSessionSymbol": ("SessionSymbolInput", "input"),
    "removeSessionSymbol": ("SessionSymbolInput", "input"),
    "pauseSession": ("Int", "expectedVersion"),
    "resumeSession": ("Int", "expectedVersion"),
    "stopSession": ("Int", "expectedVersion"),
}
STANDS = "{ session { active reason epoch clock } }"
SHOWS = """query($ticker: String!) { session { active reason epoch
  bars(ticker: $ticker, first: 500) { withheld epoch nodes { closeTime } } } }"""
CURSOR = "{ symbols(first: 1) { cursor } }"
MOVES = "subscription($after: Cursor) { sessionActivation(after: $after) { cursor epoch active reason } }"
BARS = "subscription($tickers: [String!]!) { bars(tickers: $tickers) { ticker closeTime } }"
PAUSE = 0.05


async def command(service: Service, name: str, given: Any) -> dict[str, Any]:
    """The member of the union that it is answered with; anything else fails the test."""
    kind, argument = _FIELDS[name]
    body = await service.ask(f"mutation($given: {kind}!) {{ {name}({argument}: $given) {_CHANGED} }}", given=given)
    assert "errors" not in body, f"answered with errors: {body}"
    return dict(body["data"][name])


async def start(service: Service, *tickers: str, speed: float) -> dict[str, Any]:
    """A replay, the first of its database."""
    given = {"mode": "REPLAY", "tickers": tickers, "date": f"{MINUTES_DAY}", "speed": speed, "expectedVersion": 0}
    return await command(service, "startSession", given)


async def cursor_of(service: Service) -> str:
    return str((await service.ask(CURSOR))["data"]["symbols"]["cursor"])


# ── who looks


@dataclass(frozen=True)
class Look:
    """An answer; the times are the event loop's."""

    asked_at: float
    answered_at: float
    body: dict[str, Any]

    @property
    def session(self) -> dict[str, Any] | None:
        data = self.body.get("data")
        return data["session"] if data is not None else None

    @property
    def shows_something(self) -> bool:
        session = self.session
        return session is not None and (session["active"] or bool(session.get("bars", {}).get("nodes")))

    @property
    def codes(self) -> set[str]:
        return {error["extensions"]["code"] for error in self.body.get("errors", ())}


@dataclass
class Looker:
    """Asks one process the same again and again."""

    query: str
    variables: dict[str, str] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)

    async def look_on(self, service: Service) -> None:
        now = asyncio.get_running_loop().time
        while True:
            asked_at = now()
            body = await service.ask(self.query, **self.variables)
            self.looks.append(Look(asked_at, now(), body))
            await asyncio.sleep(PAUSE)

    def asked_between(self, first: float, last: float) -> list[Look]:
        """And answered by then."""
        return [look for look in self.looks if first <= look.asked_at and look.answered_at <= last]

    def answered_between(self, first: float, last: float) -> list[Look]:
        return [look for look in self.looks if first <= look.answered_at <= last]


# ── who follows


@dataclass
class MoveFollower:
    """Follows sessionActivation from a cursor on; cut off, it comes back with the last one, to the next of its processes."""

    cursor: str
    told: list[tuple[str, int, bool, str | None]] = field(default_factory=list)
    streams: int = 0

    async def follow_on(self, services: Sequence[Service]) -> None:
        while True:
            service = services[min(self.streams, len(services) - 1)]
            with suppress(OSError, WebSocketException, httpx.TransportError):
                async with socket_to(service.url) as socket:
                    await socket.start(MOVES, after=self.cursor)
                    self.streams += 1
                    await self._hear(socket)
            await asyncio.sleep(PAUSE)

    async def _hear(self, socket: Socket) -> None:
        async for text in socket.connection:
            frame = json.loads(text)
            assert frame["type"] == "next", frame
            assert "errors" not in frame["payload"], frame
            move = frame["payload"]["data"]["sessionActivation"]
            self.cursor = move["cursor"]
            self.told.append((move["cursor"], move["epoch"], move["active"], move["reason"]))

    @property
    def epochs(self) -> list[int]:
        """As they were told, without the words under an epoch that had been told before."""
        return [epoch for at, (cursor, epoch, *_) in enumerate(self.told) if at == 0 or self.told[at - 1][0] != cursor]

    async def has_ended(self) -> bool:
        """Whether it was told that the replay has."""
        return bool(self.told) and "has ended" in str(self.told[-1][3])


@dataclass
class BarFollower:
    """Follows the session's minutes at one process, with the time at which each came."""

    tickers: Sequence[str]
    told: list[tuple[float, str, str]] = field(default_factory=list)

    async def follow_on(self, service: Service) -> None:
        now = asyncio.get_running_loop().time
        async with socket_to(service.url) as socket:
            await socket.start(BARS, tickers=list(self.tickers))
            async for text in socket.connection:
                bar = json.loads(text)["payload"]["data"]["bars"]
                self.told.append((now(), bar["ticker"], bar["closeTime"]))

    def between(self, first: float, last: float) -> list[tuple[str, str]]:
        return [(ticker, close) for at, ticker, close in self.told if first <= at <= last]

    @property
    def are_in_order(self) -> bool:
        """Of each symbol, each once."""
        closes = [[close for _, of, close in self.told if of == ticker] for ticker in self.tickers]
        return all(each == sorted(set(each)) for each in closes)


@asynccontextmanager
async def at_work(*work: Any) -> AsyncIterator[None]:
    """Clients that work until the block ends. One that fails fails the test."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()
