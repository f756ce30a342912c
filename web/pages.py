"""The dashboard and the playground, as built from `web/ui`: what answers under which path, and what a page may load."""

import mimetypes
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

Page = Callable[[Request], Awaitable[Response]]

BUILT = Path(__file__).parent / "static"
DASHBOARD = ("/", "/symbols/{ticker:path}", "/onboarding", "/portfolios", "/portfolios/{id:path}", "/session", "/service")
"""The paths of the dashboard's pages, which it tells apart itself."""
PLAYGROUND = "/playground"

_ORIGIN_ALONE = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_POLICIES = {
    "index.html": _ORIGIN_ALONE,
    # Monaco, GraphiQL's editor, writes style sheets and style attributes of its own.
    "playground.html": f"{_ORIGIN_ALONE}; style-src 'self' 'unsafe-inline'",
}
_FOR_EVER = "public, max-age=31536000, immutable"
_UNBUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Freshtape</title>
<h1>The dashboard is not built</h1>
<p>The service is up, and its API answers at <code>/graphql</code>. To have the dashboard and the
playground, run <code>make ui</code> in the source tree, or install Freshtape without <code>FRESHTAPE_SKIP_UI</code>; then start
the service again.</p>
</html>
"""

# The machine's own tables may say otherwise, and a browser runs no script under another name.
mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("font/ttf", ".ttf")


class Pages:
    """What was built into a folder; where nothing was, each page says how to build it, with status 503."""

    def __init__(self, folder: Path = BUILT) -> None:
        self._files = _Files(folder) if (folder / "index.html").is_file() else None

    def routes(self) -> list[BaseRoute]:
        files = self._files
        pages: list[BaseRoute] = [*(Route(path, self.dashboard) for path in DASHBOARD), Route(PLAYGROUND, self.playground)]
        if files is None:
            return pages

        async def file(request: Request) -> Response:
            return await files.get_response(request.url.path.lstrip("/"), request.scope)

        return [Route("/assets/{name:path}", file), Route("/favicon.svg", file), Route("/theme.js", file), *pages]

    async def dashboard(self, request: Request) -> Response:
        return await self._page("index.html", request)

    async def playground(self, request: Request) -> Response:
        return await self._page("playground.html", request)

    async def _page(self, name: str, request: Request) -> Response:
        if self._files is None:
            return HTMLResponse(_UNBUILT, 503)
        response = await self._files.get_response(name, request.scope)
        response.headers["content-security-policy"] = _POLICIES[name]
        response.headers["referrer-policy"] = "same-origin"
        return response


class _Files(StaticFiles):
    """Sends what was compressed at the build to whoever takes it. Names under assets/ change with what they hold."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder)
        self._compressed = {path.relative_to(folder).as_posix().removesuffix(".gz") for path in folder.rglob("*.gz")}

    async def get_response(self, path: str, scope: Scope) -> Response:
        is_compressed = path in self._compressed and _takes_gzip(scope)
        response = await super().get_response(f"{path}.gz" if is_compressed else path, scope)
        if is_compressed:
            response.headers["content-encoding"] = "gzip"
        response.headers["vary"] = "accept-encoding"
        response.headers["cache-control"] = _FOR_EVER if path.startswith("assets/") else "no-cache"
        return response


def _takes_gzip(scope: Scope) -> bool:
    headers: Mapping[str, str] = Request(scope).headers
    return any(
        coding.strip().lower().startswith("gzip") and not coding.replace(" ", "").endswith(";q=0")
        for coding in headers.get("accept-encoding", "").split(",")
    )
