"""The command line.

Exit codes: 0 done · 1 an unexpected fault · 2 wrong usage or configuration · 3 refused (unknown symbol, conflict, no data, …)
· 4 the provider or the database is unavailable.
"""

import logging
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import Enum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from domain.errors import ProviderUnavailable, Refusal, StoreUnavailable, SymbolNotFound
from domain.gates import whole_seconds
from domain.ports import SymbolQuery
from domain.symbols import Symbol, SymbolStatus
from domain.tickers import AssetClass, normalise
from web.settings import Settings, WrongSetting, configuration_page, described, load_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Market symbols with honest freshness, over GraphQL. Settings come from the environment: see `freshtape config`.",
)
db = typer.Typer(no_args_is_help=True, help="The database.")
symbols = typer.Typer(no_args_is_help=True, help="Tracked symbols, without a browser.")
app.add_typer(db, name="db")
app.add_typer(symbols, name="symbols")

WIDE = 240
"""Columns where there is no terminal to fit: nothing is cut in a pipe."""

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, soft_wrap=True)

WRONG, REFUSED, UNAVAILABLE = 2, 3, 4
PAGE = 1000

ClassName = Enum("ClassName", {member.name: member.name.lower() for member in AssetClass})  # type: ignore[misc]  # members by comprehension


def main() -> None:
    """Runs the command; every expected end is one sentence and an exit code."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    try:
        app()
    except Refusal as refusal:
        _fail(refusal.message, UNAVAILABLE if isinstance(refusal, (ProviderUnavailable, StoreUnavailable)) else REFUSED)


def _fail(sentence: str, code: int) -> None:
    err.print(sentence, style="red", markup=False)
    sys.exit(code)


# ── the service


@app.command()
def serve(
    works: Annotated[bool, typer.Option("--workers/--no-workers", help="Work the onboarding queue too.")] = True,
) -> None:
    """Serve GraphQL at /graphql until stopped."""
    from web.container import open_container
    from web.serving import serve as serve_container

    settings = _settings()

    async def work() -> None:
        async with open_container(settings) as container:
            await serve_container(
                container, lambda address: out.print(f"Freshtape is at {address}/graphql", markup=False), works=works
            )

    _run(work())


@app.command()
def worker() -> None:
    """Work the onboarding queue of a PostgreSQL database until stopped, beside the services that serve it."""
    from web.container import open_container
    from web.serving import work as work_queue

    settings = _settings()

    async def work() -> None:
        async with open_container(settings) as container:
            places = container.settings.onboarding_max_concurrent
            await work_queue(
                container, lambda: out.print(f"Working the onboarding queue, {places} at a time over all processes.")
            )

    _run(work())


@app.command()
def demo() -> None:
    """Serve a recorded market from a new temporary database: nothing to set up, nothing left behind."""
    from providers.sample import listing
    from web.container import open_container
    from web.demo import demo_settings, fill
    from web.serving import serve as serve_container

    async def work(settings: Settings) -> None:
        with _progress("Refreshing the sample market", len(listing(settings.sample_dir))) as done:
            await fill(settings, done)
        async with open_container(settings) as container:
            await serve_container(container, _invite)

    with demo_settings(_settings()) as settings:
        _run(work(settings))


def _invite(address: str) -> None:
    stale = "{ symbols(filter: {isStale: true}) { nodes { ticker stalenessMessage stalenessReason } } }"
    refresh = 'mutation { refreshSymbol(input: {ticker: \\"BA\\"}) { __typename ... on SymbolRefreshed { barsChanged } } }'
    out.print(f"\nThe Freshtape demo is at {address}/graphql (stop it with Ctrl-C).")
    out.print("It is the evening of 2026-03-27 there; four symbols have not been refreshed for days.")
    for what, query in (("Which are stale?", stale), ("Refresh one:", refresh)):
        out.print(f"\n{what}\n  curl -s {address}/graphql -H 'content-type: application/json' \\", markup=False)
        out.print(f'    -d \'{{"query":"{query}"}}\'', markup=False)


@app.command()
def schema() -> None:
    """Print the GraphQL schema (SDL)."""
    from graph.schema import schema as graphql_schema

    sys.stdout.write(graphql_schema.as_str() + "\n")


@app.command()
def config(
    markdown: Annotated[bool, typer.Option(help="The page docs/configuration.md, instead of the values in force.")] = False,
) -> None:
    """Show every setting: its value (secrets as ***) and its default."""
    if markdown:
        sys.stdout.write(configuration_page())
        return
    table = _table("variable", "value", "default")
    for setting in described(_settings()):
        table.add_row(setting.variable, setting.value, setting.default)
    out.print(table)


# ── the provider

Tickers = Annotated[list[str], typer.Argument(help="AAPL, brk.b, eurusd, BTC-USD, …", show_default=False)]


@app.command()
def quotes(tickers: Tickers) -> None:
    """Ask the provider for prices, of symbols tracked or not: does it answer?"""

    async def work() -> int:
        chosen = list(dict.fromkeys(map(normalise, tickers)))
        async with _services() as services:
            found = {quote.ticker: quote for quote in await services.symbols.quotes(chosen)}
        table = _table("ticker", "price", "currency", "at", "previous close")
        for quote in found.values():
            at = f"{quote.at:%Y-%m-%dT%H:%M:%SZ}"
            table.add_row(quote.ticker, str(quote.price), quote.currency, at, _shown(quote.previous_close))
        out.print(table)
        unknown = [ticker for ticker in chosen if ticker not in found]
        for ticker in unknown:
            out.print(f"The provider has no price of {ticker}.", markup=False)
        return REFUSED if unknown else 0

    raise typer.Exit(_run(work()))


@app.command()
def providers() -> None:
    """Show the providers, and whether they may be asked."""

    async def work() -> None:
        async with _services() as services:
            table = _table("name", "circuit", "failures", "retry in", "last error")
            for status in await services.providers.statuses():
                table.add_row(
                    status.name,
                    status.circuit.name,
                    str(status.consecutive_failures),
                    "–" if status.retry_in is None else f"{whole_seconds(status.retry_in)} s",
                    escape(_shown(status.last_error)),
                )
            out.print(table)

    _run(work())


# ── the database


@db.command()
def upgrade() -> None:
    """Bring the database up to date. `serve` and the other commands do so themselves."""
    from web.container import open_database

    async def work() -> bool:
        async with open_database(_settings()) as opened:
            return opened.was_upgraded

    out.print("The database was brought up to date." if _run(work()) else "The database is up to date.")


@db.command("forget-clock")
def forget_clock_command() -> None:
    """Go back to real time; services that run on the recorded clock stop."""
    from persistence.market_clock import forget_clock
    from web.container import open_database

    async def work() -> bool:
        async with open_database(_settings()) as opened:
            return await forget_clock(opened.engine)

    out.print("The recorded clock is forgotten: it is real time again." if _run(work()) else "No clock was recorded.")


# ── symbols


@symbols.command()
def add(
    tickers: Tickers,
    asset_class: Annotated[ClassName | None, typer.Option("--class", help="Instead of what the provider says.")] = None,
) -> None:
    """Track symbols. A retired one is revived."""
    chosen = AssetClass[asset_class.name] if asset_class is not None else None

    async def work() -> int:
        async with _services() as services:

            async def one(ticker: str) -> str:
                known = await services.symbols.get(ticker)
                version = known.version if known is not None else None
                added = await services.symbols.add(ticker, chosen, None, version)
                symbol, comes = added.symbol, "; its history is queued" if added.job is not None else ""
                return f"{symbol.ticker} is tracked: {symbol.name or 'no name'}, {symbol.asset_class.name}{comes}."

            return await _each(tickers, one)

    raise typer.Exit(_run(work()))


@symbols.command()
def remove(
    tickers: Tickers,
    expected_version: Annotated[int | None, typer.Option(help="Refuse when the symbol has another version.")] = None,
) -> None:
    """Stop tracking symbols. Nothing is deleted; adding one again revives it."""

    async def work() -> int:
        async with _services() as services:

            async def one(ticker: str) -> str:
                known = await services.symbols.get(ticker)
                if known is None:
                    raise SymbolNotFound(ticker)
                await services.symbols.remove(ticker, expected_version if expected_version is not None else known.version)
                return f"{ticker} is no longer tracked."

            return await _each(tickers, one)

    raise typer.Exit(_run(work()))


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
        async with _services() as services:

            async def one(ticker: str) -> str:
                done = await services.refreshing.refresh(ticker, None, "cli")
                return f"{ticker} is refreshed: {done.bars_changed} bars changed, {done.levels_extracted} levels."

            listed = [symbol async for symbol in _listed(services, stale or None)] if not tickers else []
            ready = [symbol.ticker for symbol in listed if symbol.status is not SymbolStatus.ONBOARDING]
            return await _each(tickers or ready, one)

    raise typer.Exit(_run(work()))


@symbols.command("list")
def list_command(
    stale: Annotated[bool, typer.Option("--stale", help="Only those that are stale.")] = False,
) -> None:
    """Show the tracked symbols and how fresh they are."""

    async def work() -> None:
        async with _services() as services:
            now = services.clock.now()
            table = _table("ticker", "class", "direction", "last price", "hours", "levels", "reason")
            async for symbol in _listed(services, stale or None):
                freshness = services.symbols.freshness(symbol, now)
                table.add_row(
                    symbol.ticker,
                    symbol.asset_class.name,
                    symbol.direction.name,
                    _shown(symbol.last_price),
                    _shown(freshness.hours_since_update),
                    str(symbol.level_count),
                    freshness.reason.name,
                )
            out.print(table)

    _run(work())


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ignore")
    return table


def _shown(value: object) -> str:
    return "–" if value is None else str(value)


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
    with _progress("Working", len(chosen)) as done:
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


# ── shared


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal, plain lines elsewhere."""
    if not err.is_terminal:
        yield lambda line: out.print(line, markup=False)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(what, total=total)

        def done(line: str) -> None:
            progress.console.print(line, markup=False)
            progress.advance(task)

        yield done


def _settings() -> Settings:
    try:
        settings, warnings = load_settings()
    except WrongSetting as error:
        _fail(str(error), WRONG)
        raise
    for warning in warnings:
        err.print(warning, style="yellow", markup=False)
    return settings


@asynccontextmanager
async def _services() -> AsyncIterator[Any]:
    from web.container import open_container

    async with open_container(_settings()) as container:
        yield container.services


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    from domain.errors import ClockReplaced
    from persistence.upgrade import UnknownRevision
    from web.container import CannotStart, DatabaseUnavailable
    from web.serving import run

    try:
        return run(work)
    except DatabaseUnavailable as refusal:
        _fail(str(refusal), UNAVAILABLE)
    except (CannotStart, UnknownRevision, ClockReplaced) as refusal:
        _fail(str(refusal), WRONG)


if __name__ == "__main__":
    main()
