"""Longer bars: in bulk beside polars, on whole numbers; and one minute at a time, all intervals at once, beside a loop over the
intervals."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from time import perf_counter

import numpy as np
import polars as pl

from benchmarks.report import Comparison, by_turns, print_machine, print_table
from domain.aggregation import Columns, Hours, Minute, Rollup, Window, aggregate, rolled
from domain.bars import Interval
from domain.calendars import NEW_YORK, calendar_for
from domain.hours import LENGTHS
from domain.tickers import AssetClass

SYMBOLS = 100
YEAR = [date(2025, 1, 1) + timedelta(days=n) for n in range(365)]
FIVE = Interval.FIVE_MINUTES
CALENDAR = calendar_for(AssetClass.STOCK, NEW_YORK)


def main() -> None:
    found = [_in_bulk(), _decimals_in_bulk(), *map(_one_at_a_time, ("symbol by symbol", "minute by minute"))]
    print_table("Longer bars", "freshtape", "the other", "million bars per second", found)


def _trading_minutes(days: Iterable[date]) -> list[int]:
    known = [day for day in map(CALENDAR.trading_day, days) if day]
    return [opens for day in known for opens in range(int(day.open.timestamp()), int(day.close.timestamp()), 60)]


def _walk(opens: Sequence[int], seed: int) -> Columns:
    """A random walk in cents."""
    draw, starts = np.random.default_rng(seed), np.array(opens, np.int64)
    prices = 20_000 + np.cumsum(draw.integers(-5, 6, len(starts)))
    above, below, volumes = (draw.integers(0, 20, len(starts)) for _ in range(3))
    return Columns(starts, starts + 60, prices, prices + above, prices - below, prices, volumes)


def _minutes(walk: Columns) -> list[Minute]:
    columns = (walk.open, walk.high, walk.low, walk.close)
    prices = ([Decimal(price).scaleb(-2) for price in column.tolist()] for column in columns)
    return list(map(Minute, walk.opens.tolist(), *prices, map(Decimal, walk.volume.tolist())))


def _rate(bars: int, work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return bars / (perf_counter() - started) / 1e6


def _in_bulk() -> Comparison:
    """The other is the fastest of the ways tried that polars has: all symbols in one call on all cores, the times marked as
    sorted, whole numbers like ours. New York opens on a five-minute mark, so that polars needs no calendar."""
    opens, hours = _trading_minutes(YEAR), Hours(CALENDAR)
    years = [_walk(opens, seed) for seed in range(SYMBOLS)]
    frames = [_frame(year) for year in years]

    def ours() -> list[Columns]:
        return [rolled(year, hours, FIVE, 0) for year in years]

    def theirs() -> list[pl.DataFrame]:
        bars = (pl.first("open"), pl.max("high"), pl.min("low"), pl.last("close"), pl.sum("volume"))
        return pl.collect_all([frame.lazy().group_by_dynamic("time", every="300i").agg(bars) for frame in frames])

    for our, their in zip(ours(), theirs(), strict=True):
        same = [np.array_equal(getattr(our, name), their[name].to_numpy()) for name in their.columns if name != "time"]
        _expect(all(same) and np.array_equal(our.opens, their["time"].to_numpy()))
    bars = SYMBOLS * len(opens)
    return by_turns(f"1m → 5m, {SYMBOLS} symbol-years; other: polars", lambda: _rate(bars, ours), lambda: _rate(bars, theirs))


def _frame(bars: Columns) -> pl.DataFrame:
    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    return pl.DataFrame({"time": bars.opens, **columns}).with_columns(pl.col("time").set_sorted())


def _decimals_in_bulk() -> Comparison:
    minutes, hours = _minutes(_walk(_trading_minutes(YEAR), 0)), Hours(CALENDAR)

    def ours() -> list[Window]:
        return aggregate(minutes, hours, FIVE, 0)

    def theirs() -> list[Window]:
        loop = PlainLoop(hours, [FIVE])
        return [window for minute in minutes for window in loop.add(minute)] + loop.last()

    _expect(ours() == theirs())
    return by_turns(
        "1m → 5m, a symbol-year of decimals; other: a loop",
        lambda: _rate(len(minutes), ours),
        lambda: _rate(len(minutes), theirs),
    )


def _one_at_a_time(order: str) -> Comparison:
    hours = Hours(CALENDAR)
    days = [_minutes(_walk(_trading_minutes([date(2025, 6, 12)]), seed)) for seed in range(SYMBOLS)]

    def feed(adds: Sequence[Callable[[Minute], Sequence[Window]]]) -> list[tuple[Callable[[Minute], Sequence[Window]], Minute]]:
        if order == "symbol by symbol":
            return [(add, minute) for add, day in zip(adds, days, strict=True) for minute in day]
        return [pair for minutes in zip(*days, strict=True) for pair in zip(adds, minutes, strict=True)]

    def rate(adds: Sequence[Callable[[Minute], Sequence[Window]]]) -> float:
        fed = feed(adds)
        return _rate(len(fed), lambda: _added(fed))

    rollup, loop = Rollup(hours), PlainLoop(hours, list(LENGTHS))
    ours = {window for minute in days[0] for window in rollup.add(minute)}
    _expect(ours == {*(window for minute in days[0] for window in loop.add(minute)), *loop.last()})
    return by_turns(
        f"all intervals, {SYMBOLS} symbols, {order}; other: a loop",
        lambda: rate([Rollup(hours).add for _ in days]),
        lambda: rate([PlainLoop(hours, list(LENGTHS)).add for _ in days]),
    )


def _added(fed: Iterable[tuple[Callable[[Minute], Sequence[Window]], Minute]]) -> int:
    completed = 0
    for add, minute in fed:
        if add(minute):
            completed += 1
    return completed


def _expect(same: bool) -> None:
    if not same:
        raise RuntimeError("the two do not find the same bars")


class PlainBar:
    """A bar that grows."""

    __slots__ = ("close", "closes", "high", "low", "open", "opens", "volume")

    def __init__(self, span: tuple[int, int], minute: Minute) -> None:
        self.opens, self.closes = span
        _, self.open, self.high, self.low, self.close, self.volume = minute


class PlainLoop:
    """Every minute into the bar of every interval, which is given when a minute comes that is not of it."""

    def __init__(self, hours: Hours, intervals: Sequence[Interval]) -> None:
        self.hours = hours
        self.bars: dict[Interval, PlainBar] = {}
        self.intervals = intervals

    def add(self, minute: Minute) -> list[Window]:
        completed = []
        opens, _, high, low, close, volume = minute
        for interval in self.intervals:
            bar = self.bars.get(interval)
            if bar is not None and opens < bar.closes:
                if high > bar.high:
                    bar.high = high
                if low < bar.low:
                    bar.low = low
                bar.close = close
                bar.volume += volume
            else:
                if bar is not None:
                    completed.append(self.window(interval, bar))
                span = self.hours.window(interval, opens)
                if span is not None:
                    self.bars[interval] = PlainBar(span, minute)
        return completed

    def last(self) -> list[Window]:
        return [self.window(interval, bar) for interval, bar in self.bars.items()]

    def window(self, interval: Interval, bar: PlainBar) -> Window:
        return Window(interval, bar.opens, bar.closes, bar.open, bar.high, bar.low, bar.close, bar.volume)


if __name__ == "__main__":
    print_machine()
    main()
