"""Shared memory is removed under running processes, as by RemoveIPC of systemd at logout; then they are killed."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash.episode import Episode
from crash.network import STATES
from server.process import ServerProcess

MENDED_S = 1.5  # a process looks several times a second


class Logout(Episode):
    """Everything in shared memory is removed, two times, and some time later everybody is killed."""

    def run_and_log_out(self, state: str) -> None:
        with self._networked() as network:
            victims = [self._start(network, "log", f"run{index}", None) for index in range(2)]
            for victim in victims:
                assert victim.read(), self._said(victim)
            network.state = state
            for victim in victims:
                victim.go_on()
            for _ in range(2):
                time.sleep(self.source.uniform(0.1, 0.5))
                shutil.rmtree(self._memory / "root", ignore_errors=True)
                time.sleep(MENDED_S)
            for victim in victims:
                victim.end()
            self._recover(network)
            self._compare()
            self.said = [self._said(victim) for victim in victims]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory: Path = tmp_path_factory.mktemp("server")
    with ServerProcess(directory, "--user", "team", "--allow-host", "127.0.0.1") as started:
        yield started


@pytest.mark.slow
@pytest.mark.parametrize("forks", [0.0, 1.0], ids=["alone", "with a forked child"])
@pytest.mark.parametrize("state", STATES)
def test_memory_that_is_removed_while_runs_go_on_is_made_again_and_nothing_is_lost(
    server: ServerProcess, state: str, forks: float
):
    logout = Logout(server, random.Random(), forks=forks)
    logout.run_and_log_out(state)
    assert not logout.outcome.wrong
    assert sum(verdict.returned for verdict in logout.outcome.verdicts) > 2000
    for said in logout.said:
        assert said.count("shared memory was removed from") <= (1 if forks == 0 else 2), said
