"""Backfills that several processes on one database queue: by hand, and by the schedule that each of them keeps."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from persistence.unit_of_work import SqlDatabase
from providers.sample import listing
from tests.support.backfills import starts, succeed
from tests.support.figures import told
from tests.support.process import Processes, Service, until
from tests.support.stored import opened
from tests.support.universe import track_in
from web.settings import BUNDLED_SAMPLE

START = """mutation($input: BackfillSymbolInput!) { backfillSymbol(input: $input) {
    __typename ... on BackfillStarted { symbol { ticker backfill { status } } } ... on Problem { code }
} }"""
TICKERS = sorted(listing(BUNDLED_SAMPLE))
EVENING = "2026-03-27T20:30:00Z"
THE_NEXT_MORNING = "2026-03-28T09:00:00Z"
YESTERDAY = datetime(2026, 3, 27, 2, 0, 30, tzinfo=UTC)


# ── by hand


async def asked_at_once(database_url: str, *mutants: str) -> tuple[Counter[str], Counter[str]]:
    """By two processes, twice each, of a symbol that has had a backfill before: the answers, and how often it has started."""
    await track_in(database_url, "AAPL")
    async with Processes(database_url, FRESHTAPE_CLOCK=EVENING) as processes, opened(database_url) as database:
        services = await processes.start(2, "slow to start a backfill", *mutants)
        await ask(services[0])
        await succeed(database)
        answers = await asyncio.gather(*(ask(service) for service in services * 2))
        began = await starts(database)
    return Counter(answer["__typename"] for answer in answers), began


async def ask(service: Service) -> dict[str, Any]:
    answer = await service.ask(START, input={"ticker": "AAPL"})
    assert "errors" not in answer, answer
    found: dict[str, Any] = answer["data"]["backfillSymbol"]
    return found


async def test_of_four_that_ask_at_once_one_starts_it(database_url: str) -> None:
    assert await asked_at_once(database_url) == (
        Counter(BackfillStarted=1, AlreadyBackfilling=3),
        Counter(AAPL=2),
    )


async def test_without_the_lock_more_do(postgresql_url: str) -> None:
    answers, began = await asked_at_once(postgresql_url, "backfill not locked")
    assert answers["BackfillStarted"] > 1
    assert began["AAPL"] == 1 + answers["BackfillStarted"]


# ── by the schedule


@asynccontextmanager
async def a_night_missed(database_url: str) -> AsyncIterator[tuple[Processes, SqlDatabase]]:
    """Every symbol of the sample market is tracked, the schedule ran last a day ago, and whatever is queued is completed at
    once."""
    await track_in(database_url, *TICKERS)
    async with (
        Processes(
            database_url,
            FRESHTAPE_CLOCK=THE_NEXT_MORNING,
            FRESHTAPE_BACKFILL_DAYS="3",
            FRESHTAPE_BACKFILL_MINUTE_DAYS="0",
        ) as processes,
        opened(database_url) as database,
    ):
        async with database.write() as unit:
            await unit.schedules.lock("backfill")
            await unit.schedules.ran("backfill", YESTERDAY)
        is_over = asyncio.Event()
        working = asyncio.create_task(work_off(database, is_over))
        try:
            yield processes, database
        finally:
            is_over.set()
            await working


async def work_off(database: SqlDatabase, is_over: asyncio.Event) -> None:
    while not is_over.is_set():
        await succeed(database)
        await asyncio.sleep(0.02)


async def queued_by(service: Service) -> int:
    """How many symbols it says that its run has queued."""

    async def has_run() -> bool:
        return "symbols queued" in service.said

    await until(has_run, within=40)
    (line,) = re.findall(r"(\d+) of \d+ symbols queued", service.said)
    return int(line)


async def run_once(database_url: str) -> str:
    """By three that start together. Not all of them need find it due."""
    async with a_night_missed(database_url) as (processes, database):
        services = await processes.start(3, "small chunks", "runs are told aloud", works=True)

        async def all_have_begun() -> bool:
            return set(await starts(database)) == set(TICKERS)

        await until(all_have_begun, within=40)
        await asyncio.sleep(2)  # in which whoever is not done would go on
        assert await starts(database) == Counter(TICKERS)
        runs = sum("symbols queued" in service.said for service in services)
    return f"{len(TICKERS)} symbols queued once each by 3 processes, {runs} of which made the run"


async def test_a_run_that_was_missed_is_made_once_over_all_processes(sqlite_url: str, postgresql_url: str) -> None:
    for found in await asyncio.gather(run_once(sqlite_url), run_once(postgresql_url)):
        told(found)


async def late(database_url: str, *mutants: str) -> tuple[int, int]:
    """How many symbols are queued by the process that makes the run, and by another one that has begun it too and goes on when
    all of them have been worked off."""
    async with a_night_missed(database_url) as (processes, database):
        waits = "runs when another has, and all are done"
        second = await processes.start_one("runs are told aloud", waits, *mutants, works=True)
        first = await processes.start_one("runs are told aloud", works=True)
        counted = await queued_by(first), await queued_by(second)
        assert (await starts(database)).total() == sum(counted)
    return counted


async def test_who_comes_late_to_a_run_finds_all_of_it_done(sqlite_url: str, postgresql_url: str) -> None:
    both = await asyncio.gather(late(sqlite_url), late(postgresql_url))
    assert list(both) == [(len(TICKERS), 0)] * 2


async def test_where_it_does_not_look_everybody_runs_it(sqlite_url: str, postgresql_url: str) -> None:
    guard = "what a run has queued is not looked at"
    both = await asyncio.gather(late(sqlite_url, guard), late(postgresql_url, guard))
    assert list(both) == [(len(TICKERS), len(TICKERS))] * 2
