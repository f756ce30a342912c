"""The first tables: symbols, levels, bars, actions, leases, the event log, the clock."""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

from persistence.types import Exact, UtcDateTime, ticker_type

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "event_log",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("log_id", sa.String(), nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.Column("clock_generation", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_event_log_one_row")),
        sa.PrimaryKeyConstraint("id", name="pk_event_log"),
    )
    op.create_table(
        "market_clock",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("market_at", UtcDateTime(), nullable=False),
        sa.Column("real_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_market_clock_one_row")),
        sa.PrimaryKeyConstraint("id", name="pk_market_clock"),
    )
    op.create_table(
        "symbols",
        sa.Column("ticker", ticker_type(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("asset_class", sa.String(), nullable=False),
        sa.Column("exchange", sa.String(), nullable=True),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("level_count", sa.Integer(), nullable=False),
        sa.Column("last_price", Exact(), nullable=True),
        sa.Column("last_updated", UtcDateTime(), nullable=True),
        sa.Column("as_of", UtcDateTime(), nullable=True),
        sa.Column("last_attempt_at", UtcDateTime(), nullable=True),
        sa.Column("last_outcome", sa.String(), nullable=True),
        sa.CheckConstraint("level_count >= 0", name=op.f("ck_symbols_level_count")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_symbols_version")),
        sa.PrimaryKeyConstraint("ticker", name="pk_symbols"),
    )
    op.create_table(
        "bars",
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
        sa.ForeignKeyConstraint(["ticker"], ["symbols.ticker"], name="fk_bars_ticker"),
        sa.PrimaryKeyConstraint("ticker", "interval", "open_time", name="pk_bars"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "corporate_actions",
        sa.Column("ticker", ticker_type(), nullable=False),
        sa.Column("ex_date", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("value", Exact(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["ticker"], ["symbols.ticker"], name="fk_corporate_actions_ticker"),
        sa.PrimaryKeyConstraint("ticker", "ex_date", "kind", name="pk_corporate_actions"),
    )
    op.create_table(
        "events",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("ticker", ticker_type(), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.Column("detail", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["ticker"], ["symbols.ticker"], name="fk_events_ticker"),
        sa.PrimaryKeyConstraint("number", name="pk_events"),
    )
    op.create_index("ix_events_recorded_at", "events", ["recorded_at"], unique=False)
    op.create_table(
        "price_levels",
        sa.Column("ticker", ticker_type(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("price", Exact(), nullable=False),
        sa.Column("price_upper", Exact(), nullable=True),
        sa.Column("strength", sa.Float(), nullable=False),
        sa.Column("touches", sa.Integer(), nullable=False),
        sa.Column("last_touched_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("strength >= 0 AND strength <= 1", name=op.f("ck_price_levels_strength")),
        sa.ForeignKeyConstraint(["ticker"], ["symbols.ticker"], name="fk_price_levels_ticker"),
        sa.PrimaryKeyConstraint("ticker", "place", name="pk_price_levels"),
        sa.UniqueConstraint("ticker", "kind", "price", name="uq_price_levels_ticker_kind_price"),
    )
    op.create_table(
        "refresh_leases",
        sa.Column("ticker", ticker_type(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("started_by", sa.String(), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["ticker"], ["symbols.ticker"], name="fk_refresh_leases_ticker"),
        sa.PrimaryKeyConstraint("ticker", name="pk_refresh_leases"),
    )
    log = sa.table("event_log", sa.column("id"), sa.column("log_id"), sa.column("last_number"), sa.column("clock_generation"))
    op.execute(log.insert().values(id=1, log_id=uuid4().hex, last_number=0, clock_generation=0))
