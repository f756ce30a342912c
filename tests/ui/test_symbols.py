"""The board of symbols, as somebody looks at it."""

import re

from playwright.sync_api import Page, expect

from tests.support.dashboards import Service


def test_stale_symbols_show_a_warning_and_look_it(page: Page, service: Service) -> None:
    page.goto(service.url)
    card = page.locator("[data-ticker=BA]")
    expect(card).to_have_class(re.compile(r"\bstale\b"))
    expect(card.get_by_role("status")).to_have_text(re.compile("Data is 8 days old - may be outdated"))
    expect(card).to_have_css("border-left-width", "3px")
    expect(card).to_have_css("border-left-style", "solid")
    expect(card.locator(".spark")).to_have_css("opacity", "0.8")
