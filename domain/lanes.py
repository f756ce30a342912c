"""The bars of a session's symbols, each symbol in a lane, processed in one order: by close, then by ticker.

The lanes at the frontier are merged; a symbol that catches up works through its bars beside them, so much at a time, and joins
them when it has none left that is due. Times are epoch seconds of the session's clock.
"""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from itertools import repeat
from operator import itemgetter

from domain.aggregation import Minute, Part, Rollup, Window
from domain.calendars import OutOfCalendar
from domain.hours import Hours
from domain.session import SessionSymbol, SessionSymbolPhase

MINUTE = 60
SWEEP_SECONDS = 30
"""The longest between two looks for silence; half the threshold, where that is less."""
GOOD_BARS = 2
"""In a row, for a symbol to be no longer lagging."""

_opens = itemgetter(0)

_CATCHING_UP = SessionSymbolPhase.CATCHING_UP
_LIVE = SessionSymbolPhase.LIVE
_LAGGING = SessionSymbolPhase.LAGGING
_IDLE = SessionSymbolPhase.IDLE
_QUARANTINED = SessionSymbolPhase.QUARANTINED
_FAILED = SessionSymbolPhase.FAILED


class Arrival(Enum):
    """What a minute that arrives is."""

    NEXT = "next"
    LATE = "late"
    REVISED = "revised"
    DUPLICATE = "duplicate"
    OUTSIDE = "outside"


@dataclass(slots=True)
class Lane:
    """A symbol's bars: `rows` in order, those before `at` processed, those before `new_from` stored with the session. The last
    of those that it entered with opens at `held_until`; `late` are minutes that came, or were revised, behind what was stored.

    `threshold` is in seconds, `every` in bars. `front`: it has reached the frontier. Rows are plain tuples, which the garbage
    collector leaves alone: a look at a million named ones would stop everything for a tenth of a second."""

    ticker: str
    hours: Hours
    rows: list[Part]
    threshold: int
    every: int
    entered: float
    rollup: Rollup
    add: Callable[[Part], Sequence[Window]] = field(init=False)
    at: int = 0
    new_from: int = 0
    held_until: int = 0
    countdown: int = 0
    good: int = 0
    quiet_since: float = 0
    phase: SessionSymbolPhase = _CATCHING_UP
    is_behind: bool = False
    behind_since: float | None = None
    front: bool = False
    error: str | None = None
    late: list[Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.add = self.rollup.add

    @property
    def newest(self) -> int | None:
        """The close of its newest processed bar."""
        return self.rows[self.at - 1][0] + MINUTE if self.at else None

    @property
    def next_close(self) -> int | None:
        return self.rows[self.at][0] + MINUTE if self.at < len(self.rows) else None

    def due(self, clock: float) -> int:
        """How many rows wait that have closed by then."""
        return bisect_right(self.rows, clock - MINUTE, self.at, key=_opens) - self.at

    def silent_since(self) -> float:
        """The newest close, or when it entered if it has had no bar."""
        newest = self.newest
        return newest if newest is not None else self.entered

    def processed_anew(self) -> list[Part]:
        """Since it was settled last."""
        return self.rows[self.new_from : self.at]

    def settle(self) -> None:
        """All that is new has been stored."""
        self.new_from = self.at
        self.late = []

    def to_store(self) -> list[Part]:
        """The minutes that were not held when it entered, or are others now."""
        return [*self.late, *(row for row in self.processed_anew() if row[0] > self.held_until)]

    def rule(self, threshold: int, every: int) -> None:
        """From now on."""
        self.threshold, self.every = threshold, every
        self.countdown = min(self.countdown, every - 1)

    def told(self, symbol: SessionSymbol, since: datetime, clock: float) -> SessionSymbol:
        """The symbol as it stands, its bars beginning at an instant."""
        newest = self.newest
        return replace(
            symbol,
            phase=self.phase,
            since=since,
            watermark=datetime.fromtimestamp(newest, UTC) if newest is not None else None,
            is_behind=self.is_behind,
            bars_processed=self.at,
            bars_queued=self.due(clock),
            error=self.error,
        )


def _is_traded(hours: Hours, opens: int) -> bool:
    try:
        return hours.is_open(opens)
    except OutOfCalendar:
        return False


class Lanes:
    """All lanes of a session. `quarantine_after` is in seconds, None for never. In a replay the feed is always alive; of a live
    session `heard` is when it was heard last."""

    def __init__(self, clock: float, *, is_live: bool, quarantine_after: int | None = None) -> None:
        self.clock = clock
        self.is_live = is_live
        self.quarantine_after = quarantine_after
        self.heard: float = clock if is_live else math.inf
        self.windows: list[tuple[str, Window]] = []
        self._lanes: dict[str, Lane] = {}
        self._swept = clock

    # ── who takes part

    def enter(
        self, ticker: str, hours: Hours, rows: Iterable[Minute], threshold: int, every: int, watermark: int | None = None
    ) -> Lane:
        """With what is held of it, in order; up to the watermark that was processed before, by another perhaps."""
        held: list[Part] = [(*row,) for row in rows if hours.is_open(row[0])]
        lane = Lane(ticker, hours, held, threshold, every, self.clock, Rollup(hours))
        lane.held_until = held[-1][0] if held else 0
        if watermark is not None:
            lane.at = lane.new_from = bisect_right(held, watermark - MINUTE, key=_opens)
            with self._failing(lane):
                for row in held[: lane.at]:
                    lane.add(row)
        self._lanes[ticker] = lane
        self._lanes = dict(sorted(self._lanes.items()))
        if lane.phase is _FAILED:
            return lane
        if not lane.due(self.clock):
            self._join(lane)
        elif lane.newest is not None:
            self._check(lane)
        return lane

    def leave(self, ticker: str) -> None:
        """Nothing of it is left to be stored either."""
        self._lanes.pop(ticker, None)
        self.windows = [(whose, window) for whose, window in self.windows if whose != ticker]

    @property
    def has_news(self) -> bool:
        """Whether there is something to be stored."""
        return bool(self.windows) or any(lane.at != lane.new_from or lane.late for lane in self._lanes.values())

    def settle(self) -> None:
        """All that is new has been stored."""
        self.windows = []
        for lane in self._lanes.values():
            lane.settle()

    def get(self, ticker: str) -> Lane | None:
        return self._lanes.get(ticker)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    # ── what arrives, in a live session

    def arrive(self, lane: Lane, minute: Minute) -> Arrival:
        """Takes a minute in, wherever it belongs. One that was passed already mends the windows that it belongs to."""
        if not _is_traded(lane.hours, minute.opens):
            return Arrival.OUTSIDE
        rows, row, opens = lane.rows, (*minute,), minute.opens
        if not rows or opens > rows[-1][0]:
            rows.append(row)
            return Arrival.NEXT
        at = bisect_left(rows, opens, key=_opens)
        is_known = rows[at][0] == opens
        if is_known and rows[at] == row:
            return Arrival.DUPLICATE
        if is_known:
            rows[at] = row
        else:
            rows.insert(at, row)
        if at >= lane.at:
            lane.late += [row] if opens <= lane.held_until else []
            return Arrival.REVISED if is_known else Arrival.NEXT
        lane.at += not is_known
        lane.new_from += not is_known and at < lane.new_from
        lane.late.append(row)
        with self._failing(lane):
            amended = lane.rollup.amend(self._day_of(lane, opens), opens)
            self.windows += [(lane.ticker, window) for window in amended]
        return Arrival.REVISED if is_known else Arrival.LATE

    def _day_of(self, lane: Lane, opens: int) -> Sequence[Part]:
        """The processed minutes of a trading day."""
        day = lane.hours.day(opens)
        assert day is not None, "only what is within trading hours is held"
        first = bisect_left(lane.rows, day[0], key=_opens)
        return lane.rows[first : min(bisect_left(lane.rows, day[1], key=_opens), lane.at)]

    # ── processing

    def advance(self, until: float, limit: int) -> bool:
        """The frontier, up to a time, about so many bars at most. True, and at once, when what the gate is made of has changed:
        by the last bar then. The clock stands at `until`; in a replay, at the last bar's close if there are more."""
        if self.is_live and until > self.clock:
            self.clock = until  # real time does not wait for the work
        slots = self._slots(until, limit)
        for close in sorted(slots):
            if close > self.clock:
                self.clock = close
            if self._run(slots[close]) or self._pass_time():
                return True
        ahead = self.next_close()
        if until > self.clock and (ahead is None or ahead > until):
            self.clock = until
        return self._pass_time()

    def _slots(self, until: float, limit: int) -> dict[int, list[Lane]]:
        """The lanes by the closes of what is due in them, each list in the order of the tickers."""
        front = [lane for lane in self._lanes.values() if lane.front and lane.at < len(lane.rows)]
        slots: defaultdict[int, list[Lane]] = defaultdict(list)
        each = max(1, limit // max(1, len(front)))
        # No lane may run ahead of the others: all end where the first of them that has more would.
        cut = until
        for lane in front:
            if lane.at + each < len(lane.rows):
                cut = min(cut, lane.rows[lane.at + each - 1][0] + MINUTE)
        for lane in front:
            for row in lane.rows[lane.at : lane.at + lane.due(cut)]:
                slots[row[0] + MINUTE].append(lane)
        return slots

    def catch_up(self, limit: int) -> bool:
        """Beside the frontier, so many bars at most, of the one first that is furthest behind. As advance, without moving the
        clock."""
        behind = [lane for lane in self._lanes.values() if not lane.front and lane.phase is not _FAILED]
        for lane in sorted(behind, key=lambda lane: lane.next_close or 0):
            due = min(lane.due(self.clock), limit)
            limit -= due
            if self._run(repeat(lane, due)):
                return True
            if not lane.due(self.clock):
                self._join(lane)
                return True
        return False

    @property
    def is_catching_up(self) -> bool:
        return any(not lane.front and lane.phase is not _FAILED for lane in self._lanes.values())

    def next_close(self) -> int | None:
        """When the next bar of the frontier closes, of those that are held."""
        ahead = [close for lane in self._lanes.values() if lane.front and (close := lane.next_close) is not None]
        return min(ahead, default=None)

    def _run(self, lanes: Iterable[Lane]) -> bool:
        """Processes the next bar of each in turn. One that cannot be processed fails its symbol, and no other."""
        try:
            for lane in lanes:
                at = lane.at
                if completed := lane.add(lane.rows[at]):
                    self.windows += [(lane.ticker, window) for window in completed]
                lane.at = at + 1
                if lane.countdown:
                    lane.countdown -= 1
                elif self._check(lane):
                    return True
        except Exception as error:
            self._fail(lane, error)
            return True
        return False

    def _fail(self, lane: Lane, error: Exception) -> None:
        lane.phase, lane.front, lane.is_behind = _FAILED, False, False
        closed = datetime.fromtimestamp(lane.next_close or lane.silent_since(), UTC)
        lane.error = f"A bar that closed by {closed:%Y-%m-%dT%H:%M:%SZ} could not be processed: {type(error).__name__}."

    @contextmanager
    def _failing(self, lane: Lane) -> Iterator[None]:
        """What cannot be done with a lane's bars fails its symbol, and no other."""
        try:
            yield
        except Exception as error:
            self._fail(lane, error)

    def _pass_time(self) -> bool:
        """Windows that the clock closes. Live bars come late: there a window waits for its last as long as they may be. True
        when a symbol failed."""
        clock, is_live, has_failed = int(self.clock), self.is_live, False
        for lane in self._lanes.values():
            due = lane.rollup.due
            if due is not None and due <= clock and lane.front and not lane.due(clock):
                now = clock - lane.threshold if is_live else clock
                with self._failing(lane):
                    self.windows += [(lane.ticker, window) for window in lane.rollup.pass_time(now)]
                has_failed = has_failed or lane.phase is _FAILED
        return has_failed

    # ── the gate's matter: how far each is behind

    def _check(self, lane: Lane) -> bool:
        """At a bar. True when its phase, or whether it is behind, is another than before."""
        lag = self.clock - lane.rows[lane.at - 1][0] - MINUTE
        if lane.phase is _LIVE:
            lane.countdown = lane.every - 1
            return lag > lane.threshold and self._lag(lane)
        if lane.phase is _CATCHING_UP:
            # Within its threshold it goes on to the frontier, which would have left it again by the next time.
            return self._be_behind(lane, lag > lane.threshold) and lane.is_behind
        if lane.phase is _IDLE:
            if lag > lane.threshold:
                return self._lag(lane)
            lane.phase = _LIVE
            return False
        lane.quiet_since = self.clock
        is_good = lag <= lane.threshold / 2 and lane.front and not lane.due(self.clock)
        lane.good = lane.good + 1 if is_good else 0
        return lane.good >= GOOD_BARS and self._be_live(lane)

    def _lag(self, lane: Lane) -> bool:
        lane.phase, lane.good, lane.countdown, lane.quiet_since = _LAGGING, 0, 0, self.clock
        self._be_behind(lane, True)
        return True

    def _be_live(self, lane: Lane) -> bool:
        lane.phase, lane.good, lane.countdown = _LIVE, 0, 0
        self._be_behind(lane, False)
        return True

    def _be_behind(self, lane: Lane, is_behind: bool) -> bool:
        if lane.is_behind == is_behind:
            return False
        lane.is_behind = is_behind
        lane.behind_since = self.clock if is_behind else None
        return True

    def _join(self, lane: Lane) -> None:
        """The frontier: nothing of what is due is left in its lane."""
        lane.front = True
        if lane.phase is _QUARANTINED:
            return
        if self.clock - lane.silent_since() <= lane.threshold or self._is_idle(lane):
            self._be_live(lane)
            self._look_at(lane)
        else:
            self._lag(lane)

    def sweep(self) -> bool:
        """Looks for silence, which no bar tells of, and for who has been behind for too long. True as advance."""
        self._swept = self.clock
        has_moved = False
        for lane in self._lanes.values():
            has_moved = (lane.phase is not _FAILED and self._look_at(lane)) or has_moved
        return has_moved

    def next_sweep(self) -> float:
        shortest = min((lane.threshold for lane in self._lanes.values()), default=SWEEP_SECONDS)
        return self._swept + min(shortest / 2, SWEEP_SECONDS)

    def _look_at(self, lane: Lane) -> bool:
        since, limit = lane.behind_since, self.quarantine_after
        if since is not None and limit is not None and self.clock - since > limit and lane.phase is not _QUARANTINED:
            lane.phase = _QUARANTINED
            return True
        if lane.phase is _CATCHING_UP:
            return self._is_silent(lane) and lane.newest is not None and self._be_behind(lane, True)
        if not lane.front or lane.due(self.clock):
            return False
        if lane.phase is _LAGGING:
            return self._look_at_laggard(lane)
        if lane.phase is _LIVE and self._is_silent(lane):
            if self._is_idle(lane):
                lane.phase, lane.countdown = _IDLE, 0
                return False
            return self._lag(lane)
        return lane.phase is _IDLE and not self._is_idle(lane) and self._lag(lane)

    def _is_silent(self, lane: Lane) -> bool:
        """Longer than the threshold, when its next bar should have closed."""
        return self.clock - lane.silent_since() - MINUTE > lane.threshold

    def _is_idle(self, lane: Lane) -> bool:
        """Its silence is no lag: nothing has been due from it for longer than the threshold since its newest bar, or since the
        feed was heard last and had nothing."""
        since = max(lane.silent_since(), self.heard)
        due = lane.hours.due_after(int(since)) if since < math.inf else None
        return due is None or self.clock - due <= lane.threshold

    def _look_at_laggard(self, lane: Lane) -> bool:
        """It is idle when nothing more is to come: its market has closed with its newest bar, or the feed is alive and has had
        nothing from it for as long as silence may last."""
        if not self._is_idle(lane):
            lane.quiet_since = self.clock
        if not self._is_closed_behind(lane) and self.clock - lane.quiet_since - MINUTE <= lane.threshold:
            return False
        lane.phase = _IDLE
        return self._be_behind(lane, False)

    def _is_closed_behind(self, lane: Lane) -> bool:
        """Whether the market closed with its newest bar, and no other has been due since."""
        since = int(lane.silent_since())
        due = lane.hours.due_after(since)
        return due is None or since + MINUTE < due >= self.clock
