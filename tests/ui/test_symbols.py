"""The board of symbols, as somebody looks at it."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.axe import violations
from tests.support.board import PATIENCE_MS, STALE, card, matches, opacity, style, tickers, token
from tests.support.dashboards import THEMES, Look, Service, Theme, served
from tests.ui.conftest import Watch

VIEWS = ("Cards", "Rows")
SYMBOLS = """{ symbols(first: 250) { nodes {
  ticker name assetClass direction isStale stalenessMessage stalenessReason lastUpdated lastPrice levelCount } } }"""
REFRESH = 'mutation { refreshSymbol(input: {ticker: "BA"}) { __typename } }'


@pytest.fixture
def symbols(service: Service) -> list[dict[str, Any]]:
    """As the service tells them."""
    nodes: list[dict[str, Any]] = service.ask(SYMBOLS)["symbols"]["nodes"]
    return nodes


@pytest.mark.parametrize("theme", THEMES)
def test_a_stale_symbol_is_warned_of_and_looks_it(page: Page, service: Service, theme: Theme) -> None:
    page.emulate_media(color_scheme=theme)
    page.goto(service.url)
    ba = card(page, "BA")
    expect(ba).to_have_class(re.compile(r"\bstale\b"))
    warning = ba.get_by_role("status")
    expect(warning.get_by_text("Data is 8 days old - may be outdated", exact=True)).to_be_visible()
    expect(warning).to_contain_text("⚠")  # not by colour alone
    expect(warning).to_contain_text("6 trading days missed.")

    expect(ba).to_have_css("border-left", f"3px solid {token(page, 'color', '--warn-line')}")
    for dimmed in (ba.locator(".spark"), ba.locator(".direction > [aria-hidden]")):
        expect(dimmed).to_have_css("opacity", "0.8")
    read = (ba.get_by_role("heading"), ba.locator(".name"), ba.locator(".direction"), ba.locator(".price"), warning)
    assert [opacity(text) for text in read] == [1] * len(read)


@pytest.mark.parametrize("theme", THEMES)
def test_the_warning_is_made_of_the_tokens(page: Page, service: Service, theme: Theme) -> None:
    page.emulate_media(color_scheme=theme)
    page.goto(service.url)
    warning = card(page, "BA").get_by_role("status")
    wanted = {
        "font-size": "--text-sm",
        "color": "--warn",
        "background-color": "--warn-bg",
        "padding-left": "--space-xs",
        "padding-top": "--space-xs",
        "border-top-left-radius": "--radius-sm",
        "margin-top": "--space-xs",
    }
    found = {measured: style(warning, measured) for measured in wanted}
    assert found == {measured: token(page, measured, name) for measured, name in wanted.items()}
    assert float(found["font-size"].removesuffix("px")) < float(style(page.locator("html"), "font-size").removesuffix("px"))


def test_a_warning_is_shown_where_there_is_a_message_and_nowhere_else(
    page: Page, service: Service, symbols: list[dict[str, Any]]
) -> None:
    page.goto(service.url)
    expect(page.locator("[data-ticker]")).to_have_count(len(symbols))
    messages = {it["ticker"]: it["stalenessMessage"] for it in symbols if it["stalenessMessage"]}
    assert set(messages) == set(STALE)
    for it in symbols:
        shown = card(page, it["ticker"])
        expect(shown).to_have_class(re.compile(r"\bstale\b" if it["isStale"] else r"\bfresh\b"))
        if it["ticker"] in messages:
            expect(shown.get_by_role("status").get_by_text(messages[it["ticker"]], exact=True)).to_be_visible()
        else:
            expect(shown.get_by_role("status")).to_have_count(0)
            expect(shown.locator(".warning")).to_have_count(0)
            expect(shown).to_have_css("border-left-width", "1px")
    expect(page.get_by_role("main").get_by_role("status").first).to_have_text(f"{len(symbols)} symbols, {len(STALE)} stale")


def test_that_the_provider_had_nothing_newer_is_said_of_a_fresh_symbol_and_is_no_warning(page: Page, service: Service) -> None:
    page.goto(service.url)
    remark = card(page, "ETH-USD").get_by_text("The provider has nothing newer. 5 trading days missed.")
    expect(remark).to_be_visible()
    expect(remark).to_have_css("color", token(page, "color", "--info"))
    expect(card(page, "AAPL").get_by_text("The provider has nothing newer.")).to_have_count(0)


def test_a_card_names_the_symbol_its_direction_price_and_levels(
    page: Page, service: Service, symbols: list[dict[str, Any]]
) -> None:
    page.goto(service.url)
    for it in symbols:
        shown = card(page, it["ticker"])
        expect(shown.get_by_role("heading", name=f"{it['ticker']} {it['name']}")).to_be_visible()
        badge = shown.locator(f".direction.{it['direction'].lower()}")
        expect(badge).to_contain_text(it["direction"].lower())
        expect(shown.locator(".badges")).to_contain_text(it["assetClass"].lower())
        expect(shown.get_by_text(f"{it['levelCount']} levels")).to_be_visible()
    expect(card(page, "BTC-USD").locator(".price")).to_have_text("$68,777.81")
    expect(card(page, "BA").get_by_role("img", name=re.compile(r"down \d+\.\d % over 40 days"))).to_be_visible()


def test_how_long_ago_it_was_updated_ticks_by_itself(page: Page, service: Service) -> None:
    page.goto(service.url)
    facts = card(page, "BA").locator(".facts-line")
    expect(facts).to_contain_text("Last updated: 8 days ago")
    service.ask(REFRESH)
    expect(facts).to_contain_text(re.compile(r"Last updated: \d+ seconds? ago"), timeout=PATIENCE_MS)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data or ""))
    ago = facts.get_by_role("time")
    before = ago.inner_text()
    expect(ago).not_to_have_text(before)
    assert int(ago.inner_text().split()[0]) > int(before.split()[0])
    assert [it for it in asked if "query Symbols" in it] == []


def test_it_is_searched_by_ticker_and_by_name(page: Page, service: Service) -> None:
    page.goto(service.url)
    search = page.get_by_role("searchbox", name="Find by ticker or name")
    search.fill("qq")
    expect(page.locator("[data-ticker]")).to_have_count(1)
    assert tickers(page) == ["QQQ"]
    expect(page.get_by_role("main").get_by_role("status").first).to_contain_text("1 shown")
    search.fill("boeing")
    expect(card(page, "BA")).to_be_visible()
    assert tickers(page) == ["BA"]


def test_it_is_filtered_by_class_and_by_staleness_and_says_when_nothing_is_left(
    page: Page, service: Service, symbols: list[dict[str, Any]]
) -> None:
    page.goto(service.url)
    shown = page.locator("[data-ticker]")
    page.get_by_label("Asset class").select_option("CRYPTO")
    expect(shown).to_have_count(3)
    assert tickers(page) == [it["ticker"] for it in symbols if it["assetClass"] == "CRYPTO"]
    page.get_by_label("Stale only").check()
    expect(shown).to_have_count(1)
    page.get_by_label("Asset class").select_option("")
    expect(shown).to_have_count(len(STALE))
    assert tuple(tickers(page)) == STALE

    page.get_by_role("searchbox").fill("nothing is called so")
    page.get_by_role("button", name="Show all").click()
    expect(shown).to_have_count(len(symbols))
    expect(page.get_by_role("button", name="Add a symbol")).to_be_focused()  # what had the focus is gone


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("By ticker", lambda it: it["ticker"]),
        ("Oldest first", lambda it: it["lastUpdated"]),
        ("Highest price", lambda it: -float(it["lastPrice"])),
        ("Most levels", lambda it: -it["levelCount"]),
    ],
)
def test_it_is_ordered(page: Page, service: Service, symbols: list[dict[str, Any]], order: str, key: Any) -> None:
    page.goto(service.url)
    expect(page.locator("[data-ticker]")).to_have_count(len(symbols))
    page.get_by_label("Order").select_option(order)
    wanted = [it["ticker"] for it in sorted(symbols, key=key)]
    expect(page.locator("[data-ticker]").first).to_have_attribute("data-ticker", wanted[0])
    assert tickers(page) == wanted


def test_the_view_and_the_order_are_remembered(page: Page, service: Service) -> None:
    page.goto(service.url)
    page.get_by_text("Rows", exact=True).click()
    page.get_by_label("Order").select_option("Highest price")
    page.reload()
    expect(page.get_by_role("radio", name="Rows")).to_be_checked()
    expect(page.get_by_role("list", name="Symbols")).to_have_class(re.compile(r"\brows\b"))
    assert tickers(page)[0] == "BTC-USD"


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_is_wider_than_a_phone(page: Page, service: Service, look: Look, view: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(service.url)
    page.get_by_text(view, exact=True).click()
    card(page, "DIS").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("status", name="Messages")).to_contain_text("DIS is no longer tracked.")
    expect(page.locator(".spark svg").first).to_be_visible()
    look(f"symbols-{view.lower()}-phone")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Add a symbol").click()
    page.get_by_role("combobox", name="Ticker or name").fill("q")
    expect(matches(page)).to_have_count(3)
    look(f"symbols-add-{view.lower()}-phone")
    dialog = page.get_by_role("dialog", name="Add a symbol")
    assert dialog.evaluate("({scrollWidth, clientWidth}) => scrollWidth <= clientWidth")


def test_a_service_that_does_not_answer_is_said_and_asked_again(page: Page, service: Service, watch: Watch) -> None:
    watch.expected.append("Failed to load resource")

    def fail(route: Route) -> None:
        if "query Symbols" in (route.request.post_data or ""):
            route.abort()
        else:
            route.continue_()

    page.route("**/graphql", fail)
    page.goto(service.url)
    failure = page.get_by_role("alert")
    expect(failure).to_contain_text("The symbols could not be read")
    assert violations(page) == []
    page.unroute("**/graphql")
    failure.get_by_role("button", name="Try again").click()
    expect(card(page, "BA")).to_be_visible()
    expect(failure).to_have_count(0)


def test_a_course_that_could_not_be_read_is_read_again(page: Page, service: Service, watch: Watch) -> None:
    watch.expected.append("Failed to load resource")
    failed: list[str] = []

    def fail(route: Route) -> None:
        if not failed and "query Sparks" in (route.request.post_data or ""):
            failed.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    page.route("**/graphql", fail)
    page.goto(service.url)
    expect(card(page, "AAPL").get_by_role("img")).to_be_visible(timeout=PATIENCE_MS)
    assert failed


@pytest.mark.parametrize("theme", THEMES)
def test_before_there_is_a_symbol_it_says_what_to_do(page: Page, tmp_path: Path, look: Look, theme: Theme) -> None:
    page.emulate_media(color_scheme=theme)
    with served(tmp_path / "empty.db", FRESHTAPE_CLOCK="2026-03-27T20:30:00Z") as empty:
        page.goto(empty.url)
        expect(page.get_by_role("heading", name="No symbols yet")).to_be_visible()
        look(f"symbols-none-{theme}")
        assert violations(page) == []
        page.get_by_role("main").get_by_role("button", name="Add a symbol").last.click()
        page.get_by_role("combobox", name="Ticker or name").fill("BA")
        page.keyboard.press("Enter")
        expect(card(page, "BA")).to_be_visible()
        expect(page.get_by_role("heading", name="No symbols yet")).to_have_count(0)
        expect(page.get_by_role("button", name="Add a symbol")).to_be_focused()
        page.goto("about:blank")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("view", VIEWS)
def test_anybody_can_use_it(page: Page, service: Service, look: Look, theme: Theme, view: str) -> None:
    page.emulate_media(color_scheme=theme)
    page.goto(service.url)
    page.get_by_text(view, exact=True).click()
    expect(page.locator(".spark svg").first).to_be_visible()
    look(f"symbols-{view.lower()}-{theme}")
    assert violations(page) == []


@pytest.mark.parametrize("theme", THEMES)
def test_anybody_can_add(page: Page, service: Service, look: Look, theme: Theme) -> None:
    page.emulate_media(color_scheme=theme)
    page.goto(service.url)
    page.get_by_role("button", name="Add a symbol").click()
    page.get_by_role("combobox", name="Ticker or name").fill("q")
    expect(matches(page)).to_have_count(3)
    page.keyboard.press("ArrowDown")
    look(f"symbols-add-{theme}")
    assert violations(page) == []
