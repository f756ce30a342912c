"""What holds of a session's lanes whatever is done to them: one order, nothing twice, nothing lost, windows of the whole."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.aggregation import Minute, Part, Rollup, Window, aggregate
from domain.calendars import FOREX, TradingCalendar, calendar_for
from domain.hours import LENGTHS, Hours
from domain.lanes import MINUTE, Arrival
from domain.tickers import AssetClass
from tests.support.figures import told
from tests.support.mutants import in_force
from tests.support.playing import NEW_YORK, Playing, at, minute

TICKERS = [f"S{number}" for number in range(6)]
APART = 20
"""Between the prices of two symbols: a minute's price tells whose it is."""


class Traded(NamedTuple):
    """A time of which each minute may have a bar."""

    hours: Hours
    opens: Sequence[int]

    @classmethod
    def of(cls, calendar: TradingCalendar, begins: datetime, length: timedelta) -> "Traded":
        hours, first = Hours(calendar), int(begins.timestamp())
        return cls(
            hours, [opens for opens in range(first, first + int(length.total_seconds()), MINUTE) if hours.is_open(opens)]
        )

    @property
    def begins(self) -> int:
        return self.opens[0]

    @property
    def ends(self) -> int:
        return self.opens[-1] + MINUTE

    def rows(self, number: int, seed: int, share: float) -> list[Minute]:
        """Of the symbol of that number, with so many of the minutes."""
        chance = Random(seed)
        return [minute(opens, 100 + APART * number) for opens in self.opens if chance.random() < share]


def listed(mic: str) -> TradingCalendar:
    return calendar_for(AssetClass.STOCK, mic)


def utc(year: int, month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


TRADED = {
    "a day of New York": Traded(NEW_YORK, range(at("09:30"), at("16:00"), MINUTE)),
    "half a day": Traded.of(listed("XNYS"), utc(2024, 11, 29, 14, 30), timedelta(hours=3.5)),
    "a day with a break": Traded.of(listed("XHKG"), utc(2026, 3, 25, 1, 30), timedelta(hours=6.5)),
    "Monday with its eve": Traded.of(FOREX, utc(2026, 3, 22, 22), timedelta(hours=8)),
    "two days": Traded.of(listed("XNYS"), utc(2026, 3, 24, 17), timedelta(hours=24)),
}
everywhere = pytest.mark.parametrize("traded", TRADED.values(), ids=TRADED)


def whose(row: Part) -> str:
    return TICKERS[(int(row[1]) - 101) // APART]


@contextmanager
def taped() -> Iterator[list[Part]]:
    """The minutes that are processed, in the order in which they are."""
    tape: list[Part] = []

    class Taping(Rollup):
        def add(self, minute: Part) -> Sequence[Window]:
            tape.append(minute)
            return super().add(minute)

    with mock.patch("domain.lanes.Rollup", Taping):
        yield tape


def expect_windows(given: Sequence[Window], rows: Sequence[Minute], hours: Hours, until: int) -> None:
    """Those that were given last are all that there are."""
    last = {(window.interval, window.opens): window for window in given}
    bulk = [window for interval in LENGTHS for window in aggregate(rows, hours, interval, until)]
    assert last == {(window.interval, window.opens): window for window in bulk}


# ── a replay, with symbols that come and go


@dataclass
class Life:
    """A symbol's part in a session, from an addition to a removal."""

    rows: list[Minute]
    joined: float | None = None
    left: float | None = None
    processed: list[Part] = field(default_factory=list)

    def at_the_frontier(self, until: float) -> list[tuple[int, str]]:
        ends = self.left if self.left is not None else until
        closes = [(row.opens + MINUTE, whose(row)) for row in self.rows]
        return [one for one in closes if self.joined is not None and self.joined < one[0] <= ends]


Step = tuple[str, int, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("forward"), st.integers(1, 60), st.integers(1, 40)),
        st.tuples(st.just("catch up"), st.integers(1, 80), st.just(0)),
        st.tuples(st.just("add"), st.integers(0, 5), st.integers(0, 1000)),
        st.tuples(st.just("remove"), st.integers(0, 5), st.just(0)),
    ),
    min_size=5,
    max_size=60,
)


class Replayed:
    """A replay, and what it comes to by the shortest way."""

    def __init__(self, traded: Traded, share: float, tape: list[Part]) -> None:
        self.traded, self.share, self.tape = traded, share, tape
        self.lives: dict[str, Life] = {TICKERS[0]: Life(traded.rows(0, 0, share))}
        self.over: list[Life] = []
        self.frontier: list[tuple[int, str]] = []
        self.play = Playing(traded.begins, {TICKERS[0]: self.lives[TICKERS[0]].rows}, hours=traded.hours)
        self._look("add")

    def step(self, kind: str, first: int, second: int) -> None:
        play, ticker = self.play, TICKERS[first % 6]
        if kind == "forward":
            play.forward(min(play.lanes.clock + first * MINUTE, self.traded.ends), second)
        elif kind == "catch up":
            play.catch_up(first)
        elif kind == "add" and ticker not in self.lives:
            self.lives[ticker] = Life(self.traded.rows(first, second, self.share))
            play.add(ticker, self.lives[ticker].rows)
        elif kind == "remove" and ticker in self.lives:
            play.remove(ticker)
            self.lives[ticker].left = play.lanes.clock
            self.over.append(self.lives.pop(ticker))
        self._look(kind)

    def _look(self, kind: str) -> None:
        for row in self.tape:
            self.lives[whose(row)].processed.append(row)
        self.frontier += [(row[0] + MINUTE, whose(row)) for row in self.tape if kind == "forward"]
        self.tape.clear()
        for lane in self.play.lanes:
            life = self.lives[lane.ticker]
            if life.joined is None and lane.front:
                life.joined = self.play.lanes.clock

    def expect(self) -> None:
        """The end, with all that is left worked off."""
        lives = [*self.over, *self.lives.values()]
        assert self.frontier == sorted(one for life in lives for one in life.at_the_frontier(self.traded.ends))
        assert all(life.processed == life.rows[: len(life.processed)] for life in self.over)
        for ticker, life in self.lives.items():
            assert life.processed == life.rows == self.play.lane(ticker).rows
            windows = self.play.windows[ticker]
            assert len({(window.interval, window.opens) for window in windows}) == len(windows), "each is given once"
            expect_windows(windows, life.rows, self.traded.hours, self.traded.ends)


def replay(traded: Traded, share: float, steps: Sequence[Step]) -> None:
    with taped() as tape:
        replayed = Replayed(traded, share, tape)
        for step in [*steps, ("catch up", 10_000, 0), ("forward", 10_000, 500), ("catch up", 10_000, 0)]:
            replayed.step(*step)
        replayed.expect()


@everywhere
@settings(max_examples=80)
@given(share=st.sampled_from([1.0, 0.7, 0.05]), steps=STEPS)
def test_whoever_comes_and_goes_the_stream_is_the_sorted_merge_of_what_was_asked(
    traded: Traded, share: float, steps: Sequence[Step]
) -> None:
    replay(traded, share, steps)


def test_the_order_of_entry_would_be_noticed() -> None:
    steps = [("add", 3, 1), ("add", 1, 2), ("forward", 60, 500)]
    replay(TRADED["a day of New York"], 1.0, steps)
    with in_force("order of entry"), pytest.raises(AssertionError):
        replay(TRADED["a day of New York"], 1.0, steps)


# ── a live feed, as bad as can be


class Feed(NamedTuple):
    """How a feed is: the longest that a minute comes late, in seconds, and how many of a hundred come twice or are revised."""

    seed: int
    late: int
    twice: int
    revised: int


FEEDS = st.builds(Feed, st.integers(0, 10_000), st.sampled_from([5, 100, 900, 9000]), st.integers(0, 40), st.integers(0, 40))


def arrivals(feed: Feed, rows: Sequence[Minute], chance: Random) -> list[tuple[int, Minute]]:
    """When which minute comes; of two versions of one, any may be the last."""
    coming = []
    for row in rows:
        versions = [row]
        versions += [row] * (chance.randrange(100) < feed.twice)
        versions += [row._replace(volume=row.volume + 1, close=row.high)] * (chance.randrange(100) < feed.revised)
        coming += [(row.opens + MINUTE + chance.randint(0, feed.late), version) for version in versions]
    return coming


@everywhere
@settings(max_examples=25)
@given(feed=FEEDS, chunk=st.integers(1, 50), share=st.sampled_from([1.0, 0.6, 0.05]))
def test_a_shuffled_duplicated_and_late_feed_ends_in_the_same_bars_as_a_sorted_one(
    traded: Traded, feed: Feed, chunk: int, share: float
) -> None:
    chance = Random(feed.seed)
    rows = {ticker: traded.rows(number, feed.seed + number, share) for number, ticker in enumerate(TICKERS[:3])}
    coming = [(when, ticker, row) for ticker in rows for when, row in arrivals(feed, rows[ticker], chance)]
    chance.shuffle(coming)
    coming.sort(key=lambda one: one[0])

    play = Playing(traded.begins, {TICKERS[0]: [], TICKERS[1]: []}, is_live=True, hours=traded.hours)
    added_at = chance.choice(traded.opens)
    final: defaultdict[str, dict[int, Minute]] = defaultdict(dict)
    came: Counter[Arrival] = Counter()
    for when, ticker, row in coming:
        while play.lanes.get(TICKERS[2]) is None and when >= added_at:
            play.forward(max(added_at, play.lanes.clock))
            play.add(TICKERS[2], sorted(final[TICKERS[2]].values()))
        final[ticker][row.opens] = row
        if play.lanes.get(ticker) is not None:
            came.update(play.arrive(ticker, row))
        play.lanes.advance(max(when, play.lanes.clock), chunk)  # not stored yet
        if not chance.randrange(10):
            play.forward(max(when, play.lanes.clock), chunk)
            play.catch_up(chunk)
    play.forward(traded.ends + 10_000, chunk)
    play.catch_up(10_000)
    play.forward(traded.ends + 10_060)

    assert set(came) <= {Arrival.NEXT, Arrival.LATE, Arrival.REVISED, Arrival.DUPLICATE}
    for lane in play.lanes:
        ended = sorted(final[lane.ticker].values())
        assert (lane.rows, lane.at, lane.due(play.lanes.clock)) == (ended, len(ended), 0)
        assert sorted(play.stored[lane.ticker].values()) == ended
        expect_windows(play.windows[lane.ticker], ended, traded.hours, int(play.lanes.clock))


# ── many


def test_100_symbols_over_5_days_with_one_coming_or_going_every_few_bars() -> None:
    week = Traded.of(listed("XNYS"), utc(2026, 3, 23, 13, 30), timedelta(days=4, hours=6.5))
    assert len(week.opens) == 5 * 390
    everyone = [f"S{number:03}" for number in range(110)]
    rows = [minute(opens) for opens in week.opens]
    bulk = {interval: aggregate(rows, week.hours, interval, week.ends) for interval in LENGTHS}
    chance = Random(7)
    play = Playing(week.begins, dict.fromkeys(everyone[:100], rows), hours=week.hours)
    added = removed = 0
    for clock in week.opens[3::3]:
        play.forward(clock)
        taking_part = [lane.ticker for lane in play.lanes]
        if len(taking_part) > 95:
            play.remove(chance.choice(taking_part))
            removed += 1
        else:
            play.add(chance.choice([ticker for ticker in everyone if ticker not in taking_part]), rows)
            added += 1
        play.catch_up(10_000)
    play.forward(week.ends)

    for lane in play.lanes:
        assert lane.at == len(rows)
        windows = play.windows[lane.ticker]
        assert {interval: [window for window in windows if window.interval is interval] for interval in LENGTHS} == bulk
    assert play.session.version == 1 + added + removed
    assert len(play.transitions()) == 1 + 2 * added
    told(f"{added} added, {removed} removed, {len(play.processed)} bars, {len(play.transitions()) - 1} transitions")


def test_10_symbols_come_and_go_1000_times() -> None:
    traded = TRADED["a day of New York"]
    rows = {f"T{number}": traded.rows(number % 6, number, 1.0)[:60] for number in range(10)}
    play = Playing(traded.begins, {"A": traded.rows(0, 0, 1.0)})
    play.forward("10:00")
    for cycle in range(1000):
        for ticker, held in rows.items():
            play.add(ticker, held[cycle % 30 :])
        play.catch_up(10_000)
        assert all(lane.front for lane in play.lanes)
        for ticker in rows:
            play.remove(ticker)
    assert [lane.ticker for lane in play.lanes] == ["A"]
    assert (len(play.session.symbols), play.session.version, play.is_active) == (1, 1 + 20_000, True)
    behind = [cycle for cycle in range(1000) if cycle % 30 < 28]  # by more than a minute
    assert len(play.transitions()) == 1 + 2 * len(behind)
    assert play.lanes.windows == []
    play.forward("16:00")
    assert play.symbol("A").bars_processed == 390
    told(f"{play.session.epoch} epochs, {len(play.processed)} bars")
