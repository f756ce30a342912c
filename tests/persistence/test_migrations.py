"""Bringing a database up to date: all or nothing, once, and to what the tables say."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

from domain.bars import Interval
from domain.events import LoggedStep, OnboardingAdvanced, Position, SymbolChangeKind
from domain.onboarding import OnboardingJob
from domain.symbols import Symbol
from persistence import upgrade as upgrading
from persistence.engine import Engine
from persistence.symbol_store import SqlSymbolStore
from persistence.tables import event_log, events
from persistence.types import real_time
from persistence.unit_of_work import SqlDatabase
from persistence.upgrade import UnknownRevision, upgrade
from tests.conftest import DATABASES
from tests.support import postgres
from tests.support.clock import EVENING
from tests.support.journal import changes_of, happened
from tests.support.provider import profile

UPGRADE = """
import asyncio, sys
from persistence.engine import Engine
from persistence.upgrade import upgrade

async def main() -> bool:
    engine = Engine(sys.argv[1])
    try:
        return await upgrade(engine)
    finally:
        await engine.close()

sys.exit(10 if asyncio.run(main()) else 0)
"""
BROKEN = """
import sqlalchemy as sa
from alembic import op

revision = "broken"
down_revision = "{newest}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("half_done", sa.Column("id", sa.Integer(), primary_key=True))
    op.execute("INSERT INTO half_done VALUES (1)")
    op.execute("UPDATE event_log SET last_number = 99")
    op.execute("this is no SQL")
"""


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database in which there is nothing at all."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"
        return
    server = request.getfixturevalue("postgres_server")
    name = f"test_{uuid4().hex}"
    asyncio.run(postgres.execute(server, f"CREATE DATABASE {name}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    asyncio.run(postgres.execute(server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[Engine]:
    engine = Engine(empty_url)
    yield engine
    await engine.close()


async def tables(engine: Engine) -> set[str]:
    async with engine.read() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def log_ids(engine: Engine) -> list[str]:
    async with engine.read() as connection:
        return list((await connection.scalars(select(event_log.c.log_id))).all())


async def test_up_from_nothing(empty: Engine) -> None:
    assert await upgrade(empty)
    assert await tables(empty) == {*SQLModel.metadata.tables, "alembic_version"}
    assert len(await log_ids(empty)) == 1


async def test_a_second_time_there_is_nothing_to_do(empty: Engine) -> None:
    await upgrade(empty)
    before = await log_ids(empty)
    assert not await upgrade(empty)
    assert await log_ids(empty) == before


async def test_every_database_has_a_log_of_its_own(empty: Engine, tmp_path: Path) -> None:
    other = Engine(f"sqlite+aiosqlite:///{tmp_path / 'other.db'}")
    await upgrade(empty)
    await upgrade(other)
    assert await log_ids(empty) != await log_ids(other)
    await other.close()


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, SQLModel.metadata))


async def test_migrations_lead_to_the_tables(empty: Engine) -> None:
    await upgrade(empty)
    async with empty.read() as connection:
        assert await connection.run_sync(_differences) == []


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE symbols ADD COLUMN surplus INTEGER",
        "DROP INDEX ix_events_recorded_at",
        "DROP TABLE market_clock",
    ],
)
async def test_a_difference_would_be_seen(empty: Engine, change: str) -> None:
    await upgrade(empty)
    async with empty.write() as connection:
        await connection.execute(text(change))
        assert len(await connection.run_sync(_differences)) >= 1


async def _checks(engine: Engine) -> dict[str, set[str | None]]:
    """The names of each table's CHECK constraints, which alembic does not compare."""

    def read(connection: Connection) -> dict[str, set[str | None]]:
        inspector = inspect(connection)
        return {name: {check["name"] for check in inspector.get_check_constraints(name)} for name in SQLModel.metadata.tables}

    async with engine.read() as connection:
        return await connection.run_sync(read)


async def test_checks_are_those_of_the_tables(empty: Engine, tmp_path: Path) -> None:
    made = Engine(f"sqlite+aiosqlite:///{tmp_path / 'made.db'}")
    async with made.write() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    await upgrade(empty)
    found = await _checks(empty)
    assert found == await _checks(made)
    assert found["symbols"] == {"ck_symbols_version", "ck_symbols_level_count"}
    await made.close()


# ── what was there stays


async def to_revision(engine: Engine, revision: str) -> None:
    def run(connection: Connection) -> None:
        config = upgrading._config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    async with engine.migrate() as connection:
        await connection.run_sync(run)


async def test_events_of_before_the_onboardings_are_kept_and_go_on(empty: Engine) -> None:
    """On SQLite, which cannot drop a constraint, their table is made anew."""
    await to_revision(empty, "0002")
    assert "onboarding_jobs" not in await tables(empty)
    kinds = list(SymbolChangeKind)
    async with empty.write() as connection:
        await SqlSymbolStore(connection).add(Symbol.tracked(profile(), None, None))
        times = {"occurred_at": EVENING, "recorded_at": real_time()}
        for number, kind in enumerate(kinds, 1):
            values = {"number": number, "kind": kind.value, "ticker": "AAPL", "detail": f"event {number}", **times}
            await connection.execute(insert(events).values(values))
        await connection.execute(update(event_log).values(last_number=len(kinds)))
    before = await log_ids(empty)
    assert await upgrade(empty)
    assert await log_ids(empty) == before, "cursors go on"
    database = SqlDatabase(empty, clock_generation=0)
    job = OnboardingJob("a job", "TSLA", EVENING)  # of a ticker that is no symbol
    async with database.write() as unit:
        await unit.events.append(happened("then"), OnboardingAdvanced(job, EVENING))
    async with database.read() as unit:
        logged = await unit.events.after(Position(before[0], 0), 100)
    assert [entry.position.number for entry in logged] == list(range(1, len(kinds) + 3))
    assert [change.event for change in changes_of(logged)] == [
        *(happened(f"event {number}", kind) for number, kind in enumerate(kinds, 1)),
        happened("then"),
    ]
    assert isinstance(logged[-1], LoggedStep)
    assert logged[-1].event.job == job


async def test_the_days_of_bars_held_are_to_be_counted(empty: Engine) -> None:
    await to_revision(empty, "0005")
    bar = "'AAPL', '{}', '{}', '2026-03-25 13:31:00.000000', 1, 1, 1, 1, 1, '2026-03-25', 'made up', {}, {}"
    opens = [("1m", 25, "13:30"), ("1m", 25, "23:59"), ("1m", 26, "00:00"), ("5m", 25, "13:30"), ("1d", 25, "13:30")]
    columns = (
        "ticker, interval, open_time, close_time, open, high, low, close, volume, adjusted_to, source, is_final, is_validated"
    )
    async with empty.write() as connection:
        await SqlSymbolStore(connection).add(Symbol.tracked(profile(), None, None))
        for interval, day, at in opens:
            values = bar.format(interval, f"2026-03-{day} {at}:00.000000", "true", "false")
            await connection.exec_driver_sql(f"INSERT INTO bars ({columns}) VALUES ({values})")
    assert await upgrade(empty)
    async with SqlDatabase(empty, clock_generation=0).write() as unit:
        assert [await unit.statistics.stale(interval) for interval in Interval] == [2, 1, 0, 0, 0, 0, 0]
        assert await unit.statistics.settle(Interval.ONE_MINUTE) == 2
        held = await unit.statistics.held(["AAPL"], Interval.ONE_MINUTE)
        daily = await unit.statistics.held(["AAPL"], Interval.ONE_DAY)
    assert (held["AAPL"].count, len(held["AAPL"].bits), daily["AAPL"].count) == (3, 2, 1)


# ── together


async def test_of_many_connections_at_once_one_does_the_work(empty_url: str) -> None:
    engines = [Engine(empty_url) for _ in range(8)]
    try:
        done = await asyncio.gather(*map(upgrade, engines))
        assert sum(done) == 1
        assert len(await log_ids(engines[0])) == 1
    finally:
        for engine in engines:
            await engine.close()


async def test_of_many_processes_at_once_one_does_the_work(empty_url: str) -> None:
    async def run() -> tuple[int | None, bytes]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", UPGRADE, empty_url, cwd=Path(__file__).parents[2], stderr=asyncio.subprocess.PIPE
        )
        _, errors = await process.communicate()
        return process.returncode, errors

    ended = await asyncio.gather(*(run() for _ in range(4)))
    assert sorted(code or 0 for code, _ in ended) == [0, 0, 0, 10], ended


# ── refusals and failures


async def test_a_newer_database_is_left_alone(empty: Engine) -> None:
    await upgrade(empty)
    async with empty.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = await tables(empty), await log_ids(empty)
    with pytest.raises(UnknownRevision, match="9999"):
        await upgrade(empty)
    assert (await tables(empty), await log_ids(empty)) == before
    async with empty.read() as connection:
        assert await connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


@pytest.fixture
def broken_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more migration, that fails after it has changed much."""
    folder = tmp_path / "migrations"
    shutil.copytree(upgrading._MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "v9999_broken.py").write_text(BROKEN.format(newest=upgrading._newest()))
    monkeypatch.setattr(upgrading, "_MIGRATIONS", folder)


@pytest.mark.usefixtures("broken_migration")
async def test_from_nothing_a_failing_migration_leaves_nothing(empty: Engine) -> None:
    with pytest.raises(DBAPIError):
        await upgrade(empty)
    assert await tables(empty) == set()


async def test_a_failing_migration_leaves_what_was_there(
    empty: Engine, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upgrade(empty)
    before, newest = await tables(empty), upgrading._newest()
    with monkeypatch.context():
        request.getfixturevalue("broken_migration")
        for _ in range(2):
            with pytest.raises(DBAPIError):
                await upgrade(empty)
    assert await tables(empty) == before
    async with empty.read() as connection:
        assert await connection.scalar(select(event_log.c.last_number)) == 0
        assert await connection.scalar(text("SELECT version_num FROM alembic_version")) == newest
