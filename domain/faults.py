"""What can be odd about a bar, and what that takes from its score: 100 is without a fault, and it is validated at 85."""

from collections.abc import Mapping
from enum import IntFlag

VALIDATED_AT = 85


class Fault(IntFlag):
    """The values are what the database holds."""

    BROKEN = 1
    """Its open or close lies outside of low to high, or a price is 0."""
    MOVE = 2
    """It moves by more than 500 %."""
    GAP = 4
    """It opens more than 10 % away from the previous close."""
    WEEKEND_GAP = 8
    """It does, with a weekend between: that is no fault, but a gap all the same."""
    HIGH_VOLUME = 16
    """More than ten times the median."""
    LOW_VOLUME = 32
    """Less than a tenth of it."""


PENALTIES: Mapping[Fault, int] = {
    Fault.BROKEN: 50,
    Fault.MOVE: 30,
    Fault.GAP: 20,
    Fault.HIGH_VOLUME: 10,
    Fault.LOW_VOLUME: 15,
}


def score(faults: Fault) -> int:
    """0 to 100."""
    return max(0, 100 - sum(penalty for fault, penalty in PENALTIES.items() if fault in faults))


def _every() -> list[Fault]:
    return [Fault(value) for value in range(2 * max(Fault))]


VALIDATED = frozenset(faults for faults in _every() if score(faults) >= VALIDATED_AT)
PRICE_GAPS = frozenset(faults for faults in _every() if faults & (Fault.GAP | Fault.WEEKEND_GAP))
