"""Which append serves ``run.log``: the one in C where it was built, else the one in Python.

``append`` is the specification; ``_append`` implements its fast cases in C: an exact float or int, an exact int or no
step, a declared name. Both share segments and slow path; ``CompiledSegment`` has a counter that C can read.

On a free-threaded build ``_append`` is not imported, since that would turn the GIL on for the whole program: it is the
append in Python, under a lock (see ``locked``), also where ``PYTHON_GIL=1`` turns the GIL on.

On x86-64 the C append takes times from the processor's counter, and looks at the clock at least once a millisecond:
within microseconds of the clock, and within a millisecond whatever the two do.

``STEPLOG_PURE=1`` or ``prefer(pure=True)`` selects Python for writers made from then on.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Literal, cast

from steplog.journal.append import Append, Segment
from steplog.journal.locked import LockedAppend
from steplog.journal.segment import HEADER_BYTES, Header, Memory

# Of the build, whether or not the GIL is on just now.
_free_threaded = "t" in getattr(sys, "abiflags", "")
_built = False
if not _free_threaded:
    try:
        from steplog.journal import _append

        _built = True
    except ImportError:
        pass

__all__ = ["CompiledSegment", "append_type", "prefer", "reason_of", "why_pure"]

_NO = ("", "0", "false", "no", "off")
_REASONS = {
    "free-threaded": "free-threaded Python",
    "not compiled": "not compiled: no C compiler when it was installed",
    "asked for": "STEPLOG_PURE",
}
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

    def detach(self, ended: Segment) -> Segment:
        """See Segment."""
        self._room.shut()
        return super().detach(ended)


def prefer(*, pure: bool) -> None:
    """Set this process's choice."""
    global _pure
    _pure = pure


def why_pure() -> Literal["free-threaded", "not compiled", "asked for"] | None:
    """Why a new writer's append is not the compiled one; None where it is."""
    if _free_threaded:
        return "free-threaded"
    if _pure or os.environ.get("STEPLOG_PURE", "").strip().lower() not in _NO:
        return "asked for"
    return None if _built else "not compiled"


def reason_of(append: Append) -> str:
    """Why this append is not the compiled one, for people; "" where it is."""
    return "" if append.kind == "c" else _REASONS[why_pure() or "asked for"]


def append_type() -> type[Append]:
    """The append for a new writer."""
    why = why_pure()
    if why is not None:
        return LockedAppend if why == "free-threaded" else Append
    return cast("type[Append]", _append.Append)  # the same attributes, though no subclass


if _built:
    _append.Append.kind = "c"
    _append.Append.segment_type = CompiledSegment
