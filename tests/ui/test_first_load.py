"""What it costs to open the dashboard, and to stay in it for long."""

from pathlib import Path
from typing import Any

from playwright.sync_api import CDPSession, Page, expect

from tests.support.dashboards import Service
from tests.support.figures import told
from tests.support.wire import Wire

MOST_BYTES = 250_000
CHARTS_AND_PLAYGROUND = ("lightweight-charts", "monaco", "graphiql")
PLACES = ("Onboarding", "Portfolios", "Session", "Service", "Symbols")
WARM_UP, ROUNDS = 12, 40
STATIC = Path(__file__).parents[2] / "web" / "static"


class Fetched:
    """What came over the network, by its path: as many bytes as it took there."""

    def __init__(self, cdp: CDPSession) -> None:
        self.bytes: dict[str, int] = {}
        self._paths: dict[str, str] = {}
        cdp.on("Network.responseReceived", self._begin)
        cdp.on("Network.loadingFinished", self._end)
        cdp.send("Network.enable")

    def _begin(self, event: Any) -> None:
        self._paths[event["requestId"]] = "/" + event["response"]["url"].split("/", 3)[3]

    def _end(self, event: Any) -> None:
        path = self._paths.get(event["requestId"])
        if path is not None:
            self.bytes[path] = self.bytes.get(path, 0) + int(event["encodedDataLength"])


def test_the_first_load_is_small(page: Page, service: Service) -> None:
    fetched = Fetched(page.context.new_cdp_session(page))
    page.goto(service.url)
    expect(page.locator(".spark svg").first).to_be_visible(timeout=15_000)
    page.wait_for_load_state("networkidle")
    total = sum(fetched.bytes.values())
    scripts = {path: size for path, size in fetched.bytes.items() if path.endswith(".js")}
    told(f"{total / 1000:.0f} kB in {len(fetched.bytes)} answers, {sum(scripts.values()) / 1000:.0f} of scripts")
    assert {"/", "/graphql"} < fetched.bytes.keys()
    assert scripts
    assert total < MOST_BYTES
    sources = {path: (STATIC / path[1:]).read_text() for path in scripts}
    assert [path for path, source in sources.items() if any(it in source for it in CHARTS_AND_PLAYGROUND)] == []


def test_two_hundred_changes_of_the_page_leave_nothing_behind(page: Page, service: Service) -> None:
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable")
    wire = Wire(page)
    page.goto(service.url)
    rounds(page, WARM_UP)  # until everything is loaded and compiled
    followed, before = wire.last.open, measured(cdp)
    most = before["JSHeapUsedSize"] / 8
    for _ in range(4):  # what is still warming up grows less each time, a leak does not
        rounds(page, ROUNDS)
        after = measured(cdp)
        grown = {name: after[name] - before[name] for name in before}
        if grown["JSHeapUsedSize"] < most:
            break
        before = after
    told(
        f"{ROUNDS * 5} changes of the page: heap {grown['JSHeapUsedSize'] / 1000:+.0f} kB of "
        f"{before['JSHeapUsedSize'] / 1000:.0f}, {grown['JSEventListeners']:+.0f} listeners, {grown['Nodes']:+.0f} nodes"
    )
    assert len(wire.last.open) == len(followed)
    assert len(wire.connections) == 1
    assert grown["JSEventListeners"] < ROUNDS
    assert grown["Nodes"] < ROUNDS
    assert grown["JSHeapUsedSize"] < most


def rounds(page: Page, number: int) -> None:
    """Five pages each."""
    pages = page.get_by_role("navigation", name="Pages")
    for _ in range(number):
        for name in PLACES:
            pages.get_by_role("link", name=name).click()
            expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator("[data-ticker=BA]")).to_be_visible()


def measured(cdp: CDPSession) -> dict[str, float]:
    cdp.send("HeapProfiler.collectGarbage")
    metrics = {it["name"]: it["value"] for it in cdp.send("Performance.getMetrics")["metrics"]}
    return {name: metrics[name] for name in ("JSHeapUsedSize", "JSEventListeners", "Nodes")}
