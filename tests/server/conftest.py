"""A server a test file, a run a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("state")) as started:
        yield started
        assert started.end() == (0, ""), "the server has complained"


@pytest.fixture
def run(server: ServerProcess) -> str:
    return server.new_run()
