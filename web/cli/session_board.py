"""The trading session as the command line shows it: a table on a terminal, elsewhere a line for each change of its gate."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from domain.clock import parse_instant
from web.cli.shared import shown

_COLUMNS = ("ticker", "phase", "lag", "bars", "queued", "threshold")
_FIGURES = ("lag", "bars", "queued", "threshold")


class SessionBoard:
    """`epoch` is the newest that it was told of."""

    def __init__(self, out: Console) -> None:
        self.epoch = -1
        self._out = out
        self._is_active: bool | None = None

    def tell(self, activation: dict[str, Any]) -> None:
        """An epoch, which is told on when the gate was opened or shut with it."""
        self.epoch = activation["epoch"]
        if activation["active"] != self._is_active:
            self._is_active = activation["active"]
            line = f"{_time(activation['session'])} epoch {self.epoch} {_standing(activation)}"
            self._out.print(line, markup=False)

    def show(self, session: dict[str, Any]) -> None:
        """The session as it stands."""


class LiveBoard(SessionBoard):
    """The lines, and the session as it stands below them."""

    def __init__(self, live: Live) -> None:
        super().__init__(live.console)
        self._live = live

    def show(self, session: dict[str, Any]) -> None:
        self._live.update(screen(session), refresh=True)


@contextmanager
def session_board(out: Console) -> Iterator[SessionBoard]:
    if not out.is_terminal:
        yield SessionBoard(out)
        return
    with Live(console=out, auto_refresh=False) as live:
        yield LiveBoard(live)


def pace(speed: float) -> str:
    return f"at {speed:g}×" if speed else "as fast as it goes"


def screen(session: dict[str, Any]) -> Group:
    how = f"{session['mode']} {_time(session)} {pace(session['speed'])}, epoch {session['epoch']}, gating {session['gating']}"
    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, justify="right" if column in _FIGURES else "left", no_wrap=True, overflow="ellipsis")
    for symbol in session["symbols"]:
        table.add_row(*map(Text, _cells(symbol)))
    errors = [_text(f"{symbol['ticker']}: {symbol['error']}") for symbol in session["symbols"] if symbol["error"]]
    standing = _text(_standing(session), "green" if session["active"] else "red")
    return Group(standing, _text(how), Text(), table, *errors)


def _text(line: str, style: str = "") -> Text:
    """Folded here: the console leaves that to the terminal, but Live has to know how many lines there are."""
    return Text(line, style, no_wrap=False, overflow="fold")


def _cells(symbol: dict[str, Any]) -> tuple[str, ...]:
    lag = symbol["lagSeconds"]
    return (
        symbol["ticker"],
        symbol["phase"],
        shown(None if lag is None else f"{lag:,.0f} s"),
        f"{symbol['barsProcessed']:,}",
        f"{symbol['barsQueued']:,}",
        f"{symbol['catchupThresholdSeconds']} s",
    )


def _standing(told: dict[str, Any]) -> str:
    return "ACTIVE" if told["active"] else f"INACTIVE: {told['reason']}"


def _time(session: dict[str, Any]) -> str:
    return f"{parse_instant(session['clock']):%Y-%m-%dT%H:%M:%SZ}"
