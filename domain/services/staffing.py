"""Who takes part in the session: a lane for each symbol that is loaded, and a load for each that is not."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import date

from domain.aggregation import minute_of
from domain.bars import Bar
from domain.lanes import Arrival, Lanes
from domain.services.hearing import Live
from domain.services.loading import CannotLoad, Loaded, Loading
from domain.session import SessionSymbol, SessionSymbolPhase, TradingSession
from domain.symbols import Symbol

log = logging.getLogger("freshtape.session")


class Staff:
    """`loaded` is filled by it. `has_moved`: since it was set to False somebody has been admitted, has come, or has failed."""

    def __init__(
        self,
        lanes: Lanes,
        loaded: dict[str, Loaded],
        live: Live | None,
        loading: Loading,
        arrived: Callable[[Arrival], None],
        wake: asyncio.Event,
    ) -> None:
        self.has_moved = True
        self._lanes = lanes
        self._loaded = loaded
        self._live = live
        self._loading = loading
        self._arrived = arrived
        self._wake = wake
        self._admitted: dict[str, Symbol] = {}
        self._loads: dict[str, asyncio.Task[Loaded]] = {}
        self._failed: dict[str, str] = {}

    @property
    def is_loading(self) -> bool:
        return bool(self._loads)

    @property
    def ends(self) -> float | None:
        """Of a replay, when the last of its symbols closes; None while none is loaded."""
        return max((loaded.day.close.timestamp() for loaded in self._loaded.values()), default=None)

    def attend(self, session: TradingSession) -> None:
        """Loads begun, and those that are over entered."""
        for symbol in session.symbols:
            task = self._loads.get(symbol.ticker)
            if task is None and self._is_to_load(symbol):
                work = self._load(symbol.ticker, session.day)
                self._loads[symbol.ticker] = asyncio.create_task(work, name=f"session load of {symbol.ticker}")
            elif task is not None and task.done():
                del self._loads[symbol.ticker]
                self._enter(session, symbol, task)
                self.has_moved = True
            if (lane := self._lanes.get(symbol.ticker)) is not None:
                lane.rule(session.threshold_of(symbol), session.checks_of(symbol))

    def adopt(self, before: TradingSession, now: TradingSession) -> None:
        """What was commanded meanwhile: who left, and who is to be tried again."""
        for known in before.symbols:
            symbol = now.get(known.ticker)
            has_failed = known.phase is SessionSymbolPhase.FAILED
            if symbol is None or (has_failed and symbol.phase is SessionSymbolPhase.PENDING):
                self._drop(known.ticker)

    def standing(self, symbol: SessionSymbol) -> SessionSymbol:
        """A symbol as it is now."""
        ticker = symbol.ticker
        if (lane := self._lanes.get(ticker)) is not None:
            day = self._loaded[ticker].day
            return lane.told(symbol, day.open - day.eve, self._lanes.clock)
        if ticker in self._failed:
            failed = SessionSymbolPhase.FAILED
            return replace(symbol, phase=failed, error=self._failed[ticker], is_behind=False, bars_queued=0)
        return replace(symbol, phase=SessionSymbolPhase.LOADING) if ticker in self._admitted else symbol

    def take_in(self, now: float) -> None:
        """What was heard by now: of symbols whose history is still being read it waits. And what had been missed."""
        if (live := self._live) is None:
            return
        for heard in live.heard_by_now():
            self._lanes.heard = now
            live.mending.note(heard.missed)
            for bar in heard.bars:
                self._take_in(live, bar)
        for ticker, minutes in live.mending.mended():
            if (lane := self._lanes.get(ticker)) is not None:
                for minute in minutes:
                    self._lanes.arrive(lane, minute)

    async def dismiss(self) -> None:
        for task in self._loads.values():
            task.cancel()
        await asyncio.gather(*self._loads.values(), return_exceptions=True)

    # ── how

    def _is_to_load(self, symbol: SessionSymbol) -> bool:
        is_out = symbol.phase is SessionSymbolPhase.FAILED or symbol.ticker in self._failed
        return not is_out and self._lanes.get(symbol.ticker) is None

    async def _load(self, ticker: str, day: date | None) -> Loaded:
        try:
            symbol = await self._loading.admit(ticker)
            self._admitted[ticker] = symbol
            if self._live is not None:
                self._live.watch(self._admitted.values())  # what arrives while its history is read waits for it
            self.has_moved = True
            self._wake.set()
            return await self._loading.load(symbol, day)
        finally:
            self._wake.set()

    def _enter(self, session: TradingSession, symbol: SessionSymbol, task: asyncio.Task[Loaded]) -> None:
        ticker = symbol.ticker
        try:
            loaded = task.result()
        except CannotLoad as error:
            self._failed[ticker] = str(error)
            return
        except Exception as error:
            log.exception("%s cannot be loaded", ticker)
            self._failed[ticker] = f"An internal fault, see the log: {type(error).__name__}."
            return
        self._loaded[ticker] = replace(loaded, minutes=())
        watermark = int(symbol.watermark.timestamp()) if symbol.watermark is not None else None
        threshold, every = session.threshold_of(symbol), session.checks_of(symbol)
        self._lanes.enter(ticker, loaded.hours, loaded.minutes, threshold, every, watermark)
        if self._live is not None:
            for bar in self._live.early.pop(ticker, ()):
                self._take_in(self._live, bar)

    def _take_in(self, live: Live, bar: Bar) -> None:
        if (lane := self._lanes.get(bar.ticker)) is not None:
            self._arrived(self._lanes.arrive(lane, minute_of(bar)))
        elif bar.ticker in self._admitted:
            live.early.setdefault(bar.ticker, []).append(bar)

    def _drop(self, ticker: str) -> None:
        self._lanes.leave(ticker)
        self._admitted.pop(ticker, None)
        if self._live is not None:
            self._live.watch(self._admitted.values())
            self._live.mending.forget(ticker)
        self._failed.pop(ticker, None)
        self._loaded.pop(ticker, None)
        if (task := self._loads.pop(ticker, None)) is not None:
            task.cancel()
