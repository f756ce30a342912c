"""Twenty unknown symbols from the queue to their end, against a provider that takes 250 ms a call.

Beside it the bound that three at a time set: of each symbol two calls are made one after the other, what it is and its prices,
so that twenty are seven rounds of 500 ms. The eight ETFs that betas are measured against are loaded within the first one's
time, all at once: two calls one after the other again, which the first three wait for.
"""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.databases import databases
from benchmarks.report import Comparison, print_machine, print_table
from domain.bars import History, Interval
from domain.clock import Clock
from domain.onboarding import JobStatus
from domain.symbols import Profile, Symbol
from providers.sample import SampleProvider
from tests.support.market import ETFS, made_up, write_market
from web.container import open_container, running_loops
from web.demo import DEMO_CLOCK
from web.serving import run
from web.settings import Settings

SYMBOLS, PLACES, ROUNDS = 20, 3, 3
CALL_SECONDS, CALLS = 0.25, 2
BOUND_SECONDS = (ceil(SYMBOLS / PLACES) + 1) * CALLS * CALL_SECONDS
DOCUMENTED_SECONDS = "65 to 95"


class FarProvider(SampleProvider):
    """The sample market, read beforehand and far away: what a call takes is the way."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        super().__init__(folder, clock)
        self._profiles: dict[str, Profile] = {}
        self._histories: dict[str, History] = {}

    async def read(self, tickers: Sequence[str], until: datetime) -> None:
        first = date(until.year - 1, until.month, until.day)
        for ticker in tickers:
            self._profiles[ticker] = await super().profile(ticker)
            symbol = Symbol.tracked(self._profiles[ticker], None, None)
            self._histories[ticker] = await super().history(symbol, Interval.ONE_DAY, first, until)

    async def profile(self, ticker: str) -> Profile:
        await asyncio.sleep(CALL_SECONDS)
        return self._profiles[ticker]

    async def history(self, symbol: Symbol, interval: Interval, start: date, until: datetime) -> History:
        await asyncio.sleep(CALL_SECONDS)
        return self._histories[symbol.ticker]


def main() -> None:
    with TemporaryDirectory(prefix="freshtape-market-") as folder:
        market = write_market(Path(folder) / "made_up", made_up(SYMBOLS))
        with databases() as warm:  # the first calendar of a process takes a second to make
            run(_onboarded(warm["SQLite"], market))
        measured: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            with databases() as urls:
                for name, url in urls.items():
                    measured.setdefault(name, []).append(run(_onboarded(url, market)))
    found = [Comparison(name, seconds, [BOUND_SECONDS] * ROUNDS) for name, seconds in measured.items()]
    title = f"{SYMBOLS} unknown symbols, {CALL_SECONDS * 1000:.0f} ms a call (the documents: {DOCUMENTED_SECONDS} s)"
    print_table(title, "freshtape", f"bound of {PLACES} at a time", "seconds", found)


async def _onboarded(url: str, market: Path) -> float:
    """Seconds from the request until the last symbol is ready, in a service that has nothing yet."""
    tickers = made_up(SYMBOLS)
    settings = Settings(
        database_url=url,
        providers=("sample",),
        sample_dir=market,
        clock=DEMO_CLOCK,
        port=0,
        onboarding_max_concurrent=PLACES,
    )
    provider: list[FarProvider] = []

    def far(_: str, settings: Settings, clock: Clock) -> FarProvider:
        provider.append(FarProvider(settings.sample_dir, clock))
        return provider[0]

    async with open_container(settings, far) as container, running_loops(container, on_clock_replaced=lambda: None):
        await provider[0].read([*tickers, *ETFS], DEMO_CLOCK)
        onboarding = container.services.onboarding
        started = perf_counter()
        await onboarding.onboard(tickers, "benchmark")
        async for _ in onboarding.follow(tickers, None):
            pass
        seconds = perf_counter() - started
        completed = await onboarding.jobs((JobStatus.COMPLETED,), SYMBOLS + 1)
    if len(completed) != SYMBOLS:
        raise RuntimeError(f"{len(completed)} of {SYMBOLS} were onboarded")
    return seconds


if __name__ == "__main__":
    print_machine()
    main()
