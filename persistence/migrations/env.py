"""Alembic runs in the transaction it is given: `persistence.upgrade` begins and commits it."""

from alembic import context
from sqlmodel import SQLModel

import persistence.tables  # noqa: F401 - fills the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    transactional_ddl=False,
)
context.run_migrations()
