from dataclasses import replace

import pytest

from domain.errors import SymbolNotFound, VersionConflict
from domain.symbols import Symbol, SymbolStatus
from domain.tickers import AssetClass
from tests.support.provider import profile

AAPL = Symbol.tracked(profile("AAPL"), None, None)


def test_a_new_symbol_is_active_at_version_1_and_never_updated() -> None:
    assert (AAPL.status, AAPL.version, AAPL.last_updated) == (SymbolStatus.ACTIVE, 1, None)


def test_the_callers_class_and_name_win_over_the_providers() -> None:
    spy = Symbol.tracked(profile("SPY"), AssetClass.ETF, "Spider")
    assert (spy.asset_class, spy.name) == (AssetClass.ETF, "Spider")


def test_added_again_with_nothing_new_is_the_same() -> None:
    assert AAPL.added_again(None, None, None) is AAPL
    assert AAPL.added_again(1, AssetClass.STOCK, AAPL.name) is AAPL


def test_a_wrong_version_conflicts_also_when_nothing_would_change() -> None:
    with pytest.raises(VersionConflict) as conflict:
        AAPL.added_again(7, None, None)
    assert (conflict.value.expected, conflict.value.current) == (7, 1)


def test_a_change_needs_the_version() -> None:
    with pytest.raises(VersionConflict) as conflict:
        AAPL.added_again(None, None, "Apple")
    assert conflict.value.expected is None
    assert (
        conflict.value.message == "AAPL is tracked and changing its class or name needs its expectedVersion; its version is 1."
    )
    changed = AAPL.added_again(1, None, "Apple")
    assert (changed.name, changed.version) == ("Apple", 2)


def test_a_retired_symbol_is_revived_with_its_version_only_and_onboarded_again() -> None:
    retired = AAPL.retired(1)
    assert (retired.status, retired.version) == (SymbolStatus.RETIRED, 2)
    with pytest.raises(VersionConflict) as conflict:
        retired.added_again(None, None, None)
    assert (conflict.value.expected, conflict.value.current) == (None, 2)
    assert retired.added_again(2, None, None) == replace(AAPL, status=SymbolStatus.ONBOARDING, version=3)


@pytest.mark.parametrize("status", [SymbolStatus.ONBOARDING, SymbolStatus.ACTIVE, SymbolStatus.SUSPECT])
def test_added_again_a_symbol_that_is_not_retired_keeps_its_status(status: SymbolStatus) -> None:
    known = replace(AAPL, status=status)
    assert known.added_again(None, None, None) is known
    assert known.added_again(1, None, "Apple") == replace(known, name="Apple", version=2)


def test_a_retired_symbol_is_neither_retired_again_nor_refreshed() -> None:
    retired = AAPL.retired(1)
    with pytest.raises(VersionConflict):
        retired.retired(2)
    with pytest.raises(SymbolNotFound):
        retired.require_refreshable(None)


def test_retiring_expects_the_version() -> None:
    with pytest.raises(VersionConflict):
        AAPL.retired(2)
