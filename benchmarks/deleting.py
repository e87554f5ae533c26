"""What others wait while the embedded server deletes a large project, and what that leaves on the disk.

Four clients write one metric each every 50 ms; the database is not in the page cache when the deletion begins. The
control are the same clients afterwards, for as long as the deletion has taken, at most five minutes.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, quantile
from benchmarks.stage import KEY, Server, Stage
from steplog.delivery.wire import API

__all__ = ["Client", "figures", "fill", "longest_wait", "watch", "write"]

GROUP = "deleting"
NAMES, CHUNKS, CHUNK_BYTES = 40, 8, 8_600
MB = 1e6
WRITERS, PACE_S = 4, 0.05
CONTROL_S_MAX = 300.0
HEADERS = {"Authorization": f"Api-Key {KEY}", "Content-Type": "application/json"}


def figures(stage: Stage) -> Iterator[Figure]:
    """One deletion of 1,000 runs, each of 40 metrics of 8 chunks: 3 GB."""
    runs = stage.pick(1000, 40)
    with stage.server() as server:
        host = server.url.removeprefix("http://")
        kept, doomed = (Client(host).new_project(name) for name in ("kept", "doomed"))
        paths = [Client(host).new_run(kept) for _ in range(WRITERS)]
        fill(server, Client(host), doomed, runs)
        before = server.database.stat().st_size
        told = stage.child(
            watch, stage.environment(), host=host, paths=paths, doomed=doomed, database=str(server.database)
        )
    yield longest_wait(GROUP, told, before)
    yield Figure(
        group=GROUP,
        name="the log when all is gone",
        unit="MB",
        value=told["log"] / MB,
        must=64 * 1.048576,
        note=f"{told['log_max'] / MB:,.0f} MB at most meanwhile",
    )
    yield Figure(
        group=GROUP,
        name="room given back",
        unit="%",
        value=100 * (before - told["size"]) / before,
        more_is_better=True,
        note=f"{told['size'] / MB:,.0f} MB are left",
    )


def longest_wait(group: str, told: dict[str, float], before: int) -> Figure:
    """Of a write, as ``watch`` tells, while so many bytes were deleted."""
    note = (
        f"{before / MB:,.0f} MB gone after {told['seconds']:.0f} s; without it {told['control']:.0f} ms; "
        f"p99 {told['p99']:.1f} ms, and {told['control_p99']:.1f} ms without it"
    )
    longest = told["longest"]
    return Figure(group=group, name="longest wait of a write", unit="ms", value=longest, must=100, reach=30, note=note)


def watch(host: str, paths: list[str], doomed: str, database: str) -> dict[str, float]:
    """What the clients waited during the deletion and after it, in ms, and the sizes of the files."""
    waits: list[float] = []
    stopped = threading.Event()
    writers = [threading.Thread(target=write, args=(host, path, waits, stopped)) for path in paths]
    for writer in writers:
        writer.start()
    time.sleep(2)
    sizes = _Sizes(Path(database))
    begun = time.monotonic()
    deletion = threading.Thread(target=Client(host).ask, args=("DELETE", doomed))
    waits.clear()
    deletion.start()
    sizes.watch_until_settled(deletion)
    seconds = sizes.settled_at - begun
    size, log, found = sizes.size(), sizes.log(), waits[:]
    waits.clear()
    time.sleep(min(CONTROL_S_MAX, seconds))
    stopped.set()
    for writer in writers:
        writer.join()
    return {
        "seconds": seconds,
        "longest": 1e3 * max(found),
        "p99": 1e3 * quantile(found, 0.99),
        "control": 1e3 * max(waits),
        "control_p99": 1e3 * quantile(waits, 0.99),
        "log": log,
        "log_max": sizes.log_max,
        "size": size,
    }


class _Sizes:
    """The sizes of a database and its log."""

    SETTLED_S = 35.0  # in which checkpoints cut the file

    def __init__(self, database: Path) -> None:
        self._database = database
        self._log = database.with_name(f"{database.name}-wal")
        self.log_max = 0
        self.settled_at = 0.0

    def log(self) -> int:
        return self._log.stat().st_size

    def size(self) -> int:
        return self._database.stat().st_size

    def watch_until_settled(self, deletion: threading.Thread) -> None:
        """Return when nothing of the project is left, and the database has kept its size for a while."""
        last = -1
        self.settled_at = time.monotonic()
        while deletion.is_alive() or self._left() or time.monotonic() < self.settled_at + self.SETTLED_S:
            self.log_max = max(self.log_max, self.log())
            size = self.size()
            if size != last or deletion.is_alive() or self._left():
                last, self.settled_at = size, time.monotonic()
            time.sleep(0.1)

    def _left(self) -> bool:
        with contextlib.closing(sqlite3.connect(self._database.as_uri() + "?mode=ro", uri=True)) as connection:
            return (
                connection.execute("SELECT 1 FROM points WHERE length(data) = ?", (CHUNK_BYTES,)).fetchone() is not None
            )


class Client:
    """One that works."""

    def __init__(self, host: str) -> None:
        self._connection = http.client.HTTPConnection(host, timeout=1800)

    def ask(self, method: str, path: str, **fields: Any) -> Any:
        """Raises RuntimeError for a refusal."""
        self._connection.request(method, path, json.dumps(fields), HEADERS)
        answer = self._connection.getresponse()
        told = answer.read()
        if answer.status // 100 != 2:
            raise RuntimeError(f"{method} {path}: {answer.status} {told[:200]!r}")
        return json.loads(told) if told else None

    def new_project(self, name: str) -> str:
        """Its path."""
        self.ask("POST", f"{API}/bench/projects/", display_name=name, visibility="TEAM")
        return f"{API}/bench/projects/{name}/"

    def new_run(self, project: str) -> str:
        """Its path."""
        return f"{project}runs/{self.ask('POST', f'{project}runs/')['uuid']}/"


def write(host: str, run: str, waits: list[float], stopped: threading.Event) -> None:
    """Write a metric at a pace, and note what each took."""
    client = Client(host)
    while not stopped.wait(PACE_S):
        begun = time.perf_counter()
        client.ask("POST", f"{run}metrics/", name="x", value=1)
        waits.append(time.perf_counter() - begun)


def fill(server: Server, client: Client, project: str, runs: int) -> None:
    """Write the runs' chunks past the server, and have the kernel forget them."""
    uuids = [client.new_run(project).rsplit("/", 2)[1] for _ in range(runs)]
    blob = random.Random(1).randbytes(CHUNK_BYTES)
    with contextlib.closing(sqlite3.connect(server.database, isolation_level=None, timeout=60)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for uuid in uuids:
            connection.execute("BEGIN IMMEDIATE")
            (run,) = connection.execute("SELECT id FROM runs WHERE uuid = ?", (uuid,)).fetchone()
            for name in range(NAMES):
                added = connection.execute(
                    "INSERT INTO series (run, name, count, next_step, first_step, last_step) VALUES (?, ?, 1, 1, 0, 0)",
                    (run, f"metric {name}"),
                )
                ids = [(added.lastrowid or 0) << 32 | number for number in range(CHUNKS)]
                connection.executemany("INSERT INTO points VALUES (?, ?)", [(each, blob) for each in ids])
                connection.executemany(f"INSERT INTO chunks VALUES (?{', 1' * 12})", [(each,) for each in ids])
            connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    descriptor = os.open(server.database, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
