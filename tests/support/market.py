"""A market of made-up symbols, in a folder that the provider `sample` can read."""

import csv
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice, product
from pathlib import Path
from random import Random
from string import ascii_uppercase

from domain.aggregation import Minute
from domain.factors import FACTOR_ETFS
from web.settings import BUNDLED_SAMPLE

ETFS = sorted(set(FACTOR_ETFS.values()))
DAYS = 252
MINUTES_DAY = date(2026, 3, 25)
"""The trading day of which there are minutes."""
MINUTES_OPEN = datetime.combine(MINUTES_DAY, time(13, 30), UTC)
MINUTES_CLOSE = datetime.combine(MINUTES_DAY, time(20), UTC)
LISTED = "ticker", "name", "asset_class", "exchange", "currency"
EACH_MINUTE = "time", "open", "high", "low", "close", "volume"
TRADED = "date", "open", "high", "low", "close", "adj_close", "volume", "dividend", "split"


def made_up(number: int) -> list[str]:
    """So many tickers that no real market has."""
    return ["Q" + "".join(letters) for letters in islice(product(ascii_uppercase, repeat=4), number)]


def closes_of(ticker: str) -> list[Decimal]:
    """The same for a ticker each time, and no two alike."""
    chance, price = Random(ticker), Decimal(100)
    return [price := max(Decimal(10), price + Decimal(chance.randint(-200, 205)) / 100) for _ in range(DAYS)]


def minutes_of(ticker: str) -> list[Minute]:
    """Of one trading day, one in ten missing; the same for a ticker each time."""
    chance, price, minutes = Random(ticker), Decimal(100), []
    for minute in range((MINUTES_CLOSE - MINUTES_OPEN) // timedelta(minutes=1)):
        opened, price = price, max(Decimal(10), price + Decimal(chance.randint(-20, 20)) / 100)
        high, low = max(opened, price) + Decimal("0.05"), min(opened, price) - Decimal("0.05")
        if chance.random() < 0.9:
            opens = int(MINUTES_OPEN.timestamp()) + 60 * minute
            minutes.append(Minute(opens, opened, high, low, price, Decimal(chance.randint(1, 5000))))
    return minutes


def write_minutes(folder: Path, tickers: Sequence[str]) -> None:
    """Into a market that lists the tickers."""
    folder.joinpath("minute").mkdir(exist_ok=True)
    for ticker in tickers:
        rows = [(f"{datetime.fromtimestamp(opens, UTC):%Y-%m-%dT%H:%M:%SZ}", *rest) for opens, *rest in minutes_of(ticker)]
        _write(folder / "minute" / f"{ticker}.csv", EACH_MINUTE, rows)


def write_market(folder: Path, tickers: Sequence[str]) -> Path:
    """The tickers and the ETFs that betas are measured against: daily bars of the last year of the bundled market."""
    folder.joinpath("daily").mkdir(parents=True)
    _write(folder / "symbols.csv", LISTED, [_listed(ticker) for ticker in (*tickers, *ETFS)])
    with BUNDLED_SAMPLE.joinpath("daily", "AAPL.csv").open(newline="", encoding="utf-8") as file:
        days = [row["date"] for row in csv.DictReader(file)][-DAYS:]
    for ticker in (*tickers, *ETFS):
        rows = [_traded(day, close) for day, close in zip(days, closes_of(ticker), strict=True)]
        _write(folder / "daily" / f"{ticker}.csv", TRADED, rows)
    return folder


def _listed(ticker: str) -> Sequence[object]:
    return ticker, f"{ticker} made up", "ETF" if ticker in ETFS else "STOCK", "ARCX" if ticker in ETFS else "XNAS", "USD"


def _traded(day: str, close: Decimal) -> Sequence[object]:
    return day, close, close + 1, close - 1, close, close, 1000, 0, 1


def _write(path: Path, heading: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows((heading, *rows))
