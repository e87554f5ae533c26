"""What a working client of the embedded server waits while others flood it, beside its own control.

A client with a key sends a batch of ten records every few milliseconds, each tenth on a new connection. Windows with a
flood and with its control take turns; a figure is the p99 of the one by the p99 of the other. A control takes from the
processors what its flood does: it is the same flood of a socket that nobody serves, or as many bytes in harmless form.
Commits do not wait for a disk.

Last, as many idle connections with a key as are wanted are opened beside the working client, and asked again.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import multiprocessing
import os
import resource
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.figure import Figure, over, quantile
from benchmarks.stage import KEY, Server, Stage
from steplog.delivery.wire import API, CONTENT_TYPE_RANGE
from steplog.journal import slot
from steplog.journal.range import Range, encode

__all__ = ["figures", "keep", "work"]

GROUP = "floods"
RECORDS, PACE_S, FRESH_EVERY = 10, 0.003, 10
CHUNKS = 500_000
VALUE_BYTES = 1_000_000
HEADERS = {
    "Authorization": f"Api-Key {KEY}",
    "Content-Type": CONTENT_TYPE_RANGE,
    "Content-Encoding": "deflate",
}
SMALL_CHUNKS = b"1\r\nx\r\n" * CHUNKS + b"0\r\n\r\n"
LARGE_CHUNKS = (b"10000\r\n" + b"x" * 65536 + b"\r\n") * (len(SMALL_CHUNKS) // 65536) + b"0\r\n\r\n"
LONG_NUMBERS = b"[" + b",".join([b"1" * 4000] * (VALUE_BYTES // 4001)) + b"]"
SHORT_NUMBERS = b"[" + b",".join([b"1234567"] * (VALUE_BYTES // 8)) + b"]"


def figures(stage: Stage) -> Iterator[Figure]:
    """A server for each flood, since what was sent to it stays there."""
    for flood, control, name in (
        ("small_chunks", "large_chunks", "3 MB without a key in chunks of one byte"),
        ("idle_700", "idle_700 elsewhere", "700 idle connections without a key"),
        ("idle_4000", "idle_4000 elsewhere", "4,000 idle connections without a key"),
        ("slow_heads", "slow_heads elsewhere", "400 heads without a key, a byte a time"),
        ("long_numbers", "short_numbers", "integers of 4,000 digits, with a key"),
    ):
        with stage.server(on_disk=False) as server:
            options = {"floods": [control, flood], "seconds": stage.pick(3, 2), "rounds": stage.pick(7, 3)}
            told = stage.child(work, stage.environment(), host=_host(server), run=_new_run(server), **options)
        rounds = [each[flood] / each[control] for each in told]
        middle = {kind: 1e3 * quantile([each[kind] for each in told], 0.5) for kind in (control, flood)}
        note = f"{middle[flood]:.1f} ms, and {middle[control]:.1f} ms with {control.replace('_', ' ')}"
        yield over(rounds, group=GROUP, name=f"p99 under {name}", unit="× control", must=2, reach=1.2, note=note)
    with stage.server(on_disk=False) as server:
        count = stage.pick(10_000, 4_200)
        told = stage.child(keep, stage.environment(), host=_host(server), run=_new_run(server), count=count)
        size = server.resident_bytes() / count
    yield Figure(
        group=GROUP,
        name="idle connections with a key that are kept",
        unit="connections",
        value=told["kept"],
        must=4096,
        reach=10_000,
        more_is_better=True,
        note=f"{size / 1024:.0f} KiB of the server each, itself included; the working client's p99 is "
        f"{1e3 * told['beside']:.1f} ms, {1e3 * told['alone']:.1f} ms without them",
    )


def work(host: str, run: str, floods: list[str], seconds: float, rounds: int) -> list[dict[str, float]]:
    """The p99 of a working client in each window, by what floods the server meanwhile."""
    client = _Worker(host, run)
    client.work(seconds / 2)
    found = []
    for number in range(rounds):
        order = floods if number % 2 else floods[::-1]
        found.append({flood: _window(client, flood, host, run, seconds) for flood in order})
    return found


def keep(host: str, run: str, count: int) -> dict[str, float]:
    """Open idle connections, work, and count those that still answer."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    client = _Worker(host, run)
    client.work(1.0)
    alone = client.work(3.0)
    idle = [http.client.HTTPConnection(host, timeout=30) for _ in range(count)]
    for connection in idle:
        _verify(connection)
    beside = client.work(3.0)
    return {"kept": sum(map(_is_kept, idle)), "alone": alone, "beside": beside}


class _Worker:
    """A client that works."""

    def __init__(self, host: str, run: str) -> None:
        self._host, self._path = host, f"{run}metrics/batch/"
        self._connection = http.client.HTTPConnection(host, timeout=60)
        self._sent = 0

    def work(self, seconds: float) -> float:
        """The p99 of its requests, in seconds."""
        took = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            begun = time.perf_counter()
            if self._sent // RECORDS % FRESH_EVERY == 0:
                self._connection.close()
            self._send()
            took.append(time.perf_counter() - begun)
            time.sleep(PACE_S)
        return quantile(took, 0.99)

    def _send(self) -> None:
        first, end = self._sent, self._sent + RECORDS
        key = slot.key_of(0, slot.KIND_FLOAT)
        slots = b"".join(struct.pack("<qdqQ", at, 0.5, 10**18 + at, key) for at in range(first, end))
        body = encode(Range("worker", first, end, {0: "loss"}, slots, b""))
        self._connection.request("POST", self._path, body, HEADERS)
        answer = self._connection.getresponse()
        told = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the working client was refused: {answer.status} {told[:200]!r}")
        self._sent = end


def _window(client: _Worker, flood: str, host: str, run: str, seconds: float) -> float:
    flooding = multiprocessing.get_context("fork").Process(target=_flood, args=(flood, host, run), daemon=True)
    flooding.start()
    try:
        return client.work(seconds)
    finally:
        flooding.kill()
        flooding.join()


def _flood(name: str, host: str, run: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    address, _, port = host.partition(":")
    kind, _, elsewhere = name.partition(" ")
    unserved = socket.create_server(("127.0.0.1", 0), backlog=4096)
    _FLOODS[kind](unserved.getsockname() if elsewhere else (address, int(port)), run)


def _chunked(body: bytes) -> Callable[[tuple[str, int], str], None]:
    def flood(address: tuple[str, int], _run: str) -> None:
        head = (
            f"POST {API}/namespaces/ HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        while True:
            with contextlib.suppress(OSError), socket.create_connection(address, 60) as connection:
                connection.sendall(head.encode() + body)
                while connection.recv(65536):
                    pass

    return flood


def _idle(count: int) -> Callable[[tuple[str, int], str], None]:
    def flood(address: tuple[str, int], _run: str) -> None:
        held = [socket.create_connection(address, 60) for _ in range(count)]
        signal.pause()
        held.clear()

    return flood


def _slow_heads(address: tuple[str, int], _run: str) -> None:
    held: list[socket.socket] = []
    while True:
        while len(held) < 400:
            held.append(socket.create_connection(address, 60))
            held[-1].sendall(b"GET / HTTP/1.1\r\nX: ")
        for connection in list(held):
            try:
                connection.send(b"x")
            except OSError:
                connection.close()
                held.remove(connection)
        time.sleep(0.1)


def _numbers(value: bytes) -> Callable[[tuple[str, int], str], None]:
    def flood(address: tuple[str, int], run: str) -> None:
        connection = http.client.HTTPConnection(*address, timeout=60)
        slots = bytearray(slot.SLOT_BYTES)
        slot.pack_payload(slots, 0, 1, 0, len(value), 1, slot.key_of(0, slot.KIND_JSON))
        for number in range(1_000_000):
            writer = f"flood-{os.getpid()}-{number}"
            body = encode(Range(writer, 0, 1, {0: "value"}, bytes(slots), value))
            connection.request("POST", f"{run}metrics/batch/", body, HEADERS)
            connection.getresponse().read()
            time.sleep(0.05)

    return flood


_FLOODS: dict[str, Callable[[tuple[str, int], str], None]] = {
    "small_chunks": _chunked(SMALL_CHUNKS),
    "large_chunks": _chunked(LARGE_CHUNKS),
    "idle_700": _idle(700),
    "idle_4000": _idle(4000),
    "slow_heads": _slow_heads,
    "long_numbers": _numbers(LONG_NUMBERS),
    "short_numbers": _numbers(SHORT_NUMBERS),
}


def _verify(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", f"{API}/verify-api-key/", headers=HEADERS)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _is_kept(connection: http.client.HTTPConnection) -> bool:
    connection.auto_open = 0
    try:
        return _verify(connection) == 200
    except (http.client.HTTPException, OSError):
        return False


def _host(server: Server) -> str:
    return server.url.removeprefix("http://")


def _new_run(server: Server) -> str:
    """The path of a new run."""
    connection = http.client.HTTPConnection(_host(server), timeout=30)

    def post(path: str, **fields: str) -> Any:
        connection.request("POST", path, json.dumps(fields), HEADERS | {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())

    post(f"{API}/bench/projects/", display_name="floods", visibility="TEAM")
    runs = f"{API}/bench/projects/floods/runs/"
    path = f"{runs}{post(runs)['uuid']}/"
    connection.close()
    return path
