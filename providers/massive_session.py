"""The official client, and the pool of connections that it talks through: it decides what leaves this process, and what the
client gets to see.

Left alone, the client sends a request again after any refusal, hides its status and its Retry-After, and takes an answer that
cannot be read for one without results. Here a refusal is raised where the answer comes in, and ends the call.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from massive.rest import RESTClient
from massive.rest import base as massive_base
from urllib3 import PoolManager, Timeout

from domain.errors import ProviderUnavailable
from providers.calling import CALL_SECONDS, Calls, Unreadable

NAME = "massive"
PART_BYTES = 1 << 16
GOOD = ("OK", "DELAYED")
"""What `status` says of an answer, the second of a plan that is told later."""


class UnknownSymbol(Exception):
    """Massive's own NOT_FOUND."""


class NotCovered(Exception):
    """Massive's own NOT_AUTHORIZED: the key is good, and its plan has not that."""


@dataclass(frozen=True, slots=True)
class Answer:
    """As much of a response as the client looks at."""

    data: bytes
    status: int = 200


class Json:
    """What the client reads answers with: every number is as it was written, and what cannot be read is no answer."""

    @staticmethod
    def loads(text: str) -> dict[str, Any]:
        answer = _object(text)
        if answer.get("status") not in GOOD:
            raise Unreadable(f"an answer with the status {answer.get('status')!r}")
        return answer


class Pool(PoolManager):
    """Every request of the client. Raises ProviderUnavailable, UnknownSymbol, NotCovered and Unreadable."""

    def __init__(self, calls: Calls, like: PoolManager) -> None:
        super().__init__(headers=like.headers, **like.connection_pool_kw)
        self._calls = calls

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        timeout = Timeout(total=self._calls.seconds_left())
        response = super().request(method, url, *args, **options, retries=False, timeout=timeout, preload_content=False)
        try:
            data = self._read(response)
        except BaseException:
            response.close()
            raise
        response.release_conn()
        if response.status != 200:
            self._refuse(response.status, data, response.headers)
        _text(data)
        return Answer(data)

    def _read(self, response: Any) -> bytes:
        """In parts: an answer that drips in has no more time than another, and nobody may be waiting for it any more."""
        parts: list[bytes] = []
        while part := response.read1(PART_BYTES):
            parts.append(part)
            self._calls.seconds_left()
        return b"".join(parts)

    def _refuse(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        if status == 429:
            self._calls.limit(headers.get("retry-after"))
        if status == 401:
            raise ProviderUnavailable(NAME, detail="refuses the key that FRESHTAPE_MASSIVE_API_KEY holds")
        match status, _said(data):
            case 404, "NOT_FOUND":
                raise UnknownSymbol
            case 403, "NOT_AUTHORIZED":
                raise NotCovered
        raise ProviderUnavailable(NAME, detail=f"answered with status {status}")


def client_on(calls: Calls, key: str, url: str) -> RESTClient:
    """`url` is the server to ask, empty for Massive's own."""
    massive_base.logger.handlers.clear()  # it writes to the standard output, which is the commands'
    options = {"base": url} if url else {}
    client = RESTClient(key, retries=0, connect_timeout=CALL_SECONDS, read_timeout=CALL_SECONDS, custom_json=Json, **options)
    client.client = Pool(calls, client.client)
    return client


def _object(text: str) -> dict[str, Any]:
    try:
        answer = json.loads(text, parse_float=_exact, parse_constant=_exact)
    except (ValueError, RecursionError):
        raise Unreadable("no JSON") from None
    if not isinstance(answer, dict):
        raise Unreadable("no object")
    return answer


def _exact(number: str) -> Decimal:
    """A function of Python's: where the parser calls C alone, no other thread gets a turn before the whole answer is read."""
    return Decimal(number)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Unreadable("no text") from None


def _said(data: bytes) -> object:
    """The `status` of a refusal; None for one of any other shape."""
    try:
        return _object(_text(data)).get("status")
    except Unreadable:
        return None
