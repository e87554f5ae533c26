"""One writer's journal, as the agent reads it: what is in memory and what is on disk, as one stretch of positions.

Reading never waits for the writer, and never takes a slot before its kind was seen. While the writer lives, the
journal can be read up to the first slot that is claimed and not yet there; the writer's own process closes such a
hole if nobody fills it. Once the writer is dead, its holes are calls that never returned: they are passed over, and
counted as abandoned.

A dead writer's holes are counted once, where they are left behind: as they become durable (``make_durable``), since on
disk they look like any position without a record, or as they are delivered, if that comes first. What no piece has, in
memory or on disk, is lost, and counted as they are.

``give_up`` moves the journal's beginning where there is no room (``on_full``): nothing is below it, and no hole either.
What is under way just then counts as given up until an answer says that it is delivered.

``ack`` moves the marks first and frees memory then, so that a death in between costs a duplicate request, which the
server knows, and never a record. Positions that carry no record (tombstones, holes, a segment that vanished
or is damaged) are covered by the ranges around them.

A segment leaves memory when each of its positions is delivered, or durable on disk.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from heapq import merge
from itertools import accumulate

from steplog.journal import cursor as mark
from steplog.journal import slot
from steplog.journal.extents import Extent
from steplog.journal.range import RANGE_BYTES_MAX, Range
from steplog.journal.segment import Memory
from steplog.journal.sources import Extents, Source

__all__ = ["Journal"]


class Journal:
    """The records of the writer ``id``; ``living`` says whether its process can still append."""

    def __init__(
        self,
        writer: str,
        memory: Source,
        marks_memory: Memory,
        living: Callable[[], bool],
        disk: Extents | None = None,
    ) -> None:
        self.writer = writer
        self.memory = memory
        self.disk = disk
        self.cursor = mark.load(marks_memory)
        self._marks_memory = marks_memory
        self._living = living
        self._known: tuple[Sequence[Extent], list[int]] = ((), [])

    @property
    def living(self) -> bool:
        """Whether the writer's process can still append; once False it stays so."""
        if self._living():
            return True
        self._living = lambda: False
        return False

    # -- marks --------------------------------------------------------------------------------------------------

    def load_cursor(self) -> None:
        """Take over the marks that another process has stored, and free what is not needed any more."""
        self.cursor = mark.load(self._marks_memory)
        self.memory.evict(max(self.cursor.delivered, self.cursor.durable))

    def set_cursor(self, cursor: mark.Cursor) -> None:
        """Store the marks, and keep them."""
        mark.store(self._marks_memory, cursor)
        self.cursor = cursor

    def move_cursor(self, memory: Memory) -> None:
        """Keep the marks here from now on."""
        mark.store(memory, self.cursor)
        mark.store_dropped(memory, max(mark.dropped(memory), self.dropped))
        self._marks_memory = memory

    @property
    def dropped(self) -> int:
        """How many calls the writer has dropped because there was no room, as far as it can say so in memory."""
        return mark.dropped(self._marks_memory)

    def tell_dropped(self, calls: int) -> None:
        """So many calls were dropped; in the writer's own process."""
        mark.store_dropped(self._marks_memory, calls)

    def ack(self, end: int, records: int, set_aside: int = 0, given_up: int = 0) -> None:
        """Everything below ``end`` is on the server, but for what is set aside; free what is not needed any more.

        ``records`` of what is acknowledged were really sent, and so many more that were ``given_up`` meanwhile. What
        else was claimed there (holes of a dead writer, damaged or lost slots) is counted as abandoned.
        """
        if end <= self.cursor.delivered:
            return
        first = self.cursor.delivered
        missing = self.census(first, end) + self.missing(first, end) - records - set_aside
        self.set_cursor(
            replace(
                self.cursor.moved(end),
                records=self.cursor.records + records + given_up,
                abandoned=self.cursor.abandoned + max(0, missing),
                oldest=self.cursor.oldest - given_up,
            )
        )
        self.evict(end)

    def make_durable(self, end: int, gaps: Iterable[tuple[int, int]] = ()) -> None:
        """Everything below ``end`` is safe on disk; ``gaps`` were in no piece before, and look like holes there now."""
        cursor, first = self.cursor, max(self.cursor.durable, self.begin)
        lost = self.holes(first, end) + sum(max(0, min(stop, end) - max(start, first)) for start, stop in gaps)
        self.set_cursor(replace(cursor, durable=max(end, first), abandoned=cursor.abandoned + lost))

    def doubt_durable(self, end: int) -> None:
        """What lies at ``end`` and above is not safe on disk: it is to be written, and its holes counted, once more."""
        cursor = self.cursor
        again = self.holes(max(end, self.begin), cursor.durable)
        self.set_cursor(replace(cursor, durable=end, abandoned=max(0, cursor.abandoned - again)))

    def give_up(self, end: int, aside: Collection[int]) -> None:
        """Have nothing below ``end`` any more, which is readable, to make room; what was not delivered is counted.

        Positions ``aside`` are counted already. Raises OSError where it cannot look.
        """
        cursor = self.cursor
        first = self.begin
        records, holes = self.census(first, end), self.missing(first, end)
        for position in range(cursor.delivered, cursor.delivered + cursor.done.bit_length()):
            if first <= position < end and (cursor.done >> (position - cursor.delivered) & 1) and position not in aside:
                records -= self.census(position, position + 1)
                holes -= self.missing(position, position + 1)
        records -= sum(first <= position < end for position in aside)
        self.set_cursor(
            replace(cursor, begin=end, oldest=cursor.oldest + records, abandoned=cursor.abandoned + max(0, holes))
        )
        self.evict(end)

    @property
    def begin(self) -> int:
        """Where the journal begins: everything below is delivered, or given up."""
        return max(self.cursor.delivered, self.cursor.begin)

    def evict(self, below: int) -> None:
        """Free the memory below this position, which is delivered; on disk, the thread that writes there tidies up."""
        self.memory.evict(below)

    # -- how far ------------------------------------------------------------------------------------------------

    def readable(self, first: int, most: int) -> int:
        """The position up to which records can be read from ``first`` on, at most ``most`` of them."""
        living = self.living  # before looking: what a writer leaves behind is all there once it is dead
        position = max(first, self.cursor.begin)
        for extent in self._extents(position):
            if extent.limit <= position:
                continue
            if living and extent.base > position:
                break  # a segment in between that the listing of the directory did not show yet
            # Of several frames one is read at a time; that the next can be is seen when it is the next.
            later = extent.alone and position > first
            end = extent.limit if later else extent.readable(max(position, extent.base), living)
            position = max(position, end)
            if position - first >= most or (extent.is_open and living) or (end < extent.limit and not extent.is_open):
                break
        return min(position, first + most)

    def on_disk(self) -> int:
        """The position up to which everything that is not delivered is on disk, and can be found there."""
        position = self.begin
        for extent in self.disk.extents() if self.disk is not None else ():
            if extent.base > position:
                break
            position = max(position, extent.limit)
        return position

    def written(self) -> int:
        """One after the last position that carries something, holes below it or not."""
        ends = [extent.written() for extent in self.memory.extents()]
        return max((*ends, *self._on_disk()[1][-1:]), default=self.cursor.delivered)

    def census(self, first: int, end: int) -> int:
        """How many positions in ``[first, end)`` carry a record."""
        return sum(extent.census(start, stop)[0] for extent, start, stop in self._spans(first, end))

    def missing(self, first: int, end: int) -> int:
        """How many positions in ``[first, end)`` were claimed and are not there, of those that nobody has counted."""
        lost = sum(stop - start for start, stop in self.gaps(first, end))
        return lost + self.holes(max(first, self.cursor.durable), end)

    def holes(self, first: int, end: int) -> int:
        """How many positions in ``[first, end)`` were claimed and never written, as far as memory has them."""
        holes, position = 0, max(first, self.cursor.begin)
        for extent in self.memory.extents():
            start, stop = max(position, extent.base), min(end, extent.limit)
            if start < stop:
                holes += extent.census(start, stop)[1]
                position = stop
        return holes

    def gaps(self, first: int, end: int) -> list[tuple[int, int]]:
        """The stretches of ``[first, end)`` that are in no piece."""
        found, position = [], max(first, self.cursor.begin)
        for _, start, stop in self._spans(first, end):
            if start > position:
                found.append((position, start))
            position = stop
        return [*found, (position, end)] if position < end else found

    # -- reading ------------------------------------------------------------------------------------------------

    def read(self, first: int, end: int) -> Range:
        """The records ``[first, end)``, or as many as fit in a range; ``end`` is no further than is ``readable``."""
        position = first
        names: dict[int, str] = {}
        slots: list[bytes] = []
        payloads: list[bytes] = []
        end = min(end, first + RANGE_BYTES_MAX // slot.SLOT_BYTES)
        alone = False
        for extent, start, stop in self._spans(first, end):
            if slots and (extent.alone or alone):
                end = position  # a frame goes as it came: to take it apart and join it costs more than a request
                break
            if start == first and (whole := extent.whole(start, stop)) is not None:
                return whole
            alone = extent.alone
            records = extent.read(start, stop)
            slots += [bytes((start - position) * slot.SLOT_BYTES), records.slots]
            payloads += records.payloads
            names.update(records.names)
            position = stop
        slots.append(bytes((end - position) * slot.SLOT_BYTES))
        return _fitting(Range(self.writer, first, end, names, b"".join(slots), b"".join(payloads)))

    def _extents(self, first: int) -> Iterator[Extent]:
        """Those that reach beyond ``first``, in order, looked at no further than they are taken."""
        on_disk, reach = self._on_disk()
        later = (on_disk[index] for index in range(bisect_right(reach, first), len(reach)))
        return merge(self.memory.extents(), later, key=lambda extent: extent.base)

    def _on_disk(self) -> tuple[Sequence[Extent], list[int]]:
        """The pieces on disk, and how far each reaches with those before it; made anew where frames came or went."""
        extents = () if self.disk is None else self.disk.extents()
        if extents is not self._known[0]:
            self._known = extents, list(accumulate((extent.limit for extent in extents), max))
        return self._known

    def _spans(self, first: int, end: int) -> Iterator[tuple[Extent, int, int]]:
        """The pieces that cover ``[first, end)``, each with the stretch to take from it, without overlap."""
        position = max(first, self.cursor.begin)
        for extent in self._extents(position):
            if extent.base >= end:
                break
            start, stop = max(position, extent.base), min(end, extent.limit)
            if start < stop:
                yield extent, start, stop
                position = stop


def _fitting(records: Range) -> Range:
    """The range, or its first part that is small enough; a single record always is."""
    while records.end - records.first > 1:
        names = sum(len(name) * 4 + 8 for name in records.names.values())
        if len(records.slots) + len(records.payloads) + names <= RANGE_BYTES_MAX:
            break
        records = records.part(records.first, records.first + (records.end - records.first) // 2)
    return records
