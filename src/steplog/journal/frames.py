"""What a writer's spool files hold: an index of their frames, and the frames as pieces of a journal.

Opening is recovering: whole frames are found wherever they are in a file (see scanning). The torn end that a death
leaves is passed over; any other damage is named in the log, and the file is marked, so that it is kept.
A file that cannot be read is tried three times at once. Where that does not help when the spool is opened, it counts
as damaged; a frame of it that is needed later is waited for, and given up after thirty more rounds. Running out of
descriptors or memory says nothing of a file, and is raised.

The index is replaced as a whole, so that other threads may read while the one that owns it changes it. It says which
positions carry a record, so that only who sends them reads a frame. One is held at a time. Where ``on_wanted`` is set,
it is another thread that reads (``fetch``), which may wait for the disk: a frame is not ready until that has it here.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from steplog.errors import FormatError
from steplog.journal import frame, scanning, slot
from steplog.journal.extents import FrameExtent
from steplog.journal.files import Files
from steplog.journal.range import Range

__all__ = ["SPOOL_SUFFIX", "Entry", "Frames", "SpoolFile"]

SPOOL_SUFFIX = ".spool"
_READS = 3
_ROUNDS = 30
_OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_log = logging.getLogger("steplog")


@dataclass(eq=False, slots=True)
class SpoolFile:
    """A file: what is known of it."""

    path: Path
    size: int = 0
    damage: str | None = None  # why it is kept
    torn: bool = False
    full: bool = False  # takes no more frames
    replaced_at: int | None = None  # not needed once everything below is durable in another


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a frame is, and what it covers."""

    file: SpoolFile
    offset: int
    size: int
    first: int
    end: int
    empty: int  # bit set of the positions that carry no record


class Frames:
    """The frames of ``writer`` in ``directory``, which need not be there. Raises OSError when it cannot look.

    Where the writer is ``new`` it does not look: there are none.
    """

    def __init__(self, directory: Path, writer: str, files: Files | None = None, *, new: bool = False) -> None:
        self.directory = directory
        self._writer = writer
        self._files = files or Files()
        self.dropped = 0  # calls that a writer elsewhere has dropped, as it has said on disk
        self._entries: tuple[Entry, ...] = ()
        self._all: tuple[SpoolFile, ...] = ()
        self._extents: tuple[tuple[Entry, ...], list[FrameExtent]] = ((), [])
        self._loaded: tuple[Entry, Range] | None = None
        self._waited: dict[Entry, int] = {}  # for how many rounds it could not be read
        self.on_wanted: Callable[[], None] | None = None
        self.wanted: Entry | None = None
        for name in () if new else sorted(self._names(SPOOL_SUFFIX)):
            self._scan(directory / name)

    def extents(self) -> Sequence[FrameExtent]:
        """The frames that are durable, in the order of their positions."""
        entries, extents = self._extents
        if entries is not self._entries:
            entries = self._entries
            extents = [
                FrameExtent(e.first, e.end, e.empty, partial(self._load, e), partial(self._ready, e)) for e in entries
            ]
            self._extents = entries, extents
        return extents

    def _set_entries(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(sorted(entries, key=lambda entry: entry.first))

    def fetch(self, lock: AbstractContextManager[object]) -> bool:
        """Have the frame here that is wanted; whether it is here now. ``lock`` guards what is here, not the reading."""
        entry, self.wanted = self.wanted, None
        if entry is None:
            return False
        try:
            records = self._read_frame(entry)
        except OSError:
            self._waited[entry] = self._waited.get(entry, 0) + 1
            return False
        with lock:
            self._loaded = entry, records
        return True

    def _load(self, entry: Entry) -> Range:
        loaded = self._loaded
        if loaded is not None and loaded[0] is entry:
            return loaded[1]
        if self.on_wanted is not None:
            self.wanted = entry
            self.on_wanted()
            raise BlockingIOError(errno.EAGAIN, "not read yet", str(entry.file.path))
        self._loaded = entry, self._read_frame(entry)
        return self._loaded[1]

    def _read_frame(self, entry: Entry) -> Range:
        try:
            records = frame.decode(self._read(entry.file.path, entry.offset, entry.size))
        except (OSError, FormatError) as error:
            if isinstance(error, OSError) and (error.errno in _OUT_OF or self._waited.get(entry, 0) < _ROUNDS):
                raise
            _log.error("steplog: %s can no longer be read (%s); what was in it is lost.", entry.file.path, error)
            entry.file.damage = str(error)
            empty = bytes((entry.end - entry.first) * slot.SLOT_BYTES)
            records = Range(self._writer, entry.first, entry.end, {}, empty, b"")
        return records

    def _ready(self, entry: Entry) -> bool:
        try:
            self._load(entry)
        except BlockingIOError:
            return False
        except OSError:
            self._waited[entry] = self._waited.get(entry, 0) + 1
            return False
        return True

    def _read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        for reads in range(_READS):
            try:
                return self._files.read(path, offset, size)
            except FileNotFoundError:
                raise
            except OSError as error:
                if error.errno in _OUT_OF or reads + 1 == _READS:
                    raise
        raise AssertionError

    def _names(self, *suffixes: str) -> list[str]:
        try:
            return [name for name in self._files.names(self.directory) if name.endswith(suffixes)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _scan(self, path: Path) -> None:
        file = SpoolFile(path)
        try:
            data = self._read(path)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno in _OUT_OF:
                raise
            data, found = b"", scanning.Found([], str(error), torn=False)
        else:
            found = scanning.scan(data, self._writer)
        file.size, file.damage, file.torn, file.full = len(data), found.damage, found.torn, True
        if found.damage is not None:
            _log.error(
                "steplog: %s is damaged (%s). What can be read is delivered; the file is kept.", path, file.damage
            )
        self._all = (*self._all, file)
        self._set_entries((*self._entries, *(Entry(file, *frame) for frame in found.frames)))
