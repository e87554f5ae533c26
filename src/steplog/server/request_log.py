"""The access log: a line a request, on standard error.

::

    text    2030-01-02T03:04:05.678Z 10.0.0.7 key=3 POST /api/v0/{namespace}/… 200 1.9ms in=2113 out=71 id=5a60f72b…
    json    {"time":…,"level":"info","message":"request","request_id":…,"client":…,"key":3,"method":…,"route":…,
             "status":200,"ms":1.9,"bytes_in":2113,"bytes_out":71}

1. A line has no name of a user, a project or a run, no query and no key: a key is its number in ``steplog key list``.
2. Requests wait for nobody who reads the log: a thread formats and writes their lines, those of ``_TOGETHER_S`` at
   once, since waking it for each would cost more than the lines do. Of those that it does not keep up with,
   ``_LINES_MAX`` are kept and later ones counted.
3. Probes that were answered 200 have no line.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from steplog.server.endpoint import REQUEST_ID
from steplog.server.log_format import time_text
from steplog.server.seen_request import SeenRequest

__all__ = ["AccessLog"]

_LINES_MAX = 10_000
_TOGETHER_S = 0.1
_log = logging.getLogger("steplog.server")
_UNLOGGED = ("/healthz", "/readyz", "/metrics")


class _Line(NamedTuple):
    time: float
    client: str
    key: int | None
    seen: SeenRequest


class AccessLog:
    """Writes a line a request; ``close`` writes those that wait."""

    def __init__(self, form: str, write: Callable[[str], object], clock: Callable[[], float]) -> None:
        """``write`` takes whole lines; ``clock`` gives the time since the epoch."""
        self._form = _json if form == "json" else _text
        self._write = write
        self._clock = clock
        self._lines: deque[_Line] = deque()
        self._dropped = 0
        self._lock = threading.Lock()
        self._some, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="steplog-access-log", daemon=True)
        self._thread.start()

    def __call__(self, seen: SeenRequest) -> None:
        """Note a request, for the event loop."""
        if seen.route in _UNLOGGED and seen.status == 200:
            return
        scope = seen.scope
        client = scope.get("client")
        line = _Line(
            self._clock(), client[0] if client else "local", scope["state"].get("key_id"), seen._replace(scope={})
        )
        with self._lock:
            if len(self._lines) >= _LINES_MAX:
                self._dropped += 1
                return
            self._lines.append(line)
        if not self._some.is_set():
            self._some.set()

    def close(self) -> None:
        """Write what waits, for a bounded time: who reads may have stopped."""
        self._closed.set()
        self._some.set()
        self._thread.join(1.0)

    def _work(self) -> None:
        closed = False
        while not closed:
            self._some.wait()
            self._closed.wait(_TOGETHER_S)
            self._some.clear()
            closed = self._closed.is_set()
            with self._lock:
                lines, self._lines = self._lines, deque()
                dropped, self._dropped = self._dropped, 0
            if lines:
                self._write("".join(map(self._form, lines)))
            if dropped:
                _log.warning("%d requests are not in the access log: it is slow", dropped)


def _json(line: _Line) -> str:
    seen = line.seen
    document = {
        "time": time_text(line.time),
        "level": "info",
        "message": "request",
        REQUEST_ID: seen.id,
        "client": line.client,
        "key": line.key,
        "method": seen.method,
        "route": seen.route,
        "status": seen.status,
        "ms": round(seen.seconds * 1e3, 3),
        "bytes_in": seen.bytes_in,
        "bytes_out": seen.bytes_out,
    }
    return f"{msgspec.json.encode(document).decode()}\n"


def _text(line: _Line) -> str:
    seen = line.seen
    key = "-" if line.key is None else line.key
    took = f"{seen.status} {seen.seconds * 1e3:.1f}ms in={seen.bytes_in} out={seen.bytes_out} id={seen.id}"
    return f"{time_text(line.time)} {line.client} key={key} {seen.method} {seen.route} {took}\n"
