"""HTTP and WebSocket: what answers under which path, and for whom."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from graph.execution import Executor
from web.container import Container
from web.doors import Doors
from web.endpoint.http import HttpEndpoint
from web.endpoint.sockets import serve_socket
from web.health import health_routes
from web.metrics import Counted, metrics_page
from web.pages import Pages
from web.standing import Standing


def create_app(container: Container, executor: Executor) -> Starlette:
    settings, pages = container.settings, Pages()

    async def socket(websocket: WebSocket) -> None:
        await serve_socket(websocket, executor)

    return Starlette(
        routes=[
            Route("/graphql", HttpEndpoint(executor, pages.playground).respond, methods=["GET", "POST"]),
            WebSocketRoute("/graphql", socket),
            *health_routes(container.feed.look, container.loops.statuses),
            Route("/metrics", metrics_page(container.metrics, Standing(container.services, container.feed))),
            *pages.routes(),
        ],
        middleware=[
            Middleware(Counted, metrics=container.metrics),
            Middleware(Doors, hosts=settings.served_hosts, origins=settings.allowed_origins),
            Middleware(
                CORSMiddleware,
                allow_origins=settings.allowed_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["content-type", "accept"],
            ),
        ],
    )
