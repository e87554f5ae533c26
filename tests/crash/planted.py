"""Bugs to plant in a victim, so that it can be seen whether the crash tests would find them."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["BUGS", "plant"]


def _evicted_before_durable() -> None:
    from steplog.journal.spooling import Spooling

    original = Spooling.write

    def write(self: Any, lock: Any, everything: bool, *more: Any) -> bool:
        with lock:
            self.journal.memory.evict(self.journal.readable(self.journal.cursor.delivered, 2**62))
        return original(self, lock, everything, *more)

    Spooling.write = write  # type: ignore[method-assign]


def _durable_before_synced() -> None:
    from msgspec.structs import replace

    from steplog.journal.spooling import Spooling

    original = Spooling._write

    def write(self: Any, lock: Any, first: int, end: int) -> None:
        with lock:
            self.journal.set_cursor(replace(self.journal.cursor, durable=end))
            self.journal.memory.evict(end)
        original(self, lock, first, end)

    Spooling._write = write  # type: ignore[method-assign]


def _kind_stored_first() -> None:
    from steplog.journal import append

    whole = struct.Struct("<qdqQ")

    def pack(slots: Any, offset: int, *fields: Any) -> None:
        data = whole.pack(*fields)
        if offset + len(data) > len(slots):
            raise struct.error("no room")
        for start, end in ((24, 32), (0, 8), (8, 16), (16, 24)):
            slots[offset + start : offset + end] = data[start:end]

    append._pack_float = pack  # type: ignore[assignment]


def _acknowledged_before_sent() -> None:
    from steplog.delivery.ranges import RangeStream

    original = RangeStream.send

    def send(self: Any, address: Any) -> Any:
        sent = original(self, address)
        batch = getattr(sent.ticket, "range", None)
        if batch is not None:
            self.journal.ack(batch.end, batch.records)
        return sent

    RangeStream.send = send  # type: ignore[method-assign]


def _position_reused_after_a_fork() -> None:
    from steplog.journal.writer import Writer

    Writer.forked = lambda self, refuse: None  # type: ignore[method-assign]


def _unlocked_in_the_child() -> None:
    import fcntl

    from steplog.file_lock import FileLock

    def release(self: Any) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    FileLock.release = release  # type: ignore[method-assign]


def _living_writer_adopted() -> None:
    from steplog.journal import memory_repair, open_journal

    open_journal._alive = lambda opened: False
    memory_repair.MemoryWatch.look = lambda self: None  # type: ignore[method-assign] # which would mend it


def _slot_taken_before_its_kind_was_seen() -> None:
    from steplog.journal.segment import SegmentView

    def readable(self: Any, start: int, end: int) -> int:
        # As far as anything is claimed: the counter is ahead of what is written.
        return min(end, max(start, self.written() + 1))

    SegmentView.readable = readable  # type: ignore[method-assign]


def _segments_of_the_dead_removed_unwritten() -> None:
    from steplog.journal.sources import DirectorySource
    from steplog.journal.spooling import Spooling

    original = Spooling.write

    def write(self: Any, lock: Any, everything: bool, *more: Any) -> bool:
        if isinstance(self.journal.memory, DirectorySource) and not self.journal.alive:
            with suppress(OSError):
                self.journal.memory.remove()
        return original(self, lock, everything, *more)

    Spooling.write = write  # type: ignore[method-assign]


BUGS: dict[str, Callable[[], None]] = {
    "evicted before durable": _evicted_before_durable,
    "durable before synced": _durable_before_synced,
    "kind stored first": _kind_stored_first,
    "acknowledged before sent": _acknowledged_before_sent,
    "position reused after a fork": _position_reused_after_a_fork,
    "unlocked in the child": _unlocked_in_the_child,
    "living writer adopted": _living_writer_adopted,
    "slot taken before its kind was seen": _slot_taken_before_its_kind_was_seen,
    "segments of the dead removed unwritten": _segments_of_the_dead_removed_unwritten,
}


def plant(name: str) -> None:
    """Have this bug in this process."""
    BUGS[name]()
