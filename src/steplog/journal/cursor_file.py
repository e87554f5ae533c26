"""The file ``marks`` of a spool: copies of the marks, appended one after the other, the last whole one counts.

After ``COPIES`` of them, or when one could not be written whole, the file is begun anew, synced, and put in the old
one's place. Whoever reads it after a power cut finds what was stored with ``sync``, or later.
"""

from __future__ import annotations

import errno
from pathlib import Path

from steplog.journal.cursor import COPY_BYTES, Cursor, decode, encode
from steplog.journal.files import Files

__all__ = ["COPIES", "CursorFile"]

COPIES = 64
_NAME = "marks"


class CursorFile:
    """The marks of the spool in ``directory``, which is made if it is not there."""

    def __init__(self, directory: Path, files: Files) -> None:
        self._path = directory / _NAME
        self._files = files
        self._sequence = 0
        self._left = 0  # copies that the file may still take

    def store(self, cursor: Cursor, sync: bool) -> None:
        """Append a copy. Raises OSError; the next one begins a new file then."""
        left, self._left = self._left, 0
        data = encode(cursor, self._sequence + 1)
        if left == 0:
            self._begin(data)
            left = COPIES
        else:
            self._write(self._files.open(self._path), data, sync)
        self._sequence += 1
        self._left = left - 1

    def load(self) -> Cursor | None:
        """The newest copy that is whole."""
        try:
            data = self._files.read(self._path)
        except OSError:
            return None
        copies = [decode(data[place : place + COPY_BYTES]) for place in range(0, len(data), COPY_BYTES)]
        newest = max((copy for copy in copies if copy is not None), key=lambda copy: copy[0], default=None)
        if newest is None:
            return None
        self._sequence = max(self._sequence, newest[0])
        return newest[1]

    def _begin(self, data: bytes) -> None:
        self._files.make_private(self._path.parent)
        scratch = self._path.with_suffix(".new")
        self._files.unlink(scratch)
        self._write(self._files.create(scratch), data, sync=True)
        self._files.rename(scratch, self._path)

    def _write(self, descriptor: int, data: bytes, sync: bool) -> None:
        try:
            if self._files.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, "the marks were not written whole")
            if sync:
                self._files.sync(descriptor)
        finally:
            self._files.close(descriptor)
