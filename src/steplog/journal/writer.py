"""The writer: one process's append side of a run, and where its segments come from.

``Append.log`` is its hot path; everything that is rarer comes here: a value that is not a plain float, a new name,
a full segment, the end. None of it takes a lock, for the reasons that ``append`` gives.

The states of a writer are segments. *Full*, *finished*, *forked* and *disabled* are segments without room, whose
``refuse`` says what a call does; so the hot path needs no test for any of them. A full one has a successor as soon
as there is memory again.

A writer never waits: a segment is taken from the spares that the agent prepares, else made here (shared memory only,
about 0.5 ms), and where there is none the call is counted as dropped.
"""

from __future__ import annotations

import struct
import sys
from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from time import monotonic_ns, time_ns
from types import FrameType
from typing import Any

from steplog.journal import slot
from steplog.journal.append import Append, Segment
from steplog.journal.compiled import append_type
from steplog.journal.memory import Block, MemoryPool
from steplog.journal.segment import GRANULE_BYTES, HEADER_BYTES, PAYLOAD, Header, granules, write_header
from steplog.journal.values import Values, checked_name, checked_step, restored

__all__ = ["NAMES_BYTES_MAX", "EndedSegment", "HoleWatch", "Refusal", "Writer"]

NAMES_BYTES_MAX = 1024 * 1024  # of a segment's region for names that are carried over: some 30,000 of them
_FULL_LOOK_INTERVAL_NS = 10_000_000  # between two looks of a full writer for memory
Refusal = Callable[[Any, Any, Any], None]
_PACK = {slot.KIND_FLOAT: slot.pack_float, slot.KIND_INT: slot.pack_int, slot.KIND_BOOL: slot.pack_int}


class EndedSegment(Segment):
    """A segment without room; ``refuse`` is what a call of ``log`` comes to."""

    __slots__ = ("refuse",)

    def __init__(self, writer: bytes, base: int, refuse: Refusal) -> None:
        super().__init__(bytearray(), Header(writer, base, 0, 0))
        self.slots = bytearray()
        self.refuse = refuse


class Writer:
    """Appends to a journal of its own; ``id`` is its name in it.

    ``pool`` gives memory, for the first segment ``first_bytes``; ``clock`` stamps records, in ns since the epoch.
    ``append`` is the hot path to serve, where there is one already: that of the writer that a fork left behind.
    """

    def __init__(
        self,
        pool: MemoryPool,
        writer: bytes,
        *,
        value_bytes_max: int,
        clock: Callable[[], int] = time_ns,
        append: Append | None = None,
        first_bytes: int | None = None,
    ) -> None:
        self.id = writer
        self.pool = pool
        self.values = Values(value_bytes_max)
        self.dropped = {"memory full": 0, "finished": 0}  # calls that were not taken, by reason
        self.on_full: Callable[[int], None] = lambda calls: None  # so many were dropped for want of room
        self.on_successor: Callable[[], None] = lambda: None  # a segment is used up, and another one in its place
        self.use_client: Callable[[Any], None] = lambda client: None
        self._numbers = count(1)
        self._room_at = 0
        self._spares: deque[Block] = deque()
        hot = append_type() if append is None else type(append)
        self._segment_type = hot.segment_type
        self.head = self._segment(0, 0, first_bytes) or self._full(0)  # the first needed one; its reader moves it on
        if append is not None:  # for a call that the fork interrupted and that still has the writer before
            append.segment.successor.setdefault(0, self.head)
        self.append = append or hot(self.head, self._slow, clock)
        self.append.slow = self._slow
        self._follow(self.head)

    # -- appending ----------------------------------------------------------------------------------------------

    def _slow(self, name: Any, value: Any, step: Any, client: Any) -> None:
        if client is not None:
            self.use_client(client)
        segment = self.append.segment
        if name.__class__ is not str and isinstance(name, Mapping):
            self._log_all(name, value, step)
        elif isinstance(segment, EndedSegment):
            segment.refuse(name, value, step)
        elif value is ...:
            raise TypeError("log() missing a required argument: 'value'")
        else:
            self.log(name, value, step)

    def log(self, name: Any, value: Any, step: Any = None) -> None:
        """Record any value. Raises TypeError or ValueError for a wrong name or step, and then nothing is recorded."""
        text, number = checked_name(name), checked_step(step)
        kind, scalar = self.values.convert(value)
        self._record(text, kind, scalar, number, self.append.clock())

    def _log_all(self, metrics: Mapping[Any, Any], value: Any, step: Any) -> None:
        """Record several metrics with one time; a second argument of two is the step."""
        number = checked_step(value if step is None and value is not ... else step)
        given = [(checked_name(name), item) for name, item in metrics.items()]
        found = [(name, *self.values.convert(item)) for name, item in given]
        now = self.append.clock()
        for name, kind, scalar in found:
            self._record(name, kind, scalar, number, now)

    def _record(self, name: str, kind: int, value: float | int | bytes, step: int, now: int) -> None:
        while not self._store(name, kind, value, step, now):
            segment = self.append.segment
            if isinstance(segment, EndedSegment):
                return segment.refuse(name, restored(kind, value), None if step == slot.NO_STEP else step)
            if segment.header.writer != self.id:
                return self.append.slow(name, restored(kind, value), None if step == slot.NO_STEP else step, None)
        return None

    def _store(self, name: str, kind: int, value: float | int | bytes, step: int, now: int) -> bool:
        """Write one record where the writer is; False when that took another segment, and it is to be done again."""
        segment = self.append.segment
        if isinstance(segment, EndedSegment) or segment.header.writer != self.id:
            return False  # ended, or forked, since the value was converted
        if name not in segment.names and not segment.declare(name, next(self._numbers)):
            return self._rotate(segment, _need_of(name, value))
        key = segment.names[name] + slot.key_of(0, kind - slot.KIND_FLOAT)
        place = segment.put(PAYLOAD, value) if isinstance(value, bytes) else 0
        if place is None:
            return self._rotate(segment, _need_of(name, value))
        offset = -1
        try:
            offset = segment.claim()
            if isinstance(value, bytes):
                slot.pack_payload(segment.slots, offset, step, place, len(value), now, key)
            else:
                _PACK[kind](segment.slots, offset, step, value, now, key)
        except struct.error:
            segment.bury(offset)
            return self._rotate(segment, 0)
        except BaseException:
            segment.bury(offset)
            raise
        return True

    def count(self, reason: str) -> None:
        """One more call that was not taken."""
        # Between the load and the store there is no call and no backward jump, so CPython lets nobody in.
        self.dropped[reason] += 1

    # -- segments -----------------------------------------------------------------------------------------------

    def end(self, refuse: Refusal) -> None:
        """Take the room away for good: from now on ``log`` comes to ``refuse``."""
        while not isinstance(segment := self.append.segment, EndedSegment) or segment.refuse is not refuse:
            self._succeed(segment, lambda base: EndedSegment(self.id, base, refuse))
        while self._spares:
            self.pool.give_back(self._spares.popleft())

    def reopen(self) -> None:
        """Take calls again after ``end``."""
        self._succeed(self.append.segment, lambda base: self._segment(base, 0) or self._full(base))

    def forked(self, refuse: Refusal) -> None:
        """In a forked child: let go of the parent's journal; from now on ``log`` comes to ``refuse``.

        So does a call that the fork interrupted, wherever in it: each segment that it may be in or come to is without
        room, and the last one leads here.
        """
        self._spares.clear()
        ended, segment = EndedSegment(self.id, 0, refuse), self.append.segment
        while not self._is_over(segment):  # what is finished or disabled is so here too
            segment.forget()
            segment = segment.successor.setdefault(0, ended)
        self.append.segment = segment

    def is_busy(self) -> bool:
        """Whether it uses what it has: an eighth of its first segment."""
        segment = self.append.segment
        end = segment.offset_of(segment.header.capacity // 8 + 1)
        return segment.header.base > 0 or segment.memory[end - 2 : end] != b"\0\0"

    def prepare(self, spares: int = 1) -> None:
        """Make segments ahead of time; called by the agent, never by ``log``."""
        if self._is_over(self.append.segment):
            return
        while len(self._spares) < spares and (block := self.pool.make(self.pool.segment_bytes())) is not None:
            self._spares.append(block)

    def _is_over(self, segment: Segment) -> bool:
        """Whether there is nothing after this segment, memory or not."""
        return isinstance(segment, EndedSegment) and segment.refuse != self._when_full

    def _rotate(self, segment: Segment, need: int) -> bool:
        names = sum(map(len, segment.entries))
        region = 2 * max(need, names if 2 * names <= NAMES_BYTES_MAX else 0)
        self._succeed(segment, lambda base: self._segment(base, region) or self._full(base))
        return False

    def _succeed(self, segment: Segment, make: Callable[[int], Segment]) -> None:
        """Put another segment after this one, or go along with the one that somebody else has put there."""
        end = segment.close()
        if end == 0 < segment.header.capacity:
            # No segment is empty: readers know them by their base. The second number keeps its slot empty.
            segment.bury(segment.offset_of(0))
            end = segment.close()
        if not segment.successor:
            new = make(segment.header.base + end)
            new.inherit(segment)
            if segment.successor.setdefault(0, new) is not new and new.block is not None:
                self.pool.give_back(new.block)
        if (taken := segment.end()) is not None and end < taken:
            segment.bury(segment.offset_of(end))
        self._follow(segment)
        self.on_successor()

    def _follow(self, segment: Segment) -> None:
        """Go to the last segment there is. A handler may have been there before us: so look again after each step."""
        while True:
            if segment.header.capacity:
                write_header(segment.memory, segment.header)
            self.append.segment = segment
            if 0 not in segment.successor:
                return
            segment = segment.successor[0]

    def _segment(self, base: int, region: int, size: int | None = None) -> Segment | None:
        """A segment that begins at ``base`` with a byte region of at least ``region``; None where memory is out."""
        block = self._spare(region) or self._made(region, size or self.pool.segment_bytes())
        if block is None:
            return None
        region = max(_region_of(block), region + -region % GRANULE_BYTES)
        capacity = (len(block.memory) - HEADER_BYTES - region) // slot.SLOT_BYTES
        return self._segment_type(block.memory, Header(self.id, base, capacity, region), block)

    def _spare(self, region: int) -> Block | None:
        """A block that was made ahead of time, if it has room for this region; it may be of another size than usual."""
        try:
            block = self._spares.popleft()
        except IndexError:
            return None
        if region <= _region_of(block):
            return block
        self._spares.append(block)
        return None

    def _made(self, region: int, size: int) -> Block | None:
        more = max(0, region - size // 8)
        return self.pool.make(size + more + -more % GRANULE_BYTES)

    def _full(self, base: int) -> EndedSegment:
        return EndedSegment(self.id, base, self._when_full)

    def _finds_room(self) -> bool:
        """Look for memory again, though not at each call: where there is none, that may take a while."""
        now = monotonic_ns()
        if now < self._room_at:
            return False
        self._room_at = now + _FULL_LOOK_INTERVAL_NS
        self.prepare()
        return bool(self._spares)

    def _when_full(self, name: Any, value: Any, step: Any) -> None:
        text = checked_name(name)
        checked_step(step)
        segment = self.append.segment
        if (self._spares or self._finds_room()) and self._fits_spare(text, value):
            if not self._is_over(segment):
                self._rotate(segment, 0)
            return self._slow(name, value, step, None)
        self.count("memory full")
        self.on_full(self.dropped["memory full"])
        return None

    def _fits_spare(self, name: str, value: Any) -> bool:
        """Whether the next segment will have room for this; one that has none must not be used up for it."""
        if value.__class__ in (float, int, bool):
            return True
        try:
            room = _region_of(self._spares[0]) - sum(map(len, self.append.segment.entries))
        except IndexError:  # somebody else has taken it
            return False
        return _need_of(name, self.values.convert(value)[1]) <= room


def _need_of(name: str, value: float | int | bytes) -> int:
    """The bytes that a record takes in the byte region, if its name is new there."""
    return (granules(len(name.encode())) + (granules(len(value)) if isinstance(value, bytes) else 0)) * GRANULE_BYTES


def _region_of(block: Block) -> int:
    """The usual byte region of a segment in this block."""
    return len(block.memory) // 8 // GRANULE_BYTES * GRANULE_BYTES


# The code that claims positions, wherever it is called from: a compiled append has no frame of its own.
_CLAIMING = frozenset((Append.log.__code__, Writer._record.__code__, Writer._succeed.__code__))


class HoleWatch:
    """Closes the holes of one writer of this process; ``frames`` gives each thread's innermost frame."""

    def __init__(self, writer: Writer, frames: Callable[[], dict[int, FrameType]] = sys._current_frames) -> None:
        self.closed = 0
        self._segment = writer.head  # there are no holes before it
        self._view = writer.head.view()
        self._frames = frames
        self.suspects: list[tuple[Segment, int]] = []  # seen empty below a written one
        self._inside: set[int] = set()  # threads that have been claiming ever since the suspects were seen

    def look(self) -> None:
        """One look; a hole is closed by a later one."""
        if self.suspects:
            self._inside &= self._claiming()
            if self._inside:
                return
            for segment, index in self.suspects:
                if (end := segment.end()) is None or index < end:
                    self.closed += segment.bury(segment.offset_of(index))
        self.suspects = self._holes()
        if self.suspects:
            self._inside = self._claiming()

    def _holes(self) -> list[tuple[Segment, int]]:
        found: list[tuple[Segment, int]] = []
        segment, view = self._segment, self._view
        while True:
            end = segment.end()
            found += [(segment, index) for index in view.holes(view.written() if end is None else end)]
            if end is None:
                return found
            segment = segment.successor[0]
            view = segment.view()
            if not found:
                self._segment, self._view = segment, view

    def _claiming(self) -> set[int]:
        return {thread for thread, frame in self._frames().items() if _claims(frame)}


def _claims(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code in _CLAIMING:
            return True
        frame = frame.f_back
    return False
