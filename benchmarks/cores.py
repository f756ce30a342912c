"""Which processor does what: a measured server has one to itself, as far as the machine has two."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

CAN_PIN = hasattr(os, "sched_setaffinity")
CORES = sorted(os.sched_getaffinity(0)) if CAN_PIN else list(range(os.cpu_count() or 1))


@contextmanager
def leaving_one_free() -> Iterator[None]:
    """This process, and what it starts meanwhile, keeps off the core that `take_free_one` takes."""
    _pin(CORES[1:] or CORES)
    try:
        yield
    finally:
        _pin(CORES)


def take_free_one() -> None:
    _pin(CORES[:1])


def _pin(cores: list[int]) -> None:
    if CAN_PIN:
        os.sched_setaffinity(0, cores)
