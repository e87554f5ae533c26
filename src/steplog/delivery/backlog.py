"""What remains of a journal: what is still to be sent, as far as it can be read, without what was set aside. Pure.

A journal may lack a stretch: a segment was lost, or the server went back to an older backup, and what it had confirmed
once was freed here. While its writer lives, such a gap may also be a segment that the listing of a directory does not
show yet. So a gap counts as lost after ``GAP_S``, or at once where it is known to be one (``lost_below``); then it is
covered by the ranges around it.

``settled`` and ``empty`` look at no more than they must; ``pending`` counts everything.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import replace

from steplog.delivery.order import Aside
from steplog.journal import range as ranges
from steplog.journal import slot
from steplog.journal.journal import Journal

__all__ = ["GAP_S", "SLOTS_MAX", "Backlog"]

SLOTS_MAX = ranges.RANGE_BYTES_MAX // slot.SLOT_BYTES
GAP_S = 10.0


class Backlog:
    """Of one journal; what is in ``aside`` does not count."""

    def __init__(self, journal: Journal, aside: Aside) -> None:
        self.journal = journal
        self.lost_below = 0  # what is not in the journal below this position will not come any more
        self._set_aside = sorted(aside.positions(journal.writer))
        self._gap_since: float | None = None
        if journal.cursor.rejected < len(self._set_aside):  # a death came between the file and the count
            journal.set_cursor(replace(journal.cursor, rejected=len(self._set_aside)))

    @property
    def first(self) -> int:
        """Everything below is on the server."""
        return self.journal.cursor.delivered

    def carries(self, first: int, end: int) -> bool:
        """Whether there is a record to send in ``[first, end)``."""
        return self.journal.census(first, end) > self.aside_in(first, end)

    def settled(self, end: int) -> bool:
        """Whether no record below ``end`` is left to send."""
        first = self.first
        while first < end:
            stop = min(end, first + SLOTS_MAX)
            if self.carries(first, stop):
                return False
            first = stop
        return True

    def empty(self) -> bool:
        """Whether no record at all is left to send."""
        return not self.carries(self.first, self.first + SLOTS_MAX) and self.settled(self.journal.written())

    def pending(self) -> int:
        """How many records are left to send; the cost grows with their number."""
        end = self.journal.written()
        return max(0, self.journal.census(self.first, end) - self.aside_in(self.first, end))

    def aside_in(self, first: int, end: int) -> int:
        """How many records in ``[first, end)`` are set aside, of those that are in the journal."""
        first = max(first, self.journal.cursor.begin)
        return max(0, bisect_left(self._set_aside, end) - bisect_left(self._set_aside, first))

    def pass_over(self, position: int) -> None:
        """One more is set aside."""
        insort(self._set_aside, position)
        cursor = self.journal.cursor
        self.journal.set_cursor(replace(cursor, rejected=cursor.rejected + 1))

    def give_up(self, end: int) -> None:
        """Do without the records below ``end``."""
        self.journal.give_up(end, self._set_aside)

    def readable(self, most: int) -> int:
        """The position up to which it can be read, at most ``most`` of them."""
        start = max(self.first, min(self.lost_below, self.first + most))
        return start if start - self.first >= most else self.journal.readable(start, most - (start - self.first))

    def read(self, most: int) -> ranges.Range:
        """The next range, of at most ``most`` positions."""
        batch = self.journal.read(self.first, self.readable(most))
        for position in self._set_aside[
            bisect_left(self._set_aside, batch.first) : bisect_left(self._set_aside, batch.end)
        ]:
            batch = batch.without(position)
        return batch

    def gap_ends(self, now: float) -> float | None:
        """Where nothing is readable: when the gap that it begins with is taken as lost; None if there is none."""
        begin = self.begin(self.first)
        if begin <= self.first:
            self._gap_since = None
            return None
        if self._gap_since is None:
            self._gap_since = now
        if now >= self._gap_since + GAP_S:
            self._gap_since, self.lost_below = None, begin
            return now
        return self._gap_since + GAP_S

    def begin(self, first: int) -> int:
        """Where the journal has its first position from ``first`` on; ``first`` itself where it has none."""
        sources = (self.journal.memory, self.journal.disk)
        bases = [max(first, p.base) for s in sources if s is not None for p in s.extents() if p.written() > first]
        return min(bases, default=first)

    def go_back_to(self, mark: int) -> int:
        """The server has forgotten everything from ``mark`` on; how many positions of that are not here any more.

        What is still here is sent, and counted, again.
        """
        cursor = self.journal.cursor
        self.lost_below = min(self.begin(mark), cursor.delivered)
        held = self.journal.census(self.lost_below, cursor.delivered) - self.aside_in(self.lost_below, cursor.delivered)
        holes = self.journal.missing(self.lost_below, cursor.delivered)
        self.journal.set_cursor(
            replace(
                cursor,
                delivered=mark,
                records=max(0, cursor.records - held),
                abandoned=max(0, cursor.abandoned - holes),
                sent=0,
                settled=0,
                reach=0,
            )
        )
        return self.lost_below - mark
