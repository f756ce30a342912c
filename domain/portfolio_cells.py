"""What the cells of a portfolio's file say: tickers, numbers and dates as brokers write them.

A cell that cannot be read raises Unreadable, which says why, and what would be right.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from domain.bars import WIDE, plain, quotient
from domain.errors import InvalidTicker
from domain.tickers import CURRENCIES, normalise

DIGITS = 15
"""Before the decimal point."""
DECIMALS = 10
FIRST_YEAR = 1900

Mark = Literal[".", ","]
"""What stands before a number's decimals; the other one groups its thousands."""
Order = Literal["month first", "day first"]
"""What 03/04/2024 means."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """`code` is stable; `message` says what is wrong, `hint` what would be right."""

    code: str
    message: str
    hint: str


@dataclass(eq=False)
class Unreadable(Exception):
    mistake: Mistake


_BLANK = frozenset({"", "-", "--", "---", "–", "—", "N/A"})


def is_blank(text: str) -> bool:
    """Whether a cell is empty, or holds what brokers write into one that is."""
    return text.upper() in _BLANK


# ── tickers, and lines that are no position

_OPTION = re.compile(
    r"-?[A-Z][A-Z0-9./]{0,6} ?[0-9]{6,8}[CP][0-9]+(\.[0-9]+)?"  # AAPL250117C00150000
    r"|[A-Z0-9./]{1,7} .*[0-9].*( [CP]|\b(CALL|PUT)S?\b.*)"  # AAPL 01/17/2025 150.00 C
    r"|(CALL|PUT) .*[0-9].*"
)
_MONEY_MARKET = re.compile(r".*\*\*|[A-Z]{3}XX")
_CUSIP = re.compile(r"[0-9]{3}[0-9A-Z]{5}[0-9]")
_ISIN = re.compile(r"[A-Z]{2}[0-9A-Z]{9}[0-9]")
_CASH_WORDS = frozenset({"CASH", "FCASH", "SWEEP"})
_TOTAL_WORDS = frozenset({"TOTAL", "TOTALS", "SUBTOTAL", "SUBTOTALS"})
_LONGEST_LABEL = 100

_OPTION_MISTAKE = Mistake("OPTION_NOT_SUPPORTED", "Options are not supported.", "Leave the line out.")
_FUTURE_MISTAKE = Mistake("FUTURE_NOT_SUPPORTED", "Futures are not supported.", "Leave the line out.")
_BOND_MISTAKE = Mistake("BOND_NOT_SUPPORTED", "Bonds and CUSIPs are not supported.", "Leave a bond out; give a share's ticker.")
_ISIN_MISTAKE = Mistake("ISIN_NOT_SUPPORTED", "An ISIN is not a ticker.", "Write a ticker such as AAPL or VOD.L.")
_CASH_MISTAKE = Mistake("CASH_NOT_SUPPORTED", "Cash is not a position.", "Leave out cash, money-market and pending lines.")
_TOTAL_MISTAKE = Mistake("TOTAL_LINE", "This line sums up others.", "Leave it out.")
_KINDS = (
    (re.compile(r"\b(option|call|put)s?\b"), _OPTION_MISTAKE),
    (re.compile(r"\bfutures?\b"), _FUTURE_MISTAKE),
    (
        re.compile(r"\b(bond|treasur(y|ie)|bill|cd)s?\b(?!.*\b(etf|fund)s?\b)|\bfixed income\b(?!.*\b(etf|fund)s?\b)"),
        _BOND_MISTAKE,
    ),
    (re.compile(r"\b(cash|money market)\b"), _CASH_MISTAKE),
)


def read_ticker(text: str) -> str:
    """The canonical ticker; read again, it is the same."""
    try:
        ticker = normalise(text)
    except InvalidTicker as invalid:
        right = invalid.suggestions[0] if invalid.suggestions else "a ticker such as AAPL, BRK-B, VOD.L or EUR/USD"
        raise Unreadable(Mistake(invalid.code, f"This is not a ticker: {invalid.reason}.", f"Write {right}.")) from None
    if refusal := refusal_of_symbol(ticker):
        raise Unreadable(refusal)
    return ticker


def refusal_of_symbol(text: str) -> Mistake | None:
    """Why a line with this symbol is no position in something that has a ticker."""
    label = _label(text)
    if _OPTION.fullmatch(label):
        return _OPTION_MISTAKE
    if _ISIN.fullmatch(label) and _checked(label[:-1]) == int(label[-1]):
        return _ISIN_MISTAKE
    if _CUSIP.fullmatch(label):
        return _BOND_MISTAKE
    return refusal_of_label(label)


def refusal_of_label(text: str) -> Mistake | None:
    """Why a line with this name is no position: it is cash, or sums up others."""
    label = _label(text)
    words = re.findall(r"\w+", label)
    if words and _TOTAL_WORDS & {words[0], words[-1]}:
        return _TOTAL_MISTAKE
    if _CASH_WORDS & set(words) or _MONEY_MARKET.fullmatch(label) or "MONEY MARKET" in label or label.startswith("PENDING"):
        return _CASH_MISTAKE
    return None


def refusal_of_kind(text: str) -> Mistake | None:
    """Why an instrument of this kind (`Option`, `Fixed Income`) cannot be held."""
    kind = _label(text).lower()
    return next((refusal for pattern, refusal in _KINDS if pattern.search(kind)), None)


def _checked(body: str) -> int:
    """An ISIN's check digit."""
    digits = "".join(str(int(character, 36)) for character in body)
    doubled = "".join(str(int(digit) * (2 - place % 2)) for place, digit in enumerate(reversed(digits)))
    return -sum(map(int, doubled)) % 10


def _label(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text[:_LONGEST_LABEL]).upper().split())


# ── numbers

_LONGEST_NUMBER = 50
_MONEY = r"[A-Z]{0,2}[$¢£¥\u20a0-\u20c0]|[A-Z]{3}"
_MINUS = frozenset("-−")
_WRITTEN = re.compile(rf"(\()?([-+−])? ?({_MONEY})? ?([-+−])? ?([0-9.,]+) ?({_MONEY})? ?(\))?")
_GROUPED = re.compile(r"([0-9]+|[0-9]{1,3}(,[0-9]{3})+)(\.[0-9]*)?|\.[0-9]+")
_SWAPPED = str.maketrans(".,", ",.")
_OTHER: dict[Mark, Mark] = {".": ",", ",": "."}


def read_number(text: str, mark: Mark | None) -> Decimal:
    """A decimal without trailing zeros. With `mark` None the file leaves open what a comma and a point are: then a number
    has to be written so that it can only be meant with a point before its decimals."""
    value = _number(text, mark or ".")
    other = None if value is not None and mark else _number(text, _OTHER[mark or "."])
    if value is None:
        right = f"Write {other:f}." if other is not None else "Write a number such as 1234.50, 1,234.50 or -12."
        raise Unreadable(Mistake("INVALID_NUMBER", "This is not a number that can be read.", right))
    if mark is None and other is not None and other != value:
        message = f"This may mean {value:f} or {other:f}: the file does not show which."
        raise Unreadable(
            Mistake("AMBIGUOUS_NUMBER", message, "Write it with a decimal point and without separators of thousands.")
        )
    return checked(value)


def checked(value: Decimal) -> Decimal:
    """The number itself, when it is not too long to be held exactly."""
    if value and value.adjusted() >= DIGITS:
        message = f"This number has more than {DIGITS} digits before the point."
        raise Unreadable(Mistake("NUMBER_TOO_LARGE", message, f"At most {DIGITS} digits before the point are held."))
    if value != value.quantize(Decimal(1).scaleb(-DECIMALS), context=WIDE):
        message = f"This number has more than {DECIMALS} digits after the point."
        raise Unreadable(Mistake("TOO_MANY_DECIMALS", message, f"Round it to {DECIMALS} decimals."))
    return value


def mark_shown(text: str) -> Mark | None:
    """The mark without which this is no number; None when both will do, or none."""
    if "," not in text and "." not in text:
        return None
    point, comma = _number(text, "."), _number(text, ",")
    if (point is None) == (comma is None):
        return None
    return "." if comma is None else ","


def _number(text: str, mark: Mark) -> Decimal | None:
    if len(text) > _LONGEST_NUMBER:
        return None
    written = _WRITTEN.fullmatch(" ".join(text.upper().split()))
    if not written:
        return None
    opened, before, prefix, behind, digits, suffix, closed = written.groups()
    if bool(opened) != bool(closed) or sum(map(bool, (opened, before, behind))) > 1 or not _is_money(prefix, suffix):
        return None
    if mark == ",":
        digits = digits.translate(_SWAPPED)
    if not _GROUPED.fullmatch(digits):
        return None
    value = plain(Decimal(digits.replace(",", "")))
    return -value if value and (opened or {before, behind} & _MINUS) else value


def _is_money(prefix: str | None, suffix: str | None) -> bool:
    """Whether what stands around a number is one currency, or nothing."""
    named = [code for code in (prefix, suffix) if code]
    return len(named) < 2 and all(not code.isalpha() or code in CURRENCIES for code in named)


def read_quantity(text: str, mark: Mark | None) -> Decimal:
    quantity = read_number(text, mark)
    if not quantity:
        raise Unreadable(
            Mistake("ZERO_QUANTITY", "A quantity of 0 is no position.", "Leave the line out, or give the number of shares.")
        )
    return quantity


def price_of(cost: Decimal, quantity: Decimal, is_total: bool) -> Decimal:
    """The price of one share. Brokers write the cost of a short with either sign."""
    cost = abs(cost) if quantity < 0 else cost
    if cost < 0:
        raise Unreadable(
            Mistake("NEGATIVE_PRICE", "A price or cost cannot be negative.", "Write what a share cost, without a sign.")
        )
    return checked(quotient(cost, abs(quantity))) if is_total else cost


# ── dates

_MONTH_NAMES = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MONTHS = {name: number for number, month in enumerate(_MONTH_NAMES, 1) for name in (month, month[:3])} | {"sept": 9}
_TIME = r"(?:[T ,;]{1,2}[0-9]{2}:?[0-9]{2}(?::?[0-9]{2})?)?"
_YEAR_FIRST = re.compile(rf"([0-9]{{4}})([-/]?)([0-9]{{1,2}})\2([0-9]{{1,2}}){_TIME}")
_SLASHED = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")
_DAY_NAMED_MONTH = re.compile(r"([0-9]{1,2})[- ]([A-Za-z]{3,9})\.?[- ,]{1,2}([0-9]{4})")
_NAMED_MONTH_DAY = re.compile(r"([A-Za-z]{3,9})\.?[- ]([0-9]{1,2})[- ,]{1,2}([0-9]{4})")
_LONGEST_DATE = 30
_DATE_HINT = "Write it as 2024-01-31."


def read_date(text: str, order: Order | None) -> date | None:
    """None where brokers say that there are several. `order` is what the file's slashed dates have shown; None when they
    contradict each other: then one that could be read both ways is not read."""
    if text.upper() == "VARIOUS":
        return None
    if order is None and len(set(_slashed(text).values())) == 2:
        raise Unreadable(
            Mistake(
                "AMBIGUOUS_DATE", "The file's dates have the month first in one line and the day first in another.", _DATE_HINT
            )
        )
    day = _slashed(text).get(order or "month first") or _dated(text)
    if day is None:
        raise Unreadable(Mistake("INVALID_DATE", "This is not a date that can be read.", _DATE_HINT))
    if day.year < FIRST_YEAR:
        raise Unreadable(Mistake("INVALID_DATE", f"This date is before {FIRST_YEAR}.", "Give the year with its four digits."))
    return day


def order_shown(text: str) -> Order | None:
    """The order without which this is no date; None when both will do, or none."""
    readings = list(_slashed(text))
    return readings[0] if len(readings) == 1 else None


def _slashed(text: str) -> dict[Order, date]:
    """A slashed date as either order reads it."""
    found = _SLASHED.fullmatch(text) if "/" in text else None
    if not found:
        return {}
    first, second, year = map(int, found.groups())
    readings: dict[Order, date | None] = {"month first": _day(year, first, second), "day first": _day(year, second, first)}
    return {order: day for order, day in readings.items() if day}


def _dated(text: str) -> date | None:
    """A date in any of the forms that can be read in one way only."""
    if len(text) > _LONGEST_DATE:
        return None
    if found := _YEAR_FIRST.fullmatch(text):
        year, separator, month, day = found.groups()
        return _day(int(year), int(month), int(day)) if separator or len(month + day) == 4 else None
    if found := _DAY_NAMED_MONTH.fullmatch(text):
        day, name, year = found.groups()
    elif found := _NAMED_MONTH_DAY.fullmatch(text):
        name, day, year = found.groups()
    else:
        return None
    return _day(int(year), _MONTHS.get(name.lower(), 0), int(day))


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
