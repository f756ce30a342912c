"""Any sequence of commands against a model of a few lines: versions, events, levels and history always agree."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, update
from sqlmodel import SQLModel

from domain.errors import AlreadyRefreshing, NoData, ProviderUnavailable, Refusal, SymbolNotFound, VersionConflict
from domain.events import Logged, Position, SymbolChangeKind
from domain.factors import FACTOR_ETFS, FactorModel
from domain.onboarding import JobStatus
from domain.services.measuring import Measuring
from domain.services.pipeline import Pipeline
from domain.services.queueing import OnboardingQueue
from domain.services.refreshing import Refreshing
from domain.services.symbols import Symbols
from domain.symbols import Symbol, SymbolStatus
from persistence.catalogue import SqlCatalogue
from persistence.engine import Engine
from persistence.event_feed import SqlEventFeed
from persistence.symbol_store import SqlSymbolStore
from persistence.tables import event_log, onboarding_queue
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import ManualClock
from tests.support.journal import changes_of
from tests.support.mutants import mutated
from tests.support.provider import StubProvider

T = TypeVar("T")
Kind = SymbolChangeKind

THRESHOLD = timedelta(hours=48)
MOVING = {Kind.ADDED, Kind.UPDATED, Kind.REFRESHED, Kind.REMOVED, Kind.STATUS_CHANGED}
"""Events of a change of version, each of one step; but an onboarding that has come to the levels tells of an UPDATED symbol,
whose version is the same."""
TICKERS = st.sampled_from(["AAPL", "MSFT"])
NAMES = st.sampled_from([None, "one", "two"])
MEANWHILE = st.sampled_from(["nothing", "nothing", "remove", "rename", "other", "remove and revive"])
"""What somebody else does while the provider is asked."""
VERSIONS = st.sampled_from(["right", "right", "none", "older", "newer"])


@dataclass
class Model:
    """What a symbol must be; version 0 is one that was never added. `fills` counts what has brought it prices, `joinings` the
    onboardings among that; `jobs` is how its onboardings stand, oldest first."""

    version: int = 0
    status: SymbolStatus = SymbolStatus.ONBOARDING
    name: str | None = None
    fills: int = 0
    joinings: int = 0
    kinds: list[Kind] = field(default_factory=list)
    jobs: list[JobStatus] = field(default_factory=list)

    @property
    def is_retired(self) -> bool:
        return self.status is SymbolStatus.RETIRED

    def told(self, choice: str) -> int | None:
        return {"right": self.version, "none": None, "older": self.version - 1, "newer": self.version + 1}[choice]

    def accept(self, kind: Kind) -> None:
        self.version += 1
        self.kinds.append(kind)

    def refuses_version(self, version: int | None) -> bool:
        return version is not None and version != self.version

    def add(self, ticker: str, name: str | None, version: int | None) -> type[Refusal] | None:
        if self.version == 0 and version:
            return VersionConflict
        if self.version == 0:
            self.name = name or f"{ticker} Inc."
            self.accept(Kind.ADDED)
            self.jobs.append(JobStatus.PENDING)
            return None
        is_change = self.is_retired or name not in (None, self.name)
        if self.refuses_version(version) or (is_change and version is None):
            return VersionConflict
        if is_change:
            self.accept(Kind.ADDED if self.is_retired else Kind.UPDATED)
            self.name = name or self.name
        if self.is_retired and is_change:
            self.status = SymbolStatus.ONBOARDING
            self.jobs.append(JobStatus.PENDING)
        return None

    def remove(self, version: int) -> type[Refusal] | None:
        if self.version == 0:
            return SymbolNotFound
        if self.refuses_version(version) or self.is_retired:
            return VersionConflict
        if self.status is SymbolStatus.ONBOARDING:
            self.jobs[-1] = JobStatus.CANCELLED
        self.status = SymbolStatus.RETIRED
        self.accept(Kind.REMOVED)
        return None

    def begin_refresh(self, version: int | None) -> type[Refusal] | None:
        if self.version == 0 or self.is_retired:
            return SymbolNotFound
        if self.refuses_version(version):
            return VersionConflict
        if self.status is SymbolStatus.ONBOARDING:
            return AlreadyRefreshing
        self.kinds.append(Kind.REFRESH_STARTED)
        return None

    def end_refresh(self, started_at: int, answer: type[Refusal] | None) -> type[Refusal] | None:
        refusal = answer or (VersionConflict if self.version != started_at else None)
        if refusal is None:
            self.fills += 1
            self.accept(Kind.REFRESHED)
        else:
            self.kinds.append(Kind.REFRESH_FAILED)
        return refusal

    def end_onboarding(self, number: int, answer: type[Refusal] | None) -> None:
        """Of the job of that number, unless it was called off. Its betas are missing: no provider knows the ETFs."""
        if self.jobs[number] is JobStatus.CANCELLED:
            return
        if answer is None:
            self.fills += 1
            self.joinings += 1
            self.kinds.append(Kind.UPDATED)
        self.accept(Kind.STATUS_CHANGED)
        self.status = SymbolStatus.ACTIVE if answer is None else SymbolStatus.RETIRED
        self.jobs[number] = JobStatus.PARTIAL if answer is None else JobStatus.FAILED


class SymbolMachine(RuleBasedStateMachine):
    url: ClassVar[str]

    @initialize(tracked=st.sampled_from([("AAPL", "MSFT"), ("AAPL",), ()]))
    def open(self, tracked: Sequence[str]) -> None:
        self.runner = asyncio.Runner()
        self.engine = Engine(self.url)
        self.database = SqlDatabase(self.engine, clock_generation=0)
        self.clock, self.provider = ManualClock(), StubProvider("AAPL", "MSFT")
        queue = OnboardingQueue(self.clock, depth=50, places=3)
        catalogue = SqlCatalogue(SqlEventFeed(self.database))
        self.symbols = Symbols(self.database, catalogue, self.provider, queue, self.clock, THRESHOLD)
        self.refreshing = Refreshing(self.database, self.provider, self.clock)
        factors = FactorModel(FACTOR_ETFS)
        measuring = Measuring(self.database, self.provider, self.refreshing, factors, self.clock, THRESHOLD)
        self.pipeline = Pipeline(self.database, self.provider, queue, measuring, self.clock)
        self.models = {"AAPL": Model(), "MSFT": Model()}
        self.bars_held = {"AAPL": 0, "MSFT": 0}
        self.run(self._empty())
        for ticker in tracked:
            self.add(ticker, None, "none")
            self.work("nothing", None)

    def teardown(self) -> None:
        self.run(self.engine.close())
        self.runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def _empty(self) -> None:
        async with self.engine.write() as connection:
            for table in reversed(SQLModel.metadata.sorted_tables):
                if table not in (event_log, onboarding_queue):
                    await connection.execute(delete(table))
            for numbers in (event_log, onboarding_queue):
                await connection.execute(update(numbers).values(last_number=0))

    # ── commands

    @rule(ticker=TICKERS, name=NAMES, version=VERSIONS)
    def add(self, ticker: str, name: str | None, version: str) -> None:
        self.run(self._add(ticker, name, self.models[ticker].told(version)))

    async def _add(self, ticker: str, name: str | None, version: int | None) -> None:
        expected = self.models[ticker].add(ticker, name, version)
        assert await _refusal(self.symbols.add(ticker, None, name, version)) is expected

    @rule(ticker=TICKERS, version=st.sampled_from(["right", "right", "older", "newer"]))
    def remove(self, ticker: str, version: str) -> None:
        self.run(self._remove(ticker, self.models[ticker].told(version) or 0))

    async def _remove(self, ticker: str, version: int) -> None:
        expected = self.models[ticker].remove(version)
        assert await _refusal(self.symbols.remove(ticker, version)) is expected

    @rule(
        ticker=TICKERS,
        version=VERSIONS,
        meanwhile=MEANWHILE,
        answer=st.sampled_from([None, None, None, ProviderUnavailable, NoData]),
    )
    def refresh(self, ticker: str, version: str, meanwhile: str, answer: type[Refusal] | None) -> None:
        self.run(self._refresh(ticker, version, meanwhile, answer))

    async def _refresh(self, ticker: str, choice: str, meanwhile: str, answer: type[Refusal] | None) -> None:
        model = self.models[ticker]
        version = model.told(choice)
        refused = model.begin_refresh(version)
        started_at = model.version
        with self._answering(ticker, meanwhile, answer):
            ended = await _refusal(self.refreshing.refresh(ticker, version, "api"))
        assert ended is (refused or model.end_refresh(started_at, answer))

    @rule(meanwhile=MEANWHILE, answer=st.sampled_from([None, None, NoData]))
    def work(self, meanwhile: str, answer: type[Refusal] | None) -> None:
        """A worker takes up the next onboarding, if there is one, and brings it to its end."""
        self.run(self._work(meanwhile, answer))

    async def _work(self, meanwhile: str, answer: type[Refusal] | None) -> None:
        claim = await self.pipeline.claim()
        pending = {ticker for ticker, model in self.models.items() if JobStatus.PENDING in model.jobs}
        if claim is None:
            assert not pending
            return
        ticker = claim.job.ticker
        assert ticker in pending
        model = self.models[ticker]
        number = len(model.jobs) - 1
        model.jobs[number] = JobStatus.PROCESSING
        with self._answering(ticker, meanwhile, answer):
            await self.pipeline.run(claim)
        model.end_onboarding(number, answer)

    @contextmanager
    def _answering(self, ticker: str, meanwhile: str, answer: type[Refusal] | None) -> Iterator[None]:
        """What the provider answers when it is asked next, and what happens meanwhile."""

        async def ask() -> None:
            self.provider.before_answer = None
            await self._meanwhile(ticker, meanwhile)
            if answer is ProviderUnavailable:
                raise ProviderUnavailable("stub")

        self.provider.before_answer = ask
        self.provider.bars = [] if answer is NoData else None
        yield
        self.provider.before_answer = self.provider.bars = None

    async def _meanwhile(self, ticker: str, what: str) -> None:
        model = self.models[ticker]
        if what == "other":
            await self._add("MSFT" if ticker == "AAPL" else "AAPL", None, None)
        if what == "rename":
            await self._add(ticker, f"named at {model.version}", model.version)
        if what.startswith("remove"):
            await self._remove(ticker, model.version)
        if what.endswith("revive"):
            await self._add(ticker, None, model.version)

    @rule(hours=st.integers(1, 72))
    def wait(self, hours: int) -> None:
        self.clock.advance(timedelta(hours=hours))

    # ── what always holds

    @invariant()
    def what_is_held_is_what_the_model_says(self) -> None:
        held = self.run(self._held())
        assert [entry.position.number for entry in held.log] == list(range(1, len(held.log) + 1))
        assert not held.in_flight
        for ticker, model in self.models.items():
            _agree_on_the_symbol(held.symbols.get(ticker), model)
            _agree_on_the_events([change.event.kind for change in changes_of(held.log) if change.event.ticker == ticker], model)
            assert held.jobs[ticker] == model.jobs
            levels, bars = held.levels[ticker], held.bars[ticker]
            assert levels == (held.symbols[ticker].level_count if model.version else 0)
            assert (levels > 0) == (bars > 0) == (model.fills > 0)
            assert bars >= self.bars_held[ticker], "a retired symbol keeps its history too"
            self.bars_held[ticker] = bars

    async def _held(self) -> "Held":
        async with self.database.read() as unit:
            symbols = {ticker: await unit.symbols.get(ticker) for ticker in self.models}
            levels = await unit.symbols.levels(list(self.models))
            # The active ones come first, the newest of a ticker; then the ended ones, newest first.
            jobs = list(reversed(await unit.jobs.listed(tuple(JobStatus), 1000)))
            return Held(
                symbols={ticker: symbol for ticker, symbol in symbols.items() if symbol is not None},
                levels={ticker: len(levels.get(ticker, ())) for ticker in self.models},
                bars={ticker: len(await unit.bars.daily_since(ticker, date(2000, 1, 1))) for ticker in self.models},
                jobs={ticker: [job.status for job in jobs if job.ticker == ticker] for ticker in self.models},
                in_flight=set(await unit.leases.in_flight(list(self.models))),
                log=await unit.events.after(Position((await unit.events.head()).log_id, 0), 10_000),
            )


@dataclass(frozen=True)
class Held:
    """What the database holds, by ticker: how many levels and bars, how its onboardings stand, oldest first, which refreshes;
    and the whole log."""

    symbols: dict[str, Symbol]
    levels: dict[str, int]
    bars: dict[str, int]
    jobs: dict[str, list[JobStatus]]
    in_flight: set[str]
    log: list[Logged]


def _agree_on_the_symbol(symbol: Symbol | None, model: Model) -> None:
    if symbol is None:
        assert model.version == 0
        return
    assert (symbol.version, symbol.status, symbol.name) == (model.version, model.status, model.name)
    assert (symbol.last_updated is None) == (model.fills == 0)


def _agree_on_the_events(kinds: list[Kind], model: Model) -> None:
    """One for every accepted change, none for a refused one, and every step of the version has its own."""
    assert kinds == model.kinds
    assert sum(kind in MOVING for kind in kinds) - model.joinings == model.version


async def _refusal(command: Coroutine[Any, Any, object]) -> type[Refusal] | None:
    try:
        await command
    except Refusal as error:
        return type(error)
    return None


def run_machine(url: str, **given: Any) -> None:
    machine = type("SymbolMachine", (SymbolMachine,), {"url": url})
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine,
        settings=settings(
            deadline=None,
            database=None,
            phases=[Phase.generate],  # fifteen steps can be read as they are; shrinking them takes minutes
            stateful_step_count=15,
            suppress_health_check=quiet,
            **given,
        ),
    )


def test_any_sequence_of_commands_on_sqlite(sqlite_url: str) -> None:
    run_machine(sqlite_url, max_examples=20)


def test_any_sequence_of_commands_on_postgresql(postgresql_url: str) -> None:
    run_machine(postgresql_url, max_examples=10)


@pytest.mark.parametrize(
    ("function", "old", "new"),
    [
        # Only a change that comes between a refresh's reading and its writing can tell: the domain sees it nowhere.
        (SqlSymbolStore.save, ", symbols.c.version == expected_version", ""),
        (Symbol.expect, "if version is not None and version != self.version", "if False"),
        (Symbols.remove, "await unit.events.append", "print"),
        (Refreshing._give_up, "await unit.leases.release(ticker, attempt.token)", "True"),
        (Symbols.remove, '_, events = await call_off(unit, ticker, "its symbol was removed", self._clock)', "events = []"),
        (Pipeline._hold, "if not await unit.jobs.hold(job.id, token):", "if False:"),
    ],
)
def test_the_machine_notices_a_missing_guard(sqlite_url: str, function: Any, old: str, new: str) -> None:
    with mutated(function, (old, new)), pytest.raises(AssertionError):
        run_machine(sqlite_url, max_examples=200, derandomize=True, report_multiple_bugs=False)
