"""Backfills, what providers do not have, and how far bars are known, the same on both databases."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from domain.backfill import Backfill, BackfillStatus, Priority, Wanted
from domain.bars import Interval
from domain.gaps import Absence, GapCause, Mark
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING
from tests.support.universe import track

FRIDAY = EVENING.date()
WANTED = (Wanted(Interval.ONE_DAY, date(2025, 1, 2), FRIDAY), Wanted(Interval.ONE_MINUTE, FRIDAY, FRIDAY))
FULL = Backfill(
    "AAPL",
    BackfillStatus.FAILED,
    WANTED,
    "api",
    Priority.HELD,
    "why",
    EVENING,
    EVENING + timedelta(seconds=1),
    EVENING + timedelta(seconds=2),
    expected=3,
    received=2,
    records_inserted=1,
    attempts=2,
    lapses=4,
    failed_days=2,
    failed_on=FRIDAY,
)


@pytest.fixture
async def tracked(database: SqlDatabase) -> SqlDatabase:
    await track(database, "AAPL", "MSFT")
    return database


async def test_one_that_was_never_asked_for_is_there_when_it_is_locked(tracked: SqlDatabase) -> None:
    async with tracked.write() as unit:
        assert await unit.backfills.of(["AAPL"]) == {}
        assert await unit.backfills.lock("AAPL") == Backfill("AAPL")
        assert not await unit.backfills.is_up(3)
        assert await unit.backfills.claim(3, EVENING) is None
        assert await unit.backfills.counts() == {}


async def test_all_of_it_is_kept(tracked: SqlDatabase) -> None:
    async with tracked.write() as unit:
        await unit.backfills.lock("AAPL")
        await unit.backfills.save(FULL)
    async with tracked.write() as unit:
        assert await unit.backfills.lock("AAPL") == FULL
        assert await unit.backfills.of(["AAPL", "MSFT", "NOPE"]) == {"AAPL": FULL}
        assert await unit.backfills.counts() == {BackfillStatus.FAILED: 1}


async def test_one_that_is_to_wait_is_not_taken_up(tracked: SqlDatabase) -> None:
    async with tracked.write() as unit:
        job = (await unit.backfills.lock("AAPL")).asked_for(WANTED, "api", Priority.ASKED_FOR, EVENING)
        await unit.backfills.save(job, 60)
        assert await unit.backfills.claim(3, EVENING) is None
        await unit.backfills.save(job)
        claim = await unit.backfills.claim(3, EVENING)
        assert claim is not None
        assert claim.job == replace(job, status=BackfillStatus.IN_PROGRESS, attempts=1, last_attempt_at=EVENING)
        assert await unit.backfills.hold("AAPL", claim.token)
        assert not await unit.backfills.hold("AAPL", claim.token + 1)
        await unit.backfills.save(claim.job.postponed("later"), 60)
        assert not await unit.backfills.hold("AAPL", claim.token), "it is back in the queue"
        assert await unit.backfills.counts() == {BackfillStatus.PENDING: 1}


def absence(provider: str, first: int, last: int, cause: GapCause = GapCause.PROVIDER_HOLE) -> Absence:
    month = date(2026, 3, 1)
    days = month.replace(day=first), month.replace(day=last)
    return Absence("AAPL", Interval.ONE_MINUTE, provider, *days, cause, EVENING, EVENING + timedelta(days=1))


async def test_absences_are_noted_in_place_and_forgotten_by_their_days(tracked: SqlDatabase) -> None:
    old, new, other = absence("one", 2, 3), absence("one", 2, 6, GapCause.FETCH_FAILED), absence("two", 2, 3)
    later = absence("one", 9, 10)
    async with tracked.write() as unit:
        await unit.quality.note_absences([old, other, later])
        await unit.quality.note_absences([new])
        await unit.quality.note_absences([])
        assert (await unit.quality.absences(["AAPL"], Interval.ONE_DAY)).get("AAPL") is None
        await unit.quality.forget_absences("AAPL", Interval.ONE_MINUTE, date(2026, 3, 2), date(2026, 3, 3))
        assert (await unit.quality.absences(["AAPL"], Interval.ONE_MINUTE))["AAPL"] == [new, later]
        await unit.quality.forget_absences("AAPL", Interval.ONE_MINUTE, date(2026, 3, 1), date(2026, 3, 9))
        assert (await unit.quality.absences(["AAPL"], Interval.ONE_MINUTE))["AAPL"] == [later]


async def test_a_mark_never_goes_back(tracked: SqlDatabase) -> None:
    def mark(complete: int | None, attempted: int) -> Mark:
        def at(hours: int) -> datetime:
            return EVENING + timedelta(hours=hours)

        return Mark("AAPL", Interval.ONE_DAY, at(complete) if complete is not None else None, at(attempted))

    seen = []
    for given in (mark(None, 2), mark(1, 1), mark(None, 3), mark(0, 0)):
        async with tracked.write() as unit:
            await unit.quality.set_mark(given)
            seen.append((await unit.quality.marks(["AAPL"], Interval.ONE_DAY))["AAPL"])
    assert seen == [mark(None, 2), mark(1, 2), mark(1, 3), mark(1, 3)]
