"""What all runs of a process share: settings, directories, the agent. A forked child makes its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

from steplog import descriptors
from steplog.delivery.agent import Agent
from steplog.delivery.exchange import Transport
from steplog.delivery.lease import Lease
from steplog.delivery.loop import wait_for
from steplog.delivery.outbox import DeliveryOptions
from steplog.file_lock import FileLock, close_inherited
from steplog.journal import compiled
from steplog.journal.directories import JournalRoots, RunPaths, host_id
from steplog.journal.files import Files
from steplog.journal.manifest import Manifest
from steplog.journal.memory import Usage, default_bytes_max
from steplog.journal.open_writer import OpenWriter
from steplog.journal.spooling import Disk
from steplog.lifecycle.adoption import Adopter
from steplog.settings import Settings, resolve

__all__ = ["CLAIM_S", "SPOOL_BYTES_MAX", "Process", "claim_in_time", "current"]

CLAIM_S = 5.0
SPOOL_BYTES_MAX = 8 * 1024 * 1024 * 1024
_ADOPTION_SHARE = 100  # adoption takes a 100th of the time at most


class Process:
    """Made by ``current``."""

    def __init__(self, settings: Settings) -> None:
        self.pid = os.getpid()
        self.settings = settings
        descriptors.refill()
        compiled.prefer(pure=settings.pure)
        memory = settings.memory_dir if settings.memory_dir.parent.is_dir() else None
        self.roots = JournalRoots(memory, settings.dir, host_id())
        self.memory_bytes_max = settings.memory_bytes_max or default_bytes_max(self.roots.memory)
        self.usage = None if self.roots.memory is None else Usage(self.roots.memory, self.memory_bytes_max // 2)
        self.options = DeliveryOptions(settings.batch_age_s, settings.connections_max, settings.sender_cpu_share_max)
        bytes_max = settings.spool_bytes_max or _spool_bytes_max(settings.dir)
        excess = self._excess if settings.on_full == "drop_oldest" else lambda: 0
        self.disk = Disk(bytes_max, interval_s=settings.spool_interval_s, excess=excess)
        self._adopt_at = 0.0
        self.writers: dict[int, OpenWriter] = {}  # by the id of the open run
        self.agent = Agent(
            self.options, settings.exchange_timeout_s, settings.spool_interval_s, self._adopt, self._memory_is_short
        )
        wake, source = self.agent.maintenance.wake, self.agent.random
        self.adopter = Adopter(settings, self.disk, self.options, source, wake)

    def lease(
        self,
        paths: RunPaths,
        lock: FileLock,
        manifest: Manifest,
        own: OpenWriter,
        on_made: Callable[[Manifest], None],
        on_lost: Callable[[], None],
    ) -> Lease:
        """For a run that this process writes."""
        wake, source = self.agent.maintenance.wake, self.agent.random
        given = paths, lock, manifest, self.disk, self.options, source, own
        return Lease(*given, wake=wake, on_made=on_made, on_lost=on_lost)

    def _adopt(self, held: set[str]) -> Iterator[tuple[Lease, Transport]]:
        began = time.monotonic()
        if began < self._adopt_at:
            return
        yield from self.adopter.adopt_all(self.roots.runs(but=held))
        ended = time.monotonic()
        self._adopt_at = ended + _ADOPTION_SHARE * (ended - began)

    def _memory_is_short(self) -> bool:
        if self.usage is not None and 2 * self.usage.bytes() > self.memory_bytes_max:
            return True
        return any(own.writer.pool.is_half_full() for own in list(self.writers.values()))

    def _excess(self) -> int:
        """Bytes to free where the disk takes nothing."""
        return max((own.writer.pool.excess_bytes() for own in list(self.writers.values())), default=0)


_current: Process | None = None


def current() -> Process:
    """This process; the first call resolves the settings. Raises ConfigurationError."""
    global _current
    if _current is None or _current.pid != os.getpid():
        _current = Process(resolve())
    return _current


def claim_in_time(claim: Callable[[], FileLock | None], timeout_s: float = CLAIM_S) -> FileLock | None:
    """Run ``claim`` in a thread, since the disk may stall; release a lock that comes too late.

    Raises TimeoutError after ``timeout_s``, and what ``claim`` raises.
    """
    done: SimpleQueue[None] = SimpleQueue()
    ended = threading.Lock()  # what takes it first, the thread or its waiter, decides who has the run's lock
    found: list[FileLock | BaseException | None] = []

    def work() -> None:
        try:
            found.append(claim())
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            found.append(error)
        if ended.acquire(blocking=False):
            done.put(None)
        elif isinstance(found[0], FileLock):
            found[0].release()

    try:
        threading.Thread(target=work, name="steplog-claim", daemon=True).start()
    except RuntimeError:  # no thread can be started here
        return claim()
    try:
        wait_for(done, timeout_s)
    except Empty:
        if ended.acquire(blocking=False):
            raise TimeoutError(f"it does not answer within {timeout_s:g} s") from None
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def _spool_bytes_max(directory: Path) -> int:
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    try:
        return min(SPOOL_BYTES_MAX, Files().free_bytes(directory) // 10)
    except OSError:
        return SPOOL_BYTES_MAX


def _after_fork_in_child() -> None:
    global _current
    _current = None
    close_inherited()
    descriptors.close_reserve()


os.register_at_fork(after_in_child=_after_fork_in_child)
