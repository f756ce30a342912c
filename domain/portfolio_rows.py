"""One row of a portfolio's file: the lot it is, or everything that is wrong with it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import NamedTuple, TypeVar

from domain.portfolio_cells import (
    Mark,
    Mistake,
    Order,
    Unreadable,
    is_blank,
    price_of,
    read_date,
    read_number,
    read_quantity,
    read_ticker,
    refusal_of_kind,
    refusal_of_label,
    refusal_of_symbol,
)
from domain.portfolio_columns import NAMES, Column, Meaning

_SOMETHING = re.compile(r"[^\s,;]")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lot:
    """One lot as the file has it. The ticker is canonical; a negative quantity is short, and it is never 0; the price is that
    of one share, 0 or more."""

    line: int
    ticker: str
    quantity: Decimal
    entry_price: Decimal
    entry_date: date | None
    exit_date: date | None


@dataclass(frozen=True, slots=True)
class RowError:
    """One mistake. `column` is the file's own heading, `value` what stands there, shortened when long."""

    line: int
    column: str | None
    value: str | None
    code: str
    message: str
    hint: str


class Record(NamedTuple):
    """One row of cells, which begins in `line`; `mistake` where the line could not be taken apart."""

    line: int
    cells: list[str]
    mistake: Mistake | None = None

    @property
    def is_silent(self) -> bool:
        """Blank, also of separators that are not the file's, or a comment."""
        if self.mistake:
            return False
        return not any(map(_SOMETHING.search, self.cells)) or self.cells[0].lstrip().startswith("#")

    def text(self, column: Column) -> str:
        """What stands in a column, without spaces around it; empty when nothing does."""
        if column.index >= len(self.cells):
            return ""
        text = self.cells[column.index].strip()
        return "" if is_blank(text) else text


@dataclass(frozen=True, slots=True)
class Table:
    """How the rows of a file are read."""

    headings: list[str]
    symbol: Column
    quantity: Column
    prices: list[Column]
    entry_date: Column | None
    exit_date: Column | None
    kinds: list[Column]
    mark: Mark | None
    order: Order | None


@dataclass(slots=True)
class _Row:
    """One row while it is read; its mistakes by the place of their column."""

    record: Record
    mistakes: dict[int, RowError] = field(default_factory=dict)

    def read(self, column: Column, reader: Callable[[str], T]) -> T | None:
        text = self.record.text(column)
        if not text:
            self.refuse(column, Mistake("MISSING_VALUE", f"The {NAMES[column.meaning]} is missing.", "Fill it in."))
            return None
        try:
            return reader(text)
        except Unreadable as unreadable:
            self.refuse(column, unreadable.mistake)
            return None

    def read_if_there(self, column: Column | None, reader: Callable[[str], T]) -> T | None:
        return self.read(column, reader) if column and self.record.text(column) else None

    def refuse(self, column: Column, mistake: Mistake) -> None:
        self.mistakes[column.index] = error_at(self.record.line, mistake, column.heading, self.record.text(column))


def lot_of(record: Record, table: Table) -> Lot | list[RowError]:
    row = _Row(record)
    whole = _no_position(record, table)
    if whole:
        return [whole]
    ticker = row.read(table.symbol, read_ticker)
    quantity = row.read(table.quantity, lambda text: read_quantity(text, table.mark))
    price = _price(row, table, quantity)
    entry_date = row.read_if_there(table.entry_date, lambda text: read_date(text, table.order))
    exit_date = row.read_if_there(table.exit_date, lambda text: read_date(text, table.order))
    if table.exit_date and entry_date and exit_date and exit_date < entry_date:
        row.refuse(
            table.exit_date, Mistake("EXIT_BEFORE_ENTRY", f"The lot was entered on {entry_date}.", "Exit on that day or later.")
        )
    if row.mistakes or ticker is None or quantity is None or price is None:
        return [row.mistakes[place] for place in sorted(row.mistakes)]
    return Lot(record.line, ticker, quantity, price, entry_date, exit_date)


def _price(row: _Row, table: Table, quantity: Decimal | None) -> Decimal | None:
    """From the first column that has something in this row."""
    column = next((column for column in table.prices if row.record.text(column)), table.prices[0])

    def price(text: str) -> Decimal:
        cost = read_number(text, table.mark)
        return price_of(cost, quantity, column.meaning is Meaning.TOTAL_COST) if quantity else cost

    return row.read(column, price)


def _no_position(record: Record, table: Table) -> RowError | None:
    """What is wrong with a line as a whole, so that its cells need not be read one by one."""
    line, cells, mistake = record
    if mistake:
        return error_at(line, mistake)
    if _NO_TEXT.search("".join(cells)):
        place, cell = next((place, cell) for place, cell in enumerate(cells) if _NO_TEXT.search(cell))
        return error_at(line, _NO_TEXT_MISTAKE, "".join(table.headings[place : place + 1]), cell)
    symbol = record.text(table.symbol)
    if refusal := refusal_of_symbol(symbol):
        return error_at(line, refusal, table.symbol.heading, symbol)
    if not symbol:
        for heading, cell in zip(table.headings, cells[: table.symbol.index + 2], strict=False):
            if refusal := refusal_of_label(cell):
                return error_at(line, refusal, heading, cell)
    for column in table.kinds:
        if refusal := refusal_of_kind(record.text(column)):
            return error_at(line, refusal, column.heading, record.text(column))
    beyond = next(filter(str.strip, cells[len(table.headings) :]), "")
    return error_at(line, _TOO_MANY_CELLS, value=beyond) if beyond else None


_NO_TEXT_MISTAKE = Mistake("INVALID_CHARACTER", "This cell has a character that is none.", "Save the file as UTF-8.")
_TOO_MANY_CELLS = Mistake(
    "TOO_MANY_CELLS",
    "This line has more cells than there are headings.",
    'Put quotes around a cell with a separator in it: "1,234.50".',
)


def error_at(line: int, mistake: Mistake, column: str = "", value: str = "") -> RowError:
    return RowError(line, shown(column) or None, shown(value) or None, mistake.code, mistake.message, mistake.hint)


def shown(text: str, longest: int = 60) -> str:
    """Fit to be sent and shown."""
    text = _NO_TEXT.sub("\ufffd", text.strip())
    return text if len(text) <= longest else text[:longest] + "…"
