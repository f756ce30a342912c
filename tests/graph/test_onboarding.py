"""Onboardings over GraphQL."""

import asyncio
from typing import Any

import pytest

from domain.factors import FACTOR_ETFS, Factor
from domain.services.pipeline import Pipeline
from graph.context import Services
from persistence.event_feed import SqlEventFeed
from tests.support.client import GraphClient
from tests.support.journal import followed
from tests.support.provider import StubProvider, walk

JOB = """id ticker status phase progressPercent position estimatedSeconds attempts maxAttempts requestedBy
    queuedAt startedAt finishedAt error"""
ONBOARD = f"""mutation ($input: OnboardSymbolsInput!) {{ onboardSymbols(input: $input) {{
    __typename
    ... on OnboardingQueued {{ jobs {{ {JOB} }} readyTickers }}
    ... on InvalidTickers {{ code message tickers }}
    ... on QueueFull {{ code message depth maxDepth retryAfterSeconds }}
}} }}"""
NOW = "2026-03-27T20:30:00+00:00"
NO_JOB = "T25ib2FyZGluZ0pvYjpub3RoaW5n"
"""The id of a job that never was."""


@pytest.fixture
def provider() -> StubProvider:
    provider = StubProvider("AAPL", "MSFT", "BRK-B", *sorted(set(FACTOR_ETFS.values())))
    provider.course = walk
    return provider


async def onboard(graph: GraphClient, *tickers: str, **given: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await graph(ONBOARD, input={"tickers": tickers, **given}))["onboardSymbols"]
    return answer


async def test_a_job_is_told_as_the_contract_has_it(graph: GraphClient, pipeline: Pipeline) -> None:
    queued = await onboard(graph, " aapl ", requestedBy="desk")
    (job,) = queued["jobs"]
    expected = {
        "id": job["id"],
        "ticker": "AAPL",
        "status": "PENDING",
        "phase": "QUEUED",
        "progressPercent": 0,
        "position": 1,
        "estimatedSeconds": 60,
        "attempts": 0,
        "maxAttempts": 3,
        "requestedBy": "desk",
        "queuedAt": NOW,
        "startedAt": None,
        "finishedAt": None,
        "error": None,
    }
    assert queued == {"__typename": "OnboardingQueued", "jobs": [expected], "readyTickers": []}
    await pipeline.work_off()
    ended = expected | {
        "status": "COMPLETED",
        "phase": "DONE",
        "progressPercent": 100,
        "position": None,
        "estimatedSeconds": None,
        "attempts": 1,
        "startedAt": NOW,
        "finishedAt": NOW,
    }
    query = (
        f"query ($id: ID!) {{ onboardingJob(id: $id) {{ {JOB} }} node(id: $id) {{ id ... on OnboardingJob {{ ticker }} }} }}"
    )
    assert await graph(query, id=job["id"]) == {
        "onboardingJob": ended,
        "node": {"id": job["id"], "ticker": "AAPL"},
    }
    assert (await onboard(graph, "AAPL"))["readyTickers"] == ["AAPL"]
    for nothing in (NO_JOB, "x", "U3ltYm9sOkFBUEw="):
        assert (await graph(query.replace("node(id: $id) { id ... on OnboardingJob { ticker } }", ""), id=nothing)) == {
            "onboardingJob": None
        }


async def test_all_that_are_no_tickers_are_named(graph: GraphClient) -> None:
    answer = await onboard(graph, "AAPL", "not a ticker", "$$")
    assert (answer["__typename"], answer["code"], answer["tickers"]) == (
        "InvalidTickers",
        "INVALID_TICKERS",
        ["not a ticker", "$$"],
    )
    assert await graph("{ onboarding { depth } }") == {"onboarding": {"depth": 0}}


async def test_a_full_queue_says_how_full_and_when_to_ask_again(graph: GraphClient) -> None:
    answer = await onboard(graph, *(f"N{number}" for number in range(51)))
    assert answer == {
        "__typename": "QueueFull",
        "code": "QUEUE_FULL",
        "message": "51 symbols were asked for, and the queue holds 50; ask for fewer at a time.",
        "depth": 0,
        "maxDepth": 50,
        "retryAfterSeconds": 30,
    }


async def test_the_queue_is_shown_active_ones_first(graph: GraphClient, pipeline: Pipeline) -> None:
    await onboard(graph, "AAPL", "NOPE")
    await pipeline.work_off()
    await onboard(graph, "MSFT", "BRK-B")
    await pipeline.claim()
    query = "query ($status: JobStatus) { onboarding { depth maxDepth maxConcurrent jobs(status: $status) { ticker status } } }"
    assert await graph(query) == {
        "onboarding": {
            "depth": 2,
            "maxDepth": 50,
            "maxConcurrent": 3,
            "jobs": [
                {"ticker": "MSFT", "status": "PROCESSING"},
                {"ticker": "BRK-B", "status": "PENDING"},
                {"ticker": "NOPE", "status": "FAILED"},
                {"ticker": "AAPL", "status": "COMPLETED"},
            ],
        }
    }
    assert (await graph(query, status="FAILED"))["onboarding"]["jobs"] == [{"ticker": "NOPE", "status": "FAILED"}]


async def test_retrying_and_cancelling(graph: GraphClient, pipeline: Pipeline) -> None:
    retry = f"""mutation ($id: ID!) {{ retryOnboarding(jobId: $id) {{ __typename
        ... on OnboardingQueued {{ jobs {{ {JOB} }} }}
        ... on JobNotRetryable {{ code job {{ status }} }}
        ... on JobNotFound {{ code jobId }} }} }}"""
    cancel = """mutation ($id: ID!) { cancelOnboarding(jobId: $id) { __typename
        ... on OnboardingCancelled { job { status error } }
        ... on JobNotCancellable { code message job { status } }
        ... on JobNotFound { code jobId } } }"""
    ((job,),) = [(await onboard(graph, "AAPL"))["jobs"]]
    assert (await graph(retry, id=job["id"]))["retryOnboarding"] == {
        "__typename": "JobNotRetryable",
        "code": "JOB_NOT_RETRYABLE",
        "job": {"status": "PENDING"},
    }
    assert (await graph(cancel, id=job["id"]))["cancelOnboarding"] == {
        "__typename": "OnboardingCancelled",
        "job": {"status": "CANCELLED", "error": "cancelled"},
    }
    refused = (await graph(cancel, id=job["id"]))["cancelOnboarding"]
    assert (refused["__typename"], refused["code"], refused["job"]) == (
        "JobNotCancellable",
        "JOB_NOT_CANCELLABLE",
        {"status": "CANCELLED"},
    )
    (again,) = (await graph(retry, id=job["id"]))["retryOnboarding"]["jobs"]
    assert (again["status"], again["id"] != job["id"]) == ("PENDING", True)
    for mutation, field in ((retry, "retryOnboarding"), (cancel, "cancelOnboarding")):
        assert (await graph(mutation, id=NO_JOB))[field] == {
            "__typename": "JobNotFound",
            "code": "JOB_NOT_FOUND",
            "jobId": NO_JOB,
        }
        assert (await graph(mutation, id="x"))[field]["__typename"] == "JobNotFound"


async def test_readiness(graph: GraphClient, pipeline: Pipeline) -> None:
    query = "query ($t: String!) { symbolReadiness(ticker: $t) { ticker status message estimatedSeconds job { status } } }"

    async def told(ticker: str) -> dict[str, Any]:
        answer: dict[str, Any] = (await graph(query, t=ticker))["symbolReadiness"]
        return answer

    unknown = {"status": "UNKNOWN", "message": "Symbol not found", "estimatedSeconds": None, "job": None}
    assert await told("aapl") == {"ticker": "AAPL", **unknown}
    assert await told("no ticker") == {"ticker": "no ticker", **unknown}
    await onboard(graph, "AAPL")
    assert await told("aapl") == {
        "ticker": "AAPL",
        "status": "PENDING",
        "message": "Queued for processing",
        "estimatedSeconds": 60,
        "job": {"status": "PENDING"},
    }
    await pipeline.work_off()
    assert await told("AAPL") == {
        "ticker": "AAPL",
        "status": "READY",
        "message": "Symbol data available",
        "estimatedSeconds": None,
        "job": {"status": "COMPLETED"},
    }


async def test_betas_of_many_symbols_are_one_statement(graph: GraphClient, pipeline: Pipeline, statements: list[str]) -> None:
    await onboard(graph, "AAPL", "MSFT")
    await pipeline.work_off()
    query = """query ($t: [String!]) { symbols(filter: {tickers: $t}) { nodes {
        ticker factorExposures { factor beta rSquared observations windowDays quality asOf } } } }"""
    await graph(query, t=["AAPL"])
    statements.clear()
    await graph(query, t=["AAPL"])
    one = len(statements)
    statements.clear()
    nodes = (await graph(query, t=["AAPL", "MSFT", "SPY"]))["symbols"]["nodes"]
    assert len(statements) == one
    assert [[exposure["factor"] for exposure in node["factorExposures"]] for node in nodes] == [[f.name for f in Factor]] * 3
    market = nodes[0]["factorExposures"][0]
    assert (market["observations"], market["windowDays"], market["quality"], market["asOf"]) == (
        90,
        90,
        "FULL_HISTORY",
        "2026-03-26",
    )
    assert isinstance(market["beta"], float)
    never = nodes[2]["factorExposures"][0]  # an ETF needs no job, so that nobody has measured it
    assert (never["beta"], never["rSquared"], never["observations"], never["quality"], never["asOf"]) == (
        None,
        None,
        0,
        "UNAVAILABLE",
        None,
    )


PROGRESS = """subscription ($t: [String!], $after: Cursor) { onboardingProgress(tickers: $t, after: $after) {
    cursor at job { ticker phase progressPercent } } }"""


async def progress(graph: GraphClient, tickers: list[str], after: str | None = None) -> list[dict[str, Any]]:
    """All that is told, to the end."""
    told: list[dict[str, Any]] = []
    async for answer in graph.follow(PROGRESS, t=tickers, after=after):
        assert answer.data is not None, answer.errors
        told.append(answer.data["onboardingProgress"])
    return told


async def test_progress_is_pushed_and_ends_by_itself(
    graph: GraphClient, pipeline: Pipeline, services: Services, feed: SqlEventFeed
) -> None:
    cursor = (await graph("{ onboarding { cursor } }"))["onboarding"]["cursor"]
    await onboard(graph, "AAPL")
    told: list[dict[str, Any]] = []

    async def listen() -> None:
        told.extend(await progress(graph, ["aapl"]))

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(listen())
        await followed(feed)
        group.create_task(pipeline.work_off())
    assert [event["job"]["progressPercent"] for event in told] == [0, 5, 15, 55, 65, 90, 100]
    resumed = await progress(graph, ["AAPL"], cursor)
    assert [event["job"] for event in resumed] == [event["job"] for event in told]
    later = await progress(graph, ["AAPL"], told[2]["cursor"])
    assert [event["job"]["progressPercent"] for event in later] == [55, 65, 90, 100]


IMPORT = """mutation ($input: ImportPortfolioInput!) { importPortfolio(input: $input) {
    ... on PortfolioImported { portfolio { id } pendingTickers jobs { ticker } } } }"""


async def test_a_portfolios_symbols_are_followed_by_its_id(
    graph: GraphClient, pipeline: Pipeline, services: Services, feed: SqlEventFeed
) -> None:
    csv = "symbol,quantity,entry price\nAAPL,10,90\nMSFT,-2,80\n"
    done = (await graph(IMPORT, input={"name": "Desk", "csv": csv}))["importPortfolio"]
    await onboard(graph, "BRK-B")
    query = """subscription ($id: ID, $t: [String!]) { onboardingProgress(portfolioId: $id, tickers: $t) {
        job { ticker status } } }"""
    told: list[tuple[str, str]] = []

    async def listen() -> None:
        async for answer in graph.follow(query, id=done["portfolio"]["id"]):
            assert answer.data is not None, answer.errors
            job = answer.data["onboardingProgress"]["job"]
            told.append((job["ticker"], job["status"]))

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(listen())
        await followed(feed)
        group.create_task(pipeline.work_off())
    assert {ticker for ticker, _ in told} == {"AAPL", "MSFT"}
    assert [status for ticker, status in told if ticker == "MSFT"][-1] == "COMPLETED"
    both = [answer async for answer in graph.follow(query, id=done["portfolio"]["id"], t=["msft", "BRK-B"])]
    assert [answer.data["onboardingProgress"]["job"]["ticker"] for answer in both if answer.data] == ["MSFT"]
    (nothing,) = [answer async for answer in graph.follow(query, id=NO_JOB)]
    assert [error.extensions["code"] for error in nothing.errors or [] if error.extensions] == ["PORTFOLIO_NOT_FOUND"]


async def test_a_portfolios_betas_are_those_of_its_symbols_by_their_signed_weights(
    graph: GraphClient, pipeline: Pipeline
) -> None:
    csv = "symbol,quantity,entry price,exit date\nAAPL,10,90,\nMSFT,-2,80,\nMSFT,7,80,2026-01-02\n"
    portfolio_id = (await graph(IMPORT, input={"name": "Desk", "csv": csv}))["importPortfolio"]["portfolio"]["id"]
    query = """query ($id: ID!) {
        portfolio(id: $id) { snapshot { totalValue } positions { ticker marketValue } factorExposures { factor beta quality } }
        symbols(filter: {tickers: ["AAPL", "MSFT"]}) { nodes { ticker factorExposures { factor beta } } } }"""
    before = (await graph(query, id=portfolio_id))["portfolio"]["factorExposures"]
    assert {(each["beta"], each["quality"]) for each in before} == {(None, "UNAVAILABLE")}
    await pipeline.work_off()
    found = await graph(query, id=portfolio_id)
    betas = {node["ticker"]: {e["factor"]: e["beta"] for e in node["factorExposures"]} for node in found["symbols"]["nodes"]}
    equity = float(found["portfolio"]["snapshot"]["totalValue"])
    values = {each["ticker"]: float(each["marketValue"]) for each in found["portfolio"]["positions"] if each["marketValue"]}
    for exposure in found["portfolio"]["factorExposures"]:
        expected = sum(value / equity * betas[ticker][exposure["factor"]] for ticker, value in values.items())
        assert exposure["beta"] == pytest.approx(expected, rel=1e-9)
    assert values["MSFT"] < 0
