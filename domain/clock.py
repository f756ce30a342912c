"""The only place that reads the time.

Two kinds of time never mix. *Market time* is what a `Clock` tells: staleness, `as_of`, which bars are over, the times of
events. *Real elapsed time* is what leases, time-outs and retention run on, and is read where it is kept: in the database.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Market time: an aware UTC instant."""

    def now(self) -> datetime: ...


class SystemClock:
    """Market time is real time."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class StartedClock:
    """Market time that stood at `start` when the clock was made and has run at the real pace since.

    It follows the monotonic timer, so that setting the machine's clock never moves it.
    """

    def __init__(self, start: datetime, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._start = start
        self._monotonic = monotonic
        self._origin = monotonic()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._monotonic() - self._origin)


def parse_instant(text: str) -> datetime:
    """An ISO-8601 instant with an offset, as UTC; raises ValueError without one."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant needs an offset, such as Z or +00:00")
    return instant.astimezone(UTC)
