"""What a process knows of the session, however it stands with the database: as the outside may see it."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from domain.clock import Clock
from domain.errors import StoreUnavailable
from domain.ports import Database, StoredSession
from domain.session import TradingSession

LOOK_SECONDS = 0.5
HEARD_WITHIN = timedelta(seconds=5)
"""For how long the outside takes the word of a leader, or of a database, that says no more."""


def seen(stored: StoredSession | None, clock: Clock) -> TradingSession:
    """As the outside may see it."""
    if stored is None:
        return TradingSession(clock.now())
    if stored.silent_for > HEARD_WITHIN:
        return stored.session.unheard(stored.heard_at)
    return stored.session


class SessionWatch:
    """The one reader of the session's row in its process. `run` looks all the time."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._last: StoredSession | None = None
        self._looked_at: float | None = None

    async def run(self) -> None:
        """For ever, through failures too."""
        while True:
            with suppress(StoreUnavailable):
                await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> TradingSession:
        """As it is now. Raises StoreUnavailable, but where it was seen before: then as it was, or shut when that is too long
        ago."""
        began = asyncio.get_running_loop().time()
        try:
            async with self._database.read() as unit:
                self.note(await unit.session.read(), began)
        except StoreUnavailable:
            if self._looked_at is None:
                raise
        return self.known()

    def note(self, stored: StoredSession | None, looked_at: float) -> None:
        """What was read of it, at a time of the event loop's; nothing new when a later look was quicker."""
        if self._looked_at is None or looked_at >= self._looked_at:
            self._last, self._looked_at = stored, looked_at

    def known(self) -> TradingSession:
        """As it was seen last, shut when that is too long ago."""
        if self._last is None or self._looked_at is None:
            return TradingSession(self._clock.now())
        since = timedelta(seconds=asyncio.get_running_loop().time() - self._looked_at)
        return seen(replace(self._last, silent_for=self._last.silent_for + since), self._clock)
