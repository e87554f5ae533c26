"""How long a dense batch takes while eight clients upload files to the same server, beside its own control.

The control uploads the same to another server of this machine: it takes the same processors and the same disk. Windows
with either take turns; each client sends contents of 128 MiB in parts of 8 MiB, one after the other. ::

    python -m benchmarks.file_uploads URL PROJECT

uploads until its standard input ends, and gives MiB/s.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from benchmarks import clients
from benchmarks.clients import new_runs, send
from benchmarks.figure import Figure, over, quantile
from benchmarks.stage import KEY, Server, Stage

__all__ = ["figures", "upload"]

GROUP = "file_uploads"
CLIENTS, RUNS = 8, 8
MIB = 1024 * 1024
CONTENT_BYTES, PART_BYTES = 128 * MIB, 8 * MIB
REQUESTS_A_SECOND = 60  # of a run: more than are answered


def figures(stage: Stage) -> Iterator[Figure]:
    """The p99 of a dense batch beside uploads, by that of the control, and how fast the files came."""
    with stage.server() as server, stage.server() as other:
        seconds, rounds = stage.pick(15, 5), stage.pick(5, 2)
        _window(server, None, seconds / 2)
        alone = [_window(server, None, seconds) for _ in range(rounds)]
        beside, control, rates = [], [], []
        for number in range(rounds):
            for place in (server, other) if number % 2 else (other, server):
                p99, rate = _window(server, place, seconds)
                (beside if place is server else control).append(p99)
                if place is server:
                    rates.append(rate)
    told = [1e3 * quantile(each, 0.5) for each in (beside, control, [p99 for p99, _ in alone])]
    yield over(
        [one / two for one, two in zip(beside, control, strict=True)],
        group=GROUP,
        name="p99 of a dense batch",
        unit="× control",
        must=2,
        reach=1.3,
        note=f"{told[0]:.0f} ms, {told[1]:.0f} ms while another server takes them, {told[2]:.0f} ms without uploads",
    )
    name = "files uploaded meanwhile"
    yield over(rates, group=GROUP, name=name, unit="MiB/s", more_is_better=True)


def _window(server: Server, uploads_to: Server | None, seconds: float) -> tuple[float, float]:
    """The p99 of dense batches, in seconds, and MiB/s of files meanwhile."""
    runs, load = new_runs([server.url], KEY, RUNS), clients.DENSE
    requests = int(REQUESTS_A_SECOND * seconds)
    with _uploading(uploads_to) as rates:
        told = send([server.url], KEY, runs, load.names, load.records, requests, load.interval_s, seconds)
    return told["p99"], sum(rates)


@contextlib.contextmanager
def _uploading(server: Server | None) -> Iterator[list[float]]:
    """Upload meanwhile; how fast is in the list afterwards."""
    rates: list[float] = []
    if server is None:
        yield rates
        return
    project = new_runs([server.url], KEY, 1)[0].partition("runs/")[0]
    command = [sys.executable, "-m", "benchmarks.file_uploads", server.url, project]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield rates
        rates.append(float(process.communicate()[0]))


def upload(url: str, project: str, has_ended: Callable[[], bool]) -> float:
    """Upload contents until that; MiB/s."""
    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as threads:
        sent = sum(threads.map(lambda _: _client(url, project, has_ended), range(CLIENTS)))
    return sent / (time.monotonic() - began) / MIB


def _client(url: str, project: str, has_ended: Callable[[], bool]) -> int:
    sent, rest = 0, os.urandom(MIB) * (CONTENT_BYTES // MIB)
    with contextlib.closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
        while not has_ended():
            content = os.urandom(MIB) + rest[MIB:]
            path = f"{project}blobs/{hashlib.sha256(content).hexdigest()}"
            for at in range(0, CONTENT_BYTES, PART_BYTES):
                said = f"bytes {at}-{at + PART_BYTES - 1}/{CONTENT_BYTES}"
                headers = {"Authorization": f"Api-Key {KEY}", "Content-Range": said}
                connection.request("PUT", path, content[at : at + PART_BYTES], headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status not in (201, 308):
                    raise RuntimeError(f"a part was answered {answer.status}")
                sent += PART_BYTES
                if has_ended():
                    break
    return sent


def _main() -> None:
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    sys.stdout.write(f"{upload(sys.argv[1], sys.argv[2], ended.is_set)}\n")


if __name__ == "__main__":
    _main()
