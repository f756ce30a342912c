"""Portfolios, their lots and what these came to."""

import sqlalchemy as sa
from alembic import op

from persistence.types import Exact, UtcDateTime, ticker_type

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "portfolios",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", ticker_type(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("is_priced", sa.Boolean(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_portfolios_version")),
        sa.PrimaryKeyConstraint("id", name="pk_portfolios"),
        sa.UniqueConstraint("name", name="uq_portfolios_name"),
    )
    op.create_table(
        "positions",
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("ticker", ticker_type(), nullable=False),
        sa.Column("quantity", Exact(), nullable=False),
        sa.Column("entry_price", Exact(), nullable=False),
        sa.Column("entry_date", sa.Date(), nullable=True),
        sa.Column("exit_date", sa.Date(), nullable=True),
        sa.Column("shares_as_of", sa.Date(), nullable=False),
        sa.Column("last_price", Exact(), nullable=True),
        sa.Column("last_price_date", sa.Date(), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.Column("note", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["portfolio_id"], ["portfolios.id"], name="fk_positions_portfolio_id"),
        sa.PrimaryKeyConstraint("portfolio_id", "place", name="pk_positions"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_positions_ticker", "positions", ["ticker"], unique=False)
    op.create_index("ix_onboarding_waiting_ticker", "onboarding_waiting", ["ticker"], unique=False)
    op.create_table(
        "portfolio_snapshots",
        sa.Column("portfolio_id", sa.String(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("oldest_price_date", sa.Date(), nullable=False),
        sa.Column("total_value", Exact(), nullable=False),
        sa.Column("total_cost", Exact(), nullable=False),
        sa.Column("total_pnl", Exact(), nullable=False),
        sa.Column("pnl_percent", Exact(), nullable=False),
        sa.Column("position_count", sa.Integer(), nullable=False),
        sa.Column("is_complete", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["portfolio_id"], ["portfolios.id"], name="fk_portfolio_snapshots_portfolio_id"),
        sa.PrimaryKeyConstraint("portfolio_id", name="pk_portfolio_snapshots"),
    )
