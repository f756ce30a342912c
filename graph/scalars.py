"""How the scalars of the contract are read and written.

A value that cannot be read raises GraphQLError: its message is for the client, and is kept.
"""

import base64
import binascii
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

from domain.clock import parse_instant
from domain.events import Position

T = TypeVar("T")

_WRONG = {"code": "BAD_USER_INPUT"}


def _reader(read: Callable[[str], T], expected: str) -> Callable[[object], T]:
    def parse(value: object) -> T:
        try:
            return read(_text(value))
        except (ValueError, InvalidOperation, OverflowError):
            raise GraphQLError(f"{str(value)[:80]!r} is not {expected}.", extensions=_WRONG) from None

    return parse


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a string")
    return value


def _decimal(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise GraphQLError("A Decimal is sent as a string or an integer, never as a JSON float.", extensions=_WRONG)
    return str(value)


def _finite(text: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError("not finite")
    return value


def write_position(position: Position) -> str:
    return base64.urlsafe_b64encode(f"{position.log_id}:{position.number}".encode()).decode()


def read_position(cursor: str) -> Position:
    try:
        log_id, number = base64.urlsafe_b64decode(cursor).decode().split(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("not base64") from error
    if not number.isdecimal():
        raise ValueError("not a number")
    return Position(log_id, int(number))


_read_decimal = _reader(_finite, "a finite decimal number")

SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="An ISO-8601 instant in UTC, e.g. 2025-06-13T20:00:00+00:00. Input needs an offset.",
        serialize=datetime.isoformat,
        parse_value=_reader(parse_instant, "an ISO-8601 instant with an offset, such as 2025-06-13T20:00:00Z"),
    ),
    date: strawberry.scalar(
        name="Date",
        description="An ISO-8601 calendar date, e.g. 2025-06-13.",
        serialize=date.isoformat,
        parse_value=_reader(date.fromisoformat, "an ISO-8601 date, such as 2025-06-13"),
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description=(
            "An exact decimal number, sent as a string; a string or an integer is accepted, never a JSON float, NaN or "
            "Infinity. Prices, quantities and money."
        ),
        serialize=lambda value: format(value, "f"),
        parse_value=lambda value: _read_decimal(_decimal(value)),
    ),
    Position: strawberry.scalar(
        name="Cursor",
        description=(
            "An opaque position in the event log. Hand it back as `after` to receive every later event once, in order."
        ),
        serialize=write_position,
        parse_value=_reader(read_position, "a cursor of this service"),
    ),
}


def given(value: T | None, default: T) -> T:
    """The argument, or the default where it was left out or is null."""
    return default if value is None or value is strawberry.UNSET else value


def optional(value: T | None) -> T | None:
    """The argument, or None where it was left out."""
    return None if value is strawberry.UNSET else value
