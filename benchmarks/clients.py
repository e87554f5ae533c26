"""What many training runs send to a server, of any engine, behind any number of addresses.

*Thin* is ordinary training: each run sends one record of each of its 50 metrics a second. *Dense* is full requests of
8,192 records of eight metrics. *Paced* keeps to the clock, and a request that is late is sent at once; *closed* sends
as fast as it is answered. Requests are encoded beforehand; a run has a connection, and each answer is checked.
A range without an acknowledgement is sent again. What an https address is signed by is in ``SSL_CERT_FILE``. ::

    python -m benchmarks.clients URL… --key KEY [--dense] [--closed] [--clients 200] [--seconds 30] [--pid PID…]

gives one line of JSON: the requests that were answered, seconds from sending one to its acknowledgement, and CPU
seconds a metric of these processes and their children: the server's, the packer's, PostgreSQL's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import random
import ssl
import struct
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.figure import quantile
from steplog.delivery.wire import CONTENT_TYPE_RANGE, acknowledges, api_path
from steplog.journal import slot
from steplog.journal.range import Range, encode

__all__ = ["DENSE", "PROJECT", "THIN", "Load", "ask", "cpu_s", "new_runs", "send"]

PROJECT = ("bench", "load")
WRITER = "writer"
BEGAN_NS = 1_700_000_000_000_000_000
RETRY_S = 0.05
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """``records`` of ``names`` metrics a request, each ``interval_s``; 0: as fast as they are answered."""

    what: str
    names: int
    records: int
    interval_s: float


THIN = Load("50 metrics a second", 50, 50, 1.0)
DENSE = Load("8,192 records a request, 8 metrics", 8, 8192, 0.0)


def ask(url: str, key: str, method: str, path: str, body: Any = None) -> Any:
    """What a server answers to JSON. Raises RuntimeError for a refusal."""
    context, host = _context(url), urlsplit(url).netloc
    opened = (
        http.client.HTTPConnection(host, timeout=60)
        if context is None
        else http.client.HTTPSConnection(host, timeout=60, context=context)
    )
    with contextlib.closing(opened) as connection:
        headers = {"Authorization": f"Api-Key {key}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        told = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {told[:200]!r}")
    return json.loads(told) if told else None


def _context(url: str) -> ssl.SSLContext | None:
    return ssl.create_default_context() if url.startswith("https:") else None


def new_runs(urls: Sequence[str], key: str, count: int, project: tuple[str, str] = PROJECT) -> list[str]:
    """The paths of new runs, below the API's, each made at one of these servers; the project is made if missing."""
    namespace, slug = project
    with contextlib.suppress(RuntimeError):  # it is there already
        ask(urls[0], key, "POST", api_path(namespace, "projects"), {"display_name": slug, "visibility": "TEAM"})
    path = api_path(namespace, "projects", slug, "runs")
    made = [ask(urls[at % len(urls)], key, "POST", path, {"name": uuid.uuid4().hex})["uuid"] for at in range(count)]
    return [f"{path}{each}/" for each in made]


@dataclass
class _Told:
    """What has been seen; times in seconds."""

    took: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)  # behind the clock, when a request was sent
    records: int = 0
    sent_bytes: int = 0
    again: int = 0  # requests that were sent again: no answer, or one of 5xx
    last: float = 0.0


def send(
    urls: list[str],
    key: str,
    runs: list[str],
    names: int,
    records: int,
    requests: int,
    interval_s: float,
    seconds: float | None = None,
) -> dict[str, float]:
    """Send each run its requests, at most for so many seconds, the runs spread over these servers."""
    bodies = _bodies(names, records, requests, interval_s)
    told = _Told()

    async def send_all() -> float:
        start = time.monotonic() + 0.5
        stop = start + seconds if seconds is not None else float("inf")
        await asyncio.gather(
            *(
                _Connection(urls[at % len(urls)], key, run, told).send(
                    bodies, start + interval_s * at / len(runs), interval_s, stop
                )
                for at, run in enumerate(runs)
            )
        )
        return start

    before = time.process_time()
    start = asyncio.run(send_all())
    return {
        "p50": quantile(told.took, 0.5),
        "p99": quantile(told.took, 0.99),
        "max": max(told.took),
        "late": max(told.late),
        "requests": len(told.took),
        "records": told.records,
        "bytes": told.sent_bytes,
        "again": told.again,
        "seconds": told.last - start,
        "client": time.process_time() - before,
    }


def _bodies(names: int, records: int, requests: int, interval_s: float) -> list[tuple[int, int, bytes]]:
    """First and end position and the body of each request; all runs send the same."""
    source = random.Random(1)
    table = {number: f"train/metric_{number}" for number in range(names)}
    keys = [slot.key_of(number, slot.KIND_FLOAT) for number in range(names)]
    apart_ns = int(1e9 * (interval_s or 1) / records)
    pack = struct.Struct("<qdqQ").pack
    bodies = []
    for first in range(0, records * requests, records):
        slots = b"".join(
            pack(at // names, source.gauss(0, 1), BEGAN_NS + at * apart_ns + source.randrange(5000), keys[at % names])
            for at in range(first, first + records)
        )
        bodies.append((first, first + records, encode(Range(WRITER, first, first + records, table, slots, b""))))
    return bodies


class _Connection:
    """A connection that sends a run's requests, each checked by its answer, and again until it is acknowledged."""

    def __init__(self, url: str, key: str, run: str, told: _Told) -> None:
        self._host = urlsplit(url).netloc
        self._context = _context(url)
        self._told = told
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._head = (
            f"POST {run}metrics/batch/ HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Api-Key {key}\r\n"
            f"Content-Type: {CONTENT_TYPE_RANGE}\r\nContent-Encoding: deflate\r\nContent-Length: "
        )

    async def send(
        self, bodies: Sequence[tuple[int, int, bytes]], start: float, interval_s: float, stop: float
    ) -> None:
        """Send all, the first at ``start``; one that is late at once."""
        for number, (first, end, body) in enumerate(bodies):
            due = start + number * interval_s
            if max(due, time.monotonic()) >= stop:
                break
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            begun = time.monotonic()
            await self._deliver(first, end, body)
            ended = time.monotonic()
            self._told.took.append(ended - begun)
            self._told.late.append(begun - due if interval_s else 0.0)
            self._told.records += end - first
            self._told.sent_bytes += len(body)
            self._told.last = max(self._told.last, ended)
        await self._hang_up()

    async def _hang_up(self) -> None:
        if self._streams is not None:
            writing = self._streams[1]
            self._streams = None
            writing.close()
            with contextlib.suppress(OSError):
                await writing.wait_closed()

    async def _deliver(self, first: int, end: int, body: bytes) -> None:
        while True:
            try:
                head, answer = await self._ask(body)
            except (OSError, asyncio.IncompleteReadError):
                await self._hang_up()  # the server closes who is late on a busy machine, and may be started again
            else:
                if head.startswith(b"HTTP/1.1 200") and acknowledges(answer, WRITER, first, end):
                    return
                if not head.startswith(b"HTTP/1.1 5"):
                    raise RuntimeError(f"a range was refused: {head[:40]!r} {answer[:200]!r}")
            self._told.again += 1
            await asyncio.sleep(RETRY_S)

    async def _ask(self, body: bytes) -> tuple[bytes, bytes]:
        if self._streams is None:
            name, _, port = self._host.rpartition(":")
            self._streams = await asyncio.open_connection(name, int(port), ssl=self._context)
        reading, writing = self._streams
        writing.write(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
        head = await reading.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        answer = head, await reading.readexactly(int(length.partition(b":")[2]))
        if b"connection: close" in head.lower():
            await self._hang_up()
        return answer


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and of all below it, those that have ended and were waited for included."""
    parents: dict[int, list[int]] = {}
    used: dict[int, float] = {}
    for each, fields in _processes():
        parents.setdefault(int(fields[1]), []).append(each)
        used[each] = sum(map(int, fields[11:15])) / _TICKS_PER_S
    total, waiting = 0.0, [pid]
    while waiting:
        each = waiting.pop()
        total += used.get(each, 0.0)
        waiting += parents.get(each, ())
    return total


def _processes() -> Iterator[tuple[int, list[str]]]:
    """Each process, and what the kernel tells of it, from its state on."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                yield int(path.name), (path / "stat").read_text().rpartition(")")[2].split()


def main() -> None:
    """Measure servers that are there already."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clients", description=__doc__.splitlines()[0])
    parser.add_argument("urls", nargs="+", metavar="URL", help="http://HOST:PORT of a server; clients are spread")
    parser.add_argument("--key", required=True, help="an API key that may make a project and runs")
    parser.add_argument("--project", default="/".join(PROJECT), metavar="NAMESPACE/PROJECT")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--dense", action="store_true", help=f"{DENSE.what}; else {THIN.what}")
    parser.add_argument("--closed", action="store_true", help="as fast as requests are answered; else one a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--requests", type=int, default=200, help="at most so many a client")
    parser.add_argument("--pid", type=int, action="append", default=[], help="whose CPU counts; may be repeated")
    chosen = parser.parse_args()
    load = DENSE if chosen.dense else THIN
    namespace, _, project = chosen.project.partition("/")
    runs = new_runs(chosen.urls, chosen.key, chosen.clients, (namespace, project))
    before = {pid: cpu_s(pid) for pid in chosen.pid}
    interval_s = 0.0 if chosen.closed else 1.0
    told: dict[str, Any] = dict(
        send(chosen.urls, chosen.key, runs, load.names, load.records, chosen.requests, interval_s, chosen.seconds)
    )
    told["cpu a metric"] = {pid: (cpu_s(pid) - was) / told["records"] for pid, was in before.items()}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
