"""Portfolios: imported from files, watched while their symbols come in, shown, exported and removed."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from domain.errors import InvalidPortfolio, Refusal
from domain.events import LoggedStep, Position
from domain.onboarding import JobStatus, OnboardingJob
from domain.portfolio import Portfolio
from domain.portfolio_csv import RowError
from web.cli.board import board
from web.cli.shared import REFUSED, current_settings, err, fail, many, open_services, out, run_to_end, shown, table_of
from web.workers import Loops

if TYPE_CHECKING:
    from domain.services.portfolios import Checked, Imported, Portfolios
    from web.container import Container

portfolio = typer.Typer(no_args_is_help=True, help="Portfolios, from files and back.")

MOST_LISTED = 1000
PATIENCE_SECONDS = 10
"""How long nobody may take up what is queued before it is said."""

Steps = asyncio.Queue[OnboardingJob | Refusal]
Name = Annotated[str, typer.Argument(show_default=False)]


@portfolio.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, show_default=False)],
    name: Annotated[str | None, typer.Option(help="Left out: the file's name without its ending.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and report, write nothing.")] = False,
    accept_valid_rows: Annotated[
        bool, typer.Option("--accept-valid-rows", help="Import the good rows of a new portfolio and report the bad.")
    ] = False,
    expected_version: Annotated[int | None, typer.Option(help="Needed to replace a portfolio by a different file.")] = None,
) -> None:
    """Import a file, and follow its symbols until they are ready."""
    csv, called = _text(file), name if name is not None else file.stem

    async def work() -> int:
        from web.container import open_container

        async with open_container(current_settings()) as container:
            portfolios = container.services.portfolios
            if dry_run:
                return _tell_checked(await portfolios.check(called, csv))
            before = await _end_of_log(container)
            try:
                done = await portfolios.import_(
                    called,
                    csv,
                    accept_valid_rows=accept_valid_rows,
                    requested_by="cli",
                    expected_version=expected_version,
                )
            except InvalidPortfolio as refusal:
                _tell_errors(refusal.errors)
                raise
            _tell_imported(done)
            if done.pending:
                await _follow(container, before, done.pending)
            return 0

    raise typer.Exit(run_to_end(work()))


@portfolio.command()
def show(name: Annotated[str | None, typer.Argument(help="Left out: all of them.", show_default=False)] = None) -> None:
    """Show portfolios, or the positions of one."""

    async def work() -> None:
        async with open_services() as services:
            if name is None:
                await _show_all(services.portfolios)
            else:
                await _show_one(services.portfolios, await services.portfolios.named(name))

    run_to_end(work())


@portfolio.command()
def export(name: Name) -> None:
    """Print a portfolio as the file that imports again as the same."""

    async def work() -> str:
        async with open_services() as services:
            exported: str = await services.portfolios.exported(name)
            return exported

    sys.stdout.write(run_to_end(work()))


@portfolio.command()
def remove(
    name: Name,
    expected_version: Annotated[int | None, typer.Option(help="Refuse when the portfolio has another version.")] = None,
) -> None:
    """Delete a portfolio. Its symbols stay tracked."""

    async def work() -> None:
        async with open_services() as services:
            found = await services.portfolios.named(name)
            version = expected_version if expected_version is not None else found.version
            await services.portfolios.remove(found.id, version)

    run_to_end(work())
    out.print(f"{name} is removed.", markup=False)


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except UnicodeDecodeError:
        fail(f"{file} is not UTF-8 text: save it as CSV in UTF-8.", REFUSED)
        raise


# ── what is said


def _tell_checked(checked: "Checked") -> int:
    _tell_errors(checked.errors)
    out.print(f"{many(len(checked.lots), 'row')} would be imported, {many(len(checked.errors), 'mistake')}.")
    for what, tickers in (("tracked", checked.known), ("not tracked yet", checked.unknown)):
        if tickers:
            out.print(f"{what}: {', '.join(tickers)}", markup=False)
    return REFUSED if checked.errors else 0


def _tell_imported(done: "Imported") -> None:
    _tell_errors(done.rejected)
    found = done.portfolio
    out.print(f"{found.name} is imported, version {found.version}.{_totals(found)}", markup=False)
    if done.rejected:
        out.print(f"{many(len(done.rejected), 'mistake')}: these rows are left out.")
    if done.pending:
        waiting = len(done.pending) - len(done.jobs)
        places = f", {waiting} of them waiting for a place in the queue" if waiting else ""
        out.print(f"{many(len(done.pending), 'symbol')} to be loaded{places}.")


def _tell_errors(errors: Sequence[RowError]) -> None:
    if errors:
        table = table_of("line", "column", "value", "mistake", "hint")
        for error in errors:
            cells = (shown(error.column), shown(error.value), error.message, shown(error.hint))
            table.add_row(str(error.line), *map(escape, cells))
        err.print(table)


def _totals(found: Portfolio) -> str:
    totals = found.snapshot
    if totals is None:
        return ""
    partly = "" if totals.is_complete else f", of {many(totals.position_count, 'position')} alone"
    return (
        f" Worth {totals.total_value:f} {totals.currency} on {totals.date}, "
        f"{totals.total_pnl:+f} ({totals.pnl_percent:+.2f} %){partly}."
    )


async def _show_all(portfolios: "Portfolios") -> None:
    found = await portfolios.listed(MOST_LISTED)
    pending = await portfolios.pending([each.id for each in found])
    table = table_of("name", "status", "version", "value", "currency", "profit", "%", "pending")
    for each in found:
        waiting, totals = pending.get(each.id, []), each.snapshot
        figures = (totals.total_value, totals.currency, totals.total_pnl, totals.pnl_percent) if totals else (None,) * 4
        cells = (*map(shown, figures), str(len(waiting)))
        table.add_row(escape(each.name), each.status(waiting).name, str(each.version), *cells)
    out.print(table)


async def _show_one(portfolios: "Portfolios", found: Portfolio) -> None:
    pending = (await portfolios.pending([found.id])).get(found.id, [])
    table = table_of("ticker", "quantity", "entry price", "entered", "exited", "price", "of", "value", "profit", "currency")
    holdings = (await portfolios.holdings([found.id]))[found.id]
    for each in holdings:
        days = (each.entry_date, each.exit_date)
        worth = (each.last_price, each.last_price_date, each.market_value, each.pnl, each.currency)
        table.add_row(each.ticker, f"{each.quantity:f}", f"{each.entry_price:f}", *map(shown, (*days, *worth)))
    out.print(table)
    for each in holdings:
        if each.note is not None:
            out.print(each.note, markup=False)
    out.print(f"{found.name} is {found.status(pending).name}, version {found.version}.{_totals(found)}", markup=False)
    if pending:
        out.print(f"pending: {', '.join(pending)}", markup=False)


# ── following what is pending


async def _end_of_log(container: "Container") -> Position:
    async with container.database.read() as unit:
        return await unit.events.head()


async def _follow(container: "Container", after: Position, tickers: Sequence[str]) -> None:
    """Until all have ended, Ctrl-C, or nobody has taken anything up for a while."""
    ahead, stopped = set(tickers), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stopped.set)
    with board(out, err, len(tickers)) as shown_to:
        async with _steps(container, after) as steps:
            while ahead and not stopped.is_set():
                job = await _next(steps, stopped)
                if job is None and not stopped.is_set() and not await _is_worked(container):
                    out.print(f"Nobody takes them up: `freshtape serve` does. Still queued: {many(len(ahead), 'symbol')}.")
                    return
                if job is not None and job.ticker in ahead:
                    shown_to.show(job.ticker, job.status, job.phase, job.progress_percent, job.error)
                    ahead -= set() if job.is_active else {job.ticker}
    if ahead:
        out.print(f"They go on without you: {many(len(ahead), 'symbol')} to come.")


async def _next(steps: Steps, stopped: asyncio.Event) -> OnboardingJob | None:
    """The next step; None when none came for a while, or when it is to stop. Raises what ended the following."""
    step, stop = asyncio.create_task(steps.get()), asyncio.create_task(stopped.wait())
    await asyncio.wait({step, stop}, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    for task in (step, stop):
        task.cancel()
    await asyncio.wait({step, stop})
    if step.cancelled():
        return None
    if isinstance(found := step.result(), Refusal):
        raise found
    return found


async def _is_worked(container: "Container") -> bool:
    async with container.database.read() as unit:
        return bool(await unit.jobs.listed([JobStatus.PROCESSING], 1))


@asynccontextmanager
async def _steps(container: "Container", after: Position) -> AsyncIterator[Steps]:
    """The steps of all onboardings behind a position, as they come."""
    steps: Steps = asyncio.Queue()

    async def follow() -> None:
        try:
            async with aclosing(container.services.feed.follow(after)) as logged:
                async for entry in logged:
                    if isinstance(entry, LoggedStep):
                        steps.put_nowait(entry.event.job)
        except Refusal as refusal:
            steps.put_nowait(refusal)

    async with Loops() as loops:
        loops.start("event feed", container.feed.run)
        following = asyncio.create_task(follow())
        try:
            yield steps
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
