"""Background loops: named, supervised, started again when they fail."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Self

from domain.loops import LONGEST_WAIT_SECONDS, LoopCourse, LoopStatus

log = logging.getLogger("freshtape.loops")

TELL_SECONDS = 60.0
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
        self._courses: dict[str, LoopCourse] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._courses = {name: course.stopped(_now()) for name, course in self._courses.items()}

    def start(self, name: str, loop: Loop, longest_wait: float = LONGEST_WAIT_SECONDS) -> None:
        self._courses[name] = LoopCourse(name, _now())
        self._tasks.append(asyncio.create_task(self._supervise(name, loop, longest_wait), name=name))

    def statuses(self) -> list[LoopStatus]:
        """In the order in which they were started; empty before."""
        return [course.status(_now()) for course in self._courses.values()]

    async def _supervise(self, name: str, loop: Loop, longest_wait: float) -> None:
        said, said_at = "", 0.0
        while True:
            try:
                await loop()
                raise RuntimeError("it ended, which no loop does by itself")
            except Exception as error:
                failed = self._courses[name] = self._courses[name].failed(error, _now())
                if repr(error) != said or _now() - said_at > TELL_SECONDS:
                    said, said_at = repr(error), _now()
                    log.warning("the loop %r failed and is started again: %r", name, error)
            await asyncio.sleep(failed.wait_seconds(longest_wait, random.random()))
            self._courses[name] = failed.started_again(_now())


def _now() -> float:
    return asyncio.get_running_loop().time()
