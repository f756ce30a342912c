"""What the commands have in common: where they write, how they run, and how they end."""

import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from web.remote import RefusedByService, Unreachable
from web.settings import Settings, WrongSetting, load_settings

WIDE = 1000
"""Columns where there is no terminal to fit: nothing is cut in a pipe."""

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, soft_wrap=True, width=None if sys.stderr.isatty() else WIDE)

WRONG, REFUSED, UNAVAILABLE = 2, 3, 4

Tickers = Annotated[list[str], typer.Argument(help="AAPL, brk.b, eurusd, BTC-USD, …", show_default=False)]
Url = Annotated[str | None, typer.Option(help="Of the service that is to do it; by default the one at HOST and PORT.")]


def fail(sentence: str, code: int) -> None:
    err.print(sentence, style="red", markup=False)
    sys.exit(code)


def table_of(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ignore")
    return table


def shown(value: object) -> str:
    return "–" if value is None else str(value)


def many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[str], None]]:
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


def current_settings() -> Settings:
    try:
        settings, warnings = load_settings()
    except WrongSetting as error:
        fail(str(error), WRONG)
        raise
    for warning in warnings:
        err.print(warning, style="yellow", markup=False)
    return settings


@asynccontextmanager
async def open_services() -> AsyncIterator[Any]:
    from web.container import open_container

    async with open_container(current_settings()) as container:
        yield container.services


def run_to_end(work: Coroutine[Any, Any, Any]) -> Any:
    from domain.errors import ClockReplaced
    from persistence.upgrade import UnknownRevision
    from web.container import CannotStart, DatabaseUnavailable
    from web.serving import run

    try:
        return run(work)
    except DatabaseUnavailable as refusal:
        fail(str(refusal), UNAVAILABLE)
    except (CannotStart, UnknownRevision, ClockReplaced, WrongSetting) as refusal:
        fail(str(refusal), WRONG)


def ask_service(work: Callable[[str], Coroutine[Any, Any, Any]], url: str | None) -> Any:
    """Work with the service at an address, run to its end."""
    try:
        return run_to_end(work(url or current_settings().address))
    except RefusedByService as refusal:
        fail(str(refusal), REFUSED)
    except Unreachable as refusal:
        fail(str(refusal), UNAVAILABLE)
