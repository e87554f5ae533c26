"""The quarantine: records that the server refuses for good, in a file ``quarantine`` in the run's spool directory.

One JSON object a line: writer, position, name, value, step, time, and what the server said. A record counts as
quarantined once its line is synced. Whoever delivers the run later reads the file first. Lines that it finds may not
have been synced, so it writes them again.

The disk may stall, so a line is *owed* until maintenance has written it, under no lock. After a failed write or sync
the end of the file is not known, so the next line goes into a new file, with those before it, which replaces the old.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import msgspec

from steplog.delivery import wire
from steplog.delivery.tickets import Quarantine, Quarantined
from steplog.errors import ConfigurationError
from steplog.journal.files import Files
from steplog.journal.spool import DAMAGED_SUFFIX
from steplog.private_files import read_private

__all__ = ["QuarantineFile", "QuarantinedLine", "kept_aside", "quarantined_lines"]

_NAME = "quarantine"


def kept_aside(spool: Path) -> list[Path]:
    """The files of a run that hold what cannot be delivered: refused by the server, or damaged."""
    return [*spool.glob(_NAME), *spool.glob(f"*/*{DAMAGED_SUFFIX}")]


class QuarantinedLine(msgspec.Struct, frozen=True):
    """A record as it is in the file; ``server``: its words."""

    writer: str
    position: int
    name: str
    value: Any
    step: int | None
    time_ns: int
    server: str


def quarantined_lines(spool: Path) -> Iterator[QuarantinedLine]:
    """The whole lines of a run's file, if there is one."""
    try:
        data = read_private(spool / _NAME)
    except OSError:
        return
    for text in data.splitlines():
        with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            yield msgspec.json.decode(text, type=QuarantinedLine)


class _Line(msgspec.Struct, frozen=True):
    writer: str
    position: int


class QuarantineFile:
    """The records of one run that are in quarantine."""

    def __init__(self, directory: Path, files: Files | None = None) -> None:
        self.path = directory / _NAME
        self._files = files or Files()
        self._takes_more = False  # it is on the disk as it is, so that a line can be appended
        self._safe: set[_Line] = set()
        self.owed: list[Quarantine] = []

    def open(self) -> None:
        """Read what is in quarantine; nothing where that cannot be read, or not be synced."""
        try:
            lines = self._lines()
            if lines and not self._takes_more:
                self._replace(lines)
        except (OSError, ConfigurationError):
            return
        self._safe.update(lines)

    def positions(self, writer: str) -> set[int]:
        """The positions of this writer's records that are in quarantine."""
        return {line.position for line in self._safe if line.writer == writer}

    def put(self, action: Quarantine) -> None:
        """Keep the record, at the next ``write``."""
        self.owed.append(action)

    def write(self, lock: AbstractContextManager[object]) -> list[Quarantined]:
        """Write what is owed; for each record, whether it is safe."""
        with lock:
            owed, self.owed = self.owed, []
        if not owed:
            return []
        found = {
            _Line(one.record.writer, item.position): _text(one.record.writer, item, one.words)
            for one in owed
            for item in wire.records(one.record)
        }
        safe = self._put(found)
        with lock:
            self._safe.update(found if safe else ())
        return [Quarantined(one.record, safe) for one in owed]

    def _put(self, found: dict[_Line, bytes]) -> bool:
        try:
            if self._takes_more:
                self._write(self._files.open(self.path), found)
            else:
                self._replace(self._lines() | found)
        except (OSError, ConfigurationError):
            self._takes_more = False
            return False
        return True

    def _lines(self) -> dict[_Line, bytes]:
        """The whole lines; a line that was cut short is of a record that is still in the journal."""
        try:
            data = self._files.read(self.path)
        except FileNotFoundError:
            return {}
        found = {}
        for text in data.splitlines(keepends=True):
            with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                found[msgspec.json.decode(text, type=_Line)] = text.rstrip(b"\n") + b"\n"
        return found

    def _replace(self, lines: dict[_Line, bytes]) -> None:
        directory, scratch = self.path.parent, self.path.with_suffix(".new")
        self._files.make_private(directory)
        self._files.unlink(scratch)
        self._write(self._files.create(scratch), lines)
        self._files.rename(scratch, self.path)
        for path in (directory, directory.parent):
            self._files.sync_directory(path)
        self._takes_more = True

    def _write(self, descriptor: int, lines: dict[_Line, bytes]) -> None:
        try:
            self._files.write_all(descriptor, b"".join(lines.values()))
            self._files.sync(descriptor)
        finally:
            self._files.close(descriptor)


def _text(writer: str, item: wire.Record, words: str) -> bytes:
    line = {
        "writer": writer,
        "position": item.position,
        "name": item.name,
        "value": wire.json_value(item),
        "step": item.step,
        "time_ns": item.time_ns,
        "server": words,
    }
    return msgspec.json.encode(line) + b"\n"
