"""The clients of the load benchmarks send what they say, and count only what was acknowledged."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from benchmarks.clients import cpu_s, new_runs, send

from server.process import KEY, ServerProcess

PROJECT = ("team", "load")


@pytest.fixture
def server(tmp_path):
    with ServerProcess(tmp_path) as started:
        yield started


def test_all_that_clients_count_is_stored(server):
    runs = new_runs([server.url], KEY, 3, PROJECT)
    told = send([server.url], KEY, runs, names=5, records=20, requests=4, interval_s=0.0)
    assert (told["requests"], told["records"], told["again"]) == (12, 240, 0)
    assert 0 < told["p50"] <= told["p99"] <= told["max"] < told["seconds"]
    for run in runs:
        listed = server.ask("GET", f"{run.removeprefix('/api/v0')}metrics/").json()
        assert [entry["step"] for entry in listed] == [at // 5 for at in range(80)]


def test_paced_clients_send_no_sooner_than_the_clock_says(server):
    runs = new_runs([server.url], KEY, 2, PROJECT)
    told = send([server.url], KEY, runs, names=1, records=1, requests=3, interval_s=0.1)
    assert told["requests"] == 6
    assert told["seconds"] >= 0.25  # the second client begins half an interval later


def test_clients_stop_when_their_time_is_over(server):
    runs = new_runs([server.url], KEY, 2, PROJECT)
    told = send([server.url], KEY, runs, names=1, records=1, requests=1000, interval_s=0.1, seconds=0.33)
    assert 2 <= told["requests"] <= 7  # at 0, 0.1, 0.2 and 0.3 s, and at 0.05, 0.15 and 0.25 s


def test_the_cpu_of_a_process_has_that_of_its_children():
    """PostgreSQL's backends are children, some of which have ended."""
    burn = "import sys, time\nwhile time.process_time() < 0.25: pass"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); print(); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert cpu_s(parent.pid) >= 0.2  # the kernel counts in ticks of 10 ms
