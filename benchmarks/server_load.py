"""What the embedded server takes to store what many runs send it, with the packer's share.

A process of its own sends it (``clients``). Then the runs end, and the database is measured once everything is packed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import clients
from benchmarks.clients import ask, new_runs, send
from benchmarks.figure import Figure, over, quantile
from benchmarks.stage import KEY, Server, Stage

__all__ = ["figures"]

GROUP = "server_load"


@dataclass(frozen=True)
class _Load:
    """So many runs that send this, and the targets of its CPU a metric, in µs."""

    sent: clients.Load
    runs: int
    must: float
    reach: float

    @property
    def what(self) -> str:
        if self.sent is clients.THIN:
            return f"thin, {self.runs} runs"
        return f"dense, {self.runs} runs"


THIN = _Load(clients.THIN, 200, 13, 9)
DENSE = _Load(clients.DENSE, 8, 0.7, 0.5)


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
        runs = new_runs([server.url], KEY, load.runs)
        packers = server.children()
        if not packing:
            for pid in packers:
                os.kill(pid, signal.SIGSTOP)
        before, packed = server.cpu_s(), server.packer_cpu_s()
        told: dict[str, float] = stage.child(
            send,
            stage.environment(),
            urls=[server.url],
            key=KEY,
            runs=runs,
            names=load.sent.names,
            records=load.sent.records,
            requests=requests,
            interval_s=load.sent.interval_s,
        )
        for run in runs if packing else ():
            ask(server.url, KEY, "PATCH", run, {"status": "COMPLETED"})
        if packing:
            server.wait_until_packed()
        metrics = load.runs * load.sent.records * requests
        if server.points() != metrics:
            raise RuntimeError(f"{metrics} metrics were sent, and {server.points()} are stored")
        told["server"] = (server.cpu_s() - before) / metrics
        told["packer"] = (server.packer_cpu_s() - packed) / metrics
        for pid in packers:
            os.kill(pid, signal.SIGCONT)
        told["bytes"] = used_bytes(server) / metrics
        return told


def used_bytes(server: Server) -> int:
    """Of the database, without free pages."""
    pages, free, size = (server.number(f"PRAGMA {name}") for name in ("page_count", "freelist_count", "page_size"))
    return (pages - free) * size
