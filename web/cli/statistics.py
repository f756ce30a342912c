"""How good the bars are that are stored."""

from enum import Enum
from typing import Annotated

import typer

from domain.bars import Interval
from domain.errors import SymbolNotFound
from domain.gaps import MissingInterval, Statistics
from domain.tickers import normalise
from web.cli.shared import Tickers, many, open_services, out, run_to_end, shown, table_of

app = typer.Typer()

IntervalName = Enum("IntervalName", {member.name: member.value for member in Interval})  # type: ignore[misc]  # members by comprehension
DAILY = IntervalName(Interval.ONE_DAY.value)


@app.command()
def stats(
    tickers: Tickers,
    interval: Annotated[IntervalName, typer.Option(help="Of the bars that are counted.")] = DAILY,
    gaps: Annotated[int, typer.Option(min=0, help="How many of each symbol to list, oldest first.")] = 10,
) -> None:
    """Count the stored bars of symbols, and list what is missing and why."""

    async def work() -> None:
        chosen = list(dict.fromkeys(map(normalise, tickers)))
        async with open_services() as services:
            for ticker in chosen:
                if await services.symbols.get(ticker) is None:
                    raise SymbolNotFound(ticker)
            found = await services.counting.of(chosen, Interval(interval.value))
        table = table_of("ticker", "bars", "from", "to", "coverage", "validated", "price gaps", "gaps")
        for ticker, each in found.items():
            table.add_row(ticker, *_row(each))
        out.print(table)
        for ticker, each in found.items():
            _list(ticker, each, gaps)

    run_to_end(work())


def _row(each: Statistics) -> list[str]:
    start, end = (shown(f"{bound:%Y-%m-%dT%H:%M:%SZ}" if bound else None) for bound in (each.start, each.end))
    rates = f"{each.coverage:.2%}", f"{each.validation_rate:.2%}"
    return [f"{each.count:,}", start, end, *rates, f"{each.price_gaps:,}", f"{len(each.missing):,}"]


def _list(ticker: str, each: Statistics, at_most: int) -> None:
    for missing in each.missing[:at_most]:
        out.print(f"{ticker} lacks {_said(missing)}", markup=False)
    if 0 < at_most < len(each.missing):
        out.print(f"… and {many(len(each.missing) - at_most, 'gap')} more of {ticker}", markup=False)


def _said(missing: MissingInterval) -> str:
    days = many(missing.trading_days, "trading day")
    return f"{missing.start:%Y-%m-%dT%H:%MZ} to {missing.end:%Y-%m-%dT%H:%MZ}, {days}: {missing.cause.name}"
