"""What the adapters' tests look at: runs that are kept on this machine, for which no server is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import steplog

__all__ = ["fields", "keep_offline", "opened", "points", "values"]


def keep_offline(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Runs of this process, and of those that it starts, stay here."""
    for name, value in {"MODE": "offline", "DIR": str(directory), "QUIET": "1", "PROVENANCE": "0"}.items():
        monkeypatch.setenv(f"STEPLOG_{name}", value)


def fields(project: str, *columns: str) -> dict[str, tuple[Any, ...]]:
    """Of each run of a project by its name: these columns, without any the status."""
    wanted = columns or ("status",)
    table = steplog.runs(project, columns=["name", *wanted])
    return {row["name"]: tuple(row[column] for column in wanted) for row in table}


def opened(project: str, name: str) -> steplog.ReadOnlyRun:
    """A run to read."""
    return steplog.open(next(row["uuid"] for row in steplog.runs(project, columns=["name"]) if row["name"] == name))


def points(run: steplog.ReadOnlyRun, metric: str) -> list[tuple[int, Any]]:
    """Of each value its step, and the value."""
    rows = run.history([metric], form="long")
    return [(row["step"], row["json"] if row["value"] is None else row["value"]) for row in rows]


def values(run: steplog.ReadOnlyRun, metric: str) -> list[Any]:
    """Without steps."""
    return [value for _, value in points(run, metric)]
