"""A run's journals as another process sees them: read, and never changed.

``OtherDelivery`` follows how a process that holds the run's lock delivers what was written by now.

Memory is listed before the disk: what leaves memory in between is on the disk, or delivered.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from steplog.blobs.waiting_files import WaitingFiles
from steplog.delivery.doorbell import Doorbell
from steplog.errors import FormatError
from steplog.file_lock import FileLock
from steplog.journal import manifest as manifests
from steplog.journal.cursor import CURSOR_BYTES, Cursor, load
from steplog.journal.directories import RunPaths
from steplog.journal.extents import SegmentExtent
from steplog.journal.files import Files
from steplog.journal.journal import Journal
from steplog.journal.losses import LOSSES_BYTES, LOSSES_NAME, LossLedger
from steplog.journal.open_journal import begin_ledger
from steplog.journal.sources import DirectorySource
from steplog.journal.spool import CursorFile, Spool
from steplog.private_files import read_private

__all__ = ["OtherDelivery", "counted_journal", "cursor_of", "is_living", "journal_of"]


class _Listed(DirectorySource):
    """Segments as they were listed once, so that a later one does not show where an earlier one has gone."""

    _found: Sequence[SegmentExtent] | None = None

    def extents(self) -> Sequence[SegmentExtent]:
        if self._found is None:
            self._found = super().extents()
        return self._found

    def known(self) -> Sequence[SegmentExtent]:
        return super().known() if self._found is None else self._found


def journal_of(paths: RunPaths, writer: str, alive: Callable[[], bool] = lambda: True) -> Journal:
    """A writer's journal; its cursor is the one of the last look."""
    source = _Listed(_memory(paths, writer))
    source.extents()
    journal = Journal(writer, source, bytearray(CURSOR_BYTES), alive, Spool(paths.spool / writer, writer))
    journal.set_cursor(cursor_of(paths, writer) or Cursor())
    return journal


def cursor_of(paths: RunPaths, writer: str) -> Cursor | None:
    """How far a writer's records are delivered; None: it has nothing here any more."""
    directory, spool = _memory(paths, writer), paths.spool / writer
    stored = bytearray(CURSOR_BYTES)
    if directory is not None:
        with contextlib.suppress(OSError):
            stored[:] = read_private(directory / "marks", 0, CURSOR_BYTES).ljust(CURSOR_BYTES, b"\0")
    elif not spool.exists():
        return None
    if directory is not None and not directory.exists() and not spool.exists():
        return None
    in_memory, on_disk = load(stored), CursorFile(spool, Files()).load()
    return in_memory if on_disk is None or on_disk.delivered < in_memory.delivered else on_disk


def counted_journal(paths: RunPaths, writer: str) -> Journal:
    """A writer's journal as it is now, with what its writer lost, if that is dead."""
    directory = None if paths.memory is None else paths.memory / writer
    spool = Spool(paths.spool / writer, writer)
    stored, losses = bytearray(CURSOR_BYTES), bytearray(LOSSES_BYTES)
    if directory is not None:
        with contextlib.suppress(OSError):
            _fill(stored, read_private(directory / "marks", 0, CURSOR_BYTES))
            _fill(losses, read_private(directory / LOSSES_NAME, 0, LOSSES_BYTES))
    ledger = LossLedger(losses)
    if ledger.is_new:
        begin_ledger(ledger, spool, stored, in_memory=directory is not None and directory.is_dir())
    journal = Journal(writer, DirectorySource(directory), stored, lambda: True, spool, ledger)
    on_disk = spool.load_cursor()
    if on_disk is not None and on_disk.delivered > journal.cursor.delivered:
        journal.set_cursor(on_disk)
    if _is_dead(paths, writer):
        journal.count_lost()
    return journal


def _fill(memory: bytearray, data: bytes) -> None:
    memory[:] = data.ljust(len(memory), b"\0")[: len(memory)]


def _is_dead(paths: RunPaths, writer: str) -> bool:
    for directory in paths.directories():
        if (directory / writer / "alive").exists():
            with contextlib.suppress(OSError):
                return FileLock.is_free(directory / writer / "alive")
            return False
    return True


def is_living(paths: RunPaths, writer: str) -> bool:
    """Whether the writer's process can still append."""
    for directory in paths.directories():
        alive = directory / writer / "alive"
        with contextlib.suppress(OSError):
            if alive.exists() and not FileLock.is_free(alive):
                return True
    return False


def _memory(paths: RunPaths, writer: str) -> Path | None:
    return None if paths.memory is None else paths.memory / writer


class OtherDelivery:
    """How far another process has come with what was written by now, and with the status, if that is decided."""

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        self._doorbell = Doorbell(paths.memory)
        self._began_ns = time.time_ns()
        self._files = WaitingFiles(paths)
        self._ids = self._files.ids()
        journals = [journal_of(paths, writer) for writer in paths.writers()]
        self._journals = [(journal, journal.written()) for journal in journals]
        for journal in journals:
            for extent in journal.memory.extents():  # what is there is known then, also when the segment has gone
                extent.view.readable(0, extent.limit - extent.base)

    def ask(self) -> None:
        """Have the process go on with this run now, with one attempt whatever the server has said before."""
        self._doorbell.ring(self._began_ns)

    def left(self) -> int:
        """How many of the values have still to be delivered."""
        return sum(journal.values(start, end) for journal, start, end in self._stretches())

    def files_left(self) -> int:
        """How many of the files have still to be delivered."""
        return len(self._ids & self._files.ids()) if self._ids else 0

    def is_over(self) -> bool:
        """Whether no record is left, be it a value or steplog's own, no file, and no status."""
        records = any(journal.census(*stretch) for journal, *stretch in self._stretches())
        return not records and not self.files_left() and not self._owes_status()

    def _stretches(self) -> Iterator[tuple[Journal, int, int]]:
        for journal, end in self._journals:
            cursor = cursor_of(self._paths, journal.writer)
            if cursor is not None:
                yield journal, max(cursor.delivered, cursor.begin), end

    def _owes_status(self) -> bool:
        """Whether a status is decided, and not sent."""
        with contextlib.suppress(FormatError):
            manifest = manifests.load(self._paths.manifest())
            return manifest is not None and manifest.status is not None and not manifest.status_sent
        return False
