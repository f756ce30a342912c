"""The HTTP session that yfinance talks through: it decides what leaves this process, and what yfinance gets to see.

Left alone, yfinance sends a request again after any refusal, goes on after a rate-limited crumb, keeps that refusal's text as
the crumb, and remembers failures. Here a refusal is raised where the answer comes in, and ends the call.
"""

import json
import logging
import time
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from curl_cffi.requests import Response, Session
from curl_cffi.requests.exceptions import ConnectionError as NoConnection
from curl_cffi.requests.exceptions import RequestException

from domain.errors import ProviderUnavailable
from providers.calling import Calls

log = logging.getLogger("freshtape.yahoo")

NAME = "yahoo"
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


class YahooSession(Session[Response]):
    """Shared by the threads of the provider's calls. `url` is the server to ask instead of Yahoo's, if any."""

    def __init__(self, url: str, calls: Calls) -> None:
        super().__init__(impersonate="chrome")
        self._server = urlsplit(url)
        self._calls = calls
        self._no_cookie_until = 0.0

    def request(self, method: Any, url: str, *args: Any, **options: Any) -> Response:
        """Raises ProviderUnavailable, UnknownSymbol and NothingInRange; of cookies and crumbs that cannot be had only what
        yfinance takes for a passing trouble, and then goes on without."""
        seconds = self._calls.seconds_left()
        path = urlsplit(url).path
        if not path.startswith(DATA):
            return self._cookie(method, url, path, options | {"timeout": min(seconds, COOKIE_SECONDS)})
        response = super().request(method, self._address(url), *args, **options | {"timeout": seconds})
        if response.status_code != 200:
            self._refuse(response, path)
        return response

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
            self._calls.limit(response.headers.get("retry-after"))
        if path == CRUMB and not _is_crumb(response):
            self._pause_cookies(f"status {response.status_code}")
            raise NoConnection("no crumb")
        return response

    def _pause_cookies(self, why: str) -> None:
        log.warning("no cookie or crumb from Yahoo (%s): going on without for %d s", why, COOKIE_PAUSE_SECONDS)
        self._no_cookie_until = time.monotonic() + COOKIE_PAUSE_SECONDS

    def _refuse(self, response: Response, path: str) -> None:
        """Raises what the answer means; only the first 401 of a call is for yfinance, which then gets another crumb."""
        status, call = response.status_code, self._calls.current
        if status == 429:
            self._calls.limit(response.headers.get("retry-after"))
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


def _is_crumb(response: Response) -> bool:
    return response.status_code == 200 and bool(response.text) and "<" not in response.text


def _chart_error(response: Response) -> tuple[str, str]:
    """Code and description of a refused chart; empty for an answer of any other shape."""
    try:
        error = json.loads(response.text)["chart"]["error"]
        return str(error["code"]), str(error["description"])
    except (ValueError, LookupError, TypeError):
        return "", ""
