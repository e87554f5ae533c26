"""The examples as a user runs them: beside a server, through the module of wandb's name or with the real wandb."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.process import SOURCES, ServerProcess

EXAMPLES = Path(__file__).parents[2] / "examples"
THROUGH_STEPLOG = ("-m", "steplog.compat", "--replace", "wandb")
DEADLINE_S = 240.0
READS = """
import json, sys
import steplog
runs = []
for row in sorted(steplog.runs(sys.argv[1]), key=lambda row: row["started"]):
    run = steplog.open(row["uuid"])
    points = {}
    for point in run.history(form="long"):
        value = point["value"] if point["json"] is None else point["json"]
        points.setdefault(point["name"], []).append((point["step"], value))
    about = {"id": row["uuid"], "name": run.name, "status": run.status.value, "tags": run.tags, "group": run.group}
    runs.append({**about, "config": dict(run.config), "points": points})
print(json.dumps(runs))
"""


@dataclass
class Kept:
    """A run, as it is read again: its points are steps and values by name."""

    id: str
    name: str
    status: str
    tags: list[str]
    group: str | None
    config: dict[str, Any]
    points: dict[str, list[tuple[int, Any]]] = field(repr=False)

    def series(self, name: str) -> list[tuple[int, Any]]:
        return [(step, value) for step, value in self.points[name]]


class Place:
    """A directory with a server in it, which a program finds that has configured nothing."""

    def __init__(self, directory: Path, server: ServerProcess) -> None:
        self.directory = directory
        own = {"STEPLOG_DIR": str(server.directory), "OMP_NUM_THREADS": "1", "WANDB_SILENT": "true"}
        self._environment = os.environ | own | {"PYTHONPATH": os.pathsep.join((str(SOURCES), *sys.path[1:]))}

    def run(self, *command: str, **variables: str) -> str:
        """What a command of Python prints."""
        done = subprocess.run(
            [sys.executable, *command],
            env=self._environment | variables,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def example(self, name: str, *arguments: str) -> str:
        """What an example prints that logs with steplog."""
        return self.run(*THROUGH_STEPLOG, str(EXAMPLES / name), *arguments)

    def runs(self, project: str) -> list[Kept]:
        """The project's runs, the first one first."""
        return [Kept(**made) for made in json.loads(self.run("-c", READS, project))]


@contextmanager
def place(directory: Path) -> Iterator[Place]:
    (directory / "state").mkdir()
    with ServerProcess(directory / "state", "--user", "me") as server:
        yield Place(directory, server)
