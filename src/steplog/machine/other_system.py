"""The metrics of ``system`` where there is no ``/proc``, by psutil, if the user has installed that.

psutil (https://psutil.readthedocs.io) is an extra, ``steplog[system]``, and imported by ``init`` on such systems alone:
on Linux nothing of it is needed, and a thread is not to import. There are no containers there, so the host is shown.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["OtherSystemReader", "installed"]


def installed() -> Any:
    """The module; None: it is not there, or not for this system."""
    try:
        return importlib.import_module("psutil")
    except (ImportError, OSError, NotImplementedError):
        return None


class OtherSystemReader:
    """Reads it for this process, by ``psutil``."""

    def __init__(self, psutil: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._psutil = psutil
        self._clock = clock
        self._process = psutil.Process()
        self._before: tuple[float, dict[str, float], dict[tuple[int, float], float]] | None = None

    def metrics(self) -> dict[str, float]:
        """What is there now, with rates since the call before; empty the first time."""
        memory = self._psutil.virtual_memory()
        now, counters = self._clock(), self._counters()
        processes, resident = self._processes()
        before, self._before = self._before, (now, counters, processes)
        if before is None or now <= before[0]:
            return {}
        seconds, old = now - before[0], before[1]
        grown = {name: max(0.0, value - old[name]) for name, value in counters.items() if name in old}
        used = float(memory.total - memory.available)
        found = {"memory_bytes": used, "memory_percent": 100 * used / memory.total}
        if grown.get("all"):
            found["cpu_percent"] = 100 * min(grown["busy"], grown["all"]) / grown["all"]
        found |= {name: value / seconds for name, value in grown.items() if name.endswith("_per_s")}
        if processes:
            used_s = sum(each - before[2].get(key, 0.0) for key, each in processes.items())
            found["process.cpu_percent"] = 100 * max(0.0, used_s) / seconds
            found["process.memory_bytes"] = float(resident)
        return found

    def _counters(self) -> dict[str, float]:
        psutil, found = self._psutil, dict[str, float]()
        times = psutil.cpu_times()
        found["all"] = float(sum(times))
        found["busy"] = found["all"] - times.idle - getattr(times, "iowait", 0.0)
        with suppress(OSError, RuntimeError, AttributeError):  # as there is no disk
            disk = psutil.disk_io_counters()
            found |= {"disk.read_bytes_per_s": disk.read_bytes, "disk.written_bytes_per_s": disk.write_bytes}
        with suppress(OSError, AttributeError):
            cards = psutil.net_io_counters(pernic=True)
            real = [counts for name, counts in cards.items() if not name.startswith("lo")]
            found["network.received_bytes_per_s"] = sum(counts.bytes_recv for counts in real)
            found["network.sent_bytes_per_s"] = sum(counts.bytes_sent for counts in real)
        return found

    def _processes(self) -> tuple[dict[tuple[int, float], float], int]:
        found, resident = dict[tuple[int, float], float](), 0
        children: list[Any] = []
        with suppress(self._psutil.Error, OSError):
            children = self._process.children(recursive=True)
        for process in (self._process, *children):
            with suppress(self._psutil.Error, OSError):  # it has ended
                times = process.cpu_times()
                found[process.pid, process.create_time()] = times.user + times.system
                resident += process.memory_info().rss
        return found, resident
