from datetime import UTC, datetime, timedelta

import pytest

from domain.clock import StartedClock, SystemClock, parse_instant

START = datetime(2026, 3, 27, 20, 30, tzinfo=UTC)


def test_a_started_clock_runs_at_the_real_pace_and_only_by_the_timer() -> None:
    timer = 1000.0
    clock = StartedClock(START, monotonic=lambda: timer)
    assert clock.now() == START
    timer += 90.5
    assert clock.now() == START + timedelta(seconds=90.5)


def test_the_system_clock_is_aware_utc() -> None:
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert now.tzinfo is UTC
    assert before <= now <= datetime.now(UTC)


@pytest.mark.parametrize("text", ["2026-03-27T20:30:00Z", "2026-03-27T21:30:00+01:00", "2026-03-27T20:30:00+00:00"])
def test_an_instant_is_read_as_utc(text: str) -> None:
    instant = parse_instant(text)
    assert instant == START
    assert instant.tzinfo is UTC


@pytest.mark.parametrize("text", ["2026-03-27T20:30:00", "2026-03-27", "now", ""])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_instant(text)
