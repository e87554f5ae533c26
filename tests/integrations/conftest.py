"""A server for all tests of this folder, and for each of them a machine that knows it; no framework is imported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end.oracle import Oracle
from end_to_end.programs import Host
from server.process import ServerProcess


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team") as started:
        yield started


@pytest.fixture
def host(tmp_path: Path, server: ServerProcess) -> Host:
    return Host(tmp_path, server)


@pytest.fixture
def held(host: Host, monkeypatch: pytest.MonkeyPatch) -> Oracle:
    """What the server holds that this process is configured for."""
    return host.configure(monkeypatch)
