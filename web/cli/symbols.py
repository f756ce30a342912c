"""Tracked symbols."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from enum import Enum
from typing import Annotated, Any

import typer

from domain.errors import ProviderUnavailable, Refusal, StoreUnavailable, SymbolNotFound
from domain.ports import SymbolQuery
from domain.symbols import Symbol, SymbolStatus
from domain.tickers import AssetClass, normalise
from web.cli.shared import REFUSED, UNAVAILABLE, Tickers, open_services, out, progress, run_to_end, shown, table_of

symbols = typer.Typer(no_args_is_help=True, help="Tracked symbols, without a browser.")

PAGE = 1000

ClassName = Enum("ClassName", {member.name: member.name.lower() for member in AssetClass})  # type: ignore[misc]  # members by comprehension


@symbols.command()
def add(
    tickers: Tickers,
    asset_class: Annotated[ClassName | None, typer.Option("--class", help="Instead of what the provider says.")] = None,
) -> None:
    """Track symbols. A retired one is revived."""
    chosen = AssetClass[asset_class.name] if asset_class is not None else None

    async def work() -> int:
        async with open_services() as services:

            async def one(ticker: str) -> str:
                known = await services.symbols.get(ticker)
                version = known.version if known is not None else None
                added = await services.symbols.add(ticker, chosen, None, version)
                symbol, comes = added.symbol, "; its history is queued" if added.job is not None else ""
                return f"{symbol.ticker} is tracked: {symbol.name or 'no name'}, {symbol.asset_class.name}{comes}."

            return await _each(tickers, one)

    raise typer.Exit(run_to_end(work()))


@symbols.command()
def remove(
    tickers: Tickers,
    expected_version: Annotated[int | None, typer.Option(help="Refuse when the symbol has another version.")] = None,
) -> None:
    """Stop tracking symbols. Nothing is deleted; adding one again revives it."""

    async def work() -> int:
        async with open_services() as services:

            async def one(ticker: str) -> str:
                known = await services.symbols.get(ticker)
                if known is None:
                    raise SymbolNotFound(ticker)
                await services.symbols.remove(ticker, expected_version if expected_version is not None else known.version)
                return f"{ticker} is no longer tracked."

            return await _each(tickers, one)

    raise typer.Exit(run_to_end(work()))


@symbols.command()
def refresh(
    tickers: Annotated[list[str] | None, typer.Argument(help="Left out: see --all and --stale.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every tracked symbol.")] = False,
    stale: Annotated[bool, typer.Option("--stale", help="Every stale symbol.")] = False,
) -> None:
    """Fetch the newest daily bars and extract the levels afresh.

    Of a symbol that is being onboarded that is the onboarding's work: --all and --stale pass it over."""
    if bool(tickers) + everything + stale != 1:
        raise typer.BadParameter("name tickers, or give --all, or --stale")

    async def work() -> int:
        async with open_services() as services:

            async def one(ticker: str) -> str:
                done = await services.refreshing.refresh(ticker, None, "cli")
                return f"{ticker} is refreshed: {done.bars_changed} bars changed, {done.levels_extracted} levels."

            listed = [symbol async for symbol in _listed(services, stale or None)] if not tickers else []
            ready = [symbol.ticker for symbol in listed if symbol.status is not SymbolStatus.ONBOARDING]
            return await _each(tickers or ready, one)

    raise typer.Exit(run_to_end(work()))


@symbols.command("list")
def list_command(
    stale: Annotated[bool, typer.Option("--stale", help="Only those that are stale.")] = False,
) -> None:
    """Show the tracked symbols and how fresh they are."""

    async def work() -> None:
        async with open_services() as services:
            now = services.clock.now()
            table = table_of("ticker", "class", "direction", "last price", "hours", "levels", "reason")
            async for symbol in _listed(services, stale or None):
                freshness = services.symbols.freshness(symbol, now)
                table.add_row(
                    symbol.ticker,
                    symbol.asset_class.name,
                    symbol.direction.name,
                    shown(symbol.last_price),
                    shown(freshness.hours_since_update),
                    str(symbol.level_count),
                    freshness.reason.name,
                )
            out.print(table)

    run_to_end(work())


async def _listed(services: Any, is_stale: bool | None) -> AsyncIterator[Symbol]:
    query = SymbolQuery(is_stale=is_stale, updated_before=services.clock.now() - services.symbols.threshold)
    after: str | None = None
    while True:
        page = await services.symbols.page(query, PAGE, after)
        for symbol in page.symbols:
            yield symbol
        if not page.has_next:
            return
        after = page.symbols[-1].ticker


async def _each(tickers: Iterable[str], one: Callable[[str], Coroutine[Any, Any, str]]) -> int:
    """Does one after the other, whatever becomes of the others; the exit code is the worst of them."""
    chosen, worst = list(tickers), 0
    with progress("Working", len(chosen)) as done:
        for text in chosen:
            try:
                done(await one(normalise(text)))
            except (ProviderUnavailable, StoreUnavailable) as refusal:
                worst = UNAVAILABLE
                done(refusal.message)
            except Refusal as refusal:
                worst = max(worst, REFUSED)
                done(refusal.message)
    return worst
