"""The one trading session, and who leads it: a lease on the database's own time, under a token that rises with every leader."""

from functools import lru_cache
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.ports import StoredSession
from domain.session import TradingSession
from persistence.records import read, written
from persistence.tables import trading_session
from persistence.types import real_time

LEASE_SECONDS = 8
"""A leader says each second that it is there."""

_SESSION = select(trading_session, real_time().label("real_now"))


class SqlSessionStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def read(self) -> StoredSession | None:
        return await self._read(_SESSION, None)

    async def lock(self, known: TradingSession | None = None) -> StoredSession | None:
        return await self._read(_SESSION.with_for_update(), known)

    async def save(self, session: TradingSession) -> None:
        await self._update(version=session.version, body=written(session))

    async def lead(self, token: int) -> None:
        await self._update(token=token, heard_at=real_time(), lease_expires_at=real_time(LEASE_SECONDS))

    async def offer(self) -> None:
        await self._update(token=trading_session.c.token + 1, heard_at=real_time(), lease_expires_at=real_time())

    async def resign(self, token: int) -> None:
        resigned = update(trading_session).where(trading_session.c.token == token).values(lease_expires_at=real_time())
        await self._connection.execute(resigned)

    async def _read(self, statement: Select[Any], known: TradingSession | None) -> StoredSession | None:
        row = (await self._connection.execute(statement)).one()
        if row.body is None:
            return None
        is_known = known is not None and known.version == row.version
        return StoredSession(
            session=known if known is not None and is_known else _session(row.body),
            token=row.token,
            heard_at=row.heard_at,
            silent_for=row.real_now - row.heard_at,
            is_free=row.lease_expires_at <= row.real_now,
        )

    async def _update(self, **values: Any) -> None:
        await self._connection.execute(update(trading_session).values(values))


@lru_cache(2)
def _session(body: str) -> TradingSession:
    """Frozen, and so everybody's: with 500 symbols 5 ms, and most reads are of a row that nobody has written since."""
    return read(TradingSession, body)
