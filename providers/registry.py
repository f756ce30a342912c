"""Names of providers, as the settings give them, to providers."""

from pathlib import Path

from domain.clock import Clock
from domain.ports import MarketDataProvider
from providers.sample import SampleProvider

RECORDED = frozenset({SampleProvider.name})
"""Providers whose market stands still: only they may be asked under a clock that is not real time."""


def open_provider(name: str, clock: Clock, *, sample_dir: Path, yahoo_url: str) -> MarketDataProvider:
    if name == SampleProvider.name:
        return SampleProvider(sample_dir, clock)
    from providers.yahoo import YahooProvider  # not at the top: with pandas, it takes a second

    return YahooProvider(clock, yahoo_url)
