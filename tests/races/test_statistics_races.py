"""Bars written by several processes while others count the days: what is taken for counted is."""

import asyncio
import sys

from sqlalchemy import func, select

from domain.bars import Interval
from domain.symbols import Symbol
from persistence.tables import bar_days, bars
from tests.support.counting import DAYS, TICKERS, WRITES
from tests.support.figures import told
from tests.support.process import ROOT
from tests.support.provider import profile
from tests.support.stored import opened

WRITERS, COUNTERS = 3, 2


async def started(url: str, role: str, seed: str, *mutants: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.counting",
        url,
        role,
        seed,
        *mutants,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def wrong_days(url: str, *mutants: str) -> tuple[list[tuple[str, str, int, int]], int]:
    """The days that are taken for counted and have another number of bars; and how many countings there were."""
    async with opened(url) as database:
        async with database.write() as unit:
            for ticker in TICKERS:
                await unit.symbols.add(Symbol.tracked(profile(ticker), None, None))
        counting = [await started(url, "settle", "", *mutants) for _ in range(COUNTERS)]
        try:
            writing = [await started(url, "write", str(seed), *mutants) for seed in range(WRITERS)]
            written = [await process.wait() for process in writing]
        finally:
            done = [await process.communicate(b"") for process in counting]
        assert written == [0] * WRITERS
        assert [process.returncode for process in counting] == [0] * COUNTERS
        async with database.engine.read() as connection:
            day = func.date(bars.c.open_time)
            there = select(bars.c.ticker, day, func.count()).group_by(bars.c.ticker, day)
            held = {(ticker, str(when)): count for ticker, when, count in await connection.execute(there)}
            noted = (await connection.execute(select(bar_days).where(bar_days.c.interval == Interval.ONE_MINUTE))).all()
        assert {(row.ticker, str(row.day)) for row in noted} == held.keys(), "each day with bars is noted"
    wrong = [
        (row.ticker, str(row.day), row.bars, held[row.ticker, str(row.day)])
        for row in noted
        if row.is_current and row.bars != held[row.ticker, str(row.day)]
    ]
    return wrong, sum(int(output) for output, _ in done)


async def test_no_write_is_lost_between_the_counting_and_its_being_kept(database_url: str) -> None:
    slow = ["slow to settle"] if "postgresql" in database_url else []  # SQLite lets nobody else write meanwhile
    wrong, countings = await wrong_days(database_url, *slow)
    told(f"{WRITERS * WRITES * DAYS * len(TICKERS)} writes, {countings} days counted meanwhile")
    assert wrong == []
    assert countings > 10


async def test_without_the_lock_some_are_lost(postgresql_url: str) -> None:
    wrong, _ = await wrong_days(postgresql_url, "slow to settle", "days counted unlocked")
    told(f"without the lock {len(wrong)} of {len(TICKERS) * DAYS} days are taken for counted, and are not")
    assert wrong != []
