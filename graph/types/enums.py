"""The domain's enums, made known to GraphQL under their own names."""

import strawberry

from domain.backfill import BackfillStatus
from domain.bars import Interval
from domain.events import SymbolChangeKind
from domain.factors import ExposureQuality
from domain.gaps import GapCause
from domain.gates import CircuitState
from domain.levels import Direction, LevelKind
from domain.loops import LoopState
from domain.onboarding import JobStatus, OnboardingPhase
from domain.portfolio import PortfolioStatus
from domain.services.onboarding import ReadinessStatus
from domain.session import GatingPolicy, SessionMode, SessionState, SessionSymbolPhase
from domain.staleness import StalenessReason
from domain.symbols import SymbolStatus
from domain.tickers import AssetClass

__all__ = [
    "AssetClass",
    "BackfillStatus",
    "CircuitState",
    "Direction",
    "ExposureQuality",
    "GapCause",
    "GatingPolicy",
    "Interval",
    "JobStatus",
    "LevelKind",
    "LoopState",
    "OnboardingPhase",
    "PortfolioStatus",
    "ReadinessStatus",
    "SessionMode",
    "SessionState",
    "SessionSymbolPhase",
    "StalenessReason",
    "SymbolChangeKind",
    "SymbolStatus",
]

_MEANINGS = {
    SymbolStatus.ONBOARDING: "Being onboarded: known, not yet usable by analytics.",
    SymbolStatus.SUSPECT: "Repeated provider failures while the provider itself is healthy. History is kept.",
    SymbolStatus.RETIRED: "Removed. History is kept; adding it again revives it.",
    GapCause.PROVIDER_HOLE: (
        "The provider was asked and did not have them; or half of the symbols with the same calendar miss them too; or they "
        "are too few for a halt, of a symbol that is traded in nearly every minute."
    ),
    GapCause.HALT: "Five minutes or more of a day on which it was traded otherwise, and all others of its calendar throughout.",
    GapCause.FETCH_FAILED: "They were never asked for with success.",
    GapCause.UNKNOWN: "Perhaps there was no trade.",
    SessionState.STARTING: "The symbols it was started with, or taken over with by another process, are being loaded.",
    SessionState.FINISHED: "The replayed day has ended.",
    SessionSymbolPhase.LOADING: "Its history is being read; live bars that arrive meanwhile wait.",
    SessionSymbolPhase.CATCHING_UP: "Working through past bars in its own lane, without delaying the live symbols.",
    SessionSymbolPhase.LAGGING: "Was live, now more than its threshold behind.",
    SessionSymbolPhase.IDLE: (
        "Nothing is due from it (market closed, halted), or its feed is alive (heartbeat, a successful empty poll, another "
        "symbol's bar within the threshold) and it prints nothing. Not lag."
    ),
    SessionSymbolPhase.QUARANTINED: (
        "Lagged longer than quarantineAfterSeconds: withheld alone, no longer counted against the session."
    ),
    LoopState.WAITING: "Has failed, and waits to be started again or has not run for long since.",
    LoopState.FAILED: "Has failed again and again: somebody should look. It is still started again.",
    LoopState.STOPPED: "Ended by the end of the service.",
    GatingPolicy.SESSION: (
        "Any lagging symbol that is not quarantined deactivates the whole session; all caught up reactivates it."
    ),
    GatingPolicy.SYMBOL: "A lagging symbol is withheld alone; the rest stay visible.",
}

for _enum in (
    AssetClass,
    BackfillStatus,
    CircuitState,
    Direction,
    ExposureQuality,
    GapCause,
    GatingPolicy,
    Interval,
    JobStatus,
    LevelKind,
    LoopState,
    OnboardingPhase,
    PortfolioStatus,
    ReadinessStatus,
    SessionMode,
    SessionState,
    SessionSymbolPhase,
    StalenessReason,
    SymbolChangeKind,
    SymbolStatus,
):
    strawberry.enum(_enum)

# The domain's enums cannot carry them: its members are plain values. Strawberry adds the definition, unknown to the checker.
for _meant in {type(meant) for meant in _MEANINGS}:
    for _value in _meant.__strawberry_definition__.values:  # type: ignore[attr-defined]
        _value.description = _MEANINGS.get(_meant(_value.value))
