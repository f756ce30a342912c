"""What is counted of bars, beside the bars themselves, whatever was written, written again, counted and kept in between."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random

import numpy as np
import pytest
from sqlalchemy import select

from domain.bars import Bar, Interval
from domain.faults import PRICE_GAPS, VALIDATED, Fault
from domain.held import DAILY, HeldDays, Span, bits_of, day_number
from domain.symbols import Symbol
from persistence import statistics_store
from persistence.bar_store import SqlBarStore
from persistence.tables import bar_days
from persistence.unit_of_work import SqlDatabase
from tests.support.provider import daily_bar, profile

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
MONDAY = datetime(2026, 3, 23, tzinfo=UTC)
TICKERS = ["AAPL", "MSFT", "SPY"]
NEVER = "QQQ"
FAULTS = [None, *(Fault(value) for value in range(64))]


def bar(ticker: str, opens: datetime, interval: Interval = Interval.ONE_MINUTE, faults: Fault | None = None) -> Bar:
    made = daily_bar(ticker, opens.date(), interval=interval, open_time=opens, close_time=opens + MINUTE)
    return replace(made, faults=faults)


@pytest.fixture
async def stored(database: SqlDatabase) -> SqlDatabase:
    async with database.write() as unit:
        for ticker in (*TICKERS, NEVER):
            await unit.symbols.add(Symbol.tracked(profile(ticker), None, None))
    return database


def counted(held: Sequence[Bar]) -> HeldDays:
    """The rules, taken literally."""
    days = {each.open_time.date() for each in held}
    is_daily = held[0].interval is Interval.ONE_DAY
    aligned = [each.open_time for each in held if each.open_time.second == 0]
    return HeldDays(
        len(held),
        sum(each.faults in VALIDATED for each in held),
        sum(each.faults in PRICE_GAPS for each in held),
        {day_number(day): DAILY if is_daily else packed(day, aligned) for day in days},
    )


def packed(day: date, opens: Sequence[datetime]) -> bytes:
    bits = ["0"] * 1440
    for each in opens:
        if each.date() == day:
            bits[each.hour * 60 + each.minute] = "1"
    return int("".join(bits), 2).to_bytes(180, "big")


async def found(database: SqlDatabase, interval: Interval) -> dict[str, HeldDays]:
    async with database.read() as unit:
        return dict(await unit.statistics.held([*TICKERS, NEVER], interval))


async def is_current(database: SqlDatabase) -> list[bool]:
    async with database.engine.read() as connection:
        return list(await connection.scalars(select(bar_days.c.is_current)))


async def settle(database: SqlDatabase, interval: Interval = Interval.ONE_MINUTE) -> int:
    async with database.write() as unit:
        return await unit.statistics.settle(interval)


@pytest.mark.parametrize("seed", range(4))
async def test_counts_are_those_of_the_bars(stored: SqlDatabase, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """New bars, others in their place, the same again, of all intervals at once, and some that open at no minute; days are
    settled now and then, a few at a time."""
    monkeypatch.setattr(statistics_store, "DAYS_AT_ONCE", 3)
    monkeypatch.setattr(statistics_store, "DAYS_SETTLED", 2)
    chance, held = Random(seed), dict[tuple[str, Interval, datetime], Bar]()
    for _ in range(25):
        given = []
        for _ in range(chance.randint(1, 12)):
            interval = chance.choice([Interval.ONE_MINUTE, Interval.ONE_MINUTE, Interval.FIVE_MINUTES, Interval.ONE_DAY])
            opens = (
                MONDAY
                + chance.randrange(4) * DAY
                + (chance.randrange(0, 1440, 97) * MINUTE if interval.value != "1d" else 0 * DAY)
            )
            if interval is Interval.ONE_MINUTE and chance.random() < 0.1:
                opens += timedelta(seconds=30)
            given.append(bar(chance.choice(TICKERS), opens, interval, chance.choice(FAULTS)))
        if held and chance.random() < 0.3:
            given.append(chance.choice(list(held.values())))
        async with stored.write() as unit:
            await unit.bars.upsert(given)
        held |= {(each.ticker, each.interval, each.open_time): each for each in given}
        if chance.random() < 0.5:
            await settle(stored, chance.choice([Interval.ONE_MINUTE, Interval.FIVE_MINUTES]))
        for interval in (Interval.ONE_MINUTE, Interval.FIVE_MINUTES, Interval.ONE_DAY):
            each = {ticker: [b for b in held.values() if b.ticker == ticker and b.interval is interval] for ticker in TICKERS}
            assert await found(stored, interval) == {ticker: counted(those) for ticker, those in each.items() if those}
    for interval in (Interval.ONE_MINUTE, Interval.FIVE_MINUTES):
        async with stored.read() as unit:
            spans = await unit.statistics.spans(TICKERS, interval)
        for ticker, span in spans.items():
            those = sorted(b.open_time for b in held.values() if b.ticker == ticker and b.interval is interval)
            assert span == Span(those[0], those[-1], those[-1] + MINUTE)


async def test_what_is_there_as_given_marks_nothing(stored: SqlDatabase) -> None:
    given = [bar("AAPL", MONDAY + n * DAY) for n in range(3)]
    async with stored.write() as unit:
        await unit.bars.upsert([*given, bar("AAPL", MONDAY, Interval.ONE_DAY)])
        assert await unit.statistics.stale(Interval.ONE_MINUTE) == 3
    assert await settle(stored) == 3
    assert await settle(stored) == 0
    async with stored.write() as unit:
        await unit.bars.upsert(given)
    assert await is_current(stored) == [True] * 3
    async with stored.write() as unit:
        await unit.bars.upsert([*given[:2], replace(given[2], source="mended")])
        stale = await unit.statistics.stale(Interval.ONE_MINUTE)
    assert stale == {"postgresql": 1, "sqlite": 3}[stored.kind], "SQLite marks all that it was given"
    async with stored.write() as unit:
        await unit.session_bars.upsert([bar("MSFT", MONDAY, Interval.FIVE_MINUTES)])
        assert await unit.statistics.stale(Interval.FIVE_MINUTES) == 0, "the session's own are not counted"


async def test_what_is_rolled_back_marks_nothing(stored: SqlDatabase) -> None:
    async with stored.write() as unit:
        await unit.bars.upsert([bar("AAPL", MONDAY)])
    await settle(stored)
    async with stored.engine.write() as connection:
        await SqlBarStore(connection).upsert([bar("AAPL", MONDAY + MINUTE)])
        await connection.rollback()
    assert await is_current(stored) == [True]
    assert (await found(stored, Interval.ONE_MINUTE))["AAPL"].count == 1


async def test_a_day_whose_bars_are_gone_is_settled_as_empty(stored: SqlDatabase) -> None:
    async with stored.write() as unit:
        await unit.bars.upsert([bar("AAPL", MONDAY)])
    assert await settle(stored) == 1
    async with stored.write() as unit:
        await unit.bars.remove("AAPL", Interval.ONE_MINUTE, [MONDAY])
    assert (await found(stored, Interval.ONE_MINUTE))["AAPL"].count == 0
    assert await settle(stored) == 1
    assert (await found(stored, Interval.ONE_MINUTE))["AAPL"] == HeldDays(bits={day_number(MONDAY.date()): bytes(180)})


async def test_only_the_days_asked_for_are_read(stored: SqlDatabase) -> None:
    async with stored.write() as unit:
        await unit.bars.upsert([bar("AAPL", MONDAY + n * DAY) for n in range(3)])
        await unit.statistics.settle(Interval.ONE_MINUTE)
        await unit.bars.upsert([bar("AAPL", MONDAY + MINUTE)])
        one = await unit.statistics.held(["AAPL"], Interval.ONE_MINUTE, {day_number(MONDAY.date())})
    assert list(one["AAPL"].bits) == [day_number(MONDAY.date())]
    assert one["AAPL"].count == 2


def test_bits_are_packed_as_the_rules_say() -> None:
    assert bits_of(np.array([0, 7, 8, 1439])) == packed(MONDAY.date(), [MONDAY + n * MINUTE for n in (0, 7, 8, 1439)])
