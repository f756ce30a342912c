"""Whether the database answers: what says that it does not, and how often it is asked all the same."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from domain.errors import StoreUnavailable

log = logging.getLogger("freshtape.database")

RETRY_SECONDS = 1.0
ASLEEP_SECONDS = 1.0

_SQLSTATES = ("08", "25P03", "28", "3D", "53", "57", "58")
"""What they begin with: connection lost, idle for too long, refused at the door, no such database, out of room, stopped by the
operator or by a time-out, the server's own disk."""
_SQLITE_CODES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}


def is_trouble(error: BaseException) -> bool:
    """Whether it speaks of the database being away, rather than of what was asked."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, (OSError, PoolTimeout))
    if error.connection_invalidated or isinstance(error.orig, OSError):
        return True
    sqlstate: str = getattr(error.orig, "sqlstate", None) or ""
    return sqlstate.startswith(_SQLSTATES) or getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _SQLITE_CODES


@dataclass
class Asked:
    """One transaction as it is asked for."""

    refusal: StoreUnavailable


class Answering:
    """Turns trouble into StoreUnavailable. Once somebody has waited in vain, others are refused at once: who asks has no more
    than a `knock` made, one a second, until one is answered. `on_silence` is called whenever it is not."""

    def __init__(self, on_silence: Callable[[], None], knock: Callable[[], Awaitable[None]]) -> None:
        self._on_silence = on_silence
        self._knock = knock
        self._knocks: set[asyncio.Task[None]] = set()
        self._next_knock: float | None = None
        self._answered_at: float | None = None
        self._is_told = False

    @asynccontextmanager
    async def asked(
        self, refusal: StoreUnavailable, seconds: float | None, *, in_any_case: bool = False
    ) -> AsyncIterator[Asked]:
        """Raises the refusal, or what has been put in its place, for trouble in the block and when it takes too long; at once
        during silence, but `in_any_case`."""
        if self._next_knock is not None and not in_any_case:
            self._knock_when_due(self._next_knock)
            raise refusal
        asked = Asked(refusal)
        try:
            async with asyncio.timeout(seconds) as deadline:
                yield asked
        except Exception as error:
            is_elsewhere = isinstance(error, TimeoutError) and not deadline.expired()  # the block waited for something else
            if is_elsewhere or not is_trouble(error):
                raise
            self._note(error, deadline.when())
            raise asked.refusal from error
        self._next_knock = None
        self._answered_at = asyncio.get_running_loop().time()
        if self._is_told:
            self._is_told = False
            log.warning("the database answers again")

    async def close(self) -> None:
        """Gives up knocking."""
        for knock in self._knocks:
            knock.cancel()
        await asyncio.gather(*self._knocks, return_exceptions=True)

    def _knock_when_due(self, due: float) -> None:
        # By a task of its own: were it one of the callers, what else it answers with would be as old as it has waited.
        now = asyncio.get_running_loop().time()
        if now >= due:
            self._next_knock = now + RETRY_SECONDS
            knock = asyncio.create_task(self._knock_once())
            self._knocks.add(knock)
            knock.add_done_callback(self._knocks.discard)

    async def _knock_once(self) -> None:
        with suppress(StoreUnavailable):
            await self._knock()

    def _note(self, error: Exception, deadline: float | None) -> None:
        now = asyncio.get_running_loop().time()
        # An error that the server or the pool has sent is an answer; and a process that was suspended knows nothing.
        was_asleep = deadline is not None and now > deadline + ASLEEP_SECONDS
        is_silent = isinstance(error, OSError) and not was_asleep
        if is_silent:
            self._on_silence()
        if self._answered_at is not None and now - self._answered_at < RETRY_SECONDS:
            return  # others are answered: it is this connection's trouble, from before
        if is_silent:
            self._next_knock = now + RETRY_SECONDS
        if self._answered_at is not None and not self._is_told:
            self._is_told = True
            log.warning("the database does not answer: %r", root(error))


def root(error: BaseException) -> BaseException:
    """What it all began with."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error
