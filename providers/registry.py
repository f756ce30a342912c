"""Names of providers, as the settings give them, to providers."""

from pathlib import Path

from domain.clock import Clock
from domain.ports import MarketDataProvider
from providers.sample import SampleProvider

RECORDED = frozenset({SampleProvider.name})
"""Providers whose market stands still: only they may be asked under a clock that is not real time."""


def open_provider(
    name: str, clock: Clock, *, sample_dir: Path, yahoo_url: str, massive_url: str, massive_key: str
) -> MarketDataProvider:
    """Its module is imported only now: Yahoo's, with pandas, takes a second."""
    if name == SampleProvider.name:
        return SampleProvider(sample_dir, clock)
    if name == "massive":
        from providers.massive import MassiveProvider

        return MassiveProvider(clock, massive_key, massive_url)
    from providers.yahoo import YahooProvider

    return YahooProvider(clock, yahoo_url)
