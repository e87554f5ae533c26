"""Extents: stretches of a journal that can be read, in memory or on disk. Pure.

Positions are the journal's. Extents may overlap; positions in none are lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import msgspec

from steplog.journal import slot
from steplog.journal.range import Range
from steplog.journal.segment import Records, SegmentView

__all__ = ["Extent", "FrameExtent", "SegmentExtent"]

_NO_RECORD = bytes((slot.KIND_NONE, slot.KIND_TOMBSTONE))


class SegmentExtent(msgspec.Struct, frozen=True):
    """One segment; ``is_open``: the writer may still append, up to ``limit``."""

    view: SegmentView
    base: int
    limit: int  # one after the last position that may come
    is_open: bool

    def readable(self, start: int, alive: bool) -> int:
        """The position up to which it can be read; a dead writer's holes do not count."""
        if alive:
            return self.base + self.view.readable(start - self.base, self.limit - self.base)
        return max(start, self.written()) if self.is_open else self.limit

    def written(self) -> int:
        """One after the last position that is not empty."""
        return self.base + min(self.view.written(), self.limit - self.base)

    def census(self, start: int, stop: int) -> tuple[int, int]:
        """Records, and holes, in ``[start, stop)``."""
        kinds = self.view.kinds(start - self.base, stop - self.base)
        return len(kinds.translate(None, _NO_RECORD)), kinds.count(slot.KIND_NONE)

    def uncounted(self, start: int, stop: int) -> int:
        """How many records in ``[start, stop)`` are no values of the user's."""
        return self.view.uncounted(start - self.base, stop - self.base)

    def read(self, start: int, stop: int) -> Records:
        """The slots ``[start, stop)``, with names and payloads."""
        return self.view.read(start - self.base, stop - self.base)


class FrameExtent(msgspec.Struct, frozen=True):
    """One frame of a spool file, which has no holes, and is read by itself."""

    base: int
    limit: int
    empty: int  # bit set of the positions without a record: counting needs no disk
    own: int  # and of those with a record that is no value of the user's
    load: Callable[[], Range]  # raises OSError where it cannot be read for now
    ready: Callable[[], bool]
    is_open: ClassVar[bool] = False

    def readable(self, start: int, alive: bool) -> int:
        """See SegmentExtent."""
        return self.limit if self.ready() else start

    def written(self) -> int:
        """See SegmentExtent."""
        return self.limit

    def census(self, start: int, stop: int) -> tuple[int, int]:
        """See SegmentExtent."""
        empty = (self.empty >> (start - self.base)) & ((1 << (stop - start)) - 1)
        return stop - start - empty.bit_count(), 0

    def uncounted(self, start: int, stop: int) -> int:
        """See SegmentExtent."""
        return (self.own >> (start - self.base) & ((1 << (stop - start)) - 1)).bit_count()

    def read(self, start: int, stop: int) -> Records:
        """See SegmentExtent."""
        part = self.load()
        if (start, stop) != (self.base, self.limit):
            part = part.part(start, stop)
        payloads = [part.payloads[begin:end] for _, begin, end in part.payload_spans()]
        return Records(part.slots, part.names, payloads, 0)


Extent = SegmentExtent | FrameExtent
