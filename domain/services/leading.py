"""Who leads the session: one process does; the others wait to take its place."""

import asyncio
import logging
from contextlib import aclosing, suppress

from domain.errors import StoreUnavailable
from domain.events import LoggedMove
from domain.ports import EventFeed, UnitOfWork
from domain.services.leadership import Lead, Leadership, LeadershipLost, Tools

log = logging.getLogger("freshtape.session")

LOOK_SECONDS = 1.0
"""How often a process that does not lead looks whether somebody does."""


class Leader:
    """A process's share in leading: takes the session over when nobody leads it, and leads it until it ends or is lost."""

    def __init__(self, feed: EventFeed, tools: Tools) -> None:
        self._feed = feed
        self.tools = tools
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """For ever. Cancelled, it gives the session up, so that another process goes on at once."""
        while True:
            self._wake.clear()
            if (lead := await self._claim()) is not None:
                await self._lead(lead)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()

    async def listen(self) -> None:
        """For ever: a command is news."""
        async with aclosing(self._feed.follow(None)) as entries:
            async for entry in entries:
                if isinstance(entry, LoggedMove):
                    self._wake.set()

    async def _claim(self) -> Lead | None:
        with suppress(StoreUnavailable):
            async with self.tools.database.read() as unit:
                stored = await unit.session.read()
            if stored is not None and stored.session.is_going and stored.is_free:
                async with self.tools.database.write() as unit:
                    return await self._take(unit)
        return None

    async def _take(self, unit: UnitOfWork) -> Lead | None:
        stored = await unit.session.lock()
        if stored is None or not stored.session.is_going or not stored.is_free:
            return None
        session, epochs = stored.session.led()
        await unit.session.save(session)
        await unit.session.lead(stored.token + 1)
        await unit.events.append(*self.tools.told(epochs))
        return Lead(session, stored.token + 1)

    async def _lead(self, lead: Lead) -> None:
        self.tools.bar_feed.is_told_here = True
        try:
            await Leadership(lead, self.tools, self._wake).run()
        except LeadershipLost:
            log.info("the session is led no more by this process")
        finally:
            self.tools.bar_feed.is_told_here = False
            self.tools.observer.left()
            await self._resign(lead.token)

    async def _resign(self, token: int) -> None:
        with suppress(StoreUnavailable):
            async with self.tools.database.write() as unit:
                await unit.session.resign(token)
