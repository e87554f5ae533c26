"""The writer: one process's append side of a run, its segments and its holes.

``Append.log`` is the hot path; here is the rest: other values, new names, full segments, the end. No locks, for the
reasons in ``append``.

A writer's states are segments: *full*, *finished*, *forked* and *disabled* ones have no room, and ``refuse`` says what
a call does, so that the hot path tests for none. A full one gets a successor once there is memory.

A writer never waits. A segment is a spare, prepared by the maintenance thread, else made here (0.5 ms, shared memory
only); without memory the call is dropped, and counted.

A hole is a slot claimed and never written: a signal handler raised in between. A slot empty below a written one was
claimed before; once every thread has since been outside of ``log()``, it gets a tombstone. Stacks are taken at one
instant (``sys._current_frames``), and only while there are suspects. The slot whose number closed a segment stays
empty: no reader is to pass it before it knows the next segment.
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
    """A segment without room; ``refuse`` is what ``log`` does."""

    __slots__ = ("refuse",)

    def __init__(self, writer: bytes, base: int, refuse: Refusal) -> None:
        super().__init__(bytearray(), Header(writer, base, 0, 0))
        self.refuse = refuse


class Writer:
    """Appends to the journal ``id``; after a fork with the parent's ``append``."""

    def __init__(
        self,
        pool: MemoryPool,
        writer: bytes,
        *,
        value_bytes_max: int,
        strict: bool = False,
        clock: Callable[[], int] = time_ns,
        append: Append | None = None,
        first_bytes: int | None = None,
        use_client: Callable[[Any], None] = lambda client: None,
    ) -> None:
        self.id = writer
        self.pool = pool
        self.values = Values(value_bytes_max, strict)
        self.dropped = {"memory full": 0, "finished": 0}  # calls not taken, by reason
        self.on_drop: Callable[[], None] = lambda: None  # a call was not taken
        self.on_private: Callable[[int, int], None] = lambda base, end: None  # before a claim in private memory
        self.on_successor: Callable[[], None] = lambda: None  # a segment was used up
        self.use_client = use_client
        self._numbers = count(1)
        self._room_at = 0  # when a full writer may look for memory again, in ns
        self._spares: deque[Block] = deque()
        hot = append_type() if append is None else type(append)
        self._segment_type = hot.segment_type
        self.head = self._segment(0, 0, first_bytes)  # the first needed one, moved on by the reader
        if append is not None:  # for a call that the fork interrupted
            append.segment.successor.setdefault(0, self.head)
        self.append = append or hot(self.head, self._slow, clock)
        self.append.slow = self._slow
        self._follow(self.head)

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
        """Record any value. Raises TypeError or ValueError for a wrong name or step."""
        text, number = checked_name(name), checked_step(step)
        kind, scalar = self.values.convert(value)
        self._record(text, kind, scalar, number, self.append.clock())

    def _log_all(self, metrics: Mapping[Any, Any], value: Any, step: Any) -> None:
        number = checked_step(value if step is None and value is not ... else step)  # of two arguments the second
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
        """Write one record; False where that took another segment: do it again."""
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
            segment.write_tombstone(offset)
            return self._rotate(segment, 0)
        except BaseException:
            segment.write_tombstone(offset)
            raise
        return True

    def count(self, reason: str) -> None:
        """Count a call not taken."""
        # No call and no backward jump between load and store, so CPython switches no thread.
        self.dropped[reason] += 1
        self.on_drop()

    def end(self, refuse: Refusal) -> None:
        """Take the room away: ``log`` comes to ``refuse`` from now on."""
        while not isinstance(segment := self.append.segment, EndedSegment) or segment.refuse is not refuse:
            self._link_next(segment, lambda base: EndedSegment(self.id, base, refuse))
        while self._spares:
            self.pool.free(self._spares.popleft())

    def reopen(self) -> None:
        """Take calls again after ``end``."""
        self._link_next(self.append.segment, lambda base: self._segment(base, 0))

    def forked(self, refuse: Refusal) -> None:
        """In a forked child: leave the parent's journal, in an interrupted call too, and come to ``refuse``."""
        self._spares.clear()
        ended, segment = EndedSegment(self.id, 0, refuse), self.append.segment
        while not self._is_over(segment):  # finished or disabled stays so
            segment.detach()
            segment = segment.successor.setdefault(0, ended)
        self.append.segment = segment

    def is_busy(self) -> bool:
        """Whether an eighth of its first segment is used."""
        segment = self.append.segment
        end = segment.offset_of(segment.header.capacity // 8 + 1)
        return segment.header.base > 0 or segment.memory[end - 2 : end] != b"\0\0"

    def prepare(self, spares: int = 1) -> None:
        """Make segments ahead of time; not called by ``log``."""
        if self._is_over(self.append.segment):
            return
        while len(self._spares) < spares and (block := self.pool.allocate(self.pool.segment_bytes())) is not None:
            self._spares.append(block)

    def _is_over(self, segment: Segment) -> bool:
        return isinstance(segment, EndedSegment) and segment.refuse != self._when_full

    def _rotate(self, segment: Segment, need: int) -> bool:
        names = sum(map(len, segment.entries))
        region = 2 * max(need, names if 2 * names <= NAMES_BYTES_MAX else 0)
        self._link_next(segment, lambda base: self._segment(base, region))
        return False

    def _link_next(self, segment: Segment, make: Callable[[int], Segment]) -> None:
        """Put a segment after this one, or follow what another caller put there."""
        end = segment.close()
        if end == 0 < segment.header.capacity:
            # No segment is empty: readers know them by their base. The slot of the second number stays empty.
            segment.write_tombstone(segment.offset_of(0))
            end = segment.close()
        if not segment.successor:
            new = make(segment.header.base + end)
            new.inherit(segment)
            if segment.successor.setdefault(0, new) is not new and new.block is not None:
                self.pool.free(new.block)
        if (taken := segment.end()) is not None and end < taken:
            segment.write_tombstone(segment.offset_of(end))
        self._follow(segment)
        self.on_successor()

    def _follow(self, segment: Segment) -> None:
        """Go to the last segment; a signal handler may add one after any step."""
        while True:
            if segment.header.capacity:
                write_header(segment.memory, segment.header)
            self.append.segment = segment
            if 0 not in segment.successor:
                return
            segment = segment.successor[0]

    def _segment(self, base: int, region: int, size: int | None = None) -> Segment:
        """A segment at ``base``, with ``region`` bytes at least; a full one without memory."""
        block = self._take_spare(region)
        if block is None:
            size = size or self.pool.segment_bytes()
            more = max(0, region - size // 8)
            block = self.pool.allocate(size + more + -more % GRANULE_BYTES)
        if block is None:
            return EndedSegment(self.id, base, self._when_full)
        region = max(_region_of(block), region + -region % GRANULE_BYTES)
        capacity = (len(block.memory) - HEADER_BYTES - region) // slot.SLOT_BYTES
        if block.path is None:
            self.on_private(base, base + capacity)
        return self._segment_type(block.memory, Header(self.id, base, capacity, region), block)

    def _take_spare(self, region: int) -> Block | None:
        try:
            block = self._spares.popleft()
        except IndexError:
            return None
        if region <= _region_of(block):
            return block
        self._spares.append(block)
        return None

    def _finds_room(self) -> bool:
        """Look for memory again, each 10 ms at most: it may take a while."""
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
            self._slow(name, value, step, None)
        else:
            self.count("memory full")

    def _fits_spare(self, name: str, value: Any) -> bool:
        """Whether the next spare has room for this: it must not be used up for less."""
        if value.__class__ in (float, int, bool):
            return True
        try:
            room = _region_of(self._spares[0]) - sum(map(len, self.append.segment.entries))
        except IndexError:  # another thread has taken it
            return False
        return _need_of(name, self.values.convert(value)[1]) <= room


def _need_of(name: str, value: float | int | bytes) -> int:
    """Bytes in the byte region, if the name is new."""
    return (granules(len(name.encode())) + (granules(len(value)) if isinstance(value, bytes) else 0)) * GRANULE_BYTES


def _region_of(block: Block) -> int:
    return len(block.memory) // 8 // GRANULE_BYTES * GRANULE_BYTES


# The code that claims positions, wherever it is called from: the C append has no frame of its own.
_CLAIMING = frozenset((Append.log.__code__, Writer._record.__code__, Writer._link_next.__code__))


class HoleWatch:
    """Closes a writer's holes; ``frames`` gives each thread's innermost frame."""

    def __init__(self, writer: Writer, frames: Callable[[], dict[int, FrameType]] = sys._current_frames) -> None:
        self.closed = 0
        self._segment = writer.head  # there are no holes before it
        self._view = writer.head.view()
        self._frames = frames
        self.suspects: list[tuple[Segment, int]] = []  # slots seen empty below a written one
        self._inside: set[int] = set()  # threads in log() ever since the suspects were seen

    def look(self) -> None:
        """Look once; a later look closes."""
        if self.suspects:
            self._inside &= self._claiming()
            if self._inside:
                return
            for segment, index in self.suspects:
                if (end := segment.end()) is None or index < end:
                    self.closed += segment.write_tombstone(segment.offset_of(index))
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
    while frame is not None and frame.f_code not in _CLAIMING:
        frame = frame.f_back
    return frame is not None
