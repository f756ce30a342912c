"""Asking the schema without a network between."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from graph.context import Services
from graph.execution import Answer, Executor, NotExecutable
from graph.limits import Limits
from graph.request import Request


class GraphClient:
    def __init__(self, services: Services, limits: Limits | None = None) -> None:
        self.services = services
        self.limits = limits or Limits()

    async def raw(self, query: str, **variables: Any) -> Answer:
        """The whole answer, errors and all."""
        executor = Executor(self.services, self.limits)
        try:
            return await executor.execute(await executor.prepare(Request(query, variables)))
        except NotExecutable as refused:
            return refused.answer

    async def __call__(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an operation that must not fail."""
        result = await self.raw(query, **variables)
        assert not result.errors, result.errors
        assert result.data is not None
        return result.data

    async def refused(self, query: str, **variables: Any) -> tuple[str | None, str]:
        """The code and the sentence of the one error of an operation that must fail."""
        (error,) = (await self.raw(query, **variables)).errors
        return (error.extensions or {}).get("code"), error.message

    async def add(self, ticker: str, **values: Any) -> dict[str, Any]:
        return await self._mutate("addSymbol", ticker=ticker, **values)

    async def remove(self, ticker: str, version: int) -> dict[str, Any]:
        return await self._mutate("removeSymbol", ticker=ticker, expectedVersion=version)

    async def refresh(self, ticker: str, **values: Any) -> dict[str, Any]:
        return await self._mutate("refreshSymbol", ticker=ticker, **values)

    async def _mutate(self, field: str, **values: Any) -> dict[str, Any]:
        answer = (await self(mutation(field), input=values))[field]
        assert isinstance(answer, dict)
        return answer

    async def follow(self, query: str, **variables: Any) -> AsyncGenerator[Answer, None]:
        """The answers of a subscription."""
        executor = Executor(self.services, self.limits)
        operation = await executor.prepare(Request(query, variables))
        async with aclosing(executor.stream(operation)) as answers:
            async for answer in answers:
                yield answer


_SYMBOL = "symbol { ticker name assetClass status version lastUpdated asOf levelCount lastPrice isStale stalenessReason }"
_MEMBERS = {
    "SymbolAdded": f"{_SYMBOL} job {{ id ticker status phase position requestedBy }}",
    "SymbolRemoved": _SYMBOL,
    "SymbolRefreshed": f"{_SYMBOL} levelsExtracted barsReceived barsChanged",
    "VersionConflict": "expectedVersion currentVersion",
    "InvalidTicker": "ticker suggestions",
    "SymbolNotFound": "ticker",
    "AlreadyRefreshing": "refresh { ticker startedAt startedBy }",
    "QueueFull": "depth maxDepth freeAfterSeconds: retryAfterSeconds",  # of another type than the provider's, which is nullable
    "ProviderUnavailable": "provider retryAfterSeconds",
}
_UNIONS = {
    "addSymbol": ("SymbolAdded", "InvalidTicker", "SymbolNotFound", "VersionConflict", "QueueFull", "ProviderUnavailable"),
    "removeSymbol": ("SymbolRemoved", "SymbolNotFound", "VersionConflict"),
    "refreshSymbol": ("SymbolRefreshed", "AlreadyRefreshing", "SymbolNotFound", "VersionConflict", "ProviderUnavailable"),
}


def mutation(field: str) -> str:
    """A mutation by its name, that asks for all that its answers hold; its one variable is `input`."""
    kind = field[0].upper() + field[1:] + "Input"
    members = " ".join(f"... on {name} {{ {_MEMBERS[name]} }}" for name in _UNIONS[field])
    return (
        f"mutation($input: {kind}!) {{ {field}(input: $input) {{ __typename ... on Problem {{ message code }} {members} }} }}"
    )
