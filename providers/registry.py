"""Names of providers, as the settings give them, to providers."""

from pathlib import Path

from domain.clock import Clock
from domain.ports import MarketDataProvider
from providers.sample import SampleProvider

RECORDED = frozenset({SampleProvider.name})
"""Providers whose market stands still: only they may be asked under a clock that is not real time."""


def open_provider(name: str, sample_dir: Path, clock: Clock) -> MarketDataProvider:
    return {SampleProvider.name: SampleProvider(sample_dir, clock)}[name]
