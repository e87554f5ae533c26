"""The demo's processes: ``python -m steplog.cli.demo.child server|worker …``, for the demo alone.

Each is bound to the demo by a pipe, its standard input: a byte releases it, and the end of the pipe, which comes
with the demo's own end, however that comes, kills it. So no process of the demo outlives it.
What a child has to say is one line of JSON each on its standard output.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steplog.server.embedded import Address

__all__ = ["NAMESPACE", "PROJECT", "main"]

NAMESPACE = "demo"
PROJECT = "two-moons"
_STEPS_A_REST = 20  # a worker sleeps after some steps, not after each: its caches are as warm as in training
_PROBE_STEPS = 50
_NOTE_STEPS = 100
_FINISH_TIMEOUT_S = 30.0


def main(arguments: list[str]) -> None:
    """Be the child that the arguments say."""
    released = threading.Event()
    threading.Thread(target=_watch, args=(released,), name="demo-watch", daemon=True).start()
    kind, given = arguments[0], json.loads(arguments[1])
    if kind == "server":
        _serve(given)
    else:
        _work(given, released)


def _watch(released: threading.Event) -> None:
    # Not sys.stdin: a thread that waits in it holds a lock which the end of the interpreter needs.
    if not os.read(0, 1):
        os.kill(os.getpid(), signal.SIGKILL)  # the demo is gone
    released.set()


def _say(**told: Any) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _serve(given: dict[str, Any]) -> None:
    from steplog.server.embedded import Options, run_server

    def started(address: Address) -> None:
        _say(url=address.base_url)

    run_server(Options(port=given["port"], database=Path(given["database"]), username=NAMESPACE), started)


def _work(given: dict[str, Any], released: threading.Event) -> None:
    import steplog
    from steplog.cli.demo.ledger import Ledger, timer_ns
    from steplog.cli.demo.model import BATCH, Model

    ledger = Ledger(Path(given["ledger"]))
    ledger.put_timer(timer_ns())
    model = Model(given["seed"], given["learning_rate"])
    run = steplog.init(NAMESPACE, PROJECT, name=given["name"])
    _say(run=run.uuid, append=run.stats().append)
    log = ledger.timed(run.log)
    begin, most = time.monotonic(), ledger.calls_max - 10
    while not ledger.stopped and ledger.returned < most:
        step, done = model.steps, model.step()
        log("loss", done.loss, step)
        log("accuracy", done.accuracy, step)
        log("grad_norm", done.grad_norm, step)
        log("learning_rate", done.learning_rate, step)
        log("examples", model.steps * BATCH, None)
        if step % _PROBE_STEPS == 0:
            log("probe", model.probe(), None)
        if step % _NOTE_STEPS == 0:
            log("note", f"{model.wrong()} points are on the wrong side", step)
        ledger.show(model.steps, done.loss)
        if model.steps % _STEPS_A_REST == 0:
            time.sleep(max(0.0, begin + model.steps / given["steps_per_s"] - time.monotonic()))
    report = run.finish(timeout=_FINISH_TIMEOUT_S)
    _say(pending=report.pending, dropped=dict(report.dropped))
    released.wait()  # until then its agent goes on with what it has adopted


if __name__ == "__main__":
    main(sys.argv[1:])
