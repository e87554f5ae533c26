"""A run's directories, and writers that have files in it: living, dead, of other processes."""

from __future__ import annotations

from pathlib import Path

from steplog.blobs.entries import FileEntry
from steplog.blobs.room import Room
from steplog.blobs.waiting_files import WaitingFiles
from steplog.file_lock import FileLock
from steplog.journal.directories import JournalRoots, RunPaths, new_id
from steplog.journal.files import Files
from steplog.media_value import Content
from steplog.private_files import make_private

__all__ = ["Clock", "Host", "Writing", "a_content", "contents_of"]


class Clock:
    """Seconds that pass by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Writing:
    """A writer with its directories and lock, and the files that it has."""

    def __init__(self, host: Host, *, shared: bool = True) -> None:
        self.id = new_id()
        self.directory = host.paths.memory / self.id if shared and host.paths.memory is not None else None
        place = self.directory or host.paths.spool / self.id
        make_private(place)
        self.lock = FileLock.take(place / "alive")
        self.files = WaitingFiles(
            host.paths, self.id, room=host.room(), directory=lambda: self.directory, files=host.files, clock=host.clock
        )

    def die(self) -> None:
        """As if killed: its lock is free."""
        assert self.lock is not None
        self.lock.release()


class Host:
    """One run on one machine."""

    def __init__(
        self,
        memory: Path | None,
        disk: Path,
        files: Files | None = None,
        memory_bytes_max: int | None = None,
        bytes_max: int | None = None,
    ) -> None:
        self.clock = Clock()
        self.files = files or Files()
        self.disk = disk
        self.memory = memory
        self.bounds = memory_bytes_max, bytes_max
        roots = JournalRoots(memory, disk, "0" * 16)
        self.paths: RunPaths = roots.run(new_id())
        for directory in self.paths.directories():
            make_private(directory)

    def room(self) -> Room:
        """A process's."""
        return Room(self.memory, self.disk, *self.bounds, self.clock)

    def holder(self) -> WaitingFiles:
        """Of the process that has the run's lease, and writes nothing."""
        found = WaitingFiles(self.paths, room=self.room(), files=self.files, clock=self.clock)
        found.hold()
        return found

    def names(self) -> list[str]:
        """What is in the directory of the files."""
        directory = self.paths.spool / "files"
        return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def a_content(data: bytes = b"some pixels", **fields: object) -> Content:
    """Media whose bytes are the file."""
    return Content("image", "image/png", ".png", [data], fields)


def contents_of(files: WaitingFiles) -> list[bytes]:
    """What the known files hold, in their order."""
    return [_whole(files, entry) for entry in files.entries()]


def _whole(files: WaitingFiles, entry: FileEntry) -> bytes:
    return files.read(entry.sha256, 0, entry.size)
