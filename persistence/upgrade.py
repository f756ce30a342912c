"""Brings a database up to date: all of it or nothing, and once, however many processes start together."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select

from persistence.engine import Engine

_ADVISORY_LOCK = 0x46524553  # "FRES"
_MIGRATIONS = Path(__file__).parent / "migrations"


class UnknownRevision(Exception):
    """The database was written by a newer Freshtape."""

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"The database is at revision {revision}, which this version of Freshtape does not know; use a newer one."
        )


async def upgrade(engine: Engine) -> bool:
    """True when there was something to do. Raises UnknownRevision, and leaves the database alone."""
    async with engine.read() as connection:
        if await connection.run_sync(_revision) == _newest():
            return False
    async with engine.migrate() as connection:
        if engine.kind == "postgresql":
            await connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
        return await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> bool:
    before = _revision(connection)
    if before == _newest():
        return False
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if before is not None and before not in known:
        raise UnknownRevision(before)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return True


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _newest() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config
