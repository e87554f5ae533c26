"""Pieces: stretches of a journal as they can be read, whether they are in memory or on disk.

All positions are the journal's own. Pieces may overlap; what lies between them is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from steplog.journal import slot
from steplog.journal.range import Range
from steplog.journal.segment import Records, SegmentView

__all__ = ["Extent", "FrameExtent", "SegmentExtent"]

_NO_RECORD = bytes((slot.KIND_NONE, slot.KIND_TOMBSTONE))


class Extent(Protocol):
    """Positions from ``base`` to ``limit``."""

    @property
    def base(self) -> int:
        """The first position."""

    @property
    def limit(self) -> int:
        """One after the last position that there is or can be."""

    @property
    def is_open(self) -> bool:
        """Whether the writer may still append here."""

    @property
    def alone(self) -> bool:
        """Whether it is best read by itself."""

    def readable(self, start: int, living: bool) -> int:
        """The position up to which it can be read from ``start`` on; a dead writer's holes are no obstacle."""

    def written(self) -> int:
        """One after the last position that carries something."""

    def census(self, start: int, stop: int) -> tuple[int, int]:
        """How many records there are in ``[start, stop)``, and how many positions were claimed and never written."""

    def read(self, start: int, stop: int) -> Records:
        """The slots ``[start, stop)``, with what they need."""

    def whole(self, start: int, stop: int) -> Range | None:
        """The piece itself, where it is stored as a range and is just that stretch."""


@dataclass(frozen=True, slots=True)
class SegmentExtent:
    """One segment, which ends at ``end`` (None: not known yet)."""

    view: SegmentView
    base: int
    end: int | None

    @property
    def limit(self) -> int:
        """The end, or where the segment would be full."""
        return self.base + self.view.header.capacity if self.end is None else self.end

    @property
    def is_open(self) -> bool:
        """See Piece."""
        return self.end is None

    @property
    def alone(self) -> bool:
        """See Piece."""
        return False

    def readable(self, start: int, living: bool) -> int:
        """See Piece."""
        if living:
            return self.base + self.view.readable(start - self.base, self.limit - self.base)
        return max(start, self.written()) if self.end is None else self.end

    def written(self) -> int:
        """See Piece."""
        return self.base + min(self.view.written(), self.limit - self.base)

    def census(self, start: int, stop: int) -> tuple[int, int]:
        """See Piece."""
        kinds = self.view.kinds(start - self.base, stop - self.base)
        return len(kinds.translate(None, _NO_RECORD)), kinds.count(slot.KIND_NONE)

    def read(self, start: int, stop: int) -> Records:
        """See Piece."""
        return self.view.read(start - self.base, stop - self.base)

    def whole(self, start: int, stop: int) -> Range | None:
        """See Piece."""
        return None


@dataclass(frozen=True, slots=True)
class FrameExtent:
    """One frame of a spool file. What was no record when it was written is none now, and no hole.

    ``empty`` are the positions that carry none, as a bit set: to count takes no look at the disk. ``load`` reads it,
    and raises OSError where that fails for now; ``ready`` says whether it can be read.
    """

    base: int
    limit: int
    empty: int
    load: Callable[[], Range]
    ready: Callable[[], bool]

    @property
    def is_open(self) -> bool:
        """See Piece."""
        return False

    @property
    def alone(self) -> bool:
        """See Piece."""
        return True

    def readable(self, start: int, living: bool) -> int:
        """See Piece."""
        return self.limit if self.ready() else start

    def written(self) -> int:
        """See Piece."""
        return self.limit

    def census(self, start: int, stop: int) -> tuple[int, int]:
        """See Piece."""
        empty = (self.empty >> (start - self.base)) & ((1 << (stop - start)) - 1)
        return stop - start - empty.bit_count(), 0

    def read(self, start: int, stop: int) -> Records:
        """See Piece."""
        part = self.load()
        if (start, stop) != (self.base, self.limit):
            part = part.part(start, stop)
        payloads = [part.payloads[begin:end] for _, begin, end in part.payload_spans()]
        return Records(part.slots, part.names, payloads, 0)

    def whole(self, start: int, stop: int) -> Range | None:
        """See Piece."""
        return self.load() if (start, stop) == (self.base, self.limit) else None
