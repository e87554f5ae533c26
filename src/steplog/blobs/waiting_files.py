"""The files of one run that wait on this machine.

::

    <memory>/<run>/<writer>/<id>.media    what log() took, as its caller had it, until it is a file on disk (raw_media)
    <spool>/<run>/files/                  files, and their contents (file_place); below <memory> without a disk

A value is copied to memory in ``log``, and never to the disk there; ``save`` copies to disk. Then a thread makes files
of both (intake): from there on a power cut loses nothing. What the server has is removed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.blobs.file_place import FilePlace
from steplog.blobs.intake import Intake, hash_of
from steplog.blobs.media_memory import MediaMemory, media_in
from steplog.blobs.room import Room
from steplog.blobs.saving import Saving
from steplog.errors import ConfigurationError
from steplog.journal.directories import RunPaths, new_id
from steplog.journal.files import Files
from steplog.journal.jsonable import NoRoomError
from steplog.journal.memory import FILES_NAME
from steplog.media_value import Content
from steplog.reentrant_lock import ReentrantLock

__all__ = ["WaitingFiles"]


class WaitingFiles:
    """Of the run at ``paths``, for ``writer`` of this process; without one it takes nothing, and reads.

    Attributes:
        on_kept: called in ``log`` and ``save`` when there is something to take in.
        on_drop: called where ``save`` finds no room.
        on_private: called once, in ``log``, when the first copy is in private memory.
        on_taken: called, in ``log`` too, with how many files this writer took, and how many of them a kill would lose.
    """

    def __init__(
        self,
        paths: RunPaths,
        writer: str = "",
        *,
        room: Room | None = None,
        directory: Callable[[], Path | None] = lambda: None,
        files: Files | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.paths = paths
        self.taken = 0
        self._counting = ReentrantLock()  # taken in log(), for a moment; a signal handler may come back in
        self.on_kept: Callable[[], None] = lambda: None
        self.on_drop: Callable[[], None] = lambda: None
        self._was_private = False
        self.on_private: Callable[[], None] = lambda: None
        self.on_taken: Callable[[int, int], None] = lambda taken, private: None
        self.writer = writer or new_id()
        above = paths.spool if paths.on_disk else paths.memory
        self.room = room or Room(None if paths.memory is None else paths.memory.parent, paths.spool.parent, clock=clock)
        self._place = FilePlace(None if above is None else above / FILES_NAME, files or Files(), clock)
        self._media = MediaMemory(directory, self.room)
        self._saving = Saving(self._place, self.writer, self.room)
        self._intake = Intake(paths, self._place, self._media, self.writer, self.room, clock)
        self._taking_in = ReentrantLock()  # never taken in log()
        self._taken_by = 0  # the thread that has it

    def keep(self, content: Content) -> str:
        """Copy what a value's file is made of to memory; its id. Called in ``log``.

        Raises NoRoomError, TooLargeToLogError.
        """
        if self._place.directory is None:
            raise NoRoomError("this process has neither shared memory nor a disk")
        id_ = self._media.keep(content)
        self._count(1)
        if self._media.private_count() and not self._was_private:
            self._was_private = True
            self.on_private()
        self.on_kept()
        return id_

    def discard(self, id_: str) -> None:
        """The record of a value that was kept was not taken: remove it."""
        self._media.remove(id_)
        self._count(-1)

    def save(self, path: Path, name: str, *, immutable: bool = False) -> FileEntry:
        """Copy a file; takes as long as a copy. Raises OSError, ValueError; NoRoomError, counted."""
        with self._dropping():
            entry = self._saving.save(path, name, immutable)
        self._saved(1)
        return entry

    def save_artifact(
        self,
        entry: ArtifactEntry,
        files: Sequence[tuple[str, Path]],
        *,
        immutable: bool = False,
        on_gone: Callable[[str, OSError | ValueError], None] | None = None,
    ) -> ArtifactEntry:
        """Copy the files of an artifact, each with its path there; all or none. Raises as ``save``.

        ``on_gone`` is told of a file that cannot be opened, which is left out then unless it raises the error.
        """
        with self._dropping():
            entry = self._saving.save_artifact(entry, files, immutable, on_gone)
        self._saved(entry.count)
        return entry

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except NoRoomError:
            self.on_drop()
            raise

    def _saved(self, count: int) -> None:
        self._count(count)
        self.on_kept()

    def _count(self, count: int) -> None:
        with self._counting:
            self.taken += count
            self.on_taken(self.taken, self._media.private_count())

    @property
    def trouble(self) -> str | None:
        """Why what was taken does not become files; None while it does."""
        return self._intake.trouble

    @property
    def retry_at(self) -> float | None:
        """When ``take_in`` tries again."""
        return self._intake.retry_at

    def at_risk(self) -> int:
        """How many files a kill, or the end of this process, would lose: their copies are in private memory."""
        return self._media.private_count()

    def secure(self) -> None:
        """At the end of the process: take in what is in private memory."""
        while self.at_risk() and self.take_in():
            pass

    def has_work(self) -> bool:
        """Whether ``take_in`` may have something to do."""
        return self._intake.has_work()

    def hand_over(self) -> None:
        """Another process takes this writer for dead, and what it has in shared memory."""
        self._media.hand_over()

    def end(self) -> None:
        """The run is removed from this machine: take in nothing more."""
        self._intake.ended = True
        for id_ in self._media.waiting():
            self._media.remove(id_)

    def hold(self) -> None:
        """This process has the run's lease: take in what dead writers have left, too."""
        self._intake.holds = True

    def leave(self) -> None:
        """Another process has the lease."""
        self._intake.holds = False

    def take_in(self) -> bool:
        """Encode, hash and write to disk the next of what was copied; whether there was any. Takes long."""
        if self._taken_by == threading.get_ident():  # a signal handler came here while its thread does this
            return False
        with self._taking_in:
            self._taken_by = threading.get_ident()
            private = self._media.private_count()
            try:
                found = self._intake.step()
            finally:
                self._taken_by = 0
        if private:
            self._count(0)
        return found

    def entries(self) -> list[FileEntry]:
        """The files whose content is known, oldest first; without those of artifacts."""
        self._place.look(now=False)
        return [file for unit in self._place.units() if unit.artifact is None for file in unit.files]

    def artifacts(self) -> list[tuple[ArtifactEntry, list[FileEntry]]]:
        """The artifacts whose content is known, with their files, oldest first."""
        self._place.look(now=False)
        units = self._place.units()
        return [(unit.artifact, list(unit.files)) for unit in units if unit.artifact is not None]

    def has(self, sha256: str) -> bool:
        """Whether a content is here; one of an entry that is not here has been delivered."""
        return self._place.has(sha256)

    def read(self, sha256: str, offset: int, size: int) -> bytes:
        """Part of a content. Raises OSError."""
        return self._place.files.read(self._place.path(sha256), offset, size)

    def path(self, sha256: str) -> Path:
        """Where a content is, if it is here. Raises OSError where there is no place for any."""
        return self._place.path(sha256)

    def rehash(self, sha256: str) -> bool:
        """Whether a content still has this hash. Raises OSError."""
        return hash_of(self._place, sha256)[0] == sha256

    def set_aside(self, sha256: str) -> Path:
        """A content has another hash by now: forget its files, counted as lost; where it is. Raises OSError."""
        path, count = self._place.set_aside(sha256)
        self._place.add_lost(self.writer, count)
        return path

    def delivered(self, sha256: str) -> None:
        """The server has a content: remove it. Raises OSError."""
        if self._place.directory is not None:
            self._place.discard(sha256)

    def forget(self, ids: Iterable[str]) -> None:
        """The server knows of these files and artifacts, and has their contents: remove the entries. Raises OSError."""
        self._place.forget(ids)

    def ids(self) -> set[str]:
        """The ids of the files and artifacts that are here, and not forgotten; what is to be taken in included."""
        media = self._ids_in_memory()  # first: what is not there any more is a file
        return self._place.ids() | media

    def left(self) -> int:
        """How many files are not delivered; what is yet to be taken in included."""
        media = self._ids_in_memory()
        left = self._place.left()
        return left + len(media - self._place.ids() if media else media)

    def bytes_left(self) -> int:
        """Bytes of contents that are not delivered; without media in memory."""
        return self._place.bytes_left()

    def lost(self) -> int:
        """How many files were lost after they had been taken."""
        return self._place.lost()

    def _ids_in_memory(self) -> set[str]:
        """Media of all writers."""
        memory, found = self.paths.memory, set(self._media.waiting())
        for writer in () if memory is None else self.paths.writers():
            with suppress(OSError, ConfigurationError):
                if memory is not None and writer != self.writer:
                    found.update(media_in(memory / writer))
        return found
