"""A portfolio's file comes in, and its symbols after it, as somebody watches."""

import json
import re
from collections.abc import Callable
from typing import Any, Literal

import pytest
from playwright.sync_api import FilePayload, Locator, Page, Route, expect

from tests.support.axe import violations
from tests.support.dashboards import THEMES, Keeper, Look, Service, Theme
from tests.ui.conftest import Watch

PATIENCE = 20_000
"""Where the service has work to do, on a machine that is busy."""
DESK = 'Symbol,Quantity,Entry price,Date acquired\nAAPL,10,190.50,2024-05-02\nPLTR,25,"$81.20",2025-03-28\nTSM,-4,210,\n'
"""The README's; two of its symbols are new."""
WRONG = """symbol,quantity,entry price,entry date
AAPL,10.5,190.50,2024-05-02

MSFT,ten,,2024-13-45
<b>bold</b>,5,100,
TSM,-4,0.000125,
"""
BEYOND = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
DRY = """mutation($csv: String!) { importPortfolio(input: {name: "any", csv: $csv, dryRun: true}) {
  ... on PortfolioChecked { rows { line ticker } errors { line column value message hint } } } }"""


def onboarding(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/onboarding")
    expect(page.get_by_role("heading", level=1)).to_have_text("Onboarding")


def payload(text: str | bytes, name: str = "desk.csv") -> FilePayload:
    return {"name": name, "mimeType": "text/csv", "buffer": text if isinstance(text, bytes) else text.encode()}


def choose(page: Page, *files: FilePayload) -> None:
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="Choose a file").click()
    chosen.value.set_files(files)


def drag(page: Page, kind: Literal["dragover", "drop"], text: str, name: str) -> None:
    files = page.evaluate_handle(
        "([name, text]) => { const it = new DataTransfer(); it.items.add(new File([text], name)); return it }", [name, text]
    )
    page.get_by_role("heading", level=1).dispatch_event(kind, {"dataTransfer": files})


def paste(page: Page, text: str, name: str = "desk") -> None:
    page.get_by_label("Or paste its text").fill(text)
    page.get_by_label("Name of the portfolio").fill(name)
    page.get_by_role("button", name="Check").click()


def line(page: Page, number: int) -> Locator:
    lines = page.get_by_role("region", name=re.compile("^Lines"))
    return lines.get_by_role("row").filter(has=page.get_by_role("rowheader", name=str(number), exact=True))


def said(page: Page) -> Locator:
    return page.get_by_role("region", name="What is in it").get_by_role("status").first


def job(page: Page, where: str, ticker: str) -> Locator:
    return page.get_by_role("list", name=where).locator(f"[data-ticker='{ticker}']")


def names(service: Service) -> list[str]:
    return [it["name"] for it in service.ask("{ portfolios { name } }")["portfolios"]]


def test_every_mistake_is_beside_its_line_and_nothing_is_written(page: Page, service: Service) -> None:
    onboarding(page, service)
    choose(page, payload(WRONG, "my positions.csv"))
    expect(page.get_by_label("Name of the portfolio")).to_have_value("my positions")
    expect(said(page)).to_contain_text("2 good rows, 4 mistakes in 2 lines. Nothing is written yet.")

    lines = WRONG.split("\n")
    told = service.ask(DRY, csv=WRONG)["importPortfolio"]
    assert [it["line"] for it in told["errors"]] == [4, 4, 4, 5]
    for mistake in told["errors"]:
        row = line(page, mistake["line"])
        expect(row).to_contain_text(lines[mistake["line"] - 1])
        beside = row.get_by_role("listitem").filter(has_text=mistake["message"])
        expect(beside).to_have_count(1)
        for part in ("column", "value", "hint"):
            expect(beside).to_contain_text(mistake[part] or "")
    expect(line(page, 2).get_by_role("cell")).to_have_text(["AAPL", "10.5", "190.5", "2 May 2024", ""])
    expect(line(page, 6).get_by_role("cell")).to_have_text(["TSM new", "-4", "0.000125", "", ""])
    expect(page.locator(".wrong b")).to_have_count(0)  # a cell's markup is text

    page.get_by_text("Mistakes only").click()
    expect(line(page, 2)).to_have_count(0)
    expect(line(page, 5)).to_be_visible()
    assert names(service) == []


def test_a_corrected_file_is_imported_and_its_symbols_come_in_live(page: Page, service: Service) -> None:
    onboarding(page, service)
    choose(page, payload(DESK.replace("PLTR,25", "PLTR,x")))
    expect(said(page)).to_contain_text("1 mistake in 1 line")
    text = page.get_by_label("Or paste its text")
    text.fill(DESK)
    expect(page.get_by_text("The text was changed since.")).to_be_visible()
    page.get_by_role("button", name="Import the good rows only").press("Enter")  # it is not what was checked
    expect(page.get_by_role("status", name="Messages")).to_contain_text("check it again first")
    assert names(service) == []

    page.get_by_role("button", name="Check").click()
    expect(said(page)).to_contain_text("3 good rows, no mistake.")
    expect(page.get_by_text("Tracked already: 1")).to_be_visible()
    expect(page.get_by_text("To be onboarded: 2")).to_be_visible()
    page.get_by_role("button", name="Import 3 rows").click()

    panel = page.get_by_role("region", name="desk is imported")
    expect(panel.get_by_role("status")).to_have_text("Ready: every open lot has a price.", timeout=PATIENCE)
    for ticker in ("PLTR", "TSM"):
        expect(job(page, "Symbols on their way", ticker)).to_contain_text("completed")
        expect(job(page, "Ended", ticker)).to_contain_text("completed")
    (portfolio,) = service.ask("{ portfolios { status snapshot { totalValue } } }")["portfolios"]
    assert portfolio == {"status": "READY", "snapshot": {"totalValue": "4757.54"}}
    panel.get_by_role("link", name="Look at desk").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("desk")
    expect(page.get_by_text("$4,757.54")).to_be_visible()


def test_each_symbol_is_pending_and_then_ready_without_a_reload(page: Page, serve: Callable[..., Service], look: Look) -> None:
    with Keeper("PLTR") as keeper:
        service = serve(**keeper.environment)
        onboarding(page, service)
        paste(page, DESK)
        page.get_by_role("button", name="Import 3 rows").click()
        inquiry = keeper.kept()
        panel = page.get_by_role("region", name="desk is imported")
        mine = job(page, "Symbols on their way", "PLTR")
        expect(job(page, "Symbols on their way", "TSM")).to_contain_text("completed", timeout=PATIENCE)
        expect(mine).to_contain_text("fetching prices")
        expect(mine).to_contain_text(re.compile(r"about \d+ s left"))
        meter = mine.get_by_role("progressbar", name="Progress of PLTR")
        expect(meter).to_have_attribute("aria-valuenow", "15")
        expect(panel.get_by_role("status")).to_contain_text("Pending: 1 symbol (PLTR)")
        expect(page.get_by_text("1 of 50 places taken")).to_be_visible()
        look("onboarding-in-progress")

        keeper.answer(inquiry)
        expect(mine).to_contain_text("completed", timeout=PATIENCE)
        expect(panel.get_by_role("status")).to_have_text("Ready: every open lot has a price.")
        expect(page.get_by_text("0 of 50 places taken")).to_be_visible()


def test_the_good_rows_alone(page: Page, service: Service) -> None:
    onboarding(page, service)
    paste(page, WRONG, "good ones")
    expect(page.get_by_role("button", name=re.compile("^Import [0-9]"))).to_have_count(0)
    page.get_by_role("button", name="Import the good rows only").click()
    panel = page.get_by_role("region", name="good ones is imported")
    expect(panel.get_by_role("heading", name="Left out: 4 mistakes")).to_be_visible()
    expect(line(page, 5)).to_contain_text("<b>bold</b>")
    (portfolio,) = service.ask("{ portfolios { name positions { ticker quantity entryPrice } } }")["portfolios"]
    assert portfolio["positions"] == [
        {"ticker": "AAPL", "quantity": "10.5", "entryPrice": "190.5"},
        {"ticker": "TSM", "quantity": "-4", "entryPrice": "0.000125"},
    ]


def test_replacing_is_explained_and_offered(page: Page, service: Service) -> None:
    onboarding(page, service)
    paste(page, "symbol,quantity,price\nAAPL,1,100\n")
    page.get_by_role("button", name="Import 1 row").click()
    expect(page.get_by_role("region", name="desk is imported")).to_be_visible()
    page.get_by_role("button", name="Import another").click()

    paste(page, "symbol,quantity,price\nAAPL,2,100\nMSFT,x,1\n")
    page.get_by_role("button", name="Import the good rows only").click()
    conflict = page.get_by_role("alert")
    expect(conflict).to_contain_text("There is a portfolio desk already")
    expect(conflict).to_contain_text("replaced by a whole file only")
    expect(conflict.get_by_role("button")).to_have_count(0)

    paste(page, "symbol,quantity,price\nAAPL,2,100\n")
    page.get_by_role("button", name="Import 1 row").click()
    expect(conflict).to_contain_text("It has other lots, and is at version 1.")
    csv = "symbol,quantity,price\\nAAPL,9,100"
    faster = f'importPortfolio(input: {{name: "desk", csv: "{csv}", expectedVersion: 1}}) {{ __typename }}'
    assert service.ask(f"mutation {{ {faster} }}")["importPortfolio"] == {"__typename": "PortfolioImported"}
    page.get_by_role("button", name="Replace it").click()
    expect(conflict).to_contain_text("is at version 2.")
    assert lots(service) == ["9"]
    page.get_by_role("button", name="Replace it").click()
    expect(page.get_by_role("region", name="desk is imported")).to_be_visible()
    assert lots(service) == ["2"]


def lots(service: Service) -> list[str]:
    (portfolio,) = service.ask("{ portfolios { positions { quantity } } }")["portfolios"]
    return [it["quantity"] for it in portfolio["positions"]]


def test_a_symbol_that_the_provider_does_not_know_fails_and_is_retried(page: Page, service: Service) -> None:
    onboarding(page, service)
    paste(page, "symbol,quantity,price\nZZZZ,1,100\nAAPL,1,100\n")
    page.get_by_role("button", name="Import 2 rows").click()
    panel = page.get_by_role("region", name="desk is imported")
    mine = job(page, "Symbols on their way", "ZZZZ")
    expect(mine).to_contain_text("failed", timeout=PATIENCE)
    (failed,) = service.ask("{ onboarding { jobs(status: FAILED) { id ticker error } } }")["onboarding"]["jobs"]
    expect(mine).to_contain_text(failed["error"])
    expect(panel.get_by_role("status")).to_contain_text("some of its open lots have no price")

    mine.get_by_role("button", name="Retry ZZZZ").click()
    expect(page.get_by_role("status", name="Messages")).to_contain_text("ZZZZ is queued again.")
    ended = job(page, "Ended", "ZZZZ")
    expect(ended).to_have_count(2, timeout=PATIENCE)  # it has failed again
    expect(ended.first.get_by_role("button", name="Retry ZZZZ")).to_be_visible()
    expect(ended.last.get_by_role("button")).to_have_count(0)  # what counts is the newer one
    assert len(service.ask("{ onboarding { jobs(status: FAILED) { id } } }")["onboarding"]["jobs"]) == 2


def test_one_under_way_is_cancelled_and_may_be_retried(page: Page, serve: Callable[..., Service]) -> None:
    with Keeper("PLTR") as keeper:
        service = serve(**keeper.environment)
        onboarding(page, service)
        assert service.ask('mutation { onboardSymbols(input: {tickers: ["PLTR"]}) { __typename } }')
        inquiry = keeper.kept()
        running = job(page, "Under way", "PLTR")
        expect(running).to_contain_text("processing")
        running.get_by_role("button", name="Cancel PLTR").click()
        expect(page.get_by_text("Nothing is being onboarded.")).to_be_visible()
        ended = job(page, "Ended", "PLTR")
        expect(ended).to_contain_text("cancelled")
        keeper.answer(inquiry)

        ended.get_by_role("button", name="Retry PLTR").click()
        keeper.answer(keeper.kept())
        expect(ended.first).to_contain_text("completed", timeout=PATIENCE)
        assert service.ask('{ symbol(ticker: "PLTR") { status } }') == {"symbol": {"status": "ACTIVE"}}


def test_a_full_queue_says_when_to_try_again_and_an_import_waits_for_places(page: Page, serve: Callable[..., Service]) -> None:
    with Keeper("PLTR") as keeper:
        service = serve(FRESHTAPE_ONBOARDING_MAX_DEPTH="1", **keeper.environment)
        onboarding(page, service)
        assert service.ask('mutation { onboardSymbols(input: {tickers: ["ZZZZ"]}) { __typename } }')
        failed = job(page, "Ended", "ZZZZ")
        expect(failed).to_contain_text("failed", timeout=PATIENCE)
        paste(page, DESK)
        page.get_by_role("button", name="Import 3 rows").click()
        inquiry = keeper.kept()
        expect(job(page, "Symbols on their way", "TSM")).to_contain_text("waits for a place in the queue")

        failed.get_by_role("button", name="Retry ZZZZ").click()
        expect(failed.get_by_role("alert")).to_contain_text(
            re.compile(r"The queue holds 1 of at most 1 .* try again in \d+ s\.")
        )
        keeper.answer(inquiry)
        for ticker in ("PLTR", "TSM"):
            expect(job(page, "Symbols on their way", ticker)).to_contain_text("completed", timeout=PATIENCE)


def test_places_in_the_queue_move_up(page: Page, serve: Callable[..., Service]) -> None:
    service = serve("--no-workers")
    onboarding(page, service)
    service.ask('mutation { onboardSymbols(input: {tickers: ["PLTR", "QCOM", "TSM"]}) { __typename } }')
    last = job(page, "Under way", "TSM")
    expect(last).to_contain_text("place 3 in the queue")
    job(page, "Under way", "PLTR").get_by_role("button", name="Cancel PLTR").click()
    expect(last).to_contain_text("place 2 in the queue")  # of which no event tells
    expect(page.get_by_text("2 of 50 places taken, 3 worked at a time")).to_be_visible()


def test_a_file_may_be_dropped_anywhere_on_the_page(page: Page, service: Service, look: Look) -> None:
    onboarding(page, service)
    drag(page, "dragover", DESK, "Desk 2.CSV")
    expect(page.get_by_text("Let go to check it")).to_be_visible()
    look("onboarding-dragging")
    drag(page, "drop", DESK, "Desk 2.CSV")
    expect(page.get_by_text("Drop a CSV file anywhere on this page")).to_be_visible()
    expect(page.get_by_label("Name of the portfolio")).to_have_value("Desk 2")
    expect(page.get_by_label("Or paste its text")).to_have_value(DESK)
    expect(said(page)).to_contain_text("3 good rows, no mistake.")
    expect(page.get_by_role("heading", name="What is in it")).to_be_in_viewport()


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ([payload(b"", "none.csv")], "none.csv is empty."),
        ([payload(b"\x89PNG\r\n\x1a\n\0\0", "chart.png")], "chart.png is no text in UTF-8."),
        ([payload(b"symbol\0,quantity", "odd.csv")], "odd.csv is no text in UTF-8."),
        ([payload(b"x" * (1024 * 1024 + 1), "huge.csv")], "huge.csv is larger than 1 MiB."),
    ],
)
def test_what_is_no_file_to_import_is_said(page: Page, service: Service, files: list[FilePayload], why: str) -> None:
    onboarding(page, service)
    text = page.get_by_label("Or paste its text")
    text.fill("kept as it is")
    choose(page, *files)
    expect(page.get_by_role("alert")).to_contain_text(why)
    expect(text).to_have_value("kept as it is")


PASTE = """(into, text) => {
  const held = new DataTransfer()
  held.setData('text/plain', text)
  into.dispatchEvent(new ClipboardEvent('paste', { clipboardData: held, bubbles: true, cancelable: true }))
}"""


def test_a_long_text_is_pasted_at_once_and_one_that_is_too_long_is_refused(page: Page, service: Service) -> None:
    onboarding(page, service)
    text = page.get_by_label("Or paste its text")
    long = "symbol,quantity,price\n" + "AAPL,1,100.25\n" * 5_000
    text.evaluate(PASTE, long)
    expect(text).to_have_js_property("value", long)
    text.evaluate(PASTE, "x" * (1024 * 1024 + 1))
    expect(page.get_by_role("alert")).to_contain_text("This text is larger than 1 MiB.")
    expect(text).to_have_js_property("value", long)


def test_mistakes_of_the_whole_file_are_said_too(page: Page, service: Service) -> None:
    onboarding(page, service)
    paste(page, "ticker,price\nAAPL,1\n")
    expect(said(page)).to_contain_text("0 good rows, 1 mistake in 1 line")
    expect(line(page, 1)).to_contain_text("No heading names the quantity.")
    expect(page.get_by_role("button", name=re.compile("^Import"))).to_have_count(0)


def test_a_thousand_rows_stay_usable(page: Page, service: Service) -> None:
    rows = [f"AAPL,{number},1{number}.25,2024-05-02" for number in range(1, 1001)]
    rows[899] = "AAPL,nine hundred,1,"
    onboarding(page, service)
    choose(page, payload("\n".join(["symbol,quantity,price,entry date", *rows])))
    expect(said(page)).to_contain_text("999 good rows, 1 mistake in 1 line", timeout=PATIENCE)
    expect(line(page, 901)).to_contain_text("nine hundred")  # the mistake is what is seen first
    page.get_by_text("All lines").click()
    lines = page.get_by_role("region", name="Lines of the file")
    expect(lines.get_by_role("row")).to_have_count(201)
    page.get_by_role("button", name="Show 200 more of 1,000").click()
    expect(lines.get_by_role("row")).to_have_count(401)
    page.get_by_role("button", name="Import the good rows only").click()
    expect(page.get_by_role("region", name="desk is imported")).to_be_visible(timeout=PATIENCE)
    assert len(lots(service)) == 999


def test_a_failed_answer_loses_nothing(page: Page, service: Service, watch: Watch) -> None:
    watch.expected.append("Failed to load resource")
    onboarding(page, service)
    paste(page, DESK)
    expect(said(page)).to_contain_text("3 good rows")

    def fail(route: Route) -> None:
        asked: dict[str, Any] = json.loads(route.request.post_data or "{}")
        if asked.get("operationName") == "ImportPortfolio":
            route.abort()
        else:
            route.fallback()

    page.route("**/graphql", fail)
    page.get_by_role("button", name="Import 3 rows").click()
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer.")
    page.unroute("**/graphql", fail)
    expect(page.get_by_label("Or paste its text")).to_have_value(DESK)

    # Nor does looking at something else.
    page.get_by_role("link", name="Portfolios").click()
    page.get_by_role("link", name="Onboarding", exact=True).click()
    expect(page.get_by_label("Name of the portfolio")).to_have_value("desk")
    page.get_by_role("button", name="Import 3 rows").click()
    expect(page.get_by_role("region", name="desk is imported")).to_be_visible()


def test_by_the_keyboard_alone(page: Page, service: Service) -> None:
    onboarding(page, service)
    with page.expect_file_chooser():  # before the way there: a key is quicker than what it takes to expect one
        reach(page, "Choose a file")
        page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.insert_text(DESK)
    page.keyboard.press("Tab")
    page.keyboard.insert_text("by hand")
    page.keyboard.press("Enter")
    expect(said(page)).to_contain_text("3 good rows")
    reach(page, "Import 3 rows")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="by hand is imported")).to_be_visible()
    reach(page, "Look at by hand")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("by hand")


def reach(page: Page, name: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == name:
            return
    pytest.fail(f"{name} is not reached by the keyboard")


def test_on_a_phone_nothing_scrolls_sideways_but_the_table(page: Page, service: Service, look: Look) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    onboarding(page, service)
    paste(page, WRONG)
    expect(line(page, 5)).to_be_visible()
    look("onboarding-phone")
    assert page.evaluate(BEYOND) <= 0
    page.get_by_role("button", name="Import the good rows only").click()
    expect(page.get_by_text(re.compile("^Ready"))).to_be_visible(timeout=PATIENCE)
    look("onboarding-phone-done")
    assert page.evaluate(BEYOND) <= 0


@pytest.mark.parametrize("theme", THEMES)
def test_anybody_can_use_it_in_every_state(page: Page, serve: Callable[..., Service], look: Look, theme: Theme) -> None:
    page.emulate_media(color_scheme=theme)
    with Keeper("PLTR") as keeper:
        service = serve(**keeper.environment)
        onboarding(page, service)
        expect(page.get_by_role("list", name="Ended").get_by_role("listitem").first).to_be_visible()
        look(f"onboarding-empty-{theme}")
        assert violations(page) == []

        paste(page, WRONG.replace("TSM", "PLTR").replace("MSFT", "ZZZZ,1,1,\nMSFT"))
        expect(line(page, 6)).to_be_visible()
        look(f"onboarding-mistakes-{theme}")
        assert violations(page) == []

        page.get_by_role("button", name="Import the good rows only").click()
        inquiry = keeper.kept()
        expect(job(page, "Symbols on their way", "PLTR")).to_contain_text("fetching prices", timeout=PATIENCE)
        expect(job(page, "Symbols on their way", "ZZZZ")).to_contain_text("failed", timeout=PATIENCE)
        look(f"onboarding-in-progress-{theme}")
        assert violations(page) == []

        keeper.answer(inquiry)
        expect(job(page, "Symbols on their way", "PLTR")).to_contain_text("completed", timeout=PATIENCE)
        look(f"onboarding-done-{theme}")
        assert violations(page) == []
