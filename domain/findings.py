"""What a symbol's daily bars say of it, in the shares of today."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from domain.bars import Bar, CorporateAction, split_adjusted
from domain.levels import Direction, PriceLevel, SymbolLevelExtractor


@dataclass(frozen=True, slots=True)
class Findings:
    """`as_of` is the close of the newest bar; the rest is of the final ones alone: what is not over may yet become anything."""

    as_of: datetime
    last_price: Decimal | None
    direction: Direction
    levels: tuple[PriceLevel, ...]


def findings(
    bars: Sequence[Bar], actions: Collection[CorporateAction], today: date, extractor: SymbolLevelExtractor
) -> Findings:
    """Of at least one bar, oldest first."""
    final = split_adjusted([bar for bar in bars if bar.is_final], actions, today)
    extraction = extractor.extract(final)
    return Findings(
        as_of=max(bar.close_time for bar in bars),
        last_price=final[-1].close if final else None,
        direction=extraction.direction,
        levels=extraction.levels,
    )
