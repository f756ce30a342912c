"""Asking the schema without a network between."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from graph.context import Context, Services
from graph.schema import schema


class GraphClient:
    def __init__(self, services: Services) -> None:
        self.services = services

    async def raw(self, query: str, **variables: Any) -> Any:
        """The whole result, errors and all."""
        return await schema.execute(query, variable_values=variables, context_value=Context(self.services))

    async def __call__(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an operation that must not fail."""
        result = await self.raw(query, **variables)
        assert result.errors is None, result.errors
        assert result.data is not None
        return dict(result.data)

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

    async def follow(self, query: str, **variables: Any) -> AsyncGenerator[Any, None]:
        """The results of a subscription."""
        stream = await schema.stream(query, variable_values=variables, context_value=Context(self.services))
        async with aclosing(stream):
            async for result in stream:
                yield result


_SYMBOL = "symbol { ticker name assetClass status version lastUpdated asOf levelCount lastPrice isStale stalenessReason }"
_MEMBERS = {
    "SymbolAdded": f"{_SYMBOL} job {{ id }}",
    "SymbolRemoved": _SYMBOL,
    "SymbolRefreshed": f"{_SYMBOL} levelsExtracted barsReceived barsChanged",
    "VersionConflict": "expectedVersion currentVersion",
    "InvalidTicker": "ticker suggestions",
    "SymbolNotFound": "ticker",
    "AlreadyRefreshing": "refresh { ticker startedAt startedBy }",
    "ProviderUnavailable": "provider retryAfterSeconds",
}
_UNIONS = {
    "addSymbol": ("SymbolAdded", "InvalidTicker", "SymbolNotFound", "VersionConflict", "ProviderUnavailable"),
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
