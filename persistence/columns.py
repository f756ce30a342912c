"""Many rows at once: what the drivers take and give, made a column at a time and not, as by SQLAlchemy, a value at a time.

Most of a column's values are the same few, and each of those is converted once. Numbers go and come as text, each for itself:
equal ones may differ in their digits.
"""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import ARRAY, Column, ColumnElement, Dialect, Table, bindparam, cast, func, or_, select, text, type_coerce
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.dialects.sqlite import aiosqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import NullType, Text

from persistence.bar_days import mark, marking
from persistence.tables import bars
from persistence.types import Exact, UtcDateTime, digits, utc_text

_DIALECTS: dict[str, Dialect] = {
    "postgresql": asyncpg.dialect(),  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    "sqlite": aiosqlite.dialect(),
}


async def upsert(connection: AsyncConnection, table: Table, given: Sequence[object]) -> None:
    """Each has an attribute for each column. Of a key given twice the last wins; what is there as given is not written."""
    if not given:
        return
    dialect = _DIALECTS[connection.dialect.name]
    if dialect.name == "postgresql":
        key = attrgetter(*(column.key for column in table.primary_key))
        given = list({key(one): one for one in given}.values())  # one statement cannot write a row twice
        arrays = ("{" + ",".join(_taken(column, given, dialect)) + "}" for column in table.c)
        await connection.exec_driver_sql(_upsert_arrays(table), tuple(arrays))
        return
    columns = [_taken(column, given, dialect) for column in table.c]
    done = await connection.exec_driver_sql(_upsert_rows(table), list(zip(*columns, strict=True)))
    if table is bars and done.rowcount:
        await mark(connection, *columns[:3])


def held(columns: Sequence[Column[Any]]) -> list[ColumnElement[Any]]:
    """What to select for `values_of`."""
    return [cast(each, Text()) if isinstance(each.type, Exact) else type_coerce(each, NullType()) for each in columns]


def values_of(columns: Sequence[Column[Any]], rows: Sequence[Sequence[Any]], dialect: Dialect) -> Iterator[Sequence[Any]]:
    """The rows' values, column by column."""
    for column, values in zip(columns, zip(*rows, strict=True), strict=True):
        if isinstance(column.type, Exact):
            yield list(map(Decimal, values))
        elif (convert := column.type.dialect_impl(dialect).result_processor(dialect, None)) is not None:
            yield _each_once(values, convert)
        else:
            yield values


def _taken(column: Column[Any], given: Sequence[object], dialect: Dialect) -> Sequence[Any]:
    """A column's values as the driver takes them; for PostgreSQL as an array's elements are written."""
    values = list(map(attrgetter(column.key), given))
    if isinstance(column.type, Exact):
        return list(map(digits, values))
    if isinstance(column.type, UtcDateTime) and not column.nullable:
        texts = map(utc_text, values)  # few are equal
        return [f'"{text}+00"' for text in texts] if dialect.name == "postgresql" else list(texts)
    convert = column.type.dialect_impl(dialect).bind_processor(dialect) or _as_it_is
    return _each_once(values, (lambda value: _element(convert(value))) if dialect.name == "postgresql" else convert)


def _each_once(values: Sequence[Any], convert: Callable[[Any], Any]) -> list[Any]:
    known = {value: convert(value) for value in set(values)}
    return [known[value] for value in values]


def _as_it_is(value: Any) -> Any:
    return value


def _element(value: Any) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if value is not None else "NULL"


@cache
def _upsert_rows(table: Table) -> str:
    """For SQLite, once for each row."""
    insert = sqlite.insert(table)
    new = insert.excluded
    changed = [column for column in table.c if not column.primary_key]
    statement = insert.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={column.name: new[column.name] for column in changed},
        where=or_(*(column.is_distinct_from(new[column.name]) for column in changed)),
    )
    return str(statement.compile(dialect=_DIALECTS["sqlite"]))


@cache
def _upsert_arrays(table: Table) -> str:
    """For PostgreSQL, once for all rows: an array for each column, as text, which takes a third of the time here that asyncpg's
    own arrays or COPY take."""
    names = [column.name for column in table.c]
    arrays = [cast(bindparam(column.name, type_=Text()), ARRAY(column.type)) for column in table.c]
    given = func.unnest(*arrays).table_valued(*names, name="given").render_derived()
    insert = postgresql.insert(table).from_select(names, select(given))
    statement = insert.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={column.name: insert.excluded[column.name] for column in table.c if not column.primary_key},
        where=text(f"{table.name}.* *<> excluded.*"),  # 1.1 and 1.10 are equal, and not the same
    )
    whole = marking(statement) if table is bars else statement
    return str(whole.compile(dialect=_DIALECTS["postgresql"]))
