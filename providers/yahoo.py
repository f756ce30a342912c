"""Yahoo's market, through yfinance, which is blocking and not ours: in four threads of its own, on a session of ours.

What is decided without asking stands in `yahoo_shapes`, what may leave this process in `yahoo_session`. Nothing here retries,
waits or remembers that Yahoo said no.
"""

import atexit
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, NamedTuple, TypeVar

import yfinance
from curl_cffi.requests.exceptions import RequestException, Timeout
from yfinance.data import YfData
from yfinance.exceptions import YFException, YFPricesMissingError
from yfinance.utils import is_isin

from domain.bars import History, Interval
from domain.clock import Clock
from domain.errors import ProviderUnavailable, Refusal, SymbolNotFound, Trouble
from domain.ports import Reach
from domain.quotes import Quote
from domain.symbols import Profile, Symbol
from domain.tickers import AssetClass
from providers.calling import CALL_SECONDS, Calls, Failures
from providers.shapes import Asked, unknown, usable
from providers.yahoo_session import NAME, NothingInRange, UnknownSymbol, YahooSession
from providers.yahoo_shapes import (
    Row,
    Unit,
    class_of,
    history_of,
    minutes_of,
    profile_of,
    quote_of,
    ticker_of,
    unit_of,
    yahoo_symbol,
)
from providers.yahoo_stream import YahooStream

log = logging.getLogger("freshtape.yahoo")

T = TypeVar("T")
Entry = Mapping[str, Any]

THREADS = 4
QUOTES_URL = "https://query1.finance.yahoo.com/v7/finance/quote"
QUOTES_AT_ONCE = 100
LEFT_OUT = 10
"""Hits asked for beyond those wanted: futures, options and funds are left out."""
COLUMNS = ("Open", "High", "Low", "Close", "Volume", "Dividends", "Stock Splits")
MINUTES_AT_ONCE = timedelta(days=7)
"""Yahoo tells 8 days of minutes in one answer, counted to the second: a day less is never refused."""
MINUTES_BACK = timedelta(days=29)
"""Yahoo tells minutes of the last 30 days, of longer intervals those of 60, as of when the request arrives; whoever asks for
older ones, too, is refused all of them."""


class Chart(NamedTuple):
    """Each row is of a day or minute of the exchange's own time, with the values of COLUMNS; the newest is as of `told_at`."""

    unit: Unit
    told_at: datetime | None
    rows: list[tuple[datetime, tuple[float, ...]]]


class YahooProvider:
    """One a process: yfinance keeps its session, cookie and caches for the whole of it."""

    name = NAME
    asset_classes = frozenset(AssetClass)

    def __init__(self, clock: Clock, url: str) -> None:
        """`url` is the server to ask, empty for Yahoo's own."""
        self._clock = clock
        self._url = url
        self._calls = Calls(NAME, THREADS, clock)
        self._session = YahooSession(url, self._calls)
        self._data = _yfinance_on(self._session)

    async def profile(self, ticker: str) -> Profile:
        return await self._ask(lambda: self._profile(ticker))

    async def search(self, text: str, first: int) -> list[Profile]:
        return await self._ask(lambda: self._search(text.strip(), first)) if text.strip() else []

    async def history(self, symbol: Symbol, interval: Interval, start: date, until: datetime) -> History:
        loads = {Interval.ONE_DAY: self._daily, Interval.ONE_MINUTE: self._minutes}
        if interval not in loads:
            raise ProviderUnavailable(NAME, Trouble.NOT_SERVED, f"does not serve bars of {interval.value}")
        now = self._clock.now()
        return await self._ask(lambda: loads[interval](Asked(symbol, start, min(until, now), now)))

    def reach(self, asset_class: AssetClass, interval: Interval) -> Reach | None:
        return {
            Interval.ONE_DAY: Reach(),
            Interval.ONE_MINUTE: Reach(MINUTES_AT_ONCE.days, MINUTES_BACK.days),
        }.get(interval)

    async def quotes(self, tickers: Sequence[str]) -> list[Quote]:
        return await self._ask(lambda: list(usable(quote_of, tickers, self._entries(tickers), log)))

    def live(self) -> YahooStream:
        return YahooStream(self._clock, self._url)

    async def _ask(self, work: Callable[[], T]) -> T:
        """What the work gives, done in a thread. Raises refusals only."""
        return await self._calls.run(lambda: self._done(work))

    # ── in a thread

    def _done(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except Refusal:
            raise
        except Exception as error:  # yfinance raises whatever its parsing meets
            raise _FAILURES.refusal(NAME, error, log) from error
        finally:
            self._data.cache_get.cache_clear()  # it keeps what it was told, failures too, for the life of the process

    def _profile(self, ticker: str) -> Profile:
        entry = self._entries([ticker]).get(ticker)
        if entry is None:
            raise unknown(ticker, NAME)
        profile = profile_of(ticker, entry)
        if profile is None:
            raise SymbolNotFound(ticker, f"is nothing to track: the provider {NAME} calls it {entry.get('quoteType')}")
        return profile

    def _search(self, text: str, first: int) -> list[Profile]:
        """A hit says neither its currency nor a whole name: those found are asked for once more, together."""
        hits = yfinance.Search(
            text,
            max_results=first + LEFT_OUT,
            news_count=0,
            lists_count=0,
            include_cb=False,
            recommended=0,
            session=self._session,
            timeout=CALL_SECONDS,
        ).quotes
        tickers = [ticker for ticker in (ticker_of(hit["symbol"]) for hit in hits if class_of(hit)) if ticker]
        found = list(dict.fromkeys(tickers))[:first]
        return list(usable(profile_of, found, self._entries(found), log))

    def _entries(self, tickers: Sequence[str]) -> dict[str, Entry]:
        """What Yahoo's quotes say, by ticker; of those that it knows."""
        symbols = [yahoo_symbol(ticker) for ticker in tickers]
        found: dict[str, Entry] = {}
        for at in range(0, len(symbols), QUOTES_AT_ONCE):
            params = {"symbols": ",".join(symbols[at : at + QUOTES_AT_ONCE]), "formatted": "false"}
            answer = self._data.get_raw_json(QUOTES_URL, params=params, timeout=CALL_SECONDS)
            for entry in answer["quoteResponse"]["result"]:
                ticker = ticker_of(entry["symbol"])
                if ticker is not None:
                    found[ticker] = entry
        return found

    def _daily(self, asked: Asked) -> History:
        if asked.until.date() < asked.start:
            return History(())
        found = self._chart(asked.symbol, "1d", asked.start, asked.until.date() + timedelta(days=1))
        if found is None:
            return History(())
        return history_of(asked, (Row(at.date(), *values) for at, values in found.rows), found.unit, found.told_at)

    def _minutes(self, asked: Asked) -> History:
        """A few days at a time, from the first minute of the first on; of what is too old for Yahoo nothing is asked."""
        begins = max(asked.begins, asked.now - MINUTES_BACK)
        rows: dict[datetime, Row] = {}
        unit = None
        while begins < asked.until:
            ends = min(begins + MINUTES_AT_ONCE, asked.until)
            found = self._chart(asked.symbol, "1m", begins, ends)
            if found is not None:
                unit = found.unit
                rows |= {at.astimezone(UTC): Row(at.date(), *values) for at, values in found.rows}
            begins = ends
        return minutes_of(asked, rows, unit) if unit is not None else History(())

    def _chart(self, symbol: Symbol, interval: str, start: date, end: date) -> Chart | None:
        """From `start`, which may be an instant, up to `end`; None when there is nothing."""
        name = yahoo_symbol(symbol.ticker)
        if is_isin(name):  # yfinance would look up another name for it, and tell of that
            raise unknown(symbol.ticker, NAME)
        ticker = yfinance.Ticker(name, session=self._session)
        try:
            frame = ticker.history(
                start=start,
                end=end,
                interval=interval,
                auto_adjust=False,
                actions=True,
                keepna=True,
                timeout=CALL_SECONDS,
            )
        except UnknownSymbol:
            raise unknown(symbol.ticker, NAME) from None
        except (NothingInRange, YFPricesMissingError):
            return None
        values = zip(*(frame[column].tolist() for column in COLUMNS), strict=True)
        rows = zip(frame.index.to_pydatetime().tolist(), values, strict=True)
        told = ticker.history_metadata
        return Chart(unit_of(told["currency"]), _instant(told.get("regularMarketTime")), list(rows))


_FAILURES = Failures(
    no_connection=(),
    late=(Timeout,),
    lost=(RequestException,),
    unreadable=(ValueError, YFException),  # JSON that is none is a RequestException as well; "Will be right back" is the other
)


def _instant(told: object) -> datetime | None:
    """Of a chart's metadata, in which yfinance has made a time of the number; a pandas one."""
    return datetime.fromtimestamp(told.timestamp(), UTC) if isinstance(told, datetime) else None


def _yfinance_on(session: YahooSession) -> YfData:
    """Its one state for the process, without retries, with errors raised instead of logged, without its own deprecations."""
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="yfinance")
    yfinance.config.debug.hide_exceptions = False
    yfinance.config.network.retries = 0
    _keep_caches()
    return YfData(session=session)


@cache
def _keep_caches() -> None:
    """Time zones and cookies, in a folder of this process's own: its databases are not for several at once."""
    folder = mkdtemp(prefix="freshtape-yahoo-")
    atexit.register(rmtree, folder, ignore_errors=True)
    yfinance.set_tz_cache_location(folder)
