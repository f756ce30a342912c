"""What is new in the lanes, as bars: to be stored, and to be told."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from domain.aggregation import Part, Window, bar_of
from domain.bars import Bar, Interval
from domain.hours import MINUTE
from domain.lanes import Lanes
from domain.services.loading import Loaded
from domain.services.telling import Pair
from domain.session import TradingSession


class Record:
    """`is_final`: the day is over, as a replay's is; that of a live session is not."""

    def __init__(self, lanes: Lanes, loaded: Mapping[str, Loaded], *, is_final: bool) -> None:
        self._lanes = lanes
        self._loaded = loaded
        self._is_final = is_final

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
        opens, *values = row
        return self._window(ticker, Window(Interval.ONE_MINUTE, opens, opens + MINUTE, *values))

    def _window(self, ticker: str, window: Window) -> Bar:
        day = datetime.fromtimestamp(window.opens, UTC).date()
        return bar_of(window, ticker, day, self._loaded[ticker].source, is_final=self._is_final)
