"""Quotes: what a provider says a symbol is worth at an instant."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Quote:
    """The last price, in the major unit of `currency`, at the provider's own time of it; `previous_close` is that of the
    trading day before. Raises ValueError for a price that cannot be."""

    ticker: str
    price: Decimal
    at: datetime
    currency: str
    previous_close: Decimal | None

    def __post_init__(self) -> None:
        for value in (self.price, self.previous_close):
            if value is not None and (not value.is_finite() or value < 0):
                raise ValueError(f"{self.ticker} at {self.at:%Y-%m-%d %H:%M}: {value} is not a price")
