"""Onboardings as the command line shows them: bars on a terminal, plain lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from domain.onboarding import JobStatus, OnboardingPhase

_GOOD = (JobStatus.COMPLETED, JobStatus.PARTIAL)


class Board:
    """Of so many onboardings; `is_good` until one of them fails."""

    def __init__(self, out: Console) -> None:
        self.is_good = True
        self._out = out
        self._shown: dict[str, str] = {}

    def show(self, ticker: str, status: JobStatus, phase: OnboardingPhase, percent: int, error: str | None) -> None:
        """A step; one that says what was said last is not said again."""
        line = _line(status, phase, error)
        if self._shown.get(ticker) == line:
            return
        self._shown[ticker] = line
        self.is_good = self.is_good and (status in _GOOD or _is_under_way(status))
        self._tell(ticker, line, percent, status)

    def _tell(self, ticker: str, line: str, percent: int, status: JobStatus) -> None:
        self._out.print(f"{ticker} {line}", markup=False)


class Bars(Board):
    """One for all, and one for each that is in work; what has ended is a line."""

    def __init__(self, progress: Progress, total: int) -> None:
        super().__init__(progress.console)
        self._progress = progress
        self._all = progress.add_task("all", total=100 * total, line="")
        self._percents: dict[str, int] = {}
        self._tasks: dict[str, TaskID] = {}

    def _tell(self, ticker: str, line: str, percent: int, status: JobStatus) -> None:
        self._percents[ticker] = percent if _is_under_way(status) else 100
        self._progress.update(self._all, completed=sum(self._percents.values()))
        if status is JobStatus.PROCESSING and ticker not in self._tasks:
            self._tasks[ticker] = self._progress.add_task(ticker, total=100, line="")
        elif status is not JobStatus.PROCESSING and ticker in self._tasks:
            self._progress.remove_task(self._tasks.pop(ticker))
        if ticker in self._tasks:
            self._progress.update(self._tasks[ticker], completed=percent, line=line)
        if not _is_under_way(status):
            super()._tell(ticker, line, percent, status)


@contextmanager
def board(out: Console, err: Console, total: int) -> Iterator[Board]:
    if not err.is_terminal:
        yield Board(out)
        return
    columns = (TextColumn("{task.description:<8}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[line]}"))
    with Progress(*columns, console=err, transient=True) as progress:
        yield Bars(progress, total)


def _is_under_way(status: JobStatus) -> bool:
    return status in (JobStatus.PENDING, JobStatus.PROCESSING)


def _line(status: JobStatus, phase: OnboardingPhase, error: str | None) -> str:
    match status:
        case JobStatus.COMPLETED:
            return "is ready."
        case JobStatus.PARTIAL:
            return f"is ready, but for some betas: {error}"
        case JobStatus.FAILED:
            return f"failed: {error}"
        case JobStatus.CANCELLED:
            return "was cancelled."
        case JobStatus.PENDING:
            return f"waits for its next attempt: {error}" if error else "is queued"
        case JobStatus.PROCESSING:
            return f"is in work: {phase.value.replace('_', ' ')}"
