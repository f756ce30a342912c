"""The command line.

Exit codes: 0 done · 1 an unexpected fault, a backfill that failed, or something that `status` finds unwell · 2 wrong usage or
configuration · 3 refused (unknown symbol, conflict, no data, …) · 4 the provider or the database is unavailable.
"""

import logging

import typer

from domain.errors import ProviderUnavailable, Refusal, StoreUnavailable
from web.cli import backfill, market, onboarding, service, session, statistics, status
from web.cli.database import db
from web.cli.portfolios import portfolio
from web.cli.shared import REFUSED, UNAVAILABLE, fail
from web.cli.symbols import symbols

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Market symbols with honest freshness, over GraphQL. Settings come from the environment: see `freshtape config`.",
)
for commands in (service.app, status.app, market.app, onboarding.app, backfill.app, statistics.app):
    app.add_typer(commands)
app.add_typer(db, name="db")
app.add_typer(symbols, name="symbols")
app.add_typer(portfolio, name="portfolio")
app.add_typer(session.app, name="session")


def main() -> None:
    """Runs the command; every expected end is one sentence and an exit code."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    try:
        app()
    except Refusal as refusal:
        fail(refusal.message, UNAVAILABLE if isinstance(refusal, (ProviderUnavailable, StoreUnavailable)) else REFUSED)
