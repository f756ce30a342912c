"""The database: brought up to date, and back on real time."""

import typer

from web.cli.shared import current_settings, out, run_to_end

db = typer.Typer(no_args_is_help=True, help="The database.")


@db.command()
def upgrade() -> None:
    """Bring the database up to date. `serve` and the other commands do so themselves."""
    from web.container import open_database

    async def work() -> bool:
        async with open_database(current_settings()) as opened:
            return opened.was_upgraded

    out.print("The database was brought up to date." if run_to_end(work()) else "The database is up to date.")


@db.command("forget-clock")
def forget_clock_command() -> None:
    """Go back to real time; services that run on the recorded clock stop."""
    from persistence.market_clock import forget_clock
    from web.container import open_database

    async def work() -> bool:
        async with open_database(current_settings()) as opened:
            return await forget_clock(opened.engine)

    out.print("The recorded clock is forgotten: it is real time again." if run_to_end(work()) else "No clock was recorded.")
