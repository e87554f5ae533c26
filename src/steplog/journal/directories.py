"""Where a run's journals are, in shared memory and on disk.

::

    <memory>/<local id>.<host>/            a run, in shared memory
        manifest                           who, where, which status is to be sent (see manifest)
        agent                              the writer of the run's agent; locked by an agent without one
        <writer>/                          one process's journal
            alive                          locked by the writer for life
            marks                          its cursor
            losses                         its ledger of loss
            <pid>-<number>.segment         its segments
    <spool>/<local id>.<host>/             the same run, on disk
        lock                               locked by the run's agent
        manifest

Both roots are private (0700, ours, no symlink), or refused. Names match an allow-list. A run whose spool directory is
not visible here belongs to another view of the disk, and is left alone.

A directory is removed as ``<name>.<8 hex digits>.old``, so that nobody finds half of it; ``sweep`` removes what a
killed process has left of that.

*Host* is from ``host_id``. The *local id* of a run is random; that of a joined run is derived from what names it, so
that "it exists" means "join it".
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import mmap
import os
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from time import time_ns

import msgspec
from msgspec.structs import replace

from steplog.descriptors import are_free, take_warning, words
from steplog.errors import ConfigurationError
from steplog.file_lock import FileLock
from steplog.file_system import allocate
from steplog.journal.cursor import CURSOR_BYTES
from steplog.journal.losses import LOSSES_BYTES, LOSSES_NAME, Losses, encode
from steplog.journal.mapping import SharedFile, map_file
from steplog.private_files import (
    is_private,
    make_private,
    names_in,
    open_private,
    read_private,
    remove_tree,
    rename_private,
    write_private,
)

__all__ = [
    "JournalRoots",
    "RunPaths",
    "Unchanged",
    "derived_local_id",
    "map_cursor",
    "map_losses",
    "new_id",
    "new_writer",
    "shared_cursor",
    "shared_losses",
]

_log = logging.getLogger("steplog")
_RUN = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{16})")
_REMOVED = re.compile(_RUN.pattern + r"\.[0-9a-f]{8}\.old")
_SETTLED_NS = 2_000_000_000
_DESCRIPTORS_MIN = 6  # two locks, and what a write opens at once
_WRITER = re.compile(r"[0-9a-f]{32}")
_InTime = Callable[[Callable[[], "FileLock | None"]], "FileLock | None"]


class RunPaths(msgspec.Struct, frozen=True):
    """One run's directories."""

    local_id: str
    memory: Path | None  # None without usable shared memory
    spool: Path
    on_disk: bool = True  # the spool is usable
    other_host: str | None = None  # whose run it is, if not this host's; its memory cannot be seen

    @property
    def lock(self) -> Path:
        """The agent's lock file, in memory where the disk is unusable."""
        return (self.spool if self.on_disk or self.memory is None else self.memory) / "lock"

    def show_agent(self, writer: str | None) -> list[FileLock]:
        """Show workers in memory that there is an agent; the locks to hold for that."""
        with contextlib.suppress(OSError):
            if self.memory is not None and writer is not None:  # whose ``alive`` is held anyway
                write_private(self.memory / "agent", writer.encode())
            elif self.memory is not None and (lock := FileLock.take(self.memory / "agent")) is not None:
                os.close(open_private(self.memory / "agent", os.O_WRONLY | os.O_TRUNC))
                return [lock]
        return []

    def has_agent(self) -> bool:
        """Whether memory shows an agent."""
        if self.memory is None:
            return False
        try:
            shown = read_private(self.memory / "agent", 0, 33).decode("ascii")
            path = self.memory / shown / "alive" if _WRITER.fullmatch(shown) else self.memory / "agent"
            return path.exists() and not FileLock.is_free(path)
        except (OSError, ValueError):
            return False

    def directories(self) -> list[Path]:
        """The usable directories."""
        return [path for path in (self.memory, self.spool if self.on_disk else None) if path is not None]

    def writers(self, names: Callable[[Path], Iterable[str]] = names_in) -> list[str]:
        """The writers in memory and on disk; ``names`` lists a directory."""
        return sorted(filter(_WRITER.fullmatch, _listed(self.directories(), names)))

    def manifest(self) -> Path:
        """The directory whose manifest counts: memory's, unless that was lost."""
        if self.memory is not None and (not self.on_disk or os.path.lexists(self.memory / "manifest")):
            return self.memory
        return self.spool


class JournalRoots(msgspec.Struct, frozen=True):
    """The two roots; ``memory`` is None where it is unusable. Runs that are there may also be in ``others``."""

    memory: Path | None
    spool: Path
    host: str
    others: tuple[Path, ...] = ()  # more roots in memory

    def run(self, local_id: str) -> RunPaths:
        """The paths of a run."""
        name = f"{local_id}.{self.host}"
        if not _RUN.fullmatch(name):
            raise ConfigurationError(f"{name!r} is not the name of a run's directory")
        memory = next((root for root in self.others if os.path.isdir(root / name)), self.memory)
        return RunPaths(local_id, None if memory is None else memory / name, self.spool / name)

    def claim(self, local_id: str, in_time: _InTime = lambda claim: claim()) -> tuple[RunPaths, FileLock | None]:
        """Make and check a run's directories; its paths, and its lock if that was free.

        Without memory or disk where they are unusable, or the disk not ``in_time``; with a warning.
        """
        paths = self.run(local_id)
        if not are_free(_DESCRIPTORS_MIN):
            why = words(OSError(errno.EMFILE, ""))
            take_warning()  # this line says it
            _log.warning("steplog: %s. Records are kept in this process alone until they are sent.", why)
            return replace(paths, memory=None, on_disk=False), FileLock(None)
        if self.memory is not None and paths.memory is not None:
            try:
                make_private(paths.memory)
            except (OSError, ConfigurationError) as error:
                why = words(error)
                _log.warning("steplog goes without shared memory: %s. A kill loses what is not on disk yet.", why)
                paths = replace(paths, memory=None)
        try:
            return paths, in_time(partial(self._claim_on_disk, paths))
        except (OSError, ConfigurationError) as error:
            where = "in shared memory alone" if paths.memory is not None else "in this process alone"
            _log.warning(
                "steplog goes without a disk: %s. Records are kept %s until they are sent.", words(error), where
            )
        paths = replace(paths, on_disk=False)
        if paths.memory is None:
            return paths, FileLock(None)
        try:
            return paths, None if paths.has_agent() else FileLock.take(paths.lock)
        except OSError:
            return replace(paths, memory=None), FileLock(None)

    def _claim_on_disk(self, paths: RunPaths) -> FileLock | None:
        make_private(self.spool)
        # Renamed into place with its lock taken: else an agent could adopt the run.
        making = self.spool / f"{paths.spool.name}.{secrets.token_hex(4)}.new"
        make_private(making)
        try:
            lock = FileLock.take(making / "lock")
        except BaseException:
            remove_tree(making)
            raise
        try:
            rename_private(making, paths.spool.name)
            if lock is not None:
                lock.path = paths.lock
        except OSError:  # it exists: join
            if lock is not None:
                lock.release()
            remove_tree(making)
            make_private(paths.spool)
            lock = FileLock.take(paths.lock)
        return lock

    def runs(self, but: Collection[str] = ()) -> Iterator[RunPaths]:
        """This host's runs whose lock is visible here, without those in ``but``."""
        memory = () if self.memory is None else (self.memory, *self.others)
        for name in sorted(_listed([self.spool, *memory])):
            match = _RUN.fullmatch(name)
            if match and match[2] == self.host and match[1] not in but:
                paths = self.run(match[1])
                without_disk = replace(paths, on_disk=False)
                if paths.memory is not None and os.path.lexists(without_disk.lock) and _is_ours(paths.memory):
                    yield without_disk
                elif _is_ours(paths.spool):
                    yield paths

    def sweep(self) -> None:
        """Remove what a process that was killed while it removed a run has left."""
        for root in (self.spool, *(() if self.memory is None else (self.memory, *self.others))):
            for name in filter(_REMOVED.fullmatch, _listed([root])):
                remove_tree(root / name)

    def of_other_hosts(self) -> Iterator[RunPaths]:
        """Other hosts' runs on this disk."""
        for name in sorted(_listed([self.spool])):
            match = _RUN.fullmatch(name)
            if match and match[2] != self.host and _is_ours(self.spool / name):
                yield RunPaths(match[1], None, self.spool / name, other_host=match[2])


def _is_ours(directory: Path) -> bool:
    with contextlib.suppress(OSError):
        return is_private(directory)
    return False


def _listed(directories: Iterable[Path], names: Callable[[Path], Iterable[str]] = names_in) -> set[str]:
    found: set[str] = set()
    for directory in directories:
        with contextlib.suppress(OSError):
            found.update(names(directory))
    return found


class Unchanged:
    """Whether directories have the entries of the last call, by their times; cheaper than listing them.

    Times have a resolution: a change within the last 2 s may hide another, and counts as one.
    """

    def __init__(self, paths: Iterable[Path], clock: Callable[[], int] = time_ns) -> None:
        self._paths = [str(path) for path in paths]
        self._clock = clock
        self._seen: list[tuple[int, int]] = []

    def invalidate(self) -> None:
        """Have the next call return False."""
        self._seen = []

    def __call__(self) -> bool:
        """Look."""
        before, self._seen = self._seen, []
        try:
            found = [os.stat(path, follow_symlinks=False) for path in self._paths]
        except OSError:
            return False
        self._seen = [(one.st_ino, one.st_mtime_ns) for one in found]
        settled = self._clock() - _SETTLED_NS
        return self._seen == before and all(one.st_mtime_ns < settled for one in found)


def new_writer(directory: Path, *, on_disk: bool = False) -> tuple[FileLock | None, mmap.mmap] | None:
    """Make a writer's directory: its lock, taken, and its cursor, which has no file ``on_disk``; None on failure."""
    # Renamed into place with its lock taken: else an agent could take the writer for dead.
    making = directory.with_name(f"{directory.name}.new")
    lock = None
    try:
        make_private(making)
        lock = FileLock.take(making / "alive")
        cursor = mmap.mmap(-1, CURSOR_BYTES) if on_disk else map_cursor(making)
        if on_disk:  # so that a kill before it says more is known to lose something
            write_private(making / LOSSES_NAME, encode(Losses(hidden=True), 1))
        else:
            map_losses(making)
        rename_private(making, directory.name)
        if lock is not None:
            lock.path = directory / "alive"
    except (OSError, ConfigurationError):
        if lock is not None:
            lock.release()
        remove_tree(making)
        return None
    return lock, cursor


def map_cursor(directory: Path) -> mmap.mmap:
    """The file ``marks`` of a writer in memory, made if missing. Raises OSError."""
    return _map(directory / "marks", CURSOR_BYTES)


def map_losses(directory: Path) -> mmap.mmap:
    """The file ``losses`` of a writer in memory, made if missing. Raises OSError."""
    return _map(directory / LOSSES_NAME, LOSSES_BYTES)


def _map(path: Path, size: int) -> mmap.mmap:
    descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
    try:
        allocate(descriptor, size)
        return map_file(descriptor, size)
    finally:
        os.close(descriptor)


def shared_cursor(directory: Path) -> SharedFile:
    """The file ``marks`` of another process's writer, made if missing. Raises OSError."""
    return SharedFile(directory / "marks", CURSOR_BYTES, ours=True)


def shared_losses(directory: Path) -> SharedFile:
    """The file ``losses`` of another process's writer, made if missing. Raises OSError."""
    return SharedFile(directory / LOSSES_NAME, LOSSES_BYTES)


def new_id() -> str:
    """128 random bits, in hexadecimal."""
    return secrets.token_hex(16)


def derived_local_id(base_url: str, namespace: str, project: str, run: str) -> str:
    """The local id of a joined run."""
    return hashlib.sha256("\n".join((base_url, namespace, project, run)).encode()).hexdigest()[:32]
