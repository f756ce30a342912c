"""What the process counts, for Prometheus, at `/metrics`."""

import logging
import time
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.clock import Clock
from domain.errors import AlreadyRefreshing, Refusal
from domain.lanes import Arrival
from domain.outcomes import outcome_line
from domain.ports import Database, MarketDataProvider
from domain.services.refreshing import Refreshed, Refreshing
from domain.session import TradingSession
from web.standing import Standing

log = logging.getLogger("freshtape.refreshing")

disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped there; each metric would have a series more

PATHS = ("/graphql", "/healthz", "/readyz", "/metrics")


class Metrics:
    """A registry of its own: a process may hold several services, as tests do."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "freshtape_http_requests", "HTTP requests answered.", ["path", "method", "status"], registry=self.registry
        )
        self._operations = Histogram(
            "freshtape_operation_seconds", "GraphQL operations that have ended.", ["type", "outcome"], registry=self.registry
        )
        self.sockets = Gauge("freshtape_sockets", "WebSockets that are open.", registry=self.registry)
        self.subscriptions = Gauge("freshtape_subscriptions", "Subscriptions that are served.", registry=self.registry)
        self._refreshes = Histogram(
            "freshtape_refresh_seconds", "Refreshes that have ended.", ["outcome"], registry=self.registry
        )
        self._onboardings = Counter(
            "freshtape_onboarding_attempts",
            "Attempts at onboardings that have ended here: completed, partial, failed, postponed or lost to another worker.",
            ["outcome"],
            registry=self.registry,
        )
        self._backfills = Counter(
            "freshtape_backfill_outcomes",
            "Attempts at backfills that have ended here: completed, failed, postponed or lost to another worker.",
            ["outcome"],
            registry=self.registry,
        )
        self._session_bars = Counter(
            "freshtape_session_bars", "Minute bars that the session has processed here.", registry=self.registry
        )
        self._session_turns = Counter(
            "freshtape_session_gate_transitions", "Turns of the session's gate.", ["to"], registry=self.registry
        )
        self._session_arrivals = Counter(
            "freshtape_session_arrivals",
            "Minutes that a live session heard: next, late, revised, duplicate or outside trading hours.",
            ["kind"],
            registry=self.registry,
        )
        self._session_lags = Gauge(
            "freshtape_session_lag_seconds",
            "How far each symbol of the session that is led here is behind its clock.",
            ["ticker"],
            registry=self.registry,
        )
        self._provider_calls = Histogram(
            "freshtape_provider_call_seconds",
            "Calls of providers, those refused by the gate among them.",
            ["provider", "operation", "outcome"],
            registry=self.registry,
        )
        self._bars_refused = Counter(
            "freshtape_bars_refused",
            "Bars of providers that cannot be: not a number, negative, or with a high below the low.",
            ["provider"],
            registry=self.registry,
        )
        self._falls = Counter(
            "freshtape_provider_fallthroughs",
            "Calls that went on from one provider to the next: it was rate_limited, down, or answered not_found or no_data.",
            ["from", "to", "reason"],
            registry=self.registry,
        )

    def operation(self, kind: str, outcome: str, seconds: float) -> None:
        self._operations.labels(kind, outcome).observe(seconds)

    def refresh(self, outcome: str, seconds: float) -> None:
        self._refreshes.labels(outcome).observe(seconds)

    def onboarding(self, outcome: str) -> None:
        self._onboardings.labels(outcome).inc()

    def backfill(self, outcome: str) -> None:
        self._backfills.labels(outcome).inc()

    def provider_call(self, provider: str, operation: str, outcome: str, seconds: float) -> None:
        self._provider_calls.labels(provider, operation, outcome).observe(seconds)

    def bars_refused(self, provider: str, bars: int) -> None:
        self._bars_refused.labels(provider).inc(bars)

    def fall_through(self, provider: str, following: str, reason: str) -> None:
        self._falls.labels(provider, following, reason).inc()

    # ── the leader's Observer

    def stored(self, session: TradingSession, bars: int, *, has_turned: bool) -> None:
        self._session_bars.inc(bars)
        if has_turned:
            self._session_turns.labels("open" if session.is_active else "shut").inc()
        self._session_lags.clear()
        for symbol in session.symbols:
            if (lag := session.lag_of(symbol)) is not None:
                self._session_lags.labels(symbol.ticker).set(lag)

    def arrived(self, arrival: Arrival) -> None:
        self._session_arrivals.labels(arrival.value).inc()

    def left(self) -> None:
        self._session_lags.clear()

    def request(self, path: str, method: str, status: int) -> None:
        self._requests.labels(path if path in PATHS else "other", method, status).inc()


def metrics_page(metrics: Metrics, standing: Standing) -> Callable[[Request], Awaitable[Response]]:
    """What was counted, and how things stand."""

    async def page(_: Request) -> Response:
        found = await standing.look()
        return Response(generate_latest(metrics.registry) + generate_latest(found), media_type=CONTENT_TYPE_LATEST)

    return page


class Counted:
    """Middleware that counts requests and sockets."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            with self._metrics.sockets.track_inprogress():
                await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.request(scope["path"], scope["method"], message["status"])
            await send(message)

        await self._app(scope, receive, sending)


class CountedRefreshing(Refreshing):
    """Refreshing, with its ends counted and logged: refreshed, the refusal's code, or fault."""

    def __init__(
        self, database: Database, provider: MarketDataProvider, clock: Clock, observe: Callable[[str, float], None]
    ) -> None:
        super().__init__(database, provider, clock)
        self._observe = observe

    async def refresh(self, ticker: str, version: int | None, started_by: str) -> Refreshed:
        started = time.monotonic()
        try:
            done = await super().refresh(ticker, version, started_by)
        except BaseException as error:
            self._end(ticker, started_by, error, time.monotonic() - started)
            raise
        seconds = time.monotonic() - started
        self._observe("refreshed", seconds)
        # One that has changed nothing is no news, and a schedule has thousands of them.
        level = logging.INFO if done.bars_changed else logging.DEBUG
        log.log(level, outcome_line("refresh", ticker, "refreshed", None, seconds, by=started_by, bars=done.bars_changed))
        return done

    def _end(self, ticker: str, started_by: str, error: BaseException, seconds: float) -> None:
        outcome, reason = "fault", type(error).__name__
        if isinstance(error, Refusal):
            outcome, reason = error.code.lower(), error.message
        self._observe(outcome, seconds)
        level = logging.DEBUG if isinstance(error, AlreadyRefreshing) else logging.INFO  # that one has its own end
        log.log(level, outcome_line("refresh", ticker, outcome, reason, seconds, by=started_by))
