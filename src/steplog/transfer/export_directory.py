"""A directory with a file for each run, and what is in it: ``.steplog-export.jsonl``.

Its lines are appended. The last for a run and a format counts; one that is cut counts as none::

    {"id", "format", "name", "file"}                   the file is ours from now on
    {"id", "format", "name", "file", "bytes", "of"}    it is whole; ``of`` says of what

The listing of a run's files has the id ``<id>/files``. The contents are in the folder ``files``, and not in these
lines: their names say what they are.

1. A file that is not in it is never replaced.
2. A file is *current*, and the run need not be read again, where ``of`` is the same and it has still so many bytes.
3. One process at a time writes into a directory.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from steplog.errors import ConfigurationError
from steplog.transfer.file_names import stems_of
from steplog.transfer.whole_file import NamedFile, scratch_of, whole_directory, whole_file

__all__ = ["STATE_NAME", "ExportDirectory", "Place"]

STATE_NAME = ".steplog-export.jsonl"


class Place(NamedTuple):
    """Where a run of this id and name is written."""

    id: str
    name: str
    path: Path


class _Entry(msgspec.Struct, omit_defaults=True):
    id: str
    format: str
    name: str
    file: str
    bytes: int | None = None
    of: str = ""


class ExportDirectory:
    """The directory ``path``, made where it is missing. Raises OSError, ConfigurationError if another writes into it.

    Args:
        kind: the format.
        ending: of the files' names; "" for a directory each.
    """

    def __init__(self, path: Path, kind: str, ending: str) -> None:
        self.path, self._kind, self._ending = path, kind, ending
        with _as_directory(path):
            path.mkdir(parents=True, exist_ok=True)
        self._state: BinaryIO = open(path / STATE_NAME, "a+b")  # noqa: SIM115 - closed by close()
        try:
            with _without_locks():
                fcntl.flock(self._state, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._state.close()
            raise ConfigurationError(f"another export writes into {path}; wait for its end") from None
        self._state.seek(0)
        self._entries: dict[str, _Entry] = {}
        self._ours: set[str] = set()
        lines = self._state.read().split(b"\n")
        if lines[-1]:  # cut
            self._state.write(b"\n")
        for line in lines:
            with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                self._take(msgspec.json.decode(line, type=_Entry))

    def places(self, runs: Iterable[tuple[str, str]]) -> list[Place]:
        """Where these runs (id, name) belong: where they are, unless they have another name by now."""
        named = dict(runs)
        kept = {run: entry for run, entry in self._entries.items() if named.get(run, entry.name) == entry.name}
        taken = [entry.file.removesuffix(self._ending) for entry in kept.values()]
        stems = stems_of([each for each in named.items() if each[0] not in kept], taken)
        files = {run: f"{stem}{self._ending}" for run, stem in stems.items()}
        files |= {run: entry.file for run, entry in kept.items()}
        return [Place(run, name, self.path / files[run]) for run, name in named.items()]

    def beside(self, place: Place, name: str) -> Place:
        """Where the listing of a run's files belongs, under this name beside its table."""
        return Place(f"{place.id}/files", place.name, self.path / name)

    def has(self, place: Place) -> bool:
        """Whether something was written there."""
        return place.id in self._entries

    def is_current(self, place: Place, of: str) -> bool:
        """Whether the file of a run is there, and is ``of`` this."""
        entry = self._entries.get(place.id)
        return (
            entry is not None and (entry.of, entry.file) == (of, place.path.name) and _size(place.path) == entry.bytes
        )

    @contextmanager
    def file(self, place: Place, of: str) -> Iterator[NamedFile]:
        """A file for a run, there at the end. Raises OSError, FileExistsError where one is that is not ours."""
        with self._claimed(place, of), whole_file(place.path, scratch_of(place.path)) as file:
            yield file

    @contextmanager
    def directory(self, place: Place, of: str) -> Iterator[Path]:
        """The same with a directory."""
        with self._claimed(place, of), whole_directory(place.path, scratch_of(place.path)) as path:
            yield path

    def close(self) -> None:
        """Let others write into it."""
        self._state.close()

    @contextmanager
    def _claimed(self, place: Place, of: str) -> Iterator[None]:
        name, before = place.path.name, self._entries.get(place.id)
        if name not in self._ours and os.path.lexists(place.path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place.path))
        self._note(_Entry(place.id, self._kind, place.name, name))
        yield
        self._note(_Entry(place.id, self._kind, place.name, name, _size(place.path), of))
        if before is not None and all(entry.file != before.file for entry in self._entries.values()):
            _remove(self.path / before.file)

    def _note(self, entry: _Entry) -> None:
        self._state.write(msgspec.json.encode(entry) + b"\n")
        self._state.flush()
        self._take(entry)

    def _take(self, entry: _Entry) -> None:
        if entry.format == self._kind and Path(entry.file).name == entry.file:
            self._entries[entry.id] = entry
        self._ours.add(entry.file)


@contextmanager
def _without_locks() -> Iterator[None]:
    """A file system without locks has none."""
    try:
        yield
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise


@contextmanager
def _as_directory(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None


def _size(path: Path) -> int | None:
    """The bytes of a file, or of all files in a directory; None where there is none."""
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    with suppress(OSError):
        return path.stat().st_size
    return None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
