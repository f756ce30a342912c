"""The HTTP session that yfinance talks through: it decides what leaves this process, and what yfinance gets to see.

Left alone, yfinance sends a request again after any refusal, goes on after a rate-limited crumb, keeps that refusal's text as
the crumb, and remembers failures. Here a refusal is raised where the answer comes in, and ends the call.
"""

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

from curl_cffi.requests import Response, Session
from curl_cffi.requests.exceptions import ConnectionError as NoConnection
from curl_cffi.requests.exceptions import RequestException

from domain.clock import Clock
from domain.errors import ProviderUnavailable, Trouble

log = logging.getLogger("freshtape.yahoo")

NAME = "yahoo"
CALL_SECONDS = 7.0
"""For all requests of one call, the wait for a thread included; a service waits 8 s, and then could not say as much."""
COOKIE_SECONDS = 2.0
"""For the cookie and for the crumb, each: charts and searches do without, and must still have their time."""
COOKIE_PAUSE_SECONDS = 60.0
"""A cookie or crumb that cannot be had is not asked for again for so long."""

CHART, CRUMB = "/v8/finance/chart/", "/v1/test/getcrumb"
DATA = (CHART, "/v1/finance/search", "/v7/finance/quote")
_NEVER_TRADED = "Data doesn't exist for startDate"


class UnknownSymbol(Exception):
    """Yahoo's own "Not Found"."""


class NothingInRange(Exception):
    """Yahoo's own "Data doesn't exist for startDate = …": it was not traded then."""


@dataclass(slots=True)
class Call:
    """One call of a service, however many requests yfinance makes of it; in monotonic seconds."""

    began: float
    deadline: float
    was_unauthorised: bool = False

    @classmethod
    def now(cls) -> "Call":
        began = time.monotonic()
        return cls(began, began + CALL_SECONDS)

    def give_up(self) -> None:
        """Nobody waits for it any more: it sends nothing more."""
        self.deadline = 0


class YahooSession(Session[Response]):
    """Shared by the provider's threads. `url` is the server to ask instead of Yahoo's, if any."""

    def __init__(self, url: str, clock: Clock) -> None:
        super().__init__(impersonate="chrome")
        self._server = urlsplit(url)
        self._clock = clock
        self._in_thread = threading.local()
        self._limited_at = -1.0
        self._retry_after: int | None = None
        self._no_cookie_until = 0.0

    @contextmanager
    def during(self, call: Call) -> Iterator[None]:
        """The requests of this thread are this call's."""
        self._in_thread.call = call
        try:
            yield
        finally:
            del self._in_thread.call

    def request(self, method: Any, url: str, *args: Any, **options: Any) -> Response:
        """Raises ProviderUnavailable, UnknownSymbol and NothingInRange; of cookies and crumbs that cannot be had only what
        yfinance takes for a passing trouble, and then goes on without."""
        call: Call = self._in_thread.call
        seconds = self._seconds_left(call)
        path = urlsplit(url).path
        if not path.startswith(DATA):
            return self._cookie(method, url, path, options | {"timeout": min(seconds, COOKIE_SECONDS)})
        response = super().request(method, self._address(url), *args, **options | {"timeout": seconds})
        if response.status_code != 200:
            self._refuse(response, path, call)
        return response

    def _seconds_left(self, call: Call) -> float:
        if call.began <= self._limited_at:
            raise self._limited()
        left = call.deadline - time.monotonic()
        if left <= 0:
            raise ProviderUnavailable(NAME, detail="did not answer in time")
        return left

    def _address(self, url: str) -> str:
        if not self._server.netloc:
            return url
        return urlunsplit(urlsplit(url)._replace(scheme=self._server.scheme, netloc=self._server.netloc))

    def _cookie(self, method: Any, url: str, path: str, options: dict[str, Any]) -> Response:
        """An answer on the way to a crumb. The page that sets the cookie says 404, and sets it."""
        if time.monotonic() < self._no_cookie_until:
            raise NoConnection("no cookie could be had a moment ago")
        try:
            response = super().request(method, self._address(url), **options)
        except RequestException as error:
            self._pause_cookies(str(error))
            raise
        if response.status_code == 429 or (path == CRUMB and "Too Many Requests" in response.text):
            self._limit(response)
        if path == CRUMB and not _is_crumb(response):
            self._pause_cookies(f"status {response.status_code}")
            raise NoConnection("no crumb")
        return response

    def _pause_cookies(self, why: str) -> None:
        log.warning("no cookie or crumb from Yahoo (%s): going on without for %d s", why, COOKIE_PAUSE_SECONDS)
        self._no_cookie_until = time.monotonic() + COOKIE_PAUSE_SECONDS

    def _refuse(self, response: Response, path: str, call: Call) -> None:
        """Raises what the answer means; only the first 401 of a call is for yfinance, which then gets another crumb."""
        status = response.status_code
        if status == 429:
            self._limit(response)
        if status == 401 and not call.was_unauthorised:
            call.was_unauthorised = True
            return
        if path.startswith(CHART):
            code, description = _chart_error(response)
            if (status, code) == (404, "Not Found"):
                raise UnknownSymbol
            if status == 400 and description.startswith(_NEVER_TRADED):
                raise NothingInRange
        raise ProviderUnavailable(NAME, detail=f"answered with status {status}")

    def _limit(self, response: Response) -> NoReturn:
        """From now on no call that has begun sends anything."""
        self._retry_after = seconds_to_wait(response.headers.get("retry-after"), self._clock.now())
        self._limited_at = time.monotonic()
        raise self._limited()

    def _limited(self) -> ProviderUnavailable:
        return ProviderUnavailable(NAME, Trouble.RATE_LIMITED, "asks for fewer requests", self._retry_after)


def seconds_to_wait(retry_after: str | None, now: datetime) -> int | None:
    """What a Retry-After header says, as seconds or as a date; None when it says nothing that can be understood."""
    text = (retry_after or "").strip()
    try:
        if text.isascii() and text.isdigit():
            return int(text)
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0, ceil((at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()))


def _is_crumb(response: Response) -> bool:
    return response.status_code == 200 and bool(response.text) and "<" not in response.text


def _chart_error(response: Response) -> tuple[str, str]:
    """Code and description of a refused chart; empty for an answer of any other shape."""
    try:
        error = json.loads(response.text)["chart"]["error"]
        return str(error["code"]), str(error["description"])
    except (ValueError, LookupError, TypeError):
        return "", ""
