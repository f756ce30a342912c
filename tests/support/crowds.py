"""Hundreds of symbols with a history, and a burst of changes to them, made past the service."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from domain.events import SymbolChanged, SymbolChangeKind
from domain.levels import Direction
from domain.symbols import Symbol
from persistence.engine import Engine
from persistence.market_clock import clock_generation
from persistence.unit_of_work import SqlDatabase
from tests.support.provider import daily_bar
from tests.support.universe import profile_of

EVENING = datetime(2026, 3, 27, 20, 30, tzinfo=UTC)
DAYS = [date(2026, 3, 27) - timedelta(days=ago) for ago in range(40, 0, -1)]


def tickers(number: int) -> list[str]:
    return [f"Z{place:04d}" for place in range(number)]


def crowd(database: Path, number: int) -> None:
    """So many symbols more, ACTIVE and refreshed; every tenth long ago."""
    _in_a_thread(lambda: _fill(database, tickers(number)))


class Burst:
    """`seconds` of `rate` changes a second from another thread, one transaction each: every change gives the next of `names`
    a name that says how often it was changed. `last` holds the last name of each."""

    def __init__(self, database: Path, names: list[str], rate: int, seconds: float) -> None:
        self.number = int(rate * seconds)
        self.took = 0.0
        self.last: dict[str, str] = {}
        self._work = threading.Thread(target=lambda: asyncio.run(self._go(database, names, rate)))

    def start(self) -> None:
        self._work.start()

    def wait(self) -> None:
        self._work.join()

    @property
    def is_over(self) -> bool:
        return not self._work.is_alive()

    async def _go(self, path: Path, names: list[str], rate: int) -> None:
        async with asyncio.timeout(60):
            engine = Engine(_url(path))
            database = SqlDatabase(engine, await clock_generation(engine))
            began = time.monotonic()
            for place in range(self.number):
                await asyncio.sleep(began + place / rate - time.monotonic())
                ticker, name = names[place % len(names)], f"Changed {place + 1} times"
                async with database.write() as unit:
                    symbol = await unit.symbols.get(ticker)
                    assert symbol is not None
                    await unit.symbols.save(replace(symbol, name=name, version=symbol.version + 1), symbol.version)
                    await unit.events.append(SymbolChanged(SymbolChangeKind.UPDATED, ticker, EVENING))
                self.last[ticker] = name
            self.took = time.monotonic() - began
            await engine.close()


async def _fill(path: Path, names: list[str]) -> None:
    engine = Engine(_url(path))
    database = SqlDatabase(engine, await clock_generation(engine))
    async with database.write() as unit:
        for place, ticker in enumerate(names):
            assert await unit.symbols.add(_symbol(ticker, place))
            await unit.bars.upsert(
                [daily_bar(ticker, day, str(100 + (place * 7 + ago * 3) % 23)) for ago, day in enumerate(DAYS)]
            )
    await engine.close()


def _symbol(ticker: str, place: int) -> Symbol:
    updated = EVENING - (timedelta(days=9) if place % 10 == 0 else timedelta(seconds=place))
    return replace(
        Symbol.tracked(profile_of(ticker), None, None).refreshed_at(updated),
        as_of=datetime(2026, 3, 27, tzinfo=UTC),
        last_price=Decimal(100 + place),
        level_count=place % 9,
        direction=list(Direction)[place % 3],
    )


def _url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def _in_a_thread(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
