"""Who may come in: hosts that are served, pages of which other sites may ask, and what answers say about being kept."""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def host_name(netloc: str) -> str:
    """`example.com:8000` → example.com, `[::1]:8000` → ::1; empty for what is no host."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


class Doors:
    """Middleware. A request under a name that is not served gets 400: another site may have had its own name point here. A
    socket that a page of another origin opens gets 403, since browsers leave that check to the server."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], origins: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                headers.setdefault("cache-control", "no-store")
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if host_name(host) not in self._hosts:
            refusal = _refused(
                400, "This host is not served here: FRESHTAPE_ALLOWED_HOSTS names those that are.", "UNKNOWN_HOST"
            )
            await refusal(scope, receive, sending)
        elif scope["type"] == "websocket" and origin is not None and not self._is_welcome(origin, host):
            sentence = "Pages of this origin may not open a socket: FRESHTAPE_ALLOWED_ORIGINS names those that may."
            await _refused(403, sentence, "UNKNOWN_ORIGIN")(scope, receive, sending)
        else:
            await self._app(scope, receive, sending)

    def _is_welcome(self, origin: str, host: str) -> bool:
        return origin in self._origins or origin.partition("://")[2].lower() == host.lower()


def _refused(status: int, sentence: str, code: str) -> ASGIApp:
    return JSONResponse({"errors": [{"message": sentence, "extensions": {"code": code}}]}, status)
