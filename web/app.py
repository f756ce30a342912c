"""HTTP and WebSocket: what answers under which path."""

import asyncio
import json
import logging
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from domain.errors import StoreUnavailable
from graph.context import Context, Services
from graph.schema import schema
from web.container import Container

log = logging.getLogger("freshtape.http")

READY_SECONDS = 5


class GraphQLApp(GraphQL[Context, None]):
    """Strawberry's endpoint with our context and encoder, speaking graphql-transport-ws only."""

    def __init__(self, services: Services) -> None:
        super().__init__(schema, subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL])
        self._services = services

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        return Context(self._services)

    def encode_json(self, data: object) -> str:
        # Text: a bytes answer would go out as a binary frame, which the protocol does not know.
        try:
            return orjson.dumps(data).decode()
        except TypeError:  # a lone surrogate, echoed from a request that had it escaped
            return json.dumps(data)


def create_app(container: Container) -> Starlette:
    endpoint: Any = GraphQLApp(container.services)

    async def ready(_: Request) -> Response:
        try:
            async with asyncio.timeout(READY_SECONDS), container.database.read() as unit:
                await unit.events.head()
        except (StoreUnavailable, TimeoutError):
            log.warning("not ready: the database does not answer", exc_info=True)
            return JSONResponse({"status": "unavailable", "reason": "the database does not answer"}, status_code=503)
        return JSONResponse({"status": "ready"})

    return Starlette(
        routes=[Route("/graphql", endpoint), WebSocketRoute("/graphql", endpoint), Route("/readyz", ready)],
    )
