"""Calls of a provider whose client blocks: in threads of their own, each with a deadline, and none after a 429."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from typing import NoReturn, TypeVar

from domain.clock import Clock
from domain.errors import ProviderUnavailable, Trouble

T = TypeVar("T")

CALL_SECONDS = 7.0
"""For all requests of one call, the wait for a thread included; a service waits 8 s, and then could not say as much."""


@dataclass(slots=True)
class Call:
    """One call of a service, however many requests the client makes of it; in monotonic seconds."""

    began: float
    deadline: float
    was_unauthorised: bool = False

    @classmethod
    def now(cls) -> "Call":
        began = time.monotonic()
        return cls(began, began + CALL_SECONDS)

    def give_up(self) -> None:
        """Nobody waits for it any more: it sends nothing more."""
        self.deadline = 0


class Calls:
    """All calls of one provider in this process."""

    def __init__(self, provider: str, threads: int, clock: Clock) -> None:
        self._provider = provider
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=provider)
        self._clock = clock
        self._in_thread = threading.local()
        self._limited_at = -1.0
        self._retry_after: int | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """What the work gives, done in a thread. Cancelled, it sends nothing more."""
        call = Call.now()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._done, call, work)
        except asyncio.CancelledError:
            call.give_up()
            raise

    def _done(self, call: Call, work: Callable[[], T]) -> T:
        self._in_thread.call = call
        try:
            return work()
        finally:
            del self._in_thread.call

    # ── in a thread

    @property
    def current(self) -> Call:
        """The one that this thread is doing."""
        call: Call = self._in_thread.call
        return call

    def seconds_left(self) -> float:
        """For the current call's next request. Raises ProviderUnavailable when it may send none."""
        call = self.current
        if call.began <= self._limited_at:
            raise self._limited()
        left = call.deadline - time.monotonic()
        if left <= 0:
            raise ProviderUnavailable(self._provider, detail="did not answer in time")
        return left

    def limit(self, retry_after: str | None) -> NoReturn:
        """After a 429, with what its Retry-After says. From now on no call that has begun sends anything."""
        self._retry_after = seconds_to_wait(retry_after, self._clock.now())
        self._limited_at = time.monotonic()
        raise self._limited()

    def _limited(self) -> ProviderUnavailable:
        return ProviderUnavailable(self._provider, Trouble.RATE_LIMITED, "asks for fewer requests", self._retry_after)


def seconds_to_wait(retry_after: str | None, now: datetime) -> int | None:
    """What a Retry-After header says, as seconds or as a date; None when it says nothing that can be understood."""
    text = (retry_after or "").strip()
    try:
        if text.isascii() and text.isdigit():
            return int(text)
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0, ceil((at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()))


class Unusable(ValueError):
    """What was sent cannot be used; str() says why."""


class Unreadable(Exception):
    """What was sent is not of the shape that was agreed on."""


@dataclass(frozen=True, slots=True)
class Failures:
    """What a client raises when nobody answered in time, when nobody answered at all, and when what came is none of its shape;
    where it is of several of these, the first that is named here counts."""

    no_connection: tuple[type[Exception], ...]
    late: tuple[type[Exception], ...]
    lost: tuple[type[Exception], ...]
    unreadable: tuple[type[Exception], ...]

    def refusal(self, provider: str, error: Exception, log: logging.Logger) -> ProviderUnavailable:
        """What a fault of a call is for its caller; the log has the rest."""
        if isinstance(error, Unusable):
            return ProviderUnavailable(provider, detail=f"sent what cannot be used: {error}")
        if isinstance(error, self.late) and not isinstance(error, self.no_connection):
            return ProviderUnavailable(provider, detail="did not answer in time")
        if isinstance(error, self.lost) and not isinstance(error, self.unreadable):
            log.warning("%s did not answer: %s", provider, error)
            return ProviderUnavailable(provider)
        unexpected = None if isinstance(error, self.unreadable) else error
        log.warning("%s sent what cannot be read: %r", provider, error, exc_info=unexpected)
        return ProviderUnavailable(provider, detail="sent what cannot be read")
