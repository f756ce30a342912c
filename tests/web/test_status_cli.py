"""`freshtape status`: the service as a person and a machine see it, running or not."""

import asyncio
import json
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Trouble
from persistence.engine import Engine
from persistence.unit_of_work import SqlDatabase
from tests.support.process import Processes, Service, until
from tests.web.conftest import Ran
from web.cli.status import Status

CLOCK = "2026-03-27T20:30:00Z"
COLUMNS = 80
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def flattened(page: str) -> str:
    """Its lines and columns as one text."""
    assert max(map(len, page.splitlines())) <= COLUMNS
    assert "\x1b" not in page
    return re.sub(r"\s+", " ", page)


async def is_done(service: Service) -> bool:
    answer = await service.ask("{ onboarding { depth } }")
    return bool(answer["data"]["onboarding"]["depth"] == 0)


async def test_of_a_running_service_and_of_its_database_alone(sqlite_url: str) -> None:
    async with Processes(sqlite_url, FRESHTAPE_CLOCK=CLOCK) as processes:
        service = await processes.start_one(works=True)
        await processes.command("onboard", "--url", service.url, "AAPL", "BTC-USD")
        await until(lambda: is_done(service), 30)
        code, page = await processes.command("status", "--url", service.url)
        shown = flattened(page)
        assert code == 0, page
        assert f"{service.url} sqlite, clock 2026-03-27T20:3" in shown
        assert "Symbols, fresh for 48 h class tracked fresh % median hours 95 % within STOCK 1 1 100 0.0 0.0 ETF" in shown
        assert "CRYPTO 1 1 100 0.0 0.0 Providers name circuit failures asked again at sample CLOSED 0 –" in shown
        assert "Queues queue pending under way failed onboarding 0 0 0 backfill 0 0 0" in shown
        assert "Session REPLAY STOPPED, 0 symbols" in shown
        assert re.search(r"event feed RUNNING \d+ s 0 lapsed refreshes RUNNING \d+ s 0", shown)
        assert shown.endswith("All is well. ")

        code, text = await processes.command("status", "--json", "--url", service.url)
        found = json.loads(text)
        assert (code, found["url"], found["unwell"]) == (0, service.url, [])
        assert {loop["state"] for loop in found["service"]["loops"]} == {"RUNNING"}
        assert [each["assetClass"] for each in found["service"]["freshness"]] == ["STOCK", "ETF", "CRYPTO"]

        service.send(signal.SIGTERM)
        _, said = await service.ended()
        outcomes = re.findall(r"INFO freshtape\.onboarding: onboarding ticker=(\S+) outcome=completed attempt=1 seconds=", said)
        assert sorted(outcomes) == ["AAPL", "BTC-USD"]

        code, page = await processes.command("status", "--url", service.url)
        assert (code, page) == (4, ""), "the one that was named"
        code, page = await processes.command("status")
        shown = flattened(page)
        assert code == 1
        assert "Freshtape 0.1.0, not running" in shown
        assert "STOCK 1 1 100 0.0 0.0" in shown
        assert "Loops" not in shown
        assert shown.endswith("Unwell: - No service answers: nothing is done in the background. ")


def test_what_is_stale_and_who_is_not_asked_is_named(
    freshtape: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, sqlite_url: str
) -> None:
    monkeypatch.setenv("FRESHTAPE_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("FRESHTAPE_PORT", "1")

    async def open_circuit() -> None:
        engine = Engine(sqlite_url)
        async with SqlDatabase(engine, clock_generation=0).write() as unit:
            gate, now = await unit.gates.lock("sample")
            limited = "The provider sample asks for fewer requests."
            await unit.gates.save(gate.failed(gate.generation, now, Trouble.RATE_LIMITED, 3600, limited))
        await engine.close()

    freshtape("symbols", "add", "AAPL")
    asyncio.run(open_circuit())
    code, page, err = freshtape("status")
    shown = flattened(page)
    assert (code, err) == (1, "")
    assert "sample OPEN 1 2026-03-27T21:" in shown
    assert "- The provider sample is not asked before 2026-03-27T21:" in shown
    assert "The provider sample asks for fewer requests." in shown
    assert "- Too many STOCK symbols are stale: 1 of 1." in shown


def test_a_database_that_is_not_there_is_said_so(freshtape: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHTAPE_PORT", "1")
    monkeypatch.setenv("FRESHTAPE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    code, page, err = freshtape("status")
    assert (code, page) == (4, "")
    assert "cannot be opened" in err


def status(loops: list[dict[str, Any]], fresh: int, tracked: int, circuit: str) -> Status:
    provider = {"name": "yahoo", "circuit": circuit, "retryAt": "soon", "lastError": "It is down."}
    classes = [{"assetClass": "ETF", "tracked": tracked, "fresh": fresh, "stale": tracked - fresh}]
    return Status("http://x", {"loops": loops}, {"service": {"providers": [provider], "freshness": classes}})


def loop(state: str) -> dict[str, Any]:
    return {"name": "listener", "state": state, "seconds": 12.6, "lastError": "TimeoutError, see the log."}


@pytest.mark.parametrize(
    ("given", "unwell"),
    [
        (status([loop("RUNNING"), loop("STOPPED")], 9, 10, "CLOSED"), []),
        (status([], 0, 0, "HALF_OPEN"), []),
        (status([], 89, 100, "CLOSED"), ["Too many ETF symbols are stale: 11 of 100."]),
        (status([], 1, 1, "OPEN"), ["The provider yahoo is not asked before soon: It is down."]),
        (
            status([loop("WAITING"), loop("FAILED")], 1, 1, "CLOSED"),
            [f"The loop `listener` has been {state} for 13 s: TimeoutError, see the log." for state in ("WAITING", "FAILED")],
        ),
        (Status("http://x", {"loops": []}, None, "The database does not answer."), ["The database does not answer."]),
    ],
)
def test_what_counts_as_unwell(given: Status, unwell: list[str]) -> None:
    assert list(given.unwell()) == unwell


async def test_the_copy_that_the_page_shows_is_a_whole_database(sqlite_url: str, tmp_path: Path) -> None:
    """Made while a service runs."""
    (script,) = re.findall(r'^\.venv/bin/python -c "(.+)"$', OPERATIONS.read_text(), re.MULTILINE)
    async with Processes(sqlite_url, FRESHTAPE_CLOCK=CLOCK) as processes:
        service = await processes.start_one()
        await service.add("AAPL")
        copying = await asyncio.create_subprocess_exec(sys.executable, "-c", script, cwd=tmp_path)
        assert await copying.wait() == 0
    async with Processes(f"sqlite+aiosqlite:///{tmp_path / 'backup.db'}", FRESHTAPE_CLOCK=CLOCK) as processes:
        code, page = await processes.command("symbols", "list")
    assert code == 0
    assert [line.split()[0] for line in page.splitlines()] == ["ticker", "AAPL"]
