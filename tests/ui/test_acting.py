"""What is done to symbols on the board: in one window, in two, and against those who were faster."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from domain.errors import Trouble
from providers.gate import ATTEMPTS
from tests.support.axe import violations
from tests.support.board import PATIENCE_MS, STALE, Deafness, card, matches, tickers
from tests.support.dashboards import THEMES, Keeper, Look, Service, Theme
from web.settings import BUNDLED_SAMPLE

Serve = Callable[..., Service]
REFRESH = "mutation($ticker: String!) { refreshSymbol(input: {ticker: $ticker}) { __typename } }"
REMOVE = """mutation($ticker: String!, $version: Int!) {
  removeSymbol(input: {ticker: $ticker, expectedVersion: $version}) { __typename } }"""
VERSION = "query($ticker: String!) { symbol(ticker: $ticker) { version status } }"
ALREADY = re.compile(r"Already refreshing since \d\d:\d\d:\d\d, started by hand\.")


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    """Waits with what the provider has of BA."""
    with Keeper("BA") as keeper:
        yield keeper


@pytest.fixture
def kept(serve: Serve, keeper: Keeper) -> Service:
    return serve(**keeper.environment)


def refresh_of(page: Page, ticker: str) -> Locator:
    return card(page, ticker).get_by_role("button", name=f"Refresh {ticker}")


def remove_of(page: Page, ticker: str) -> Locator:
    return card(page, ticker).get_by_role("button", name=f"Remove {ticker}")


def messages(page: Page) -> Locator:
    return page.get_by_role("status", name="Messages")


def news(page: Page) -> Locator:
    return page.get_by_role("status", name="What others do")


def version_of(service: Service, ticker: str) -> int:
    return int(service.ask(VERSION, ticker=ticker)["symbol"]["version"])


# ── refreshing


def test_while_a_refresh_runs_its_button_is_disabled_in_every_window(
    page: Page, context: BrowserContext, kept: Service, keeper: Keeper, look: Look
) -> None:
    other = context.new_page()
    for window in (page, other):
        window.goto(kept.url)
        expect(refresh_of(window, "BA")).to_be_enabled()
    refresh_of(page, "BA").click()
    inquiry = keeper.kept()
    for window in (page, other):
        expect(refresh_of(window, "BA")).to_be_disabled()
        expect(refresh_of(window, "BA")).to_have_text("Refreshing…")
        expect(refresh_of(window, "DIS")).to_be_enabled()

    refresh_of(other, "BA").click(force=True)  # it cannot be pressed, and says why
    expect(messages(other)).to_contain_text(ALREADY)
    look("symbols-refreshing")

    keeper.answer(inquiry)
    answer = re.compile(r"BA is refreshed: \d+ bars? changed, \d+ levels?\.")
    expect(messages(page)).to_contain_text(answer, timeout=PATIENCE_MS)
    for window in (page, other):
        expect(card(window, "BA")).to_have_class(re.compile(r"\bfresh\b"), timeout=PATIENCE_MS)
        expect(card(window, "BA").locator(".warning")).to_have_count(0)
        expect(card(window, "BA")).to_contain_text(re.compile(r"Last updated: \d+ seconds? ago"))
        expect(refresh_of(window, "BA")).to_be_enabled()
        expect(refresh_of(window, "BA")).to_have_text("Refresh")
        expect(window.get_by_role("main").get_by_role("status").first).to_contain_text(f"{len(STALE) - 1} stale")
    expect(news(other)).to_have_text("Refreshed: BA.", timeout=PATIENCE_MS)
    expect(news(page)).to_have_text("")  # it was told by the answer


def test_a_refresh_begun_elsewhere_a_moment_ago_is_told_with_since_when(page: Page, kept: Service, keeper: Keeper) -> None:
    deafness = Deafness(page)
    page.goto(kept.url)
    other = page.context.new_page()
    other.goto(kept.url)
    expect(refresh_of(page, "BA")).to_be_enabled()
    deafness.begin()
    refresh_of(other, "BA").click()
    inquiry = keeper.kept()
    refresh_of(page, "BA").click()
    refusal = card(page, "BA").get_by_role("alert")
    expect(refusal).to_contain_text(ALREADY)

    deafness.end()
    expect(refresh_of(page, "BA")).to_be_disabled()
    keeper.answer(inquiry)
    expect(card(page, "BA")).to_have_class(re.compile(r"\bfresh\b"), timeout=PATIENCE_MS)
    expect(refusal).to_have_count(0)  # it is so no more
    expect(refresh_of(page, "BA")).to_be_enabled()


def test_a_provider_that_is_down_is_said_on_the_card_which_can_be_used_again(
    page: Page, kept: Service, keeper: Keeper, look: Look
) -> None:
    page.goto(kept.url)
    other = page.context.new_page()
    other.goto(kept.url)
    expect(card(other, "BA")).to_be_visible()
    refresh_of(page, "BA").click()
    for _ in range(ATTEMPTS):
        keeper.refuse(keeper.kept(), Trouble.DOWN)
    refusal = card(page, "BA").get_by_role("alert")
    expect(refusal).to_contain_text("The provider sample refused the test.", timeout=PATIENCE_MS)
    expect(news(other)).to_have_text("Could not be refreshed: BA.", timeout=PATIENCE_MS)
    for window in (page, other):
        expect(card(window, "BA").get_by_role("status")).to_contain_text("The provider does not answer.")
        expect(refresh_of(window, "BA")).to_be_enabled()
    look("symbols-provider-down")

    refresh_of(page, "BA").click()
    expect(refusal).to_have_count(0)
    keeper.answer(keeper.kept())
    expect(card(page, "BA")).to_have_class(re.compile(r"\bfresh\b"), timeout=PATIENCE_MS)


def test_what_is_said_of_a_failed_refresh_is_dismissed_without_losing_the_focus(
    page: Page, kept: Service, keeper: Keeper
) -> None:
    page.goto(kept.url)
    refresh_of(page, "BA").click()
    for _ in range(ATTEMPTS):
        keeper.refuse(keeper.kept(), Trouble.DOWN)
    dismiss = card(page, "BA").get_by_role("button", name="Dismiss")
    dismiss.click(timeout=PATIENCE_MS)
    expect(dismiss).to_have_count(0)
    expect(card(page, "BA").get_by_role("link", name="BA")).to_be_focused()


def test_a_history_that_could_not_be_filled_is_said_on_the_card(page: Page, serve: Serve, tmp_path: Path) -> None:
    market = Path(shutil.copytree(BUNDLED_SAMPLE, tmp_path / "sample"))
    (market / "daily" / "BA.csv").unlink()
    service = serve(FRESHTAPE_SAMPLE_DIR=str(market))
    page.goto(service.url)
    expect(card(page, "BA")).to_be_visible()
    service.ask('mutation { backfillSymbol(input: {ticker: "BA"}) { __typename } }')
    expect(card(page, "BA")).to_contain_text("Its history was not filled.", timeout=PATIENCE_MS)
    error = service.ask('{ symbol(ticker: "BA") { backfill { error } } }')["symbol"]["backfill"]["error"]
    expect(card(page, "BA")).to_contain_text(error)


# ── removing


@pytest.mark.parametrize("theme", THEMES)
def test_a_conflict_is_explained_with_both_versions_and_shows_the_newer_state(
    page: Page, service: Service, look: Look, theme: Theme
) -> None:
    page.emulate_media(color_scheme=theme)
    refusal = _in_conflict(page, service, "BA")
    expect(card(page, "BA")).to_have_class(re.compile(r"\bfresh\b"))
    look(f"symbols-conflict-{theme}")
    assert violations(page) == []

    refusal.get_by_role("button", name="Remove it as it is now").click()
    expect(card(page, "BA")).to_have_count(0)
    assert service.ask(VERSION, ticker="BA")["symbol"]["status"] == "RETIRED"
    expect(card(page, "BTC-USD").get_by_role("link")).to_be_focused()  # what stands in its place


def test_a_conflict_may_be_left_alone(page: Page, service: Service) -> None:
    refusal = _in_conflict(page, service, "BA")
    refusal.get_by_role("button", name="Leave it").click()
    expect(refusal).to_have_count(0)
    expect(card(page, "BA").get_by_role("link")).to_be_focused()
    assert service.ask(VERSION, ticker="BA")["symbol"]["status"] == "ACTIVE"


def _in_conflict(page: Page, service: Service, ticker: str) -> Locator:
    """What a window says that asks for the removal of what another has refreshed meanwhile."""
    deafness = Deafness(page)
    page.goto(service.url)
    expect(card(page, ticker)).to_be_visible()
    seen = version_of(service, ticker)
    deafness.begin()
    service.ask(REFRESH, ticker=ticker)
    now = version_of(service, ticker)
    assert now > seen
    remove_of(page, ticker).click()
    refusal = card(page, ticker).get_by_role("alert")
    expect(refusal).to_contain_text(
        f"{ticker} was changed meanwhile: you saw version {seen}, it is at version {now} now. Nothing was removed."
    )
    return refusal


def test_a_symbol_that_somebody_else_has_removed_is_no_conflict_to_solve(page: Page, service: Service) -> None:
    deafness = Deafness(page)
    page.goto(service.url)
    expect(card(page, "DIS")).to_be_visible()
    deafness.begin()
    service.ask(REMOVE, ticker="DIS", version=version_of(service, "DIS"))
    remove_of(page, "DIS").click()
    expect(messages(page)).to_contain_text("DIS is no longer tracked: somebody else has removed it.")
    expect(card(page, "DIS")).to_have_count(0)


def test_a_removal_is_undone(page: Page, service: Service) -> None:
    page.goto(service.url)
    remove_of(page, "DIS").click()
    expect(card(page, "DIS")).to_have_count(0)
    expect(card(page, "ETH-USD").get_by_role("link")).to_be_focused()
    assert service.ask(VERSION, ticker="DIS")["symbol"]["status"] == "RETIRED"
    messages(page).get_by_role("button", name="Undo").click()
    expect(card(page, "DIS")).to_be_visible()
    expect(messages(page)).to_contain_text("DIS is tracked; its history is being loaded.")
    expect(card(page, "DIS").get_by_text("Being onboarded")).to_have_count(0, timeout=PATIENCE_MS)
    assert service.ask(VERSION, ticker="DIS")["symbol"]["status"] == "ACTIVE"


def test_what_others_remove_goes_and_hands_on_the_focus(page: Page, service: Service) -> None:
    page.goto(service.url)
    refresh_of(page, "VUG").focus()
    service.ask(REMOVE, ticker="VUG", version=version_of(service, "VUG"))
    expect(card(page, "VUG")).to_have_count(0)
    expect(card(page, "VTV").get_by_role("link")).to_be_focused()  # the last one, as it was the last
    expect(news(page)).to_have_text("Removed: VUG.", timeout=PATIENCE_MS)


def test_many_changes_are_told_in_one_sentence(page: Page, service: Service) -> None:
    deafness = Deafness(page)
    page.goto(service.url)
    expect(card(page, "AAPL")).to_be_visible()
    deafness.begin()
    for ticker in ("AAPL", "AMD", "AMZN", "AVGO"):
        service.ask(REFRESH, ticker=ticker)
    expect(refresh_of(page, "AAPL")).to_be_enabled()
    deafness.end()
    expect(news(page)).to_have_text("Refreshed: 4 symbols.", timeout=PATIENCE_MS)


# ── adding


def adding(page: Page) -> Locator:
    """The field of the dialog that adds, opened."""
    page.get_by_role("button", name="Add a symbol").click()
    field = page.get_by_role("combobox", name="Ticker or name")
    expect(field).to_be_focused()
    return field


def test_a_symbol_is_found_at_the_provider_added_and_onboarded_before_the_viewers_eyes(
    page: Page, serve: Serve, look: Look
) -> None:
    with Keeper("PLTR") as keeper:
        page.goto(serve(**keeper.environment).url)
        adding(page).fill("palan")
        match = matches(page).filter(has_text="PLTR")
        expect(match).to_contain_text("Palantir Technologies Inc.")
        match.click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.get_by_role("button", name="Add a symbol")).to_be_focused()
        expect(messages(page)).to_contain_text("PLTR is tracked; its history is being loaded.")
        added = card(page, "PLTR")
        added.scroll_into_view_if_needed()
        expect(added).to_contain_text("Being onboarded: its history is loaded and measured.")
        expect(added).to_contain_text("Last updated: never")
        expect(refresh_of(page, "PLTR")).to_be_disabled()
        look("symbols-onboarding")
        keeper.answer(keeper.kept())
        expect(added).to_have_class(re.compile(r"\bfresh\b"), timeout=2 * PATIENCE_MS)
        expect(added).not_to_contain_text("Being onboarded")
        expect(added.locator(".price")).to_have_text(re.compile(r"\$\d+\.\d\d"))
        expect(added.get_by_role("img")).to_be_visible()
        expect(refresh_of(page, "PLTR")).to_be_enabled()


def test_what_is_tracked_already_is_marked_and_stays_as_it_is(page: Page, service: Service) -> None:
    page.goto(service.url)
    adding(page).fill("boeing")
    match = matches(page).filter(has_text="BA")
    expect(match).to_contain_text("tracked")
    match.click()
    expect(messages(page)).to_contain_text("BA is tracked already.")


def test_a_misspelled_ticker_is_refused_with_what_may_be_meant(page: Page, service: Service) -> None:
    page.goto(service.url)
    field = adding(page)
    field.fill("$TSM")
    page.get_by_role("button", name="Add", exact=True).click()
    refusal = page.get_by_role("dialog").get_by_role("alert")
    expect(refusal).to_contain_text("'$TSM' is not a ticker")
    expect(field).to_be_focused()
    refusal.get_by_role("button", name="TSM").click()
    expect(card(page, "TSM")).to_be_visible()


def test_what_no_provider_knows_is_said(page: Page, service: Service) -> None:
    page.goto(service.url)
    field = adding(page)
    field.fill("QZQZ")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("status")).to_have_text("The provider has nothing by that name.")
    field.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("QZQZ is not known to the provider sample.")
    field.fill("QZQ")
    expect(dialog.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("theme", THEMES)
def test_one_of_earlier_is_tracked_again(page: Page, service: Service, look: Look, theme: Theme) -> None:
    page.emulate_media(color_scheme=theme)
    service.ask(REMOVE, ticker="INTC", version=version_of(service, "INTC"))
    page.goto(service.url)
    field = adding(page)
    field.fill("intc")
    field.press("Enter")
    refusal = page.get_by_role("dialog").get_by_role("alert")
    expect(refusal).to_contain_text("INTC was tracked before, and its history is kept.")
    look(f"symbols-again-{theme}")
    assert violations(page) == []
    refusal.get_by_role("button", name="Track it again").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(card(page, "INTC")).to_be_visible()


def test_a_full_queue_is_said_where_it_was_met(page: Page, serve: Serve) -> None:
    service = serve("--no-workers", FRESHTAPE_ONBOARDING_MAX_DEPTH="1")
    page.goto(service.url)
    adding(page).fill("PLTR")
    page.keyboard.press("Enter")
    expect(card(page, "PLTR")).to_be_visible()
    adding(page).fill("QCOM")
    page.keyboard.press("Enter")
    refusal = page.get_by_role("dialog").get_by_role("alert")
    expect(refusal).to_contain_text("The queue holds 1 of at most 1 and has no room for 1 more")
    expect(card(page, "QCOM")).to_have_count(0)


def test_a_provider_that_is_down_is_said_while_adding(page: Page, serve: Serve, tmp_path: Path) -> None:
    market = Path(shutil.copytree(BUNDLED_SAMPLE, tmp_path / "sample"))
    page.goto(serve("--no-workers", FRESHTAPE_SAMPLE_DIR=str(market)).url)
    (market / "symbols.csv").unlink()
    field = adding(page)
    field.fill("PLTR")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("status")).to_contain_text("The provider sample sent what cannot be read.")
    field.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("The provider sample sent what cannot be read.")
    assert "PLTR" not in tickers(page)
