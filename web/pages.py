"""The dashboard and the playground, as built from `web/ui`: what answers under which path, and what a page may load."""

import mimetypes
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from web.endpoint.negotiation import takes_gzip

BUILT = Path(__file__).parent / "static"
DASHBOARD = ("/", "/symbols/{ticker:path}", "/onboarding", "/portfolios", "/portfolios/{id:path}", "/session", "/service")
"""The paths of the dashboard's pages, which it tells apart itself."""
PLAYGROUND = "/playground"
BESIDE = ("favicon.svg", "theme.js")
"""What the pages load under a name that does not change."""

_ORIGIN_ALONE = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_POLICIES = {
    "index.html": _ORIGIN_ALONE,
    # Monaco, GraphiQL's editor, writes style sheets and style attributes of its own; the line under a mistake is an image.
    "playground.html": f"{_ORIGIN_ALONE}; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
}
_ASK_FIRST, _FOR_EVER = "no-cache", "public, max-age=31536000, immutable"
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
        self._folder = folder
        self._files = _Files(folder, _ASK_FIRST) if (folder / "index.html").is_file() else None

    def routes(self) -> list[BaseRoute]:
        pages: list[BaseRoute] = [*(Route(path, self.dashboard) for path in DASHBOARD), Route(PLAYGROUND, self.playground)]
        if self._files is None:
            return pages
        assets = _Files(self._folder / "assets", _FOR_EVER)  # their names change with what they hold
        return [Route("/assets/{name}", assets.named), *(Route(f"/{name}", self._files.named) for name in BESIDE), *pages]

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
        response.headers["vary"] = "accept, accept-encoding"  # under /graphql there are answers, too
        return response


class _Files(StaticFiles):
    """Those of one folder. Sends what was compressed at the build to whoever takes it."""

    def __init__(self, folder: Path, kept: str) -> None:
        super().__init__(directory=folder, check_dir=False)
        self._kept = kept
        self._compressed = {path.stem for path in folder.glob("*.gz")}

    async def named(self, request: Request) -> Response:
        return await self.get_response(request.url.path.rpartition("/")[2], request.scope)

    async def get_response(self, path: str, scope: Scope) -> Response:
        if path in self._compressed and takes_gzip(Headers(scope=scope).get("accept-encoding", "")):
            path += ".gz"
        response = await super().get_response(path, scope)
        if path.endswith(".gz"):
            response.headers["content-encoding"] = "gzip"
        response.headers["vary"] = "accept-encoding"
        response.headers["cache-control"] = self._kept
        return response
