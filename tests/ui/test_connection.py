"""What the dashboard does when it does not hear its service: it says so, comes back, and has missed nothing."""

import re
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from tests.support.axe import violations
from tests.support.client import mutation
from tests.support.dashboards import THEMES, Look, Service, Theme, copy_of, free_port, served
from tests.support.wire import Asked, Wire
from tests.ui.conftest import Watch

PATIENCE = 20_000
ENDS = [signal.SIGKILL, signal.SIGTERM]
REFUSED = ["WebSocket connection to", "Failed to load resource"]


def card(page: Page, ticker: str) -> Locator:
    return page.locator(f"[data-ticker='{ticker}']")


def reconnecting(page: Page) -> Locator:
    return page.get_by_role("status", name="Connection")


def version(service: Service, ticker: str) -> int:
    found: int = service.ask("query ($ticker: String!) { symbol(ticker: $ticker) { version } }", ticker=ticker)["symbol"][
        "version"
    ]
    return found


def rename(service: Service, ticker: str, name: str) -> None:
    renamed = {"ticker": ticker, "name": name, "expectedVersion": version(service, ticker)}
    assert service.ask(mutation("addSymbol"), input=renamed)["addSymbol"]["__typename"] == "SymbolAdded"


def refresh(service: Service, ticker: str) -> None:
    assert service.ask(mutation("refreshSymbol"), input={"ticker": ticker})["refreshSymbol"]["__typename"] == "SymbolRefreshed"


def remove(service: Service, ticker: str) -> None:
    removed = {"ticker": ticker, "expectedVersion": version(service, ticker)}
    assert service.ask(mutation("removeSymbol"), input=removed)["removeSymbol"]["__typename"] == "SymbolRemoved"


def add(service: Service, ticker: str) -> None:
    assert service.ask(mutation("addSymbol"), input={"ticker": ticker})["addSymbol"]["__typename"] == "SymbolAdded"


@pytest.mark.parametrize("number", ENDS)
def test_nothing_is_missed_while_the_service_is_away(
    page: Page, serve: Callable[..., Service], watch: Watch, look: Look, number: signal.Signals
) -> None:
    watch.expected += REFUSED
    port = str(free_port())
    first, beside = serve("--no-workers", FRESHTAPE_PORT=port), serve("--no-workers")
    wire = Wire(page)
    page.goto(first.url)
    expect(card(page, "BA")).to_contain_text("Data is 8 days old")
    page.evaluate("window.stayed = true")
    rename(beside, "AAPL", "Apple once")
    expect(card(page, "AAPL")).to_contain_text("Apple once", timeout=PATIENCE)
    (before,) = wire.last.told("symbolChanged")
    expect(reconnecting(page)).to_be_empty()

    first.end(number)
    expect(reconnecting(page)).to_contain_text("Reconnecting…", timeout=PATIENCE)
    expect(page.get_by_text(re.compile(r"Lost \d+ seconds? ago"))).to_be_visible()
    look(f"reconnecting-{number.name}")
    rename(beside, "AAPL", "Apple twice")
    refresh(beside, "BA")
    remove(beside, "DIS")
    add(beside, "TSM")
    rename(beside, "AAPL", "Apple at last")
    expect(card(page, "AAPL")).to_contain_text("Apple once")

    serve("--no-workers", FRESHTAPE_PORT=port)
    expect(reconnecting(page)).to_be_empty(timeout=PATIENCE)
    expect(card(page, "AAPL")).to_contain_text("Apple at last", timeout=PATIENCE)
    expect(card(page, "BA")).to_have_class(re.compile(r"\bfresh\b"))
    expect(card(page, "DIS")).to_have_count(0)
    expect(card(page, "TSM")).to_contain_text("Being onboarded")
    assert page.evaluate("window.stayed")

    (again,) = wire.last.asked("symbolChanged")
    assert again["payload"]["variables"]["after"] == before["cursor"]
    missed = wire.last.told("symbolChanged")
    assert [(it["kind"], it["symbol"]["ticker"]) for it in missed] == [
        ("UPDATED", "AAPL"),
        ("REFRESH_STARTED", "BA"),
        ("REFRESHED", "BA"),
        ("REMOVED", "DIS"),
        ("ADDED", "TSM"),
        ("UPDATED", "AAPL"),
    ]
    assert len({it["cursor"] for it in [before, *missed]}) == 1 + len(missed)
    rename(beside, "SPY", "Followed still")
    expect(card(page, "SPY")).to_contain_text("Followed still", timeout=PATIENCE)


@pytest.mark.parametrize("theme", THEMES)
def test_a_lost_connection_is_said_to_everybody(page: Page, service: Service, watch: Watch, look: Look, theme: Theme) -> None:
    watch.expected += REFUSED
    page.emulate_media(color_scheme=theme)
    page.goto(service.url)
    expect(card(page, "BA")).to_be_visible()
    service.end()
    expect(reconnecting(page)).to_contain_text("Reconnecting…", timeout=PATIENCE)
    page.set_viewport_size({"width": 360, "height": 700})
    look(f"reconnecting-phone-{theme}")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_another_database_is_read_anew(
    page: Page, serve: Callable[..., Service], watch: Watch, market: Path, tmp_path: Path
) -> None:
    watch.expected += REFUSED
    port = str(free_port())
    first = serve("--no-workers", FRESHTAPE_PORT=port)
    wire = Wire(page)
    page.goto(first.url)
    expect(page.locator(".spark svg").first).to_be_visible(timeout=PATIENCE)
    rename(first, "AAPL", "Of another world")
    remove(first, "DIS")
    add(first, "TSM")
    expect(card(page, "TSM")).to_be_visible(timeout=PATIENCE)
    expect(card(page, "AAPL")).to_contain_text("Of another world")
    sparks = Asked(page, "Sparks")
    page.evaluate("window.stayed = true")
    first.end(signal.SIGKILL)
    expect(reconnecting(page)).to_contain_text("Reconnecting…", timeout=PATIENCE)

    other = tmp_path / "other"
    other.mkdir()
    with served(copy_of(market, other), "--no-workers", FRESHTAPE_PORT=port) as second:
        expect(reconnecting(page)).to_be_empty(timeout=PATIENCE)
        expect(card(page, "DIS")).to_be_visible(timeout=PATIENCE)
        expect(card(page, "TSM")).to_have_count(0)
        expect(card(page, "AAPL")).to_contain_text("Apple")
        expect(card(page, "AAPL")).not_to_contain_text("Of another world")
        expect(page.locator(".spark svg").first).to_be_visible(timeout=PATIENCE)
        assert sparks.requests, "the bars of the other world are still on the screen"
        (refusal,) = wire.last.refusals
        assert refusal["extensions"]["code"] == "CURSOR_EXPIRED"
        rename(second, "AAPL", "Followed again")
        expect(card(page, "AAPL")).to_contain_text("Followed again", timeout=PATIENCE)
        assert len(wire.last.open) == 2, "the symbols and the session are each followed once"
        assert page.evaluate("window.stayed")


def test_a_connection_that_dies_without_a_word_is_found_out(page: Page, service: Service) -> None:
    served: list[WebSocketRoute] = []
    is_dead = False

    def carry(route: WebSocketRoute) -> None:
        number = len(served)
        served.append(server := route.connect_to_server())
        route.on_message(lambda message: server.send(message) if number or not is_dead else None)
        server.on_message(lambda message: route.send(message) if number or not is_dead else None)

    page.route_web_socket(re.compile("/graphql"), carry)
    page.clock.install()
    page.goto(service.url)
    expect(card(page, "BA")).to_contain_text("Data is 8 days old")
    rename(service, "AAPL", "Heard")
    expect(card(page, "AAPL")).to_contain_text("Heard", timeout=PATIENCE)
    is_dead = True
    rename(service, "AAPL", "Told to nobody")
    page.clock.fast_forward(16_000)  # a ping is sent
    expect(card(page, "AAPL")).to_contain_text("Heard")
    page.clock.fast_forward(6_000)  # and not answered
    expect(card(page, "AAPL")).to_contain_text("Told to nobody", timeout=PATIENCE)
    expect(reconnecting(page)).to_be_empty()
    assert len(served) == 2


def test_a_first_read_that_fails_says_so_and_is_tried_again(page: Page, service: Service, watch: Watch, look: Look) -> None:
    watch.expected += REFUSED
    symbols = re.compile("query Symbols")
    page.route(
        "**/graphql", lambda route: route.abort() if symbols.search(route.request.post_data or "") else route.continue_()
    )
    page.goto(service.url)
    failure = page.get_by_role("alert")
    expect(failure).to_contain_text("The symbols could not be read")
    expect(failure).to_contain_text("The service does not answer. Try again in a moment.")
    look("first-read-fails")
    assert violations(page) == []
    failure.get_by_role("button", name="Try again").click()
    expect(failure).to_be_visible()
    page.unroute("**/graphql")
    expect(card(page, "BA")).to_be_visible(timeout=PATIENCE)  # nobody has pressed anything
    expect(failure).to_have_count(0)
    rename(service, "BA", "Followed")
    expect(card(page, "BA")).to_contain_text("Followed", timeout=PATIENCE)


def test_an_action_that_does_not_reach_the_service_says_so_where_it_was_taken(
    page: Page, service: Service, watch: Watch
) -> None:
    watch.expected += REFUSED
    page.goto(service.url)
    expect(card(page, "BA")).to_be_visible()
    page.route("**/graphql", lambda route: route.abort())
    page.get_by_role("button", name="Refresh BA").click()
    expect(card(page, "BA").get_by_role("alert")).to_contain_text("The service does not answer. Try again in a moment.")
    expect(card(page, "AAPL").get_by_role("alert")).to_have_count(0)
    expect(reconnecting(page)).to_be_empty()  # what changes is heard still
    rename(service, "AAPL", "Heard")
    expect(card(page, "AAPL")).to_contain_text("Heard", timeout=PATIENCE)


def test_a_symbol_turns_stale_by_the_passing_of_time_alone(page: Page, serve: Callable[..., Service]) -> None:
    before = serve("--no-workers")
    found = before.ask("{ symbols(first: 100) { nodes { ticker isStale lastUpdated } } }")["symbols"]["nodes"]
    before.end()
    updated, ticker = min((datetime.fromisoformat(it["lastUpdated"]), it["ticker"]) for it in found if not it["isStale"])
    soon = updated + timedelta(hours=48) - timedelta(seconds=15)
    service = serve("--no-workers", FRESHTAPE_CLOCK=soon.isoformat())
    wire = Wire(page)
    page.goto(service.url)
    expect(card(page, ticker)).to_have_class(re.compile(r"\bfresh\b"))
    expect(card(page, ticker)).to_have_class(re.compile(r"\bstale\b"), timeout=30_000)
    expect(card(page, ticker).get_by_role("status")).to_contain_text("Data is 48h old - may be outdated")
    assert wire.last.told("symbolChanged") == []


def test_ages_are_told_by_the_clock_of_the_service(page: Page, service: Service) -> None:
    page.clock.install(time=datetime(2020, 1, 1, tzinfo=UTC))
    page.goto(service.url)
    expect(card(page, "BA")).to_contain_text("Last updated: 8 days ago")
