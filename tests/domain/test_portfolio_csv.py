"""Portfolio files: what brokers write is read, what cannot be held is said, and what is exported imports again."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from domain.errors import InvalidTicker
from domain.portfolio_cells import refusal_of_symbol
from domain.portfolio_csv import MAX_BYTES, MAX_ROWS, Lot, ParsedFile, RowError, export, parse
from domain.tickers import normalise

HEADER = "symbol,quantity,entry price,entry date,exit date\n"


def said(file: ParsedFile) -> list[tuple[int, str | None, str | None, str]]:
    return [(error.line, error.column, error.value, error.code) for error in file.errors]


def held(file: ParsedFile) -> list[tuple[Any, ...]]:
    """The lots as plain values; numbers as they would be written, so that 1.50 is not 1.5."""
    assert not file.errors
    return [_plain(lot) for lot in file.lots]


def _plain(lot: Lot) -> tuple[Any, ...]:
    dates = [day.isoformat() for day in (lot.entry_date, lot.exit_date) if day]
    return (lot.line, lot.ticker, f"{lot.quantity:f}", f"{lot.entry_price:f}", *dates)


def without_lines(lots: Sequence[Lot]) -> list[tuple[Any, ...]]:
    return [(lot.ticker, lot.quantity, lot.entry_price, lot.entry_date, lot.exit_date) for lot in lots]


# ── files shaped as brokers write them

SCHWAB = """\
"Positions for account Individual ...123 as of 09:00 AM ET, 2026/03/25"

"Symbol","Description","Qty (Quantity)","Price","Price Change %","Mkt Val (Market Value)","Cost Basis","Security Type"
"AAPL","APPLE INC","30","$250.10","0.4%","$7,503.00","$4,500.00","Equity"
"BRK/B","BERKSHIRE HATHAWAY, CLASS B","-2","$480.00","0.4%","-$960.00","-$900.30","Equity"
"AAPL 01/17/2027 150.00 C","CALL APPLE INC","1","$110.00","0%","$11,000.00","$900.00","Option"
"NVDA","NVIDIA CALLS","1","$110.00","0%","$11,000.00","$900.00","Option"
"912828YK0","US TREASURY NOTE","1,000","$99.00","0%","$990.00","$980.00","Fixed Income"
"Cash & Cash Investments","--","--","--","--","$2,000.00","--","Cash and Money Market"
"Account Total","","--","--","0.4%","$9,000.00","$4,500.00","--"
"""
FIDELITY = """\
Account Number,Account Name,Symbol,Description,Quantity,Last Price,Current Value,Cost Basis Total,Average Cost Basis,Type
X1,Individual,SPAXX**,HELD IN MONEY MARKET,,,$5000.00,,,Cash,
X1,Individual,MSFT,MICROSOFT CORP,3,$400.00,"$1,200.00",$100.00,$33.33,Cash,
X1,Individual,VOO,VANGUARD S&P 500,7,$400.00,"$2,800.00","$1,000.00",n/a,Margin,
X1,Individual, -AAPL270117C150,AAPL JAN 17 2027 $150 CALL,-1,$9.00,-$900.00,$800.00,$8.00,Margin,
X1,Individual,Pending Activity,,,,$18.00,,,,

"The data and information in this spreadsheet is provided to you solely for your use, and cash is not a position."

"Date downloaded Mar-25-2026 10:00 a.m ET"
"""
VANGUARD = """\
Account Number,Investment Name,Symbol,Shares,Share Price,Total Value,
1,VANGUARD TOTAL STOCK MARKET ETF,VTI,10.5,250.1,2626.05,
1,VANGUARD FEDERAL MONEY MARKET,VMFXX,10,1,10,

Account Number,Trade Date,Settlement Date,Transaction Type,Investment Name,Symbol,Shares,Share Price,
1,2024-01-02,2024-01-04,Buy,VANGUARD TOTAL STOCK MARKET ETF,VTI,10.5,240,
"""
INTERACTIVE_BROKERS = """\
Statement,Header,Field Name,Field Value
Statement,Data,Title,Activity Statement
Open Positions,Header,DataDiscriminator,Asset Category,Currency,Symbol,Quantity,Mult,Cost Price,Cost Basis,Close Price,Code
Open Positions,Data,Summary,Stocks,USD,AAPL,-100,1,150.5,-15050,180,
Open Positions,Data,Summary,Equity and Index Options,USD,MSFT 17JAN27 300 P,2,100,1.5,300,2,
Open Positions,Data,Summary,Futures,USD,ESZ6,1,50,5000,250000,5100,
Open Positions,Total,,Stocks,USD,,,,,-15050,,
"""
E_TRADE = """\
Account Summary
Symbol,Last Price $,Change %,Qty #,Price Paid $,Date Acquired (MM/DD/YYYY),Total Gain %
VOD.L,1.00,0.1,"1,000",0.87,01/05/2024,0.1
CASH,,,,,,
TOTAL,,,,,,0.1
Generated at Mar 25 2026 by the broker named above
"""
ROBINHOOD = """\
Symbol;Name;Average Cost;Total Cost;Quantity
F;Ford;;122,5;10
GM;General Motors;40,25;;1.000
"""
YAHOO = """\
Symbol,Current Price,Date,Time,Change,Open,High,Low,Volume,Trade Date,Purchase Price,Quantity,Commission,Comment
AAPL,180,2026/03/25,16:00 EDT,1.0,179,181,178,1000,20240131,150.5,10,,
^GSPC,5000,2026/03/25,16:00 EDT,1.0,179,181,178,1000,,4000,1,,
"""
LOTS = """\
Ticker;Units;Entry Price Per Share;Purchase_Date;DATE-SOLD
AAPL;1;10;31-Jan-2024;Feb 1, 2024
AAPL;2;11;Various;
""".replace(";", "\t")


@pytest.mark.parametrize(
    ("text", "lots", "errors"),
    [
        (
            SCHWAB,
            [(4, "AAPL", "30", "150"), (5, "BRK-B", "-2", "450.15")],
            [
                (6, "Symbol", "AAPL 01/17/2027 150.00 C", "OPTION_NOT_SUPPORTED"),
                (7, "Security Type", "Option", "OPTION_NOT_SUPPORTED"),
                (8, "Symbol", "912828YK0", "BOND_NOT_SUPPORTED"),
                (9, "Symbol", "Cash & Cash Investments", "CASH_NOT_SUPPORTED"),
                (10, "Symbol", "Account Total", "TOTAL_LINE"),
            ],
        ),
        (
            FIDELITY,
            [(3, "MSFT", "3", "33.33"), (4, "VOO", "7", "142.8571428571")],
            [
                (2, "Symbol", "SPAXX**", "CASH_NOT_SUPPORTED"),
                (5, "Symbol", "-AAPL270117C150", "OPTION_NOT_SUPPORTED"),
                (6, "Symbol", "Pending Activity", "CASH_NOT_SUPPORTED"),
            ],
        ),
        (
            VANGUARD,
            [(2, "VTI", "10.5", "250.1")],
            [(3, "Symbol", "VMFXX", "CASH_NOT_SUPPORTED"), (5, None, None, "OTHER_TABLE")],
        ),
        (
            INTERACTIVE_BROKERS,
            [(4, "AAPL", "-100", "150.5")],
            [
                (5, "Symbol", "MSFT 17JAN27 300 P", "OPTION_NOT_SUPPORTED"),
                (6, "Asset Category", "Futures", "FUTURE_NOT_SUPPORTED"),
                (7, "Header", "Total", "TOTAL_LINE"),
            ],
        ),
        (
            E_TRADE,
            [(3, "VOD.L", "1000", "0.87", "2024-01-05")],
            [(4, "Symbol", "CASH", "CASH_NOT_SUPPORTED"), (5, "Symbol", "TOTAL", "TOTAL_LINE")],
        ),
        (ROBINHOOD, [(2, "F", "10", "12.25"), (3, "GM", "1000", "40.25")], []),
        (YAHOO, [(2, "AAPL", "10", "150.5", "2024-01-31"), (3, "^GSPC", "1", "4000")], []),
        (LOTS, [(2, "AAPL", "1", "10", "2024-01-31", "2024-02-01"), (3, "AAPL", "2", "11")], []),
    ],
    ids=["Schwab", "Fidelity", "Vanguard", "Interactive Brokers", "E*TRADE", "Robinhood", "Yahoo", "by hand"],
)
def test_a_brokers_file(text: str, lots: list[Any], errors: list[Any]) -> None:
    file = parse(text)
    assert [_plain(lot) for lot in file.lots] == lots
    assert said(file) == errors


# ── headings


@pytest.mark.parametrize(
    ("symbol", "quantity", "price"),
    [
        ("Symbol", "Quantity", "Entry Price"),
        ("TICKER", "QTY", "entry_price"),
        ("ticker-symbol", "Shares", "entryPrice"),
        ("Symbol/CUSIP", "Number of Shares", "Price"),
        ("Instrument", "Qty.", "Avg. cost"),
        (" symbol ", "Qty #", "Price Paid $"),
        ("Security Symbol", "Total Shares Owned", "Purchase Price (USD)"),
        ("Stock Symbol", "Units", "Average Cost Per Share"),
        ("Symbol (Ticker)", "Qty (Quantity)", "Avg Cost/Share"),
        ("Ticker", "Quantity (Shares)", "Unit Cost"),
        ("Ticker", "Current Quantity", "Cost Basis/Share"),
        ("Ticker", "Open Qty", "CostBasisPrice"),
        ("Ｓymbol", "Shares Held", "avg_entry_price"),
    ],
)
def test_a_heading_is_read_by_its_words(symbol: str, quantity: str, price: str) -> None:
    assert held(parse(f"{symbol},{quantity},{price}\nAAPL,4,10\n")) == [(2, "AAPL", "4", "10")]


@pytest.mark.parametrize("entry", ["Entry Date", "purchase_date", "Date Acquired", "Acquired", "Open Date/Time", "Date Opened"])
@pytest.mark.parametrize("exit_", ["exit-date", "Sale Date", "DateSold", "Close Date", "Closing date"])
def test_a_heading_of_dates(entry: str, exit_: str) -> None:
    text = f"symbol,{exit_},qty,price,{entry}\nA,2024-02-01,1,2,2024-01-31\n"
    assert held(parse(text)) == [(2, "A", "1", "2", "2024-01-31", "2024-02-01")]


@pytest.mark.parametrize(
    "other",
    [
        "Days Held Quantity Change",
        "Quantity %",
        "Last Price",
        "Cost %",
        "Dividend Quantity",
        "Price Change",
        "Symbol Description",
    ],
)
def test_a_heading_that_says_more_is_another_column(other: str) -> None:
    assert held(parse(f"{other},symbol,qty,cost basis\n77,A,2,10\n")) == [(2, "A", "2", "5")]


@pytest.mark.parametrize(
    ("row", "price"),
    [
        ("1,2,3,4,50,9", "1"),
        (",2,3,4,50,9", "2"),
        (",--,3,4,50,9", "3"),
        (",,,4,50,9", "4"),
        (",,,,50,9", "5"),
    ],
)
def test_the_price_of_a_share_is_looked_for_in_order(row: str, price: str) -> None:
    header = "symbol,qty,entry price,entry price per share,average cost,cost basis per share,cost basis,price"
    assert held(parse(f"{header}\nA,10,{row}\n")) == [(2, "A", "10", price)]
    assert (
        held(parse(f"{','.join(reversed(header.split(',')))}\n{','.join(reversed(f'A,10,{row}'.split(',')))}\n"))[0][3] == price
    )


def test_a_bare_price_counts_only_where_no_column_has_a_cost() -> None:
    assert held(parse("symbol,qty,price\nA,10,9\n")) == [(2, "A", "10", "9")]
    assert said(parse("symbol,qty,price,cost basis\nA,10,9,\n")) == [(2, "cost basis", None, "MISSING_VALUE")]


@pytest.mark.parametrize(
    ("quantity", "total", "price"),
    [
        ("3", "100", "33.3333333333"),
        ("-3", "100", "33.3333333333"),
        ("-3", "-200", "66.6666666667"),
        ("8000000000", "1", "0.0000000001"),  # 0.000000000125
        ("20000000000", "1", "0"),  # half to even: 0.00000000005
        ("20000000000", "3", "0.0000000002"),  # and 0.00000000015
        ("0.5", "10", "20"),
    ],
)
def test_a_total_cost_is_divided(quantity: str, total: str, price: str) -> None:
    assert held(parse(f"symbol,qty,total cost\nA,{quantity},{total}\n")) == [(2, "A", quantity, price)]


# ── cells


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("12", "12"),
        ("+12", "12"),
        ("-12", "-12"),
        ("−12", "-12"),
        ("(12)", "-12"),
        ("($1,234.50)", "-1234.5"),
        ("$1,234.50", "1234.5"),
        ("-$1,234.50", "-1234.5"),
        ("$-12", "-12"),
        ("$ 12", "12"),
        ("€12", "12"),
        ("US$12", "12"),
        ("12 USD", "12"),
        ("EUR 12", "12"),
        ("1,234,567.8", "1234567.8"),
        ("0.50", "0.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("007", "7"),
        (" 12 ", "12"),
        ("100", "100"),
        ("123456789012345.0123456789", "123456789012345.0123456789"),
        ("1.00000000000000000000", "1"),
    ],
)
def test_a_number(written: str, number: str) -> None:
    assert held(parse(f'symbol,qty,price\nA,"{written}",1\n')) == [(2, "A", number, "1")]


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("1,23", "INVALID_NUMBER"),
        ("1234,50", "INVALID_NUMBER"),
        ("12,34.5", "INVALID_NUMBER"),
        ("1,234,56", "INVALID_NUMBER"),
        (",123", "INVALID_NUMBER"),
        ("1234,567", "INVALID_NUMBER"),
        ("1.2.3", "INVALID_NUMBER"),
        ("1e5", "INVALID_NUMBER"),
        ("NaN", "INVALID_NUMBER"),
        ("Infinity", "INVALID_NUMBER"),
        ("1_000", "INVALID_NUMBER"),
        ("1 000", "INVALID_NUMBER"),
        ("١٢", "INVALID_NUMBER"),
        ("１２", "INVALID_NUMBER"),
        ("²", "INVALID_NUMBER"),
        ("12%", "INVALID_NUMBER"),
        ("--12", "INVALID_NUMBER"),
        ("(-12)", "INVALID_NUMBER"),
        ("(12", "INVALID_NUMBER"),
        ("ABC 12", "INVALID_NUMBER"),
        ("$12 USD", "INVALID_NUMBER"),
        (".", "INVALID_NUMBER"),
        ("$", "INVALID_NUMBER"),
        ("1" * 51, "INVALID_NUMBER"),
        ("1234567890123456", "NUMBER_TOO_LARGE"),
        ("0.12345678901", "TOO_MANY_DECIMALS"),
        ("0", "ZERO_QUANTITY"),
        ("-0.000", "ZERO_QUANTITY"),
        ("", "MISSING_VALUE"),
        ("--", "MISSING_VALUE"),
        ("N/A", "MISSING_VALUE"),
    ],
)
def test_no_number(written: str, code: str) -> None:
    file = parse(f'symbol,qty,price\nA,"{written}",1\n')
    assert [(error.line, error.column, error.code) for error in file.errors] == [(2, "qty", code)]
    assert not file.lots


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("1,-2,", "NEGATIVE_PRICE"),
        ("1,,-2", "NEGATIVE_PRICE"),
        ("1,1234567890123456,", "NUMBER_TOO_LARGE"),
        ("0.1,,123456789012345", "NUMBER_TOO_LARGE"),  # the quotient
    ],
)
def test_no_price(row: str, code: str) -> None:
    assert [error.code for error in parse(f"symbol,qty,entry price,cost basis\nA,{row}\n").errors] == [code]


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["1234,50", "1.234", "1"], ["1234.5", "1234", "1"]),  # a decimal comma, so a point groups
        (["1.234,50", "1,234", "1"], ["1234.5", "1.234", "1"]),
        (["1234.50", "1,234", "1.234"], ["1234.5", "1234", "1.234"]),
        (["1,234.50", "0,5", "2"], ["1234.5", "INVALID_NUMBER", "2"]),  # both
        (["1.5", "0,5", "1,234"], ["1.5", "INVALID_NUMBER", "AMBIGUOUS_NUMBER"]),
        (["1,234", "1.234", "1"], ["AMBIGUOUS_NUMBER", "AMBIGUOUS_NUMBER", "1"]),  # neither
        (["1,234,567", "1,234", "1"], ["1234567", "1234", "1"]),
    ],
)
@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_file_shows_what_a_comma_means(separator: str, cells: list[str], read: list[str]) -> None:
    rows = "".join(f"A{separator}{cell}{separator}1\n" for cell in cells)
    file = parse(f"symbol{separator}qty{separator}price\n{rows}")
    found = {lot.line: str(lot.quantity) for lot in file.lots} | {error.line: error.code for error in file.errors}
    assert [found[line] for line in (2, 3, 4)] == read


def test_a_comma_in_a_comma_separated_file_groups_thousands_unless_another_shows_otherwise() -> None:
    assert held(parse('symbol,qty,price\nA,"1,234",1\n')) == [(2, "A", "1234", "1")]
    assert [error.code for error in parse('symbol,qty,price\nA,"1,234","0,5"\n').errors] == [
        "AMBIGUOUS_NUMBER",
        "INVALID_NUMBER",
    ]


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2024-01-31", "2024-01-31"),
        ("2024/1/31", "2024-01-31"),
        ("20240131", "2024-01-31"),
        ("2024-01-31 10:11:12", "2024-01-31"),
        ("2024-01-31, 10:11:12", "2024-01-31"),
        ("2024-01-31T10:11", "2024-01-31"),
        ("1/31/2024", "2024-01-31"),
        ("31/1/2024", "2024-01-31"),
        ("03/04/2024", "2024-03-04"),
        ("31-Jan-2024", "2024-01-31"),
        ("31 January 2024", "2024-01-31"),
        ("Jan 31, 2024", "2024-01-31"),
        ("SEPT 3 2024", "2024-09-03"),
        ("2024-02-29", "2024-02-29"),
        ("1900-01-01", "1900-01-01"),
    ],
)
def test_a_date(written: str, day: str) -> None:
    assert held(parse(f'{HEADER}A,1,2,"{written}",\n')) == [(2, "A", "1", "2", day)]


@pytest.mark.parametrize(
    "written",
    [
        *("2023-02-29", "2024-13-01", "31/31/2024", "1/31/24", "31.01.2024", "01-31-2024", "45322", "1899-12-31", "12/31/1899"),
        *("2024-01", "yesterday", "٢٠٢٤-01-31", "2024013", "31-Foo-2024", "0000-01-01", "2024-01-31T10:11Z", "1" * 9000),
    ],
)
def test_no_date(written: str) -> None:
    assert [(e.line, e.column, e.code) for e in parse(f"{HEADER}A,1,2,{written},\n").errors] == [
        (2, "entry date", "INVALID_DATE")
    ]


@pytest.mark.parametrize(
    ("entry", "cells", "days"),
    [
        ("entry date", ["03/04/2024", "13/04/2024", "2024-01-01"], ["2024-04-03", "2024-04-13", "2024-01-01"]),
        ("entry date", ["03/04/2024", "04/13/2024", "2024-01-01"], ["2024-03-04", "2024-04-13", "2024-01-01"]),
        ("entry date (DD/MM/YYYY)", ["03/04/2024", "1/2/2024", ""], ["2024-04-03", "2024-02-01", None]),
        ("entry date (dd/mm/yyyy)", ["03/04/2024", "4/13/2024", "5/5/2024"], ["AMBIGUOUS_DATE", "2024-04-13", "2024-05-05"]),
        ("entry date", ["13/04/2024", "04/13/2024", "3/4/2024"], ["INVALID_DATE", "2024-04-13", "AMBIGUOUS_DATE"]),
    ],
)
def test_a_file_shows_whether_its_dates_begin_with_the_day(entry: str, cells: list[str], days: list[str | None]) -> None:
    file = parse(f"symbol,qty,price,{entry}\n" + "".join(f"A,1,2,{cell}\n" for cell in cells))
    found: dict[int, str | None] = {lot.line: lot.entry_date.isoformat() if lot.entry_date else None for lot in file.lots}
    assert [(found | {error.line: error.code for error in file.errors})[line] for line in (2, 3, 4)] == days


def test_the_dates_of_both_columns_show_it_together() -> None:
    assert held(parse(f"{HEADER}A,1,2,03/04/2024,13/05/2024\n")) == [(2, "A", "1", "2", "2024-04-03", "2024-05-13")]


def test_a_lot_is_not_closed_before_it_is_opened() -> None:
    file = parse(f"{HEADER}A,1,2,2024-01-31,2024-01-30\nA,1,2,2024-01-31,2024-01-31\n")
    assert said(file) == [(2, "exit date", "2024-01-30", "EXIT_BEFORE_ENTRY")]
    assert [lot.line for lot in file.lots] == [3]


@pytest.mark.parametrize(
    ("symbol", "code"),
    [
        ("AAPL250117C00150000", "OPTION_NOT_SUPPORTED"),
        ("AAPL  250117P00150000", "OPTION_NOT_SUPPORTED"),
        ("-AAPL250117C150", "OPTION_NOT_SUPPORTED"),
        ("AAPL 01/17/2025 150.00 C", "OPTION_NOT_SUPPORTED"),
        ("AAPL Jan 17 '25 $150 Call", "OPTION_NOT_SUPPORTED"),
        ("BRK/B 17JAN25 400 P", "OPTION_NOT_SUPPORTED"),
        ("PUT AAPL 01/17/25 150", "OPTION_NOT_SUPPORTED"),
        ("Cash & Cash Investments", "CASH_NOT_SUPPORTED"),
        ("SPAXX**", "CASH_NOT_SUPPORTED"),
        ("SWVXX", "CASH_NOT_SUPPORTED"),
        ("cash", "CASH_NOT_SUPPORTED"),
        ("ＣＡＳＨ", "CASH_NOT_SUPPORTED"),
        ("cash_usd", "CASH_NOT_SUPPORTED"),  # by its canonical ticker
        ("Pending Activity", "CASH_NOT_SUPPORTED"),
        ("Account Total", "TOTAL_LINE"),
        ("Total", "TOTAL_LINE"),
        ("Totals:", "TOTAL_LINE"),
        ("Grand total", "TOTAL_LINE"),
        ("912828YK0", "BOND_NOT_SUPPORTED"),
        ("037833100", "BOND_NOT_SUPPORTED"),
        ("US0378331005", "ISIN_NOT_SUPPORTED"),
        ("DE0007164600", "ISIN_NOT_SUPPORTED"),
        ("US0378331006", None),  # not its check digit
        ("$$$", "INVALID_TICKER"),
        ("Apple Inc.", "INVALID_TICKER"),
        ("", "MISSING_VALUE"),
        ("--", "MISSING_VALUE"),
        ("CALL", None),
        ("PUT.L", None),
        ("XX", None),
        ("btcusd", None),
        ("EUR/USD", None),
    ],
)
def test_a_line_is_a_position_or_says_what_it_is(symbol: str, code: str | None) -> None:
    assert said(parse(f"qty,price,symbol\n1,2,{symbol}\n")) == (
        [(2, "symbol", None if code == "MISSING_VALUE" else symbol, code)] if code else []
    )


@pytest.mark.parametrize(
    "kind", ["Treasuries", "Corporate Bond", "CD", "fixed income", "Bond ETF", "Fixed Income Fund", "Equity"]
)
def test_a_bond_is_told_by_its_kind_and_a_fund_of_bonds_is_none(kind: str) -> None:
    codes = [error.code for error in parse(f"symbol,qty,price,asset class\nAGG,1,2,{kind}\n").errors]
    assert codes == ([] if kind in ("Bond ETF", "Fixed Income Fund", "Equity") else ["BOND_NOT_SUPPORTED"])


# ── lines


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_every_line_has_its_number(newline: str, separator: str) -> None:
    lines = [
        *("\ufeffMy portfolio", "", "# a comment, with a comma", "symbol,qty,price,note", "A,1,2,", "", "  # another", ",,,"),
        *('B,1,2,"two', 'lines, quoted"', "C,x,2,", "symbol,qty,price,note", "D,1,2", '"That is all there is, thank you."'),
    ]
    file = parse(newline.join(line.replace(",", separator) for line in lines))
    assert [(lot.line, lot.ticker) for lot in file.lots] == [(5, "A"), (9, "B"), (13, "D")]
    assert said(file) == [(11, "qty", "x", "INVALID_NUMBER")]


def test_a_sentence_is_no_row_and_a_row_is_no_sentence() -> None:
    rows = [
        "Prices are delayed by fifteen minutes,,",
        '"Options, cash and totals: see the terms, page 3, of our agreement.",,',
        '"A,1,2\nB,1,2\nan unclosed quote that met another",,',
        "Apple,,",
        "Cash and money market funds,,",
        "one two three four,1,2",
    ]
    file = parse("symbol,qty,price\n" + "".join(f"{row}\n" for row in rows))
    assert [(error.line, error.code) for error in file.errors if error.column == "symbol"] == [
        (4, "INVALID_TICKER"),
        (8, "CASH_NOT_SUPPORTED"),
        (9, "INVALID_TICKER"),
    ]
    assert [error.line for error in file.errors] == [4, 4, 4, 7, 7, 8, 9]


def test_separators_within_a_number_do_not_shift_a_row() -> None:
    assert said(parse("symbol,qty,price\nA,1,000,150\nB,1,2,,\n")) == [(2, None, "150", "TOO_MANY_CELLS")]


def test_short_rows_miss_what_they_miss() -> None:
    file = parse(f"{HEADER}A\nB,1\nC,1,2\n")
    assert said(file) == [
        (2, "quantity", None, "MISSING_VALUE"),
        (2, "entry price", None, "MISSING_VALUE"),
        (3, "entry price", None, "MISSING_VALUE"),
    ]
    assert [lot.ticker for lot in file.lots] == ["C"]


def test_what_is_no_text_is_refused_and_can_be_shown() -> None:
    file = parse("symbol,qty,price,note\nA\0,1,2,\nB,1,2,\ud800\nC,1,2,é\n")
    assert said(file) == [(2, "symbol", "A\ufffd", "INVALID_CHARACTER"), (3, "note", "\ufffd", "INVALID_CHARACTER")]


def test_quotes_that_do_not_match() -> None:
    file = parse('symbol,qty,price\nA,1,"2"x\nB,1,2\nC,1,"2\nD,1,2\nE,1,2\n')
    assert said(file) == [(2, None, None, "MALFORMED_LINE"), (4, None, None, "MALFORMED_LINE")]
    assert [lot.ticker for lot in file.lots] == ["B"]
    assert [error.message.endswith("Nothing behind it was read.") for error in file.errors] == [False, True]
    swallowed = parse('symbol,qty,price\nA,1,"2\n' + "B,1,2\n" * 30_000)  # the quote's cell grows too long long before the end
    assert (said(swallowed), swallowed.lots) == ([(2, None, None, "MALFORMED_LINE")], ())
    assert said(parse("symbol,qty,price\nA," + "1" * 131_073 + ",2\n")) == [(2, None, None, "MALFORMED_LINE")]


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("", [(1, "EMPTY_FILE")]),
        ("\ufeff\n # nothing\n,,\n", [(1, "EMPTY_FILE")]),
        ("symbol,qty,price\n", [(1, "NO_ROWS")]),
        ("A title\n\nsymbol,qty,price\n# A,1,2\n", [(3, "NO_ROWS")]),
        ("AAPL,10,150\n", [(1, "MISSING_COLUMN")] * 3),
        ("hello\nworld,x\n", [(2, "MISSING_COLUMN")] * 3),
        ("\nsymbol,qty\nA,1\n", [(2, "MISSING_COLUMN")]),
        ("name,amount,price\nA,1,2\n", [(1, "MISSING_COLUMN")] * 2),
        ("symbol,qty,price,Ticker\nA,1,2,B\n", [(1, "DUPLICATE_COLUMN")]),
        ("symbol,qty,price,shares,cost,Cost,date sold,sale date\n", [(1, "DUPLICATE_COLUMN")] * 3),
        ("symbol,qty,price,Trans Code\nA,1,2,Sell\n", [(1, "TRANSACTIONS_NOT_SUPPORTED")]),
        ('"symbol,qty,price\nA,1,2\n', [(1, "MALFORMED_LINE")]),
    ],
)
def test_a_file_that_is_none(text: str, errors: list[tuple[int, str]]) -> None:
    file = parse(text)
    assert not file.lots
    assert [(error.line, error.code) for error in file.errors] == errors


def test_a_missing_column_says_what_was_found_and_what_would_be_right() -> None:
    assert parse("Name,Shares,Cost\nApple,1,2\n").errors == (
        RowError(
            line=1,
            column=None,
            value=None,
            code="MISSING_COLUMN",
            message="No heading names the symbol. Taken for the headings: Name, Shares, Cost.",
            hint="Call the column symbol or ticker.",
        ),
    )


def test_all_mistakes_at_once() -> None:
    text = """\
# Ten mistakes
Symbol;Qty;Entry Price;Date Acquired;Date Sold
AAPL;10;150.25;2024-01-31;
A PPLE;ten;-1;2024-02-30;
MSFT;0;;31-Jan-2024;2024-01-30
Total;1;2;;
SPAXX**;1;1;;
US0378331005;12345678901234567;1;;
GOOG;-1;1.12345678901;;1/31/1850
"""
    assert said(parse(text)) == [
        (4, "Symbol", "A PPLE", "INVALID_TICKER"),
        (4, "Qty", "ten", "INVALID_NUMBER"),
        (4, "Date Acquired", "2024-02-30", "INVALID_DATE"),
        (5, "Qty", "0", "ZERO_QUANTITY"),
        (5, "Entry Price", None, "MISSING_VALUE"),
        (5, "Date Sold", "2024-01-30", "EXIT_BEFORE_ENTRY"),
        (6, "Symbol", "Total", "TOTAL_LINE"),
        (7, "Symbol", "SPAXX**", "CASH_NOT_SUPPORTED"),
        (8, "Symbol", "US0378331005", "ISIN_NOT_SUPPORTED"),
        (9, "Entry Price", "1.12345678901", "TOO_MANY_DECIMALS"),
        (9, "Date Sold", "1/31/1850", "INVALID_DATE"),
    ]


def test_the_mistakes_of_a_row_are_in_the_order_of_its_columns() -> None:
    errors = parse("exit date,price,qty,symbol,entry date\nsoon,x,0,$,then\n").errors
    assert [error.column for error in errors] == ["exit date", "price", "qty", "symbol", "entry date"]


def test_a_long_value_is_shortened() -> None:
    (error,) = parse(f"symbol,qty,price\nA,{'x' * 1000},1\n").errors
    assert error.value == "x" * 60 + "…"


def test_the_example_of_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "portfolio-files.md").read_text()
    example = page.split("```")[1].removeprefix("\n")
    assert held(parse(example)) == [(2, "AAPL", "10", "150.25", "2024-01-31"), (3, "BRK-B", "-2", "1234.5")]


# ── limits


def test_as_many_rows_as_allowed_and_one_more() -> None:
    rows = "".join(f"A{number},1,2,,\n" for number in range(MAX_ROWS))
    footer = "\n# a comment\nThat is all there is.\n"
    assert len(held(parse(HEADER + rows + footer))) == MAX_ROWS
    assert [(e.line, e.code) for e in parse(HEADER + rows + footer + "B,1,2,,\n").errors] == [(1, "TOO_MANY_ROWS")]


def test_as_many_bytes_as_allowed_and_one_more() -> None:
    text = "symbol,qty,price\nA,1,2\n#é\n"  # é is two bytes
    text += "# a comment\n" * ((MAX_BYTES - len(text) - 1) // 12)
    text += "\n" * (MAX_BYTES - len(text) - 1)
    assert held(parse(text)) == [(2, "A", "1", "2")]
    assert [(error.line, error.code) for error in parse(text + "\n").errors] == [(1, "FILE_TOO_LARGE")]


def test_the_longest_lots_fit_in_a_file() -> None:
    longest = Decimal("123456789012345.0123456789")
    lots = [Lot(0, "ABCDEFGHIJKL-WXYZ.ABCD", -longest, longest, date(2024, 1, 31), date(2024, 1, 31))] * MAX_ROWS
    assert without_lines(parse(export(lots)).lots) == without_lines(lots)


# ── for any file


def is_held(ticker: str) -> bool:
    """Whether a ticker may come out of a file: CASH and 912828YK0 are spelled like tickers and are none there."""
    try:
        return normalise(ticker) == ticker and refusal_of_symbol(ticker) is None
    except InvalidTicker:
        return False


NUMBERS = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places), st.integers(0, 10**15 - 1), st.integers(0, 10)
) | st.decimals(min_value=0, max_value=Decimal(10**15 - 1), places=10)
TICKERS = (
    st.from_regex(r"[A-Z0-9]{1,12}(-[A-Z0-9]{1,4})?(\.[A-Z]{1,4})?", fullmatch=True)
    | st.from_regex(r"\^[A-Z0-9]{1,12}", fullmatch=True)
    | st.sampled_from(["EUR/USD", "BTC-USD", "BRK-B", "VOD.L", "VARIOUS", "SYMBOL", "QTY"])
).filter(is_held)


@st.composite
def lots(draw: st.DrawFn) -> Lot:
    quantity = draw(NUMBERS) * draw(st.sampled_from([1, -1]))
    assume(quantity)
    dates = draw(st.lists(st.none() | st.dates(date(1900, 1, 1)), min_size=2, max_size=2))
    if None not in dates:
        dates.sort(key=str)
    return Lot(draw(st.integers(1, 99)), draw(TICKERS), quantity, draw(NUMBERS), *dates)


@given(st.lists(lots()))
@example([Lot(1, "A", Decimal("1E+3"), Decimal("1E-10"), None, None)])
def test_what_is_exported_imports_equal(held_lots: list[Lot]) -> None:
    file = parse(export(held_lots))
    assert without_lines(file.lots) == without_lines(held_lots)
    assert [error.code for error in file.errors] == ([] if held_lots else ["NO_ROWS"])


SYMBOLS = ["AAPL", "brk.b", "eurusd", "ＶＡＲＩＯＵＳ", "btc-usd", "^gspc", "n-a", "symbol"]
NO_POSITIONS = ["ＣＡＳＨ", "CASH", "Total", "SPAXX**", "AAPL250117C150", "912828YK0", "N/A", "A PPLE"]
NUMBERS_WRITTEN = ["1", "-2.5", "(12)", '"$1,234.50"', "1.234", "−3", "123456789012345", "0.0000000001", "7"]
NO_NUMBERS = ['"1,234"', '"0,5"', "0", "1e5", "-", "1,5"]
DATES_WRITTEN = ["2024-01-31", "20240131", "03/04/2024", "4/13/2024", "31-Jan-2024", "Various", ""]
NO_DATES = ["13/04/2024", "1850-01-01", "soon"]
OTHERS = ["", " ", "--", "#", '"', '"x', 'y"', '""', '"a\nb"', "a\0b", "\ud800", "\u2028", "\x0c", "one two three four", "é"]
CELLS = [*SYMBOLS, *NO_POSITIONS, *NUMBERS_WRITTEN, *NO_NUMBERS, *DATES_WRITTEN, *NO_DATES, *OTHERS]
JUNK = ["", "# a comment", "A title", "It is a sentence of course.", ",,,,", ";;", "\t", "\ufeff", "-----"]
HEADINGS = {
    "symbol": SYMBOLS,
    "Qty (Quantity)": NUMBERS_WRITTEN,
    "entry price": [*NUMBERS_WRITTEN[:2], *NUMBERS_WRITTEN[3:]],
    "Average Cost": ["", *NUMBERS_WRITTEN],
    "Total Cost": NUMBERS_WRITTEN,
    "Date Acquired": DATES_WRITTEN,
    "exit date": ["", "2025-01-01"],
    "Security Type": ["Equity", "Option", "ETF"],
    "Note": OTHERS[:3],
}


@st.composite
def files(draw: st.DrawFn) -> str:
    """Mostly good rows, some with any cell in one place, and lines that are no rows."""
    headings = draw(st.lists(st.sampled_from(list(HEADINGS)), unique=True))
    headings = draw(st.permutations([*dict.fromkeys(["symbol", "Qty (Quantity)", "Total Cost", *headings])]))
    good = st.tuples(*[st.sampled_from(HEADINGS[heading]) for heading in headings]).map(list)
    lines = [*draw(st.lists(st.sampled_from(JUNK), max_size=3)), ",".join(headings)]
    for kind in draw(st.lists(st.sampled_from(["good", "good", "good", "bad", "junk"]), max_size=12)):
        row = draw(good)
        if kind == "bad":
            row[draw(st.integers(0, len(row) - 1))] = draw(st.sampled_from(CELLS))
        lines.append(draw(st.sampled_from([*JUNK, lines[0]])) if kind == "junk" else ",".join(row))
    text = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(lines)
    return text.replace(",", draw(st.sampled_from([",", ",", ";", "\t"])))


@given(files() | st.text())
def test_any_file_that_imports_and_is_exported_imports_as_the_same(text: str) -> None:
    file = parse(text)
    again = parse(export(file.lots))
    assert without_lines(again.lots) == without_lines(file.lots)
    assert [error.code for error in again.errors] == ([] if file.lots else ["NO_ROWS"])


@given(files())
def test_a_mistake_can_be_shown(text: str) -> None:
    file = parse(text)
    assert file.lots or file.errors
    for error in file.errors:
        for shown in (error.column or "", error.value or "", error.message, error.hint):
            assert "\0" not in shown
            shown.encode()
    assert [error.line for error in file.errors] == sorted(error.line for error in file.errors)


@given(st.lists(st.sampled_from([*JUNK[:2], "That is all there is.", "R"]), max_size=30), st.data())
def test_every_row_is_a_lot_or_a_mistake(kinds: list[str], data: st.DataObject) -> None:
    """Of lines that a look tells apart: rows with a symbol, and those that are plainly none."""
    plain = st.sampled_from([cell for cell in CELLS if "\n" not in cell and '"' not in cell])
    row = st.lists(plain, min_size=2, max_size=4).map(lambda cells: ",".join(["A", *cells]))
    lines = [data.draw(row) if kind == "R" else kind for kind in kinds]
    file = parse(HEADER + "".join(f"{line}\n" for line in lines))
    rows = {number for number, kind in enumerate(kinds, 2) if kind == "R"}
    assert {lot.line for lot in file.lots} | {error.line for error in file.errors} == (rows or {1})
    assert not {lot.line for lot in file.lots} & {error.line for error in file.errors}
