"""The demo's child processes.

A child writes JSON lines to stdout. On stdin, the first byte means stop, the second exit; at the end of file, which
comes however the demo ends, it kills itself.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import steplog
from steplog.cli.demo.verify import NAMESPACE, PROJECT, Ledger

__all__ = ["Model", "main"]

_POINTS, _FEATURES, _BATCH = 400, 20, 16
_STEPS_PER_SLEEP = 20  # a sleep after each step would leave colder caches than training does
_FINISH_TIMEOUT_S = 30.0


def main(role: str, arguments: str) -> None:
    """Serve or train, with ``arguments`` in JSON."""
    stop, leave = threading.Event(), threading.Event()
    threading.Thread(target=_follow_demo, args=(stop, leave), name="demo", daemon=True).start()
    if role == "serve":
        _serve(**json.loads(arguments))
    else:
        _train(stop, leave, **json.loads(arguments))


def _follow_demo(*orders: threading.Event) -> None:
    for order in orders:
        if not os.read(0, 1):  # not sys.stdin, whose lock the interpreter needs to exit
            os.kill(os.getpid(), signal.SIGKILL)
        order.set()


def _send(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _serve(port: int, database: str) -> None:
    from steplog.server.launch import ServerOptions, run_server

    options = ServerOptions(port=port, database=Path(database), username=NAMESPACE)
    run_server(options, lambda address: _send(url=address.base_url))


def _train(
    stop: threading.Event, leave: threading.Event, name: str, ledger: str, rate: float, steps_per_s: float
) -> None:
    calls, model = Ledger(Path(ledger)), Model(rate)
    run = steplog.init(NAMESPACE, PROJECT, name=name)
    _send(run=run.uuid, append=run.stats().append)
    log, begin = calls.timed(run.log), time.monotonic()
    while not stop.is_set() and calls.returned < calls.calls_max - 10:
        step, values = model.steps, model.step()
        for key, value in values.items():
            log(key, value, step)
        log("examples", model.steps * _BATCH, None)
        if step % 50 == 0:
            log("summary", {"step": step, **values}, None)
        if step % 100 == 0:
            log("note", f"loss {values['loss']:.3f} at step {step}", step)
        if model.steps % _STEPS_PER_SLEEP == 0:
            time.sleep(max(0.0, begin + model.steps / steps_per_s - time.monotonic()))
    run.finish(timeout=_FINISH_TIMEOUT_S)
    _send(finished=True)
    leave.wait()  # until then its agent delivers the run that it may have adopted


class Model:
    """Logistic regression on points that a random plane separates."""

    def __init__(self, rate: float) -> None:
        self._random, self._rate, self.steps = random.Random(0), rate, 0
        gauss = self._random.gauss
        self._weights, plane = [0.0] * _FEATURES, [gauss(0, 1) for _ in range(_FEATURES)]
        points = [[gauss(0, 1) for _ in range(_FEATURES)] for _ in range(_POINTS)]
        self._points = [(point, sum(map(float.__mul__, point, plane)) > 0) for point in points]

    def step(self) -> dict[str, float]:
        """Train on a minibatch. Return what to log."""
        loss, accuracy, gradient = 0.0, 0.0, [0.0] * _FEATURES
        for point, label in self._random.sample(self._points, _BATCH):
            guess = 1 / (1 + math.exp(-sum(map(float.__mul__, point, self._weights))))
            loss -= math.log(max(guess if label else 1 - guess, 1e-12)) / _BATCH
            accuracy += ((guess > 0.5) == label) / _BATCH
            gradient = [slope + (guess - label) * x / _BATCH for slope, x in zip(gradient, point, strict=True)]
        rate = self._rate / (1 + self.steps / 3000)
        self._weights = [weight - rate * slope for weight, slope in zip(self._weights, gradient, strict=True)]
        self.steps += 1
        norm = math.sqrt(sum(slope * slope for slope in gradient))
        return {"loss": loss, "accuracy": accuracy, "grad_norm": norm, "learning_rate": rate}
