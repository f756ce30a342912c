"""The gate in front of a provider: what reaches the provider, what its callers are told, and what is remembered."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from itertools import pairwise

import pytest

from domain.bars import History, Interval
from domain.errors import NoData, ProviderUnavailable, SymbolNotFound, Trouble
from domain.gates import Budget, CircuitState, Gate
from domain.services import asking
from domain.services.polling import PollingFeed
from domain.symbols import Symbol
from domain.tickers import AssetClass
from persistence.engine import Engine
from persistence.unit_of_work import SqlDatabase, SqlUnitOfWork
from providers import gate as gating
from providers.gate import GatedProvider
from tests.support.clock import EVENING, ManualClock
from tests.support.process import until
from tests.support.provider import StubProvider, profile

SYMBOL = Symbol.tracked(profile("AAPL"), None, None)
PLENTY = 1_000_000
START = EVENING.date() - timedelta(days=30)


class Gated:
    """A gated stub, what was observed of it, and what its database remembers."""

    def __init__(self, database: SqlDatabase, provider: StubProvider, budget: Budget | None = None, *, one_of: int = 1) -> None:
        self.stub = provider
        self.observed: list[tuple[str, str, str]] = []
        self.requests = 0
        self.provider = GatedProvider(provider, database, budget, self._observe, one_of=one_of)
        self._database = database

    def _observe(self, provider: str, operation: str, outcome: str, seconds: float) -> None:
        assert 0 <= seconds < 60
        self.observed.append((provider, operation, outcome))

    @property
    def outcomes(self) -> list[str]:
        return [outcome for _, _, outcome in self.observed]

    def answers(self, *answers: BaseException | Callable[[], Awaitable[None]] | None) -> None:
        """One request after the other raises, waits, or (None) is answered; the last for ever after."""
        ahead = list(answers)

        async def answer() -> None:
            self.requests += 1
            now = ahead.pop(0) if len(ahead) > 1 else ahead[0]
            if isinstance(now, BaseException):
                raise now
            if now is not None:
                await now()

        self.stub.before_answer = answer

    async def ask(self) -> object:
        return await self.provider.profile("AAPL")

    async def left(self) -> None:
        """A caller leaves as soon as its request is made."""
        before, asking_it = self.requests, asyncio.create_task(self.ask())

        async def is_asked() -> bool:
            return self.requests > before

        await until(is_asked, within=5)
        asking_it.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking_it

    async def refused(self) -> ProviderUnavailable:
        with pytest.raises(ProviderUnavailable) as refusal:
            await self.ask()
        return refusal.value

    async def gate(self) -> Gate:
        async with self._database.read() as unit:
            return (await unit.gates.read(["stub"]))[0]["stub"]

    async def state(self) -> CircuitState:
        async with self._database.read() as unit:
            gates, now = await unit.gates.read(["stub"])
        return gates["stub"].state(now)


def down(seconds: int | None = None) -> ProviderUnavailable:
    return ProviderUnavailable("stub", Trouble.DOWN, "is out of order", seconds)


def limited(seconds: int | None = None) -> ProviderUnavailable:
    return ProviderUnavailable("stub", Trouble.RATE_LIMITED, "was asked too often", seconds)


async def forever() -> None:
    await asyncio.sleep(3600)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gating, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def gated(database: SqlDatabase, provider: StubProvider) -> Gated:
    found = Gated(database, provider)
    found.answers(None)
    return found


# ── answers


async def test_what_the_provider_answers_is_handed_on(gated: Gated, provider: StubProvider) -> None:
    assert (gated.provider.name, gated.provider.asset_classes) == ("stub", frozenset({AssetClass.STOCK, AssetClass.CRYPTO}))
    assert await gated.provider.profile("MSFT") == provider.profiles["MSFT"]
    assert await gated.provider.search("aapl", 3) == [provider.profiles["AAPL"]]
    history = await gated.provider.history(SYMBOL, Interval.ONE_DAY, START, EVENING)
    assert len(history.bars) == 30
    assert provider.asked == [("AAPL", START, EVENING)]
    assert gated.observed == [("stub", "profile", "ok"), ("stub", "search", "ok"), ("stub", "history", "ok")]


async def test_an_answer_that_there_is_nothing_is_the_success_of_the_provider(gated: Gated, provider: StubProvider) -> None:
    gated.answers(down(), down(), None)
    await gated.ask()
    gated.answers(down(), down(), None)
    with pytest.raises(SymbolNotFound):
        await gated.provider.profile("NOPE")
    assert (await gated.gate()).failures == 0
    gated.answers(down(9))
    await gated.refused()
    gated.answers(NoData("AAPL", "stub"))
    with pytest.raises(NoData):
        await gated.ask()
    gated.answers(down(9))
    await gated.refused()
    gated.answers(ProviderUnavailable("stub", Trouble.NOT_SERVED, "does not cover such bars"))
    await gated.refused()
    assert (await gated.gate()).failures == 0
    gated.answers(None)
    provider.bars = []
    assert await gated.provider.history(SYMBOL, Interval.ONE_DAY, START, EVENING) == History(())
    assert (await gated.gate()).failures == 0
    assert gated.outcomes == [
        "down",
        "down",
        "ok",
        "down",
        "down",
        "not_found",
        "down",
        "no_data",
        "down",
        "not_served",
        "no_data",
    ]


async def test_while_all_is_well_nothing_is_written(gated: Gated, statements: list[str]) -> None:
    await gated.ask()
    assert [statement.split()[0] for statement in statements] == ["SELECT", "SELECT"]


# ── trouble


async def test_a_failure_is_asked_again_twice_at_most(gated: Gated) -> None:
    gated.answers(down(), down(), None)
    assert await gated.ask() == profile("AAPL")
    assert gated.requests == 3
    gated.answers(down())
    assert (await gated.refused()).message == "The provider stub is out of order."
    assert gated.requests == 6
    assert gated.outcomes == ["down", "down", "ok", "down", "down", "down"]
    assert (await gated.gate()).last_error == "The provider stub is out of order."


async def test_five_failures_in_a_row_open_it_and_nothing_more_is_asked(gated: Gated) -> None:
    gated.answers(down())
    await gated.refused()
    fifth = await gated.refused()
    assert gated.requests == 5
    assert (fifth.trouble, fifth.detail, fifth.retry_after_seconds) == (Trouble.DOWN, "is out of order", 60)
    refusal = await gated.refused()
    assert gated.requests == 5
    assert refusal.trouble is Trouble.DOWN
    assert 55 < (refusal.retry_after_seconds or 0) <= 60
    assert "has failed 5 times in a row" in refusal.message
    assert gated.outcomes == ["down"] * 5 + ["refused"]


@pytest.mark.parametrize(("says", "told"), [(None, 60), (7, 7)])
async def test_a_429_is_never_asked_again_before_it_says(gated: Gated, says: int | None, told: int) -> None:
    gated.answers(limited(says))
    first = await gated.refused()
    assert (first.trouble, first.retry_after_seconds) == (Trouble.RATE_LIMITED, told)
    second = await gated.refused()
    assert second.trouble is Trouble.RATE_LIMITED
    assert told - 5 < (second.retry_after_seconds or 0) <= told
    assert gated.requests == 1
    assert gated.outcomes == ["rate_limited", "refused"]
    assert (await gated.gate()).last_error == "The provider stub was asked too often."


async def test_who_says_when_to_come_back_is_not_asked_again_at_once(gated: Gated) -> None:
    gated.answers(down(20))
    assert (await gated.refused()).retry_after_seconds == 20
    assert gated.requests == 1
    assert await gated.state() is CircuitState.CLOSED


async def test_after_the_cool_down_one_probes_and_closes_it(gated: Gated) -> None:
    gated.answers(limited(1))
    await gated.refused()
    is_asked, may_answer = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        is_asked.set()
        await may_answer.wait()

    gated.answers(wait)
    await asyncio.sleep(1.05)
    probing = asyncio.create_task(gated.provider.profile("AAPL"))
    await is_asked.wait()
    refusals = await asyncio.gather(*(gated.refused() for _ in range(5)))
    assert {refusal.trouble for refusal in refusals} == {Trouble.RATE_LIMITED}
    assert gated.requests == 2
    may_answer.set()
    await probing
    assert await gated.state() is CircuitState.CLOSED
    await gated.ask()
    assert Counter(gated.outcomes) == {"rate_limited": 1, "refused": 5, "ok": 2}


async def test_no_answer_in_time_is_a_failure(
    database: SqlDatabase, provider: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gating, "CALL_SECONDS", 0.1)
    monkeypatch.setattr(gating, "START_SECONDS", 0.05)
    gated = Gated(database, provider)
    gated.answers(forever)
    assert (await gated.refused()).message == "The provider stub did not answer within 0.1 s."
    assert gated.requests == 1, "a slow failure is not asked again"
    assert ((await gated.gate()).failures, gated.outcomes) == (1, ["down"])


@pytest.mark.parametrize(("one_of", "sentence"), [(1, "within 1.2 s"), (2, "within 0.6 s"), (3, "within 0.4 s")])
async def test_several_providers_share_the_time_of_a_call(
    database: SqlDatabase, provider: StubProvider, monkeypatch: pytest.MonkeyPatch, one_of: int, sentence: str
) -> None:
    monkeypatch.setattr(gating, "CALL_SECONDS", 1.2)
    monkeypatch.setattr(gating, "START_SECONDS", 0.5)
    gated = Gated(database, provider, one_of=one_of)
    gated.answers(forever)
    began = asyncio.get_running_loop().time()
    assert sentence in (await gated.refused()).message
    took = asyncio.get_running_loop().time() - began
    assert 1.2 / one_of <= took + 0.001
    assert (await gated.gate()).failures == 1, "and it is judged"


class SlowDatabase(SqlDatabase):
    @asynccontextmanager
    async def read(self) -> AsyncIterator[SqlUnitOfWork]:
        await asyncio.sleep(0.4)
        async with super().read() as unit:
            yield unit


async def test_a_slow_database_is_not_held_against_the_provider(
    engine: Engine, provider: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gating, "CALL_SECONDS", 0.3)
    monkeypatch.setattr(gating, "START_SECONDS", 0.1)
    gated = Gated(SlowDatabase(engine, clock_generation=0), provider)
    gated.answers(lambda: asyncio.sleep(0.05))
    assert await gated.ask() == profile("AAPL")


async def test_the_pauses_between_requests_grow(gated: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gating, "FIRST_PAUSE_SECONDS", 0.1)
    asked: list[float] = []

    async def fail() -> None:
        asked.append(asyncio.get_running_loop().time())
        raise down()

    gated.answers(fail)
    await gated.refused()
    pauses = [after - before for before, after in pairwise(asked)]
    assert len(pauses) == 2
    assert pauses[0] > 0.09
    assert pauses[1] > 0.19


def test_it_has_judged_before_its_caller_gives_up() -> None:
    assert gating.START_SECONDS < gating.CALL_SECONDS < asking.PROVIDER_SECONDS


async def test_a_fault_of_the_provider_counts_and_is_not_told_to_strangers(gated: Gated) -> None:
    gated.answers(RuntimeError("the password is 1234"))
    for _ in range(5):
        with pytest.raises(RuntimeError):
            await gated.ask()
    assert gated.requests == 5
    assert (await gated.gate()).last_error == "An internal fault, see the log."
    assert (await gated.refused()).trouble is Trouble.DOWN
    assert gated.outcomes == ["fault"] * 5 + ["refused"]


# ── callers who leave


async def test_a_caller_who_leaves_says_nothing_of_the_provider(gated: Gated) -> None:
    gated.answers(forever)
    for _ in range(6):
        await gated.left()
    assert await gated.gate() == Gate("stub")
    assert gated.outcomes == ["cancelled"] * 6


async def test_a_probe_whose_caller_leaves_is_given_back(gated: Gated) -> None:
    gated.answers(limited(1))
    await gated.refused()
    await asyncio.sleep(1.05)
    gated.answers(forever)
    await gated.left()
    assert gated.requests == 2
    gated.answers(None)
    await gated.ask()
    assert await gated.state() is CircuitState.CLOSED


async def test_a_429_is_remembered_although_its_caller_has_left(gated: Gated) -> None:
    """It leaves between the answer and the writing of it."""
    asking_it: list[asyncio.Task[object]] = []

    async def leave() -> None:
        asking_it[0].get_loop().call_soon(asking_it[0].cancel)
        raise limited(30)

    gated.answers(leave)
    asking_it.append(asyncio.create_task(gated.ask()))
    with pytest.raises(asyncio.CancelledError):
        await asking_it[0]

    async def is_open() -> bool:
        return await gated.state() is CircuitState.OPEN

    await until(is_open, within=5)
    assert (await gated.refused()).trouble is Trouble.RATE_LIMITED


# ── in flight when it opens


async def test_calls_in_flight_when_it_opens_are_let_end_and_neither_close_nor_shorten_it(gated: Gated) -> None:
    asked: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    async def wait() -> None:
        answer = asyncio.get_running_loop().create_future()
        asked.put_nowait(answer)
        await answer

    gated.answers(wait)
    calls = {asyncio.create_task(gated.ask()) for _ in range(4)}
    first, *others = [await asked.get() for _ in calls]
    first.set_exception(limited(50))
    (refused,), others_calls = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    assert isinstance(refused.exception(), ProviderUnavailable)
    opened = await gated.gate()
    others[0].set_result(None)
    others[1].set_exception(down())
    others[2].set_exception(limited(2))
    ended = await asyncio.gather(*others_calls, return_exceptions=True)
    late = [each for each in ended if isinstance(each, ProviderUnavailable)]
    assert ended.count(profile("AAPL")) == 1
    assert [(each.retry_after_seconds or 0) > 40 for each in late] == [True, True]
    after = await gated.gate()
    assert after.open_until == opened.open_until
    assert gated.requests == 4, "a late failure is not asked again"


# ── the budget


async def test_who_comes_beyond_the_budget_waits_for_its_turn(database: SqlDatabase, provider: StubProvider) -> None:
    gated = Gated(database, provider, Budget(120, PLENTY))
    gated.answers(None)
    began = asyncio.get_running_loop().time()
    await spend(database, 120)
    await asyncio.gather(*(gated.ask() for _ in range(3)))
    assert asyncio.get_running_loop().time() - began > 1.49, "two a second"
    assert gated.outcomes == ["ok"] * 3


async def test_whose_turn_would_come_too_late_is_refused_at_once(database: SqlDatabase, provider: StubProvider) -> None:
    gated = Gated(database, provider, Budget(2, PLENTY))
    gated.answers(None)
    await gated.ask()
    await gated.ask()
    before = await gated.gate()
    refusal = await gated.refused()
    assert refusal.trouble is Trouble.RATE_LIMITED
    assert 25 < (refusal.retry_after_seconds or 0) <= 30
    assert "has no calls left in this minute's budget" in refusal.message
    assert await gated.gate() == before
    assert (gated.requests, gated.outcomes) == (2, ["ok", "ok", "refused"])


async def test_who_has_waited_for_its_turn_looks_again(
    database: SqlDatabase, provider: StubProvider, database_url: str
) -> None:
    """Another process meets a 429 meanwhile."""
    gated = Gated(database, provider, Budget(25, PLENTY))
    gated.answers(None)
    await spend(database, 25)
    waiting = asyncio.create_task(gated.refused())
    await asyncio.sleep(0.3)
    engine = Engine(database_url)
    other = Gated(SqlDatabase(engine, clock_generation=0), StubProvider("AAPL"))
    other.answers(limited(30))
    await other.refused()
    await engine.close()
    assert (await waiting).trouble is Trouble.RATE_LIMITED
    assert gated.requests == 0


async def spend(database: SqlDatabase, calls: int) -> None:
    """So many a minute have been taken just now."""
    async with database.write() as unit:
        gate, now = await unit.gates.lock("stub")
        for _ in range(calls):
            gate = gate.entered(now, Budget(calls, PLENTY), timedelta())
        await unit.gates.save(gate)


async def test_the_budget_is_one_for_all_processes(database: SqlDatabase, database_url: str) -> None:
    engine = Engine(database_url)
    both = [
        Gated(each, StubProvider("AAPL"), Budget(4, PLENTY)) for each in (database, SqlDatabase(engine, clock_generation=0))
    ]

    async def ask(gated: Gated) -> None:
        gated.answers(None)
        with suppress(ProviderUnavailable):
            await gated.ask()

    await asyncio.gather(*(ask(gated) for gated in both for _ in range(5)))
    await engine.close()
    assert sum(gated.requests for gated in both) == 4


async def test_the_days_budget_is_one_for_all_processes_and_outlives_them(database: SqlDatabase, database_url: str) -> None:
    budget = Budget(100, 7)
    engine = Engine(database_url)
    both = [Gated(each, StubProvider("AAPL"), budget) for each in (database, SqlDatabase(engine, clock_generation=0))]
    for gated in both:
        gated.answers(None)
    asked = [gated.ask() for gated in both for _ in range(9)]
    ended = await asyncio.gather(*asked, return_exceptions=True)
    await engine.close()
    assert sum(gated.requests for gated in both) == 7
    refusals = [each for each in ended if isinstance(each, ProviderUnavailable)]
    assert {(each.trouble, each.detail) for each in refusals} == {(Trouble.RATE_LIMITED, "has no calls left in today's budget")}
    assert all(0 < (each.retry_after_seconds or 0) <= 86_400 for each in refusals)
    later = Gated(database, StubProvider("AAPL"), budget)
    later.answers(None)
    before = await later.gate()
    assert "today's budget" in (await later.refused()).message
    assert (later.requests, await later.gate()) == (0, before)


async def test_counting_the_day_costs_no_statement_more_than_the_minute(
    database: SqlDatabase, provider: StubProvider, statements: list[str]
) -> None:
    gated = Gated(database, provider, Budget(60, 60))
    gated.answers(None)
    await gated.ask()
    statements.clear()
    await gated.ask()
    assert [statement.split()[0] for statement in statements] == ["SELECT", "SELECT", "SELECT", "UPDATE", "SELECT"]
    assert (await gated.gate()).calls == 2


async def test_a_stream_passes_as_it_is(database: SqlDatabase, provider: StubProvider, statements: list[str]) -> None:
    gated = Gated(database, provider)
    assert gated.provider.live() is None
    provider.feed = PollingFeed(provider, ManualClock(), 60)
    assert gated.provider.live() is provider.feed
    assert (statements, gated.observed) == ([], [])
