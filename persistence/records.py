"""Nouns as JSON, where a column keeps one whole. Its fields are read by their types: what another Freshtape wrote may have more
of them, or fewer where there is a default."""

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import date
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")
Reader = Callable[[Any], Any]


def written(noun: Any) -> str:
    return json.dumps(noun, default=_plain, separators=(",", ":"))


def read(kind: type[T], text: str) -> T:
    noun: T = _built(kind, json.loads(text))
    return noun


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    return {name: getattr(value, name) for name in _readers(value.__class__)}


@cache
def _readers(kind: Any) -> dict[str, Reader]:
    hints = get_type_hints(kind)
    return {field.name: _reader(hints[field.name]) for field in fields(kind)}


@cache
def _reader(kind: Any) -> Reader:
    if get_origin(kind) is tuple:
        each = _reader(get_args(kind)[0])
        return lambda values: tuple(map(each, values))
    if get_origin(kind) is UnionType:
        (given,) = (_reader(member) for member in get_args(kind) if member is not NoneType)
        return lambda value: None if value is None else given(value)
    if is_dataclass(kind):
        return lambda values: _built(kind, values)
    if issubclass(kind, date):
        parse: Reader = kind.fromisoformat
        return parse
    return kind if issubclass(kind, Enum) else lambda value: value


def _built(kind: Any, values: dict[str, Any]) -> Any:
    readers = _readers(kind)
    return kind(**{name: readers[name](value) for name, value in values.items() if name in readers})
