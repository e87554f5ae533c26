"""Where records go that the server refuses for good: a file ``quarantine`` in the run's spool directory.

One JSON object a line, synced before the record is passed over: writer, position, name, value, step, time, and what the
server said. Whoever delivers the run later reads it first, so that a record is set aside once.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from steplog.delivery import wire
from steplog.journal.range import Range

__all__ = ["QuarantineFile"]

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class _Line(msgspec.Struct):
    writer: str
    position: int


class QuarantineFile:
    """The records of one run that are set aside."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "quarantine"

    def positions(self, writer: str) -> set[int]:
        """What was set aside of this writer's journal."""
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError:
            return set()
        found = set()
        for text in lines:
            try:
                line = msgspec.json.decode(text, type=_Line)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                continue  # cut short; the record is still in the journal then
            if line.writer == writer:
                found.add(line.position)
        return found

    def put(self, record: Range, words: str) -> bool:
        """Keep the one record of a range, with the server's words; whether it is safe now."""
        for item in wire.records(record):
            line = {
                "writer": record.writer,
                "position": item.position,
                "name": item.name,
                "value": wire.json_value(item),
                "step": item.step,
                "time_ns": item.time_ns,
                "server": words,
            }
            try:
                descriptor = os.open(self.path, _FLAGS, 0o600)
                try:
                    os.write(descriptor, msgspec.json.encode(line) + b"\n")
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)
            except OSError:
                return False
        return True
