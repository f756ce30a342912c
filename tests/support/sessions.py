"""The session as its leader would store it, without one."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import update

from domain.bars import Bar, Interval
from domain.events import SessionMoved
from domain.session import Run, SessionMode, SessionSymbol, SessionSymbolPhase, TradingSession
from persistence.tables import trading_session
from persistence.types import real_time
from persistence.unit_of_work import SqlDatabase
from tests.support.client import GraphClient
from tests.support.universe import track

DAY = date(2026, 3, 27)
OPENS = datetime(2026, 3, 27, 13, 30, tzinfo=UTC)
NOON = datetime(2026, 3, 27, 16, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def live_symbol(ticker: str, **changes: Any) -> SessionSymbol:
    """At the frontier, at noon, and shown since."""
    values: dict[str, Any] = {
        "phase": SessionSymbolPhase.LIVE,
        "since": OPENS,
        "watermark": NOON,
        "is_withheld": False,
        "shown_after": NOON,
        "bars_processed": 150,
    }
    return SessionSymbol(ticker, OPENS, **(values | changes))


def active(*symbols: str | SessionSymbol, **changes: Any) -> TradingSession:
    """A live session at noon that runs and is open, at version 1 and epoch 2."""
    values: dict[str, Any] = {
        "clock": NOON,
        "number": 1,
        "mode": SessionMode.LIVE,
        "run": Run.RUNNING,
        "version": 1,
        "epoch": 2,
        "leaders": 1,
        "has_begun": True,
        "is_open": True,
        "reason": None,
        "symbols": tuple(live_symbol(each) if isinstance(each, str) else each for each in symbols),
    }
    return TradingSession(**(values | changes))


async def put(database: SqlDatabase, session: TradingSession, *, cause: str | None = None) -> TradingSession:
    """Stored as by a leader that is there; with a cause, as a new epoch."""
    async with database.write() as unit:
        await unit.session.lock()
        await unit.session.save(session)
        await unit.session.lead(1)
        if cause is not None:
            await unit.events.append(SessionMoved(session, cause, session.clock))
    return session


async def silence(database: SqlDatabase, seconds: float) -> None:
    """The leader was heard so long ago."""
    async with database.engine.write() as connection:
        await connection.execute(update(trading_session).values(heard_at=real_time(-seconds)))


def minute(ticker: str, opens: datetime, close: str = "100", **changes: Any) -> Bar:
    price = Decimal(close)
    values: dict[str, Any] = {
        "ticker": ticker,
        "interval": Interval.ONE_MINUTE,
        "open_time": opens,
        "close_time": opens + MINUTE,
        "open": price,
        "high": price,
        "low": price,
        "close": price,
        "volume": Decimal(10),
        "adjusted_to": opens.date(),
        "source": "stub",
    }
    return Bar(**(values | changes))


def minutes(ticker: str, until: datetime, since: datetime = OPENS) -> list[Bar]:
    """One for each minute, each at a price of its own."""
    count = (until - since) // MINUTE
    return [minute(ticker, since + number * MINUTE, str(100 + number)) for number in range(count)]


async def hold(database: SqlDatabase, bars: Iterable[Bar]) -> None:
    async with database.write() as unit:
        await unit.bars.upsert(list(bars))


BEHIND = live_symbol(
    "MSFT",
    phase=SessionSymbolPhase.CATCHING_UP,
    watermark=NOON - timedelta(seconds=8940),
    is_behind=True,
    is_withheld=True,
    bars_processed=1,
    bars_queued=149,
    threshold_seconds=30,
)
SHUT = {"is_open": False, "reason": "MSFT (8940 s) is behind.", "epoch": 3}


def shut() -> TradingSession:
    """MSFT has joined, and is 150 bars behind."""
    return active(live_symbol("AAPL", is_withheld=True), BEHIND, **SHUT)


async def told_apart(database: SqlDatabase) -> None:
    """Minutes of the eve, of the session's day up to noon and beyond it, of two symbols that are tracked."""
    await track(database, "AAPL", "MSFT")
    for ticker in ("AAPL", "MSFT"):
        eve = minutes(ticker, OPENS - timedelta(days=1) + 5 * MINUTE, OPENS - timedelta(days=1))
        await hold(database, [*eve, *minutes(ticker, NOON + 30 * MINUTE)])


# ── over GraphQL

PART = "ticker phase lagSeconds barsProcessed barsQueued catchupThresholdSeconds priority error addedAt"
SESSION = f"""id mode state active reason epoch version clock speed gating catchupThresholdSeconds catchupCheckInterval
    quarantineAfterSeconds symbols {{ {PART} }} lagging {{ ticker lagSeconds }}"""
MEMBERS = f"""__typename ... on Problem {{ message code }} ... on SessionChanged {{ session {{ {SESSION} }} }}
    ... on VersionConflict {{ expectedVersion currentVersion }} ... on SymbolNotFound {{ ticker }}
    ... on InvalidSession {{ field }}"""
START = f"mutation($input: StartSessionInput!) {{ startSession(input: $input) {{ {MEMBERS} }} }}"
COMMANDS = {
    "stopSession": f"mutation($version: Int!) {{ stopSession(expectedVersion: $version) {{ {MEMBERS} }} }}",
    "pauseSession": f"mutation($version: Int!) {{ pauseSession(expectedVersion: $version) {{ {MEMBERS} }} }}",
    "resumeSession": f"mutation($version: Int!) {{ resumeSession(expectedVersion: $version) {{ {MEMBERS} }} }}",
    "addSessionSymbol": (
        f'mutation($version: Int!) {{ addSessionSymbol(input: {{ticker: "MSFT", expectedVersion: $version}}) {{ {MEMBERS} }} }}'
    ),
    "removeSessionSymbol": (
        "mutation($version: Int!) { removeSessionSymbol("
        f'input: {{ticker: "AAPL", expectedVersion: $version}}) {{ {MEMBERS} }} }}'
    ),
}
ADD = f"mutation($input: SessionSymbolInput!) {{ addSessionSymbol(input: $input) {{ {MEMBERS} }} }}"
REMOVE = f"mutation($input: SessionSymbolInput!) {{ removeSessionSymbol(input: $input) {{ {MEMBERS} }} }}"
REPLAY: dict[str, Any] = {"mode": "REPLAY", "tickers": ["AAPL"], "date": "2026-03-25", "expectedVersion": 0}


async def answer(graph: GraphClient, query: str, **variables: Any) -> dict[str, Any]:
    (found,) = (await graph(query, **variables)).values()
    return dict(found)


async def start(graph: GraphClient, **changes: Any) -> dict[str, Any]:
    return await answer(graph, START, input=REPLAY | changes)


async def command(graph: GraphClient, name: str, version: int) -> dict[str, Any]:
    return await answer(graph, COMMANDS[name], version=version)


async def add(graph: GraphClient, ticker: str, version: int, **given: Any) -> dict[str, Any]:
    return await answer(graph, ADD, input={"ticker": ticker, "expectedVersion": version} | given)
