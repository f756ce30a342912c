"""A background loop: how it is doing, and how long it waits when it has failed.

Instants are seconds of a monotonic clock.
"""

import os
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum

from domain.errors import Refusal

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 2.0
"""Of a loop that somebody waits for: what it serves must be back soon after its trouble is over."""
MOST_DOUBLINGS = 16
JITTER = 0.25
"""The share of a wait that chance may take off it, so that loops and processes that failed together do not return together."""
STEADY_SECONDS = 5.0
"""A loop that has failed counts as running again when it has run for so long: longer than it takes to find out that a database
does not answer."""
QUIET_SECONDS = 60.0
"""When it has run for so long its failures are forgotten."""
MANY_FAILURES = 5


class LoopState(Enum):
    RUNNING = "running"
    WAITING = "waiting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class LoopStatus:
    """`lasts` is how long it has been so, in real time; `last_error` stays when all is well again."""

    name: str
    state: LoopState
    restarts: int
    last_error: str | None
    lasts: timedelta

    @property
    def is_unwell(self) -> bool:
        return self.state in (LoopState.WAITING, LoopState.FAILED)


@dataclass(frozen=True, slots=True)
class LoopCourse:
    """What a loop has been through. It was started, failed or was stopped last at `turned_at`; `failures` counts those between
    which it never ran quietly, the first of the present trouble at `unwell_since`."""

    name: str
    turned_at: float
    is_up: bool = True
    is_stopped: bool = False
    failures: int = 0
    unwell_since: float = 0.0
    restarts: int = 0
    last_error: str | None = None

    def failed(self, error: BaseException, at: float) -> "LoopCourse":
        was_well, was_quiet = self._is_well(at), at - self.turned_at >= QUIET_SECONDS
        return replace(
            self,
            turned_at=at,
            is_up=False,
            failures=1 if was_quiet else self.failures + 1,
            unwell_since=at if was_well else self.unwell_since,
            last_error=told(error),
        )

    def started_again(self, at: float) -> "LoopCourse":
        return replace(self, turned_at=at, is_up=True, restarts=self.restarts + 1)

    def stopped(self, at: float) -> "LoopCourse":
        return replace(self, turned_at=at, is_stopped=True)

    def wait_seconds(self, longest: float, chance: float) -> float:
        """Of a loop that has failed, until it is started again: twice as long each time, up to the longest, and somewhat less
        by `chance` (0 to 1)."""
        grown = FIRST_WAIT_SECONDS * 2.0 ** min(self.failures - 1, MOST_DOUBLINGS)
        return min(grown, longest) * (1 - JITTER * chance)

    def status(self, at: float) -> LoopStatus:
        state = self._state(at)
        since = self.unwell_since if state in (LoopState.WAITING, LoopState.FAILED) else self.turned_at
        return LoopStatus(self.name, state, self.restarts, self.last_error, timedelta(seconds=at - since))

    def _state(self, at: float) -> LoopState:
        if self.is_stopped:
            return LoopState.STOPPED
        if self._is_well(at):
            return LoopState.RUNNING
        return LoopState.FAILED if self.failures >= MANY_FAILURES else LoopState.WAITING

    def _is_well(self, at: float) -> bool:
        return self.is_up and (not self.failures or at - self.turned_at >= STEADY_SECONDS)


def told(error: BaseException) -> str:
    """A sentence that may be shown to anybody: messages that are not ours can hold addresses, names and passwords."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, Refusal):
        return error.message
    kind = type(error).__name__
    if isinstance(error, OSError) and error.errno is not None:
        return f"{kind}: {os.strerror(error.errno)}."
    return f"{kind}, see the log."
