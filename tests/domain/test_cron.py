"""When a cron expression is due."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.cron import Cron


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "now", "newest", "following"),
    [
        ("0 2 * * *", "2026-03-28T01:59:59.999999", "2026-03-27T02:00", "2026-03-28T02:00"),
        ("0 2 * * *", "2026-03-28T02:00:00", "2026-03-28T02:00", "2026-03-29T02:00"),
        ("0 2 * * *", "2026-03-28T02:00:00.000001", "2026-03-28T02:00", "2026-03-29T02:00"),
        # clocks are put forward at 01:00 UTC that day in Europe, and were at 07:00 on 8 March in New York: UTC is not
        ("30 1 * * *", "2026-03-29T01:00", "2026-03-28T01:30", "2026-03-29T01:30"),
        ("30 2 * * *", "2026-03-08T07:30", "2026-03-08T02:30", "2026-03-09T02:30"),
        ("*/30 8-17 * * mon-fri", "2026-03-27T17:30", "2026-03-27T17:30", "2026-03-30T08:00"),
        ("0 0 29 2 *", "2026-03-27T00:00", "2024-02-29T00:00", "2028-02-29T00:00"),
    ],
)
def test_the_newest_and_the_next(expression: str, now: str, newest: str, following: str) -> None:
    cron = Cron(expression)
    assert (cron.newest_by(at(now)), cron.next_after(at(now))) == (at(newest), at(following))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "daily",
        "@daily",
        "0 2 * *",
        "0 0 2 * * *",
        "0 24 * * *",
        "60 * * * *",
        "* * 31 2 *",
        "* * * * MON#1/2",
        "*/0 * * * *",
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cron|fields"):
        Cron(text)


_LIKELY = st.from_regex(r"(\*|[0-9]{1,2}(-[0-9]{1,2})?)(/[0-9])?(,[0-9]{1,2})?", fullmatch=True)
_FIELD = _LIKELY | st.sampled_from(["*", "1"]) | st.text("0123456789*/,-L#W MONJAN", max_size=6)
_INSTANT = st.integers(0, 1 << 31).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(st.lists(_FIELD, min_size=4, max_size=6).map(" ".join), _INSTANT)
def test_any_text_is_one_or_is_refused(text: str, now: datetime) -> None:
    try:
        cron = Cron(text)
    except ValueError:
        return
    newest, following = cron.newest_by(now), cron.next_after(now)
    assert newest <= now < following
    assert cron.next_after(newest - timedelta(microseconds=1)) == newest
    assert cron.next_after(newest) == following
