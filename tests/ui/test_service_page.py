"""How the service is doing, as its page tells it: what is unwell first, and the numbers that the API has."""

import asyncio
import re
import sqlite3
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from domain.errors import Trouble
from domain.gates import Gate
from persistence.engine import Engine
from persistence.unit_of_work import SqlDatabase
from tests.support.axe import violations
from tests.support.dashboards import THEMES, Look, Service, Theme, free_port
from tests.ui.conftest import Watch

PATIENCE = 15_000
LIMITED = "The provider sample asks for fewer requests."
STANDING = """{ service {
    version database
    loops { name restarts }
    providers { retryAt }
    freshness { assetClass tracked fresh stale medianHours p95Hours }
    queues { name pending underWay failed }
} }"""


def empty(folder: Path) -> str:
    """The address of a database that is yet to be made."""
    return f"sqlite:///{folder / 'empty.db'}"


def in_a_thread(work: Coroutine[Any, Any, None]) -> None:
    """The browser's event loop has this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


def set_gate(folder: Path, change: Callable[[Gate, datetime], Gate]) -> None:
    """What a service remembers of its provider."""

    async def write() -> None:
        engine = Engine(f"sqlite+aiosqlite:///{folder / 'freshtape.db'}")
        async with SqlDatabase(engine, clock_generation=0).write() as unit:
            await unit.gates.save(change(*await unit.gates.lock("sample")))
        await engine.close()

    in_a_thread(write())


def opened(gate: Gate, now: datetime) -> Gate:
    return gate.failed(gate.generation, now, Trouble.RATE_LIMITED, 3600, LIMITED)


def open_page(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/service")
    expect(page.get_by_role("region", name="Background work")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("region", name="Providers")).to_be_visible(timeout=PATIENCE)


def found(page: Page) -> Locator:
    """What is said to be unwell, from the top."""
    return page.get_by_role("status", name="How the service is doing").get_by_role("note")


def cells(page: Page, table: str) -> list[list[str]]:
    rows = page.get_by_role("region", name=table).locator("tbody tr").all()
    return [[re.sub(r"\s+", " ", cell).strip() for cell in row.locator("th, td").all_inner_texts()] for row in rows]


def hours(number: float | None) -> str:
    return "–" if number is None else f"{number:.1f} h"


def test_its_numbers_are_those_of_the_api(page: Page, service: Service) -> None:
    open_page(page, service)
    told = service.ask(STANDING)["service"]
    names = {"STOCK": "Stocks", "ETF": "ETFs", "CRYPTO": "Crypto", "FOREX": "Currency pairs"}
    assert cells(page, "Freshness by asset class") == [
        [
            names[it["assetClass"]] + (f" ⚠ {it['stale']} stale" if it["fresh"] < 0.9 * it["tracked"] else ""),
            f"{it['fresh']} of {it['tracked']}",
            hours(it["medianHours"]),
            hours(it["p95Hours"]),
        ]
        for it in told["freshness"]
    ]
    assert cells(page, "Jobs of each queue") == [
        [it["name"], *(str(it[number]) for number in ("pending", "underWay", "failed"))] for it in told["queues"]
    ]
    loops = [[name, state, restarts, error] for name, state, _, restarts, error in cells(page, "Background loops")]
    assert loops == [[it["name"], "● running", "0", "none"] for it in told["loops"]]
    main = page.get_by_role("main")
    for term, fact in {
        "Version": f"Freshtape {told['version']}",
        "Database": "SQLite",
        "A symbol is fresh for": "48 h",
    }.items():
        expect(main.locator("dl > div").filter(has_text=term)).to_have_text(term + fact)
    sample = page.get_by_role("region", name="Providers").get_by_role("listitem")
    expect(sample.get_by_role("heading", name="sample")).to_have_text(re.compile("answering"))
    expect(sample).to_contain_text("Left todayno limit")


def test_the_clock_is_the_services_own_and_ticks(page: Page, service: Service) -> None:
    open_page(page, service)
    clock = page.locator("dl > div").filter(has_text="Service time")
    expect(clock).to_have_text(re.compile(r"27 Mar 2026, 21:3\d:\d\d"))  # of the recording, in the viewer's zone
    before = clock.inner_text()
    expect(clock).not_to_have_text(before)


def test_too_many_stale_symbols_are_said_first(page: Page, service: Service) -> None:
    open_page(page, service)
    expect(found(page)).to_have_text([re.compile("Stocks: 3 of 14 are stale"), re.compile("Crypto: 1 of 3 are stale")])
    page_order = page.get_by_role("main").inner_text()
    assert page_order.index("Stocks: 3 of 14") < page_order.index("Providers") < page_order.index("Background work")


def test_all_is_well(page: Page, serve: Callable[..., Service]) -> None:
    open_page(page, serve(SYMBOL_STALENESS_HOURS="500"))
    expect(found(page)).to_have_text(["All is well."])
    expect(page.get_by_role("main")).to_contain_text("A symbol is fresh for500 h")


@pytest.mark.parametrize("theme", THEMES)
def test_a_provider_that_is_not_asked_comes_first_and_says_when_it_is(
    page: Page, service: Service, tmp_path: Path, look: Look, theme: Theme
) -> None:
    set_gate(tmp_path, opened)
    page.emulate_media(color_scheme=theme)
    open_page(page, service)
    at = service.ask(STANDING)["service"]["providers"][0]["retryAt"]
    first = found(page).first
    expect(first).to_have_text(re.compile(rf"The provider sample is not asked until 27 Mar 2026, 22:3\d\. {LIMITED}"))
    named = first.locator("time").get_attribute("datetime")
    assert named is not None
    assert abs(datetime.fromisoformat(named) - datetime.fromisoformat(at)) < timedelta(seconds=2)
    sample = page.get_by_role("region", name="Providers").get_by_role("listitem")
    expect(sample).to_contain_text("■ not asked")
    expect(sample).to_contain_text(re.compile(r"Asked again in \d+ minutes"))
    expect(sample).to_contain_text("1 in a row")
    look(f"service-open-{theme}")
    assert violations(page) == []


def test_a_provider_is_followed_through_its_states(page: Page, serve: Callable[..., Service], tmp_path: Path) -> None:
    open_page(page, serve("--no-workers", SYMBOL_STALENESS_HOURS="500"))
    expect(found(page)).to_have_text(["All is well."])
    set_gate(tmp_path, opened)
    expect(found(page)).to_have_text([re.compile("sample is not asked until")], timeout=PATIENCE)
    set_gate(tmp_path, lambda gate, now: replace(gate, open_until=now))
    expect(found(page)).to_have_text([re.compile("sample is being tried again")], timeout=PATIENCE)
    sample = page.get_by_role("region", name="Providers").get_by_role("listitem")
    expect(sample).to_contain_text("◐ being tried")
    set_gate(tmp_path, lambda gate, _: gate.succeeded(gate.generation))
    expect(found(page)).to_have_text(["All is well."], timeout=PATIENCE)
    expect(sample).to_contain_text("● answering")
    expect(sample).to_contain_text("Failuresnone")


def test_a_budget_says_what_is_left_of_it(page: Page, serve: Callable[..., Service], tmp_path: Path) -> None:
    live = {"FRESHTAPE_PROVIDERS": "yahoo", "FRESHTAPE_YAHOO_URL": "http://127.0.0.1:1", "FRESHTAPE_CLOCK": ""}
    budget = {"FRESHTAPE_PROVIDER_CALLS_PER_MINUTE": "7", "FRESHTAPE_PROVIDER_CALLS_PER_DAY": "1234"}
    open_page(page, serve("--no-workers", FRESHTAPE_DATABASE_URL=empty(tmp_path), **live, **budget))
    yahoo = page.get_by_role("region", name="Providers").get_by_role("listitem")
    expect(yahoo).to_contain_text("Left this minute7 callsLeft today1,234 calls")


def test_a_loop_that_fails_comes_first_with_its_error(page: Page, service: Service, tmp_path: Path, look: Look) -> None:
    open_page(page, service)
    with sqlite3.connect(tmp_path / "freshtape.db") as database:
        database.execute("ALTER TABLE refresh_leases RENAME TO gone")
    failing = re.compile("The loop “lapsed refreshes” has failed and is started again")
    expect(found(page).filter(has_text=failing)).to_be_visible(timeout=PATIENCE)
    again = re.compile("The loop “lapsed refreshes” has failed again and again. OperationalError, see the log.")
    expect(found(page).first).to_have_text(again, timeout=40_000)
    row = cells(page, "Background loops")[0]
    assert (row[0], row[1], row[4]) == ("lapsed refreshes", "■ failing", "OperationalError, see the log.")
    assert int(row[3]) >= 4
    look("service-loop")
    assert violations(page) == []
    with sqlite3.connect(tmp_path / "freshtape.db") as database:
        database.execute("ALTER TABLE gone RENAME TO refresh_leases")
    expect(found(page).filter(has_text="loop")).to_have_count(0, timeout=40_000)


def test_what_needs_no_database_is_shown_without_one(page: Page, service: Service, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "freshtape.db") as database:
        database.execute("ALTER TABLE onboarding_jobs RENAME TO gone")
    page.goto(f"{service.url}/service")
    failure = page.get_by_role("alert")
    expect(failure).to_contain_text("The database cannot be read: providers, symbols and queues", timeout=PATIENCE)
    expect(page.get_by_role("region", name="Background loops")).to_be_visible()
    expect(page.get_by_role("region", name="Providers")).to_have_count(0)
    assert violations(page) == []
    with sqlite3.connect(tmp_path / "freshtape.db") as database:
        database.execute("ALTER TABLE gone RENAME TO onboarding_jobs")
    failure.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("region", name="Providers")).to_be_visible(timeout=PATIENCE)
    expect(failure).to_have_count(0)


def test_a_service_that_goes_away_is_said_so_and_one_that_comes_back_is_read(
    page: Page, serve: Callable[..., Service], watch: Watch, look: Look
) -> None:
    port = str(free_port())
    service = serve("--no-workers", FRESHTAPE_PORT=port)
    open_page(page, service)
    watch.expected += ["ERR_CONNECTION_REFUSED", "WebSocket", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"]
    service.end()
    failure = page.get_by_role("alert")
    expect(failure).to_contain_text(
        re.compile(r"What you see was read at \d\d:\d\d:\d\d.*The service does not answer"), timeout=PATIENCE
    )
    expect(found(page)).to_have_count(0)
    expect(page.get_by_role("region", name="Providers")).to_be_visible()
    look("service-away")
    assert violations(page) == []
    serve("--no-workers", FRESHTAPE_PORT=port)
    expect(failure).to_have_count(0, timeout=PATIENCE)
    expect(found(page).first).to_contain_text("are stale", timeout=PATIENCE)


@pytest.mark.parametrize("theme", THEMES)
def test_while_it_is_read_and_when_it_cannot_be(page: Page, service: Service, watch: Watch, look: Look, theme: Theme) -> None:
    held: list[Route] = []
    is_held = True

    def hold(route: Route) -> None:
        if is_held and re.search("query (About|Standing)", route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    page.emulate_media(color_scheme=theme)
    page.route("**/graphql", hold)
    page.goto(f"{service.url}/service")
    loading = page.get_by_role("group", name="Loading how the service is doing")
    expect(loading).to_have_attribute("aria-busy", "true")
    look(f"service-loading-{theme}")
    assert violations(page) == []

    watch.expected.append("ERR_FAILED")
    is_held = False
    for route in held:
        route.abort()
    failure = page.get_by_role("alert")
    expect(failure).to_contain_text("The service cannot be read")
    expect(loading).to_have_count(0)
    look(f"service-failure-{theme}")
    failure.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("region", name="Providers")).to_be_visible(timeout=PATIENCE)
    expect(failure).to_have_count(0)


def test_where_nothing_is_tracked_the_way_to_the_board_is_shown(
    page: Page, serve: Callable[..., Service], tmp_path: Path, look: Look
) -> None:
    open_page(page, serve("--no-workers", FRESHTAPE_DATABASE_URL=empty(tmp_path)))
    freshness = page.get_by_role("region", name="Freshness", exact=True)
    expect(freshness.get_by_role("heading", name="No symbol is tracked")).to_be_visible()
    look("service-empty")
    assert violations(page) == []
    freshness.get_by_role("link", name="Add one on the board").click()
    expect(page.get_by_role("heading", level=1, name="Symbols")).to_be_visible()


def test_it_asks_only_while_somebody_looks(page: Page, service: Service) -> None:
    page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => window.isHidden ?? false })")
    open_page(page, service)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data or ""))

    def readings() -> int:
        return sum("query Standing" in body for body in asked)

    page.evaluate("isHidden = true")
    page.wait_for_timeout(12_000)
    assert readings() <= 1  # one that was under way
    before = readings()
    page.evaluate("isHidden = false; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(500)
    assert readings() == before + 1
    page.wait_for_timeout(6_000)
    assert readings() >= before + 2


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [360, 1280])
def test_anybody_can_use_it(page: Page, service: Service, look: Look, theme: Theme, width: int) -> None:
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 800})
    open_page(page, service)
    look(f"service-{width}-{theme}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
