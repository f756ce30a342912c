"""Background loops: named, supervised, started again when they fail."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Self

log = logging.getLogger("freshtape.loops")

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 2.0
QUIET_SECONDS = 60.0
"""A loop that goes on failing in the same way is logged once in so long."""

Loop = Callable[[], Awaitable[None]]


def every(seconds: float, work: Loop) -> Loop:
    """Work, done now and then every so many seconds of real time."""

    async def loop() -> None:
        while True:
            await work()
            await asyncio.sleep(seconds)

    return loop


class Loops:
    """An async context: its loops run until it ends. One that raises is logged and started again after a growing wait."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def start(self, name: str, loop: Loop) -> None:
        self._tasks.append(asyncio.create_task(_supervised(name, loop), name=name))


async def _supervised(name: str, loop: Loop) -> None:
    wait = FIRST_WAIT_SECONDS
    told, told_at = "", 0.0
    now = asyncio.get_running_loop().time
    while True:
        started = now()
        try:
            await loop()
        except Exception as error:
            if repr(error) != told or now() - told_at > QUIET_SECONDS:
                told, told_at = repr(error), now()
                log.warning("the loop %r failed and is started again: %r", name, error)
        if now() - started > LONGEST_WAIT_SECONDS:
            wait = FIRST_WAIT_SECONDS
        await asyncio.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT_SECONDS)
