"""A program that logs until it is killed, or that recovers what such a one has left until it is told to stop.

``python victim.py log LEDGER NAME [PHASE ENTRIES OPCODES]`` makes a run, says "ready", and logs from four threads once
it gets a line. ``recover`` makes a run of its own, whose agent adopts what is there, and waits for its input to end.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crash.calls import THREADS, call
from crash.ledger import PHASES, Ledger
from crash.phases import Steer, watch

CALLS_A_NAP = 16
NAP_S = float(os.environ.get("NAP_S", "0.015"))
SETTLE_S = 0.15  # before that there is little to lose


def log(run: object, ledger: Ledger, steer: Steer | None) -> None:
    """Log for ever. ``log`` itself is looked up each time, as in a program."""
    append = PHASES.index("append")
    dropped = run._opened.opened.writer.dropped  # type: ignore[attr-defined]

    def work(thread: int) -> None:
        steered = steer if steer is not None and steer.phase == append and thread == 0 else None
        number = 0
        while True:
            arguments = call(thread, number)
            gone = dropped["memory full"]
            ledger.enter(append)
            if steered is not None:
                steered.call(run.log, arguments, {})  # type: ignore[attr-defined]
            else:
                run.log(*arguments)  # type: ignore[attr-defined]
            ledger.enter(0)
            if dropped["memory full"] != gone:
                ledger.unsure(thread, number)
            number += 1
            ledger.returned(thread, number)
            if number % CALLS_A_NAP == 0:
                time.sleep(NAP_S)

    for thread in range(THREADS):
        threading.Thread(target=work, args=(thread,), daemon=True).start()


def main(kind: str, path: str, name: str, *steering: str) -> None:
    import steplog

    ledger = Ledger(Path(path))
    steer = Steer(steering[0], int(steering[1]), int(steering[2])) if steering else None
    watch(ledger, steer, recovers=kind == "recover")
    if kind == "recover":
        ledger.enter(PHASES.index("recovery"))
        if steer is not None:
            steer.start()
    run = steplog.init("team", os.environ["PROJECT"], name)
    print("ready", flush=True)
    if kind == "log":
        sys.stdin.readline()
        if steer is not None:
            steer.start(SETTLE_S)
        log(run, ledger, steer)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
