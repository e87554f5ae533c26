"""Writers with small segments, and what their journals hold, read slot by slot."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from steplog.journal import compiled, slot
from steplog.journal.append import Segment
from steplog.journal.cursor import CURSOR_BYTES
from steplog.journal.holes import HoleWatch
from steplog.journal.journal import Journal
from steplog.journal.locked_writer import writer_type
from steplog.journal.memory import MemoryPool
from steplog.journal.range import Range
from steplog.journal.sources import OwnSource
from steplog.journal.writer import Writer

KINDS = ["locked"] if compiled._free_threaded else ["pure", "locked", *(["c"] if compiled._built else [])]
TINY = 1024  # bytes of a segment: 26 slots, and 8 granules for names and payloads
SMALL = 16 * 1024
WRITER = bytes(range(16))


class Blocks(MemoryPool):
    """Memory in segments of ``size`` bytes."""

    def __init__(self, size: int, directory: Path | None = None, bytes_max: int = 1 << 30) -> None:
        self.size = size
        super().__init__(directory, directory, bytes_max)

    def segment_bytes(self) -> int:
        return self.size


@dataclass(frozen=True)
class Record:
    """One record as it was logged."""

    position: int
    name: str
    value: Any
    step: int | None
    kind: int = slot.KIND_FLOAT


@contextmanager
def chosen(kind: str) -> Iterator[None]:
    """New writers have this append. On a free-threaded build "pure" is right for one thread alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPLOG_PURE", "1" if kind == "pure" else "0")
        patch.setattr(compiled, "_free_threaded", kind == "locked")
        yield


def writer_of(
    kind: str,
    size: int = SMALL,
    *,
    directory: Path | None = None,
    bytes_max: int = 1 << 30,
    value_bytes_max: int = 1 << 20,
    clock: Callable[[], int] = time.time_ns,
) -> Writer:
    with chosen(kind):
        writer = writer_type()(Blocks(size, directory, bytes_max), WRITER, value_bytes_max=value_bytes_max, clock=clock)
    assert writer.append.kind == kind
    return writer


def segments(head: Segment) -> list[Segment]:
    found = [head]
    while 0 in found[-1].successor:
        found.append(found[-1].successor[0])
    return found


def end_of(segment: Segment) -> int:
    """How many of a segment's positions are its own."""
    end = segment.end()
    return segment.view().written() if end is None else end


def holes(head: Segment) -> list[int]:
    """The positions that are claimed and not written."""
    return [
        segment.header.base + index for segment in segments(head) for index in segment.view().holes(end_of(segment))
    ]


def close_holes(writer: Writer) -> HoleWatch:
    """What the agent does now and then, until it has nothing left to do."""
    watch = HoleWatch(writer)
    for _ in range(2 * len(segments(writer.head)) + 2):
        watch.look()
    return watch


def records(head: Segment) -> list[Record]:
    """Every record, in the order of positions. The segments follow each other without gap or overlap."""
    found, position = [], head.header.base
    for segment in segments(head):
        assert segment.header.base == position
        assert 0 <= end_of(segment) <= segment.header.capacity
        found += list(_records(segment))
        position += end_of(segment)
    return found


def _records(segment: Segment) -> Iterator[Record]:
    read = segment.view().read(0, end_of(segment))
    assert read.unreadable == 0
    return decoded(segment.header.base, read.slots, read.names, iter(read.payloads))


def records_of(part: Range) -> Iterator[Record]:
    """The records of a range."""
    payloads = (part.payloads[start:end] for _, start, end in part.payload_spans())
    return decoded(part.first, part.slots, part.names, payloads)


def decoded(base: int, slots: bytes, names: dict[int, str], payloads: Iterator[bytes]) -> Iterator[Record]:
    for index, (step, raw, _, name, spare, kind) in enumerate(struct.iter_unpack("<q8sqIHH", slots)):
        assert spare == 0
        if kind == slot.KIND_NONE:
            continue
        value: Any = struct.unpack("<d" if kind == slot.KIND_FLOAT else "<q", raw)[0]
        if kind == slot.KIND_BOOL:
            assert value in (0, 1)
            value = bool(value)
        if kind == slot.KIND_JSON:
            value = json.loads(next(payloads))
        given = None if step == slot.NO_STEP else step
        yield Record(base + index, names[name], value, given, kind)
    assert next(payloads, None) is None


def told(head: Segment) -> list[tuple[str, Any, int | None]]:
    """Name, value and step of each record, in order."""
    return [(record.name, record.value, record.step) for record in records(head)]


class Reader:
    """Reads a journal as an agent does: what is readable, once, in order; and lets go of what it has."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.found: list[Record] = []

    @classmethod
    def of(cls, writer: Writer) -> Reader:
        return cls(Journal(writer.id.hex(), OwnSource(writer), bytearray(CURSOR_BYTES), lambda: True))

    def read(self, most: int = 1 << 20) -> int:
        """Read what there is; how many positions."""
        first = self.journal.cursor.delivered
        end = self.journal.readable(first, most)
        if end > first:
            part = self.journal.read(first, end)
            self.found += records_of(part)
            self.journal.ack(part.end, part.records)
        return self.journal.cursor.delivered - first
