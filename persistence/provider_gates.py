"""The gates of the providers: a row for each that has something to remember."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from operator import itemgetter

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.gates import Gate
from persistence.tables import provider_gates
from persistence.types import real_time

_values = itemgetter(*(field.name for field in fields(Gate)))


class SqlProviderGates:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def read(self, providers: Sequence[str]) -> tuple[Mapping[str, Gate], datetime]:
        moment = select(real_time().label("real_now")).subquery()
        wanted = provider_gates.c.provider.in_(providers)
        statement = select(moment, provider_gates).join_from(moment, provider_gates, wanted, isouter=True)
        rows = (await self._connection.execute(statement)).all()
        found = {row.provider: Gate(*_values(row._mapping)) for row in rows if row.provider is not None}
        return {provider: found.get(provider) or Gate(provider) for provider in providers}, rows[0].real_now

    async def lock(self, provider: str) -> tuple[Gate, datetime]:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        first = dialect.insert(provider_gates).values(asdict(Gate(provider))).on_conflict_do_nothing()
        row = select(provider_gates.c.provider).where(provider_gates.c.provider == provider).with_for_update()
        if await self._connection.scalar(row) is None:
            await self._connection.execute(first)  # waits for whoever else does so
            await self._connection.execute(row)
        # Read after the lock is held: the gate as it was left last, and a time that is no earlier.
        gates, now = await self.read([provider])
        return gates[provider], now

    async def save(self, gate: Gate) -> None:
        await self._connection.execute(
            update(provider_gates).where(provider_gates.c.provider == gate.provider).values(asdict(gate))
        )
