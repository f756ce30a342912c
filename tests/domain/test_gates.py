"""The gate as a noun: when it lets through, what opens and closes it, and that a budget is never exceeded."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from domain.errors import ProviderUnavailable, Trouble
from domain.gates import Budget, CircuitState, Gate
from tests.support.mutants import mutated

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta.resolution
NO_PATIENCE = timedelta()
PLENTY = 1_000_000
CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


def failing(gate: Gate, times: int = 1, now: datetime = NOW) -> Gate:
    for _ in range(times):
        gate = gate.failed(gate.generation, now, Trouble.DOWN, None, "It is down.")
    return gate


def limited(gate: Gate, seconds: int | None = None, now: datetime = NOW) -> Gate:
    return gate.failed(gate.generation, now, Trouble.RATE_LIMITED, seconds, "It is too much.")


def refused(gate: Gate, now: datetime) -> ProviderUnavailable:
    with pytest.raises(ProviderUnavailable) as refusal:
        gate.admitted(now)
    return refusal.value


NEW = Gate("yahoo")


# ── what opens it


def test_at_first_it_is_closed_and_letting_through_changes_nothing() -> None:
    assert (NEW.state(NOW), NEW.retry_in(NOW)) == (CLOSED, None)
    assert NEW.admitted(NOW) == NEW
    assert NEW.succeeded(NEW.generation) == NEW


def test_it_opens_at_the_fifth_failure_in_a_row_for_a_minute() -> None:
    assert [failing(NEW, times).state(NOW) for times in range(1, 6)] == [CLOSED, CLOSED, CLOSED, CLOSED, OPEN]
    gate = failing(NEW, 5)
    assert gate.retry_in(NOW) == 60 * SECOND
    assert (gate.failures, gate.last_error) == (5, "It is down.")
    assert gate.state(NOW + 60 * SECOND - MICROSECOND) is OPEN
    assert gate.state(NOW + 60 * SECOND) is HALF_OPEN


def test_a_success_between_them_begins_the_row_anew() -> None:
    gate = failing(NEW, 4).succeeded(NEW.generation)
    assert (gate.failures, gate.last_error) == (0, None)
    assert failing(gate, 4).state(NOW) is CLOSED
    assert failing(gate, 5).state(NOW) is OPEN


@pytest.mark.parametrize(
    ("retry_after", "cool_down"), [(None, 60), (-5, 1), (0, 1), (1, 1), (7, 7), (86_400, 86_400), (10**15, 86_400)]
)
def test_the_first_429_opens_it_for_as_long_as_it_says(retry_after: int | None, cool_down: int) -> None:
    gate = limited(NEW, retry_after)
    assert gate.retry_in(NOW) == cool_down * SECOND
    assert gate.state(NOW + cool_down * SECOND - MICROSECOND) is OPEN
    assert gate.state(NOW + cool_down * SECOND) is HALF_OPEN


def test_who_is_refused_is_told_why_and_until_when() -> None:
    by_limit = refused(limited(NEW, 40), NOW + 10.5 * SECOND)
    assert (by_limit.trouble, by_limit.retry_after_seconds) == (Trouble.RATE_LIMITED, 30)
    assert by_limit.message == "The provider yahoo said 10 s ago that it is asked too often. Try again in 30 s."
    by_failures = refused(failing(NEW, 5), NOW + 59.9 * SECOND)
    assert (by_failures.trouble, by_failures.retry_after_seconds) == (Trouble.DOWN, 1)
    assert by_failures.message == ("The provider yahoo has failed 5 times in a row, the last time 59 s ago. Try again in 1 s.")


# ── the probe

LATER = NOW + 60 * SECOND


def test_after_the_cool_down_one_is_let_through_and_the_others_are_not() -> None:
    gate = failing(NEW, 5).admitted(LATER)
    refusal = refused(gate, LATER + SECOND)
    assert (refusal.trouble, refusal.retry_after_seconds) == (Trouble.DOWN, 14)
    assert "the last time 61 s ago, and another call is trying it again." in refusal.message
    assert gate.state(LATER) is HALF_OPEN


def test_its_success_closes_and_forgets() -> None:
    gate = failing(NEW, 5).admitted(LATER)
    assert gate.succeeded(gate.generation) == replace(NEW, generation=gate.generation)


@pytest.mark.parametrize(("trouble", "seconds", "cool_down"), [(Trouble.DOWN, None, 60), (Trouble.RATE_LIMITED, 5, 5)])
def test_its_failure_opens_again(trouble: Trouble, seconds: int | None, cool_down: int) -> None:
    probing = failing(NEW, 5).admitted(LATER)
    gate = probing.failed(probing.generation, LATER + SECOND, trouble, seconds, "Still.")
    assert (gate.state(LATER + SECOND), gate.retry_in(LATER + SECOND)) == (OPEN, cool_down * SECOND)
    assert (gate.failures, gate.trouble, gate.last_error) == (6, trouble, "Still.")


def test_given_up_it_is_anybodys_again() -> None:
    probing = failing(NEW, 5).admitted(LATER)
    gate = probing.abandoned(probing.generation)
    assert (gate.state(LATER), gate.retry_in(LATER)) == (HALF_OPEN, None)
    assert gate.admitted(LATER).generation == probing.generation + 1


def test_giving_up_any_other_request_changes_nothing() -> None:
    assert failing(NEW, 2).abandoned(NEW.generation) == failing(NEW, 2)
    probing = failing(NEW, 5).admitted(LATER)
    assert probing.abandoned(NEW.generation) == probing


def test_when_its_process_has_died_another_is_let_through_and_the_first_counts_no_more() -> None:
    first = failing(NEW, 5).admitted(LATER)
    refused(first, LATER + 15 * SECOND - MICROSECOND)
    second = first.admitted(LATER + 15 * SECOND)
    assert second.succeeded(first.generation) == second
    assert second.failed(first.generation, LATER + 15 * SECOND, Trouble.DOWN, None, "Late.") == second
    assert second.succeeded(second.generation).state(LATER) is CLOSED


# ── what comes late


@pytest.mark.parametrize("opened", [failing(NEW, 5), limited(NEW, 60), failing(NEW, 5).admitted(LATER)])
def test_a_result_from_before_it_opened_neither_closes_nor_counts(opened: Gate) -> None:
    assert opened.succeeded(NEW.generation) == opened
    assert opened.failed(NEW.generation, LATER, Trouble.DOWN, 1, "Late.") == opened


def test_a_late_429_may_lengthen_a_cool_down_and_never_shortens_it() -> None:
    opened = limited(NEW, 60)
    shorter = opened.failed(NEW.generation, NOW + 5 * SECOND, Trouble.RATE_LIMITED, 1, "Late.")
    assert shorter.open_until == opened.open_until
    longer = opened.failed(NEW.generation, NOW + 5 * SECOND, Trouble.RATE_LIMITED, 90, "Late.")
    assert longer.open_until == NOW + 95 * SECOND


def test_a_late_429_ends_the_probe_and_what_it_would_say() -> None:
    probing = limited(NEW, 1).admitted(NOW + SECOND)
    gate = probing.failed(NEW.generation, NOW + 2 * SECOND, Trouble.RATE_LIMITED, 9, "Late.")
    assert gate.retry_in(NOW + 2 * SECOND) == 9 * SECOND
    assert gate.succeeded(probing.generation) == gate


# ── the budget


def enter(gate: Gate, now: datetime, per_minute: int, patience: timedelta = 3600 * SECOND) -> tuple[Gate, timedelta]:
    budget = Budget(per_minute, PLENTY)
    gate = gate.entered(now, budget, patience)
    return gate, gate.wait(now, budget)


def test_a_minutes_worth_at_once_then_each_in_its_turn() -> None:
    gate, waits = NEW, []
    for _ in range(5):
        gate, wait = enter(gate, NOW, 3)
        waits.append(wait / SECOND)
    assert waits == [0, 0, 0, 20, 40]
    assert enter(gate, NOW + 60 * SECOND, 3)[1] == NO_PATIENCE


def test_whose_patience_is_shorter_is_refused_and_takes_nothing() -> None:
    gate = NEW
    for _ in range(3):
        gate, _ = enter(gate, NOW, 3)
    with pytest.raises(ProviderUnavailable) as refusal:
        enter(gate, NOW + SECOND, 3, 19 * SECOND - MICROSECOND)
    assert (refusal.value.trouble, refusal.value.retry_after_seconds) == (Trouble.RATE_LIMITED, 19)
    assert refusal.value.message == "The provider yahoo has no calls left in this minute's budget. Try again in 19 s."
    assert enter(gate, NOW + SECOND, 3, 19 * SECOND)[1] == 19 * SECOND


def test_without_a_budget_nothing_is_taken() -> None:
    assert NEW.entered(NOW, None, NO_PATIENCE) == NEW
    assert NEW.wait(NOW, None) == NO_PATIENCE


def test_who_waits_for_a_call_is_no_probe_yet() -> None:
    gate = replace(limited(NEW, 1), spent_until=NOW + 61 * SECOND)
    waiting, wait = enter(gate, NOW + SECOND, 60)
    assert wait == SECOND
    assert waiting == replace(gate, spent_until=NOW + 62 * SECOND, counted_on=NOW.date(), calls=1)
    assert waiting.admitted(NOW + 2 * SECOND).probe_until == NOW + 17 * SECOND


def test_an_open_circuit_costs_no_budget() -> None:
    with pytest.raises(ProviderUnavailable, match="asked too often"):
        limited(NEW, 9).entered(NOW, Budget(1, 1), NO_PATIENCE)


GAPS = st.lists(st.integers(0, 90_000_000), min_size=1, max_size=60)


@given(gaps=GAPS, per_minute=st.integers(1, 100), patience=st.integers(0, 120))
def test_over_any_window_no_more_calls_than_the_budget_and_those_who_came_first_go_first(
    gaps: list[int], per_minute: int, patience: int
) -> None:
    gate, now, made = NEW, NOW, []
    for gap in gaps:
        now += gap * MICROSECOND
        try:
            gate, wait = enter(gate, now, per_minute, patience * SECOND)
        except ProviderUnavailable:
            continue
        assert wait <= patience * SECOND
        made.append(now + wait)
    assert made == sorted(made)
    for first, begin in enumerate(made):
        for last, end in enumerate(made[first:], first):
            assert last - first + 1 <= per_minute + (end - begin) / timedelta(minutes=1) * per_minute + 1e-9


# ── the day's

MIDNIGHT = datetime(2026, 11, 26, tzinfo=UTC)


def spent(calls: int, per_day: int, now: datetime = NOW) -> Gate:
    gate = NEW
    for _ in range(calls):
        gate = gate.entered(now, Budget(PLENTY, per_day), NO_PATIENCE)
    return gate


def test_when_the_days_calls_are_taken_nobody_is_let_through_before_midnight() -> None:
    gate, budget = spent(3, 3), Budget(PLENTY, 3)
    for now, seconds in ((NOW, 12 * 3600), (MIDNIGHT - 1.5 * SECOND, 2)):
        with pytest.raises(ProviderUnavailable) as refusal:
            gate.entered(now, budget, 24 * 3600 * SECOND)
        assert (refusal.value.trouble, refusal.value.retry_after_seconds) == (Trouble.RATE_LIMITED, seconds)
        assert refusal.value.message == f"The provider yahoo has no calls left in today's budget. Try again in {seconds} s."
    new_day = gate.entered(MIDNIGHT, budget, NO_PATIENCE)
    assert (new_day.counted_on, new_day.calls) == (MIDNIGHT.date(), 1)


def test_a_call_that_waits_past_midnight_is_of_the_new_day() -> None:
    budget, late = Budget(60, 60), MIDNIGHT - 0.5 * SECOND
    gate = NEW
    for _ in range(60):
        gate = gate.entered(late, budget, NO_PATIENCE)
    assert (gate.left_this_minute(late, budget), gate.left_today(late, budget)) == (0, 0)
    gate = gate.entered(late, budget, SECOND)
    assert gate.wait(late, budget) == SECOND
    assert (gate.counted_on, gate.calls) == (MIDNIGHT.date(), 1)


def test_a_clock_that_is_set_back_gives_no_day_twice() -> None:
    gate = spent(3, 3, MIDNIGHT)
    with pytest.raises(ProviderUnavailable, match="today's budget"):
        gate.entered(MIDNIGHT - SECOND, Budget(PLENTY, 3), NO_PATIENCE)


def test_what_is_left_is_told_and_comes_back() -> None:
    budget = Budget(4, 10)
    gate = NEW
    assert (gate.left_this_minute(NOW, budget), gate.left_today(NOW, budget)) == (4, 10)
    for _ in range(3):
        gate = gate.entered(NOW, budget, NO_PATIENCE)
    assert (gate.left_this_minute(NOW, budget), gate.left_today(NOW, budget)) == (1, 7)
    assert gate.left_this_minute(NOW + 15 * SECOND, budget) == 2
    assert (gate.left_this_minute(MIDNIGHT, budget), gate.left_today(MIDNIGHT, budget)) == (4, 10)
    fewer = Budget(1, 2)
    assert (gate.left_this_minute(NOW, fewer), gate.left_today(NOW, fewer)) == (0, 0), "a budget that was made smaller"


def test_the_days_count_outlives_success_and_failure() -> None:
    gate = spent(2, 9)
    assert gate.succeeded(gate.generation).calls == failing(gate, 5).calls == limited(gate).calls == 2
    assert failing(gate, 5).admitted(LATER).calls == 2, "a probe is counted when it comes in, not again when let through"


class BudgetMachine(RuleBasedStateMachine):
    """Against a list of the calls that were made: it knows neither of spans nor of counters."""

    budget = Budget(per_minute=6, per_day=25)

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.now = NEW, MIDNIGHT - 100 * SECOND
        self.made: list[datetime] = []

    @rule(seconds=st.sampled_from([0.001, 1, 9.999, 10, 61, 40_000]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds * SECOND

    @rule()
    def midnight_comes(self) -> None:
        self.now = datetime.combine(self.now.date(), datetime.min.time(), UTC) + timedelta(days=1)

    @rule(callers=st.integers(1, 12), patience=st.sampled_from([0, 3, 30]))
    def some_come(self, callers: int, patience: int) -> None:
        for _ in range(callers):
            self.somebody_comes(patience * SECOND)

    def somebody_comes(self, patience: timedelta) -> None:
        try:
            self.gate = self.gate.entered(self.now, self.budget, patience)
        except ProviderUnavailable as refusal:
            self.is_rightly_refused(refusal, patience)
        else:
            wait = self.gate.wait(self.now, self.budget)
            assert wait <= patience
            self.made.append(self.now + wait)

    def is_rightly_refused(self, refusal: ProviderUnavailable, patience: timedelta) -> None:
        told = (refusal.retry_after_seconds or 0) * SECOND
        if "today" in refusal.detail:
            assert self.of_day(max([self.now, *self.made])) == self.budget.per_day, "refused with calls left today"
            again = self.now + told
            assert again - datetime.combine(again.date(), datetime.min.time(), UTC) < SECOND, "not at midnight"
            assert again > self.now
        else:
            assert told > patience

    def of_day(self, at: datetime) -> int:
        return sum(made.date() == at.date() for made in self.made)

    @invariant()
    def no_budget_is_exceeded(self) -> None:
        assert all(self.of_day(made) <= self.budget.per_day for made in self.made[-1:]), "more than a day's"
        for begin in self.made[-30:]:
            within = [made for made in self.made if begin <= made < begin + 60 * SECOND]
            assert len(within) <= 2 * self.budget.per_minute, "more than a minute's, and as many at once"

    @invariant()
    def what_is_left_can_be_had(self) -> None:
        left = self.gate.left_today(self.now, self.budget)
        assert left == self.budget.per_day - self.of_day(max([self.now, *self.made])), "not what is left today"
        at_once = min(self.gate.left_this_minute(self.now, self.budget), left)
        gate, had = self.gate, 0
        with suppress(ProviderUnavailable):
            while had <= at_once:
                gate, had = gate.entered(self.now, self.budget, NO_PATIENCE), had + 1
        assert had == at_once, "not what is left"


def run_budget_machine(**given: Any) -> None:
    run_state_machine_as_test(BudgetMachine, settings=settings(deadline=None, database=None, stateful_step_count=30, **given))


def test_any_sequence_of_callers() -> None:
    run_budget_machine(max_examples=150)


@pytest.mark.parametrize(
    ("function", "old", "new"),
    [
        (Gate.entered, "if calls >= budget.per_day:", "if calls > budget.per_day:"),
        (Gate.entered, "if calls >= budget.per_day:", "if False:"),
        (Gate.entered, "self._counted(now + wait)", "self._counted(now)"),
        (Gate.entered, "calls=calls + 1", "calls=calls"),
        (Gate.entered, "counted_on + _DAY", "counted_on"),
        (Gate.entered, "if wait > patience:", "if False:"),
        (Gate._counted, "self.counted_on < day", "self.counted_on <= day"),
        (Gate._counted, "return day, 0", "return day, self.calls"),
    ],
)
def test_the_budget_machine_notices_a_missing_guard(function: Any, old: str, new: str) -> None:
    with mutated(function, (old, new)), pytest.raises(AssertionError):
        run_budget_machine(max_examples=2000, derandomize=True, report_multiple_bugs=False, phases=[Phase.generate])


# ── any sequence


class GateMachine(RuleBasedStateMachine):
    """Against a model that knows nothing of generations: each request remembers what was the case when it was let through."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.now = NEW, NOW
        self.requests: list[tuple[int, bool]] = []  # the generation, and whether the circuit has opened or probed since
        self.probes: list[tuple[int, datetime]] = []  # the generation, and until when it keeps the others out
        self.in_a_row, self.shut_until = 0, NOW - SECOND
        self.is_closed = True

    @rule(milliseconds=st.sampled_from([1, 14_999, 15_000]))
    def time_passes(self, milliseconds: int) -> None:
        self.now += timedelta(milliseconds=milliseconds)

    @rule()
    def the_cool_down_passes(self) -> None:
        self.now = max(self.now, self.shut_until)

    @rule(callers=st.integers(1, 3))
    def some_come(self, callers: int) -> None:
        for _ in range(callers):
            self.somebody_comes()
            self.it_is_as_the_model_says()

    def somebody_comes(self) -> None:
        try:
            self.gate = self.gate.admitted(self.now)
        except ProviderUnavailable:
            assert not self.is_closed
            assert self.now < self.shut_until or self.live_probes()
            return
        assert self.is_closed or self.now >= self.shut_until, "let through while it is open"
        if not self.is_closed:
            self.outdate()
            self.probes.append((self.gate.generation, self.now + 15 * SECOND))
        self.requests.append((self.gate.generation, False))

    @rule(times=st.integers(2, 6))
    def several_come_and_fail(self, times: int) -> None:
        for _ in range(times):
            before = len(self.requests)
            self.somebody_comes()
            if len(self.requests) > before:
                self.end(self.requests[-1], "down")
            self.it_is_as_the_model_says()

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), outcome=st.sampled_from(["ok", "down", "limited", "given up"]), seconds=st.sampled_from([1, 90]))
    def one_ends(self, data: st.DataObject, outcome: str, seconds: int) -> None:
        self.end(data.draw(st.sampled_from(self.requests)), outcome, seconds)

    def end(self, request: tuple[int, bool], outcome: str, seconds: int = 0) -> None:
        self.requests.remove(request)
        generation, is_late = request
        self.probes = [probe for probe in self.probes if probe[0] != generation]
        if outcome == "ok":
            self.gate = self.gate.succeeded(generation)
            if not is_late:
                self.in_a_row, self.is_closed = 0, True
        elif outcome == "given up":
            self.gate = self.gate.abandoned(generation)
        elif outcome == "limited":
            self.gate = self.gate.failed(generation, self.now, Trouble.RATE_LIMITED, seconds, "")
            self.in_a_row += 1
            self.open(seconds)
        else:
            self.gate = self.gate.failed(generation, self.now, Trouble.DOWN, None, "")
            if not is_late:
                self.in_a_row += 1
                if not self.is_closed or self.in_a_row >= 5:
                    self.open(60)

    def open(self, seconds: int) -> None:
        base = self.now if self.is_closed else self.shut_until
        self.shut_until = max(base, self.now + seconds * SECOND)
        self.is_closed = False
        self.probes.clear()
        self.outdate()

    def outdate(self) -> None:
        self.requests = [(generation, True) for generation, _ in self.requests]

    def live_probes(self) -> int:
        return sum(until > self.now for _, until in self.probes)

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        assert self.live_probes() <= 1, "two probes at once"
        opened = OPEN if self.now < self.shut_until else HALF_OPEN
        assert self.gate.state(self.now) is (CLOSED if self.is_closed else opened)
        assert self.gate.failures == self.in_a_row
        if not self.is_closed and self.now < self.shut_until:
            assert self.gate.retry_in(self.now) == self.shut_until - self.now


def run_machine(**given: Any) -> None:
    run_state_machine_as_test(GateMachine, settings=settings(deadline=None, database=None, stateful_step_count=40, **given))


def test_any_sequence_of_calls() -> None:
    run_machine(max_examples=200)


@pytest.mark.parametrize(
    ("function", "old", "new"),
    [
        (Gate.admitted, "if shut_for is not None:", "if False:"),
        (Gate.admitted, ", probe_until=now + PROBE_SECONDS * _SECOND", ""),
        (Gate.admitted, "generation=self.generation + 1", "generation=self.generation"),
        (Gate.succeeded, "if generation != self.generation:", "if False:"),
        (Gate.failed, "if generation != self.generation and not is_limited:", "if False:"),
        (Gate.failed, "failures < FAILURES_IN_A_ROW", "failures <= FAILURES_IN_A_ROW"),
        (Gate.failed, "max(self.open_until or now, ", "max(now, "),
        (Gate.failed, "generation=self.generation + 1", "generation=self.generation"),
        (Gate.abandoned, "if generation == self.generation else self", "if True else self"),
    ],
)
def test_the_machine_notices_a_missing_guard(function: Any, old: str, new: str) -> None:
    with mutated(function, (old, new)), pytest.raises(AssertionError):
        run_machine(max_examples=2000, derandomize=True, report_multiple_bugs=False, phases=[Phase.generate])
