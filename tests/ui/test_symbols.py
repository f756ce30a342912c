"""The board of symbols, as somebody looks at it."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.axe import violations
from tests.support.dashboards import THEMES, Look, Service, Theme


def test_stale_symbols_show_a_warning_and_look_it(page: Page, service: Service) -> None:
    page.goto(service.url)
    card = page.locator("[data-ticker=BA]")
    expect(card).to_have_class(re.compile(r"\bstale\b"))
    expect(card.get_by_role("status")).to_have_text(re.compile("Data is 8 days old - may be outdated"))
    expect(card).to_have_css("border-left-width", "3px")
    expect(card).to_have_css("border-left-style", "solid")
    expect(card.locator(".spark")).to_have_css("opacity", "0.8")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("view", ["Cards", "Rows"])
def test_anybody_can_use_it(page: Page, service: Service, look: Look, theme: Theme, view: str) -> None:
    page.emulate_media(color_scheme=theme)
    page.goto(service.url)
    page.get_by_text(view, exact=True).click()
    expect(page.locator(".spark svg").first).to_be_visible()
    look(f"symbols-{view.lower()}-{theme}")
    assert violations(page) == []
