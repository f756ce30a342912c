"""How the providers are doing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from domain.gates import CircuitState
from domain.ports import Database, MarketDataProvider
from domain.tickers import AssetClass


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """`retry_in` is real time: how long nobody is let through to it, if so."""

    name: str
    asset_classes: frozenset[AssetClass]
    circuit: CircuitState
    retry_in: timedelta | None
    consecutive_failures: int
    last_error: str | None


class Providers:
    """The providers that are asked, the preferred one first."""

    def __init__(self, database: Database, providers: Sequence[MarketDataProvider]) -> None:
        self._database = database
        self._providers = providers

    async def statuses(self) -> list[ProviderStatus]:
        async with self._database.read() as unit:
            gates, now = await unit.gates.read([provider.name for provider in self._providers])
        return [
            ProviderStatus(
                name=provider.name,
                asset_classes=provider.asset_classes,
                circuit=gate.state(now),
                retry_in=gate.retry_in(now),
                consecutive_failures=gate.failures,
                last_error=gate.last_error,
            )
            for provider in self._providers
            for gate in [gates[provider.name]]
        ]
