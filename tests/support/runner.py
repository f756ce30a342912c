"""The real command line in processes that start at once: a template has imported everything and forks on demand.

Every connection to the template asks for one process, in one line of JSON: `arguments`, `environment`, `mutants`, `folder` to
work in, and the files `errors` for stderr and `ended` for the exit code, negative for a signal. Back come a line with the pid
and the output as it is printed. The template ends when its stdin is closed.
"""

import gc
import json
import os
import selectors
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

from domain.calendars import calendar_for
from domain.tickers import AssetClass
from tests.support.inquiries import InquiringProvider
from tests.support.mutants import MUTANTS, in_force
from web import cli, container, serving  # noqa: F401 - imported once, for all that are forked


def main() -> None:
    for mutant in MUTANTS.values():
        __import__(mutant.module)
    calendar_for(AssetClass.STOCK, None)  # a second of every start, had once
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()  # what is shared stays shared
    with socket.create_server(("127.0.0.1", 0)) as listener, selectors.DefaultSelector() as selector:
        print(listener.getsockname()[1], flush=True)  # noqa: T201 - read by whoever started it
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while all(key.fileobj is listener for key, _ in selector.select()):
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _attend(connection)
            connection.close()


def _attend(connection: socket.socket) -> None:
    """Forks the process that is asked for and stays until it has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    wanted = json.loads(connection.makefile("rb").readline())
    pid = os.fork()
    if pid == 0:
        _run(wanted, connection)
    connection.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    Path(wanted["ended"]).write_text(str(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _run(wanted: dict[str, Any], connection: socket.socket) -> None:
    code = 1
    try:
        os.dup2(connection.fileno(), 1)
        os.dup2(os.open(wanted["errors"], os.O_WRONLY | os.O_CREAT), 2)
        os.chdir(wanted["folder"])
        os.environ.clear()
        os.environ.update(wanted["environment"])
        sys.argv[1:] = wanted["arguments"]
        _ask_the_test()
        with in_force(*wanted["mutants"]):
            cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _ask_the_test() -> None:
    address = os.environ.get("FRESHTAPE_TEST_INQUIRIES")
    if address is not None:
        vars(container)["open_container"] = partial(
            container.open_container,
            open_provider=lambda _, settings, clock: InquiringProvider(settings.sample_dir, clock, address),
        )


if __name__ == "__main__":
    main()
