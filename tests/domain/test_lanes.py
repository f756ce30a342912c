"""The lanes of a session and the gate between it and the outside, played minute by minute."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from domain.aggregation import Minute
from domain.bars import Interval
from domain.lanes import MINUTE, Arrival, Lane, Lanes
from domain.session import GatingPolicy, SessionState, SessionSymbol, SessionSymbolPhase, TradingSession
from tests.support.figures import told
from tests.support.mutants import in_force
from tests.support.playing import Playing, at, minute, minutes, wall

CATCHING_UP, LIVE, LAGGING = SessionSymbolPhase.CATCHING_UP, SessionSymbolPhase.LIVE, SessionSymbolPhase.LAGGING
IDLE, QUARANTINED, FAILED = SessionSymbolPhase.IDLE, SessionSymbolPhase.QUARANTINED, SessionSymbolPhase.FAILED
OPEN, CLOSE = "09:30", "16:00"
EARLY = "09:29:33"
"""So that what is done every half minute is not done on the minute."""
DAY = minutes(OPEN, CLOSE)
POISON = Decimal("NaN")
"""It compares with nothing."""


def closes(first: str, last: str) -> list[int]:
    """Of the minutes that close after the first and by the last."""
    return list(range(at(first) + MINUTE, at(last) + 1, MINUTE))


def fed(ticker: str, rows: Iterable[Minute], late: int) -> list[tuple[float, str, Minute]]:
    return [(row.opens + MINUTE + late, ticker, row) for row in rows]


def lagging(ticker: str, rows: Sequence[Minute], lags: Sequence[int]) -> list[tuple[float, str, Minute]]:
    return [(row.opens + MINUTE + lag, ticker, row) for row, lag in zip(rows, lags, strict=True)]


def live(*tickers: str, start: str = EARLY, **given: object) -> Playing:
    return Playing(start, {ticker: [] for ticker in tickers}, is_live=True, **given)  # type: ignore[arg-type]  # its own


# ── the documents' scenario


def test_a_symbol_added_at_noon_is_150_bars_behind_and_the_session_silent_until_it_has_caught_up() -> None:
    play = Playing(OPEN, {"RIVN": DAY})
    play.by_minutes("12:00")
    assert [bar.closes for bar in play.told] == closes(OPEN, "12:00")
    aapl = play.add("AAPL", DAY)
    assert (aapl.due(play.lanes.clock), play.phase("AAPL"), play.is_active) == (150, CATCHING_UP, True)

    seen = {}
    for bar in range(1, 151):
        play.catch_up(1)
        assert play.symbol("AAPL").bars_processed == bar
        seen[bar] = play.lag("AAPL"), play.phase("AAPL"), play.is_active, play.session.epoch
    assert [seen[bar] for bar in (1, 10, 148, 149, 150)] == [
        (8940, CATCHING_UP, False, 4),
        (8400, CATCHING_UP, False, 4),
        (120, CATCHING_UP, False, 4),
        (60, CATCHING_UP, True, 5),
        (0, LIVE, True, 5),
    ]

    play.by_minutes(CLOSE)
    assert [(epoch.session.epoch, epoch.cause) for epoch in play.epochs] == [
        (1, "The session was started."),
        (2, "The session has begun."),
        (3, "AAPL was added."),
        (4, "AAPL (8940 s) is behind."),
        (5, "Every symbol has caught up."),
    ]
    assert play.transitions() == [("09:30:00", True), ("12:00:00", False), ("12:00:00", True)]
    assert [bar.closes for bar in play.told if bar.ticker == "RIVN"] == closes(OPEN, CLOSE)
    assert [bar.closes for bar in play.told if bar.ticker == "AAPL"] == closes("12:00", CLOSE)
    assert (play.stale, play.exposed) == ([], [])


def test_while_the_clock_goes_on_nothing_is_told_nor_told_later() -> None:
    play = Playing(OPEN, {"RIVN": DAY})
    play.by_minutes("12:00")
    play.add("AAPL", DAY)
    beside(play, 2)
    assert play.transitions() == [("09:30:00", True), ("12:01:00", False), ("14:29:00", True)]
    assert [bar.closes for bar in play.told if bar.ticker == "RIVN"] == [*closes(OPEN, "12:01"), *closes("14:29", CLOSE)]
    assert [bar.closes for bar in play.told if bar.ticker == "AAPL"] == closes("14:30", CLOSE)
    assert (play.stale, play.exposed) == ([], [])
    assert Counter(bar.ticker for bar in play.processed) == {"AAPL": 390, "RIVN": 390}


def beside(play: Playing, bars: int) -> None:
    """To the close, so many bars of the backlog for each minute of the others."""
    for clock in range(int(play.lanes.clock) + MINUTE, at(CLOSE) + 1, MINUTE):
        play.forward(clock)
        play.catch_up(bars)


# ── no flips


class LastWriterWins(Playing):
    """The flag is what the last bar seen says: the mistake that there must not be."""

    last = ""

    def _tracked(self, session: TradingSession) -> dict[str, SessionSymbol]:
        seen = sorted((lane.newest or 0, lane.ticker) for lane in self.lanes if lane.processed_anew())
        self.last = seen[-1][1] if seen else self.last
        return {
            ticker: replace(symbol, is_behind=symbol.is_behind and ticker == self.last)
            for ticker, symbol in super()._tracked(session).items()
        }


def one_of_many_catches_up(many: int, bars: int, kind: type[Playing] = Playing) -> Playing:
    play = kind(OPEN, {f"S{number:03}": DAY for number in range(many)})
    play.by_minutes("12:00")
    play.add("S0XX", DAY)
    beside(play, bars)
    return play


def expect_two_transitions(play: Playing) -> None:
    assert (len(play.transitions()) - 1, play.exposed, play.stale) == (2, [], [])


@pytest.mark.parametrize("many", [20, 100])
@pytest.mark.parametrize(("bars", "opened"), [(2, "14:29:00"), (15, "12:11:00")])
def test_many_symbols_and_one_that_catches_up_are_exactly_two_transitions(many: int, bars: int, opened: str) -> None:
    play = one_of_many_catches_up(many, bars)
    expect_two_transitions(play)
    assert play.transitions()[1:] == [("12:01:00", False), (opened, True)]
    assert len(play.processed) == 390 * (many + 1)


@pytest.mark.parametrize("bars", [2, 15])
def test_a_flag_of_the_last_bar_seen_would_flip(bars: int) -> None:
    play = one_of_many_catches_up(20, bars, LastWriterWins)
    told(
        f"{bars} bars for each minute: {len(play.transitions()) - 1} flips, {len(play.exposed)} stale bars; derived: 2 and none"
    )
    assert len(play.transitions()) - 1 > 2
    with pytest.raises(AssertionError):
        expect_two_transitions(play)


def test_symbols_that_catch_up_at_once_are_two_transitions_together() -> None:
    play = Playing(OPEN, {"RIVN": DAY})
    play.by_minutes("12:00")
    for ticker in ("AAPL", "MSFT", "SPY"):
        play.add(ticker, DAY)
    beside(play, 7)
    expect_two_transitions(play)


def test_a_session_that_goes_as_fast_as_it_can_is_not_active_while_a_symbol_is_far_behind() -> None:
    play = Playing(OPEN, {"RIVN": DAY})
    play.by_minutes("12:00")
    play.add("AAPL", DAY)
    play.lanes.catch_up(1)
    play.lanes.catch_up(148)
    assert play.lane("AAPL").newest == at("11:59")
    play.forward("15:00")
    assert (play.is_active, play.lag("AAPL")) == (False, 181 * MINUTE)
    play.catch_up(400)
    play.by_minutes(CLOSE)
    expect_two_transitions(play)


# ── a healthy feed


@pytest.mark.parametrize("late", [2, 5, 20])
@pytest.mark.parametrize("every", [1, 10, 100])
def test_a_healthy_feed_delivered_late_stays_active_all_day(late: int, every: int) -> None:
    for start in ("09:29:00", "09:29:13", EARLY, "09:29:59"):
        play = live("A", "B", "C", start=start, every=every)
        play.live([one for ticker in "ABC" for one in fed(ticker, DAY, late)], "16:00:30")
        assert play.transitions() == [(f"{start}", True)]
        assert len(play.told) == 3 * 390
        assert [lane.phase for lane in play.lanes] == [LIVE] * 3


def test_a_symbol_that_prints_seldom_is_idle_in_between_and_nothing_is_shut() -> None:
    play = live("A", "B")
    rare = [row for row in DAY if (row.opens - at(OPEN)) % (15 * MINUTE) == 0]
    play.live([*fed("A", DAY, 5), *fed("B", rare, 7)], "15:59:30")
    assert play.transitions() == [(EARLY, True)]
    assert (play.phase("A"), play.phase("B"), play.symbol("B").bars_processed) == (LIVE, IDLE, len(rare))
    assert len([bar for bar in play.told if bar.ticker == "B"]) == len(rare)


def test_a_feed_that_trembles_keeps_the_idle_idle() -> None:
    """Of the one symbol that prints, the bars come now 2 s, now 20 s late: it is heard up to 78 s after it was heard last."""
    play = live("A", "B")
    play.live(lagging("A", DAY, [2, 20] * 195), CLOSE, every=1)
    assert play.transitions() == [(EARLY, True)]
    assert play.phase("B") is IDLE


# ── lag


def test_exactly_the_threshold_is_not_lagging() -> None:
    play = live("A", every=1)
    play.live(lagging("A", DAY[:3], [60, 60, 61]), "09:33:59")
    assert play.transitions() == [(EARLY, True)]
    assert (play.phase("A"), play.symbol("A").bars_processed) == (LIVE, 2)
    play.forward("09:34:01")
    assert play.phase("A") is LIVE
    play.arrive("A", DAY[2])
    play.forward("09:34:01")
    assert (play.phase("A"), play.lag("A"), play.session.reason) == (LAGGING, 61, "A (61 s) is behind.")


def test_a_fraction_of_a_second_more_is_lagging() -> None:
    play = live("A", every=1)
    play.forward("09:31")
    play.arrive("A", DAY[0])
    play.forward(at("09:32") + 0.25)
    assert play.phase("A") is LAGGING


def test_lag_that_oscillates_around_the_threshold_is_one_transition() -> None:
    play = live("A", every=1)
    play.live(lagging("A", DAY[:100], [5, 61, *[59, 61] * 49]), "11:12")
    assert play.transitions() == [(EARLY, True), ("09:33:01", False)]
    assert play.phase("A") is LAGGING


def test_lagging_ends_with_two_bars_in_a_row_at_half_the_threshold() -> None:
    play = live("A", every=1)
    play.live(lagging("A", DAY[:10], [5, 61, 30, 31, 30, 45, 5, 60, 30, 30]), "09:41")
    assert play.transitions() == [(EARLY, True), ("09:33:01", False), ("09:40:30", True)]
    assert play.causes()[-2:] == ["A (61 s) is behind.", "Every symbol has caught up."]


def test_a_bar_with_others_behind_it_in_the_queue_counts_for_nothing() -> None:
    play = live("A", every=1, threshold=300)
    play.live(lagging("A", DAY[:2], [5, 301]), "09:37:01")
    assert play.phase("A") is LAGGING
    play.arrive("A", *DAY[2:7])
    play.forward("09:37:30")
    assert (play.phase("A"), play.lag("A"), play.is_active) == (LAGGING, 30, False)
    play.live(lagging("A", DAY[7:8], [5]), "09:38:05")
    assert play.transitions()[1:] == [("09:37:01", False), ("09:38:05", True)]


def test_a_look_for_silence_never_counts_towards_leaving() -> None:
    play = live("A", "B", every=1)
    play.live([*lagging("A", DAY[:2], [5, 61]), *fed("B", DAY, 5)], "09:34:00")
    play.arrive("A", DAY[2])
    play.forward("09:34:00")
    for clock in range(at("09:33:01"), at("09:34:59")):
        play.forward(clock)
        play.lanes.sweep()
        play.commit()
        assert (play.phase("A"), play.is_active) == (LAGGING, False)


def test_a_bar_told_while_a_symbol_lags_is_told_to_nobody_nor_later() -> None:
    play = live("A", "B", every=1)
    play.live([*lagging("A", DAY[:20], [5] * 10 + [90] * 5 + [5] * 5), *fed("B", DAY[:20], 5)], "09:51")
    assert play.transitions()[1:] == [("09:42:30", False), ("09:47:05", True)]
    shown = [*closes(OPEN, "09:40"), *closes("09:47", "09:50")]
    assert [bar.closes for bar in play.told if bar.ticker == "A"] == shown
    assert [bar.closes for bar in play.told if bar.ticker == "B"] == [*closes(OPEN, "09:42"), *closes("09:47", "09:50")]
    assert play.stale == []


# ── silence


def test_a_halted_symbol_is_idle_while_the_feed_is_alive_and_takes_part_again_with_its_next_bar() -> None:
    play = live("A", "B")
    halted = [*DAY[:30], *DAY[90:]]
    feed = [*fed("A", DAY, 5), *fed("B", halted, 5)]
    play.live([one for one in feed if one[0] <= at("10:59:55")], "10:59:55")
    assert (play.phase("A"), play.phase("B"), play.lag("B")) == (LIVE, IDLE, at("10:59:55") - at("10:00"))
    play.live([one for one in feed if one[0] > at("10:59:55")], "11:30")
    assert (play.phase("B"), play.transitions()) == (LIVE, [(EARLY, True)])
    assert [bar.closes for bar in play.told if bar.ticker == "B"] == [*closes(OPEN, "10:00"), *closes("11:00", "11:29")]


def test_a_silent_symbol_is_looked_for_and_found_a_minute_after_the_threshold() -> None:
    play = live("A", "B")
    play.live([*fed("A", DAY, 5), *fed("B", DAY[:30], 5)], "10:02")
    assert play.phase("B") is LIVE
    play.forward("10:02:30")
    assert play.phase("B") is IDLE


def test_a_silent_feed_makes_all_of_its_symbols_lagging_in_time() -> None:
    play = live("A", "B", "C")
    rare = [row for row in DAY[:30] if row.opens % 900 == 0]
    feed = [*fed("A", DAY[:30], 5), *fed("B", DAY[:30], 6), *fed("C", rare, 5)]
    play.live(feed, "10:02")
    assert ([lane.phase for lane in play.lanes], play.is_active) == ([LIVE, LIVE, IDLE], True)
    play.live([], "10:02:30")
    assert [lane.phase for lane in play.lanes] == [LAGGING] * 3
    assert play.session.state is SessionState.INACTIVE

    burst = [(at("10:10:00"), ticker, row) for ticker in "ABC" for row in DAY[30:40]]
    play.live([*burst, *(one for ticker in "ABC" for one in fed(ticker, DAY[40:], 5))], "10:30")
    (shut, is_active), (opened, is_active_again) = play.transitions()[1:]
    assert at("10:02") < at(shut) <= at("10:02:30")
    assert (is_active, is_active_again, opened) == (False, True, "10:11:05")
    assert [bar.closes for bar in play.told if bar.ticker == "A"] == [*closes(OPEN, "10:00"), *closes("10:11", "10:29")]
    assert play.stale == []


def test_a_halted_symbol_is_idle_again_after_a_feed_that_was_silent() -> None:
    play = live("A", "B")
    play.live([*fed("A", DAY[:30], 5), *fed("B", DAY[:10], 5)], "10:10")
    assert [lane.phase for lane in play.lanes] == [LAGGING, LAGGING]
    play.live([*fed("A", DAY[40:], 5), (at("11:00:05"), "B", DAY[89])], "11:00:30")
    (shut, _), (opened, is_active) = play.transitions()[1:]
    assert at("10:02") < at(shut) <= at("10:02:30")
    assert is_active
    assert at("10:13:05") < at(opened) <= at("10:13:35")
    assert ([lane.phase for lane in play.lanes], play.is_active) == ([LIVE, LIVE], True)


def test_one_that_is_always_late_is_never_taken_for_idle() -> None:
    play = live("A", "B")
    play.live([*lagging("A", DAY, [5] * 20 + [100] * 370), *fed("B", DAY, 5)], "15:50")
    assert (play.phase("A"), play.transitions()[1:]) == (LAGGING, [("09:52:40", False)])


def test_a_heartbeat_is_a_sign_of_life() -> None:
    play = live("A", "B")
    play.live([*fed("A", DAY[:30], 5), *fed("B", DAY[:30], 5)], "10:00:05")
    for clock in range(at("10:00:20"), at("11:00"), 15):
        play.lanes.heard = clock
        play.forward(clock)
    assert ([lane.phase for lane in play.lanes], play.is_active) == ([IDLE, IDLE], True)


def test_a_market_that_closes_leaves_its_symbols_idle_and_the_gate_open() -> None:
    play = live("A", "B")
    play.live([*fed("A", DAY, 5), *fed("B", DAY, 20)], "18:00")
    assert (play.transitions(), [lane.phase for lane in play.lanes]) == ([(EARLY, True)], [IDLE, IDLE])


def test_one_that_did_not_print_in_the_last_minutes_of_the_day_is_idle_too() -> None:
    play = live("A", "B")
    play.live([*fed("A", DAY, 5), *fed("B", DAY[:380], 5)], "18:00")
    assert (play.transitions(), [lane.phase for lane in play.lanes]) == ([(EARLY, True)], [IDLE, IDLE])


def test_a_feed_that_dies_before_the_close_is_lagging_after_it() -> None:
    play = live("A", "B")
    play.live([*fed("A", DAY[:380], 5), *fed("B", DAY[:380], 5)], "18:00")
    assert ([lane.phase for lane in play.lanes], play.is_active) == ([LAGGING, LAGGING], False)


def test_a_laggard_with_the_last_bar_of_the_day_is_idle() -> None:
    play = live("A", every=1)
    play.live(lagging("A", DAY, [5] * 388 + [70, 70]), "16:30")
    (shut, _), (opened, is_active) = play.transitions()[1:]
    assert is_active
    assert at("16:00") < at(shut) <= at("16:00:10")
    assert at("16:01:10") < at(opened) <= at("16:01:40")
    assert play.phase("A") is IDLE


def test_before_the_market_opens_all_are_idle_and_the_session_is_active() -> None:
    play = live("A", "B", start="08:00")
    play.live([*fed("A", DAY[:10], 5), *fed("B", DAY[:10], 5)], "09:30:30")
    assert ([lane.phase for lane in play.lanes], play.is_active) == ([IDLE, IDLE], True)
    play.live([*fed("A", DAY[:10], 5), *fed("B", DAY[:10], 5)], "09:40:30")
    assert ([lane.phase for lane in play.lanes], play.transitions()) == ([LIVE, LIVE], [("08:00:00", True)])


# ── who takes part


def test_removing_the_laggard_opens_the_gate_at_once() -> None:
    play = live("A", "B", every=1)
    play.live([*lagging("A", DAY[:3], [5, 61, 61]), *fed("B", DAY, 5)], "09:34:30")
    assert (play.is_active, play.phase("A")) == (False, LAGGING)
    play.remove("A")
    assert play.is_active
    assert play.causes()[-2:] == ["A was removed."] * 2
    assert [epoch.session.is_active for epoch in play.epochs[-2:]] == [False, True]
    play.live(fed("B", DAY[5:], 5), "09:40")
    assert play.transitions()[1:] == [("09:33:01", False), ("09:34:30", True)]
    assert {bar.closes for bar in play.told if bar.ticker == "B"} == {*closes(OPEN, "09:32"), *closes("09:35", "09:39")}


def test_removing_what_catches_up_opens_the_gate_at_once() -> None:
    play = Playing(OPEN, {"RIVN": DAY})
    play.by_minutes("12:00")
    play.add("AAPL", DAY)
    play.catch_up(20)
    assert not play.is_active
    play.remove("AAPL")
    play.by_minutes("12:10")
    assert play.transitions()[1:] == [("12:00:00", False), ("12:00:00", True)]
    assert [bar.closes for bar in play.told] == closes(OPEN, "12:10")


def test_under_symbol_gating_only_laggards_are_withheld() -> None:
    play = live("A", "B", every=1, gating=GatingPolicy.SYMBOL)
    play.live([*lagging("A", DAY[:20], [5] * 10 + [90] * 5 + [5] * 5), *fed("B", DAY[:20], 5)], "09:51")
    assert play.transitions() == [(EARLY, True)]
    assert [bar.closes for bar in play.told if bar.ticker == "B"] == closes(OPEN, "09:50")
    assert [bar.closes for bar in play.told if bar.ticker == "A"] == [*closes(OPEN, "09:40"), *closes("09:47", "09:50")]
    withheld = [(wall(epoch.session.clock.timestamp()), _withheld(epoch.session)) for epoch in play.epochs[2:]]
    assert withheld == [("09:42:30", ["A"]), ("09:47:05", [])]


def test_under_symbol_gating_a_symbol_that_catches_up_is_withheld_alone() -> None:
    play = Playing(OPEN, {"RIVN": DAY}, gating=GatingPolicy.SYMBOL)
    play.by_minutes("12:00")
    play.add("AAPL", DAY)
    beside(play, 2)
    assert play.transitions() == [("09:30:00", True)]
    assert [bar.closes for bar in play.told if bar.ticker == "RIVN"] == closes(OPEN, CLOSE)
    assert [bar.closes for bar in play.told if bar.ticker == "AAPL"] == closes("14:30", CLOSE)


def _withheld(session: TradingSession) -> list[str]:
    return [symbol.ticker for symbol in session.symbols if symbol.is_withheld]


def test_a_symbol_may_have_a_threshold_of_its_own() -> None:
    play = live("A", every=1)
    play.forward("09:29:40")
    play.add("B", [], threshold=120)
    play.live([*fed("A", DAY[:10], 5), *lagging("B", DAY[:10], [120] * 9 + [121])], "09:42:00")
    assert (play.phase("B"), play.is_active) == (LIVE, True)
    play.live([*lagging("B", DAY[9:10], [121])], "09:42:01")
    assert (play.phase("B"), play.is_active) == (LAGGING, False)


def test_high_priority_is_checked_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    checks: Counter[str] = Counter()
    check = Lanes._check

    def counted(lanes: Lanes, lane: Lane) -> bool:
        checks[lane.ticker] += 1
        return check(lanes, lane)

    monkeypatch.setattr(Lanes, "_check", counted)
    play = Playing(OPEN, {"P0": DAY})
    for priority in (1, 4, 9, 100):
        play.add(f"P{priority}", DAY, priority=priority)
    play.by_minutes(CLOSE)
    assert checks == {"P0": 39, "P1": 78, "P4": 195, "P9": 390, "P100": 390}


def test_lag_is_noticed_at_the_next_check() -> None:
    for priority, noticed in ((0, "09:52:01"), (1, "09:47:01"), (9, "09:43:01")):
        play = live("A", threshold=60)
        play.forward("09:29:40")
        play.add("B", [], priority=priority)
        play.live([*fed("A", DAY[:40], 5), *lagging("B", DAY[:40], [5] * 11 + [61] * 29)], "09:57")
        assert play.transitions()[1:] == [(noticed, False)]


def test_thresholds_and_intervals_that_change_hold_at_the_next_bar() -> None:
    play = live("A", every=100)
    play.live(fed("A", DAY[:20], 45), "09:50:50")
    assert play.phase("A") is LIVE
    play.rule(30, 1)
    play.live(fed("A", DAY[20:21], 45), "09:51:45")
    assert (play.phase("A"), play.transitions()[1:]) == (LAGGING, [("09:51:45", False)])
    play.rule(120, 1)
    play.live(fed("A", DAY[21:23], 45), "09:53:45")
    assert (play.phase("A"), play.transitions()[2:]) == (LIVE, [("09:53:45", True)])


def test_a_checking_interval_that_grows_does_not_put_off_what_is_due() -> None:
    play = live("A", every=5)
    play.live(fed("A", DAY[:6], 5), "09:36:30")
    play.rule(60, 100)
    assert play.lane("A").countdown == 4


# ── the clock


def test_a_clock_that_jumps_back_moves_nothing_and_holds_until_real_time_has_caught_up() -> None:
    play = Playing(OPEN, {"A": DAY, "B": DAY[::2]})
    play.by_minutes("12:00")
    before, so_far = play.session, list(play.told)
    for clock in ("11:00", "09:00", "11:59:59"):
        assert not play.lanes.advance(at(clock), 100)
        play.commit()
    assert (play.lanes.clock, play.session, play.told) == (at("12:00"), before, so_far)
    backwards, epochs = play.session.advanced(datetime.fromtimestamp(at("11:00"), UTC), {})
    assert (backwards, epochs) == (before, [])
    play.forward("12:01")
    assert [bar.closes for bar in play.told[len(so_far) :]] == [at("12:01")] * 2


def test_in_a_replay_the_clock_waits_for_the_work_and_nobody_lags() -> None:
    play = Playing(OPEN, {"A": DAY, "B": DAY[::7], "C": DAY[100:]}, every=1)
    while play.lanes.clock < at(CLOSE):
        waiting = [lane.rows[lane.at][0] + MINUTE for lane in play.lanes if lane.at < len(lane.rows)]
        play.lanes.advance(at(CLOSE), 5)
        assert all(lane.at == len(lane.rows) or lane.rows[lane.at][0] + MINUTE >= play.lanes.clock for lane in play.lanes)
        assert waiting
        play.commit()
    assert (play.transitions(), len(play.told)) == ([("09:30:00", True)], 390 + 56 + 290)
    assert play.exposed == []


def test_who_takes_over_begins_with_the_gate_shut_for_whoever_was_behind() -> None:
    play = Playing(OPEN, {"RIVN": DAY})
    play.by_minutes("12:00")
    play.add("AAPL", DAY)
    play.catch_up(50)
    play.session, _ = play.session.led()  # the first to lead it
    play.taken_over({"AAPL": DAY, "RIVN": DAY})
    assert (play.is_active, play.session.has_begun, play.lag("AAPL")) == (False, False, 100 * MINUTE)
    play.catch_up(100)
    play.by_minutes(CLOSE)
    assert play.transitions()[1:] == [("12:00:00", False), ("12:00:00", True)]
    assert Counter(bar.ticker for bar in play.processed) == {"AAPL": 390, "RIVN": 390}
    assert play.exposed == []


# ── what cannot be processed


def poisoned(rows: Sequence[Minute], opens: str) -> list[Minute]:
    return [row._replace(high=POISON) if row.opens == at(opens) else row for row in rows]


def test_a_bar_that_cannot_be_processed_fails_its_symbol_and_no_other() -> None:
    play = Playing(OPEN, {"A": DAY, "B": poisoned(DAY, "10:02"), "C": DAY})
    play.by_minutes(CLOSE)
    assert [lane.phase for lane in play.lanes] == [LIVE, FAILED, LIVE]
    assert play.symbol("B").error == "A bar that closed by 2026-03-25T14:05:00Z could not be processed: InvalidOperation."
    assert (play.symbol("B").watermark, play.symbol("B").bars_processed) == (datetime(2026, 3, 25, 14, 4, tzinfo=UTC), 34)
    assert (play.is_active, _withheld(play.session), play.transitions()) == (True, ["B"], [("09:30:00", True)])
    assert Counter(bar.ticker for bar in play.told) == {"A": 390, "B": 34, "C": 390}


def test_one_that_the_clock_would_have_completed_fails_no_other_either() -> None:
    rows = [row for row in poisoned(DAY, "10:02") if row.opens != at("10:04")]
    play = Playing(OPEN, {"A": DAY, "B": rows, "C": DAY})
    play.by_minutes(CLOSE)
    assert [lane.phase for lane in play.lanes] == [LIVE, FAILED, LIVE]
    assert Counter(bar.ticker for bar in play.told if bar.ticker != "B") == {"A": 390, "C": 390}


def test_one_that_comes_late_fails_no_other_either() -> None:
    play = live("A", "B")
    play.live([*fed("A", DAY[:30], 5), *fed("B", DAY[:30], 5)], "10:00:30")
    assert play.arrive("B", DAY[2]._replace(high=POISON)) == [Arrival.REVISED]
    play.commit()
    assert (play.phase("A"), play.phase("B")) == (LIVE, FAILED)
    assert play.arrive("B", DAY[5]._replace(volume=Decimal(3))) == [Arrival.REVISED]
    play.live([*fed("A", DAY[30:40], 5), *fed("B", DAY[30:40], 5)], "10:10:30")
    assert ([lane.phase for lane in play.lanes], play.is_active) == ([LIVE, FAILED], True)


def test_one_that_was_stored_fails_its_symbol_when_another_takes_over() -> None:
    play = Playing(OPEN, {"A": DAY, "B": DAY})
    play.by_minutes("10:30")
    play.taken_over({"A": DAY, "B": poisoned(DAY, "10:02")})
    assert [lane.phase for lane in play.lanes] == [LIVE, FAILED]
    play.by_minutes(CLOSE)
    assert (play.phase("A"), play.lane("A").at) == (LIVE, 390)


def test_a_symbol_that_failed_is_tried_again_by_adding_it() -> None:
    play = Playing(OPEN, {"A": DAY, "B": poisoned(DAY, "10:02")})
    play.by_minutes("10:30")
    assert play.phase("B") is FAILED
    play.lanes.leave("B")
    play.add("B", DAY)
    play.catch_up(400)
    assert (play.phase("B"), play.symbol("B").error, _withheld(play.session)) == (LIVE, None, [])


def test_one_that_is_tried_again_is_behind_before_its_first_bar() -> None:
    play = Playing(OPEN, {"A": DAY, "B": poisoned(DAY, "10:02")})
    play.by_minutes("10:30")
    play.lanes.leave("B")
    play.add("B", DAY)
    assert (play.lag("B"), play.is_active, _withheld(play.session)) == (26 * MINUTE, False, ["A", "B"])


def test_a_minute_of_a_time_that_the_calendar_does_not_know_is_outside() -> None:
    play = live("A", start="10:00")
    assert play.arrive("A", minute(0), minute(at("20:00")), minute(at("09:29"))) == [Arrival.OUTSIDE] * 3
    assert play.lane("A").rows == []


def test_every_symbol_failed_is_inactive() -> None:
    play = Playing(OPEN, {"A": poisoned(DAY, "09:33"), "B": poisoned(DAY, "09:43")})
    play.by_minutes("09:44")
    assert play.is_active
    play.by_minutes("09:45")
    assert (play.is_active, play.session.reason) == (False, "Every symbol has failed or is in quarantine.")


# ── quarantine


def test_who_is_behind_for_too_long_is_in_quarantine_and_the_others_are_shown_again() -> None:
    play = live("A", "B", every=1, quarantine_after=300)
    lags = [5] * 10 + [90] * 10 + [5] * 10
    play.live([*lagging("A", DAY[:30], lags), *fed("B", DAY[:30], 5)], "10:01")
    gate = [(epoch.session.is_active, _withheld(epoch.session)) for epoch in play.epochs[1:]]
    assert gate == [(True, []), (False, ["A", "B"]), (True, ["A"]), (True, [])]
    shut, put, ended = (wall(epoch.session.clock.timestamp()) for epoch in play.epochs[2:])
    assert (shut, ended) == ("09:42:30", "09:52:05")
    assert at("09:47:30") < at(put) < at("09:48:00")
    a = [bar.closes for bar in play.told if bar.ticker == "A"]
    b = [bar.closes for bar in play.told if bar.ticker == "B"]
    assert a == [*closes(OPEN, "09:40"), *closes("09:52", "10:00")]
    assert b == [*closes(OPEN, "09:42"), *closes("09:47", "10:00")]
    assert play.stale == []


def test_exactly_as_long_is_not_too_long() -> None:
    play = live("A", "B", every=1, quarantine_after=300)
    play.live([*lagging("A", DAY[:30], [5, 61] + [100] * 28), *fed("B", DAY[:30], 5)], "09:38")
    for clock in ("09:38:00", "09:38:01", "09:38:02"):
        play.forward(clock)
        play.lanes.sweep()
        play.commit()
        assert (clock, play.phase("A")) == (clock, LAGGING if clock <= "09:38:01" else QUARANTINED)


def test_quarantine_holds_while_a_symbol_works_through_its_bars_and_ends_with_two_good_ones() -> None:
    play = Playing(OPEN, {"RIVN": DAY}, quarantine_after=600)
    play.by_minutes("12:00")
    play.add("AAPL", DAY)
    play.catch_up(1)
    play.by_minutes("12:20")
    assert (play.phase("AAPL"), play.is_active) == (QUARANTINED, True)
    play.catch_up(500)
    assert (play.phase("AAPL"), _withheld(play.session)) == (QUARANTINED, ["AAPL"])
    play.by_minutes("12:21")
    assert (play.phase("AAPL"), _withheld(play.session)) == (QUARANTINED, ["AAPL"])
    play.by_minutes("12:22")
    assert (play.phase("AAPL"), _withheld(play.session)) == (LIVE, [])
    play.by_minutes(CLOSE)
    assert [bar.closes for bar in play.told if bar.ticker == "AAPL"] == closes("12:22", CLOSE)


def test_every_symbol_in_quarantine_or_failed_is_inactive() -> None:
    play = live("A", "B", quarantine_after=120)
    rows = poisoned(DAY, "09:33")
    play.live([*fed("A", DAY[:10], 5), *fed("B", rows[:10], 5)], "09:50")
    assert ([lane.phase for lane in play.lanes], play.is_active) == ([QUARANTINED, FAILED], False)
    assert play.session.reason == "Every symbol has failed or is in quarantine."


# ── windows


def ends(play: Playing) -> set[tuple[Interval, str]]:
    return {(window.interval, wall(window.closes)) for windows in play.windows.values() for window in windows}


def test_the_last_windows_of_the_day_close_by_the_clock() -> None:
    play = Playing(OPEN, {"A": DAY[:388], "B": DAY})
    play.forward("15:59:59")
    play.windows.clear()
    play.forward(CLOSE)
    play.forward("16:30")
    assert {ticker: len(windows) for ticker, windows in play.windows.items()} == {"A": 6, "B": 6}
    assert ends(play) == {(interval, "16:00:00") for interval in Interval if interval is not Interval.ONE_MINUTE}


def test_in_a_live_session_a_window_waits_for_its_last_minute_as_long_as_bars_may_lag() -> None:
    play = live("A", "B", threshold=90)
    play.live([*fed("A", DAY[:4], 5), *fed("B", DAY[:5], 5)], "09:36:29")
    assert ([window.interval for window in play.windows["B"]], play.windows["A"]) == ([Interval.FIVE_MINUTES], [])
    play.forward("09:36:30")
    assert [window.interval for window in play.windows["A"]] == [Interval.FIVE_MINUTES]
    assert play.windows["A"] != play.windows["B"]
    assert play.arrive("A", DAY[4]) == [Arrival.NEXT]
    play.forward("09:36:40")
    assert play.windows["A"][1:] == play.windows["B"]


def test_what_comes_late_mends_its_windows_and_is_stored() -> None:
    play = live("A")
    rows = [row for row in DAY[:60] if row.opens not in (at("09:41"), at("10:07"))]
    play.live(fed("A", rows, 5), "10:30:30")
    play.windows.clear()
    assert play.arrive("A", minute(at("09:41")), minute(at("10:07")), minute(at("10:07"))) == [
        Arrival.LATE,
        Arrival.LATE,
        Arrival.DUPLICATE,
    ]
    play.commit()
    assert [(window.interval.value, wall(window.opens)) for window in play.windows["A"]] == [
        ("5m", "09:40:00"),
        ("15m", "09:30:00"),
        ("30m", "09:30:00"),
        ("1h", "09:30:00"),
        ("5m", "10:05:00"),
        ("15m", "10:00:00"),
        ("30m", "10:00:00"),
        ("1h", "09:30:00"),
    ]
    assert list(play.stored["A"].values()) != []
    assert sorted(play.stored["A"].values()) == DAY[:60] == play.lane("A").rows


def test_a_minute_that_comes_between_two_that_are_not_stored_yet_costs_neither() -> None:
    play = live("A", start=OPEN)
    play.arrive("A", DAY[0])
    play.lanes.advance(at("09:31"), 100)
    play.arrive("A", DAY[2])
    play.lanes.advance(at("09:33"), 100)
    assert play.arrive("A", DAY[1]) == [Arrival.LATE]
    play.commit()
    assert sorted(play.stored["A"].values()) == DAY[:3]
    assert [bar.closes for bar in play.processed] == closes(OPEN, "09:33")


# ── every guard is needed

Sentence = Callable[[], None]
NOON = test_a_symbol_added_at_noon_is_150_bars_behind_and_the_session_silent_until_it_has_caught_up
TWO_BARS = test_lagging_ends_with_two_bars_in_a_row_at_half_the_threshold
GUARDS: list[tuple[Sequence[str], Sentence]] = [
    (["exactly the threshold lags"], test_exactly_the_threshold_is_not_lagging),
    (["lag since the last look"], test_a_fraction_of_a_second_more_is_lagging),
    (["one good bar is enough"], TWO_BARS),
    (["good is within the threshold"], TWO_BARS),
    (["a queue is no matter"], test_a_bar_with_others_behind_it_in_the_queue_counts_for_nothing),
    (["a look is as good as a bar"], test_a_look_for_silence_never_counts_towards_leaving),
    (["silence from the close on"], test_a_silent_symbol_is_looked_for_and_found_a_minute_after_the_threshold),
    (["the feed's silence from when it was heard"], test_a_feed_that_trembles_keeps_the_idle_idle),
    (
        ["silence from the close on", "the feed's silence from when it was heard"],
        lambda: test_a_healthy_feed_delivered_late_stays_active_all_day(20, 10),
    ),
    (["silence is not looked for"], test_a_silent_feed_makes_all_of_its_symbols_lagging_in_time),
    (["who is silent lags"], test_a_halted_symbol_is_idle_while_the_feed_is_alive_and_takes_part_again_with_its_next_bar),
    (["the flag of the last symbol"], NOON),
    (["what catches up is shown"], NOON),
    (["one lane"], test_while_the_clock_goes_on_nothing_is_told_nor_told_later),
    (["one after the other"], test_symbols_that_catch_up_at_once_are_two_transitions_together),
    (["a leap is not seen"], test_a_session_that_goes_as_fast_as_it_can_is_not_active_while_a_symbol_is_far_behind),
    (["who was behind is forgotten"], test_one_that_is_tried_again_is_behind_before_its_first_bar),
    (["as long is too long"], test_exactly_as_long_is_not_too_long),
    (["quarantine shuts the gate"], test_who_is_behind_for_too_long_is_in_quarantine_and_the_others_are_shown_again),
    (["a window does not wait"], test_in_a_live_session_a_window_waits_for_its_last_minute_as_long_as_bars_may_lag),
    (["what comes late moves the mark"], test_a_minute_that_comes_between_two_that_are_not_stored_yet_costs_neither),
]


@pytest.mark.parametrize(("mutants", "sentence"), GUARDS, ids=[" and ".join(mutants) for mutants, _ in GUARDS])
def test_every_guard_is_needed(mutants: Sequence[str], sentence: Sentence) -> None:
    with in_force(*mutants), pytest.raises(AssertionError):
        sentence()
