"""One exchange of the transport with a server that answers at once: over the socket of a local server, and over TCP.

Both take turns on connections that stay open. The server is a process of its own that reads a request and sends the
same acknowledgement, so that what is measured is the client and the kernel.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure, over, quantile
from benchmarks.stage import KEY, Stage
from steplog import instance
from steplog.address import local_url
from steplog.delivery.exchange import Request
from steplog.file_lock import FileLock
from steplog.network.local_server import LocalServer
from steplog.network.transport import HTTPTransport
from steplog.secret import Secret
from steplog.unix_socket import bind_private

__all__ = ["figures", "taken"]

GROUP = "exchange"
ID = "e" * 32
BODY = b'{"writer": "w", "first": 0, "end": 100, "accepted": 100, "duplicates": 0}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
RANGE = Request(
    "POST", "/api/v0/n/projects/p/runs/u/metrics/batch/", bytes(900), {"Content-Type": "application/msgpack"}
)


def figures(stage: Stage) -> Iterator[Figure]:
    """The median of a round, and what it is beside TCP's in the same round."""
    told = stage.child(taken, stage.environment(), rounds=stage.pick(15, 5), exchanges=stage.pick(2000, 400))
    unix, tcp = ([each[way] for each in told] for way in ("unix", "tcp"))
    ratios = [one / other for one, other in zip(unix, tcp, strict=True)]
    note = f"over loopback {quantile(tcp, 0.5):.0f} µs; the ratio, round by round: {quantile(ratios, 0.5):.2f}"
    yield over(unix, group=GROUP, name="a range of 900 bytes over the socket of a local server", unit="µs", note=note)


def taken(rounds: int, exchanges: int) -> list[dict[str, float]]:
    """Microseconds an exchange, the median of each round, by the way it went."""
    directory = Path(tempfile.mkdtemp(dir=os.environ["STEPLOG_DIR"]))
    paths = instance.paths_of(directory, ID)
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        url = f"http://127.0.0.1:{tcp.getsockname()[1]}"
        instance.write(paths.state, instance.Instance(ID, url, "secret", KEY, "me", started_ns=1, socket=True))
        lock = FileLock.take(paths.lock)
        with bind_private(paths.socket, 8) as unix:
            server = os.fork()
            if server == 0:
                _serve(tcp, unix)
            try:
                found = [_round(directory, url, exchanges) for _ in range(rounds)]
            finally:
                os.kill(server, signal.SIGKILL)
                os.waitpid(server, 0)
    if lock is not None:
        lock.release()
    return found


def _round(directory: Path, url: str, exchanges: int) -> dict[str, float]:
    key, local = Secret(KEY), LocalServer(directory, ID)
    ways = {
        "unix": HTTPTransport(local_url(ID), lambda: key, local=local),
        "tcp": HTTPTransport(url, lambda: key),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(exchanges):
        for way, transport in ways.items():
            begun = time.perf_counter_ns()
            transport.exchange(RANGE, 30)
            times[way].append((time.perf_counter_ns() - begun) / 1000)
    for transport in ways.values():
        transport.close()
    return {way: quantile(each, 0.5) for way, each in times.items()}


def _serve(*listeners: socket.socket) -> None:
    def answer(connection: socket.socket) -> None:
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while connection.recv(65536):
            connection.sendall(ANSWER)

    def accept(listener: socket.socket) -> None:
        while True:
            threading.Thread(target=answer, args=listener.accept()[:1], daemon=True).start()

    for listener in listeners:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
    signal.pause()
