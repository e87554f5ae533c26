"""What a backup of a server costs those that write to it, and how much larger the write-ahead log gets meanwhile.

Four clients write one metric each every 50 ms, and one sends texts of a megabyte, one after the other. The control are
the same clients afterwards, for as long as the backup has taken.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.deleting import Client, fill, write
from benchmarks.figure import Figure, quantile
from benchmarks.stage import Stage

__all__ = ["figures", "watch"]

GROUP = "backup"
MB = 1e6
WRITERS = 4
TEXT_BYTES = 700_000


def figures(stage: Stage) -> Iterator[Figure]:
    """One backup of a project of 300 runs, each of 40 metrics of 8 chunks: 840 MB."""
    runs = stage.pick(300, 40)
    with stage.server() as server:
        host = server.url.removeprefix("http://")
        kept, large = (Client(host).new_project(name) for name in ("kept", "large"))
        paths = [Client(host).new_run(kept) for _ in range(WRITERS + 1)]
        fill(server, Client(host), large, runs)
        told = stage.child(watch, stage.environment(), host=host, paths=paths, database=str(server.database))
    yield Figure(
        group=GROUP,
        name="longest wait of a write",
        unit="ms",
        value=told["longest"],
        note=f"{told['size'] / MB:,.0f} MB copied in {told['seconds']:.1f} s; without it {told['control']:.0f} ms; "
        f"p99 {told['p99']:.1f} ms, and {told['control_p99']:.1f} ms without it",
    )
    yield Figure(
        group=GROUP,
        name="growth of the write-ahead log",
        unit="× what was sent",
        value=told["grown"] / told["sent"],
        note=f"{told['grown'] / MB:,.0f} MB, of {told['sent'] / MB:,.0f} MB that were sent meanwhile",
    )


def watch(host: str, paths: list[str], database: str) -> dict[str, float]:
    """What the clients waited during a backup and after it, in ms, and the sizes."""
    waits: list[float] = []
    sent: list[int] = []
    stopped = threading.Event()
    writers = [threading.Thread(target=write, args=(host, path, waits, stopped)) for path in paths[1:]]
    writers.append(threading.Thread(target=_send_texts, args=(host, paths[0], sent, stopped)))
    for writer in writers:
        writer.start()
    time.sleep(2)
    log, copy = Path(f"{database}-wal"), Path(f"{database}.copy")
    waits.clear()
    sent.clear()
    before, begun = log.stat().st_size, time.monotonic()
    command = [sys.executable, "-m", "steplog", "db", "backup", "--db", database, str(copy)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds, grown = time.monotonic() - begun, log.stat().st_size - before
    found, sent_bytes = waits[:], sum(sent)
    waits.clear()
    time.sleep(seconds)
    stopped.set()
    for writer in writers:
        writer.join()
    return {
        "seconds": seconds,
        "size": copy.stat().st_size,
        "grown": grown,
        "sent": sent_bytes,
        "longest": 1e3 * max(found),
        "p99": 1e3 * quantile(found, 0.99),
        "control": 1e3 * max(waits),
        "control_p99": 1e3 * quantile(waits, 0.99),
    }


def _send_texts(host: str, run: str, sent: list[int], stopped: threading.Event) -> None:
    client, source = Client(host), random.Random(1)
    while not stopped.is_set():
        text = source.randbytes(TEXT_BYTES // 2).hex()
        client.ask("POST", f"{run}metrics/", name="text", value=text)
        sent.append(len(text))
