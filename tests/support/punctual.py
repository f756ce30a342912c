"""A provider that has every bar that the calendars expect, but for those that a test leaves out."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

from domain.bars import Bar, History, Interval
from domain.calendars import calendar_for
from domain.hours import Hours
from domain.ports import Reach
from domain.symbols import Profile, Symbol
from domain.tickers import AssetClass
from tests.support.provider import StubProvider


class PunctualProvider(StubProvider):
    """`has` says of a bar, by its interval and when it opens, whether it is there; `reaches` what may be asked for at once;
    `requests` what was."""

    asset_classes = frozenset(AssetClass)

    def __init__(self, *profiles: Profile) -> None:
        super().__init__()
        self.profiles = {profile.ticker: profile for profile in profiles}
        self.has: Callable[[str, Interval, datetime], bool] = lambda *_: True
        self.reaches: dict[Interval, Reach] = {Interval.ONE_DAY: Reach(), Interval.ONE_MINUTE: Reach()}
        self.requests: list[tuple[str, Interval, date, datetime]] = []

    def reach(self, asset_class: AssetClass, interval: Interval) -> Reach | None:
        return self.reaches.get(interval)

    async def history(self, symbol: Symbol, interval: Interval, start: date, until: datetime) -> History:
        self.requests.append((symbol.ticker, interval, start, until))
        await self._pause(symbol.ticker)
        self._expect(symbol.ticker)
        begins = int(datetime.combine(start, datetime.min.time(), UTC).timestamp())
        hours = Hours(calendar_for(symbol.asset_class, symbol.exchange))
        rows = hours.expected(interval, begins, int(until.timestamp()))
        bars = (self._bar(symbol.ticker, interval, int(opens), int(closes)) for opens, closes in rows)
        return History(tuple(bar for bar in bars if self.has(bar.ticker, interval, bar.open_time)))

    def _bar(self, ticker: str, interval: Interval, opens: int, closes: int) -> Bar:
        price = Decimal(100 + opens // 60 % 7)
        return Bar(
            ticker=ticker,
            interval=interval,
            open_time=datetime.fromtimestamp(opens, UTC),
            close_time=datetime.fromtimestamp(closes, UTC),
            open=price,
            high=price + 1,
            low=price - 1,
            close=price,
            volume=Decimal(1000),
            adjusted_to=datetime.fromtimestamp(closes - 1, UTC).date(),
            source=self.name,
        )
