"""How much is to be done: jobs by what has become of them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueCount:
    """The jobs of one queue. `by_status` counts all of them, the finished ones too, by the words that the database has."""

    name: str
    by_status: Mapping[str, int]
    pending: int
    under_way: int
    failed: int
