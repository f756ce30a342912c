"""History that fills itself in the real service, and says how good it is: as whoever asks and follows has it."""

from datetime import date
from typing import Any

import pytest

from domain.clock import Clock
from providers.sample import SampleProvider
from tests.support.figures import told
from tests.support.served import Served, Socket, served
from tests.support.universe import track
from web.settings import BUNDLED_SAMPLE, Settings

LISTED = ("AAPL", "NVDA", "QQQ", "SPY", "TSLA")
FRIDAY = date(2026, 3, 27)

CHANGED = "subscription { symbolChanged { kind symbol { ticker version backfill { status error recordsInserted } } } }"
BACKFILL = """mutation($ticker: String!, $day: Date!) {
  backfillSymbol(input: {ticker: $ticker, interval: ONE_MINUTE, from: $day, to: $day}) { __typename }
}"""
HOW_GOOD = """{ symbols(first: 10) { nodes { ticker
  stats(interval: ONE_MINUTE) {
    recordCount validationRate gapsDetected coverage missingIntervals { start end tradingDays cause }
  }
  fives: stats(interval: FIVE_MINUTES) { recordCount coverage }
  hours: stats(interval: ONE_HOUR) { recordCount }
} } }"""


def sample(_: str, settings: Settings, clock: Clock) -> SampleProvider:
    return SampleProvider(settings.sample_dir, clock)


async def until_all_have_ended(socket: Socket, number: str, *tickers: str) -> dict[str, Any]:
    """Each symbol's state at its last event."""
    ended: dict[str, Any] = {}
    while ended.keys() != set(tickers):
        change = (await socket.next(number))["data"]["symbolChanged"]
        if change["kind"] in ("BACKFILLED", "UPDATED"):
            ended[change["symbol"]["ticker"]] = change["symbol"]
    return ended


async def backfill(service: Served, ticker: str, day: date = FRIDAY) -> None:
    answer = await service.ask(BACKFILL, ticker=ticker, day=day.isoformat())
    assert answer == {"data": {"backfillSymbol": {"__typename": "BackfillStarted"}}}


async def test_minutes_are_filled_while_somebody_watches_and_their_hole_is_the_providers(database_url: str) -> None:
    async with (
        served(database_url, sample, works=True, sample_dir=BUNDLED_SAMPLE) as service,
        service.socket() as socket,
    ):
        await track(service.container.database, *LISTED)
        number = await socket.start(CHANGED)
        for ticker in LISTED:
            await backfill(service, ticker)
        ended = await until_all_have_ended(socket, number, *LISTED)
        answer = await service.ask(HOW_GOOD)
    assert {name: (each["version"], each["backfill"]) for name, each in ended.items()} == {
        ticker: (2, {"status": "COMPLETED", "error": None, "recordsInserted": 388}) for ticker in LISTED
    }
    assert "errors" not in answer, answer
    found = {each["ticker"]: each for each in answer["data"]["symbols"]["nodes"]}
    for ticker in LISTED:
        minutes = found[ticker]["stats"]
        (hole,) = minutes["missingIntervals"]
        assert (minutes["recordCount"], minutes["gapsDetected"], hole["tradingDays"]) == (388, 1, 1)
        assert hole["cause"] == "PROVIDER_HOLE"
        assert minutes["coverage"] == pytest.approx(388 / 390)
        assert found[ticker]["fives"] == {"recordCount": 78, "coverage": 1.0}
        assert found[ticker]["hours"] == {"recordCount": 7}
        told(f"{ticker}: {hole['start']} to {hole['end']}, {minutes['validationRate']:.3f} validated")


async def test_what_nobody_has_fails_and_says_why(database_url: str) -> None:
    """Thursday is not in the folder; Good Friday is no trading day."""
    async with (
        served(database_url, sample, works=True, sample_dir=BUNDLED_SAMPLE) as service,
        service.socket() as socket,
    ):
        await track(service.container.database, "AAPL")
        number = await socket.start(CHANGED)
        await backfill(service, "AAPL", date(2026, 3, 26))
        failed = (await until_all_have_ended(socket, number, "AAPL"))["AAPL"]["backfill"]
        assert (failed["status"], failed["error"]) == (
            "FAILED",
            "sample sent no bars of AAPL from 2026-03-26 to 2026-03-26, of which the calendar expects 390 of 1m.",
        )
        await backfill(service, "AAPL", date(2025, 4, 18))
        completed = (await until_all_have_ended(socket, number, "AAPL"))["AAPL"]["backfill"]
        assert completed == {"status": "COMPLETED", "error": None, "recordsInserted": 0}
