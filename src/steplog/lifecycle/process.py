"""What all runs of a process share: settings, directories, the agent.

A forked child makes its own, and so does a process whose effective uid has changed; the runs that it opened before stay
with the agent that they have.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from msgspec.structs import replace

from steplog import descriptors
from steplog.blobs.room import Room
from steplog.blobs.waiting_files import WaitingFiles
from steplog.default_paths import make_memory_directory, memory_directories
from steplog.delivery.agent import Agent
from steplog.delivery.exchange import Transport
from steplog.delivery.lease import Lease
from steplog.delivery.loop import wait_for
from steplog.delivery.options import DeliveryOptions
from steplog.file_lock import FileLock, close_inherited
from steplog.host import host_id
from steplog.journal import compiled
from steplog.journal.directories import JournalRoots, RunPaths
from steplog.journal.files import Files
from steplog.journal.manifest import Manifest
from steplog.journal.memory import Usage, default_bytes_max
from steplog.journal.open_writer import OpenWriter
from steplog.journal.spooling import Disk
from steplog.lifecycle.adoption import Adopter
from steplog.machine.gpu import GpuReader
from steplog.machine.system import SystemReader, host_name, is_known_here
from steplog.reentrant_lock import ReentrantLock
from steplog.settings import Settings, resolve

if TYPE_CHECKING:
    from steplog.machine.other_system import OtherSystemReader

__all__ = ["CLAIM_S", "SPOOL_BYTES_MAX", "Process", "claim_in_time", "current"]

CLAIM_S = 5.0
SPOOL_BYTES_MAX = 8 * 1024 * 1024 * 1024
_log = logging.getLogger("steplog")
_WITHOUT = "steplog goes without shared memory: %s. A kill loses what is not on disk yet."
_ADOPTION_SHARE = 100  # adoption takes a 100th of the time at most


class Process:
    """Made by ``current``."""

    def __init__(self, settings: Settings) -> None:
        self.pid = os.getpid()
        self.uid = os.geteuid()
        self.settings = settings
        descriptors.refill()
        descriptors.load_unwinder()
        compiled.prefer(pure=settings.pure)
        self.roots = JournalRoots(None, settings.dir, host_id())
        self.usage: Usage | None = None
        self.room = Room(None, settings.dir, settings.blob_memory_bytes_max, settings.blob_bytes_max)
        self.find_memory()
        self.options = DeliveryOptions(settings.batch_age_s, settings.connections_max, settings.sender_cpu_share_max)
        measure = partial(_spool_bytes_max, settings.dir)
        bytes_max = settings.spool_bytes_max or measure()
        excess = self._excess if settings.on_full == "drop_oldest" else lambda: 0
        self.disk = Disk(bytes_max, interval_s=settings.spool_interval_s, excess=excess, measure=measure)
        self._adopt_at = 0.0
        self.writers: dict[int, OpenWriter] = {}  # by the id of the open run
        self.about_to_open: set[str] = set()  # the local ids of runs that are not to be adopted now
        self.agent = Agent(
            self.options, settings.exchange_timeout_s, settings.spool_interval_s, self._adopt, self._memory_is_short
        )
        if settings.system_interval_s and (system := _system_reader()) is not None:
            self.agent.sample(settings.system_interval_s, partial(_sample, system, GpuReader()), host_name())
        wake, source = self.agent.maintenance.wake, self.agent.random
        self.adopter = Adopter(settings, self.disk, self.options, source, wake)

    def is_this(self) -> bool:
        """Whether it is still this process, of this user."""
        return self.pid == os.getpid() and self.uid == os.geteuid()

    @contextmanager
    def keeping_free(self, local_id: str) -> Iterator[None]:
        """Have this process's agent not adopt a run that is about to be opened."""
        self.about_to_open.add(local_id)
        try:
            yield
        finally:
            self.about_to_open.discard(local_id)

    def find_memory(self, *, make: bool = False) -> None:
        """Look for this user's directories in shared memory; ``make``: have one for a new run."""
        if self.uid != os.geteuid():  # what it has is not this user's
            return
        memory, others = self._memory(make)
        before, self.roots = self.roots.memory, replace(self.roots, memory=memory, others=others)
        self.room.share(memory)
        if memory is not None and memory != before:
            self.usage = Usage(memory)

    def _memory(self, make: bool) -> tuple[Path | None, tuple[Path, ...]]:
        configured, why = self.settings.memory_dir, None
        if configured is not None:
            memory = configured if os.path.isdir(configured.parent) else None
            if make and memory is None:
                _log.warning(_WITHOUT, f"there is no {configured.parent}")
            return memory, ()
        if make:
            try:
                why = "the system has none" if make_memory_directory() is None else None
            except OSError as error:
                why = str(error)
        if why is not None:
            _log.warning(_WITHOUT, why)
        found = memory_directories()
        return (found[0], tuple(found[1:])) if found else (None, ())

    def lease(
        self,
        paths: RunPaths,
        lock: FileLock,
        manifest: Manifest,
        own: OpenWriter,
        on_made: Callable[[Manifest], None],
        on_lost: Callable[[], None],
        files: WaitingFiles,
    ) -> Lease:
        """For a run that this process writes."""
        wake, source = self.agent.maintenance.wake, self.agent.random
        given = paths, lock, manifest, self.disk, self.options, source, own
        return Lease(*given, wake=wake, on_made=on_made, on_lost=on_lost, files=files)

    def _adopt(self, held: set[str]) -> Iterator[tuple[Lease, Transport]]:
        began = time.monotonic()
        if began < self._adopt_at:
            return
        self.find_memory()
        self.roots.sweep()
        yield from self.adopter.adopt_all(self.roots.runs(but=held | self.about_to_open))
        ended = time.monotonic()
        self._adopt_at = ended + _ADOPTION_SHARE * (ended - began)

    def _memory_is_short(self) -> bool:
        bytes_max = self.settings.memory_bytes_max or default_bytes_max(self.roots.memory)
        if self.usage is not None and 2 * self.usage.bytes() > bytes_max:
            return True
        return any(own.writer.pool.is_half_full() for own in list(self.writers.values()))

    def _excess(self) -> int:
        """Bytes to free where the disk takes nothing."""
        return max((own.writer.pool.excess_bytes() for own in list(self.writers.values())), default=0)


_current: Process | None = None
_making = ReentrantLock()


def current() -> Process:
    """This process; the first call resolves the settings. Raises ConfigurationError."""
    global _current
    if (found := _current) is not None and found.is_this():
        return found
    with _making:
        if (found := _current) is None or not found.is_this():
            found = _current = Process(resolve())
        return found


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


def _system_reader() -> SystemReader | OtherSystemReader | None:
    if is_known_here():
        return SystemReader()
    from steplog.machine.other_system import OtherSystemReader, installed  # now: the thread is not to import

    psutil = installed()
    return None if psutil is None else OtherSystemReader(psutil)


def _sample(system: SystemReader | OtherSystemReader, gpus: GpuReader) -> dict[str, float]:
    found = system.metrics()
    return found | gpus.metrics() if found else {}


def _spool_bytes_max(directory: Path) -> int:
    while not os.path.exists(directory) and directory != directory.parent:
        directory = directory.parent
    try:
        return min(SPOOL_BYTES_MAX, Files().free_bytes(directory) // 10)
    except OSError:
        return SPOOL_BYTES_MAX


def _after_fork_in_child() -> None:
    global _current, _making
    _current, _making = None, ReentrantLock()  # another thread may have held it
    close_inherited()
    descriptors.close_reserve()


os.register_at_fork(after_in_child=_after_fork_in_child)
