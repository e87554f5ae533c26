"""A server that accepts everything, for a peer that needs one to start. Prints its address first.

One thread, HTTP/1.1, an answer in one write: a peer must not wait for it. How long a peer could have is counted, and
``GET /stand-in`` tells it: ``requests``; ``busy_s``, its CPU time with the time that it was ready and had no processor;
``slowest_ms``, the longest from the last byte of a request to its answer. It ends with the other end of its standard
input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Requests", "Yes"]

ANSWER = json.dumps({"runId": 1, "url": "http://127.0.0.1/", "displayId": "B-1", "organization": {"slug": "bench"}})
ASKED = b"GET /stand-in "
END_OF_HEAD = b"\r\n\r\n"


class Totals:
    """Of all connections."""

    def __init__(self) -> None:
        self.requests = 0
        self.slowest_ns = 0
        self._began_s = _busy_s()

    def answered(self, took_ns: int) -> None:
        """Count a request."""
        self.requests += 1
        self.slowest_ns = max(self.slowest_ns, took_ns)

    def as_json(self) -> str:
        """As the module says."""
        busy_s = _busy_s() - self._began_s
        return json.dumps({"requests": self.requests, "busy_s": busy_s, "slowest_ms": self.slowest_ns / 1e6})


class Requests:
    """Cuts what arrives on a connection into requests; each byte is looked at once."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._head = b""
        self._at = 0  # what is known so far: the request goes on at least to here
        self._chunked = False

    def fed(self, data: bytes) -> Iterator[bytes]:
        """The heads of the requests that end in ``data``."""
        self._received += data
        while self._has_head() and self._is_whole():
            yield self._head
            del self._received[: self._at]
            self._head, self._at = b"", 0

    def _has_head(self) -> bool:
        if not self._head and (end := self._received.find(END_OF_HEAD)) >= 0:
            self._head = bytes(self._received[:end])
            lines = self._head.lower().split(b"\r\n")[1:]
            fields = {name: value.strip() for name, _, value in (line.partition(b":") for line in lines)}
            self._chunked = fields.get(b"transfer-encoding") == b"chunked"
            self._at = end + len(END_OF_HEAD) + int(fields.get(b"content-length", b"0"))
        return bool(self._head)

    def _is_whole(self) -> bool:
        while self._chunked and (line := self._received.find(b"\r\n", self._at)) >= 0:
            size = int(self._received[self._at : line].partition(b";")[0], 16)
            after = line + 2 + size + 2  # the chunk's end of line; after the last chunk that of no trailers
            if len(self._received) < after:
                return False
            self._at, self._chunked = after, size > 0
        return not self._chunked and len(self._received) >= self._at


class Yes(asyncio.Protocol):
    """A connection."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals
        self._requests = Requests()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        begun_ns = time.perf_counter_ns()
        for head in self._requests.fed(data):
            if head.startswith(ASKED):
                self._transport.write(_answer(self._totals.as_json()))
                continue
            self._transport.write(_answer(ANSWER))
            self._totals.answered(time.perf_counter_ns() - begun_ns)


def _answer(body: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def _busy_s() -> float:
    """CPU time, and time on the run queue where the kernel tells it."""
    try:
        waited_s = int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        waited_s = 0.0
    return time.process_time() + waited_s


async def _serve() -> None:
    loop, totals = asyncio.get_running_loop(), Totals()
    server = await loop.create_server(lambda: Yes(totals), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    ended = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(ended), sys.stdin)
    await ended.read()


if __name__ == "__main__":
    asyncio.run(_serve())
