"""Statistics of the recorded market, with the flaws that it has, beside a count of its files."""

import csv
import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from domain.bars import Interval
from domain.clock import parse_instant
from domain.faults import Fault
from domain.gaps import Absence, GapCause, MissingInterval
from domain.services import statistics
from domain.symbols import Symbol
from domain.tickers import AssetClass
from graph.context import Services
from persistence.unit_of_work import SqlDatabase
from providers.sample import SampleProvider, listing
from tests.support.client import GraphClient
from tests.support.clock import EVENING, ManualClock
from tests.support.figures import told
from web.settings import BUNDLED_SAMPLE

MARKET = Path(os.environ.get("FRESHTAPE_TEST_MARKET", BUNDLED_SAMPLE))
"""A larger market in the same layout can be given."""
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
LISTED = {ticker: profile for ticker, (profile, _) in listing(MARKET).items()}
US = [ticker for ticker, profile in LISTED.items() if profile.asset_class in (AssetClass.STOCK, AssetClass.ETF)]
CRYPTO = [ticker for ticker, profile in LISTED.items() if profile.asset_class is AssetClass.CRYPTO]
WITH_MINUTES = [ticker for ticker in (*US, *CRYPTO) if (MARKET / "minute" / f"{ticker}.csv").exists()]


@cache
def minutes_of(ticker: str) -> list[datetime]:
    with (MARKET / "minute" / f"{ticker}.csv").open(newline="", encoding="utf-8") as file:
        return [opens for row in csv.DictReader(file) if (opens := parse_instant(row["time"])) < EVENING]


@pytest.fixture
async def market(database: SqlDatabase, services: Services, clock: ManualClock) -> Services:
    """The whole of it, stored."""
    sample = SampleProvider(MARKET, clock)
    for profile in LISTED.values():
        symbol = Symbol.tracked(profile, None, None)
        async with database.write() as unit:
            await unit.symbols.add(symbol)
            await unit.bars.upsert((await sample.history(symbol, Interval.ONE_DAY, date(2024, 4, 1), EVENING)).bars)
            if symbol.ticker in WITH_MINUTES:
                await unit.bars.upsert((await sample.history(symbol, Interval.ONE_MINUTE, date(2026, 3, 23), EVENING)).bars)
    return services


async def test_daily_bars(market: Services) -> None:
    found = await market.counting.of(list(LISTED), Interval.ONE_DAY)
    days = len((MARKET / "daily" / "AAPL.csv").read_text().splitlines()) - 1
    for ticker in US:
        each = found[ticker]
        assert (each.count, each.expected, each.coverage, list(each.missing)) == (days, days, 1.0, [])
    told(f"{len(US)} listed symbols have all {days} days")
    hole = MissingInterval(datetime(2026, 2, 15, tzinfo=UTC), datetime(2026, 2, 16, tzinfo=UTC), 1, GapCause.PROVIDER_HOLE)
    assert {ticker: list(found[ticker].missing) for ticker in CRYPTO} == {"BTC-USD": [hole], "ETH-USD": [], "SOL-USD": [hole]}
    assert (found["EUR/USD"].coverage, found["EUR/USD"].end) == (1.0, datetime(2025, 8, 9, tzinfo=UTC))


async def test_minutes(market: Services) -> None:
    found = await market.counting.of(WITH_MINUTES, Interval.ONE_MINUTE)
    for ticker, each in found.items():
        there = set(minutes_of(ticker))
        gone = [opens for opens in expected_of(ticker, min(there), max(there)) if opens not in there]
        assert each.count == len(there)
        assert each.absent == len(gone)
        told(f"{ticker}: {each.count:,} minutes, {each.absent} missing in {len(each.missing)} runs")
        if ticker in US:
            last = [opens for opens in gone if opens.date() == EVENING.date()]
            assert len(last) == 2
            hole = MissingInterval(last[0], last[1] + MINUTE, 1, GapCause.PROVIDER_HOLE)
            assert [run for run in each.missing if run.start.date() == EVENING.date()] == [hole]
        else:
            assert len(each.missing) == sum(opens - MINUTE not in gone for opens in gone)
    assert found["AAPL"].missing[-1].start == datetime(2026, 3, 27, 15, 25, tzinfo=UTC)


def expected_of(ticker: str, first: datetime, last: datetime) -> list[datetime]:
    """Of the week from Monday the 23rd on: New York was open from 13:30 to 20:00."""
    every = [first + n * MINUTE for n in range((last - first) // MINUTE + 1)]
    if ticker in CRYPTO:
        return every
    return [each for each in every if 13 * 60 + 30 <= each.hour * 60 + each.minute < 20 * 60]


async def test_one_symbol_is_judged_as_all_of_them_are(market: Services) -> None:
    together = await market.counting.of(list(LISTED), Interval.ONE_MINUTE)
    for ticker in ("AAPL", "SPY", "BTC-USD"):
        alone = (await market.counting.of([ticker], Interval.ONE_MINUTE))[ticker]
        assert list(alone.missing) == list(together[ticker].missing)


async def test_what_was_counted_ahead_is_what_is_counted_now(market: Services, database: SqlDatabase) -> None:
    async def runs() -> dict[str, list[MissingInterval]]:
        found = await market.counting.of(WITH_MINUTES, Interval.ONE_MINUTE)
        return {ticker: list(each.missing) for ticker, each in found.items()}

    before = await runs()
    await market.counting.settle()
    async with database.read() as unit:
        assert await unit.statistics.stale(Interval.ONE_MINUTE) == 0
    assert await runs() == before


async def test_a_read_that_would_count_much_settles_it(
    market: Services, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stale() -> int:
        async with database.read() as unit:
            return await unit.statistics.stale(Interval.ONE_MINUTE)

    days = await stale()
    assert days > 5
    await market.counting.of(["AAPL"], Interval.ONE_MINUTE)
    assert await stale() == days, "these a read counts itself"
    monkeypatch.setattr(statistics, "COUNTED_BY_READS", 5)
    await market.counting.of(["AAPL"], Interval.ONE_MINUTE)
    assert await stale() == 0


async def test_absences_and_marks_are_read(market: Services, database: SqlDatabase) -> None:
    day = date(2026, 2, 15)
    failed = Absence("BTC-USD", Interval.ONE_DAY, "sample", day, day, GapCause.FETCH_FAILED, EVENING, EVENING)
    async with database.write() as unit:
        await unit.quality.note_absences([failed])
    found = await market.counting.of(["BTC-USD", "SOL-USD", "NOPE"], Interval.ONE_DAY)
    assert [each.cause for each in found["BTC-USD"].missing] == [GapCause.FETCH_FAILED]
    assert [each.cause for each in found["SOL-USD"].missing] == [GapCause.PROVIDER_HOLE]
    assert (found["NOPE"].count, found["NOPE"].start, found["NOPE"].coverage) == (0, None, 0.0)


QUERY = """{ symbol(ticker: "BTC-USD") {
    daily: stats {
        recordCount dateRange { start end } validationRate gapsDetected priceGaps coverage
        missingIntervals { start end tradingDays cause }
    }
    some: stats(interval: ONE_DAY) { missingIntervals(first: 1) { cause } }
    none: stats(interval: FOUR_HOURS) { recordCount dateRange { start } validationRate coverage gapsDetected priceGaps }
} }"""


async def test_as_a_field(market: Services, database: SqlDatabase, graph: GraphClient) -> None:
    async with database.write() as unit:
        bars = await unit.bars.daily_since("BTC-USD", date(2024, 4, 1))
        await unit.bars.upsert([replace(bar, faults=Fault.GAP if n < 3 else Fault(0)) for n, bar in enumerate(bars)])
    found = (await graph(QUERY))["symbol"]
    count = len(bars)
    assert found["daily"] == {
        "recordCount": count,
        "dateRange": {"start": bars[0].open_time.isoformat(), "end": bars[-1].close_time.isoformat()},
        "validationRate": pytest.approx((count - 3) / count),
        "gapsDetected": 1,
        "priceGaps": 3,
        "coverage": pytest.approx(count / (count + 1)),
        "missingIntervals": [
            {
                "start": "2026-02-15T00:00:00+00:00",
                "end": "2026-02-16T00:00:00+00:00",
                "tradingDays": 1,
                "cause": "PROVIDER_HOLE",
            }
        ],
    }
    assert found["some"] == {"missingIntervals": [{"cause": "PROVIDER_HOLE"}]}
    nothing = {"recordCount": 0, "dateRange": None, "validationRate": 0, "coverage": 0, "gapsDetected": 0, "priceGaps": 0}
    assert found["none"] == nothing


@pytest.mark.parametrize("number", [1, 10, 30])
async def test_however_many_symbols_a_few_statements(market: Services, statements: list[str], number: int) -> None:
    """Also when what is missing has to be compared with what all others hold."""
    await market.counting.of(WITH_MINUTES, Interval.ONE_MINUTE)
    statements.clear()
    await market.counting.of([*WITH_MINUTES, *US][:number], Interval.ONE_MINUTE)
    assert len(statements) <= 12, statements
