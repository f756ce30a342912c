"""The rules of sessions from a JSON file that other programs may share, taken over while the service runs.

Each rule is what the environment says, else what the file says, else the default.
"""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import orjson

from domain.session import StreamingRules
from web.settings import LONGEST_ECHO, STREAMING, Settings, WrongSetting, whole_number

log = logging.getLogger("freshtape.session_config")

PATH = ("session_data_config", "streaming")
LOOK_SECONDS = 1.0
MOST_BYTES = 1 << 20


class SessionConfig:
    """The rules in force. Raises WrongSetting when the file is broken from the start."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.session_config
        self._set = {key: value for key in STREAMING if (value := getattr(settings, key)) is not None}
        self._doubted = ""
        self._told: set[str] = set()
        self._rules = self._ruled(_read(self._file) if self._file is not None else {})

    def rules(self) -> StreamingRules:
        return self._rules

    async def run(self) -> None:
        """Looks at the file, if there is one, and takes over what has changed in it."""
        while self._file is not None:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                rules = self._ruled(await asyncio.to_thread(_read, self._file))
            except WrongSetting as refusal:
                self._refuse(str(refusal))
            else:
                self._take(rules)

    def _ruled(self, given: dict[str, int]) -> StreamingRules:
        return StreamingRules(**{**given, **self._set})

    def _take(self, rules: StreamingRules) -> None:
        self._doubted = ""
        self._told.clear()
        if rules != self._rules:
            self._rules = rules
            log.info("%s has changed: %s", self._file, rules)

    def _refuse(self, mistakes: str) -> None:
        """Says what has not been said since the file was last in order, at the second look: one that is just being written is
        broken for a moment."""
        if mistakes == self._doubted:
            for sentence in mistakes.splitlines():
                if sentence not in self._told:
                    log.warning("the rules of sessions stay as they were: %s", sentence)
            self._told.update(mistakes.splitlines())
        self._doubted = mistakes


def written(rules: StreamingRules) -> str:
    """The text of a file with these rules."""
    content: Any = asdict(rules)
    for key in reversed(PATH):
        content = {key: content}
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _read(file: Path) -> dict[str, int]:
    """The rules that a file gives, which may be none. Raises WrongSetting with a sentence for each mistake, on a line each."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise WrongSetting(f"{file} cannot be read ({error.strerror}); it must be a JSON file.") from None
    if len(content) > MOST_BYTES:
        raise WrongSetting(f"{file} is too long; it must be a JSON file of at most {MOST_BYTES} bytes.")
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise WrongSetting(f"{file} is no JSON ({where}); it must be a JSON object.") from None
    given = _streaming(file, found)
    if mistakes := list(_mistakes(file, given)):
        raise WrongSetting("\n".join(mistakes))
    return given


def _streaming(file: Path, found: Any) -> dict[str, Any]:
    """What lies at PATH; all that lies around it is of other programs."""
    for depth, key in enumerate((*PATH, "")):
        if not isinstance(found, dict):
            where = f"{file}: {'.'.join(PATH[:depth])}" if depth else str(file)
            raise WrongSetting(f"{where} is {_echo(found)}; it must be a JSON object.")
        found = found.get(key, {}) if key else found
    return dict(found)


def _mistakes(file: Path, given: dict[str, Any]) -> Iterator[str]:
    for key, value in given.items():
        where = f"{file}: {'.'.join(PATH)}.{key}"
        if key not in STREAMING:
            close = get_close_matches(key, STREAMING, n=1)
            known = f"did you mean {close[0]}?" if close else f"known are {' and '.join(STREAMING)}."
            yield f"{where} is not known; {known}"
        elif type(value) is not int or value not in STREAMING[key]:  # true is an int to isinstance
            yield f"{where} is {_echo(value)}; it must be {whole_number(STREAMING[key])}."


def _echo(value: Any) -> str:
    """As it stands in the file; of what holds others only what it is."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = orjson.dumps(value).decode()
    return text if len(text) <= LONGEST_ECHO else text[:LONGEST_ECHO] + "…"
