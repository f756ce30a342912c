"""Bringing a symbol into the session: onboarded if it is unknown, then the minutes of its trading day, in one unit."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date, datetime

from domain.aggregation import Minute, minute_of
from domain.bars import Bar, CorporateAction, Interval, split_adjusted
from domain.calendars import OutOfCalendar, TradingCalendar, TradingDay, calendar_for
from domain.clock import Clock
from domain.errors import ProviderUnavailable, QueueFull, Refusal, StoreUnavailable
from domain.hours import Hours, hours_for
from domain.onboarding import JobStatus
from domain.ports import Database, MarketDataProvider
from domain.services.asking import ask
from domain.services.onboarding import Onboarding
from domain.services.queueing import READY
from domain.services.storing import store
from domain.symbols import Symbol

AGAIN_SECONDS = 1.0


class CannotLoad(Exception):
    """One sentence for a person: why a symbol cannot take part."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A symbol's minutes of its trading day, those known so far, oldest first. `source` gave them."""

    symbol: Symbol
    hours: Hours
    day: TradingDay
    minutes: Sequence[Minute]
    actions: Sequence[CorporateAction]
    source: str


class Loading:
    def __init__(self, database: Database, provider: MarketDataProvider, onboarding: Onboarding, clock: Clock) -> None:
        self._database = database
        self.provider = provider
        self._onboarding = onboarding
        self._clock = clock

    async def admit(self, ticker: str) -> Symbol:
        """The symbol, once it can be used: onboarded, if need be. Raises CannotLoad."""
        while True:
            try:
                return await self._admit(ticker)
            except (StoreUnavailable, QueueFull):
                await asyncio.sleep(AGAIN_SECONDS)

    async def load(self, symbol: Symbol, day: date | None) -> Loaded:
        """Its minutes of a day that is over, or of the present one. Raises CannotLoad."""
        calendar = await asyncio.to_thread(calendar_for, symbol.asset_class, symbol.exchange)
        try:
            hours = trading_day_of(calendar, day or self._clock.now())
        except OutOfCalendar:
            hours = None
        if hours is None:
            raise CannotLoad(f"{symbol.ticker} does not trade on {day or 'any day that its calendar knows'}.")
        while True:
            try:
                return await self._load(symbol, calendar, hours, is_over=day is not None)
            except StoreUnavailable:
                await asyncio.sleep(AGAIN_SECONDS)

    async def again(self, loaded: Loaded, since: datetime, until: datetime) -> list[Minute]:
        """Its minutes of a time, as the provider has them now. Raises a Refusal."""
        asked = self.provider.history(loaded.symbol, Interval.ONE_MINUTE, since.date(), until)
        bars = [bar for bar in (await ask(self.provider.name, asked)).bars if bar.open_time >= since]
        return [minute_of(bar) for bar in split_adjusted(bars, loaded.actions, loaded.day.day)]

    # ── the symbol

    async def _admit(self, ticker: str) -> Symbol:
        entered = await self._onboarding.onboard([ticker], "session") if not await self._ready(ticker) else None
        for job in entered.jobs if entered is not None else ():
            async with aclosing(self._onboarding.follow([job.ticker], None)) as steps:
                async for step in steps:
                    job = step.event.job
            if job.status not in (JobStatus.COMPLETED, JobStatus.PARTIAL):
                raise CannotLoad(f"Its onboarding {job.status.value}: {job.error}")
        symbol = await self._ready(ticker)
        if symbol is None:
            raise CannotLoad(f"{ticker} cannot be used.")
        return symbol

    async def _ready(self, ticker: str) -> Symbol | None:
        async with self._database.read() as unit:
            symbol = await unit.symbols.get(ticker)
        if symbol is not None and symbol.is_retired:
            raise CannotLoad(f"{ticker} was removed: add it again first.")
        return symbol if symbol is not None and symbol.status in READY else None

    # ── its minutes

    async def _load(self, symbol: Symbol, calendar: TradingCalendar, day: TradingDay, *, is_over: bool) -> Loaded:
        until = day.close if is_over else self._clock.now()
        held = await self._held(symbol.ticker, day, until)
        if not (is_over and held and held[-1].close_time == day.close):
            held = await self._fetched(symbol, day, until, held)
        async with self._database.read() as unit:
            actions = (await unit.bars.actions([symbol.ticker])).get(symbol.ticker, [])
        return Loaded(
            symbol=symbol,
            hours=hours_for(calendar),
            day=day,
            minutes=[minute_of(bar) for bar in split_adjusted(held, actions, day.day)],
            actions=actions,
            source=held[-1].source if held else self.provider.name,
        )

    async def _held(self, ticker: str, day: TradingDay, until: datetime) -> list[Bar]:
        begins = day.open - day.eve
        async with self._database.read() as unit:
            return await unit.bars.closed_between([ticker], Interval.ONE_MINUTE, begins, until)

    async def _fetched(self, symbol: Symbol, day: TradingDay, until: datetime, held: list[Bar]) -> list[Bar]:
        """What the provider has, stored; what is held, where it does not answer."""
        begins = (day.open - day.eve).date()
        try:
            history = await ask(self.provider.name, self.provider.history(symbol, Interval.ONE_MINUTE, begins, until))
        except ProviderUnavailable as refusal:
            if not held:
                raise CannotLoad(refusal.message) from refusal
            return held
        except Refusal as refusal:
            raise CannotLoad(refusal.message) from refusal
        async with self._database.write() as unit:
            await unit.symbols.lock(symbol.ticker)
            await store(unit, symbol, history.bars, (), self._clock.now())  # splits are for a refresh to bring
        return await self._held(symbol.ticker, day, until)


def trading_day_of(calendar: TradingCalendar, when: date | datetime) -> TradingDay | None:
    """Of a date; of an instant the day that is traded, or the last one that was on its date, or the next."""
    if not isinstance(when, datetime):
        return calendar.trading_day(when)
    today = calendar.trading_day(when.date())
    if today is not None and today.open <= when:
        return today
    return calendar.next_to_close(when)
