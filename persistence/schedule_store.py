"""When what is done by the calendar was done last."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.tables import schedules


class SqlScheduleStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock(self, name: str) -> datetime | None:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        await self._connection.execute(dialect.insert(schedules).values(name=name, ran_at=None).on_conflict_do_nothing())
        row = select(schedules.c.ran_at).where(schedules.c.name == name).with_for_update()
        ran_at: datetime | None = (await self._connection.execute(row)).scalar_one()
        return ran_at

    async def ran(self, name: str, at: datetime) -> None:
        await self._connection.execute(update(schedules).where(schedules.c.name == name).values(ran_at=at))
