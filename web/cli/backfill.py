"""Filling the history of symbols, and watching it until it has ended."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from domain.backfill import Backfill, BackfillStatus
from domain.bars import Interval
from domain.tickers import normalise
from web.cli.shared import current_settings, err, many, out, run_to_end

if TYPE_CHECKING:
    from domain.services.backfills import Backfills

app = typer.Typer()

FAILED = 1
LOOK_SECONDS = 0.5


@app.command()
def backfill(
    ticker: Annotated[str | None, typer.Argument(help="Left out: see --all.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every tracked symbol, as the schedule does.")] = False,
    interval: Annotated[
        Interval, typer.Option(help="Of less than a day: the minutes, with all longer bars made of them.")
    ] = Interval.ONE_DAY,
    first: Annotated[datetime | None, typer.Option("--from", help="The first day.", formats=["%Y-%m-%d"])] = None,
    last: Annotated[datetime | None, typer.Option("--to", help="The last day.", formats=["%Y-%m-%d"])] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Watch until it has ended.")] = False,
) -> None:
    """Queue the filling of a symbol's history, of what is missing, for the service or the worker on this database; with
    --wait this command works, too."""
    if (ticker is None) != everything:
        raise typer.BadParameter("name a ticker, or give --all")
    if everything and (first or last or interval is not Interval.ONE_DAY):
        raise typer.BadParameter("--all fills the usual days: leave --interval, --from and --to out")

    async def work() -> int:
        from domain.services.working import Worker
        from web.container import open_container

        async with open_container(current_settings()) as container, container.loops as loops:
            backfills = container.services.backfills
            if ticker is None:
                queued = await _queue_all(backfills, container.services.clock.now())
            else:
                symbol = await backfills.start(normalise(ticker), interval, _day(first), _day(last), "cli")
                queued = [symbol.ticker]
            if not wait:
                return await _tell(backfills, queued)
            loops.start("backfill", Worker(container.filling, container.feed).run)
            return await _watch(backfills, queued)

    raise typer.Exit(run_to_end(work()))


def _day(given: datetime | None) -> date | None:
    return given.date() if given is not None else None


async def _queue_all(backfills: "Backfills", now: datetime) -> list[str]:
    listed = await backfills.candidates()
    queued = await backfills.enqueue(listed, "cli", now)
    out.print(f"{many(len(queued), 'symbol')} of {len(listed):,} queued.")
    return queued


async def _tell(backfills: "Backfills", tickers: Sequence[str]) -> int:
    for job in (await backfills.of(tickers)).values():
        out.print(_line(job), markup=False)
    return 0


async def _watch(backfills: "Backfills", tickers: Sequence[str]) -> int:
    """Until all have ended: 0 when all have succeeded."""
    worst = 0
    with _board(len(tickers)) as board:
        async for job in _changes(backfills, tickers):
            board.show(job)
            worst = FAILED if job.status is BackfillStatus.FAILED else worst
    return worst


async def _changes(backfills: "Backfills", tickers: Sequence[str]) -> AsyncIterator[Backfill]:
    """Each as it stands, and again when it has changed."""
    told: dict[str, Backfill] = {}
    ahead = list(tickers)
    while ahead:
        for ticker, job in (await backfills.of(ahead)).items():
            if told.get(ticker) != job:
                told[ticker] = job
                yield job
        ahead = [ticker for ticker in ahead if told[ticker].is_active]
        if ahead:
            await asyncio.sleep(LOOK_SECONDS)


class _Lines:
    """A line for each change."""

    def show(self, job: Backfill) -> None:
        out.print(_line(job), markup=False)


class _Bars(_Lines):
    """One for all, and one for each that is in work; what has ended is a line."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._all = progress.add_task("all", total=total)
        self._tasks: dict[str, TaskID] = {}

    def show(self, job: Backfill) -> None:
        if job.status is BackfillStatus.IN_PROGRESS:
            if job.ticker not in self._tasks:
                self._tasks[job.ticker] = self._progress.add_task(job.ticker)
            self._progress.update(self._tasks[job.ticker], total=job.expected, completed=job.received)
        elif job.ticker in self._tasks:
            self._progress.remove_task(self._tasks.pop(job.ticker))
        if not job.is_active:
            self._progress.advance(self._all)
            self._progress.console.print(_line(job), markup=False)


@contextmanager
def _board(total: int) -> Iterator[_Lines]:
    """Bars on a terminal, lines elsewhere."""
    if not err.is_terminal:
        yield _Lines()
        return
    columns = (TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        yield _Bars(progress, total)


def _line(job: Backfill) -> str:
    new = f"{many(job.received, 'bar')} received, {job.records_inserted or 0:,} new"
    match job.status:
        case BackfillStatus.COMPLETED:
            return f"{job.ticker} is filled: {new}."
        case BackfillStatus.FAILED:
            return f"{job.ticker} failed: {job.error}"
        case BackfillStatus.IN_PROGRESS:
            return f"{job.ticker} is in work: {new}"
        case BackfillStatus.PENDING if job.error:
            return f"{job.ticker} waits for its next attempt: {job.error}"
        case BackfillStatus.PENDING:
            return f"{job.ticker} is queued: {'; '.join(map(str, job.wanted))}"
