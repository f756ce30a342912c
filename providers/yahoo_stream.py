"""Yahoo's streamer, by a client of our own: yfinance's never notices a dead connection, and spins on one that was closed.

    to it     {"subscribe": ["AAPL", "EURUSD=X"]}  {"unsubscribe": ["AAPL"]}
    from it   {"type": "pricing", "message": …} with a PricingData in base64; of version 1 the base64 alone

What is received goes into the minute builder at once, so that however slow the listener is, only minutes wait for it.
"""

import asyncio
import logging
from base64 import b64decode
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import lru_cache
from random import uniform
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from yfinance.pricing_pb2 import PricingData

from domain.clock import Clock
from domain.ports import Heard
from domain.symbols import Symbol
from domain.ticks import MinuteBars, Tick
from providers.calling import Unusable
from providers.yahoo_shapes import REGULAR, SOURCE, tick_of, ticker_of, yahoo_symbol

log = logging.getLogger("freshtape.yahoo")

STREAMER = "wss://streamer.finance.yahoo.com"
VERSION = "version=2"
SILENCE_SECONDS = 15.0
"""A connection on which nothing that can be understood has come for so long is given up."""
RENEWAL_SECONDS = 10.0
"""How often the streamer is told again what is wanted, as it is by those that it was made for."""
BEAT_SECONDS = 1.0
"""How often the listener is told that all is well, while it is."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
AHEAD = timedelta(minutes=1)
"""What is from later than that is from no time that can be."""

_known_as = lru_cache(maxsize=4096)(ticker_of)


class YahooStream:
    """A LiveFeed. It is connected while somebody listens and something is watched."""

    period_seconds = 0.0

    def __init__(self, clock: Clock, url: str) -> None:
        """`url` is the server to ask, empty for Yahoo's own."""
        self._clock = clock
        self._address = _streamer(url)
        self._watched: dict[str, Symbol] = {}
        self._rewatched = asyncio.Event()
        self._minutes = MinuteBars(SOURCE)
        self._news = asyncio.Event()
        self._heard_at: datetime | None = None
        self._newest_at: datetime | None = None
        self._missed: dict[str, datetime] = {}
        self._failures = 0
        self._complaints: set[str] = set()

    def watch(self, symbols: Sequence[Symbol]) -> None:
        now = self._clock.now()
        new = {symbol.ticker: now for symbol in symbols if symbol.ticker not in self._watched}
        self._watched = {symbol.ticker: symbol for symbol in symbols}
        self._missed = {ticker: since for ticker, since in (self._missed | new).items() if ticker in self._watched}
        self._minutes.follow(self._watched)
        self._rewatched.set()

    async def heard(self) -> AsyncGenerator[Heard, None]:
        """A minute that ends by the clock waits for the next frame: while nothing is heard, nobody knows what was traded."""
        listening = asyncio.create_task(self._listen())
        listening.add_done_callback(lambda _: self._news.set())
        try:
            while not listening.done():
                await _within(BEAT_SECONDS, self._news)
                self._news.clear()
                if self._heard_at is not None:
                    until, self._heard_at = self._heard_at, None
                    missed, self._missed = self._missed, {}
                    yield Heard(tuple(self._minutes.take(until)), missed)
            listening.result()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    # ── connections, one after the other

    async def _listen(self) -> None:
        while True:
            while not self._watched:
                self._rewatched.clear()
                await self._rewatched.wait()
            try:
                await self._connected()
            except* (OSError, WebSocketException) as lost:
                level = logging.WARNING if self._watched and not self._failures else logging.DEBUG
                log.log(level, "Yahoo's stream was lost and is connected to anew: %s", lost.exceptions[0])
            pause = min(FIRST_PAUSE_SECONDS * 2**self._failures, LONGEST_PAUSE_SECONDS)
            self._failures = min(self._failures + 1, 10)
            await asyncio.sleep(pause * uniform(0.5, 1))

    async def _connected(self) -> None:
        """Until the connection is lost, given up, or not needed any more."""
        socket = await connect(self._address, compression=None)
        self._minutes.interrupted()
        if self._newest_at is not None:
            self._missed = dict.fromkeys(self._watched, self._newest_at) | self._missed
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._keep_subscribed(socket))
                both.create_task(self._receive(socket))
        finally:
            socket.transport.abort()  # who is silent would not answer a farewell either
            await socket.wait_closed()

    async def _keep_subscribed(self, socket: ClientConnection) -> None:
        """Ends the connection when nothing is watched any more."""
        subscribed: set[str] = set()
        while self._watched:
            self._rewatched.clear()
            wanted = {yahoo_symbol(ticker) for ticker in self._watched}
            if subscribed - wanted:
                await socket.send(_said("unsubscribe", subscribed - wanted))
            await socket.send(_said("subscribe", wanted))
            subscribed = wanted
            await _within(RENEWAL_SECONDS, self._rewatched)
        socket.transport.abort()

    async def _receive(self, socket: ClientConnection) -> None:
        """A connection that has lasted for a while is no failure when it ends: one that is made and lost at once is."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(SILENCE_SECONDS) as silence:
                while True:
                    if self._understood(await socket.recv()):
                        silence.reschedule(loop.time() + SILENCE_SECONDS)
                        self._failures = self._failures if loop.time() < began + SILENCE_SECONDS else 0
        except TimeoutError:
            raise TimeoutError(f"it was silent for {SILENCE_SECONDS:g} s") from None

    # ── frames

    def _understood(self, frame: str | bytes) -> bool:
        """What cannot be understood is no sign of life: it would look as if nothing were traded."""
        now = self._clock.now()
        try:
            pricing = _pricing(frame)
            tick = self._tick(pricing, now) if pricing is not None else None
        except Unusable as error:
            self._complain(str(error), frame)
            return False
        self._heard_at = self._newest_at = now
        if tick is not None and self._minutes.put(tick, now):
            self._news.set()
        return True

    def _tick(self, pricing: Any, now: datetime) -> Tick | None:
        """None for a symbol that is not watched, and for what is traded out of hours, which history leaves out, too."""
        symbol = self._watched.get(_known_as(pricing.id) or "")
        if symbol is None or pricing.market_hours != REGULAR:
            return None
        tick = tick_of(symbol, pricing)
        if tick.at > now + AHEAD:
            raise Unusable("a time ahead of the clock")
        return tick

    def _complain(self, why: str, frame: str | bytes) -> None:
        if why not in self._complaints:
            self._complaints.add(why)
            log.warning("Yahoo's stream sent what cannot be used, said once: %s in %.200r", why, frame)


def _streamer(url: str) -> str:
    server = urlsplit(url or STREAMER)
    scheme = {"http": "ws", "https": "wss"}.get(server.scheme, server.scheme)
    return urlunsplit((scheme, server.netloc, "/", VERSION, ""))


def _said(what: str, symbols: set[str]) -> str:
    return orjson.dumps({what: sorted(symbols)}).decode()


def _pricing(frame: str | bytes) -> Any:
    """The PricingData of a frame; None for a frame of another kind, such as a heartbeat. Raises Unusable."""
    text = frame if isinstance(frame, str) else frame.decode(errors="replace")
    if text.startswith("{"):
        try:
            message = orjson.loads(text)
        except ValueError:
            raise Unusable("no JSON") from None
        if message.get("type") != "pricing":
            return None
        text = message.get("message")
    try:
        pricing = PricingData.FromString(b64decode(text, validate=True))
    except (ValueError, TypeError):
        raise Unusable("no base64") from None
    except Exception:  # DecodeError, of a package that only yfinance depends on
        raise Unusable("no PricingData") from None
    if not pricing.id:
        raise Unusable("no symbol")
    return pricing


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Until the event, and no longer than that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
