"""Pages: from where, and the cursors of their edges. How many is checked for all fields alike: see graph/limits.py."""

import base64
from collections.abc import Callable
from typing import TypeVar

import strawberry

from domain.errors import InvalidArgument, InvalidTicker

T = TypeVar("T")


@strawberry.type
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


def write_cursor(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def read_cursor(name: str, cursor: str, read: Callable[[str], T]) -> T:
    """Raises InvalidArgument for what was never a cursor."""
    try:
        return read(base64.urlsafe_b64decode(cursor).decode())
    except (ValueError, OverflowError, InvalidTicker):
        raise InvalidArgument(name, "a cursor of an earlier page", repr(cursor[:80])) from None
