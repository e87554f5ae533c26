"""Media of one writer in memory, as ``log`` copied them: files in its directory, or this process's own memory.

::

    <memory>/<run>/<writer>/.<id>.media    being written: a kill leaves nothing that counts
                            <id>.media     see raw_media

Where shared memory is missing or full, or its directory was removed, the copy is private: a kill loses it.

No lock: a signal handler may log while the thread that it interrupted does.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from steplog.blobs.raw_media import RawMedia, head_of
from steplog.blobs.room import Room
from steplog.descriptors import open_reserved
from steplog.errors import NotPrivateError
from steplog.journal.directories import new_id
from steplog.journal.jsonable import NoRoomError
from steplog.journal.memory import MEDIA_SUFFIX
from steplog.media_value import LOGGED_BYTES_MAX, Content, TooLargeToLogError
from steplog.private_files import names_in, open_directory, read_private, unlink_private

__all__ = ["MediaMemory", "media_in"]

_MEDIA = r"([0-9a-f]{32})" + re.escape(MEDIA_SUFFIX)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PARTS_MAX = 512  # of one writev
_Bytes = bytes | bytearray | memoryview


class MediaMemory:
    """``directory`` is the writer's, None without shared memory; it may come later."""

    def __init__(
        self, directory: Callable[[], Path | None], room: Room, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._directory = directory
        self._room = room
        self._clock = clock
        self._shared: dict[str, int] = {}  # bytes by id, of what is not taken in
        self._private: dict[str, bytes] = {}

    def keep(self, content: Content) -> str:
        """Copy; the id. Raises NoRoomError, TooLargeToLogError."""
        size = content.size
        if size > LOGGED_BYTES_MAX:
            raise TooLargeToLogError(
                f"the {content.kind} takes {size} bytes, and log() copies {LOGGED_BYTES_MAX} at most: "
                "write it to a file, and run.save(path)"
            )
        raw = RawMedia(
            id=new_id(),
            type=content.type,
            suffix=content.suffix,
            size=size,
            time=self._clock(),
            encoding=dict(content.encoding),
        )
        parts = [head_of(raw), *content.parts]
        if not self._keep_shared(raw.id, parts) and not self._keep_private(raw.id, parts):
            raise NoRoomError("media take all of the memory that they may (blob_memory_bytes_max)")
        return raw.id

    def _keep_shared(self, id_: str, parts: list[_Bytes]) -> bool:
        directory, size = self._directory(), sum(memoryview(part).nbytes for part in parts)
        if directory is None or not self._room.take_memory(size):
            return False
        kept = False
        try:
            _write(directory, id_, parts)
            kept = self._room.keeps_memory()
        except (OSError, NotPrivateError):  # full, or removed
            pass
        finally:
            if kept:
                self._shared[id_] = size
            else:
                self._room.give_memory(size)
                with contextlib.suppress(OSError, NotPrivateError):
                    unlink_private(directory / f"{id_}{MEDIA_SUFFIX}")
        return kept

    def _keep_private(self, id_: str, parts: list[_Bytes]) -> bool:
        if not self._room.take_private(sum(memoryview(part).nbytes for part in parts)):
            return False
        self._private[id_] = b"".join(map(_as_bytes, parts))
        return True

    def waiting(self) -> list[str]:
        """The ids of what is not taken in, oldest first."""
        return [*self._shared.copy(), *self._private.copy()]

    def hand_over(self) -> None:
        """Another process has what is in shared memory."""
        self._shared.clear()

    def private_count(self) -> int:
        """How many a kill would lose."""
        return len(self._private)

    def read(self, id_: str) -> bytes | None:
        """Its head and bytes; None: it is gone. Raises OSError."""
        if (data := self._private.get(id_)) is not None:
            return data
        directory = self._directory()
        try:
            return None if directory is None else read_private(directory / f"{id_}{MEDIA_SUFFIX}")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def remove(self, id_: str) -> None:
        """Free it: it is a file now, or its record was not taken. Raises nothing."""
        if (data := self._private.pop(id_, None)) is not None:
            self._room.give_private(len(data))
        size, directory = self._shared.pop(id_, None), self._directory()
        if size is not None and directory is not None:
            with contextlib.suppress(OSError, NotPrivateError):
                unlink_private(directory / f"{id_}{MEDIA_SUFFIX}")
            self._room.give_memory(size)


def media_in(directory: Path) -> list[str]:
    """The ids of media in a writer's directory, oldest first. Raises OSError."""
    found = []
    for name in names_in(directory):
        if match := re.fullmatch(_MEDIA, name):
            with contextlib.suppress(OSError):
                found.append((os.stat(directory / name, follow_symlinks=False).st_mtime_ns, match[1]))
    return [id_ for _, id_ in sorted(found)]


def _write(directory: Path, id_: str, parts: list[_Bytes]) -> None:
    """Write a file whole, or leave none. Raises OSError, NotPrivateError."""
    name, above = f"{id_}{MEDIA_SUFFIX}", open_directory(directory)
    try:
        descriptor = open_reserved(f".{name}", _CREATE, 0o600, dir_fd=above)
        try:
            try:
                _write_all(descriptor, parts)
            finally:
                os.close(descriptor)
            os.rename(f".{name}", name, src_dir_fd=above, dst_dir_fd=above)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f".{name}", dir_fd=above)
            raise
    finally:
        os.close(above)


def _write_all(descriptor: int, parts: list[_Bytes]) -> None:
    views = [view for view in map(_as_bytes, parts) if view.nbytes]
    while views:
        written = os.writev(descriptor, views[:_PARTS_MAX])
        if written <= 0:
            raise OSError(errno.EIO, "nothing was written")
        while views and written >= views[0].nbytes:
            written -= views.pop(0).nbytes
        if written:
            views[0] = views[0][written:]


def _as_bytes(part: _Bytes) -> memoryview:
    view = memoryview(part)
    try:
        return view.cast("B")
    except (TypeError, ValueError, NotImplementedError):  # with gaps, of other byte order, or empty
        return memoryview(view.tobytes())
