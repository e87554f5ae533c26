"""A connection's limits: what a client may cost before and after it has shown a key.

1. The head decides. No byte of a body is parsed before the application receives it, which it does only of a request
   with a valid key.
2. A client that says nothing, or too little, does not keep its place: a head must be there ``head_s`` seconds after the
   connection, or after its first byte on one that was kept; its body ``body_s`` after the head. Places that run short
   are taken back (``places``). After part of a head, nothing is read for ``_HEAD_PAUSE_S``, and twice as long each
   time: bytes that come one by one do not cost a turn of the event loop each.
3. A body in chunks has at most ``_CHUNKS_FREE`` small ones: parsing a chunk costs some 10 µs whatever its size.
4. A connection is closed after an answer that was given before the body was all there. It lingers: what comes is
   discarded unparsed, up to ``_LINGER_BYTES_MAX`` and for ``linger_s``. Otherwise the kernel would reset the
   connection, and the client might miss the answer. https://www.rfc-editor.org/rfc/rfc9112#section-9.6
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from steplog.server.places import Places

__all__ = [
    "BODY_TIMEOUT_S",
    "CLOSE_HEADER",
    "CONNECTION",
    "HEAD_TIMEOUT_S",
    "LINGER_S",
    "limited_protocol",
]

HEAD_TIMEOUT_S = 10.0
_CLOSE_S = 1.0
BODY_TIMEOUT_S = 60.0  # a batch of 1 MiB at 17 KiB a second
CONNECTION = "steplog.connection"  # in a scope's state
CLOSE_HEADER = (b"connection", b"close")
LINGER_S = 10.0
_HEAD_PAUSE_S, _HEAD_PAUSE_MAX_S = 0.05, 1.0
_LINGER_BYTES_MAX = 8 * 1024 * 1024
_CHUNKS_FREE = 1024
_CHUNK_BYTES_MIN = 256  # on average, beyond those
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b'Content-Length: 37\r\n\r\n{"detail":"Too many connections now"}'
)


class _Parser(h11.Connection):
    """Stops after a head whose request has a body, while ``held``."""

    held = False
    _chunks = 0
    _body_bytes = 0

    def next_event(self) -> Any:
        if self.held:
            return h11.NEED_DATA
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._body_bytes = 0
            self.held = any(
                name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
                for name, value in event.headers
            )
        elif isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._body_bytes += len(event.data)
            if self._chunks > _CHUNKS_FREE + self._body_bytes // _CHUNK_BYTES_MIN:
                self.held = True
                raise h11.RemoteProtocolError("too many small chunks")
        return event


class _LingeringTransport:
    """A transport whose ``close`` is its connection's; a head that is ``held`` is written with what comes next."""

    held = False

    def __init__(self, transport: Any, connection: Any) -> None:
        self._transport = transport
        self._connection = connection
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self.held:
            self._head += data
        else:
            head, self._head = self._head, b""
            self._transport.write(head + data if head else data)

    def close(self) -> None:
        self._connection.close_after_answer()

    def is_closing(self) -> bool:
        return bool(self._connection.lingering or self._transport.is_closing())


class _LimitedProtocol(H11Protocol):
    """A connection; ``limited_protocol`` gives the limits."""

    places: Places[_LimitedProtocol]
    head_s: float
    body_s: float
    linger_s: float
    conn: _Parser
    lingering = False
    _timer: asyncio.TimerHandle | None = None
    _waits_for: Any = None  # what the timer is for: the state that the client is in
    _discarded = 0
    _head_pause_s = _HEAD_PAUSE_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _Parser(h11.SERVER)
        self.app_state = {**self.app_state, CONNECTION: self}
        self._app, self.app = self.app, self._call

    async def _call(self, scope: Any, receive: Any, send: Any) -> None:
        transport: Any = self.transport

        async def receive_body() -> Any:
            if self.conn.held and not self.lingering:
                self.conn.held = False
                self.handle_events()
            return await receive()

        async def send_or_close(message: Any) -> None:
            if message["type"] == "http.response.start" and self.conn.their_state is h11.SEND_BODY:
                headers = [pair for pair in message.get("headers", ()) if pair != CLOSE_HEADER]
                message["headers"] = [*headers, CLOSE_HEADER]
            transport.held = message["type"] == "http.response.start"  # one packet, one system call with its body
            await send(message)

        await self._app(scope, receive_body, send_or_close)

    def connection_made(self, transport: Any) -> None:
        self._socket = transport
        super().connection_made(_LingeringTransport(transport, self))  # type: ignore[arg-type]
        leaving = self.places.enter(self)
        if leaving is self:
            transport.write(_BUSY)
            transport.close()
        else:
            self._wait_for(h11.IDLE)
            if leaving is not None:
                leaving.drop()

    def data_received(self, data: bytes) -> None:
        if self.lingering:
            self._discarded += len(data)
            if self._discarded > _LINGER_BYTES_MAX:
                self.drop()
            return
        super().data_received(data)
        self._wait_for_more()

    def _wait_for_more(self) -> None:
        if not self.lingering:
            if self.conn.held:
                self.flow.pause_reading()
            elif self.conn.their_state is h11.IDLE:
                self.flow.pause_reading()
                self.loop.call_later(self._head_pause_s, self.flow.resume_reading)
                self._head_pause_s = min(2 * self._head_pause_s, _HEAD_PAUSE_MAX_S)
            self._wait_for(self.conn.their_state)

    def connection_lost(self, exc: Exception | None) -> None:
        self.places.leave(self)
        self._stop_timer()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._head_pause_s = _HEAD_PAUSE_S
            self.places.begin(self)

    def on_response_complete(self) -> None:
        self.places.end(self)
        super().on_response_complete()

    def show_key(self) -> None:
        """The application has found a valid key in the request."""
        self.places.show_key(self)

    def close_after_answer(self) -> None:
        """Close the connection once what was written is sent, and the client has stopped sending."""
        if self.lingering or self._socket.is_closing():
            return
        if self.conn.their_state not in (h11.SEND_BODY, h11.ERROR):
            self._socket.close()
            return
        self.lingering = True
        self._stop_timer()
        self._timer = self.loop.call_later(self.linger_s, self.drop)
        try:
            if self._socket.can_write_eof():  # TLS cannot
                self._socket.write_eof()
            self.flow.resume_reading()
        except OSError:  # the client has reset the connection
            self.drop()

    def drop(self) -> None:
        """Close the connection now."""
        self._socket.abort()

    def shutdown(self) -> None:
        if self.lingering:
            self.drop()
            return
        super().shutdown()
        if self.transport.is_closing():  # it is idle; a client that is asleep does not answer the end of TLS
            self.loop.call_later(_CLOSE_S, self.drop)

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.drop()  # the answer has begun
            return
        super().send_400_response(msg)
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _wait_for(self, state: Any) -> None:
        if state is self._waits_for:
            return
        self._waits_for = state
        self._stop_timer()
        if state in (h11.IDLE, h11.SEND_BODY):
            self._timer = self.loop.call_later(self.head_s if state is h11.IDLE else self.body_s, self.drop)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def limited_protocol(
    places: Places[_LimitedProtocol],
    head_s: float = HEAD_TIMEOUT_S,
    body_s: float = BODY_TIMEOUT_S,
    linger_s: float = LINGER_S,
) -> type[asyncio.Protocol]:
    """The protocol of connections with these limits, for ``uvicorn.Config``."""
    limits = {"places": places, "head_s": head_s, "body_s": body_s, "linger_s": linger_s}
    return type("Limited", (_LimitedProtocol,), limits)
