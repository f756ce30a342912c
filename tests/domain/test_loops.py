"""A loop's course as a noun: what state it is in at each instant, how its waits grow, and what is told of its errors."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import StoreUnavailable
from domain.loops import JITTER, LoopCourse, LoopState, told
from tests.support.mutants import mutated

FAILURE = OSError(111, "Connect call failed ('10.0.0.7', 5432)")
RUNNING, WAITING, FAILED, STOPPED = LoopState
NEW = LoopCourse("work", turned_at=100.0)


def failing(times: int, at: float = 100.0, course: LoopCourse = NEW) -> LoopCourse:
    """Fails at once so many times, each time a second after it was started again."""
    for number in range(times):
        course = course.failed(FAILURE, at + 2 * number + 1).started_again(at + 2 * number + 2)
    return course


def state_of(course: LoopCourse, at: float) -> tuple[LoopState, float]:
    status = course.status(at)
    return status.state, status.lasts.total_seconds()


def test_one_that_never_failed_is_running_from_the_beginning() -> None:
    assert state_of(NEW, 100) == (RUNNING, 0)
    assert state_of(NEW, 160) == (RUNNING, 60)
    assert (NEW.status(160).restarts, NEW.status(160).last_error, NEW.status(160).is_unwell) == (0, None, False)


def test_one_that_failed_is_waiting_until_it_has_run_for_5_seconds_again() -> None:
    failed = NEW.failed(FAILURE, 110)
    again = failed.started_again(111)
    assert [state_of(failed, at) for at in (110, 111)] == [(WAITING, 0), (WAITING, 1)]
    assert [state_of(again, at) for at in (111, 115.9, 116)] == [(WAITING, 1), (WAITING, 5.9), (RUNNING, 5)]
    status = again.status(116)
    assert (status.restarts, status.last_error, status.is_unwell) == (1, "ConnectionRefusedError: Connection refused.", False)
    assert again.status(112).is_unwell


def test_the_fifth_failure_in_a_row_is_one_too_many() -> None:
    assert [failing(times).status(100 + 2 * times).state for times in range(1, 7)] == [WAITING] * 4 + [FAILED] * 2
    assert state_of(failing(5), 110) == (FAILED, 9), "since the first of them"
    assert state_of(failing(5), 115) == (RUNNING, 5)


def test_a_minute_of_quiet_forgets_the_failures_and_less_does_not() -> None:
    five = failing(5)  # the last start is at 110
    assert five.failed(FAILURE, 169.9).status(170).state is FAILED
    assert five.failed(FAILURE, 170).status(170).state is WAITING
    assert state_of(five.failed(FAILURE, 130), 131) == (FAILED, 1), "it ran well in between"


def test_one_that_is_stopped_is_stopped_whatever_was_before() -> None:
    for course in (NEW, failing(1), failing(9), NEW.failed(FAILURE, 101)):
        assert state_of(course.stopped(200), 205) == (STOPPED, 5)
        assert not course.stopped(200).status(205).is_unwell


def test_waits_double_up_to_the_longest() -> None:
    waits = [failing(times).wait_seconds(60, 0) for times in range(1, 10)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert [failing(times).wait_seconds(2, 0) for times in range(1, 6)] == [0.5, 1, 2, 2, 2]


@given(st.integers(1, 20_000), st.floats(0, 1), st.floats(0.5, 3600))
def test_chance_takes_a_quarter_at_most_and_adds_nothing(failures: int, chance: float, longest: float) -> None:
    course = LoopCourse("work", 0, failures=failures)
    whole = course.wait_seconds(longest, 0)
    assert 0.5 <= whole <= longest
    assert whole * (1 - JITTER) <= course.wait_seconds(longest, chance) <= whole


@pytest.mark.parametrize(
    ("old", "new", "noticed_by"),
    [
        ("2.0 **", "1.0 **", test_waits_double_up_to_the_longest),
        ("min(grown, longest)", "grown", test_waits_double_up_to_the_longest),
        ("(1 - JITTER", "(1 + JITTER", test_chance_takes_a_quarter_at_most_and_adds_nothing),
    ],
)
def test_waits_that_do_not_grow_have_no_end_or_are_prolonged_are_noticed(
    old: str, new: str, noticed_by: Callable[[], None]
) -> None:
    with mutated(LoopCourse.wait_seconds, (old, new)), pytest.raises(AssertionError):
        noticed_by()


@pytest.mark.parametrize(
    ("function", "old", "new", "noticed_by"),
    [
        (
            LoopCourse._is_well,
            "at - self.turned_at >= STEADY_SECONDS",
            "True",
            test_one_that_failed_is_waiting_until_it_has_run_for_5_seconds_again,
        ),
        (LoopCourse._state, ">= MANY_FAILURES", "> MANY_FAILURES", test_the_fifth_failure_in_a_row_is_one_too_many),
        (LoopCourse.failed, "if was_quiet", "if False", test_a_minute_of_quiet_forgets_the_failures_and_less_does_not),
        (LoopCourse.failed, "if was_quiet", "if was_well", test_a_minute_of_quiet_forgets_the_failures_and_less_does_not),
        (LoopCourse.failed, "at if was_well", "at if self", test_the_fifth_failure_in_a_row_is_one_too_many),
    ],
)
def test_states_that_come_too_early_or_stay_too_long_are_noticed(
    function: Any, old: str, new: str, noticed_by: Callable[[], None]
) -> None:
    with mutated(function, (old, new)), pytest.raises(AssertionError):
        noticed_by()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (FAILURE, "ConnectionRefusedError: Connection refused."),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('10.0.0.7', 5432)"), "OSError, see the log."),
        (RuntimeError("password=hush"), "RuntimeError, see the log."),
        (StoreUnavailable(), "The database does not answer; try again in a moment."),
        (ExceptionGroup("of hush", [ExceptionGroup("hush", [KeyError("hush")])]), "KeyError, see the log."),
        (TimeoutError(), "TimeoutError, see the log."),
    ],
)
def test_what_is_told_of_an_error_holds_no_address_and_no_secret(error: Exception, sentence: str) -> None:
    assert told(error) == sentence
    assert NEW.failed(error, 101).status(102).last_error == sentence
    assert timedelta(seconds=1) == NEW.failed(error, 101).status(102).lasts
