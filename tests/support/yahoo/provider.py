"""The provider on the stub, as a process meets it that has asked nothing yet."""

from typing import TypeVar

from yfinance.data import SingletonMeta

from domain.clock import Clock
from domain.symbols import Symbol
from domain.tickers import AssetClass
from providers.yahoo import YahooProvider
from tests.support.provider import profile

Provider = TypeVar("Provider", bound=YahooProvider)


def new_provider(url: str, clock: Clock) -> YahooProvider:
    return new(YahooProvider, url, clock)


def new(kind: type[Provider], url: str, clock: Clock) -> Provider:
    """yfinance keeps one cookie, crumb and session a process: they are forgotten."""
    SingletonMeta._instances.clear()
    return kind(clock, url)


def symbol(ticker: str, asset_class: AssetClass = AssetClass.STOCK, exchange: str | None = "XNAS") -> Symbol:
    found = Symbol.tracked(profile(ticker, asset_class), None, None)
    return found if exchange == found.exchange else Symbol(ticker, None, asset_class, exchange, "USD")
