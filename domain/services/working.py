"""A process's share of the queue's work: takes jobs up as places are free, and keeps their leases alive."""

import asyncio
import logging
from contextlib import aclosing, suppress

from domain.errors import StoreUnavailable
from domain.events import LoggedStep
from domain.onboarding import JobStatus
from domain.ports import Claim, EventFeed
from domain.services.pipeline import Pipeline

log = logging.getLogger("freshtape.onboarding")

LOOK_SECONDS = 1.0
"""How often the queue is looked at without being told: for jobs whose wait is over or whose worker died."""
HEARTBEAT_SECONDS = 5.0


class Worker:
    def __init__(self, pipeline: Pipeline, feed: EventFeed) -> None:
        self._pipeline = pipeline
        self._feed = feed
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Works for ever. Cancelled, it gives back what it has not finished."""
        running: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as work:
            while True:
                self._wake.clear()
                claim = await self._claim() if len(running) < self._pipeline.places else None
                if claim is None:
                    await self._pause()
                    continue
                task = work.create_task(self._attend(claim), name=f"onboarding of {claim.job.ticker}")
                running.add(task)
                task.add_done_callback(running.discard)

    async def listen(self) -> None:
        """For ever: a job that is queued, or that has ended and frees a place, is news."""
        async with aclosing(self._feed.follow(None)) as logged:
            async for entry in logged:
                if isinstance(entry, LoggedStep) and entry.event.job.status is not JobStatus.PROCESSING:
                    self._wake.set()

    async def _claim(self) -> Claim | None:
        try:
            return await self._pipeline.claim()
        except StoreUnavailable as error:
            log.warning("the onboarding queue cannot be read: %s", error)
            return None

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._wake.wait()

    async def _attend(self, claim: Claim) -> None:
        work = asyncio.create_task(self._pipeline.run(claim))
        beat = asyncio.create_task(self._prolong(claim))
        try:
            await asyncio.wait((work, beat), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, beat):
                task.cancel()
            await asyncio.gather(work, beat, return_exceptions=True)
            self._wake.set()  # here is a place again

    async def _prolong(self, claim: Claim) -> None:
        """Ends when the job is no longer the claim's."""
        is_held = True
        while is_held:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            with suppress(StoreUnavailable):  # it lapses by itself, if the database stays away
                is_held = await self._pipeline.prolong(claim)
