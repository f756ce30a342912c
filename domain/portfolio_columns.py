"""What the headings of a portfolio's file mean.

A heading has a meaning when its words are those of one spelling, in any order, with nothing unexplained left over: `Avg
Cost/Share` is an average cost, `Qty (Quantity)` a quantity, and `Days Held Quantity Change` is neither.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from domain.portfolio_cells import Order
from domain.tickers import CURRENCIES


class Meaning(Enum):
    """The values are the spellings, the preferred first."""

    SYMBOL = "symbol, ticker, symbol ticker, instrument"
    QUANTITY = "quantity, shares, units, quantity shares, quantity units"
    ENTRY_DATE = "entry date, purchase date, acquired date, acquired, open date, buy date, trade date"
    EXIT_DATE = "exit date, sale date, close date"
    ENTRY_PRICE = (
        "entry price, entry price share, purchase price, price paid, buy price, acquired price, average entry price, "
        "average purchase price, average price paid, average buy price"
    )
    AVERAGE_COST = "average cost, average cost basis, average price, unit cost, average unit cost, cost price"
    COST_PER_SHARE = "cost basis share, cost basis unit, cost basis price, cost share"
    TOTAL_COST = "cost basis total, cost basis, cost total, cost, cost basis money, book cost, book cost total, book value"
    PRICE = "price"
    KIND = "security type, asset type, asset class, asset category, instrument type, investment type"
    ACTION = "action, trans code, transaction type, transaction, activity type"


PRICES = (Meaning.ENTRY_PRICE, Meaning.AVERAGE_COST, Meaning.COST_PER_SHARE, Meaning.TOTAL_COST, Meaning.PRICE)
"""In the order in which the price of a share is looked for."""
NAMES = {
    Meaning.SYMBOL: "symbol",
    Meaning.QUANTITY: "quantity",
    Meaning.ENTRY_DATE: "entry date",
    Meaning.EXIT_DATE: "exit date",
    **dict.fromkeys(PRICES, "entry price"),
}
"""What a column is called in a sentence."""

_SAME_WORD = {
    **dict.fromkeys(("avg", "ave", "av"), "average"),
    **dict.fromkeys(("qty", "quantities"), "quantity"),
    **dict.fromkeys(("purchased",), "purchase"),
    **dict.fromkeys(("bought", "buying"), "buy"),
    **dict.fromkeys(("acquisition",), "acquired"),
    **dict.fromkeys(("opened", "opening"), "open"),
    **dict.fromkeys(("closed", "closing"), "close"),
    **dict.fromkeys(("sold", "sell", "selling"), "sale"),
    **dict.fromkeys(("shr",), "share"),
}
_NOISE = frozenset(
    ["per", "of", "in", "on", "at", "the", "a", "no", "number", "my", "your", "mm", "dd", "yyyy", "yy", "m", "d", "y"]
) | {code.lower() for code in CURRENCIES}
_PER_SHARE = frozenset({"share", "unit", "stock", "lot"})
_DATE = frozenset({"time", "lot", "position"})
_QUALIFIERS = {
    Meaning.SYMBOL: frozenset({"stock", "security", "cusip", "isin", "id"}),
    Meaning.QUANTITY: frozenset({"total", "current", "held", "owned", "open", "remaining", "stock", "share", "position"}),
    Meaning.ENTRY_DATE: _DATE,
    Meaning.EXIT_DATE: _DATE,
    Meaning.ENTRY_PRICE: _PER_SHARE,
    Meaning.AVERAGE_COST: _PER_SHARE,
    Meaning.PRICE: frozenset({"share", "unit"}),
}
"""Words that a heading of this meaning may have besides, as in `Total Shares Owned`."""
_LONGEST_HEADING = 80
_WIDEST = 256
"""Further columns are not looked at."""
_WORD = re.compile(r"[^\W_]+|%")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

Rank = tuple[int, int]
Words = frozenset[str]


def _spellings() -> dict[Words, tuple[Meaning, int]]:
    known: dict[Words, tuple[Meaning, int]] = {}
    for meaning in Meaning:
        for place, spelling in enumerate(meaning.value.split(", ")):
            known[frozenset(spelling.split())] = meaning, place
    return known


_SPELLINGS = _spellings()


@dataclass(frozen=True, slots=True)
class Column:
    """A column whose heading is understood; `rank` orders those of one meaning, the preferred first."""

    index: int
    heading: str
    meaning: Meaning
    rank: Rank

    @property
    def order(self) -> Order | None:
        """The order of its dates, where the heading says it: `Date Acquired (MM/DD/YYYY)`."""
        if re.search(r"\bdd?[-/. ]mm?\b", self.heading, re.IGNORECASE):
            return "day first"
        return "month first" if re.search(r"\bmm?[-/. ]dd?\b", self.heading, re.IGNORECASE) else None


def columns_of(cells: Sequence[str]) -> list[Column]:
    """The columns that a row of headings has, from left to right."""
    found = ((index, cell.strip(), _meaning(cell)) for index, cell in enumerate(cells[:_WIDEST]))
    return [Column(index, heading, *meant) for index, heading, meant in found if meant]


@lru_cache(maxsize=1024)
def _meaning(heading: str) -> tuple[Meaning, Rank] | None:
    if len(heading) > _LONGEST_HEADING:
        return None
    words = _words(heading)
    if words in _SPELLINGS:
        meaning, place = _SPELLINGS[words]
        return meaning, (place, 0)
    for qualified, qualifiers in _QUALIFIERS.items():
        found = _SPELLINGS.get(words - qualifiers)
        if found and found[0] is qualified:
            return qualified, (found[1], len(words))
    return None


def _words(heading: str) -> Words:
    parted = _CAMEL.sub(" ", unicodedata.normalize("NFKC", heading))
    words = (_SAME_WORD.get(word, word) for word in _WORD.findall(parted.lower()))
    return frozenset(words) - _NOISE
