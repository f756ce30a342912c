"""A replay in the real service, on a real socket, as whoever asks and follows has it."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from domain.aggregation import Hours, aggregate, minute_of
from domain.bars import Bar, Interval
from domain.calendars import calendar_for
from domain.clock import Clock, parse_instant
from domain.hours import LENGTHS
from domain.ports import BarQuery
from domain.services import leadership, telling
from domain.symbols import Symbol
from domain.tickers import AssetClass
from providers.sample import SampleProvider
from tests.support.figures import told as figure
from tests.support.heard import Ear, Told, ear_to
from tests.support.process import until
from tests.support.served import Served, served
from tests.support.sessions import ADD, START
from tests.support.universe import profile_of, track
from web.settings import BUNDLED_SAMPLE, Settings

DAY = "2026-03-25"
OPENS, NOON, CLOSES = (datetime(2026, 3, 25, hour, minute, tzinfo=UTC) for hour, minute in ((13, 30), (16, 0), (20, 0)))
MINUTE = timedelta(minutes=1)
NEW_YORK = Hours(calendar_for(AssetClass.STOCK, "XNAS"))
INTERVALS = (Interval.ONE_MINUTE, *LENGTHS)
WITHIN = 20

ACTIVATION = """subscription { sessionActivation { active epoch reason laggingTickers
    session { clock state symbols { ticker phase lagSeconds barsProcessed barsQueued } } } }"""
BAR = "ticker interval openTime closeTime open high low close volume"
BARS = f"subscription($of: [String!]!, $every: Interval!) {{ bars(tickers: $of, interval: $every) {{ {BAR} }} }}"
SHOWN = f"""query($of: String!, $every: Interval!) {{ session {{ active epoch clock
    bars(ticker: $of, interval: $every) {{ withheld epoch nodes {{ {BAR} }} }} }} }}"""
STORED = """query($of: String!) { symbol(ticker: $of) { bars(
    interval: ONE_MINUTE, first: 500, from: "2026-03-25T00:00:00Z", to: "2026-03-26T00:00:00Z") { nodes { closeTime } } } }"""


class Conducted(leadership.Pace):
    """A replay's clock goes as far as it is told, at once."""

    until = -math.inf

    def now(self) -> float:
        return self.until

    def seconds_until(self, clock: float) -> float:
        return 0.01


@pytest.fixture(autouse=True)
def _conducted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conducted, "until", -math.inf)
    monkeypatch.setattr(leadership, "Pace", Conducted)


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever catches up does so bar by bar, each with a commit."""
    monkeypatch.setattr(leadership, "CHUNK", 1)


def sample(_: str, settings: Settings, clock: Clock) -> SampleProvider:
    return SampleProvider(settings.sample_dir, clock)


@asynccontextmanager
async def replayed(url: str, *tickers: str, **given: Any) -> AsyncIterator[Served]:
    """A service that replays the day, its clock at the open."""
    async with served(url, sample, works=True, sample_dir=BUNDLED_SAMPLE) as service:
        await track(service.container.database, "AAPL", "TSLA", "NVDA")
        asked = {"mode": "REPLAY", "tickers": tickers, "date": DAY, "speed": 60, "expectedVersion": 0, **given}
        assert (await member(service, START, asked))["__typename"] == "SessionChanged"
        yield service


async def member(service: Served, mutation: str, asked: dict[str, Any]) -> dict[str, Any]:
    answer = await service.ask(mutation, input=asked)
    assert "errors" not in answer, answer
    (found,) = answer["data"].values()
    return dict(found)


async def played(service: Served, to: datetime) -> None:
    """When the session's clock is there."""
    Conducted.until = to.timestamp()

    async def is_there() -> bool:
        return (await service.container.services.sessions.current()).clock >= to

    await until(is_there, WITHIN)


async def shown(service: Served, ticker: str, interval: Interval = Interval.ONE_MINUTE) -> dict[str, Any]:
    answer = await service.ask(SHOWN, of=ticker, every=interval.name)
    assert "errors" not in answer, answer
    return dict(answer["data"]["session"])


async def the_markets(service: Served, ticker: str, interval: Interval, to: datetime) -> list[tuple[Any, ...]]:
    """What the recorded minutes come to, up to a time of the day."""
    symbol = Symbol.tracked(profile_of(ticker), None, None)
    recorded = await sample("sample", service.container.settings, service.container.services.clock).history(
        symbol, Interval.ONE_MINUTE, OPENS.date(), to
    )
    if interval is Interval.ONE_MINUTE:
        return [row_of(bar) for bar in recorded.bars]
    minutes = [minute_of(bar) for bar in recorded.bars]
    return [tuple(window)[1:] for window in aggregate(minutes, NEW_YORK, interval, int(to.timestamp()))]


def figures(node: dict[str, Any]) -> tuple[Any, ...]:
    instants = (int(parse_instant(node[name]).timestamp()) for name in ("openTime", "closeTime"))
    return (*instants, *(Decimal(node[name]) for name in ("open", "high", "low", "close", "volume")))


def row_of(bar: Bar) -> tuple[Any, ...]:
    opens, *numbers = minute_of(bar)
    return (opens, int(bar.close_time.timestamp()), *numbers)


def closes_of(node: dict[str, Any]) -> datetime:
    return parse_instant(node["closeTime"])


@asynccontextmanager
async def followed(service: Served, *tickers: str) -> AsyncIterator[Ear]:
    """One socket with the session's activation, and the tickers' bars of one minute and of five."""
    async with ear_to(service.url) as ear:
        await ear.follow("activation", ACTIVATION)
        await ear.follow("minutes", BARS, of=tickers, every="ONE_MINUTE")
        await ear.follow("fives", BARS, of=tickers, every="FIVE_MINUTES")
        await ear.hears(lambda told: bool(told))
        yield ear


async def turned(ear: Ear, *, active: bool, after: int = 0) -> int:
    """Where in what was told the gate's next turn is, once it is told."""
    at: list[int] = []

    def is_told(told: list[Told]) -> bool:
        found = (n for n, one in enumerate(told) if n >= after and one.name == "activation" and one.value["active"] is active)
        at[:] = list(found)[:1]
        return bool(at)

    await ear.hears(is_told)
    return at[0]


def are_told_up_to(ear: Ear, clock: datetime, _: list[Told]) -> bool:
    return closings(ear, "minutes", "TSLA")[-1:] == [clock]


def closings(ear: Ear, name: str, ticker: str) -> list[datetime]:
    return [closes_of(bar) for bar in ear.of(name) if bar["ticker"] == ticker]


def every(minutes: int, first: datetime, last: datetime) -> list[datetime]:
    """The closes in between, both included."""
    return [first + step * minutes * MINUTE for step in range((last - first) // (minutes * MINUTE) + 1)]


def are_in_order(bars: list[dict[str, Any]]) -> bool:
    """By close, then by ticker, each once."""
    keys = [(closes_of(bar), bar["ticker"]) for bar in bars]
    return all(before < after for before, after in pairwise(keys))


# ── the documents' scenario


@pytest.mark.usefixtures("slowly")
async def test_one_that_is_added_at_noon_shuts_the_gate_until_it_has_caught_up(database_url: str) -> None:
    async with replayed(database_url, "AAPL") as service, followed(service, "AAPL", "TSLA") as ear:
        await turned(ear, active=True)
        await played(service, NOON)
        await ear.hears(lambda _: closings(ear, "minutes", "AAPL")[-1:] == [NOON])
        before = await shown(service, "AAPL")
        assert (before["active"], len(before["bars"]["nodes"])) == (True, 150)

        begun = len(ear.told)
        added = await member(service, ADD, {"ticker": "TSLA", "expectedVersion": 1})
        assert [part["ticker"] for part in added["session"]["symbols"]] == ["AAPL", "TSLA"]
        shut = await turned(ear, active=False, after=begun)
        event = ear.told[shut].value
        tsla = event["session"]["symbols"][1]
        assert (event["reason"], event["laggingTickers"]) == ("TSLA (8940 s) is behind.", ["TSLA"])
        assert tsla == {
            "ticker": "TSLA",
            "phase": "CATCHING_UP",
            "lagSeconds": 8940.0,
            "barsProcessed": 1,
            "barsQueued": 149,
        }
        looks = 0
        for interval in (Interval.ONE_MINUTE, Interval.FIVE_MINUTES):
            for ticker in ("AAPL", "TSLA"):
                page = await shown(service, ticker, interval)
                if not page["active"]:
                    looks += 1
                    assert (page["bars"]["withheld"], page["bars"]["nodes"]) == (True, [])
                    assert page["bars"]["epoch"] == event["epoch"]
        assert looks == 4, "it caught up before anybody could look"
        await played(service, NOON + 3 * MINUTE)  # the others go on, unseen

        opened = await turned(ear, active=True, after=shut)
        again = ear.told[opened].value
        assert (again["epoch"], again["laggingTickers"]) == (event["epoch"] + 1, [])
        reopened_at = parse_instant(again["session"]["clock"])
        assert [told.name for told in ear.told[shut:opened]] == ["activation"], "something was told while the gate was shut"

        for minute in range(1, 13):
            await played(service, reopened_at + minute * MINUTE)
        last = reopened_at + 12 * MINUTE
        await ear.hears(lambda _: closings(ear, "minutes", "TSLA")[-1:] == [last])
        since = reopened_at + MINUTE
        assert closings(ear, "minutes", "AAPL") == [*every(1, OPENS + MINUTE, NOON), *every(1, since, last)]
        assert closings(ear, "minutes", "TSLA") == every(1, since, last)
        fives = every(5, NOON + 5 * MINUTE, last)
        assert closings(ear, "fives", "AAPL") == [*every(5, OPENS + 5 * MINUTE, NOON), *fives]
        assert closings(ear, "fives", "TSLA") == fives
        assert are_in_order(ear.of("minutes"))
        assert are_in_order(ear.of("fives"))
        activations = [(move["epoch"], move["active"]) for move in ear.of("activation")]
        assert activations[-4:] == [(2, True), (3, True), (4, False), (5, True)]

        for ticker in ("AAPL", "TSLA"):
            stored = (await service.ask(STORED, of=ticker))["data"]["symbol"]["bars"]["nodes"]
            assert [closes_of(bar) for bar in stored] == every(1, OPENS + MINUTE, CLOSES), "what is stored is no secret"
            for interval in INTERVALS:
                page = await shown(service, ticker, interval)
                of_the_market = await the_markets(service, ticker, interval, last)
                assert page["bars"]["withheld"] is False
                assert [figures(bar) for bar in page["bars"]["nodes"]] == of_the_market, interval
        opening = f"open again at {again['session']['clock']}, {len(ear.told)} answers on the socket"
        figure(f"shut at {event['session']['clock']}, TSLA 8940 s behind; {opening}")


# ── each symbol's own gate


@pytest.mark.usefixtures("slowly")
async def test_with_gating_by_symbol_only_the_laggard_is_withheld(sqlite_url: str) -> None:
    async with replayed(sqlite_url, "AAPL", gating="SYMBOL") as service, followed(service, "AAPL", "TSLA") as ear:
        await turned(ear, active=True)
        await played(service, NOON)
        assert (await member(service, ADD, {"ticker": "TSLA", "expectedVersion": 1}))["__typename"] == "SessionChanged"
        await ear.hears(lambda told: told[-1].value.get("epoch") == 4)
        clock, looks = NOON, 0
        while (await shown(service, "TSLA"))["bars"]["withheld"]:
            clock += MINUTE
            await played(service, clock)
            beside = await shown(service, "AAPL")
            assert (beside["active"], beside["bars"]["withheld"]) == (True, False)
            assert closes_of(beside["bars"]["nodes"][-1]) == clock
            looks += 1
        assert looks > 1, "it caught up before anybody could look"
        await played(service, clock + 2 * MINUTE)
        await ear.hears(lambda _: closings(ear, "minutes", "TSLA")[-1:] == [clock + 2 * MINUTE])
        assert closings(ear, "minutes", "AAPL") == every(1, OPENS + MINUTE, clock + 2 * MINUTE), "the others were delayed"
        told = closings(ear, "minutes", "TSLA")
        assert told == every(1, told[0], clock + 2 * MINUTE)
        shown_since = next(parse_instant(move["session"]["clock"]) for move in ear.of("activation") if move["epoch"] == 5)
        assert told[0] > shown_since, "what was withheld is never told; once it is at the frontier, all is"
        moves = [(move["epoch"], move["active"], move["laggingTickers"]) for move in ear.of("activation")]
        assert moves[-3:] == [(3, True, []), (4, True, ["TSLA"]), (5, True, [])]
        page = await shown(service, "TSLA")
        assert [figures(bar) for bar in page["bars"]["nodes"]] == await the_markets(
            service, "TSLA", Interval.ONE_MINUTE, clock + 2 * MINUTE
        )
        figure(f"{looks} minutes of AAPL were told while TSLA was withheld")


# ── the end of the day


async def test_a_day_at_once_ends_with_every_window_and_shows_nothing_more(sqlite_url: str) -> None:
    """The last windows close by the clock; once it has ended a replay is not active."""
    async with replayed(sqlite_url, "AAPL", "NVDA", "TSLA") as service, followed(service, "AAPL", "NVDA", "TSLA") as ear:
        await turned(ear, active=True)
        Conducted.until = math.inf
        ended = ear.told[await turned(ear, active=False, after=1)].value
        assert (ended["session"]["state"], ended["reason"]) == ("FINISHED", f"The replay of {DAY} has ended.")
        page = await shown(service, "AAPL")
        assert (page["bars"]["withheld"], page["bars"]["nodes"]) == (True, [])
        await ear.hears(lambda _: all(closings(ear, name, "TSLA")[-1:] == [CLOSES] for name in ("minutes", "fives")))
        for ticker in ("AAPL", "NVDA", "TSLA"):
            assert closings(ear, "minutes", ticker) == every(1, OPENS + MINUTE, CLOSES)
            assert closings(ear, "fives", ticker) == every(5, OPENS + 5 * MINUTE, CLOSES)
        assert are_in_order(ear.of("minutes"))
        assert are_in_order(ear.of("fives"))
        async with service.container.database.read() as unit:
            for interval in LENGTHS:
                stored = await unit.session_bars.closed_between(["AAPL", "NVDA", "TSLA"], interval, OPENS, CLOSES)
                for ticker in ("AAPL", "NVDA", "TSLA"):
                    windows = [
                        (*minute_of(bar)[:1], int(bar.close_time.timestamp()), *minute_of(bar)[1:])
                        for bar in stored
                        if bar.ticker == ticker
                    ]
                    assert windows == await the_markets(service, ticker, interval, CLOSES), interval


# ── those who follow


async def test_a_follower_that_does_not_read_is_let_go_and_no_other(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tickers = ["AAPL", "NVDA", "TSLA"]
    monkeypatch.setattr(telling, "BUFFER", 200)
    async with replayed(sqlite_url, *tickers) as service, service.socket() as idle, followed(service, *tickers) as ear:
        await turned(ear, active=True)
        numbers = [await idle.start(BARS, of=tickers, every="ONE_MINUTE") for _ in range(8)]
        for clock in every(30, OPENS + 30 * MINUTE, CLOSES - 30 * MINUTE):
            await played(service, clock)
            await ear.hears(partial(are_told_up_to, ear, clock))
        frames: dict[str, list[dict[str, Any]]] = {number: [] for number in numbers}
        ends: dict[str, Any] = {}
        while len(ends) < len(numbers):
            frame = await idle.receive()
            if frame["type"] == "complete":
                ends[frame["id"]] = frames[frame["id"]].pop()
            else:
                frames[frame["id"]].append(frame["payload"])
        assert len(ear.of("minutes")) == 3 * 360
        for number in numbers:
            (error,) = ends[number]["errors"]
            assert error["extensions"]["code"] == "SLOW_SUBSCRIBER"
            told = [closes_of(payload["data"]["bars"]) for payload in frames[number]]
            assert told == sorted(told)
            assert len(told) < 3 * 360
            assert "read session.bars" in error["message"]
        figure(f"let go after {[len(frames[number]) for number in numbers]} of 1080 bars")


async def test_what_is_handed_out_cannot_be_changed(sqlite_url: str) -> None:
    async with replayed(sqlite_url, "AAPL") as service:
        services = service.container.services
        handed: list[Any] = []
        async with aclosing(services.bar_feed.follow(["AAPL"], Interval.ONE_MINUTE)) as bars:
            coming = asyncio.ensure_future(anext(bars))
            await played(service, OPENS + MINUTE)
            handed.append(await asyncio.wait_for(coming, WITHIN))
        session = await services.sessions.current()
        page = await services.sessions.bars("AAPL", BarQuery(Interval.ONE_MINUTE, 10, CLOSES))
        handed += [session, *session.symbols, *page.bars]
        assert len(handed) == 4
        for value in handed:
            for name in value.__dataclass_fields__:
                with pytest.raises(FrozenInstanceError):
                    setattr(value, name, None)
        page.bars.clear()
        assert len((await shown(service, "AAPL"))["bars"]["nodes"]) == 1, "a list that was handed out is somebody's own"
