"""The backlog: what is left of a journal to be sent, less what is in quarantine. Pure.

A journal may lack a stretch: a segment was lost, or the server went back to an older backup after it was freed here.
While the writer lives, a gap may also be a segment that the listing of a directory does not show yet. So a gap counts
as lost after ``GAP_S``, or at once below ``lost_below``; the ranges around it cover it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection

from msgspec.structs import replace

from steplog.journal import range as ranges
from steplog.journal import slot
from steplog.journal.journal import Journal

__all__ = ["GAP_S", "SLOTS_MAX", "Backlog", "left_of"]

SLOTS_MAX = ranges.RANGE_BYTES_MAX // slot.SLOT_BYTES
GAP_S = 10.0


class Backlog:
    """Of one journal, less the records at the positions ``quarantined``."""

    def __init__(self, journal: Journal, quarantined: Collection[int]) -> None:
        self.journal = journal
        self.lost_below = 0  # what is not in the journal below this position will not come any more
        self.quarantined = sorted(quarantined)
        self._gap_since: float | None = None
        if journal.cursor.rejected < len(self.quarantined):  # a death came between the file and the count
            journal.set_cursor(replace(journal.cursor, rejected=len(self.quarantined)))

    def carries(self, first: int, end: int) -> bool:
        """Whether there is a record to send in ``[first, end)``."""
        quarantined = self._quarantined_here(first, end) if self.quarantined else 0
        return self.journal.census(first, end) > quarantined

    def settled(self, end: int) -> bool:
        """Whether no record below ``end`` is left."""
        first = self.journal.cursor.delivered
        while first < end:
            stop = min(end, first + SLOTS_MAX)
            if self.carries(first, stop):
                return False
            first = stop
        return True

    def empty(self) -> bool:
        """Whether no record is left."""
        first = self.journal.cursor.delivered
        return not self.carries(first, first + SLOTS_MAX) and self.settled(self.journal.written())

    def pending(self) -> int:
        """How many values are left; the cost grows with their number."""
        first, end = self.journal.cursor.delivered, self.journal.written()
        return max(0, self.journal.values(first, end) - self._quarantined_here(first, end))

    def quarantined_in(self, first: int, end: int) -> int:
        """How many records in ``[first, end)`` are in quarantine, of those that were not given up."""
        first = max(first, self.journal.cursor.begin)
        return max(0, bisect_left(self.quarantined, end) - bisect_left(self.quarantined, first))

    def _quarantined_here(self, first: int, end: int) -> int:
        """The same, without those in a stretch that the journal lacks: they are in no census."""
        return sum(self.quarantined_in(*stretch) for stretch in self.journal.covered(first, end))

    def pass_over(self, position: int) -> None:
        """One more is in quarantine."""
        insort(self.quarantined, position)
        cursor = self.journal.cursor
        self.journal.set_cursor(replace(cursor, rejected=cursor.rejected + 1))

    def give_up(self, end: int) -> None:
        """Give up the records below ``end``."""
        self.journal.give_up(end, self.quarantined)

    def readable(self, first: int, most: int) -> int:
        """The position up to which it can be read from ``first``, at most ``most`` of them."""
        start = max(first, min(self.lost_below, first + most))
        return start if start - first >= most else self.journal.readable(start, most - (start - first))

    def read(self, first: int, end: int) -> ranges.Range:
        """The range ``[first, end)``, which is readable."""
        batch = self.journal.read(first, end)
        if self.quarantined:
            for position in self.quarantined[bisect_left(self.quarantined, first) : bisect_left(self.quarantined, end)]:
                batch = batch.without(position)
        return batch

    def record(self, position: int) -> ranges.Range | None:
        """The one record at ``position``; None while it is on disk and not read yet."""
        if self.journal.readable(position, 1) <= position:
            return None
        return self.journal.read(position, position + 1)

    def gap_ends(self, now: float) -> float | None:
        """Where nothing is readable: when the gap there counts as lost; None: there is no gap."""
        first = self.journal.cursor.delivered
        begin = self.begin(first)
        if begin <= first:
            self._gap_since = None
            return None
        if self._gap_since is None:
            self._gap_since = now
        if now >= self._gap_since + GAP_S:
            self._gap_since, self.lost_below = None, begin
            return now
        return self._gap_since + GAP_S

    def begin(self, first: int) -> int:
        """The journal's first position from ``first`` on; ``first`` where it has none."""
        extents = [
            extent
            for source in (self.journal.memory, self.journal.disk)
            if source is not None
            for extent in source.extents()
        ]
        # The last slot of a closed segment may be claimed and not written yet: it is there, nevertheless.
        ends = [(extent.base, extent.written() if extent.is_open else extent.limit) for extent in extents]
        return min((max(first, base) for base, end in ends if end > first), default=first)

    def go_back_to(self, mark: int) -> int:
        """The server has nothing from ``mark`` on; how many positions of that are not here any more, either.

        The rest is sent, and counted, again. Of what is not, no more is lost than was counted as delivered: a position
        may have had no record.
        """
        cursor = self.journal.cursor
        self.lost_below = min(self.begin(mark), cursor.delivered)
        again = self.lost_below, cursor.delivered
        records = max(0, cursor.records - (self.journal.values(*again) - self._quarantined_here(*again)))
        lost = min(records, self.lost_below - mark - self.quarantined_in(mark, self.lost_below))
        abandoned = max(0, cursor.abandoned - self.journal.missing(*again)) + lost
        begin = max(cursor.begin, self.lost_below)
        cursor = replace(cursor, delivered=mark, begin=begin, records=records - lost, abandoned=abandoned)
        self.journal.set_cursor(replace(cursor, sent=0, settled=0, reach=0))
        return self.lost_below - mark


def left_of(journal: Journal) -> int:
    """Positions written and not delivered: about as many values, and exactly so many where they are few."""
    first, end = journal.cursor.delivered, journal.written()
    return max(0, end - first - (journal.uncounted(first, end) if end - first <= SLOTS_MAX else 0))
