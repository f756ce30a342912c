"""Portfolios, and what their lots come to, as somebody looks at them."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect

from tests.support.axe import violations
from tests.support.dashboards import THEMES, Keeper, Look, Service, Theme
from tests.ui.conftest import Watch

PATIENCE = 20_000
"""Where the service has work to do, on a machine that is busy."""
DESK = """symbol,quantity,entry price,entry date,exit date
AAPL,10.5,190.50,2024-05-02,
BA,-2,"1,234.56",,
AAPL,3,100,2023-01-05,2024-01-05
NFLX,7,1171,2025-10-01,
"""
"""With a short that is stale, a lot that is closed, and one in the shares of before a split."""
SPREAD = "symbol,quantity,price\nAAPL,10,190.50\nPLTR,25,81.20\n"
BEYOND = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
WHOLE = """query($id: ID!) { portfolio(id: $id) {
  snapshot { totalValue totalCost totalPnl pnlPercent positionCount isStale isComplete }
  positions { ticker quantity lastPrice marketValue costBasis pnl note exitDate }
  factorExposures { factor beta } } }"""


def bring(service: Service, csv: str, name: str = "desk", **how: Any) -> str:
    """The portfolio's id."""
    answer = service.ask(
        "mutation($input: ImportPortfolioInput!) { importPortfolio(input: $input) { ... on PortfolioImported "
        "{ portfolio { id } } } }",
        input={"name": name, "csv": csv, **how},
    )
    return str(answer["importPortfolio"]["portfolio"]["id"])


def dollars(amount: str) -> str:
    """As the page writes them."""
    return f"{'-' if float(amount) < 0 else ''}${abs(float(amount)):,.2f}"


def gain(amount: str) -> str:
    return ("+" if float(amount) > 0 else "") + dollars(amount)


def fact(page: Page, name: str) -> Locator:
    """What is told under that name."""
    return page.locator("dl > div").filter(has=page.get_by_text(name, exact=True)).get_by_role("definition")


def row(page: Page, table: str, ticker: str) -> Locator:
    named = page.get_by_role("rowheader", name=ticker, exact=True)
    return page.get_by_role("region", name=table).get_by_role("row").filter(has=named)


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=name, exact=True))


def test_without_any_the_way_leads_to_the_onboarding(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/portfolios")
    expect(page.get_by_role("heading", name="No portfolios yet")).to_be_visible()
    page.get_by_role("link", name="To the onboarding").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Onboarding")


def test_the_list_says_what_each_comes_to_and_what_to_make_of_it(page: Page, serve: Callable[..., Service]) -> None:
    service = serve("--no-workers")
    bring(service, "symbol,quantity,price\nAAPL,10,500\n", "fresh")
    bring(service, DESK, "old")
    bring(service, SPREAD, "half")
    bring(service, "symbol,quantity,price\nQCOM,1,1\n", "waiting")
    page.goto(f"{service.url}/portfolios")
    told = {
        it["name"]: it["snapshot"]
        for it in service.ask("{ portfolios { name snapshot { totalValue totalPnl pnlPercent } } }")["portfolios"]
    }
    for name in ("fresh", "old", "half"):
        expect(card(page, name)).to_contain_text(dollars(told[name]["totalValue"]))
        expect(card(page, name)).to_contain_text(gain(told[name]["totalPnl"]))
        expect(card(page, name)).to_contain_text("prices of 2")
    assert float(told["fresh"]["totalPnl"]) < 0
    expect(card(page, "fresh").locator(".fall")).to_contain_text(f"({float(told['fresh']['pnlPercent']):.2f}%)")
    expect(card(page, "fresh")).to_contain_text("ready")
    expect(card(page, "fresh").get_by_text("⚠")).to_have_count(0)
    expect(card(page, "old")).to_contain_text("Prices are old")
    expect(card(page, "half")).to_contain_text("pending")
    expect(card(page, "half")).to_contain_text("On their way: PLTR")
    expect(card(page, "half")).to_contain_text("Not complete: symbols are still on their way.")
    expect(card(page, "waiting")).to_contain_text("No value yet")


def test_a_page_shows_the_services_own_figures(page: Page, service: Service) -> None:
    desk = bring(service, DESK)
    page.goto(f"{service.url}/portfolios/{desk}")
    told = service.ask(WHOLE, id=desk)["portfolio"]
    total = told["snapshot"]
    expect(fact(page, "Value")).to_have_text(dollars(total["totalValue"]))
    expect(fact(page, "Cost")).to_have_text(dollars(total["totalCost"]))
    expect(fact(page, "Gain or loss")).to_contain_text(gain(total["totalPnl"]))
    expect(fact(page, "Gain or loss")).to_contain_text(f"{abs(float(total['pnlPercent'])):,.2f}".rstrip("0") + "%")
    expect(fact(page, "Counted")).to_have_text("3 open lots")
    assert (total["isStale"], total["isComplete"]) == (True, True)
    expect(page.get_by_text("Prices are old: those of BA.")).to_be_visible()

    for lot in told["positions"]:
        if lot["exitDate"]:
            continue
        cells = row(page, "Open lots", lot["ticker"]).get_by_role("cell")
        expect(cells.nth(0)).to_have_text(lot["quantity"])
        expect(cells.nth(3)).to_have_text(dollars(lot["lastPrice"]))
        expect(cells.nth(5)).to_have_text(dollars(lot["marketValue"]))
        expect(cells.nth(6)).to_have_text(dollars(lot["costBasis"]))
        expect(cells.nth(7)).to_have_text(gain(lot["pnl"]))
        if lot["note"]:
            expect(page.get_by_text(lot["note"])).to_be_visible()
    assert [lot["ticker"] for lot in told["positions"] if lot["note"]] == ["NFLX"]
    closed = row(page, "Closed lots", "AAPL").get_by_role("cell")
    expect(closed).to_have_text(["3", "$100.00", "5 Jan 2023", "5 Jan 2024", "$300.00"])
    row(page, "Open lots", "AAPL").get_by_role("link", name="AAPL").click()
    expect(page).to_have_url(re.compile("/symbols/AAPL$"))


def test_exposures_are_the_services(page: Page, service: Service) -> None:
    desk = bring(service, "symbol,quantity,price\nAAPL,1,1\nMSFT,2,2\n")
    page.goto(f"{service.url}/portfolios/{desk}")
    told = service.ask(WHOLE, id=desk)["portfolio"]["factorExposures"]
    bars = page.get_by_role("region", name="Exposures by factor").locator("tbody tr")
    expect(bars).to_have_count(len(told))
    for index, exposure in enumerate(told):
        expect(bars.nth(index)).to_contain_text(exposure["factor"].lower().replace("_", " "))
        expect(bars.nth(index).locator(".number")).to_have_text(re.compile(rf"^[+-]?{abs(exposure['beta']):.2f}$"))
        side = ".negative" if exposure["beta"] < 0 else ".positive"
        expect(bars.nth(index).locator(side)).to_have_count(1)


def test_without_betas_there_are_no_bars(page: Page, service: Service) -> None:
    desk = bring(service, "symbol,quantity,price\nAAPL,-1,1\n")  # its value is negative
    page.goto(f"{service.url}/portfolios/{desk}")
    expect(page.get_by_role("region", name="Factor exposures")).to_contain_text("There are none")


def test_a_refreshed_symbol_moves_the_totals(page: Page, service: Service) -> None:
    desk = bring(service, "symbol,quantity,price\nBA,10,100\n")
    page.goto(f"{service.url}/portfolios/{desk}")
    before = service.ask(WHOLE, id=desk)["portfolio"]["snapshot"]
    expect(fact(page, "Value")).to_have_text(dollars(before["totalValue"]))
    expect(page.get_by_text("Prices are old")).to_be_visible()
    service.ask('mutation { refreshSymbol(input: {ticker: "BA"}) { __typename } }')
    after = service.ask(WHOLE, id=desk)["portfolio"]["snapshot"]
    assert after["totalValue"] != before["totalValue"]
    expect(fact(page, "Value")).to_have_text(dollars(after["totalValue"]))
    expect(page.get_by_text("Prices are old")).to_have_count(0)


def test_symbols_come_in_while_the_page_is_looked_at(page: Page, serve: Callable[..., Service]) -> None:
    with Keeper("PLTR") as keeper:
        service = serve(**keeper.environment)
        desk = bring(service, SPREAD)
        page.goto(f"{service.url}/portfolios/{desk}")
        coming = page.get_by_role("list", name="Symbols on their way").get_by_role("listitem")
        inquiry = keeper.kept()
        expect(coming).to_contain_text("fetching prices")
        expect(row(page, "Open lots", "PLTR")).to_contain_text("none yet")
        expect(fact(page, "Counted")).to_have_text("1 open lot")
        keeper.answer(inquiry)
        expect(coming).to_have_count(0, timeout=PATIENCE)
        expect(fact(page, "Counted")).to_have_text("2 open lots")
        total = service.ask(WHOLE, id=desk)["portfolio"]["snapshot"]["totalValue"]
        expect(fact(page, "Value")).to_have_text(dollars(total))
        expect(row(page, "Open lots", "PLTR")).to_contain_text("$143.06")


def test_one_whose_symbol_failed_long_ago_offers_to_retry(page: Page, service: Service) -> None:
    desk = bring(service, "symbol,quantity,price\nAAPL,1,1\nZZZZ,1,1\n")
    page.goto(f"{service.url}/portfolios/{desk}")
    failed = page.get_by_role("list", name="Symbols on their way").get_by_role("listitem")
    expect(failed).to_contain_text("failed", timeout=PATIENCE)
    expect(page.get_by_text("Not complete: open lots without a price")).to_be_visible()
    page.reload()
    expect(failed.get_by_role("button", name="Retry ZZZZ")).to_be_visible()


def test_removing_asks_first_and_explains_what_came_between(page: Page, service: Service) -> None:
    desk = bring(service, "symbol,quantity,price\nAAPL,1,1\n")
    page.goto(f"{service.url}/portfolios/{desk}")
    page.get_by_role("button", name="Remove", exact=True).click()
    question = page.get_by_role("dialog", name="Remove desk?")
    question.get_by_role("button", name="Keep it").click()
    expect(question).to_have_count(0)
    expect(page.get_by_role("button", name="Remove", exact=True)).to_be_focused()
    page.get_by_role("button", name="Remove", exact=True).click()
    bring(service, "symbol,quantity,price\nMSFT,1,1\n", expectedVersion=1)
    question.get_by_role("button", name="Remove desk").click()
    expect(question.get_by_role("alert")).to_contain_text("you saw version 1, it is at 2 now. Nothing was removed.")
    expect(page.get_by_text("MSFT").first).to_be_attached()  # what is behind the question is the newer state
    assert service.ask("{ portfolios { name } }")["portfolios"]
    question.get_by_role("button", name="Remove it as it is now").click()
    expect(page.get_by_role("heading", name="No portfolios yet")).to_be_visible()
    expect(page.get_by_role("status", name="Messages")).to_contain_text("The portfolio desk is removed.")
    assert service.ask("{ portfolios { name } }")["portfolios"] == []


def test_one_that_is_removed_while_others_look_is_gone_there_too(page: Page, context: BrowserContext, service: Service) -> None:
    desk = bring(service, "symbol,quantity,price\nAAPL,1,1\n")
    page.goto(f"{service.url}/portfolios/{desk}")
    other, list_ = context.new_page(), context.new_page()
    other.goto(f"{service.url}/portfolios/{desk}")
    list_.goto(f"{service.url}/portfolios")
    expect(card(list_, "desk")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("desk")
    other.get_by_role("button", name="Remove", exact=True).click()
    other.get_by_role("button", name="Remove desk").click()
    expect(other.get_by_role("heading", name="No portfolios yet")).to_be_visible()
    expect(page.get_by_role("heading", name="There is no such portfolio")).to_be_visible(timeout=PATIENCE)
    expect(card(list_, "desk")).to_have_count(0, timeout=PATIENCE)


def test_what_is_no_portfolio_is_said(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/portfolios/nothing")
    expect(page.get_by_role("heading", name="There is no such portfolio")).to_be_visible()
    page.get_by_role("link", name="To the portfolios").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Portfolios")


def test_an_answer_that_failed_is_asked_for_again(page: Page, service: Service, watch: Watch) -> None:
    watch.expected.append("Failed to load resource")
    desk = bring(service, DESK)

    def fail(route: Route) -> None:
        asked: dict[str, Any] = json.loads(route.request.post_data or "{}")
        if asked.get("operationName") in ("Portfolio", "Portfolios"):
            route.abort()
        else:
            route.fallback()

    for address, what in (("portfolios", "The portfolios"), (f"portfolios/{desk}", "The portfolio")):
        page.route("**/graphql", fail)
        page.goto(f"{service.url}/{address}")
        expect(page.get_by_role("alert")).to_contain_text(f"{what} could not be read")
        page.unroute("**/graphql", fail)
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_text("desk")).to_be_visible()


def test_a_thousand_lots_stay_usable(page: Page, service: Service) -> None:
    lots = [f"AAPL,{number},190.50" for number in range(1, 1001)]
    desk = bring(service, "\n".join(["symbol,quantity,price", *lots]))
    page.goto(f"{service.url}/portfolios/{desk}")
    rows = page.get_by_role("region", name="Open lots").get_by_role("row")
    expect(rows).to_have_count(201)
    page.get_by_role("button", name="Show 200 more of 1,000").click()
    expect(rows).to_have_count(401)
    expect(fact(page, "Counted")).to_have_text("1,000 open lots")


def test_on_a_phone_nothing_scrolls_sideways_but_the_tables(page: Page, service: Service, look: Look) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    desk = bring(service, DESK, "A long name that somebody has given to the desk in the corner")
    page.goto(f"{service.url}/portfolios")
    expect(page.get_by_role("listitem")).to_contain_text("A long name")
    look("portfolios-phone")
    assert page.evaluate(BEYOND) <= 0
    page.goto(f"{service.url}/portfolios/{desk}")
    expect(row(page, "Open lots", "NFLX")).to_be_visible()
    look("portfolio-phone")
    assert page.evaluate(BEYOND) <= 0


@pytest.mark.parametrize("theme", THEMES)
def test_anybody_can_use_them_in_every_state(page: Page, serve: Callable[..., Service], look: Look, theme: Theme) -> None:
    page.emulate_media(color_scheme=theme)
    service = serve("--no-workers")
    page.goto(f"{service.url}/portfolios")
    expect(page.get_by_role("heading", name="No portfolios yet")).to_be_visible()
    look(f"portfolios-empty-{theme}")
    assert violations(page) == []

    desk = bring(service, DESK + "PLTR,5,81.20,,\n")
    bring(service, "symbol,quantity,price\nMSFT,10,250\nAAPL,4,150\n", "long only")
    bring(service, "symbol,quantity,price\nTSM,1,150\n", "to come")
    page.reload()
    expect(card(page, "to come")).to_be_visible()
    look(f"portfolios-{theme}")
    assert violations(page) == []

    page.goto(f"{service.url}/portfolios/{desk}")
    expect(page.get_by_role("list", name="Symbols on their way").get_by_role("listitem")).to_be_visible()
    expect(row(page, "Closed lots", "AAPL")).to_be_visible()
    look(f"portfolio-pending-{theme}")
    assert violations(page) == []
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    look(f"portfolio-remove-{theme}")
    assert violations(page) == []

    page.goto(f"{service.url}/portfolios")
    page.get_by_role("link", name="long only").click()
    expect(page.get_by_role("region", name="Exposures by factor")).to_be_visible()
    look(f"portfolio-{theme}")
    assert violations(page) == []

    page.goto(f"{service.url}/portfolios/nothing")
    expect(page.get_by_role("heading", name="There is no such portfolio")).to_be_visible()
    look(f"portfolio-none-{theme}")
    assert violations(page) == []
