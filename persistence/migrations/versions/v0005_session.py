"""The trading session and its longer bars; what an event is of, whatever it is."""

import sqlalchemy as sa
from alembic import op

from persistence.types import Exact, UtcDateTime, real_time, ticker_type

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("events") as events:
        events.alter_column("job", new_column_name="body", existing_type=sa.String(), existing_nullable=True)
    session = op.create_table(
        "trading_session",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("heard_at", UtcDateTime(), nullable=False),
        sa.Column("lease_expires_at", UtcDateTime(), nullable=False),
        sa.Column("body", sa.String(), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_trading_session_one_row")),
        sa.PrimaryKeyConstraint("id", name="pk_trading_session"),
    )
    op.execute(sa.insert(session).values(id=1, version=0, token=0, heard_at=real_time(), lease_expires_at=real_time()))
    op.create_table(
        "session_bars",
        sa.Column("ticker", ticker_type(), nullable=False),
        sa.Column("interval", sa.String(), nullable=False),
        sa.Column("open_time", UtcDateTime(), nullable=False),
        sa.Column("close_time", UtcDateTime(), nullable=False),
        sa.Column("open", Exact(), nullable=False),
        sa.Column("high", Exact(), nullable=False),
        sa.Column("low", Exact(), nullable=False),
        sa.Column("close", Exact(), nullable=False),
        sa.Column("volume", Exact(), nullable=False),
        sa.Column("adjusted_to", sa.Date(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("is_final", sa.Boolean(), nullable=False),
        sa.Column("is_validated", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("ticker", "interval", "open_time", name="pk_session_bars"),
        sqlite_with_rowid=False,
    )
