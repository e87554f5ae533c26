"""A real server with some runs on it, and the command line that is asked about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from server.process import KEY, ServerProcess
from steplog.cli import main

COMMAND = Callable[..., Result]
EVIL = "loss\x1b]0;owned\x07\x1b[2J\u202e"  # a title, a cleared screen, and text that runs backwards


def named_run(server: ServerProcess, project: str, name: str) -> str:
    """The path of a new run of this name, in a project that is made where missing."""
    server.ask("POST", "/me/projects/", json={"display_name": project, "visibility": "TEAM"})
    made = server.ask("POST", f"/me/projects/{project}/runs/", json={"name": name})
    assert made.status_code == 201, made.text
    return f"/me/projects/{project}/runs/{made.json()['uuid']}/"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with two projects: ``mnist`` with a finished run of some metrics, and an empty run of an evil name."""
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "me") as server:
        path = named_run(server, "mnist", "first")
        for name, value in (("steplog/config", {"lr": 0.3, "layers": [64, 10]}), ("note", "rather good"), (EVIL, "x")):
            server.ask("POST", f"{path}metrics/", json={"name": name, "value": value})
        for step in range(100):
            server.ask("POST", f"{path}metrics/", json={"name": "loss", "value": (100 - step) / 100, "step": step})
        server.ask("PATCH", path, json={"status": "COMPLETED"})
        named_run(server, "cifar", EVIL)
        yield server


@pytest.fixture
def steplog(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> COMMAND:
    """The command line, in this process; ``url`` and ``key`` are the settings, if any."""
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path))

    def call(*arguments: str, url: str | None = None, key: str | None = KEY, typed: str = "") -> Result:
        for name, value in (("STEPLOG_URL", url), ("STEPLOG_API_KEY", key if url else None)):
            monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
        return CliRunner().invoke(main, arguments, input=typed)

    return call
