"""What a client accepts: the media type of its answer, by the order and the quality that it names; and whether compressed."""

from collections.abc import Iterator

GRAPHQL = "application/graphql-response+json"
JSON = "application/json"
EVENTS = "text/event-stream"
HTML = "text/html"

_STANDS_FOR = {"*/*": JSON, "application/*": JSON, "text/*": EVENTS}


def accepted(header: str | None) -> list[str]:
    """Those of our media types that an Accept header names, the preferred first; a JSON answer where there is none."""
    if header is None or not header.strip():
        return [JSON]
    ranked = sorted(_ranges(header), key=lambda named: -named[1])
    return [_STANDS_FOR.get(name, name) for name, quality in ranked if quality > 0]


def answer_type(wanted: list[str]) -> str | None:
    """The type of an answer that is one JSON object; None when the client accepts none."""
    return next((name for name in wanted if name in (GRAPHQL, JSON)), None)


def takes_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header names it."""
    return any(name == "gzip" and quality > 0 for name, quality in _ranges(header))


def _ranges(header: str) -> Iterator[tuple[str, float]]:
    for part in header.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        yield name, next((_quality(value) for value in parameters if value.startswith("q=")), 1.0)


def _quality(parameter: str) -> float:
    try:
        return float(parameter.removeprefix("q="))
    except ValueError:
        return 1.0
