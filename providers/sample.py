"""A recorded real market, read from a folder.

    symbols.csv           ticker, name, asset_class, exchange (MIC, empty for crypto and forex), currency
    daily/TICKER.csv      date, open, high, low, close, adj_close, volume, dividend, split: as traded on the day
    minute/TICKER.csv     time (UTC, the bar's open), open, high, low, close, volume

A pair's slash is left out of its file's name. What is not over at the service's clock is not told: neither a bar, nor a split
before its day has begun.
"""

import asyncio
import csv
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeVar

from domain.bars import ActionKind, Bar, CorporateAction, History, Interval, split_adjusted
from domain.calendars import calendar_for, hours_of
from domain.clock import Clock, parse_instant
from domain.errors import InvalidTicker, ProviderUnavailable, Trouble
from domain.ports import LiveFeed, Reach
from domain.quotes import Quote
from domain.symbols import Profile, Symbol
from domain.tickers import AssetClass, normalise
from providers.shapes import MINUTE, Asked, Span, told, unknown

log = logging.getLogger("freshtape.sample")

T = TypeVar("T")
Row = dict[str, str]


class SampleProvider:
    """Serves the folder as a market whose present is the clock's."""

    name = "sample"
    asset_classes = frozenset(AssetClass)

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    async def profile(self, ticker: str) -> Profile:
        listed = await self._read(lambda: listing(self._folder))
        if ticker not in listed:
            raise unknown(ticker, self.name)
        return listed[ticker][0]

    async def search(self, text: str, first: int) -> list[Profile]:
        wanted = text.strip().casefold()
        if not wanted:
            return []
        listed = await self._read(lambda: listing(self._folder))
        spelled = _spelled(text)
        ranked = [
            (0 if profile.ticker == spelled else _rank(profile, wanted), profile.ticker, profile)
            for profile, _ in listed.values()
        ]
        return [profile for rank, _, profile in sorted(ranked, key=lambda match: match[:2]) if rank < _NO_MATCH][:first]

    async def history(self, symbol: Symbol, interval: Interval, start: date, until: datetime) -> History:
        reads = {Interval.ONE_DAY: self._daily, Interval.ONE_MINUTE: self._minutes}
        if interval not in reads:
            raise ProviderUnavailable(self.name, Trouble.NOT_SERVED, f"does not serve bars of {interval.value}")
        return await self._read(lambda: reads[interval](symbol, start, min(until, self._clock.now())))

    def reach(self, asset_class: AssetClass, interval: Interval) -> Reach | None:
        return Reach() if interval in (Interval.ONE_DAY, Interval.ONE_MINUTE) else None

    async def quotes(self, tickers: Sequence[str]) -> list[Quote]:
        """The newest closes known at the clock, of days and of minutes."""
        return await self._read(lambda: [quote for ticker in tickers for quote in self._quote(ticker)])

    def live(self) -> LiveFeed | None:
        return None

    async def _read(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except (OSError, ValueError, KeyError, csv.Error) as error:
            log.exception("the sample market in %s cannot be read", self._folder)
            raise ProviderUnavailable(self.name, detail="sent what cannot be read") from error

    def _rows_of(self, kind: str, ticker: str) -> Iterator[Row]:
        listed = listing(self._folder)
        if ticker not in listed:
            raise unknown(ticker, self.name)
        path = self._folder / kind / f"{listed[ticker][1]}.csv"
        return _rows(path) if path.exists() else iter(())

    def _quote(self, ticker: str) -> Iterator[Quote]:
        listed = listing(self._folder)
        if ticker not in listed:
            return
        symbol, now = Symbol.tracked(listed[ticker][0], None, None), self._clock.now()
        daily = self._daily(symbol, date.min, now)
        bars = split_adjusted(daily.bars, daily.actions, now.date())
        newest = [*bars[-1:], *self._minutes(symbol, date.min, now).bars[-1:]]
        if newest:
            last = max(newest, key=lambda bar: bar.close_time)
            before = [bar.close for bar in bars if bar.close_time <= last.open_time]
            yield Quote(ticker, last.close, last.close_time, symbol.currency, before[-1] if before else None)

    def _daily(self, symbol: Symbol, start: date, until: datetime) -> History:
        calendar = calendar_for(symbol.asset_class, symbol.exchange)
        made: list[Bar | None] = []
        actions: list[CorporateAction] = []
        for row in self._rows_of("daily", symbol.ticker):
            day = date.fromisoformat(row["date"])
            if start <= day <= until.date():
                hours = hours_of(calendar, day)
                if hours.open <= until:
                    actions.extend(_actions(symbol.ticker, day, row))
                if hours.close <= until:
                    made.append(_bar(symbol.ticker, Interval.ONE_DAY, Span(hours.open, hours.close, True), day, row))
        return told(made, actions)

    def _minutes(self, symbol: Symbol, start: date, until: datetime) -> History:
        over = Asked(symbol, start, until, self._clock.now()).over
        made: list[Bar | None] = []
        for row in self._rows_of("minute", symbol.ticker):
            opens = parse_instant(row["time"])
            closes = opens + MINUTE
            if start <= opens.date() and closes <= until:
                span = Span(opens, closes, closes <= over)
                made.append(_bar(symbol.ticker, Interval.ONE_MINUTE, span, opens.date(), row))
        return told(made)


def listing(folder: Path) -> dict[str, tuple[Profile, str]]:
    """The symbols of a sample market by canonical ticker: the profile, and the name of the symbol's files."""
    found: dict[str, tuple[Profile, str]] = {}
    for row in _rows(folder / "symbols.csv"):
        try:
            profile = _profile(row)
        except (InvalidTicker, KeyError, ValueError) as error:
            log.warning("symbols.csv: %s is left out: %s", row.get("ticker"), error)
        else:
            found[profile.ticker] = (profile, row["ticker"].replace("/", ""))
    return found


def _rows(path: Path) -> Iterator[Row]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        yield from csv.DictReader(file, restval="")


def _profile(row: Row) -> Profile:
    if not row["currency"]:
        raise ValueError("it has no currency")
    return Profile(
        ticker=normalise(row["ticker"]),
        name=row["name"] or None,
        asset_class=AssetClass[row["asset_class"]],
        exchange=row["exchange"] or None,
        currency=row["currency"],
    )


def _bar(ticker: str, interval: Interval, span: Span, day: date, row: Row) -> Bar | None:
    """None for a row that has gaps or cannot be."""
    try:
        return Bar(
            ticker=ticker,
            interval=interval,
            open_time=span.opens,
            close_time=span.closes,
            open=Decimal(row["open"]),
            high=Decimal(row["high"]),
            low=Decimal(row["low"]),
            close=Decimal(row["close"]),
            volume=Decimal(row["volume"]),
            adjusted_to=day,
            source=SampleProvider.name,
            is_final=span.is_final,
        )
    except (InvalidOperation, ValueError) as error:
        log.warning("%s %s at %s is refused: %s", ticker, interval.value, span.opens, error)
        return None


def _actions(ticker: str, day: date, row: Row) -> Iterator[CorporateAction]:
    yield from _action(ticker, day, ActionKind.SPLIT, row["split"] or "1", nothing=1)
    yield from _action(ticker, day, ActionKind.DIVIDEND, row["dividend"] or "0", nothing=0)


def _action(ticker: str, day: date, kind: ActionKind, text: str, nothing: int) -> Iterator[CorporateAction]:
    """The action; none for a value that says that nothing happened, or that cannot be."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        log.warning("%s: a %s of %s on %s is refused", ticker, kind.value, text, day)
    elif value not in (0, nothing):
        yield CorporateAction(ticker, day, kind, value, SampleProvider.name)


_NO_MATCH = 4


def _spelled(text: str) -> str | None:
    """The ticker that the text spells, if it does."""
    try:
        return normalise(text)
    except InvalidTicker:
        return None


def _rank(profile: Profile, text: str) -> int:
    ticker, name = profile.ticker.casefold(), (profile.name or "").casefold()
    if ticker.startswith(text):
        return 1
    if any(word.startswith(text) for word in (name, *name.split())):
        return 2
    return 3 if text in name or text in ticker else _NO_MATCH
