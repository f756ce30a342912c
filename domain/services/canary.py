"""Whether providers are well, told from a symbol that certainly lives: it keeps a provider's trouble from being taken for the
end of a symbol."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from domain.bars import Interval
from domain.clock import Clock
from domain.errors import Refusal
from domain.ports import MarketDataProvider
from domain.services.asking import ask
from domain.symbols import Symbol
from domain.tickers import AssetClass

log = logging.getLogger("freshtape.providers")

CANARIES = {
    AssetClass.STOCK: "SPY",
    AssetClass.ETF: "SPY",
    AssetClass.CRYPTO: "BTC-USD",
    AssetClass.FOREX: "EUR/USD",
    AssetClass.INDEX: "^GSPC",
}
BARS_WITHIN = timedelta(days=10)
"""No market is closed for so long."""
REMEMBERED_SECONDS = 60.0


class Canary:
    """`asked` are the providers of a class, which `tickers` has a well-known symbol of."""

    def __init__(
        self,
        asked: Callable[[AssetClass], Sequence[MarketDataProvider]],
        clock: Clock,
        tickers: Mapping[AssetClass, str] = CANARIES,
    ) -> None:
        self._asked = asked
        self._clock = clock
        self._tickers = tickers
        self._seen: dict[tuple[str, str], tuple[bool, float]] = {}
        self._looking = asyncio.Lock()

    async def is_well(self, symbol: Symbol) -> bool:
        """Whether every provider of the symbol's class has daily bars of the last ten days of the class's canary. Of the canary
        itself nothing can be said: False. What was seen holds for a minute of real time."""
        ticker, asked = self._tickers[symbol.asset_class], self._asked(symbol.asset_class)
        if symbol.ticker == ticker or not asked:
            return False
        async with self._looking:
            return all([await self._answers(provider, ticker) for provider in asked])

    async def _answers(self, provider: MarketDataProvider, ticker: str) -> bool:
        key = provider.name, ticker
        is_well, seen_at = self._seen.get(key, (False, float("-inf")))
        if time.monotonic() - seen_at < REMEMBERED_SECONDS:
            return is_well
        is_well = await self._look(provider, ticker)
        self._seen[key] = is_well, time.monotonic()
        return is_well

    async def _look(self, provider: MarketDataProvider, ticker: str) -> bool:
        now = self._clock.now()
        try:
            canary = Symbol.tracked(await ask(provider.name, provider.profile(ticker)), None, None)
            asked = provider.history(canary, Interval.ONE_DAY, (now - BARS_WITHIN).date(), now)
            found = await ask(provider.name, asked)
        except Refusal as refusal:
            log.warning("the canary %s is not well at %s: %s", ticker, provider.name, refusal)
            return False
        if not found.bars:
            log.warning("the canary %s is not well at %s: it has no bar of late", ticker, provider.name)
        return bool(found.bars)
