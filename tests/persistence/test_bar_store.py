"""Bars and corporate actions in the store, the same on both databases."""

from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.bars import ActionKind, Bar, CorporateAction, Interval
from domain.faults import Fault
from domain.ports import BarPage, BarQuery
from domain.symbols import Symbol
from persistence.bar_store import SqlBarStore
from persistence.tables import bars as bar_table
from persistence.tables import session_bars
from persistence.unit_of_work import SqlDatabase
from tests.support.provider import daily_bar, profile

DAY = timedelta(days=1)
MONDAY = date(2026, 3, 2)
MONDAY_BEGINS = datetime(2026, 3, 2, tzinfo=UTC)
LATER = datetime(2027, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, tzinfo=UTC)


def days(ticker: str, count: int, first: date = MONDAY) -> list[Bar]:
    return [daily_bar(ticker, first + n * DAY, f"{100 + n}") for n in range(count)]


def minute_bar(ticker: str, at: datetime) -> Bar:
    return replace(
        daily_bar(ticker, at.date()), interval=Interval.ONE_MINUTE, open_time=at, close_time=at + timedelta(minutes=1)
    )


AAPL, MSFT, QQQ = days("AAPL", 10), days("MSFT", 3), days("QQQ", 1)


@pytest.fixture
async def stored(database: SqlDatabase) -> SqlDatabase:
    """AAPL with ten days, MSFT with three, QQQ with one, SPY with none; and some minutes."""
    async with database.write() as unit:
        for ticker in ("AAPL", "MSFT", "QQQ", "SPY"):
            await unit.symbols.add(Symbol.tracked(profile(ticker), None, None))
        await unit.bars.upsert([*reversed(AAPL), *MSFT, *QQQ])
        await unit.bars.upsert([minute_bar("AAPL", AAPL[0].open_time + timedelta(minutes=n)) for n in range(3)])
    return database


async def page(database: SqlDatabase, query: BarQuery, ticker: str = "AAPL") -> BarPage:
    async with database.read() as unit:
        return (await unit.bars.pages([ticker], query))[ticker]


def daily(limit: int = 100, until: datetime = LATER, **rest: Any) -> BarQuery:
    return BarQuery(Interval.ONE_DAY, limit, until, **rest)


# ── upsert


async def test_a_bar_comes_back_as_it_was_given(stored: SqlDatabase) -> None:
    odd = Bar(
        ticker="SPY",
        interval=Interval.ONE_DAY,
        open_time=AAPL[0].open_time,
        close_time=AAPL[0].close_time,
        open=Decimal("20614.449300000001"),
        high=Decimal("12345678901234567890.5"),
        low=Decimal("0.00000812"),
        close=Decimal("1.10"),
        volume=Decimal("0.123456789012345678"),
        adjusted_to=date(2025, 12, 31),
        source="somewhere",
        is_final=False,
        faults=Fault.HIGH_VOLUME,
    )
    async with stored.write() as unit:
        await unit.bars.upsert([odd])
    (found,) = (await page(stored, daily(), "SPY")).bars
    assert found == odd
    for name in ("open", "high", "low", "close", "volume"):
        assert format(getattr(found, name), "f") == format(getattr(odd, name), "f")


async def test_changed_values_win_and_nothing_is_doubled(stored: SqlDatabase) -> None:
    changed = replace(AAPL[4], close=Decimal("104.5"), volume=Decimal(7), adjusted_to=MONDAY, source="mended", is_final=False)
    async with stored.write() as unit:
        await unit.bars.upsert([changed, AAPL[5]])
    assert (await page(stored, daily())).bars == [*AAPL[:4], changed, *AAPL[5:]]


async def test_of_a_bar_given_twice_the_last_wins(stored: SqlDatabase) -> None:
    first, last = daily_bar("SPY", MONDAY, "1"), daily_bar("SPY", MONDAY, "2")
    async with stored.write() as unit:
        await unit.bars.upsert([first, last])
    assert (await page(stored, daily(), "SPY")).bars == [last]


async def test_of_bars_given_twice_among_many_the_last_win(stored: SqlDatabase) -> None:
    times = [AAPL[0].open_time + timedelta(minutes=n) for n in range(3)]
    again = [time.astimezone(ZoneInfo("Australia/Sydney")) for time in times]
    first = [replace(minute_bar("AAPL", time), close=Decimal(100), source="first") for time in times]
    last = [replace(minute_bar("AAPL", time), close=Decimal(100), source="last") for time in again]
    async with stored.write() as unit:
        await unit.bars.upsert([*first, *last, *first[1:], replace(last[1], is_final=False)])
        found = (await unit.bars.pages(["AAPL"], BarQuery(Interval.ONE_MINUTE, 10, LATER)))["AAPL"].bars
    assert found == [last[0], replace(last[1], is_final=False), first[2]]


ODD: list[dict[str, Any]] = [
    {"high": Decimal("1E+18"), "volume": Decimal("1E+18")},
    {"high": Decimal("1000000000000000000.0123456789"), "close": Decimal("0.0000000001"), "low": Decimal("1E-10")},
    {"open": Decimal("1.10"), "close": Decimal("1.1"), "low": Decimal("1.100"), "volume": Decimal("0E-7")},
    {"volume": Decimal(0), "low": Decimal("0.00")},
    {"close_time": AAPL[0].close_time + timedelta(microseconds=1)},
    {"open_time": AAPL[0].open_time - timedelta(microseconds=1), "close_time": datetime(9999, 12, 30, tzinfo=UTC)},
    {"open_time": datetime(2026, 3, 2, 10, tzinfo=ZoneInfo("Australia/Sydney"))},
    {"open_time": datetime(1, 1, 2, tzinfo=UTC), "adjusted_to": date(1, 1, 1)},
    {"adjusted_to": date(9999, 12, 31), "is_final": False, "faults": Fault(0)},
    *(
        {"source": source}
        for source in ("", " ", "NULL", "null", '"', "\\", '\\"', "a,b", "{a}", "é \n\t'", "%s $1 :a ?", "日本 🙂")
    ),
]


@pytest.mark.parametrize("odd", ODD, ids=str)
async def test_odd_values_are_held_as_sqlalchemy_would_write_them(stored: SqlDatabase, odd: dict[str, Any]) -> None:
    """Column by column the same as its insert of one row: it is what earlier versions wrote."""
    equal = [replace(AAPL[n], ticker="SPY", close=Decimal(text)) for n, text in enumerate(("1.1", "1.10"), 1)]
    given = [replace(AAPL[0], ticker="SPY", **odd), *equal]
    types = ", ".join(f'typeof("{column.name}")' for column in bar_table.c) if stored.kind == "sqlite" else "1"
    raw = f"SELECT CAST(t.close AS TEXT), {types}, t.* FROM {{}} t WHERE ticker = 'SPY' ORDER BY open_time"
    async with stored.engine.write() as connection:
        for bar in given:
            await connection.execute(insert(session_bars).values(asdict(bar)))
        await SqlBarStore(connection).upsert(given)
        theirs, ours = [(await connection.exec_driver_sql(raw.format(table))).all() for table in ("session_bars", "bars")]
        found = await SqlBarStore(connection).closed_between(["SPY"], Interval.ONE_DAY, datetime(1, 1, 1, tzinfo=UTC), LAST)
    assert ours == theirs
    assert sorted(found, key=lambda bar: bar.open_time) == sorted(given, key=lambda bar: bar.open_time)
    for bar in found:
        assert bar.open_time.tzinfo is UTC
        assert bar.close_time.tzinfo is UTC
    (same,) = [bar for bar in found if bar.open_time == given[0].open_time]
    for name in ("open", "high", "low", "close", "volume"):
        assert format(getattr(same, name), "f") == format(getattr(given[0], name), "f")


async def _writes(connection: AsyncConnection) -> Any:
    """What another write of a row of `bars` changes."""
    if connection.dialect.name == "sqlite":
        return (await connection.exec_driver_sql("SELECT total_changes()")).scalar_one()
    rows = await connection.exec_driver_sql("SELECT ticker, interval, open_time, xmin::text, ctid::text FROM bars")
    return sorted(map(tuple, rows))


async def test_what_is_there_as_given_is_not_written(stored: SqlDatabase) -> None:
    for again in (AAPL, [replace(bar, open_time=bar.open_time.astimezone(ZoneInfo("Australia/Sydney"))) for bar in AAPL]):
        async with stored.engine.write() as connection:
            before = await _writes(connection)
            await SqlBarStore(connection).upsert(again)
            assert await _writes(connection) == before


@pytest.mark.parametrize(
    "change",
    [
        {"close_time": AAPL[4].close_time + timedelta(microseconds=1)},
        {"open": Decimal(1)},
        {"high": Decimal(1000)},
        {"low": Decimal(1)},
        {"close": AAPL[4].close + Decimal("0.0000000001")},
        {"close": Decimal(f"{AAPL[4].close}.0")},
        {"volume": Decimal(1)},
        {"adjusted_to": MONDAY},
        {"source": "mended"},
        {"is_final": False},
        {"faults": Fault.BROKEN | Fault.GAP},
        {"faults": Fault(0)},
    ],
    ids=str,
)
async def test_whichever_column_changes_that_row_alone_is_written(stored: SqlDatabase, change: dict[str, Any]) -> None:
    changed = replace(AAPL[4], **change)
    async with stored.engine.write() as connection:
        before = await _writes(connection)
        await SqlBarStore(connection).upsert([*AAPL[:4], changed, *AAPL[5:]])
        after = await _writes(connection)
    if stored.kind == "sqlite":
        assert after - before == 1
    else:
        assert [row[2] for row in set(after) - set(before)] == [changed.open_time]
    found = (await page(stored, daily())).bars
    assert [repr(bar) for bar in found] == [repr(bar) for bar in [*AAPL[:4], changed, *AAPL[5:]]]


async def test_ten_thousand_at_once(stored: SqlDatabase, statements: list[str]) -> None:
    many = [
        replace(minute_bar("SPY", AAPL[0].open_time + timedelta(minutes=n)), volume=Decimal(n) / 1000, is_final=n % 3 > 0)
        for n in range(10_000)
    ]
    async with stored.write() as unit:
        await unit.bars.upsert([*many[5000:], *many[:5000]])
        assert len(statements) == {"postgresql": 1, "sqlite": 2}[stored.kind], "SQLite notes their days by one of its own"
        assert await unit.bars.closed_between(["SPY"], Interval.ONE_MINUTE, MONDAY_BEGINS, LATER) == many
        await unit.bars.upsert([replace(bar, source="mended") for bar in many[::2]])
        found = await unit.bars.closed_between(["SPY"], Interval.ONE_MINUTE, MONDAY_BEGINS, LATER)
    assert [bar.source for bar in found] == ["mended", many[1].source] * 5000


async def test_what_is_rolled_back_was_never_there(stored: SqlDatabase) -> None:
    async with stored.engine.write() as connection:
        bars = SqlBarStore(connection)
        await bars.upsert([replace(AAPL[0], source="mended"), *days("SPY", 3)])
        assert (await bars.pages(["SPY"], daily()))["SPY"].bars == days("SPY", 3)
        await connection.rollback()
    assert (await page(stored, daily(), "SPY")).bars == []
    assert (await page(stored, daily())).bars == AAPL


async def test_nothing_to_store_is_no_statement(stored: SqlDatabase, statements: list[str]) -> None:
    async with stored.write() as unit:
        await unit.bars.upsert([])
        await unit.bars.upsert_actions([])
    assert statements == []


# ── what is held


async def test_daily_since_a_date(stored: SqlDatabase) -> None:
    async with stored.read() as unit:
        assert await unit.bars.daily_since("AAPL", AAPL[7].day) == AAPL[7:]
        assert await unit.bars.daily_since("AAPL", date(2020, 1, 1)) == AAPL
        assert await unit.bars.daily_since("AAPL", AAPL[-1].day + DAY) == []
        assert await unit.bars.daily_since("SPY", MONDAY) == []


async def test_a_day_that_opens_on_the_eve_is_of_its_date(stored: SqlDatabase) -> None:
    opens = datetime(2026, 3, 1, 23, tzinfo=UTC)
    sydney = replace(daily_bar("SPY", MONDAY), open_time=opens, close_time=opens + timedelta(hours=6))
    async with stored.write() as unit:
        await unit.bars.upsert([sydney])
        assert await unit.bars.daily_since("SPY", MONDAY) == [sydney]
        assert await unit.bars.daily_since("SPY", MONDAY + DAY) == []


async def test_the_newest_daily_bar(stored: SqlDatabase) -> None:
    async with stored.write() as unit:
        await unit.bars.upsert([minute_bar("AAPL", AAPL[-1].close_time + DAY)])
        assert await unit.bars.newest_daily("AAPL") == AAPL[-1]
        assert await unit.bars.newest_daily("SPY") is None


# ── pages


@pytest.mark.parametrize(
    ("query", "expected", "has_more"),
    [
        (daily(), AAPL, False),
        (daily(10), AAPL, False),
        (daily(9), AAPL[:9], True),
        (daily(9, newest=True), AAPL[1:], True),
        (daily(10, newest=True), AAPL, False),
        (daily(1, newest=True), AAPL[-1:], True),
        (daily(start=AAPL[3].open_time, end=AAPL[6].open_time), AAPL[3:6], False),
        (daily(2, start=AAPL[3].open_time, end=AAPL[6].open_time), AAPL[3:5], True),
        (daily(2, start=AAPL[3].open_time, end=AAPL[6].open_time, newest=True), AAPL[4:6], True),
        (daily(after=AAPL[6].open_time), AAPL[7:], False),
        (daily(3, after=AAPL[6].open_time), AAPL[7:], False),
        (daily(3, before=AAPL[6].open_time, newest=True), AAPL[3:6], True),
        (daily(before=AAPL[1].open_time), AAPL[:1], False),
        (daily(after=AAPL[9].open_time), [], False),
        (daily(until=AAPL[4].close_time), AAPL[:5], False),
        (daily(until=AAPL[4].close_time - timedelta(microseconds=1)), AAPL[:4], False),
        (daily(2, until=AAPL[4].close_time, newest=True), AAPL[3:5], True),
        (daily(5, until=AAPL[4].close_time), AAPL[:5], False),
        (daily(start=AAPL[6].open_time, end=AAPL[3].open_time), [], False),
    ],
)
async def test_a_page(stored: SqlDatabase, query: BarQuery, expected: list[Bar], has_more: bool) -> None:
    assert await page(stored, query) == BarPage(expected, has_more)


async def test_the_minutes_are_of_their_own(stored: SqlDatabase) -> None:
    found = await page(stored, BarQuery(Interval.ONE_MINUTE, 2, LATER, newest=True))
    assert [bar.open_time - AAPL[0].open_time for bar in found.bars] == [timedelta(minutes=1), timedelta(minutes=2)]
    assert found.has_more


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 10, 11])
async def test_each_ticker_has_a_page_of_its_own_length(stored: SqlDatabase, limit: int, newest: bool) -> None:
    held = {"AAPL": AAPL, "MSFT": MSFT, "QQQ": QQQ, "SPY": [], "UNKNOWN": []}
    async with stored.read() as unit:
        found = await unit.bars.pages(list(held), daily(limit, newest=newest))
    assert found == {
        ticker: BarPage(bars[-limit:] if newest else bars[:limit], len(bars) > limit) for ticker, bars in held.items()
    }


async def test_one_statement_however_many_tickers(stored: SqlDatabase, statements: list[str]) -> None:
    async with stored.read() as unit:
        for tickers in (["AAPL"], ["AAPL", "MSFT", "QQQ", "SPY"]):
            statements.clear()
            await unit.bars.pages(tickers, daily(3, newest=True))
            assert len(statements) == 1
            await unit.bars.actions(tickers)
            assert len(statements) == 2


_instants = st.none() | st.integers(-1, 11).map(lambda n: AAPL[0].open_time + n * DAY)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    limit=st.integers(1, 12),
    until=st.integers(-1, 12).map(lambda n: AAPL[0].open_time + n * DAY),
    newest=st.booleans(),
    start=_instants,
    end=_instants,
    after=_instants,
    before=_instants,
)
async def test_a_page_is_what_a_list_would_give(
    stored: SqlDatabase,
    limit: int,
    until: datetime,
    newest: bool,
    start: datetime | None,
    end: datetime | None,
    after: datetime | None,
    before: datetime | None,
) -> None:
    query = BarQuery(Interval.ONE_DAY, limit, until, newest, start, end, after, before)
    wanted = [
        bar
        for bar in AAPL
        if bar.close_time <= until
        and (start is None or bar.open_time >= start)
        and (end is None or bar.open_time < end)
        and (after is None or bar.open_time > after)
        and (before is None or bar.open_time < before)
    ]
    assert await page(stored, query) == BarPage(wanted[-limit:] if newest else wanted[:limit], len(wanted) > limit)


# ── actions


async def test_actions_come_oldest_first_and_are_replaced(stored: SqlDatabase) -> None:
    split = CorporateAction("AAPL", MONDAY + DAY, ActionKind.SPLIT, Decimal("0.1"), "stub")
    dividend = CorporateAction("AAPL", MONDAY + DAY, ActionKind.DIVIDEND, Decimal("0.00000812"), "stub")
    older = CorporateAction("AAPL", MONDAY, ActionKind.SPLIT, Decimal(3), "stub")
    mended = replace(split, value=Decimal(10), source="mended")
    async with stored.write() as unit:
        await unit.bars.upsert_actions([split, dividend])
        await unit.bars.upsert_actions([mended, older])
        found = await unit.bars.actions(["AAPL", "MSFT"])
    assert found["AAPL"][0] == older
    assert sorted(found["AAPL"][1:], key=lambda action: action.kind.value) == [dividend, mended]
    assert "MSFT" not in found


async def test_when_bars_open(stored: SqlDatabase) -> None:
    begins = int(MONDAY_BEGINS.timestamp())
    async with stored.read() as unit:
        each = [
            await unit.bars.opens_between("AAPL", Interval.ONE_MINUTE, begins, begins + 180),
            await unit.bars.opens_between("AAPL", Interval.ONE_MINUTE, begins + 1, begins + 120),
            await unit.bars.opens_between("AAPL", Interval.ONE_DAY, begins, begins + 86_401),
            await unit.bars.opens_between("SPY", Interval.ONE_DAY, 0, begins),
        ]
        firsts = [await unit.bars.first_open(ticker, Interval.ONE_DAY) for ticker in ("AAPL", "SPY")]
    assert each == [[begins, begins + 60, begins + 120], [begins + 60], [begins, begins + 86_400], []]
    assert firsts == [begins, None]


# ── beside a time, and gone


@pytest.mark.parametrize(
    ("first", "last", "beside", "expected"),
    [
        (3, 6, 2, range(1, 8)),
        (3, 6, 1, range(2, 7)),
        (0, 10, 5, range(10)),
        (3, 3, 2, range(1, 5)),
        (3, 6, 50, range(10)),
        (20, 30, 2, range(8, 10)),
        (-9, 0, 3, range(3)),
    ],
)
async def test_those_of_a_time_come_with_their_neighbours(
    stored: SqlDatabase, first: int, last: int, beside: int, expected: range
) -> None:
    start, until = (MONDAY_BEGINS + n * DAY for n in (first, last))
    async with stored.read() as unit:
        found = await unit.bars.around("AAPL", Interval.ONE_DAY, start, until, beside)
    assert found == [AAPL[n] for n in expected]


async def test_bars_are_removed_by_the_time_they_open(stored: SqlDatabase) -> None:
    async with stored.write() as unit:
        await unit.bars.remove("AAPL", Interval.ONE_DAY, [AAPL[0].open_time, AAPL[4].open_time, LAST])
        await unit.bars.remove("MSFT", Interval.FIVE_MINUTES, [MSFT[0].open_time])
    assert (await page(stored, daily())).bars == [*AAPL[1:4], *AAPL[5:]]
    assert (await page(stored, daily(), "MSFT")).bars == MSFT
    assert len((await page(stored, BarQuery(Interval.ONE_MINUTE, 10, LATER))).bars) == 3


async def test_all_bars_of_a_symbol_go_and_those_of_others_stay(stored: SqlDatabase) -> None:
    async with stored.write() as unit:
        await unit.session_bars.upsert([AAPL[0], MSFT[0]])
        await unit.bars.drop("AAPL")
        await unit.session_bars.drop("AAPL")
        found = await unit.session_bars.pages(["AAPL", "MSFT"], daily())
    for query in (daily(), BarQuery(Interval.ONE_MINUTE, 10, LATER)):
        assert (await page(stored, query)).bars == []
    assert (await page(stored, daily(), "MSFT")).bars == MSFT
    assert (found["AAPL"].bars, found["MSFT"].bars) == ([], [MSFT[0]])
