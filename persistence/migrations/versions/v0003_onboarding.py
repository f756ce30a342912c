"""Betas; the onboarding queue; events that are steps of its jobs, whose tickers are of no symbol yet."""

import sqlalchemy as sa
from alembic import op

from persistence.types import UtcDateTime, ticker_type

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ACTIVE = sa.text("status IN ('pending', 'processing')")


def upgrade() -> None:
    with op.batch_alter_table("events") as events:
        events.drop_constraint("fk_events_ticker", type_="foreignkey")
        events.add_column(sa.Column("job", sa.String(), nullable=True))
    op.create_table(
        "factor_exposures",
        sa.Column("ticker", ticker_type(), nullable=False),
        sa.Column("factor", sa.String(), nullable=False),
        sa.Column("beta", sa.Float(), nullable=True),
        sa.Column("r_squared", sa.Float(), nullable=True),
        sa.Column("observations", sa.Integer(), nullable=False),
        sa.Column("window_days", sa.Integer(), nullable=False),
        sa.Column("quality", sa.String(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["ticker"], ["symbols.ticker"], name="fk_factor_exposures_ticker"),
        sa.PrimaryKeyConstraint("ticker", "factor", name="pk_factor_exposures"),
    )
    op.create_table(
        "onboarding_queue",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_onboarding_queue_one_row")),
        sa.PrimaryKeyConstraint("id", name="pk_onboarding_queue"),
    )
    op.create_table(
        "onboarding_jobs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("ticker", ticker_type(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lapses", sa.Integer(), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=True),
        sa.Column("previous_status", sa.String(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("shortfall", sa.String(), nullable=True),
        sa.Column("queued_at", UtcDateTime(), nullable=False),
        sa.Column("prices_at", UtcDateTime(), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("lease_expires_at", UtcDateTime(), nullable=True),
        sa.Column("phase_since", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_onboarding_jobs"),
    )
    op.create_index(
        "uq_onboarding_jobs_active",
        "onboarding_jobs",
        ["ticker"],
        unique=True,
        sqlite_where=_ACTIVE,
        postgresql_where=_ACTIVE,
    )
    op.create_index("ix_onboarding_jobs_ticker_number", "onboarding_jobs", ["ticker", "number"])
    op.create_index("ix_onboarding_jobs_status_number", "onboarding_jobs", ["status", "number"])
    op.create_table(
        "onboarding_waiting",
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("ticker", ticker_type(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("portfolio_id", "ticker", name="pk_onboarding_waiting"),
    )
    op.create_table(
        "onboarding_timings",
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("phase", name="pk_onboarding_timings"),
    )
    queue = sa.table("onboarding_queue", sa.column("id"), sa.column("last_number"))
    op.execute(queue.insert().values(id=1, last_number=0))
