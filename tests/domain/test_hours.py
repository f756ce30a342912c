"""What a calendar expects, counted against published facts and against exchange_calendars' own minutes."""

import warnings
from datetime import UTC, date, datetime, timedelta

import exchange_calendars
import pytest

from domain.bars import Interval
from domain.calendars import calendar_for
from domain.hours import LENGTHS, Hours
from domain.tickers import AssetClass


def hours(asset_class: AssetClass = AssetClass.STOCK, exchange: str | None = "XNAS") -> Hours:
    return Hours(calendar_for(asset_class, exchange))


def seconds(day: date, hour: int = 0) -> int:
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=UTC).timestamp())


def expected(of: Hours, interval: Interval, first: date, last: date) -> list[tuple[datetime, datetime]]:
    rows = of.expected(interval, seconds(first), seconds(last + timedelta(days=1)))
    return [(datetime.fromtimestamp(opens, UTC), datetime.fromtimestamp(closes, UTC)) for opens, closes in rows.tolist()]


@pytest.mark.parametrize(("year", "days", "minutes"), [(2024, 252, 97_740), (2025, 250, 96_960)])
def test_a_year_of_new_york(year: int, days: int, minutes: int) -> None:
    whole = date(year, 1, 1), date(year, 12, 31)
    assert len(expected(hours(), Interval.ONE_DAY, *whole)) == days
    assert len(expected(hours(), Interval.ONE_MINUTE, *whole)) == minutes


@pytest.mark.parametrize(
    ("day", "minutes"),
    [
        (date(2024, 11, 29), 210),
        (date(2024, 7, 3), 210),
        (date(2025, 1, 9), 0),
        (date(2025, 1, 10), 390),
        (date(2024, 3, 8), 390),
        (date(2024, 3, 11), 390),
        (date(2024, 11, 1), 390),
        (date(2024, 11, 4), 390),
        (date(2024, 11, 2), 0),
    ],
)
def test_days_of_new_york(day: date, minutes: int) -> None:
    assert len(expected(hours(), Interval.ONE_MINUTE, day, day)) == minutes


@pytest.mark.parametrize(("day", "opens"), [(date(2024, 3, 8), 14), (date(2024, 3, 11), 13), (date(2024, 11, 4), 14)])
def test_new_york_opens_an_hour_earlier_in_summer(day: date, opens: int) -> None:
    (first, _), *_ = expected(hours(), Interval.ONE_MINUTE, day, day)
    assert first == datetime(day.year, day.month, day.day, opens, 30, tzinfo=UTC)


@pytest.mark.parametrize("mic", ["XNYS", "XTKS", "XHKG", "XLON", "XASX", "XSHG"])
def test_minutes_are_those_of_the_library(mic: str) -> None:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # its own use of pandas
        library = exchange_calendars.get_calendar(mic, start="2024-01-02", end="2024-12-30", side="left")
    ours = expected(hours(AssetClass.STOCK, mic), Interval.ONE_MINUTE, date(2024, 2, 1), date(2024, 3, 31))
    theirs = library.minutes
    within = theirs[(theirs >= "2024-02-01") & (theirs < "2024-04-01")]
    assert [opens for opens, _ in ours] == within.to_pydatetime().tolist()


def test_tokyo_has_lunch() -> None:
    opens = [at for at, _ in expected(hours(AssetClass.STOCK, "XTKS"), Interval.ONE_MINUTE, date(2024, 6, 3), date(2024, 6, 3))]
    assert len(opens) == 300
    assert not [at for at in opens if datetime(2024, 6, 3, 2, 30, tzinfo=UTC) <= at < datetime(2024, 6, 3, 3, 30, tzinfo=UTC)]


def test_crypto_trades_at_the_weekend() -> None:
    crypto = hours(AssetClass.CRYPTO, None)
    assert len(expected(crypto, Interval.ONE_MINUTE, date(2024, 6, 1), date(2024, 6, 2))) == 2 * 1440
    assert len(expected(crypto, Interval.ONE_DAY, date(2024, 6, 1), date(2024, 6, 2))) == 2


def test_forex_begins_on_sunday_evening() -> None:
    forex = hours(AssetClass.FOREX, None)
    opens = [at for at, _ in expected(forex, Interval.ONE_MINUTE, date(2024, 6, 1), date(2024, 6, 3))]
    assert opens[0] == datetime(2024, 6, 2, 22, tzinfo=UTC)
    assert len(opens) == 26 * 60
    assert [at.day for at, _ in expected(forex, Interval.ONE_DAY, date(2024, 6, 1), date(2024, 6, 3))] == [3]


@pytest.mark.parametrize("interval", LENGTHS)
def test_longer_bars_cover_the_minutes_exactly(interval: Interval) -> None:
    of = hours(AssetClass.STOCK, "XTKS")
    days = date(2024, 6, 3), date(2024, 6, 7)
    opens = [at for at, _ in expected(of, Interval.ONE_MINUTE, *days)]
    bars = expected(of, interval, *days)
    covered = [at for begins, ends in bars for at in opens if begins <= at < ends]
    assert covered == opens
    assert all(begins < ends for begins, ends in bars)


def test_only_what_opens_and_closes_within() -> None:
    start, until = seconds(date(2024, 6, 3), 14), seconds(date(2024, 6, 3), 16)
    rows = hours().expected(Interval.FOUR_HOURS, start, until)
    assert rows.tolist() == []
    minutes = hours().expected(Interval.ONE_MINUTE, start, until)
    assert (minutes[0, 0], minutes[-1, 1], len(minutes)) == (start, until, 120)
    assert hours().expected(Interval.ONE_MINUTE, until, start).tolist() == []
