"""The board by the keyboard alone: there is no mouse in these tests."""

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.support.board import PATIENCE_MS, card, matches, style
from tests.support.dashboards import Service

MOST_STEPS = 150
STATUS = "query($ticker: String!) { symbol(ticker: $ticker) { status isStale } }"


def focused(page: Page) -> Locator:
    """What has the focus, which is somewhere."""
    found = page.locator(":focus")
    expect(found).to_have_count(1)
    return found


def visibly(page: Page) -> Locator:
    """The same, which is seen to have it."""
    found = focused(page)
    ringed = found.locator("xpath=..") if found.get_attribute("type") == "radio" else found  # a choice's is that of its label
    assert style(ringed, "outline-style") != "none"
    assert float(style(ringed, "outline-width").removesuffix("px")) >= 2
    assert style(ringed, "outline-color") not in ("rgba(0, 0, 0, 0)", "transparent")
    return found


def tab_to(page: Page, wanted: Locator, keys: str = "Tab") -> None:
    """Steps on until it has the focus; each step is seen."""
    for _ in range(MOST_STEPS):
        page.keyboard.press(keys)
        visibly(page)
        if wanted.evaluate("(element) => element === document.activeElement"):
            return
    raise AssertionError(f"{wanted} is not reached by the keyboard")


def test_a_symbol_is_added_one_refreshed_and_one_removed_and_brought_back(page: Page, service: Service) -> None:
    page.goto(service.url)
    expect(card(page, "BA")).to_be_visible()

    add = page.get_by_role("button", name="Add a symbol")
    tab_to(page, add)
    page.keyboard.press("Enter")
    field = page.get_by_role("combobox", name="Ticker or name")
    expect(field).to_be_focused()
    page.keyboard.type("taiwan")
    expect(matches(page)).to_have_count(1)
    page.keyboard.press("ArrowDown")
    expect(matches(page).first).to_have_attribute("aria-selected", "true")
    visibly(page)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(add).to_be_focused()
    visibly(page)
    expect(card(page, "TSM")).to_be_visible()

    refresh = card(page, "BA").get_by_role("button", name="Refresh BA")
    tab_to(page, refresh)
    page.keyboard.press("Enter")
    expect(card(page, "BA")).to_have_class(re.compile(r"\bfresh\b"), timeout=PATIENCE_MS)
    expect(refresh).to_be_focused()
    assert service.ask(STATUS, ticker="BA")["symbol"]["isStale"] is False

    tab_to(page, card(page, "DIS").get_by_role("button", name="Remove DIS"))
    page.keyboard.press("Enter")
    expect(card(page, "DIS")).to_have_count(0)
    expect(card(page, "ETH-USD").get_by_role("link")).to_be_focused()
    visibly(page)
    assert service.ask(STATUS, ticker="DIS")["symbol"]["status"] == "RETIRED"

    page.keyboard.press("Control+z")
    expect(card(page, "DIS")).to_be_visible()
    expect(card(page, "ETH-USD").get_by_role("link")).to_be_focused()
    assert service.ask(STATUS, ticker="DIS")["symbol"]["status"] in ("ONBOARDING", "ACTIVE")


def test_undo_is_reached_by_stepping_too_and_takes_no_letters_from_a_field(page: Page, service: Service) -> None:
    page.goto(service.url)
    card(page, "VUG").get_by_role("button", name="Remove VUG").focus()
    page.keyboard.press("Enter")
    expect(card(page, "VTV").get_by_role("link")).to_be_focused()

    page.get_by_role("searchbox").focus()
    page.keyboard.type("vu")
    page.keyboard.press("Control+z")
    expect(page.get_by_role("searchbox")).not_to_have_value("vu")
    page.get_by_role("searchbox").fill("")
    assert service.ask(STATUS, ticker="VUG")["symbol"]["status"] == "RETIRED"

    undo = page.get_by_role("status", name="Messages").get_by_role("button", name="Undo")
    card(page, "VTV").get_by_role("button", name="Remove VTV").focus()
    tab_to(page, undo)
    page.keyboard.press("Enter")
    expect(card(page, "VUG")).to_be_visible()
    expect(undo).to_have_count(0)
    focused(page)


def test_escape_closes_the_list_then_the_dialog_and_gives_the_focus_back(page: Page, service: Service) -> None:
    page.goto(service.url)
    expect(card(page, "BA")).to_be_visible()
    add = page.get_by_role("button", name="Add a symbol")
    for leave in _ways_to_leave(page):
        add.focus()
        page.keyboard.press("Enter")
        page.keyboard.type("q")
        expect(matches(page)).to_have_count(3)
        leave()
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(add).to_be_focused()


def _ways_to_leave(page: Page) -> list[Callable[[], None]]:
    def escape() -> None:
        page.keyboard.press("Escape")
        expect(matches(page)).to_have_count(0)
        expect(page.get_by_role("combobox", name="Ticker or name")).to_be_focused()
        page.keyboard.press("Escape")

    def close() -> None:
        tab_to(page, page.get_by_role("button", name="Close"), "Shift+Tab")
        page.keyboard.press("Enter")

    return [escape, close, escape]


def test_the_arrows_go_round_what_was_found(page: Page, service: Service) -> None:
    page.goto(service.url)
    page.get_by_role("button", name="Add a symbol").focus()
    page.keyboard.press("Enter")
    field = page.get_by_role("combobox", name="Ticker or name")
    page.keyboard.type("q")
    expect(matches(page)).to_have_count(3)
    expect(field).to_have_attribute("aria-expanded", "true")
    found = []
    for key in ("ArrowUp", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
        active = field.get_attribute("aria-activedescendant")
        assert active
        found.append(page.locator(f"[id='{active}']").inner_text().split()[0])
    assert found == ["QUAL", "QCOM", "QQQ"]
    page.keyboard.press("ArrowLeft")
    page.keyboard.type("x")
    expect(field).not_to_have_attribute("aria-activedescendant", re.compile(".+"))


def test_the_focus_stays_on_a_card_that_moves_and_goes_on_from_one_that_no_longer_fits(page: Page, service: Service) -> None:
    page.goto(service.url)
    page.get_by_label("Order").select_option("Oldest first")
    refresh = card(page, "BA").get_by_role("button", name="Refresh BA")
    expect(page.locator("[data-ticker]").first).to_have_attribute("data-ticker", "BA")
    refresh.focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-ticker]").last).to_have_attribute("data-ticker", "BA", timeout=PATIENCE_MS)
    expect(refresh).to_be_focused()

    page.get_by_label("Stale only").check()
    expect(page.locator("[data-ticker]").first).to_have_attribute("data-ticker", "DIS")
    card(page, "DIS").get_by_role("button", name="Refresh DIS").focus()
    page.keyboard.press("Enter")
    expect(card(page, "DIS")).to_have_count(0, timeout=PATIENCE_MS)
    expect(page.locator("[data-ticker]").first.get_by_role("link")).to_be_focused()
