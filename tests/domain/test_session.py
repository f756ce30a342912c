"""The session as a noun: its commands, its epochs, and a gate that is a function of its symbols."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidSession, SessionNotRunning, SymbolNotFound, VersionConflict
from domain.session import (
    MOST_SYMBOLS,
    Epoch,
    GatingPolicy,
    Moved,
    SessionMode,
    SessionState,
    SessionSymbol,
    SessionSymbolPhase,
    StartSession,
    StreamingRules,
    TradingSession,
)

DAY = date(2026, 3, 25)
OPENS = datetime(2026, 3, 25, 13, 30, tzinfo=UTC)
NOON = datetime(2026, 3, 25, 16, 0, tzinfo=UTC)
NOW = datetime(2026, 3, 27, 20, 30, tzinfo=UTC)
RULES = StreamingRules()
MINUTE = timedelta(minutes=1)

PENDING, LOADING, CATCHING_UP, LIVE, LAGGING, IDLE, QUARANTINED, FAILED = SessionSymbolPhase
REPLAY = StartSession(SessionMode.REPLAY, ("AAPL", "MSFT"), DAY)
LIVE_NOW = StartSession(SessionMode.LIVE, ("AAPL", "MSFT"))


def started(asked: StartSession = REPLAY) -> TradingSession:
    return TradingSession(NOW).started(asked, 0, RULES, OPENS, NOW)[0]


def told(session: TradingSession, at: datetime = NOON, /, **phases: SessionSymbolPhase) -> Moved:
    """As its leader would bring it: each of these symbols in that phase, its newest bar's close there where it then is."""
    lags = {CATCHING_UP: timedelta(seconds=8940), LAGGING: timedelta(seconds=61)}
    tracked = {}
    for ticker, phase in phases.items():
        symbol = session.get(ticker)
        assert symbol is not None
        watermark = at - lags.get(phase, timedelta()) if phase not in (PENDING, LOADING, FAILED) else symbol.watermark
        tracked[ticker] = replace(symbol, phase=phase, since=OPENS, watermark=watermark, is_behind=phase in lags)
    return session.advanced(at, tracked)


def live(asked: StartSession = REPLAY) -> TradingSession:
    """Active: all of its symbols are at the frontier."""
    session, _ = told(started(asked), **dict.fromkeys(asked.tickers, LIVE))
    assert session.is_active
    return session


def causes(epochs: Sequence[Epoch]) -> list[tuple[int, bool, str]]:
    return [(epoch.session.epoch, epoch.session.is_active, epoch.cause) for epoch in epochs]


def withheld(session: TradingSession) -> list[str]:
    return [symbol.ticker for symbol in session.symbols if symbol.is_withheld]


# ── commands


def test_before_the_first_start() -> None:
    session = TradingSession(NOW)
    assert (session.state, session.version, session.epoch, session.clock) == (SessionState.STOPPED, 0, 0, NOW)
    assert (session.is_active, session.symbols, session.reason) == (False, (), "No session has been started.")


def test_a_start() -> None:
    session, epochs = TradingSession(NOW).started(replace(REPLAY, tickers=("MSFT", "AAPL")), 0, RULES, OPENS, NOW)
    assert (session.state, session.version, session.epoch, session.number) == (SessionState.STARTING, 1, 1, 1)
    assert session.clock == OPENS
    assert session.symbols == (SessionSymbol("AAPL", NOW), SessionSymbol("MSFT", NOW))
    assert session.reason == "The session is starting: 2 of 2 symbols are not there yet."
    assert causes(epochs) == [(1, False, "The session was started.")]
    assert epochs[0].session == session


def test_what_is_not_given_is_as_the_rules_have_it_now() -> None:
    session = started(replace(REPLAY, threshold_seconds=90))
    assert (session.threshold_seconds, session.check_interval) == (90, 10)
    session = session.ruled(StreamingRules(30, 5))
    assert (session.threshold_seconds, session.check_interval) == (90, 5)


COMMANDS: dict[str, Callable[[TradingSession, int], Moved]] = {
    "stop": lambda session, expected: session.stopped(expected),
    "pause": lambda session, expected: session.paused(expected),
    "resume": lambda session, expected: session.resumed(expected),
    "add": lambda session, expected: session.joined("TSLA", expected, None, None, NOW),
    "remove": lambda session, expected: session.left("AAPL", expected),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_needs_the_version_and_a_session_that_runs(command: Callable[[TradingSession, int], Moved]) -> None:
    session = live()
    for wrong in (0, 2):
        with pytest.raises(VersionConflict, match=rf"expected version {wrong}, it is 1\."):
            command(session, wrong)
    for over in (TradingSession(NOW), session.stopped(1)[0], session.finished()[0]):
        with pytest.raises(SessionNotRunning):
            command(over, over.version)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_raises_the_version_by_one(command: Callable[[TradingSession, int], Moved]) -> None:
    session = live()
    if command is COMMANDS["resume"]:
        session = session.paused(1)[0]
    assert command(session, session.version)[0].version == session.version + 1


def test_one_session_at_a_time() -> None:
    session = live()
    for going in (session, session.paused(1)[0], started()):
        with pytest.raises(InvalidSession, match="A session is running already: stop it first"):
            going.started(REPLAY, going.version, RULES, OPENS, NOW)
    for over in (session.stopped(1)[0], session.finished()[0]):
        again, _ = over.started(LIVE_NOW, over.version, RULES, NOW, NOW)
        assert (again.number, again.version, again.epoch) == (over.version + 1, over.version + 1, over.epoch + 1)
        assert (again.state, again.mode, again.day, again.leaders) == (SessionState.STARTING, SessionMode.LIVE, None, 0)
    with pytest.raises(VersionConflict):
        session.stopped(1)[0].started(REPLAY, 1, RULES, OPENS, NOW)


def test_a_pause_shuts_and_a_resume_opens() -> None:
    paused, shut = live().paused(1)
    assert (paused.state, paused.reason, withheld(paused)) == (SessionState.PAUSED, "The session is paused.", ["AAPL", "MSFT"])
    assert causes(shut) == [(3, False, "The session was paused.")]
    with pytest.raises(InvalidSession, match="paused already"):
        paused.paused(2)
    resumed, opened = paused.resumed(2)
    assert (resumed.state, resumed.reason, withheld(resumed)) == (SessionState.ACTIVE, None, [])
    assert causes(opened) == [(4, True, "The session was resumed.")]
    with pytest.raises(InvalidSession, match="is not paused"):
        resumed.resumed(3)


def test_what_was_shut_stays_under_its_epoch() -> None:
    """A command that changes neither who takes part nor what is shown begins none."""
    session = started()
    paused, epochs = session.paused(1)
    stopped, more = paused.stopped(2)
    assert (paused.epoch, stopped.epoch, epochs, more) == (1, 1, [], [])
    assert (stopped.state, stopped.reason) == (SessionState.STOPPED, "The session is stopped.")


WRONG = [
    ({"tickers": ()}, "tickers", "A session needs at least one symbol to begin with."),
    ({"tickers": tuple(map(str, range(MOST_SYMBOLS + 1)))}, "tickers", "A session holds at most 1000 symbols."),
    ({"day": None}, "date", "A replay needs the trading day to replay."),
    ({"mode": SessionMode.LIVE}, "date", "A live session is of the present: leave the date out."),
    ({"mode": SessionMode.LIVE, "day": None, "speed": 2.0}, "speed", "A live session runs at speed 1."),
    ({"speed": -0.5}, "speed", "speed must be 0 (as fast as possible) or more."),
    ({"speed": float("nan")}, "speed", "speed must be 0 (as fast as possible) or more."),
    ({"speed": float("inf")}, "speed", "speed must be 0 (as fast as possible) or more."),
    ({"threshold_seconds": 0}, "catchupThresholdSeconds", "catchupThresholdSeconds must be 1 or more."),
    ({"check_interval": 0}, "catchupCheckInterval", "catchupCheckInterval must be 1 to 100 bars."),
    ({"check_interval": 101}, "catchupCheckInterval", "catchupCheckInterval must be 1 to 100 bars."),
    ({"quarantine_after_seconds": 0}, "quarantineAfterSeconds", "quarantineAfterSeconds must be 1 or more."),
]


@pytest.mark.parametrize(("changes", "field", "sentence"), WRONG)
def test_what_can_never_be_run(changes: dict[str, Any], field: str, sentence: str) -> None:
    with pytest.raises(InvalidSession) as refused:
        replace(REPLAY, **changes)
    assert (refused.value.field, str(refused.value)) == (field, sentence)


def test_the_bounds_themselves_are_good() -> None:
    edges: list[dict[str, Any]] = [
        {"speed": 0.0},
        {"threshold_seconds": 1, "check_interval": 1, "quarantine_after_seconds": 1},
        {"check_interval": 100, "tickers": tuple(map(str, range(MOST_SYMBOLS)))},
    ]
    for changes in edges:
        assert started(replace(REPLAY, **changes)).version == 1


# ── who takes part


def test_a_symbol_that_joins_is_an_epoch_and_shuts_nothing() -> None:
    session, epochs = live().joined("TSLA", 1, 30, 2, NOW)
    assert causes(epochs) == [(3, True, "TSLA was added.")]
    added = session.get("TSLA")
    assert added == SessionSymbol("TSLA", NOW, threshold_seconds=30, priority=2, is_withheld=False)
    assert [symbol.ticker for symbol in session.symbols] == ["AAPL", "MSFT", "TSLA"]
    assert (session.threshold_of(added), session.checks_of(added)) == (30, 3)
    same, none = session.joined("TSLA", 2, None, 9, NOW)
    assert (same.version, same.epoch, none) == (3, 3, [])
    changed = same.get("TSLA")
    assert changed is not None
    assert (changed.threshold_seconds, changed.priority, same.checks_of(changed)) == (30, 9, 1)


def test_what_cannot_join() -> None:
    session = live()
    for threshold, priority, field in ((0, None, "catchupThresholdSeconds"), (None, -1, "priority"), (None, 101, "priority")):
        with pytest.raises(InvalidSession) as refused:
            session.joined("TSLA", 1, threshold, priority, NOW)
        assert refused.value.field == field
    full = started(replace(REPLAY, tickers=tuple(f"T{number}" for number in range(MOST_SYMBOLS))))
    with pytest.raises(InvalidSession, match="at most 1000 symbols"):
        full.joined("TSLA", 1, None, None, NOW)
    assert full.joined("T1", 1, None, 1, NOW)[0].version == 2


def test_who_does_not_take_part_cannot_leave() -> None:
    with pytest.raises(SymbolNotFound, match="TSLA does not take part in the session"):
        live().left("TSLA", 1)


def test_the_whole_way_of_a_symbol_that_joins() -> None:
    """One event for each change of who takes part and of what is shown, and none for more."""
    session, first = live().joined("TSLA", 1, None, None, NOW)
    epochs = [*first]
    for at, phase in (
        (NOON, LOADING),
        (NOON, CATCHING_UP),
        (NOON + MINUTE, CATCHING_UP),
        (NOON + 2 * MINUTE, LIVE),
        (NOON + 3 * MINUTE, LIVE),
    ):
        session, more = told(session, at, TSLA=phase)
        epochs += more
    assert causes(epochs) == [
        (3, True, "TSLA was added."),
        (4, False, "TSLA (8940 s) is behind."),
        (5, True, "Every symbol has caught up."),
    ]
    assert (session.version, session.clock) == (2, NOON + 3 * MINUTE)


def test_the_laggard_that_leaves_opens_the_gate_at_once() -> None:
    shut, _ = told(live(), AAPL=LAGGING)
    assert (shut.epoch, shut.reason, withheld(shut)) == (3, "AAPL (61 s) is behind.", ["AAPL", "MSFT"])
    assert [symbol.ticker for symbol in shut.laggards] == ["AAPL"]
    session, epochs = shut.left("AAPL", 1)
    assert causes(epochs) == [(4, False, "AAPL was removed."), (5, True, "AAPL was removed.")]
    assert (session.state, session.reason, withheld(session)) == (SessionState.ACTIVE, None, [])
    assert [len(epoch.session.symbols) for epoch in epochs] == [1, 1]


def test_a_session_without_symbols_is_shut_until_one_joins() -> None:
    session, epochs = live(replace(REPLAY, tickers=("AAPL",))).left("AAPL", 1)
    assert causes(epochs) == [(3, True, "AAPL was removed."), (4, False, "AAPL was removed.")]
    assert session.reason == "The session has no symbols."
    session, epochs = session.joined("MSFT", 2, None, None, NOW)
    assert causes(epochs) == [(5, False, "MSFT was added."), (6, True, "MSFT was added.")]
    assert (session.reason, withheld(session)) == (None, [])


# ── the gate


def test_it_opens_once_all_are_loaded() -> None:
    session, epochs = told(started(), AAPL=LIVE, MSFT=LOADING)
    assert (session.state, session.reason, epochs) == (
        SessionState.STARTING,
        "The session is starting: 1 of 2 symbols are not there yet.",
        [],
    )
    session, epochs = told(session, MSFT=LIVE)
    assert causes(epochs) == [(2, True, "The session has begun.")]
    assert (session.state, session.reason) == (SessionState.ACTIVE, None)


def test_what_is_loading_later_shuts_nothing() -> None:
    session, _ = live().joined("TSLA", 1, None, None, NOW)
    for phase in (LOADING, PENDING, IDLE, LIVE):
        session, epochs = told(session, TSLA=phase)
        assert (session.is_active, epochs) == (True, [])


def test_all_idle_stays_open() -> None:
    session, epochs = told(live(), AAPL=IDLE, MSFT=IDLE)
    assert (session.is_active, epochs, withheld(session)) == (True, [], [])


def test_a_symbol_that_is_behind_shuts_the_session_and_no_other_opens_it() -> None:
    """The flag is not the last symbol's: the others come and go, and it stays shut."""
    session, epochs = told(live(), MSFT=LAGGING)
    for minutes in range(30):
        session, more = told(session, NOON + minutes * MINUTE, AAPL=(LIVE, IDLE)[minutes % 2])
        epochs += more
    assert causes(epochs) == [(3, False, "MSFT (61 s) is behind.")]
    session, epochs = told(session, NOON + 30 * MINUTE, MSFT=LIVE)
    assert causes(epochs) == [(4, True, "Every symbol has caught up.")]


def test_only_the_first_laggards_are_named() -> None:
    tickers = tuple("ABCDE")
    session, _ = told(live(replace(REPLAY, tickers=tickers)), **dict.fromkeys(tickers, LAGGING))
    assert session.reason == "A (61 s), B (61 s), C (61 s) and 2 more are behind."


def test_with_symbol_gating_a_laggard_is_withheld_alone() -> None:
    session = live(replace(REPLAY, gating=GatingPolicy.SYMBOL))
    session, epochs = told(session, AAPL=LAGGING)
    assert (session.is_active, withheld(session)) == (True, ["AAPL"])
    assert causes(epochs) == [(3, True, "Other symbols are withheld than before.")]
    session, epochs = told(session, MSFT=LAGGING)
    assert (session.state, withheld(session)) == (SessionState.INACTIVE, ["AAPL", "MSFT"])
    assert causes(epochs) == [(4, False, "AAPL (61 s), MSFT (61 s) are behind.")]
    session, epochs = told(session, AAPL=LIVE)
    assert (causes(epochs), withheld(session)) == ([(5, True, "Every symbol has caught up.")], ["MSFT"])


def test_a_symbol_in_quarantine_is_withheld_alone_and_counts_no_more() -> None:
    session, _ = told(live(), AAPL=LAGGING)
    session, epochs = told(session, AAPL=QUARANTINED)
    assert (session.is_active, withheld(session), session.laggards) == (True, ["AAPL"], [])
    assert len(epochs) == 1
    session, _ = told(session, MSFT=QUARANTINED)
    assert (session.state, session.reason) == (SessionState.INACTIVE, "Every symbol has failed or is in quarantine.")
    assert told(session, MSFT=LIVE)[0].is_active


def test_all_failed_is_shut_until_another_joins() -> None:
    session, epochs = told(started(), AAPL=FAILED, MSFT=FAILED)
    assert (session.state, session.reason, epochs) == (
        SessionState.INACTIVE,
        "Every symbol has failed or is in quarantine.",
        [],
    )
    session, epochs = session.joined("TSLA", 1, None, None, NOW)
    assert causes(epochs) == [(2, False, "TSLA was added."), (3, True, "TSLA was added.")]


def test_one_that_failed_to_load_shuts_nothing_and_is_tried_again() -> None:
    session, _ = told(started(), AAPL=LIVE, MSFT=FAILED)
    assert (session.is_active, withheld(session)) == (True, [])
    failed = session.get("MSFT")
    assert failed is not None
    session = replace(session, symbols=(session.symbols[0], replace(failed, error="The provider has nothing.")))
    session, epochs = session.joined("MSFT", 1, None, None, NOW)
    assert (session.version, session.epoch, epochs, session.is_active) == (2, 2, [], True)
    again = session.get("MSFT")
    assert again is not None
    assert (again.phase, again.error) == (PENDING, None)


def test_one_that_broke_down_is_withheld_until_it_is_back() -> None:
    """What it has is of the past: also while it is loaded again."""
    session, epochs = told(live(), MSFT=FAILED)
    assert (session.is_active, withheld(session), len(epochs)) == (True, ["MSFT"], 1)
    session, epochs = session.joined("MSFT", 1, None, None, NOW)
    assert (withheld(session), epochs) == (["MSFT"], [])
    session, epochs = told(session, MSFT=LOADING)
    assert (session.is_active, withheld(session), epochs) == (True, ["MSFT"], [])
    session, epochs = told(session, MSFT=LIVE)
    assert (withheld(session), len(epochs)) == ([], 1)


def test_the_clock_never_goes_back() -> None:
    session, _ = told(live(), NOON)
    assert told(session, NOON - MINUTE)[0].clock == NOON


def test_what_closed_before_a_symbol_was_shown_is_before_its_mark() -> None:
    session = live()
    assert [symbol.shown_after for symbol in session.symbols] == [NOON, NOON]
    session, _ = told(session, NOON + MINUTE, AAPL=LIVE, MSFT=LIVE)
    assert [symbol.shown_after for symbol in session.symbols] == [NOON, NOON]
    session, _ = told(session, NOON + 2 * MINUTE, MSFT=LAGGING)
    session, _ = told(session, NOON + 3 * MINUTE, MSFT=LIVE)
    assert [symbol.shown_after for symbol in session.symbols] == [NOON + 3 * MINUTE] * 2


def test_lag_is_measured_to_the_close_of_the_newest_bar() -> None:
    session, _ = told(live(), AAPL=CATCHING_UP)
    assert [session.lag_of(symbol) for symbol in session.symbols] == [8940, 0]
    assert session.lag_of(SessionSymbol("TSLA", NOW)) is None


# ── whoever leads it


def test_another_leader_is_an_epoch_and_the_symbols_are_loaded_again() -> None:
    first, epochs = started().led()
    assert (first.leaders, first.epoch, epochs) == (1, 1, [])
    session, _ = told(first, AAPL=LIVE, MSFT=FAILED)
    taken, epochs = session.led()
    assert causes(epochs) == [(3, False, "Another process leads the session now.")]
    assert (taken.leaders, taken.version, taken.state) == (2, 1, SessionState.STARTING)
    assert [symbol.phase for symbol in taken.symbols] == [PENDING, FAILED]
    assert withheld(taken) == ["AAPL", "MSFT"]
    assert taken.reason == "The session is starting: 1 of 2 symbols are not there yet."
    opened, epochs = told(taken, AAPL=LIVE)
    assert causes(epochs) == [(4, True, "The session has begun.")]
    assert withheld(opened) == []


def test_a_leader_that_is_not_heard_shuts_what_runs() -> None:
    silent = live().unheard(NOON)
    assert (silent.state, silent.epoch, withheld(silent)) == (SessionState.INACTIVE, 2, ["AAPL", "MSFT"])
    assert silent.reason == "The session leader has not been heard since 2026-03-25T16:00:00Z."
    for quiet in (live().paused(1)[0], live().stopped(1)[0], TradingSession(NOW)):
        assert quiet.unheard(NOON) == quiet


def test_the_end_of_a_replay_shuts_it() -> None:
    session, epochs = live().finished()
    assert (session.state, session.version, withheld(session)) == (SessionState.FINISHED, 1, ["AAPL", "MSFT"])
    assert causes(epochs) == [(3, False, "The replay of 2026-03-25 has ended.")]


def test_stored_bars_are_withheld_of_a_live_session_alone() -> None:
    behind, _ = told(live(LIVE_NOW), MSFT=LAGGING)
    assert (behind.withholds("AAPL"), behind.withholds("MSFT"), behind.withholds("TSLA")) == (OPENS, OPENS, None)
    alone, _ = told(live(replace(LIVE_NOW, gating=GatingPolicy.SYMBOL)), MSFT=LAGGING)
    assert (alone.withholds("AAPL"), alone.withholds("MSFT")) == (None, OPENS)
    assert started(LIVE_NOW).withholds("AAPL") == datetime(2026, 3, 25, tzinfo=UTC)
    assert live(LIVE_NOW).paused(1)[0].withholds("AAPL") == OPENS
    for shown in (live(LIVE_NOW), behind.stopped(1)[0], told(live(), MSFT=LAGGING)[0], TradingSession(NOW)):
        assert shown.withholds("MSFT") is None


# ── the gate is a function of the symbols

symbols = st.builds(
    SessionSymbol,
    ticker=st.just(""),
    added_at=st.just(NOW),
    phase=st.sampled_from(SessionSymbolPhase),
    watermark=st.sampled_from([None, NOON - 9 * MINUTE]),
    is_behind=st.booleans(),
    is_withheld=st.booleans(),
)
standings = st.lists(symbols, min_size=1, max_size=5).map(
    lambda some: tuple(replace(each, ticker=f"T{number}") for number, each in enumerate(some))
)


def is_open(gating: GatingPolicy, symbols: Sequence[SessionSymbol]) -> bool:
    """As the contract has it, said in another way."""
    lagging = [each for each in symbols if each.phase in (CATCHING_UP, LAGGING) and each.is_behind]
    if gating is GatingPolicy.SESSION and lagging:
        return False
    return any(each not in lagging and each.phase not in (FAILED, QUARANTINED) for each in symbols)


@given(st.sampled_from(GatingPolicy), st.lists(standings, min_size=1, max_size=6))
def test_the_gate_is_a_function_of_the_symbols(gating: GatingPolicy, ways: list[tuple[SessionSymbol, ...]]) -> None:
    """Whatever they were before: two sessions that come to the same symbols by different ways show the same."""
    size = min(map(len, ways))
    begun = replace(live(replace(REPLAY, gating=gating)), symbols=tuple(SessionSymbol(f"T{n}", NOW) for n in range(size)))
    by_and_by = begun
    for way in ways:
        before = by_and_by
        by_and_by, epochs = by_and_by.advanced(NOON, {each.ticker: each for each in way})
        shown = before.is_open, [known.is_withheld for known in before.symbols]
        has_changed = (by_and_by.is_open, [known.is_withheld for known in by_and_by.symbols]) != shown
        assert by_and_by.is_open is is_open(gating, by_and_by.symbols)
        assert (by_and_by.reason is None) is by_and_by.is_open
        assert by_and_by.epoch == before.epoch + len(epochs)
        assert len(epochs) == has_changed
    at_once, _ = begun.advanced(NOON, {each.ticker: each for each in ways[-1]})
    assert (at_once.is_open, withheld(at_once)) == (by_and_by.is_open, withheld(by_and_by))
    assert not by_and_by.is_open or all(
        symbol.is_withheld for symbol in by_and_by.symbols if symbol.is_lagging or symbol.phase is QUARANTINED
    )


moves = st.one_of(
    st.tuples(st.just("add"), st.sampled_from("ABCD"), st.none()),
    st.tuples(st.just("remove"), st.sampled_from("ABCD"), st.none()),
    st.tuples(st.just("told"), st.sampled_from("ABCD"), st.sampled_from(SessionSymbolPhase)),
    st.tuples(st.sampled_from(("pause", "resume")), st.none(), st.none()),
)


@given(st.sampled_from(GatingPolicy), st.lists(moves, max_size=25))
def test_versions_count_commands_and_epochs_count_what_changes(gating: GatingPolicy, given: list[tuple[Any, ...]]) -> None:
    session = live(replace(REPLAY, tickers=("A", "B"), gating=gating))
    for kind, ticker, phase in given:
        before = session
        session, epochs = _moved(session, kind, ticker, phase)
        assert session.version == before.version + (kind != "told" and session is not before)
        assert [epoch.session.epoch for epoch in epochs] == list(range(before.epoch + 1, session.epoch + 1))
        members = [each.ticker for each in session.symbols] != [each.ticker for each in before.symbols]
        known = {each.ticker: each.is_withheld for each in before.symbols}
        activation = session.is_active is not before.is_active or any(
            known.get(each.ticker, each.is_withheld) is not each.is_withheld for each in session.symbols
        )
        assert len(epochs) == members + activation
        assert session.is_active is (session.run.name == "RUNNING" and is_open(gating, session.symbols))


def _moved(session: TradingSession, kind: str, ticker: str | None, phase: SessionSymbolPhase | None) -> Moved:
    """What cannot be done at this moment is left undone."""
    try:
        if kind == "add":
            return session.joined(str(ticker), session.version, None, None, NOW)
        if kind == "remove":
            return session.left(str(ticker), session.version)
        if kind == "told":
            takes_part = session.get(str(ticker)) is not None
            return told(session, **({str(ticker): phase} if takes_part and phase is not None else {}))
        return session.paused(session.version) if kind == "pause" else session.resumed(session.version)
    except (InvalidSession, SymbolNotFound):
        return session, []
