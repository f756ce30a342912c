"""How much is to be done, and how much could not be."""

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from domain.backfill import BackfillStatus
from domain.onboarding import JobStatus
from domain.ports import Database
from domain.queues import QueueCount

Status = TypeVar("Status", bound=Enum)


class Queues:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def counts(self) -> list[QueueCount]:
        """Of onboardings, those that ended of late among them, and of backfills."""
        async with self._database.read() as unit:
            onboardings, backfills = await unit.jobs.counts(), await unit.backfills.counts()
        return [
            _count("onboarding", onboardings, JobStatus.PENDING, JobStatus.PROCESSING, JobStatus.FAILED),
            _count("backfill", backfills, BackfillStatus.PENDING, BackfillStatus.IN_PROGRESS, BackfillStatus.FAILED),
        ]


def _count(name: str, counts: Mapping[Status, int], pending: Status, under_way: Status, failed: Status) -> QueueCount:
    every = {status: counts.get(status, 0) for status in type(pending)}
    by_status = {status.value: count for status, count in every.items()}
    return QueueCount(name, by_status, every[pending], every[under_way], every[failed])
