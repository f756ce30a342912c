"""The schedule: queues a backfill of every symbol each time the cron is due, once over all processes.

Each process looks for itself. Whoever comes first queues, in chunks, and says at the end that the run is done; another that
queues beside it, or goes on after it has died, finds what is queued already and passes it over.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from domain.clock import Clock
from domain.cron import Cron
from domain.errors import StoreUnavailable
from domain.ports import Candidate, Database
from domain.services.backfills import SKEW, Backfills

log = logging.getLogger("freshtape.schedule")

NAME = "backfill"
STARTED_BY = "schedule"
LOOK_SECONDS = 1.0
JITTER_SECONDS = 60.0
"""How much later than it is due a run begins at most, by chance in each process: providers are not asked by all the world at
the full hour, and one process is first."""


class Scheduler:
    """`last_error` says for a person why the list of symbols is an old one, None while it is not."""

    def __init__(self, database: Database, backfills: Backfills, clock: Clock, cron: Cron) -> None:
        self._database = database
        self._backfills = backfills
        self._clock = clock
        self._cron = cron
        self._ran_at: datetime | None = None
        self._beginning: tuple[datetime, datetime] | None = None
        self._known: Sequence[Candidate] = ()
        self._known_at: datetime | None = None
        self.last_error: str | None = None

    async def run(self) -> None:
        """For ever. Raises StoreUnavailable when a run cannot be made; it is due until it has been."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Makes the run that is due, if one is: one for all that were missed."""
        now = self._clock.now()
        if self._ran_at is None:
            self._ran_at = await self._noted(now)
            await self._listed(now)
        if not self._is_due(self._ran_at, now):
            return
        self._ran_at = await self._noted(now)  # another process may have been first
        if self._cron.next_after(self._ran_at) <= now:
            await self._make(now)

    def _is_due(self, ran_at: datetime, now: datetime) -> bool:
        due = self._cron.next_after(ran_at)
        if self._beginning is None or self._beginning[0] != due:
            self._beginning = due, due + timedelta(seconds=random.uniform(0, JITTER_SECONDS))
        return now >= self._beginning[1]

    async def _noted(self, now: datetime) -> datetime:
        """When it ran last. A schedule that never did begins now, as does one that ran in the future of a clock set back."""
        async with self._database.write() as unit:
            ran_at = await unit.schedules.lock(NAME)
            if ran_at is not None and ran_at <= now + SKEW:
                return ran_at
            await unit.schedules.ran(NAME, now)
            return now

    async def _make(self, now: datetime) -> None:
        due = self._cron.newest_by(now)
        listed = await self._listed(now)
        queued = await self._backfills.enqueue(listed, STARTED_BY, due)
        async with self._database.write() as unit:
            self._ran_at = max(now, await unit.schedules.lock(NAME) or now)
            await unit.schedules.ran(NAME, self._ran_at)
        log.info("the backfills due at %s: %d of %d symbols queued", due.isoformat(), len(queued), len(listed))

    async def _listed(self, now: datetime) -> Sequence[Candidate]:
        """The symbols; those known last, when they cannot be read now. Raises StoreUnavailable when none are known."""
        try:
            self._known, self._known_at = await self._backfills.candidates(), now
        except StoreUnavailable as error:
            if self._known_at is None:
                raise
            known = f"the {len(self._known)} known since {self._known_at:%Y-%m-%dT%H:%M:%SZ}"
            self._tell(f"Failed to load symbols: {error} Going on with {known}.")
        else:
            self.last_error = None
        return self._known

    def _tell(self, sentence: str) -> None:
        """Once for each outage."""
        if self.last_error is None:
            log.warning(sentence)
        self.last_error = sentence
