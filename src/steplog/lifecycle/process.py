"""What one process has of steplog: its settings, its places, its agent, and its open runs.

A forked child inherits none of it. It closes the locks that it got with the fork, forgets the agent (whose threads it
does not have), and each open run gets a writer of its own at its first ``log``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from steplog.delivery.agent import Agent
from steplog.delivery.exchange import Transport
from steplog.delivery.lease import Lease
from steplog.delivery.outbox import DeliveryOptions
from steplog.file_lock import close_inherited
from steplog.journal import compiled
from steplog.journal.directories import JournalRoots, host_id
from steplog.journal.files import Files
from steplog.journal.memory import Usage, default_bytes_max
from steplog.journal.spooling import Disk
from steplog.lifecycle.adoption import adopt_all  # not late, in a thread: see ending, on KeyboardInterrupt
from steplog.settings import Settings, resolve

if TYPE_CHECKING:
    from steplog.lifecycle.open_run import OpenRun

__all__ = ["SPOOL_BYTES_MAX", "Process", "current", "open_runs"]

SPOOL_BYTES_MAX = 8 * 1024 * 1024 * 1024
_ADOPTION_SHARE = 100  # of the time, at most a 100th goes into looking at what others have left


class Process:
    """This process; made by ``current``."""

    def __init__(self, settings: Settings) -> None:
        self.pid = os.getpid()
        self.settings = settings
        compiled.prefer(pure=settings.pure)
        self.roots = JournalRoots(_usable(settings), settings.dir, host_id())
        self.memory_bytes_max = settings.memory_bytes_max or default_bytes_max(self.roots.memory)
        self.usage = None if self.roots.memory is None else Usage(self.roots.memory, self.memory_bytes_max // 2)
        self.options = DeliveryOptions(settings.batch_age_s, settings.connections_max, settings.sender_cpu_share_max)
        bytes_max = settings.spool_bytes_max or _spool_bytes_max(settings.dir)
        excess = self._excess if settings.on_full == "drop_oldest" else lambda: 0
        self.disk = Disk(bytes_max, interval_s=settings.spool_interval_s, excess=excess)
        self._adopt_at = 0.0
        self.runs: dict[int, OpenRun] = {}
        self.agent = Agent(
            self.options, settings.exchange_timeout_s, settings.spool_interval_s, self._adopt, self._memory_is_short
        )

    def _adopt(self, held: set[str]) -> Iterator[tuple[Lease, Transport]]:
        began = time.monotonic()
        if began < self._adopt_at:
            return
        yield from adopt_all(self, held)
        ended = time.monotonic()
        self._adopt_at = ended + _ADOPTION_SHARE * (ended - began)

    def _memory_is_short(self) -> bool:
        """Whether half of what memory may take is in use."""
        if self.usage is not None and 2 * self.usage.bytes() > self.memory_bytes_max:
            return True
        return any(run.opened.writer.pool.is_half_full() for run in list(self.runs.values()))

    def _excess(self) -> int:
        """How many bytes of memory are to be given up where the disk does not take them: none where nobody logs."""
        return max((run.opened.writer.pool.excess_bytes() for run in list(self.runs.values())), default=0)


_current: Process | None = None


def current() -> Process:
    """This process, made at the first call: settings are resolved then. Raises ConfigurationError."""
    global _current
    if _current is None or _current.pid != os.getpid():
        _current = Process(resolve())
    return _current


def open_runs() -> list[OpenRun]:
    """The runs that are open in this process."""
    return [] if _current is None or _current.pid != os.getpid() else list(_current.runs.values())


def _usable(settings: Settings) -> Path | None:
    return settings.memory_dir if settings.memory_dir.parent.is_dir() else None


def _spool_bytes_max(directory: Path) -> int:
    """8 GiB, or a tenth of what is free, if that is less."""
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    try:
        return min(SPOOL_BYTES_MAX, Files().free_bytes(directory) // 10)
    except OSError:
        return SPOOL_BYTES_MAX


def _after_fork_in_child() -> None:
    global _current
    process, _current = _current, None
    close_inherited()
    if process is not None:
        for run in process.runs.values():
            run.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
