"""What the pages of a test have asked for, and what they were told over their sockets."""

import json
from typing import Any

from playwright.sync_api import Page, Request, WebSocket

Message = dict[str, Any]


class Connection:
    def __init__(self, socket: WebSocket) -> None:
        self.sent: list[Message] = []
        self.received: list[Message] = []
        socket.on("framesent", lambda frame: self.sent.append(json.loads(frame)))
        socket.on("framereceived", lambda frame: self.received.append(json.loads(frame)))

    def asked(self, field: str) -> list[Message]:
        """The subscriptions to a field, as they were sent."""
        return [it for it in self.sent if it["type"] == "subscribe" and f" {field}(" in it["payload"]["query"]]

    def told(self, field: str) -> list[Message]:
        """The events of a field, in order."""
        events = [it["payload"]["data"] for it in self.received if it["type"] == "next"]
        return [event[field] for event in events if event and field in event]

    @property
    def refusals(self) -> list[Message]:
        """The errors in place of an event."""
        return [error for it in self.received if it["type"] == "next" for error in it["payload"].get("errors", [])]

    @property
    def open(self) -> set[str]:
        """The ids of the subscriptions that neither side has ended."""
        begun = {it["id"] for it in self.sent if it["type"] == "subscribe"}
        return begun - {it["id"] for it in self.sent + self.received if it["type"] in ("complete", "error")}


class Wire:
    """Every connection that a page has had, in order."""

    def __init__(self, page: Page) -> None:
        self.connections: list[Connection] = []
        page.on("websocket", lambda socket: self.connections.append(Connection(socket)))

    @property
    def last(self) -> Connection:
        return self.connections[-1]


class Asked:
    """The variables of every request of an operation, from now on."""

    def __init__(self, page: Page, operation: str) -> None:
        self.requests: list[dict[str, Any]] = []
        self._operation = operation
        page.on("request", self._note)

    def _note(self, request: Request) -> None:
        asked = request.post_data_json
        if asked and asked["operationName"] == self._operation:
            self.requests.append(asked["variables"])
