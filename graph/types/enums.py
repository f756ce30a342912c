"""The domain's enums, made known to GraphQL under their own names."""

import strawberry

from domain.bars import Interval
from domain.events import SymbolChangeKind
from domain.factors import ExposureQuality
from domain.gates import CircuitState
from domain.levels import Direction, LevelKind
from domain.onboarding import JobStatus, OnboardingPhase
from domain.portfolio import PortfolioStatus
from domain.services.onboarding import ReadinessStatus
from domain.staleness import StalenessReason
from domain.symbols import SymbolStatus
from domain.tickers import AssetClass

__all__ = [
    "AssetClass",
    "CircuitState",
    "Direction",
    "ExposureQuality",
    "Interval",
    "JobStatus",
    "LevelKind",
    "OnboardingPhase",
    "PortfolioStatus",
    "ReadinessStatus",
    "StalenessReason",
    "SymbolChangeKind",
    "SymbolStatus",
]

_MEANINGS = {
    SymbolStatus.ONBOARDING: "Being onboarded: known, not yet usable by analytics.",
    SymbolStatus.SUSPECT: "Repeated provider failures while the provider itself is healthy. History is kept.",
    SymbolStatus.RETIRED: "Removed. History is kept; adding it again revives it.",
}

for _enum in (
    AssetClass,
    CircuitState,
    Direction,
    ExposureQuality,
    Interval,
    JobStatus,
    LevelKind,
    OnboardingPhase,
    PortfolioStatus,
    ReadinessStatus,
    StalenessReason,
    SymbolChangeKind,
    SymbolStatus,
):
    strawberry.enum(_enum)

# The domain's enums cannot carry them: its members are plain values. Strawberry adds the definition, unknown to the checker.
for _value in SymbolStatus.__strawberry_definition__.values:  # type: ignore[attr-defined]
    _value.description = _MEANINGS.get(SymbolStatus(_value.value))
