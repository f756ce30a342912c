"""uvicorn's protocols, with an end to patience: a client that has stopped reading, or never says what it wants, is let go.

uvicorn waits for such a client for ever, and with it for its own end. Its buffers are what the client costs until then: 64 KiB
of ours, and what the kernel holds."""

from asyncio import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode

STALLED_SECONDS = 8
"""How long a full buffer may stay full."""
REQUEST_SECONDS = 10
"""How long a request's head may take to come in, and what is left of one that has been answered."""
PING_SECONDS = 5
"""How often a WebSocket is asked whether it is still read, and how long it may take to say so."""
FAREWELL_SECONDS = 2
"""How long a client may take to read what is on its way when the service ends."""


class _Stalls:
    """Aborts a transport whose buffer stays full. `transport.close()` would wait for the buffer to be read."""

    loop: Any
    transport: Any
    _stalled: TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()  # type: ignore[misc]  # the protocol's
        self._stalled = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._be_patient_again()
        super().resume_writing()  # type: ignore[misc]  # the protocol's

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_patient_again()
        super().connection_lost(exc)  # type: ignore[misc]  # the protocol's

    def _be_patient_again(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class PatientHttp(_Stalls, HttpToolsProtocol):
    _unsaid: TimerHandle | None = None
    _is_upgraded = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_a_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle
        if not self._is_upgraded and (cycle is None or cycle.response_complete):
            self._expect_a_request()

    def on_headers_complete(self) -> None:
        self._has_said()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        self._is_upgraded = True
        self._has_said()
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_said()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        super().shutdown()
        if self.flow.write_paused:
            self.loop.call_later(FAREWELL_SECONDS, self.transport.abort)

    def _expect_a_request(self) -> None:
        if self._unsaid is None and not self.transport.is_closing():
            self._unsaid = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _has_said(self) -> None:
        if self._unsaid is not None:
            self._unsaid.cancel()
            self._unsaid = None


class PatientSocket(_Stalls, WebSocketsSansIOProtocol):
    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    def handle_ping(self) -> None:
        """Pongs pass by the flow control of what is sent: none for a client that asks and does not read."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def send_receive_event_to_app(self) -> None:
        """uvicorn logs text that is not UTF-8 as a fault of the service."""
        if self.curr_msg_data_type == "text" and not _is_text(b"".join(self.frames)):
            self.frames = []
            self.conn.fail(CloseCode.INVALID_DATA, "A text frame must be UTF-8")
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(FAREWELL_SECONDS, self.transport.abort)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
