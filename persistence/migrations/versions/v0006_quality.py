"""Backfills, and what is known of the bars: faults, revisions, absences, marks, days. A provider's calls of a day."""

import sqlalchemy as sa
from alembic import op

from persistence.types import Exact, FaultBits, UtcDateTime, ticker_type

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _judge_bars()
    op.add_column("provider_gates", sa.Column("counted_on", sa.Date(), nullable=True))
    op.add_column("provider_gates", sa.Column("calls", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("onboarding_jobs", sa.Column("swaps", sa.Boolean(), nullable=False, server_default=sa.false()))
    _backfills()
    _quality()


def _judge_bars() -> None:
    """In place: to copy them all, as Alembic would on SQLite, takes long, and loses how the table is kept."""
    for table in ("bars", "session_bars"):
        op.add_column(table, sa.Column("faults", FaultBits(), nullable=True))
        op.execute(f"ALTER TABLE {table} DROP COLUMN is_validated")


def _backfills() -> None:
    op.create_table(
        "backfills",
        sa.Column("ticker", ticker_type(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("wanted", sa.String(), nullable=False),
        sa.Column("started_by", sa.String(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("queued_at", UtcDateTime(), nullable=True),
        sa.Column("last_attempt_at", UtcDateTime(), nullable=True),
        sa.Column("last_success_at", UtcDateTime(), nullable=True),
        sa.Column("expected", sa.Integer(), nullable=False),
        sa.Column("received", sa.Integer(), nullable=False),
        sa.Column("records_inserted", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lapses", sa.Integer(), nullable=False),
        sa.Column("failed_days", sa.Integer(), nullable=False),
        sa.Column("failed_on", sa.Date(), nullable=True),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("lease_expires_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "(status = 'failed' AND error IS NOT NULL) OR (status <> 'failed')", name=op.f("ck_backfills_failed_says_why")
        ),
        sa.CheckConstraint(
            "NOT (status = 'completed' AND error IS NOT NULL)", name=op.f("ck_backfills_completed_without_error")
        ),
        sa.ForeignKeyConstraint(["ticker"], ["symbols.ticker"], name="fk_backfills_ticker"),
        sa.PrimaryKeyConstraint("ticker", name="pk_backfills"),
    )
    op.create_index("ix_backfills_status", "backfills", ["status"], unique=False)
    op.create_table(
        "schedules",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("ran_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_schedules"),
    )


def _quality() -> None:
    op.create_table(
        "bar_revisions",
        sa.Column("ticker", ticker_type(), nullable=False),
        sa.Column("interval", sa.String(), nullable=False),
        sa.Column("open_time", UtcDateTime(), nullable=False),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("observed_at", UtcDateTime(), nullable=False),
        sa.Column("old_value", Exact(), nullable=False),
        sa.Column("new_value", Exact(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["ticker"], ["symbols.ticker"], name="fk_bar_revisions_ticker"),
        sa.PrimaryKeyConstraint("ticker", "interval", "open_time", "field", "observed_at", name="pk_bar_revisions"),
    )
    op.create_index("ix_bar_revisions_ticker_observed_at", "bar_revisions", ["ticker", "observed_at"], unique=False)
    op.create_table(
        "absences",
        sa.Column("ticker", ticker_type(), nullable=False),
        sa.Column("interval", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("first", sa.Date(), nullable=False),
        sa.Column("last", sa.Date(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("observed_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["ticker"], ["symbols.ticker"], name="fk_absences_ticker"),
        sa.PrimaryKeyConstraint("ticker", "interval", "provider", "first", name="pk_absences"),
    )
    op.create_table(
        "bar_marks",
        sa.Column("ticker", ticker_type(), nullable=False),
        sa.Column("interval", sa.String(), nullable=False),
        sa.Column("complete_until", UtcDateTime(), nullable=True),
        sa.Column("attempted_until", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["ticker"], ["symbols.ticker"], name="fk_bar_marks_ticker"),
        sa.PrimaryKeyConstraint("ticker", "interval", name="pk_bar_marks"),
    )
    op.create_table(
        "bar_days",
        sa.Column("ticker", ticker_type(), nullable=False),
        sa.Column("interval", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("bars", sa.Integer(), nullable=False),
        sa.Column("validated", sa.Integer(), nullable=False),
        sa.Column("price_gaps", sa.Integer(), nullable=False),
        sa.Column("minutes", sa.LargeBinary(), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("ticker", "interval", "day", name="pk_bar_days"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_bar_days_stale",
        "bar_days",
        ["interval", "ticker", "day"],
        unique=False,
        sqlite_where=sa.text("is_current = 0"),
        postgresql_where=sa.text("NOT is_current"),
    )
    _days_of_bars_held()


def _days_of_bars_held() -> None:
    """None of them current: they are counted by who comes first."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    day, nothing = ("date(open_time)", "x''") if is_sqlite else ("(open_time AT TIME ZONE 'UTC')::date", "''::bytea")
    op.execute(
        "INSERT INTO bar_days (ticker, interval, day, bars, validated, price_gaps, minutes, is_current) "
        f"SELECT DISTINCT ticker, interval, {day}, 0, 0, 0, {nothing}, false "
        "FROM bars WHERE interval <> '1d'"
    )
