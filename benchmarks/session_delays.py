"""The trading session's delays: of live minutes while another symbol works through 98,000 bars, and of a gate that turns, from the
command to a WebSocket client. Beside each the same without the load: nobody catching up, a query over the same socket.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from statistics import quantiles
from time import perf_counter

from benchmarks.databases import databases
from benchmarks.report import Comparison, print_machine, print_table
from domain.aggregation import Minute
from domain.bars import Bar, Interval
from domain.calendars import CRYPTO, TradingDay
from domain.clock import Clock
from domain.hours import Hours
from domain.ports import Heard
from domain.services.leading import Leader
from domain.services.loading import Loaded, Loading
from domain.session import SessionMode, StartSession
from domain.symbols import Profile, Symbol
from domain.tickers import AssetClass
from providers.sample import SampleProvider
from tests.support.served import socket_to
from tests.support.universe import track_as
from web.container import Container, open_container, running_loops
from web.demo import DEMO_CLOCK
from web.serving import run, serve
from web.settings import Settings

LIVE, BEHIND = "LIVE-USD", "BEHIND-USD"
BACKLOG = 98_000
HEARD, PAUSE_SECONDS = 150, 0.02
TURNS = 60
MINUTE = timedelta(minutes=1)
PATIENT = 10**9
"""Seconds: however far somebody is behind, the gate stays open, so that the live one's bars are told."""
FIRST = datetime(2026, 3, 27, 6, tzinfo=UTC)


class Feed:
    """A minute of the live symbol every few milliseconds, of an earlier hour: what is measured is not the market's time."""

    period_seconds = 0.0

    def __init__(self) -> None:
        self.sent: dict[datetime, float] = {}

    def watch(self, symbols: Sequence[Symbol]) -> None:
        pass

    async def heard(self) -> AsyncGenerator[Heard, None]:
        for n in range(10**6):
            await asyncio.sleep(PAUSE_SECONDS)
            bar = minute(LIVE, FIRST + n * MINUTE)
            self.sent[bar.close_time] = perf_counter()
            yield Heard((bar,))


class FromMemory(Loading):
    """Of the symbol that is behind there are 98,000 bars, of the other none."""

    async def load(self, symbol: Symbol, day: date | None) -> Loaded:
        opens = FIRST - BACKLOG * MINUTE
        bars = [minute(symbol.ticker, opens + n * MINUTE) for n in range(BACKLOG)] if symbol.ticker == BEHIND else []
        rows = [Minute(int(bar.open_time.timestamp()), bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars]
        return Loaded(symbol, Hours(CRYPTO), TradingDay(opens.date(), opens, FIRST), rows, (), "made up")


def minute(ticker: str, opens: datetime) -> Bar:
    price = Decimal(100 + opens.minute)
    return Bar(
        ticker, Interval.ONE_MINUTE, opens, opens + MINUTE, price, price, price, price, Decimal(1), opens.date(), "made up"
    )


def main() -> None:
    delays, turns = [], []
    with databases() as urls:
        for name, url in urls.items():
            alone, beside, seconds = run(heard(url))
            delays.append(Comparison(f"{name}, median", [median(beside)], [median(alone)]))
            delays.append(Comparison(f"{name}, p99", [p99(beside)], [p99(alone)]))
            print(f"{name}: {BACKLOG:,} bars were caught up in {seconds:.1f} s, {len(beside)} live minutes meanwhile")
    with databases() as urls:
        for name, url in urls.items():
            told, asked = run(turned(url))
            turns.append(Comparison(f"{name}, median", [median(told)], [median(asked)]))
            turns.append(Comparison(f"{name}, p99", [p99(told)], [p99(asked)]))
    print_table("A live minute, from the feed to a follower", "98,000 catch up", "nobody does", "ms", delays)
    print_table("A pause, from the command to a WebSocket client", "sessionActivation", "a query's answer", "ms", turns)


def median(seconds: Sequence[float]) -> float:
    return quantiles(seconds, n=2)[0] * 1e3


def p99(seconds: Sequence[float]) -> float:
    return quantiles(seconds, n=100)[98] * 1e3


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Container]:
    def provider(settings: Settings, clock: Clock) -> SampleProvider:
        return SampleProvider(settings.sample_dir, clock)

    settings = Settings(database_url=url, providers=("sample",), clock=DEMO_CLOCK, port=0)
    async with open_container(settings, provider) as container:
        await track_as(
            container.database, *(Profile(ticker, None, AssetClass.CRYPTO, None, "USD") for ticker in (LIVE, BEHIND))
        )
        yield container


async def heard(url: str) -> tuple[list[float], list[float], float]:
    """The delays of minutes alone, those beside a symbol that catches up, and how long that takes."""
    feed = Feed()
    async with opened(url) as container:
        services, tools = container.services, container.leader.tools
        loading = FromMemory(container.database, tools.loading.provider, services.onboarding, services.clock)
        leader = Leader(container.feed, replace(tools, open_feed=lambda: feed, loading=loading))
        container = replace(container, leader=leader)
        async with running_loops(container, on_clock_replaced=lambda: None):
            sessions = services.sessions
            await sessions.start(StartSession(SessionMode.LIVE, (LIVE,), threshold_seconds=PATIENT), 0)
            delays: list[float] = []

            async def follow() -> None:
                async for bar in services.bar_feed.follow([LIVE], Interval.ONE_MINUTE):
                    delays.append(perf_counter() - feed.sent[bar.close_time])

            following = asyncio.create_task(follow())
            while len(delays) < HEARD:
                await asyncio.sleep(0.05)
            alone, began = len(delays), perf_counter()
            await sessions.add(BEHIND, 1, None, None)
            while ((symbol := (await sessions.current()).get(BEHIND)) is None) or symbol.bars_processed < BACKLOG:
                await asyncio.sleep(0.05)
            seconds = perf_counter() - began
            beside = delays[alone:]
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
    return delays[:alone], beside, seconds


async def turned(url: str) -> tuple[list[float], list[float]]:
    """From a command to what a WebSocket client is told of it, and a query's time over the same socket."""
    async with opened(url) as container:
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(container, address.set_result))
        async with socket_to(await address) as follower, socket_to(await address) as asker:
            number = await follower.start("subscription { sessionActivation { epoch active } }")
            await follower.next(number)
            sessions = container.services.sessions
            await sessions.start(StartSession(SessionMode.REPLAY, ("SPY",), date(2026, 3, 25), speed=1), 0)
            while not (await follower.next(number))["data"]["sessionActivation"]["active"]:
                pass
            told, asked, version = [], [], 1
            for turn in range(TURNS):
                command = sessions.resume if turn % 2 else sessions.pause
                began = perf_counter()
                await asyncio.gather(command(version), follower.next(number))
                told.append(perf_counter() - began)
                version += 1
                began = perf_counter()
                await asker.ask("{ session { epoch } }")
                asked.append(perf_counter() - began)
        import signal

        signal.raise_signal(signal.SIGTERM)
        await serving
    return told, asked


if __name__ == "__main__":
    print_machine()
    main()
