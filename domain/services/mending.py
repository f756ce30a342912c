"""Minutes that a live feed has not heard, or only parts of, are read again from history when they are over."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from domain.aggregation import Minute
from domain.clock import Clock
from domain.errors import Refusal
from domain.services.loading import Loaded, Loading
from domain.ticks import opening

log = logging.getLogger("freshtape.session")

LOOK_SECONDS = 1.0
MINUTE = timedelta(minutes=1)
SUBSCRIBED = timedelta(seconds=5)
"""How long it may take until a feed that listens anew hears all."""
SETTLED = timedelta(seconds=15)
"""How long after its end a minute is to be had from history."""
AGAIN = timedelta(minutes=1)
"""When who could not be asked is asked again."""
AT_ONCE = 50
"""Minutes that are handed over in one part. Each mends the windows that it is in, and nobody else gets on meanwhile."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Minutes of a symbol: those that open from `since` on and close by `until`. They are to be had at `due`."""

    since: datetime
    until: datetime
    due: datetime


class Mending:
    """Of one live session. One symbol is asked for after the other: there may be hundreds, and nobody waits for it.

    `loaded` are the session's symbols, as they come and go."""

    def __init__(self, loading: Loading, loaded: Mapping[str, Loaded], clock: Clock, wake: asyncio.Event) -> None:
        self._loading = loading
        self._loaded = loaded
        self._clock = clock
        self._wake = wake
        self._gaps: dict[str, Gap] = {}
        self._mended: deque[tuple[str, Sequence[Minute]]] = deque()
        self._is_refused = False

    def note(self, missed: Mapping[str, datetime]) -> None:
        """What was not heard, up to now: also what is left of the minute that is under way."""
        until = opening(self._clock.now() + SUBSCRIBED) + MINUTE
        for ticker, since in missed.items():
            known = self._gaps.get(ticker)
            first = min(known.since, opening(since)) if known is not None else opening(since)
            self._gaps[ticker] = Gap(first, until, until + SETTLED)

    def forget(self, ticker: str) -> None:
        self._gaps.pop(ticker, None)

    def mended(self) -> Iterator[tuple[str, Sequence[Minute]]]:
        """The next part of what has been read, if there is one."""
        if self._mended:
            yield self._mended.popleft()
        if self._mended:
            self._wake.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for ticker, gap in list(self._gaps.items()):
                loaded = self._loaded.get(ticker)
                if loaded is not None and gap.due <= self._clock.now():
                    await self._mend(loaded, gap)

    async def _mend(self, loaded: Loaded, gap: Gap) -> None:
        ticker = loaded.symbol.ticker
        after: Gap | None = None
        try:
            minutes = await self._loading.again(loaded, gap.since, gap.until)
        except Exception as error:  # also a fault of ours stops no other symbol
            self._complain(ticker, error)
            after = replace(gap, due=self._clock.now() + AGAIN)
        else:
            self._mended += ((ticker, minutes[at : at + AT_ONCE]) for at in range(0, len(minutes), AT_ONCE))
            self._wake.set()
            self._is_refused = False
        if self._gaps.get(ticker) is gap:  # else more was missed meanwhile, or it has left
            self.forget(ticker)
            if after is not None:
                self._gaps[ticker] = after

    def _complain(self, ticker: str, error: Exception) -> None:
        """Once, until somebody answers again."""
        if not self._is_refused:
            fault = None if isinstance(error, Refusal) else error
            log.warning("minutes of %s that were missed cannot be had yet: %s", ticker, error, exc_info=fault)
        self._is_refused = True
