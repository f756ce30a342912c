"""Files to import, and what a database holds of portfolios."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from domain.bars import Bar
from domain.events import LoggedStep, Position
from domain.onboarding import OnboardingJob
from domain.portfolio import Holding, Portfolio
from domain.symbols import Symbol
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING
from tests.support.provider import daily_bar, profile

TODAY = EVENING.date()
YESTERDAY = TODAY - timedelta(days=1)
HEADER = "symbol,quantity,entry price,entry date,exit date\n"


def file_of(*rows: str) -> str:
    """A file with these rows, each `AAPL,10,200` or with dates behind."""
    return HEADER + "".join(f"{row}{',' * (4 - row.count(','))}\n" for row in rows)


def lot(ticker: str = "AAPL", quantity: str = "10", entry_price: str = "90", place: int = 0, **changes: Any) -> Holding:
    values: dict[str, Any] = {
        "place": place,
        "ticker": ticker,
        "quantity": Decimal(quantity),
        "entry_price": Decimal(entry_price),
        "entry_date": None,
        "exit_date": None,
        "shares_as_of": TODAY,
    }
    return Holding(**(values | changes))


async def priced(
    database: SqlDatabase, ticker: str, close: str = "100", currency: str = "USD", day: date = YESTERDAY, **changes: Any
) -> Bar:
    """A symbol that has been refreshed at the evening, with one bar."""
    bar = daily_bar(ticker, day, close)
    symbol = Symbol.tracked(profile(ticker), None, None)
    values: dict[str, Any] = {
        "currency": currency,
        "last_price": bar.close,
        "last_updated": EVENING,
        "as_of": bar.close_time,
    }
    async with database.write() as unit:
        await unit.symbols.add(replace(symbol, **(values | changes)))
        await unit.bars.upsert([bar])
    return bar


async def kept(database: SqlDatabase, name: str = "Main") -> tuple[Portfolio, list[Holding]]:
    """The portfolio of that name and its lots."""
    async with database.read() as unit:
        portfolio = await unit.portfolios.named(name)
        assert portfolio is not None
        return portfolio, (await unit.portfolios.holdings([portfolio.id]))[portfolio.id]


async def jobs_of(database: SqlDatabase, tickers: Sequence[str]) -> dict[str, OnboardingJob]:
    async with database.read() as unit:
        return dict(await unit.jobs.newest(tickers))


async def steps(database: SqlDatabase) -> list[OnboardingJob]:
    """What followers of onboardings have been told so far."""
    async with database.read() as unit:
        head = await unit.events.head()
        logged = await unit.events.after(Position(head.log_id, 0), 100_000)
    return [entry.event.job for entry in logged if isinstance(entry, LoggedStep)]
