"""Refreshing a symbol: what is asked for, what is written, and that a failure writes nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from domain.bars import ActionKind, Bar, CorporateAction, Interval
from domain.calendars import calendar_for
from domain.errors import (
    AlreadyRefreshing,
    NoData,
    ProviderUnavailable,
    RefreshInFlight,
    SymbolNotFound,
    Trouble,
    VersionConflict,
)
from domain.events import Position, SymbolChanged, SymbolChangeKind
from domain.faults import Fault
from domain.levels import Extraction, PriceLevel, SymbolLevelExtractor
from domain.ports import BarQuery
from domain.services import asking
from domain.services.pipeline import Pipeline
from domain.services.refreshing import Refreshed, Refreshing
from domain.staleness import AttemptOutcome
from domain.symbols import Symbol
from domain.validation import judged
from graph.context import Services
from persistence import refresh_leases
from persistence.engine import Engine
from persistence.unit_of_work import SqlDatabase
from tests.support.client import GraphClient
from tests.support.clock import EVENING, ManualClock
from tests.support.journal import changes_of
from tests.support.mutants import mutated
from tests.support.provider import StubProvider, daily_bar, wave
from tests.support.universe import track

Refresh = Callable[..., Coroutine[None, None, Refreshed]]
DAY = timedelta(days=1)
YESTERDAY = EVENING.date() - DAY
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture(autouse=True)
async def _tracked(database: SqlDatabase) -> None:
    await track(database, "AAPL")


@pytest.fixture
def refresh(services: Services) -> Refresh:
    async def refresh(version: int | None = None, ticker: str = "AAPL") -> Refreshed:
        return await services.refreshing.refresh(ticker, version, "api")

    return refresh


@dataclass(frozen=True)
class Held:
    """All that is held of AAPL."""

    symbol: Symbol
    levels: list[PriceLevel]
    bars: list[Bar]
    actions: list[CorporateAction]
    refresh: RefreshInFlight | None
    kinds: list[SymbolChangeKind]


async def held(database: SqlDatabase) -> Held:
    async with database.read() as unit:
        symbol = await unit.symbols.get("AAPL")
        assert symbol is not None
        log_id = (await unit.events.head()).log_id
        return Held(
            symbol=symbol,
            levels=(await unit.symbols.levels(["AAPL"])).get("AAPL", []),
            bars=await unit.bars.daily_since("AAPL", date(2000, 1, 1)),
            actions=(await unit.bars.actions(["AAPL"])).get("AAPL", []),
            refresh=(await unit.leases.in_flight(["AAPL"])).get("AAPL"),
            kinds=[change.event.kind for change in changes_of(await unit.events.after(Position(log_id, 0), 1000))],
        )


async def last_detail(database: SqlDatabase) -> str | None:
    async with database.read() as unit:
        end = await unit.events.head()
        (change,) = changes_of(await unit.events.after(Position(end.log_id, end.number - 1), 1))
        return change.event.detail


# ── what is asked for


async def test_with_nothing_held_a_year_is_asked_for(refresh: Refresh, provider: StubProvider, clock: ManualClock) -> None:
    await refresh()
    assert provider.asked == [("AAPL", (clock.now() - timedelta(days=365)).date(), clock.now())]


async def test_with_bars_held_it_asks_from_five_trading_days_before_the_newest(
    refresh: Refresh, provider: StubProvider, database: SqlDatabase, clock: ManualClock
) -> None:
    symbol = (await refresh()).symbol
    clock.advance(timedelta(days=3))
    await refresh()
    calendar = calendar_for(symbol.asset_class, symbol.exchange)
    assert provider.asked[1] == ("AAPL", calendar.days_back(YESTERDAY, 5), clock.now())
    # Thursday the 26th, and five trading days back over a weekend.
    assert provider.asked[1][1] == date(2026, 3, 19)


async def test_minutes_held_do_not_move_what_is_asked_for(
    refresh: Refresh, provider: StubProvider, database: SqlDatabase
) -> None:
    minute = replace(daily_bar("AAPL", YESTERDAY), interval=Interval.ONE_MINUTE)
    async with database.write() as unit:
        await unit.bars.upsert([minute])
    await refresh()
    assert provider.asked[0][1] == EVENING.date() - timedelta(days=365)


# ── what is written


async def test_a_refresh_writes_bars_levels_symbol_and_events(
    refresh: Refresh, database: SqlDatabase, clock: ManualClock
) -> None:
    done = await refresh()
    now = await held(database)
    assert now.bars == judged(wave("AAPL", YESTERDAY), [], [])
    assert {bar.faults for bar in now.bars} == {Fault(0)}
    assert now.symbol == done.symbol
    assert now.symbol.version == 2
    assert now.symbol.last_updated == now.symbol.last_attempt_at == clock.now()
    assert now.symbol.last_outcome is AttemptOutcome.SUCCEEDED
    assert now.symbol.as_of == now.bars[-1].close_time
    assert now.symbol.last_price == now.bars[-1].close
    extraction = SymbolLevelExtractor().extract(now.bars)
    assert sorted(now.levels, key=lambda level: level.price) == list(extraction.levels)
    assert now.symbol.direction is extraction.direction
    assert now.symbol.level_count == len(now.levels) == done.levels_extracted > 0
    assert (done.bars_received, done.bars_changed) == (120, 120)
    assert now.refresh is None
    assert now.kinds == [SymbolChangeKind.ADDED, SymbolChangeKind.REFRESH_STARTED, SymbolChangeKind.REFRESHED]


async def test_when_nothing_is_news_only_the_time_and_the_version_move(
    refresh: Refresh, database: SqlDatabase, clock: ManualClock
) -> None:
    await refresh()
    before = await held(database)
    clock.advance(timedelta(minutes=5))
    done = await refresh()
    after = await held(database)
    assert done.bars_changed == 0
    assert done.bars_received > 0
    assert after.symbol == replace(before.symbol, version=3, last_updated=clock.now(), last_attempt_at=clock.now())
    assert (after.bars, after.levels) == (before.bars, before.levels)


async def test_changed_values_replace_the_held_ones(refresh: Refresh, provider: StubProvider, database: SqlDatabase) -> None:
    await refresh()
    before = (await held(database)).bars
    mended = replace(before[-2], close=before[-2].close + Decimal("0.5"))
    provider.bars = [*before[:-2], mended, before[-1]]
    done = await refresh()
    assert done.bars_changed == 1
    assert (await held(database)).bars == [*before[:-2], mended, before[-1]]


async def test_levels_come_from_what_is_held_and_what_is_new(
    refresh: Refresh, database: SqlDatabase, clock: ManualClock
) -> None:
    await refresh()
    clock.advance(timedelta(days=4))
    await refresh()
    now = await held(database)
    assert len(now.bars) == 124
    assert sorted(now.levels, key=lambda level: level.price) == list(SymbolLevelExtractor().extract(now.bars).levels)


async def test_a_bar_that_is_not_final_gives_its_time_alone(
    refresh: Refresh, provider: StubProvider, database: SqlDatabase
) -> None:
    """No price, no level and no direction: its day may yet come to anything."""
    bars = wave("AAPL", YESTERDAY)
    wild = replace(bars[-1], is_final=False, low=Decimal(1), high=Decimal(900), close=Decimal(800))
    provider.bars = [*bars[:-1], wild]
    symbol = (await refresh()).symbol
    assert symbol.last_price == bars[-2].close
    assert symbol.as_of == bars[-1].close_time
    extraction = SymbolLevelExtractor().extract(bars[:-1])
    assert sorted((await held(database)).levels, key=lambda level: level.price) == list(extraction.levels)
    assert symbol.direction is extraction.direction


async def test_a_split_is_stored_apart_and_applied_on_every_read(
    refresh: Refresh,
    services: Services,
    provider: StubProvider,
    database: SqlDatabase,
    clock: ManualClock,
) -> None:
    await refresh()
    before = await held(database)
    clock.advance(DAY)
    ex_date = EVENING.date()
    after_split = daily_bar("AAPL", ex_date, "20", high=Decimal(21), low=Decimal(19))
    provider.bars = [*before.bars, after_split]
    provider.actions = [CorporateAction("AAPL", ex_date, ActionKind.SPLIT, Decimal(5), "stub")]
    done = await refresh()
    after = await held(database)
    assert done.bars_changed == 1
    assert after.bars == [*before.bars, after_split.judged(Fault(0))], "what the provider gave, and no gap"
    assert after.symbol.last_price == 20
    assert {level.price * 5 for level in after.levels} & {level.price for level in before.levels}
    assert all(level.price < 50 for level in after.levels)
    query = BarQuery(Interval.ONE_DAY, 500, clock.now())
    read = (await services.symbols.bars(["AAPL"], query))["AAPL"].bars
    assert [bar.close for bar in read] == [bar.close / 5 for bar in before.bars] + [Decimal(20)]
    assert read[0].volume == before.bars[0].volume * 5
    earlier = replace(query, until=EVENING - timedelta(days=1))
    assert (await services.symbols.bars(["AAPL"], earlier))["AAPL"].bars[0] == before.bars[0]


# ── refusals


async def test_who_may_not_refresh(refresh: Refresh, services: Services) -> None:
    with pytest.raises(SymbolNotFound):
        await refresh(ticker="MSFT")
    with pytest.raises(VersionConflict) as conflict:
        await refresh(version=7)
    assert conflict.value.current == 1
    await services.symbols.remove("AAPL", 1)
    with pytest.raises(SymbolNotFound, match="retired"):
        await refresh()


async def test_a_refusal_before_the_start_leaves_no_trace(
    refresh: Refresh, database: SqlDatabase, provider: StubProvider
) -> None:
    before = await held(database)
    with suppress(VersionConflict):
        await refresh(version=7)
    assert await held(database) == before
    assert provider.asked == []


async def raises(error: BaseException) -> None:
    raise error


async def never_answers() -> None:
    await asyncio.sleep(3600)


FAILURES = [
    (ProviderUnavailable("stub"), AttemptOutcome.DOWN),
    (ProviderUnavailable("stub", Trouble.RATE_LIMITED), AttemptOutcome.RATE_LIMITED),
    (NoData("AAPL", "stub"), AttemptOutcome.EMPTY),
    (RuntimeError("a fault"), AttemptOutcome.FAILED),
    (SymbolNotFound("AAPL", "is not known to the provider stub"), AttemptOutcome.FAILED),
]


@pytest.mark.parametrize(("error", "outcome"), FAILURES)
async def test_a_failing_provider_leaves_everything_as_it_was(
    refresh: Refresh,
    provider: StubProvider,
    database: SqlDatabase,
    clock: ManualClock,
    error: Exception,
    outcome: AttemptOutcome,
) -> None:
    await refresh()
    before = await held(database)
    clock.advance(DAY)
    provider.before_answer = lambda: raises(error)
    with pytest.raises(type(error)):
        await refresh()
    after = await held(database)
    assert_untouched(before, after)
    assert (after.symbol.last_attempt_at, after.symbol.last_outcome) == (clock.now(), outcome)


def assert_untouched(before: Held, after: Held) -> None:
    """But for the note of the attempt, and the events of it."""
    attempt = after.symbol
    assert attempt == replace(before.symbol, last_attempt_at=attempt.last_attempt_at, last_outcome=attempt.last_outcome)
    assert (after.levels, after.bars, after.actions) == (before.levels, before.bars, before.actions)
    assert after.refresh is None
    assert after.kinds == [*before.kinds, SymbolChangeKind.REFRESH_STARTED, SymbolChangeKind.REFRESH_FAILED]


async def test_what_failed_is_told_to_people_without_what_is_internal(
    refresh: Refresh, provider: StubProvider, database: SqlDatabase
) -> None:
    provider.before_answer = lambda: raises(RuntimeError("the password is 1234"))
    with pytest.raises(RuntimeError):
        await refresh()
    assert await last_detail(database) == "an internal fault, see the log"
    provider.before_answer = lambda: raises(ProviderUnavailable("stub"))
    with pytest.raises(ProviderUnavailable):
        await refresh()
    assert await last_detail(database) == "The provider stub did not answer."


async def test_an_empty_answer_is_no_data(refresh: Refresh, provider: StubProvider, database: SqlDatabase) -> None:
    await refresh()
    before = await held(database)
    provider.bars = []
    with pytest.raises(NoData):
        await refresh()
    after = await held(database)
    assert_untouched(before, after)
    assert after.symbol.last_outcome is AttemptOutcome.EMPTY


async def test_a_provider_that_does_not_answer_in_time(
    refresh: Refresh,
    provider: StubProvider,
    database: SqlDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "PROVIDER_SECONDS", 0.05)
    before = await held(database)
    provider.before_answer = never_answers
    with pytest.raises(ProviderUnavailable) as refused:
        await refresh()
    assert refused.value.trouble is Trouble.DOWN
    assert_untouched(before, await held(database))


class FailingExtractor(SymbolLevelExtractor):
    def extract(self, bars: Sequence[Bar]) -> Extraction:
        raise ArithmeticError("no levels today")


async def test_a_failing_extraction_keeps_the_levels_there_are(
    refresh: Refresh,
    provider: StubProvider,
    database: SqlDatabase,
    clock: ManualClock,
) -> None:
    await refresh()
    before = await held(database)
    clock.advance(DAY)
    with pytest.raises(ArithmeticError):
        await Refreshing(database, provider, clock, FailingExtractor()).refresh("AAPL", None, "api")
    after = await held(database)
    assert len(after.levels) == after.symbol.level_count > 0
    assert_untouched(before, after)
    assert after.symbol.last_outcome is AttemptOutcome.FAILED


async def test_a_failure_in_the_last_write_leaves_everything_as_it_was(
    refresh: Refresh, database: SqlDatabase, provider: StubProvider, clock: ManualClock
) -> None:
    """The levels are deleted and the new ones refused by the database."""
    await refresh()
    before = await held(database)
    clock.advance(DAY)

    class Doubling(SymbolLevelExtractor):
        def extract(self, bars: Sequence[Bar]) -> Extraction:
            found = SymbolLevelExtractor().extract(before.bars)
            return replace(found, levels=found.levels + found.levels)

    with pytest.raises(Exception, match=r"(?i)unique"):
        await Refreshing(database, provider, clock, Doubling()).refresh("AAPL", None, "api")
    assert_untouched(before, await held(database))


async def test_a_caller_who_leaves_leaves_nothing_behind(
    refresh: Refresh, provider: StubProvider, database: SqlDatabase
) -> None:
    before = await held(database)
    asked = asyncio.Event()

    async def ask() -> None:
        asked.set()
        await never_answers()

    provider.before_answer = ask
    leaving = asyncio.create_task(refresh())
    await asked.wait()
    assert (await held(database)).refresh is not None
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving
    assert_untouched(before, await held(database))
    provider.before_answer = None
    assert (await refresh()).symbol.version == 2


# ── at once


class Gate:
    """Holds the provider's answers back until it is opened."""

    def __init__(self, provider: StubProvider) -> None:
        self.asked = asyncio.Event()
        self._open = asyncio.Event()
        provider.before_answer = self._wait

    async def _wait(self) -> None:
        self.asked.set()
        await self._open.wait()

    def open(self) -> None:
        self._open.set()


async def test_a_second_refresh_is_told_of_the_first(
    refresh: Refresh, provider: StubProvider, database: SqlDatabase, clock: ManualClock
) -> None:
    gate = Gate(provider)
    first = asyncio.create_task(refresh())
    await gate.asked.wait()
    with pytest.raises(AlreadyRefreshing) as refused:
        await refresh()
    assert refused.value.refresh == RefreshInFlight("AAPL", clock.now(), "api")
    assert len(provider.asked) == 1
    gate.open()
    assert (await first).symbol.version == 2
    assert (await refresh()).symbol.version == 3
    assert (await held(database)).kinds.count(SymbolChangeKind.REFRESH_STARTED) == 2


async def test_of_a_symbol_that_is_being_onboarded_only_the_onboarding_brings_the_prices(
    refresh: Refresh, services: Services, pipeline: Pipeline, clock: ManualClock
) -> None:
    await services.symbols.add("MSFT", None, None, None)
    queued_at = clock.now()
    clock.advance(timedelta(minutes=1))
    for version in (None, 1):
        with pytest.raises(AlreadyRefreshing) as refused:
            await refresh(version, "MSFT")
        assert refused.value.refresh == RefreshInFlight("MSFT", queued_at, "onboarding")
    with pytest.raises(VersionConflict):
        await refresh(2, "MSFT")
    claim = await pipeline.claim()
    assert claim is not None
    with pytest.raises(AlreadyRefreshing) as refused:
        await refresh(None, "MSFT")
    assert refused.value.refresh == RefreshInFlight("MSFT", clock.now(), "onboarding")
    await pipeline.run(claim)
    assert (await refresh(None, "MSFT")).symbol.version == 3


async def test_of_ten_refreshes_at_once_one_is_made(refresh: Refresh, provider: StubProvider, database: SqlDatabase) -> None:
    gate = Gate(provider)
    all_of_them = [asyncio.create_task(refresh()) for _ in range(10)]
    done, _ = await asyncio.wait(all_of_them, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    while len(done) < 9:
        done, _ = await asyncio.wait(all_of_them, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0.01)
    gate.open()
    ended = await asyncio.gather(*all_of_them, return_exceptions=True)
    assert sum(isinstance(each, AlreadyRefreshing) for each in ended) == 9
    now = await held(database)
    assert len(now.levels) == now.symbol.level_count
    assert now.symbol.version == 2


async def test_a_symbol_that_is_changed_meanwhile_is_not_overwritten(
    refresh: Refresh, provider: StubProvider, services: Services, database: SqlDatabase
) -> None:
    async def remove() -> None:
        await services.symbols.remove("AAPL", 1)

    provider.before_answer = remove
    with pytest.raises(VersionConflict) as conflict:
        await refresh()
    assert conflict.value.current == 2
    now = await held(database)
    assert now.symbol.is_retired
    assert (now.bars, now.levels, now.refresh) == ([], [], None)
    assert now.kinds[-2:] == [SymbolChangeKind.REMOVED, SymbolChangeKind.REFRESH_FAILED]


@pytest.fixture
async def elsewhere(database_url: str) -> AsyncIterator[Engine]:
    """Another process on the same database."""
    engine = Engine(database_url)
    yield engine
    await engine.close()


async def refresh_while_another_writes(services: Services, provider: StubProvider, elsewhere: Engine) -> None:
    other = SqlDatabase(elsewhere, clock_generation=0)

    async def write() -> None:
        async with asyncio.timeout(2), other.write() as unit:
            await unit.symbols.lock("AAPL")
            await unit.symbols.note_attempt("AAPL", EVENING, AttemptOutcome.DOWN)
            await unit.events.append(SymbolChanged(SymbolChangeKind.UPDATED, "AAPL", EVENING))

    provider.before_answer = write
    await services.refreshing.refresh("AAPL", None, "api")


async def test_no_transaction_is_open_while_the_provider_is_asked(
    services: Services, provider: StubProvider, elsewhere: Engine
) -> None:
    """Another process has the symbol's lock, the log's, and on SQLite the one writer's place, at once."""
    await refresh_while_another_writes(services, provider, elsewhere)


async def test_a_transaction_held_open_would_be_noticed(
    services: Services, provider: StubProvider, elsewhere: Engine, database: SqlDatabase
) -> None:
    async def fetch_with_a_lock(self: Refreshing, attempt: object) -> object:
        async with database.write() as unit:
            await unit.symbols.lock("AAPL")
            return await provider.history((await held(database)).symbol, Interval.ONE_DAY, date(2026, 1, 1), EVENING)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Refreshing, "_fetch", fetch_with_a_lock)
        with pytest.raises(TimeoutError):
            await refresh_while_another_writes(services, provider, elsewhere)


# ── leases of the dead


@pytest.fixture
def died(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refreshes whose lease has lapsed as soon as they have begun."""
    monkeypatch.setattr(refresh_leases, "LEASE_SECONDS", -1)


async def begin(database: SqlDatabase, *tickers: str) -> None:
    async with database.write() as unit:
        for ticker in tickers:
            await unit.leases.take(RefreshInFlight(ticker, EVENING, "api"), f"token of {ticker}")


@pytest.mark.usefixtures("died")
async def test_a_dead_ones_refresh_is_ended_and_told(services: Services, database: SqlDatabase, clock: ManualClock) -> None:
    before = await held(database)
    await begin(database, "AAPL")
    clock.advance(timedelta(minutes=1))
    assert await services.refreshing.end_lapsed_refreshes() == [RefreshInFlight("AAPL", EVENING, "api")]
    assert await services.refreshing.end_lapsed_refreshes() == []
    after = await held(database)
    assert after.kinds == [*before.kinds, SymbolChangeKind.REFRESH_FAILED]
    assert after.symbol == replace(before.symbol, last_attempt_at=clock.now(), last_outcome=AttemptOutcome.FAILED)
    assert await last_detail(database) == "the process that refreshed it died"


@pytest.mark.usefixtures("died")
async def test_a_refresh_takes_the_place_of_a_dead_one(database: SqlDatabase, services: Services) -> None:
    await begin(database, "AAPL")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refresh_leases, "LEASE_SECONDS", 20)
        await services.refreshing.refresh("AAPL", None, "api")
    assert (await held(database)).kinds == [
        SymbolChangeKind.ADDED,
        SymbolChangeKind.REFRESH_FAILED,
        SymbolChangeKind.REFRESH_STARTED,
        SymbolChangeKind.REFRESHED,
    ]


async def test_who_lost_the_lease_writes_nothing(
    refresh: Refresh, provider: StubProvider, database: SqlDatabase, services: Services
) -> None:
    before = await held(database)

    async def lapse() -> None:
        async with database.write() as unit:
            for symbol in provider.asked:
                assert await unit.leases.release(symbol[0], token)

    token = ""
    take = refresh_leases.SqlRefreshLeases.take

    async def note(self: refresh_leases.SqlRefreshLeases, wanted: RefreshInFlight, given: str) -> RefreshInFlight | None:
        nonlocal token
        token = given
        return await take(self, wanted, given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refresh_leases.SqlRefreshLeases, "take", note)
        provider.before_answer = lapse
        with pytest.raises(ProviderUnavailable, match="too late"):
            await refresh()
    after = await held(database)
    assert after.symbol == before.symbol
    assert (after.bars, after.levels) == ([], [])
    assert after.kinds == [*before.kinds, SymbolChangeKind.REFRESH_STARTED]


async def remove_while_the_dead_are_ended(services: Services, database: SqlDatabase) -> None:
    """MSFT is being removed when the sweep comes by: the removal holds the symbol, and appends last."""
    await track(database, "MSFT")
    await begin(database, "AAPL", "MSFT")
    async with database.write() as unit:
        locked = await unit.symbols.lock("MSFT")
        assert locked is not None
        sweep = asyncio.create_task(services.refreshing.end_lapsed_refreshes())
        await asyncio.sleep(0.3)
        await unit.symbols.save(locked.retired(1), 1)
        await unit.events.append(SymbolChanged(SymbolChangeKind.REMOVED, "MSFT", EVENING))
    assert len(await sweep) == 2


@on_postgresql
@pytest.mark.usefixtures("died")
async def test_ending_several_takes_the_log_last(services: Services, database: SqlDatabase) -> None:
    await remove_while_the_dead_are_ended(services, database)


@on_postgresql
@pytest.mark.usefixtures("died")
async def test_locks_in_another_order_would_wait_for_each_other(services: Services, database: SqlDatabase) -> None:
    second_loop = "for refresh in lapsed:  # the event log last: who holds it must not wait for a symbol\n"
    with (
        mutated(Refreshing._end_lapsed, ("    " + second_loop, "")),
        pytest.raises(Exception, match="deadlock"),
    ):
        await remove_while_the_dead_are_ended(services, database)


# ── the sequences that the source documents get wrong, as a client sees them


async def test_delete_extract_insert_with_a_second_refresh_in_between(
    graph: GraphClient, provider: StubProvider, database: SqlDatabase, clock: ManualClock
) -> None:
    await graph.refresh("AAPL")
    before = await held(database)
    gate = Gate(provider)
    first = asyncio.create_task(graph.refresh("AAPL"))
    await gate.asked.wait()
    second = await graph.refresh("AAPL")
    assert second["__typename"] == "AlreadyRefreshing"
    assert second["refresh"] == {"ticker": "AAPL", "startedAt": clock.now().isoformat(), "startedBy": "api"}
    assert (await held(database)).levels == before.levels, "while one refreshes, the levels there are stay"
    gate.open()
    assert (await first)["__typename"] == "SymbolRefreshed"
    assert (await held(database)).levels == before.levels


async def test_lower_case_input_finds_the_same_symbol(graph: GraphClient) -> None:
    answer = await graph.refresh(" aapl ", expectedVersion=1)
    assert answer["__typename"] == "SymbolRefreshed"
    assert answer["symbol"]["ticker"] == "AAPL"


async def test_not_found_stays_not_found(graph: GraphClient, provider: StubProvider) -> None:
    assert (await graph.refresh("MSFT"))["code"] == "SYMBOL_NOT_FOUND"
    provider.before_answer = lambda: raises(SymbolNotFound("AAPL", "is not known to the provider stub"))
    assert (await graph.refresh("AAPL"))["code"] == "SYMBOL_NOT_FOUND"


async def test_exactly_at_the_threshold_is_fresh(graph: GraphClient, clock: ManualClock) -> None:
    await graph.refresh("AAPL")

    async def seen() -> tuple[bool, list[str]]:
        found = await graph('{ symbol(ticker: "AAPL") { isStale } symbols(filter: { isStale: true }) { nodes { ticker } } }')
        return found["symbol"]["isStale"], [node["ticker"] for node in found["symbols"]["nodes"]]

    clock.advance(timedelta(hours=48))
    assert await seen() == (False, [])
    clock.advance(timedelta(microseconds=1))
    assert await seen() == (True, ["AAPL"])
