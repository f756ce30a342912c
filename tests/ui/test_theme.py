"""Light and dark, by the system and by the switch."""

import pytest
from playwright.sync_api import Page, expect

from tests.support.board import style, token
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


def background(page: Page) -> str:
    assert style(page.locator("html"), "background-color") == token(page, "background-color", "--bg")
    return style(page.locator("html"), "background-color")


@pytest.mark.parametrize("theme", THEMES)
def test_it_is_the_systems_until_another_is_chosen(page: Page, service: Service, theme: Theme) -> None:
    page.emulate_media(color_scheme=theme)
    page.goto(service.url)
    expect(page.get_by_role("radio", name="Auto")).to_be_checked()
    assert background(page) == BACKGROUNDS[theme]
    page.emulate_media(color_scheme=OTHER[theme])
    assert background(page) == BACKGROUNDS[OTHER[theme]]


@pytest.mark.parametrize("theme", THEMES)
def test_what_is_chosen_is_remembered_and_there_before_the_first_paint(page: Page, service: Service, theme: Theme) -> None:
    page.add_init_script(NOTE_THEME_AT_BODY)
    page.emulate_media(color_scheme=OTHER[theme])
    page.goto(service.url)
    assert page.evaluate("themeAtBody") is None
    page.get_by_text(theme.capitalize(), exact=True).click()
    assert background(page) == BACKGROUNDS[theme]

    page.reload()
    assert page.evaluate("themeAtBody") == theme
    assert background(page) == BACKGROUNDS[theme]
    expect(page.get_by_role("radio", name=theme.capitalize())).to_be_checked()

    page.get_by_text("Auto", exact=True).click()
    assert background(page) == BACKGROUNDS[OTHER[theme]]
    page.reload()
    assert page.evaluate("themeAtBody") is None
    assert background(page) == BACKGROUNDS[OTHER[theme]]


def test_it_is_switched_by_the_keyboard(page: Page, service: Service) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(service.url)
    page.get_by_role("radio", name="Auto").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Dark")).to_be_checked()
    assert background(page) == BACKGROUNDS["dark"]
