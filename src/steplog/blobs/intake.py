"""What was taken becomes files: media are encoded, copies made durable and hashed (see file_place).

A process takes in what is its own. The holder of the run's lease does so for writers that died.

After an error of the disk the next attempt is a second later, then two, up to half a minute: what was taken stays in
memory meanwhile, or as a copy. A write is never synced again after its sync failed: it is done anew.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from steplog.blobs.entries import FileEntry, known_suffix
from steplog.blobs.file_place import FilePlace, Unit
from steplog.blobs.media_memory import MediaMemory, media_in
from steplog.blobs.raw_media import RawMedia, parsed
from steplog.blobs.room import Room
from steplog.descriptors import words
from steplog.errors import ConfigurationError, FormatError
from steplog.file_lock import FileLock
from steplog.host import boot_id
from steplog.journal.directories import RunPaths
from steplog.journal.memory import MEDIA_SUFFIX
from steplog.media.encoding import encode
from steplog.private_files import read_private, unlink_private

__all__ = ["Intake", "hash_of"]

_PART_BYTES = 1024 * 1024
_BATCH_FILES = 32  # of media, with two syncs of the directory
_BATCH_BYTES = 32 * 1024 * 1024
_RETRY_MIN_S, _RETRY_MAX_S = 1.0, 30.0
_DEAD_INTERVAL_S = 1.0
_NOT_DURABLE = "not on disk yet when the machine stopped"
_log = logging.getLogger("steplog")


def hash_of(place: FilePlace, name: str, between: Callable[[], object] = lambda: None) -> tuple[str, int]:
    """SHA-256 and size of one of its files; ``between`` is called after each part. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    while data := place.files.read(place.path(name), size, _PART_BYTES):
        digest.update(data)
        size += len(data)
        between()
    return digest.hexdigest(), size


class Intake:
    """Of one run, for ``writer``; ``holds``: for those that died, too. One thread at a time."""

    def __init__(
        self,
        paths: RunPaths,
        place: FilePlace,
        media: MediaMemory,
        writer: str,
        room: Room,
        clock: Callable[[], float] = time.monotonic,
        boot: Callable[[], str] = boot_id,
    ) -> None:
        self.holds = self.ended = False
        self.trouble: str | None = None  # why the disk takes nothing
        self.retry_at: float | None = None
        self._paths = paths
        self._place = place
        self._media = media
        self._writer = writer
        self._room = room
        self._clock = clock
        self._boot = boot
        self._retry_s = _RETRY_MIN_S
        self._dead_at = float("-inf")
        self._failed: set[str] = set()  # units of copies that the disk would not take in
        self._settled: set[str] = set()  # dead writers without media in memory

    def step(self) -> bool:
        """Take in the next batch of media, or unit of copies; whether there was any."""
        if self.ended or (self.retry_at is not None and self._clock() < self.retry_at):
            return False
        try:
            found = self._take_in()
        except (OSError, ConfigurationError) as error:
            self._wait(words(error))
            return False
        if found:
            self.trouble, self.retry_at, self._retry_s = None, None, _RETRY_MIN_S
        return found

    def _wait(self, trouble: str) -> None:
        self.trouble = trouble
        self.retry_at = self._clock() + self._retry_s
        self._retry_s = min(2 * self._retry_s, _RETRY_MAX_S)

    def has_work(self) -> bool:
        """Whether there may be something to take in."""
        if self.ended:
            return False
        if self._media.waiting() or self._own_saved() is not None:
            return True
        return self.holds and self._clock() >= self._dead_at and self._find_dead() is not None

    def _take_in(self) -> bool:
        own = self._media.waiting()
        if own:
            return self._take_media(own, self._media.read, self._media.remove)
        if (name := self._own_saved()) is not None:
            self._attempt_saved(name, self._writer)
            return True
        if not self.holds or self._clock() < self._dead_at:
            return False
        work = self._find_dead()
        if work is None:
            self._dead_at = self._clock() + _DEAD_INTERVAL_S
            return False
        work()
        return True

    def _own_saved(self) -> str | None:
        return self._first_saved({self._writer})

    def _first_saved(self, writers: set[str]) -> str | None:
        """The first unit of copies, but those that failed last: they are not to hold up the others."""
        found = [name for name, _, writer, what in self._place.of_writers() if what == "saved" and writer in writers]
        return next((name for name in found if name not in self._failed), found[0] if found else None)

    def _attempt_saved(self, name: str, writer: str) -> None:
        try:
            self._take_saved(name, writer)
        except OSError:
            self._failed.add(name)
            raise
        self._failed.discard(name)

    def _take_media(self, ids: list[str], read: Callable[[str], bytes | None], remove: Callable[[str], None]) -> bool:
        """Take in the first of these media, as far as one batch goes; whether there was any."""
        files: dict[str, FileEntry] = {}
        size = 0
        self._place.make()
        for id_ in ids[:_BATCH_FILES]:
            try:
                size += self._take_one(id_, read, remove, files)
            except (OSError, ConfigurationError, MemoryError):
                if not files:
                    raise
                break
            if size >= _BATCH_BYTES:
                break
        if files:
            self._place.sync()
            first = next(iter(files))
            self._place.store(Unit(id=first, files=tuple(files.values())))
            self._place.sync()
        for id_ in files:
            remove(id_)
        return True

    def _take_one(
        self,
        id_: str,
        read: Callable[[str], bytes | None],
        remove: Callable[[str], None],
        files: dict[str, FileEntry],
    ) -> int:
        """Add the file of one value to ``files``; how many bytes were read. Raises OSError."""
        data = read(id_)
        if data is not None and not self._room.leaves_disk(len(data)):
            raise OSError(
                f"files take all of the {self._room.bytes_max()} bytes that they may (STEPLOG_BLOB_BYTES_MAX)"
            )
        try:
            if data is None:
                raise FormatError("removed from memory before it was on disk")
            files[id_] = self._write(*parsed(data))
        except FormatError as error:
            remove(id_)
            self._lose(1, str(error))
        return 0 if data is None else len(data)

    def _write(self, raw: RawMedia, content: memoryview) -> FileEntry:
        """Make the file of a value. Raises OSError; FormatError: nothing can be made of it."""
        name = f"{raw.id}.{self._writer}.part"
        files, path = self._place.files, self._place.path(name)
        files.unlink(path)
        digest, size = hashlib.sha256(), 0
        descriptor = files.create(path)

        def write(data: bytes) -> None:
            nonlocal size
            files.write_all(descriptor, data)
            digest.update(data)
            size += len(data)

        try:
            encode(raw.encoding, content, write)
            files.sync(descriptor)
        except (OSError, MemoryError):
            with suppress(OSError):
                files.unlink(path)
            raise
        except Exception as error:
            files.unlink(path)
            raise FormatError(
                f"it cannot be made of what was logged: {type(error).__name__}: {error!s:.200}"
            ) from error
        finally:
            files.close(descriptor)
        sha256 = digest.hexdigest()
        self._place.put(name, sha256)
        self._room.change_disk(size)
        return FileEntry(
            id=raw.id, sha256=sha256, size=size, type=raw.type, suffix=known_suffix(raw.suffix), time=raw.time
        )

    def _take_saved(self, name: str, writer: str) -> None:
        """Take in copies that are one unit. Raises OSError."""
        place = self._place
        if not place.files.exists(place.path(name)):  # another process has taken it in
            place.remove(name)
            return
        unit = place.load(name)
        if unit is None:
            self._lose(1, _NOT_DURABLE)
            place.remove(name)  # its copies are swept
            return
        if not unit.is_hashed():
            if (why := self._why_lost(unit, writer)) is not None:
                self._lose(len(unit.files), why)
                for file in unit.files:
                    place.remove(f"{file.id}.{writer}.copy")
                place.remove(name)
                return
            unit = self._hashed(unit, name, writer)
        for file in unit.files:
            copy = f"{file.id}.{writer}.copy"
            if place.files.exists(place.path(copy)):
                place.put(copy, file.sha256)
        place.sync()
        place.store(unit if unit.artifact is None else _digested(unit))
        place.sync()
        place.remove(name)

    def _why_lost(self, unit: Unit, writer: str) -> str | None:
        """Why copies cannot be taken in; None: they can."""
        # The disk of another host is shared, and has what was closed there.
        if not unit.synced and unit.boot != self._boot() and self._paths.other_host is None:
            return _NOT_DURABLE
        copies = (self._place.path(f"{file.id}.{writer}.copy") for file in unit.files)
        return None if all(map(self._place.files.exists, copies)) else "its copy was removed"

    def _hashed(self, unit: Unit, name: str, writer: str) -> Unit:
        """The unit with hashes, stored. Raises OSError."""
        place = self._place
        copies = [f"{file.id}.{writer}.copy" for file in unit.files]
        if not unit.synced:
            for copy in copies:
                place.files.sync_file(place.path(copy))
            place.sync()
            unit = replace(unit, synced=True)
            place.store(unit, name)
        found = [hash_of(place, copy, self._make_room) for copy in copies]
        pairs = zip(unit.files, found, strict=True)
        unit = replace(unit, files=tuple(replace(file, sha256=sha256, size=size) for file, (sha256, size) in pairs))
        place.store(unit, name)
        place.sync()
        return unit

    def _make_room(self) -> None:
        """Take in media while a large file is hashed, when they would soon find no memory. Raises OSError."""
        if self._media.waiting() and self._room.is_half_full():
            self._take_media(self._media.waiting(), self._media.read, self._media.remove)

    def _find_dead(self) -> Callable[[], object] | None:
        """What to do next with what dead writers have left; None: nothing."""
        return self._dead_media() or self._dead_copies()

    def _dead_media(self) -> Callable[[], object] | None:
        memory = self._paths.memory
        for writer in self._paths.writers() if memory is not None else ():
            if memory is None or writer == self._writer or writer in self._settled:
                continue
            directory = memory / writer
            with suppress(OSError, ConfigurationError):
                if self._is_dead(writer):
                    if ids := media_in(directory):  # after it died: there will be no more
                        return partial(self._take_media, ids, partial(_read, directory), partial(_remove, directory))
                    self._settled.add(writer)
        return None

    def _dead_copies(self) -> Callable[[], object] | None:
        """To take in a unit of a dead writer, or to sweep a copy that belongs to none."""
        self._place.look(now=False)
        left = self._place.of_writers()
        dead = {
            writer
            for writer in {writer for _, _, writer, _ in left}
            if writer != self._writer and self._is_dead(writer)
        }
        if (saved := self._first_saved(dead)) is not None:
            return partial(self._attempt_saved, saved, saved.split(".")[1])
        if self._paths.other_host is not None:  # whose processes cannot be seen
            return None
        return next((partial(self._place.remove, name) for name, _, writer, _ in left if writer in dead), None)

    def _is_dead(self, writer: str) -> bool:
        """Whether nobody can go on with what it has begun: it holds ``alive`` from before its first file on."""
        for directory in self._paths.directories():
            try:
                if not FileLock.is_free(directory / writer / "alive"):
                    return False
            except (FileNotFoundError, NotADirectoryError):
                continue
        return True

    def _lose(self, count: int, why: str) -> None:
        self._place.add_lost(self._writer, count)
        _log.error("steplog lost %s of run %s: %s. That is counted.", _files(count), self._paths.local_id[:8], why)


def _digested(unit: Unit) -> Unit:
    """With the digest of the artifact, and what it has."""
    if unit.artifact is None:
        return unit
    lines = sorted(f"{file.sha256} {file.path}\n" for file in unit.files)
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    size = sum(file.size for file in unit.files)
    return replace(unit, artifact=replace(unit.artifact, digest=digest, count=len(unit.files), size=size))


def _read(directory: Path, id_: str) -> bytes | None:
    try:
        return read_private(directory / f"{id_}{MEDIA_SUFFIX}")
    except FileNotFoundError:
        return None


def _remove(directory: Path, id_: str) -> None:
    with suppress(OSError):
        unlink_private(directory / f"{id_}{MEDIA_SUFFIX}")


def _files(count: int) -> str:
    return "a file" if count == 1 else f"{count:,} files"
