"""How much is to be done, and how much could not be."""

from domain.backfill import BackfillStatus
from domain.onboarding import JobStatus
from domain.ports import Database
from domain.queues import QueueCount


class Queues:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def counts(self) -> list[QueueCount]:
        """Of onboardings, those that ended of late among them, and of backfills."""
        async with self._database.read() as unit:
            onboardings, backfills = await unit.jobs.counts(), await unit.backfills.counts()
        return [
            QueueCount(
                "onboarding",
                {status.value: onboardings.get(status, 0) for status in JobStatus},
                pending=onboardings.get(JobStatus.PENDING, 0),
                under_way=onboardings.get(JobStatus.PROCESSING, 0),
                failed=onboardings.get(JobStatus.FAILED, 0),
            ),
            QueueCount(
                "backfill",
                {status.value: backfills.get(status, 0) for status in BackfillStatus},
                pending=backfills.get(BackfillStatus.PENDING, 0),
                under_way=backfills.get(BackfillStatus.IN_PROGRESS, 0),
                failed=backfills.get(BackfillStatus.FAILED, 0),
            ),
        ]
