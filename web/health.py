"""Whether the process lives, and whether it can serve."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from domain.errors import StoreUnavailable

READY_SECONDS = 5


def health_routes(look: Callable[[], Awaitable[object]]) -> list[BaseRoute]:
    """`/healthz`: the process answers. `/readyz`: its symbols are in memory and could just be brought up to date, else 503."""

    async def healthy(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(_: Request) -> Response:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await look()
        except (StoreUnavailable, TimeoutError):
            return JSONResponse({"status": "unavailable", "reason": "the database does not answer"}, status_code=503)
        return JSONResponse({"status": "ready"})

    return [Route("/healthz", healthy), Route("/readyz", ready)]
