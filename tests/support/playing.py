"""A session played by hand: its lanes are brought forward as its leader does, every epoch is kept, and every bar that is told.

Nothing is stored and nothing waits; times are New York's on one day, or epoch seconds.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from domain.aggregation import Hours, Minute, Window
from domain.calendars import calendar_for
from domain.lanes import MINUTE, Arrival, Lane, Lanes
from domain.session import (
    Epoch,
    GatingPolicy,
    Moved,
    SessionMode,
    SessionSymbol,
    SessionSymbolPhase,
    StartSession,
    StreamingRules,
    TradingSession,
)
from domain.tickers import AssetClass

DAY = date(2026, 3, 25)
NEW_YORK = Hours(calendar_for(AssetClass.STOCK, "XNYS"))
AT_ONCE = 20_000
"""Bars of the frontier between two commits, as the leader has it."""


def at(wall: str, day: date = DAY) -> int:
    """Of a New York clock, "12:00" or "12:00:05"."""
    hour, minute, second = ([int(part) for part in wall.split(":")] + [0])[:3]
    return int(datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=ZoneInfo("America/New_York")).timestamp())


def wall(instant: float) -> str:
    return f"{datetime.fromtimestamp(instant, ZoneInfo('America/New_York')):%H:%M:%S}"


def minute(opens: int, price: int = 100) -> Minute:
    """No two of a day alike."""
    low, volume = Decimal(price) + Decimal(opens // MINUTE % 977) / 100, Decimal(opens // MINUTE % 89 + 1)
    return Minute(opens, low + 1, low + 3, low, low + 2, volume)


def minutes(first: str, last: str, price: int = 100) -> list[Minute]:
    """Those that open from then on, and close by then."""
    return [minute(opens, price) for opens in range(at(first), at(last), MINUTE)]


class Told(NamedTuple):
    """A bar, and the session's time when it was."""

    ticker: str
    closes: int
    clock: float


class Playing:
    """`told` are the one-minute bars that whoever follows has got, `processed` all of them, and `exposed` those of them that
    were further behind than their symbol may be while the session was active. `windows` are the longer ones, `stored` the
    minutes."""

    def __init__(
        self,
        clock: str | int,
        symbols: Mapping[str, Sequence[Minute]],
        *,
        is_live: bool = False,
        gating: GatingPolicy = GatingPolicy.SESSION,
        threshold: int = 60,
        every: int = 10,
        quarantine_after: int | None = None,
        hours: Hours = NEW_YORK,
    ) -> None:
        start = at(clock) if isinstance(clock, str) else clock
        self.hours = hours
        self.rules = StreamingRules(threshold, every)
        self.lanes = Lanes(start, is_live=is_live, quarantine_after=quarantine_after)
        self.epochs: list[Epoch] = []
        self.told: list[Told] = []
        self.windows: defaultdict[str, list[Window]] = defaultdict(list)
        self.processed: list[Told] = []
        self.exposed: list[Told] = []
        self.stored: defaultdict[str, dict[int, Minute]] = defaultdict(dict)
        mode = SessionMode.LIVE if is_live else SessionMode.REPLAY
        asked = StartSession(mode, tuple(symbols), None if is_live else DAY, gating=gating)
        self.session = TradingSession(_instant(start))
        self._decided(self.session.started(asked, 0, self.rules, _instant(start), _instant(start)))
        for ticker, rows in symbols.items():
            self._enter(ticker, rows)
        self.commit()

    # ── commands

    def add(self, ticker: str, rows: Iterable[Minute], *, threshold: int | None = None, priority: int | None = None) -> Lane:
        """And it is loaded at once."""
        self._decided(self.session.joined(ticker, self.session.version, threshold, priority, _instant(self.lanes.clock)))
        lane = self._enter(ticker, rows)
        self.commit()
        return lane

    def remove(self, ticker: str) -> None:
        """Nothing of it is kept."""
        self._decided(self.session.left(ticker, self.session.version))
        self.lanes.leave(ticker)
        self.stored.pop(ticker, None)
        self.windows.pop(ticker, None)

    def taken_over(self, rows: Mapping[str, Sequence[Minute]]) -> None:
        """By another process, that has loaded all."""
        self._decided(self.session.led())
        self.lanes = Lanes(
            self.session.clock.timestamp(), is_live=self.lanes.is_live, quarantine_after=self.lanes.quarantine_after
        )
        for ticker, held in rows.items():
            self._enter(ticker, held)
        self.commit()

    def rule(self, threshold: int, every: int) -> None:
        self.rules = StreamingRules(threshold, every)
        self.session = self.session.ruled(self.rules)
        for symbol in self.session.symbols:
            if (lane := self.lanes.get(symbol.ticker)) is not None:
                lane.rule(self.session.threshold_of(symbol), self.session.checks_of(symbol))

    def _enter(self, ticker: str, rows: Iterable[Minute]) -> Lane:
        symbol = self.symbol(ticker)
        threshold, every = self.session.threshold_of(symbol), self.session.checks_of(symbol)
        watermark = int(symbol.watermark.timestamp()) if symbol.watermark is not None else None
        lane = self.lanes.enter(ticker, self.hours, rows, threshold, every, watermark)
        self.stored[ticker] = {row[0]: Minute(*row) for row in lane.rows}
        return lane

    # ── what its leader does

    def forward(self, until: str | float, limit: int = AT_ONCE) -> None:
        """The frontier, to a time."""
        target = at(until) if isinstance(until, str) else until
        is_there = False
        while not is_there:
            is_there = not self.lanes.advance(target, limit) and self.lanes.clock >= target
            if self.lanes.clock >= self.lanes.next_sweep():
                self.lanes.sweep()
            self.commit()

    def by_minutes(self, until: str) -> None:
        """The same, with a commit for each minute."""
        for clock in range(int(self.lanes.clock) + MINUTE, at(until) + 1, MINUTE):
            self.forward(clock)

    def catch_up(self, bars: int) -> None:
        """So many bars of those that are not at the frontier, with a commit wherever the leader has one."""
        before = self._bars_processed()
        while self.lanes.is_catching_up and (left := bars - (self._bars_processed() - before)) > 0:
            self.lanes.catch_up(left)
            self.commit()

    def _bars_processed(self) -> int:
        return sum(lane.at for lane in self.lanes)

    def arrive(self, ticker: str, *bars: Minute, clock: float | None = None) -> list[Arrival]:
        """A sign of life, too."""
        self.lanes.heard = self.lanes.clock if clock is None else clock
        return [self.lanes.arrive(self.lane(ticker), bar) for bar in bars]

    def live(self, feed: Iterable[tuple[float, str, Minute]], until: str, every: int = 10) -> None:
        """A feed by the instants of arrival, in order, up to a time; looked at just before each, and every so many seconds."""
        arrivals, last = sorted(feed, key=lambda one: one[0]), at(until)
        instants = {*range(int(self.lanes.clock), last + 1, every), last}
        instants |= {int(instant) - early for instant, _, _ in arrivals for early in (0, 1)}
        coming = iter([*arrivals, (float("inf"), "", minute(0))])
        instant, ticker, bar = next(coming)
        for clock in sorted(one for one in instants if self.lanes.clock <= one <= last):
            while instant <= clock:
                if self.lanes.get(ticker) is not None:
                    self.arrive(ticker, bar, clock=clock)
                instant, ticker, bar = next(coming)
            self.forward(clock)

    def commit(self) -> None:
        """What the leader stores and tells."""
        before = self.session
        self._decided(self.session.advanced(_instant(self.lanes.clock), self._tracked(before)))
        clock, shown = self.lanes.clock, self._shown(before)
        news = [Told(lane.ticker, row[0] + MINUTE, clock) for lane in self.lanes for row in lane.processed_anew()]
        news.sort(key=lambda bar: (bar.closes, bar.ticker))
        self.processed += news
        if before.is_active and self.session.is_active:
            self.exposed += [bar for bar in news if clock - bar.closes > self.threshold_of(bar.ticker)]
        self.told += [bar for bar in news if bar.ticker in shown and bar.closes > shown[bar.ticker]]
        for lane in self.lanes:
            self.stored[lane.ticker] |= {row[0]: Minute(*row) for row in lane.to_store()}
        for ticker, window in self.lanes.windows:
            self.windows[ticker].append(window)
        self.lanes.settle()

    def _tracked(self, session: TradingSession) -> dict[str, SessionSymbol]:
        return {
            symbol.ticker: lane.told(symbol, symbol.added_at, self.lanes.clock)
            for symbol in session.symbols
            if (lane := self.lanes.get(symbol.ticker)) is not None
        }

    def _shown(self, before: TradingSession) -> dict[str, float]:
        """Those shown before and now, and since when."""
        known = {symbol.ticker for symbol in before.symbols if symbol.is_shown}
        return {
            symbol.ticker: symbol.shown_after.timestamp() if symbol.shown_after is not None else 0
            for symbol in self.session.symbols
            if self.session.is_active and symbol.is_shown and symbol.ticker in known
        }

    def _decided(self, moved: Moved) -> None:
        self.session, epochs = moved
        self.epochs += epochs

    # ── how it stands

    def symbol(self, ticker: str) -> SessionSymbol:
        symbol = self.session.get(ticker)
        assert symbol is not None
        return symbol

    def lane(self, ticker: str) -> Lane:
        lane = self.lanes.get(ticker)
        assert lane is not None
        return lane

    def phase(self, ticker: str) -> SessionSymbolPhase:
        return self.lane(ticker).phase

    def lag(self, ticker: str) -> float | None:
        return self.session.lag_of(self.symbol(ticker))

    def threshold_of(self, ticker: str) -> int:
        return self.session.threshold_of(self.symbol(ticker))

    @property
    def is_active(self) -> bool:
        return self.session.is_active

    @property
    def stale(self) -> list[Told]:
        """Bars told that were further behind than their symbol may be, or that it worked through on its way to the others."""
        return [bar for bar in self.told if bar.clock - bar.closes > self.threshold_of(bar.ticker)]

    def transitions(self) -> list[tuple[str, bool]]:
        """When it became active, and when it no longer was."""
        states = [(wall(epoch.session.clock.timestamp()), epoch.session.is_active) for epoch in self.epochs]
        return [new for old, new in zip([("", False), *states], states, strict=False) if old[1] != new[1]]

    def causes(self) -> list[str]:
        return [epoch.cause for epoch in self.epochs]


def _instant(clock: float) -> datetime:
    return datetime.fromtimestamp(clock, UTC)
