"""Portfolios: lots, what they are worth, and the snapshot that is always made anew from them.

A lot's quantity and entry price are in the shares of one day, `shares_as_of`: that of its import, moved on by each split that
has taken effect since. Closed lots are kept as the file has them and count nowhere.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Context, Decimal
from enum import Enum
from functools import reduce

from domain.bars import QUOTIENT, Bar, plain, quotient
from domain.errors import VersionConflict
from domain.factors import Exposure, portfolio_exposures
from domain.portfolio_csv import Lot

EXACT = Context(prec=110)
"""Room for the sum of ten thousand products of numbers with 15 digits before the point and 10 behind, and for a ratio."""
TOLERANCE = Decimal("0.01")
"""How far beyond a day's low and high an entry price may lie and still be of that day: commissions, and rounding."""
HUNDRED = Decimal(100)
Day = date
"""Where a field is called date."""


class PortfolioStatus(Enum):
    PENDING = "pending"
    READY = "ready"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class Price:
    """The close of a symbol's newest final daily bar, in today's shares, and its day; None as long as there is none."""

    currency: str
    value: Decimal | None = None
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """`ratio` new shares for one old, from `ex_date` on."""

    ex_date: date
    ratio: Decimal


@dataclass(frozen=True, slots=True)
class Holding:
    """One lot. `place` is its place in the file, from 0; `note` is something to check about it, for a person."""

    place: int
    ticker: str
    quantity: Decimal
    entry_price: Decimal
    entry_date: date | None
    exit_date: date | None
    shares_as_of: date
    last_price: Decimal | None = None
    last_price_date: date | None = None
    currency: str | None = None
    note: str | None = None

    @property
    def is_open(self) -> bool:
        return self.exit_date is None

    @property
    def market_value(self) -> Decimal | None:
        return _product(self.quantity, self.last_price) if self.last_price is not None and self.is_open else None

    @property
    def cost_basis(self) -> Decimal:
        return _product(self.quantity, self.entry_price)

    @property
    def pnl(self) -> Decimal | None:
        value = self.market_value
        return plain(EXACT.subtract(value, self.cost_basis)) if value is not None else None

    def as_lot(self) -> Lot:
        """As a file has it, one line below its header."""
        return Lot(self.place + 2, self.ticker, self.quantity, self.entry_price, self.entry_date, self.exit_date)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Of the open lots that have a price in the snapshot's currency; `is_complete` says whether these are all open ones.
    `date` and `oldest_price_date` are the days of the newest and the oldest price counted."""

    date: Day
    currency: str
    oldest_price_date: Day
    total_value: Decimal
    total_cost: Decimal
    total_pnl: Decimal
    pnl_percent: Decimal
    position_count: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Portfolio:
    """`digest` is that of the lots as they were imported; `is_priced` says that every open lot has a price."""

    id: str
    name: str
    digest: str
    created_at: datetime
    version: int = 1
    is_priced: bool = False
    snapshot: Snapshot | None = None

    def expect(self, version: int | None) -> None:
        """Raises VersionConflict when the version given is not the portfolio's, or when there is none."""
        if version != self.version:
            detail = "is there with other lots, and replacing them needs its expectedVersion" if version is None else ""
            raise VersionConflict(f"The portfolio {self.name!r}", version, self.version, detail)

    def with_totals_of(self, holdings: Sequence[Holding]) -> "Portfolio":
        """What is known of it by its lots."""
        return replace(self, is_priced=is_priced(holdings), snapshot=snapshot(holdings))

    def with_other_lots(self) -> "Portfolio":
        return replace(self, version=self.version + 1)

    def status(self, pending: Sequence[str]) -> PortfolioStatus:
        """With tickers that are queued, wait or are under way."""
        if pending:
            return PortfolioStatus.PENDING
        return PortfolioStatus.READY if self.is_priced else PortfolioStatus.PARTIAL


def imported(lots: Iterable[Lot], today: date) -> list[Holding]:
    return [
        Holding(place, lot.ticker, lot.quantity, lot.entry_price, lot.entry_date, lot.exit_date, shares_as_of=today)
        for place, lot in enumerate(lots)
    ]


def valued(holdings: Iterable[Holding], prices: Mapping[str, Price]) -> list[Holding]:
    """At these prices; closed lots and lots of other tickers keep what they have, but for the currency."""
    return [_valued(holding, prices.get(holding.ticker)) for holding in holdings]


def _valued(holding: Holding, price: Price | None) -> Holding:
    if price is None:
        return holding
    if not holding.is_open:
        return replace(holding, currency=price.currency)
    return replace(holding, last_price=price.value, last_price_date=price.day, currency=price.currency)


def split(holding: Holding, ratio: Decimal, ex_date: date) -> Holding:
    """In the shares of the split's day: as much worth as before. A split that its figures hold already, or that came after the
    lot was closed, changes nothing."""
    if not holding.is_open or ex_date <= holding.shares_as_of:
        return holding
    return replace(
        holding,
        quantity=plain(EXACT.multiply(holding.quantity, ratio).quantize(QUOTIENT, context=EXACT)),
        entry_price=quotient(holding.entry_price, ratio),
        last_price=quotient(holding.last_price, ratio) if holding.last_price is not None else None,
        shares_as_of=ex_date,
    )


def is_priced(holdings: Iterable[Holding]) -> bool:
    return all(holding.last_price is not None for holding in holdings if holding.is_open)


def snapshot(holdings: Sequence[Holding]) -> Snapshot | None:
    """None as long as no open lot has a price in the currency of most."""
    held = [holding for holding in sorted(holdings, key=lambda holding: holding.place) if holding.is_open]
    currency = _currency_of_most(held)
    counted = _counted(held, currency)
    days = [holding.last_price_date for holding in counted if holding.last_price_date is not None]
    if currency is None or not days:
        return None
    value = _sum(holding.market_value for holding in counted)
    cost = _sum(holding.cost_basis for holding in counted)
    pnl = plain(EXACT.subtract(value, cost))
    return Snapshot(
        date=max(days),
        currency=currency,
        oldest_price_date=min(days),
        total_value=value,
        total_cost=cost,
        total_pnl=pnl,
        pnl_percent=_percent(pnl, cost),
        position_count=len(counted),
        is_complete=len(counted) == len(held),
    )


def exposures(holdings: Sequence[Holding], measured: Mapping[str, Sequence[Exposure]]) -> list[Exposure]:
    """The portfolio's own, of the lots that its snapshot counts, from those of their symbols."""
    held = [holding for holding in sorted(holdings, key=lambda holding: holding.place) if holding.is_open]
    counted = _counted(held, _currency_of_most(held))
    values = [(holding.market_value or Decimal(0), measured.get(holding.ticker)) for holding in counted]
    return portfolio_exposures(values, _sum(value for value, _ in values))


def _counted(held: Iterable[Holding], currency: str | None) -> list[Holding]:
    """Those of the open lots that have a price in the currency."""
    return [holding for holding in held if holding.currency == currency and holding.last_price is not None]


def _currency_of_most(held: Sequence[Holding]) -> str | None:
    """The first in the file on a tie."""
    counts = Counter(holding.currency for holding in held if holding.currency is not None)
    return counts.most_common(1)[0][0] if counts else None


def _percent(part: Decimal, whole: Decimal) -> Decimal:
    if not whole:
        return Decimal(0)
    ratio = EXACT.divide(EXACT.multiply(part, HUNDRED), whole)
    return plain(ratio.quantize(QUOTIENT, context=EXACT))


def _product(one: Decimal, other: Decimal) -> Decimal:
    return plain(EXACT.multiply(one, other))


def _sum(values: Iterable[Decimal | None]) -> Decimal:
    return plain(reduce(EXACT.add, (value for value in values if value is not None), Decimal(0)))


# ── what to check about a lot


def noted(holding: Holding, bar: Bar, splits: Iterable[Split]) -> Holding:
    """With a note when the entry price fits what was traded on its day, by that day's bar, and not the same in the shares that
    the lot should be in: the file may not have heard of a split. Its figures are kept."""
    since = [each for each in splits if bar.day < each.ex_date <= holding.shares_as_of]
    whole = _ratio(since)
    traded = _ratio(each for each in since if each.ex_date <= bar.adjusted_to)
    if whole == 1 or not _fits(holding.entry_price, bar, traded) or _fits(holding.entry_price, bar, quotient(traded, whole)):
        return holding
    return replace(
        holding,
        note=(
            f"The entry price fits what {holding.ticker} traded at on {bar.day}, before a split of {whole:f} for 1. The lot is "
            "kept as the file has it; check whether it is in today's shares."
        ),
    )


def _ratio(splits: Iterable[Split]) -> Decimal:
    return reduce(lambda ratio, each: _product(ratio, each.ratio), splits, Decimal(1))


def _fits(price: Decimal, bar: Bar, factor: Decimal) -> bool:
    low, high = _product(bar.low, factor), _product(bar.high, factor)
    return _product(low, 1 - TOLERANCE) <= price <= _product(high, 1 + TOLERANCE)
