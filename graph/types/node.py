"""Global ids: opaque to clients, and stable, since a ticker is."""

import base64
import binascii

import strawberry


@strawberry.interface
class Node:
    id: strawberry.ID


def global_id(kind: str, key: str) -> strawberry.ID:
    return strawberry.ID(base64.urlsafe_b64encode(f"{kind}:{key}".encode()).decode())


def read_global_id(text: str) -> tuple[str, str] | None:
    """Kind and key; None for what was never an id of ours."""
    try:
        kind, separator, key = base64.urlsafe_b64decode(text).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (kind, key) if separator else None
