"""A connection's patience with its client: who says nothing, or too little, does not hold a place for ever.

uvicorn bounds how long a connection may idle after an answer, and nothing else. Here a request's head must be there
``head_s`` seconds after the connection, or after its first byte on one that was kept; its body ``body_s`` after the
head. Then the connection is closed without an answer. Answers take as long as they take.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["BODY_TIMEOUT_S", "HEAD_TIMEOUT_S", "patient_protocol"]

HEAD_TIMEOUT_S = 10.0
_CLOSE_S = 1.0
BODY_TIMEOUT_S = 60.0  # a batch of 1 MiB at 17 KiB a second


def patient_protocol(head_s: float = HEAD_TIMEOUT_S, body_s: float = BODY_TIMEOUT_S) -> type[asyncio.Protocol]:
    """The protocol of such connections, for ``uvicorn.Config``."""

    class Patient(H11Protocol):
        _timer: asyncio.TimerHandle | None = None
        _waits_for: Any = None  # what the timer is for: the state that the client is in

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait_for(h11.IDLE)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._wait_for(self.conn.their_state)

        def shutdown(self) -> None:
            super().shutdown()
            if self.transport.is_closing():  # it is idle; a client that is asleep does not answer the end of TLS
                self.loop.call_later(_CLOSE_S, self.transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            self._wait_for(h11.CLOSED)
            super().connection_lost(exc)

        def _wait_for(self, state: Any) -> None:
            if state is self._waits_for:
                return
            self._waits_for = state
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if state in (h11.IDLE, h11.SEND_BODY):
                self._timer = self.loop.call_later(head_s if state is h11.IDLE else body_s, self.transport.abort)

    return Patient
