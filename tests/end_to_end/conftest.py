"""A server for all tests of this folder, and for each of them a machine that knows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end.programs import Host, no_programs_left
from server.process import ServerProcess


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team", "--allow-host", "127.0.0.1") as started:
        yield started


@pytest.fixture(autouse=True)
def _no_program_is_left() -> Iterator[None]:
    with no_programs_left():
        yield


@pytest.fixture
def host(tmp_path: Path, server: ServerProcess) -> Host:
    return Host(tmp_path, server)
