"""What providers do not have, and how far bars are known, the same on both databases."""

from datetime import date, datetime, timedelta

import pytest

from domain.bars import Interval
from domain.gaps import Absence, GapCause, Mark
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import EVENING
from tests.support.universe import track


@pytest.fixture
async def tracked(database: SqlDatabase) -> SqlDatabase:
    await track(database, "AAPL", "MSFT")
    return database


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
