"""Bars, the prices of a symbol over [open_time, close_time), and what a provider says of splits and dividends."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from decimal import Context, Decimal
from enum import Enum
from operator import attrgetter

from domain.faults import VALIDATED, Fault

QUOTIENT = Decimal("1e-10")
"""Adjusted prices that do not come out even are rounded to ten decimals, half to even."""
WIDE = Context(prec=60)
"""Room for ten decimals behind any price: the usual 28 digits would refuse those of 1e18 and more."""


class Interval(Enum):
    """A bar's length. The values are what the database holds."""

    ONE_MINUTE = "1m"
    FIVE_MINUTES = "5m"
    FIFTEEN_MINUTES = "15m"
    THIRTY_MINUTES = "30m"
    ONE_HOUR = "1h"
    FOUR_HOURS = "4h"
    ONE_DAY = "1d"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar as its provider gave it; the prices are in the major unit of the symbol's currency.

    `adjusted_to` is the date up to which the provider had already adjusted it for splits: the bar's own trading day when the
    prices are as traded. `is_final`: its day was over when it was fetched; a daily bar that is not goes up to when it was told,
    its close the last price until then. `faults`: None as long as nobody has judged it.
    Raises ValueError for a bar that cannot be: a number that is not finite or is negative, or a high below the low.
    """

    ticker: str
    interval: Interval
    open_time: datetime
    close_time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    adjusted_to: date
    source: str
    is_final: bool = True
    faults: Fault | None = None

    def __post_init__(self) -> None:
        for value in (self.open, self.high, self.low, self.close, self.volume):
            if not value.is_finite() or value < 0:
                raise ValueError(f"{self.ticker} at {self.open_time:%Y-%m-%d %H:%M}: {value} is not a price or volume")
        if self.high < self.low:
            raise ValueError(f"{self.ticker} at {self.open_time:%Y-%m-%d %H:%M}: high {self.high} below low {self.low}")

    def judged(self, faults: Fault) -> "Bar":
        """With these faults. Its numbers are not looked at again, as `replace` would, in five times the time."""
        bar = object.__new__(Bar)
        for put, value in zip(_PUTS, _values(self), strict=True):
            put(bar, value)
        _put_faults(bar, faults)
        return bar

    @property
    def is_validated(self) -> bool:
        return self.faults in VALIDATED

    @property
    def day(self) -> date:
        """The UTC date on which it closes: the trading day of a daily bar also where the day opens on the eve (Sydney)."""
        return (self.close_time - datetime.resolution).date()


_put_faults = Bar.__dict__["faults"].__set__
_PUTS = [Bar.__dict__[field.name].__set__ for field in fields(Bar)]
_values = attrgetter(*(field.name for field in fields(Bar)))
_all_but_date = attrgetter(*(field.name for field in fields(Bar) if field.name != "adjusted_to"))


class ActionKind(Enum):
    SPLIT = "split"
    DIVIDEND = "dividend"


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """A split (`value` new shares for one old) or a cash dividend (`value` a share) that took effect on `ex_date`.

    A provider states a dividend in the same shares as the bar of its day: those of that day when its prices are as traded.
    """

    ticker: str
    ex_date: date
    kind: ActionKind
    value: Decimal
    source: str


@dataclass(frozen=True, slots=True)
class History:
    """A provider's answer: bars, oldest first, and the actions it knows of in the same range. So many bars more were refused,
    because they cannot be."""

    bars: tuple[Bar, ...]
    actions: tuple[CorporateAction, ...] = ()
    refused: int = 0


def split_adjusted(bars: Iterable[Bar], actions: Iterable[CorporateAction], as_of: date) -> list[Bar]:
    """The bars in shares of `as_of`: each price divided, and each volume multiplied, by the splits that took effect after
    the bar's `adjusted_to` and not after `as_of`. Dividends leave prices alone."""
    splits = [a for a in actions if a.kind is ActionKind.SPLIT and a.ex_date <= as_of]
    return [adjusted(bar, split_factor(splits, bar.adjusted_to, as_of)) for bar in bars] if splits else list(bars)


def split_factor(actions: Iterable[CorporateAction], after: date, until: date) -> Decimal:
    """How many shares one has become by the splits that took effect after a date and not after another."""
    factor = Decimal(1)
    for action in actions:
        if action.kind is ActionKind.SPLIT and after < action.ex_date <= until:
            factor *= action.value
    return factor


def is_news(fetched: Bar, held: Bar | None, actions: Iterable[CorporateAction]) -> bool:
    """Whether a bar fetched again says more than the one held: not by being adjusted up to a later day alone, when no split
    lies between."""
    if held is None or _all_but_date(held) != _all_but_date(fetched):
        return True
    between = sorted((held.adjusted_to, fetched.adjusted_to))
    return any(a.kind is ActionKind.SPLIT and between[0] < a.ex_date <= between[1] for a in actions)


def adjusted(bar: Bar, factor: Decimal) -> Bar:
    """Where one share has become so many."""
    if factor == 1:
        return bar
    return replace(
        bar,
        open=quotient(bar.open, factor),
        high=quotient(bar.high, factor),
        low=quotient(bar.low, factor),
        close=quotient(bar.close, factor),
        volume=plain(WIDE.multiply(bar.volume, factor)),
    )


def quotient(dividend: Decimal, divisor: Decimal) -> Decimal:
    """With ten decimals at most, half to even."""
    return plain(WIDE.divide(dividend, divisor).quantize(QUOTIENT, context=WIDE))


def plain(value: Decimal) -> Decimal:
    """Without trailing zeros and without an exponent: 110.250 → 110.25, 1E+3 → 1000."""
    return Decimal(f"{value.normalize(WIDE):f}")
