"""What the embedded server takes to store what many runs send it, with the packer's share.

*Thin* is ordinary training: each run sends one record of each of its metrics a second. *Dense* is full requests of few
metrics, as fast as they are answered. Requests are encoded beforehand and sent by a process of its own, a connection a
run. Then the runs end, and the database is measured once everything is packed.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import random
import signal
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.figure import Figure, over, quantile
from benchmarks.stage import KEY, Server, Stage
from steplog.delivery.wire import CONTENT_TYPE_RANGE, acknowledges, api_path
from steplog.journal import slot
from steplog.journal.range import Range, encode

__all__ = ["figures", "send"]

GROUP = "server_load"
PROJECT = ("bench", "projects", "load")
WRITER = "writer"
BEGAN_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class _Load:
    """``records`` of ``names`` metrics a request, each ``interval_s`` (0: as fast as they are answered)."""

    what: str
    runs: int
    names: int
    records: int
    interval_s: float
    must: float
    reach: float


THIN = _Load("thin: 200 runs, 50 metrics a second each", 200, 50, 50, 1.0, 13, 9)
DENSE = _Load("dense: 8 runs, 8,192 records a request, 8 metrics", 8, 8, 8192, 0.0, 0.7, 0.5)


def figures(stage: Stage) -> Iterator[Figure]:
    """CPU a metric of server and packer, bytes a metric, and how long a request takes while the packer works or not."""
    for load, requests in ((THIN, stage.pick(90, 12)), (DENSE, stage.pick(60, 20))):
        rounds = [_round(stage, load, requests) for _ in range(stage.pick(5, 2))]
        yield from _figures(load, rounds)
    told = _round(stage, THIN, stage.pick(90, 12), packing=False)
    yield Figure(group=GROUP, name=f"request p50, no packer, {THIN.what}", unit="ms", value=1e3 * told["p50"])
    yield Figure(group=GROUP, name=f"request p99, no packer, {THIN.what}", unit="ms", value=1e3 * told["p99"])


def _figures(load: _Load, rounds: Sequence[dict[str, float]]) -> Iterator[Figure]:
    log, packer = ([1e6 * each[part] for each in rounds] for part in ("server", "packer"))
    both = [one + other for one, other in zip(log, packer, strict=True)]
    note = f"server {quantile(log, 0.5):.2f}, packer {quantile(packer, 0.5):.2f}"
    name = f"server CPU a metric, {load.what}"
    yield over(both, group=GROUP, name=name, unit="µs", must=load.must, reach=load.reach, note=note)
    size = [each["bytes"] for each in rounds]
    yield over(size, group=GROUP, name=f"database a metric, {load.what}", unit="B")
    for part in ("p50", "p99"):
        times = [1e3 * each[part] for each in rounds]
        yield over(times, group=GROUP, name=f"request {part}, {load.what}", unit="ms")


def _round(stage: Stage, load: _Load, requests: int, packing: bool = True) -> dict[str, float]:
    with stage.server() as server:
        host = server.url.removeprefix("http://")
        runs = new_runs(host, load.runs)
        packers = server.children()
        if not packing:
            for pid in packers:
                os.kill(pid, signal.SIGSTOP)
        before, packed = server.cpu_s(), server.packer_cpu_s()
        told: dict[str, float] = stage.child(
            send,
            stage.environment(),
            host=host,
            runs=runs,
            names=load.names,
            records=load.records,
            requests=requests,
            interval_s=load.interval_s,
        )
        for run in runs if packing else ():
            ask(host, "PATCH", run, {"status": "COMPLETED"})
        if packing:
            server.wait_until_packed()
        metrics = load.runs * load.records * requests
        if server.points() != metrics:
            raise RuntimeError(f"{metrics} metrics were sent, and {server.points()} are stored")
        told["server"] = (server.cpu_s() - before) / metrics
        told["packer"] = (server.packer_cpu_s() - packed) / metrics
        for pid in packers:
            os.kill(pid, signal.SIGCONT)
        told["bytes"] = used_bytes(server) / metrics
        return told


def new_runs(host: str, count: int) -> list[str]:
    """The paths of new runs, below the API's."""
    namespace, projects, slug = PROJECT
    ask(host, "POST", api_path(namespace, projects), {"display_name": slug, "visibility": "TEAM"})
    path = api_path(*PROJECT, "runs")
    made = [ask(host, "POST", path, {"name": f"run {number}"})["uuid"] for number in range(count)]
    return [f"{path}{uuid}/" for uuid in made]


def ask(host: str, method: str, path: str, body: Any) -> Any:
    """What the server answers to JSON."""
    with contextlib.closing(http.client.HTTPConnection(host, timeout=60)) as connection:
        headers = {"Authorization": f"Api-Key {KEY}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body), headers)
        answer = connection.getresponse()
        told = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {told[:200]!r}")
    return json.loads(told)


def used_bytes(server: Server) -> int:
    """Of the database, without free pages."""
    pages, free, size = (server.number(f"PRAGMA {name}") for name in ("page_count", "freelist_count", "page_size"))
    return (pages - free) * size


def send(host: str, runs: list[str], names: int, records: int, requests: int, interval_s: float) -> dict[str, float]:
    """Send each run its requests; seconds that a request took."""
    bodies = _bodies(names, records, requests, interval_s)
    took: list[float] = []

    async def send_all() -> None:
        start = time.monotonic() + 0.5
        await asyncio.gather(
            *(
                _Connection(host, run, took).send(bodies, start + interval_s * place / len(runs), interval_s)
                for place, run in enumerate(runs)
            )
        )

    asyncio.run(send_all())
    return {"p50": quantile(took, 0.5), "p99": quantile(took, 0.99)}


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
    """A connection that sends a run's requests, each checked by its answer."""

    def __init__(self, host: str, run: str, took: list[float]) -> None:
        self._host = host
        self._took = took
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._head = (
            f"POST {run}metrics/batch/ HTTP/1.1\r\nHost: {host}\r\nAuthorization: Api-Key {KEY}\r\n"
            f"Content-Type: {CONTENT_TYPE_RANGE}\r\nContent-Encoding: deflate\r\nContent-Length: "
        )

    async def send(self, bodies: Sequence[tuple[int, int, bytes]], start: float, interval_s: float) -> None:
        """Send all, the first at ``start``; one that is late at once."""
        for number, (first, end, body) in enumerate(bodies):
            await asyncio.sleep(max(0.0, start + number * interval_s - time.monotonic()))
            begun = time.monotonic()
            try:
                head, answer = await self._ask(body)
            except (OSError, asyncio.IncompleteReadError):  # the server closes who is late on a busy machine
                self._streams = None
                head, answer = await self._ask(body)
            self._took.append(time.monotonic() - begun)
            if not head.startswith(b"HTTP/1.1 200") or not acknowledges(answer, WRITER, first, end):
                raise RuntimeError(f"a range was refused: {head[:40]!r} {answer[:200]!r}")
        if self._streams is not None:
            self._streams[1].close()

    async def _ask(self, body: bytes) -> tuple[bytes, bytes]:
        if self._streams is None:
            name, _, port = self._host.rpartition(":")
            self._streams = await asyncio.open_connection(name, int(port))
        reading, writing = self._streams
        writing.write(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
        head = await reading.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        return head, await reading.readexactly(int(length.partition(b":")[2]))
