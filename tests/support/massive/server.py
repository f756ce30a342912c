"""A server that speaks Massive's documented answers. Its market: see market.py.

Every symbol of the sample market is there, and these:

    BRK.B  WARR             a share class; what is not tracked
    GAPS                    three days that cannot be: a high that is no number, one below its low, a negative volume
    NOCUR                   no currency
    NFLX                    a split ten for one, which is listed twice; AAPL pays dividends

Anything else is unknown: an empty answer for windows, 404 for details. Answers come in pages of `page`, if that is fewer than
were asked for. `plan_from` is the first day that the key's plan covers; with `is_of_the_past` it covers neither the day under
way nor snapshots. The key is KEY.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.massive.market import Market, Window
from tests.support.stubbed import Stub

KEY = "stub.key"


class MassiveStub(Stub):
    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.market = Market(now)
        super().__init__(
            Starlette(
                routes=[
                    Route("/v2/aggs/ticker/{symbol}/range/1/{span}/{begins}/{ends}", self._windows),
                    Route("/v3/reference/tickers", self._search),
                    Route("/v3/reference/tickers/{symbol}", self._details),
                    Route("/stocks/v1/splits", self._splits),
                    Route("/stocks/v1/dividends", self._dividends),
                    Route("/v3/snapshot", self._snapshots),
                ]
            )
        )
        self.calm()

    def calm(self) -> None:
        super().calm()
        self.page: int | None = None
        self.plan_from = date.min
        self.is_of_the_past = False
        self.keys: set[str | None] = set()

    def unauthorised(self) -> Response:
        return _said(401, status="ERROR", error="Unknown API Key")

    # ── Massive's pages

    async def _windows(self, request: Request) -> Response:
        refusal = self._refused(request)
        if refusal is not None:
            return refusal
        begins, ends = (_bound(request.path_params[name]) for name in ("begins", "ends"))
        if not self._is_covered(request.path_params["span"], begins, ends):
            return _said(403, status="NOT_AUTHORIZED", message="Your plan doesn't include this data timeframe.")
        listing = self.market.listings.get(request.path_params["symbol"])
        told = self.market.windows(listing, request.path_params["span"], begins, ends) if listing is not None else []
        told = [window for window in told if self._is_told(window)]
        if request.query_params["sort"] == "desc":
            told.reverse()
        extra = {"ticker": request.path_params["symbol"], "adjusted": request.query_params["adjusted"] == "true"}
        return self._paged(request, [_window(window) for window in told], **extra)

    async def _details(self, request: Request) -> Response:
        listing = self.market.listings.get(request.path_params["symbol"])
        found = None if listing is None else _json(status="OK", results=self.market.reference(listing))
        return self._refused(request) or found or _said(404, status="NOT_FOUND", message="Ticker not found.")

    async def _search(self, request: Request) -> Response:
        hits = self.market.search(request.query_params["search"], 1000)
        return self._refused(request) or self._paged(request, hits)

    async def _splits(self, request: Request) -> Response:
        listing = self.market.listings[request.query_params["ticker"]]
        since = date.fromisoformat(request.query_params["execution_date.gte"])
        told = [
            {"execution_date": str(split.day), "split_from": 1, "split_to": split.value, "ticker": listing.symbol}
            for split in listing.splits
            if split.day >= since
        ]
        return self._refused(request) or self._paged(request, [*told, *told])

    async def _dividends(self, request: Request) -> Response:
        listing = self.market.listings[request.query_params["ticker"]]
        since = date.fromisoformat(request.query_params["ex_dividend_date.gte"])
        told = [
            {"ex_dividend_date": str(it.day), "cash_amount": it.value, "currency": "USD", "distribution_type": "recurring"}
            for it in listing.dividends
            if it.day >= since
        ]
        return self._refused(request) or self._paged(request, told)

    async def _snapshots(self, request: Request) -> Response:
        if self.is_of_the_past:
            return _said(403, status="NOT_AUTHORIZED", message="You are not entitled to this data.")
        told = [self._snapshot(symbol) for symbol in request.query_params["ticker.any_of"].split(",")]
        return self._refused(request) or self._paged(request, told)

    def _snapshot(self, symbol: str) -> dict[str, Any]:
        listing = self.market.listings.get(symbol)
        missing = {"error": "NOT_FOUND", "message": "Ticker not found.", "ticker": symbol}
        return missing if listing is None else self.market.snapshot(listing)

    # ── plans and pages

    def _refused(self, request: Request) -> Response | None:
        key = request.headers.get("authorization")
        self.keys.add(key)
        return None if key == f"Bearer {KEY}" else self.unauthorised()

    def _is_covered(self, span: str, begins: datetime | date, ends: datetime | date) -> bool:
        """A plan that reaches back as far is told of the part that it covers; of nothing that it does not."""
        last = ends.date() if isinstance(ends, datetime) else ends
        first = begins.date() if isinstance(begins, datetime) else begins
        return last >= self.plan_from and not (self.is_of_the_past and first >= self.market.now().date())

    def _is_told(self, window: Window) -> bool:
        day = window.opens.date()
        return day >= self.plan_from and not (self.is_of_the_past and day >= self.market.now().date())

    def _paged(self, request: Request, results: Sequence[Any], **extra: Any) -> Response:
        """Without `results` when there are none, as Massive's windows are told."""
        cursor = request.query_params.get("cursor")
        begins = int(urlsafe_b64decode(cursor)) if cursor else 0
        size = min(self.page or 50_000, int(request.query_params["limit"]))
        part = results[begins : begins + size]
        told: dict[str, Any] = {"status": "OK", "request_id": "stub", "resultsCount": len(part)} | extra
        if part:
            told["results"] = part
        if len(results) > begins + size:
            query = dict(request.query_params) | {"cursor": urlsafe_b64encode(str(begins + size).encode()).decode()}
            told["next_url"] = f"https://api.massive.com{request.url.path}?{urlencode(query)}"
        return _json(**told)


def _bound(text: str) -> datetime | date:
    return datetime.fromtimestamp(int(text) / 1000, UTC) if text.isdigit() else date.fromisoformat(text)


def _window(window: Window) -> dict[str, Any]:
    prices = {"o": window.open, "h": window.high, "l": window.low, "c": window.close}
    return prices | {"v": window.volume, "vw": window.close, "t": window.at, "n": 7}


def _json(**told: Any) -> Response:
    """A float's shortest text is the number that is recorded: none has more than fifteen digits."""
    return Response(json.dumps(told, default=float), media_type="application/json")


def _said(status_code: int, **told: Any) -> Response:
    return JSONResponse(told | {"request_id": "stub"}, status_code)
