"""System metrics by psutil: one that is made up, and, where it is installed, the real one beside ``/proc``."""

from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import pytest

from polling import wait_until
from steplog.machine.other_system import OtherSystemReader, installed
from steplog.machine.system import METRICS

Times = namedtuple("Times", "user system idle")


class FakeProcess:
    def __init__(self, psutil: FakeModule, pid: int, *children: FakeProcess) -> None:
        self.psutil, self.pid, self.below = psutil, pid, list(children)
        self.gone = False

    def children(self, recursive: bool) -> list[FakeProcess]:
        assert recursive
        return self.below

    def create_time(self) -> float:
        return 1.0

    def cpu_times(self) -> Any:
        if self.gone:
            raise self.psutil.Error
        return SimpleNamespace(user=self.psutil.now / 2, system=self.psutil.now / 4)

    def memory_info(self) -> Any:
        return SimpleNamespace(rss=100 * self.pid)


class FakeModule:
    """Half of the time is idle; each counter grows by 10 a second."""

    class Error(Exception):
        pass

    def __init__(self) -> None:
        self.now = 100.0
        self.child = FakeProcess(self, 2)
        self.process = FakeProcess(self, 1, self.child)

    def Process(self) -> FakeProcess:  # noqa: N802 - psutil's name
        return self.process

    def virtual_memory(self) -> Any:
        return SimpleNamespace(total=1000, available=250)

    def cpu_times(self) -> Times:
        return Times(self.now, self.now, 2 * self.now)

    def disk_io_counters(self) -> Any:
        return SimpleNamespace(read_bytes=10 * self.now, write_bytes=20 * self.now)

    def net_io_counters(self, pernic: bool) -> Any:
        counts = SimpleNamespace(bytes_recv=30 * self.now, bytes_sent=40 * self.now)
        return {"en0": counts, "lo0": counts}


def test_the_same_names_come_as_from_proc_where_nothing_limits():
    psutil = FakeModule()
    reader = OtherSystemReader(psutil, lambda: psutil.now)
    assert reader.metrics() == {}
    psutil.now += 10
    found = reader.metrics()
    assert found == {
        "memory_bytes": 750,
        "memory_percent": 75,
        "cpu_percent": 50,
        "process.cpu_percent": 150,
        "process.memory_bytes": 300,
        "disk.read_bytes_per_s": 10,
        "disk.written_bytes_per_s": 20,
        "network.received_bytes_per_s": 30,
        "network.sent_bytes_per_s": 40,
    }
    assert set(found) == {name for name in METRICS if not name.startswith("host.")}


def test_a_child_that_has_ended_and_a_system_without_disks_are_left_out():
    psutil = FakeModule()
    reader = OtherSystemReader(psutil, lambda: psutil.now)
    reader.metrics()
    psutil.now += 10
    psutil.child.gone = True
    psutil.disk_io_counters = lambda: None
    found = reader.metrics()
    assert found["process.memory_bytes"] == 100
    assert "disk.read_bytes_per_s" not in found


def test_the_real_psutil_is_read():
    psutil = installed()
    if psutil is None:
        pytest.skip("psutil is not installed")
    reader = OtherSystemReader(psutil)
    found: dict[str, float] = {}
    wait_until(lambda: found.update(reader.metrics()) or found.get("process.cpu_percent", 0) > 1)
    assert set(found) <= set(METRICS)
    assert 0 < found["memory_percent"] < 100
