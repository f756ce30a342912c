"""Statistics of a symbol's bars."""

from datetime import datetime

import strawberry

from domain import gaps as domain
from graph.scalars import given
from graph.types.enums import GapCause

FIRST = 100


@strawberry.type
class DateRange:
    start: datetime
    end: datetime


@strawberry.type(
    description="From the open of the first missing bar to the close of the last; tradingDays counts the days touched."
)
class MissingInterval:
    start: datetime
    end: datetime
    trading_days: int
    cause: GapCause = strawberry.field(description="That of most of its bars.")

    @classmethod
    def from_domain(cls, missing: domain.MissingInterval) -> "MissingInterval":
        return cls(start=missing.start, end=missing.end, trading_days=missing.trading_days, cause=missing.cause)


@strawberry.type
class SymbolStats:
    record_count: int
    date_range: DateRange | None = strawberry.field(
        description="From the open of the first bar to the close of the last; null when there are none."
    )
    validation_rate: float = strawberry.field(description="Validated bars / all bars, 0.0 to 1.0; 0 when there are none.")
    gaps_detected: int = strawberry.field(
        description=(
            "Runs of expected bars that are missing, judged by the symbol's own calendar: missingIntervals' length. What lies "
            "beyond what the calendar knows is not expected."
        )
    )
    price_gaps: int = strawberry.field(description="Bars that open more than 10 % away from the previous close.")
    coverage: float = strawberry.field(
        description="Bars held / bars expected between the first and the last, 0.0 to 1.0; 0 when none are expected."
    )
    statistics: strawberry.Private[domain.Statistics]

    @classmethod
    def from_domain(cls, found: domain.Statistics) -> "SymbolStats":
        held = DateRange(start=found.start, end=found.end) if found.start is not None and found.end is not None else None
        return cls(
            record_count=found.count,
            date_range=held,
            validation_rate=found.validation_rate,
            gaps_detected=len(found.missing),
            price_gaps=found.price_gaps,
            coverage=found.coverage,
            statistics=found,
        )

    @strawberry.field(description="Oldest first. Expected bars that follow one another are one run, also across a night.")
    async def missing_intervals(self, first: int | None = FIRST) -> list[MissingInterval]:
        return [MissingInterval.from_domain(each) for each in self.statistics.missing[: given(first, FIRST)]]
