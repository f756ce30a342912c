"""A provider and its gate."""

from datetime import datetime

import strawberry

from domain.services.providers import ProviderStatus
from graph.types.enums import AssetClass, CircuitState


@strawberry.type
class Provider:
    name: str
    asset_classes: list[AssetClass]
    circuit: CircuitState
    retry_at: datetime | None = strawberry.field(
        description="When it is asked again, by the service's own clock; null when nothing keeps it from being asked."
    )
    consecutive_failures: int
    last_error: str | None = strawberry.field(description="Null since it has answered.")
    calls_left_this_minute: int | None = strawberry.field(
        description="Of its budget, shared by all processes: how many calls could be made at once; null without a budget."
    )
    calls_left_today: int | None = strawberry.field(
        description="Of its budget until midnight UTC of real time; null without a budget."
    )

    @classmethod
    def from_domain(cls, status: ProviderStatus, now: datetime) -> "Provider":
        return cls(
            name=status.name,
            asset_classes=[each for each in AssetClass if each in status.asset_classes],
            circuit=status.circuit,
            retry_at=now + status.retry_in if status.retry_in is not None else None,
            consecutive_failures=status.consecutive_failures,
            last_error=status.last_error,
            calls_left_this_minute=status.calls_left_this_minute,
            calls_left_today=status.calls_left_today,
        )
