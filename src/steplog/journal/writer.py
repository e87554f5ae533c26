"""The writer: one process's append side of a run, and its segments.

``Append.log`` is the hot path; here is the rest: other values, new names, full segments, the end. No locks, for the
reasons in ``append``; without the GIL see ``locked_writer``.

A writer's states are segments: *full*, *finished*, *forked* and *disabled* ones have no room, and ``refuse`` says what
a call does, so that the hot path tests for none. A full one gets a successor once there is memory.

A writer never waits. A segment is a spare: one is there before the first call, and maintenance makes the next, and
keeps two while they are used up. ``log`` makes one only where calls come faster than that, or where maintenance has not
answered for 0.25 s (it waits for the disk): beside a busy thread each system call on the way costs the GIL for 5 ms.
Without memory the call is dropped, and counted; while that lasts, spares are asked for each 10 ms at most, and whenever
memory is freed.

A spare serves whatever fits: its byte region is an eighth, more after a segment that needed more. A value that finds no
memory is dropped alone; what still fits the segment goes on.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from time import monotonic_ns, time_ns
from typing import Any

from steplog.journal import slot
from steplog.journal.append import Append, Segment
from steplog.journal.compiled import append_type
from steplog.journal.jsonable import NoRoomError
from steplog.journal.late import LateCalls
from steplog.journal.locked import LockedAppend
from steplog.journal.memory import Block, MemoryPool
from steplog.journal.reserved import RESERVED
from steplog.journal.segment import GRANULE_BYTES, HEADER_BYTES, PAYLOAD, Header, granules, write_header
from steplog.journal.values import Values, checked_name, checked_step, restored

__all__ = ["CLAIMING", "NAMES_BYTES_MAX", "EndedSegment", "Refusal", "Writer"]

NAMES_BYTES_MAX = 1024 * 1024  # of a segment's region for names that are carried over: some 30,000 of them
_FULL_LOOK_INTERVAL_NS = 10_000_000  # between two looks of a full writer for memory
_ANSWER_NS = 250_000_000  # within which maintenance makes a spare, unless it waits for the disk
_SPARES_MAX = 2  # while segments are used up, else one
_IDLE_ROUNDS = 5  # after which the second one is given back
_SPARE_VALUE_BYTES = 4096  # that fit any spare, beside the names
_SLOTS_MIN = 4  # of a segment
_REGION_SHARE_MAX = 0.75  # of a segment, where texts take it: the next records may be numbers
_PAGE_BYTES = 4096
Refusal = Callable[[Any, Any, Any], None]
_PACK = {slot.KIND_FLOAT: slot.pack_float, slot.KIND_INT: slot.pack_int, slot.KIND_BOOL: slot.pack_int}


class EndedSegment(Segment):
    """A segment without room; ``refuse`` is what ``log`` does."""

    __slots__ = ("refuse",)

    def __init__(self, writer: bytes, base: int, refuse: Refusal) -> None:
        super().__init__(bytearray(), Header(writer, base, 0, 0))
        self.refuse = refuse


class Writer(LateCalls):
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
        self.on_wanted: Callable[[], None] | None = None  # ``prepare`` is wanted; None: nobody else calls it
        self.use_client = use_client
        self._numbers = count(1)
        self._room_at = 0  # when a full writer may look for memory again, in ns
        self._asked_at = 0  # when ``prepare`` was first wanted since it was last called, in ns
        self._used_up = 0  # segments since then
        self._idle_rounds = _IDLE_ROUNDS  # calls of ``prepare`` since one was used up
        self._wants_second = False
        self._text_bytes = 0  # of values in this segment, about
        self._has_no_room = False  # for a spare
        self._refused = (0, 0)  # the least and largest need that found no room
        self._spares: deque[Block] = deque()
        hot = append_type() if append is None else type(append)
        self._segment_type = hot.segment_type
        self._first_bytes = first_bytes or pool.segment_bytes()
        self.head = self._segment(0, self._first_bytes)  # the first needed one, moved on by the reader
        pool.on_freed = self._on_freed
        if append is not None:  # for a call that the fork interrupted
            append.segment.successor.setdefault(0, self.head)
        self.append = append or self._hot(hot, clock)
        self.append.slow = self._slow
        self._follow(self.head)

    def _hot(self, hot: type[Append], clock: Callable[[], int]) -> Append:
        return hot(self.head, self._slow, clock)

    def _slow(self, name: Any, value: Any, step: Any, client: Any) -> None:
        if self.are_modules_cleared():
            return self.refuse_late(name, value, step)
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
        return None

    def log(self, name: Any, value: Any, step: Any = None) -> None:
        """Record any value. Raises TypeError or ValueError for a wrong name or step."""
        text, number = checked_name(name), checked_step(step)
        try:
            kind, scalar, files = self.values.converted(value)
        except NoRoomError:
            self.count_file()
            return
        self._record(text, kind, scalar, number, self.append.clock(), files)

    def _log_all(self, metrics: Mapping[Any, Any], value: Any, step: Any) -> None:
        number = checked_step(value if step is None and value is not ... else step)  # of two arguments the second
        given = [(checked_name(name), item) for name, item in metrics.items()]
        found = []
        try:
            for name, item in given:
                try:
                    found.append((name, *self.values.converted(item)))
                except NoRoomError:
                    self.count_file()
        except BaseException:
            for *_, files in found:
                self.values.discard_all(files)
            raise
        now = self.append.clock()
        for name, kind, scalar, files in found:
            self._record(name, kind, scalar, number, now, files)

    def _record(
        self, name: str, kind: int, value: float | int | bytes, step: int, now: int, files: Sequence[str] = ()
    ) -> None:
        """Write or drop one record; ``files`` are those that it names."""
        taken: bool | None = True
        try:
            while (taken := self._store(name, kind, value, step, now)) is False:
                segment = self.append.segment
                if isinstance(segment, EndedSegment) or segment.header.writer != self.id:
                    self._pass_on(segment, name, restored(kind, value), None if step == slot.NO_STEP else step)
                    taken = True
                    break
        finally:
            if files and not taken:
                self.values.discard_all(files)

    def _pass_on(self, segment: Segment, name: str, value: object, step: int | None) -> None:
        """To who takes calls now."""
        if isinstance(segment, EndedSegment):
            segment.refuse(name, value, step)
        else:
            self.append.slow(name, value, step, None)

    def _store(self, name: str, kind: int, value: float | int | bytes, step: int, now: int) -> bool | None:
        """Write one record; False where that took another segment: do it again. None: it was dropped."""
        segment = self.append.segment
        if isinstance(segment, EndedSegment) or segment.header.writer != self.id:
            return False  # ended, or forked, since the value was converted
        if name not in segment.names and not segment.declare(name, self._number_of(name)):
            return self._rotate(segment, _need_of(name, value))
        key = segment.names[name] + slot.key_of(0, kind - slot.KIND_FLOAT)
        place = 0
        if isinstance(value, bytes):
            found = segment.put(PAYLOAD, value)
            if found is None:
                return self._rotate(segment, _need_of(name, value))
            place = found
            self._text_bytes += len(value)
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

    def _number_of(self, name: str) -> int:
        return next(self._numbers) | (slot.UNCOUNTED if name in RESERVED else 0)

    def count(self, reason: str) -> None:
        """Count a call not taken."""
        # No call and no backward jump between load and store, so CPython switches no thread.
        self.dropped[reason] += 1
        self.on_drop()

    def count_file(self) -> None:
        """Count a call whose file found no room."""
        self.dropped.setdefault("files full", 0)
        self.count("files full")

    def end(self, refuse: Refusal) -> None:
        """Take the room away: ``log`` comes to ``refuse`` from now on."""
        while not isinstance(segment := self.append.segment, EndedSegment) or segment.refuse is not refuse:
            self._link_next(segment, lambda base: EndedSegment(self.id, base, refuse))
        while (block := self._take_spare(0)) is not None:
            self.pool.free(block)

    def after(self, segment: Segment) -> Segment | None:
        """The next segment of this writer; one of another writer that goes on with its calls is none."""
        found = segment.successor.get(0)
        return found if found is not None and found.header.writer == self.id else None

    def reopen(self) -> None:
        """Take calls again after ``end``."""
        self._link_next(self.append.segment, self._segment)

    def forked(self, refuse: Refusal) -> None:
        """In a forked child: leave the parent's journal, in an interrupted call too, and come to ``refuse``."""
        self.on_drop, self.on_private = (lambda: None), (lambda base, end: None)  # the ledger is the parent's, too
        self.on_successor, self.on_wanted = (lambda: None), None
        self._spares.clear()
        ended, segment = EndedSegment(self.id, 0, refuse), self.append.segment
        while not self._is_over(segment):  # finished or disabled stays so
            segment = segment.detach(ended)
        self.append.segment = segment

    def is_busy(self) -> bool:
        """Whether an eighth of its first segment is used."""
        segment = self.append.segment
        end = segment.offset_of(segment.header.capacity // 8 + 1)
        return segment.header.base > 0 or segment.memory[end - 2 : end] != b"\0\0"

    def prepare(self, spares: int = 1) -> None:
        """Make segments ahead of time; not called by ``log``."""
        used_up = self._take_used_up()
        self._idle_rounds = 0 if used_up else self._idle_rounds + 1
        go_fast, self._wants_second = used_up > 0 or self._wants_second, False
        if self._make_spares(spares, go_fast) and self.on_wanted is not None:
            self._wants_second = True  # in a round of its own
            self.on_wanted()
        self._asked_at = 0

    def _take_used_up(self) -> int:
        used_up, self._used_up = self._used_up, 0
        return used_up

    def _known_spares(self) -> tuple[Block, ...]:
        return tuple(self._spares)

    def _make_spares(self, spares: int = 1, go_fast: bool = False) -> bool:
        """Make so many spares, or else one more where they ``go_fast``; whether another one is wanted."""
        segment = self.append.segment
        if self._is_over(segment):
            return False
        size = self.pool.segment_bytes() if self.is_busy() else min(self._first_bytes, self.pool.segment_bytes())
        least = 2 * max(_names_of(segment), min(_SPARE_VALUE_BYTES, size // 4))
        kept = [block for block in self._known_spares() if _holds(block, least) or not self._give_back(block)]
        small = all(4 * len(block.memory) < size for block in kept)
        missing = max(spares - len(kept), int((go_fast or small) and len(kept) < _SPARES_MAX))
        made = 0
        while made < missing and (block := self.pool.allocate(_bytes_for(size, least))) is not None:
            self._spares.append(block)
            made += 1
        self._has_no_room = not kept and not made
        if self._idle_rounds > _IDLE_ROUNDS and len(kept) > spares and not small:
            self._give_back(kept[-1])
        if self._refused[1]:
            self._make_for_refused(_names_of(segment))
        return made > 0 and go_fast and len(kept) + made < _SPARES_MAX

    def _make_for_refused(self, names: int) -> None:
        """Have a spare for the largest of the values that found no room."""
        least, most = self._refused
        room = max((_region_max(block) for block in self._known_spares()), default=0) - names
        tight = _bytes_for(0, names + most)
        if room < most and tight <= self.pool.bytes_max:  # else none will ever have it
            block = self.pool.allocate(_bytes_for(self.pool.segment_bytes(), 2 * max(names, most)))
            block = block or self.pool.allocate(tight)
            if block is None:
                self._refused = (max(least, min(room + 1, most)), most)
                return
            self._spares.append(block)
        self._refused = (0, 0)

    def leave_private(self) -> None:
        """Go on in shared memory where that has room again. Not called by ``log``."""
        segment = self.append.segment
        spares = [block for block in self._known_spares() if block.path is None]
        is_private = segment.block is not None and segment.block.path is None
        if self.pool.directory is None or not (spares or is_private):
            return
        block = self.pool.allocate(self.pool.segment_bytes(), shared=True)
        if block is None:
            return
        for spare in spares:
            self._give_back(spare)
        self._spares.appendleft(block)
        if is_private:
            self._rotate(segment, 0)

    def _give_back(self, block: Block) -> bool:
        """Free a spare; False where it was taken meanwhile."""
        try:
            self._spares.remove(block)
        except ValueError:
            return False
        self.pool.free(block)
        return True

    def _on_freed(self) -> None:
        """The pool has got more room. In any thread."""
        if (self._has_no_room or self._refused[1]) and self.on_wanted is not None:
            self.on_wanted()

    def _is_over(self, segment: Segment) -> bool:
        return isinstance(segment, EndedSegment) and segment.refuse != self._when_full

    def _rotate(self, segment: Segment, need: int) -> bool | None:
        """Go to the next segment, and return False. None: no memory has room for ``need``, and the call is dropped."""
        names = _names_of(segment)
        block = None if segment.successor else self._block(names + need, 2 * max(names, need), need)
        if block is None and need and not segment.successor:
            self._drop(need)
            return None
        self._go_on(segment, block, max(2 * max(names, need), names + need))
        return False

    def _go_on(self, segment: Segment, block: Block | None, region: int) -> None:
        """Go on in ``block``, with a region for texts like those of the last segment; without one, as a full writer."""
        texts, self._text_bytes = self._text_bytes, 0
        share = texts / (texts + slot.SLOT_BYTES * (1 + segment.claimed()))
        blocks = [block]
        try:
            self._link_next(segment, lambda base: self._segment_in(blocks.pop(), base, region, share))
        finally:
            if blocks and block is not None:  # another caller was faster
                self.pool.free(block)

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
        self._used_up += 1
        self._asked_at = self._asked_at or monotonic_ns()
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

    def _segment(self, base: int, size: int | None = None) -> Segment:
        """A segment at ``base``; a full one without memory."""
        return self._segment_in(self._block(0, 0, 0, size), base, 0)

    def _segment_in(self, block: Block | None, base: int, region: int, share: float = 0.0) -> Segment:
        if block is None:
            return EndedSegment(self.id, base, self._when_full)
        size = len(block.memory)
        region = min(max(region, size // 8, int(min(share, _REGION_SHARE_MAX) * size)), _region_max(block))
        capacity = (size - HEADER_BYTES - region) // slot.SLOT_BYTES
        region = size - HEADER_BYTES - capacity * slot.SLOT_BYTES  # no byte is left over: readers check that
        if block.path is None:
            self.on_private(base, base + capacity)
        return self._segment_type(block.memory, Header(self.id, base, capacity, region), block)

    def _block(self, least: int, region: int, need: int, size: int | None = None) -> Block | None:
        """A spare with room for ``region``, or ``least``; without one a block made here, unless there was no room."""
        block = self._take_spare(region) or self._take_spare(least)
        if block is not None:
            return block
        if self._has_no_room or 0 < self._refused[0] <= need:
            return self._take_spare(least) if self._finds_room() else None
        size = size or self.pool.segment_bytes()
        return self.pool.allocate(_bytes_for(size, region)) or self.pool.allocate(_bytes_for(0, max(least, size // 8)))

    def _take_spare(self, region: int) -> Block | None:
        for _ in range(len(self._spares)):
            try:
                block = self._spares.popleft()
            except IndexError:
                return None
            if _holds(block, region):
                return block
            self._spares.append(block)
        return None

    def _finds_room(self) -> bool:
        """Have spares made, each 10 ms at most; whether one is there."""
        now = monotonic_ns()
        if now < self._room_at:
            return False
        self._room_at = now + _FULL_LOOK_INTERVAL_NS
        asked_at = self._asked_at
        if self.on_wanted is None or 0 < asked_at <= now - _ANSWER_NS:
            self._make_spares()
        elif asked_at == 0:  # else it is on its way
            self._asked_at = now
            self.on_wanted()
        return bool(self._spares)

    def _when_full(self, name: Any, value: Any, step: Any) -> None:
        text, number = checked_name(name), checked_step(step)
        try:
            kind, scalar, files = self.values.converted(value)
        except NoRoomError:
            self.count_file()
            return
        segment = self.append.segment
        if isinstance(segment, EndedSegment) and not self._is_over(segment):
            need = _need_of(text, scalar)
            block = self._take_spare(need) if self._spares or self._finds_room() else None
            if block is not None:
                self._go_on(segment, block, 2 * need)
            elif self.append.segment is segment:
                self.values.discard_all(files)
                self._drop(need)
                return
        self._record(text, kind, scalar, number, self.append.clock(), files)

    def _drop(self, need: int) -> None:
        self._refused = (min(need, self._refused[0] or need), max(need, self._refused[1]))
        self.count("memory full")
        self._finds_room()


def _need_of(name: str, value: float | int | bytes) -> int:
    """Bytes in the byte region, if the name is new."""
    return (granules(len(name.encode())) + (granules(len(value)) if isinstance(value, bytes) else 0)) * GRANULE_BYTES


def _names_of(segment: Segment) -> int:
    """Bytes of the names to be carried over."""
    names = sum(map(len, segment.entries))
    return names if 2 * names <= NAMES_BYTES_MAX else 0


def _region_max(block: Block) -> int:
    return len(block.memory) - HEADER_BYTES - _SLOTS_MIN * slot.SLOT_BYTES


def _holds(block: Block, region: int) -> bool:
    return region <= _region_max(block)


def _bytes_for(size: int, region: int) -> int:
    """Bytes of a block: ``size``, or what it takes to hold ``region``."""
    if region <= size - HEADER_BYTES - _SLOTS_MIN * slot.SLOT_BYTES:
        return size
    needed = size + region + HEADER_BYTES + _SLOTS_MIN * slot.SLOT_BYTES
    return needed + -needed % _PAGE_BYTES


# The code that claims positions, wherever it is called from: the C append has no frame of its own.
_CLAIM = (Append.log, Append._log_int, LockedAppend.log, Writer._record, Writer._store, Writer._link_next)
CLAIMING = frozenset(function.__code__ for function in _CLAIM)
