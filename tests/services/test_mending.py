"""Minutes that a live feed has missed: when they are read again, and what becomes of those that cannot be had."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from domain.aggregation import Minute
from domain.errors import ProviderUnavailable
from domain.services import mending
from domain.services.loading import Loaded, Loading
from domain.services.mending import Mending
from domain.tickers import AssetClass
from tests.support.clock import ManualClock
from tests.support.process import until
from tests.support.yahoo.provider import symbol

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
NOON = datetime.fromisoformat("2026-03-27T12:00:00Z")
BTC, ETH = "BTC-USD", "ETH-USD"


class History:
    """In place of Loading: what it is asked for, and whether it answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, datetime, datetime]] = []
        self.minutes = [Minute(0, *[Decimal(1)] * 5)]
        self.fault: Exception | None = None
        self.held = asyncio.Event()
        self.held.set()

    async def again(self, loaded: Loaded, since: datetime, until: datetime) -> list[Minute]:
        self.asked.append((loaded.symbol.ticker, since, until))
        await self.held.wait()
        if self.fault is not None:
            raise self.fault
        return self.minutes


def loaded(ticker: str) -> Loaded:
    parts: Any = [None] * 5
    return Loaded(symbol(ticker, AssetClass.CRYPTO, None), *parts)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON + 30 * SECOND)


@pytest.fixture
def history() -> History:
    return History()


@pytest.fixture
def wake() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def mender(
    monkeypatch: pytest.MonkeyPatch, clock: ManualClock, history: History, wake: asyncio.Event
) -> AsyncIterator[Mending]:
    monkeypatch.setattr(mending, "LOOK_SECONDS", 0.001)
    mender = Mending(cast(Loading, history), {BTC: loaded(BTC), ETH: loaded(ETH)}, clock, wake)
    running = asyncio.create_task(mender.run())
    yield mender
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def moved(clock: ManualClock, to: datetime) -> None:
    """And what is due by then is done."""
    clock.at = to
    await asyncio.sleep(0.1)


async def comes(mender: Mending, *tickers: str) -> None:
    got: list[str] = []

    async def is_there() -> bool:
        got.extend(ticker for ticker, _ in mender.mended())
        return sorted(got) == sorted(tickers)

    await until(is_there, 5)


async def test_minutes_are_read_when_the_last_of_them_is_over(mender: Mending, clock: ManualClock, history: History) -> None:
    mender.note({BTC: NOON - 3 * MINUTE - SECOND})
    await moved(clock, NOON + 74 * SECOND)
    assert history.asked == []
    await moved(clock, NOON + 75 * SECOND)
    await comes(mender, BTC)
    await moved(clock, NOON + 10 * MINUTE)
    assert history.asked == [(BTC, NOON - 4 * MINUTE, NOON + MINUTE)], "once"


async def test_a_feed_that_listens_anew_at_the_end_of_a_minute_has_not_the_next_one_whole(
    mender: Mending, clock: ManualClock, history: History
) -> None:
    clock.at = NOON + 56 * SECOND
    mender.note({BTC: NOON})
    await moved(clock, NOON + 5 * MINUTE)
    assert history.asked == [(BTC, NOON, NOON + 2 * MINUTE)]


async def test_what_is_missed_meanwhile_is_read_with_it_or_after_it(
    mender: Mending, clock: ManualClock, history: History
) -> None:
    mender.note({BTC: NOON})
    await moved(clock, NOON + 70 * SECOND)
    mender.note({BTC: NOON + 65 * SECOND})
    await moved(clock, NOON + 80 * SECOND)
    assert history.asked == []
    history.held.clear()
    await moved(clock, NOON + 140 * SECOND)
    mender.note({BTC: NOON + 130 * SECOND})  # while it is asked for
    history.held.set()
    await comes(mender, BTC)
    await moved(clock, NOON + 5 * MINUTE)
    await comes(mender, BTC)
    assert history.asked == [(BTC, NOON, NOON + 2 * MINUTE), (BTC, NOON, NOON + 3 * MINUTE)]


@pytest.mark.parametrize("fault", [ProviderUnavailable("yahoo"), ArithmeticError("of ours")])
async def test_who_cannot_be_asked_is_asked_again_and_stops_no_other(
    mender: Mending, clock: ManualClock, history: History, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    history.fault = fault
    mender.note({BTC: NOON, ETH: NOON})
    await moved(clock, NOON + 75 * SECOND)
    await moved(clock, NOON + 134 * SECOND)
    assert [ticker for ticker, *_ in history.asked] == [BTC, ETH]
    history.fault = None
    await moved(clock, NOON + 135 * SECOND)
    await comes(mender, BTC, ETH)
    assert set(history.asked) == {(BTC, NOON, NOON + MINUTE), (ETH, NOON, NOON + MINUTE)}
    assert [record.levelno for record in caplog.records] == [logging.WARNING], "said once"


async def test_of_one_that_has_left_nothing_is_read(mender: Mending, clock: ManualClock, history: History) -> None:
    mender.note({BTC: NOON, ETH: NOON})
    mender.forget(BTC)
    await moved(clock, NOON + 5 * MINUTE)
    await comes(mender, ETH)
    assert [ticker for ticker, *_ in history.asked] == [ETH]


async def test_a_long_silence_is_mended_in_parts_between_which_others_get_on(
    mender: Mending, clock: ManualClock, history: History, wake: asyncio.Event
) -> None:
    history.minutes = [Minute(60 * number, *[Decimal(1)] * 5) for number in range(120)]
    mender.note({BTC: NOON - 2 * timedelta(hours=1)})
    await moved(clock, NOON + 75 * SECOND)
    await asyncio.wait_for(wake.wait(), 5)
    mended: list[Minute] = []
    for size, is_more in ((50, True), (50, True), (20, False), (0, False)):
        wake.clear()
        part = [minute for _, minutes in mender.mended() for minute in minutes]
        assert (len(part), wake.is_set()) == (size, is_more)
        mended += part
    assert mended == history.minutes
