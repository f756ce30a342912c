"""The backfills: whose turn it is, and under whose lease."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.backfill import Backfill, BackfillStatus, Priority, Wanted
from domain.bars import Interval
from domain.ports import BackfillClaim, Candidate
from domain.symbols import SymbolStatus
from persistence.tables import backfills, positions, symbols
from persistence.types import real_time

LEASE_SECONDS = 15
"""How long a worker that is not heard of keeps its backfill."""

_is_pending = backfills.c.status == BackfillStatus.PENDING
_is_in_progress = backfills.c.status == BackfillStatus.IN_PROGRESS
_is_lapsed = and_(_is_in_progress, backfills.c.lease_expires_at <= real_time())


class SqlBackfillStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock(self, ticker: str) -> Backfill:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        first = {**_values(Backfill(ticker)), "token": 0}
        await self._connection.execute(dialect.insert(backfills).values(first).on_conflict_do_nothing())
        return _job((await self._connection.execute(_one(ticker).with_for_update())).one())

    async def of(self, tickers: Sequence[str]) -> Mapping[str, Backfill]:
        rows = await self._connection.execute(select(backfills).where(backfills.c.ticker.in_(tickers)))
        return {row.ticker: _job(row) for row in rows}

    async def save(self, job: Backfill, due_in_seconds: float = 0) -> None:
        changed: dict[str, Any] = _values(job)
        if job.status is not BackfillStatus.IN_PROGRESS:
            changed |= {"lease_expires_at": None, "due_at": real_time(due_in_seconds) if job.is_active else None}
        await self._connection.execute(update(backfills).where(backfills.c.ticker == job.ticker).values(changed))

    async def claim(self, places: int, now: datetime) -> BackfillClaim | None:
        # One whose worker died has its place already, and goes first.
        order = _is_pending, backfills.c.priority.desc(), backfills.c.ticker
        up = select(backfills).where(or_(_is_lapsed, _is_due(places))).order_by(*order).limit(1)
        found = (await self._connection.execute(up.with_for_update(skip_locked=True))).one_or_none()
        if found is None:
            return None
        job, token = _job(found).claimed(now), found.token + 1
        leased = {"token": token, "lease_expires_at": real_time(LEASE_SECONDS), "due_at": None}
        await self._connection.execute(update(backfills).where(backfills.c.ticker == job.ticker).values(_values(job) | leased))
        return BackfillClaim(job, token)

    async def is_up(self, places: int) -> bool:
        someone = select(backfills.c.ticker).where(or_(_is_lapsed, _is_due(places))).exists()
        return bool((await self._connection.execute(select(someone))).scalar_one())

    async def hold(self, ticker: str, token: int) -> bool:
        own = and_(backfills.c.ticker == ticker, backfills.c.token == token)
        held = await self._connection.execute(
            update(backfills)
            .where(own, _is_in_progress, backfills.c.lease_expires_at > real_time())
            .values(lease_expires_at=real_time(LEASE_SECONDS))
        )
        return held.rowcount == 1

    async def give_back(self, ticker: str, token: int) -> None:
        # Its next worker counts a lapse, which this is none.
        await self._connection.execute(
            update(backfills)
            .where(backfills.c.ticker == ticker, backfills.c.token == token, _is_in_progress)
            .values(lease_expires_at=real_time(), lapses=backfills.c.lapses - 1)
        )

    async def counts(self) -> Mapping[BackfillStatus, int]:
        """Those that were ever asked for."""
        asked = or_(~_is_pending, backfills.c.due_at.is_not(None))
        each = select(backfills.c.status, func.count()).where(asked).group_by(backfills.c.status)
        return {row[0]: row[1] for row in await self._connection.execute(each)}

    async def candidates(self) -> list[Candidate]:
        is_open = and_(positions.c.ticker == symbols.c.ticker, positions.c.exit_date.is_(None))
        is_held = select(positions.c.ticker).where(is_open).exists().label("is_held")
        kept = symbols.c.status.in_((SymbolStatus.ACTIVE, SymbolStatus.SUSPECT))
        rows = await self._connection.execute(
            select(symbols.c.ticker, symbols.c.asset_class, symbols.c.exchange, is_held)
            .where(kept)
            .order_by(is_held.desc(), symbols.c.ticker)
        )
        return [
            Candidate(row.ticker, row.asset_class, row.exchange, Priority.HELD if row.is_held else Priority.SCHEDULED)
            for row in rows
        ]


def _one(ticker: str) -> Any:
    return select(backfills).where(backfills.c.ticker == ticker)


def _is_due(places: int) -> ColumnElement[bool]:
    others = backfills.alias()
    under_way = select(func.count()).select_from(others).where(others.c.status == BackfillStatus.IN_PROGRESS).scalar_subquery()
    return and_(_is_pending, backfills.c.due_at <= real_time(), under_way < places)


_FIELDS = [field.name for field in fields(Backfill)]


def _values(job: Backfill) -> dict[str, Any]:
    wanted = [[each.interval.value, each.first.isoformat(), each.last.isoformat()] for each in job.wanted]
    return {name: getattr(job, name) for name in _FIELDS} | {"wanted": json.dumps(wanted), "priority": int(job.priority)}


def _job(row: Row[Any]) -> Backfill:
    wanted = tuple(
        Wanted(Interval(interval), date.fromisoformat(first), date.fromisoformat(last))
        for interval, first, last in json.loads(row.wanted)
    )
    own = {name: row._mapping[name] for name in _FIELDS}
    return Backfill(**own | {"wanted": wanted, "priority": Priority(row.priority)})
