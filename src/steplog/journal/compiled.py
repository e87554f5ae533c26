"""Which append serves ``run.log``: the one in C where it was built, else the one in Python.

``append`` is the specification; ``_append`` implements its fast cases in C: an exact float or int, an exact int or no
step, a declared name. Both share segments and slow path; ``CompiledSegment`` has a counter that C can read.

On x86-64 the C append takes times from the processor's counter, and looks at the clock at least once a millisecond:
within microseconds of the clock, and within a millisecond whatever the two do.

``STEPLOG_PURE=1`` or ``prefer(pure=True)`` selects Python for writers made from then on.
"""

from __future__ import annotations

import os
from typing import Any, cast

from steplog.journal.append import Append, Segment
from steplog.journal.segment import HEADER_BYTES, Header, Memory

try:
    from steplog.journal import _append

    _built = True
except ImportError:
    _built = False

__all__ = ["CompiledSegment", "append_type", "prefer"]

_NO = ("", "0", "false", "no", "off")
_pure = False


class CompiledSegment(Segment):
    """A segment whose slots C can claim."""

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

    def detach(self) -> None:
        """See Segment."""
        self._room.shut()
        super().detach()


def prefer(*, pure: bool) -> None:
    """Set this process's choice."""
    global _pure
    _pure = pure


def append_type() -> type[Append]:
    """The append for a new writer."""
    if not _built or _pure or os.environ.get("STEPLOG_PURE", "").strip().lower() not in _NO:
        return Append
    return cast("type[Append]", _append.Append)  # the same attributes, though no subclass


if _built:
    _append.Append.kind = "c"
    _append.Append.segment_type = CompiledSegment
