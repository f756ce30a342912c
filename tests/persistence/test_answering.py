"""A database that is away: how soon its callers are told, what they are told, and how soon it serves them again."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import IntegrityError, ProgrammingError

from domain.errors import ChangeInDoubt, StoreUnavailable
from domain.symbols import Symbol
from persistence import engine as engine_module
from persistence import event_log
from persistence.answering import Answering
from persistence.engine import Engine
from persistence.unit_of_work import SqlDatabase
from tests.support.figures import told
from tests.support.journal import append, head
from tests.support.mutants import in_force, mutated
from tests.support.provider import profile
from tests.support.proxy import Fate, Proxy

LOCK = text("SELECT 1 FROM event_log FOR UPDATE")
NUMBER = text("UPDATE event_log SET last_number = :n")
AT_ONCE = 1.5
PATIENCE = 8.0
"""Seconds within which everything must be answered: 4.4 at most by the service's own limits, the rest is for a slow machine."""
UNCHANGED = "The database did not answer, and nothing was changed; try again in a moment."


@pytest.fixture
async def proxy(postgres_server: URL) -> AsyncIterator[Proxy]:
    async with Proxy(postgres_server) as proxy:
        yield proxy


@pytest.fixture
async def distant(proxy: Proxy, postgresql_url: str) -> AsyncIterator[Engine]:
    """The test's PostgreSQL database, through the proxy."""
    engine = Engine(proxy.url(make_url(postgresql_url).database))
    await warm(engine)
    yield engine
    await engine.close()


async def warm(engine: Engine) -> None:
    """Fills the pool."""
    await asyncio.gather(*(ask(engine, "SELECT pg_sleep(0.1)") for _ in range(10)))


async def ask(engine: Engine, statement: str = "SELECT 1") -> None:
    async with engine.read() as connection:
        await connection.execute(text(statement))


async def write(engine: Engine, statement: str = "SELECT 1") -> None:
    async with engine.write() as connection:
        await connection.execute(text(statement))


async def refused(work: Awaitable[None]) -> tuple[float, StoreUnavailable]:
    """After how many seconds, and with what."""
    started = time.monotonic()
    with pytest.raises(StoreUnavailable) as raised:
        await work
    return time.monotonic() - started, raised.value


async def answers_again(engine: Engine) -> float:
    """After how many seconds."""
    started = time.monotonic()
    while True:
        try:
            await ask(engine)
        except StoreUnavailable:
            assert time.monotonic() - started < 60
            await asyncio.sleep(0.05)
        else:
            return time.monotonic() - started


# ── away


async def test_half_open_is_refused_in_time_then_at_once_and_heals(distant: Engine, proxy: Proxy) -> None:
    proxy.swallow()
    read, written = await asyncio.gather(refused(ask(distant)), refused(write(distant)))
    told(f"half-open: refused after {read[0]:.2f} s and {written[0]:.2f} s")
    assert max(read[0], written[0]) < PATIENCE
    assert str(read[1]) == "The database does not answer; try again in a moment."
    assert str(written[1]) == UNCHANGED
    for refusal in (refused(ask(distant)), refused(write(distant))):
        assert (await refusal)[0] < AT_ONCE
    # Nothing that was connected while it swallowed will ever answer: the whole pool is dead.
    proxy.restore()
    healed = await answers_again(distant)
    told(f"half-open: answers {healed:.2f} s after its return")
    assert healed < PATIENCE


async def test_were_the_pool_trusted_it_would_heal_connection_by_connection(distant: Engine, proxy: Proxy) -> None:
    with mutated(Engine._distrust, ("for entry in self._pooled", "for entry in ()")):
        proxy.swallow()
        await refused(ask(distant))
        proxy.restore()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(4):
                await answers_again(distant)


async def asked_during_silence(engine: Engine, proxy: Proxy) -> tuple[list[float], float]:
    """For how long each of those waits who ask for 2.5 s, and how many knocks were made in each second of it."""
    engine._seconds = 2
    proxy.swallow()
    await refused(ask(engine))
    waits, knocks, started = [], set[object](), time.monotonic()
    while time.monotonic() - started < 2.5:
        await asyncio.sleep(0.05)
        waits.append((await refused(ask(engine)))[0])
        knocks |= engine._answering._knocks
    return waits, len(knocks) / (time.monotonic() - started)


async def test_during_silence_nobody_waits_and_one_knock_a_second_is_made(distant: Engine, proxy: Proxy) -> None:
    waits, knocks = await asked_during_silence(distant, proxy)
    assert max(waits) < AT_ONCE
    assert 0 < knocks <= 1


async def test_were_a_caller_to_knock_it_would_wait(distant: Engine, proxy: Proxy) -> None:
    with in_force("callers knock"):
        waits, _ = await asked_during_silence(distant, proxy)
    assert max(waits) > AT_ONCE


async def while_others_are_answered(engine: Engine, proxy: Proxy) -> None:
    """One connection alone is half-open: whoever waits for it waits in vain, and everybody else is answered."""

    async def be_lost() -> None:
        async with engine.read() as connection:
            proxy.swallow()
            proxy.restore()
            await connection.execute(text("SELECT 1"))

    stuck = asyncio.create_task(refused(be_lost()))
    await asyncio.sleep(0.1)
    while not stuck.done():
        await ask(engine)
        await asyncio.sleep(0.05)
    await stuck
    await ask(engine)


async def test_who_waits_in_vain_while_others_are_answered_spoils_nothing(proxy: Proxy, postgresql_url: str) -> None:
    engine = Engine(proxy.url(make_url(postgresql_url).database))
    engine._seconds = 2
    await while_others_are_answered(engine, proxy)
    with mutated(Answering._note, ("now - self._answered_at < RETRY_SECONDS", "False")), pytest.raises(StoreUnavailable):
        await while_others_are_answered(engine, proxy)
    await engine.close()


async def test_a_cut_connection_is_refused_and_the_next_is_new(distant: Engine, proxy: Proxy) -> None:
    async def cut_in_the_middle() -> None:
        async with distant.read() as connection:
            proxy.cut()
            await connection.execute(text("SELECT 1"))

    assert (await refused(cut_in_the_middle()))[0] < AT_ONCE
    assert (await refused(ask(distant)))[0] < AT_ONCE
    proxy.restore()
    assert await answers_again(distant) < PATIENCE


async def test_nobody_waits_for_long_when_it_is_closed_while_half_open(distant: Engine, proxy: Proxy) -> None:
    proxy.swallow()
    started = time.monotonic()
    await distant.close()
    assert time.monotonic() - started < 3


async def test_a_caller_that_leaves_takes_its_connection_along_and_says_nothing_of_the_database(distant: Engine) -> None:
    leaving = [asyncio.create_task(ask(distant, "SELECT pg_sleep(60)")) for _ in range(20)]
    await asyncio.sleep(0.5)
    for task in leaving:
        task.cancel()
    assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*leaving, return_exceptions=True))
    await asyncio.gather(*(ask(distant) for _ in range(20)))


async def test_a_write_that_is_cancelled_lets_go_of_sqlite_whoever_holds_its_traceback(sqlite_url: str) -> None:
    leaving, other = Engine(sqlite_url), Engine(sqlite_url)
    held: list[BaseException] = []

    async def write_for_long() -> None:
        try:
            async with leaving.write() as connection:
                await connection.execute(NUMBER, [{"n": n} for n in range(100_000)])
        except asyncio.CancelledError as cancelled:
            held.append(cancelled)

    writing = asyncio.create_task(write_for_long())
    await asyncio.sleep(0.1)
    writing.cancel()
    await writing
    async with asyncio.timeout(PATIENCE), other.write() as connection:
        await connection.execute(NUMBER, {"n": 0})
    assert len(held) == 1, "it was over before"
    await asyncio.gather(leaving.close(), other.close())


async def test_a_process_that_was_suspended_suspects_nobody(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "TRANSACTION_SECONDS", 0.5)
    engine = Engine(postgresql_url)

    async def fall_asleep() -> None:
        async with engine.read() as connection:
            time.sleep(2)  # noqa: ASYNC251 - as SIGSTOP would have it
            await connection.execute(text("SELECT 1"))

    await refused(fall_asleep())
    await ask(engine)
    with mutated(Answering._note, ("and not was_asleep", "")):
        await refused(fall_asleep())
    assert (await refused(ask(engine)))[0] < AT_ONCE
    await engine.close()


# ── there, but slow, or asked what is wrong


async def test_a_slow_statement_is_ended_and_nobody_else_is_refused(distant: Engine) -> None:
    slow = asyncio.create_task(refused(ask(distant, "SELECT pg_sleep(20)")))
    while not slow.done():
        await ask(distant)
        await asyncio.sleep(0.05)
    assert (await slow)[0] < PATIENCE
    await ask(distant)


async def test_a_migration_takes_the_time_it_needs(distant: Engine) -> None:
    async with distant.migrate() as connection:
        await connection.execute(text("SELECT pg_sleep(4)"))
        assert await connection.scalar(text("SELECT 7")) == 7
    async with distant.read() as connection:
        assert await connection.scalar(text("SHOW statement_timeout")) == "2800ms"
        assert await connection.scalar(text("SHOW transaction_timeout")) == "3100ms"


async def test_more_callers_than_connections_are_told_and_suspect_nobody(distant: Engine) -> None:
    holding = [asyncio.create_task(ask(distant, "SELECT pg_sleep(0.8)")) for _ in range(20)]
    await asyncio.sleep(0.2)
    await asyncio.gather(*holding, *(ask(distant) for _ in range(100)))


@pytest.mark.parametrize("statement", ["SELECT * FROM nothing", "INSERT INTO event_log SELECT * FROM event_log", "no SQL"])
async def test_a_fault_of_ours_stays_one(engine: Engine, statement: str) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the databases disagree on which
        await write(engine, statement)
    assert not isinstance(raised.value, StoreUnavailable)
    if engine.kind == "postgresql":
        assert isinstance(raised.value, IntegrityError if "INSERT" in statement else ProgrammingError)
    await ask(engine)


async def test_sqlite_that_another_process_holds(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "BUSY_SECONDS", 0.2)
    engine = Engine(sqlite_url)
    other = sqlite3.connect(str(make_url(sqlite_url).database))
    other.execute("BEGIN IMMEDIATE")
    assert str((await refused(write(engine)))[1]) == UNCHANGED
    await ask(engine)
    other.rollback()
    other.close()
    await write(engine)
    await engine.close()


@pytest.mark.parametrize("is_prepared", [False, True])
async def test_a_lock_is_given_back_by_who_cannot_say_so(
    distant: Engine, proxy: Proxy, postgresql_url: str, is_prepared: bool
) -> None:
    """Also when the server waits within a statement, prepared and not yet executed: no other limit ends that."""

    async def lock_and_be_lost() -> None:
        async with distant.write() as connection:
            await connection.execute(LOCK)
            if is_prepared:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None
                await driver.prepare("SELECT 42")
            proxy.swallow()
            await connection.execute(text("SELECT 1"))

    await refused(lock_and_be_lost())
    near = Engine(postgresql_url)
    started = time.monotonic()
    async with near.write() as connection:
        await connection.execute(LOCK)
    assert time.monotonic() - started < PATIENCE
    await near.close()


# ── the answer to a COMMIT


@asynccontextmanager
async def tracked(engine: Engine) -> AsyncIterator[tuple[SqlDatabase, list[None]]]:
    """A database with a symbol, and what it told of appends."""
    database, commits = SqlDatabase(engine, clock_generation=0), list[None]()
    async with database.write() as unit:
        await unit.symbols.add(Symbol.tracked(profile(), None, None))
    await append(database, "before")
    database.on_append = lambda: commits.append(None)
    yield database, commits


async def numbers(url: str) -> int:
    """How many events are committed, once every transaction is over."""
    engine = Engine(url)
    try:
        async with engine.write() as connection:
            await connection.execute(LOCK)
            return int((await connection.execute(text("SELECT count(*) FROM events"))).scalar_one())
    finally:
        await engine.close()


COMMITTED = (Fate.ANSWER_CUT, Fate.ANSWER_SWALLOWED, Fate.COMMIT_LATE)
NOT_COMMITTED = (Fate.COMMIT_CUT, Fate.COMMIT_SWALLOWED)


async def committed(engine: Engine, proxy: Proxy, url: str, fate: Fate) -> None:
    """A transaction whose COMMIT meets this fate is reported committed, and is."""
    async with tracked(engine) as (database, commits):
        proxy.at_commit = fate
        started = time.monotonic()
        await append(database, "after")
        seconds = time.monotonic() - started
        told(f"{fate.value}: answered after {seconds:.2f} s")
        assert seconds < PATIENCE
        assert len(commits) == 1
        assert (await numbers(url), (await head(database)).number) == (2, 2)


@pytest.mark.parametrize("fate", COMMITTED)
async def test_what_was_committed_is_not_called_failed(distant: Engine, proxy: Proxy, postgresql_url: str, fate: Fate) -> None:
    await committed(distant, proxy, postgresql_url, fate)


@pytest.mark.parametrize("fate", NOT_COMMITTED)
async def test_what_was_not_committed_is_not_called_done(
    distant: Engine, proxy: Proxy, postgresql_url: str, fate: Fate
) -> None:
    async with tracked(distant) as (database, commits):
        proxy.at_commit = fate
        seconds, refusal = await refused(append(database, "after"))
        told(f"{fate.value}: refused after {seconds:.2f} s")
        assert seconds < PATIENCE
        assert (type(refusal), str(refusal)) == (StoreUnavailable, UNCHANGED)
        assert not commits
        assert await numbers(postgresql_url) == 1


async def test_what_nobody_can_tell_is_said_to_be_unknown(
    distant: Engine, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tracked(distant) as (database, commits):
        take_fate = proxy.take_fate

        def and_silence() -> Fate | None:
            proxy.swallow()
            return take_fate()

        monkeypatch.setattr(proxy, "take_fate", and_silence)
        seconds, refusal = await refused(append(database, "after"))
        told(f"the database falls silent at the COMMIT: refused after {seconds:.2f} s")
        assert seconds < PATIENCE
        assert isinstance(refusal, ChangeInDoubt)
        assert "not known whether the change was made" in refusal.message
        assert not commits


async def test_without_looking_back_what_was_committed_would_be_called_failed(
    distant: Engine, proxy: Proxy, postgresql_url: str
) -> None:
    with mutated(SqlDatabase._assure, ("asyncio.timeout_at(deadline)", "asyncio.timeout_at(0)")), pytest.raises(ChangeInDoubt):
        await committed(distant, proxy, postgresql_url, Fate.ANSWER_CUT)


async def test_without_waiting_for_the_lock_a_late_commit_would_be_called_failed(
    distant: Engine, proxy: Proxy, postgresql_url: str
) -> None:
    unlocked = ("select(event_log.c.id).with_for_update()", "select(event_log.c.id)")
    with mutated(event_log.SqlEventLog.has, unlocked), pytest.raises(StoreUnavailable, match="nothing was changed"):
        await committed(distant, proxy, postgresql_url, Fate.COMMIT_LATE)
