"""Several providers as one: who is asked, in which order, and what is told when none has an answer."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import product

import pytest

from domain.bars import History, Interval
from domain.errors import ProviderUnavailable, SymbolNotFound, Trouble
from domain.ports import Reach
from domain.quotes import Quote
from domain.services.polling import PollingFeed
from domain.symbols import Symbol
from domain.tickers import AssetClass
from providers.chain import Orders, ProviderChain
from tests.support.clock import EVENING, ManualClock
from tests.support.mutants import mutated
from tests.support.provider import StubProvider, daily_bar, profile

SYMBOL = Symbol.tracked(profile("AAPL"), None, None)
START = EVENING.date() - timedelta(days=30)
SATURDAY = datetime(2026, 3, 28, 12, tzinfo=UTC)


class Named(StubProvider):
    """A stub under a name of its own, that counts its calls."""

    asset_classes = frozenset(AssetClass)

    def __init__(self, name: str, *tickers: str) -> None:
        super().__init__(*tickers)
        self.name = name
        self.calls: list[str] = []
        self.before_answer = self._count

    async def _count(self) -> None:
        self.calls.append(self.name)

    def _expect(self, ticker: str) -> None:
        if ticker not in self.profiles:
            raise SymbolNotFound(ticker, f"is not known to the provider {self.name}")

    def refuses(self, refusal: Exception) -> None:
        async def refuse() -> None:
            self.calls.append(self.name)
            raise refusal

        self.before_answer = refuse

    def has(self, *days: date) -> None:
        self.bars = [daily_bar("AAPL", day, source=self.name) for day in days]


def down(name: str, seconds: int | None = None) -> ProviderUnavailable:
    return ProviderUnavailable(name, Trouble.DOWN, "is out of order", seconds)


def limited(name: str, seconds: int | None = None) -> ProviderUnavailable:
    return ProviderUnavailable(name, Trouble.RATE_LIMITED, "was asked too often", seconds)


def not_served(name: str) -> ProviderUnavailable:
    return ProviderUnavailable(name, Trouble.NOT_SERVED, "does not cover daily bars by the plan of the key")


class Chained:
    """A chain of stubs and what was observed of it."""

    def __init__(self, *providers: Named, orders: Orders | None = None) -> None:
        self.falls: list[tuple[str, str, str]] = []
        self.chain = ProviderChain(providers, orders or {}, lambda *fall: self.falls.append(fall))
        self.providers = providers

    @property
    def calls(self) -> list[str]:
        return [call for provider in self.providers for call in provider.calls]

    async def history(self) -> History:
        return await self.chain.history(SYMBOL, Interval.ONE_DAY, START, EVENING)


# ── who is asked


async def test_the_first_answer_is_the_whole_answer() -> None:
    one, two = Named("one"), Named("two")
    one.has(START)
    two.has(START, START + timedelta(days=1))
    chained = Chained(one, two)
    assert [(bar.day, bar.source) for bar in (await chained.history()).bars] == [(START, "one")]
    assert (chained.calls, chained.falls) == (["one"], [])


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (down("one"), "down"),
        (limited("one", 30), "rate_limited"),
        (SymbolNotFound("AAPL", "is not known to the provider one"), "not_found"),
        (not_served("one"), "not_served"),
        (None, "no_data"),
    ],
)
async def test_where_one_has_no_answer_the_next_is_asked(refusal: Exception | None, reason: str) -> None:
    one, two, three = Named("one"), Named("two"), Named("three")
    one.has()
    two.has(START)
    if refusal is not None:
        one.refuses(refusal)
    chained = Chained(one, two, three)
    assert [bar.source for bar in (await chained.history()).bars] == ["two"]
    assert (chained.calls, chained.falls) == (["one", "two"], [("one", "two", reason)])


@pytest.mark.parametrize("first", [True, False])
async def test_who_does_not_serve_such_things_has_no_say_in_whether_they_are(first: bool) -> None:
    unknown, apart = Named("unknown"), Named("apart")
    unknown.refuses(SymbolNotFound("AAPL", "is not known to the provider unknown"))
    apart.refuses(not_served("apart"))
    chained = Chained(*((apart, unknown) if first else (unknown, apart)))
    with pytest.raises(SymbolNotFound, match="is not known to the provider unknown"):
        await chained.history()
    with pytest.raises(ProviderUnavailable, match="does not cover"):
        await Chained(apart).history()


async def test_a_fault_of_ours_is_no_refusal() -> None:
    one, two = Named("one"), Named("two")
    one.refuses(RuntimeError("a bug"))
    chained = Chained(one, two)
    with pytest.raises(RuntimeError, match="a bug"):
        await chained.history()
    assert chained.calls == ["one"]


async def test_each_class_has_its_order() -> None:
    one, two, three = Named("one"), Named("two"), Named("three")
    three.asset_classes = frozenset({AssetClass.STOCK})
    chain = Chained(one, two, three, orders={AssetClass.CRYPTO: ("two", "one"), AssetClass.INDEX: ("two",)}).chain
    asked = {each: [provider.name for provider in chain.asked(each)] for each in AssetClass}
    assert asked == {
        AssetClass.STOCK: ["one", "two", "three"],
        AssetClass.ETF: ["one", "two"],
        AssetClass.CRYPTO: ["two", "one"],
        AssetClass.FOREX: ["one", "two"],
        AssetClass.INDEX: ["two"],
    }
    assert chain.asset_classes == frozenset(AssetClass)
    assert chain.name == "one or two or three"


async def test_a_class_that_nobody_serves() -> None:
    one = Named("one", "BTC-USD")
    one.asset_classes = frozenset({AssetClass.STOCK})
    chain = Chained(one).chain
    assert chain.asset_classes == {AssetClass.STOCK}
    with pytest.raises(SymbolNotFound, match="BTC-USD is of no asset class that one serves"):
        await chain.profile("BTC-USD")
    coin = Symbol.tracked(profile("BTC-USD", AssetClass.CRYPTO), None, None)
    with pytest.raises(ProviderUnavailable, match="one does not serve bars of 1d of CRYPTO"):
        await chain.history(coin, Interval.ONE_DAY, START, EVENING)
    assert (await chain.quotes(["BTC-USD"]), chain.reach(AssetClass.CRYPTO, Interval.ONE_DAY)) == ([], None)
    assert one.calls == []


@pytest.mark.parametrize(
    ("ticker", "asked"),
    [
        ("ZZZZ", ["stocks", "funds", "indices"]),
        ("^ZZZ", ["indices"]),
        ("EUR/USD", ["pairs"]),
        ("BTC-USD", ["coins", "pairs"]),
    ],
)
async def test_a_profile_is_asked_of_every_class_that_the_ticker_may_be_of(ticker: str, asked: list[str]) -> None:
    orders = {
        AssetClass.STOCK: ("stocks",),
        AssetClass.ETF: ("funds", "stocks"),
        AssetClass.INDEX: ("indices",),
        AssetClass.FOREX: ("pairs",),
        AssetClass.CRYPTO: ("coins", "pairs"),
    }
    names = "pairs", "indices", "coins", "funds", "stocks"
    providers = {name: Named(name) for name in names}
    called: list[str] = []

    def note(name: str) -> None:
        async def before() -> None:
            called.append(name)

        providers[name].before_answer = before

    for name in names:
        note(name)
    with pytest.raises(SymbolNotFound, match=f"is not known to the provider {asked[0]}"):
        await Chained(*providers.values(), orders=orders).chain.profile(ticker)
    assert called == asked


async def test_a_profile_of_the_second() -> None:
    one, two = Named("one", "MSFT"), Named("two", "AAPL")
    assert await Chained(one, two).chain.profile("AAPL") == profile("AAPL")


# ── when nobody has an answer


UNKNOWN, EMPTY, LIMITED_LONG, LIMITED_SHORT, DOWN, DOWN_FOR = "unknown", "empty", "limited 40", "limited 5", "down", "down 20"
WAITS = {LIMITED_LONG: 40, LIMITED_SHORT: 5, DOWN: None, DOWN_FOR: 20}


def put(provider: Named, what: str) -> None:
    trouble, _, seconds = what.partition(" ")
    wait = int(seconds) if seconds else None
    match trouble:
        case "unknown":
            provider.refuses(SymbolNotFound("AAPL", f"is not known to the provider {provider.name}"))
        case "empty":
            provider.has()
        case "limited":
            provider.refuses(limited(provider.name, wait))
        case _:
            provider.refuses(down(provider.name, wait))


async def every_end(one: str, two: str) -> None:
    first, second = Named("one"), Named("two")
    put(first, one)
    put(second, two)
    chained = Chained(first, second)
    try:
        found: History | Exception = await chained.history()
    except (ProviderUnavailable, SymbolNotFound) as refusal:
        found = refusal
    assert chained.calls == ["one", "two"], "both are asked"
    unavailable = [(name, what) for name, what in (("one", one), ("two", two)) if what in WAITS]
    if unavailable:
        assert isinstance(found, ProviderUnavailable), f"{one}, {two}: while one is down nobody can say it is not there"
        name, what = unavailable[0]
        assert (found.provider, found.trouble.value.startswith("rate")) == (name, what.startswith("limited"))
        waits = [WAITS[what] for _, what in unavailable]
        assert found.retry_after_seconds == min((wait for wait in waits if wait is not None), default=None), "the shortest"
    elif EMPTY in (one, two):
        assert found == History(()), "it is known, and there is nothing"
    else:
        assert isinstance(found, SymbolNotFound)
        assert found.message == "AAPL is not known to the provider one."


@pytest.mark.parametrize(("one", "two"), list(product((UNKNOWN, EMPTY, *WAITS), repeat=2)))
async def test_every_end(one: str, two: str) -> None:
    await every_end(one, two)


@pytest.mark.parametrize(
    ("old", "new", "one", "two"),
    [
        ("    if unavailable:\n", "    if unavailable and not nothing:\n", EMPTY, DOWN),
        ("    if unavailable:\n", "    if unavailable and len(unavailable) == len(refusals):\n", UNKNOWN, DOWN),
        ("raise unavailable[0]", "raise unavailable[-1]", DOWN, LIMITED_LONG),
        ("min(", "max(", LIMITED_LONG, LIMITED_SHORT),
        ("    if nothing:\n", "    if nothing and not refusals:\n", UNKNOWN, EMPTY),
    ],
)
async def test_a_missing_rule_is_noticed(old: str, new: str, one: str, two: str) -> None:
    from providers import chain

    with mutated(chain._told, (old, new)), pytest.raises(AssertionError):
        await every_end(one, two)


# ── nothing where nothing is due


@pytest.mark.parametrize(
    ("symbol", "interval", "start", "until", "asked"),
    [
        (SYMBOL, Interval.ONE_DAY, SATURDAY.date(), SATURDAY, ["one"]),
        (SYMBOL, Interval.ONE_DAY, EVENING.date(), EVENING - timedelta(hours=1), ["one"]),  # it closes at 20:00
        (SYMBOL, Interval.ONE_DAY, EVENING.date(), EVENING - timedelta(minutes=30), ["one", "two"]),
        (SYMBOL, Interval.ONE_MINUTE, SATURDAY.date(), SATURDAY, ["one"]),
        (SYMBOL, Interval.ONE_MINUTE, EVENING.date(), datetime(2026, 3, 27, 13, 30, 59, tzinfo=UTC), ["one"]),
        (SYMBOL, Interval.ONE_MINUTE, EVENING.date(), datetime(2026, 3, 27, 13, 31, tzinfo=UTC), ["one", "two"]),
        (SYMBOL, Interval.ONE_DAY, date(1889, 1, 1), datetime(1889, 2, 1, tzinfo=UTC), ["one", "two"]),  # nobody knows
    ],
)
async def test_an_empty_answer_is_believed_where_the_calendar_expects_nothing(
    symbol: Symbol, interval: Interval, start: date, until: datetime, asked: list[str]
) -> None:
    one, two = Named("one"), Named("two")
    one.has()
    two.refuses(down("two"))
    chained = Chained(one, two)
    if asked == ["one"]:
        assert await chained.chain.history(symbol, interval, start, until) == History(())
    else:
        with pytest.raises(ProviderUnavailable):
            await chained.chain.history(symbol, interval, start, until)
    assert chained.calls == asked


@pytest.mark.parametrize(
    ("asset_class", "exchange", "start", "until", "is_due"),
    [
        (AssetClass.CRYPTO, None, "2026-03-28", "2026-03-28T23:59:59+00:00", False),
        (AssetClass.CRYPTO, None, "2026-03-28", "2026-03-29T00:00:00+00:00", True),
        (AssetClass.FOREX, None, "2026-03-28", "2026-03-30T23:59:00+00:00", False),
        (AssetClass.STOCK, "XASX", "2026-03-27", "2026-03-27T04:59:00+00:00", False),  # Sydney closes at 05:00 UTC
        (AssetClass.STOCK, "XASX", "2026-03-27", "2026-03-27T05:00:00+00:00", True),
        (AssetClass.STOCK, "XTKS", "2026-03-27", "2026-03-27T06:30:00+00:00", True),
        (AssetClass.STOCK, "XNYS", "2026-11-27", "2026-11-27T18:00:00+00:00", True),  # closes early
        (AssetClass.STOCK, "XNYS", "2026-11-26", "2026-11-27T17:59:00+00:00", False),  # Thanksgiving, and before that close
    ],
)
async def test_days_are_due_by_their_own_calendar(
    asset_class: AssetClass, exchange: str | None, start: str, until: str, is_due: bool
) -> None:
    ticker = {AssetClass.CRYPTO: "BTC-USD", AssetClass.FOREX: "EUR/USD"}.get(asset_class, "AAPL")
    symbol = Symbol(ticker, None, asset_class, exchange, "USD")
    one, two = Named("one", ticker), Named("two", ticker)
    one.has()
    two.has()
    chained = Chained(one, two)
    asked_for = date.fromisoformat(start), datetime.fromisoformat(until)
    assert await chained.chain.history(symbol, Interval.ONE_DAY, *asked_for) == History(())
    assert chained.calls == (["one", "two"] if is_due else ["one"])


# ── reach


class Reaching(Named):
    def __init__(self, name: str, **reaches: Reach) -> None:
        super().__init__(name)
        self._reaches = reaches

    def reach(self, asset_class: AssetClass, interval: Interval) -> Reach | None:
        return self._reaches.get(interval.name)


async def test_who_has_no_such_bars_is_not_asked_for_them() -> None:
    """Its gate would take the refusal for a failure."""
    days, minutes = Reaching("days", ONE_DAY=Reach()), Reaching("minutes", ONE_DAY=Reach(7), ONE_MINUTE=Reach(7, 29))
    minutes.has(START)
    chained = Chained(days, minutes)
    assert chained.chain.reach(AssetClass.STOCK, Interval.ONE_DAY) == Reach()
    assert chained.chain.reach(AssetClass.STOCK, Interval.ONE_MINUTE) == Reach(7, 29)
    assert chained.chain.reach(AssetClass.STOCK, Interval.ONE_HOUR) is None
    await chained.chain.history(SYMBOL, Interval.ONE_MINUTE, START, EVENING)
    assert (chained.calls, chained.falls) == (["minutes"], [])
    with pytest.raises(ProviderUnavailable, match="days or minutes does not serve bars of 1h of STOCK"):
        await chained.chain.history(SYMBOL, Interval.ONE_HOUR, START, EVENING)


# ── search, quotes, streams


async def test_a_search_is_answered_by_the_first_that_does() -> None:
    one, two = Named("one", "MSFT"), Named("two", "AAPL")
    chained = Chained(one, two)
    assert await chained.chain.search("AAPL", 3) == []
    one.refuses(down("one"))
    assert await chained.chain.search("AAPL", 3) == [profile("AAPL")]
    two.refuses(limited("two", 9))
    with pytest.raises(ProviderUnavailable) as refusal:
        await chained.chain.search("AAPL", 3)
    assert (refusal.value.provider, refusal.value.retry_after_seconds) == ("one", 9)


def priced(provider: Named, *tickers: str) -> None:
    provider.prices = {ticker: Quote(ticker, Decimal(len(provider.name)), EVENING, "USD", None) for ticker in tickers}


async def test_quotes_come_from_the_first_that_knows_each_in_the_order_asked_for() -> None:
    one, second, third = Named("one"), Named("second"), Named("third")
    priced(one, "AAPL")
    priced(second, "AAPL", "MSFT", "BTC-USD")
    priced(third, "BTC-USD", "ETH-USD")
    chained = Chained(one, second, third, orders={AssetClass.CRYPTO: ("third", "second")})
    asked = ["MSFT", "ETH-USD", "AAPL", "NOPE", "BTC-USD", "AAPL"]
    found = await chained.chain.quotes(asked)
    assert [(quote.ticker, int(quote.price)) for quote in found] == [
        ("MSFT", 6),
        ("ETH-USD", 5),
        ("AAPL", 3),
        ("BTC-USD", 5),
        ("AAPL", 3),
    ]
    assert await chained.chain.quotes([]) == []


async def test_while_one_is_down_nobody_says_that_a_quote_is_not_there() -> None:
    one, two = Named("one"), Named("two")
    priced(two, "AAPL")
    one.refuses(down("one"))
    chain = Chained(one, two).chain
    assert [quote.ticker for quote in await chain.quotes(["AAPL"])] == ["AAPL"]
    with pytest.raises(ProviderUnavailable, match="one is out of order"):
        await chain.quotes(["AAPL", "NOPE"])


async def test_the_stream_is_the_preferred_ones() -> None:
    one, two = Named("one"), Named("two")
    two.feed = PollingFeed(two, ManualClock(), 60)
    assert Chained(one, two).chain.live() is None
    assert Chained(two, one).chain.live() is two.feed


# ── callers who leave


async def test_who_leaves_is_not_handed_on() -> None:
    one, two = Named("one"), Named("two")

    async def hang() -> None:
        await asyncio.sleep(3600)

    one.before_answer = hang
    chained = Chained(one, two)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await chained.history()
    assert (two.calls, chained.falls) == ([], [])
