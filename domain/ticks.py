"""Ticks, the prices of a symbol as they are traded, and the minute bars that they come to.

A minute is over when a tick of a later minute of its symbol has come, or when the clock is past its end by a little. It is told
then, and again, whole, whenever a late tick changes it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from domain.bars import Bar, Interval

GRACE_SECONDS = 2
"""How long a minute that has ended waits for ticks that are still on their way."""
KEPT_MINUTES = 60
"""How many minutes of a symbol are kept for late ticks: one that is later is too late. What has not been told is kept until it
is."""

_MINUTE = timedelta(minutes=1)
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Tick:
    """`at` is the provider's instant; `day_volume` what had been traded that day by then, None when that is not said."""

    ticker: str
    at: datetime
    price: Decimal
    day_volume: Decimal | None = None

    def is_before(self, other: "Tick") -> bool:
        """At one instant the volume tells; where that does not either, who came first was first."""
        return (self.at, self.day_volume or _NOTHING) < (other.at, other.day_volume or _NOTHING)


@dataclass(frozen=True, slots=True)
class Minute:
    """What the ticks of one minute of a symbol come to, in whatever order they come.

    `counted_first` and `counted_last` are of the ticks that say the day's volume. A minute that only `stood` is known by a
    price that was traded before anybody listened.
    """

    open_time: datetime
    first: Tick
    last: Tick
    high: Decimal
    low: Decimal
    counted_first: Tick | None
    counted_last: Tick | None
    stood: bool

    @classmethod
    def of(cls, tick: Tick, *, stood: bool) -> "Minute":
        counted = tick if tick.day_volume is not None else None
        return cls(opening(tick.at), tick, tick, tick.price, tick.price, counted, counted, stood)

    def with_tick(self, tick: Tick) -> "Minute":
        changed = replace(
            self,
            first=_earlier(tick, self.first),
            last=_later(tick, self.last),
            high=max(self.high, tick.price),
            low=min(self.low, tick.price),
            stood=self.stood and tick.at <= self.last.at,
        )
        if tick.day_volume is None:
            return changed
        return replace(
            changed,
            counted_first=_earlier(tick, self.counted_first),
            counted_last=_later(tick, self.counted_last),
        )

    def bar(self, source: str, before: Tick | None) -> Bar:
        """`before` is the last tick of an earlier minute that says the day's volume: where that was more, the day has begun
        anew, and the minute's volume is not known."""
        return Bar(
            ticker=self.first.ticker,
            interval=Interval.ONE_MINUTE,
            open_time=self.open_time,
            close_time=self.open_time + _MINUTE,
            open=self.first.price,
            high=self.high,
            low=self.low,
            close=self.last.price,
            volume=max(_volume(self.counted_last) - _volume(before or self.counted_first), _NOTHING),
            adjusted_to=self.open_time.date(),
            source=source,
        )


@dataclass(slots=True)
class _Series:
    """The minutes of one symbol, oldest first; of each that was told, its bar; and when those open that are yet to be told.

    The newest that is forgotten opened at `forgotten_until`; `counted_before` is the last tick up to there that says a volume.
    """

    minutes: list[Minute] = field(default_factory=list)
    told: dict[datetime, Bar] = field(default_factory=dict)
    untold: set[datetime] = field(default_factory=set)
    forgotten_until: datetime | None = None
    counted_before: Tick | None = None
    is_new: bool = True

    def put(self, tick: Tick, now: datetime) -> bool:
        opens = opening(tick.at)
        if self.forgotten_until is not None and opens <= self.forgotten_until:
            return False
        at = self._place(opens)
        if at < len(self.minutes) and self.minutes[at].open_time == opens:
            self.minutes[at] = self.minutes[at].with_tick(tick)
        else:
            self.minutes.insert(at, Minute.of(tick, stood=self.is_new and opens + _MINUTE <= now))
        self.is_new = False
        if not self.minutes[at].stood:
            self.untold.add(opens)
        self.untold.update(minute.open_time for minute in self.minutes[at + 1 :] if minute.open_time in self.told)
        return any(untold < self.minutes[-1].open_time for untold in self.untold)

    def take(self, source: str, now: datetime) -> Iterator[Bar]:
        ended = now - _MINUTE - timedelta(seconds=GRACE_SECONDS)
        for opens in sorted(self.untold):
            if opens <= ended or opens < self.minutes[-1].open_time:
                self.untold.discard(opens)
                at = self._place(opens)
                bar = self.minutes[at].bar(source, self._before(at))
                if bar != self.told.get(opens):
                    self.told[opens] = bar
                    yield bar
        self._forget()

    def _place(self, opens: datetime) -> int:
        return bisect_left(self.minutes, opens, key=lambda minute: minute.open_time)

    def _before(self, at: int) -> Tick | None:
        counted = (minute.counted_last for minute in reversed(self.minutes[:at]) if minute.counted_last is not None)
        return next(counted, self.counted_before)

    def _forget(self) -> None:
        while len(self.minutes) > KEPT_MINUTES and self.minutes[0].open_time not in self.untold:
            oldest = self.minutes.pop(0)
            self.told.pop(oldest.open_time, None)
            self.forgotten_until = oldest.open_time
            self.counted_before = oldest.counted_last or self.counted_before


class MinuteBars:
    """Ticks in, minute bars out. However many ticks come before somebody takes the bars: what is held is one minute for each
    symbol and minute."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._series: dict[str, _Series] = {}

    def follow(self, tickers: Iterable[str]) -> None:
        """Exactly these from now on."""
        self._series = {ticker: self._series.get(ticker) or _Series() for ticker in tickers}

    def interrupted(self) -> None:
        """Nobody has listened for a while. As of a symbol that is new, the first that is told of each may be a price that has
        stood for long: it says the volume by then, and is no bar of a minute that was over."""
        for series in self._series.values():
            series.is_new = True

    def put(self, tick: Tick, now: datetime) -> bool:
        """Whether there is a bar to take by it. A tick of a symbol that is not followed is nothing."""
        series = self._series.get(tick.ticker)
        return series is not None and series.put(tick, now)

    def take(self, now: datetime) -> list[Bar]:
        """The minutes that are over and have not been told as they are now: by close time, then ticker."""
        bars = (bar for series in self._series.values() if series.untold for bar in series.take(self._source, now))
        return sorted(bars, key=lambda bar: (bar.close_time, bar.ticker))


def opening(instant: datetime) -> datetime:
    """When the minute opened that an instant is in."""
    return instant.replace(second=0, microsecond=0)


def _earlier(tick: Tick, held: Tick | None) -> Tick:
    return tick if held is None or tick.is_before(held) else held


def _later(tick: Tick, held: Tick | None) -> Tick:
    return tick if held is None or not tick.is_before(held) else held


def _volume(tick: Tick | None) -> Decimal:
    return _NOTHING if tick is None or tick.day_volume is None else tick.day_volume
