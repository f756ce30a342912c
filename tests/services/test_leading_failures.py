"""A leader whose store fails again and again: what is stored agrees at every moment, and nothing is lost or told twice."""

from pathlib import Path
from random import Random

import pytest

from domain.services import leadership
from domain.session import Run
from graph.context import Services
from persistence.event_feed import SqlEventFeed
from persistence.unit_of_work import SqlDatabase
from providers.sample import SampleProvider
from tests.support.clock import ManualClock
from tests.support.failing import FailingDatabase
from tests.support.figures import told
from tests.support.led_sessions import AT_ONCE, Kept, comes_to, has_passed, kept_in, leading, replay
from tests.support.market import made_up, write_market, write_minutes
from tests.support.mutants import in_force
from tests.support.universe import track

FIRST, SECOND, LATER = TICKERS = made_up(3)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_market(tmp_path_factory.mktemp("market") / "made_up", TICKERS)
    write_minutes(folder, TICKERS)
    return folder


@pytest.fixture
def provider(market: Path, clock: ManualClock) -> SampleProvider:
    return SampleProvider(market, clock)


@pytest.fixture(autouse=True)
def _many_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leadership, "FRONT_AT_ONCE", 16)
    monkeypatch.setattr(leadership, "CHUNK", 30)
    monkeypatch.setattr(leadership, "AGAIN_SECONDS", 0)


async def led_through_failures(
    database: SqlDatabase, services: Services, provider: SampleProvider, clock: ManualClock
) -> tuple[Kept, set[str], FailingDatabase]:
    """What is stored in the end of a day to which a symbol was added, the faults that were seen on the way, and who made it
    hard."""
    faults: set[str] = set()

    async def look() -> None:
        faults.update((await kept_in(database)).faults())

    await track(database, *TICKERS)
    failing = FailingDatabase(database, Random(5), look)
    async with leading(failing, services, provider, clock):
        await services.sessions.start(replay(FIRST, SECOND, speed=AT_ONCE), 0)
        running = await comes_to(database, has_passed(60))
        await services.sessions.add(LATER, running.version, None, None)
        await comes_to(database, lambda session: session.run is Run.FINISHED, within=60)
    return await kept_in(database), faults, failing


async def test_what_is_stored_agrees_at_every_moment_and_in_the_end_with_bulk(
    database: SqlDatabase, feed: SqlEventFeed, services: Services, provider: SampleProvider, clock: ManualClock
) -> None:
    kept, faults, failing = await led_through_failures(database, services, provider, clock)
    assert faults | kept.faults() | kept.losses() == set()
    assert kept.session.leaders == 1
    assert min(failing.failed, failing.in_doubt) > 3
    told(f"{failing.writes} writes, {failing.failed} of them failed, {failing.in_doubt} of them committed in doubt")
    assert [is_active for _, is_active, _ in kept.causes] == [False, True, True, False, True, False]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_were_rows_and_session_not_one_transaction_they_would_not_agree(
    database: SqlDatabase, feed: SqlEventFeed, services: Services, provider: SampleProvider, clock: ManualClock
) -> None:
    with in_force("bars before the session"):
        _, faults, _ = await led_through_failures(database, services, provider, clock)
    assert {f"{FIRST}: no windows beyond the clock", f"{SECOND}: no windows beyond the clock"} <= faults
