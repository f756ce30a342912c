"""Several providers as one: each is asked in its turn, and the first answer is the whole answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import zip_longest
from typing import TypeGuard, TypeVar

from domain.bars import History, Interval
from domain.calendars import calendar_for, hours_of
from domain.errors import ProviderUnavailable, Refusal, SymbolNotFound, Trouble
from domain.ports import LiveFeed, MarketDataProvider, Reach
from domain.quotes import Quote
from domain.symbols import Profile, Symbol
from domain.tickers import FORMS, AssetClass, form_of

T = TypeVar("T")
Orders = Mapping[AssetClass, Sequence[str]]
Observe = Callable[[str, str, str], None]

_MINUTE = timedelta(minutes=1)


def _nobody(*_: str) -> None:
    pass


class ProviderChain:
    """A provider that asks others, the preferred one first, and the next where one does not answer, does not know the symbol or
    has no bar of a time that should have some. No answer is put together from two: each bar and action has one `source`.

    When none answers, it is the preferred provider's refusal that is told; but while one of them is unavailable nobody can say
    that there is nothing.
    """

    def __init__(self, providers: Sequence[MarketDataProvider], orders: Orders, observe: Observe = _nobody) -> None:
        """`providers` in the order of preference, which `orders` replaces for some classes. `observe` is told of every fall
        from one provider to the next: from, to and why (rate_limited, down, not_found or no_data)."""
        self._providers = providers
        self._observe = observe
        by_name = {provider.name: provider for provider in providers}
        self._orders = {
            asset_class: [each for each in asked if asset_class in each.asset_classes]
            for asset_class in AssetClass
            for asked in [[by_name[name] for name in orders.get(asset_class, by_name)]]
        }

    @property
    def name(self) -> str:
        """For sentences about all of them: a refusal names its own provider."""
        return " or ".join(provider.name for provider in self._providers)

    @property
    def asset_classes(self) -> frozenset[AssetClass]:
        return frozenset(asset_class for asset_class, asked in self._orders.items() if asked)

    def asked(self, asset_class: AssetClass) -> Sequence[MarketDataProvider]:
        """Of such symbols, the preferred one first."""
        return self._orders[asset_class]

    async def profile(self, ticker: str) -> Profile:
        """Of every class that the ticker's form allows the providers are asked, stocks before ETFs before indices."""
        asked = self._asked_of(ticker)
        if not asked:
            raise SymbolNotFound(ticker, f"is of no asset class that {self.name} serves")
        return await self._first(asked, lambda provider: provider.profile(ticker))

    async def search(self, text: str, first: int) -> list[Profile]:
        return await self._first(self._providers, lambda provider: provider.search(text, first))

    async def history(self, symbol: Symbol, interval: Interval, start: date, until: datetime) -> History:
        asked = [each for each in self.asked(symbol.asset_class) if each.reach(symbol.asset_class, interval) is not None]
        if not asked:
            raise ProviderUnavailable(
                self.name, Trouble.NOT_SERVED, f"does not serve bars of {interval.value} of {symbol.asset_class.name}"
            )

        def is_answer(history: History) -> bool:
            return bool(history.bars) or not _expects_bars(symbol, interval, start, until)

        return await self._first(asked, lambda provider: provider.history(symbol, interval, start, until), is_answer)

    def reach(self, asset_class: AssetClass, interval: Interval) -> Reach | None:
        """The preferred provider's, of those that have such bars."""
        reaches = (provider.reach(asset_class, interval) for provider in self.asked(asset_class))
        return next((reach for reach in reaches if reach is not None), None)

    async def quotes(self, tickers: Sequence[str]) -> list[Quote]:
        """Each ticker of the providers of its form. While one of those is unavailable and a ticker is known to none of the
        others, nothing is told."""
        alike: dict[tuple[str, ...], list[str]] = {}
        for ticker in dict.fromkeys(tickers):
            alike.setdefault(tuple(each.name for each in self._asked_of(ticker)), []).append(ticker)
        parts = await asyncio.gather(*(self._quotes(together) for asked, together in alike.items() if asked))
        found = {ticker: quote for part in parts for ticker, quote in part.items()}
        return [found[ticker] for ticker in tickers if ticker in found]

    async def _quotes(self, tickers: Sequence[str]) -> dict[str, Quote]:
        """Of tickers that are asked of the same providers: what one does not know is asked of the next."""
        found: dict[str, Quote] = {}

        async def more(provider: MarketDataProvider) -> dict[str, Quote]:
            quotes = await provider.quotes([ticker for ticker in tickers if ticker not in found])
            found.update((quote.ticker, quote) for quote in quotes)
            return found

        return await self._first(self._asked_of(tickers[0]), more, lambda found: len(found) == len(tickers))

    def live(self) -> LiveFeed | None:
        """The preferred provider's: minutes of one source, as its history has them."""
        return self._providers[0].live()

    def _asked_of(self, ticker: str) -> list[MarketDataProvider]:
        """Those of every class that the ticker may be of, each once."""
        form = form_of(ticker)
        classes = (asset_class for asset_class in AssetClass if form in FORMS[asset_class])
        return list(dict.fromkeys(provider for asset_class in classes for provider in self.asked(asset_class)))

    async def _first(
        self,
        asked: Sequence[MarketDataProvider],
        request: Callable[[MarketDataProvider], Awaitable[T]],
        is_answer: Callable[[T], bool] = lambda _: True,
    ) -> T:
        """The first answer; without one, what `_told` makes of what was said instead."""
        refusals: list[Refusal] = []
        nothing: list[T] = []
        for provider, following in zip_longest(asked, asked[1:]):
            try:
                answer = await request(provider)
            except (SymbolNotFound, ProviderUnavailable) as refusal:
                refusals.append(refusal)
                reason = refusal.trouble.name.lower() if isinstance(refusal, ProviderUnavailable) else "not_found"
            else:
                if is_answer(answer):
                    return answer
                nothing.append(answer)
                reason = "no_data"
            if following is not None:
                self._observe(provider.name, following.name, reason)
        return _told(refusals, nothing)


def _told(refusals: Sequence[Refusal], nothing: Sequence[T]) -> T:
    """Of providers none of which had an answer, in their order. Who is unavailable might have had one: raises the preferred
    one's refusal then, with the shortest of the waits that were named. Else that one has nothing is an answer, or that one does
    not know it; that one does not serve such things comes last."""
    unavailable = [refusal for refusal in refusals if _might_have_had_one(refusal)]
    if unavailable:
        waits = [refusal.retry_after_seconds for refusal in unavailable]
        unavailable[0].retry_after_seconds = min((wait for wait in waits if wait is not None), default=None)
        raise unavailable[0]
    if nothing:
        return nothing[0]
    raise next((refusal for refusal in refusals if isinstance(refusal, SymbolNotFound)), refusals[0])


def _might_have_had_one(refusal: Refusal) -> TypeGuard[ProviderUnavailable]:
    return isinstance(refusal, ProviderUnavailable) and refusal.trouble is not Trouble.NOT_SERVED


def _expects_bars(symbol: Symbol, interval: Interval, start: date, until: datetime) -> bool:
    """Whether there should be any; also when the calendar does not know."""
    calendar = calendar_for(symbol.asset_class, symbol.exchange)
    day = calendar.next_to_close(hours_of(calendar, start).open)
    if day is None:
        return True
    return (day.close if interval is Interval.ONE_DAY else day.open - day.eve + _MINUTE) <= until
