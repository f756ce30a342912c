"""A GraphQL request as it comes in: read once, and refused once for what no part of the service could do anything with."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from graph.limits import LimitExceeded

MOST_NAMES = 20_000
MOST_COMMAS = 300_000
"""More than any request has that can be answered: it is the making of so many values that takes long in reading 4 MiB."""
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A JSON string, or what begins as one and never ends."""
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class BadRequest(Exception):
    """One sentence that says what is wrong with the request, and what would be right."""


@dataclass(frozen=True, slots=True)
class Request:
    query: str
    variables: Mapping[str, Any]
    operation_name: str | None = None


def read_json(text: bytes) -> object:
    """The value that UTF-8 text holds. Raises BadRequest for anything but one JSON value."""
    if _is_laden(_marks(text)) and _is_laden(_marks_outside_texts(text)):
        raise BadRequest(f"The request may hold {MOST_NAMES:,} names, lists and objects, and {MOST_COMMAS:,} commas, at most.")
    try:
        return json.loads(text.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise BadRequest("The request must be UTF-8 text.") from None
    except json.JSONDecodeError as error:
        raise BadRequest(f"The request must be JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise BadRequest("The request is nested too deeply to be read.") from None
    except ValueError:
        raise BadRequest("A number in the request has too many digits.") from None


def read_request(body: object, most_values: int) -> Request:
    """The request that a JSON value is. Raises BadRequest, and LimitExceeded for variables that hold too many values."""
    if isinstance(body, list):
        raise BadRequest("A request is one JSON object; batches are not served.")
    if not isinstance(body, dict):
        raise BadRequest("A request is a JSON object with a query, and perhaps variables and an operationName.")
    query, variables = body.get("query"), body.get("variables")
    if not isinstance(query, str) or not query:
        raise BadRequest("query must be a string that is not empty.")
    if not isinstance(variables, (dict, type(None))):
        raise BadRequest("variables must be an object.")
    if not isinstance(body.get("operationName"), (str, type(None))):
        raise BadRequest("operationName must be a string.")
    if not isinstance(body.get("extensions"), (dict, type(None))):
        raise BadRequest("extensions must be an object.")
    _check_values([query, *(body.get(name) for name in ("operationName", "variables", "extensions"))], most_values)
    return Request(query, variables or {}, body.get("operationName"))


def unstorable(text: str) -> bool:
    """Whether the text has NUL or half a surrogate pair in it: PostgreSQL holds neither, UTF-8 not the latter."""
    return _UNSTORABLE.search(text) is not None


_Marks = tuple[int, int]
"""How many names, lists and objects begin, at most, and how many commas there are."""


def _marks(text: bytes) -> _Marks:
    return sum(map(text.count, (b"[", b"{", b":"))), text.count(b",")


def _marks_outside_texts(text: bytes) -> _Marks:
    """A file in a variable has as many commas as it likes. What has very many texts is taken as it is: to look at each would
    take as long as to read it."""
    names, commas = _marks(text)
    for place, match in enumerate(_TEXT.finditer(text)):
        if place > MOST_NAMES:
            return _marks(text)
        within = _marks(match.group())
        names, commas = names - within[0], commas - within[1]
    return names, commas


def _is_laden(marks: _Marks) -> bool:
    return marks[0] > MOST_NAMES or marks[1] > MOST_COMMAS


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequest(f"{name} is no JSON number.")


def _check_values(body: list[object], most_values: int) -> None:
    for count, value in enumerate(_values(body)):
        if count > most_values:
            raise LimitExceeded("values", most_values, f"more than {most_values:,}", " in variables and extensions")
        if isinstance(value, str) and unstorable(value):
            raise BadRequest(f"{value[:80]!a} holds NUL or half a surrogate pair, which no text here can.")
        if isinstance(value, float) and math.isinf(value):
            raise BadRequest("A number in the request is beyond the largest there is.")


def _values(body: list[object]) -> Iterator[object]:
    """Every value and every key, however deep."""
    waiting: list[Any] = [body]
    while waiting:
        inside = waiting.pop()
        for value in (*inside, *inside.values()) if isinstance(inside, dict) else inside:
            yield value
            if isinstance(value, (dict, list)):
                waiting.append(value)
