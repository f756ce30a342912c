"""The trading session: bars a second through its lanes, without storing and with.

Without: the lanes alone, with six longer intervals, the order by close and ticker and the lag checks; beside a plain heap of
the same bars with a lag check and one dictionary for all intervals. With: a day replayed as fast as it goes by a service, on
each database.
"""

import heapq
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from math import ceil
from random import Random
from time import perf_counter

from benchmarks.databases import databases
from benchmarks.report import Comparison, by_turns, print_machine, print_table
from domain.aggregation import Minute
from domain.bars import Bar, Interval
from domain.calendars import calendar_for
from domain.hours import LENGTHS, Hours
from domain.lanes import Lanes
from domain.services.leadership import LINGER_SECONDS
from domain.services.sessions import Sessions
from domain.session import SessionMode, SessionState, StartSession
from domain.symbols import Profile
from domain.tickers import AssetClass
from tests.support.universe import track_as
from web.container import open_container, running_loops
from web.demo import DEMO_CLOCK
from web.serving import keep_what_is_loaded, run
from web.settings import Settings

DAY = date(2026, 3, 25)
MINUTES = 480
OPENS, CLOSES = (int(datetime(2026, 3, day, hour, tzinfo=UTC).timestamp()) for day, hour in ((25, 16), (26, 0)))
"""The last third of the day: one whose last minute is held is not asked for."""
THRESHOLD, EVERY = 60, 10
ROUNDS = 3
STORED_AT_ONCE = 10_000
CRYPTO = Hours(calendar_for(AssetClass.CRYPTO, None))


def minutes_of(ticker: str) -> list[Minute]:
    chance, price = Random(ticker), Decimal(100)
    found = []
    for n in range(MINUTES):
        close = max(Decimal(1), price + Decimal(chance.randint(-50, 50)) / 100)
        low, high = min(price, close) - Decimal("0.01"), max(price, close) + Decimal("0.01")
        found.append(Minute(OPENS + 60 * n, price, high, low, close, Decimal(chance.randint(1, 10_000))))
        price = close
    return found


def main() -> None:
    market = {f"C{n:04}-USD": minutes_of(f"C{n:04}-USD") for n in range(500)}
    keep_what_is_loaded()
    found = []
    for count in (10, 100, 500):
        rows = dict(list(market.items())[:count])
        each = by_turns(f"{count} symbols", partial(through_lanes, rows), partial(through_a_heap, rows), ROUNDS)
        found.append(Comparison(each.label, *([count * MINUTES / s / 1e6 for s in times] for times in (each.ours, each.other))))
    print_table("Bars through the session, not stored", "freshtape", "a heap and dictionaries", "million a second", found)
    stored = []
    for count in (10, 100):
        rows = dict(list(market.items())[:count])
        alone = [count * MINUTES / through_lanes(rows) / 1e3 for _ in range(ROUNDS)]
        with databases() as urls:
            for name, url in urls.items():
                seconds = run(replayed(url, rows))
                stored.append(Comparison(f"{count} symbols, {name}", [count * MINUTES / s / 1e3 for s in seconds], alone))
    print_table("Bars through the session, stored", "freshtape", "the same, not stored", "thousand a second", stored)


def through_lanes(market: dict[str, list[Minute]]) -> float:
    lanes = Lanes(OPENS, is_live=False)
    for ticker, rows in market.items():
        lanes.enter(ticker, CRYPTO, rows, THRESHOLD, EVERY)
    windows = 0
    began = perf_counter()
    while lanes.clock < CLOSES:
        lanes.advance(CLOSES, 20_000)
        windows += len(lanes.windows)
        lanes.settle()
    seconds = perf_counter() - began
    expected = len(market) * sum(ceil(MINUTES * 60 / length) for length in LENGTHS.values())
    if windows != expected:
        raise RuntimeError(f"{windows} longer bars, and there should be {expected}")
    return seconds


def through_a_heap(market: dict[str, list[Minute]]) -> float:
    def feed(ticker: str, rows: list[Minute]) -> Iterator[tuple[int, str, Minute]]:
        for row in rows:
            yield row.opens + 60, ticker, row

    began = perf_counter()
    held: dict[tuple[str, Interval, int], list[Decimal]] = {}
    lagging = 0
    for close, ticker, row in heapq.merge(*(feed(ticker, rows) for ticker, rows in market.items())):
        lagging += close - row.opens - 60 > THRESHOLD
        for interval, length in LENGTHS.items():
            key = ticker, interval, (row.opens - OPENS) // length
            if (bar := held.get(key)) is None:
                held[key] = [row.open, row.high, row.low, row.close, row.volume]
            else:
                bar[1], bar[2], bar[3] = max(bar[1], row.high), min(bar[2], row.low), row.close
                bar[4] += row.volume
    return perf_counter() - began


async def replayed(url: str, market: dict[str, list[Minute]]) -> list[float]:
    """Seconds from the first bar to the last, each time."""
    settings = Settings(database_url=url, providers=("sample",), clock=DEMO_CLOCK, port=0)
    async with open_container(settings) as container, running_loops(container, on_clock_replaced=lambda: None):
        for ticker, rows in market.items():
            await track_as(container.database, Profile(ticker, None, AssetClass.CRYPTO, None, "USD"))
            async with container.database.write() as unit:
                await unit.bars.upsert([stored(ticker, row) for row in rows])
        keep_what_is_loaded()
        return [await _replay(container.services.sessions, tuple(market)) for _ in range(ROUNDS)]


async def _replay(sessions: Sessions, tickers: tuple[str, ...]) -> float:
    session = await sessions.current()
    await sessions.start(StartSession(SessionMode.REPLAY, tickers, DAY, speed=0), session.version)
    began = 0.0
    async for move in sessions.follow(None):
        session = move.event.session
        if session.is_active and not began:
            began = perf_counter()
        if session.state is SessionState.FINISHED:
            return perf_counter() - began - LINGER_SECONDS
    raise AssertionError


def stored(ticker: str, row: Minute) -> Bar:
    opens = datetime.fromtimestamp(row.opens, UTC)
    return Bar(ticker, Interval.ONE_MINUTE, opens, opens + timedelta(minutes=1), *row[1:], opens.date(), "made up")


if __name__ == "__main__":
    print_machine()
    main()
