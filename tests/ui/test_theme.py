"""Light and dark, by the system and by the switch."""

import pytest
from playwright.sync_api import Page, expect

from tests.support.dashboards import THEMES, Service, Theme

NOTE_THEME_AT_BODY = """
new MutationObserver((_, observer) => {
  if (!document.body) return
  window.themeAtBody = document.documentElement.dataset.theme ?? null
  observer.disconnect()
}).observe(document, { childList: true, subtree: true })
"""
"""What is there before anything can be painted."""
BACKGROUNDS = {"light": "rgb(244, 246, 246)", "dark": "rgb(12, 17, 20)"}
OTHER: dict[Theme, Theme] = {"light": "dark", "dark": "light"}


def expect_painted_in(page: Page, theme: Theme) -> None:
    expect(page.locator("html")).to_have_css("background-color", BACKGROUNDS[theme])


@pytest.mark.parametrize("theme", THEMES)
def test_it_is_the_systems_until_another_is_chosen(page: Page, service: Service, theme: Theme) -> None:
    page.emulate_media(color_scheme=theme)
    page.goto(service.url)
    expect(page.get_by_role("radio", name="Auto")).to_be_checked()
    expect_painted_in(page, theme)
    page.emulate_media(color_scheme=OTHER[theme])
    expect_painted_in(page, OTHER[theme])


@pytest.mark.parametrize("theme", THEMES)
def test_what_is_chosen_is_remembered_and_there_before_the_first_paint(page: Page, service: Service, theme: Theme) -> None:
    page.add_init_script(NOTE_THEME_AT_BODY)
    page.emulate_media(color_scheme=OTHER[theme])
    page.goto(service.url)
    assert page.evaluate("themeAtBody") is None
    page.get_by_text(theme.capitalize(), exact=True).click()
    expect_painted_in(page, theme)

    page.reload()
    assert page.evaluate("themeAtBody") == theme
    expect_painted_in(page, theme)
    expect(page.get_by_role("radio", name=theme.capitalize())).to_be_checked()

    page.get_by_text("Auto", exact=True).click()
    expect_painted_in(page, OTHER[theme])
    page.reload()
    assert page.evaluate("themeAtBody") is None
    expect_painted_in(page, OTHER[theme])


def test_it_is_switched_by_the_keyboard(page: Page, service: Service) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(service.url)
    page.get_by_role("radio", name="Auto").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Dark")).to_be_checked()
    expect_painted_in(page, "dark")
