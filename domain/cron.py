"""When something is due by the calendar: five fields of cron, in UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cron:
    """Minute, hour, day of the month, month, day of the week. Raises ValueError for what is none, or never due."""

    expression: str

    def __post_init__(self) -> None:
        if len(self.expression.split()) != 5:
            raise ValueError("not five fields")
        try:
            self.next_after(_SOME_DAY)
        except (CronSimError, AssertionError, StopIteration) as error:  # the second where the library is surprised
            raise ValueError("no cron expression") from error

    def next_after(self, instant: datetime) -> datetime:
        """The first time strictly later."""
        return next(CronSim(self.expression, instant))

    def newest_by(self, instant: datetime) -> datetime:
        """The last time that is not later."""
        return next(CronSim(self.expression, instant + datetime.resolution, reverse=True))
