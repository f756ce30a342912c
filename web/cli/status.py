"""How the service is doing, for a person and for a machine."""

import asyncio
import json
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from web.cli.shared import UNAVAILABLE, Url, current_settings, fail, many, out, run_to_end, shown, table_of
from web.remote import RefusedByService, Unreachable, reach
from web.settings import Settings

if TYPE_CHECKING:
    from graph.context import Services

ABOUT = """{ service {
    name version database now stalenessThresholdHours loops { name state restarts lastError seconds }
} }"""
"""What needs no database."""
STANDING = """{
    service {
        freshness { assetClass tracked fresh stale medianHours p95Hours }
        providers { name circuit retryAt consecutiveFailures lastError }
        queues { name pending underWay failed }
    }
    session { mode state reason clock symbols { ticker } }
}"""

ANSWER_SECONDS = 10
FRESH_SHARE = 0.9
"""Of a class, below which somebody should look: a few symbols are always in trouble of their own."""
COLUMNS = 80
UNWELL = 1

Ask = Callable[[str], Awaitable[dict[str, Any]]]

app = typer.Typer()


@dataclass(frozen=True, slots=True)
class Status:
    """What was answered. `url` is None when no service did, and the database was asked; `standing` when that did not answer
    the service."""

    url: str | None
    about: dict[str, Any]
    standing: dict[str, Any] | None
    refusal: str | None = None

    def unwell(self) -> Iterator[str]:
        """A sentence for each thing that somebody should look at."""
        if self.url is None:
            yield "No service answers: nothing is done in the background."
        if self.refusal is not None:
            yield self.refusal
        for loop in self.about["loops"]:
            if loop["state"] in ("WAITING", "FAILED"):
                yield f"The loop `{loop['name']}` has been {loop['state']} for {loop['seconds']:.0f} s: {loop['lastError']}"
        if self.standing is not None:
            yield from _unwell_providers(self.standing["service"]["providers"])
            yield from _unwell_classes(self.standing["service"]["freshness"])

    def as_json(self) -> str:
        standing = self.standing or {"service": {}, "session": None}
        service = self.about | standing["service"]
        found = {"url": self.url, "unwell": list(self.unwell()), "service": service, "session": standing["session"]}
        return json.dumps(found, indent=2)


def _unwell_providers(providers: list[dict[str, Any]]) -> Iterator[str]:
    for provider in providers:
        if provider["circuit"] == "OPEN":
            yield f"The provider {provider['name']} is not asked before {provider['retryAt']}: {provider['lastError']}"


def _unwell_classes(classes: list[dict[str, Any]]) -> Iterator[str]:
    for each in classes:
        if each["fresh"] < FRESH_SHARE * each["tracked"]:
            yield f"Too many {each['assetClass']} symbols are stale: {each['stale']:,} of {each['tracked']:,}."


@app.command()
def status(
    url: Url = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: all of it, and what is unwell.")] = False,
) -> None:
    """Show how the service is doing; without a running one, what its database tells. Exit code 1 when something is unwell."""
    settings = current_settings()
    found: Status = run_to_end(_look(settings, url))
    if as_json:
        sys.stdout.write(found.as_json() + "\n")
    else:
        _print(found)
    raise typer.Exit(UNWELL if any(found.unwell()) else 0)


async def _look(settings: Settings, url: str | None) -> Status:
    try:
        async with asyncio.timeout(ANSWER_SECONDS), reach(url or settings.address) as remote:
            return await _asked(url or settings.address, remote.ask)
    except (Unreachable, TimeoutError) as refusal:
        if url is not None:
            fail(str(refusal) or f"The service at {url} does not answer.", UNAVAILABLE)
    return await _look_into_database(settings)


async def _look_into_database(settings: Settings) -> Status:
    from web.container import open_container

    async with open_container(settings) as container:
        return await _asked(None, _within(container.services))


def _within(services: "Services") -> Ask:
    """Asks these services, as somebody far away asks a running one."""
    from graph.execution import Executor
    from graph.limits import Limits
    from graph.request import Request

    executor = Executor(services, Limits())

    async def ask(query: str) -> dict[str, Any]:
        answer = await executor.execute(await executor.prepare(Request(query, {})))
        if answer.errors or answer.data is None:
            raise RefusedByService("; ".join(error.message for error in answer.errors))
        return answer.data

    return ask


async def _asked(url: str | None, ask: Ask) -> Status:
    about = (await ask(ABOUT))["service"]
    try:
        return Status(url, about, await ask(STANDING))
    except RefusedByService as refusal:
        return Status(url, about, None, str(refusal))


# ── on paper


def _print(found: Status) -> None:
    about = found.about
    out.print(f"{about['name']} {about['version']}, {found.url or 'not running'}", markup=False)
    out.print(f"{about['database']}, clock {about['now']}", markup=False)
    if found.standing is not None:
        _print_standing(found.standing, about["stalenessThresholdHours"])
    if about["loops"]:
        _section("Loops", _loops(about["loops"]))
    unwell = list(found.unwell())
    out.print(f"\n{'Unwell:' if unwell else 'All is well.'}")
    for sentence in unwell:
        out.print(textwrap.fill(sentence, COLUMNS, initial_indent="- ", subsequent_indent="  "), markup=False)


def _print_standing(standing: dict[str, Any], threshold_hours: int) -> None:
    service, session = standing["service"], standing["session"]
    _section(f"Symbols, fresh for {threshold_hours} h", _classes(service["freshness"]))
    _section("Providers", _providers(service["providers"]))
    _section("Queues", _queues(service["queues"]))
    told = f"{session['mode']} {session['state']}, {many(len(session['symbols']), 'symbol')}, {session['clock']}"
    reason = f"\n{textwrap.fill(session['reason'], COLUMNS)}" if session["reason"] else ""
    _section("Session", told + reason)


def _section(title: str, content: Table | str) -> None:
    out.print(f"\n{title}", markup=False)
    out.print(content, markup=False)


def _classes(classes: list[dict[str, Any]]) -> Table | str:
    if not classes:
        return "none is tracked"
    table = table_of("class", "tracked", "fresh", "%", "median hours", "95 % within")
    for each in classes:
        percent = f"{100 * each['fresh'] / each['tracked']:.0f}"
        row = each["assetClass"], f"{each['tracked']:,}", f"{each['fresh']:,}", percent
        table.add_row(*row, shown(each["medianHours"]), shown(each["p95Hours"]))
    return table


def _providers(providers: list[dict[str, Any]]) -> Table:
    table = table_of("name", "circuit", "failures", "asked again at")
    for each in providers:
        table.add_row(each["name"], each["circuit"], str(each["consecutiveFailures"]), shown(each["retryAt"]))
    return table


def _queues(queues: list[dict[str, Any]]) -> Table:
    table = table_of("queue", "pending", "under way", "failed")
    for each in queues:
        table.add_row(each["name"], f"{each['pending']:,}", f"{each['underWay']:,}", f"{each['failed']:,}")
    return table


def _loops(loops: list[dict[str, Any]]) -> Table:
    table = table_of("loop", "state", "for", "restarts")
    for each in loops:
        table.add_row(each["name"], each["state"], f"{each['seconds']:,.0f} s", f"{each['restarts']:,}")
    return table
