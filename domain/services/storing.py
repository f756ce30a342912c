"""The one way in which fetched bars enter the database: judged, compared with what is held, and rolled up. What is no news is
not written. Every function works in its caller's transaction, with the symbol locked."""

import logging
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import attrgetter

import numpy as np

from domain.aggregation import Columns, bar_of, minute_of, rolled
from domain.bars import Bar, CorporateAction, Interval, is_news, split_adjusted
from domain.calendars import TradingCalendar, calendar_for, hours_of
from domain.hours import LENGTHS, Hours, hours_for
from domain.ports import UnitOfWork
from domain.revisions import Revision, revisions
from domain.symbols import Symbol
from domain.validation import NEIGHBOURS, judged

log = logging.getLogger("freshtape.storing")

ROLLED = tuple(interval for interval in LENGTHS if interval is not Interval.ONE_DAY)
"""What is made of minutes. A day is not: the exchange's own bar of it has its auctions, which no minute has."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of fetched bars: so many minutes were `outside` trading hours and left out; `changed` are those written,
    `inserted` of which nothing was held. Bars that are judged otherwise for what came beside them are among the changed."""

    received: int = 0
    outside: int = 0
    inserted: int = 0
    changed: tuple[Bar, ...] = ()
    revisions: tuple[Revision, ...] = ()


async def store(
    unit: UnitOfWork, symbol: Symbol, fetched: Sequence[Bar], actions: Sequence[CorporateAction], now: datetime
) -> Stored:
    """Bars of one interval, oldest first, and the actions that their provider told with them. The outcome does not depend on
    the order in which parts of a history are stored."""
    await unit.bars.upsert_actions(actions)
    if not fetched:
        return Stored()
    known = (await unit.bars.actions([symbol.ticker])).get(symbol.ticker, [])
    calendar = calendar_for(symbol.asset_class, symbol.exchange)
    if fetched[0].interval is Interval.ONE_MINUTE:
        return await _Minutes(unit, symbol.ticker, known, hours_for(calendar), now).store(fetched)
    return await _Days(unit, symbol.ticker, known, calendar, now).store(fetched)


async def swap(
    unit: UnitOfWork, symbol: Symbol, fetched: Sequence[Bar], actions: Sequence[CorporateAction], now: datetime
) -> Stored:
    """In the place of all that is held of the symbol, of every interval."""
    await unit.bars.drop(symbol.ticker)
    await unit.session_bars.drop(symbol.ticker)
    await unit.quality.forget(symbol.ticker)
    return await store(unit, symbol, fetched, actions, now)


@dataclass(frozen=True, slots=True)
class _Row:
    """Bars of one interval that are held: those of a time, and the neighbours by which they are judged, and that are judged by
    them."""

    before: Sequence[Bar]
    within: Sequence[Bar]
    after: Sequence[Bar]

    def judged(self, bars: Sequence[Bar], actions: Sequence[CorporateAction]) -> list[Bar]:
        """These in the place of those within, and the neighbours after, anew."""
        return judged([*bars, *self.after], self.before, actions)

    def news(self, bars: Sequence[Bar], actions: Sequence[CorporateAction]) -> list[Bar]:
        held = {bar.open_time: bar for bar in (*self.within, *self.after)}
        return [bar for bar in bars if is_news(bar, held.get(bar.open_time), actions)]


class _Storing:
    def __init__(self, unit: UnitOfWork, ticker: str, actions: Sequence[CorporateAction], now: datetime) -> None:
        self._unit = unit
        self._ticker = ticker
        self._actions = actions
        self._now = now

    async def _held(self, interval: Interval, start: datetime, until: datetime) -> _Row:
        held = await self._unit.bars.around(self._ticker, interval, start, until, NEIGHBOURS)
        return _Row(
            [bar for bar in held if bar.open_time < start],
            [bar for bar in held if start <= bar.open_time < until],
            [bar for bar in held if bar.open_time >= until],
        )

    async def _put(self, row: _Row, fetched: Sequence[Bar]) -> tuple[Stored, list[Bar]]:
        """And all bars there are then, from the first of the row's time on."""
        held = {bar.open_time: bar for bar in row.within}
        together = held | {bar.open_time: bar for bar in fetched}
        bars = row.judged([together[opens] for opens in sorted(together)], self._actions)
        changed = row.news(bars, self._actions)
        revised = revisions(row.within, fetched, self._actions, self._now)
        await self._unit.bars.upsert(changed)
        await self._unit.quality.add_revisions(revised)
        stored = Stored(len(fetched), 0, len(together) - len(held), tuple(changed), tuple(revised))
        return stored, bars


class _Days(_Storing):
    def __init__(
        self,
        unit: UnitOfWork,
        ticker: str,
        actions: Sequence[CorporateAction],
        calendar: TradingCalendar,
        now: datetime,
    ) -> None:
        super().__init__(unit, ticker, actions, now)
        self._calendar = calendar

    async def store(self, fetched: Sequence[Bar]) -> Stored:
        bars = [bar if self._is_over(bar) else replace(bar, is_final=False) for bar in fetched]
        row = await self._held(bars[0].interval, bars[0].open_time, bars[-1].close_time)
        stored, _ = await self._put(row, bars)
        return stored

    def _is_over(self, bar: Bar) -> bool:
        return max(bar.close_time, hours_of(self._calendar, bar.day).close) <= self._now


class _Minutes(_Storing):
    def __init__(self, unit: UnitOfWork, ticker: str, actions: Sequence[CorporateAction], hours: Hours, now: datetime) -> None:
        super().__init__(unit, ticker, actions, now)
        self._hours = hours

    async def store(self, fetched: Sequence[Bar]) -> Stored:
        bars = self._traded(fetched)
        outside = len(fetched) - len(bars)
        if outside:
            log.info("%s: %d of %d minutes are outside trading hours", self._ticker, outside, len(fetched))
        if not bars:
            return Stored(len(fetched), outside)
        start, until = self._day(bars[0])[0], self._day(bars[-1])[1]
        row = await self._held(Interval.ONE_MINUTE, start, until)
        stored, together = await self._put(row, self._settled(bars))
        if stored.changed:
            await self._roll_up([bar for bar in together if bar.open_time < until], start, until)
        return replace(stored, received=len(fetched), outside=outside)

    def _traded(self, minutes: Sequence[Bar]) -> Sequence[Bar]:
        opens = np.fromiter((int(bar.open_time.timestamp()) for bar in minutes), np.int64, len(minutes))
        traded = self._hours.traded(opens)
        return minutes if traded is None else [bar for bar, is_in in zip(minutes, traded, strict=True) if is_in]

    def _settled(self, minutes: Sequence[Bar]) -> Sequence[Bar]:
        """Those of a day that is not over are not final. That can only be the last one's."""
        begins, closes = self._day(minutes[-1])
        if closes <= self._now:
            return minutes
        return [bar if bar.open_time < begins else replace(bar, is_final=False) for bar in minutes]

    def _day(self, minute: Bar) -> tuple[datetime, datetime]:
        """The trading day of one: its first minute, and its close."""
        day = self._hours.day(int(minute.open_time.timestamp()))
        assert day is not None, "it is traded"
        return datetime.fromtimestamp(day[0], UTC), datetime.fromtimestamp(day[1], UTC)

    # ── longer bars

    async def _roll_up(self, minutes: Sequence[Bar], start: datetime, until: datetime) -> None:
        """In the place of all longer bars that are held of these days, which these minutes are all of."""
        minutes = [bar for day in self._days(minutes) for bar in _in_the_same_shares(day, self._actions)]
        columns = Columns.of([minute_of(bar) for bar in minutes])
        for interval in ROLLED:
            windows = rolled(columns, self._hours, interval, int(self._now.timestamp()))
            ends = np.searchsorted(columns.opens, windows.closes) - 1
            lasts = (minutes[end] for end in ends.tolist())
            bars = [
                bar_of(window, self._ticker, last.adjusted_to, last.source, is_final=last.is_final)
                for window, last in zip(windows.windows(interval), lasts, strict=True)
            ]
            await self._replace(await self._held(interval, start, until), bars)

    def _days(self, minutes: Sequence[Bar]) -> Iterator[Sequence[Bar]]:
        """Trading day by trading day."""
        minutes, at = self._traded(minutes), 0
        while at < len(minutes):
            end = bisect_left(minutes, self._day(minutes[at])[1], at, key=attrgetter("open_time"))
            yield minutes[at:end]
            at = end

    async def _replace(self, row: _Row, bars: Sequence[Bar]) -> None:
        made = {bar.open_time for bar in bars}
        gone = [bar.open_time for bar in row.within if bar.open_time not in made]
        if gone:
            await self._unit.bars.remove(self._ticker, row.within[0].interval, gone)
        await self._unit.bars.upsert(row.news(row.judged(bars, self._actions), self._actions))


def _in_the_same_shares(minutes: Sequence[Bar], actions: Iterable[CorporateAction]) -> Sequence[Bar]:
    """The newest that any of them is in."""
    dates = {bar.adjusted_to for bar in minutes}
    if len(dates) < 2:
        return minutes
    newest = max(dates)
    return [replace(bar, adjusted_to=newest) for bar in split_adjusted(minutes, actions, newest)]
