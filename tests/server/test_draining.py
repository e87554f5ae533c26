"""SIGTERM with ``--drain``: not ready, served on for a while, then stopped."""

from __future__ import annotations

import signal
import time

import pytest
import requests

from polling import wait_until
from server.batches import range_of
from server.process import DEADLINE_S, ServerProcess
from steplog.server.draining import Draining


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_draining_ends_after_its_time_and_at_a_second_signal_at_once():
    clock = Clock()
    draining = Draining(10, clock)
    assert (draining.is_on, draining.is_over) == (False, False)
    assert draining.begin()
    assert (draining.is_on, draining.is_over) == (True, False)
    assert not draining.begin(), "the second signal is not to wait for"
    clock.now += 9.9
    assert not draining.is_over
    clock.now += 0.1
    assert draining.is_over
    assert not Draining(0, clock).begin()


def ready(server: ServerProcess) -> requests.Response:
    return requests.get(f"{server.url}/readyz", timeout=DEADLINE_S)


@pytest.mark.slow
def test_a_drained_server_takes_what_comes_meanwhile_and_then_exits_0(tmp_path):
    with ServerProcess(tmp_path, "--drain", "2") as server:
        run = server.new_run()
        before = server.send(run, range_of([("loss", 1.0)]))
        assert "Connection" not in before.headers
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: ready(server).status_code == 503)
        assert ready(server).json() == {"ready": False, "reasons": ["the server is stopping"]}
        sent = server.send(run, range_of([("loss", 2.0)], first=1))
        assert (sent.status_code, sent.headers["Connection"]) == (200, "close")
        _, said = server.process.communicate(timeout=DEADLINE_S)
        assert (server.process.returncode, said) == (0, "")
        assert time.monotonic() - began > 1.5
        server.start()
        assert [each["value"] for each in server.ask("GET", f"{run}metrics/").json()] == [1.0, 2.0]
        assert server.end() == (0, "")


@pytest.mark.slow  # three servers; a second signal is tried without one above
def test_a_second_signal_and_ctrl_c_end_draining_at_once(tmp_path):
    for second in (signal.SIGTERM, signal.SIGINT):
        with ServerProcess(tmp_path, "--drain", "3600") as server:
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda server=server: ready(server).status_code == 503)
            assert server.end(second) == (0, "")
    with ServerProcess(tmp_path, "--drain", "3600") as server:
        assert server.end(signal.SIGINT) == (0, "")
