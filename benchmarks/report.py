"""Rounds by turns, and the table of what they gave."""

import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from rich.console import Console
from rich.table import Table

from benchmarks.cores import CORES

out = Console(width=112 if not sys.stdout.isatty() else None, highlight=False)


@dataclass(frozen=True)
class Comparison:
    """What two contenders measured, round by round."""

    label: str
    ours: Sequence[float]
    other: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        return [mine / theirs for mine, theirs in zip(self.ours, self.other, strict=True)]


def by_turns(label: str, ours: Callable[[], float], other: Callable[[], float], rounds: int = 7) -> Comparison:
    """A B A B …, after one round of each that does not count."""
    ours(), other()
    measured = [(ours(), other()) for _ in range(rounds)]
    return Comparison(label, *zip(*measured, strict=True))


def microseconds(work: Callable[[], object], at_least: float = 0.05) -> float:
    """How long the work takes, the mean over as many times as fit into `at_least` seconds."""
    times, started = 0, perf_counter()
    while (elapsed := perf_counter() - started) < at_least or not times:
        work()
        times += 1
    return elapsed / times * 1e6


def print_machine() -> None:
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    out.print(f"{platform.system()} {platform.machine()}, {len(CORES)} cores{load}; Python {platform.python_version()}")


def print_table(title: str, ours: str, other: str, unit: str, comparisons: Sequence[Comparison]) -> None:
    """Medians in `unit`; the ratio is ours to the other's, the median of the rounds with the lowest and the highest."""
    table = Table(title=title, title_justify="left", title_style="bold", caption_justify="left")
    table.add_column(unit)
    for heading in (ours, other, "ratio", "min – max"):
        table.add_column(heading, justify="right")
    for each in comparisons:
        low, high = min(each.ratios), max(each.ratios)
        table.add_row(
            each.label,
            _figure(median(each.ours)),
            _figure(median(each.other)),
            f"× {_figure(median(each.ratios))}",
            f"{_figure(low)} – {_figure(high)}",
        )
    out.print()
    out.print(table)


def _figure(value: float) -> str:
    """Three digits, more only before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
