"""The one gate that every call of a provider goes through, whoever calls, in whatever process.

`domain/gates.py` decides, the database remembers: a request is let through by one short transaction, made with none open, and
what came of it is written by another. Where nothing changes, nothing is written.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timedelta
from typing import TypeVar

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, stop_before_delay, wait_exponential_jitter

from domain.bars import History, Interval
from domain.errors import NoData, ProviderUnavailable, SymbolNotFound, Trouble
from domain.gates import Budget, Gate, whole_seconds
from domain.ports import Database, LiveFeed, MarketDataProvider, Reach
from domain.quotes import Quote
from domain.symbols import Profile, Symbol
from domain.tickers import AssetClass

T = TypeVar("T")
Change = Callable[[Gate, datetime], Gate]
Observe = Callable[[str, str, str, float], None]

CALL_SECONDS = 7
"""All that a call may take, its waits and repeats included: its caller waits 8 s, and then nobody would judge the provider.
Several providers share it."""
START_SECONDS = 3
"""How late in a call a request may begin: with less time left, a provider would be judged by our own waiting."""
ATTEMPTS = 3
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 1.0


def _nobody(*_: object) -> None:
    pass


class GatedProvider:
    """A provider behind its gate.

    `budget` is None for one without end. It may be one of so many providers that are asked one after the other: each has its
    share of a call's time, so that the last is still asked when the others hang. `observe` is told of every request, and of
    every refusal to make one: the provider, the operation, its outcome (ok, not_found, no_data, not_served, rate_limited, down,
    refused, fault or cancelled) and the seconds it took; `refused` of the bars in a history that cannot be: the provider, and
    how many.
    """

    def __init__(
        self,
        provider: MarketDataProvider,
        database: Database,
        budget: Budget | None,
        observe: Observe = _nobody,
        refused: Callable[[str, int], None] = _nobody,
        *,
        one_of: int = 1,
    ) -> None:
        self._provider = provider
        self._database = database
        self._budget = budget
        self._observe = observe
        self._refused = refused
        self._call_seconds = CALL_SECONDS / one_of
        self._start_seconds = START_SECONDS / one_of

    @property
    def name(self) -> str:
        return self._provider.name

    @property
    def asset_classes(self) -> frozenset[AssetClass]:
        return self._provider.asset_classes

    async def profile(self, ticker: str) -> Profile:
        return await self._call("profile", lambda: self._provider.profile(ticker))

    async def search(self, text: str, first: int) -> list[Profile]:
        return await self._call("search", lambda: self._provider.search(text, first))

    async def history(self, symbol: Symbol, interval: Interval, start: date, until: datetime) -> History:
        history = await self._call("history", lambda: self._provider.history(symbol, interval, start, until))
        self._refused(self.name, history.refused)
        return history

    def reach(self, asset_class: AssetClass, interval: Interval) -> Reach | None:
        return self._provider.reach(asset_class, interval)

    async def quotes(self, tickers: Sequence[str]) -> list[Quote]:
        return await self._call("quotes", lambda: self._provider.quotes(tickers))

    def live(self) -> LiveFeed | None:
        """As the provider has it: a stream is no request, and waits by itself before it connects again."""
        return self._provider.live()

    # ── a call, of up to three requests

    async def _call(self, operation: str, request: Callable[[], Awaitable[T]]) -> T:
        attempts = AsyncRetrying(
            retry=retry_if_exception(_may_be_asked_again),
            stop=stop_after_attempt(ATTEMPTS) | stop_before_delay(self._start_seconds),
            wait=wait_exponential_jitter(multiplier=FIRST_PAUSE_SECONDS, jitter=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS),
            reraise=True,
        )
        return await attempts(self._attempt, operation, request, asyncio.get_running_loop().time())

    async def _attempt(self, operation: str, request: Callable[[], Awaitable[T]], called_at: float) -> T:
        began = time.monotonic()
        try:
            generation = await self._enter(called_at + self._start_seconds)
        except ProviderUnavailable:
            self._observe(self.name, operation, "refused", time.monotonic() - began)
            raise
        began = time.monotonic()
        try:
            answer = await self._in_time(request, called_at)
        except BaseException as error:
            outcome, change = _judged(error, generation)
            self._observe(self.name, operation, outcome, time.monotonic() - began)
            gate, now = await self._note(change)
            if isinstance(error, ProviderUnavailable) and (shut_for := gate.retry_in(now)) is not None:
                error.retry_after_seconds = whole_seconds(shut_for)
            raise
        outcome = "no_data" if isinstance(answer, History) and not answer.bars else "ok"
        self._observe(self.name, operation, outcome, time.monotonic() - began)
        await self._note(lambda gate, _: gate.succeeded(generation))
        return answer

    async def _in_time(self, request: Callable[[], Awaitable[T]], called_at: float) -> T:
        # Let in late by a slow database, it still has its time: its caller leaves first then, and nobody is judged.
        latest_start = max(asyncio.get_running_loop().time(), called_at + self._start_seconds)
        try:
            async with asyncio.timeout_at(latest_start + self._call_seconds - self._start_seconds):
                return await request()
        except TimeoutError:
            raise ProviderUnavailable(self.name, Trouble.DOWN, f"did not answer within {self._call_seconds:.3g} s") from None

    # ── the gate

    async def _enter(self, latest: float) -> int:
        """Returns when a request may be made: the generation it belongs to. Raises ProviderUnavailable."""
        patience = timedelta(seconds=max(latest - asyncio.get_running_loop().time(), 0))
        gate, now = await self._decide(lambda gate, now: gate.entered(now, self._budget, patience))
        wait = gate.wait(now, self._budget)
        if wait:
            await asyncio.sleep(wait.total_seconds())
            gate, _ = await self._decide(Gate.admitted)  # another process may have met a 429 meanwhile
        return gate.generation

    async def _note(self, change: Change) -> tuple[Gate, datetime]:
        """Also when the caller has gone: a 429 that was heard must be known to all."""
        return await asyncio.shield(self._decide(change))

    async def _decide(self, change: Change) -> tuple[Gate, datetime]:
        """The gate as changed, and when. Read first: most often there is nothing to write, and who is refused locks nobody."""
        async with self._database.read() as unit:
            gates, now = await unit.gates.read([self.name])
        gate = gates[self.name]
        if change(gate, now) == gate:
            return gate, now
        async with self._database.write() as unit:
            gate, now = await unit.gates.lock(self.name)
            changed = change(gate, now)
            await unit.gates.save(changed)
        return changed, now


def _may_be_asked_again(error: BaseException) -> bool:
    """At once, that is. Whoever says when to come back, the gate or the provider, is taken at its word."""
    return isinstance(error, ProviderUnavailable) and error.trouble is Trouble.DOWN and error.retry_after_seconds is None


def _judged(error: BaseException, generation: int) -> tuple[str, Change]:
    """The outcome of a request that raised, and what the gate makes of it."""
    match error:
        case SymbolNotFound():
            return "not_found", lambda gate, _: gate.succeeded(generation)
        case NoData():
            return "no_data", lambda gate, _: gate.succeeded(generation)
        case ProviderUnavailable(trouble=Trouble.NOT_SERVED):
            return "not_served", lambda gate, _: gate.succeeded(generation)
        case ProviderUnavailable(provider=name, trouble=trouble, detail=detail, retry_after_seconds=seconds):
            sentence = ProviderUnavailable(name, trouble, detail).message
            return trouble.name.lower(), lambda gate, now: gate.failed(generation, now, trouble, seconds, sentence)
        case Exception():
            sentence = "An internal fault, see the log."
            return "fault", lambda gate, now: gate.failed(generation, now, Trouble.DOWN, None, sentence)
        case _:
            return "cancelled", lambda gate, _: gate.abandoned(generation)
