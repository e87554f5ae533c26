"""One writer's journal, as the agent reads it: memory and disk as one stretch of positions.

1. Reading never waits for the writer, and takes no slot before its kind was seen. A live writer's journal is readable
   up to the first hole (claimed, not written), which the writer's process closes.
2. A dead writer's holes are passed over, and counted as abandoned once: as they become durable, where they look like
   other empty positions, else as they are delivered. So are positions in no extent, unless they went with private
   memory: those are lost, and in the ledger.
3. ``ack`` moves the cursor before it frees memory: a kill in between costs a duplicate request, never a record.
4. Positions without a record are covered by the ranges around them.
5. A segment leaves memory once each of its positions is delivered or durable.
6. ``restart`` moves the cursor back to what is still here: the server has lost the run.
7. ``give_up`` moves the beginning (``on_full``). What is in flight counts as given up until it is said to be delivered.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from heapq import merge
from itertools import accumulate

from msgspec.structs import replace

from steplog.journal import cursor as cursors
from steplog.journal import slot
from steplog.journal.extents import Extent, FrameExtent
from steplog.journal.losses import LOSSES_BYTES, Losses, LossLedger
from steplog.journal.range import RANGE_BYTES_MAX, Range
from steplog.journal.segment import Memory
from steplog.journal.sources import Source
from steplog.journal.spool import Spool

__all__ = ["Journal"]


class Journal:
    """The records of ``writer``; ``alive``: its process can still append."""

    def __init__(
        self,
        writer: str,
        memory: Source,
        cursor_memory: Memory,
        alive: Callable[[], bool],
        disk: Spool | None = None,
        ledger: LossLedger | None = None,
    ) -> None:
        self.writer = writer
        self.memory = memory
        self.disk = disk
        self.ledger = ledger or LossLedger(bytearray(LOSSES_BYTES))
        self.cursor = cursors.load(cursor_memory)
        self._cursor_memory = cursor_memory
        self._stores_cursor = True
        self._alive = alive
        self._known: tuple[Sequence[Extent], list[int]] = ((), [])
        self._lost: list[tuple[int, int]] = []  # stretches that were lost with private memory

    @property
    def alive(self) -> bool:
        """Whether the writer can still append; once False it stays so."""
        if self._alive():
            return True
        self._alive = lambda: False
        return False

    def load_cursor(self) -> None:
        """Take over another process's cursor, and free memory accordingly."""
        self.cursor = cursors.load(self._cursor_memory)
        self.memory.evict(max(self.cursor.delivered, self.cursor.durable))

    def set_cursor(self, cursor: cursors.Cursor) -> None:
        """Store the cursor, and keep it."""
        if self._stores_cursor:
            cursors.store(self._cursor_memory, cursor)
        self.cursor = cursor

    def hand_over(self) -> None:
        """Another process moves the cursor from now on: an answer that comes late is not to move it back."""
        self._stores_cursor = False

    def move_cursor(self, memory: Memory) -> None:
        """Store the cursor here from now on."""
        cursors.store(memory, self.cursor)
        self._cursor_memory = memory

    def lost(self, losses: Losses) -> int | None:
        """How many values went with a dead writer's private memory, at most; None: nobody knows."""
        if losses.settled or losses.lost is None:
            return losses.lost
        if losses.hidden:
            return None if losses.closed is None else max(0, losses.closed - max(self.begin, self.written()))
        done = max(self.begin, self.cursor.durable)
        return sum(max(0, end - max(base, done)) for base, end in self._private(losses))

    def count_lost(self) -> None:
        """The writer is dead: count what went with its private memory, once."""
        losses = self.ledger.losses
        self._lost = [] if losses.hidden else self._private(losses)
        self.memory.end_at([base for base, _ in self._lost])
        if not losses.settled and losses.lost is not None:
            self.ledger.store(lost=self.lost(losses), settled=True)

    def _private(self, losses: Losses) -> list[tuple[int, int]]:
        """The stretches of private memory, each up to the next segment."""
        bases = sorted([extent.base for extent in self.memory.extents()] + [base for base, _ in losses.private])
        found = []
        for base, end in losses.private:
            after = bisect_right(bases, base)
            limits = [*bases[after : after + 1], *([] if losses.closed is None else [losses.closed])]
            found.append((base, min([end, *limits])))
        return found

    def ack(self, end: int, records: int, set_aside: int = 0, given_up: int = 0, uncounted: int = 0) -> None:
        """Everything below ``end`` is on the server or set aside; free memory.

        ``records`` were sent, and so were ``given_up`` more; ``uncounted`` of the first are no values of the user's.
        Others that were claimed are abandoned.
        """
        if end <= self.cursor.delivered:
            return
        first = self.cursor.delivered
        missing = self._claimed(first, end) - records - set_aside
        records += self.cursor.records + given_up - uncounted
        abandoned, oldest = self.cursor.abandoned + max(0, missing), self.cursor.oldest - given_up
        self.set_cursor(replace(self.cursor.moved(end), records=records, abandoned=abandoned, oldest=oldest))
        self.evict(end)

    def make_durable(self, end: int, gaps: Iterable[tuple[int, int]] = ()) -> None:
        """Everything below ``end`` is on disk; ``gaps``, in no extent before, are empty there."""
        cursor, first = self.cursor, max(self.cursor.durable, self.begin)
        lost = self.holes(first, end) + sum(max(0, min(stop, end) - max(start, first)) for start, stop in gaps)
        self.set_cursor(replace(cursor, durable=max(end, first), abandoned=cursor.abandoned + lost))

    def rewind_durable(self, end: int) -> None:
        """What lies above ``end`` is not durable: to be written and counted again."""
        cursor = self.cursor
        again = self.holes(max(end, self.begin), cursor.durable)
        self.set_cursor(replace(cursor, durable=end, abandoned=max(0, cursor.abandoned - again)))

    def give_up(self, end: int, aside: Collection[int]) -> None:
        """Give up what lies below ``end``, which is readable; count the rest but ``aside``. Raises OSError."""
        cursor, first = self.cursor, self.begin
        records, holes = self.values(first, end), self.missing(first, end)
        for position in range(cursor.delivered, cursor.delivered + cursor.done.bit_length()):
            if first <= position < end and (cursor.done >> (position - cursor.delivered) & 1) and position not in aside:
                records -= self.values(position, position + 1)
                holes -= self.missing(position, position + 1)
        records -= sum(self.values(position, position + 1) for position in aside if first <= position < end)
        oldest, abandoned = cursor.oldest + records, cursor.abandoned + max(0, holes)
        self.set_cursor(replace(cursor, begin=end, oldest=oldest, abandoned=abandoned))
        self.evict(end)

    def restart(self, aside: Collection[int]) -> int:
        """Begin anew with all that is here, for another run on the server; what is ``aside`` stays there.

        How many records that were delivered are not here any more.
        """
        cursor = self.cursor
        bases = [extent.base for extent in self._extents(0, self.memory.extents()) if extent.written() > 0]
        begin = max(cursor.begin, min(bases, default=cursor.delivered))
        settled = [cursor.delivered + bit for bit in range(cursor.done.bit_length()) if cursor.done >> bit & 1]
        here = self.values(begin, cursor.delivered) + sum(self.values(at, at + 1) for at in settled)
        here -= sum(self.values(at, at + 1) for at in aside if begin <= at < cursor.delivered or at in settled)
        gone = max(0, cursor.records - here)
        abandoned = max(0, cursor.abandoned - self.missing(begin, cursor.delivered))
        anew = replace(cursor, delivered=0, begin=begin, records=gone, abandoned=abandoned, ambiguous=0)
        self.set_cursor(replace(anew, stock=False, sent=0, settled=0, reach=0))
        return gone

    @property
    def begin(self) -> int:
        """Everything below is delivered or given up."""
        return max(self.cursor.delivered, self.cursor.begin)

    def evict(self, below: int) -> None:
        """Free the memory below this position, which is delivered."""
        self.memory.evict(below)

    def readable(self, first: int, most: int) -> int:
        """The position up to which it can be read from ``first`` on, ``most`` positions at most."""
        alive = self.alive  # before looking: once it is dead, all it left is there
        position = max(first, self.cursor.begin)
        for extent in self._extents(position, self.memory.extents()):
            if extent.limit <= position:
                continue
            if alive and extent.base > position:
                break  # a segment in between, which the directory's listing did not show yet
            # Frames are read one at a time: a later one is not looked at yet.
            later = isinstance(extent, FrameExtent) and position > first
            end = extent.limit if later else extent.readable(max(position, extent.base), alive)
            position = max(position, end)
            if position - first >= most or (extent.is_open and alive) or (end < extent.limit and not extent.is_open):
                break
        return min(position, first + most)

    def on_disk(self) -> int:
        """The position up to which everything undelivered is on disk."""
        position = self.begin
        for extent in self.disk.extents() if self.disk is not None else ():
            if extent.base > position:
                break
            position = max(position, extent.limit)
        return position

    def written(self) -> int:
        """One after the last position that is not empty."""
        ends = [extent.written() for extent in self.memory.extents()[-1:]]  # at or beyond the end of all before it
        return max((*ends, *self._on_disk()[1][-1:]), default=self.cursor.delivered)

    def census(self, first: int, end: int) -> int:
        """Records in ``[first, end)``."""
        return sum(extent.census(start, stop)[0] for extent, start, stop in self._spans(first, end))

    def values(self, first: int, end: int) -> int:
        """Values of the user's in ``[first, end)``: its records, less steplog's own."""
        spans = self._spans(first, end)
        return sum(extent.census(start, stop)[0] - extent.uncounted(start, stop) for extent, start, stop in spans)

    def uncounted(self, first: int, end: int) -> int:
        """Records in ``[first, end)`` that are steplog's own."""
        return sum(extent.uncounted(start, stop) for extent, start, stop in self._spans(first, end))

    def covered(self, first: int, end: int) -> list[tuple[int, int]]:
        """The stretches of ``[first, end)`` that are here."""
        return [(start, stop) for _, start, stop in self._spans(first, end)]

    def missing(self, first: int, end: int) -> int:
        """Lost positions and holes in ``[first, end)`` that are not counted yet."""
        lost = sum(stop - start for start, stop in self.gaps(first, end))
        return lost + self.holes(max(first, self.cursor.durable), end)

    def _claimed(self, first: int, end: int) -> int:
        """``census`` and ``missing`` in one pass, where nothing is on disk."""
        if self._on_disk()[1] or self.cursor.durable > first:
            return self.census(first, end) + self.missing(first, end)
        claimed = max(0, end - max(first, self.cursor.begin))
        for extent, start, stop in self._spans(first, end):
            claimed += sum(extent.census(start, stop)) - (stop - start)
        if self._lost:
            raw, left = self._gaps(first, end), self.gaps(first, end)
            claimed -= sum(stop - start for start, stop in raw) - sum(stop - start for start, stop in left)
        return claimed

    def holes(self, first: int, end: int) -> int:
        """Holes in ``[first, end)``, as far as memory has them."""
        spans = self._spans(first, end, self.memory.extents())
        return sum(extent.census(start, stop)[1] for extent, start, stop in spans)

    def gaps(self, first: int, end: int) -> list[tuple[int, int]]:
        """Stretches of ``[first, end)`` in no extent, less those lost with private memory."""
        found = self._gaps(first, end)
        for base, stop in self._lost:
            parts = [part for start, until in found for part in ((start, min(until, base)), (max(start, stop), until))]
            found = [(start, until) for start, until in parts if start < until]
        return found

    def _gaps(self, first: int, end: int) -> list[tuple[int, int]]:
        found, position = [], max(first, self.cursor.begin)
        for _, start, stop in self._spans(first, end):
            if start > position:
                found.append((position, start))
            position = stop
        return [*found, (position, end)] if position < end else found

    def read(self, first: int, end: int) -> Range:
        """The records ``[first, end)``, which are readable, or as many as fit in a range."""
        position = first
        names: dict[int, str] = {}
        slots: list[bytes] = []
        payloads: list[bytes] = []
        end = min(end, first + RANGE_BYTES_MAX // slot.SLOT_BYTES)
        alone = False
        for extent, start, stop in self._spans(first, end):
            if slots and (alone or isinstance(extent, FrameExtent)):
                end = position  # a frame is sent as it is: to join two costs more than a request
                break
            alone = isinstance(extent, FrameExtent)
            if isinstance(extent, FrameExtent) and (start, stop) == (extent.base, extent.limit) and start == first:
                return extent.load()
            records = extent.read(start, stop)
            slots += [bytes((start - position) * slot.SLOT_BYTES), records.slots]
            payloads += records.payloads
            names.update(records.names)
            position = stop
        slots.append(bytes((end - position) * slot.SLOT_BYTES))
        return _fitting(Range(self.writer, first, end, names, b"".join(slots), b"".join(payloads)))

    def _extents(self, first: int, memory: Sequence[Extent]) -> Iterable[Extent]:
        on_disk, reach = self._on_disk()
        if not reach:
            return memory
        later = (on_disk[index] for index in range(bisect_right(reach, first), len(reach)))
        return merge(memory, later, key=lambda extent: extent.base)

    def _on_disk(self) -> tuple[Sequence[Extent], list[int]]:
        """The extents on disk, and how far they reach; cached."""
        extents = () if self.disk is None else self.disk.extents()
        if extents is not self._known[0]:
            self._known = extents, list(accumulate((extent.limit for extent in extents), max))
        return self._known

    def _spans(self, first: int, end: int, of: Iterable[Extent] | None = None) -> Iterator[tuple[Extent, int, int]]:
        """Extents, all that are known or those given, that cover ``[first, end)``, each with its stretch."""
        position = max(first, self.cursor.begin)
        for extent in self._extents(position, self.memory.known()) if of is None else of:
            if extent.base >= end:
                break
            start, stop = max(position, extent.base), min(end, extent.limit)
            if start < stop:
                yield extent, start, stop
                position = stop


def _fitting(records: Range) -> Range:
    """A first part that is small enough; a single record always is."""
    while records.end - records.first > 1:
        names = sum(len(name) * 4 + 8 for name in records.names.values())
        if len(records.slots) + len(records.payloads) + names <= RANGE_BYTES_MAX:
            break
        records = records.part(records.first, records.first + (records.end - records.first) // 2)
    return records
