"""A portfolio as a file: read as brokers and people write it, and written so that it reads the same again.

    symbol,quantity,entry price,entry date,exit date

What a file may look like is in docs/portfolio-files.md. Every line behind the headings becomes a lot or a mistake, unless it
is plainly none: blank, a comment, the headings again, or a sentence. Two things are the whole file's and not one line's:

Dates with slashes have the month first, unless some of the file's dates (or a heading: DD/MM/YYYY) can only have the day
first. Where the file shows both, dates that could be read both ways are refused.

Numbers have a decimal point. Where cells are separated by `;` or tabs and the file has numbers that only a decimal comma
explains, and none that only a point does, they have a comma. Where it shows neither, or both, numbers that could be read both
ways (1,234) are refused.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from domain.portfolio_cells import Mark, Mistake, Order, mark_shown, order_shown, refusal_of_symbol
from domain.portfolio_columns import NAMES, PRICES, Column, Meaning, columns_of
from domain.portfolio_rows import Lot, Record, RowError, Table, error_at, lot_of, shown

__all__ = ["HEADINGS", "MAX_BYTES", "MAX_ROWS", "Lot", "ParsedFile", "RowError", "export", "parse"]

MAX_BYTES = 1024 * 1024
"""Of the text in UTF-8."""
MAX_ROWS = 10_000
HEADINGS = ("symbol", "quantity", "entry price", "entry date", "exit date")
_TITLES = 200
"""The headings are looked for in so many lines."""
_FEWEST_WORDS = 4
"""In a sentence at the file's end."""
_FEWEST_HEADINGS = 3
"""In a row that begins another table."""
_SHOWN_HEADINGS = 200
"""Characters of them."""
_LONGEST_NAME = 40
"""Of what is no position: Cash & Cash Investments."""
_WORD = re.compile(r"(?<!\S)[^\W\d_][^\s\d]*(?!\S)")
_SEPARATORS = ",;\t"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """`errors` are all there are, in the order of the file. When the file as a whole is wrong there are no lots."""

    lots: tuple[Lot, ...]
    errors: tuple[RowError, ...]


@dataclass(frozen=True, slots=True)
class _Header:
    record: Record
    separator: str
    columns: list[Column]

    def all(self, *meanings: Meaning) -> list[Column]:
        """The columns with one of these meanings, the preferred first."""
        found = [column for column in self.columns if column.meaning in meanings]
        return sorted(found, key=lambda column: (meanings.index(column.meaning), column.rank))

    def one(self, meaning: Meaning) -> Column | None:
        return next(iter(self.all(meaning)), None)

    @property
    def prices(self) -> list[Column]:
        """Where a share's price is looked for, in this order; a bare `price` counts only where nothing else does."""
        found = self.all(*PRICES)
        return [column for column in found if column.meaning is not Meaning.PRICE] or found

    @property
    def missing(self) -> list[Meaning]:
        found = {column.meaning for column in self.columns}
        wanted = [meaning for meaning in (Meaning.SYMBOL, Meaning.QUANTITY) if meaning not in found]
        return wanted if self.prices else [*wanted, Meaning.ENTRY_PRICE]


def parse(text: str) -> ParsedFile:
    """The lots of a file, and every mistake in it. Bad input raises nothing."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        message = f"The file has {size} bytes, {MAX_BYTES} are allowed."
        return _refused(1, Mistake("FILE_TOO_LARGE", message, _IN_PARTS))
    text = text.removeprefix("\ufeff")
    header = _header(text)
    if header is None:
        return _refused(1, Mistake("EMPTY_FILE", "The file has no lines.", f"Begin with the headings {', '.join(HEADINGS)}."))
    mistakes = tuple(_mistakes_of(header))
    return ParsedFile((), mistakes) if mistakes else _body(text, header)


def export(lots: Iterable[Lot]) -> str:
    """The file that parse() reads the same lots from; with as many lots as a file may have it is never too large for it."""
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(HEADINGS)
    for lot in lots:
        dates = (day.isoformat() if day else "" for day in (lot.entry_date, lot.exit_date))
        rows.writerow((lot.ticker, format(lot.quantity, "f"), format(lot.entry_price, "f"), *dates))
    return written.getvalue()


def _records(text: str, separator: str) -> Iterator[Record]:
    """Ends behind a quote that is never closed."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    while True:
        line = reader.line_num + 1
        try:
            yield Record(line, next(reader))
        except StopIteration:
            return
        except csv.Error:
            ends = reader.line_num > line
            yield Record(line, [], _malformed(ends))
            if ends:
                return


def _malformed(ends: bool) -> Mistake:
    message = f"The quotes of this line do not match, or a cell is longer than {csv.field_size_limit()} characters."
    hint = 'Close every quoted cell, and double a quote within one: "5"" pipe".'
    return Mistake("MALFORMED_LINE", f"{message} Nothing behind it was read." if ends else message, hint)


# ── the headings


def _header(text: str) -> _Header | None:
    """The row that has most of the headings, and the first of those; None when there is no row at all."""
    candidates = (
        _Header(record, separator, columns_of(record.cells))
        for separator in _SEPARATORS
        for record in islice(_records(text, separator), _TITLES)
        if not record.is_silent
    )
    return min(candidates, key=lambda header: (len(header.missing), len(header.record.cells) < 2), default=None)


def _mistakes_of(header: _Header) -> Iterator[RowError]:
    """What is wrong with the file as a whole."""
    line, cells, mistake = header.record
    if mistake:
        yield error_at(line, mistake)
        return
    found = shown(", ".join(filter(None, map(str.strip, cells))), _SHOWN_HEADINGS)
    for meaning in header.missing:
        message = f"No heading names the {NAMES[meaning]}. Taken for the headings: {found}."
        yield error_at(line, Mistake("MISSING_COLUMN", message, _MISSING[meaning]))
    named: dict[object, Column] = {}
    for column in header.columns:
        if column.meaning in _MAY_REPEAT:
            continue
        first = named.setdefault((column.meaning, column.rank if column.meaning in PRICES else None), column)
        if first is not column:
            message = f"This column and {shown(first.heading)!r} are both the {NAMES[column.meaning]}."
            mistake = Mistake("DUPLICATE_COLUMN", message, "Rename or remove one of them.")
            yield error_at(line, mistake, column.heading, column.heading)
    if action := header.one(Meaning.ACTION):
        yield error_at(line, _TRANSACTIONS, action.heading, action.heading)


_MISSING = {
    Meaning.SYMBOL: "Call the column symbol or ticker.",
    Meaning.QUANTITY: "Call the column quantity, qty, shares or units.",
    Meaning.ENTRY_PRICE: "Call the column entry price, average cost, cost basis per share, cost basis or price.",
}
_MAY_REPEAT = (Meaning.KIND, Meaning.ACTION)
_TRANSACTIONS = Mistake("TRANSACTIONS_NOT_SUPPORTED", "This is a list of transactions.", "Import a list of positions or lots.")


# ── the rows


def _body(text: str, header: _Header) -> ParsedFile:
    behind = (record for record in _records(text, header.separator) if record.line > header.record.line)
    rows = [r for r in behind if not (r.is_silent or _is_sentence(r) or r.cells == header.record.cells)]
    if not rows:
        return _refused(header.record.line, Mistake("NO_ROWS", "No row follows the headings.", "Add a row for every lot."))
    if len(rows) > MAX_ROWS:
        message = f"The file has {len(rows)} rows, {MAX_ROWS} are allowed."
        return _refused(header.record.line, Mistake("TOO_MANY_ROWS", message, _IN_PARTS))
    table = _table(header, rows)
    lots: list[Lot] = []
    errors: list[RowError] = []
    for record in rows:
        lot = lot_of(record, table)
        if isinstance(lot, Lot):
            lots.append(lot)
        elif len({column.meaning for column in columns_of(record.cells)}) >= _FEWEST_HEADINGS:
            errors.append(error_at(record.line, _OTHER_TABLE))
            break
        else:
            errors += lot
    return ParsedFile(tuple(lots), tuple(errors))


def _is_sentence(record: Record) -> bool:
    """A title, a footer, a disclaimer: many words in one cell, and no name of what is no position."""
    texts = [cell for cell in record.cells if cell and not cell.isspace()]
    if len(texts) != 1 or "\n" in texts[0] or "\r" in texts[0]:
        return False
    return len(_WORD.findall(texts[0])) >= _FEWEST_WORDS and not (
        len(texts[0]) <= _LONGEST_NAME and refusal_of_symbol(texts[0])
    )


def _table(header: _Header, rows: Sequence[Record]) -> Table:
    entry_date, exit_date = header.one(Meaning.ENTRY_DATE), header.one(Meaning.EXIT_DATE)
    dates = [column for column in (entry_date, exit_date) if column]
    return Table(
        headings=header.record.cells,
        symbol=header.all(Meaning.SYMBOL)[0],
        quantity=header.all(Meaning.QUANTITY)[0],
        prices=header.prices,
        entry_date=entry_date,
        exit_date=exit_date,
        kinds=header.all(Meaning.KIND),
        mark=_mark(header.separator, rows),
        order=_order(dates, rows),
    )


def _mark(separator: str, rows: Iterable[Record]) -> Mark | None:
    """What stands before the decimals in this file; None where it does not show."""
    telling = "," if separator == "," else ",."
    marks = {mark_shown(cell) for row in rows for cell in row.cells if any(mark in cell for mark in telling)}
    if separator == ",":
        return None if "," in marks else "."
    return _only(marks)


def _order(dates: Sequence[Column], rows: Iterable[Record]) -> Order | None:
    """What the slashed dates of this file begin with; None where they contradict each other."""
    orders = {order_shown(row.text(column)) for row in rows for column in dates} | {column.order for column in dates}
    return _only(orders) if orders - {None} else "month first"


def _only(seen: set[T | None]) -> T | None:
    known = [one for one in seen if one is not None]
    return known[0] if len(known) == 1 else None


_IN_PARTS = "Import it in parts, each under a name of its own."
_OTHER_TABLE = Mistake(
    "OTHER_TABLE", "Another table begins here: nothing from here on was read.", "Import it as a file of its own."
)


def _refused(line: int, mistake: Mistake) -> ParsedFile:
    return ParsedFile((), (error_at(line, mistake),))
