"""A market of made-up symbols, in a folder that the provider `sample` can read."""

import csv
from collections.abc import Sequence
from decimal import Decimal
from itertools import islice, product
from pathlib import Path
from random import Random
from string import ascii_uppercase

from domain.factors import FACTOR_ETFS
from web.settings import BUNDLED_SAMPLE

ETFS = sorted(set(FACTOR_ETFS.values()))
DAYS = 252
LISTED = "ticker", "name", "asset_class", "exchange", "currency"
TRADED = "date", "open", "high", "low", "close", "adj_close", "volume", "dividend", "split"


def made_up(number: int) -> list[str]:
    """So many tickers that no real market has."""
    return ["Q" + "".join(letters) for letters in islice(product(ascii_uppercase, repeat=4), number)]


def closes_of(ticker: str) -> list[Decimal]:
    """The same for a ticker each time, and no two alike."""
    chance, price = Random(ticker), Decimal(100)
    return [price := max(Decimal(10), price + Decimal(chance.randint(-200, 205)) / 100) for _ in range(DAYS)]


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
