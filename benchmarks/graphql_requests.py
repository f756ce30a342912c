"""Requests per second over HTTP: the whole service beside plain Strawberry, over the same database.

Each server is a process of its own, pinned to one core; the client, and PostgreSQL, have the others.
"""

import multiprocessing
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import Any

import httpx
import orjson
import uvicorn

from benchmarks import cores, market, plain_strawberry
from benchmarks.databases import databases
from benchmarks.load import requests_per_second
from benchmarks.report import Comparison, by_turns, print_machine, print_table
from providers.sample import listing
from web.container import open_container, running_loops
from web.serving import run, serve
from web.settings import Settings

SECONDS = 0.8
FIELDS = "ticker name assetClass version lastUpdated lastPrice isStale hoursSinceUpdate"
OPERATIONS: dict[str, dict[str, Any]] = {
    "symbols, 100 × 8 fields": {
        "query": f"query Symbols($first: Int!) {{ symbols(first: $first) {{ nodes {{ {FIELDS} }} }} }}",
        "variables": {"first": market.SYMBOLS},
    },
    "symbol, 8 fields": {
        "query": f"query Symbol($ticker: String!) {{ symbol(ticker: $ticker) {{ {FIELDS} }} }}",
        "variables": {"ticker": "MSFT"},
    },
}


def main() -> None:
    with cores.leaving_one_free(), databases() as urls, market.market() as folder:
        found = []
        for name, url in urls.items():
            settings = market.bench_settings(url, folder)
            run(market.fill(settings, list(listing(folder))))
            found += _measured(name, settings)
    print_table("GraphQL over HTTP", "Freshtape", "plain Strawberry", "requests per second", found)


def _measured(name: str, settings: Settings) -> list[Comparison]:
    with ExitStack() as stack:
        ours = stack.enter_context(_server(serve_freshtape, settings))
        plain = stack.enter_context(_server(serve_plain, settings))
        return [_compared(f"{label}, {name}", ours, plain, body) for label, body in OPERATIONS.items()]


def _compared(label: str, ours: str, plain: str, operation: dict[str, Any]) -> Comparison:
    _expect_same(ours, plain, operation)
    body = orjson.dumps(operation)
    return by_turns(
        label,
        lambda: run(requests_per_second(ours, body, SECONDS)),
        lambda: run(requests_per_second(plain, body, SECONDS)),
    )


def _expect_same(ours: str, plain: str, operation: dict[str, Any]) -> None:
    # Time goes on between two readings, so a mismatch may be an age that has just grown.
    for _ in range(3):
        mine, theirs = (httpx.post(url, json=operation).json() for url in (ours, plain))
        if mine == theirs and mine["data"]:
            return
    raise RuntimeError(f"the two servers do not answer the same: {str(mine)[:300]} and {str(theirs)[:300]}")


@contextmanager
def _server(target: Any, settings: Settings) -> Iterator[str]:
    """The address of a server in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=target, args=(settings, there), daemon=True)
    process.start()
    try:
        if not here.poll(60):
            raise RuntimeError("the server did not start within a minute")
        yield here.recv()
    finally:
        process.terminate()
        process.join(10)


def serve_freshtape(settings: Settings, started: Connection) -> None:
    """As `freshtape serve` does."""

    async def work() -> None:
        cores.take_free_one()
        async with open_container(settings) as container:
            await serve(container, lambda address: started.send(f"{address}/graphql"))

    run(work())


def serve_plain(settings: Settings, started: Connection) -> None:
    """On uvicorn as it comes, with our background loops."""

    async def work() -> None:
        cores.take_free_one()
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        async with open_container(settings) as container, running_loops(container, on_clock_replaced=_stop):
            started.send(f"http://127.0.0.1:{listener.getsockname()[1]}/graphql")
            app = plain_strawberry.create_app(container.services)
            config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
            await uvicorn.Server(config).serve(sockets=[listener])

    run(work())


def _stop() -> None:
    raise RuntimeError("the clock was replaced during the run")


if __name__ == "__main__":
    print_machine()
    main()
