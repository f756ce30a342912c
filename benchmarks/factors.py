"""Betas of 500 symbols beside the same definition written down with statsmodels, a regression and a day at a time; and the
returns of 500 symbols from a year of bars each beside the same adjustment as a loop over decimals."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import pairwise
from math import isclose

import numpy as np
import statsmodels.api as sm

from benchmarks.levels import walk
from benchmarks.report import Comparison, by_turns, microseconds, print_machine, print_table
from domain.bars import ActionKind, Bar, CorporateAction
from domain.factors import FACTOR_ETFS, SPREADS, STYLES, DailyReturns, Factor, FactorModel, Numbers, daily_returns

SYMBOLS, DAYS = 500, 252
FIRST = np.datetime64("2025-01-01")
Returns = Mapping[date, float]


def main() -> None:
    print_table(f"Factors, {SYMBOLS} symbols", "freshtape", "the other", "milliseconds", [_betas(), _returns()])


def _betas() -> Comparison:
    model, draw = FactorModel(), np.random.default_rng(4)
    etfs = {ticker: _drawn(draw) for ticker in model.tickers}
    symbols = [_drawn(draw) for _ in range(SYMBOLS)]
    plain_etfs = {ticker: _by_day(etf) for ticker, etf in etfs.items()}
    plain_symbols = [_by_day(symbol) for symbol in symbols]
    for symbol, plain in zip(symbols[:20], plain_symbols, strict=False):
        found = {exposure.factor: exposure.beta for exposure in model.exposures(symbol, etfs)}
        _expect_same([found[factor] for factor in Factor], [_plain_betas(plain, plain_etfs)[factor] for factor in Factor])
    return by_turns(
        "12 betas each, common days too; other: statsmodels",
        lambda: microseconds(lambda: [model.exposures(symbol, etfs) for symbol in symbols]) / 1000,
        lambda: microseconds(lambda: [_plain_betas(symbol, plain_etfs) for symbol in plain_symbols]) / 1000,
        rounds=3,
    )


def _drawn(draw: np.random.Generator) -> DailyReturns:
    """Returns of normal size, but for some days that differ from symbol to symbol."""
    days = np.delete(FIRST + np.arange(DAYS), draw.integers(0, DAYS, 5))
    return DailyReturns(days, draw.normal(0.0005, 0.01, len(days)))


def _by_day(returns: DailyReturns) -> Returns:
    return dict(zip(returns.days.tolist(), returns.values.tolist(), strict=True))


def _plain_betas(symbol: Returns, etfs: Mapping[str, Returns]) -> dict[Factor, float]:
    found = dict(zip(STYLES, _plain_ridge(symbol, [etfs[FACTOR_ETFS[style]] for style in STYLES]), strict=True))
    for factor in (Factor.MARKET, Factor.INTEREST_RATE, *SPREADS):
        legs = [etfs[FACTOR_ETFS[leg]] for leg in SPREADS.get(factor, (factor,))]
        y, xs = _common(symbol, legs, factor.window)
        found[factor] = sm.OLS(y, sm.add_constant(xs[0] - xs[1] if len(xs) > 1 else xs[0])).fit().params[1]
    return {factor: max(-5.0, min(5.0, beta)) for factor, beta in found.items()}


def _plain_ridge(symbol: Returns, etfs: Sequence[Returns]) -> Sequence[float]:
    """As least squares on one row more for each feature."""
    y, xs = _common(symbol, etfs, Factor.VALUE.window)
    deviations = xs.std(axis=1, keepdims=True)
    rows = np.vstack([((xs - xs.mean(axis=1, keepdims=True)) / deviations).T, np.eye(len(xs))])
    return list(sm.OLS(np.append(y - y.mean(), np.zeros(len(xs))), rows).fit().params / deviations[:, 0])


def _common(symbol: Returns, others: Sequence[Returns], window: int) -> tuple[Numbers, Numbers]:
    days = sorted(set(symbol).intersection(*others))[-window:]
    return np.array([symbol[day] for day in days]), np.array([[other[day] for day in days] for other in others])


def _returns() -> Comparison:
    """Four dividends each, and a split of every tenth."""
    bars = walk(DAYS + 1)
    ends = bars[-1].day
    actions = [CorporateAction("WALK", bars[at].day, ActionKind.DIVIDEND, Decimal("0.25"), "walk") for at in range(30, 250, 60)]
    split = CorporateAction("WALK", bars[100].day, ActionKind.SPLIT, Decimal(4), "walk")
    raw = [replace(bar, close=bar.close * 4) if bar.day < split.ex_date else bar for bar in bars]
    raw = [replace(bar, high=max(bar.high, bar.close)) for bar in raw]
    told = [(raw, [*actions, split]) if number % 10 == 0 else (bars, actions) for number in range(SYMBOLS)]
    for some, known in told[:2]:
        _expect_same(daily_returns(some, known, ends).values.tolist(), _plain_returns(some, known))
    return by_turns(
        f"returns of {DAYS} days each from bars; other: decimals",
        lambda: microseconds(lambda: [daily_returns(some, known, ends) for some, known in told]) / 1000,
        lambda: microseconds(lambda: [_plain_returns(some, known) for some, known in told]) / 1000,
        rounds=3,
    )


def _plain_returns(bars: Sequence[Bar], actions: Sequence[CorporateAction]) -> list[float]:
    """Backwards, one bar at a time, with every earlier close's factor carried along."""
    by_day: dict[date, list[CorporateAction]] = {}
    for action in actions:
        by_day.setdefault(action.ex_date, []).append(action)
    factor, adjusted = Decimal(1), [bars[-1].close]
    for bar, after in zip(reversed(bars[:-1]), reversed(bars), strict=False):
        of_the_day = by_day.get(after.day, ())
        ratio = Decimal(1)
        for action in of_the_day:
            ratio *= action.value if action.kind is ActionKind.SPLIT else 1
        factor /= ratio
        for action in of_the_day:
            factor *= 1 - action.value * ratio / bar.close if action.kind is ActionKind.DIVIDEND else 1
        adjusted.append(bar.close * factor)
    adjusted.reverse()
    return [float(close / before - 1) for before, close in pairwise(adjusted)]


def _expect_same(ours: Sequence[float | None], plain: Sequence[float]) -> None:
    pairs = zip(ours, plain, strict=True)
    if not all(a is not None and isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in pairs):
        raise RuntimeError(f"the two do not find the same: {ours} and {plain}")


if __name__ == "__main__":
    print_machine()
    main()
