"""Answers as JSON."""

import json

import orjson

from graph.execution import Answer


def encode(answer: Answer) -> bytes:
    """An answer to a request that was not executed has no `data` at all."""
    body: dict[str, object] = {} if answer.is_request_error else {"data": answer.data}
    if answer.errors:
        body["errors"] = [error.formatted for error in answer.errors]
    return encode_json(body)


def encode_json(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # a number beyond 64 bits, or half a surrogate pair that a provider sent
        return json.dumps(value).encode()
