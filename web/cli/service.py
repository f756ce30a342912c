"""The service itself: serving it, and what it is set to."""

import logging
import sys
from functools import partial
from typing import Annotated

import typer

from web.cli.shared import current_settings, out, progress, run_to_end, table_of
from web.settings import Settings, configuration_page, described

app = typer.Typer()

OUTCOMES = ("freshtape.refreshing", "freshtape.onboarding", "freshtape.backfill")
"""What a service logs of the work that it brings to an end, whether well or not."""


@app.command()
def serve(
    works: Annotated[
        bool, typer.Option("--workers/--no-workers", help="Work too: onboardings, backfills, the schedule, the session.")
    ] = True,
) -> None:
    """Serve GraphQL at /graphql until stopped."""
    from web.container import open_container
    from web.serving import keep_what_is_loaded
    from web.serving import serve as serve_container

    settings = current_settings()
    _log_outcomes()

    async def work() -> None:
        async with open_container(settings) as container:
            keep_what_is_loaded()
            await serve_container(
                container, lambda address: out.print(f"Freshtape is at {address}/graphql", markup=False), works=works
            )

    run_to_end(work())


@app.command()
def worker() -> None:
    """Work for a PostgreSQL database until stopped, beside the services that serve it: onboardings, backfills, the session."""
    from web.container import open_container
    from web.serving import keep_what_is_loaded
    from web.serving import work as work_queue

    settings = current_settings()
    places = f"{settings.onboarding_max_concurrent} onboardings and {settings.backfill_max_concurrent} backfills"
    _log_outcomes()

    async def work() -> None:
        async with open_container(settings) as container:
            keep_what_is_loaded()
            await work_queue(container, lambda: out.print(f"Working: {places} at a time, over all processes."))

    run_to_end(work())


def _log_outcomes() -> None:
    for name in OUTCOMES:
        logging.getLogger(name).setLevel(logging.INFO)


@app.command()
def demo() -> None:
    """Serve a recorded market from a new temporary database: nothing to set up, nothing left behind."""
    from web.container import open_container
    from web.demo import demo_settings, demo_tickers, fill, replay_over_and_over
    from web.serving import keep_what_is_loaded
    from web.serving import serve as serve_container

    async def work(settings: Settings) -> None:
        with progress("Onboarding the sample market", len(demo_tickers(settings.sample_dir))) as done:
            await fill(settings, done)
        async with open_container(settings) as container:
            keep_what_is_loaded()
            await serve_container(container, _invite, beside={"demo": partial(replay_over_and_over, container)})

    with demo_settings(current_settings()) as settings:
        run_to_end(work(settings))


def _invite(address: str) -> None:
    stale = "{ symbols(filter: {isStale: true}) { nodes { ticker stalenessMessage stalenessReason } } }"
    refresh = 'mutation { refreshSymbol(input: {ticker: \\"BA\\"}) { __typename ... on SymbolRefreshed { barsChanged } } }'
    out.print(f"\nThe Freshtape demo is at {address}, its API at {address}/graphql (stop it with Ctrl-C).")
    out.print("It is the evening of 2026-03-27 there; four symbols have not been refreshed for days.")
    for what, query in (("Which are stale?", stale), ("Refresh one:", refresh)):
        out.print(f"\n{what}\n  curl -s {address}/graphql -H 'content-type: application/json' \\", markup=False)
        out.print(f'    -d \'{{"query":"{query}"}}\'', markup=False)
    out.print("\nA session replays 2026-03-25, a minute a second, over and over. Watch it, and add a symbol to it meanwhile:")
    for what in ("watch", "add TSLA"):
        out.print(f"  freshtape session {what} --url {address}", markup=False)


@app.command()
def schema() -> None:
    """Print the GraphQL schema (SDL)."""
    from graph.schema import schema as graphql_schema

    sys.stdout.write(graphql_schema.as_str() + "\n")


@app.command()
def config(
    markdown: Annotated[bool, typer.Option(help="The page docs/configuration.md, instead of the values in force.")] = False,
) -> None:
    """Show every setting: its value (secrets as ***) and its default."""
    if markdown:
        sys.stdout.write(configuration_page())
        return
    table = table_of("variable", "value", "default")
    for setting in described(current_settings()):
        table.add_row(setting.variable, setting.value, setting.default)
    out.print(table)
