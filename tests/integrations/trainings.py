"""Trainings with real frameworks, each in a process of its own, on a CPU, with models made here."""

from __future__ import annotations

import importlib.util
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import scratch
from end_to_end.programs import Done, Host, ended
from server.process import ServerProcess

DEADLINE_S = 600.0
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python")
PRELUDE = """\
import os, sys, warnings
warnings.simplefilter("ignore")  # frameworks warn of much
import torch
import steplog
torch.set_num_threads(1)
torch.manual_seed(0)
PROJECT = os.environ["PROJECT"]
"""
OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": ""}


def needs(*frameworks: str) -> pytest.MarkDecorator:
    """Skips where one of them is not installed; imports none."""
    missing = [name for name in frameworks if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}: pip install 'steplog[frameworks]'")


class Trainings(Host):
    """A machine that trains, with shared memory of its own: also for a fixture that outlives a test."""

    def __init__(self, directory: Path, server: ServerProcess) -> None:
        super().__init__(directory, server)
        self._asked = server
        self.memory = scratch.make("test", scratch.SHARED)
        given = {"STEPLOG_MEMORY_DIR": str(self.memory), "HOME": str(directory), "MPLCONFIGDIR": str(directory)}
        self.environment |= OFFLINE | given

    def train(self, source: str, *arguments: str, under: tuple[str, ...] = (), **variables: str) -> Done:
        """Run a training to its end."""
        started = self.start(self.write(source, PRELUDE), *arguments, under=under, **variables)
        return ended(started, deadline_s=DEADLINE_S)

    def interrupt(self, source: str, number: signal.Signals) -> Done:
        """Run a training until it prints a line, and send it a signal."""
        started = self.start(self.write(source, PRELUDE))
        assert started.stdout is not None
        while (line := started.stdout.readline()) and line != "now\n":
            pass
        started.send_signal(number)
        return ended(started, deadline_s=DEADLINE_S)

    def told(self, name: str) -> dict[str, Any]:
        """What the server tells of the one run of this name."""
        return self._asked.ask("GET", f"/team/projects/{self.project}/runs/{self.server.run(name).uuid}/").json()

    def points(self, name: str) -> dict[str, list[tuple[int, Any]]]:
        """The steps and values of each metric of a run, without what steplog itself logs."""
        found: dict[str, list[tuple[int, Any]]] = {}
        for metric, value, step in self.server.metrics(name):
            if not metric.startswith(("steplog/", "system/")):
                found.setdefault(metric, []).append((step, value))
        return found


def trainings(factory: pytest.TempPathFactory, server: ServerProcess) -> Iterator[Trainings]:
    """For a fixture."""
    host = Trainings(factory.mktemp("host"), server)
    yield host
    scratch.remove(host.memory)
