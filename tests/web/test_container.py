"""The wiring: what may start on which database, and under which clock."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.bars import ActionKind, CorporateAction
from domain.clock import Clock
from domain.errors import ProviderUnavailable, Trouble
from domain.symbols import Symbol
from domain.tickers import AssetClass
from providers.registry import open_provider
from tests.support.clock import EVENING, ManualClock
from tests.support.portfolios import priced
from tests.support.process import until
from tests.support.provider import StubProvider, profile
from web.container import CannotStart, open_container, running_loops
from web.settings import KNOWN_PROVIDERS, Settings


def settings(database_url: str, **changes: Any) -> Settings:
    return Settings.model_construct(**{"database_url": database_url, "providers": ("sample",), **changes})


def live_provider(_: str, settings: Settings, clock: Clock) -> StubProvider:
    return StubProvider()


async def test_the_recorded_clock_is_followed_by_who_brings_none(database_url: str) -> None:
    async with open_container(settings(database_url, clock=EVENING)) as first:
        assert timedelta() <= first.services.clock.now() - EVENING < timedelta(seconds=30)
    async with open_container(settings(database_url)) as second:
        assert timedelta() <= second.services.clock.now() - EVENING < timedelta(seconds=60)


async def test_a_live_provider_is_refused_under_a_recorded_clock(database_url: str) -> None:
    async with open_container(settings(database_url, clock=EVENING)):
        pass
    for clock in (None, EVENING):
        with pytest.raises(CannotStart, match=r"yahoo serves the present.*forget-clock"):
            async with open_container(settings(database_url, providers=("yahoo",), clock=clock), live_provider):
                raise AssertionError("it started")


async def test_a_live_provider_starts_on_real_time_and_not_with_a_clock(database_url: str) -> None:
    with pytest.raises(CannotStart):
        async with open_container(settings(database_url, providers=("yahoo",), clock=EVENING), live_provider):
            raise AssertionError("it started")
    async with open_container(settings(database_url, providers=("yahoo",)), live_provider) as container:
        assert abs(container.services.clock.now() - datetime.now(UTC)) < timedelta(seconds=30)


async def test_the_threshold_is_the_settings(database_url: str) -> None:
    async with open_container(settings(database_url, clock=EVENING, symbol_staleness_hours=1)) as container:
        assert container.services.symbols.threshold == timedelta(hours=1)


@pytest.mark.parametrize("name", KNOWN_PROVIDERS)
def test_every_provider_that_can_be_set_can_be_opened(name: str, tmp_path: Path) -> None:
    urls = {"yahoo_url": "", "massive_url": ""}
    assert open_provider(name, ManualClock(), sample_dir=tmp_path, **urls, massive_key="a.key").name == name


async def test_every_provider_is_gated_and_a_live_one_has_the_budget_that_is_set(database_url: str) -> None:
    live = settings(database_url, providers=("yahoo",), provider_calls_per_minute=3)
    async with open_container(live, live_provider) as container:
        for _ in range(3):
            await container.services.symbols.search("aapl", 1)
        with pytest.raises(ProviderUnavailable, match="no calls left in this minute's budget"):
            await container.services.symbols.search("aapl", 1)
    async with open_container(settings(database_url, clock=EVENING, provider_calls_per_minute=3)) as container:
        for _ in range(9):
            assert await container.services.symbols.search("aapl", 1)


async def test_a_live_one_has_the_budget_of_the_day_that_is_set(database_url: str) -> None:
    live = settings(database_url, providers=("yahoo",), provider_calls_per_day=2)
    async with open_container(live, live_provider) as container:
        for _ in range(2):
            await container.services.symbols.search("aapl", 1)
        with pytest.raises(ProviderUnavailable, match="no calls left in today's budget"):
            await container.services.symbols.search("aapl", 1)


# ── several providers


class Named(StubProvider):
    """Of stocks and crypto; whatever it is asked of crypto, it is down."""

    def __init__(self, name: str) -> None:
        super().__init__("AAPL", "BTC-USD")
        self.name = name
        self.tickers: list[str] = []
        self.before_answer_on = self._note

    async def _note(self, ticker: str) -> None:
        self.tickers.append(ticker)
        if ticker == "BTC-USD":
            raise ProviderUnavailable(self.name)


class Both:
    """Opens two providers, and keeps them."""

    def __init__(self) -> None:
        self.opened: dict[str, Named] = {}

    def __call__(self, name: str, settings: Settings, clock: Clock) -> Named:
        return self.opened.setdefault(name, Named(name))


async def test_they_are_asked_in_the_order_that_is_set_for_the_class(database_url: str) -> None:
    both = Both()
    order = {AssetClass.CRYPTO: ("second", "first")}
    async with open_container(settings(database_url, providers=("first", "second"), provider_order=order), both) as container:
        assert [each.name for each in await container.services.providers.statuses()] == ["first", "second"]
        await container.services.symbols.add("AAPL", None, None, None)
        with pytest.raises(ProviderUnavailable, match="The provider second did not answer"):
            await container.services.symbols.add("BTC-USD", None, None, None)
    assert both.opened["first"].tickers == ["AAPL"] + ["BTC-USD"] * 3
    assert both.opened["second"].tickers == ["BTC-USD"] * 3


async def test_an_order_for_a_class_that_the_provider_does_not_serve_is_refused(sqlite_url: str) -> None:
    order = {AssetClass.FOREX: ("first",)}
    with pytest.raises(CannotStart, match=r"FRESHTAPE_PROVIDER_ORDER names first for FOREX, which it does not serve\."):
        async with open_container(settings(sqlite_url, providers=("first",), provider_order=order), Both()):
            raise AssertionError("it started")


async def test_a_recorded_market_beside_a_live_one_is_refused(sqlite_url: str) -> None:
    with pytest.raises(CannotStart, match="names sample, a recorded market, beside yahoo, which serves the present"):
        async with open_container(settings(sqlite_url, providers=("yahoo", "sample"))):
            raise AssertionError("it started")


async def test_the_canary_asks_those_of_the_class(sqlite_url: str) -> None:
    both = Both()
    wanted = settings(
        sqlite_url,
        providers=("first", "second"),
        provider_order={AssetClass.STOCK: ("second",)},
        canaries={AssetClass.STOCK: "AAPL"},
    )
    async with open_container(wanted, both) as container:
        assert await container.canary.is_well(Symbol.tracked(profile("MSFT"), None, None))
    assert (both.opened["first"].tickers, both.opened["second"].tickers) == ([], ["AAPL"] * 2)


async def test_a_circuit_that_one_process_opened_is_open_for_the_next(database_url: str) -> None:
    async def limit() -> None:
        raise ProviderUnavailable("stub", Trouble.RATE_LIMITED, "was asked too often", 30)

    provider = StubProvider()
    provider.before_answer = limit
    for message in ("was asked too often", "said . s ago that it is asked too often"):
        async with open_container(settings(database_url), lambda *_: provider) as container:
            with pytest.raises(ProviderUnavailable, match=message):
                await container.services.symbols.search("aapl", 1)
        provider.before_answer = None


async def test_the_days_splits_take_effect_while_it_runs(sqlite_url: str) -> None:
    async with open_container(settings(sqlite_url, clock=EVENING)) as container:
        await priced(container.database, "AAPL", last_updated=EVENING - timedelta(days=1))
        async with container.database.write() as unit:
            split = CorporateAction("AAPL", EVENING.date(), ActionKind.SPLIT, Decimal(4), "stub")
            await unit.bars.upsert_actions([split])

        async def is_split() -> bool:
            symbol = await container.services.symbols.get("AAPL")
            return symbol is not None and symbol.last_price == 25

        assert not await is_split()
        async with running_loops(container, on_clock_replaced=lambda: None):
            await until(is_split, within=20)


async def test_calendars_are_there_before_the_first_request(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[AssetClass, str | None]] = []
    monkeypatch.setattr("domain.services.symbols.calendar_for", lambda *listing: built.append(listing))
    async with open_container(settings(sqlite_url, clock=EVENING, sample_dir=Path("providers/sample_data"))):
        assert built == [(AssetClass.STOCK, None)]


@pytest.mark.parametrize(
    ("cron", "works", "is_scheduled"), [("0 2 * * *", True, True), ("", True, False), ("0 2 * * *", False, False)]
)
async def test_who_works_keeps_the_schedule_if_there_is_one(
    sqlite_url: str, cron: str, works: bool, is_scheduled: bool
) -> None:
    async with (
        open_container(settings(sqlite_url, clock=EVENING, backfill_cron=cron)) as container,
        running_loops(container, on_clock_replaced=lambda: None, works=works),
    ):
        names = {task.get_name() for task in asyncio.all_tasks()}
    assert ("schedule" in names) is is_scheduled
