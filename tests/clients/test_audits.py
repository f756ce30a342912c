"""GraphQL over HTTP as its specification has it: every server audit of graphql-http against the service."""

import asyncio
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.figures import told
from tests.support.node import script
from tests.support.provider import StubProvider
from tests.support.served import served

AUDITS = {"MUST": 13, "SHOULD": 23, "MAY": 25}


@pytest.fixture(scope="module")
def audits(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    path = tmp_path_factory.mktemp("audits") / "freshtape.db"
    shutil.copy(sqlite_template, path)

    async def run() -> Any:
        async with (
            served(f"sqlite+aiosqlite:///{path}", lambda *_: StubProvider()) as service,
            script("audits.mjs", f"{service.url}/graphql") as audits,
        ):
            return await audits.line()

    return list(asyncio.run(run()))


def test_every_audit_is_run(audits: list[dict[str, Any]]) -> None:
    statuses = Counter(audit["status"] for audit in audits)
    told(f"{len(audits)} audits: " + ", ".join(f"{count} {status}" for status, count in statuses.items()))
    assert len({audit["id"] for audit in audits}) == len(audits) == sum(AUDITS.values()) == 61


@pytest.mark.parametrize("requirement", AUDITS)
def test_the_audits_pass(audits: list[dict[str, Any]], requirement: str) -> None:
    asked = [audit for audit in audits if audit["name"].startswith(f"{requirement} ")]
    failed = [f"{audit['id']} {audit['name']}: {audit['reason']}" for audit in asked if audit["status"] != "ok"]
    assert not failed, "\n".join(failed)
    assert len(asked) == AUDITS[requirement]
