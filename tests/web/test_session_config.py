"""The file with the rules of sessions: what it gives, what is refused in it, and that a change is taken over."""

import asyncio
import json
import logging
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.session import CHECKS, StreamingRules
from tests.support.process import Processes, until
from tests.web.conftest import Ran
from web.container import open_container
from web.session_config import MOST_BYTES, SessionConfig, written
from web.settings import STREAMING, Settings, WrongSetting, configuration_page

DOCS = Path(__file__).parents[2] / "docs"
STREAM = "session_data_config.streaming"
THRESHOLD = "it must be a whole number from 1 to 2147483647."
INTERVAL = "it must be a whole number from 1 to 100."
OBJECT = "it must be a JSON object."

thresholds = st.integers(1, 2**31 - 1)
intervals = st.sampled_from(CHECKS)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "session.json"


def config(file: Path | None, **given: int) -> SessionConfig:
    return SessionConfig(Settings.model_validate({"session_config": file, **given}))


def put(file: Path, text: str) -> None:
    """All at once."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def rules_of(file: Path, streaming: Any) -> StreamingRules:
    file.write_text(json.dumps({"session_data_config": {"streaming": streaming}}))
    return config(file).rules()


def refusal(file: Path, content: bytes | str) -> str:
    """What is said of a file with this content, without the file's name."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(WrongSetting) as refused:
        config(file)
    lines = str(refused.value).splitlines()
    assert all(line.startswith(str(file)) for line in lines)
    return "\n".join(line.removeprefix(str(file)).removeprefix(":").strip() for line in lines)


# ── what it gives


def test_without_a_file_the_defaults_hold() -> None:
    assert config(None).rules() == StreamingRules(60, 10)


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("{}", StreamingRules()),
        ('{"session_data_config": {}, "streaming": 1}', StreamingRules()),
        ('{"session_data_config": {"streaming": {}, "symbols": ["SPY"]}, "broker": {"catchup": null}}', StreamingRules()),
        ('{"session_data_config": {"streaming": {"catchup_threshold_seconds": 90}}}', StreamingRules(90)),
        ('{"session_data_config": {"streaming": {"catchup_check_interval": 1}}}', StreamingRules(60, 1)),
    ],
)
def test_what_is_left_out_is_the_default_and_what_stands_around_is_left_alone(
    file: Path, text: str, rules: StreamingRules
) -> None:
    file.write_text(text)
    assert config(file).rules() == rules


@pytest.mark.parametrize("threshold", [1, 60, 2**31 - 1])
@pytest.mark.parametrize("interval", [1, 10, 100])
def test_the_bounds_belong_to_what_is_allowed(file: Path, threshold: int, interval: int) -> None:
    given = {"catchup_threshold_seconds": threshold, "catchup_check_interval": interval}
    assert rules_of(file, given) == StreamingRules(threshold, interval)


def test_the_environment_comes_before_the_file_and_the_file_before_the_default(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRESHTAPE_SESSION_CONFIG", f" {file} ")
    file.write_text(written(StreamingRules(90, 20)))
    assert SessionConfig(Settings()).rules() == StreamingRules(90, 20)
    monkeypatch.setenv("FRESHTAPE_CATCHUP_THRESHOLD_SECONDS", "7")
    assert SessionConfig(Settings()).rules() == StreamingRules(7, 20)
    monkeypatch.setenv("FRESHTAPE_CATCHUP_CHECK_INTERVAL", "3")
    assert SessionConfig(Settings()).rules() == StreamingRules(7, 3)
    monkeypatch.setenv("FRESHTAPE_CATCHUP_THRESHOLD_SECONDS", " ")
    assert SessionConfig(Settings()).rules() == StreamingRules(90, 3)
    monkeypatch.setenv("FRESHTAPE_SESSION_CONFIG", "")
    assert SessionConfig(Settings()).rules() == StreamingRules(60, 3)


@given(threshold=thresholds, interval=intervals)
def test_what_is_written_is_read_as_the_same(tmp_path_factory: pytest.TempPathFactory, threshold: int, interval: int) -> None:
    file = tmp_path_factory.getbasetemp() / "round-trip.json"
    rules = StreamingRules(threshold, interval)
    file.write_text(written(rules))
    assert config(file).rules() == rules
    assert written(config(file).rules()) == written(rules)


@given(
    rules=st.builds(StreamingRules, thresholds, intervals),
    around=st.dictionaries(st.text().filter(lambda key: key != "session_data_config"), anything, max_size=3),
    beside=st.dictionaries(st.text().filter(lambda key: key != "streaming"), anything, max_size=3),
)
def test_other_programs_may_have_anything_around(
    tmp_path_factory: pytest.TempPathFactory, rules: StreamingRules, around: dict[str, Any], beside: dict[str, Any]
) -> None:
    file = tmp_path_factory.getbasetemp() / "shared.json"
    file.write_text(json.dumps({**around, "session_data_config": {**beside, "streaming": asdict(rules)}}))
    assert config(file).rules() == rules


def test_the_example_of_the_documents_is_the_default_written_out() -> None:
    example = DOCS / "session-config.example.json"
    assert config(example).rules() == StreamingRules()
    assert example.read_text() == written(StreamingRules())
    assert f"```json\n{example.read_text()}```\n" in configuration_page()


def test_what_may_be_set_is_all_that_there_is() -> None:
    assert set(STREAMING) == set(asdict(StreamingRules()))


# ── what is refused


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", f"is no JSON (line 1, column 1: …); {OBJECT}"),
        (b'{\n "a": 1,}', f"is no JSON (line 2, column 8: …); {OBJECT}"),
        (b"\xff", f"is no JSON (line 1, column 1: …); {OBJECT}"),
        (b"[" * 3000, f"is no JSON (line 1, column 1026: …); {OBJECT}"),
        (b" " * (MOST_BYTES + 1), f"is too long; it must be a JSON file of at most {MOST_BYTES} bytes."),
        ("[60, 10]", f"is a list; {OBJECT}"),
        ("null", f"is null; {OBJECT}"),
        ('{"session_data_config": "é"}', f'session_data_config is "é"; {OBJECT}'),
        ('{"session_data_config": {"streaming": null}}', f"{STREAM} is null; {OBJECT}"),
        ('{"session_data_config": {"streaming": [60]}}', f"{STREAM} is a list; {OBJECT}"),
    ],
)
def test_a_file_that_is_none(file: Path, content: bytes | str, sentence: str) -> None:
    """What the parser says of JSON is its own."""
    assert re.sub(r"(column \d+: ).+\)", r"\1…)", refusal(file, content)) == sentence


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("catchup_threshold_seconds", "0", f"is 0; {THRESHOLD}"),
        ("catchup_threshold_seconds", "-60", f"is -60; {THRESHOLD}"),
        ("catchup_threshold_seconds", "2147483648", f"is 2147483648; {THRESHOLD}"),
        ("catchup_threshold_seconds", "60.0", f"is 60.0; {THRESHOLD}"),
        ("catchup_threshold_seconds", "true", f"is true; {THRESHOLD}"),
        ("catchup_threshold_seconds", "null", f"is null; {THRESHOLD}"),
        ("catchup_threshold_seconds", '"60"', f'is "60"; {THRESHOLD}'),
        ("catchup_threshold_seconds", '{"is": 60}', f"is an object; {THRESHOLD}"),
        ("catchup_threshold_seconds", f'"{"9" * 200}"', f'is "{"9" * 79}…; {THRESHOLD}'),
        ("catchup_check_interval", "0", f"is 0; {INTERVAL}"),
        ("catchup_check_interval", "101", f"is 101; {INTERVAL}"),
        ("catchup_treshold_seconds", "60", "is not known; did you mean catchup_threshold_seconds?"),
        ("catchup_check_intervall", "60", "is not known; did you mean catchup_check_interval?"),
        ("speed", "60", "is not known; known are catchup_threshold_seconds and catchup_check_interval."),
    ],
)
def test_a_wrong_rule(file: Path, key: str, value: str, sentence: str) -> None:
    assert refusal(file, f'{{"session_data_config": {{"streaming": {{"{key}": {value}}}}}}}') == f"{STREAM}.{key} {sentence}"


def test_every_mistake_has_its_line(file: Path) -> None:
    wrong = {"catchup_check_interval": 0, "catchup_threshold_seconds": 0, "x": 0}
    said = refusal(file, json.dumps({"session_data_config": {"streaming": wrong}}))
    assert [line.split()[0] for line in said.splitlines()] == [f"{STREAM}.{key}" for key in wrong]


def test_a_file_that_is_not_there_or_a_folder(file: Path) -> None:
    with pytest.raises(
        WrongSetting, match=r"session\.json cannot be read \(No such file or directory\); it must be a JSON file"
    ):
        config(file)
    file.mkdir()
    with pytest.raises(WrongSetting, match=r"session\.json cannot be read \(Is a directory\); it must be a JSON file"):
        config(file)


def test_a_broken_file_stops_the_start_before_a_database_is_opened(
    freshtape: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "session.json").write_text('{"session_data_config": {"streaming": {"catchup_check_interval": 101}}}')
    monkeypatch.setenv("FRESHTAPE_SESSION_CONFIG", "session.json")
    for command in (("serve",), ("worker",), ("symbols", "list")):
        said = f"session.json: {STREAM}.catchup_check_interval is 101; {INTERVAL}\n"
        assert freshtape(*command) == (2, "", said), command
    assert not (tmp_path / "freshtape.db").exists()


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("FRESHTAPE_CATCHUP_THRESHOLD_SECONDS", "0", "2147483647"),
        ("FRESHTAPE_CATCHUP_THRESHOLD_SECONDS", "2147483648", "2147483647"),
        ("FRESHTAPE_CATCHUP_CHECK_INTERVAL", "101", "100"),
        ("FRESHTAPE_CATCHUP_CHECK_INTERVAL", "ten", "100"),
    ],
)
def test_a_wrong_variable_stops_the_start(
    freshtape: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, variable: str, text: str, allowed: str
) -> None:
    monkeypatch.setenv(variable, text)
    said = f"{variable} is {text!r}; it must be empty, or a whole number from 1 to {allowed}.\n"
    assert freshtape("config") == (2, "", said)


def test_config_shows_what_is_set(freshtape: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHTAPE_SESSION_CONFIG", "session.json")
    monkeypatch.setenv("FRESHTAPE_CATCHUP_THRESHOLD_SECONDS", "90")
    code, out, _ = freshtape("config")
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert ["FRESHTAPE_SESSION_CONFIG", "session.json"] in lines
    assert ["FRESHTAPE_CATCHUP_THRESHOLD_SECONDS", "90"] in lines
    assert ["FRESHTAPE_CATCHUP_CHECK_INTERVAL"] in lines


# ── that a change is taken over


@asynccontextmanager
async def watching(config: SessionConfig) -> AsyncIterator[None]:
    running = asyncio.create_task(config.run())
    try:
        yield
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def in_force(config: SessionConfig, rules: StreamingRules) -> None:
    async def holds() -> bool:
        return config.rules() == rules

    await until(holds, within=10)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.session_config.LOOK_SECONDS", 0.01)


@pytest.mark.usefixtures("looks")
async def test_a_change_is_taken_over_of_the_same_length_too(file: Path) -> None:
    put(file, written(StreamingRules(60)))
    config_ = config(file)
    async with watching(config_):
        for threshold in (61, 62, 7200, 60):
            put(file, written(StreamingRules(threshold)))
            await in_force(config_, StreamingRules(threshold))
        put(file, "{}")
        await in_force(config_, StreamingRules())


@pytest.mark.usefixtures("looks")
async def test_what_the_environment_says_stays(file: Path) -> None:
    put(file, written(StreamingRules(90, 20)))
    config_ = config(file, catchup_threshold_seconds=7)
    async with watching(config_):
        put(file, written(StreamingRules(91, 21)))
        await in_force(config_, StreamingRules(7, 21))


@pytest.mark.usefixtures("looks")
async def test_a_broken_file_is_said_once_and_the_old_rules_stay(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "freshtape.session_config")
    old = StreamingRules(90, 20)
    put(file, written(old))
    config_ = config(file)

    async def says(*expected: str) -> None:
        """These sentences in this order, each once, and no more of them after many more looks."""

        async def said() -> bool:
            return len(caplog.records) >= len(expected)

        await until(said, within=10)
        await asyncio.sleep(0.2)
        kept = [record.getMessage().replace(f"{file}", "FILE") for record in caplog.records]
        assert kept == [f"the rules of sessions stay as they were: FILE{sentence}" for sentence in expected]
        assert {record.levelno for record in caplog.records} == {logging.WARNING}
        assert config_.rules() == old

    wrong = f": {STREAM}.catchup_check_interval is 0; {INTERVAL}"
    broken = f" is null; {OBJECT}"
    gone = " cannot be read (No such file or directory); it must be a JSON file."
    async with watching(config_):
        put(file, written(StreamingRules(61, 0)))
        await says(wrong)
        put(file, "null")
        await says(wrong, broken)
        os.unlink(file)
        await says(wrong, broken, gone)
        put(file, written(StreamingRules(62, 0)))
        await says(wrong, broken, gone)
        caplog.clear()
        put(file, written(StreamingRules(5, 5)))
        await in_force(config_, StreamingRules(5, 5))
        old = StreamingRules(5, 5)
        caplog.clear()
        put(file, written(StreamingRules(61, 0)))
        await says(wrong)


@pytest.mark.usefixtures("looks")
async def test_a_file_that_is_just_being_written_is_not_said_to_be_broken(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(file, "{}")
    config_ = config(file)
    good: list[dict[str, int]] = [{"catchup_check_interval": interval} for interval in (1, 2)]
    seen: list[dict[str, int] | str] = ["half", good[0], "half", "more", good[1]]

    def read(_: Path) -> dict[str, int]:
        """What is seen at each look; the last of it at all that follow."""
        found = seen.pop(0) if len(seen) > 1 else seen[0]
        if isinstance(found, str):
            raise WrongSetting(found)
        return found

    monkeypatch.setattr("web.session_config._read", read)
    async with watching(config_):
        await in_force(config_, StreamingRules(60, 2))
        assert caplog.records == []
        seen.append("half")

        async def said() -> bool:
            return len(caplog.records) == 1

        await until(said, within=10)


async def test_the_container_has_the_rules(sqlite_url: str, file: Path) -> None:
    put(file, written(StreamingRules(90, 20)))
    settings = Settings(database_url=sqlite_url, providers=("sample",), session_config=file)
    async with open_container(settings) as container:
        assert container.session_config.rules() == StreamingRules(90, 20)


async def test_a_service_watches_the_file_it_was_given(sqlite_url: str, file: Path) -> None:
    put(file, written(StreamingRules()))
    async with Processes(sqlite_url, FRESHTAPE_SESSION_CONFIG=str(file)) as processes:
        service = await processes.start_one()
        put(file, '{"session_data_config": {"streaming": {"catchup_treshold_seconds": 60}}}')

        async def said() -> bool:
            return "did you mean catchup_threshold_seconds?" in service.said

        await until(said, within=15)
        await asyncio.sleep(2.5)
        assert service.said.count("did you mean") == 1
        assert await service.is_ready()
