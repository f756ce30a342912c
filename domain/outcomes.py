"""One line of the log for each thing that has come to an end, for people and machines."""

import json
import re

_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")


def outcome_line(what: str, ticker: str, outcome: str, reason: str | None, seconds: float, **more: object) -> str:
    """`what ticker=… outcome=… reason=… seconds=…`, and what more is known. What has spaces is in quotes, as JSON has them, so
    that nothing in it ends the line; there is no reason for what went well."""
    fields = {"ticker": ticker, "outcome": outcome, "reason": reason, **more, "seconds": f"{seconds:.3f}"}
    return " ".join([what, *(f"{key}={_quoted(str(value))}" for key, value in fields.items() if value is not None)])


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else json.dumps(value)
