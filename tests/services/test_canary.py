"""The canary: what providers have to answer before a symbol may be suspected of having ended."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from domain.errors import ProviderUnavailable, SymbolNotFound, Trouble
from domain.services import asking, canary
from domain.services.canary import CANARIES, Canary
from domain.symbols import Symbol
from domain.tickers import AssetClass
from providers.sample import SampleProvider
from tests.support.clock import EVENING, ManualClock
from tests.support.market import write_market
from tests.support.mutants import mutated
from tests.support.provider import StubProvider, daily_bar, profile
from web.settings import BUNDLED_SAMPLE

SYMBOL = Symbol.tracked(profile("DEAD"), None, None)
COIN = Symbol.tracked(profile("DEAD-USD", AssetClass.CRYPTO), None, None)


class Watched(StubProvider):
    """Knows SPY and BTC-USD, and counts what it is asked."""

    def __init__(self, name: str = "stub") -> None:
        super().__init__("SPY", "BTC-USD")
        self.name = name
        self.calls = 0
        self.before_answer = self._count

    async def _count(self) -> None:
        self.calls += 1

    def refuses(self, refusal: Exception) -> None:
        async def refuse() -> None:
            self.calls += 1
            raise refusal

        self.before_answer = refuse


def watching(*providers: Watched) -> Canary:
    return Canary(lambda _: providers, ManualClock())


async def test_a_provider_that_has_bars_of_the_canary_is_well() -> None:
    assert await watching(Watched()).is_well(SYMBOL)


@pytest.mark.parametrize(
    "refusal",
    [
        ProviderUnavailable("stub", Trouble.DOWN, "is out of order"),
        ProviderUnavailable("stub", Trouble.RATE_LIMITED, "was asked too often", 30),
        SymbolNotFound("SPY", "is not known to the provider stub"),
    ],
)
async def test_one_that_refuses_is_not(refusal: Exception) -> None:
    provider = Watched()
    provider.refuses(refusal)
    assert not await watching(provider).is_well(SYMBOL)


@pytest.mark.parametrize(("newest", "is_well"), [(None, False), (11, False), (9, True), (1, True)])
async def test_its_bars_have_to_be_of_late(newest: int | None, is_well: bool) -> None:
    provider = Watched()
    provider.bars = [] if newest is None else [daily_bar("SPY", EVENING.date() - timedelta(days=newest))]
    assert await watching(provider).is_well(SYMBOL) is is_well


async def test_one_that_hangs_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PROVIDER_SECONDS", 0.05)
    provider = Watched()
    provider.before_answer = lambda: asyncio.sleep(3600)
    assert not await watching(provider).is_well(SYMBOL)


async def test_a_fault_of_ours_is_not_taken_for_an_answer() -> None:
    provider = Watched()
    provider.refuses(RuntimeError("a bug"))
    with pytest.raises(RuntimeError):
        await watching(provider).is_well(SYMBOL)


async def all_of_them() -> None:
    well, ill = Watched("well"), Watched("ill")
    ill.refuses(ProviderUnavailable("ill"))
    for providers in ((well, ill), (ill, well)):
        assert not await watching(*providers).is_well(SYMBOL), "one that does not know the symbol may be all that is left"


async def test_every_provider_of_the_class_has_to_be_well() -> None:
    await all_of_them()


async def test_were_one_enough_it_would_be_noticed() -> None:
    with mutated(Canary.is_well, ("return all(", "return any(")), pytest.raises(AssertionError, match="all that is left"):
        await all_of_them()


async def test_without_a_provider_of_the_class_nothing_can_be_said() -> None:
    assert not await watching().is_well(SYMBOL)


async def test_the_canary_itself_says_nothing_of_itself() -> None:
    provider = Watched()
    found = watching(provider)
    assert not await found.is_well(Symbol.tracked(profile("SPY", AssetClass.ETF), None, None))
    assert provider.calls == 0


async def test_each_class_has_its_own() -> None:
    asked: list[AssetClass] = []
    provider = Watched()

    def of(asset_class: AssetClass) -> list[Watched]:
        asked.append(asset_class)
        return [provider]

    found = Canary(of, ManualClock())
    assert await found.is_well(COIN)
    assert asked == [AssetClass.CRYPTO]
    assert {ticker for ticker, _, _ in provider.asked} == {"BTC-USD"}
    assert not await Canary(of, ManualClock(), {**CANARIES, AssetClass.CRYPTO: "ETH-USD"}).is_well(COIN)


async def test_what_was_seen_holds_for_a_while_and_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Watched()
    found = watching(provider)
    assert all(await asyncio.gather(*(found.is_well(SYMBOL) for _ in range(5))))
    assert provider.calls == 2, "its profile and its bars, once"
    provider.refuses(ProviderUnavailable("stub"))
    assert await found.is_well(SYMBOL)
    monkeypatch.setattr(canary, "REMEMBERED_SECONDS", 0.0)
    assert not await found.is_well(SYMBOL)
    assert provider.calls == 3


async def test_the_recorded_markets(tmp_path: Path) -> None:
    clock = ManualClock()
    bundled, other = SampleProvider(BUNDLED_SAMPLE, clock), SampleProvider(write_market(tmp_path / "market", ["QAAA"]), clock)
    assert await Canary(lambda _: [bundled], clock).is_well(SYMBOL)
    assert await Canary(lambda _: [bundled], clock).is_well(COIN)
    assert not await Canary(lambda _: [other], clock).is_well(COIN), "it has no BTC-USD: nobody becomes suspect"
    clock.advance(timedelta(days=60))
    assert not await Canary(lambda _: [bundled], clock).is_well(SYMBOL), "it stands still"
