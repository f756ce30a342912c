"""The trading session's delays: of live minutes while another symbol works through 98,000 bars, and of a gate that turns, from
the command to a WebSocket client. Beside them the same while nobody catches up, and a query over a like socket.
"""

import asyncio
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from statistics import median, quantiles
from time import perf_counter

from benchmarks.databases import databases
from benchmarks.report import Comparison, out, print_machine, print_table
from domain.aggregation import minute_of
from domain.bars import Bar, Interval
from domain.calendars import CRYPTO, TradingDay
from domain.hours import Hours
from domain.ports import Heard
from domain.services.leading import Leader
from domain.services.loading import Loaded, Loading
from domain.session import SessionMode, StartSession
from domain.symbols import Profile, Symbol
from domain.tickers import AssetClass
from tests.support.served import socket_to
from tests.support.universe import track, track_as
from web.container import Container, open_container, running_loops
from web.demo import DAY, DEMO_CLOCK
from web.serving import keep_what_is_loaded, run, serve
from web.settings import Settings

LIVE, BEHIND = "LIVE-USD", "BEHIND-USD"
BACKLOG = 98_000
ALONE, PAUSE_SECONDS = 200, 0.02
TURNS = 100
MINUTE = timedelta(minutes=1)
PATIENT = 10**9
"""Seconds: however far somebody is behind, the gate stays open, so that the live one's bars are told."""
FIRST = datetime(2026, 3, 27, tzinfo=UTC)


def minute(ticker: str, opens: datetime) -> Bar:
    price = Decimal(100 + opens.minute)
    prices = price, price, price, price, Decimal(1)
    return Bar(ticker, Interval.ONE_MINUTE, opens, opens + MINUTE, *prices, opens.date(), "made up")


class Feed:
    """A minute of the live symbol every few milliseconds; it is the clock, too, of a market in such a hurry."""

    period_seconds = 0.0

    def __init__(self) -> None:
        self.sent: dict[datetime, float] = {}
        self._now = FIRST

    def now(self) -> datetime:
        return self._now

    def watch(self, symbols: Sequence[Symbol]) -> None:
        """It has its own."""

    async def heard(self) -> AsyncGenerator[Heard, None]:
        for n in range(1, 10**6):
            await asyncio.sleep(PAUSE_SECONDS)
            bar = minute(LIVE, FIRST + n * MINUTE)
            self._now = bar.close_time
            self.sent[bar.close_time] = perf_counter()
            yield Heard((bar,))


class FromMemory(Loading):
    """Of the symbol that is behind there are 98,000 bars, made beforehand, of the other none."""

    rows = tuple(minute_of(minute(BEHIND, FIRST - (BACKLOG - n) * MINUTE)) for n in range(BACKLOG))

    async def load(self, symbol: Symbol, day: date | None) -> Loaded:
        opens = FIRST - BACKLOG * MINUTE
        rows = self.rows if symbol.ticker == BEHIND else ()
        return Loaded(symbol, Hours(CRYPTO), TradingDay(opens.date(), opens, FIRST), rows, (), "made up")


def main() -> None:
    delays: list[Comparison] = []
    turns: list[Comparison] = []
    with databases() as urls:
        for name, url in urls.items():
            alone, beside, seconds = run(heard(url))
            delays += _compared(name, beside, alone)
            out.print(f"{name}: {BACKLOG:,} bars were caught up in {seconds:.1f} s, with {len(beside)} live minutes meanwhile")
    with databases() as urls:
        for name, url in urls.items():
            turns += _compared(name, *run(turned(url)))
    print_table("A live minute, from the feed to a follower", "98,000 catch up", "nobody does", "ms", delays)
    print_table("A pause, from the command to a WebSocket client", "sessionActivation", "a query's answer", "ms", turns)


def _compared(name: str, ours: Sequence[float], other: Sequence[float]) -> list[Comparison]:
    both = [[seconds * 1e3 for seconds in given] for given in (ours, other)]
    highest = [[quantiles(given, n=100)[98]] for given in both]
    return [Comparison(f"{name}, median", *([median(given)] for given in both)), Comparison(f"{name}, p99", *highest)]


@asynccontextmanager
async def opened(url: str, clock: datetime) -> AsyncIterator[Container]:
    settings = Settings(database_url=url, providers=("sample",), clock=clock, port=0)
    async with open_container(settings) as container:
        await track_as(
            container.database, *(Profile(ticker, None, AssetClass.CRYPTO, None, "USD") for ticker in (LIVE, BEHIND))
        )
        await track(container.database, "SPY")
        keep_what_is_loaded()
        yield container


async def heard(url: str) -> tuple[list[float], list[float], float]:
    """The delays of minutes alone, those beside a symbol that catches up, and how long that takes."""
    feed = Feed()
    async with opened(url, FIRST) as opened_:
        services, tools = opened_.services, opened_.leader.tools
        loading = FromMemory(opened_.database, tools.loading.provider, services.onboarding, services.clock)
        leader = Leader(opened_.feed, replace(tools, open_feed=lambda: feed, clock=feed, loading=loading))
        async with running_loops(replace(opened_, leader=leader), on_clock_replaced=lambda: None):
            sessions = services.sessions
            await sessions.start(StartSession(SessionMode.LIVE, (LIVE,), threshold_seconds=PATIENT), 0)
            async with aclosing(services.bar_feed.follow([LIVE], Interval.ONE_MINUTE)) as bars:
                alone = [-feed.sent[(await anext(bars)).close_time] + perf_counter() for _ in range(ALONE)]
                adding = asyncio.create_task(sessions.add(BEHIND, 1, None, None))
                began: float | None = None
                beside: list[float] = []
                async for bar in bars:
                    delay = perf_counter() - feed.sent[bar.close_time]
                    symbol = (await sessions.current()).get(BEHIND)
                    if symbol is not None and symbol.bars_processed:
                        began = began or perf_counter()
                        beside.append(delay)
                        if symbol.bars_processed == BACKLOG:
                            break
                await adding
    assert began is not None
    return alone, beside, perf_counter() - began


async def turned(url: str) -> tuple[list[float], list[float]]:
    """From a command to what a WebSocket client is told of it, and a query's time over a socket of its own."""
    async with opened(url, DEMO_CLOCK) as container:
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(container, address.set_result))
        async with socket_to(await address) as follower, socket_to(await address) as asker:
            number = await follower.start("subscription { sessionActivation { epoch active } }")
            await follower.next(number)
            sessions = container.services.sessions
            await sessions.start(StartSession(SessionMode.REPLAY, ("SPY",), DAY), 0)
            while not (await follower.next(number))["data"]["sessionActivation"]["active"]:
                pass
            told: list[float] = []
            asked: list[float] = []
            for turn in range(TURNS):
                command = sessions.resume if turn % 2 else sessions.pause
                began = perf_counter()
                await asyncio.gather(command(1 + turn), follower.next(number))
                told.append(perf_counter() - began)
                began = perf_counter()
                await asker.ask("{ session { epoch } }")
                asked.append(perf_counter() - began)
        signal.raise_signal(signal.SIGTERM)
        await serving
    return told, asked


if __name__ == "__main__":
    print_machine()
    main()
