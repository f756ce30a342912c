"""How a symbol moves with the factors of the market: betas, from daily returns by least squares.

A *base factor* is represented by an ETF, a *spread* by one ETF's return less another's. MARKET, INTEREST_RATE and each
spread are estimated alone; the six styles, which move much alike, jointly, with a penalty on large betas. Returns come
first and common days second: a return always leads from one of its own symbol's bars to the next.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum
from math import isnan, prod

import numpy as np
from numpy.typing import NDArray

from domain.bars import ActionKind, Bar, CorporateAction, split_adjusted

Numbers = NDArray[np.float64]
Days = NDArray[np.datetime64]
Flags = NDArray[np.bool_]

LARGEST_BETA = 5.0
PENALTY = 1.0
"""α, what the styles' joint fit adds to Σ residual² for each unit of Σ β²."""
STILL = 1e-12
"""Returns whose standard deviation is no larger do not move: what is left of them is rounding."""


class Factor(Enum):
    """What a beta is on. The values are what the database holds and the API says."""

    MARKET = "MARKET"
    VALUE = "VALUE"
    GROWTH = "GROWTH"
    MOMENTUM = "MOMENTUM"
    QUALITY = "QUALITY"
    SIZE = "SIZE"
    LOW_VOLATILITY = "LOW_VOLATILITY"
    INTEREST_RATE = "INTEREST_RATE"
    VALUE_GROWTH_SPREAD = "VALUE_GROWTH_SPREAD"
    MOMENTUM_SPREAD = "MOMENTUM_SPREAD"
    SIZE_SPREAD = "SIZE_SPREAD"
    QUALITY_SPREAD = "QUALITY_SPREAD"

    @property
    def window(self) -> int:
        """Of so many common returns, the newest, it is estimated."""
        return 180 if self in SPREADS else 90

    @property
    def least(self) -> int:
        """With fewer common returns it is not estimated."""
        return 60 if self in SPREADS else 30

    @property
    def legs(self) -> tuple["Factor", ...]:
        """The base factors of which it is made: itself, or the two of a spread, the second taken from the first."""
        return SPREADS.get(self, (self,))


SPREADS: Mapping[Factor, tuple[Factor, Factor]] = {
    Factor.VALUE_GROWTH_SPREAD: (Factor.GROWTH, Factor.VALUE),
    Factor.MOMENTUM_SPREAD: (Factor.MOMENTUM, Factor.MARKET),
    Factor.SIZE_SPREAD: (Factor.SIZE, Factor.MARKET),
    Factor.QUALITY_SPREAD: (Factor.QUALITY, Factor.MARKET),
}
STYLES = (Factor.VALUE, Factor.GROWTH, Factor.MOMENTUM, Factor.QUALITY, Factor.SIZE, Factor.LOW_VOLATILITY)
"""The factors that are estimated together."""
FACTOR_ETFS: Mapping[Factor, str] = {
    Factor.MARKET: "SPY",
    Factor.VALUE: "VTV",
    Factor.GROWTH: "VUG",
    Factor.MOMENTUM: "MTUM",
    Factor.QUALITY: "QUAL",
    Factor.SIZE: "IWM",
    Factor.LOW_VOLATILITY: "USMV",
    Factor.INTEREST_RATE: "TLT",
}
"""The base factors, and the ETFs that represent them unless the operator says otherwise."""


class ExposureQuality(Enum):
    """How much history a beta rests on, best first. The values are what the database holds."""

    FULL_HISTORY = "full_history"
    LIMITED_HISTORY = "limited_history"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Exposure:
    """A beta from `observations` common returns, the newest of the day `as_of`.

    `beta` is None exactly when it is UNAVAILABLE. `r_squared` is that of the regression, for the styles of their joint fit;
    None also where there was nothing to explain: for a symbol whose price never moved.
    """

    factor: Factor
    beta: float | None
    r_squared: float | None
    observations: int
    window_days: int
    quality: ExposureQuality
    as_of: date | None

    @classmethod
    def unavailable(cls, factor: Factor, observations: int = 0, as_of: date | None = None) -> "Exposure":
        return cls(factor, None, None, observations, factor.window, ExposureQuality.UNAVAILABLE, as_of)


@dataclass(frozen=True, slots=True, eq=False)
class DailyReturns:
    """Simple returns, each of the day at whose close it was made; the days ascend, each once."""

    days: Days
    values: Numbers


@dataclass(frozen=True, slots=True)
class FactorModel:
    """Estimates a symbol's betas on the ETFs that represent the eight base factors."""

    etfs: Mapping[Factor, str] = field(default_factory=lambda: FACTOR_ETFS)

    @property
    def tickers(self) -> tuple[str, ...]:
        """The ETFs it needs, each once."""
        return tuple(dict.fromkeys(self.etfs[factor] for factor in FACTOR_ETFS))

    def exposures(self, symbol: DailyReturns, etfs: Mapping[str, DailyReturns]) -> list[Exposure]:
        """One for each factor, in the order of the factors. The styles are one fit: without one of their ETFs, all are
        UNAVAILABLE. So is a factor that did not move."""
        if not len(symbol.days):
            return [Exposure.unavailable(factor) for factor in Factor]
        features = self._features(symbol, etfs)
        used = _newest_common(features)
        betas, r_squared = least_squares(features, symbol.values, used)
        common = used[_STYLES][0]
        if common.sum() >= STYLES[0].least:
            betas[_STYLES], r_squared[_STYLES] = ridge(features[_STYLES, common], symbol.values[common])
        newest = symbol.days[len(symbol.days) - 1 - used[:, ::-1].argmax(axis=1)]
        columns = (betas, r_squared, used.sum(axis=1), newest)
        return [_exposure(*row) for row in zip(Factor, *(column.tolist() for column in columns), strict=True)]

    def missing_reason(self, exposures: Iterable[Exposure], etfs: Mapping[str, DailyReturns]) -> str | None:
        """Why some of the exposures, found with these ETFs, are UNAVAILABLE, for a person; None when none is."""
        absent = self._absent(etfs)
        factors: dict[str, list[str]] = {}
        for exposure in exposures:
            if exposure.quality is ExposureQuality.UNAVAILABLE:
                factors.setdefault(self._reason(exposure, absent), []).append(exposure.factor.name)
        return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in factors.items()) or None

    def _absent(self, etfs: Mapping[str, DailyReturns]) -> set[str]:
        return {ticker for ticker in self.tickers if ticker not in etfs or not len(etfs[ticker].days)}

    def _reason(self, exposure: Exposure, absent: set[str]) -> str:
        factor = exposure.factor
        needed = self._needed(STYLES if factor in STYLES else [factor])
        absent_here = [ticker for ticker in needed if ticker in absent]
        if absent_here:
            return f"no prices of {', '.join(absent_here)}"
        if exposure.observations < factor.least:
            return f"fewer than {factor.least} common returns ({exposure.observations})"
        return f"{' less '.join(self._needed([factor]))} did not move"

    def _needed(self, factors: Iterable[Factor]) -> list[str]:
        return list(dict.fromkeys(self.etfs[leg] for factor in factors for leg in factor.legs))

    def _features(self, symbol: DailyReturns, etfs: Mapping[str, DailyReturns]) -> Numbers:
        """Each factor's moves on the symbol's days, a factor a row; NaN where there is none."""
        aligned = {ticker: _on_days_of(symbol, etfs.get(ticker)) for ticker in self.tickers}
        legs = ([aligned[self.etfs[leg]] for leg in factor.legs] for factor in Factor)
        return np.array([first - less[0] if less else first for first, *less in legs])


def daily_returns(bars: Sequence[Bar], actions: Iterable[CorporateAction], as_of: date) -> DailyReturns:
    """The returns of one symbol's final daily bars as stored, oldest first, from closes adjusted for what took effect by
    `as_of`: splits, and dividends, each of which multiplies every earlier close by 1 − dividend ÷ the close before it.

    There is no return to or from a close of zero, nor across dividends that take the whole of it.
    """
    known = [action for action in actions if action.ex_date <= as_of]
    days = [bar.day for bar in bars]
    closes = np.array([float(bar.close) for bar in split_adjusted(bars, known, as_of)])
    with np.errstate(all="ignore"):
        before = closes[:-1].copy()
        for action in known:
            at = bisect_left(days, action.ex_date)
            if action.kind is ActionKind.DIVIDEND and 0 < at < len(bars):
                before[at - 1] *= max(0.0, 1 - _paid(action, bars[at], known) / closes[at - 1])
        values = closes[1:] / before - 1
    sound = np.isfinite(values) & (values > -1)
    return DailyReturns(_numbered(days[1:])[sound], values[sound])


def least_squares(features: Numbers, target: Numbers, used: Flags) -> tuple[Numbers, Numbers]:
    """The slope and R² of the target on each row of `features` alone, with an intercept, from the returns that are `used`.

    There is no slope (NaN) on a feature that does not move, and no R² where the target does not."""
    x, y = _centred(features, used), _centred(target, used)
    xx, xy, yy = (np.einsum("ij,ij->i", a, b) for a, b in ((x, x), (x, y), (y, y)))
    least = used.sum(axis=1) * STILL**2
    nothing = np.full((2, len(features)), np.nan)
    slopes = np.divide(xy, xx, out=nothing[0], where=xx > least)
    r_squared = np.divide(xy**2, xx * yy, out=nothing[1], where=(xx > least) & (yy > least))
    return slopes, np.minimum(r_squared, 1.0)


def ridge(features: Numbers, target: Numbers) -> tuple[Numbers, Numbers]:
    """The slopes of the target on all rows of `features` together, with an intercept, and R², for each the same.

    Minimises Σ residual² + α Σ β², with the target centred and the features standardised by their population standard
    deviation; the slopes given are those on the features as they came, NaN on one that does not move."""
    centred = features - features.mean(axis=1, keepdims=True)
    explained = target - target.mean()
    deviations = np.sqrt(np.square(centred).mean(axis=1))
    moving = deviations > STILL
    standardised = centred[moving] / deviations[moving, np.newaxis]
    weights = np.linalg.solve(standardised @ standardised.T + PENALTY * np.eye(len(standardised)), standardised @ explained)
    slopes = np.full(len(features), np.nan)
    slopes[moving] = weights / deviations[moving]
    residuals = explained - weights @ standardised
    left, total = float(residuals @ residuals), float(explained @ explained)
    return slopes, np.full(len(features), 1 - left / total if total > len(target) * STILL**2 else np.nan)


def portfolio_exposures(
    weights: Sequence[tuple[Decimal | float, Sequence[Exposure] | None]], equity: Decimal | float
) -> list[Exposure]:
    """Σ signed value ÷ equity × beta for each factor, from the signed value and the exposures of what is held.

    UNAVAILABLE when equity is not positive, when nothing is held, or when something held has no beta.
    """
    held = [(value, {exposure.factor: exposure for exposure in exposures or ()}) for value, exposures in weights]
    return [
        _combined(factor, [(value, known.get(factor, Exposure.unavailable(factor))) for value, known in held], equity)
        for factor in Factor
    ]


_WORST_LAST = list(ExposureQuality)
# Rows, where each factor is one; the styles follow each other in the contract's order.
_STYLES = slice(list(Factor).index(STYLES[0]), list(Factor).index(STYLES[-1]) + 1)
_WINDOWS = np.array([[factor.window] for factor in Factor])
_EPOCH = date(1970, 1, 1).toordinal()


def _combined(factor: Factor, held: Sequence[tuple[Decimal | float, Exposure]], equity: Decimal | float) -> Exposure:
    observations = min((exposure.observations for _, exposure in held), default=0)
    as_of = min((exposure.as_of for _, exposure in held if exposure.as_of is not None), default=None)
    weighted = [float(value) * exposure.beta for value, exposure in held if exposure.beta is not None]
    if equity <= 0 or not held or len(weighted) < len(held):
        return Exposure.unavailable(factor, observations, as_of)
    worst = max((exposure.quality for _, exposure in held), key=_WORST_LAST.index)
    return Exposure(factor, sum(weighted) / float(equity), None, observations, factor.window, worst, as_of)


def _exposure(factor: Factor, beta: float, r_squared: float, observations: int, newest: date) -> Exposure:
    as_of = newest if observations else None
    if observations < factor.least or isnan(beta):
        return Exposure.unavailable(factor, observations, as_of)
    quality = ExposureQuality.FULL_HISTORY if observations == factor.window else ExposureQuality.LIMITED_HISTORY
    capped = max(-LARGEST_BETA, min(LARGEST_BETA, beta))
    explained = None if isnan(r_squared) else r_squared
    return Exposure(factor, capped, explained, observations, factor.window, quality, as_of)


def _on_days_of(symbol: DailyReturns, other: DailyReturns | None) -> Numbers:
    """The other's return on each of the symbol's days; NaN where it has none."""
    if other is None or not len(other.days):
        return np.full(len(symbol.days), np.nan)
    at = np.minimum(np.searchsorted(other.days, symbol.days), len(other.days) - 1)
    return np.where(other.days[at] == symbol.days, other.values[at], np.nan)


def _newest_common(features: Numbers) -> Flags:
    """Which returns each factor is estimated from: the newest of its window; of the styles, those that all of them have."""
    common = ~np.isnan(features)
    common[_STYLES] = common[_STYLES].all(axis=0)
    from_the_newest = common[:, ::-1].cumsum(axis=1)[:, ::-1]
    used: Flags = common & (from_the_newest <= _WINDOWS)
    return used


def _centred(values: Numbers, used: Flags) -> Numbers:
    """Less the mean of those used; 0 for the others, which then add nothing to a sum of products."""
    means = np.where(used, values, 0.0).sum(axis=1) / np.maximum(used.sum(axis=1), 1)
    return np.where(used, values - means[:, np.newaxis], 0.0)


def _numbered(days: Iterable[date]) -> Days:
    """By their numbers: numpy takes ten times as long over dates themselves."""
    return np.array([day.toordinal() - _EPOCH for day in days], dtype=np.int64).astype("datetime64[D]")


def _paid(dividend: CorporateAction, bar: Bar, actions: Iterable[CorporateAction]) -> float:
    """The dividend in the newest shares. It was stated in those of its day or, where the provider had already adjusted, in
    the same as `bar`: the bar of its day, or the first after."""
    stated = dividend.ex_date if bar.adjusted_to == bar.day else bar.adjusted_to
    splits = (action.value for action in actions if action.kind is ActionKind.SPLIT and action.ex_date > stated)
    return float(dividend.value / prod(splits, start=Decimal(1)))
