"""Column types that mean the same on both databases, and the databases' own clock."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, TypeVar

from sqlalchemy import DateTime, Dialect, Float, Numeric, SmallInteger, String, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from domain.faults import Fault

E = TypeVar("E", bound=Enum)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC instant to the microsecond. SQLite keeps no offset, so the offset is settled on the way in and out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        instant = _settled(value)
        return instant.replace(tzinfo=None) if dialect.name == "sqlite" else instant

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def digits(value: Decimal) -> str:
    """All of them, without an exponent; str is several times faster than format."""
    return text if "E" not in (text := str(value)) else format(value, "f")


def utc_text(value: datetime) -> str:
    """As SQLAlchemy writes it for SQLite, several times faster; PostgreSQL takes it for UTC when it is told so."""
    return _settled(value).isoformat(" ", "microseconds")[:26]


def _settled(value: datetime) -> datetime:
    if value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        raise ValueError("a naive datetime has no place in the database")
    return value.astimezone(UTC)


class Exact(TypeDecorator[Decimal]):
    """A decimal kept digit for digit: SQLite would make a float of it, so there it is text."""

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else Numeric())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        return digits(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return Decimal(value) if value is not None else None


class Named(TypeDecorator[E], Generic[E]):
    """An enum kept as its value."""

    impl = String
    cache_ok = True

    def __init__(self, enum: type[E]) -> None:
        super().__init__()
        self.enum = enum
        self._members = {member.value: member for member in enum}

    def process_bind_param(self, value: E | None, dialect: Dialect) -> str | None:
        return value.value if value is not None else None

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:
        return self._members[value] if value is not None else None


class FaultBits(TypeDecorator[Fault]):
    """A bar's faults; null: not judged."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: Fault | None, dialect: Dialect) -> int | None:
        return int(value) if value is not None else None

    def process_result_value(self, value: int | None, dialect: Dialect) -> Fault | None:
        return Fault(value) if value is not None else None


def ticker_type() -> TypeEngine[str]:
    """Text ordered byte by byte on both databases, whatever the server's locale."""
    return String().with_variant(String(collation="C"), "postgresql")


class real_time(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function that it is
    """The database's own time, `seconds` from now: the server's on PostgreSQL, the machine's on SQLite."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, seconds: float = 0) -> None:
        from sqlalchemy import literal

        super().__init__(literal(seconds, Float()))


@compiles(real_time, "postgresql")
def _real_time_postgresql(element: real_time, compiler: Any, **options: Any) -> str:
    return f"(clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **options)}))"


@compiles(real_time, "sqlite")
def _real_time_sqlite(element: real_time, compiler: Any, **options: Any) -> str:
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {compiler.process(element.clauses, **options)} || ' seconds')"
