"""A program that logs until it is killed, or that recovers what such a one has left until it is told to stop.

``python victim.py log LEDGER NAME [PHASE ENTRIES OPCODES]`` makes a run, says "ready", and logs from four threads once
it gets a line. ``recover`` makes a run of its own, whose agent adopts what is there, and waits for its input to end.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crash.calls import THREADS, call
from crash.ledger import PHASES, Ledger
from crash.phases import Steer, watch
from crash.planted import plant
from polling import wait_until

CALLS_A_NAP = 16
NAP_S = float(os.environ.get("NAP_S", "0.015"))
LIFE_MAX_S = 60.0
SMALL_CALLS = 60
SETTLE_S = 0.15  # before that there is little to lose


def log(run: Any, ledger: Ledger, steer: Steer | None, threads: Sequence[int]) -> None:
    """Log for ever, from these threads. ``log`` itself is looked up each time, as in a program."""
    append = PHASES.index("append")

    def dropped() -> int:
        found: int = run._opened.opened.writer.dropped["memory full"]
        return found

    def outlives_a_kill() -> bool:
        """A worker that found shared memory full says that a kill loses what it has not written to disk yet."""
        return run._opened.opened.directory is not None

    def work(thread: int) -> None:
        steered = steer if steer is not None and steer.phase == append and thread == 0 else None
        number = 0
        while True:
            arguments = call(thread, number)
            gone = dropped()
            ledger.enter(append)
            if steered is not None:
                steered.call(run.log, arguments, {})
            else:
                run.log(*arguments)
            ledger.enter(0)
            if dropped() != gone or not outlives_a_kill():
                ledger.unsure(thread, number)
            number += 1
            ledger.returned(thread, number)
            if number % CALLS_A_NAP == 0:
                time.sleep(NAP_S)

    for thread in threads:
        threading.Thread(target=work, args=(thread,), daemon=True).start()


def log_with_child(run: Any, ledger: Ledger) -> None:
    """Half of the threads in a forked child, which may outlive this process."""
    if os.fork() == 0:
        ledger.forked()
        log(run, ledger, None, range(THREADS // 2, THREADS))
        time.sleep(LIFE_MAX_S)
        os._exit(0)
    log(run, ledger, None, range(THREADS // 2))


def small(run: Any, ledger: Ledger) -> None:
    """A run with everything in it, to be killed at each of its system calls. Between its parts it waits for a line."""
    dropped = run._opened.opened.writer.dropped
    for number in range(SMALL_CALLS):
        run.log(*call(0, number))
        if dropped["memory full"]:
            ledger.unsure(0, number)
        ledger.returned(0, number + 1)
    with contextlib.suppress(AssertionError):
        wait_until(lambda: run.stats().durable >= SMALL_CALLS, LIFE_MAX_S)
    print("spooled", flush=True)
    sys.stdin.readline()
    run.flush(LIFE_MAX_S)
    for number in range(SMALL_CALLS, SMALL_CALLS + 10):
        run.log(*call(0, number))
        ledger.returned(0, number + 1)
    run.finish(timeout=LIFE_MAX_S)
    print("finished", flush=True)
    os._exit(0)


def durable(run: Any, ledger: Ledger) -> None:
    """Log from one thread, and write down at which position each call is, and what the run promises."""
    writer, journal = run._opened.opened.writer, run._opened.opened.journal
    number = 0
    while True:
        dropped = writer.dropped["memory full"]
        run.log(*call(0, number))
        if writer.dropped["memory full"] == dropped:
            segment = writer.append.segment
            ledger.at(segment.header.base + segment.view().written() - 1)
        else:
            ledger.at(-1)
            ledger.unsure(0, number)
        number += 1
        ledger.returned(0, number)
        if number % CALLS_A_NAP == 0:
            ledger.mark("durable", run.stats().durable)
            ledger.mark("delivered", journal.cursor.delivered)
            time.sleep(NAP_S)


def main(kind: str, path: str, name: str, *steering: str) -> None:
    import steplog

    ledger = Ledger(Path(path))
    steer = Steer(steering[0], int(steering[1]), int(steering[2])) if steering else None
    if "PLANT" in os.environ:
        plant(os.environ["PLANT"])
    watch(ledger, steer, recovers=kind == "recover")
    if kind == "recover":
        ledger.enter(PHASES.index("recovery"))
        if steer is not None:
            steer.start()
    run = steplog.init("team", os.environ["PROJECT"], name)
    print("ready", flush=True)
    if kind == "small":
        sys.stdin.readline()
        small(run, ledger)
    if kind == "durable":
        sys.stdin.readline()
        durable(run, ledger)
    if kind == "log":
        sys.stdin.readline()
        if steer is not None:
            steer.start(SETTLE_S)
        if "FORK" in os.environ:
            log_with_child(run, ledger)
        else:
            log(run, ledger, steer, range(THREADS))
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
