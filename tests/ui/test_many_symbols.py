"""Five hundred symbols on the board, and a hundred changes a second: it stays a page that one can use."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import CDPSession, Page, expect

from tests.support.crowds import Burst, crowd, tickers
from tests.support.dashboards import Service, copy_of
from tests.support.figures import told
from tests.support.wire import Asked, Wire

PATIENCE = 30_000
CROWD = 500
LONG_FRAME_MS = 50
SHOWN = "[data-ticker^=Z]"

SCROLL = """
async () => {
  const frames = []
  const end = document.documentElement.scrollHeight - innerHeight
  let before = performance.now()
  for (let y = 0; y <= end; y += 120) {
    scrollTo(0, y)
    const now = await new Promise(requestAnimationFrame)
    frames.push(now - before)
    before = now
  }
  return frames
}
"""
SKIPPED = """
() => [...document.querySelectorAll('[data-ticker]')].filter((card) => !card.firstElementChild.checkVisibility(
  { contentVisibilityAuto: true })).length
"""
NAMES = """
() => Object.fromEntries([...document.querySelectorAll('[data-ticker]')].map(
  (card) => [card.dataset.ticker, card.querySelector('.name').textContent]))
"""
PRESSES = """
() => {
  window.presses = []
  window.pictures = 0
  document.querySelector('[type=search]').addEventListener('input', (event) => {
    const pressed = event.timeStamp
    requestAnimationFrame(() => setTimeout(() => presses.push(performance.now() - pressed)))
  })
  new MutationObserver(() => { pictures += 1 }).observe(
    document.querySelector('[aria-label=Symbols]'), { subtree: true, childList: true, characterData: true })
}
"""


@pytest.fixture(scope="module")
def market(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    database = copy_of(market, tmp_path_factory.mktemp("crowded"))
    crowd(database, CROWD)
    return database


def worked(cdp: CDPSession) -> float:
    """Milliseconds that the page's main thread has had of a processor."""
    metrics = {it["name"]: it["value"] for it in cdp.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"] * 1000)


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


@pytest.mark.parametrize("view", ["Cards", "Rows"])
def test_five_hundred_symbols_scroll(page: Page, serve: Callable[..., Service], view: str) -> None:
    service = serve("--no-workers")
    sparks, reads = Asked(page, "Sparks"), Asked(page, "Symbols")
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
    began = time.monotonic()
    page.goto(service.url)
    page.get_by_text(view, exact=True).click()
    expect(page.locator(SHOWN)).to_have_count(CROWD, timeout=PATIENCE)
    shown = time.monotonic() - began
    expect(page.locator(".spark svg").first).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(500)

    total = page.locator("[data-ticker]").count()
    pages = [it for it in reads.requests if "after" in it]  # the others ask for those whose freshness has changed
    assert len(pages) == -(-total // 250), "250 each, and nothing twice"
    asked = [ticker for it in sparks.requests for ticker in it["tickers"]]
    assert 0 < len(asked) < total / 2, "of what is in sight"
    assert len(sparks.requests) <= 3, "together"
    assert page.evaluate(SKIPPED) > total / 2, "what is out of sight is not laid out"

    before = worked(cdp)
    frames: list[float] = page.evaluate(SCROLL)
    work = (worked(cdp) - before) / len(frames)
    expect(page.locator(SHOWN).last.locator(".spark svg")).to_be_visible(timeout=PATIENCE)
    slow = [frame for frame in frames if frame > LONG_FRAME_MS]
    told(
        f"{view}: shown after {shown:.1f} s; scrolled through in {len(frames)} frames of {work:.1f} ms of work each; half came "
        f"within {quantile(frames, 0.5):.0f} ms, 95 % within {quantile(frames, 0.95):.0f} ms, {len(slow)} after more "
        f"than {LONG_FRAME_MS} ms; {len(sparks.requests)} requests for the bars of {len(asked)} and more"
    )
    assert len(sparks.requests) < total / 4
    assert work < LONG_FRAME_MS  # how long a frame takes is also up to who else is at work on the machine


def test_a_burst_of_changes_leaves_a_page_that_answers(page: Page, serve: Callable[..., Service], tmp_path: Path) -> None:
    service = serve("--no-workers")
    wire = Wire(page)
    page.goto(service.url)
    expect(page.locator(SHOWN)).to_have_count(CROWD, timeout=PATIENCE)
    expect(page.locator(".spark svg").first).to_be_visible(timeout=PATIENCE)
    page.evaluate(PRESSES)
    page.get_by_role("searchbox").focus()

    burst = Burst(tmp_path / "freshtape.db", tickers(60), rate=100, seconds=3)
    burst.start()
    pressed = 0
    while not burst.is_over:
        page.keyboard.press("Backspace" if pressed % 2 else "z")
        pressed += 1
        page.wait_for_timeout(100)
    burst.wait()
    page.get_by_role("searchbox").fill("")
    changed = burst.last.keys()
    deadline = time.monotonic() + PATIENCE / 1000
    while (names := {ticker: name for ticker, name in page.evaluate(NAMES).items() if ticker in changed}) != burst.last:
        assert time.monotonic() < deadline, f"not shown: {burst.last.items() - names.items()}"
        page.wait_for_timeout(100)

    presses: list[float] = page.evaluate("presses")
    pictures: int = page.evaluate("pictures")
    told(
        f"{burst.number} changes in {burst.took:.1f} s made {pictures} pictures; {pressed} keys meanwhile were answered in "
        f"{quantile(presses, 0.5):.0f} ms, the slowest in {max(presses):.0f} ms"
    )
    assert pressed >= 5
    assert len(wire.last.told("symbolChanged")) == burst.number
    assert pictures < burst.number / 2
    assert max(presses) < 1_000 * burst.took / 3
