"""`freshtape session`: commands to a running service, and what is shown of its session."""

import asyncio
import io
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import parse, validate
from rich.console import Console

from tests.support.process import END_SECONDS, forked
from tests.support.session_stub import COMMANDS, SessionStub, contract, running, symbol
from tests.web.conftest import Ran
from web.cli import session as commands
from web.cli.session_board import LiveBoard, SessionBoard, screen, session_board

CHANGES: dict[str, tuple[str, dict[str, Any], str]] = {
    "stop": ("stopSession", {}, "The session is stopped.\n"),
    "pause": ("pauseSession", {}, "The session is paused.\n"),
    "resume": ("resumeSession", {}, "The session goes on.\n"),
    "add tsla": (
        "addSessionSymbol",
        {"ticker": "TSLA", "catchupThresholdSeconds": None, "priority": None},
        "TSLA takes part in the session, PENDING: 3 symbols.\n",
    ),
    "remove spy": ("removeSessionSymbol", {"ticker": "SPY"}, "SPY has left the session: 1 symbol.\n"),
}
START = "start --replay 2026-03-25 SPY"


@pytest.fixture
def stub() -> SessionStub:
    return SessionStub("SPY", "AAPL")


@pytest.fixture
def url(stub: SessionStub) -> Iterator[str]:
    with running(stub) as url:
        yield url


@pytest.fixture
def session(freshtape: Callable[..., Ran], url: str) -> Callable[[str], Ran]:
    """Runs a command on the session of the stub."""
    return lambda line: freshtape("session", *line.split(), "--url", url)


@pytest.mark.parametrize("name", ["VERSION", "START", "STOP", "PAUSE", "RESUME", "ADD", "REMOVE", "SESSION", "ACTIVATION"])
def test_what_is_asked_is_in_the_contract(name: str) -> None:
    assert validate(contract, parse(getattr(commands, name))) == []


# ── start


@pytest.mark.parametrize(
    ("line", "asked", "said"),
    [
        (
            "start --replay 2026-03-25 --speed 60 SPY aapl brk.b",
            {"mode": "REPLAY", "date": "2026-03-25", "speed": 60, "tickers": ["SPY", "AAPL", "BRK-B"]},
            "The session replays 2026-03-25 at 60×: 3 symbols.\n",
        ),
        (
            "start --speed 0 --replay 2026-03-25 SPY spy",
            {"mode": "REPLAY", "date": "2026-03-25", "speed": 0, "tickers": ["SPY"]},
            "The session replays 2026-03-25 as fast as it goes: 1 symbol.\n",
        ),
        (
            "start --replay 2026-03-25 --speed 0.5 --gating symbol --threshold 90 --check-interval 5 --quarantine 600 SPY",
            {
                "mode": "REPLAY",
                "date": "2026-03-25",
                "speed": 0.5,
                "tickers": ["SPY"],
                "gating": "SYMBOL",
                "catchupThresholdSeconds": 90,
                "catchupCheckInterval": 5,
                "quarantineAfterSeconds": 600,
            },
            "The session replays 2026-03-25 at 0.5×: 1 symbol.\n",
        ),
        (
            "start --live btc-usd SPY",
            {"mode": "LIVE", "date": None, "speed": 1, "tickers": ["BTC-USD", "SPY"]},
            "The session is live: 2 symbols.\n",
        ),
    ],
)
def test_start(stub: SessionStub, session: Callable[[str], Ran], line: str, asked: dict[str, Any], said: str) -> None:
    assert session(line) == (0, said, "")
    left_out = dict.fromkeys(("catchupThresholdSeconds", "catchupCheckInterval", "quarantineAfterSeconds"))
    assert stub.asked == [("startSession", {"gating": "SESSION", **left_out, **asked, "expectedVersion": 7})]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("start SPY", "give either --replay with a trading day, or --live"),
        ("start --replay 2026-03-25 --live SPY", "give either --replay with a trading day, or --live"),
        ("start --live", "Missing argument"),
        ("start --replay yesterday SPY", "'yesterday' does not match the formats '%Y-%m-%d'"),
        ("start --replay 2026-03-25 --speed -1 SPY", "'--speed': Input should be greater than or equal to 0"),
        ("start --replay 2026-03-25 --speed nan SPY", "'--speed': Input should be greater than or equal to 0"),
        ("start --replay 2026-03-25 --speed inf SPY", "--speed must be a number, 0 or more"),
        ("start --live --gating all SPY", "'all' is not one of 'session', 'symbol'"),
        ("start --live --threshold 0 SPY", "'--threshold': Input should be greater than or equal to 1"),
        ("start --live --check-interval 101 SPY", "'--check-interval': Input should be less than or equal to 100"),
        ("start --live --quarantine 0 SPY", "'--quarantine': Input should be greater than or equal to 1"),
        ("add --priority 101 SPY", "'--priority': Input should be less than or equal to 100"),
        ("add", "Missing argument"),
        ("add SPY AAPL", "unexpected extra argument"),
    ],
)
def test_wrong_usage(stub: SessionStub, session: Callable[[str], Ran], line: str, said: str) -> None:
    code, out, err = session(line)
    assert (code, out, stub.asked) == (2, "", [])
    assert said in re.sub(r"[\s│]+", " ", err)


# ── commands by version


@pytest.mark.parametrize("line", CHANGES)
def test_a_change_is_of_the_version_that_was_read(stub: SessionStub, session: Callable[[str], Ran], line: str) -> None:
    field, values, said = CHANGES[line]
    assert session(line) == (0, said, "")
    assert stub.asked == [(field, {**values, "expectedVersion": 7})]


def test_a_symbol_may_have_rules_of_its_own(stub: SessionStub, session: Callable[[str], Ran]) -> None:
    assert session("add TSLA --threshold 5 --priority 2")[0] == 0
    own = {"ticker": "TSLA", "catchupThresholdSeconds": 5, "priority": 2, "expectedVersion": 7}
    assert stub.asked == [("addSessionSymbol", own)]


@pytest.mark.parametrize("line", CHANGES)
def test_who_is_overtaken_once_tries_again(stub: SessionStub, session: Callable[[str], Ran], line: str) -> None:
    stub.overtaken = 1
    assert session(line) == (0, CHANGES[line][2], "")
    assert [values["expectedVersion"] for _, values in stub.asked] == [7, 8]


@pytest.mark.parametrize("line", CHANGES)
def test_who_is_overtaken_twice_is_told(stub: SessionStub, session: Callable[[str], Ran], line: str) -> None:
    stub.overtaken = 2
    assert session(line) == (3, "", "The session was changed meanwhile: expected version 8, it is 9.\n")
    assert [values["expectedVersion"] for _, values in stub.asked] == [7, 8]


def test_a_start_that_was_overtaken_is_not_tried_again(stub: SessionStub, session: Callable[[str], Ran]) -> None:
    stub.overtaken = 1
    assert session(START) == (3, "", "The session was changed meanwhile: expected version 7, it is 8.\n")
    assert len(stub.asked) == 1


@pytest.mark.parametrize("line", [START, *CHANGES])
@pytest.mark.parametrize(
    "refusal",
    [
        {"__typename": "SessionNotRunning", "message": "No session is running.", "code": "SESSION_NOT_RUNNING"},
        {"__typename": "SymbolNotFound", "message": "X [bold] is not known.", "code": "SYMBOL_NOT_FOUND", "ticker": "X"},
        {"__typename": "InvalidSession", "message": "A session is running already.", "code": "INVALID_SESSION", "field": None},
    ],
    ids=lambda refusal: refusal["__typename"],
)
def test_refusals(stub: SessionStub, session: Callable[[str], Ran], line: str, refusal: dict[str, Any]) -> None:
    stub.refusal = refusal
    assert session(line) == (3, "", f"{refusal['message']}\n")
    assert len(stub.asked) == 1


def test_what_is_no_ticker_is_not_asked_for(stub: SessionStub, session: Callable[[str], Ran]) -> None:
    for line in ("start --live SPY S&P", "add S&P", "remove S&P"):
        code, out, err = session(line)
        assert (code, out, stub.asked) == (3, "", [])
        assert err.startswith("'S&P' is not a ticker")


def test_every_command_of_the_contract_has_its_own() -> None:
    sent = "".join((commands.START, commands.STOP, commands.PAUSE, commands.RESUME, commands.ADD, commands.REMOVE))
    assert set(re.findall(r"done: (\w+)", sent)) == set(COMMANDS)


@pytest.mark.parametrize("line", [START, "watch", *CHANGES])
def test_where_nobody_answers(freshtape: Callable[..., Ran], line: str) -> None:
    nobody = "No service answers at http://127.0.0.1:9: start one with `freshtape serve`, or name one with --url.\n"
    assert freshtape("session", *line.split(), "--url", "http://127.0.0.1:9") == (4, "", nobody)


# ── watch


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(commands, "RETRY_SECONDS", 0.02)


@pytest.mark.usefixtures("quick")
def test_elsewhere_each_change_of_the_gate_is_a_line(stub: SessionStub, session: Callable[[str], Ran]) -> None:
    stub.planned = {
        2: lambda: stub.move("ACTIVE"),  # a symbol was added, and the gate stays open
        3: lambda: stub.move("INACTIVE", "[TSLA] (8940 s) is behind.", clock="2026-03-25T16:01:00.5Z"),
        4: lambda: stub.move("INACTIVE", "TSLA (7000 s) is behind."),
        5: lambda: stub.move("ACTIVE", clock="2026-03-25T17:00:00Z"),
        6: lambda: stub.move("FINISHED", "The replay of 2026-03-25 has ended.", clock="2026-03-25T20:00:00Z"),
    }
    code, out, err = session("watch")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "2026-03-25T16:00:00Z epoch 1 ACTIVE",
        "2026-03-25T16:01:00Z epoch 3 INACTIVE: [TSLA] (8940 s) is behind.",
        "2026-03-25T17:00:00Z epoch 5 ACTIVE",
        "2026-03-25T20:00:00Z epoch 6 INACTIVE: The replay of 2026-03-25 has ended.",
    ]
    assert stub.followed == [None]


def test_of_a_session_that_does_not_run_the_present_is_said(stub: SessionStub, session: Callable[[str], Ran]) -> None:
    stub.move("STOPPED", "No session has been started.")
    said = "2026-03-25T16:00:00Z epoch 2 INACTIVE: No session has been started.\n"
    assert session("watch") == (0, said, "")


@pytest.mark.usefixtures("quick")
def test_a_paused_session_is_watched_on_and_the_last_change_is_waited_for(
    stub: SessionStub, session: Callable[[str], Ran]
) -> None:
    def stop_untold() -> None:
        stub.session |= {"state": "STOPPED", "active": False, "reason": "The session is stopped.", "epoch": 4}

    stub.planned = {
        2: lambda: stub.move("PAUSED", "The session is paused."),
        4: lambda: stub.move("ACTIVE"),
        6: stop_untold,
        9: stub.tell,
    }
    code, out, _ = session("watch")
    assert code == 0
    assert [line.split(" ", 1)[1] for line in out.splitlines()] == [
        "epoch 1 ACTIVE",
        "epoch 2 INACTIVE: The session is paused.",
        "epoch 3 ACTIVE",
        "epoch 4 INACTIVE: The session is stopped.",
    ]
    assert stub.looks >= 9


@pytest.mark.usefixtures("quick")
def test_a_connection_that_is_lost_costs_no_change(stub: SessionStub, session: Callable[[str], Ran]) -> None:
    def shut_and_open_behind_its_back() -> None:
        stub.drop()
        stub.move("INACTIVE", "TSLA (8940 s) is behind.")
        stub.move("ACTIVE")

    stub.planned = {3: shut_and_open_behind_its_back, 6: stub.drop, 8: lambda: stub.move("STOPPED", "The session is stopped.")}
    code, out, err = session("watch")
    assert (code, err) == (0, "")
    assert [line.split(" ", 1)[1] for line in out.splitlines()] == [
        "epoch 1 ACTIVE",
        "epoch 2 INACTIVE: TSLA (8940 s) is behind.",
        "epoch 3 ACTIVE",
        "epoch 4 INACTIVE: The session is stopped.",
    ]
    assert stub.followed == [None, "c1", "c3"]


@pytest.mark.usefixtures("quick")
def test_a_place_that_is_not_kept_any_more_is_given_up_for_the_present(
    stub: SessionStub, session: Callable[[str], Ran]
) -> None:
    def long_away() -> None:
        stub.drop()
        stub.move("INACTIVE", "TSLA (8940 s) is behind.")
        stub.forgotten = 1

    stub.planned = {3: long_away, 6: lambda: stub.move("STOPPED", "The session is stopped.")}
    code, out, err = session("watch")
    assert (code, err) == (0, "")
    assert [line.split(" ", 1)[1] for line in out.splitlines()] == [
        "epoch 1 ACTIVE",
        "epoch 2 INACTIVE: TSLA (8940 s) is behind.",
    ]
    assert stub.followed == [None, "c1", None]


@pytest.mark.usefixtures("quick")
def test_a_service_that_stays_away_is_given_up(stub: SessionStub, freshtape: Callable[..., Ran]) -> None:
    with running(stub) as url:
        stub.planned = {3: stub.leave}
        code, out, err = freshtape("session", "watch", "--url", url)
    assert (code, out) == (4, "2026-03-25T16:00:00Z epoch 1 ACTIVE\n")
    assert err.startswith(f"No service answers at {url}")


@pytest.mark.usefixtures("quick")
def test_a_service_that_goes_on_refusing_is_given_up(stub: SessionStub, session: Callable[[str], Ran]) -> None:
    stub.planned = {3: lambda: setattr(stub, "fault", "It is broken.")}
    assert session("watch") == (3, "2026-03-25T16:00:00Z epoch 1 ACTIVE\n", "It is broken.\n")
    assert stub.looks < 20


async def test_ctrl_c_ends_it_well(stub: SessionStub, url: str, tmp_path: Path) -> None:
    environment = {**os.environ, "FRESHTAPE_PROVIDERS": "sample"}
    errors = tmp_path / "errors"
    watching = await forked(environment, (), errors, "session", "watch", "--url", url)
    async with asyncio.timeout(END_SECONDS):
        assert await watching.stdout.readline() == b"2026-03-25T16:00:00Z epoch 1 ACTIVE\n"
        watching.send_signal(signal.SIGINT)
        assert await watching.wait() == 0
    assert errors.read_text() == ""
    assert stub.session["state"] == "ACTIVE"


# ── the table


def drawn(session: dict[str, Any], width: int) -> list[str]:
    """On a terminal as wide; as the commands' own console, it leaves long lines to the terminal."""
    console = Console(record=True, file=io.StringIO(), force_terminal=True, width=width, highlight=False, soft_wrap=True)
    console.print(screen(session))
    return [line.rstrip() for line in console.export_text().splitlines()]


LAGGING = [
    symbol("AAPL", "CATCHING_UP", lagSeconds=8940.4, barsProcessed=1, barsQueued=149, catchupThresholdSeconds=90),
    symbol("SPY", "LIVE", lagSeconds=0.0, barsProcessed=1500),
    symbol("ZZZZ", "FAILED", error="ZZZZ [red] is not known to the provider sample."),
]


def test_the_table(stub: SessionStub) -> None:
    stub.move("INACTIVE", "AAPL (8940 s) is behind.", symbols=LAGGING)
    assert drawn(stub.session, 100) == [
        "INACTIVE: AAPL (8940 s) is behind.",
        "REPLAY 2026-03-25T16:00:00Z at 60×, epoch 2, gating SESSION",
        "",
        "ticker  phase            lag   bars  queued  threshold",
        "AAPL    CATCHING_UP  8,940 s      1     149       90 s",
        "SPY     LIVE             0 s  1,500       0       60 s",
        "ZZZZ    FAILED             –      0       0       60 s",
        "ZZZZ: ZZZZ [red] is not known to the provider sample.",
    ]
    stub.move("ACTIVE", mode="LIVE", speed=0.0, gating="SYMBOL", symbols=[])
    assert drawn(stub.session, 100)[:2] == [
        "ACTIVE",
        "LIVE 2026-03-25T16:00:00Z as fast as it goes, epoch 3, gating SYMBOL",
    ]


def test_no_line_is_longer_than_the_terminal(stub: SessionStub) -> None:
    stub.move("INACTIVE", "AAPL (8940 s) and 99 more are behind, which takes more than a line to say.", symbols=LAGGING)
    lines = drawn(stub.session, 62)
    assert max(map(len, lines)) <= 62
    assert lines[4].startswith("ticker  phase"), "what is above the table has taken a line more"
    assert all(line.endswith(" s") for line in lines[5:8]), "nothing is cut"


def test_on_a_terminal_the_table_is_drawn_anew_below_the_changes(stub: SessionStub) -> None:
    screen = io.StringIO()
    with session_board(Console(file=screen, force_terminal=True, width=100)) as board:
        assert isinstance(board, LiveBoard)
        for symbols in ([], LAGGING):
            stub.move("INACTIVE" if symbols else "ACTIVE", "AAPL (8940 s) is behind.", symbols=symbols)
            board.tell({**stub.session, "session": stub.session})
            board.show(stub.session)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue().replace("\r", "\n")).splitlines()
    told = [line for line in lines if "epoch 2 ACTIVE" in line or "epoch 3 INACTIVE" in line]
    assert told == ["2026-03-25T16:00:00Z epoch 2 ACTIVE", "2026-03-25T16:00:00Z epoch 3 INACTIVE: AAPL (8940 s) is behind."]
    assert [line.split()[0] for line in lines[-4:]] == ["AAPL", "SPY", "ZZZZ", "ZZZZ:"], "the newest is left standing"
    assert "\x1b[1A\x1b[2K" in screen.getvalue(), "what was drawn before is taken back"


def test_elsewhere_there_is_no_table(stub: SessionStub) -> None:
    pipe = Console(file=io.StringIO(), width=100)
    with session_board(pipe) as board:
        assert type(board) is SessionBoard
        board.show(stub.session)
    assert isinstance(pipe.file, io.StringIO)
    assert pipe.file.getvalue() == ""
