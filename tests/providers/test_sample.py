"""The sample market: nothing before its time, whatever the folder is like."""

import csv
import logging
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import providers
from domain.bars import ActionKind, History, Interval
from domain.calendars import calendar_for
from domain.errors import ProviderUnavailable, SymbolNotFound
from domain.symbols import Profile, Symbol
from domain.tickers import AssetClass
from providers.sample import SampleProvider, listing
from tests.support.clock import EVENING, ManualClock

BUNDLED = Path(providers.__file__).parent / "sample_data"
MARKET = listing(BUNDLED)
FIRST_DAY = date(2020, 1, 1)
MICROSECOND = timedelta(microseconds=1)
SYMBOLS = "ticker,name,asset_class,exchange,currency\n"
DAILY = "date,open,high,low,close,adj_close,volume,dividend,split\n"
MINUTE = "time,open,high,low,close,volume\n"


async def history(
    ticker: str,
    at: datetime,
    interval: Interval = Interval.ONE_DAY,
    *,
    folder: Path = BUNDLED,
    start: date = FIRST_DAY,
    until: datetime | None = None,
) -> History:
    """What is told of a symbol when the clock stands at an instant."""
    profile = listing(folder)[ticker][0]
    provider = SampleProvider(folder, ManualClock(at))
    return await provider.history(Symbol.tracked(profile, None, None), interval, start, until or at)


def recorded(kind: str, ticker: str, column: str) -> Sequence[str]:
    with (BUNDLED / kind / f"{ticker.replace('/', '')}.csv").open(newline="", encoding="utf-8") as file:
        return [row[column] for row in csv.DictReader(file)]


# ── nothing before its time

_clocks = st.datetimes(datetime(2025, 3, 18), datetime(2026, 4, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds it


@settings(max_examples=40)
@given(at=_clocks, ticker=st.sampled_from(["AAPL", "SPY", "BTC-USD", "EUR/USD"]), ahead=st.sampled_from([0, 1, 400]))
@example(at=datetime(2025, 11, 28, 17, 59, 59, 999_999, tzinfo=UTC), ticker="AAPL", ahead=1)  # a half day
@example(at=datetime(2025, 11, 28, 18, tzinfo=UTC), ticker="AAPL", ahead=0)
@example(at=datetime(2025, 7, 3, 17, tzinfo=UTC), ticker="SPY", ahead=0)  # a half day in summer
@example(at=datetime(2026, 3, 27, 20, tzinfo=UTC), ticker="SPY", ahead=0)
async def test_daily_bars_are_told_once_they_are_over(at: datetime, ticker: str, ahead: int) -> None:
    """Also when more is asked for than the clock allows; and then at once."""
    profile = MARKET[ticker][0]
    calendar = calendar_for(profile.asset_class, profile.exchange)
    days = [calendar.trading_day(date.fromisoformat(text)) for text in recorded("daily", ticker, "date")]
    over = [day for day in days if day is not None and day.close <= at]
    told = await history(ticker, at, until=at + timedelta(days=ahead))
    assert [(bar.open_time, bar.close_time) for bar in told.bars] == [(day.open, day.close) for day in over]
    assert all(bar.adjusted_to == day.day and bar.is_final for bar, day in zip(told.bars, over, strict=True))


@settings(max_examples=25)
@given(at=st.datetimes(datetime(2026, 3, 25, 13), datetime(2026, 3, 28), timezones=st.just(UTC)))  # noqa: DTZ001 - likewise
@example(at=datetime(2026, 3, 25, 13, 31, tzinfo=UTC))
@example(at=datetime(2026, 3, 25, 13, 31, tzinfo=UTC) - MICROSECOND)
async def test_minutes_are_told_once_they_are_over(at: datetime) -> None:
    opens = [datetime.fromisoformat(text) for text in recorded("minute", "AAPL", "time")]
    told = await history("AAPL", at, Interval.ONE_MINUTE, until=at + timedelta(days=1))
    minute = timedelta(minutes=1)
    assert [bar.open_time for bar in told.bars] == [instant for instant in opens if instant + minute <= at]
    assert all(bar.close_time - bar.open_time == minute for bar in told.bars)


async def test_what_is_asked_for_bounds_what_is_told() -> None:
    told = await history("AAPL", EVENING, start=date(2026, 3, 23), until=datetime(2026, 3, 26, 12, tzinfo=UTC))
    assert [bar.day for bar in told.bars] == [date(2026, 3, 23), date(2026, 3, 24), date(2026, 3, 25)]
    minutes = await history("AAPL", EVENING, Interval.ONE_MINUTE, start=date(2026, 3, 27))
    assert {bar.day for bar in minutes.bars} == {date(2026, 3, 27)}


async def test_a_split_is_known_from_the_opening_of_its_day() -> None:
    opening = datetime(2025, 11, 17, 14, 30, tzinfo=UTC)
    before = await history("NFLX", opening - MICROSECOND)
    after = await history("NFLX", opening)
    assert [action.kind for action in before.actions if action.kind is ActionKind.SPLIT] == []
    (split,) = [action for action in after.actions if action.kind is ActionKind.SPLIT]
    assert (split.ex_date, split.value, split.source) == (date(2025, 11, 17), Decimal(10), "sample")
    assert after.bars == before.bars, "its bar is not over yet"
    assert after.bars[-1].close > 1000, "prices are as traded on their day"


async def test_the_whole_bundled_market_can_be_read(caplog: pytest.LogCaptureFixture) -> None:
    assert {profile.asset_class for profile, _ in MARKET.values()} >= {
        AssetClass.STOCK,
        AssetClass.ETF,
        AssetClass.CRYPTO,
        AssetClass.FOREX,
    }
    for ticker in MARKET:
        told = await history(ticker, EVENING + timedelta(days=2))
        assert len(told.bars) == len(recorded("daily", ticker, "date")), ticker
        assert told.bars == tuple(sorted(told.bars, key=lambda bar: bar.open_time))
    assert caplog.records == []


# ── profiles and search


async def test_a_profile_is_what_is_listed() -> None:
    provider = SampleProvider(BUNDLED, ManualClock())
    assert await provider.profile("SPY") == Profile("SPY", "SPDR S&P 500 ETF Trust", AssetClass.ETF, "ARCX", "USD")
    assert await provider.profile("EUR/USD") == Profile("EUR/USD", "Euro / US Dollar", AssetClass.FOREX, None, "USD")
    with pytest.raises(SymbolNotFound, match="sample"):
        await provider.profile("ZZZZ")


@pytest.mark.parametrize(
    ("text", "first", "expected"),
    [
        ("aapl", 5, ["AAPL"]),
        (" eurusd ", 1, ["EUR/USD"]),
        ("btcusd", 1, ["BTC-USD"]),
        ("am", 2, ["AMD", "AMZN"]),
        ("apple", 5, ["AAPL"]),
        ("MICRO", 5, ["AMD", "MSFT"]),
        ("ba", 1, ["BA"]),
        ("tesla", 0, []),
        ("no such thing", 5, []),
        ("", 5, []),
        ("   ", 5, []),
    ],
)
async def test_search(text: str, first: int, expected: list[str]) -> None:
    found = await SampleProvider(BUNDLED, ManualClock()).search(text, first)
    assert [profile.ticker for profile in found] == expected


async def test_search_ranks_the_exact_then_the_beginning_then_the_words_then_the_middle(tmp_path: Path) -> None:
    folder = market(
        tmp_path,
        "XAB,Other,STOCK,XNAS,USD\nZZ,Xab of words,STOCK,XNAS,USD\nYY,The Abacus,STOCK,XNAS,USD\n"
        "ABC,Other,STOCK,XNAS,USD\nAB,Other,STOCK,XNAS,USD\n",
    )
    found = await SampleProvider(folder, ManualClock()).search("ab", 10)
    assert [profile.ticker for profile in found] == ["AB", "ABC", "YY", "XAB", "ZZ"]


# ── folders of other people


def market(folder: Path, symbols: str, daily: Mapping[str, str] | None = None, minute: Mapping[str, str] | None = None) -> Path:
    """Writes a sample market: rows without their heads."""
    (folder / "symbols.csv").write_text(SYMBOLS + symbols, encoding="utf-8")
    for kind, head, files in (("daily", DAILY, daily), ("minute", MINUTE, minute)):
        (folder / kind).mkdir(exist_ok=True)
        for name, rows in (files or {}).items():
            (folder / kind / f"{name}.csv").write_text(head + rows, encoding="utf-8")
    return folder


def apple(folder: Path, *rows: str) -> Path:
    return market(folder, "AAPL,Apple,STOCK,XNAS,USD\n", {"AAPL": "".join(f"{row}\n" for row in rows)})


GOOD = "2026-03-25,10,12,9,11,11,1000,0,1"


@pytest.mark.parametrize(
    "flawed",
    [
        "2026-03-24,10,12,9,,11,1000,0,1",
        "2026-03-24,,,,,,,,",
        "2026-03-24,10,12,9,NaN,11,1000,0,1",
        "2026-03-24,10,12,9,nan,11,1000,0,1",
        "2026-03-24,10,Infinity,9,11,11,1000,0,1",
        "2026-03-24,10,9,12,11,11,1000,0,1",
        "2026-03-24,10,12,-9,11,11,1000,0,1",
        "2026-03-24,ten,12,9,11,11,1000,0,1",
        "2026-03-24,10,12,9",
        "2026-03-24",
    ],
)
async def test_a_row_that_cannot_be_is_left_out_and_logged(
    tmp_path: Path, flawed: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = await history("AAPL", EVENING, folder=apple(tmp_path, flawed, GOOD))
    assert [bar.close for bar in told.bars] == [11]
    assert told.refused == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "2026-03-24" in caplog.text


@pytest.mark.parametrize(
    ("dividend", "split", "expected"),
    [
        ("", "", []),
        ("0", "1", []),
        ("0.0", "0.0", []),
        ("nan", "nan", []),
        ("x", "-2", []),
        ("0", "Infinity", []),
        ("0.25", "0.1", [(ActionKind.SPLIT, Decimal("0.1")), (ActionKind.DIVIDEND, Decimal("0.25"))]),
        ("1", "1", [(ActionKind.DIVIDEND, Decimal(1))]),
    ],
)
async def test_actions_that_say_nothing_or_cannot_be(
    tmp_path: Path, dividend: str, split: str, expected: list[tuple[ActionKind, Decimal]]
) -> None:
    row = f"2026-03-25,10,12,9,11,11,1000,{dividend},{split}"
    told = await history("AAPL", EVENING, folder=apple(tmp_path, row))
    assert len(told.bars) == 1
    assert [(action.kind, action.value) for action in told.actions] == expected


async def test_a_byte_order_mark_and_columns_that_nobody_knows(tmp_path: Path) -> None:
    folder = apple(tmp_path)
    (folder / "symbols.csv").write_text(f"\ufeffcountry,{SYMBOLS}US,AAPL,Apple,STOCK,XNAS,USD\n", encoding="utf-8")
    (folder / "daily" / "AAPL.csv").write_text(
        f"\ufeff{DAILY.strip()},vwap\r\n{GOOD},10.5\r\n2026-03-26,1,2,1,2,2,5,0,1,9,surplus\r\n", encoding="utf-8"
    )
    told = await history("AAPL", EVENING, folder=folder)
    assert [bar.close for bar in told.bars] == [11, 2]


async def test_names_of_files(tmp_path: Path) -> None:
    symbols = "EUR/USD,Euro,FOREX,,USD\n^GSPC,S&P 500,INDEX,XNYS,USD\nBRK-B,Berkshire,STOCK,XNYS,USD\n"
    folder = market(tmp_path, symbols, dict.fromkeys(("EURUSD", "^GSPC", "BRK-B"), f"{GOOD}\n"))
    for ticker in ("EUR/USD", "^GSPC", "BRK-B"):
        (bar,) = (await history(ticker, EVENING, folder=folder)).bars
        assert bar.ticker == ticker


async def test_a_ticker_is_known_by_its_canonical_name(tmp_path: Path) -> None:
    folder = market(tmp_path, "brk.b,Berkshire,STOCK,XNYS,USD\n", {"brk.b": f"{GOOD}\n"})
    assert len((await history("BRK-B", EVENING, folder=folder)).bars) == 1


async def test_an_exchange_that_nobody_knows_keeps_the_hours_of_new_york(tmp_path: Path) -> None:
    folder = market(tmp_path, "AAPL,Apple,STOCK,XXXX,USD\n", {"AAPL": f"{GOOD}\n"})
    (bar,) = (await history("AAPL", EVENING, folder=folder)).bars
    assert bar.close_time == datetime(2026, 3, 25, 20, tzinfo=UTC)


async def test_a_recorded_day_on_which_nothing_trades_is_a_whole_day(tmp_path: Path) -> None:
    folder = apple(tmp_path, "2026-03-22,10,12,9,11,11,1000,0,1")
    (bar,) = (await history("AAPL", EVENING, folder=folder)).bars
    assert (bar.open_time, bar.close_time) == (datetime(2026, 3, 22, tzinfo=UTC), datetime(2026, 3, 23, tzinfo=UTC))


async def test_lines_that_list_no_symbol_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = market(
        tmp_path,
        ",Nameless,STOCK,XNAS,USD\nA$$B,Signs,STOCK,XNAS,USD\nAAPL,Apple,TREE,XNAS,USD\nMSFT,Microsoft,STOCK,XNAS,\n"
        "QQQ\nSPY,,ETF,,USD\n",
    )
    listed = [profile for profile, _ in listing(folder).values()]
    assert listed == [Profile("SPY", None, AssetClass.ETF, None, "USD")]
    assert len(caplog.records) == 5


async def test_a_listed_symbol_without_a_file_has_no_bars(tmp_path: Path) -> None:
    folder = market(tmp_path, "AAPL,Apple,STOCK,XNAS,USD\n")
    for interval in (Interval.ONE_DAY, Interval.ONE_MINUTE):
        assert await history("AAPL", EVENING, interval, folder=folder) == History(())


async def test_a_minute_that_cannot_be_is_left_out(tmp_path: Path) -> None:
    rows = "2026-03-25T13:30:00Z,1,2,1,2,5\n2026-03-25T13:31:00Z,1,2,1,,5\n2026-03-25T15:32:00+02:00,1,2,1,2,5\n"
    folder = market(tmp_path, "AAPL,Apple,STOCK,XNAS,USD\n", minute={"AAPL": rows})
    told = await history("AAPL", EVENING, Interval.ONE_MINUTE, folder=folder)
    assert [f"{bar.open_time:%H:%M}" for bar in told.bars] == ["13:30", "13:32"]
    assert told.refused == 1


# ── what cannot be read at all


@pytest.mark.parametrize(
    "row",
    [
        "yesterday,10,12,9,11,11,1000,0,1",
        f'2026-03-24,10,12,9,11,11,1000,0,"{"x" * 200_000}',
    ],
)
async def test_a_file_that_cannot_be_read_is_an_unavailable_provider(tmp_path: Path, row: str) -> None:
    with pytest.raises(ProviderUnavailable):
        await history("AAPL", EVENING, folder=apple(tmp_path, GOOD, row))


async def test_a_file_without_its_columns_is_an_unavailable_provider(tmp_path: Path) -> None:
    folder = apple(tmp_path)
    (folder / "daily" / "AAPL.csv").write_text("day,price\n2026-03-25,11\n", encoding="utf-8")
    with pytest.raises(ProviderUnavailable):
        await history("AAPL", EVENING, folder=folder)


async def test_a_file_that_is_no_text_is_an_unavailable_provider(tmp_path: Path) -> None:
    folder = apple(tmp_path)
    (folder / "daily" / "AAPL.csv").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ProviderUnavailable):
        await history("AAPL", EVENING, folder=folder)


async def test_a_folder_that_vanishes_tells_nobody_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "market"
    folder.mkdir()
    apple(folder)
    provider = SampleProvider(folder, ManualClock())
    profile = await provider.profile("AAPL")
    shutil.rmtree(folder)
    for ask in (
        provider.profile("AAPL"),
        provider.search("AAPL", 5),
        provider.history(Symbol.tracked(profile, None, None), Interval.ONE_DAY, FIRST_DAY, EVENING),
    ):
        with pytest.raises(ProviderUnavailable) as refused:
            await ask
        assert str(tmp_path) not in refused.value.message
        assert "symbols.csv" not in refused.value.message
