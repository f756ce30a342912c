"""A process's share of a queue's work: takes jobs up as places are free, and keeps their leases alive."""

import asyncio
import logging
from contextlib import aclosing, suppress
from typing import Generic, Protocol, TypeVar

from domain.errors import StoreUnavailable
from domain.events import Logged
from domain.ports import EventFeed

C = TypeVar("C")

log = logging.getLogger("freshtape.working")

LOOK_SECONDS = 1.0
"""How often the queue is looked at without being told: for jobs whose wait is over or whose worker died."""
HEARTBEAT_SECONDS = 5.0


class Work(Protocol[C]):
    """A queue's jobs, each taken up under a claim of its own."""

    @property
    def name(self) -> str:
        """Of the queue."""
        ...

    @property
    def places(self) -> int:
        """How many jobs may be under way, over all processes."""
        ...

    async def claim(self) -> C | None:
        """Takes up the job that is next, if there is one."""
        ...

    async def run(self, claim: C) -> None:
        """To the end of the job or of the attempt. Cancelled, it gives the job back."""
        ...

    async def prolong(self, claim: C) -> bool:
        """The heartbeat. False when the job is no longer the claim's."""
        ...

    def is_news(self, entry: Logged) -> bool:
        """Whether a job may have been queued, or a place may have become free."""
        ...


class Worker(Generic[C]):
    def __init__(self, work: Work[C], feed: EventFeed) -> None:
        self._work = work
        self._feed = feed
        self._wake = asyncio.Event()

    @property
    def name(self) -> str:
        """Of its queue."""
        return self._work.name

    async def run(self) -> None:
        """Works for ever. Cancelled, it gives back what it has not finished."""
        running: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                claim = await self._claim() if len(running) < self._work.places else None
                if claim is None:
                    await self._pause()
                    continue
                task = group.create_task(self._attend(claim), name=self._work.name)
                running.add(task)
                task.add_done_callback(running.discard)

    async def listen(self) -> None:
        """For ever: what may be work is news."""
        async with aclosing(self._feed.follow(None)) as logged:
            async for entry in logged:
                if self._work.is_news(entry):
                    self._wake.set()

    async def _claim(self) -> C | None:
        try:
            return await self._work.claim()
        except StoreUnavailable as error:
            log.warning("the %s queue cannot be read: %s", self._work.name, error)
            return None

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._wake.wait()

    async def _attend(self, claim: C) -> None:
        work = asyncio.create_task(self._work.run(claim))
        beat = asyncio.create_task(self._prolong(claim))
        try:
            await asyncio.wait((work, beat), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, beat):
                task.cancel()
            await asyncio.gather(work, beat, return_exceptions=True)
            self._wake.set()  # here is a place again

    async def _prolong(self, claim: C) -> None:
        """Ends when the job is no longer the claim's."""
        is_held = True
        while is_held:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            with suppress(StoreUnavailable):  # it lapses by itself, if the database stays away
                is_held = await self._work.prolong(claim)
