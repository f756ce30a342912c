"""Lots and what they come to: totals that no order and no repetition changes, splits that change nothing of the worth."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.portfolio import (
    Holding,
    Portfolio,
    PortfolioStatus,
    Price,
    Snapshot,
    Split,
    imported,
    is_priced,
    noted,
    snapshot,
    split,
    valued,
)
from tests.support.clock import EVENING
from tests.support.portfolios import TODAY, YESTERDAY, lot
from tests.support.provider import daily_bar

DAY = timedelta(days=1)
SYMBOLS = {"AAPL": "USD", "MSFT": "USD", "VOD.L": "GBP", "SAP": "EUR", "ZZZZ": None}

numbers = st.decimals("-999999999999999.9999999999", "999999999999999.9999999999", places=10)
prices = st.decimals(0, "999999999999999.9999999999", places=10)


def market(draw: Any) -> dict[str, Price]:
    known = {ticker: currency for ticker, currency in SYMBOLS.items() if currency is not None}
    days = st.dates(YESTERDAY - 9 * DAY, YESTERDAY)
    return {
        ticker: Price(currency, draw(prices), draw(days)) if draw(st.booleans()) else Price(currency)
        for ticker, currency in known.items()
    }


@st.composite
def lots(draw: Any) -> list[Holding]:
    """At the prices of one moment."""
    made = [
        lot(
            draw(st.sampled_from(list(SYMBOLS))),
            entry_price=str(draw(prices)),
            quantity=str(draw(numbers)),
            place=place,
            exit_date=draw(st.sampled_from([None, None, None, YESTERDAY])),
        )
        for place in range(draw(st.integers(0, 8)))
    ]
    return valued(made, market(draw))


def total(held: Snapshot | None) -> Snapshot:
    assert held is not None
    return held


# ── totals


@given(lots(), st.randoms())
def test_neither_order_nor_repetition_changes_the_totals(holdings: list[Holding], random: Any) -> None:
    shuffled = random.sample(holdings, len(holdings))
    assert snapshot(shuffled) == snapshot(holdings) == snapshot(holdings)
    assert is_priced(shuffled) == is_priced(holdings)


@given(lots())
def test_the_totals_are_the_sums_of_what_is_counted(holdings: list[Holding]) -> None:
    found = snapshot(holdings)
    held = [holding for holding in holdings if holding.is_open]
    if found is None:
        currencies = {holding.currency for holding in held if holding.last_price is not None}
        assert len({holding.currency for holding in held if holding.currency}) > 1 or not currencies
        return
    counted = [holding for holding in held if holding.currency == found.currency and holding.last_price is not None]
    value = sum(Fraction(holding.quantity) * Fraction(holding.last_price or 0) for holding in counted)
    cost = sum(Fraction(holding.quantity) * Fraction(holding.entry_price) for holding in counted)
    assert (Fraction(found.total_value), Fraction(found.total_cost)) == (value, cost)
    assert Fraction(found.total_pnl) == value - cost
    assert found.position_count == len(counted)
    assert found.is_complete == (len(counted) == len(held))
    days = sorted(holding.last_price_date for holding in counted if holding.last_price_date)
    assert (found.oldest_price_date, found.date) == (days[0], days[-1])
    if cost == 0:
        assert found.pnl_percent == 0
    else:
        off = abs(Fraction(found.pnl_percent) - (value - cost) * 100 / cost)
        assert off <= Fraction(1, 2 * 10**10)


@given(lots())
def test_closed_lots_count_nowhere(holdings: list[Holding]) -> None:
    assert snapshot([holding for holding in holdings if holding.is_open]) == snapshot(holdings)
    assert all(each.market_value is None and each.pnl is None for each in holdings if not each.is_open)


@given(numbers, numbers, prices, prices)
def test_two_lots_add_up(one: Decimal, other: Decimal, entry: Decimal, price: Decimal) -> None:
    at = {"AAPL": Price("USD", price, YESTERDAY)}
    two = valued(
        [lot(quantity=str(one), entry_price=str(entry)), lot(quantity=str(other), entry_price=str(entry), place=1)], at
    )
    together = total(snapshot(two))
    each = [total(snapshot([holding])) for holding in two]
    assert Fraction(together.total_value) == sum(Fraction(found.total_value) for found in each)
    assert Fraction(together.total_cost) == sum(Fraction(found.total_cost) for found in each)
    assert together.position_count == 2


def test_a_short_lot_is_worth_less_than_nothing_and_gains_as_the_price_falls() -> None:
    (short,) = valued([lot(quantity="-10", entry_price="90")], {"AAPL": Price("USD", Decimal(80), YESTERDAY)})
    assert [short.market_value, short.cost_basis, short.pnl] == [-800, -900, 100]


@pytest.mark.parametrize(
    ("tickers", "currency", "counted"),
    [
        (["VOD.L", "AAPL", "AAPL"], "USD", 2),
        (["VOD.L", "AAPL"], "GBP", 1),
        (["AAPL", "VOD.L"], "USD", 1),
        (["ZZZZ", "ZZZZ", "VOD.L"], "GBP", 1),
    ],
)
def test_the_currency_is_that_of_most_open_lots_the_first_on_a_tie(tickers: list[str], currency: str, counted: int) -> None:
    at = {ticker: Price(name, Decimal(1), YESTERDAY) for ticker, name in SYMBOLS.items() if name}
    found = total(snapshot(valued([lot(ticker, place=place) for place, ticker in enumerate(tickers)], at)))
    assert (found.currency, found.position_count, found.is_complete) == (currency, counted, False)


def test_without_a_price_there_is_nothing_to_say() -> None:
    assert snapshot([]) is None
    assert snapshot([lot()]) is None
    assert snapshot(valued([lot()], {"AAPL": Price("USD")})) is None
    assert snapshot(valued([lot(exit_date=TODAY)], {"AAPL": Price("USD", Decimal(1), TODAY)})) is None


@pytest.mark.parametrize(
    ("cost", "price", "percent"),
    [("0", "5", "0"), ("3", "4", "33.3333333333"), ("3", "5", "66.6666666667"), ("80000000000", "80000000000.0000000004", "0")],
)
def test_percents_have_ten_decimals_half_even(cost: str, price: str, percent: str) -> None:
    found = total(snapshot(valued([lot(entry_price=cost)], {"AAPL": Price("USD", Decimal(price), TODAY)})))
    assert found.pnl_percent == Decimal(percent)


# ── splits

ratios = st.sampled_from([Decimal(text) for text in ("2", "4", "10", "0.1", "0.05", "1.5", "3", "7")])


@given(st.decimals("0.01", 1_000_000, places=2), st.decimals("0.01", 1_000_000, places=2), ratios)
def test_a_split_leaves_the_worth_and_comes_once(quantity: Decimal, price: Decimal, ratio: Decimal) -> None:
    (before,) = valued([lot(quantity=str(quantity), entry_price=str(price))], {"AAPL": Price("USD", price, TODAY)})
    after = split(before, ratio, TODAY + DAY)
    assert after.shares_as_of == TODAY + DAY
    assert after.quantity == quantity * ratio
    assert before.market_value is not None
    assert after.market_value is not None
    rounded = after.quantity * Decimal("5e-11")  # of one price
    assert abs(after.market_value - before.market_value) <= rounded
    assert abs(after.cost_basis - before.cost_basis) <= rounded
    assert split(after, ratio, TODAY + DAY) == after
    assert after.entry_price == round(after.entry_price, 10)


def test_a_split_that_the_lot_knows_changes_nothing() -> None:
    assert split(lot(), Decimal(2), TODAY) == lot()
    assert split(lot(), Decimal(2), TODAY - DAY) == lot()
    closed = lot(exit_date=TODAY)
    assert split(closed, Decimal(2), TODAY + DAY) == closed


def test_quotients_are_rounded_half_to_even() -> None:
    after = split(lot(quantity="0.0000000001", entry_price="0.0000000005"), Decimal(2), TODAY + DAY)
    assert (f"{after.quantity:f}", f"{after.entry_price:f}") == ("0.0000000002", "0.0000000002")


# ── what to check

EARLIER = TODAY - 40 * DAY
TEN_FOR_ONE = [Split(TODAY - 20 * DAY, Decimal(10))]


def note(price: str, splits: list[Split], adjusted_to: date = EARLIER, close: str = "1000") -> str | None:
    bar = daily_bar("AAPL", EARLIER, close, adjusted_to=adjusted_to)
    return noted(lot(entry_price=price, entry_date=EARLIER), bar, splits).note


def test_a_price_as_traded_before_a_split_is_something_to_check() -> None:
    assert note("1000", TEN_FOR_ONE) is not None
    assert "before a split of 10 for 1" in str(note("1009", TEN_FOR_ONE))
    assert note("100", TEN_FOR_ONE) is None
    assert note("500", TEN_FOR_ONE) is None, "it fits neither"
    assert note("1000", []) is None
    assert note("1000", [Split(EARLIER, Decimal(10))]) is None, "traded after it"
    assert note("1000", [Split(TODAY + DAY, Decimal(10))]) is None, "yet to come"
    assert note("1000", [Split(TODAY - DAY, Decimal("1.001"))]) is None, "it fits both"
    assert note("1000", [*TEN_FOR_ONE, Split(TODAY, Decimal("0.1"))]) is None, "two that undo each other"


def test_what_traded_is_told_from_bars_that_are_adjusted_too() -> None:
    assert note("1000", TEN_FOR_ONE, adjusted_to=TODAY, close="100") is not None
    assert note("100", TEN_FOR_ONE, adjusted_to=TODAY, close="100") is None


def test_what_is_noted_changes_no_figure() -> None:
    before = lot(entry_price="1000", entry_date=EARLIER)
    after = noted(before, daily_bar("AAPL", EARLIER, "1000"), TEN_FOR_ONE)
    assert after.note is not None
    assert replace(after, note=None) == before


# ── the portfolio


def test_its_status() -> None:
    portfolio = Portfolio("id", "Main", "", EVENING)
    open_one, closed_one = lot(), lot(exit_date=TODAY, place=1)
    priced = valued([open_one, closed_one], {"AAPL": Price("USD", Decimal(1), TODAY)})
    assert portfolio.with_totals_of([open_one]).status(["AAPL"]) is PortfolioStatus.PENDING
    assert portfolio.with_totals_of([open_one]).status([]) is PortfolioStatus.PARTIAL
    assert portfolio.with_totals_of(priced).status([]) is PortfolioStatus.READY
    assert portfolio.with_totals_of(priced).status(["MSFT"]) is PortfolioStatus.PENDING
    assert portfolio.with_totals_of([closed_one]).status([]) is PortfolioStatus.READY


def test_lots_go_in_and_out_as_they_are() -> None:
    holdings = [lot("AAPL", "1.5", "2"), lot("MSFT", "-1", "3", place=1, entry_date=EARLIER, exit_date=TODAY)]
    assert imported([holding.as_lot() for holding in holdings], TODAY) == holdings
