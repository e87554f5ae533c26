"""Runs of this process that are kept on this machine, and read there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import steplog
import steplog.client
import steplog.lifecycle.attach
import steplog.lifecycle.init
import steplog.lifecycle.recovery
import steplog.reading.open_run
import steplog.reading.runs  # all of these here, once, since tests that run apart would each do it


class Offline:
    """A machine without a server, whose current directory is a new one."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.work = directory / "work"
        self.work.mkdir()
        monkeypatch.setenv("STEPLOG_DIR", str(directory / "state"))
        monkeypatch.setenv("STEPLOG_MODE", "offline")
        monkeypatch.setenv("STEPLOG_QUIET", "1")
        monkeypatch.chdir(self.work)

    def runs(self) -> list[str]:
        """Projects and names of all runs, as they were begun."""
        return [f"{run.project}/{run.name}" for run in steplog.journals()]

    def points(self, run: str, name: str) -> list[tuple[int, Any]]:
        """Steps and values of a metric, in the order of their arrival."""
        rows = steplog.open(run).history([name], form="long").rows()
        return [(row["step"], row["value"] if row["json"] is None else row["json"]) for row in rows]

    def names(self, run: str) -> list[str]:
        """Of the run's metrics."""
        return sorted(row["name"] for row in steplog.open(run).series())

    def status(self, run: str) -> str:
        return steplog.open(run).status.value
