"""Who samples, for which runs, and under which names."""

from __future__ import annotations

import random
import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from steplog.delivery.sampling import Sampling


class Runs:
    """An agent's part of it; each run is one that it writes and sends to a server that takes ranges."""

    lock = nullcontext()
    random = random.Random(1)

    def __init__(self, *runs: SimpleNamespace) -> None:
        self.leases: Any = {run.outbox: run for run in runs}

    def delivers(self, lease: Any) -> bool:
        return bool(lease.sent)


class Outbox:
    def __init__(self, wants: bool) -> None:
        self.samples: Any = None
        self.wants = wants

    def takes_samples(self) -> bool:
        return self.wants


def a_run(*, own: bool = True, closed: bool = False, sent: bool = True, wants: bool = True, owner: str = "w") -> Any:
    writer = SimpleNamespace(closed=closed) if own else None
    return SimpleNamespace(own=writer, sent=sent, outbox=Outbox(wants), manifest=SimpleNamespace(owner=owner))


def sampled(run: Any) -> list[tuple[int, dict[str, float]]]:
    return [] if run.outbox.samples is None else list(run.outbox.samples._waiting)


def test_each_run_that_this_process_sends_gets_one_sample_of_the_same_look():
    first, second = a_run(), a_run()
    looks: list[int] = []

    def read() -> dict[str, float]:
        looks.append(1)
        return {"cpu_percent": float(len(looks))}

    sampling = Sampling(Runs(first, second), 15.0, read, "node7", lambda: 5)
    sampling.round()
    sampling.round()
    assert len(looks) == 2
    assert sampled(first) == sampled(second) == [(5, {"system/cpu_percent": 1.0}), (5, {"system/cpu_percent": 2.0})]


def test_on_another_host_than_the_owners_the_names_have_the_host():
    run = a_run(owner="")
    Sampling(Runs(run), 15.0, lambda: {"cpu_percent": 1.0}, "node7", lambda: 5).round()
    assert sampled(run) == [(5, {"system/node7/cpu_percent": 1.0})]


def test_runs_of_others_ended_ones_and_those_sent_nowhere_are_not_sampled():
    runs = [a_run(own=False), a_run(closed=True), a_run(sent=False), a_run(wants=False)]
    looks: list[int] = []
    sampling = Sampling(Runs(*runs), 15.0, lambda: {"x": float(len(looks))} if looks.append(1) else {}, "node7")
    sampling.round()
    assert looks == []
    assert [sampled(run) for run in runs] == [[], [], [], []]


def test_the_first_look_has_no_rates_and_gives_no_sample():
    run = a_run()
    Sampling(Runs(run), 15.0, dict, "node7").round()
    assert sampled(run) == []


def test_after_a_pause_one_sample_follows_and_no_burst():
    """A computer that was suspended for an hour does not make up for it."""
    run = a_run()
    sampling = Sampling(Runs(run), 15.0, lambda: {"x": 1.0}, "node7", lambda: 5)
    sampling.round()
    assert sampling._loop.wait_s == 15.0
    sampling.round()
    assert sampling._loop.wait_s == 15.0
    assert len(sampled(run)) == 2


def test_where_no_thread_can_be_started_nothing_is_sampled(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")  # as CPython 3.12 does in atexit

    monkeypatch.setattr(threading.Thread, "start", refuse)
    faults: list[object] = []
    Sampling(Runs(a_run()), 15.0, dict, "node7").start(lambda *told: faults.append(told))
    assert faults == []
