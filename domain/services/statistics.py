"""How good the bars are that are stored: how many, of what time, and what is missing of them."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.bars import Interval
from domain.calendars import TradingCalendar, calendar_for
from domain.clock import Clock
from domain.expected import Expectation, Expected
from domain.gaps import Absence, Mark, Statistics
from domain.held import Held, HeldDays, Numbers, Span
from domain.missing import Subject, days_of, evidence, missing, statistics
from domain.ports import Database, SymbolCatalogue, SymbolQuery
from domain.symbols import Symbol
from domain.tickers import AssetClass

COUNTED_BY_READS = 1000
"""Days that were written since they were counted. When there are more, a read settles them first: to count them each time would
take too long."""
SHORTER = [interval for interval in Interval if interval is not Interval.ONE_DAY]
_EVERY = 1_000_000


@dataclass(frozen=True, slots=True)
class _Group:
    """The symbols asked for that share a calendar, each with what is held and known of it, and the expected bars it misses."""

    calendar: TradingCalendar
    subjects: Mapping[str, Subject]
    expected: Expected
    absent: Mapping[str, Numbers]


class Counting:
    """Statistics of bars, and the work done ahead for them."""

    def __init__(self, database: Database, catalogue: SymbolCatalogue, clock: Clock) -> None:
        self._database = database
        self._catalogue = catalogue
        self._clock = clock
        self._expectations: dict[int, Expectation] = {}

    async def settle(self) -> None:
        """Counts the days that were written, so that no read has to."""
        async with self._database.read() as unit:
            left = {interval: await unit.statistics.stale(interval) for interval in SHORTER}
        for interval, days in left.items():
            await self._settle(interval, days, at_most=0)

    async def of(self, tickers: Sequence[str], interval: Interval) -> Mapping[str, Statistics]:
        """Of each of the tickers, in a number of statements that does not depend on how many. The bars of the session's own are
        not counted."""
        async with self._database.read() as unit:
            stale = await unit.statistics.stale(interval)
        await self._settle(interval, stale, COUNTED_BY_READS)
        async with self._database.snapshot() as unit:
            known = await unit.symbols.several(tickers)
            spans = await unit.statistics.spans(tickers, interval)
            days = await unit.statistics.held(tickers, interval)
            absences = await unit.quality.absences(tickers, interval)
            marks = await unit.quality.marks(tickers, interval)
        held = _held(interval, spans, days)
        subjects = {
            ticker: _subject(known[ticker], own, absences.get(ticker, ()), marks.get(ticker)) for ticker, own in held.items()
        }
        groups = await asyncio.to_thread(self._grouped, known, subjects, interval)
        witnesses = await self._witnesses(groups, held, interval)
        found = await asyncio.to_thread(_found, groups, witnesses, self._clock.now())
        return {ticker: found.get(ticker, Statistics()) for ticker in tickers}

    async def _settle(self, interval: Interval, left: int, at_most: int) -> None:
        """Of so many days, until no more than those are left."""
        while left > at_most:
            async with self._database.write() as unit:
                settled = await unit.statistics.settle(interval)
            if not settled:
                return
            left -= settled

    def _grouped(self, known: Mapping[str, Symbol], subjects: Mapping[str, Subject], interval: Interval) -> list[_Group]:
        alike: defaultdict[int, dict[str, Subject]] = defaultdict(dict)
        calendars = {ticker: _calendar(known[ticker]) for ticker in subjects}
        for ticker, subject in subjects.items():
            alike[id(calendars[ticker])][ticker] = subject
        return [self._group(calendars[next(iter(those))], those, interval) for those in alike.values()]

    def _group(self, calendar: TradingCalendar, subjects: Mapping[str, Subject], interval: Interval) -> _Group:
        expectation = self._expectations.setdefault(id(calendar), Expectation(calendar))
        held = [subject.held for subject in subjects.values()]
        expected = expectation.between(interval, min(each.first for each in held), max(each.last for each in held))
        absent = {ticker: missing(subject.held, expected) for ticker, subject in subjects.items()}
        return _Group(calendar, subjects, expected, absent)

    async def _witnesses(
        self, groups: Sequence[_Group], held: Mapping[str, Held], interval: Interval
    ) -> list[tuple[list[int], list[Held]]]:
        """For each group the days in question, and what all symbols of its calendar hold of them."""
        days = [days_of(list(group.absent.values()), group.expected, interval) for group in groups]
        asked_about = {id(group.calendar) for group, those in zip(groups, days, strict=True) if those}
        tracked = (await self._catalogue.page(SymbolQuery(), _EVERY, None)).symbols if asked_about else []
        others: defaultdict[int, list[str]] = defaultdict(list)
        for symbol in tracked:
            if symbol.ticker not in held and id(_calendar(symbol)) in asked_about:
                others[id(_calendar(symbol))].append(symbol.ticker)
        beside = await self._beside([ticker for those in others.values() for ticker in those], days, interval)
        return [
            (those, [s.held for s in group.subjects.values()] + [beside[t] for t in others[id(group.calendar)] if t in beside])
            for group, those in zip(groups, days, strict=True)
        ]

    async def _beside(self, tickers: Sequence[str], days: Sequence[Sequence[int]], interval: Interval) -> Mapping[str, Held]:
        if not tickers:
            return {}
        async with self._database.snapshot() as unit:
            spans = await unit.statistics.spans(tickers, interval)
            return _held(
                interval, spans, await unit.statistics.held(tickers, interval, {day for those in days for day in those})
            )


def _calendar(symbol: Symbol) -> TradingCalendar:
    return calendar_for(symbol.asset_class, symbol.exchange)


def _held(interval: Interval, spans: Mapping[str, Span], days: Mapping[str, HeldDays]) -> dict[str, Held]:
    return {ticker: Held(interval, span, days.get(ticker, HeldDays())) for ticker, span in spans.items()}


def _subject(symbol: Symbol, held: Held, absences: Sequence[Absence], mark: Mark | None) -> Subject:
    return Subject(
        held,
        absences,
        mark,
        never_closes=symbol.asset_class is AssetClass.CRYPTO,
        may_halt=symbol.asset_class not in (AssetClass.CRYPTO, AssetClass.FOREX),
    )


def _found(groups: Sequence[_Group], witnesses: Sequence[tuple[list[int], list[Held]]], now: datetime) -> dict[str, Statistics]:
    found = {}
    for group, (days, held) in zip(groups, witnesses, strict=True):
        seen = evidence(days, held, group.expected)
        for ticker, subject in group.subjects.items():
            found[ticker] = statistics(subject, group.absent[ticker], group.expected, seen, now)
    return found
