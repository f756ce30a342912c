"""Onboardings as the command line shows them: bars on a terminal, plain lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from domain.onboarding import JobStatus, OnboardingPhase

ENDS = {
    JobStatus.COMPLETED: "is ready",
    JobStatus.PARTIAL: "is ready, but for",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "was cancelled",
}


@dataclass
class Board:
    """What has been shown of each ticker; `is_good` until one of them fails."""

    out: Console
    progress: Progress | None
    is_good: bool = True
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _shown: dict[str, str] = field(default_factory=dict)

    def show(self, ticker: str, status: JobStatus, phase: OnboardingPhase, percent: int, error: str | None) -> None:
        """A step; one that says what was said last is not said again."""
        line = _line(status, phase, error)
        if self._shown.get(ticker) == line:
            return
        self._shown[ticker] = line
        self.is_good = self.is_good and status not in (JobStatus.FAILED, JobStatus.CANCELLED)
        if self.progress is None:
            self.out.print(f"{ticker} {line}", markup=False)
        else:
            self._move(self.progress, ticker, line, percent, ends=status in ENDS)

    def _move(self, progress: Progress, ticker: str, line: str, percent: int, *, ends: bool) -> None:
        if ticker not in self._tasks:
            self._tasks[ticker] = progress.add_task(ticker, total=100, line="")
        progress.update(self._tasks[ticker], completed=percent, line=line)
        if ends:
            progress.remove_task(self._tasks.pop(ticker))
            progress.console.print(f"{ticker} {line}", markup=False)


@contextmanager
def board(out: Console, err: Console) -> Iterator[Board]:
    if not err.is_terminal:
        yield Board(out, None)
        return
    columns = (TextColumn("{task.description:<8}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[line]}"))
    with Progress(*columns, console=err, transient=True) as progress:
        yield Board(out, progress)


def _line(status: JobStatus, phase: OnboardingPhase, error: str | None) -> str:
    if status in ENDS:
        said = ENDS[status]
        if status is JobStatus.PARTIAL:
            return f"{said} some betas: {error}"
        return f"{said}: {error}" if error and status is JobStatus.FAILED else f"{said}."
    if status is JobStatus.PENDING:
        return f"waits for its next attempt: {error}" if error else "is queued"
    return f"is in work: {phase.value.replace('_', ' ')}"
