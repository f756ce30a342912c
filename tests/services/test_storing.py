"""How fetched bars enter the database: what is written, what is made of it, and that their parts may come in any order."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from domain.aggregation import aggregate, minute_of
from domain.bars import ActionKind, Bar, CorporateAction, Interval, split_adjusted
from domain.calendars import calendar_for
from domain.faults import PRICE_GAPS, Fault
from domain.hours import hours_for
from domain.ports import BarQuery
from domain.services.refreshing import Refreshing
from domain.services.storing import ROLLED, Stored, store
from domain.symbols import Symbol
from domain.tickers import AssetClass
from domain.validation import judged
from persistence.unit_of_work import SqlDatabase
from providers.sample import SampleProvider, listing
from tests.support.clock import EVENING, ManualClock
from tests.support.figures import told
from tests.support.provider import daily_bar
from tests.support.universe import track, track_as
from web.settings import BUNDLED_SAMPLE

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
THURSDAY = datetime(2026, 3, 26, 13, 30, tzinfo=UTC)
FRIDAY = THURSDAY + DAY
ALL = (Interval.ONE_MINUTE, *ROLLED)
SPLITS = Path(__file__).parents[1] / "support" / "splits"
"""Three months of days around each of three real splits."""


@pytest.fixture
async def aapl(database: SqlDatabase) -> Symbol:
    (symbol,) = await track(database, "AAPL")
    return symbol


def minutes(begins: datetime, count: int, *, without: Sequence[int] = (), **changes: Any) -> list[Bar]:
    """From then on, a wandering price; the same of an instant each time."""
    found = []
    for n in range(count):
        opens = begins + n * MINUTE
        chance = Random(opens.timestamp())
        price = Decimal(chance.randint(9_900, 10_100)) / 100
        volume = Decimal(chance.choice((100, 120, 150, 2000)))
        values = (price, price + 1, price - 1, price + Decimal("0.5"), volume)
        if n not in without:
            bar = Bar("AAPL", Interval.ONE_MINUTE, opens, opens + MINUTE, *values, opens.date(), "stub")
            found.append(replace(bar, **changes))
    return found


async def put(
    database: SqlDatabase, symbol: Symbol, bars: Sequence[Bar], *actions: CorporateAction, now: datetime = EVENING
) -> Stored:
    async with database.write() as unit:
        await unit.symbols.lock(symbol.ticker)
        return await store(unit, symbol, bars, actions, now)


async def held(database: SqlDatabase, ticker: str = "AAPL") -> dict[Interval, list[Bar]]:
    async with database.read() as unit:
        return {
            interval: (await unit.bars.pages([ticker], BarQuery(interval, 10_000, EVENING + 300 * DAY)))[ticker].bars
            for interval in Interval
        }


def made_of(minutes: Sequence[Bar], symbol: Symbol, now: datetime) -> dict[Interval, list[tuple[object, ...]]]:
    """What the aggregation alone says of each interval."""
    hours = hours_for(calendar_for(symbol.asset_class, symbol.exchange))
    parts = [minute_of(bar) for bar in minutes]
    return {
        interval: [tuple(window) for window in aggregate(parts, hours, interval, int(now.timestamp()))] for interval in ROLLED
    }


def as_windows(bars: Sequence[Bar]) -> list[tuple[object, ...]]:
    return [
        (b.interval, int(b.open_time.timestamp()), int(b.close_time.timestamp()), b.open, b.high, b.low, b.close, b.volume)
        for b in bars
    ]


# ── minutes, and what is made of them


async def test_minutes_are_stored_with_the_longer_bars_that_they_make(database: SqlDatabase, aapl: Symbol) -> None:
    given = [*minutes(THURSDAY, 390, without=range(20, 31)), *minutes(FRIDAY, 390)]
    stored = await put(database, aapl, given)
    now = await held(database)
    assert (stored.received, stored.inserted, len(stored.changed), stored.outside) == (769, 769, 769, 0)
    assert now[Interval.ONE_MINUTE] == judged(given, [], [])
    assert now[Interval.ONE_DAY] == [], "the exchange's own bar of the day is another"
    for interval, windows in made_of(given, aapl, EVENING).items():
        assert as_windows(now[interval]) == windows
        assert now[interval] == judged([bar.judged(Fault(0)) for bar in now[interval]], [], [])
        assert {(bar.is_final, bar.source) for bar in now[interval]} == {(True, "stub")}
    assert {interval.value: len(now[interval]) for interval in ROLLED} == {"5m": 154, "15m": 52, "30m": 26, "1h": 14, "4h": 4}


async def test_of_a_day_that_is_not_over_nothing_is_final_and_only_whole_windows_are_made(
    database: SqlDatabase, aapl: Symbol
) -> None:
    given, now = [*minutes(THURSDAY, 390), *minutes(FRIDAY, 17)], FRIDAY + 17 * MINUTE
    await put(database, aapl, given, now=now)
    found = await held(database)
    for bars in found.values():
        assert all(bar.is_final is (bar.open_time < FRIDAY) for bar in bars)
    assert [len([bar for bar in found[interval] if bar.open_time >= FRIDAY]) for interval in ALL] == [17, 3, 1, 0, 0, 0]
    later = FRIDAY + 390 * MINUTE
    assert (await put(database, aapl, minutes(FRIDAY, 17), now=later)).revisions == ()
    found = await held(database)
    assert all(bar.is_final for bars in found.values() for bar in bars)
    assert [len([bar for bar in found[interval] if bar.open_time >= FRIDAY]) for interval in ALL] == [17, 4, 2, 1, 1, 1]


async def test_minutes_outside_trading_hours_are_left_out_and_counted(
    database: SqlDatabase, aapl: Symbol, caplog: pytest.LogCaptureFixture
) -> None:
    early, late = minutes(THURSDAY - 5 * MINUTE, 5), minutes(THURSDAY + 390 * MINUTE, 3)
    saturday = minutes(FRIDAY + DAY, 2)
    with caplog.at_level("INFO", "freshtape.storing"):
        stored = await put(database, aapl, [*early, *minutes(THURSDAY, 390), *late, *saturday])
    assert (stored.received, stored.outside, stored.inserted) == (400, 10, 390)
    assert [bar.open_time for bar in (await held(database))[Interval.ONE_MINUTE]] == [b.open_time for b in stored.changed]
    assert "AAPL: 10 of 400 minutes are outside trading hours" in caplog.text
    assert (await put(database, aapl, saturday)) == Stored(received=2, outside=2)


async def test_only_news_is_written_and_what_was_final_is_recorded(
    database: SqlDatabase, aapl: Symbol, statements: list[str]
) -> None:
    given = minutes(THURSDAY, 390)
    await put(database, aapl, given)
    before = await held(database)
    statements.clear()
    assert (await put(database, aapl, [replace(bar, adjusted_to=FRIDAY.date()) for bar in given])).changed == ()
    assert [statement for statement in statements if statement.startswith(("INSERT", "UPDATE", "DELETE"))] == []
    assert await held(database) == before
    mended = replace(given[7], high=given[7].high + 1)
    stored = await put(database, aapl, [*given[:7], mended, *given[8:]])
    assert [bar.open_time for bar in stored.changed] == [mended.open_time]
    (revision,) = stored.revisions
    assert (revision.field, revision.old_value, revision.new_value) == ("high", given[7].high, mended.high)
    async with database.read() as unit:
        assert await unit.quality.revisions(["AAPL"], 10) == {"AAPL": [revision]}
    after = await held(database)
    for interval, windows in made_of([*given[:7], mended, *given[8:]], aapl, EVENING).items():
        assert as_windows(after[interval]) == windows
        assert sum(one != other for one, other in zip(before[interval], after[interval], strict=True)) <= 1


async def test_of_two_revisions_at_one_instant_the_first_and_the_last_value_are_told(
    database: SqlDatabase, aapl: Symbol
) -> None:
    given = minutes(THURSDAY, 10)
    for close in ("100", "101", "100.5"):
        await put(database, aapl, [replace(given[0], close=Decimal(close)), *given[1:]])
    async with database.read() as unit:
        (revision,) = (await unit.quality.revisions(["AAPL"], 10))["AAPL"]
    assert (revision.old_value, revision.new_value) == (Decimal(100), Decimal("100.5"))


async def test_longer_bars_that_the_minutes_do_not_make_are_gone(database: SqlDatabase, aapl: Symbol) -> None:
    stray = replace(daily_bar("AAPL", date(2026, 3, 26)), interval=Interval.FIVE_MINUTES, open_time=THURSDAY + 100 * MINUTE)
    other_day = replace(stray, open_time=THURSDAY - DAY)
    async with database.write() as unit:
        await unit.bars.upsert([stray, other_day])
    given = minutes(THURSDAY, 60)
    await put(database, aapl, given)
    found = (await held(database))[Interval.FIVE_MINUTES]
    assert as_windows(found[1:]) == made_of(given, aapl, EVENING)[Interval.FIVE_MINUTES]
    assert found[0].open_time == other_day.open_time, "of a day that was not touched"


async def test_minutes_that_were_stored_in_other_shares_make_bars_in_the_newest(database: SqlDatabase, aapl: Symbol) -> None:
    taken = CorporateAction("AAPL", FRIDAY.date(), ActionKind.SPLIT, Decimal(2), "stub")
    given = minutes(THURSDAY, 30)
    await put(database, aapl, given[:3], taken)
    halved = [
        replace(
            bar,
            **{name: getattr(bar, name) / 2 for name in ("open", "high", "low", "close")},
            volume=bar.volume * 2,
            adjusted_to=FRIDAY.date(),
        )
        for bar in given[3:]
    ]
    await put(database, aapl, halved)
    found = await held(database)
    adjusted = split_adjusted([*given[:3], *halved], [taken], FRIDAY.date())
    for interval, windows in made_of(adjusted, aapl, EVENING).items():
        assert as_windows(found[interval]) == windows
        assert {bar.adjusted_to for bar in found[interval]} == {FRIDAY.date()}
    assert not any(bar.faults in PRICE_GAPS for bars in found.values() for bar in bars)


@pytest.mark.parametrize("seed", range(6))
async def test_parts_in_any_order_come_to_the_same(database: SqlDatabase, aapl: Symbol, seed: int) -> None:
    """Also what is judged by what comes beside it, of the minutes and of what they make."""
    given = [bar for n in range(4) for bar in minutes(THURSDAY - n * DAY, 390, without=range(0, 390, 7))]
    given.sort(key=lambda bar: bar.open_time)
    chance = Random(seed)
    cuts = [0, *sorted(chance.sample(range(1, len(given)), 6)), len(given)]
    parts = [given[first:last] for first, last in pairwise(cuts)]
    chance.shuffle(parts)
    for part in parts:
        await put(database, aapl, part)
    found = await held(database)
    assert found[Interval.ONE_MINUTE] == judged(given, [], [])
    for interval, windows in made_of(given, aapl, EVENING).items():
        assert as_windows(found[interval]) == windows
        assert found[interval] == judged([bar.judged(Fault(0)) for bar in found[interval]], [], [])
    assert len({bar.faults for bars in found.values() for bar in bars}) > 1, "or there is nothing to see"


async def test_a_minute_of_the_session_is_judged_when_it_is_fetched(database: SqlDatabase, aapl: Symbol) -> None:
    given = minutes(THURSDAY, 10)
    async with database.write() as unit:
        await unit.bars.upsert([replace(bar, is_final=False) for bar in given])
    stored = await put(database, aapl, given)
    assert (stored.inserted, len(stored.changed), stored.revisions) == (0, 10, ())
    assert all(bar.is_final and bar.faults is not None for bar in (await held(database))[Interval.ONE_MINUTE])


# ── days


async def test_a_day_that_is_not_over_is_not_final(database: SqlDatabase, aapl: Symbol) -> None:
    noon = FRIDAY + 3 * timedelta(hours=1)
    today = replace(daily_bar("AAPL", noon.date()), open_time=FRIDAY, close_time=noon)
    await put(database, aapl, [daily_bar("AAPL", noon.date() - DAY), today], now=noon)
    assert [bar.is_final for bar in (await held(database))[Interval.ONE_DAY]] == [True, False]
    whole = replace(today, close_time=FRIDAY + 390 * MINUTE, close=today.close + 1, high=today.high + 1)
    stored = await put(database, aapl, [whole])
    assert ([bar.is_final for bar in stored.changed], stored.revisions) == ([True], ())
    assert (await put(database, aapl, [replace(whole, is_final=False)])).changed[0].is_final is False, "the provider says so"


async def test_a_gap_is_judged_anew_when_what_came_before_it_changes(database: SqlDatabase, aapl: Symbol) -> None:
    first, second = daily_bar("AAPL", date(2026, 3, 24)), daily_bar("AAPL", date(2026, 3, 25), "120")
    await put(database, aapl, [second])
    assert [bar.faults for bar in (await held(database))[Interval.ONE_DAY]] == [Fault(0)]
    stored = await put(database, aapl, [first])
    assert [bar.faults for bar in stored.changed] == [Fault(0), Fault.GAP]
    assert (stored.inserted, stored.revisions) == (1, ())
    await put(database, aapl, [replace(first, close=Decimal(118), high=Decimal(118))])
    assert [bar.faults for bar in (await held(database))[Interval.ONE_DAY]] == [Fault(0), Fault(0)]


async def test_nothing_is_nothing_but_for_the_actions(database: SqlDatabase, aapl: Symbol) -> None:
    taken = CorporateAction("AAPL", date(2026, 3, 25), ActionKind.SPLIT, Decimal(2), "stub")
    assert await put(database, aapl, [], taken) == Stored()
    async with database.read() as unit:
        assert await unit.bars.actions(["AAPL"]) == {"AAPL": [taken]}


# ── the real market


async def test_every_bar_of_the_sample_market_is_judged(database: SqlDatabase, clock: ManualClock) -> None:
    provider = SampleProvider(BUNDLED_SAMPLE, clock)
    symbols = await track_as(database, *(profile for profile, _ in listing(BUNDLED_SAMPLE).values()))
    refreshing = Refreshing(database, provider, clock)
    counted: Counter[Fault | None] = Counter()
    for symbol in symbols:
        await refreshing.refresh(symbol.ticker, None, "cli")
        history = await provider.history(symbol, Interval.ONE_MINUTE, date(2026, 3, 1), clock.now())
        stored = await put(database, symbol, history.bars)
        assert stored.outside == 0
        found = await held(database, symbol.ticker)
        assert len(found[Interval.ONE_MINUTE]) == len(history.bars)
        assert bool(found[Interval.FOUR_HOURS]) is bool(history.bars)
        counted.update(bar.faults for bars in found.values() for bar in bars)
    told(", ".join(f"{fault.name or 'none'} {count:,}" for fault, count in counted.most_common() if fault is not None))
    assert None not in counted
    assert sum(counted.values()) > 15_000
    assert counted[Fault(0)] / sum(counted.values()) > 0.9
    assert counted[Fault.GAP] > 0


async def test_fractional_volumes_of_crypto_stay_whole(database: SqlDatabase, clock: ManualClock) -> None:
    (profile,) = (profile for profile, _ in listing(BUNDLED_SAMPLE).values() if profile.ticker == "BTC-USD")
    (symbol,) = await track_as(database, profile)
    history = await SampleProvider(BUNDLED_SAMPLE, clock).history(symbol, Interval.ONE_MINUTE, date(2026, 3, 1), clock.now())
    await put(database, symbol, history.bars, now=EVENING + DAY)
    found = await held(database, "BTC-USD")
    total = sum(bar.volume for bar in history.bars)
    assert total % 1 != 0
    assert [str(bar.volume) for bar in found[Interval.ONE_MINUTE]] == [str(bar.volume) for bar in history.bars]
    for interval in ROLLED:
        assert sum(bar.volume for bar in found[interval]) == total
    assert symbol.asset_class is AssetClass.CRYPTO


@pytest.mark.parametrize("ticker", ["AVGO", "NFLX", "NVDA"])
async def test_a_real_split_changes_no_return_and_is_no_gap(database: SqlDatabase, clock: ManualClock, ticker: str) -> None:
    """Beside the closes that the recorder had adjusted, for dividends too: these make some hundredths of a percent."""
    rows = {row["date"]: row for row in _rows(SPLITS / "daily" / f"{ticker}.csv")}
    (symbol,) = await track_as(database, listing(SPLITS)[ticker][0])
    history = await SampleProvider(SPLITS, clock).history(symbol, Interval.ONE_DAY, date(2024, 1, 1), clock.now())
    (taken,) = (action for action in history.actions if action.kind is ActionKind.SPLIT)
    stored = await put(database, symbol, history.bars, *history.actions)
    assert not any(bar.faults in PRICE_GAPS for bar in stored.changed if bar.day == taken.ex_date)
    bars = split_adjusted((await held(database, ticker))[Interval.ONE_DAY], history.actions, clock.now().date())
    ours = _returns([float(bar.close) for bar in bars])
    theirs = _returns([float(rows[str(bar.day)]["adj_close"]) for bar in bars])
    raw = _returns([float(bar.close) for bar in stored.changed])
    told(f"{ticker}: largest difference {max(map(_apart, ours, theirs)):.5f}, as traded {max(map(_apart, raw, theirs)):.2f}")
    assert max(map(_apart, ours, theirs)) < 0.005
    assert max(map(_apart, raw, theirs)) > 0.5
    assert datetime.combine(taken.ex_date, time(), UTC) < clock.now()


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _returns(closes: Sequence[float]) -> list[float]:
    return [after / before - 1 for before, after in pairwise(closes)]


def _apart(one: float, other: float) -> float:
    return abs(one - other)
