"""What is new in the lanes, as bars: to be stored, and to be told."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.aggregation import Part, Window
from domain.bars import Bar, Interval
from domain.lanes import Lanes
from domain.services.loading import Loaded
from domain.services.telling import Pair
from domain.session import TradingSession

MINUTE = timedelta(minutes=1)


class Record:
    def __init__(self, lanes: Lanes, loaded: Mapping[str, Loaded]) -> None:
        self._lanes = lanes
        self._loaded = loaded

    def minutes(self) -> list[Bar]:
        """Those that are not stored yet, or otherwise."""
        return [self._minute(lane.ticker, row) for lane in self._lanes for row in lane.to_store()]

    def windows(self) -> list[Bar]:
        """The longer bars that are complete now, or mended."""
        return [self._window(ticker, window) for ticker, window in self._lanes.windows]

    def to_tell(self, before: TradingSession, after: TradingSession, followed: Collection[Pair]) -> list[Bar]:
        """Of what is followed, in order: what was shown before and is after."""
        known = {symbol.ticker for symbol in before.symbols if symbol.is_shown}
        members = after.symbols if after.is_active else ()
        shown = {symbol.ticker: symbol for symbol in members if symbol.is_shown and symbol.ticker in known}
        bars = [
            self._minute(lane.ticker, row)
            for lane in self._lanes
            if lane.ticker in shown and (lane.ticker, Interval.ONE_MINUTE) in followed
            for row in lane.processed_anew()
        ]
        bars += [
            self._window(ticker, window)
            for ticker, window in self._lanes.windows
            if ticker in shown and (ticker, window.interval) in followed
        ]
        told = [bar for bar in bars if after.tells(shown[bar.ticker], bar.close_time)]
        return sorted(told, key=lambda bar: (bar.close_time, bar.ticker, bar.open_time))

    def _minute(self, ticker: str, row: Part) -> Bar:
        opens = datetime.fromtimestamp(row[0], UTC)
        return self._bar(ticker, Interval.ONE_MINUTE, opens, opens + MINUTE, *row[1:])

    def _window(self, ticker: str, window: Window) -> Bar:
        opens, closes = (datetime.fromtimestamp(instant, UTC) for instant in window[1:3])
        return self._bar(ticker, window.interval, opens, closes, *window[3:])

    def _bar(
        self,
        ticker: str,
        interval: Interval,
        opens: datetime,
        closes: datetime,
        opened: Decimal,
        high: Decimal,
        low: Decimal,
        close: Decimal,
        volume: Decimal,
    ) -> Bar:
        source = self._loaded[ticker].source
        return Bar(ticker, interval, opens, closes, opened, high, low, close, volume, opens.date(), source)
