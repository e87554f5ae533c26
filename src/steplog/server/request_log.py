"""The access log: a line a request, on standard error.

::

    text    2030-01-02T03:04:05.678Z 10.0.0.7 key=3 POST /api/v0/{namespace}/… 200 1.9ms in=2113 out=71 id=5a60f72b…
    json    {"time":…,"level":"info","message":"request","request_id":…,"client":…,"key":3,"method":…,"route":…,
             "status":200,"ms":1.9,"bytes_in":2113,"bytes_out":71}

1. A line has no name of a user, a project or a run, no query and no key: a key is its number in ``steplog key list``.
2. Requests wait for nobody who reads the log: a thread formats and writes their lines. Of those that it does not keep
   up with, ``_LINES_MAX`` are kept and later ones counted.
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
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="steplog-access-log", daemon=True)
        self._thread.start()

    def __call__(self, seen: SeenRequest) -> None:
        """Note a request, for the event loop."""
        if seen.route in _UNLOGGED and seen.status == 200:
            return
        scope = seen.scope
        client = scope.get("client")
        line = _Line(self._clock(), client[0] if client else "local", scope["state"].get("key_id"), seen)
        with self._changed:
            if len(self._lines) >= _LINES_MAX:
                self._dropped += 1
            else:
                self._lines.append(line._replace(seen=seen._replace(scope={})))  # which holds the request's body
                self._changed.notify()

    def close(self) -> None:
        """Write what waits, for a bounded time: who reads may have stopped."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(1.0)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closed)
                lines, self._lines = self._lines, deque()
                dropped, self._dropped = self._dropped, 0
                closed = self._closed
            text = "".join(map(self._form, lines))
            if text:
                self._write(text)
            if dropped:
                logging.getLogger("steplog.server").warning(
                    "%d requests are not in the access log: it is slow", dropped
                )
            if closed:
                return


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
