"""Load, memory and traffic of the process, of what its container may use, and of the host, from Linux's ``/proc``.

::

    process.cpu_percent, .memory_bytes    this process and all its children; 100 is one processor; resident memory
    cpu_percent                           of the processors that this process may use: by affinity, and by the quota of
                                          its control group (v2 or v1), whose use then counts; else the host's
    memory_bytes, memory_percent          of the control group's limit, less files that can be dropped; else the host's
    host.cpu_percent, .memory_percent     of the whole host, where the process may not use all of it
    disk.read_bytes_per_s, .written_…     all disks of the host
    network.received_bytes_per_s, .sent_… all interfaces that this network namespace has, less virtual ones

A rate is that since the look before, on the monotonic clock: a computer that was suspended leaves a gap. What cannot be
read is left out. A look reads some ten small files, and two or three more a child and thread; at most
``PROCESSES_MAX`` processes, ``THREADS_MAX`` threads of each. Nothing is imported here but at the import of this module.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec

__all__ = ["METRICS", "PROCESSES_MAX", "THREADS_MAX", "SystemReader", "host_name", "is_known_here"]

METRICS = (
    *("process.cpu_percent", "process.memory_bytes", "cpu_percent", "memory_bytes", "memory_percent"),
    *("host.cpu_percent", "host.memory_percent", "disk.read_bytes_per_s", "disk.written_bytes_per_s"),
    *("network.received_bytes_per_s", "network.sent_bytes_per_s"),
)
PROCESSES_MAX = 256
THREADS_MAX = 256
_FILE_BYTES_MAX = 256 * 1024
_HOST_CHARACTERS_MAX = 64
_SECTOR_BYTES = 512
_UNLIMITED = 1 << 60  # of a control group v1, about
_IDLE_FIELDS = (3, 4)  # of a line of /proc/stat: idle, waiting for disks
_BUSY_FIELDS = 8  # what follows, a guest's time, is in the first ones
_VIRTUAL_DISKS = ("loop", "ram", "zram", "dm-", "md", "sr", "fd")
_VIRTUAL_INTERFACES = ("lo", "docker", "br-", "veth", "virbr", "cni", "cali", "flannel")


def is_known_here(proc: str = "/proc") -> bool:
    """Whether this system has what is read."""
    return os.path.exists(f"{proc}/self/stat") and os.path.exists(f"{proc}/meminfo")


def host_name() -> str:
    """Of this host, as a part of a name."""
    name = "".join(c if c.isprintable() and c != "/" else "_" for c in os.uname().nodename)
    return name.encode("utf-8", "replace").decode("utf-8", "replace")[:_HOST_CHARACTERS_MAX] or "_"


class _Group(msgspec.Struct, frozen=True):
    """A control group that limits; ``limit`` is in bytes, or in processors."""

    directory: str
    limit: float
    version: int


class _Counters(msgspec.Struct, frozen=True):
    """What only grows; in seconds and bytes."""

    at: float
    cpus: dict[str, tuple[float, float]]  # busy and all ticks
    processes: dict[tuple[int, str], float]  # by pid and when it was started: ticks
    group_cpu_s: float | None
    disk: tuple[int, int] | None
    network: tuple[int, int] | None


class SystemReader:
    """Reads it for the process ``pid``; ``cgroup`` is where control groups are mounted."""

    def __init__(
        self,
        proc: str = "/proc",
        cgroup: str = "/sys/fs/cgroup",
        pid: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proc = proc
        self._pid = os.getpid() if pid is None else pid
        self._clock = clock
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self._groups = _Groups(proc, cgroup)
        self._before: _Counters | None = None

    def metrics(self) -> dict[str, float]:
        """What is there now, with rates since the call before; empty the first time."""
        memory = self._memory()
        processes, resident = self._processes()
        cpu = self._groups.cpu()
        now = _Counters(
            self._clock(),
            self._cpus(),
            processes,
            None if cpu is None else self._groups.cpu_s(cpu),
            self._disk(),
            self._network(),
        )
        before, self._before = self._before, now
        if before is None or now.at <= before.at:
            return {}
        found = memory | self._cpu(before, now, cpu)
        if processes:
            ticks = sum(each - before.processes.get(key, 0.0) for key, each in processes.items())
            found["process.cpu_percent"] = 100 * max(0.0, ticks) / self._ticks / (now.at - before.at)
            found["process.memory_bytes"] = float(resident)
        seconds = now.at - before.at
        for names, old, new in (
            (("disk.read_bytes_per_s", "disk.written_bytes_per_s"), before.disk, now.disk),
            (("network.received_bytes_per_s", "network.sent_bytes_per_s"), before.network, now.network),
        ):
            if old is not None and new is not None:
                found |= {name: max(0, b - a) / seconds for name, a, b in zip(names, old, new, strict=True)}
        return found

    def _cpu(self, before: _Counters, now: _Counters, quota: _Group | None) -> dict[str, float]:
        numbers = [name for name in now.cpus if name != "cpu"]
        usable = {f"cpu{number}" for number in _affinity(self._pid)} & set(numbers) or set(numbers)
        whole = _busy_percent(before.cpus, now.cpus, ["cpu"])
        found = {}
        if quota is not None and before.group_cpu_s is not None and now.group_cpu_s is not None:
            processors = min(quota.limit, len(usable) or quota.limit)
            used = max(0.0, now.group_cpu_s - before.group_cpu_s) / (now.at - before.at)
            found["cpu_percent"] = 100 * used / processors
        elif (share := _busy_percent(before.cpus, now.cpus, sorted(usable))) is not None:
            found["cpu_percent"] = share
        if whole is not None and (quota is not None or len(usable) < len(numbers)):
            found["host.cpu_percent"] = whole
        return found

    def _memory(self) -> dict[str, float]:
        sizes = {}
        for line in _read(f"{self._proc}/meminfo").splitlines():
            name, _, rest = line.partition(b":")
            if name in (b"MemTotal", b"MemAvailable"):
                sizes[name] = 1024 * int(rest.split()[0])
        total, free = sizes.get(b"MemTotal", 0), sizes.get(b"MemAvailable")
        host = None if not total or free is None else float(total - free)
        group = self._groups.memory(total)
        found: dict[str, float] = {}
        used = None if group is None else self._groups.memory_bytes(group)
        if group is not None and used is not None:
            found |= {"memory_bytes": used, "memory_percent": 100 * used / group.limit}
            if host is not None:
                found["host.memory_percent"] = 100 * host / total
        elif host is not None:
            found |= {"memory_bytes": host, "memory_percent": 100 * host / total}
        return found

    def _cpus(self) -> dict[str, tuple[float, float]]:
        found = {}
        for line in _read(f"{self._proc}/stat").splitlines():
            if not line.startswith(b"cpu"):
                break
            name, *fields = line.split()
            ticks = [float(field) for field in fields[:_BUSY_FIELDS]]
            idle = sum(ticks[field] for field in _IDLE_FIELDS if field < len(ticks))
            found[name.decode()] = sum(ticks) - idle, sum(ticks)
        return found

    def _processes(self) -> tuple[dict[tuple[int, str], float], int]:
        """Ticks of this process and its children, and their resident bytes."""
        found, resident = {}, 0
        left, seen = [self._pid], {self._pid}
        while left and len(seen) <= PROCESSES_MAX:
            pid = left.pop()
            fields = _read(f"{self._proc}/{pid}/stat").rpartition(b")")[2].split()
            if len(fields) < 22:
                continue  # it has ended
            found[pid, fields[19].decode()] = float(fields[11]) + float(fields[12])
            resident += int(fields[21]) * self._page_bytes
            children = set(self._children(pid)) - seen
            seen |= children
            left += children
        return found, resident

    def _children(self, pid: int) -> Iterator[int]:
        directory = f"{self._proc}/{pid}/task"
        threads: list[str] = []
        with suppress(OSError):
            threads = os.listdir(directory)
        for thread in threads[:THREADS_MAX]:
            yield from map(int, _read(f"{directory}/{thread}/children").split())

    def _disk(self) -> tuple[int, int] | None:
        rows = [line.split() for line in _read(f"{self._proc}/diskstats").splitlines()]
        disks = {row[2].decode(): (int(row[5]), int(row[9])) for row in rows if len(row) >= 10}
        whole = [
            counts
            for name, counts in disks.items()
            if not name.startswith(_VIRTUAL_DISKS) and not any(_is_part_of(name, other) for other in disks)
        ]
        return (
            None if not rows else (_SECTOR_BYTES * sum(c[0] for c in whole), _SECTOR_BYTES * sum(c[1] for c in whole))
        )

    def _network(self) -> tuple[int, int] | None:
        received = sent = 0
        lines = _read(f"{self._proc}/{self._pid}/net/dev").splitlines()[2:]
        for line in lines:
            name, _, rest = line.decode("latin-1").partition(":")
            fields = rest.split()
            if len(fields) >= 9 and not name.strip().startswith(_VIRTUAL_INTERFACES):
                received, sent = received + int(fields[0]), sent + int(fields[8])
        return (received, sent) if lines else None


class _Groups:
    """The control groups of this process; a limit is the least of all groups from its own up to the root."""

    def __init__(self, proc: str, root: str) -> None:
        self._places: dict[str, tuple[str, str, int]] = {}  # by what it controls: mount, directory, version
        for line in _read(f"{proc}/self/cgroup").decode("utf-8", "replace").splitlines():
            _, names, path = (*line.split(":", 2), "", "")[:3]
            for name in names.split(",") if names else ("",):
                mount = f"{root}/{name}" if name else root
                version = 1 if name else 2
                # In a container the path may be the host's, and the mount begins at the container's own group.
                inside = path if os.path.isdir(mount + path) else ""
                self._places[name] = mount, (mount + inside).rstrip("/"), version

    def _least(self, controller: str, limit_of: Callable[[str, int], float | None]) -> _Group | None:
        place = self._places.get(controller) or self._places.get("")
        if place is None:
            return None
        mount, directory, version = place
        found: _Group | None = None
        while directory.startswith(mount):
            limit = limit_of(directory, version)
            if limit is not None and (found is None or limit < found.limit):
                found = _Group(directory, limit, version)
            directory = directory.rpartition("/")[0]
        return found

    def cpu(self) -> _Group | None:
        """The one whose quota binds."""

        def quota(directory: str, version: int) -> float | None:
            if version == 2:
                fields = _read(f"{directory}/cpu.max").split()
            else:
                fields = (
                    _read(f"{directory}/cpu.cfs_quota_us").split() + _read(f"{directory}/cpu.cfs_period_us").split()
                )
            if len(fields) != 2 or not fields[0].isdigit() or not int(fields[1]):  # "max", or -1: none
                return None
            return int(fields[0]) / int(fields[1])

        return self._least("cpu", quota)

    def cpu_s(self, group: _Group) -> float | None:
        """Seconds of processors that it has used."""
        if group.version == 2:
            return _named(f"{group.directory}/cpu.stat", b"usage_usec", 1e-6)
        mount, _, _ = self._places["cpu"]
        used = _read(f"{self._places.get('cpuacct', (mount,))[0]}{group.directory[len(mount) :]}/cpuacct.usage").strip()
        return int(used) * 1e-9 if used.isdigit() else None

    def memory(self, total: int) -> _Group | None:
        """The one whose limit binds, if that is less than the host has."""

        def limit(directory: str, version: int) -> float | None:
            text = _read(f"{directory}/{'memory.max' if version == 2 else 'memory.limit_in_bytes'}").strip()
            return float(text) if text.isdigit() and 0 < int(text) < min(_UNLIMITED, total or _UNLIMITED) else None

        return self._least("memory", limit)

    @staticmethod
    def memory_bytes(group: _Group) -> float | None:
        """What it uses, less files that can be dropped."""
        name = "memory.current" if group.version == 2 else "memory.usage_in_bytes"
        text = _read(f"{group.directory}/{name}").strip()
        if not text.isdigit():
            return None
        droppable = b"inactive_file" if group.version == 2 else b"total_inactive_file"
        return max(0.0, float(text) - (_named(f"{group.directory}/memory.stat", droppable) or 0.0))


def _named(path: str, name: bytes, unit: float = 1.0) -> float | None:
    for line in _read(path).splitlines():
        known, _, value = line.partition(b" ")
        if known == name and value.strip().isdigit():
            return int(value) * unit
    return None


def _busy_percent(
    before: dict[str, tuple[float, float]], now: dict[str, tuple[float, float]], names: list[str]
) -> float | None:
    both = [name for name in names if name in before and name in now]
    busy = sum(now[name][0] - before[name][0] for name in both)
    whole = sum(now[name][1] - before[name][1] for name in both)
    return 100 * min(max(busy, 0.0), whole) / whole if whole > 0 else None


def _affinity(pid: int) -> set[int]:
    if sys.platform == "linux":
        with suppress(OSError):
            return os.sched_getaffinity(pid)
    return set()


def _is_part_of(name: str, disk: str) -> bool:
    """``sda1`` of ``sda``, ``nvme0n1p2`` of ``nvme0n1``."""
    rest = name[len(disk) :]
    return name != disk and name.startswith(disk) and rest.removeprefix("p").isdigit()


def _read(path: str) -> bytes:
    """Of a small file; empty if it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    data = b""
    try:
        while len(data) < _FILE_BYTES_MAX and (part := os.read(fd, _FILE_BYTES_MAX)):  # /proc gives a page at a time
            data += part
    except OSError:
        return b""
    finally:
        os.close(fd)
    return data
