"""Yahoo, as the stub speaks it over real HTTP: what is told, what is refused, and how little is asked."""

import asyncio
import csv
import logging
import math
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from domain.bars import ActionKind, Bar, History, Interval, split_adjusted
from domain.calendars import calendar_for
from domain.clock import SystemClock
from domain.errors import InvalidTicker, ProviderUnavailable, SymbolNotFound, Trouble
from domain.symbols import Symbol
from domain.tickers import COIN_QUOTES, COINS, CURRENCIES, FORMS, AssetClass, form_of, normalise
from providers import calling, yahoo_session
from providers import yahoo as yahoo_module
from providers.calling import Calls, seconds_to_wait
from providers.sample import SampleProvider
from providers.shapes import PRESENT, Asked
from providers.yahoo import QUOTES_AT_ONCE, THREADS, YahooProvider
from providers.yahoo_shapes import Row, Unit, decimal_of, history_of, minutes_of, ticker_of, unit_of, yahoo_symbol
from tests.support.clock import EVENING, ManualClock
from tests.support.figures import told
from tests.support.mutants import mutated
from tests.support.pace import held_up
from tests.support.yahoo import server
from tests.support.yahoo.provider import new_provider, symbol
from tests.support.yahoo.server import YahooStub
from web.settings import BUNDLED_SAMPLE

ROOT = Path(__file__).parents[2]
START = date(2025, 3, 20)
EVERY_BAR = (START, EVENING)
AAPL = symbol("AAPL")
MICROSECOND = timedelta(microseconds=1)

Ask = Callable[[YahooProvider], Awaitable[Any]]


def recorded(ticker: str) -> list[dict[str, str]]:
    with (BUNDLED_SAMPLE / "daily" / f"{ticker}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


async def daily(provider: YahooProvider, of: Symbol, start: date = START, until: datetime = EVENING) -> History:
    return await provider.history(of, Interval.ONE_DAY, start, until)


def asked(of: Symbol, start: date, until: datetime, now: datetime = EVENING) -> Asked:
    return Asked(of, start, until, now)


async def refused(answer: Awaitable[Any]) -> ProviderUnavailable:
    with pytest.raises(ProviderUnavailable) as refusal:
        await answer
    assert "delisted" not in refusal.value.message
    return refusal.value


def near(value: Decimal, expected: float) -> bool:
    """Equal as far as 32 bits reach."""
    return abs(float(value) - expected) <= expected * 1e-6


# ── what is told


async def test_daily_bars_are_those_of_the_market(yahoo: YahooProvider) -> None:
    told = await daily(yahoo, AAPL)
    rows = recorded("AAPL")
    calendar = calendar_for(AssetClass.STOCK, "XNAS")
    assert [bar.day.isoformat() for bar in told.bars] == [row["date"] for row in rows]
    for bar, row in zip(told.bars, rows, strict=True):
        hours = calendar.trading_day(bar.day)
        assert hours is not None
        assert (bar.open_time, bar.close_time) == (hours.open, hours.close)
        assert all(near(getattr(bar, name), float(row[name])) for name in ("open", "high", "low", "close"))
        assert bar.volume == int(row["volume"])
        assert (bar.source, bar.adjusted_to, bar.is_final) == ("yahoo", EVENING.date(), True)
    assert told.bars[-1].close == Decimal("248.8"), "not 248.8000030517578"
    dividends = [(action.ex_date.isoformat(), action.value) for action in told.actions]
    assert dividends == [(row["date"], Decimal(row["dividend"])) for row in rows if row["dividend"] != "0"]
    assert {action.kind for action in told.actions} == {ActionKind.DIVIDEND}


async def test_every_class(yahoo: YahooProvider) -> None:
    """Pairs trade on days of their own: the forex day of Yahoo begins in London, ours at 00:00 UTC."""
    for ticker, asset_class, days in (
        ("SPY", AssetClass.ETF, 5),
        ("BTC-USD", AssetClass.CRYPTO, 7),
        ("EUR/USD", AssetClass.FOREX, 5),
        ("USD/JPY", AssetClass.FOREX, 5),
        ("^GSPC", AssetClass.INDEX, 5),
        ("BRK-B", AssetClass.STOCK, 5),
    ):
        profile = await yahoo.profile(ticker)
        assert (profile.ticker, profile.asset_class) == (ticker, asset_class)
        assert profile.currency == ("JPY" if ticker == "USD/JPY" else "USD")
        told = await daily(yahoo, Symbol.tracked(profile, None, None), date(2026, 3, 20), EVENING)
        expected = [date(2026, 3, day) for day in range(20, 28) if days == 7 or date(2026, 3, day).weekday() < 5]
        assert [bar.day for bar in told.bars] == expected, ticker
        assert {bar.is_final for bar in told.bars[:-1]} == {True}
        is_over = profile.exchange is not None  # whole UTC days are not, in the evening
        assert (told.bars[-1].is_final, told.bars[-1].close_time < EVENING) == (is_over, is_over)
    assert (await yahoo.profile("SPY")).exchange == "ARCX"
    assert (await yahoo.profile("BTC-USD")).exchange is None


async def test_a_day_that_is_under_way_is_told_as_it_stands(
    yahoo: YahooProvider, stub: YahooStub, present: ManualClock
) -> None:
    """Up to Yahoo's own time of it, a whole second, and never up to the close; from then on it is over."""
    opens, closes = datetime(2026, 3, 27, 13, 30, tzinfo=UTC), datetime(2026, 3, 27, 20, tzinfo=UTC)
    second = timedelta(seconds=1)
    for now, until in ((opens + second, opens + second), (closes - MICROSECOND, closes - second), (closes, closes)):
        present.at = now
        told = await daily(yahoo, AAPL, date(2026, 3, 25), now)
        assert [bar.day.day for bar in told.bars] == [25, 26, 27]
        assert [bar.is_final for bar in told.bars] == [True, True, now == closes]
        assert (told.bars[-1].open_time, told.bars[-1].close_time) == (opens, until)
    present.at = opens
    assert len((await daily(yahoo, AAPL, date(2026, 3, 25), opens)).bars) == 2, "nothing has been traded yet"


async def test_only_who_asks_for_the_present_is_told_of_the_day_under_way(yahoo: YahooProvider, present: ManualClock) -> None:
    """What Yahoo tells of it is of now, not of when the day was half as long."""
    present.at = datetime(2026, 3, 27, 18, tzinfo=UTC)
    for waited, expected in ((PRESENT, 3), (PRESENT + MICROSECOND, 2)):
        told = await daily(yahoo, AAPL, date(2026, 3, 25), present.at - waited)
        assert len(told.bars) == expected
        assert all(bar.close_time <= present.at - waited for bar in told.bars)


def test_a_day_under_way_of_which_nobody_says_up_to_when_it_goes_is_not_told() -> None:
    now = datetime(2026, 3, 27, 18, tzinfo=UTC)
    rows = [Row(date(2026, 3, 26), 1, 1, 1, 1, 1, 0, 0), Row(date(2026, 3, 27), 1, 1, 1, 1, 1, 0, 0)]
    for told_at, expected in ((None, 1), (now - timedelta(days=1), 1), (now, 2), (now + timedelta(hours=1), 2)):
        told = history_of(asked(AAPL, date(2026, 3, 26), now, now), rows, Unit("USD"), told_at)
        assert len(told.bars) == expected
        assert all(bar.close_time <= now for bar in told.bars), "whatever Yahoo's clock says"


def test_a_day_that_opens_on_the_eve_is_told_of_from_its_own_date_on() -> None:
    """A bar is of the UTC date on which it closes, and Sydney's would be of the day before."""
    eve = datetime(2026, 3, 25, 23, 30, tzinfo=UTC)
    row = Row(date(2026, 3, 26), 1, 1, 1, 1, 1, 0, 0)
    for now, expected in ((eve, []), (eve + timedelta(hours=1), [date(2026, 3, 26)])):
        told = history_of(asked(symbol("BHP.AX", exchange="XASX"), START, now, now), [row], Unit("AUD"), now)
        assert [bar.day for bar in told.bars] == expected


async def test_never_more_than_was_asked(yahoo: YahooProvider) -> None:
    until = datetime(2026, 3, 25, 19, 59, tzinfo=UTC)  # a minute before the close
    told = await daily(yahoo, AAPL, date(2026, 3, 20), until)
    assert [bar.day.day for bar in told.bars] == [20, 23, 24]
    assert (await daily(yahoo, AAPL, date(2026, 3, 28), EVENING + timedelta(days=1))).bars == ()
    others = yahoo.history(AAPL, Interval.FIVE_MINUTES, date(2026, 3, 27), EVENING)
    assert (await refused(others)).message == "The provider yahoo does not serve bars of 5m."


def test_days_that_were_not_asked_for_are_left_out() -> None:
    """Yahoo is known to append its newest day, whatever the range."""
    days = [date(2026, 3, day) for day in (27, 23, 24, 25, 26)]
    rows = [Row(day, 10, 11, 9, 10, 100, 0.5, 0) for day in days]
    told = history_of(asked(AAPL, date(2026, 3, 24), datetime(2026, 3, 26, 21, tzinfo=UTC)), rows, Unit("USD"), None)
    assert [bar.day.day for bar in told.bars] == [24, 25, 26]
    assert [action.ex_date.day for action in told.actions] == [24, 25, 26]


# ── minutes


async def minutes(provider: YahooProvider, of: Symbol, start: date, until: datetime) -> History:
    return await provider.history(of, Interval.ONE_MINUTE, start, until)


@pytest.mark.parametrize(
    ("ticker", "asset_class", "exchange"),
    [("AAPL", AssetClass.STOCK, "XNAS"), ("SPY", AssetClass.ETF, "ARCX"), ("BTC-USD", AssetClass.CRYPTO, None)],
)
async def test_minutes_are_those_of_the_market(
    yahoo: YahooProvider, present: ManualClock, ticker: str, asset_class: AssetClass, exchange: str | None
) -> None:
    """Minutes in which nothing was traded are sent as nulls, and are no bars."""
    present.at = datetime(2026, 3, 28, 0, 0, tzinfo=UTC)
    of = symbol(ticker, asset_class, exchange)
    told = await minutes(yahoo, of, date(2026, 3, 25), present.at)
    sample = await SampleProvider(BUNDLED_SAMPLE, present).history(of, Interval.ONE_MINUTE, date(2026, 3, 25), present.at)
    assert [bar.open_time for bar in told.bars] == [bar.open_time for bar in sample.bars]
    for ours, theirs in zip(told.bars, sample.bars, strict=True):
        assert (ours.close_time, ours.interval, ours.is_final) == (theirs.close_time, Interval.ONE_MINUTE, True)
        assert all(near(getattr(ours, name), float(getattr(theirs, name))) for name in ("open", "high", "low", "close"))
        assert ours.volume == round(theirs.volume)
        assert ours.adjusted_to == present.at.date()
    assert told.actions == ()


async def test_a_minute_that_is_not_over_is_not_told(yahoo: YahooProvider, stub: YahooStub, present: ManualClock) -> None:
    present.at = datetime(2026, 3, 27, 15, 0, 30, tzinfo=UTC)
    told = await minutes(yahoo, AAPL, present.at.date(), present.at)
    assert (told.bars[0].open_time.hour, told.bars[0].open_time.minute) == (13, 30)
    assert told.bars[-1].close_time == datetime(2026, 3, 27, 15, 0, tzinfo=UTC)
    sent = stub.market.minute_chart(stub.market.listings["AAPL"], 0, 2**32)["timestamp"]
    assert sent[-1] == datetime(2026, 3, 27, 15, 0, tzinfo=UTC).timestamp(), "Yahoo tells of the one under way"
    for until, last in ((present.at - timedelta(seconds=31), 58), (present.at - timedelta(seconds=30), 59)):
        assert (await minutes(yahoo, AAPL, present.at.date(), until)).bars[-1].open_time.minute == last


async def test_minutes_are_asked_for_some_days_at_a_time_and_none_that_are_too_old(
    yahoo: YahooProvider, stub: YahooStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    await daily(yahoo, AAPL)  # its time zone is known from now on
    stub.calm()
    told = await minutes(yahoo, AAPL, date(2025, 1, 2), EVENING)
    assert len({bar.open_time.date() for bar in told.bars}) == 2
    spans = [dict(pair.split("=") for pair in asked.query.split("&")) for asked in stub.asked if "/chart/" in asked.path]
    bounds = [(int(span["period1"]), int(span["period2"])) for span in spans]
    assert [second - first for first, second in bounds] == [*[7 * 86_400] * 4, 86_400]
    assert [first for first, _ in bounds[1:]] == [second for _, second in bounds[:-1]], "without a gap"
    assert bounds[-1][1] == EVENING.timestamp()
    for name, days in (("MINUTES_AT_ONCE", 9), ("MINUTES_BACK", 31)):
        with monkeypatch.context() as patch:
            patch.setattr(yahoo_module, name, timedelta(days=days))
            refusal = await refused(minutes(yahoo, AAPL, date(2025, 1, 2), EVENING))
            assert refusal.detail == "answered with status 422", "Yahoo's limits are the stub's"


async def test_minutes_that_cannot_be_are_counted() -> None:
    opens = datetime(2026, 3, 27, 15, 0, tzinfo=UTC)
    row = Row(opens.date(), 10, 11, 9, 10, 100, 0, 0)
    bad = [row._replace(high=8.0), row._replace(low=-1.0), row._replace(volume=float("nan")), row._replace(close=float("inf"))]
    rows = {opens + number * timedelta(minutes=1): it for number, it in enumerate([row, *bad, row._replace(open=float("nan"))])}
    told = minutes_of(asked(AAPL, START, EVENING), rows, Unit("USD"))
    assert ([bar.open_time for bar in told.bars], told.refused) == ([opens], len(bad))


async def test_minutes_of_a_currency_are_asked_for_from_sunday_evening_on(yahoo: YahooProvider, stub: YahooStub) -> None:
    """They belong to Monday, as the calendar has it."""
    await minutes(yahoo, symbol("EUR/USD", AssetClass.FOREX, None), date(2026, 3, 23), datetime(2026, 3, 24, tzinfo=UTC))
    charts = [asked.query for asked in stub.asked if "interval=1m" in asked.query]
    sunday = datetime(2026, 3, 22, 22, tzinfo=UTC)
    assert len(charts) == 1
    assert f"period1={int(sunday.timestamp())}" in charts[0]
    row = Row(sunday.date(), 1.1, 1.2, 1.0, 1.1, 0, 0, 0)
    rows = {sunday - timedelta(minutes=1): row, sunday: row}
    monday = asked(symbol("EUR/USD", AssetClass.FOREX, None), date(2026, 3, 23), EVENING)
    assert [bar.open_time for bar in minutes_of(monday, rows, Unit("USD")).bars] == [sunday]


async def test_no_minutes(yahoo: YahooProvider, stub: YahooStub) -> None:
    assert await minutes(yahoo, symbol("MSFT"), date(2026, 3, 27), EVENING) == History(())
    assert await minutes(yahoo, AAPL, date(2026, 3, 26), datetime(2026, 3, 26, 21, tzinfo=UTC)) == History(())
    with pytest.raises(SymbolNotFound, match=r"^ZZZZ is not known to the provider yahoo\.$"):
        await minutes(yahoo, symbol("ZZZZ"), date(2026, 3, 27), EVENING)
    asked = len(stub.asked)
    assert await minutes(yahoo, AAPL, date(2026, 3, 28), EVENING) == History(())
    assert await minutes(yahoo, AAPL, date(2024, 3, 28), datetime(2024, 3, 29, tzinfo=UTC)) == History(())
    assert len(stub.asked) == asked, "of days to come, and of such as are long past, nothing is asked"


def test_the_last_trade_is_no_minute() -> None:
    opens = datetime(2026, 3, 27, 15, 0, tzinfo=UTC)
    row = Row(opens.date(), 10, 11, 9, 10, 100, 0, 0)
    rows = {opens: row, opens + timedelta(seconds=61): row._replace(high=12.0)}
    told = minutes_of(asked(AAPL, START, EVENING), rows, Unit("USD"))
    assert [(bar.open_time, bar.high) for bar in told.bars] == [(opens, Decimal(11))]


def test_minutes_with_a_split_told_ahead_of_its_opening_are_of_the_new_shares() -> None:
    opens, now = datetime(2026, 3, 26, 15, 0, tzinfo=UTC), datetime(2026, 3, 27, 12, tzinfo=UTC)
    row = Row(opens.date(), 10, 11, 9, 10, 100, 0, 0)
    rows = {opens: row, now: row._replace(day=now.date(), split=10.0)}
    told = minutes_of(asked(AAPL, START, now, now), rows, Unit("USD"))
    assert [bar.adjusted_to for bar in told.bars] == [date(2026, 3, 27)]


# ── splits


def raw(bar: Bar, row: dict[str, str]) -> Bar:
    """The bar as it was traded, as another provider or an earlier day held it."""
    values: dict[str, Any] = {name: Decimal(row[name]) for name in ("open", "high", "low", "close", "volume")}
    return Bar(bar.ticker, bar.interval, bar.open_time, bar.close_time, **values, adjusted_to=bar.day, source="held")


async def test_a_split_is_applied_once(yahoo: YahooProvider) -> None:
    told = await daily(yahoo, symbol("NFLX"))
    (split,) = [action for action in told.actions if action.kind is ActionKind.SPLIT]
    assert (split.ex_date, split.value) == (date(2025, 11, 17), Decimal(10))
    assert split_adjusted(told.bars, told.actions, EVENING.date()) == list(told.bars), "Yahoo has divided already"
    held = [raw(bar, row) for bar, row in zip(told.bars, recorded("NFLX"), strict=True)]
    assert held[0].close > 5 * told.bars[0].close
    for ours, theirs in zip(split_adjusted(held, told.actions, EVENING.date()), told.bars, strict=True):
        assert near(ours.close, float(theirs.close))
        assert ours.volume == theirs.volume


async def test_around_the_opening_of_the_day_of_a_split(yahoo: YahooProvider, present: ManualClock) -> None:
    """What was fetched before it is divided on read, what is fetched after it is not; the two agree."""
    opening = datetime(2025, 11, 17, 14, 30, tzinfo=UTC)
    present.at = opening - MICROSECOND
    before = await daily(yahoo, symbol("NFLX"), START, present.at)
    present.at = opening
    after = await daily(yahoo, symbol("NFLX"), START, present.at)
    assert {bar.adjusted_to for bar in before.bars} == {date(2025, 11, 16)}
    assert {bar.adjusted_to for bar in after.bars} == {date(2025, 11, 17)}
    assert [action.kind for action in before.actions] == []
    (split,) = after.actions
    read = split_adjusted(before.bars, [split], present.at.date())
    assert before.bars[-1].close > 1000
    assert all(near(ours.close, float(theirs.close)) for ours, theirs in zip(read, after.bars, strict=True))


async def test_a_backfill_of_days_before_a_split_is_of_todays_shares(yahoo: YahooProvider) -> None:
    """The split is beyond what is asked for, and has been applied all the same."""
    told = await daily(yahoo, symbol("NFLX"), START, datetime(2025, 6, 30, 21, tzinfo=UTC))
    whole = await daily(yahoo, symbol("NFLX"))
    assert told.actions == ()
    assert told.bars == whole.bars[: len(told.bars)]
    assert split_adjusted(told.bars, whole.actions, EVENING.date()) == list(told.bars)


def test_a_split_told_ahead_of_its_opening_has_been_applied() -> None:
    now = datetime(2026, 3, 27, 12, tzinfo=UTC)
    nan = float("nan")
    rows = [Row(date(2026, 3, 26), 10, 11, 9, 10, 100, 0, 0), Row(date(2026, 3, 27), nan, nan, nan, nan, 0, 0, 10)]
    told = history_of(asked(AAPL, START, now, now), rows, Unit("USD"), None)
    assert [bar.adjusted_to for bar in told.bars] == [date(2026, 3, 27)]
    assert split_adjusted(told.bars, told.actions, now.date()) == list(told.bars)


def test_sydneys_day_opens_on_the_eve() -> None:
    now = datetime(2026, 3, 26, 23, 30, tzinfo=UTC)
    sydney = asked(symbol("BHP.AX", exchange="XASX"), START, now, now)
    told = history_of(sydney, [Row(date(2026, 3, 26), 1, 1, 1, 1, 1, 0, 0)], Unit("AUD"), None)
    assert [bar.adjusted_to for bar in told.bars] == [date(2026, 3, 27)]


# ── units, currencies, gaps


@pytest.mark.parametrize(
    ("ticker", "exchange", "currency", "like", "factor"),
    [("VOD.L", "XLON", "GBP", "DIS", 0.009), ("NPN.JO", "XJSE", "ZAR", "INTC", 25.0)],
)
async def test_minor_units_become_major(
    yahoo: YahooProvider, ticker: str, exchange: str, currency: str, like: str, factor: float
) -> None:
    profile = await yahoo.profile(ticker)
    assert (profile.currency, profile.exchange) == (currency, exchange)
    told = await daily(yahoo, Symbol.tracked(profile, None, None))
    rows = {row["date"]: row for row in recorded(like)}
    assert len(told.bars) > 230
    assert all(near(bar.close, float(rows[bar.day.isoformat()]["close"]) * factor) for bar in told.bars)
    (quote,) = await yahoo.quotes([ticker])
    assert quote.currency == currency
    assert near(quote.price, float(told.bars[-1].close))
    for action in told.actions:
        assert near(action.value, float(rows[action.ex_date.isoformat()]["dividend"]) * factor)
    assert bool(told.actions) == (ticker == "VOD.L")


@pytest.mark.parametrize(
    ("told", "unit"),
    [
        ("GBp", Unit("GBP", 100)),
        ("GBX", Unit("GBP", 100)),
        ("ZAc", Unit("ZAR", 100)),
        ("ILA", Unit("ILS", 100)),
        ("KWF", Unit("KWD", 1000)),
        ("GBP", Unit("GBP")),
        ("USD", Unit("USD")),
    ],
)
def test_units(told: str, unit: Unit) -> None:
    assert unit_of(told) == unit
    assert unit.price(125.5) == Decimal("125.5") / unit.in_one


def test_minutes_in_minor_units_become_major() -> None:
    opens = datetime(2026, 3, 27, 15, 0, tzinfo=UTC)
    rows = {opens: Row(opens.date(), 70.5, 71, 69.25, 70, 100, 0, 0)}
    (bar,) = minutes_of(asked(symbol("VOD.L", exchange="XLON"), opens.date(), EVENING), rows, unit_of("GBp")).bars
    prices = (bar.open, bar.high, bar.low, bar.close)
    assert prices == (Decimal("0.705"), Decimal("0.71"), Decimal("0.6925"), Decimal("0.7"))
    assert bar.volume == 100, "shares are whole in either"


async def test_what_is_found_is_told_in_the_major_unit(yahoo: YahooProvider) -> None:
    assert [(found.ticker, found.currency) for found in await yahoo.search("vodafone", 3)] == [("VOD.L", "GBP")]


async def test_without_a_currency_there_is_no_price(yahoo: YahooProvider, caplog: pytest.LogCaptureFixture) -> None:
    for ask in (yahoo.profile("NOCUR"), daily(yahoo, symbol("NOCUR"))):
        refusal = await refused(ask)
        assert refusal.trouble is Trouble.DOWN
        assert refusal.message == "The provider yahoo sent what cannot be used: no currency."
    assert [quote.ticker for quote in await yahoo.quotes(["NOCUR", "AAPL"])] == ["AAPL"]
    assert "NOCUR is left out: no currency" in caplog.text
    assert "NOCUR" not in [profile.ticker for profile in await yahoo.search("NOCUR", 5)]


async def test_rows_with_gaps_and_impossible_rows_are_left_out(yahoo: YahooProvider, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "freshtape.yahoo")
    told = await daily(yahoo, symbol("GAPS"))
    days = [row["date"] for row in recorded("MSFT")]
    assert [bar.day.isoformat() for bar in told.bars] == [*days[:-20], *days[-19:-10], *days[-9:]]
    assert told.refused == 1, "what is missing was not sent: that is no bar, and none that is refused"
    assert [record.getMessage() for record in caplog.records] == [
        f"GAPS on {days[-20]} is refused: GAPS at {days[-20]} 14:30: high {low_high('MSFT', -20)}",
        f"GAPS on {days[-10]} is left out: a price is missing",
    ]


def low_high(ticker: str, at: int) -> str:
    row = recorded(ticker)[at]
    low, high = (decimal_of(float(numpy.float32(row[name]))) for name in ("low", "high"))
    return f"{low} below low {high}"


async def test_nothing_is_an_answer(yahoo: YahooProvider) -> None:
    assert await daily(yahoo, symbol("EMPTY")) == History(())
    long_ago = datetime(2001, 5, 1, tzinfo=UTC)
    assert await daily(yahoo, AAPL, date(2001, 1, 1), long_ago) == History(()), "Yahoo says 400 of days before the first"


# ── unknown, search, quotes


async def test_unknown_symbols(yahoo: YahooProvider, stub: YahooStub) -> None:
    for ask in (yahoo.profile("ZZZZ"), daily(yahoo, symbol("ZZZZ"))):
        with pytest.raises(SymbolNotFound, match=r"^ZZZZ is not known to the provider yahoo\.$"):
            await ask
    assert [quote.ticker for quote in await yahoo.quotes(["ZZZZ", "MSFT", "AAPL"])] == ["MSFT", "AAPL"]
    asked = len(stub.asked)
    with pytest.raises(SymbolNotFound):
        await daily(yahoo, symbol("US0378331005"))
    assert len(stub.asked) == asked, "an ISIN is a name that yfinance would look up, and tell of another"
    assert stub.counts["/v8/finance/chart/ZZZZ"] == 1, "nor is an unknown symbol asked for a second time"


async def test_what_is_not_tracked_is_not_found(yahoo: YahooProvider) -> None:
    with pytest.raises(SymbolNotFound, match=r"^VFIAX is nothing to track: the provider yahoo calls it MUTUALFUND\.$"):
        await yahoo.profile("VFIAX")
    assert await yahoo.quotes(["VFIAX"]) == []


async def test_search_leaves_out_what_is_not_tracked(yahoo: YahooProvider, stub: YahooStub) -> None:
    found = await yahoo.search("apple", 5)
    assert [(profile.ticker, profile.name, profile.currency, profile.exchange) for profile in found] == [
        ("AAPL", "Apple Inc.", "USD", "XNAS")
    ]
    hits = {hit["symbol"] for hit in stub.market.search("S&P 500", 100)}
    assert {"ES=F", "^GSPC", "SPY"} <= hits
    assert {profile.ticker for profile in await yahoo.search("S&P 500", 10)} == {"^GSPC", "SPY"}
    assert [profile.ticker for profile in await yahoo.search("vanguard", 10)] == ["VTV", "VUG"]
    assert len(await yahoo.search("a", 3)) == 3
    assert [profile.ticker for profile in await yahoo.search("EURUSD", 3)] == ["EUR/USD"]
    asked = len(stub.asked)
    assert await yahoo.search("  ", 5) == []
    assert len(stub.asked) == asked


async def test_what_is_found_is_not_remembered(yahoo: YahooProvider, stub: YahooStub) -> None:
    """yfinance would answer the second time from a cache that never forgets."""
    for expected in (1, 2):
        await yahoo.search("apple", 5)
        assert stub.counts["/v1/finance/search"] == expected
    await daily(yahoo, AAPL)  # its time zone is known from now on
    before = stub.counts["/v8/finance/chart/AAPL"]
    for expected in (1, 2):
        await daily(yahoo, AAPL, date(2026, 1, 5), datetime(2026, 1, 30, tzinfo=UTC))
        assert stub.counts["/v8/finance/chart/AAPL"] == before + expected


async def test_quotes(yahoo: YahooProvider, stub: YahooStub, present: ManualClock) -> None:
    close = datetime(2026, 3, 27, 20, tzinfo=UTC)
    quotes = {quote.ticker: quote for quote in await yahoo.quotes(["EUR/USD", "NFLX", "BTC-USD", "AAPL"])}
    assert list(quotes) == ["EUR/USD", "NFLX", "BTC-USD", "AAPL"], "in the order asked for"
    assert (quotes["AAPL"].price, quotes["AAPL"].at) == (Decimal("248.8"), close)
    assert quotes["AAPL"].previous_close == Decimal("252.89")
    assert quotes["BTC-USD"].at == EVENING
    present.at = datetime(2025, 11, 17, 16, tzinfo=UTC)
    (quote,) = await yahoo.quotes(["NFLX"])
    assert quote.at == present.at
    assert near(quote.previous_close or Decimal(0), 111.217), "yesterday's close in today's shares"


async def test_many_quotes_are_asked_for_together(yahoo: YahooProvider, stub: YahooStub) -> None:
    assert await yahoo.quotes([]) == []
    assert stub.asked == []
    many = [f"NO{number}" for number in range(QUOTES_AT_ONCE)]
    assert [quote.ticker for quote in await yahoo.quotes([*many, "AAPL"])] == ["AAPL"]
    assert stub.counts["/v7/finance/quote"] == 2


# ── when Yahoo says no

ASKS: dict[str, Ask] = {
    "chart": lambda yahoo: daily(yahoo, AAPL),
    "quote": lambda yahoo: yahoo.quotes(["AAPL"]),
    "profile": lambda yahoo: yahoo.profile("AAPL"),
    "search": lambda yahoo: yahoo.search("AAPL", 3),
}
PATHS = {"chart": "/v8/", "quote": "/v7/", "profile": "/v7/", "search": "/v1/finance/"}
each_ask = pytest.mark.parametrize("what", ASKS)


@each_ask
@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("error", "answered with status 500"),
        ("html", "sent what cannot be read"),
        ("cut_off", "did not answer"),
        ("slow", "did not answer in time"),
        ("unauthorised", "answered with status 401"),
    ],
)
async def test_down(
    yahoo: YahooProvider, stub: YahooStub, monkeypatch: pytest.MonkeyPatch, what: str, kind: server.Kind, detail: str
) -> None:
    """And well again at once: nothing of the failure is remembered."""
    if kind == "slow":
        monkeypatch.setattr(calling, "CALL_SECONDS", 0.5)
    stub.troubles.append(server.Trouble(kind, PATHS[what], seconds=2))
    started = time.monotonic()
    refusal = await refused(ASKS[what](yahoo))
    assert (refusal.trouble, refusal.detail, refusal.retry_after_seconds) == (Trouble.DOWN, detail, None)
    assert time.monotonic() - started < 5
    stub.calm()
    monkeypatch.undo()
    assert await ASKS[what](yahoo)


@pytest.mark.parametrize(
    ("ticker", "least", "most"), [("T429", None, None), ("T429S", 30, 30), ("T429D", 80, 91)], ids=["bare", "seconds", "date"]
)
async def test_rate_limited(stub: YahooStub, served_stub: tuple[YahooStub, str], ticker: str, least: Any, most: Any) -> None:
    for ask in (
        lambda yahoo: daily(yahoo, symbol(ticker)),
        lambda yahoo: yahoo.quotes([ticker]),
        lambda yahoo: yahoo.profile(ticker),
    ):
        yahoo = new_provider(served_stub[1], SystemClock())
        refusal = await refused(ask(yahoo))
        assert refusal.trouble is Trouble.RATE_LIMITED
        wait = refusal.retry_after_seconds
        assert (wait is None) if least is None else (wait is not None and least <= wait <= most)


@each_ask
@pytest.mark.parametrize("where", ["data", "/v1/test/getcrumb", "cookie"])
async def test_after_a_429_nothing_more_is_sent(yahoo: YahooProvider, stub: YahooStub, what: str, where: str) -> None:
    """yfinance would try another cookie, another crumb, and the same address again."""
    path = PATHS[what] if where == "data" else "/" if where == "cookie" else where
    stub.troubles.append(server.Trouble("rate_limited", path, "7"))
    refusal = await refused(ASKS[what](yahoo))
    assert (refusal.trouble, refusal.retry_after_seconds) == (Trouble.RATE_LIMITED, 7)
    assert refusal.message == "The provider yahoo asks for fewer requests. Try again in 7 s."
    limited = [asked.path.startswith(path) for asked in stub.asked]
    assert limited == [*[False] * (len(limited) - 1), True], "the refused request is the last"
    await asyncio.sleep(0.2)
    assert len(stub.asked) == len(limited)
    stub.calm()
    assert await ASKS[what](yahoo), "a later call asks again: to wait is the gate's"


async def test_the_text_of_a_refusal_is_no_crumb(yahoo: YahooProvider, stub: YahooStub) -> None:
    stub.crumb = "Too Many Requests"
    assert (await refused(yahoo.quotes(["AAPL"]))).trouble is Trouble.RATE_LIMITED
    assert [asked.path for asked in stub.asked][-1] == "/v1/test/getcrumb"
    stub.calm()
    assert len(await yahoo.quotes(["AAPL"])) == 1
    assert [asked.path for asked in stub.asked].count("/v1/test/getcrumb") == 1, "it was asked for again"


async def burst_after_a_429(yahoo: YahooProvider, stub: YahooStub, calls: int) -> int:
    """How many charts were asked for by calls that all began before the first 429."""
    stub.troubles.append(server.Trouble("rate_limited", "/v8/"))
    answers = await asyncio.gather(*(daily(yahoo, AAPL) for _ in range(calls)), return_exceptions=True)
    troubles = [answer.trouble for answer in answers if isinstance(answer, ProviderUnavailable)]
    assert troubles == [Trouble.RATE_LIMITED] * calls
    return sum(asked.path.startswith("/v8/") for asked in stub.asked)


async def test_a_429_stops_the_calls_that_had_begun(yahoo: YahooProvider, stub: YahooStub) -> None:
    await yahoo.search("apple", 1)  # the crumb is there, so that nothing holds the threads in line
    sent = await burst_after_a_429(yahoo, stub, 60)
    assert 1 <= sent <= THREADS, "only what was on its way already"
    told(f"60 calls at once, limited: {sent} requests")
    stub.calm()
    with mutated(Calls.seconds_left, ("call.began <= self._limited_at", "False")):
        assert await burst_after_a_429(yahoo, stub, 60) > THREADS, "the guard makes no difference"


async def test_a_caller_that_has_gone_asks_nothing_more(yahoo: YahooProvider, stub: YahooStub) -> None:
    stub.troubles.append(server.Trouble("slow", "/v8/", seconds=1.5))
    calls = [asyncio.create_task(daily(yahoo, symbol(ticker))) for ticker in ("AAPL", "MSFT", "AMD", "NFLX", "META", "TSLA")]
    await asyncio.sleep(0.3)
    for call in calls:
        call.cancel()
    assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*calls, return_exceptions=True))
    await asyncio.sleep(0.5)  # what was on its way has come, and is not answered yet
    sent = len(stub.asked)
    await asyncio.sleep(2)
    assert len(stub.asked) == sent


# ── cookies and crumbs


@pytest.mark.parametrize("kind", ["error", "html", "cut_off", "slow", "unauthorised"])
async def test_charts_and_searches_do_without_a_crumb(
    yahoo: YahooProvider, stub: YahooStub, monkeypatch: pytest.MonkeyPatch, kind: server.Kind
) -> None:
    monkeypatch.setattr(yahoo_session, "COOKIE_SECONDS", 0.5)
    stub.troubles.append(server.Trouble(kind, "/v1/test/getcrumb", seconds=1))
    assert len((await daily(yahoo, AAPL)).bars) > 200
    assert stub.counts["/v1/test/getcrumb"] == 1
    assert len((await daily(yahoo, symbol("MSFT"))).bars) > 200
    assert stub.counts["/v1/test/getcrumb"] == 1, "it is not asked for again at once"
    refusal = await refused(yahoo.quotes(["AAPL"]))
    assert refusal.detail == "answered with status 401", "quotes cannot do without"
    stub.calm()
    monkeypatch.setattr(yahoo._session, "_no_cookie_until", 0.0)  # a minute later
    assert len(await yahoo.quotes(["AAPL"])) == 1


async def test_a_cookie_page_that_hangs_takes_no_more_than_its_time(
    yahoo: YahooProvider, stub: YahooStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yahoo_session, "COOKIE_SECONDS", 0.5)
    # the paths of data begin so too, and are listed first as well
    stub.troubles += [server.Trouble("slow", path, seconds=0) for path in ("/v8/", "/v7/", "/v1/")]
    stub.troubles.append(server.Trouble("slow", "/", seconds=2))
    started = time.monotonic()
    told = await asyncio.gather(*(daily(yahoo, symbol(ticker)) for ticker in ("AAPL", "MSFT", "AMD", "NFLX", "META", "TSLA")))
    assert all(len(history.bars) > 200 for history in told)
    assert time.monotonic() - started < 5
    assert stub.counts["/"] + stub.counts["/consent"] == 1


async def test_a_crumb_that_has_expired_is_renewed_once(yahoo: YahooProvider, stub: YahooStub) -> None:
    assert len(await yahoo.quotes(["AAPL"])) == 1
    stub.crumb = "another"  # what the server takes stays the same: the old one is refused
    stub.calm()
    stub.troubles.append(server.Trouble("unauthorised", "/v7/", times=1))
    assert len(await yahoo.quotes(["AAPL"])) == 1
    assert stub.counts["/v7/finance/quote"] == 2
    assert stub.counts["/v1/test/getcrumb"] == 1


# ── the wait that is asked for

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("9" * 5000, None),
        ("0", 0),
        (" 120 ", 120),
        ("Wed, 25 Nov 2026 12:01:30 GMT", 90),
        ("Wed, 25 Nov 2026 12:01:30 -0000", 90),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0),
        ("Wed, 99 Nov 2026 12:01:30 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: int | None) -> None:
    assert seconds_to_wait(header, NOW) == seconds


# ── names, both ways

listed = st.from_regex(r"[A-Z0-9]{1,12}(-[A-Z0-9]{1,4})?(\.[A-Z]{1,4})?", fullmatch=True)
index = st.from_regex(r"\^[A-Z0-9]{1,12}", fullmatch=True)
forex = st.tuples(*2 * [st.sampled_from(sorted(CURRENCIES))]).map("/".join)
crypto = st.tuples(st.sampled_from(sorted(COINS)), st.sampled_from(sorted(COIN_QUOTES))).map("-".join)


def canonical(text: str) -> str | None:
    try:
        return normalise(text)
    except InvalidTicker:
        return None


@given((listed | index | forex | crypto).map(canonical).filter(bool))
def test_a_ticker_comes_back_from_what_yahoo_calls_it(ticker: str) -> None:
    assert ticker_of(yahoo_symbol(ticker)) == ticker
    assert ("=" in yahoo_symbol(ticker)) == (form_of(ticker) in FORMS[AssetClass.FOREX])


@given(st.text("ABCEDRUSXYZ0123456789=^.-/", max_size=16))
def test_whatever_yahoo_calls_something_it_is_a_canonical_ticker_or_none(text: str) -> None:
    ticker = ticker_of(text)
    assert ticker is None or normalise(ticker) == ticker


@pytest.mark.parametrize(
    ("ticker", "name"),
    [
        ("AAPL", "AAPL"),
        ("BRK-B", "BRK-B"),
        ("BTC-USD", "BTC-USD"),
        ("EUR/USD", "EURUSD=X"),
        ("USD/JPY", "USDJPY=X"),
        ("^GSPC", "^GSPC"),
        ("VOD.L", "VOD.L"),
        ("RCI-B.TO", "RCI-B.TO"),
        ("0700.HK", "0700.HK"),
    ],
)
def test_names(ticker: str, name: str) -> None:
    assert yahoo_symbol(ticker) == name
    assert ticker_of(name) == ticker


@pytest.mark.parametrize(
    ("name", "ticker"), [("JPY=X", "USD/JPY"), ("ES=F", None), ("AAPL270115C00250000", None), ("=X", None)]
)
def test_names_that_are_yahoos_alone(name: str, ticker: str | None) -> None:
    assert ticker_of(name) == ticker


# ── numbers


@given(st.decimals("0.0001", "99999.99", places=2) | st.integers(0, 10**6).map(Decimal))
def test_a_price_in_32_bits_is_the_decimal_it_was(price: Decimal) -> None:
    """Up to seven digits, which is what 32 bits hold."""
    assert decimal_of(float(numpy.float32(price))) == price


@given(st.decimals("0.00000001", "9999999", places=4).filter(bool))
@example(Decimal("9999.938"))  # in 32 bits it would be sent as 9999.9375, which is a price, too
def test_a_price_in_64_bits_is_the_decimal_it_was(price: Decimal) -> None:
    """But for what could as well have been sent in 32 bits: it is then that to seven digits."""
    assume(float(numpy.float32(price)) != float(price))
    assert decimal_of(float(price)) == price
    assert "E" not in str(decimal_of(float(price)))


def test_noise_is_rounded_away() -> None:
    assert decimal_of(0.1 + 0.2) == Decimal("0.3")
    assert decimal_of(189.97999572753906) == Decimal("189.98")
    assert str(decimal_of(1e22)) == "1" + 22 * "0"
    assert not decimal_of(float("nan")).is_finite()
    assert not decimal_of(1e300 * 1e10).is_finite()


# ── the event loop


@pytest.fixture
def stub_apart() -> Iterator[str]:
    """The address of a stub in a process of its own, in the present."""
    command = [sys.executable, "-m", "tests.support.yahoo", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


async def test_sixty_calls_at_once_never_block_the_event_loop(stub_apart: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stub is another process, so that what is measured is ours."""
    monkeypatch.setattr(calling, "CALL_SECONDS", 60)
    worst = await held_up(lambda: worst_gap_of_sixty_calls(stub_apart), 0.4)
    told(f"60 calls at once, worst gap of the event loop: {worst}")
    assert worst.share < 0.4
    in_a_thread = "await asyncio.get_running_loop().run_in_executor(self._threads, self._done, call, work)"
    with mutated(Calls.run, (in_a_thread, "self._done(call, work)")):
        assert (await held_up(lambda: worst_gap_of_sixty_calls(stub_apart), math.inf)).share > 0.4


async def worst_gap_of_sixty_calls(url: str) -> float:
    yahoo = new_provider(url, clock := SystemClock())
    tickers = [row.stem for row in sorted((BUNDLED_SAMPLE / "daily").glob("*.csv")) if "USD" not in row.stem]
    chosen = [symbol(tickers[number % len(tickers)], exchange="XNAS") for number in range(60)]
    calendar_for(AssetClass.STOCK, "XNAS")
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            worst, last = max(worst, time.perf_counter() - last - 0.001), time.perf_counter()

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    now = clock.now()
    told = await asyncio.gather(*(daily(yahoo, of, now.date() - timedelta(days=365), now) for of in chosen))
    await asyncio.sleep(0.01)  # the tick sees what held it up when it runs again
    ticking.cancel()
    assert all(len(history.bars) > 150 for history in told)
    return worst


async def test_four_requests_at_once_and_no_more(yahoo: YahooProvider, stub: YahooStub) -> None:
    stub.troubles.append(server.Trouble("slow", "/v8/", seconds=0.05))
    told = await asyncio.gather(*(daily(yahoo, AAPL) for _ in range(12)))
    assert all(history == told[0] for history in told)
    assert stub.most_open == THREADS
