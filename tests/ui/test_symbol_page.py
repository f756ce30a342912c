"""The page of one symbol, as somebody looks at it."""

import csv
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.support.axe import violations
from tests.support.dashboards import THEMES, Keeper, Look, Service, Theme
from tests.ui.conftest import Watch
from web.settings import BUNDLED_SAMPLE

INTERVALS = {
    "1m": ("ONE_MINUTE", "1 minute"),
    "5m": ("FIVE_MINUTES", "5 minutes"),
    "15m": ("FIFTEEN_MINUTES", "15 minutes"),
    "30m": ("THIRTY_MINUTES", "30 minutes"),
    "1h": ("ONE_HOUR", "1 hour"),
    "4h": ("FOUR_HOURS", "4 hours"),
    "1d": ("ONE_DAY", "1 day"),
}
HOLE_DAY = "2026-03-27"
"""A day of AAPL's minutes in which the sample market has two fewer."""
NO_MINUTES = "2026-03-26"
BACKFILL = """mutation($input: BackfillSymbolInput!) { backfillSymbol(input: $input) { __typename } }"""
START = "mutation($input: StartSessionInput!) { startSession(input: $input) { __typename } }"
STATE = "query($t: String!) { symbol(ticker: $t) { backfill { status error recordsInserted } } }"
BARS = """query($t: String!, $i: Interval!) { symbol(ticker: $t) { bars(interval: $i) {
    nodes { openTime open high low close volume } } } }"""
STATISTICS = """query($t: String!, $i: Interval!) { symbol(ticker: $t) { stats(interval: $i) {
    recordCount validationRate gapsDetected priceGaps coverage missingIntervals { start end tradingDays cause } } } }"""
LEVELS = """query($t: String!) { symbol(ticker: $t) { lastPrice levels {
    kind price priceUpper strength touches lastTouchedAt } } }"""
EXPOSURES = """query($t: String!) { symbol(ticker: $t) { factorExposures {
    factor beta rSquared observations windowDays quality } } }"""
TALLY = """(canvas, wanted) => {
    const { width, height } = canvas
    const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })
    copy.drawImage(canvas, 0, 0)
    const { data } = copy.getImageData(0, 0, width, height)
    const isLike = (at) => (colour) => colour.every((part, index) => Math.abs(data[at + index] - part) <= 1)
    const rows = Array.from({ length: height }, () => wanted.map(() => 0))
    for (let at = 0; at < data.length; at += 4) {
        const found = wanted.findIndex(isLike(at))
        if (found >= 0) rows[Math.floor(at / 4 / width)][found]++
    }
    return { width, rows }
}"""
WATCH_OBSERVERS = """
window.observing = new Set()
window.ResizeObserver = class extends ResizeObserver {
    observe(...what) { observing.add(this); super.observe(...what) }
    disconnect() { observing.delete(this); super.disconnect() }
}"""
"""A chart watches its size for as long as it is not removed."""
RISE, FALL, SURFACE, DARK_SURFACE = (13, 138, 104), (209, 67, 67), (255, 255, 255), (20, 27, 31)
GAP = (238, 214, 179)
"""What tokens.css says of --rise, --fall and --surface; and of a gap's band, a part of --warn-line on the surface."""

Colour = tuple[int, int, int]


def symbol_url(service: Service, ticker: str, interval: str = "") -> str:
    return f"{service.url}/symbols/{quote(ticker, safe='')}{f'?interval={interval}' if interval else ''}"


def chart(page: Page) -> Locator:
    return page.get_by_role("region", name="Bars", exact=True).get_by_role("img")


def panel(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def backfilled(service: Service, ticker: str, interval: str, first: str, last: str) -> dict[str, Any]:
    """Its state once that has ended."""
    wanted = {"ticker": ticker, "interval": interval, "from": first, "to": last}
    answer = service.ask(BACKFILL, input=wanted)
    assert answer["backfillSymbol"]["__typename"] == "BackfillStarted"
    for _ in range(300):
        state: dict[str, Any] = service.ask(STATE, t=ticker)["symbol"]["backfill"]
        if state["status"] in ("COMPLETED", "FAILED"):
            return state
        time.sleep(0.1)
    raise AssertionError(f"still {state}")


def tally(page: Page, *colours: Colour) -> tuple[int, list[list[int]]]:
    """Of the largest canvas of the chart, the one that candles are drawn on: its width, and how many pixels of each of these
    colours each of its rows has."""
    sizes: list[int] = chart(page).locator("canvas").evaluate_all("(all) => all.map(({ width, height }) => width * height)")
    found = chart(page).locator("canvas").nth(sizes.index(max(sizes))).evaluate(TALLY, [list(colour) for colour in colours])
    return found["width"], found["rows"]


def pixels(page: Page, colour: Colour) -> int:
    return sum(count for (count,) in tally(page, colour)[1])


def expect_painted(page: Page, colour: Colour, more_than: int) -> None:
    """What is told to the chart is painted with the next picture."""
    for _ in range(50):
        if pixels(page, colour) > more_than:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{pixels(page, colour)} pixels of {colour}")


def lines_of(page: Page, colour: Colour) -> list[int]:
    """The rows in which a line of that colour goes from side to side, dashed or dotted."""
    width, rows = tally(page, colour)
    return [row for row, (count,) in enumerate(rows) if count > 0.35 * width]


def shown_rows(page: Page) -> list[list[str]]:
    page.get_by_text("The bars as a table").click()
    body = page.get_by_role("region", name="newest first").first.locator("tbody")
    expect(body.locator("tr").first).to_be_visible()
    found: list[list[str]] = body.evaluate(
        "(body) => [...body.rows].map((row) => [...row.cells].map((cell) => cell.innerText))"
    )
    return found


def number(text: str) -> float:
    return float(text.replace(",", ""))


# ── bars


@pytest.mark.parametrize(
    ("ticker", "name"), [("AAPL", "Apple"), ("SPY", "S&P 500"), ("BTC-USD", "Bitcoin"), ("EUR/USD", "Euro")]
)
def test_a_symbol_of_each_class_has_a_page_to_link_to(page: Page, service: Service, look: Look, ticker: str, name: str) -> None:
    bars = service.ask(BARS, t=ticker, i="ONE_DAY")["symbol"]["bars"]["nodes"]
    page.goto(symbol_url(service, ticker))
    expect(page.get_by_role("heading", level=1)).to_have_text(ticker)
    expect(page.get_by_text(name)).to_be_visible()
    expect(chart(page)).to_have_accessible_name(re.compile(rf"^{ticker}, 1 day: {len(bars)} bars from .*last close"))
    rows = shown_rows(page)
    assert [[number(cell) for cell in row[1:]] for row in rows] == [
        [pytest.approx(float(bar[field]), abs=0.0051) for field in ("open", "high", "low", "close", "volume")]
        for bar in reversed(bars)
    ]
    expect_painted(page, RISE, more_than=300)
    expect_painted(page, FALL, more_than=300)
    look(f"symbol-{ticker.replace('/', '-')}")


@pytest.mark.parametrize("path", ["EUR/USD", "eur%2Fusd", "eurusd"])
def test_any_spelling_of_a_ticker_leads_to_it(page: Page, service: Service, path: str) -> None:
    page.goto(f"{service.url}/symbols/{path}")
    expect(page.get_by_role("heading", level=1)).to_have_text("EUR/USD")
    expect(chart(page)).to_be_visible()


def test_each_interval_has_its_bars_and_its_address(page: Page, service: Service, look: Look) -> None:
    backfilled(service, "AAPL", "ONE_MINUTE", "2026-03-25", HOLE_DAY)
    page.goto(symbol_url(service, "AAPL"))
    for short, (interval, text) in INTERVALS.items():
        bars = service.ask(BARS, t="AAPL", i=interval)["symbol"]["bars"]["nodes"]
        assert bars
        page.get_by_text(short, exact=True).click()
        expect(chart(page)).to_have_accessible_name(re.compile(rf"^AAPL, {text}: {len(bars)} bars? from "))
        expect(page).to_have_url(re.compile(rf"\?interval={short}$"))
        assert len(shown_rows(page)) == len(bars)
        expect_painted(page, FALL, more_than=10)
        look(f"symbol-interval-{short}")
    page.goto(symbol_url(service, "AAPL", "4h"))
    expect(page.get_by_role("radio", name="4h")).to_be_checked()
    expect(chart(page)).to_have_accessible_name(re.compile("^AAPL, 4 hours: "))


def test_older_bars_are_loaded_when_one_goes_back(page: Page, service: Service) -> None:
    backfilled(service, "AAPL", "ONE_MINUTE", "2026-03-25", HOLE_DAY)
    page.goto(symbol_url(service, "AAPL", "1m"))
    expect(chart(page)).to_have_accessible_name(re.compile("^AAPL, 1 minute: 500 bars"))
    back = page.get_by_role("button", name="To older bars")
    for _ in range(12):
        back.click()
    expect(chart(page)).to_have_accessible_name(re.compile("^AAPL, 1 minute: 778 bars from 25 Mar 2026"))
    expect(page.get_by_role("button", name="Load older bars")).to_have_count(0)


# ── levels, gaps, statistics, exposures


def test_levels_are_drawn_where_they_are(page: Page, service: Service) -> None:
    symbol = service.ask(LEVELS, t="AAPL")["symbol"]
    page.goto(symbol_url(service, "AAPL"))
    expect(chart(page)).to_have_accessible_name(re.compile(rf"{len(symbol['levels'])} levels"))
    expect_painted(page, RISE, more_than=300)
    prices = {kind: [float(it["price"]) for it in symbol["levels"] if it["kind"] == kind] for kind in ("SUPPORT", "RESISTANCE")}
    supports = sorted(prices["SUPPORT"], reverse=True)
    # The last price has a line, too; AAPL's last candle falls.
    resistances = sorted([*prices["RESISTANCE"], float(symbol["lastPrice"])])
    low, high = lines_of(page, RISE), lines_of(page, FALL)
    assert len(low) >= 3
    assert len(high) == len(resistances)
    drawn = sorted([*zip(low, supports, strict=False), *zip(reversed(high), resistances, strict=False)])
    (top, highest), (bottom, lowest) = drawn[0], drawn[-1]
    for row, price in drawn:
        assert row == pytest.approx(top + (highest - price) / (highest - lowest) * (bottom - top), abs=1.5)


def test_levels_are_listed_as_the_service_has_them(page: Page, service: Service) -> None:
    levels = service.ask(LEVELS, t="AAPL")["symbol"]["levels"]
    page.goto(symbol_url(service, "AAPL"))
    rows = page.get_by_role("region", name="Levels, strongest first").locator("tbody tr")
    expect(rows).to_have_count(len(levels))
    for row, level in zip(rows.all(), levels, strict=True):
        kind, price, strength, touched = (cell.inner_text() for cell in row.locator("th, td").all())
        assert level["kind"].lower() in kind
        assert f"${float(level['price']):.2f}" in price
        assert ("to" in price) == (level["priceUpper"] is not None)
        assert strength.strip() == f"{round(level['strength'] * 100)}%"
        assert touched.startswith(f"{level['touches']} time")
        expect(row.locator("time")).to_have_attribute("datetime", level["lastTouchedAt"])


def test_missing_minutes_are_marked_and_listed_with_their_cause(page: Page, service: Service, look: Look) -> None:
    backfilled(service, "AAPL", "ONE_MINUTE", HOLE_DAY, HOLE_DAY)
    (gap,) = service.ask(STATISTICS, t="AAPL", i="ONE_MINUTE")["symbol"]["stats"]["missingIntervals"]
    assert gap["cause"] == "PROVIDER_HOLE"
    page.goto(symbol_url(service, "AAPL", "1m"))
    listed = page.get_by_role("region", name="Missing bars").locator("tbody tr")
    expect(listed).to_have_count(1)
    expect(listed.locator("time").first).to_have_attribute("datetime", gap["start"])
    expect(listed.locator("time").last).to_have_attribute("datetime", gap["end"])
    expect(listed).to_contain_text("16:25")
    expect(listed).to_contain_text("16:27")
    expect(listed).to_contain_text("the provider has none")
    expect(chart(page)).to_have_accessible_name(re.compile("1 gap$"))
    expect_painted(page, RISE, more_than=300)
    assert pixels(page, GAP) == 0, "it is long before the newest bars"
    for _ in range(3):
        page.get_by_role("button", name="To older bars").click()
    expect_painted(page, GAP, more_than=300)
    look("symbol-gap")


def test_a_missing_day_is_marked_and_listed(page: Page, service: Service) -> None:
    page.goto(symbol_url(service, "BTC-USD"))
    listed = page.get_by_role("region", name="Missing bars").locator("tbody tr")
    expect(listed).to_have_text(["15 Feb 2026\t1\tthe provider has none"], use_inner_text=True)
    expect(chart(page)).to_have_accessible_name(re.compile("1 gap$"))
    expect_painted(page, GAP, more_than=300)


@pytest.mark.parametrize(("ticker", "short"), [("BTC-USD", "1d"), ("META", "1d"), ("AAPL", "1m"), ("AAPL", "5m")])
def test_statistics_are_the_services(page: Page, service: Service, ticker: str, short: str) -> None:
    interval, text = INTERVALS[short]
    backfilled(service, "AAPL", "ONE_MINUTE", HOLE_DAY, HOLE_DAY)
    stats = service.ask(STATISTICS, t=ticker, i=interval)["symbol"]["stats"]
    page.goto(symbol_url(service, ticker, short))
    facts = panel(page, f"Statistics, {text}")
    for name, value in {
        "Bars held": str(stats["recordCount"]),
        "Coverage": f"{stats['coverage']:.1%}".replace(".0%", "%"),
        "Validated": f"{stats['validationRate']:.1%}".replace(".0%", "%"),
        "Gaps": str(stats["gapsDetected"]),
        "Price gaps over 10 %": str(stats["priceGaps"]),
    }.items():
        term = facts.locator("dt", has_text=re.compile(f"^{name}$"))
        expect(term.locator("xpath=following-sibling::dd")).to_have_text(value)


@pytest.mark.parametrize("ticker", ["AAPL", "EUR/USD"])
def test_exposures_are_the_services_and_point_where_they_should(page: Page, service: Service, ticker: str) -> None:
    exposures = service.ask(EXPOSURES, t=ticker)["symbol"]["factorExposures"]
    assert {exposure["beta"] > 0 for exposure in exposures} == {True, False}
    page.goto(symbol_url(service, ticker))
    rows = page.get_by_role("region", name="Exposures by factor").locator("tbody tr")
    expect(rows).to_have_count(len(exposures))
    widths = {}
    for row, exposure in zip(rows.all(), exposures, strict=True):
        factor, beta, _, r_squared, days, history = (cell.inner_text() for cell in row.locator("th, td").all())
        assert factor == exposure["factor"].lower().replace("_", " ")
        assert float(beta) == pytest.approx(exposure["beta"], abs=0.0051)
        assert float(r_squared.rstrip("%")) == pytest.approx(exposure["rSquared"] * 100, abs=0.051)
        assert days == f"{exposure['observations']} of {exposure['windowDays']}"
        assert history == {"FULL_HISTORY": "full", "LIMITED_HISTORY": "limited"}[exposure["quality"]]
        bar, track = row.locator(".beta > span").bounding_box(), row.locator(".beta").bounding_box()
        assert bar is not None
        assert track is not None
        zero = track["x"] + track["width"] / 2
        assert (bar["x"] if exposure["beta"] > 0 else bar["x"] + bar["width"]) == pytest.approx(zero, abs=1)
        widths[abs(exposure["beta"])] = bar["width"]
    assert [widths[size] for size in sorted(widths)] == sorted(widths.values())


def test_what_was_never_estimated_is_said_so(page: Page, serve: Callable[..., Service]) -> None:
    service = serve("--no-workers")
    service.ask('mutation { addSymbol(input: { ticker: "PLTR" }) { __typename } }')
    page.goto(symbol_url(service, "PLTR"))
    rows = panel(page, "Factor exposures").locator("tbody tr")
    expect(rows.first).to_contain_text("not estimated")
    expect(rows.first).to_contain_text("unavailable")
    expect(page.locator(".beta > span")).to_have_count(0)
    expect(page.get_by_role("heading", name="No bars yet")).to_be_visible()
    expect(page.get_by_role("heading", name="No levels")).to_be_visible()


# ── what is done here, and what happens meanwhile


def start_backfill(page: Page, bars: str, first: str, last: str) -> None:
    page.get_by_label("Bars of").select_option(bars)
    page.get_by_label("First day").fill(first)
    page.get_by_label("Last day").fill(last)
    page.get_by_role("button", name="Start a backfill").click()


def test_a_backfill_is_followed_to_its_end(page: Page, serve: Callable[..., Service], look: Look) -> None:
    with Keeper("AAPL") as provider:
        service = serve(**provider.environment)
        page.goto(symbol_url(service, "AAPL", "1m"))
        expect(page.get_by_role("heading", name="No bars of 1 minute")).to_be_visible()
        state = page.get_by_role("status", name="State of the backfill")
        expect(state).to_have_text("none yet")
        start_backfill(page, "ONE_MINUTE", HOLE_DAY, HOLE_DAY)
        waiting = provider.kept()
        expect(state).to_have_text("in progress")
        look("symbol-backfill-in-progress")
        start_backfill(page, "ONE_DAY", "2026-03-02", HOLE_DAY)
        expect(panel(page, "Backfill").get_by_role("alert")).to_have_text(re.compile("^AAPL is being backfilled already"))
        provider.answer(waiting)
        expect(state).to_have_text("completed")
        expect(panel(page, "Backfill")).to_contain_text("388")
        expect(chart(page)).to_have_accessible_name(re.compile("^AAPL, 1 minute: 388 bars"))


def test_a_backfill_that_fails_says_why(page: Page, service: Service, look: Look) -> None:
    page.goto(symbol_url(service, "AAPL"))
    start_backfill(page, "ONE_MINUTE", NO_MINUTES, NO_MINUTES)
    state = page.get_by_role("status", name="State of the backfill")
    expect(state).to_have_text("failed")
    error = service.ask(STATE, t="AAPL")["symbol"]["backfill"]["error"]
    assert error
    expect(panel(page, "Backfill").get_by_role("alert")).to_contain_text(error)
    look("symbol-backfill-failed")


def test_days_that_make_no_range_are_refused(page: Page, service: Service) -> None:
    page.goto(symbol_url(service, "AAPL"))
    start_backfill(page, "ONE_DAY", "2026-03-20", "2026-03-02")
    expect(panel(page, "Backfill").get_by_role("alert")).to_have_text(re.compile(r"\w.*\.$"))
    assert service.ask(STATE, t="AAPL")["symbol"]["backfill"]["status"] == "PENDING"


def test_a_refresh_from_here_moves_what_is_shown(page: Page, serve: Callable[..., Service]) -> None:
    with Keeper("BA") as provider:
        service = serve(**provider.environment)
        before = len(service.ask(BARS, t="BA", i="ONE_DAY")["symbol"]["bars"]["nodes"])
        page.goto(symbol_url(service, "BA"))
        expect(page.get_by_text("Data is 8 days old - may be outdated")).to_be_visible()
        expect(chart(page)).to_have_accessible_name(re.compile(f": {before} bars"))
        page.get_by_role("button", name="Refresh BA").click()
        waiting = provider.kept()
        expect(page.get_by_role("button", name="Refresh BA")).to_have_text("Refreshing…")
        page.get_by_role("button", name="Refresh BA").click(force=True)
        expect(page.get_by_role("status", name="Messages")).to_contain_text("Already refreshing since")
        provider.answer(waiting)
        expect(page.get_by_text("Data is 8 days old - may be outdated")).to_have_count(0)
        after = len(service.ask(BARS, t="BA", i="ONE_DAY")["symbol"]["bars"]["nodes"])
        assert after > before
        expect(chart(page)).to_have_accessible_name(re.compile(f": {after} bars"))


def start_live(service: Service, ticker: str) -> int:
    """A live session of it, at work; its version."""
    wanted = {"mode": "LIVE", "tickers": [ticker], "expectedVersion": 0}
    answer = service.ask(START, input=wanted)["startSession"]
    assert answer["__typename"] == "SessionChanged"
    for _ in range(300):
        if (session := service.ask("{ session { active version } }")["session"])["active"]:
            return int(session["version"])
        time.sleep(0.1)
    raise AssertionError("it has not become active")


def test_what_a_session_withholds_is_said(page: Page, service: Service, look: Look) -> None:
    backfilled(service, "AAPL", "ONE_MINUTE", "2026-03-25", HOLE_DAY)
    version = start_live(service, "AAPL")
    page.goto(symbol_url(service, "AAPL", "1m"))
    expect(chart(page)).to_have_accessible_name(re.compile("500 bars .* to 27 Mar 2026"))
    note = panel(page, "Bars").get_by_text("Withheld.")
    expect(note).to_have_count(0)
    service.ask("mutation($v: Int!) { pauseSession(expectedVersion: $v) { __typename } }", v=version)
    expect(note).to_be_visible()
    expect(chart(page)).to_have_accessible_name(re.compile("390 bars from 25 Mar 2026.* to 25 Mar 2026"))
    look("symbol-withheld")
    assert violations(page) == []
    service.ask("mutation($v: Int!) { resumeSession(expectedVersion: $v) { __typename } }", v=version + 1)
    expect(note).to_have_count(0)
    expect(chart(page)).to_have_accessible_name(re.compile(" to 27 Mar 2026"))


def test_bars_of_a_live_session_come_as_they_complete(page: Page, serve: Callable[..., Service]) -> None:
    service = serve(FRESHTAPE_CLOCK="2026-03-27T12:00:30Z")
    backfilled(service, "BTC-USD", "ONE_MINUTE", HOLE_DAY, HOLE_DAY)
    start_live(service, "BTC-USD")
    page.goto(symbol_url(service, "BTC-USD", "1m"))
    expect(chart(page)).to_have_accessible_name(re.compile(r"to 27 Mar 2026, 1\d:\d\d,"))
    before = chart(page).get_attribute("aria-label")
    assert before is not None
    (shown,) = re.findall(r": (\d+) bars", before)
    expect(chart(page)).to_have_accessible_name(re.compile(rf": {int(shown) + 1} bars"), timeout=100_000)
    newest = service.ask(BARS, t="BTC-USD", i="ONE_MINUTE")["symbol"]["bars"]["nodes"][-1]
    expect(chart(page)).to_have_accessible_name(re.compile(f"last close {float(newest['close']):,.2f}"))


def changed_market(folder: Path) -> Path:
    """The sample market as a provider tells it that has corrected AAPL's last close by ten cents."""
    market = Path(shutil.copytree(BUNDLED_SAMPLE, folder / "corrected"))
    path = market / "daily" / "AAPL.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]["date"] == HOLE_DAY
    rows[-1]["close"] = "248.9"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return market


def test_what_the_provider_has_changed_is_told(page: Page, serve: Callable[..., Service], tmp_path: Path) -> None:
    service = serve(FRESHTAPE_SAMPLE_DIR=str(changed_market(tmp_path)))
    page.goto(symbol_url(service, "AAPL"))
    revisions = panel(page, "Revisions")
    expect(revisions).to_contain_text("The provider has changed nothing")
    page.get_by_role("button", name="Refresh AAPL").click()
    row = revisions.locator("tbody tr")
    expect(row).to_have_text(re.compile(r"^27 Mar 2026, 1 day\tclose\t248.8\t248.9\tsample\t"), use_inner_text=True)
    expect(chart(page)).to_have_accessible_name(re.compile("last close 248.90"))


def test_removed_here_it_is_history_and_can_be_tracked_again(page: Page, service: Service, look: Look) -> None:
    page.goto(symbol_url(service, "QQQ"))
    page.get_by_role("button", name="Remove QQQ").click()
    expect(page.get_by_text("QQQ is no longer tracked", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Refresh QQQ")).to_have_count(0)
    expect(panel(page, "Backfill")).to_have_count(0)
    expect(chart(page)).to_have_accessible_name(re.compile("^QQQ, 1 day: 252 bars"))
    look("symbol-retired")
    page.reload()
    page.get_by_role("button", name="Track it again").click()
    expect(page.get_by_role("button", name="Refresh QQQ")).to_be_visible()
    status = service.ask('{ symbol(ticker: "QQQ") { status } }')["symbol"]["status"]
    assert status in ("ACTIVE", "ONBOARDING")


@pytest.mark.parametrize("ticker", ["NOSUCH", "100%", "a/b/c"])
def test_what_was_never_tracked_is_said_so(page: Page, service: Service, look: Look, ticker: str) -> None:
    page.goto(symbol_url(service, ticker))
    expect(page.get_by_role("heading", level=1)).to_have_text(ticker)
    expect(page.get_by_role("heading", name="This symbol is not tracked")).to_be_visible()
    look("symbol-unknown")
    page.get_by_role("link", name="To the symbols").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Symbols")


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ("SymbolBars", "Bars"),
        ("SymbolLevels", "Levels"),
        ("SymbolStatistics", "Statistics, 1 day"),
        ("SymbolExposures", "Factor exposures"),
        ("SymbolBackfill", "Backfill"),
        ("SymbolRevisions", "Revisions"),
    ],
)
def test_a_panel_that_fails_does_so_alone(page: Page, service: Service, watch: Watch, operation: str, name: str) -> None:
    watch.expected.append("Failed to load resource")

    def refuse(route: Route) -> None:
        asked = route.request.post_data_json
        if asked and asked.get("operationName") == operation:
            route.abort()
        else:
            route.continue_()

    page.route("**/graphql", refuse)
    page.goto(symbol_url(service, "AAPL"))
    failure = page.get_by_role("main").get_by_role("alert")
    expect(failure).to_have_count(1)
    expect(panel(page, name).get_by_role("alert")).to_contain_text("could not be read")
    page.unroute("**/graphql")
    failure.get_by_role("button", name="Try again").click()
    expect(failure).to_have_count(0)
    expect(chart(page)).to_have_accessible_name(re.compile(": 252 bars.*10 levels"))


# ── everybody, everywhere


def test_the_theme_colours_the_chart(page: Page, service: Service) -> None:
    page.goto(symbol_url(service, "AAPL"))
    expect(chart(page)).to_have_accessible_name(re.compile("252 bars"))
    page.get_by_text("Light", exact=True).click()
    expect_painted(page, SURFACE, more_than=100_000)
    expect_painted(page, RISE, more_than=300)
    page.get_by_text("Dark", exact=True).click()
    expect_painted(page, DARK_SURFACE, more_than=100_000)
    assert [pixels(page, colour) for colour in (SURFACE, RISE, FALL)] == [0, 0, 0]
    page.get_by_text("Auto", exact=True).click()
    page.emulate_media(color_scheme="light")
    expect_painted(page, SURFACE, more_than=100_000)


@pytest.mark.parametrize("ticker", ["AAPL", "BTC-USD"])
def test_it_fits_a_phone(page: Page, service: Service, look: Look, ticker: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(symbol_url(service, ticker))
    expect(chart(page)).to_be_visible()
    expect(page.get_by_role("region", name="Levels, strongest first")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    look(f"symbol-phone-{ticker}")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ticker", ["AAPL", "BA", "NOSUCH"])
def test_anybody_can_use_it(page: Page, service: Service, look: Look, theme: Theme, ticker: str) -> None:
    page.emulate_media(color_scheme=theme)
    page.goto(symbol_url(service, ticker))
    if ticker != "NOSUCH":
        expect(chart(page)).to_have_accessible_name(re.compile("bars"))
        page.get_by_text("The bars as a table").click()
    else:
        expect(page.get_by_role("heading", name="This symbol is not tracked")).to_be_visible()
    expect(page.get_by_role("main").locator("[aria-busy=true]")).to_have_count(0)
    look(f"symbol-{ticker}-{theme}")
    assert violations(page) == []
    assert page.get_by_role("heading", level=1).count() == 1


def test_nothing_of_a_chart_is_left_when_one_leaves(page: Page, service: Service) -> None:
    page.add_init_script(WATCH_OBSERVERS)
    page.goto(symbol_url(service, "AAPL"))
    for _ in range(3):
        expect(chart(page)).to_have_accessible_name(re.compile("252 bars"))
        assert page.evaluate("observing.size") > 0
        page.get_by_text("1m", exact=True).click()
        page.get_by_text("1d", exact=True).click()
        page.get_by_role("link", name="Symbols", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Symbols")
        assert page.locator("canvas").count() == 0
        assert page.evaluate("observing.size") == 0
        page.get_by_text("Dark", exact=True).click()  # a chart that is gone and still followed the theme would complain
        page.get_by_role("link", name="AAPL", exact=True).click()
