"""What a symbol's daily bars say of it, in the shares of today."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from domain.bars import Bar, CorporateAction, is_news, split_adjusted
from domain.levels import Direction, PriceLevel, SymbolLevelExtractor


@dataclass(frozen=True, slots=True)
class Findings:
    """`as_of` is the close of the newest bar; `last_price` the close of the newest final one."""

    as_of: datetime
    last_price: Decimal | None
    direction: Direction
    levels: tuple[PriceLevel, ...]


def findings(
    bars: Sequence[Bar], actions: Collection[CorporateAction], today: date, extractor: SymbolLevelExtractor
) -> Findings:
    """Of at least one bar, oldest first."""
    adjusted = split_adjusted(bars, actions, today)
    extraction = extractor.extract(adjusted)
    return Findings(
        as_of=max(bar.close_time for bar in bars),
        last_price=next((bar.close for bar in reversed(adjusted) if bar.is_final), None),
        direction=extraction.direction,
        levels=extraction.levels,
    )


def merged(held: Sequence[Bar], fetched: Sequence[Bar], actions: Collection[CorporateAction]) -> tuple[list[Bar], list[Bar]]:
    """All bars, oldest first, news winning over what was held; and the news."""
    known = {bar.open_time: bar for bar in held}
    changed = [bar for bar in fetched if is_news(bar, known.get(bar.open_time), actions)]
    together = known | {bar.open_time: bar for bar in changed}
    return [together[at] for at in sorted(together)], changed
