"""PostgreSQL killed under a service at work: its loops say so to machines, clients and people, and again when it is back."""

import asyncio
import json
import time
from typing import Any

import httpx

from tests.support.figures import told
from tests.support.postgres import execute, failing_server
from tests.support.process import Processes, Service, until

CLOCK = "2026-03-27T20:30:00Z"
LOOPS = "{ service { loops { name state restarts lastError } } }"
OUTAGE_SECONDS = 12.0
HEAL_SECONDS = 40.0
"""The longest wait that the loops have come to meanwhile, and the five seconds that they must have run."""
FEED = "event feed"
LISTENER = "listener"
DATABASE_READERS = {FEED, LISTENER, "lapsed refreshes", "clock watch"}


async def readiness(service: Service) -> tuple[int, dict[str, Any]]:
    async with httpx.AsyncClient(timeout=15, trust_env=False) as client:
        answer = await client.get(f"{service.url}/readyz")
    return answer.status_code, answer.json()


async def states(service: Service) -> dict[str, str]:
    answer = await service.ask(LOOPS)
    return {loop["name"]: loop["state"] for loop in answer["data"]["service"]["loops"]}


async def have_failed(service: Service) -> bool:
    found = await states(service)
    return found[FEED] == found[LISTENER] == "FAILED"


async def is_well(service: Service) -> bool:
    return await readiness(service) == (200, {"status": "ready", "unwell": []})


async def test_loops_tell_of_an_outage_and_of_its_end() -> None:
    async with failing_server() as server:
        await execute(server.url, "CREATE DATABASE freshtape")
        url = server.url.set(database="freshtape").render_as_string(hide_password=False)
        async with Processes(url, FRESHTAPE_CLOCK=CLOCK) as processes:
            service = await processes.start_one(works=True)
            assert await is_well(service)
            assert set((await states(service)).values()) == {"RUNNING"}

            server.kill()
            killed = time.monotonic()
            await until(lambda: have_failed(service), 30)
            failed_after = time.monotonic() - killed
            code, body = await readiness(service)
            assert (code, body["status"]) == (503, "unavailable")
            unwell = {loop["name"]: loop for loop in body["unwell"]}
            assert set(unwell) >= DATABASE_READERS
            assert unwell[FEED]["lastError"] == "The database does not answer; try again in a moment."
            assert str(server.url.port) not in str(body)
            assert await service.gauge("freshtape_database_up") == 0
            assert await service.gauge(f'freshtape_loop_state{{loop="{FEED}",state="failed"}}') == 1
            code, text = await processes.command("status", "--json", "--url", service.url)
            assert code == 1
            assert any(f"`{FEED}` has been FAILED" in sentence for sentence in json.loads(text)["unwell"])
            await asyncio.sleep(max(0.0, OUTAGE_SECONDS - (time.monotonic() - killed)))

            await server.start()
            back = time.monotonic()
            assert await is_degraded(service)
            await until(lambda: is_well(service), HEAL_SECONDS)
            healed_after = time.monotonic() - back
            assert set((await states(service)).values()) == {"RUNNING"}
            assert await service.gauge("freshtape_database_up") == 1
            assert await service.gauge(f'freshtape_loop_restarts_total{{loop="{FEED}"}}') >= 4
            code, _ = await processes.command("status", "--url", service.url)
            assert code == 0
    told(f"loops: FAILED {failed_after:.1f} s after PostgreSQL was killed, all RUNNING {healed_after:.1f} s after it was back")


async def is_degraded(service: Service) -> bool:
    """Readers are served again before the loops are sure that all is well."""
    seen: list[tuple[int, str]] = []

    async def answers() -> bool:
        code, body = await readiness(service)
        seen.append((code, body["status"]))
        return code == 200

    await until(answers, 15)
    return seen[-1] == (200, "degraded")
