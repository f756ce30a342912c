"""The course of a backfill, on both databases."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from domain.backfill import MAX_ATTEMPTS, MAX_LAPSES, BackfillStatus, Priority
from domain.bars import Interval
from domain.errors import ProviderUnavailable, RefreshInFlight, StoreUnavailable, Trouble
from domain.events import SymbolChangeKind
from domain.gaps import GapCause, Mark
from domain.ports import BackfillClaim, Reach
from domain.services.canary import Canary
from domain.services.filling import Filling
from domain.services.refreshing import Refreshing
from domain.services.working import Worker
from domain.symbols import Profile, Symbol, SymbolStatus
from domain.tickers import AssetClass
from persistence.event_feed import SqlEventFeed
from persistence.unit_of_work import SqlDatabase
from providers.sample import SampleProvider
from tests.support.backfilled import Backfilled, backfilled, days, let_lapse, make_due, minutes, queue
from tests.support.clock import EVENING, ManualClock
from tests.support.failing import BreakingDatabase
from tests.support.figures import told
from tests.support.journal import followed
from tests.support.mutants import mutated
from tests.support.process import until
from tests.support.punctual import PunctualProvider
from tests.support.universe import profile_of, track, track_as
from web.settings import BUNDLED_SAMPLE

FRIDAY = EVENING.date()
THURSDAY, WEDNESDAY = date(2026, 3, 26), date(2026, 3, 25)
SATURDAY, SUNDAY = date(2026, 3, 21), date(2026, 3, 22)
CLOSE = datetime(2026, 3, 27, 20, tzinfo=UTC)
DAY = 390
TICKERS = "AAPL", "SPY", "BTC-USD", "EUR/USD", "BRK-B", "NOPE"


class StubCanary:
    def __init__(self) -> None:
        self.is_up = True
        self.asked: list[str] = []

    async def is_well(self, symbol: Symbol) -> bool:
        self.asked.append(symbol.ticker)
        return self.is_up


@pytest.fixture
def provider() -> PunctualProvider:
    return PunctualProvider(*map(profile_of, TICKERS[:-1]))


@pytest.fixture
def canary() -> StubCanary:
    return StubCanary()


@pytest.fixture
def outcomes() -> list[str]:
    return []


@pytest.fixture
def filling(
    database: SqlDatabase, provider: PunctualProvider, clock: ManualClock, canary: StubCanary, outcomes: list[str]
) -> Filling:
    return Filling(database, provider, Refreshing(database, provider, clock), clock, canary, outcomes.append)


async def claimed(filling: Filling) -> BackfillClaim:
    claim = await filling.claim()
    assert claim is not None, "nothing is up"
    return claim


async def set_status(database: SqlDatabase, ticker: str, status: SymbolStatus) -> None:
    async with database.write() as unit:
        symbol = await unit.symbols.lock(ticker)
        assert symbol is not None
        await unit.symbols.save(symbol.left_onboarding(status), symbol.version)


def failing(error: Exception, times: int = 1000, after: int = 0) -> Callable[[], Awaitable[None]]:
    """The stub's next answers, but for so many before."""
    left = iter([False] * after + [True] * times)

    async def fail() -> None:
        if next(left, False):
            raise error

    return fail


# ── to a good end


async def test_a_days_minutes_are_filled(database: SqlDatabase, filling: Filling, provider: PunctualProvider) -> None:
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(FRIDAY))
    await filling.work_off()
    found = await backfilled(database, "AAPL")
    assert (found.job.status, found.job.error, found.job.last_success_at) == (BackfillStatus.COMPLETED, None, EVENING)
    assert (found.job.expected, found.job.received, found.job.records_inserted) == (DAY, DAY, DAY)
    assert len(found.opens) == DAY
    assert found.symbol.version == 2
    assert found.told[-1] == (SymbolChangeKind.BACKFILLED, "390 bars of 1m, 390 new")
    assert found.mark == Mark("AAPL", Interval.ONE_MINUTE, CLOSE, CLOSE)
    assert provider.requests == [("AAPL", Interval.ONE_MINUTE, FRIDAY, CLOSE)]


async def test_only_what_is_missing_is_asked_for_newest_first(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    provider.reaches[Interval.ONE_MINUTE] = Reach(2)
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(THURSDAY))
    await filling.work_off()
    provider.requests.clear()
    await queue(database, "AAPL", minutes(date(2026, 3, 20), FRIDAY))
    await filling.work_off()
    assert [(start, until.date()) for _, _, start, until in provider.requests] == [
        (FRIDAY, FRIDAY),
        (date(2026, 3, 24), WEDNESDAY),
        (date(2026, 3, 23), date(2026, 3, 23)),
        (date(2026, 3, 20), date(2026, 3, 20)),
    ]
    found = await backfilled(database, "AAPL")
    assert (found.job.status, found.job.expected, found.job.records_inserted) == (BackfillStatus.COMPLETED, 5 * DAY, 5 * DAY)
    assert len(found.opens) == 6 * DAY


async def test_what_is_held_is_not_asked_for(database: SqlDatabase, filling: Filling, provider: PunctualProvider) -> None:
    await track(database, "AAPL")
    for _ in range(2):
        await queue(database, "AAPL", minutes(THURSDAY, FRIDAY))
        await filling.work_off()
    found = await backfilled(database, "AAPL")
    assert len(provider.requests) == 1
    assert (found.job.status, found.job.expected, found.job.received) == (BackfillStatus.COMPLETED, 0, 0)
    assert found.told[-1] == (SymbolChangeKind.BACKFILLED, "0 bars of 1m, 0 new")


async def test_where_nothing_is_expected_it_is_completed(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(SATURDAY, SUNDAY))
    await filling.work_off()
    found = await backfilled(database, "AAPL")
    assert (found.job.status, found.job.expected, found.job.records_inserted) == (BackfillStatus.COMPLETED, 0, 0)
    assert (provider.requests, found.mark) == ([], None)


async def test_bars_beside_those_asked_for_are_left_out(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    """Sydney's Friday begins on Thursday, on which its Thursday ends."""
    sydney = Profile("BHP.AX", "BHP", AssetClass.STOCK, "XASX", "AUD")
    provider.profiles[sydney.ticker] = sydney
    await track_as(database, sydney)
    await queue(database, sydney.ticker, minutes(FRIDAY))
    await filling.work_off()
    found = await backfilled(database, sydney.ticker)
    assert provider.requests == [(sydney.ticker, Interval.ONE_MINUTE, THURSDAY, datetime(2026, 3, 27, 5, tzinfo=UTC))]
    assert (found.job.received, len(found.opens)) == (360, 360)


async def test_older_days_take_nothing_back_of_how_far_it_is_known(database: SqlDatabase, filling: Filling) -> None:
    await track(database, "AAPL")
    for day in (THURSDAY, FRIDAY, WEDNESDAY):
        await queue(database, "AAPL", minutes(day))
        await filling.work_off()
    assert (await backfilled(database, "AAPL")).mark == Mark("AAPL", Interval.ONE_MINUTE, CLOSE, CLOSE)


async def test_intervals_between_are_filled_by_minutes(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    await track(database, "AAPL")
    hourly = minutes(FRIDAY)
    await queue(database, "AAPL", type(hourly)(Interval.ONE_HOUR, FRIDAY, FRIDAY))
    await filling.work_off()
    assert [interval for _, interval, _, _ in provider.requests] == [Interval.ONE_MINUTE]
    assert len((await backfilled(database, "AAPL")).opens) == DAY


async def test_one_symbols_failure_touches_no_other_of_whatever_class(
    database: SqlDatabase, filling: Filling, outcomes: list[str]
) -> None:
    await track(database, *TICKERS)
    for ticker in TICKERS:
        await queue(database, ticker, days(date(2026, 3, 16), FRIDAY), minutes(FRIDAY))
    await filling.work_off()
    found = {ticker: await backfilled(database, ticker) for ticker in TICKERS}
    completed = BackfillStatus.COMPLETED
    assert {ticker: (each.job.status, each.job.received) for ticker, each in found.items()} == {
        "AAPL": (completed, 10 + 390),
        "SPY": (completed, 10 + 390),
        "BRK-B": (completed, 10 + 390),
        "BTC-USD": (completed, 11 + 1230),
        "EUR/USD": (completed, 9 + 1230),
        "NOPE": (BackfillStatus.FAILED, 0),
    }
    assert found["NOPE"].job.error == "NOPE is not known to the provider stub."
    assert (found["NOPE"].job.attempts, found["NOPE"].symbol.version) == (1, 2)
    assert found["NOPE"].told[-1] == (SymbolChangeKind.UPDATED, found["NOPE"].job.error)
    assert sorted(outcomes) == ["completed"] * 5 + ["failed"]


async def test_who_was_asked_for_goes_before_what_is_scheduled(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    await track(database, "AAPL", "BRK-B", "SPY", "BTC-USD")
    await queue(database, "AAPL", minutes(FRIDAY), priority=Priority.SCHEDULED)
    await queue(database, "SPY", minutes(FRIDAY), priority=Priority.HELD)
    await queue(database, "BTC-USD", minutes(FRIDAY))
    await queue(database, "BRK-B", minutes(FRIDAY))
    order = []
    while (claim := await filling.claim()) is not None:
        order.append(claim.job.ticker)
        await filling.run(claim)
    assert order == ["BRK-B", "BTC-USD", "SPY", "AAPL"]


async def test_its_end_is_one_line_with_its_reason(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider, caplog: pytest.LogCaptureFixture
) -> None:
    await track(database, "AAPL", "NOPE")
    await queue(database, "AAPL", minutes(FRIDAY))
    await queue(database, "NOPE", minutes(FRIDAY))
    with caplog.at_level(logging.INFO, "freshtape.backfill"):
        await filling.work_off()
    lines = [record.message.rpartition(" seconds=") for record in caplog.records if record.name == "freshtape.backfill"]
    assert [told for told, _, seconds in lines if float(seconds) >= 0] == [
        'backfill ticker=AAPL outcome=completed reason="390 bars of 1m, 390 new" attempt=1 received=390 inserted=390',
        'backfill ticker=NOPE outcome=failed reason="NOPE is not known to the provider stub." attempt=1 received=0 inserted=0',
    ]


# ── the sample market


async def test_the_sample_markets_two_missing_minutes_are_a_providers_hole(database: SqlDatabase, clock: ManualClock) -> None:
    provider = SampleProvider(BUNDLED_SAMPLE, clock)
    filling = Filling(database, provider, Refreshing(database, provider, clock), clock)
    await track(database, "AAPL", "BTC-USD")
    await queue(database, "AAPL", minutes(WEDNESDAY, FRIDAY))
    await queue(database, "BTC-USD", days(date(2026, 2, 1), date(2026, 2, 28)))
    await filling.work_off()
    apple = await backfilled(database, "AAPL")
    held = len(apple.opens)
    assert apple.job.status is BackfillStatus.COMPLETED
    assert (apple.job.expected, apple.job.received, apple.job.records_inserted) == (3 * DAY, held, held)
    assert 0 < held < 3 * DAY
    assert all(each.cause is GapCause.PROVIDER_HOLE and each.provider == "sample" for each in apple.absences)
    assert apple.absences[-1].last == FRIDAY
    coin = await backfilled(database, "BTC-USD", Interval.ONE_DAY)
    assert (coin.job.status, coin.job.expected, coin.job.received) == (BackfillStatus.COMPLETED, 28, 27)
    assert [(each.first, each.last, each.cause) for each in coin.absences] == [
        (date(2026, 2, 15), date(2026, 2, 15), GapCause.PROVIDER_HOLE)
    ]


# ── what the provider does not have


async def test_no_bars_where_some_are_expected_is_a_failure(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    provider.has = lambda *_: False
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(FRIDAY))
    await filling.work_off()
    found = await backfilled(database, "AAPL")
    told = "stub sent no bars of AAPL from 2026-03-27 to 2026-03-27, of which the calendar expects 390 of 1m."
    assert (found.job.status, found.job.error, found.job.received) == (BackfillStatus.FAILED, told, 0)
    assert found.job.last_success_at is None
    assert (found.absences, found.symbol.last_updated) == ([], None)
    assert found.mark == Mark("AAPL", Interval.ONE_MINUTE, None, CLOSE)
    assert found.told[-1] == (SymbolChangeKind.UPDATED, told)
    provider.has = lambda *_: True  # and asked again it is not taken for known to be absent
    await queue(database, "AAPL", minutes(FRIDAY))
    await filling.work_off()
    assert (await backfilled(database, "AAPL")).job.status is BackfillStatus.COMPLETED


async def test_no_bars_of_one_interval_is_a_failure_that_keeps_the_others(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    provider.has = lambda _, interval, __: interval is Interval.ONE_DAY
    provider.reaches[Interval.ONE_MINUTE] = Reach(1)
    await track(database, "AAPL")
    await queue(database, "AAPL", days(THURSDAY, FRIDAY), minutes(THURSDAY, FRIDAY))
    await filling.work_off()
    daily = await backfilled(database, "AAPL", Interval.ONE_DAY)
    assert daily.job.status is BackfillStatus.FAILED
    assert daily.job.error is not None
    assert "no bars of AAPL from 2026-03-26 to 2026-03-27, of which the calendar expects 780 of 1m" in daily.job.error
    assert (len(daily.opens), daily.mark) == (2, Mark("AAPL", Interval.ONE_DAY, CLOSE, CLOSE))
    minute = await backfilled(database, "AAPL")
    assert (minute.absences, minute.mark) == ([], Mark("AAPL", Interval.ONE_MINUTE, None, CLOSE))


async def test_what_is_missing_of_an_answer_is_not_asked_for_until_it_expires(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider, clock: ManualClock
) -> None:
    provider.has = lambda *bar: bar[2].minute != 31
    await track(database, "AAPL")
    first = date(2026, 3, 16)
    await queue(database, "AAPL", minutes(first, FRIDAY))
    await filling.work_off()
    found = await backfilled(database, "AAPL")
    assert found.job.status is BackfillStatus.COMPLETED
    assert (found.job.expected, found.job.received) == (10 * DAY, 10 * (DAY - 7))
    assert [(each.first, each.last, each.cause) for each in found.absences] == [
        (first, date(2026, 3, 17), GapCause.PROVIDER_HOLE),  # of another request
        (date(2026, 3, 18), date(2026, 3, 20), GapCause.PROVIDER_HOLE),
        (date(2026, 3, 23), FRIDAY, GapCause.PROVIDER_HOLE),
    ]
    assert found.mark == Mark("AAPL", Interval.ONE_MINUTE, CLOSE, CLOSE), "what is known to be absent is known"
    asked = []
    for later in (timedelta(hours=23), timedelta(hours=2), timedelta(days=6)):
        clock.advance(later)
        provider.requests.clear()
        await queue(database, "AAPL", minutes(first, FRIDAY))
        await filling.work_off()
        asked.append([(start, until.date()) for _, _, start, until in provider.requests])
    assert asked == [[], [(date(2026, 3, 23), FRIDAY)], [(date(2026, 3, 18), FRIDAY), (first, date(2026, 3, 17))]]


async def test_a_hole_that_is_filled_is_forgotten(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider, clock: ManualClock
) -> None:
    provider.has = lambda *bar: bar[2].minute != 31
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(THURSDAY, FRIDAY))
    await filling.work_off()
    provider.has = lambda *_: True
    clock.advance(timedelta(days=2))
    await queue(database, "AAPL", minutes(THURSDAY, FRIDAY))
    await filling.work_off()
    found = await backfilled(database, "AAPL")
    assert (found.absences, len(found.opens)) == ([], 2 * DAY)
    assert (found.job.received, found.job.records_inserted, found.job.expected) == (2 * DAY, 14, 14)


async def test_days_before_its_first_bar_were_not_listed(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    listed = datetime(2026, 3, 11, tzinfo=UTC)
    provider.reaches[Interval.ONE_DAY] = Reach(7)
    provider.has = lambda _, __, opens: opens >= listed
    await track(database, "AAPL")
    await queue(database, "AAPL", days(date(2026, 2, 23), FRIDAY))
    await filling.work_off()
    found = await backfilled(database, "AAPL", Interval.ONE_DAY)
    assert (found.job.status, found.job.received) == (BackfillStatus.COMPLETED, 13)
    assert {each.cause for each in found.absences} == {GapCause.NOT_LISTED}
    assert (found.absences[0].first, found.absences[-1].last) == (date(2026, 2, 23), date(2026, 3, 10))
    assert {each.expires_at - EVENING for each in found.absences} == {timedelta(days=30)}
    assert found.mark == Mark("AAPL", Interval.ONE_DAY, CLOSE, CLOSE)


async def test_what_lies_beyond_the_providers_reach_is_not_asked_for(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    provider.reaches[Interval.ONE_MINUTE] = Reach(8, 2)
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(date(2026, 3, 16), FRIDAY))
    await filling.work_off()
    found = await backfilled(database, "AAPL")
    assert [(start, until.date()) for _, _, start, until in provider.requests] == [(WEDNESDAY, FRIDAY)]
    assert (found.job.status, found.job.expected, found.absences) == (BackfillStatus.COMPLETED, 3 * DAY, [])
    await queue(database, "AAPL", minutes(date(2026, 3, 16), date(2026, 3, 20)))
    await filling.work_off()
    found = await backfilled(database, "AAPL")
    told = "stub has no bars of 1m before 2026-03-25, and of later ones none is missing."
    assert (found.job.status, found.job.error, found.absences) == (BackfillStatus.FAILED, told, [])
    del provider.reaches[Interval.ONE_MINUTE]
    await queue(database, "AAPL", minutes(date(2026, 3, 16)))
    await filling.work_off()
    assert (await backfilled(database, "AAPL")).job.error == "stub has no bars of 1m."
    assert len(provider.requests) == 1


# ── trouble


async def test_a_provider_in_trouble_is_asked_three_times_and_never_completes(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider, outcomes: list[str]
) -> None:
    provider.reaches[Interval.ONE_MINUTE] = Reach(1)
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(WEDNESDAY, FRIDAY))
    provider.before_answer = failing(ProviderUnavailable("stub"), after=1)
    statuses = []
    for _ in range(MAX_ATTEMPTS):
        await filling.work_off()
        found = await backfilled(database, "AAPL")
        statuses.append((found.job.status, found.job.attempts, found.job.error, len(found.opens)))
        assert await filling.claim() is None, "it waits"
        await make_due(database)
    pending, told = BackfillStatus.PENDING, "The provider stub did not answer."
    assert statuses == [(pending, 1, told, DAY), (pending, 2, told, DAY), (BackfillStatus.FAILED, 3, told, DAY)]
    assert [(each.first, each.last, each.cause) for each in found.absences] == [
        (WEDNESDAY, WEDNESDAY, GapCause.FETCH_FAILED),
        (THURSDAY, THURSDAY, GapCause.FETCH_FAILED),
    ]
    assert (found.job.received, found.job.records_inserted, found.job.expected) == (DAY, DAY, 3 * DAY)
    assert (found.mark, found.symbol.version) == (Mark("AAPL", Interval.ONE_MINUTE, None, CLOSE), 2)
    assert outcomes == ["postponed", "postponed", "failed"]
    provider.before_answer = None
    await queue(database, "AAPL", minutes(WEDNESDAY, FRIDAY))  # by hand, at any time
    await filling.work_off()
    found = await backfilled(database, "AAPL")
    assert (found.job.status, found.job.error, found.absences) == (BackfillStatus.COMPLETED, None, [])
    assert len(found.opens) == 3 * DAY


async def test_were_it_to_complete_when_its_attempts_are_used_up_it_would_be_seen(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider, outcomes: list[str]
) -> None:
    with (
        mutated(Filling._close, ("job.failed(reason) if failure is not None else", "")),
        pytest.raises(AssertionError, match="COMPLETED"),
    ):
        await test_a_provider_in_trouble_is_asked_three_times_and_never_completes(database, filling, provider, outcomes)


async def test_trouble_that_passes_leaves_no_trace(database: SqlDatabase, filling: Filling, provider: PunctualProvider) -> None:
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(FRIDAY))
    provider.before_answer = failing(ProviderUnavailable("stub"), times=2)
    for _ in range(MAX_ATTEMPTS):
        await filling.work_off()
        await make_due(database)
    found = await backfilled(database, "AAPL")
    assert (found.job.status, found.job.attempts, found.job.error) == (BackfillStatus.COMPLETED, 3, None)
    assert found.absences == []


async def test_who_waits_for_a_days_budget_has_not_had_an_attempt(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(FRIDAY))
    provider.before_answer = failing(ProviderUnavailable("stub", Trouble.RATE_LIMITED, "is used up for today", 7200), times=5)
    for _ in range(5):
        await filling.work_off()
        found = await backfilled(database, "AAPL")
        assert (found.job.status, found.job.attempts) == (BackfillStatus.PENDING, 0)
        assert found.job.error == "The provider stub is used up for today. Try again in 7200 s."
        assert await filling.claim() is None
        await make_due(database)
    await filling.work_off()
    assert (await backfilled(database, "AAPL")).job.status is BackfillStatus.COMPLETED


async def test_a_fault_of_ours_is_tried_again_and_shows_no_internals(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider, caplog: pytest.LogCaptureFixture
) -> None:
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(FRIDAY))
    provider.before_answer = failing(RuntimeError("secret"))
    for _ in range(MAX_ATTEMPTS):
        await filling.work_off()
        await make_due(database)
    found = await backfilled(database, "AAPL")
    assert (found.job.status, found.job.error) == (BackfillStatus.FAILED, "an internal fault, see the log")
    assert (found.absences, "secret" in caplog.text) == ([], True)


@pytest.mark.parametrize(
    ("status", "told"),
    [(SymbolStatus.RETIRED, "AAPL is retired."), (SymbolStatus.ONBOARDING, "AAPL is being onboarded.")],
)
@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_a_symbol_that_is_retired_or_onboarded_ends_it(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider, status: SymbolStatus, told: str, when: str
) -> None:
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(FRIDAY))
    if when == "before":
        await set_status(database, "AAPL", status)
    else:
        provider.before_answer = lambda: set_status(database, "AAPL", status)
    await filling.work_off()
    found = await backfilled(database, "AAPL")
    assert (found.job.status, found.job.error, found.opens) == (BackfillStatus.FAILED, told, [])
    assert (found.symbol.status, found.mark) == (status, None)


# ── the lease


async def test_a_dead_workers_backfill_goes_on_with_the_rest(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    provider.reaches[Interval.ONE_MINUTE] = Reach(1)
    await track(database, "AAPL")
    for answered in range(4):
        first = date(2026, 3, 23) - timedelta(days=7 * answered)
        await queue(database, "AAPL", minutes(first, first + timedelta(days=4)))
        provider.before_answer = failing(StoreUnavailable(), times=1, after=answered)
        provider.requests.clear()
        await filling.run(await claimed(filling))
        before = await backfilled(database, "AAPL")
        assert before.job.status is BackfillStatus.IN_PROGRESS
        assert await filling.claim() is None, "its lease lives"
        await let_lapse(database)
        await filling.work_off()
        found = await backfilled(database, "AAPL")
        assert (found.job.status, found.job.attempts, found.job.lapses) == (BackfillStatus.COMPLETED, 1, 1)
        assert (found.job.expected, found.job.received, found.job.records_inserted) == (5 * DAY, 5 * DAY, 5 * DAY)
        asked = [until.date() for _, _, _, until in provider.requests]
        assert len(asked) == 6, "five days, and the one whose answer was lost"
        assert sorted(set(asked), reverse=True) == sorted([*asked[:answered], *asked[answered + 1 :]], reverse=True)


async def test_who_lost_the_lease_writes_nothing_more(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider, outcomes: list[str]
) -> None:
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(FRIDAY))
    lost = await claimed(filling)
    await let_lapse(database)
    before = await backfilled(database, "AAPL")
    assert not await filling.prolong(lost)
    await filling.run(lost)
    assert await backfilled(database, "AAPL") == before
    won = await claimed(filling)
    before = await backfilled(database, "AAPL")
    await filling.run(lost)
    assert await backfilled(database, "AAPL") == before
    await filling.run(won)
    done = await backfilled(database, "AAPL")
    assert (done.job.status, len(done.opens)) == (BackfillStatus.COMPLETED, DAY)
    for error in (ProviderUnavailable("stub"), StoreUnavailable(), RuntimeError()):
        provider.before_answer = failing(error)
        await filling.run(lost)
    assert await backfilled(database, "AAPL") == done
    assert outcomes == ["lost", "lost", "completed", "lost", "lost", "lost"]


async def test_one_that_kills_its_workers_is_given_up(database: SqlDatabase, filling: Filling) -> None:
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(FRIDAY))
    for _ in range(MAX_LAPSES + 1):
        await claimed(filling)
        await let_lapse(database)
    await filling.work_off()
    found = await backfilled(database, "AAPL")
    assert (found.job.status, found.job.error) == (BackfillStatus.FAILED, f"{MAX_LAPSES} workers died over it.")


async def test_a_worker_that_is_stopped_gives_it_back_at_once(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider, outcomes: list[str]
) -> None:
    asked = asyncio.Event()

    async def hang() -> None:
        asked.set()
        await asyncio.sleep(60)

    provider.before_answer = hang
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(FRIDAY))
    running = asyncio.create_task(filling.run(await claimed(filling)))
    await asked.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    provider.before_answer = None
    await filling.work_off()
    found = await backfilled(database, "AAPL")
    assert (found.job.status, found.job.attempts, found.job.lapses) == (BackfillStatus.COMPLETED, 1, 0)
    assert outcomes == ["lost", "completed"]


async def test_three_are_under_way_at_a_time(database: SqlDatabase, filling: Filling) -> None:
    await track(database, *TICKERS)
    for ticker in TICKERS:
        await queue(database, ticker, minutes(FRIDAY))
    claims = [await claimed(filling) for _ in range(3)]
    assert await filling.claim() is None
    await filling.run(claims[0])
    assert (await claimed(filling)).job.ticker not in [claim.job.ticker for claim in claims]
    assert await filling.claim() is None
    await let_lapse(database)  # those of dead workers keep their places, and are taken up in them
    assert len([await claimed(filling) for _ in range(3)]) == 3
    assert await filling.claim() is None


async def test_one_that_is_queued_or_ends_wakes_the_worker(
    database: SqlDatabase, filling: Filling, feed: SqlEventFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.services.working.LOOK_SECONDS", 3600.0)
    await track(database, *TICKERS)
    worker = Worker(filling, feed)
    running = [asyncio.create_task(loop()) for loop in (worker.run, worker.listen)]
    try:
        await followed(feed)
        for ticker in TICKERS:
            await queue(database, ticker, minutes(FRIDAY))

        async def are_over() -> bool:
            async with database.read() as unit:
                return not any(job.is_active for job in (await unit.backfills.of(TICKERS)).values())

        await until(are_over, 20)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


# ── bars, mark and status are one


def disagreements(found: Backfilled) -> set[str]:
    """Between what is said of a backfill of Wednesday to Friday, a day at a time, and what is held of them."""
    job, opens = found.job, found.opens
    is_whole, is_told = len(opens) == 3, SymbolChangeKind.BACKFILLED in dict(found.told)
    has_ended = job.status in (BackfillStatus.COMPLETED, BackfillStatus.FAILED)
    holds = {
        "counted as held": (job.records_inserted or 0) == len(opens) == job.received,
        "the newest first": not opens or opens[-1] == int(CLOSE.timestamp()) - DAY * 60,
        "the mark says what was attempted": (found.mark is None) == (not opens),
        "known to be complete when it is": (found.mark is not None and found.mark.complete_until == CLOSE) == is_whole,
        "completed when all is there": (job.status is BackfillStatus.COMPLETED) == is_whole,
        "success when completed": (job.last_success_at is not None) == is_whole,
        "told and a version on when it ended": is_told == (found.symbol.version == 2) == has_ended,
    }
    return {name for name, is_true in holds.items() if not is_true}


async def broken_between(database: SqlDatabase, provider: PunctualProvider, clock: ManualClock, since: int = 0) -> int:
    """Backfills broken off before every statement and commit, each gone on with. How many."""
    provider.reaches[Interval.ONE_DAY] = Reach(1)
    for steps in range(since, 1000):
        ticker = f"Q{steps}"
        provider.profiles[ticker] = profile_of(ticker)
        await track(database, ticker)
        await queue(database, ticker, days(WEDNESDAY, FRIDAY))
        broken = BreakingDatabase(database, steps)
        doomed = Filling(broken, provider, Refreshing(broken, provider, clock), clock)
        if (claim := await no_store(doomed.claim())) is not None:
            await doomed.run(claim)
        found = await backfilled(database, ticker, Interval.ONE_DAY)
        assert disagreements(found) == set(), f"before step {steps}"
        await let_lapse(database)
        await Filling(database, provider, Refreshing(database, provider, clock), clock).work_off()
        after = await backfilled(database, ticker, Interval.ONE_DAY)
        assert disagreements(after) == set(), f"gone on with after step {steps}"
        assert after.job.status is BackfillStatus.COMPLETED
        if not broken.is_broken:
            return steps
    raise AssertionError("it never ends")


async def no_store(claiming: Awaitable[BackfillClaim | None]) -> BackfillClaim | None:
    try:
        return await claiming
    except StoreUnavailable:
        return None


async def test_broken_off_before_any_statement_status_bars_and_mark_agree(
    database: SqlDatabase, provider: PunctualProvider, clock: ManualClock
) -> None:
    steps = await broken_between(database, provider, clock)
    assert steps > 30
    told(f"{database.kind}: a backfill of three answers broken off before each of {steps} statements and commits")


async def test_were_status_and_bars_not_one_transaction_they_would_disagree(
    database: SqlDatabase, provider: PunctualProvider, clock: ManualClock
) -> None:
    at_once = "        return await self._close(unit, symbol, job, failure, is_known=course.is_known, found=found)"
    apart = "    async with self._database.write() as unit:\n        await self._hold(unit, job, course.token)\n" + at_once
    with mutated(Filling._end, (at_once, apart)), pytest.raises(AssertionError, match="step"):
        await broken_between(database, provider, clock, since=30)


async def test_a_commit_that_is_not_told_is_not_done_twice(
    database: SqlDatabase, filling: Filling, outcomes: list[str]
) -> None:
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(FRIDAY))
    claim = await claimed(filling)
    untold = "done = await self._end(course, last, await self._shortfall(course))\n    raise StoreUnavailable"
    with mutated(Filling._fill, ("return await self._end(course, last, await self._shortfall(course))", untold)):
        await filling.run(claim)
    done = await backfilled(database, "AAPL")
    assert (done.job.status, len(done.opens)) == (BackfillStatus.COMPLETED, DAY)
    await let_lapse(database)
    await filling.work_off()
    assert await backfilled(database, "AAPL") == done
    assert outcomes == ["lost"]


# ── by the schedule


async def test_by_the_schedule_the_newest_days_come_first_and_move_freshness(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    provider.reaches[Interval.ONE_MINUTE] = Reach(8)
    await track(database, "AAPL")
    await queue(database, "AAPL", days(date(2026, 1, 2), FRIDAY), minutes(THURSDAY, FRIDAY), priority=Priority.HELD)
    await filling.work_off()
    found = await backfilled(database, "AAPL", Interval.ONE_DAY)
    assert found.job.status is BackfillStatus.COMPLETED
    assert (found.symbol.last_updated, found.symbol.as_of) == (EVENING, CLOSE)
    assert found.symbol.version == 3, "a refresh and the end of a backfill"
    kinds = [kind for kind, _ in found.told]
    assert kinds[-3:] == [SymbolChangeKind.REFRESH_STARTED, SymbolChangeKind.REFRESHED, SymbolChangeKind.BACKFILLED]
    assert [interval for _, interval, _, _ in provider.requests] == [Interval.ONE_DAY, Interval.ONE_MINUTE]
    assert found.mark == Mark("AAPL", Interval.ONE_DAY, None, CLOSE), "older days are held: who knows what lies between"


async def test_by_the_schedule_the_last_five_days_are_asked_for_again(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    await track(database, "AAPL")
    asked = []
    for _ in range(2):
        provider.requests.clear()
        await queue(database, "AAPL", minutes(date(2026, 3, 18), FRIDAY), priority=Priority.SCHEDULED)
        await filling.work_off()
        asked.append([start for _, interval, start, _ in provider.requests if interval is Interval.ONE_MINUTE])
    assert asked == [[date(2026, 3, 18)], [date(2026, 3, 23)]]
    found = await backfilled(database, "AAPL")
    assert (found.job.expected, found.job.received, found.job.records_inserted) == (0, 5 * DAY, 0)
    assert len(found.opens) == 8 * DAY


async def test_older_days_by_hand_do_not_move_freshness(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    await track(database, "AAPL")
    await queue(database, "AAPL", days(date(2026, 1, 2), date(2026, 2, 27)), minutes(FRIDAY))
    await filling.work_off()
    found = await backfilled(database, "AAPL", Interval.ONE_DAY)
    assert (found.job.status, found.symbol.last_updated) == (BackfillStatus.COMPLETED, None)


async def test_newest_days_by_hand_move_price_levels_and_lots_and_no_refresh(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    """A day that is held is never later than what is said of the symbol; that it was refreshed is not said."""
    await track(database, "AAPL")
    await queue(database, "AAPL", days(date(2026, 1, 2), THURSDAY))
    await filling.work_off()
    before = (await backfilled(database, "AAPL", Interval.ONE_DAY)).symbol
    await queue(database, "AAPL", days(FRIDAY, FRIDAY))
    await filling.work_off()
    found = await backfilled(database, "AAPL", Interval.ONE_DAY)
    async with database.read() as unit:
        newest = (await unit.bars.newest_final(["AAPL"]))["AAPL"]
        levels = (await unit.symbols.levels(["AAPL"]))["AAPL"]
    assert (before.as_of, found.symbol.as_of) == (CLOSE - timedelta(days=1), CLOSE)
    assert before.last_price != found.symbol.last_price == newest.close
    assert (found.symbol.level_count, found.symbol.last_updated) == (len(levels), None)
    await queue(database, "AAPL", days(date(2024, 1, 2), date(2024, 2, 2)))
    await filling.work_off()
    after = (await backfilled(database, "AAPL", Interval.ONE_DAY)).symbol
    assert after == replace(found.symbol, version=found.symbol.version + 1)


async def test_a_refresh_of_somebody_else_is_as_good(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    await track(database, "AAPL")
    async with database.write() as unit:
        await unit.leases.take(RefreshInFlight("AAPL", EVENING, "api"), "token")
    await queue(database, "AAPL", minutes(THURSDAY, FRIDAY), priority=Priority.SCHEDULED)
    await filling.work_off()
    found = await backfilled(database, "AAPL")
    assert (found.job.status, len(found.opens)) == (BackfillStatus.COMPLETED, 2 * DAY)
    assert [interval for _, interval, _, _ in provider.requests] == [Interval.ONE_MINUTE]


async def test_days_before_its_listing_are_no_failure_by_the_schedule(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    """All that is missing lies before its first bar, and is not there."""
    listed = datetime(2026, 3, 2, tzinfo=UTC)
    provider.has = lambda _, __, opens: opens >= listed
    await track(database, "AAPL")
    await queue(database, "AAPL", days(date(2026, 2, 2), FRIDAY), priority=Priority.SCHEDULED)
    await filling.work_off()
    found = await backfilled(database, "AAPL", Interval.ONE_DAY)
    assert (found.job.status, found.job.error) == (BackfillStatus.COMPLETED, None)
    assert [(each.first, each.last, each.cause) for each in found.absences] == [
        (date(2026, 2, 2), date(2026, 2, 27), GapCause.NOT_LISTED)
    ]
    assert found.mark == Mark("AAPL", Interval.ONE_DAY, CLOSE, CLOSE)


async def test_a_symbol_without_minutes_is_no_failure_by_the_schedule_and_one_by_hand(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider
) -> None:
    provider.has = lambda _, interval, __: interval is Interval.ONE_DAY
    await track(database, "AAPL")
    wanted = days(date(2026, 3, 2), FRIDAY), minutes(THURSDAY, FRIDAY)
    await queue(database, "AAPL", *wanted, priority=Priority.SCHEDULED)
    await filling.work_off()
    found = await backfilled(database, "AAPL")
    assert (found.job.status, found.job.error, found.opens) == (BackfillStatus.COMPLETED, None, [])
    assert [(each.first, each.last, each.cause) for each in found.absences] == [(THURSDAY, FRIDAY, GapCause.PROVIDER_HOLE)]
    await queue(database, "AAPL", minutes(WEDNESDAY))
    await filling.work_off()
    assert (await backfilled(database, "AAPL")).job.error == (
        f"stub sent no bars of AAPL from {WEDNESDAY} to {WEDNESDAY}, of which the calendar expects 390 of 1m."
    )


async def test_what_a_provider_does_not_serve_is_not_asked_for_again(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider, outcomes: list[str]
) -> None:
    await track(database, "AAPL")
    await queue(database, "AAPL", minutes(FRIDAY))
    provider.before_answer = failing(ProviderUnavailable("stub", Trouble.NOT_SERVED, "does not cover minute bars"))
    await filling.work_off()
    found = await backfilled(database, "AAPL")
    assert (found.job.status, found.job.error) == (BackfillStatus.FAILED, "The provider stub does not cover minute bars.")
    assert outcomes == ["failed"]


async def test_a_refresh_in_trouble_postpones_it(database: SqlDatabase, filling: Filling, provider: PunctualProvider) -> None:
    await track(database, "AAPL")
    await queue(database, "AAPL", days(THURSDAY, FRIDAY), priority=Priority.SCHEDULED)
    provider.before_answer = failing(ProviderUnavailable("stub"))
    for _ in range(MAX_ATTEMPTS):
        await filling.work_off()
        await make_due(database)
    found = await backfilled(database, "AAPL", Interval.ONE_DAY)
    assert (found.job.status, found.job.attempts) == (BackfillStatus.FAILED, 3)
    assert [(each.first, each.last, each.cause) for each in found.absences] == [(THURSDAY, FRIDAY, GapCause.FETCH_FAILED)]


# ── SUSPECT


async def tried_on(
    database: SqlDatabase, filling: Filling, clock: ManualClock, hours: int, priority: Priority = Priority.SCHEDULED
) -> Backfilled:
    clock.advance(timedelta(hours=hours))
    today = clock.now().date()
    await queue(database, "AAPL", days(today - timedelta(days=4), today), priority=priority, now=clock.now())
    await filling.work_off()
    return await backfilled(database, "AAPL", Interval.ONE_DAY)


@pytest.mark.parametrize("priority", [Priority.SCHEDULED, Priority.ASKED_FOR])
@pytest.mark.parametrize("how", ["nothing", "unknown"])
async def test_three_trading_days_without_anything_make_it_suspect(
    database: SqlDatabase,
    filling: Filling,
    provider: PunctualProvider,
    clock: ManualClock,
    canary: StubCanary,
    how: str,
    priority: Priority,
) -> None:
    await track(database, "AAPL")
    known = provider.profiles["AAPL"]
    if how == "nothing":
        provider.has = lambda *_: False
    else:
        del provider.profiles["AAPL"]
    seen = []
    for hours in (0, 2, 48, 24, 24):  # Friday, twice; Sunday, of which the trading day is Friday; Monday and Tuesday
        found = await tried_on(database, filling, clock, hours, priority)
        seen.append((found.job.status, found.job.failed_days, found.symbol.status))
    failed, active = BackfillStatus.FAILED, SymbolStatus.ACTIVE
    assert seen == [
        (failed, 1, active),
        (failed, 1, active),
        (failed, 1, active),
        (failed, 2, active),
        (failed, 3, SymbolStatus.SUSPECT),
    ]
    assert found.told[-1] == (SymbolChangeKind.STATUS_CHANGED, f"suspect: {found.job.error}")
    assert canary.asked == ["AAPL"] * 5
    provider.profiles["AAPL"], provider.has = known, lambda *_: True
    found = await tried_on(database, filling, clock, 1, priority)
    assert (found.job.status, found.job.failed_days, found.symbol.status) == (BackfillStatus.COMPLETED, 0, active)
    assert found.told[-1][0] is SymbolChangeKind.STATUS_CHANGED


@pytest.mark.parametrize(("is_well", "status"), [(True, SymbolStatus.SUSPECT), (False, SymbolStatus.ACTIVE)])
async def test_a_real_canary_tells_a_dead_symbol_from_a_dead_provider(
    database: SqlDatabase,
    provider: PunctualProvider,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    is_well: bool,
    status: SymbolStatus,
) -> None:
    """Of the provider too, in the same days, SPY is asked for: it has that, or nothing of anybody."""
    monkeypatch.setattr("domain.services.canary.REMEMBERED_SECONDS", 0)
    provider.has = lambda ticker, *_: ticker == "SPY" and is_well
    canary = Canary(lambda _: [provider], clock)
    filling = Filling(database, provider, Refreshing(database, provider, clock), clock, canary)
    await track(database, "AAPL")
    for hours in (0, 72, 24):
        found = await tried_on(database, filling, clock, hours)
        assert found.job.status is BackfillStatus.FAILED
    assert found.symbol.status is status


async def test_where_the_canary_is_down_nobody_becomes_suspect(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider, clock: ManualClock, canary: StubCanary
) -> None:
    provider.has = lambda *_: False
    canary.is_up = False
    await track(database, "AAPL")
    for _ in range(5):
        found = await tried_on(database, filling, clock, 24)
        assert (found.job.status, found.job.failed_days, found.symbol.status) == (
            BackfillStatus.FAILED,
            0,
            SymbolStatus.ACTIVE,
        )


@pytest.mark.parametrize("trouble", Trouble)
async def test_a_provider_in_trouble_makes_nobody_suspect(
    database: SqlDatabase,
    filling: Filling,
    provider: PunctualProvider,
    clock: ManualClock,
    canary: StubCanary,
    trouble: Trouble,
) -> None:
    provider.before_answer = failing(ProviderUnavailable("stub", trouble))
    await track(database, "AAPL")
    for _ in range(4):
        found = await tried_on(database, filling, clock, 24)
        for _ in range(MAX_ATTEMPTS):
            await make_due(database)
            await filling.work_off()
        found = await backfilled(database, "AAPL")
        assert (found.job.status, found.job.failed_days) == (BackfillStatus.FAILED, 0)
    assert (found.symbol.status, canary.asked) == (SymbolStatus.ACTIVE, [])


async def test_old_days_or_minutes_without_anything_say_nothing_of_the_symbol(
    database: SqlDatabase, filling: Filling, provider: PunctualProvider, clock: ManualClock, canary: StubCanary
) -> None:
    provider.has = lambda *_: False
    await track(database, "AAPL")
    for _ in range(4):
        clock.advance(timedelta(days=1))
        for wanted in (days(date(2025, 3, 3), date(2025, 3, 7)), minutes(FRIDAY)):
            await queue(database, "AAPL", wanted, now=clock.now())
            await filling.work_off()
            found = await backfilled(database, "AAPL")
            assert (found.job.status, found.job.failed_days) == (BackfillStatus.FAILED, 0)
    assert (found.symbol.status, canary.asked) == (SymbolStatus.ACTIVE, [])


async def test_without_a_canary_nobody_becomes_suspect(
    database: SqlDatabase, provider: PunctualProvider, clock: ManualClock
) -> None:
    provider.has = lambda *_: False
    filling = Filling(database, provider, Refreshing(database, provider, clock), clock)
    await track(database, "AAPL")
    for _ in range(4):
        found = await tried_on(database, filling, clock, 24)
    assert (found.job.failed_days, found.symbol.status) == (0, SymbolStatus.ACTIVE)
