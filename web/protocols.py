"""uvicorn's protocols, with an end to patience and with turns.

uvicorn waits for ever for a client that does not read, or does not say what it wants, and with it for its own end; and it takes
in all that has arrived at once, be it a hundred thousand frames, while nobody else is served."""

import asyncio
from asyncio import Handle, TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

STALLED_SECONDS = 4
"""How long a client with something to read may read nothing. It is looked at so often: gone after twice as long at most."""
FAREWELL_SECONDS = 2
"""The same when the service ends."""
REQUEST_SECONDS = 10
"""How long a request's head may take to come in, and what is left of one that has been answered."""
HEAD_BYTES = 64 * 1024
"""The most of a request that is not its body: the head, what frames the chunks, and what trails them."""
PING_SECONDS = 4
"""How often a WebSocket is asked whether it is still read, and how long it may take to say so."""
SIP_BYTES = 1024
"""What a connection may bring in before it is the others' turn: 170 of the smallest frames, which take some milliseconds."""


class Patience(asyncio.Protocol):
    """Stands between a connection's transport and uvicorn's protocol, and is each one's other to both."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._unread = bytearray()
        self._is_held = False
        self._turn: Handle | None = None
        self._written = 0
        self._sent = 0
        self._seconds: float = STALLED_SECONDS
        self._look: TimerHandle | None = None

    # ── as the transport's protocol

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=0)  # paused means: not everything is sent
        self._protocol.connection_made(self)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if self._turn is None:
            self._sip()

    def eof_received(self) -> None:
        self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._sent = self._sent_by_now()
        self._look_later()
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._look_no_more()
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._look_no_more()
        self._unread.clear()
        self._protocol.connection_lost(exc)

    # ── as the protocol's transport

    def write(self, data: bytes) -> None:
        self._written += len(data)
        self._transport.write(data)

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return bool(self._transport.is_closing())

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def set_protocol(self, protocol: Any) -> None:
        """What has come with the request for another protocol is dropped, as uvicorn does: it was due after the answer."""
        self._unread.clear()
        self._protocol = protocol

    def pause_reading(self) -> None:
        self._is_held = True
        self._read_on()

    def resume_reading(self) -> None:
        self._is_held = False
        self._read_on()

    def hurry(self) -> None:
        """The service ends."""
        self._seconds = FAREWELL_SECONDS
        if self._look is not None:
            self._look_later()

    # ── turns

    def _sip(self) -> None:
        self._turn = None
        if self._unread and not self._is_held and not self.is_closing():
            sip = bytes(self._unread[:SIP_BYTES])
            del self._unread[:SIP_BYTES]
            self._protocol.data_received(sip)
        self._read_on()

    def _read_on(self) -> None:
        """A sip is read ahead even when uvicorn wants no more: who does not read, does not hear that the client has left."""
        if self.is_closing():
            return
        if self._unread and not self._is_held and self._turn is None:
            self._turn = self._loop.call_soon(self._sip)
        if len(self._unread) > SIP_BYTES:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # ── patience

    def _sent_by_now(self) -> int:
        return self._written - int(self._transport.get_write_buffer_size())

    def _look_later(self) -> None:
        self._look_no_more()
        self._look = self._loop.call_later(self._seconds, self._look_at_it)

    def _look_no_more(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _look_at_it(self) -> None:
        sent = self._sent_by_now()
        if sent == self._sent:
            self.abort()  # close() would wait for what is unsent
        else:
            self._sent = sent
            self._look_later()


class _Http(HttpToolsProtocol):
    _under_way: RequestResponseCycle | None = None
    _unsaid: TimerHandle | None = None
    _head_bytes = 0
    _is_upgraded = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_a_request()

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self.send_400_response(f"The head of a request may have {HEAD_BYTES} bytes.")
            return
        super().data_received(data)
        if not self._is_upgraded and not self._is_answering():
            self._expect_a_request()

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._has_said()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head_bytes -= len(body)
        super().on_body(body)

    def handle_websocket_upgrade(self) -> None:
        """Not while a request is under way: its answer would never learn that the connection is gone."""
        if self._is_answering():
            self.transport.abort()
            return
        self._is_upgraded = True
        self._has_said()
        super().handle_websocket_upgrade()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._under_way = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """uvicorn tells the newest request only, which waits when it was sent behind another."""
        self._has_said()
        if self._under_way is not None and not self._under_way.response_complete:
            self._under_way.disconnected = True
            self._under_way.message_event.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        super().shutdown()
        self._patience.hurry()

    @property
    def _patience(self) -> Patience:
        assert isinstance(self.transport, Patience)
        return self.transport

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _expect_a_request(self) -> None:
        if self._unsaid is None and not self.transport.is_closing():
            self._unsaid = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _has_said(self) -> None:
        if self._unsaid is not None:
            self._unsaid.cancel()
            self._unsaid = None


class PatientHttp(Patience):
    """What a connection begins with."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(_Http(**arguments))


class PatientSocket(WebSocketsSansIOProtocol):
    """Takes over the connection of a PatientHttp."""

    def data_received(self, data: bytes) -> None:
        """A handshake that websockets finds too long, or with a body, is left without an answer."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        """Text that is none is the client's fault: uvicorn logs it as one of ours."""
        if self.close_sent or self.curr_msg_data_type != "text" or _is_text(b"".join(self.frames)):
            super().send_receive_event_to_app()
        else:
            self.conn.send_close(CloseCode.INVALID_DATA)
            self.handle_parser_exception()

    def send_keepalive_ping(self) -> None:
        """A client that has something to read is judged by its reading: a ping would come last."""
        if self.writable.is_set():
            super().send_keepalive_ping()
        else:
            self.schedule_ping()

    def keepalive_timeout(self) -> None:
        if self.writable.is_set():
            super().keepalive_timeout()
            self.transport.abort()
        else:
            self.pong_timer = self.loop.call_later(PING_SECONDS, self.keepalive_timeout)

    def handle_ping(self) -> None:
        """Pongs pass by the flow control of what is sent: none for a client that asks and does not read."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_cont(self, event: Frame) -> None:
        """Empty fragments are free of the limit on a message's size, but are kept as well."""
        if event.data or event.fin:
            super().handle_cont(event)

    def shutdown(self) -> None:
        super().shutdown()
        assert isinstance(self.transport, Patience)
        self.transport.hurry()


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
