"""Dashboards that show the same runs in a browser: ours, TensorBoard's and trackio's, each filled and served.

A ``Dashboard`` is filled once, with the same values, and is then served by its own program on loopback. ``script`` runs
in its page before all else: it shows all runs where a dashboard begins with fewer.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.environments import installed
from benchmarks.stage import KEY, ROOT, Stage, end_process
from steplog import instance
from steplog.formats.tfevents.encoding import float_events, framed, version_event

sys.path.insert(0, str(ROOT / "tests"))

from page.looking import Live, curve, metric_names
from page.looking import project as new_project
from server.process import ServerProcess

__all__ = ["DASHBOARDS", "Dashboard", "Size", "curves_of", "free_port"]

READY_S = 180.0
BEGAN_S = 1_700_000_000.0
SELECT_ALL = """
const found = () => [...document.querySelectorAll("runs-data-table input[type=checkbox], tb-data-table-header-cell " +
  "input[type=checkbox], runs-table input[type=checkbox], runs-data-table mat-checkbox input")][0];
const timer = setInterval(() => {
  const box = found();
  if (!box) return;
  if (!box.checked) box.click();
  clearInterval(timer);
}, 10);
"""


@dataclass(frozen=True)
class Size:
    """How much there is to show."""

    runs: int
    metrics: int
    steps: int

    def __str__(self) -> str:
        return f"{self.runs} runs × {self.metrics} metrics × {self.steps:,} steps"


def curves_of(size: Size, run: int) -> dict[str, Any]:
    """The values of a run: float32, which all three keep as they are."""
    return {
        name: curve(run * 100 + at, size.steps).astype("float32").astype(float)
        for at, name in enumerate(metric_names(size.metrics))
    }


@dataclass(frozen=True)
class Dashboard:
    """``requirement``: what to install, None for ours. ``serve`` yields the URL, once all is there to be shown."""

    serve: Callable[[Stage, Size, str], contextlib.AbstractContextManager[str]]
    requirement: str | None = None
    script: str = ""

    def python(self, stage: Stage, name: str) -> str:
        """Its interpreter. Raises RuntimeError where it is not installed."""
        if self.requirement is None:
            return sys.executable
        return installed(stage.peers, name, self.requirement, install=False)


@contextlib.contextmanager
def _steplog(stage: Stage, size: Size, _python: str) -> Iterator[str]:
    directory = stage.new_directory()
    with ServerProcess(directory, key=KEY) as server:
        place = new_project(server, "page load")
        for number in range(size.runs):
            run = Live(server, place, name=f"run-{number:02}", config={"lr": 0.1 / (1 + number)})
            run.log_curves(curves_of(size, number))
            run.end()
        state = instance.read(server.state)
        assert state is not None
        at, _, token = instance.page_url(state, place).partition("#")
        yield f"{at}?first={size.runs}#{token}"


@contextlib.contextmanager
def _tensorboard(stage: Stage, size: Size, python: str) -> Iterator[str]:
    logs = stage.new_directory()
    for number in range(size.runs):
        folder = logs / f"run-{number:02}"
        folder.mkdir()
        steps, walls = range(size.steps), [BEGAN_S + step for step in range(size.steps)]
        curves = curves_of(size, number)
        series = [float_events(name, steps, walls, values.tolist()) for name, values in curves.items()]
        events = [version_event(BEGAN_S), *(event for step in zip(*series, strict=True) for event in step)]
        with open(folder / f"events.out.tfevents.{int(BEGAN_S)}.host.1.0", "wb") as file:
            file.writelines(framed(events[begin : begin + 8192]) for begin in range(0, len(events), 8192))
    command = [
        python,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(logs),
        "--port",
        "0",
        "--host",
        "127.0.0.1",
        "--reload_interval",
        "0",
    ]
    with _process(stage, command, r"(http://127\.0\.0\.1:\d+)/") as url:
        tags = f"{url}/data/plugin/scalars/tags"
        _wait(lambda: (said := json.loads(_read(tags))) and _tags_complete(said, size))
        yield f"{url}/?darkMode=false#timeseries"


def _tags_complete(said: dict[str, Any], size: Size) -> bool:
    return len(said) == size.runs and all(len(tags) == size.metrics for tags in said.values())


FILL_TRACKIO = """
import json, sys
from trackio.sqlite_storage import SQLiteStorage
for line in sys.stdin:
    told = json.loads(line)
    steps = list(range(told["steps"]))
    columns = list(told["curves"].items())
    values = [{name: held[step] for name, held in columns} for step in steps]
    SQLiteStorage.bulk_log("page-load", told["run"], values, steps=steps, config={"lr": 0.1})
"""
SERVE_TRACKIO = "import trackio; trackio.show(project='page-load', open_browser=False, server_port={port})"


@contextlib.contextmanager
def _trackio(stage: Stage, size: Size, python: str) -> Iterator[str]:
    environment = stage.environment() | {"TRACKIO_DIR": str(stage.new_directory()), "HF_HUB_OFFLINE": "1"}
    del environment["PYTHONPATH"]
    filling = subprocess.Popen([python, "-c", FILL_TRACKIO], stdin=subprocess.PIPE, text=True, env=environment)
    assert filling.stdin is not None
    for number in range(size.runs):
        curves = {name: values.tolist() for name, values in curves_of(size, number).items()}
        filling.stdin.write(json.dumps({"run": f"run-{number:02}", "steps": size.steps, "curves": curves}) + "\n")
    filling.stdin.close()
    if filling.wait(READY_S):
        raise RuntimeError("trackio does not take the runs")
    command = [python, "-u", "-c", SERVE_TRACKIO.format(port=free_port())]
    with _process(stage, command, r"(http://\S+?)/?\x1b", environment) as url:
        yield url


@contextlib.contextmanager
def _process(
    stage: Stage, command: list[str], pattern: str, environment: dict[str, str] | None = None
) -> Iterator[str]:
    """A server that prints its URL."""
    if environment is None:
        environment = stage.environment()
        del environment["PYTHONPATH"]
    said = stage.new_directory() / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment)
    try:

        def url() -> str | None:
            if process.poll() is not None:
                raise RuntimeError(f"{command[1:3]} ended: {said.read_text('utf-8', 'replace')[-300:]}")
            found = re.search(pattern, said.read_text("utf-8", "replace"))
            return found[1] if found else None

        yield _wait(url)
    finally:
        end_process(process)


def _wait(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if value := found():
                return value
        time.sleep(0.2)
    raise RuntimeError("it does not come to serve what it was given")


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        body: bytes = answer.read()
    return body


def free_port() -> int:
    """A port that nobody listens on now."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


DASHBOARDS = {
    "steplog": Dashboard(_steplog),
    "tensorboard": Dashboard(_tensorboard, "tensorboard==2.21.0", SELECT_ALL),
    "trackio": Dashboard(_trackio, "trackio==0.43.0"),
}
