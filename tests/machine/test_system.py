"""Load and memory as ``/proc`` and control groups tell them: made-up ones, and this machine's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from polling import wait_until
from steplog.machine.system import METRICS, SystemReader, host_name, is_known_here

pytestmark = pytest.mark.skipif(not is_known_here(), reason="there is no /proc here")
GIB = 1024**3


class Machine:
    """A made-up ``/proc`` and mount of control groups, with one process, 7, that may use all of four processors."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.proc, self.groups = directory / "proc", directory / "cgroup"
        self.now = 100.0
        self.affinity = {0, 1, 2, 3}
        monkeypatch.setattr("steplog.machine.system._affinity", lambda pid: self.affinity)
        self.write(self.proc / "self" / "cgroup", "0::/\n")
        self.write(self.proc / "meminfo", f"MemTotal: {16 * GIB // 1024} kB\nMemAvailable: {12 * GIB // 1024} kB\n")
        self.ticks([0, 0, 0, 0], [0, 0, 0, 0])
        self.process(7, 0, 0)

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def group(self, name: str, **values: str) -> None:
        for file, text in values.items():
            self.write(self.groups / name / file.replace("_", ".", 1), text)

    def ticks(self, busy: list[int], idle: list[int]) -> None:
        rows = [f"cpu{number} {b} 0 0 {i} 0 0 0 0 0 0" for number, (b, i) in enumerate(zip(busy, idle, strict=True))]
        self.write(self.proc / "stat", "\n".join([f"cpu  {sum(busy)} 0 0 {sum(idle)} 0 0 0 0 0 0", *rows, "intr 1\n"]))

    def process(self, pid: int, ticks: int, pages: int, children: str = "", started: int = 1) -> None:
        fields = ["0"] * 50
        fields[11], fields[12], fields[19], fields[21] = str(ticks), "0", str(started), str(pages)
        self.write(self.proc / str(pid) / "stat", f"{pid} (a name) with ) in it) {' '.join(fields)}\n")
        self.write(self.proc / str(pid) / "task" / str(pid) / "children", children)

    def reader(self) -> SystemReader:
        reader = SystemReader(str(self.proc), str(self.groups), 7, lambda: self.now)
        reader._ticks, reader._page_bytes = 100, 4096
        assert reader.metrics() == {}  # a rate needs two looks
        return reader


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_without_limits_the_host_is_shown(machine):
    reader = machine.reader()
    machine.now += 10
    machine.ticks([1000, 0, 0, 0], [0, 1000, 1000, 1000])
    found = reader.metrics()
    assert found["cpu_percent"] == 25
    assert found["memory_bytes"] == 4 * GIB
    assert found["memory_percent"] == 25
    assert not [name for name in found if name.startswith("host.")]


def test_of_some_processors_those_are_shown_and_the_host_beside_them(machine):
    machine.affinity = {0, 1}
    reader = machine.reader()
    machine.now += 10
    machine.ticks([1000, 0, 0, 0], [0, 1000, 1000, 1000])
    found = reader.metrics()
    assert (found["cpu_percent"], found["host.cpu_percent"]) == (50, 25)


def test_a_quota_and_a_limit_of_a_group_above_count_and_so_does_what_that_group_uses(machine):
    machine.write(machine.proc / "self" / "cgroup", "0::/job/step\n")
    machine.group("job/step", cpu_max="max 100000\n", memory_max="max\n", memory_current="1\n")
    machine.group(
        "job",
        cpu_max="200000 100000\n",
        cpu_stat="usage_usec 0\n",
        memory_max=f"{8 * GIB}\n",
        memory_current=f"{3 * GIB}\n",
        memory_stat=f"anon 5\ninactive_file {GIB}\n",
    )
    reader = machine.reader()
    machine.now += 10
    machine.write(machine.proc / "diskstats", "8 0 sda 1 0 1 0 1 0 1 0 0 0 0")
    machine.write(machine.proc / "7" / "net" / "dev", "Inter-|\n face |\n eth0: 1 0 0 0 0 0 0 0 1")
    reader.metrics()
    machine.now += 10
    machine.group("job", cpu_stat="usage_usec 5000000\n")  # half a processor, of two
    machine.ticks([4000, 0, 0, 0], [0, 4000, 4000, 4000])
    found = reader.metrics()
    assert set(found) == set(METRICS)
    assert (found["cpu_percent"], found["host.cpu_percent"]) == (25, 25)
    assert (found["memory_bytes"], found["memory_percent"], found["host.memory_percent"]) == (2 * GIB, 25, 25)


def test_the_container_that_sees_its_own_group_as_the_root_has_its_limits(machine):
    machine.write(machine.proc / "self" / "cgroup", "0::/docker/of-the-host\n")  # not below this mount
    machine.group("", memory_max=f"{GIB}\n", memory_current=f"{GIB // 2}\n")
    reader = machine.reader()
    machine.now += 1
    assert reader.metrics()["memory_percent"] == 50


def test_limits_of_version_1_count(machine):
    machine.write(machine.proc / "self" / "cgroup", "4:memory:/job\n3:cpu,cpuacct:/job\n0::/\n")
    machine.group(
        "memory/job",
        memory_limit_in_bytes=f"{2 * GIB}\n",
        memory_usage_in_bytes=f"{GIB}\n",
        memory_stat="",
    )
    machine.group("cpu/job", cpu_cfs_quota_us="100000\n", cpu_cfs_period_us="100000\n")
    machine.group("cpuacct/job", cpuacct_usage="0\n")
    reader = machine.reader()
    machine.now += 10
    machine.group("cpuacct/job", cpuacct_usage="5000000000\n")
    machine.ticks([0, 0, 0, 0], [1000, 1000, 1000, 1000])
    found = reader.metrics()
    assert (found["memory_percent"], found["cpu_percent"]) == (50, 50)


@pytest.mark.parametrize("limit", ["max", "9223372036854771712", str(64 * GIB), "", "nonsense", "-1"])
def test_a_limit_beyond_the_host_is_none(machine, limit):
    machine.group("", memory_max=f"{limit}\n", memory_current="1\n")
    reader = machine.reader()
    machine.now += 1
    assert reader.metrics()["memory_bytes"] == 4 * GIB


def test_a_process_and_all_below_it_are_counted_those_that_came_and_went_as_well(machine):
    machine.process(7, 100, 10, children="8 9 ")
    machine.process(8, 1000, 20, children="10")
    machine.process(9, 500, 5)
    machine.process(10, 0, 1)
    machine.process(11, 9999, 999)  # another's
    reader = machine.reader()
    machine.now += 10
    machine.process(7, 200, 10, children="8 9 12")
    machine.process(8, 1300, 20, children="10")
    machine.process(9, 100, 7, started=2)  # another process with that number
    (machine.proc / "10" / "stat").unlink()
    machine.process(12, 50, 1)
    found = reader.metrics()
    assert found["process.cpu_percent"] == 100 * (1.0 + 3.0 + 1.0 + 0.5) / 10
    assert found["process.memory_bytes"] == (10 + 20 + 7 + 1) * 4096


def test_disks_are_counted_once_and_virtual_interfaces_not(machine):
    def grow(factor: int) -> None:
        disks = [("sda", 1), ("sda1", 1), ("nvme0n1", 2), ("nvme0n1p1", 2), ("dm-0", 4), ("loop0", 8)]
        rows = [f"8 0 {name} 1 0 {n * factor} 0 1 0 {2 * n * factor} 0 0 0 0" for name, n in disks]
        machine.write(machine.proc / "diskstats", "\n".join(rows))
        interfaces = [("eth0", 1), ("lo", 2), ("veth12", 4), ("docker0", 8), ("wlan0", 16)]
        rows = [f" {name}: {n * factor} 0 0 0 0 0 0 0 {3 * n * factor} 0 0 0 0 0 0 0" for name, n in interfaces]
        machine.write(machine.proc / "7" / "net" / "dev", "\n".join(["Inter-|", " face |", *rows]))

    grow(10)
    reader = machine.reader()
    machine.now += 10
    grow(1010)
    found = reader.metrics()
    assert found["disk.read_bytes_per_s"] == 300 * 512
    assert found["disk.written_bytes_per_s"] == 600 * 512
    assert found["network.received_bytes_per_s"] == 1700
    assert found["network.sent_bytes_per_s"] == 5100
    machine.now += 10
    grow(0)  # a counter that began anew
    assert reader.metrics()["network.received_bytes_per_s"] == 0


def test_what_cannot_be_read_is_left_out(machine):
    reader = machine.reader()
    machine.now += 10
    for name in ("stat", "meminfo"):
        (machine.proc / name).unlink()
    (machine.proc / "7" / "stat").write_text("")
    assert reader.metrics() == {}


def test_this_machine_is_read():
    reader = SystemReader()
    reader.metrics()
    found: dict[str, float] = {}
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        wait_until(lambda: found.update(reader.metrics()) or found.get("process.cpu_percent", 0) > 1)
    finally:
        child.kill()
        child.wait()
    assert 0 < found["memory_percent"] < 100
    assert found["cpu_percent"] >= 0
    assert found["process.memory_bytes"] > 10 * 1024 * 1024
    assert set(os.uname().nodename) >= set(host_name()) - {"_"}
