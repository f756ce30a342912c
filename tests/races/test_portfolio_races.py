"""Imports by several processes on one database."""

import asyncio
from collections import Counter
from typing import Any

from persistence.engine import Engine
from persistence.unit_of_work import SqlDatabase
from tests.support.portfolios import file_of, jobs_of, kept
from tests.support.process import Processes, Service

CLOCK = "2026-03-27T20:30:00Z"
IMPORT = """mutation($input: ImportPortfolioInput!) { importPortfolio(input: $input) {
    __typename ... on PortfolioImported { portfolio { id version positions { quantity } } jobs { ticker } }
    ... on VersionConflict { expectedVersion currentVersion }
} }"""
TICKERS = ["TLT", "VUG", "VTV", "QUAL"]


async def imports(services: list[Service], files: list[str]) -> list[dict[str, Any]]:
    """Every file by every process, all at once."""
    asked = [service.ask(IMPORT, input={"name": "Main", "csv": csv}) for csv in files for service in services]
    return [answer["data"]["importPortfolio"] for answer in await asyncio.gather(*asked)]


async def test_one_of_many_files_wins_and_each_symbol_is_queued_once(database_url: str) -> None:
    files = [file_of(*(f"{ticker},{number},1" for ticker in TICKERS)) for number in range(1, 6)]
    async with Processes(database_url, FRESHTAPE_CLOCK=CLOCK) as processes:
        answers = await imports(await processes.start(3), files)
    counted = Counter(answer["__typename"] for answer in answers)
    assert counted == {"PortfolioImported": 3, "VersionConflict": 12}, "one file, by each of the three"
    won = [answer["portfolio"] for answer in answers if answer["__typename"] == "PortfolioImported"]
    assert won == won[:1] * 3
    conflicts = {(each["expectedVersion"], each["currentVersion"]) for each in answers if "currentVersion" in each}
    assert conflicts == {(None, 1)}
    engine = Engine(database_url)
    try:
        database = SqlDatabase(engine, clock_generation=0)
        portfolio, lots = await kept(database)
        jobs = await jobs_of(database, TICKERS)
        async with database.read() as unit:
            assert await unit.jobs.depth() == len(TICKERS)
    finally:
        await engine.close()
    assert portfolio.version == 1
    assert [f"{lot.quantity}" for lot in lots] == [position["quantity"] for position in won[0]["positions"]]
    assert jobs.keys() == set(TICKERS)
