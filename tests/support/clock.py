"""A clock that stands still until it is told."""

from datetime import UTC, datetime, timedelta

EVENING = datetime(2026, 3, 27, 20, 30, tzinfo=UTC)
"""A Friday, half an hour after New York has closed: the last evening of the sample market."""


class ManualClock:
    def __init__(self, at: datetime = EVENING) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def advance(self, by: timedelta) -> None:
        self.at += by
