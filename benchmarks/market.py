"""A hundred symbols with real prices: the bundled market, most of it under several names."""

import csv
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from providers.sample import listing
from tests.support.universe import track_as
from web.container import open_container
from web.demo import DEMO_CLOCK
from web.settings import BUNDLED_SAMPLE, Settings

SYMBOLS = 100
LISTED_TOO = (".L", ".TO", ".DE")
STALE_EVERY, LONG_AGO = 4, timedelta(days=3)


@contextmanager
def market() -> Iterator[Path]:
    """A folder that the provider `sample` can read."""
    with BUNDLED_SAMPLE.joinpath("symbols.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    listed = [row for row in rows if row["exchange"]]
    rows += [row | {"ticker": row["ticker"] + suffix} for suffix in LISTED_TOO for row in listed]
    with TemporaryDirectory(prefix="freshtape-market-") as folder:
        _write(Path(folder), rows[:SYMBOLS])
        yield Path(folder)


def _write(folder: Path, rows: list[dict[str, str]]) -> None:
    folder.joinpath("daily").mkdir()
    with folder.joinpath("symbols.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        name = row["ticker"].replace("/", "")
        shutil.copy(BUNDLED_SAMPLE / "daily" / f"{name.partition('.')[0]}.csv", folder / "daily" / f"{name}.csv")


def bench_settings(database_url: str, folder: Path) -> Settings:
    return Settings(database_url=database_url, providers=("sample",), sample_dir=folder, clock=DEMO_CLOCK, port=0)


async def fill(settings: Settings, tickers: list[str]) -> None:
    """Tracks and refreshes the tickers, one in four of them three days before the others; without onboardings, whose ETFs would
    be refreshed in between."""
    listed = listing(settings.sample_dir)
    for ago, group in ((LONG_AGO, tickers[::STALE_EVERY]), (timedelta(), tickers)):
        async with open_container(settings.model_copy(update={"clock": DEMO_CLOCK - ago})) as container:
            for ticker in group:
                if await container.services.symbols.get(ticker) is None:
                    await track_as(container.database, listed[ticker][0])
                    await container.services.refreshing.refresh(ticker, None, "cli")
