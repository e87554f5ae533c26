"""A disk that stalls: nobody waits for it beyond his deadline, and nothing that can be done without it stops.

Only the operations of ``Files`` stall here, from when ``stall`` is called until ``go_on``.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

import steplog
from apart import apart
from end_to_end.oracle import Oracle
from end_to_end.programs import Host
from polling import wait_until
from steplog.journal import manifest as manifests
from steplog.journal.manifest import Manifest
from steplog.journal.spooling import Disk
from steplog.lifecycle.process import current
from steplog.run import Run
from steplog.testing.failing_files import FailingFiles

DEADLINE_S = 20.0
SPARE_S = 0.5


class StallingDisk:
    """A disk that can be told to stall; ``stalled`` is set while somebody waits for it."""

    def __init__(self) -> None:
        self._runs = threading.Event()
        self._runs.set()
        self.stalled = threading.Event()

    def stall(self) -> None:
        self._runs.clear()

    def go_on(self) -> None:
        self._runs.set()

    def __call__(self, operation: str) -> None:
        if not self._runs.is_set():
            self.stalled.set()
            self._runs.wait()


@pytest.fixture
def held(host: Host, monkeypatch: pytest.MonkeyPatch) -> Oracle:
    return host.configure(monkeypatch)


def begun(host: Host) -> tuple[Run, StallingDisk]:
    """A run of this process, on a disk that stalls from now on."""
    disk = StallingDisk()
    process = current()
    process.disk = Disk(1 << 30, FailingFiles(disk))
    run = steplog.init("team", host.project, "run")
    run.log("loss", 0.0)
    assert run.flush(timeout=DEADLINE_S)
    wait_until(lambda: run.uuid in "".join(host.manifests()))
    disk.stall()
    return run, disk


@contextmanager
def silence(host: Host) -> Iterator[None]:
    """The server answers nothing; ``Host.silence`` is for its parent, which a test apart is not."""
    assert host.process is not None
    os.kill(host.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(host.process.pid, signal.SIGCONT)


def on_disk(host: Host) -> Manifest:
    (path,) = host.state.glob("*/manifest")
    found = manifests.load(path.parent)
    assert found is not None
    return found


@apart
def test_records_and_status_are_delivered_while_the_disk_stalls_and_finish_returns(host: Host, held: Oracle):
    run, _ = begun(host)
    for number in range(1, 100):
        run.log("loss", float(number))
    began = time.monotonic()
    report = run.finish(timeout=1.0)
    assert time.monotonic() - began < 1.0 + SPARE_S
    assert (report.delivered, report.pending) == (100, 0)
    assert held.values("run", "loss") == [float(number) for number in range(100)]
    assert held.run("run").status == "COMPLETED"


@pytest.mark.slow
@apart
def test_finish_keeps_its_deadline_on_a_stalled_disk_that_gets_the_status_later(host: Host, held: Oracle):
    run, disk = begun(host)
    with silence(host):
        run.log("loss", 1.0)
        assert disk.stalled.wait(DEADLINE_S)  # in the middle of a frame
        began = time.monotonic()
        run.stats()
        assert time.monotonic() - began < SPARE_S
        report = run.finish(timeout=1.0, status="FAILED")
        assert time.monotonic() - began < 1.0 + 2 * SPARE_S
        assert report.pending == 1
        began = time.monotonic()
        run.stats()
        assert time.monotonic() - began < SPARE_S
        disk.go_on()
        wait_until(lambda: on_disk(host).status == "FAILED")
    held.wait_for("run", "FAILED")
    assert held.values("run", "loss") == [0.0, 1.0]


@apart
def test_while_one_manifest_waits_for_the_disk_another_run_is_delivered_and_counted(host: Host, held: Oracle):
    run, disk = begun(host)
    disk.go_on()
    other = steplog.init("team", host.project, "other", activate=False)
    other.log("loss", 0.0)
    assert other.flush(timeout=DEADLINE_S)
    wait_until(lambda: other.uuid in "".join(host.manifests()))
    disk.stall()
    with silence(host):
        run.finish(timeout=0.1)
        assert disk.stalled.wait(DEADLINE_S)
    began = time.monotonic()
    other.log("loss", 1.0)
    assert other.flush(timeout=DEADLINE_S)
    assert other.stats().delivered == 2
    assert time.monotonic() - began < DEADLINE_S / 2


@apart
def test_without_shared_memory_the_status_is_sent_once_the_disk_has_it(
    host: Host, held: Oracle, monkeypatch: pytest.MonkeyPatch
):
    """Else a kill in between would have the next process send CRASHED in its place."""
    monkeypatch.setenv("STEPLOG_MEMORY_DIR", str(Path("/nowhere/steplog")))
    run, disk = begun(host)
    run.log("loss", 1.0)
    began = time.monotonic()
    report = run.finish(timeout=1.0)
    assert time.monotonic() - began < 1.0 + SPARE_S
    assert report.pending == 0
    assert held.run("run").status == "RUNNING"
    assert on_disk(host).status is None
    disk.go_on()
    held.wait_for("run", "COMPLETED")


@apart
def test_a_manifest_that_was_owed_is_whole_json_on_disk_after_the_stall(host: Host, held: Oracle):
    run, disk = begun(host)
    with silence(host):
        run.log("loss", 1.0)
        run.finish(timeout=0.2)
        disk.go_on()
        wait_until(lambda: on_disk(host).status == "COMPLETED")
        (text,) = host.manifests()
        assert msgspec.json.decode(text, type=Manifest) == on_disk(host)
