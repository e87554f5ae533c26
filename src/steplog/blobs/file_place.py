"""The directory of a run's files: what is known of them, and their contents.

::

    <unit>.json               files that were taken together (Unit), whole and durable: one, some media, an artifact
    <sha256>                  a content, once however many files have it; gone once the server has it
    <sha256>.damaged          one that was found to be another than it was
    <unit>.<writer>.saved     files that were saved, and are not hashed yet (Unit)
    <file>.<writer>.copy      the copy of one of these
    <file>.<writer>.part      a content that is being written
    <writer>.lost             how many files were lost, in digits

1. A unit is written, durable, once all its contents are, under their names.
2. A ``.saved`` is written once all its copies are there. It names hashes, durable, before a copy gets its content's
   name: what is interrupted is done again.
3. Files of a living writer are its own to touch. Those of a dead one are its run's holder's.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.errors import ConfigurationError
from steplog.journal.files import Files
from steplog.journal.spool import DAMAGED_SUFFIX
from steplog.reentrant_lock import ReentrantLock

__all__ = ["FilePlace", "Unit"]

_ID = "[0-9a-f]{32}"
_UNIT = rf"({_ID})\.json"
_CONTENT = r"[0-9a-f]{64}"
_OF_WRITER = rf"({_ID})\.({_ID})\.(saved|copy|part)"
_LOST = rf"{_ID}\.lost"
_LOOK_SHARE = 20  # looks take a 20th of the time at most
_log = logging.getLogger("steplog")


class Unit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Files that were taken together.

    ``boot``: the boot id of the machine when they were copied; ``synced``: the copies are durable.
    """

    id: str
    files: tuple[FileEntry, ...] = ()
    artifact: ArtifactEntry | None = None
    boot: str = ""
    synced: bool = False

    def is_well_named(self) -> bool:
        """Whether its ids and hashes are such: they name files."""
        ids = [self.id, *(file.id for file in self.files)]
        hashes = (file.sha256 for file in self.files if file.sha256)
        return all(re.fullmatch(_ID, id_) for id_ in ids) and all(re.fullmatch(_CONTENT, one) for one in hashes)

    def is_hashed(self) -> bool:
        """Whether the contents are known."""
        return all(file.sha256 for file in self.files)


class FilePlace:
    """``directory`` may be missing: nothing is here then. None: there is no place for files."""

    def __init__(self, directory: Path | None, files: Files, clock: Callable[[], float] = time.monotonic) -> None:
        self.directory = directory
        self.files = files
        self._clock = clock
        # Never taken in log(); it guards what follows. A signal handler may come back in: what is iterated is copied.
        self._lock = ReentrantLock()
        self._look_at = float("-inf")
        self._units: dict[str, Unit] = {}
        self._known: dict[str, int] = {}  # ids of a unit that are not forgotten
        self._unit_of: dict[str, str] = {}  # by the id of a file or an artifact
        self._forgotten: set[str] = set()  # files of units of which others are left
        self._contents: set[str] = set()
        self._of_writers: dict[str, tuple[str, str, str]] = {}  # by name: id, writer, what
        self._saved: dict[str, tuple[str, ...]] = {}  # ids of files, by the name of a .saved
        self._lost: dict[str, int] = {}

    def path(self, name: str) -> Path:
        """Of one of its files. Raises OSError without a place."""
        if self.directory is None:
            raise FileNotFoundError("this process has no place for files")
        return self.directory / name

    def make(self) -> None:
        """Make the directory, durable. Raises OSError, ConfigurationError."""
        directory = self.path("unit").parent
        if not os.path.isdir(directory):
            self.files.make_private(directory)
            self.files.sync_directory(directory.parent)
            self.files.sync_directory(directory.parent.parent)

    def sync(self) -> None:
        """Make the names durable. Raises OSError."""
        self.files.sync_directory(self.path("unit").parent)

    def look(self, *, now: bool = True) -> None:
        """See what others have changed; without ``now`` not too often where that takes long. Raises nothing."""
        with self._lock:
            began = self._clock()
            if now or began >= self._look_at:
                with suppress(OSError, ConfigurationError):
                    self._look()
                ended = self._clock()
                self._look_at = ended + _LOOK_SHARE * (ended - began)

    def _look(self) -> None:
        names: set[str] = set()
        if self.directory is not None and os.path.isdir(self.directory):
            names = set(self.files.names(self.directory))
        self._contents = {name for name in names if re.fullmatch(_CONTENT, name)}
        units = {match[1] for name in names if (match := re.fullmatch(_UNIT, name))}
        for gone in self._units.keys() - units:
            self._drop(gone)
        for new in sorted(units - self._units.keys()):
            if (unit := self._loaded(f"{new}.json", new)) is not None:
                self._add(unit)
        found = {name: match for name in names if (match := re.fullmatch(_OF_WRITER, name))}
        self._of_writers = {name: (match[1], match[2], match[3]) for name, match in found.items()}
        saved = {name: match[1] for name, match in found.items() if match[3] == "saved"}
        self._saved = {name: self._saved.get(name) or self._ids_in(name, unit_id) for name, unit_id in saved.items()}
        for name in filter(re.compile(_LOST).fullmatch, names):
            if name not in self._lost:
                self._lost[name] = self._read_lost(name)

    def _ids_in(self, name: str, unit_id: str) -> tuple[str, ...]:
        unit = self._loaded(name, unit_id)
        return (unit_id,) if unit is None else tuple(file.id for file in unit.files)

    def _read_lost(self, name: str) -> int:
        try:
            return max(0, int(self.files.read(self.path(name), 0, 20)))
        except (OSError, ValueError):
            return 0

    def load(self, name: str) -> Unit | None:
        """A unit by the name of its file; None: it is none. Raises OSError."""
        return self._loaded(name, name[:32])

    def _loaded(self, name: str, unit_id: str) -> Unit | None:
        """Raises OSError; a damaged one is set aside, and said."""
        try:
            unit = msgspec.json.decode(self.files.read(self.path(name)), type=Unit)
            if unit.id == unit_id and unit.is_well_named():
                return unit
            why = "its names are none of steplog's"
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            why = str(error)
        if not name.endswith(".json"):  # cut short by a power cut, before it was durable
            return None
        aside = self.path(f"{name}{DAMAGED_SUFFIX}")
        _log.error("steplog cannot read what it knows of a file (%s); that is kept as %s.", why, aside)
        self.files.rename(self.path(name), aside)
        return None

    def _add(self, unit: Unit) -> None:
        self._units[unit.id] = unit
        ids = set(_ids_of(unit))
        self._known[unit.id] = len(ids - self._forgotten)
        self._unit_of.update(dict.fromkeys(ids, unit.id))

    def _drop(self, unit_id: str) -> None:
        unit, _ = self._units.pop(unit_id, None), self._known.pop(unit_id, None)
        for id_ in () if unit is None else _ids_of(unit):
            self._unit_of.pop(id_, None)
            self._forgotten.discard(id_)

    def units(self) -> list[Unit]:
        """What is known, without the files that are forgotten; oldest first."""
        with self._lock:
            found = [self._without_forgotten(unit) for unit in list(self._units.values())]
        return sorted(found, key=_time_of)

    def _without_forgotten(self, unit: Unit) -> Unit:
        if not self._forgotten or unit.artifact is not None:
            return unit
        left = tuple(file for file in unit.files if file.id not in self._forgotten)
        return unit if len(left) == len(unit.files) else msgspec.structs.replace(unit, files=left)

    def store(self, unit: Unit, name: str | None = None, *, sync: bool = True) -> None:
        """Write a unit, durable but for its directory; as ``.json`` it is known then. Raises OSError."""
        path = self.path(name or f"{unit.id}.json")
        scratch = path.with_name(f".{path.name}.new")
        self.files.unlink(scratch)
        descriptor = self.files.create(scratch)
        try:
            self.files.write_all(descriptor, msgspec.json.encode(unit))
            if sync:
                self.files.sync(descriptor)
        finally:
            self.files.close(descriptor)
        self.files.rename(scratch, path)
        with self._lock:
            if name is None:
                self._add(unit)
            else:
                id_, _, rest = name.partition(".")
                self._of_writers[name] = (id_, rest.partition(".")[0], "saved")
                self._saved[name] = tuple(file.id for file in unit.files)

    def remove(self, name: str) -> None:
        """Remove a ``.saved``, ``.copy`` or ``.part``. Raises OSError."""
        self.files.unlink(self.path(name))
        with self._lock:
            self._of_writers.pop(name, None)
            self._saved.pop(name, None)

    def put(self, name: str, sha256: str) -> None:
        """Have what was written as ``name`` be a content. Raises OSError."""
        self.files.rename(self.path(name), self.path(sha256))
        with self._lock:
            self._of_writers.pop(name, None)
            self._contents.add(sha256)

    def of_writers(self) -> list[tuple[str, str, str, str]]:
        """The names of what is not known yet; each with its id, writer, and "saved", "copy" or "part"."""
        with self._lock:
            return [(name, *found) for name, found in sorted(self._of_writers.items())]

    def forget(self, ids: Iterable[str]) -> None:
        """The server knows of these files and artifacts. Raises OSError."""
        with self._lock:
            new = (set(ids) & self._unit_of.keys()) - self._forgotten
            self._forgotten |= new
            touched = {self._unit_of[id_] for id_ in new}
            for id_ in new:
                self._known[self._unit_of[id_]] -= 1
            done = [unit_id for unit_id in touched if self._known[unit_id] <= 0]
        for unit_id in done:
            self.files.unlink(self.path(f"{unit_id}.json"))
            with self._lock:
                self._drop(unit_id)

    def discard(self, sha256: str) -> None:
        """Remove a content. Raises OSError."""
        self.files.unlink(self.path(sha256))
        with self._lock:
            self._contents.discard(sha256)

    def set_aside(self, sha256: str) -> tuple[Path, int]:
        """Keep a content as damaged, and forget what has it; where, and how many files that are. Raises OSError."""
        aside = self.path(f"{sha256}{DAMAGED_SUFFIX}")
        with suppress(FileNotFoundError):
            self.files.rename(self.path(sha256), aside)
        with self._lock:
            self._contents.discard(sha256)
            units = [unit for unit in list(self._units.values()) if any(file.sha256 == sha256 for file in unit.files)]
            damaged = [file.id for unit in units for file in unit.files if file.sha256 == sha256]
            damaged = [id_ for id_ in damaged if id_ not in self._forgotten]
        for unit in units:
            if unit.artifact is None:
                continue
            name = f"{unit.id}.json"
            self.files.rename(self.path(name), self.path(f"{name}{DAMAGED_SUFFIX}"))
            with self._lock:
                self._drop(unit.id)
        self.forget(damaged)
        return aside, len(damaged)

    def has(self, sha256: str) -> bool:
        """Whether a content is here."""
        return self.directory is not None and os.path.lexists(self.directory / sha256)

    def ids(self) -> set[str]:
        """The ids of files and artifacts that are not forgotten, and of copies."""
        self.look(now=False)
        if not (found := self._ids()):
            self.look()  # others may have added some
            found = self._ids()
        return found

    def _ids(self) -> set[str]:
        with self._lock:
            return (self._unit_of.keys() - self._forgotten).union(*self._saved.values())

    def left(self) -> int:
        """Files whose content is here, or of which the server does not know; with those that are not hashed."""
        self.look(now=False)
        if (count := self._left()) == 0:
            self.look()  # others may have added some
            count = self._left()
        return count

    def _left(self) -> int:
        with self._lock:
            known = sum(max(1, self._here(unit)) for unit in list(self._units.values()))
            # A unit is there before its .saved is removed.
            return known + sum(len(ids) for name, ids in list(self._saved.items()) if name[:32] not in self._units)

    def _here(self, unit: Unit) -> int:
        unit = self._without_forgotten(unit)
        return sum(file.sha256 in self._contents for file in unit.files)

    def bytes_left(self) -> int:
        """Bytes of the contents that are here, and of copies that are not hashed."""
        self.look(now=False)
        with self._lock:
            sizes = {file.sha256: file.size for unit in list(self._units.values()) for file in unit.files}
            known = sum(size for sha256, size in sizes.items() if sha256 in self._contents)
            copies = [name for name, found in list(self._of_writers.items()) if found[2] == "copy"]
        return known + sum(self._sizes(copies))

    def _sizes(self, names: Iterable[str]) -> Iterator[int]:
        for name in names:
            with suppress(OSError):  # hashed meanwhile
                yield self.files.size(self.path(name))

    def add_lost(self, writer: str, count: int) -> None:
        """Count files that are lost; raises nothing: without a disk this process alone knows it."""
        name, told = f"{writer}.lost", 0
        with self._lock:
            wanted = self._lost[name] = self._lost.get(name, 0) + count
        with suppress(OSError, ConfigurationError):
            while told != wanted:  # another thread may have counted meanwhile, and written before this one
                self.files.replace(self.path(name), str(wanted).encode())
                told, wanted = wanted, self._lost[name]

    def lost(self) -> int:
        """How many files are lost."""
        self.look(now=False)
        with self._lock:
            return sum(self._lost.values())


def _time_of(unit: Unit) -> tuple[int, str]:
    if unit.artifact is not None:
        return unit.artifact.time, unit.id
    return min((file.time for file in unit.files), default=0), unit.id


def _ids_of(unit: Unit) -> list[str]:
    return [*(file.id for file in unit.files), *([] if unit.artifact is None else [unit.artifact.id])]
