"""The agent cannot die silently: whatever is raised in its threads, wherever, is counted and said, and all arrives.

Each method of delivery and journal that the agent's threads call raises once, one after the other.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import pkgutil
import threading
from collections.abc import Callable
from typing import Any

import pytest

import steplog
import steplog.delivery
import steplog.journal
from apart import apart
from end_to_end.fake import FakeServer
from steplog.lifecycle.process import current
from steplog.testing.memory_server import Fault, MemoryServer

DEADLINE_S = 20.0
PARTS = 4
SPARED = {"Agent._fault"}  # it counts the others
THREADS = ("steplog-sender", "steplog-maintenance")  # "steplog-claim" raises where it is waited for


class Bug(Exception):
    """What a bug of ours would raise."""


class Saboteur:
    """Sits in every method; has ``target`` raise at its next call in a thread of the agent's."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.called: dict[str, None] = {}
        self.target: str | None = None
        for package in (steplog.delivery, steplog.journal):
            for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
                self._enter(patch, importlib.import_module(found.name))

    def _enter(self, patch: pytest.MonkeyPatch, module: Any) -> None:
        for _, owner in inspect.getmembers(module, inspect.isclass):
            if owner.__module__ == module.__name__:
                for name, method in list(vars(owner).items()):
                    if inspect.isfunction(method) and not inspect.isgeneratorfunction(method):
                        patch.setattr(owner, name, self._wrapped(method))

    def _wrapped(self, method: Callable[..., Any]) -> Callable[..., Any]:
        name = method.__qualname__

        @functools.wraps(method)
        def call(*arguments: Any, **options: Any) -> Any:
            if threading.current_thread().name.startswith(THREADS):
                self.called.setdefault(name)
                if name == self.target:
                    self.target = None
                    raise Bug(name)
            return method(*arguments, **options)

        return call


def bring_it_all_about(server: FakeServer, name: str) -> steplog.Report:
    """A run that meets failures on the way, and its report."""
    run = steplog.init("me", "demo", name=name, activate=False)
    for number in range(40):
        run.log(f"m{number % 4}", float(number), number)
        run.log("text", {"n": number})
    server.memory.faults.extend([Fault(503), Fault.lost()])
    return run.finish(timeout=DEADLINE_S)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("batch", [True, False])
@apart
def test_wherever_something_is_raised_it_is_counted_said_once_and_everything_arrives(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, batch: bool, part: int
):
    caplog.set_level(logging.ERROR, "steplog")
    server = FakeServer(MemoryServer(batch=batch))
    server.configure(monkeypatch)
    monkeypatch.setenv("STEPLOG_CONNECTIONS_MAX", "2")
    monkeypatch.setattr("steplog.delivery.backoff._ceiling", lambda state: 0.02)
    saboteur = Saboteur(monkeypatch)
    assert bring_it_all_about(server, "first").pending == 0
    threads = {thread.name for thread in threading.enumerate() if thread.name.startswith(THREADS)}
    names = [name for name in saboteur.called if name not in SPARED]
    assert len(names) > 60
    raised = 0
    for name in names[part::PARTS]:
        saboteur.target = name
        report = bring_it_all_about(server, name)
        assert (report.delivered, report.pending) == (80, 0), name
        raised += saboteur.target is None
        saboteur.target = None
    assert raised > len(names[part::PARTS]) / 2
    faults = steplog.init("me", "demo", name="last").finish(timeout=DEADLINE_S).faults
    assert raised / 2 < faults == current().agent.faults
    assert caplog.text.count("a fault in its own thread") == 1
    assert {thread.name for thread in threading.enumerate() if thread.name.startswith(THREADS)} >= threads
