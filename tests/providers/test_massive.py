"""Massive, as the stub speaks it over real HTTP: what is told, what is refused, and how little is asked."""

import asyncio
import csv
import gc
import json
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bars import ActionKind, Bar, History, Interval, split_adjusted
from domain.calendars import calendar_for
from domain.clock import SystemClock
from domain.errors import ProviderUnavailable, SymbolNotFound, Trouble
from domain.symbols import Symbol
from domain.tickers import AssetClass
from providers import calling, massive_session
from providers.calling import Calls
from providers.massive import QUOTES_AT_ONCE, THREADS, MassiveProvider
from providers.massive_session import Json
from providers.massive_shapes import actions_of, massive_symbol, minutes_of, quote_of, ticker_of
from providers.shapes import Asked
from tests.support.clock import EVENING, ManualClock
from tests.support.figures import told as shown
from tests.support.massive.server import KEY, MassiveStub
from tests.support.mutants import mutated
from tests.support.provider import profile
from tests.support.stubbed import Kind
from tests.support.stubbed import Trouble as Troubled
from web.settings import BUNDLED_SAMPLE

START = date(2025, 3, 20)
DAY, MINUTE, MICROSECOND = timedelta(days=1), timedelta(minutes=1), timedelta(microseconds=1)

Ask = Callable[[MassiveProvider], Awaitable[Any]]


def symbol(ticker: str, asset_class: AssetClass = AssetClass.STOCK) -> Symbol:
    return Symbol.tracked(profile(ticker, asset_class), None, None)


AAPL, BITCOIN = symbol("AAPL"), symbol("BTC-USD", AssetClass.CRYPTO)
EURO = symbol("EUR/USD", AssetClass.FOREX)


def recorded(kind: str, ticker: str) -> list[dict[str, str]]:
    with (BUNDLED_SAMPLE / kind / f"{ticker}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


async def daily(massive: MassiveProvider, of: Symbol, start: date = START, until: datetime = EVENING) -> History:
    return await massive.history(of, Interval.ONE_DAY, start, until)


async def minutes(massive: MassiveProvider, of: Symbol, start: date, until: datetime = EVENING) -> History:
    return await massive.history(of, Interval.ONE_MINUTE, start, until)


async def refused(answer: Awaitable[Any]) -> ProviderUnavailable:
    with pytest.raises(ProviderUnavailable) as refusal:
        await answer
    assert KEY not in refusal.value.message
    return refusal.value


def exactly(bar: Bar, row: dict[str, str]) -> bool:
    return all(getattr(bar, name) == Decimal(row[name]) for name in ("open", "high", "low", "close", "volume"))


# ── what is told


@pytest.mark.parametrize("of", [AAPL, BITCOIN], ids=["AAPL", "BTC-USD"])
async def test_numbers_are_those_that_were_sent(massive: MassiveProvider, of: Symbol) -> None:
    """To the last digit, and parts of a coin stay parts."""
    for told, kind in ((await daily(massive, of), "daily"), (await minutes(massive, of, date(2026, 3, 25)), "minute")):
        bars = [bar for bar in told.bars if bar.is_final or kind == "minute"]
        rows = recorded(kind, of.ticker)[: len(bars)]
        assert len(bars) > 250
        assert all(exactly(bar, row) for bar, row in zip(bars, rows, strict=True))
        assert any(bar.volume != bar.volume.to_integral_value() for bar in bars) == (of is BITCOIN)
        assert {bar.source for bar in bars} == {"massive"}
        assert {bar.adjusted_to for bar in bars} == {EVENING.date()}


@given(st.decimals(min_value=0, max_value=Decimal("1e12"), allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_it_is_written(number: Decimal) -> None:
    assert Decimal(Json.loads(f'{{"status": "OK", "v": {number}}}')["v"]) == number


async def test_a_half_day_closes_early(massive: MassiveProvider, present: ManualClock) -> None:
    close = datetime(2025, 11, 28, 18, tzinfo=UTC)
    for until, expected in ((close, True), (close - MICROSECOND, False)):
        present.at = until
        told = await daily(massive, AAPL, date(2025, 11, 26), until)
        assert [bar.day.day for bar in told.bars if bar.is_final] == ([26, 28] if expected else [26])


@pytest.mark.parametrize(
    ("first", "last"), [(date(2025, 10, 31), date(2025, 11, 3)), (date(2026, 3, 6), date(2026, 3, 9))], ids=["autumn", "spring"]
)
async def test_days_on_both_sides_of_a_change_of_the_clocks(massive: MassiveProvider, first: date, last: date) -> None:
    calendar = calendar_for(AssetClass.STOCK, "XNAS")
    told = await daily(massive, AAPL, first, datetime(last.year, last.month, last.day, 23, tzinfo=UTC))
    assert [bar.day for bar in told.bars] == [first, last]
    for bar in told.bars:
        hours = calendar.trading_day(bar.day)
        assert hours is not None
        assert (bar.open_time, bar.close_time) == (hours.open, hours.close)
    assert told.bars[0].open_time.hour != told.bars[1].open_time.hour


def window(opens: datetime, price: str = "10", volume: object = 7) -> Any:
    value = Decimal(price)
    at = round(opens.timestamp() * 1000)
    return SimpleNamespace(timestamp=at, open=value, high=value, low=value, close=value, volume=volume)


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        (date(2026, 3, 6), 14 * 60 + 30, 21 * 60),
        (date(2026, 3, 9), 13 * 60 + 30, 20 * 60),
        (date(2025, 10, 31), 13 * 60 + 30, 20 * 60),
        (date(2025, 11, 3), 14 * 60 + 30, 21 * 60),
        (date(2025, 11, 28), 14 * 60 + 30, 18 * 60),
        (date(2025, 1, 9), 0, 0),
        (date(2026, 3, 7), 0, 0),
    ],
    ids=["winter", "summer", "summer 2025", "winter 2025", "a half day", "a day of mourning", "a Saturday"],
)
def test_minutes_before_and_after_hours_are_left_out(day: date, opens: int, closes: int) -> None:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    sent = [window(midnight + number * MINUTE) for number in range(24 * 60)]
    told = minutes_of(Asked(AAPL, day, EVENING, EVENING), sent)
    assert [(bar.open_time - midnight) // MINUTE for bar in told.bars] == list(range(opens, closes))
    assert told.refused == 0


async def test_minutes_around_the_hours_are_sent_and_not_told(massive: MassiveProvider, massive_stub: MassiveStub) -> None:
    told = await minutes(massive, AAPL, date(2026, 3, 27))
    sent = massive_stub.market.windows(massive_stub.market.listings["AAPL"], "minute", date(2026, 3, 27), date(2026, 3, 27))
    assert len(sent) == len(told.bars) + 2
    assert (sent[0].opens < told.bars[0].open_time, sent[-1].opens > told.bars[-1].open_time) == (True, True)


async def test_sunday_evening_belongs_to_monday(massive: MassiveProvider) -> None:
    monday = date(2026, 3, 23)
    told = await minutes(massive, EURO, monday, datetime(2026, 3, 24, 0, tzinfo=UTC))
    assert told.bars[0].open_time == datetime(2026, 3, 22, 22, tzinfo=UTC)
    assert {(bar.open_time + timedelta(hours=2)).date() for bar in told.bars} == {monday, monday + DAY}
    assert len(told.bars) == 26 * 4
    days = await daily(massive, EURO, date(2026, 3, 20), datetime(2026, 3, 24, 0, tzinfo=UTC))
    assert [bar.day for bar in days.bars] == [date(2026, 3, 20), monday], "what Massive calls Sunday is no day"


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
async def test_the_time_zone_of_the_machine_makes_no_difference(massive: MassiveProvider) -> None:
    assert time.tzname[0] == "JST"
    told = await daily(massive, AAPL)
    assert [bar.day.isoformat() for bar in told.bars] == [row["date"] for row in recorded("daily", "AAPL")]
    assert (await minutes(massive, AAPL, date(2026, 3, 27))).bars[0].open_time == datetime(2026, 3, 27, 13, 30, tzinfo=UTC)


async def test_what_cannot_be_is_refused_and_counted(massive: MassiveProvider, caplog: pytest.LogCaptureFixture) -> None:
    told = await daily(massive, symbol("GAPS"))
    days = [row["date"] for row in recorded("daily", "MSFT")]
    missing = {days[-10], days[-20], days[-30]}
    assert [bar.day.isoformat() for bar in told.bars] == [day for day in days if day not in missing]
    assert told.refused == 3
    assert sum("GAPS 1d at" in record.getMessage() for record in caplog.records) == 3


def test_numbers_that_nobody_can_mean_are_refused() -> None:
    opens = datetime(2026, 3, 27, 15, tzinfo=UTC)
    volumes: list[Any] = [None, "x", Decimal("1e999999999"), Decimal("Infinity"), [], -1]
    sent = [window(opens, volume=volume) for volume in volumes]
    sent = [SimpleNamespace(**{**vars(it), "timestamp": it.timestamp + 60_000 * number}) for number, it in enumerate(sent)]
    told = minutes_of(Asked(AAPL, opens.date(), EVENING, EVENING), [*sent, window(opens - MINUTE, volume=Decimal("1E+3"))])
    assert (told.refused, [str(bar.volume) for bar in told.bars]) == (len(sent), ["1000"])


# ── the day under way


async def test_the_day_under_way_goes_up_to_its_newest_minute(
    massive: MassiveProvider, massive_stub: MassiveStub, present: ManualClock
) -> None:
    present.at = datetime(2026, 3, 27, 15, 0, 30, tzinfo=UTC)
    told = await daily(massive, AAPL, date(2026, 3, 26), present.at)
    assert [bar.is_final for bar in told.bars] == [True, False]
    assert told.bars[-1].close_time == present.at, "its newest minute has not ended"
    paths = [asked.path for asked in massive_stub.asked]
    assert "/minute/" in paths[0], "asked for before the day, which then is no older"
    assert "/day/" in paths[1]


async def test_before_the_first_minute_of_the_day_nothing_is_told_of_it(massive: MassiveProvider, present: ManualClock) -> None:
    """The newest minute is of before the hours."""
    present.at = datetime(2026, 3, 27, 13, 30, tzinfo=UTC) + MICROSECOND
    assert [bar.day.day for bar in (await daily(massive, AAPL, date(2026, 3, 26), present.at)).bars] == [26, 27]
    present.at -= MICROSECOND
    assert [bar.day.day for bar in (await daily(massive, AAPL, date(2026, 3, 26), present.at)).bars] == [26]


async def test_a_plan_of_past_days_tells_of_those(
    massive: MassiveProvider, massive_stub: MassiveStub, present: ManualClock
) -> None:
    massive_stub.is_of_the_past = True
    present.at = datetime(2026, 3, 27, 15, tzinfo=UTC)
    told = await daily(massive, AAPL, date(2026, 3, 25), present.at)
    assert [(bar.day.day, bar.is_final) for bar in told.bars] == [(25, True), (26, True)]
    refusal = await refused(minutes(massive, AAPL, date(2026, 3, 27), present.at))
    assert refusal.message == (
        "The provider massive does not cover minute bars from 2026-03-27 to 2026-03-27 by the plan of the key."
    )
    assert refusal.trouble is Trouble.NOT_SERVED, "the gate does not hold it against the provider"
    assert (await refused(massive.quotes(["AAPL"]))).detail == "does not cover quotes by the plan of the key"


async def test_a_plan_of_two_years(massive: MassiveProvider, massive_stub: MassiveStub) -> None:
    """What lies within is told; what lies wholly beyond is refused."""
    massive_stub.plan_from = date(2026, 1, 2)
    told = await daily(massive, AAPL, START)
    assert told.bars[0].day == date(2026, 1, 2)
    refusal = await refused(daily(massive, AAPL, START, datetime(2025, 12, 30, tzinfo=UTC)))
    assert refusal.detail == "does not cover daily bars from 2025-03-20 to 2025-12-30 by the plan of the key"


# ── splits and dividends


async def test_a_split_that_is_listed_twice_counts_once(massive: MassiveProvider) -> None:
    told = await daily(massive, symbol("NFLX"))
    (split,) = [action for action in told.actions if action.kind is ActionKind.SPLIT]
    assert (split.ex_date, split.value) == (date(2025, 11, 17), Decimal(10))
    assert split_adjusted(told.bars, told.actions, EVENING.date()) == list(told.bars), "Massive has divided already"
    rows = {row["date"]: row for row in recorded("daily", "NFLX")}
    first = told.bars[0]
    assert first.close * 10 == Decimal(rows[first.day.isoformat()]["close"])
    assert first.volume == 10 * Decimal(rows[first.day.isoformat()]["volume"])


@pytest.mark.parametrize(
    ("now", "adjusted_to"),
    [
        (datetime(2025, 11, 17, 4, 59, tzinfo=UTC), date(2025, 11, 16)),
        (datetime(2025, 11, 17, 5, 0, tzinfo=UTC), date(2025, 11, 17)),
        (datetime(2025, 11, 17, 14, 30, tzinfo=UTC), date(2025, 11, 17)),
    ],
    ids=["the night before", "midnight in New York", "the opening"],
)
async def test_prices_are_divided_overnight(
    massive: MassiveProvider, present: ManualClock, now: datetime, adjusted_to: date
) -> None:
    """And never twice: neither by Massive and then on read, nor by neither."""
    present.at = now
    told = await daily(massive, symbol("NFLX"), date(2025, 11, 10), now)
    assert {bar.adjusted_to for bar in told.bars} == {adjusted_to}
    assert [action.ex_date for action in told.actions] == [date(2025, 11, 17)] * (adjusted_to.day == 17)
    split = (await daily(massive, symbol("NFLX"), date(2025, 11, 17), now)).actions
    read = split_adjusted(told.bars, split, date(2025, 11, 17))
    assert all((100 < bar.close < 130) == (adjusted_to.day == 17) for bar in read)


def dividend(day: str, amount: object, currency: str | None = "USD", kind: str = "recurring") -> Any:
    return SimpleNamespace(ex_dividend_date=day, cash_amount=amount, currency=currency, distribution_type=kind)


def split(day: str, ratio: object, of: object = 1) -> Any:
    return SimpleNamespace(execution_date=day, split_to=ratio, split_from=of)


def test_dividends_are_of_the_shares_that_the_prices_are_of(caplog: pytest.LogCaptureFixture) -> None:
    asked = Asked(AAPL, date(2025, 1, 1), EVENING, EVENING)
    dividends = [
        dividend("2025-02-01", Decimal(1)),
        dividend("2025-06-01", Decimal("0.3")),
        dividend("2025-06-01", Decimal("0.3")),
        dividend("2025-06-01", 2, kind="special"),
        dividend("2025-07-01", Decimal(50), currency="JPY"),
        dividend("2025-08-01", Decimal(50), currency=None),
        dividend("soon", 1),
        dividend("2025-09-01", None),
        dividend("2025-10-01", 0),
    ]
    splits = [
        split("2025-03-03", 4),
        split("2025-06-01", 3, 2),
        split("2025-07-07", 1, 0),
        split("never", 2),
        split("2099-01-01", 2),
    ]
    told = [(action.kind, str(action.ex_date), action.value) for action in actions_of(asked, splits, dividends)]
    assert told == [
        (ActionKind.SPLIT, "2025-03-03", Decimal(4)),
        (ActionKind.SPLIT, "2025-06-01", Decimal("1.5")),
        (ActionKind.DIVIDEND, "2025-02-01", Decimal("0.1666666667")),
        (ActionKind.DIVIDEND, "2025-06-01", Decimal("2.3")),
    ]
    assert len(caplog.records) == 6, "each that is refused is told"


# ── names


@pytest.mark.parametrize(
    ("ticker", "name"),
    [
        ("AAPL", "AAPL"),
        ("BRK-B", "BRK.B"),
        ("BTC-USD", "X:BTCUSD"),
        ("ETH-BTC", "X:ETHBTC"),
        ("EUR/USD", "C:EURUSD"),
        ("USD/JPY", "C:USDJPY"),
        ("VOD.L", None),
        ("RCI-B.TO", None),
        ("0700.HK", None),
        ("^GSPC", None),
    ],
)
def test_names(ticker: str, name: str | None) -> None:
    assert massive_symbol(ticker) == name


def reference(ticker: str, market: str, kind: str | None = None, base: str | None = None, quote: str | None = None) -> Any:
    return SimpleNamespace(ticker=ticker, market=market, type=kind, base_currency_symbol=base, currency_symbol=quote)


@pytest.mark.parametrize(
    ("hit", "ticker"),
    [
        (reference("BRK.B", "stocks", "CS"), "BRK-B"),
        (reference("SPY", "stocks", "ETF"), "SPY"),
        (reference("X:BTCUSD", "crypto", base="BTC", quote="USD"), "BTC-USD"),
        (reference("C:EURUSD", "fx", base="EUR", quote="USD"), "EUR/USD"),
        (reference("EURUSD", "stocks", "CS"), None),
        (reference("C:EURUSD", "fx", base="EUR"), None),
        (reference("X:EURUSD", "crypto", base="EUR", quote="USD"), None),
        (reference("I:SPX", "indices"), None),
        (reference("WARR", "stocks", "WARRANT"), None),
        (reference("OTCX", "otc", "CS"), None),
        (reference("BACpB", "stocks", "PFD"), None),
    ],
)
def test_the_class_decides_what_a_name_is(hit: Any, ticker: str | None) -> None:
    """A stock that is called like a pair is none: it is left out, and never taken for another."""
    assert ticker_of(hit) == ticker


async def test_what_is_not_served_is_not_asked_for(massive: MassiveProvider, massive_stub: MassiveStub) -> None:
    for ticker in ("VOD.L", "^GSPC"):
        for ask in (massive.profile(ticker), daily(massive, symbol(ticker)), minutes(massive, symbol(ticker), START)):
            with pytest.raises(SymbolNotFound, match=r"is not served by the provider massive: it has US listings, coins and"):
                await ask
    assert await massive.quotes(["VOD.L", "^GSPC"]) == []
    assert massive_stub.asked == []


# ── profiles, search, quotes


async def test_profiles(massive: MassiveProvider) -> None:
    berkshire = await massive.profile("BRK-B")
    assert (berkshire.ticker, berkshire.exchange, berkshire.asset_class) == ("BRK-B", "XNYS", AssetClass.STOCK)
    with pytest.raises(SymbolNotFound, match=r"^WARR is nothing to track: the provider massive calls it WARRANT\.$"):
        await massive.profile("WARR")
    refusal = await refused(massive.profile("NOCUR"))
    assert refusal.message == "The provider massive sent what cannot be used: no currency."


@pytest.mark.parametrize(
    ("text", "first", "expected"),
    [
        ("apple", 5, ["AAPL"]),
        ("BRK.B", 5, ["BRK-B"]),
        ("brk-b", 5, ["BRK-B"]),
        ("btcusd", 5, ["BTC-USD"]),
        ("eur/usd", 5, ["EUR/USD"]),
        ("vanguard", 1, ["VTV"]),
        ("warrants", 5, []),
        ("no currency", 5, []),
        ("no such thing", 5, []),
        ("  ", 5, []),
    ],
)
async def test_search(massive: MassiveProvider, massive_stub: MassiveStub, text: str, first: int, expected: list[str]) -> None:
    assert [found.ticker for found in await massive.search(text, first)] == expected
    assert len(massive_stub.asked) == bool(text.strip()), "one page, whatever there is beyond"


def snapshot(**told: Any) -> Any:
    names = ("error", "session", "last_trade", "last_minute", "last_quote")
    return SimpleNamespace(**(dict.fromkeys(names) | told))


def test_a_quote_is_the_newest_price() -> None:
    second = 1_774_641_600_000_000_000
    trade = SimpleNamespace(price=Decimal(10), last_updated=None, sip_timestamp=second)
    minute = SimpleNamespace(close=Decimal(11), last_updated=second + 1_000_000_000)
    quoted = SimpleNamespace(bid=Decimal("1.1"), ask=Decimal("1.2"), last_updated=second)
    both = quote_of("AAPL", snapshot(last_trade=trade, last_minute=minute, last_quote=quoted))
    assert both is not None
    assert (both.price, both.at) == (Decimal(11), datetime(2026, 3, 27, 20, 0, 1, tzinfo=UTC))
    euro = quote_of("EUR/USD", snapshot(last_quote=quoted))
    assert euro is not None
    assert (euro.price, euro.currency, euro.previous_close) == (Decimal("1.15"), "USD", None)
    yen = quote_of("USD/JPY", snapshot(last_quote=quoted))
    assert yen is not None
    assert yen.currency == "JPY"


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"error": "NOT_ENTITLED"},
        {"last_quote": SimpleNamespace(bid=1, ask=2, last_updated=1)},
        {"last_trade": SimpleNamespace(price=None, last_updated=1, sip_timestamp=None)},
        {"last_trade": SimpleNamespace(price=1, last_updated=None, sip_timestamp=None)},
        {"last_trade": SimpleNamespace(price="x", last_updated=1, sip_timestamp=None)},
        {"last_trade": SimpleNamespace(price=1, last_updated=10**40, sip_timestamp=None)},
    ],
    ids=["nothing", "not entitled", "a quote of a stock", "no price", "no time", "no number", "no time that can be"],
)
def test_what_tells_no_price_is_no_quote(told: dict[str, Any]) -> None:
    with pytest.raises(calling.Unusable):
        quote_of("AAPL", snapshot(**told))


async def test_many_quotes_are_asked_for_together(massive: MassiveProvider, massive_stub: MassiveStub) -> None:
    many = [f"NO{number}" for number in range(QUOTES_AT_ONCE)]
    massive_stub.page = 100
    assert [quote.ticker for quote in await massive.quotes([*many, "AAPL"])] == ["AAPL"]
    assert massive_stub.counts["/v3/snapshot"] == 3 + 1, "a full page of them, which comes in three, and one more"
    massive_stub.calm()
    assert await massive.quotes([]) == []
    assert massive_stub.asked == []


# ── pages, and nothing


@pytest.mark.parametrize("page", [1, 100, 251, 252, 253])
async def test_pages_are_one_answer(massive: MassiveProvider, massive_stub: MassiveStub, page: int) -> None:
    """Also where the last is full. `next_url` names Massive's own server: the stub is asked, and nobody else sent the key."""
    start = START if page > 1 else date(2026, 3, 20)
    whole = await daily(massive, AAPL, start)
    massive_stub.calm()
    massive_stub.page = page
    assert await daily(massive, AAPL, start) == whole
    asked = sum("/day/" in path for path in massive_stub.counts.elements())
    assert asked == -(-len(whole.bars) // page)
    assert massive_stub.keys == {f"Bearer {KEY}"}


async def test_nothing_is_an_answer(massive: MassiveProvider, massive_stub: MassiveStub) -> None:
    """Massive tells nothing of an unknown symbol as well: of one that it has not told of yet its details are asked for."""
    microsoft = symbol("MSFT")
    assert await minutes(massive, microsoft, date(2026, 3, 27)) == History(())
    assert massive_stub.counts["/v3/reference/tickers/MSFT"] == 1
    assert await minutes(massive, microsoft, date(2026, 3, 27)) == History(())
    assert massive_stub.counts["/v3/reference/tickers/MSFT"] == 1, "it is known from now on"
    for ask in (minutes(massive, symbol("ZZZZ"), date(2026, 3, 27)), daily(massive, symbol("ZZZZ"))):
        with pytest.raises(SymbolNotFound, match=r"^ZZZZ is not known to the provider massive\.$"):
            await ask
    asked = len(massive_stub.asked)
    tomorrow = EVENING + DAY
    assert await daily(massive, AAPL, tomorrow.date(), tomorrow) == History(())
    assert await minutes(massive, AAPL, tomorrow.date(), tomorrow) == History(())
    assert len(massive_stub.asked) == asked, "of days to come nothing is asked"


# ── when Massive says no

ASKS: dict[str, Ask] = {
    "days": lambda massive: daily(massive, AAPL),
    "minutes": lambda massive: minutes(massive, AAPL, date(2026, 3, 27)),
    "quotes": lambda massive: massive.quotes(["AAPL"]),
    "profile": lambda massive: massive.profile("AAPL"),
    "search": lambda massive: massive.search("AAPL", 3),
}
each_ask = pytest.mark.parametrize("what", ASKS)


@each_ask
@pytest.mark.parametrize(
    ("trouble", "detail"),
    [
        (Troubled("error"), "answered with status 500"),
        (Troubled("html"), "sent what cannot be read"),
        (Troubled("body", body=b""), "sent what cannot be read"),
        (Troubled("body", body=b"[]"), "sent what cannot be read"),
        (Troubled("body", body=b'"results"'), "sent what cannot be read"),
        (Troubled("body", body=b'{"status": "OK", "results": ["\xff"]}'), "sent what cannot be read"),
        (Troubled("body", body=b'{"status": "OK", "results": [' + b"[" * 100_000), "sent what cannot be read"),
        (Troubled("body", body=b'{"status": "ERROR", "error": "no"}'), "sent what cannot be read"),
        (Troubled("body", body=b'{"results": []}'), "sent what cannot be read"),
        (Troubled("body", body=b'{"status": "OK", "results": ' + b"9" * 5000 + b"}"), "sent what cannot be read"),
        (Troubled("cut_off"), "did not answer"),
        (Troubled("slow", seconds=2), "did not answer in time"),
        (Troubled("dripping", seconds=2), "did not answer in time"),
        (Troubled("unauthorised"), "refuses the key that FRESHTAPE_MASSIVE_API_KEY holds"),
    ],
    ids=["500", "html", "empty", "list", "text", "bytes", "deep", "error", "no status", "digits", "cut", "slow", "drip", "401"],
)
async def test_down(
    massive: MassiveProvider,
    massive_stub: MassiveStub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: str,
    trouble: Troubled,
    detail: str,
) -> None:
    """Never an answer without results; and well again at once: nothing of the failure is remembered."""
    if trouble.kind in ("slow", "dripping"):
        monkeypatch.setattr(calling, "CALL_SECONDS", 0.5)
    massive_stub.troubles.append(trouble)
    started = time.monotonic()
    refusal = await refused(ASKS[what](massive))
    assert (refusal.trouble, refusal.detail, refusal.retry_after_seconds) == (Trouble.DOWN, detail, None)
    assert time.monotonic() - started < 5
    assert len(massive_stub.asked) <= 1, "it is not asked again"
    assert capsys.readouterr().out == ""
    massive_stub.calm()
    monkeypatch.undo()
    assert await ASKS[what](massive)


async def test_the_client_alone_takes_what_it_cannot_read_for_nothing(
    massive: MassiveProvider, massive_stub: MassiveStub
) -> None:
    massive_stub.troubles += [Troubled("html", "/v2/aggs"), Troubled("html", "/v3/snapshot")]
    ask = (lambda: minutes(massive, AAPL, date(2026, 3, 27)), lambda: massive.quotes(["AAPL"]))
    with mutated(massive_session._object, ('raise Unreadable("no JSON") from None', "raise")):
        assert [await each() for each in ask] == [History(()), []]
    for each in ask:
        assert (await refused(each())).detail == "sent what cannot be read"


@each_ask
async def test_a_page_that_cannot_be_read_is_no_end(massive: MassiveProvider, massive_stub: MassiveStub, what: str) -> None:
    """Nor are the splits and dividends that did not come none."""
    complete = await ASKS[what](massive)
    assert complete
    requests = list(massive_stub.asked)
    for number, asked in enumerate(requests):
        massive_stub.calm()
        massive_stub.troubles.append(Troubled("slow", asked.path, seconds=0, times=requests[:number].count(asked)))
        massive_stub.troubles.append(Troubled("html", asked.path, times=1))
        assert (await refused(ASKS[what](massive))).detail == "sent what cannot be read"


async def test_nobody_there(unused_port: int) -> None:
    massive = MassiveProvider(ManualClock(), KEY, f"http://127.0.0.1:{unused_port}")
    assert (await refused(massive.profile("AAPL"))).detail == "did not answer"


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        (None, None, None),
        ("30", 30, 30),
        (format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True), 1, 86_400),
        ("soon", None, None),
    ],
    ids=["bare", "seconds", "date", "words"],
)
@each_ask
async def test_rate_limited(
    massive_stub: MassiveStub, served_massive: tuple[MassiveStub, str], what: str, header: str | None, least: Any, most: Any
) -> None:
    massive_stub.troubles.append(Troubled("rate_limited", retry_after=header))
    refusal = await refused(ASKS[what](MassiveProvider(SystemClock(), KEY, served_massive[1])))
    assert (refusal.trouble, refusal.detail) == (Trouble.RATE_LIMITED, "asks for fewer requests")
    wait = refusal.retry_after_seconds
    assert (wait is None) if least is None else (wait is not None and least <= wait <= most)
    assert len(massive_stub.asked) == 1


async def burst_after_a_429(massive: MassiveProvider, stub: MassiveStub, calls: int) -> int:
    """How many requests were made by calls that all began before the first 429: the first four are kept waiting until then."""
    stub.troubles += [Troubled("slow", seconds=0.5, times=THREADS), Troubled("rate_limited")]
    answers = await asyncio.gather(*(daily(massive, AAPL) for _ in range(calls)), return_exceptions=True)
    assert [answer.trouble for answer in answers if isinstance(answer, ProviderUnavailable)] == [Trouble.RATE_LIMITED] * calls
    return len(stub.asked)


async def test_a_429_stops_the_calls_that_had_begun(massive: MassiveProvider, massive_stub: MassiveStub) -> None:
    sent = await burst_after_a_429(massive, massive_stub, 60)
    assert THREADS < sent <= 2 * THREADS, "those that were kept waiting, and what was on its way then"
    massive_stub.calm()
    with mutated(Calls.seconds_left, ("call.began <= self._limited_at", "False")):
        unguarded = await burst_after_a_429(massive, massive_stub, 60)
    shown(f"60 calls at once, limited: {sent} requests; without the guard {unguarded}")
    assert unguarded > 2 * THREADS, "the guard makes no difference"


async def test_the_key_is_never_shown(
    massive: MassiveProvider, massive_stub: MassiveStub, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    kinds: list[Kind] = ["error", "html", "cut_off", "rate_limited", "unauthorised"]
    for kind in kinds:
        massive_stub.calm()
        massive_stub.troubles.append(Troubled(kind))
        refusal = await refused(daily(massive, AAPL))
        assert KEY not in f"{refusal!r} {refusal.__cause__!r}"
    assert massive_stub.keys == set(), "each was refused before"
    massive_stub.calm()
    await daily(massive, AAPL)
    assert massive_stub.keys == {f"Bearer {KEY}"}, "it was sent"
    assert "urllib3.connectionpool" in {record.name for record in caplog.records}, "what is sent is logged"
    assert KEY not in f"{caplog.text} {capsys.readouterr()} {massive!r} {vars(massive)!r}"


async def test_another_key_is_refused(massive_stub: MassiveStub, served_massive: tuple[MassiveStub, str]) -> None:
    massive = MassiveProvider(ManualClock(), "no.key", served_massive[1])
    refusal = await refused(massive.profile("AAPL"))
    assert refusal.message == "The provider massive refuses the key that FRESHTAPE_MASSIVE_API_KEY holds."


# ── threads


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is awaited happens in the stub's thread
            await asyncio.sleep(0.02)


async def asked_after(massive: MassiveProvider, stub: MassiveStub) -> int:
    """How much more was asked once the callers had gone, amid pages of one bar each, and what was on its way had come."""
    stub.asked.clear()
    calls = [asyncio.create_task(daily(massive, AAPL)) for _ in range(THREADS + 2)]
    await until(lambda: len(stub.asked) > THREADS)
    for call in calls:
        call.cancel()
    assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*calls, return_exceptions=True))
    await asyncio.sleep(0.3)
    sent = len(stub.asked)
    await asyncio.sleep(0.5)
    return len(stub.asked) - sent


async def test_a_caller_that_has_gone_asks_nothing_more(massive: MassiveProvider, massive_stub: MassiveStub) -> None:
    massive_stub.page = 1
    massive_stub.troubles.append(Troubled("slow", seconds=0.1))
    assert await asked_after(massive, massive_stub) == 0
    with mutated(calling.Call.give_up, ("self.deadline = 0", "pass")):
        unguarded = await asked_after(massive, massive_stub)
    massive_stub.page = None  # so that they come to their end
    await until(lambda: massive_stub.open == 0)
    await asyncio.sleep(0.3)  # and each asks for what comes behind its pages
    await until(lambda: massive_stub.open == 0)
    shown(f"requests in half a second after their callers had gone: 0; without the guard {unguarded}")
    assert unguarded > 0, "the guard makes no difference"


async def test_four_requests_at_once_and_no_more(massive: MassiveProvider, massive_stub: MassiveStub) -> None:
    massive_stub.troubles.append(Troubled("slow", seconds=0.05))
    told = await asyncio.gather(*(daily(massive, AAPL) for _ in range(12)))
    assert all(history == told[0] for history in told)
    assert massive_stub.most_open == THREADS


MONTH = 30 * 24 * 60
"""Minutes of a coin: as many as one page holds."""
UNTIL = datetime(2026, 3, 27, tzinfo=UTC)


def month_of_minutes() -> str:
    prices = {"o": 70533.15594, "h": 70557.41083, "l": 70512.4875, "c": 70513.12635, "v": 4.82768929, "vw": 70533.1, "n": 7}
    ends = round(UNTIL.timestamp() * 1000)
    return json.dumps({"status": "OK", "results": [prices | {"t": ends - number * 60_000} for number in range(MONTH, 0, -1)]})


async def test_a_month_of_minutes(massive: MassiveProvider, massive_stub: MassiveStub) -> None:
    massive_stub.troubles.append(Troubled("body", body=month_of_minutes().encode()))
    began = time.monotonic()
    told = await minutes(massive, BITCOIN, UNTIL.date() - timedelta(days=30), UNTIL)
    shown(f"{MONTH} minutes told in {time.monotonic() - began:.1f} s")
    assert len(told.bars) == MONTH
    assert len(massive_stub.asked) == 1


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Whoever listens to the collector is Python, and lets others have their turn as well."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
async def test_others_get_their_turns_while_a_long_answer_is_read() -> None:
    text = month_of_minutes()
    turns = max([await turns_during(text) for _ in range(3)])
    with mutated(massive_session._object, ("parse_float=_exact", "parse_float=Decimal")):
        unguarded = min([await turns_during(text) for _ in range(3)])
    shown(f"turns of the event loop while an answer of {MONTH} minutes is read: {turns}; read by C alone: {unguarded}")
    assert turns >= 5
    assert unguarded <= 2, "the guard makes no difference"


async def turns_during(text: str) -> int:
    """Of the event loop, while a thread reads the answer."""
    is_reading = False

    def read() -> None:
        nonlocal is_reading
        is_reading = True
        Json.loads(text)
        is_reading = False

    reading = asyncio.ensure_future(asyncio.to_thread(read))
    turns = 0
    while not reading.done():
        turns += is_reading
        await asyncio.sleep(0.001)
    return turns
