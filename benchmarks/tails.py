"""The slowest calls of ``log``: idle, beside a busy thread, with a hanging server, a stalled or full disk.

A call and an empty function alternate in one paced loop, so that the machine treats both alike. The figure is the
difference of their p99.9.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from time import perf_counter_ns
from typing import Any

import steplog
from benchmarks.controls import Noop
from benchmarks.figure import Figure, over, quantile
from benchmarks.stage import Stage

__all__ = ["figures", "paced"]

GROUP = "tails"
PACE_S = 0.0005
STALL_S, STALL_QUICK_S = 10, 4  # a process does not end before its last fdatasync has
FULL_BYTES = 256 * 1024


def figures(stage: Stage) -> Iterator[Figure]:
    """Each fault in its own process with its own server."""
    for pure in (False, True):
        for trouble in ("idle", "busy thread", "server hanging", "disk stalled", "disk full"):
            if trouble == "idle" or not (pure and stage.quick):
                yield _figure(stage, trouble, pure)


def _figure(stage: Stage, trouble: str, pure: bool) -> Figure:
    name = f"log() {'pure' if pure else 'c'}, {trouble}"
    before = _trouble(trouble, stage.pick(STALL_S, STALL_QUICK_S))
    if before is None:
        return Figure(group=GROUP, name=name, unit="µs", value=None, note="takes strace, or root and unshare")
    with stage.server() as server:
        environment = stage.environment(server, pure=int(pure))
        told = stage.child(
            paced,
            environment,
            before=[part.format(directory=environment["STEPLOG_DIR"]) for part in before],
            busy=trouble == "busy thread",
            # Nothing is delivered while the disk has trouble: what is delivered never comes to the disk.
            server=None if trouble in ("idle", "busy thread") else server.process.pid,
            rounds=stage.pick(7, 3),
            calls=stage.pick(3000, 1000),
        )
    if told["append"] != ("pure" if pure else "c"):
        return Figure(group=GROUP, name=name, unit="µs", value=None, note="the extension is not built here")
    above = [(each["log"]["p999"] - each["noop"]["p999"]) / 1000 for each in told["rounds"]]
    worst = {who: max(each[who]["max"] for each in told["rounds"]) / 1000 for who in ("log", "noop")}
    p999 = {who: quantile([each[who]["p999"] for each in told["rounds"]], 0.5) / 1000 for who in ("log", "noop")}
    note = f"p99.9 {p999['log']:.1f} and {p999['noop']:.1f} µs, max {worst['log']:,.0f} and {worst['noop']:,.0f} µs"
    return over(above, group=GROUP, name=name, unit="µs", must=50, reach=20, note=note)


def _trouble(trouble: str, stall_s: int) -> list[str] | None:
    """The command prefix that causes the fault; None: impossible here."""
    if trouble == "disk stalled":
        inject = f"inject=fdatasync:delay_enter={1_000_000 * stall_s}"
        options = ["-f", "--seccomp-bpf", "-qqq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject]
        return [shutil.which("strace") or "", *options] if shutil.which("strace") else None
    if trouble == "disk full":
        mount = f'mount -t tmpfs -o size={FULL_BYTES},mode=700 none {{directory}} && exec "$@"'
        return ["unshare", "-m", "sh", "-c", mount, "sh"] if os.geteuid() == 0 and shutil.which("unshare") else None
    return []


def paced(busy: bool, server: int | None, rounds: int, calls: int) -> dict[str, Any]:
    """p99.9 and maximum in ns of the call, ``log`` and a no-op; ``server`` is a process to stop."""
    run, noop = steplog.init("bench", "tails", name="paced"), Noop()
    stop = threading.Event()
    if busy:
        threading.Thread(target=_spin, args=(stop,), daemon=True).start()
    run.log("loss", 0.5, 0)
    run.flush()
    if server is not None:
        os.kill(server, signal.SIGSTOP)
    for step in range(1, 1001):
        run.log("loss", 0.5, step)
    time.sleep(1.5)  # so that it waits for longer than a spool interval
    found, step = [], 1000
    for _ in range(rounds):
        took: dict[str, list[int]] = {"log": [], "noop": []}
        for _ in range(calls):
            step += 1
            value = random.random()
            pair = (("log", run), ("noop", noop)) if step % 2 else (("noop", noop), ("log", run))
            time.sleep(PACE_S)
            for who, what in pair:
                begun = perf_counter_ns()
                what.log("loss", value, step)
                took[who].append(perf_counter_ns() - begun)
        found.append({who: {"p999": quantile(ns, 0.999), "max": max(ns)} for who, ns in took.items()})
    stop.set()
    append = run.stats().append
    run.finish(timeout=0.1)
    return {"rounds": found, "append": append}


def _spin(stop: threading.Event) -> None:
    while not stop.is_set():
        sum(range(1000))
