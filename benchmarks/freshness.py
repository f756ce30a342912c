"""What honest freshness costs: the verdict on a hundred symbols beside the whole read that tells it.

On SQLite, where a read is cheapest and the share therefore highest.
"""

import asyncio
from contextlib import AsyncExitStack

from benchmarks import market
from benchmarks.databases import sqlite
from benchmarks.graphql_requests import FIELDS
from benchmarks.report import Comparison, by_turns, microseconds, print_machine, print_table
from domain.ports import SymbolQuery
from graph.context import Services
from graph.execution import Executor
from graph.limits import Limits
from graph.request import Request
from providers.sample import listing
from web.container import open_container

QUERY = f"{{ symbols {{ nodes {{ {FIELDS} }} }} }}"


def main() -> None:
    with sqlite() as url, market.market() as folder, asyncio.Runner() as runner:
        settings = market.bench_settings(url, folder)
        runner.run(market.fill(settings, list(listing(folder))))
        stack = AsyncExitStack()
        try:
            container = runner.run(stack.enter_async_context(open_container(settings)))
            found = _compared(runner, container.services)
        finally:
            runner.run(stack.aclose())
    print_table("Freshness in a read of 100 symbols, SQLite, in process", "assess", "the read", "microseconds", found)


def _compared(runner: asyncio.Runner, services: Services) -> list[Comparison]:
    symbols, now, executor = services.symbols, services.clock.now(), Executor(services, Limits())

    async def from_memory() -> None:
        await symbols.page(SymbolQuery(), market.SYMBOLS, None)

    async def through_graphql() -> None:
        answer = await executor.execute(await executor.prepare(Request(QUERY, {})))
        assert not answer.errors, answer.errors

    page = runner.run(symbols.page(SymbolQuery(), market.SYMBOLS, None)).symbols

    def assessed() -> float:
        return microseconds(lambda: [symbols.freshness(symbol, now) for symbol in page])

    return [
        by_turns("beside the catalogue's read", assessed, lambda: microseconds(lambda: runner.run(from_memory()))),
        by_turns("beside the GraphQL read", assessed, lambda: microseconds(lambda: runner.run(through_graphql()))),
    ]


if __name__ == "__main__":
    print_machine()
    main()
