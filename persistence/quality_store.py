"""What is known of bars beside the bars themselves: revisions, absences, and how far they are complete."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import date
from typing import Any

from sqlalchemy import Select, and_, case, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.bars import Interval
from domain.gaps import Absence, Mark
from domain.revisions import Revision
from persistence.tables import absences, bar_days, bar_marks, bar_revisions


class SqlQualityStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._dialect = postgresql if connection.dialect.name == "postgresql" else sqlite

    async def forget(self, ticker: str) -> None:
        for table in (absences, bar_marks, bar_days):
            await self._connection.execute(delete(table).where(table.c.ticker == ticker))

    # ── revisions

    async def add_revisions(self, revisions: Sequence[Revision]) -> None:
        if not revisions:
            return
        new = self._dialect.insert(bar_revisions)
        last = {name: new.excluded[name] for name in ("new_value", "source")}
        statement = new.on_conflict_do_update(index_elements=list(bar_revisions.primary_key), set_=last)
        await self._connection.execute(statement, list(map(asdict, revisions)))

    async def revisions(self, tickers: Sequence[str], first: int) -> Mapping[str, list[Revision]]:
        own = bar_revisions.c
        order = own.observed_at.desc(), own.open_time.desc(), own.interval, own.field
        place = func.row_number().over(partition_by=own.ticker, order_by=order).label("place")
        ranked = select(bar_revisions, place).where(own.ticker.in_(tickers)).subquery()
        newest = select(ranked).where(ranked.c.place <= first).order_by(ranked.c.ticker, ranked.c.place)
        found: defaultdict[str, list[Revision]] = defaultdict(list)
        for row in await self._connection.execute(newest):
            found[row.ticker].append(Revision(*(getattr(row, field.name) for field in fields(Revision))))
        return found

    # ── absences

    async def absences(self, tickers: Sequence[str], interval: Interval) -> Mapping[str, list[Absence]]:
        wanted = and_(absences.c.ticker.in_(tickers), absences.c.interval == interval)
        statement: Select[Any] = select(absences).where(wanted).order_by(absences.c.ticker, absences.c.first)
        found: defaultdict[str, list[Absence]] = defaultdict(list)
        for row in await self._connection.execute(statement):
            found[row.ticker].append(Absence(*(getattr(row, field.name) for field in fields(Absence))))
        return found

    async def note_absences(self, noted: Sequence[Absence]) -> None:
        if not noted:
            return
        new = self._dialect.insert(absences)
        changed = {column.name: new.excluded[column.name] for column in absences.c if not column.primary_key}
        statement = new.on_conflict_do_update(index_elements=list(absences.primary_key), set_=changed)
        await self._connection.execute(statement, list(map(asdict, noted)))

    async def forget_absences(self, ticker: str, interval: Interval, first: date, last: date) -> None:
        own = absences.c
        within = and_(own.first >= first, own.last <= last)
        await self._connection.execute(delete(absences).where(own.ticker == ticker, own.interval == interval, within))

    # ── marks

    async def marks(self, tickers: Sequence[str], interval: Interval) -> Mapping[str, Mark]:
        wanted = and_(bar_marks.c.ticker.in_(tickers), bar_marks.c.interval == interval)
        rows = await self._connection.execute(select(bar_marks).where(wanted))
        return {row.ticker: Mark(*(getattr(row, field.name) for field in fields(Mark))) for row in rows}

    async def set_mark(self, mark: Mark) -> None:
        new = self._dialect.insert(bar_marks).values(asdict(mark))
        later = {
            name: case(
                (or_(bar_marks.c[name].is_(None), new.excluded[name] > bar_marks.c[name]), new.excluded[name]),
                else_=bar_marks.c[name],
            )
            for name in ("complete_until", "attempted_until")
        }
        await self._connection.execute(new.on_conflict_do_update(index_elements=list(bar_marks.primary_key), set_=later))
