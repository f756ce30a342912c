"""The course of a backfill, on both databases."""

from datetime import UTC, datetime

import pytest

from domain.backfill import BackfillStatus
from domain.bars import Interval
from domain.events import SymbolChangeKind
from domain.services.filling import Filling
from domain.services.refreshing import Refreshing
from persistence.unit_of_work import SqlDatabase
from tests.support.backfilled import backfilled, minutes, queue
from tests.support.clock import EVENING, ManualClock
from tests.support.punctual import PunctualProvider
from tests.support.universe import profile_of, track

FRIDAY = EVENING.date()


@pytest.fixture
def provider() -> PunctualProvider:
    return PunctualProvider(*map(profile_of, ("AAPL", "SPY", "BTC-USD", "EUR/USD", "BRK-B")))


@pytest.fixture
def filling(database: SqlDatabase, provider: PunctualProvider, clock: ManualClock) -> Filling:
    return Filling(database, provider, Refreshing(database, provider, clock), clock)


async def test_a_days_minutes_are_filled(database: SqlDatabase, filling: Filling, provider: PunctualProvider) -> None:
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(FRIDAY))
    await filling.work_off()
    found = await backfilled(database, "AAPL")
    assert (found.job.status, found.job.error, found.job.last_success_at) == (BackfillStatus.COMPLETED, None, EVENING)
    assert (found.job.expected, found.job.received, found.job.records_inserted) == (390, 390, 390)
    assert len(found.opens) == 390
    assert found.symbol.version == 2
    assert found.told[-1] == (SymbolChangeKind.BACKFILLED, "390 bars of 1m, 390 new")
    close = datetime(2026, 3, 27, 20, tzinfo=UTC)
    assert found.mark is not None
    assert (found.mark.complete_until, found.mark.attempted_until) == (close, close)
    assert provider.requests == [("AAPL", Interval.ONE_MINUTE, FRIDAY, close)]
