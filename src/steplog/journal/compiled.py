"""Which append serves ``run.log``: the compiled one where it was built, else the one in Python.

``append`` is the specification and ``_append`` (C) its second implementation, of the fast cases: an exact float or int,
an exact int or no step, a name that the segment has declared. Both work on the same segments, with the same slow path;
a compiled one needs a counter that C code can read, which is all that ``CompiledSegment`` adds. An append knows the
class of its segments by ``segment_type``, and itself by ``kind``: "c" or "pure".

On x86-64 its times come from the processor's counter between looks at the clock, at least one a millisecond: within
microseconds of what the clock would say, and within a millisecond whatever the counter does or the clock is set to.

The extension is optional: it is built at installation where there is a C compiler. ``STEPLOG_PURE=1``, or
``prefer(pure=True)``, has the one in Python for every writer that is made from then on.
"""

from __future__ import annotations

import os
from typing import Any, cast

from steplog.journal.append import Append, Segment
from steplog.journal.segment import HEADER_BYTES, Header, Memory

try:
    from steplog.journal import _append
except ImportError:
    _built = False
else:
    _built = True

__all__ = ["CompiledSegment", "append_type", "prefer"]

_NO = ("", "0", "false", "no", "off")
_pure = False


class CompiledSegment(Segment):
    """A segment whose slots the compiled append claims too."""

    __slots__ = ("_room",)

    def __init__(self, memory: Memory, header: Header, block: Any = None) -> None:
        super().__init__(memory, header, block)
        self._room = _append.Room(memory, HEADER_BYTES + header.region)
        self.claim = self._room

    def claimed(self) -> int:
        """See Segment."""
        return min(self.index_of(self._room.next), self.header.capacity)

    def close(self) -> int:
        """See Segment."""
        self._room.shut()
        return super().close()

    def forget(self) -> None:
        """See Segment."""
        self._room.shut()
        super().forget()


def prefer(*, pure: bool) -> None:
    """Decide for this process, as its settings have it."""
    global _pure
    _pure = pure


def append_type() -> type[Append]:
    """The append to use for a new writer."""
    if not _built or _pure or os.environ.get("STEPLOG_PURE", "").strip().lower() not in _NO:
        return Append
    return cast("type[Append]", _append.Append)  # the same attributes, though no subclass


if _built:
    _append.Append.kind = "c"
    _append.Append.segment_type = CompiledSegment
