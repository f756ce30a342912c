"""What a provider changed of a bar that was final: a fact that is kept."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.bars import Interval

FIELDS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Revision:
    """Both values in the shares of the bar's new `adjusted_to`; `observed_at` is market time."""

    ticker: str
    interval: Interval
    open_time: datetime
    field: str
    old_value: Decimal
    new_value: Decimal
    source: str
    observed_at: datetime
