"""How the providers are doing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from domain.gates import Budget, CircuitState, Gate
from domain.ports import Database, MarketDataProvider
from domain.tickers import AssetClass


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """`retry_in` is real time: how long nobody is let through to it, if so. The calls left are None without a budget."""

    name: str
    asset_classes: frozenset[AssetClass]
    circuit: CircuitState
    retry_in: timedelta | None
    consecutive_failures: int
    last_error: str | None
    calls_left_this_minute: int | None
    calls_left_today: int | None


class Providers:
    """The providers that are asked, the preferred one first."""

    def __init__(
        self,
        database: Database,
        providers: Sequence[MarketDataProvider],
        budgets: Mapping[str, Budget | None] = MappingProxyType({}),
    ) -> None:
        self._database = database
        self._providers = providers
        self._budgets = budgets

    async def statuses(self) -> list[ProviderStatus]:
        async with self._database.read() as unit:
            gates, now = await unit.gates.read([provider.name for provider in self._providers])
        return [self._status(provider, gates[provider.name], now) for provider in self._providers]

    def _status(self, provider: MarketDataProvider, gate: Gate, now: datetime) -> ProviderStatus:
        budget = self._budgets.get(provider.name)
        return ProviderStatus(
            name=provider.name,
            asset_classes=provider.asset_classes,
            circuit=gate.state(now),
            retry_in=gate.retry_in(now),
            consecutive_failures=gate.failures,
            last_error=gate.last_error,
            calls_left_this_minute=gate.left_this_minute(now, budget) if budget is not None else None,
            calls_left_today=gate.left_today(now, budget) if budget is not None else None,
        )
