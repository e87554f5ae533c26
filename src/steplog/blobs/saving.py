"""``save``: copies of the user's files, until they are hashed (see file_place)."""

from __future__ import annotations

import contextlib
import errno
import functools
import mimetypes
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from steplog.blobs.copying import copy_file, link_file, open_regular
from steplog.blobs.entries import ArtifactEntry, FileEntry, checked_path, known_suffix
from steplog.blobs.file_place import FilePlace, Unit
from steplog.blobs.room import Room
from steplog.host import boot_id
from steplog.journal.directories import new_id
from steplog.journal.jsonable import NoRoomError

__all__ = ["FILES_MAX", "Saving"]

FILES_MAX = 100_000  # of an artifact
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the last: of a limit on the size of files
_OnGone = Callable[[str, OSError | ValueError], None]


class Saving:
    """Of one writer."""

    def __init__(self, place: FilePlace, writer: str, room: Room, boot: Callable[[], str] = boot_id) -> None:
        self._place = place
        self._writer = writer
        self._room = room
        self._boot = boot

    def save(self, path: Path, name: str, immutable: bool) -> FileEntry:
        """Copy a file. Raises OSError, ValueError, NoRoomError."""
        id_ = new_id()
        with self._taking([(checked_path(name), path)], immutable, lambda at: id_, _raise) as files:
            self._store(Unit(id=id_, files=tuple(files)))
        return files[0]

    def save_artifact(
        self, entry: ArtifactEntry, files: Sequence[tuple[str, Path]], immutable: bool, on_gone: _OnGone | None = None
    ) -> ArtifactEntry:
        """Copy the files of an artifact, all or none; it with their number and size. Raises as ``save``.

        ``on_gone`` is told of a file that cannot be opened, which is left out then unless it raises the error.
        """
        if len(files) > FILES_MAX:
            raise ValueError(f"an artifact has {FILES_MAX:,} files at most: make an archive of them (tar)")
        checked = [(checked_path(name), path) for name, path in files]
        if len({name for name, _ in checked}) < len(checked):
            raise ValueError("two files of the artifact have one path")
        with self._taking(checked, immutable, lambda at: new_id(), on_gone or _raise) as copied:
            if not copied:
                raise ValueError("an artifact has at least one file; none of its files is there any more")
            size = sum(file.size for file in copied)
            entry = replace(entry, count=len(copied), size=size)
            named = tuple(replace(file, artifact=entry.id) for file in copied)
            self._store(Unit(id=entry.id, files=named, artifact=entry))
        return entry

    @contextlib.contextmanager
    def _taking(
        self, files: Sequence[tuple[str, Path]], immutable: bool, make_id: Callable[[int], str], on_gone: _OnGone
    ) -> Iterator[list[FileEntry]]:
        """Copy files; remove the copies again if the body, or a copy, fails."""
        sources = []
        for name, path in files:
            try:
                sources.append((name, path, _checked_size(path)))
            except (OSError, ValueError) as error:
                on_gone(name, error)
        needed = sum(size for _, _, size in sources)
        if not self._room.leaves_disk(needed):
            raise NoRoomError(
                f"files that wait take {self._room.disk_bytes()} of {self._room.bytes_max()} bytes, "
                f"and these would take {needed} more: steplog sync, or raise STEPLOG_BLOB_BYTES_MAX"
            )
        made: list[str] = []
        done = False
        try:
            self._place.make()
            found = []
            for at, (name, path, _) in enumerate(sources):
                try:
                    source = open_regular(path)
                except (OSError, ValueError) as error:
                    on_gone(name, error)
                    continue
                id_ = make_id(at)
                made.append(f"{id_}.{self._writer}.copy")
                size = self._copy(source, path, self._place.path(made[-1]), immutable)
                found.append(_entry(id_, name, size))
            yield found
            done = True
            self._room.change_disk(sum(file.size for file in found))
        except OSError as error:
            if error.errno in _FULL:
                raise NoRoomError(f"{self._place.directory}: {error.strerror}") from None
            raise
        finally:
            if not done:
                for copy in made:
                    with contextlib.suppress(OSError):
                        self._place.remove(copy)

    def _copy(self, source: int, path: Path, to: Path, immutable: bool) -> int:
        try:
            if immutable and link_file(source, path, to):
                return os.fstat(source).st_size
            return copy_file(source, to)
        finally:
            os.close(source)

    def _store(self, unit: Unit) -> None:
        boot = self._boot()
        if not boot:  # else nobody could tell after a power cut whether the copies are whole
            for file in unit.files:
                self._place.files.sync_file(self._place.path(f"{file.id}.{self._writer}.copy"))
        name = f"{unit.id}.{self._writer}.saved"
        self._place.store(replace(unit, boot=boot, synced=not boot), name, sync=not boot)


def _raise(_name: str, error: OSError | ValueError) -> None:
    raise error


def _checked_size(path: Path) -> int:
    """Bytes that a file takes. Raises ValueError unless it is a regular file, OSError."""
    os.close(open_regular(path))
    found = os.stat(path)
    return min(found.st_size, found.st_blocks * 512) if found.st_blocks else found.st_size


@functools.cache
def _types() -> mimetypes.MimeTypes:
    """None of the machine's own; made at the first file, as it takes a millisecond."""
    return mimetypes.MimeTypes()


def _entry(id_: str, name: str, size: int) -> FileEntry:
    suffix = known_suffix(Path(name).suffix)
    kind = _types().guess_type(name)[0] or ""
    return FileEntry(id=id_, size=size, type=kind, path=name, suffix=suffix, time=time.time_ns())
