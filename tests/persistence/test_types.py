"""Values that come back from both databases as they went in."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Dialect, MetaData, Table, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.levels import LevelKind
from persistence.engine import Engine
from persistence.types import Exact, Named, UtcDateTime, real_time

VALUES = Table(
    "values_of_a_test",
    MetaData(),
    Column("at", UtcDateTime()),
    Column("number", Exact()),
    Column("kind", Named(LevelKind)),
)
DIALECTS: tuple[Dialect, ...] = (sqlite.dialect(), postgresql.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


@pytest.fixture
async def connection(engine: Engine) -> AsyncIterator[AsyncConnection]:
    async with engine.write() as connection:
        await connection.run_sync(VALUES.create)
        yield connection


async def back(connection: AsyncConnection, **values: Any) -> Any:
    await connection.execute(insert(VALUES).values(values))
    return (await connection.execute(select(VALUES))).one()


@pytest.mark.parametrize(
    "instant",
    [
        datetime(2026, 3, 27, 20, 30, 0, 1, tzinfo=UTC),
        datetime(2026, 3, 27, 20, 30, 59, 999_999, tzinfo=UTC),
        datetime(2026, 3, 28, 1, 15, tzinfo=timezone(timedelta(hours=5, minutes=45))),
        datetime(2026, 3, 26, 23, 30, tzinfo=timezone(-timedelta(hours=9, minutes=30))),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
)
async def test_an_instant_comes_back_in_utc_to_the_microsecond(connection: AsyncConnection, instant: datetime) -> None:
    found = (await back(connection, at=instant)).at
    assert found == instant
    assert found.utcoffset() == timedelta(0)


async def test_a_naive_datetime_is_refused(connection: AsyncConnection) -> None:
    with pytest.raises(StatementError, match="naive"):
        await back(connection, at=datetime(2026, 3, 27))  # noqa: DTZ001 - that is the point


async def test_instants_compare_across_offsets(connection: AsyncConnection) -> None:
    noon_in_tokyo = datetime(2026, 3, 27, 12, tzinfo=timezone(timedelta(hours=9)))
    await back(connection, at=datetime(2026, 3, 27, 3, 0, 0, 1, tzinfo=UTC))
    later = select(VALUES.c.at).where(VALUES.c.at > noon_in_tokyo)
    not_later = select(VALUES.c.at).where(VALUES.c.at <= noon_in_tokyo)
    assert (await connection.execute(later)).one_or_none() is not None
    assert (await connection.execute(not_later)).one_or_none() is None


@pytest.mark.parametrize(
    "text",
    ["20614.449300000001", "0.00000812", "12345678901234567890.5", "0.0000000000000000001", "1.10", "0", "-3.250", "1000"],
)
async def test_a_decimal_comes_back_digit_for_digit(connection: AsyncConnection, text: str) -> None:
    found = (await back(connection, number=Decimal(text))).number
    assert isinstance(found, Decimal)
    assert format(found, "f") == text


async def test_a_decimal_with_an_exponent_comes_back_as_its_digits(connection: AsyncConnection) -> None:
    assert format((await back(connection, number=Decimal("1.5E+3"))).number, "f") == "1500"


async def test_none_stays_none(connection: AsyncConnection) -> None:
    assert tuple(await back(connection, at=None, number=None, kind=None)) == (None, None, None)


async def test_an_enum_is_kept_as_its_value(connection: AsyncConnection) -> None:
    assert (await back(connection, kind=LevelKind.RESISTANCE)).kind is LevelKind.RESISTANCE
    assert (await connection.exec_driver_sql("SELECT kind FROM values_of_a_test")).scalar_one() == "resistance"


@given(
    instant=st.datetimes(
        min_value=datetime(1, 1, 3),  # noqa: DTZ001 - the strategy adds the zone
        max_value=datetime(9999, 12, 29),  # noqa: DTZ001 - likewise
        timezones=st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23))),
    ),
    dialect=st.sampled_from(DIALECTS),
)
def test_any_aware_instant_survives_its_column(instant: datetime, dialect: Dialect) -> None:
    column = UtcDateTime()
    found = column.process_result_value(column.process_bind_param(instant, dialect), dialect)
    assert found == instant
    assert found is not None
    assert found.tzinfo is UTC


@given(number=st.decimals(allow_nan=False, allow_infinity=False), dialect=st.sampled_from(DIALECTS))
def test_any_finite_decimal_survives_its_column(number: Decimal, dialect: Dialect) -> None:
    column = Exact()
    found = column.process_result_value(column.process_bind_param(number, dialect), dialect)
    assert found == number


async def test_the_databases_own_time_is_now(connection: AsyncConnection) -> None:
    before = datetime.now(UTC)
    found = (await connection.execute(select(real_time()))).scalar_one()
    # To the millisecond on SQLite.
    assert before - timedelta(milliseconds=1) <= found <= datetime.now(UTC)


@pytest.mark.parametrize("seconds", [20, 0.5, -90, -7 * 86_400])
async def test_the_databases_own_time_from_now(connection: AsyncConnection, seconds: float) -> None:
    row = (await connection.execute(select(real_time().label("now"), real_time(seconds).label("then")))).one()
    assert abs(row.then - row.now - timedelta(seconds=seconds)) < timedelta(milliseconds=50)


async def test_the_databases_own_time_compares_with_what_is_stored(connection: AsyncConnection) -> None:
    await connection.execute(insert(VALUES).values(at=real_time(5)))
    alive = select(VALUES.c.at).where(VALUES.c.at > real_time())
    lapsed_then = select(VALUES.c.at).where(VALUES.c.at <= real_time(10))
    assert (await connection.execute(alive)).one_or_none() is not None
    assert (await connection.execute(lapsed_then)).one_or_none() is not None
