"""Asking the providers, and whether they may be asked."""

import typer
from rich.markup import escape

from domain.gates import whole_seconds
from domain.tickers import normalise
from web.cli.shared import REFUSED, Tickers, open_services, out, run_to_end, shown, table_of

app = typer.Typer()


@app.command()
def quotes(tickers: Tickers) -> None:
    """Ask the providers for prices, of symbols tracked or not: do they answer?"""

    async def work() -> int:
        chosen = list(dict.fromkeys(map(normalise, tickers)))
        async with open_services() as services:
            found = {quote.ticker: quote for quote in await services.symbols.quotes(chosen)}
        table = table_of("ticker", "price", "currency", "at", "previous close")
        for quote in found.values():
            at = f"{quote.at:%Y-%m-%dT%H:%M:%SZ}"
            table.add_row(quote.ticker, str(quote.price), quote.currency, at, shown(quote.previous_close))
        out.print(table)
        unknown = [ticker for ticker in chosen if ticker not in found]
        for ticker in unknown:
            out.print(f"No provider has a price of {ticker}.", markup=False)
        return REFUSED if unknown else 0

    raise typer.Exit(run_to_end(work()))


@app.command()
def providers() -> None:
    """Show the providers, and whether they may be asked."""

    async def work() -> None:
        async with open_services() as services:
            table = table_of("name", "circuit", "failures", "retry in", "left today", "last error")
            for status in await services.providers.statuses():
                table.add_row(
                    status.name,
                    status.circuit.name,
                    str(status.consecutive_failures),
                    "–" if status.retry_in is None else f"{whole_seconds(status.retry_in)} s",
                    shown(status.calls_left_today),
                    escape(shown(status.last_error)),
                )
            out.print(table)

    run_to_end(work())
