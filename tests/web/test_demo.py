"""The demo as a newcomer meets it, and the README's example of a subscription."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]


@contextmanager
def running(folder: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A process in an empty folder, with temporary files and settings of its own; ended when the block is."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(folder),
        "FRESHTAPE_PORT": "0",
        "FRESHTAPE_DATABASE_URL": f"sqlite:///{folder / 'never-touched.db'}",
    }
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(pattern, line)
        if found:
            return found[1]
    raise AssertionError(f"it ended without {pattern!r}")


def asked(url: str, query: str) -> Any:
    answer = httpx.post(url, json={"query": query}, timeout=30, trust_env=False).json()
    assert "errors" not in answer
    return answer["data"]


@dataclass(frozen=True)
class Demo:
    process: subprocess.Popen[str]
    url: str
    folder: Path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    with running(folder, "-m", "web.cli", "demo") as process:
        yield Demo(process, read_until(process, r"its API at (http\S+)"), folder)


EXAMPLE = re.compile(r"```sh\n(curl .*?)```\n```json\n(.*?)\n```", re.DOTALL)


def test_the_readmes_examples_print_what_stands_there(demo: Demo) -> None:
    """Typed one after the other, as a newcomer does; what takes a moment is asked again."""
    readme = (ROOT / "README.md").read_text()
    examples = EXAMPLE.findall(readme)
    assert len(examples) == 6
    for command, printed in examples:
        typed = command.replace("http://127.0.0.1:8000/graphql", demo.url)
        for _ in range(100):
            answer = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, timeout=30, check=True).stdout
            if answer == printed:
                break
            time.sleep(0.1)
        assert answer == printed
    _, _, shown = readme.partition("$ .venv/bin/freshtape onboard qcom\n")
    with running(demo.folder, "-m", "web.cli", "onboard", "qcom", "--url", demo.url) as onboarding:
        assert onboarding.stdout is not None
        assert onboarding.stdout.read() == shown.partition("```")[0]


def test_a_market_of_every_class_some_of_it_stale(demo: Demo) -> None:
    data = asked(
        demo.url,
        """{ symbols { totalCount nodes { ticker status assetClass isStale stalenessReason lastUpdated levelCount lastPrice } }
             service { now database } }""",
    )
    symbols = {node["ticker"]: node for node in data["symbols"]["nodes"]}
    assert data["symbols"]["totalCount"] == len(symbols) >= 20
    assert {node["assetClass"] for node in symbols.values()} == {"STOCK", "ETF", "CRYPTO", "FOREX"}
    assert {"SPY", "TLT", "MTUM", "QUAL", "IWM", "USMV", "VTV", "VUG", "AAPL"} <= symbols.keys()
    assert all(node["lastUpdated"] and node["levelCount"] and node["lastPrice"] for node in symbols.values())
    assert {node["status"] for node in symbols.values()} == {"ACTIVE"}
    assert 2 <= sum(node["isStale"] for node in symbols.values()) <= 6
    assert symbols["EUR/USD"]["stalenessReason"] == "PROVIDER_EMPTY"
    assert data["service"]["now"].startswith("2026-03-27T20:3")
    assert data["service"]["database"] == "sqlite"


def test_the_example_follows_a_change(demo: Demo, tmp_path: Path) -> None:
    cursor = asked(demo.url, "{ symbols(first: 1) { cursor } }")["symbols"]["cursor"]
    asked(demo.url, 'mutation { refreshSymbol(input: {ticker: "DIS"}) { __typename } }')
    example = str(ROOT / "docs" / "examples" / "follow.py")
    with running(tmp_path, example, demo.url.replace("http", "ws", 1), cursor) as following:
        assert read_until(following, r"REFRESH_STARTED (DIS version 3) ") == "DIS version 3"
        assert read_until(following, r"REFRESHED (DIS version 3) ") == "DIS version 3"


def test_its_session_replays_and_what_it_says_to_try_works(demo: Demo) -> None:
    replay = asked(demo.url, "{ session { mode speed symbols { ticker } } }")["session"]
    symbols = [{"ticker": ticker} for ticker in ("AAPL", "NVDA", "SPY")]
    assert replay == {"mode": "REPLAY", "speed": 60.0, "symbols": symbols}
    watch, add = (read_until(demo.process, r"^  freshtape (session .*)").split() for _ in range(2))
    with running(demo.folder, "-m", "web.cli", *watch) as watching:
        read_until(watching, r"(epoch 2 ACTIVE)")
        with running(demo.folder, "-m", "web.cli", *add) as adding:
            assert read_until(adding, r"TSLA takes part in the session, [A-Z_]+: (.*)\.$") == "4 symbols"
        assert re.fullmatch(r"epoch 4 INACTIVE: TSLA \(\d+ s\) is behind\.", read_until(watching, r"(epoch 4 .*)"))
        read_until(watching, r"(epoch 5 ACTIVE)")


def test_it_leaves_nothing_behind(demo: Demo) -> None:
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait(timeout=15) == 0
    assert list(demo.folder.iterdir()) == []  # neither its own database nor the one of DATABASE_URL is there
