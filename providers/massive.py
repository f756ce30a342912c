"""Massive's market (formerly Polygon's), through its official client, which blocks: in four threads of its own, on a pool of
connections of ours.

What is decided without asking stands in `massive_shapes`, what may leave this process in `massive_session`. Nothing here
retries, waits or remembers that Massive said no.

A call for daily bars of what is listed makes three requests: for the bars, the splits and the dividends; one more while its
day is under way, and one more when there are no bars, to tell a symbol that was not traded from one that nobody knows.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from itertools import chain, islice
from typing import Any, TypeVar

from massive.rest.models import TickerDetails
from urllib3.exceptions import DecodeError, HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as Late

from domain.bars import CorporateAction, History, Interval
from domain.clock import Clock
from domain.errors import InvalidTicker, ProviderUnavailable, Refusal, SymbolNotFound, Trouble
from domain.ports import LiveFeed, Reach
from domain.quotes import Quote
from domain.symbols import Profile, Symbol
from domain.tickers import AssetClass, normalise
from providers.calling import Calls, Failures, Unreadable
from providers.massive_session import NAME, NotCovered, UnknownSymbol, client_on
from providers.massive_shapes import (
    LISTED,
    actions_of,
    end_of,
    history_of,
    massive_symbol,
    minutes_of,
    profile_of,
    quote_of,
    ticker_of,
    zone_of,
)
from providers.shapes import Asked, unknown, usable

log = logging.getLogger("freshtape.massive")

T = TypeVar("T")

THREADS = 4
PAGE = 50_000
"""Windows in an answer, which is all that Massive gives; what is more comes in further pages."""
ACTIONS_PAGE = 1000
QUOTES_AT_ONCE = 250
LEFT_OUT = 10
"""Hits asked for beyond those wanted: warrants, indices and the like are left out."""
MINUTES_AT_ONCE, MINUTES_BACK = 30, 729
"""Days: of a pair's minutes as many as one page holds, and two years, which the least of Massive's plans reaches back."""
WHAT = {Interval.ONE_DAY: "daily bars", Interval.ONE_MINUTE: "minute bars"}


class MassiveProvider:
    name = NAME
    asset_classes = frozenset({AssetClass.STOCK, AssetClass.ETF, AssetClass.CRYPTO, AssetClass.FOREX})

    def __init__(self, clock: Clock, key: str, url: str) -> None:
        """`url` is the server to ask, empty for Massive's own."""
        self._clock = clock
        self._calls = Calls(NAME, THREADS, clock)
        self._client = client_on(self._calls, key, url)
        self._known: set[str] = set()

    async def profile(self, ticker: str) -> Profile:
        return await self._ask("profiles", lambda: self._profile(ticker))

    async def search(self, text: str, first: int) -> list[Profile]:
        return await self._ask("search", lambda: self._search(text.strip(), first)) if text.strip() else []

    async def history(self, symbol: Symbol, interval: Interval, start: date, until: datetime) -> History:
        loads = {Interval.ONE_DAY: self._daily, Interval.ONE_MINUTE: self._minutes}
        if interval not in loads:
            raise ProviderUnavailable(NAME, Trouble.NOT_SERVED, f"does not serve bars of {interval.value}")
        now = self._clock.now()
        asked = Asked(symbol, start, min(until, now), now)
        what = f"{WHAT[interval]} from {start} to {asked.until.date()}"
        return await self._ask(what, lambda: loads[interval](asked))

    def reach(self, asset_class: AssetClass, interval: Interval) -> Reach | None:
        return {
            Interval.ONE_DAY: Reach(),
            Interval.ONE_MINUTE: Reach(MINUTES_AT_ONCE, MINUTES_BACK),
        }.get(interval)

    async def quotes(self, tickers: Sequence[str]) -> list[Quote]:
        return await self._ask("quotes", lambda: list(usable(quote_of, tickers, self._snapshots(tickers), log)))

    def live(self) -> LiveFeed | None:
        return None

    async def _ask(self, what: str, work: Callable[[], T]) -> T:
        """What the work gives, done in a thread. Raises refusals only."""
        return await self._calls.run(lambda: _done(what, work))

    # ── in a thread

    def _profile(self, ticker: str) -> Profile:
        details = self._details(ticker, _served(ticker))
        profile = profile_of(ticker, details)
        if profile is None:
            raise SymbolNotFound(ticker, f"is nothing to track: the provider {NAME} calls it {details.type or details.market}")
        return profile

    def _search(self, text: str, first: int) -> list[Profile]:
        most = first + LEFT_OUT
        hits: dict[str, Any] = {}
        for hit in islice(self._client.list_tickers(search=_spelled(text), active=True, limit=most), most):
            ticker = ticker_of(hit)
            if ticker is not None:
                hits.setdefault(ticker, hit)
        return list(usable(profile_of, list(hits), hits, log))[:first]

    def _snapshots(self, tickers: Sequence[str]) -> dict[str, Any]:
        """What Massive's snapshots say, by ticker; of those that it knows."""
        names = {name: ticker for ticker in tickers if (name := massive_symbol(ticker)) is not None}
        found: dict[str, Any] = {}
        asked = list(names)
        for at in range(0, len(asked), QUOTES_AT_ONCE):
            part = asked[at : at + QUOTES_AT_ONCE]
            for snapshot in islice(self._client.list_universal_snapshots(ticker_any_of=part, limit=QUOTES_AT_ONCE), len(part)):
                if snapshot.ticker in names:
                    found[names[snapshot.ticker]] = snapshot
        return found

    def _daily(self, asked: Asked) -> History:
        name, ends = _served(asked.symbol.ticker), asked.until.astimezone(zone_of(asked.symbol)).date()
        if ends < asked.start:
            return History(())
        told_at = self._told_at(name, asked)
        days = list(self._windows(name, asked, "day", asked.start, ends))
        return history_of(asked, days, self._actions(name, asked) if days else (), told_at)

    def _minutes(self, asked: Asked) -> History:
        name = _served(asked.symbol.ticker)
        if asked.until <= asked.begins:
            return History(())
        return minutes_of(asked, self._windows(name, asked, "minute", asked.begins, asked.until))

    def _windows(self, name: str, asked: Asked, span: str, start: date, end: date) -> Iterator[Any]:
        """One by one, so that few are held. Raises SymbolNotFound: an answer without any does not tell a symbol that was not
        traded from an unknown one."""
        windows = self._client.list_aggs(name, 1, span, start, end, adjusted=True, sort="asc", limit=PAGE)
        first = next(windows, None)
        if first is None:
            if name not in self._known:
                self._details(asked.symbol.ticker, name)
            return iter(())
        self._known.add(name)
        return chain([first], windows)

    def _told_at(self, name: str, asked: Asked) -> datetime | None:
        """Up to when the day that is under way is told, which only its newest minute says; asked for before the day, which is
        then no older. None where the plan is told of days that are over only."""
        day = asked.under_way
        if day is None:
            return None
        try:
            newest = self._client.get_aggs(name, 1, "minute", day.open, asked.until, adjusted=True, sort="desc", limit=1)
        except NotCovered:
            return None
        return end_of(newest[0]) if newest else None

    def _actions(self, name: str, asked: Asked) -> list[CorporateAction]:
        if asked.symbol.asset_class not in LISTED:
            return []
        splits = self._client.list_stocks_splits(
            ticker=name, execution_date_gte=str(asked.start), sort="execution_date.asc", limit=ACTIONS_PAGE
        )
        dividends = self._client.list_stocks_dividends(
            ticker=name, ex_dividend_date_gte=str(asked.start), sort="ex_dividend_date.asc", limit=ACTIONS_PAGE
        )
        return actions_of(asked, splits, dividends)

    def _details(self, ticker: str, name: str) -> TickerDetails:
        try:
            details = self._client.get_ticker_details(name)
        except UnknownSymbol:
            raise unknown(ticker, NAME) from None
        if not isinstance(details, TickerDetails):
            raise Unreadable("details without results")
        self._known.add(name)
        return details


_FAILURES = Failures(
    no_connection=(NewConnectionError,),  # a Late as well, which it is not
    late=(Late,),
    lost=(HTTPError, OSError),
    unreadable=(DecodeError, Unreadable),
)


def _done(what: str, work: Callable[[], T]) -> T:
    try:
        return work()
    except Refusal:
        raise
    except NotCovered:
        raise ProviderUnavailable(NAME, Trouble.NOT_SERVED, f"does not cover {what} by the plan of the key") from None
    except Exception as error:  # the client raises whatever its parsing meets
        raise _FAILURES.refusal(NAME, error, log) from error


def _served(ticker: str) -> str:
    """What Massive calls it. Raises SymbolNotFound."""
    name = massive_symbol(ticker)
    if name is None:
        raise SymbolNotFound(ticker, f"is not served by the provider {NAME}: it has US listings, coins and currencies")
    return name


def _spelled(text: str) -> str:
    """What to search for: Massive's own name where the text spells a ticker that it calls otherwise."""
    try:
        ticker = normalise(text)
    except InvalidTicker:
        return text
    name = massive_symbol(ticker)
    return name if name is not None and name != ticker else text
