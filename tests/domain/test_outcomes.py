"""Lines of the log that stay one line each, and that a machine can take apart."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.outcomes import outcome_line


def test_what_went_well_has_no_reason() -> None:
    line = outcome_line("refresh", "BRK-B", "refreshed", None, 0.0414, by="api", bars=6)
    assert line == "refresh ticker=BRK-B outcome=refreshed by=api bars=6 seconds=0.041"


def test_a_reason_is_in_quotes() -> None:
    line = outcome_line("refresh", "EUR/USD", "no_data", 'It said "no".', 12)
    assert line == 'refresh ticker=EUR/USD outcome=no_data reason="It said \\"no\\"." seconds=12.000'


@pytest.mark.parametrize("reason", ["a\nb", "a\rINFO forged", "", "a=b", "\\", "\u2028", "tab\there"])
def test_nothing_in_a_value_ends_the_line_or_passes_for_a_key(reason: str) -> None:
    line = outcome_line("refresh", "A", "failed", reason, 0)
    assert len(line.splitlines()) == 1
    assert [part.partition("=")[0] for part in shlex.split(line)] == ["refresh", "ticker", "outcome", "reason", "seconds"]


@given(st.text())
def test_of_any_text_it_is_one_line(reason: str) -> None:
    assert len(outcome_line("refresh", "A", "failed", reason, 0).splitlines()) == 1
