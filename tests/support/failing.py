"""A database whose writes fail now and then, in the middle or when they have been committed."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import Any

from domain.errors import ChangeInDoubt, StoreUnavailable
from domain.ports import UnitOfWork
from persistence.unit_of_work import SqlDatabase

STEPS = 6
"""What a leader's commit is made of: five statements, and the commit."""


class _Reading:
    """A database that is read as it is."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self.kind = database.kind

    def read(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return self._database.read()

    def snapshot(self) -> AbstractAsyncContextManager[UnitOfWork]:
        return self._database.snapshot()


class FailingDatabase(_Reading):
    """One write in three, by chance, is given up before one of its statements or its commit. One in which events were appended
    is committed, and that is not told to its caller. The first write of all succeeds.

    `look` is awaited after each write, whatever became of it."""

    def __init__(self, database: SqlDatabase, chance: Random, look: Callable[[], Awaitable[None]]) -> None:
        super().__init__(database)
        self._chance = chance
        self._look = look
        self.writes = self.failed = self.in_doubt = 0

    @asynccontextmanager
    async def write(self) -> AsyncIterator[UnitOfWork]:
        self.writes += 1
        is_to_fail = self.writes > 1 and self._chance.random() < 1 / 3
        steps = _Steps(self._chance.randrange(STEPS) if is_to_fail else math.inf)
        try:
            async with self._database.write() as unit:
                yield _Watched(unit, steps)
                steps.take()
                has_appended = unit.events.newest is not None
            if has_appended and self.writes > 1:
                self.in_doubt += 1
                raise ChangeInDoubt
        finally:
            self.failed += steps.have_failed
            await self._look()


class BreakingDatabase(_Reading):
    """Its writes work so long as they are of so many steps, statements and commits, all in all; then none does."""

    def __init__(self, database: SqlDatabase, steps: int) -> None:
        super().__init__(database)
        self._steps = _Steps(steps)

    @property
    def is_broken(self) -> bool:
        return self._steps.have_failed

    @asynccontextmanager
    async def write(self) -> AsyncIterator[UnitOfWork]:
        async with self._database.write() as unit:
            yield _Watched(unit, self._steps)
            self._steps.take()


@asynccontextmanager
async def cut_short(database: SqlDatabase, allowed: int, look: Callable[[], Awaitable[None]]) -> AsyncIterator[UnitOfWork]:
    """A write that is given up after so many statements, or before its commit when it has just as many. `look` is awaited
    before each."""
    steps = _Steps(allowed)
    async with database.write() as unit:
        yield _Watched(unit, steps, look)  # does as a unit of work does
        await look()
        steps.take()


async def _blink() -> None:
    """Sees nothing."""


class _Steps:
    def __init__(self, allowed: float) -> None:
        self._left = allowed
        self.have_failed = False

    def take(self) -> None:
        if self._left == 0:
            self.have_failed = True
            raise StoreUnavailable
        self._left -= 1


class _Watched:
    """A unit of work, or one of its stores, that counts what is called."""

    def __init__(self, watched: Any, steps: _Steps, look: Callable[[], Awaitable[None]] = _blink) -> None:
        self._watched, self._steps, self._look = watched, steps, look

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._watched, name)
        if not callable(found):
            return _Watched(found, self._steps, self._look)

        async def counted(*given: Any) -> Any:
            await self._look()
            self._steps.take()
            return await found(*given)

        return counted
