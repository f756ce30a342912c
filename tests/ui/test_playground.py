"""The playground: GraphiQL with the schema's documentation, subscriptions and examples, from this origin alone."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, WebSocket, expect

from tests.support.dashboards import THEMES, Look, Service, Theme
from tests.ui.conftest import Watch

PATIENCE = 15_000
EXAMPLES = ["Stale", "Chart", "Refresh", "Changes", "Onboard", "Progress", "Import", "Session", "Turns", "Service"]
REPLAY = """mutation { startSession(
    input: {mode: REPLAY, tickers: ["AAPL", "NVDA"], date: "2026-03-25", speed: 60, expectedVersion: 0}
) { __typename } }"""
REFRESH = 'mutation { refreshSymbol(input: {ticker: "BA"}) { __typename } }'


def operation(page: Page) -> Locator:
    return page.get_by_role("region", name="Operation Editor")


def open_playground(page: Page, service: Service, path: str = "/playground") -> None:
    page.goto(service.url + path)
    expect(operation(page).locator(".view-lines")).to_contain_text("symbols", timeout=PATIENCE)


def choose(page: Page, tab: str) -> None:
    """And waits until GraphiQL has kept its text, and with that learned its operation's name: before, it would send that of the
    tab before."""
    page.get_by_role("tab", name=re.compile(f"^{tab}")).click()
    until(lambda: f" {tab}" in (page.evaluate("localStorage.getItem('graphiql:query')") or ""), page)


def execute(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Execute query")).click()


def write(page: Page, text: str) -> None:
    """In the place of what is there; the operation is called Mine."""
    operation(page).locator(".view-lines").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)
    expect(page.get_by_role("tab", name="Mine")).to_be_visible()


def told(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("region", name="Result Window").locator(".view-lines")).to_contain_text(text, timeout=PATIENCE)


def until(holds: Callable[[], object], page: Page) -> None:
    """Lets the browser go on meanwhile."""
    end = time.monotonic() + PATIENCE / 1000
    while not holds():
        assert time.monotonic() < end
        page.wait_for_timeout(50)


def is_followed(service: Service) -> bool:
    metrics = httpx.get(f"{service.url}/metrics", trust_env=False).text
    return re.search(r"^freshtape_subscriptions 1\.0$", metrics, re.MULTILINE) is not None


class Frames:
    """What came in over the sockets of a page."""

    def __init__(self, page: Page) -> None:
        self.came: list[dict[str, Any]] = []
        page.on("websocket", self._hear)

    def _hear(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda text: self.came.append(json.loads(text)))

    def of_type(self, kind: str) -> list[Any]:
        return [frame.get("payload") for frame in self.came if frame["type"] == kind]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("path", ["/playground", "/graphql"])
def test_a_query_runs(page: Page, service: Service, look: Look, theme: Theme, path: str) -> None:
    page.emulate_media(color_scheme=theme)
    open_playground(page, service, path)
    expect(page).to_have_title("Playground · Freshtape")
    expect(page.get_by_role("heading", level=1)).to_have_text("Playground")
    execute(page)
    told(page, "Data is 8 days old - may be outdated")
    look(f"{path[1:]}-query-{theme}")


def test_a_subscription_hears_what_happens(page: Page, service: Service, look: Look) -> None:
    frames = Frames(page)
    open_playground(page, service)
    choose(page, "Changes")
    execute(page)
    until(lambda: is_followed(service), page)
    assert frames.of_type("next") == []
    assert service.ask(REFRESH)["refreshSymbol"]["__typename"] == "SymbolRefreshed"
    told(page, '"REFRESHED"')
    told(page, '"BA"')
    look("playground-subscription")
    kinds = [payload["data"]["symbolChanged"]["kind"] for payload in frames.of_type("next")]
    assert kinds == ["REFRESH_STARTED", "REFRESHED"]
    page.get_by_role("button", name=re.compile("^Stop query")).click()
    until(lambda: not is_followed(service), page)


def test_the_documentation_is_that_of_the_schema(page: Page, service: Service, look: Look) -> None:
    open_playground(page, service)
    page.get_by_role("button", name="Show Documentation Explorer").click()
    docs = page.locator(".graphiql-plugin")
    docs.get_by_role("link", name="Query", exact=True).click()
    expect(docs).to_contain_text("Every tracked symbol that is not retired, by ticker")
    docs.get_by_role("link", name="symbolReadiness", exact=True).click()
    expect(docs).to_contain_text("SymbolReadiness!")
    look("playground-docs")


def test_what_is_typed_is_completed_checked_and_run(page: Page, service: Service) -> None:
    open_playground(page, service)
    page.get_by_role("button", name="New tab").click()
    write(page, "query Mine { service { databas } }")
    expect(operation(page).locator(".squiggly-error")).to_be_visible(timeout=PATIENCE)
    for _ in range(len(" } }")):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Control+Space")
    page.locator(".suggest-widget").get_by_text("database", exact=True).click()
    expect(operation(page).locator(".squiggly-error")).to_have_count(0)
    page.keyboard.press("Control+Enter")
    told(page, '"sqlite"')


def test_every_example_runs(page: Page, service: Service) -> None:
    """While a session runs, as it does in the demo."""
    assert service.ask(REPLAY)["startSession"]["__typename"] == "SessionChanged"
    frames = Frames(page)
    open_playground(page, service)
    expect(page.get_by_role("tab")).to_have_text([re.compile(f"^{name}") for name in EXAMPLES])
    for name in EXAMPLES:
        if name != EXAMPLES[0]:  # which is open
            choose(page, name)
        expect(operation(page).locator(".view-lines")).to_contain_text(name)
        if name in ("Changes", "Progress", "Turns"):
            frames.came.clear()
            execute(page)
            if name == "Changes":
                until(lambda: is_followed(service), page)
                service.ask(REFRESH)
            until(lambda: frames.of_type("next"), page)
            assert frames.of_type("error") == []
            answers = frames.of_type("next")
        else:
            with page.expect_response(lambda response: response.request.method == "POST") as answered:
                execute(page)
            answers = [answered.value.json()]
        for answer in answers:
            assert "errors" not in answer, (name, answer)
            assert '"code"' not in json.dumps(answer), f"{name} is refused: {answer}"
        told(page, '"data"')


def test_it_wears_the_dashboards_theme(page: Page, service: Service) -> None:
    page.goto(service.url)
    page.get_by_text("Dark", exact=True).click()
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Playground").click()
    expect(operation(page).locator(".view-lines")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("body")).to_have_class(re.compile("graphiql-dark"))
    expect(page.get_by_role("radio", name="Dark")).to_be_checked()
    dark = operation(page).locator(".monaco-editor").evaluate("it => getComputedStyle(it).color")

    page.get_by_text("Light", exact=True).click()
    expect(page.locator("body")).to_have_class(re.compile("graphiql-light"))
    expect(operation(page).locator(".monaco-editor")).not_to_have_css("color", dark)
    page.get_by_role("link", name="Dashboard").click()
    expect(page.get_by_role("heading", level=1, name="Symbols")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")

    page.get_by_text("Auto", exact=True).click()
    page.goto(f"{service.url}/playground")
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        expect(page.locator("body")).to_have_class(re.compile(f"graphiql-{theme}"), timeout=PATIENCE)


def test_it_fits_a_phone(page: Page, service: Service, look: Look) -> None:
    page.set_viewport_size({"width": 360, "height": 700})
    open_playground(page, service)
    execute(page)
    told(page, "stalenessMessage")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    look("playground-360")


@pytest.mark.parametrize(
    ("exception", "needed_for"),
    [("; style-src 'self' 'unsafe-inline'", {"style-src-elem", "style-src-attr"}), ("; img-src 'self' data:", {"img-src"})],
)
def test_its_exceptions_from_the_policy_are_what_the_editor_needs(
    page: Page, service: Service, watch: Watch, exception: str, needed_for: set[str]
) -> None:
    """Without one the browser refuses the editor's style sheets and style attributes, without the other the line under a
    mistake: the day it refuses nothing, that exception can go."""

    def strictly(route: Route) -> None:
        answer = route.fetch()
        policy = answer.headers["content-security-policy"]
        assert exception in policy
        route.fulfill(response=answer, headers={**answer.headers, "content-security-policy": policy.replace(exception, "")})

    watch.expected.append("Content Security Policy")
    page.route("**/playground", strictly)
    open_playground(page, service)
    write(page, "query Mine { nothing }")
    expect(operation(page).locator(".squiggly-error")).to_be_attached(timeout=PATIENCE)
    refused: set[str] = set()

    def is_refused() -> bool:
        refused.update(violation.split()[0] for violation in page.evaluate("violations.splice(0)"))
        return refused >= needed_for

    until(is_refused, page)
    assert refused == needed_for
