"""Whether the process lives, and whether it can serve."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from domain.errors import StoreUnavailable
from domain.loops import LoopStatus

READY_SECONDS = 5


def health_routes(look: Callable[[], Awaitable[object]], loops: Callable[[], Sequence[LoopStatus]]) -> list[BaseRoute]:
    """`/healthz`: the process answers. `/readyz`: its symbols are in memory and could just be brought up to date, else 503; and
    which of its loops are unwell, which is no reason to keep readers away."""

    async def healthy(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(_: Request) -> Response:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await look()
        except (StoreUnavailable, TimeoutError):
            unavailable = {"status": "unavailable", "reason": "the database does not answer", "unwell": _unwell(loops())}
            return JSONResponse(unavailable, status_code=503)
        unwell = _unwell(loops())
        return JSONResponse({"status": "degraded" if unwell else "ready", "unwell": unwell})

    return [Route("/healthz", healthy), Route("/readyz", ready)]


def _unwell(statuses: Sequence[LoopStatus]) -> list[dict[str, Any]]:
    return [
        {"name": status.name, "state": status.state.name, "lastError": status.last_error}
        for status in statuses
        if status.is_unwell
    ]
