"""Which trading days a backfill covers: those that somebody names, or the usual ones back from today."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from domain.backfill import Wanted
from domain.bars import Interval
from domain.calendars import OutOfCalendar, TradingCalendar
from domain.errors import InvalidRange

EARLIEST = date(1990, 1, 2)
"""Before it no exchange's calendar knows a trading day."""
LONGEST = {Interval.ONE_DAY: ("daily bars", 3653), Interval.ONE_MINUTE: ("minutes", 400)}
"""Calendar days that one backfill may cover: ten years of daily bars, and a year of minutes with some to spare."""


@dataclass(frozen=True, slots=True)
class Windows:
    """How many calendar days back from today history is kept filled, of daily bars and of minutes; 0: not at all."""

    daily: int = 730
    minute: int = 7

    def usual(self, today: date) -> tuple[Wanted, ...]:
        each = {Interval.ONE_DAY: self.daily, Interval.ONE_MINUTE: self.minute}
        return tuple(Wanted(interval, today - timedelta(days=days), today) for interval, days in each.items() if days)

    def chosen(self, interval: Interval, first: date | None, last: date | None, today: date) -> Wanted:
        """The days that are named, up to today and as many back as usual where they are not. Bars of less than a day are made
        of minutes: whoever asks for them asks for minutes."""
        source, days = (interval, self.daily) if interval is Interval.ONE_DAY else (Interval.ONE_MINUTE, self.minute)
        last = last if last is not None else today
        usual = date.fromordinal(max(1, last.toordinal() - days))
        return Wanted(source, first if first is not None else usual, last)


def today_on(calendar: TradingCalendar, now: datetime) -> date:
    """The UTC date, or the trading day that has begun on the eve of it."""
    ahead = calendar.next_to_close(now)
    has_begun = ahead is not None and ahead.open - ahead.eve <= now
    return max(ahead.day, now.date()) if ahead is not None and has_begun else now.date()


def check(wanted: Wanted, ticker: str, calendar: TradingCalendar, today: date) -> None:
    """Raises InvalidRange for days that cannot be backfilled."""
    first, last = wanted.first, wanted.last
    what, longest = LONGEST[wanted.interval]
    if last > today:
        raise InvalidRange(f"{last} has not begun for {ticker}; ask for days up to {today}.")
    if first > last:
        raise InvalidRange(f"The range begins on {first}, after its end on {last}; it must begin first.")
    if not _reaches_back(calendar, first):
        raise InvalidRange(f"The calendar of {ticker} does not know {first}; ask for later days, no earlier than {EARLIEST}.")
    if (days := (last - first).days + 1) > longest:
        raise InvalidRange(f"{first} to {last} is {days:,} days of {what}; ask for at most {longest:,} at a time.")


def _reaches_back(calendar: TradingCalendar, day: date) -> bool:
    try:
        calendar.trading_day(day)
    except OutOfCalendar:
        return False
    return day >= EARLIEST
