"""A server that speaks Yahoo's shapes, for tests and for developers without internet. Its market: see market.py.

Every symbol of the sample market is there, and these:

    BRK-B  ^GSPC  JPY=X     share class, index, currency pair
    VOD.L  NPN.JO           priced in pence and in South African cents
    NFLX                    splits ten for one; AAPL pays dividends
    GAPS                    a day without prices, and one whose high is below its low
    NOCUR  EMPTY            no currency; no days at all
    T429  T429S  T429D      rate limited: without Retry-After, with seconds, with a date
    T500  THTML             status 500 with HTML; status 200 with HTML
    TSLOW  TCUT             answers after half a minute; breaks off in the middle of its answer

Anything else is unknown. Quotes need the crumb, and the crumb the cookie, which is set by / or for consent; charts and
searches need neither. A WebSocket at / streams prices of what it is told to subscribe to: see streamer.py.

    GET    /_stub/requests  what was asked, oldest first: path and monotonic seconds; DELETE forgets it
    POST   /_stub/trouble   {"kind": "rate_limited", "path": "/v8/", "retry_after": "30", "seconds": 30, "times": 3}: all paths
                            that begin so are in trouble, so many times or until DELETE; kinds: rate_limited, error, html,
                            slow, cut_off, unauthorised
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.support.stubbed import PAGE, Kind, Stub, Trouble, running
from tests.support.yahoo.market import Market
from tests.support.yahoo.streamer import Streamer

__all__ = ["Kind", "Trouble", "YahooStub", "running"]

CRUMB = "stub.crumb"
CONSENT = '<html><form><input name="csrfToken" value="1"><input name="sessionId" value="2"></form></html>'
DATE_AHEAD = timedelta(seconds=90)
DAY_SECONDS = 86_400


class YahooStub(Stub):
    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.market = Market(now)
        self.streamer = Streamer()
        self.crumb = CRUMB
        super().__init__(
            Starlette(
                routes=[
                    Route("/v1/test/getcrumb", self._crumb),
                    Route("/v8/finance/chart/{symbol}", self._chart),
                    Route("/v1/finance/search", self._search),
                    Route("/v7/finance/quote", self._quote),
                    Route("/consent", _consent),
                    Route("/_stub/requests", self._requests, methods=["GET", "DELETE"]),
                    Route("/_stub/trouble", self._trouble, methods=["POST", "DELETE"]),
                    Route("/{anything:path}", _cookie, methods=["GET", "POST"]),
                ]
            )
        )

    def calm(self) -> None:
        super().calm()
        self.crumb = CRUMB
        self.streamer.calm()

    def unauthorised(self) -> Response:
        return _unauthorised()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.streamer if scope["type"] == "websocket" else super().__call__
        await app(scope, receive, send)

    def trouble_of(self, path: str, request: Request) -> Trouble | None:
        named = {path.rpartition("/")[2], *request.query_params.get("symbols", "").split(",")}
        fated = next((_SYMBOLS[symbol]() for symbol in sorted(named & _SYMBOLS.keys())), None)
        return super().trouble_of(path, request) or fated

    # ── Yahoo's pages

    async def _crumb(self, request: Request) -> Response:
        return PlainTextResponse(self.crumb) if "A3" in request.cookies else _unauthorised()

    async def _chart(self, request: Request) -> Response:
        listing = self.market.find(request.path_params["symbol"])
        if listing is None:
            return _chart_error(404, "Not Found", "No data found, symbol may be delisted")
        bounds = [int(request.query_params[name]) if name in request.query_params else None for name in ("period1", "period2")]
        start, end = bounds
        if end is not None and end <= listing.stamp(listing.days[0]):
            return _chart_error(400, "Bad Request", f"Data doesn't exist for startDate = {start}, endDate = {end}")
        if request.query_params.get("interval") == "1m" and start is not None and end is not None:
            refused = self._too_much(start, end)
            return refused or _chart_of(self.market.minute_chart(listing, start, end))
        return _chart_of(self.market.chart(listing, start, end))

    def _too_much(self, start: int, end: int) -> Response | None:
        """Yahoo's own limits of minutes."""
        refusal = f"1m data not available for startTime={start} and endTime={end}. "
        if end - start > 8 * DAY_SECONDS:
            refusal += "Only 8 days worth of 1m granularity data are allowed to be fetched per request."
        elif start < self.market.now().timestamp() - 30 * DAY_SECONDS:
            refusal += "The requested range must be within the last 30 days."
        else:
            return None
        return _chart_error(422, "Unprocessable Entity", refusal)

    async def _search(self, request: Request) -> Response:
        count = int(request.query_params.get("quotesCount", "8"))
        return JSONResponse({"quotes": self.market.search(request.query_params["q"], count), "news": []})

    async def _quote(self, request: Request) -> Response:
        if request.query_params.get("crumb") != CRUMB:
            return _unauthorised()
        found = (self.market.quote(symbol) for symbol in request.query_params["symbols"].split(","))
        return JSONResponse({"quoteResponse": {"result": [quote for quote in found if quote], "error": None}})

    # ── the test's pages

    async def _requests(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.asked.clear()
        return JSONResponse([asdict(asked) for asked in self.asked])

    async def _trouble(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.troubles.clear()
        else:
            self.troubles.append(Trouble(**await request.json()))
        return JSONResponse([asdict(trouble) | {"body": trouble.body.decode()} for trouble in self.troubles])


_SYMBOLS: dict[str, Callable[[], Trouble]] = {
    "T429": lambda: Trouble("rate_limited"),
    "T429S": lambda: Trouble("rate_limited", retry_after="30"),
    "T429D": lambda: Trouble("rate_limited", retry_after=format_datetime(datetime.now(UTC) + DATE_AHEAD, usegmt=True)),
    "T500": lambda: Trouble("error"),
    "THTML": lambda: Trouble("html"),
    "TSLOW": lambda: Trouble("slow"),
    "TCUT": lambda: Trouble("cut_off"),
}


async def _cookie(request: Request) -> Response:
    """As Yahoo's does: a page that is not there, with a cookie."""
    return HTMLResponse(PAGE, 404, {"Set-Cookie": "A3=stub; Path=/"})


async def _consent(request: Request) -> Response:
    return HTMLResponse(CONSENT, 200, {"Set-Cookie": "A3=stub; Path=/"})


def _unauthorised() -> Response:
    error = {"code": "Unauthorized", "description": "Invalid Crumb"}
    return JSONResponse({"finance": {"result": None, "error": error}}, 401)


def _chart_of(result: dict[str, Any]) -> Response:
    return JSONResponse({"chart": {"result": [result], "error": None}})


def _chart_error(status: int, code: str, description: str) -> Response:
    return JSONResponse({"chart": {"result": None, "error": {"code": code, "description": description}}}, status)
