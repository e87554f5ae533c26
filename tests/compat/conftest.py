"""A server for the tests of this folder, and a process that is configured for it, with a project of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end.programs import Host
from server.process import ServerProcess


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team") as started:
        yield started


@pytest.fixture
def host(tmp_path: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> Host:
    """This process and its programs log to the server; no variable of MLflow or trackio is set."""
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "TRACKIO_"))]:
        monkeypatch.delenv(name)
    host = Host(tmp_path, server)
    host.environment["MLFLOW_EXPERIMENT_NAME"] = host.project
    host.configure(monkeypatch)
    return host
