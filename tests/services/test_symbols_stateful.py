"""Any sequence of commands against a model of a few lines: versions, events, levels and history always agree."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, update
from sqlmodel import SQLModel

from domain.errors import NoData, ProviderUnavailable, Refusal, SymbolNotFound, VersionConflict
from domain.events import LoggedChange, Position, SymbolChangeKind
from domain.services.refreshing import Refreshing
from domain.services.symbols import Symbols
from domain.symbols import Symbol
from persistence.catalogue import SqlCatalogue
from persistence.engine import Engine
from persistence.event_feed import SqlEventFeed
from persistence.symbol_store import SqlSymbolStore
from persistence.tables import event_log
from persistence.unit_of_work import SqlDatabase
from tests.support.clock import ManualClock
from tests.support.journal import changes_of
from tests.support.mutants import mutated
from tests.support.provider import StubProvider

T = TypeVar("T")
Kind = SymbolChangeKind

MOVING = {Kind.ADDED, Kind.UPDATED, Kind.REFRESHED, Kind.REMOVED}
"""Events of a change of version, each of one step."""
TICKERS = st.sampled_from(["AAPL", "MSFT"])
NAMES = st.sampled_from([None, "one", "two"])
VERSIONS = st.sampled_from(["right", "right", "none", "older", "newer"])


@dataclass
class Model:
    """What a symbol must be; version 0 is one that was never added."""

    version: int = 0
    is_retired: bool = False
    name: str | None = None
    refreshes: int = 0
    kinds: list[Kind] = field(default_factory=list)

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
            return None
        is_change = self.is_retired or name not in (None, self.name)
        if self.refuses_version(version) or (is_change and version is None):
            return VersionConflict
        if is_change:
            self.accept(Kind.ADDED if self.is_retired else Kind.UPDATED)
            self.is_retired, self.name = False, name or self.name
        return None

    def remove(self, version: int) -> type[Refusal] | None:
        if self.version == 0:
            return SymbolNotFound
        if self.refuses_version(version) or self.is_retired:
            return VersionConflict
        self.is_retired = True
        self.accept(Kind.REMOVED)
        return None

    def begin_refresh(self, version: int | None) -> type[Refusal] | None:
        if self.version == 0 or self.is_retired:
            return SymbolNotFound
        if self.refuses_version(version):
            return VersionConflict
        self.kinds.append(Kind.REFRESH_STARTED)
        return None

    def end_refresh(self, started_at: int, answer: type[Refusal] | None) -> type[Refusal] | None:
        refusal = answer or (VersionConflict if self.version != started_at else None)
        if refusal is None:
            self.refreshes += 1
            self.accept(Kind.REFRESHED)
        else:
            self.kinds.append(Kind.REFRESH_FAILED)
        return refusal


class SymbolMachine(RuleBasedStateMachine):
    url: ClassVar[str]

    @initialize(tracked=st.sampled_from([("AAPL", "MSFT"), ("AAPL",), ()]))
    def open(self, tracked: Sequence[str]) -> None:
        self.runner = asyncio.Runner()
        self.engine = Engine(self.url)
        self.database = SqlDatabase(self.engine, clock_generation=0)
        self.clock, self.provider = ManualClock(), StubProvider("AAPL", "MSFT")
        catalogue = SqlCatalogue(SqlEventFeed(self.database))
        self.symbols = Symbols(self.database, catalogue, self.provider, self.clock, timedelta(hours=48))
        self.refreshing = Refreshing(self.database, self.provider, self.clock)
        self.models = {"AAPL": Model(), "MSFT": Model()}
        self.bars_held = {"AAPL": 0, "MSFT": 0}
        self.run(self._empty())
        for ticker in tracked:
            self.add(ticker, None, "none")

    def teardown(self) -> None:
        self.run(self.engine.close())
        self.runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def _empty(self) -> None:
        async with self.engine.write() as connection:
            for table in reversed(SQLModel.metadata.sorted_tables):
                if table is not event_log:
                    await connection.execute(delete(table))
            await connection.execute(update(event_log).values(last_number=0))

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
        meanwhile=st.sampled_from(["nothing", "nothing", "remove", "rename", "other", "remove and revive"]),
        answer=st.sampled_from([None, None, None, ProviderUnavailable, NoData]),
    )
    def refresh(self, ticker: str, version: str, meanwhile: str, answer: type[Refusal] | None) -> None:
        """Meanwhile: what somebody else does while the provider is asked."""
        self.run(self._refresh(ticker, version, meanwhile, answer))

    async def _refresh(self, ticker: str, choice: str, meanwhile: str, answer: type[Refusal] | None) -> None:
        model = self.models[ticker]
        version = model.told(choice)
        refused = model.begin_refresh(version)
        started_at = model.version

        async def ask() -> None:
            self.provider.before_answer = None
            await self._meanwhile(ticker, meanwhile)
            if answer is ProviderUnavailable:
                raise ProviderUnavailable("stub")

        self.provider.before_answer = ask
        self.provider.bars = [] if answer is NoData else None
        ended = await _refusal(self.refreshing.refresh(ticker, version, "api"))
        self.provider.before_answer = self.provider.bars = None
        assert ended is (refused or model.end_refresh(started_at, answer))

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
        assert [change.position.number for change in held.changes] == list(range(1, len(held.changes) + 1))
        assert not held.in_flight
        for ticker, model in self.models.items():
            _agree_on_the_symbol(held.symbols.get(ticker), model)
            _agree_on_the_events([change.event.kind for change in held.changes if change.event.ticker == ticker], model)
            levels, bars = held.levels[ticker], held.bars[ticker]
            assert levels == (held.symbols[ticker].level_count if model.version else 0)
            assert (levels > 0) == (bars > 0) == (model.refreshes > 0)
            assert bars >= self.bars_held[ticker], "a retired symbol keeps its history too"
            self.bars_held[ticker] = bars

    async def _held(self) -> "Held":
        async with self.database.read() as unit:
            symbols = {ticker: await unit.symbols.get(ticker) for ticker in self.models}
            levels = await unit.symbols.levels(list(self.models))
            return Held(
                symbols={ticker: symbol for ticker, symbol in symbols.items() if symbol is not None},
                levels={ticker: len(levels.get(ticker, ())) for ticker in self.models},
                bars={ticker: len(await unit.bars.daily_since(ticker, date(2000, 1, 1))) for ticker in self.models},
                in_flight=set(await unit.leases.in_flight(list(self.models))),
                changes=changes_of(await unit.events.after(Position((await unit.events.head()).log_id, 0), 10_000)),
            )


@dataclass(frozen=True)
class Held:
    """What the database holds, by ticker: how many levels and bars, which refreshes, and the whole log."""

    symbols: dict[str, Symbol]
    levels: dict[str, int]
    bars: dict[str, int]
    in_flight: set[str]
    changes: list[LoggedChange]


def _agree_on_the_symbol(symbol: Symbol | None, model: Model) -> None:
    if symbol is None:
        assert model.version == 0
        return
    assert (symbol.version, symbol.is_retired, symbol.name) == (model.version, model.is_retired, model.name)
    assert (symbol.last_updated is None) == (model.refreshes == 0)


def _agree_on_the_events(kinds: list[Kind], model: Model) -> None:
    """One for every accepted change, none for a refused one, and every step of the version has its own."""
    assert kinds == model.kinds
    assert sum(kind in MOVING for kind in kinds) == model.version


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
    ],
)
def test_the_machine_notices_a_missing_guard(sqlite_url: str, function: Any, old: str, new: str) -> None:
    with mutated(function, (old, new)), pytest.raises(AssertionError):
        run_machine(sqlite_url, max_examples=200, derandomize=True, report_multiple_bugs=False)
