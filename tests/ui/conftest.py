"""A real browser in front of real services. Every test of a page also proves that nothing but its own service was asked, and
that the browser had nothing to complain of."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect

from tests.support.dashboards import Look, Service, copy_of, fill_market, served

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
    "--no-proxy-server",
    # Whatever a page might ask for elsewhere is not there.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
]
expect.set_options(timeout=15_000)  # a machine that is busy is no failure
NOTE_VIOLATIONS = """
window.violations = []
addEventListener('securitypolicyviolation', (event) => violations.push(`${event.effectiveDirective} ${event.blockedURI}`))
"""


@pytest.fixture(scope="session")
def base_url() -> None:
    """Each service has an address of its own. (The plugin's fixture warns of itself.)"""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    own = {"executable_path": found} if found else {}  # else the one that `playwright install` has brought, or the test fails
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return {**browser_type_launch_args, **own, "args": QUIET + sandbox}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {
        **browser_context_args,
        "viewport": {"width": 1280, "height": 900},
        "locale": "en-GB",
        "timezone_id": "Europe/Berlin",
        "reduced_motion": "reduce",
        "service_workers": "block",
    }


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database that every service's own is a copy of."""
    path = tmp_path_factory.mktemp("market") / "market.db"
    fill_market(path)
    return path


@pytest.fixture
def serve(market: Path, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts a service on the test's own copy of the market; called again, another on the same."""
    database = copy_of(market, tmp_path)
    with ExitStack() as services:
        yield lambda *arguments, **given: services.enter_context(served(database, *arguments, **given))


@pytest.fixture
def service(serve: Callable[..., Service]) -> Service:
    return serve()


class Watch:
    """What the pages of a context have asked for, and what went wrong in them. `expected` holds parts of complaints that are
    what the test is about."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.expected: list[str] = []

    def over(self, context: BrowserContext) -> None:
        context.add_init_script(NOTE_VIOLATIONS)
        context.on("request", lambda request: self.asked.append(request.url))
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("page", lambda page: page.on("websocket", lambda socket: self.asked.append(socket.url)))

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            self.complaints.append(said.text)

    def judge(self, pages: list[Page]) -> None:
        elsewhere = [url for url in self.asked if not url.split("://")[1].startswith("127.0.0.1:")]
        violations = [violation for page in pages for violation in page.evaluate("window.violations ?? []")]
        unexpected = [it for it in self.complaints if not any(part in it for part in self.expected)]
        assert self.asked
        assert (elsewhere, violations, unexpected) == ([], [], [])


@pytest.fixture(autouse=True)
def watch(serve: Callable[..., Service], context: BrowserContext) -> Iterator[Watch]:
    # After `serve`, so that the services outlive the pages.
    watch = Watch()
    watch.over(context)
    yield watch
    watch.judge(context.pages)


@pytest.fixture
def look(page: Page) -> Look:
    folder = os.environ.get("FRESHTAPE_TEST_PICTURES")

    def keep(name: str) -> None:
        if folder:
            page.screenshot(path=Path(folder, f"{name}.png"), full_page=True)

    return keep
