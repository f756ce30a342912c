"""The session's page and its banner, as somebody watches it and steers it."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import BrowserContext, Expect, Locator, Page, Route, WebSocketRoute

from providers.gate import ATTEMPTS
from tests.support.axe import violations
from tests.support.dashboards import THEMES, Keeper, Look, Service, Theme
from tests.support.sessions import START

DAY = "2026-03-25"
BERLIN = ZoneInfo("Europe/Berlin")
"""Where the browser is."""
WORKING = 30_000
"""Milliseconds: where the service has work to do before it is seen."""
SESSION = "{ session { state version clock symbols { ticker phase barsProcessed } } }"
HELD = "catches up when the test lets it"
Serve = Callable[..., Service]

expect = Expect()
expect.set_options(timeout=WORKING)


def start(service: Service, *tickers: str, **given: Any) -> None:
    asked = {"mode": "REPLAY", "tickers": tickers, "date": DAY, "speed": 60, "expectedVersion": version(service), **given}
    assert service.ask(START, input=asked)["startSession"]["__typename"] == "SessionChanged"


def version(service: Service) -> int:
    return int(service.ask(SESSION)["session"]["version"])


def processed(service: Service, ticker: str) -> int:
    return next(int(it["barsProcessed"]) for it in service.ask(SESSION)["session"]["symbols"] if it["ticker"] == ticker)


def until(holds: Callable[[], bool], within: float = 30) -> None:
    ends = time.monotonic() + within
    while not holds():
        assert time.monotonic() < ends, "not within the time that there is"
        time.sleep(0.1)


def banner(page: Page) -> Locator:
    return page.get_by_role("status", name="Session")


def says(page: Page, word: str) -> None:
    expect(banner(page).locator("strong")).to_have_text(word)


def member(page: Page, ticker: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=ticker, exact=True))


def chart(page: Page, ticker: str, interval: str = "1 minute") -> Locator:
    return page.get_by_role("img", name=re.compile(rf"^{ticker} in the session, {interval}:"))


def drawn(page: Page, ticker: str, interval: str = "1 minute") -> int:
    label = chart(page, ticker, interval).get_attribute("aria-label") or ""
    found = re.search(r": (\d+) bars", label)
    return int(found[1]) if found else 0


def moves(page: Page, ticker: str, bars: int = 2) -> None:
    """So many more candles are drawn."""
    before = drawn(page, ticker)
    until(lambda: drawn(page, ticker) >= before + bars)


def add(page: Page, ticker: str) -> None:
    page.get_by_label("Symbol to add").fill(ticker)
    page.get_by_role("button", name="Add", exact=True).click()


@contextmanager
def held_back(folder: Path) -> Iterator[None]:
    """While the block lasts, whoever has to catch up stays where its first bar has brought it."""
    hold = folder / "hold"
    hold.touch()
    try:
        yield
    finally:
        hold.unlink()


def opened(page: Page) -> list[datetime]:
    """When the bars of the chart's table opened, oldest first."""
    rows = page.get_by_role("region", name=re.compile("newest first")).locator("tbody th")
    page.get_by_text("The bars as a table").click()
    expect(rows.first).to_be_visible()
    told = rows.all_inner_texts()
    page.get_by_text("The bars as a table").click()
    expect(rows).to_have_count(0)
    return [datetime.strptime(one, "%d %b %Y, %H:%M").replace(tzinfo=BERLIN) for one in reversed(told)]


def is_whole(bars: list[datetime]) -> bool:
    return bool(bars) and all(later - earlier == timedelta(minutes=1) for earlier, later in pairwise(bars))


# ── starting one


def test_a_replay_is_started_by_the_form_and_its_candles_move(page: Page, service: Service, look: Look) -> None:
    page.goto(f"{service.url}/session")
    says(page, "○ STOPPED")
    expect(banner(page)).to_contain_text("No session has been started yet")
    page.get_by_label("Trading day").fill(DAY)
    page.get_by_label("Speed", exact=True).fill("60")
    for ticker in ("SPY", "AAPL", "NVDA"):
        page.get_by_label("Find symbols").fill(ticker)
        page.get_by_role("checkbox", name=ticker, exact=True).press("Space")
    expect(page.get_by_text("3 symbols chosen")).to_be_visible()
    page.get_by_role("button", name="Start the replay").click()
    says(page, "● ACTIVE")
    expect(banner(page)).to_contain_text("Replay of 25 Mar 2026, 60×")
    for ticker in ("AAPL", "NVDA", "SPY"):
        expect(member(page, ticker)).to_contain_text("live")
    moves(page, "AAPL", 5)
    page.get_by_label("Symbol of the candles").select_option("SPY")
    moves(page, "SPY", 2)
    assert is_whole(opened(page))
    look("session-active")
    asked = service.ask("{ session { mode speed gating } }")["session"]
    assert asked == {"mode": "REPLAY", "speed": 60.0, "gating": "SESSION"}


def test_as_fast_as_it_goes_with_rules_of_its_own(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/session")
    page.get_by_label("Trading day").fill(DAY)
    page.get_by_label("Speed", exact=True).fill("0")
    page.get_by_text("A laggard is withheld alone").click()
    page.get_by_role("checkbox", name="AAPL", exact=True).press("Space")
    page.get_by_text("When a symbol counts as behind").click()
    page.get_by_label("Threshold").fill("90")
    page.get_by_label("Checked every").fill("5")
    page.get_by_label("Quarantine after").fill("3600")
    page.get_by_role("button", name="Start the replay").click()
    says(page, "✓ FINISHED")
    expect(banner(page)).to_contain_text(f"The replay of {DAY} has ended.")
    expect(member(page, "AAPL")).to_contain_text("390")
    rules = service.ask("{ session { speed gating catchupThresholdSeconds catchupCheckInterval quarantineAfterSeconds } }")
    assert rules["session"] == {
        "speed": 0.0,
        "gating": "SYMBOL",
        "catchupThresholdSeconds": 90,
        "catchupCheckInterval": 5,
        "quarantineAfterSeconds": 3600,
    }
    expect(page.get_by_label("Trading day")).to_have_value(DAY)  # to start it again
    expect(page.get_by_role("checkbox", name="AAPL", exact=True)).to_be_checked()


def test_the_present_is_followed(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/session")
    page.get_by_text("Follow the present").click()
    page.get_by_role("checkbox", name="BTC-USD", exact=True).press("Space")
    page.get_by_role("button", name="Start following").click()
    until(lambda: service.ask("{ session { mode state } }")["session"]["mode"] == "LIVE")
    expect(banner(page)).not_to_contain_text("STOPPED")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(member(page, "BTC-USD")).to_be_visible()


@pytest.mark.parametrize(
    ("label", "value", "sentence"),
    [
        ("Trading day", "2026-03-28", "None of the symbols trades on 2026-03-28."),
        ("Trading day", "2026-03-31", "2026-03-31 can be replayed once it is over"),
        ("Trading day", "", "A replay needs the trading day to replay."),
        ("Speed", "-1", "speed must be 0 (as fast as possible) or more."),
        ("Threshold", "0", "catchupThresholdSeconds must be 1 or more."),
        ("Checked every", "101", "catchupCheckInterval must be 1 to 100 bars."),
        ("Quarantine after", "0", "quarantineAfterSeconds must be 1 or more."),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(page: Page, service: Service, label: str, value: str, sentence: str) -> None:
    page.goto(f"{service.url}/session")
    page.get_by_role("checkbox", name="AAPL", exact=True).press("Space")
    page.get_by_text("When a symbol counts as behind").click()
    page.get_by_label("Trading day").fill(DAY)
    field = page.get_by_label(label, exact=True)
    field.fill(value)
    page.get_by_role("button", name="Start the replay").click()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile(re.escape(sentence)))
    expect(field).to_have_value(value)
    expect(page.get_by_role("alert")).to_have_count(1)


def test_without_symbols_it_says_so_beside_them(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/session")
    page.get_by_role("button", name="Start the replay").click()
    expect(page.get_by_role("group", name="Symbols").get_by_role("alert")).to_have_text(
        "A session needs at least one symbol to begin with."
    )


# ── the gate


def test_while_a_symbol_joins_the_session_is_inactive_and_no_candle_is_drawn(
    page: Page, context: BrowserContext, serve: Serve, tmp_path: Path, look: Look
) -> None:
    service = serve(mutants=(HELD,))
    start(service, "AAPL")
    board = context.new_page()
    board.goto(service.url)
    says(board, "● ACTIVE")
    page.goto(f"{service.url}/session?symbol=AAPL")
    says(page, "● ACTIVE")
    until(lambda: drawn(page, "AAPL") >= 4)
    with held_back(tmp_path):
        add(page, "tsla")
        for window in (page, board):
            says(window, "■ INACTIVE")
            expect(banner(window)).to_contain_text(re.compile(r"TSLA is \d+ min( \d+ s)? behind"))
        expect(member(page, "TSLA")).to_contain_text("catching up")
        expect(page.get_by_text("Withheld. TSLA is behind.")).to_be_visible()
        behind = banner(page).locator(".laggard")
        expect(behind.locator("[aria-live=off]")).to_have_count(1)  # it moves all the time, and is not read out each time
        stood, read, told = drawn(page, "AAPL"), processed(service, "AAPL"), behind.inner_text()
        look("session-inactive")
        assert stood >= 4, "what was seen before is not there any more"
        until(lambda: processed(service, "AAPL") >= read + 4)
        expect(behind).not_to_have_text(told)
        assert drawn(page, "AAPL") == stood, "a bar was drawn while the session was inactive"
        assert len(opened(page)) == stood
        assert service.ask("{ session { active } }") == {"session": {"active": False}}
    for window in (page, board):
        says(window, "● ACTIVE")
    expect(page.get_by_text("Withheld.")).to_have_count(0)
    expect(member(page, "TSLA")).to_contain_text("live")
    until(lambda: drawn(page, "AAPL") >= stood + 5)
    bars = opened(page)
    assert is_whole(bars), "what was withheld was not read when the gate opened"
    page.get_by_label("Symbol of the candles").select_option("TSLA")
    moves(page, "TSLA")
    assert opened(page)[0] == bars[0]


def test_with_gating_by_symbol_only_the_laggard_is_withheld(page: Page, serve: Serve, tmp_path: Path) -> None:
    service = serve(mutants=(HELD,))
    start(service, "AAPL", gating="SYMBOL")
    page.goto(f"{service.url}/session")
    until(lambda: drawn(page, "AAPL") >= 4)
    with held_back(tmp_path):
        add(page, "TSLA")
        expect(banner(page)).to_contain_text(re.compile(r"TSLA is \d+ min( \d+ s)? behind and withheld"))
        says(page, "● ACTIVE")
        moves(page, "AAPL", 3)
        page.get_by_label("Symbol of the candles").select_option("TSLA")
        expect(page.get_by_text("Withheld. TSLA is catching up.")).to_be_visible()
        assert drawn(page, "TSLA") == 0
        time.sleep(1)
        assert drawn(page, "TSLA") == 0
    expect(member(page, "TSLA")).to_contain_text("live")
    expect(page.get_by_text("Withheld.")).to_have_count(0)
    moves(page, "TSLA")
    assert is_whole(opened(page))


def test_to_remove_the_laggard_opens_the_gate_at_once(page: Page, serve: Serve, tmp_path: Path) -> None:
    service = serve(mutants=(HELD,))
    start(service, "AAPL")
    page.goto(f"{service.url}/session")
    until(lambda: drawn(page, "AAPL") >= 4)
    with held_back(tmp_path):
        add(page, "TSLA")
        says(page, "■ INACTIVE")
        page.get_by_role("button", name="Remove TSLA").click()
        says(page, "● ACTIVE")
        expect(member(page, "TSLA")).to_have_count(0)
        expect(page.get_by_label("Symbol to add")).to_be_focused()
        moves(page, "AAPL")
    assert is_whole(opened(page))


def test_pause_resume_and_stop(page: Page, service: Service, look: Look) -> None:
    start(service, "AAPL")
    page.goto(f"{service.url}/session")
    until(lambda: drawn(page, "AAPL") >= 2)
    page.get_by_role("button", name="Pause").click()
    says(page, "❚❚ PAUSED")
    expect(page.get_by_text("Withheld. The session is paused.")).to_be_visible()
    look("session-paused")
    stood = drawn(page, "AAPL")
    time.sleep(2.5)
    assert drawn(page, "AAPL") == stood
    page.get_by_role("button", name="Resume").click()
    says(page, "● ACTIVE")
    moves(page, "AAPL")
    assert is_whole(opened(page))
    page.get_by_role("button", name="Stop").click()
    says(page, "○ STOPPED")
    expect(page.get_by_label("Trading day")).to_have_value(DAY)
    page.get_by_role("link", name="Symbols").click()
    expect(banner(page)).to_be_empty()


def test_another_session_begins_with_no_candle_of_the_last(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/session")
    says(page, "○ STOPPED")
    start(service, "AAPL", speed=2400)
    says(page, "✓ FINISHED")
    expect(page.get_by_text(f"Withheld. The replay of {DAY} has ended.")).to_be_visible()
    assert drawn(page, "AAPL") > 300, "what was seen is not there any more"
    page.get_by_label("Speed", exact=True).fill("20")
    page.get_by_role("button", name="Start the replay").click()
    says(page, "● ACTIVE")
    until(lambda: drawn(page, "AAPL") in range(1, 300))
    assert drawn(page, "AAPL") <= processed(service, "AAPL")


def test_which_candles_are_seen_is_kept_in_the_address(page: Page, service: Service) -> None:
    start(service, "AAPL", "NVDA")
    page.goto(f"{service.url}/session")
    page.get_by_label("Symbol of the candles").select_option("NVDA")
    page.get_by_text("5m", exact=True).click()
    expect(page).to_have_url(re.compile(r"\?symbol=NVDA&interval=5m$"))
    page.reload()
    until(lambda: drawn(page, "NVDA", "5 minutes") >= 2)
    expect(page.get_by_label("Symbol of the candles")).to_have_value("NVDA")


# ── what is refused


class Kept:
    """The page's requests of one operation, which wait until they are let go."""

    def __init__(self, page: Page, operation: str) -> None:
        self._operation = operation
        self._routes: list[Route] = []
        page.route("**/graphql", self._take)

    def _take(self, route: Route) -> None:
        if self._operation in (route.request.post_data or ""):
            self._routes.append(route)
        else:
            route.continue_()

    def let_go(self, page: Page) -> None:
        while not self._routes:
            page.wait_for_timeout(50)
        for route in self._routes:
            route.continue_()
        self._operation = "nothing more"


def test_two_windows_change_it_at_once(page: Page, context: BrowserContext, service: Service, look: Look) -> None:
    start(service, "AAPL")
    other = context.new_page()
    for window in (page, other):
        window.goto(f"{service.url}/session")
        says(window, "● ACTIVE")
    kept = Kept(page, "stopSession")
    page.get_by_role("button", name="Stop").click()
    add(other, "NVDA")
    expect(member(other, "NVDA")).to_contain_text("live")
    kept.let_go(page)
    expect(page.get_by_role("alert")).to_contain_text(
        "Somebody else changed the session meanwhile: you saw version 1, it is at 2 now, and active. Nothing was done for you."
    )
    expect(member(page, "NVDA")).to_be_visible()  # it shows what it has become
    assert service.ask(SESSION)["session"]["state"] == "ACTIVE"
    look("session-conflict")
    page.get_by_role("button", name="Stop it as it is now").click()
    for window in (page, other):
        says(window, "○ STOPPED")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_second_start_is_refused(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/session")
    page.get_by_label("Trading day").fill(DAY)
    page.get_by_role("checkbox", name="NVDA", exact=True).press("Space")
    kept = Kept(page, "startSession")
    page.get_by_role("button", name="Start the replay").click()
    start(service, "AAPL")
    kept.let_go(page)
    expect(page.get_by_role("alert")).to_contain_text("you saw version 0, it is at 1 now")
    page.get_by_role("button", name="Start it as it is now").click()
    expect(page.get_by_role("alert")).to_contain_text("A session is running already: stop it first.")
    expect(member(page, "AAPL")).to_be_visible()
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_symbol_that_nobody_knows_is_refused(page: Page, service: Service) -> None:
    start(service, "AAPL")
    page.goto(f"{service.url}/session")
    says(page, "● ACTIVE")
    add(page, "NOSUCH")
    expect(page.get_by_role("alert")).to_contain_text("NOSUCH")
    expect(page.get_by_label("Symbol to add")).to_have_value("NOSUCH")  # to be mended


def test_one_that_failed_says_why_and_is_tried_again(page: Page, serve: Serve, look: Look) -> None:
    with Keeper("TSLA") as keeper:
        service = serve(**keeper.environment)
        start(service, "AAPL")
        page.goto(f"{service.url}/session")
        says(page, "● ACTIVE")
        add(page, "TSLA")
        expect(member(page, "TSLA")).to_contain_text("loading")
        for _ in range(ATTEMPTS):
            keeper.refuse(keeper.kept())
        expect(member(page, "TSLA")).to_contain_text("failed")
        expect(member(page, "TSLA")).to_contain_text("The provider sample refused the test.")
        says(page, "● ACTIVE")
        look("session-failed")
        page.get_by_role("button", name="Try TSLA again").click()
        keeper.answer(keeper.kept())
        expect(member(page, "TSLA")).to_contain_text("live")
        expect(member(page, "TSLA")).not_to_contain_text("refused")


# ── when somebody is not heard


def test_a_leader_that_dies_is_missed_and_replaced(page: Page, serve: Serve, look: Look) -> None:
    leader = serve()
    start(leader, "AAPL", speed=20)
    until(lambda: processed(leader, "AAPL") >= 1)
    other = serve()
    page.goto(f"{other.url}/session")
    says(page, "● ACTIVE")
    until(lambda: drawn(page, "AAPL") >= 2)
    leader.end(signal.SIGKILL)
    expect(banner(page)).to_contain_text("The session leader has not been heard since")
    says(page, "■ INACTIVE")
    expect(page.get_by_text("Withheld. The session leader has not been heard")).to_be_visible()
    look("session-leader-lost")
    says(page, "● ACTIVE")
    moves(page, "AAPL")
    assert is_whole(opened(page))


def test_after_a_lost_connection_no_candle_is_missing(page: Page, service: Service) -> None:
    sockets: list[WebSocketRoute] = []
    is_cut = False

    def connect(socket: WebSocketRoute) -> None:
        if is_cut:
            socket.close()
        else:
            socket.connect_to_server()
            sockets.append(socket)

    page.route_web_socket(re.compile("/graphql$"), connect)
    start(service, "AAPL")
    page.goto(f"{service.url}/session")
    until(lambda: drawn(page, "AAPL") >= 3)
    is_cut = True
    sockets[-1].close()
    expect(page.get_by_role("status", name="Connection")).to_contain_text("Reconnecting")
    read = processed(service, "AAPL")
    until(lambda: processed(service, "AAPL") >= read + 4)
    page.wait_for_timeout(100)
    is_cut = False
    expect(page.get_by_role("status", name="Connection")).to_be_empty()
    moves(page, "AAPL", 3)
    assert is_whole(opened(page))


# ── everywhere


@pytest.mark.parametrize("theme", THEMES)
def test_anybody_can_use_it(page: Page, serve: Serve, tmp_path: Path, look: Look, theme: Theme) -> None:
    service = serve(mutants=(HELD,))
    page.emulate_media(color_scheme=theme)
    page.goto(f"{service.url}/session")
    expect(page.get_by_role("checkbox", name="AAPL", exact=True)).to_be_visible()
    page.get_by_role("button", name="Start the replay").click()
    expect(page.get_by_role("alert")).to_be_visible()
    look(f"session-stopped-{theme}")
    assert violations(page) == []
    start(service, "AAPL", "SPY")
    until(lambda: drawn(page, "AAPL") >= 4)
    look(f"session-active-{theme}")
    assert violations(page) == []
    with held_back(tmp_path):
        add(page, "TSLA")
        says(page, "■ INACTIVE")
        expect(page.get_by_text("Withheld.")).to_be_visible()
        look(f"session-inactive-{theme}")
        assert violations(page) == []
        page.get_by_role("link", name="Symbols", exact=True).click()
        says(page, "■ INACTIVE")
        expect(page.locator(".spark svg").first).to_be_visible()
        assert violations(page) == []


def test_it_fits_a_phone(page: Page, serve: Serve, tmp_path: Path, look: Look) -> None:
    service = serve(mutants=(HELD,))
    page.set_viewport_size({"width": 360, "height": 740})

    def fits(name: str) -> None:
        look(f"session-phone-{name}")
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), name

    page.goto(f"{service.url}/session")
    expect(page.get_by_role("checkbox", name="AAPL", exact=True)).to_be_visible()
    fits("stopped")
    start(service, "AAPL", "NVDA", "SPY")
    until(lambda: drawn(page, "AAPL") >= 4)
    fits("active")
    with held_back(tmp_path):
        add(page, "TSLA")
        says(page, "■ INACTIVE")
        fits("inactive")
