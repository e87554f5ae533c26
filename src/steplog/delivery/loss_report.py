"""The report that goes to the server with a run's status: what of the run does not reach it. Pure.

{"dropped": {reason: values}, "abandoned": values, "lost": values at most, or null where nobody knows, "rejected": …}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from steplog.journal.journal import Journal

__all__ = ["LossReport"]


class LossReport(msgspec.Struct, frozen=True):
    """Counts of values; see ``Report``."""

    dropped: dict[str, int]
    abandoned: int
    lost: int | None
    rejected: int

    @classmethod
    def of(cls, journals: Iterable[Journal]) -> LossReport:
        """Of these journals, as far as it is known."""
        dropped, abandoned, lost, unknown, rejected = Counter[str](), 0, 0, False, 0
        for journal in journals:
            losses, cursor = journal.ledger.losses, journal.cursor
            dropped.update(losses.dropped)
            dropped["oldest"] += cursor.oldest
            abandoned += cursor.abandoned
            lost += losses.lost or 0
            unknown |= losses.lost is None
            rejected += cursor.rejected
        counts = {reason: values for reason, values in sorted(dropped.items()) if values}
        return cls(counts, abandoned, None if unknown else lost, rejected)

    def logged(self, delivered: int, pending: int) -> int:
        """How many values were given to ``log``, where so many are delivered and pending."""
        return delivered + pending + self.rejected + self.abandoned + (self.lost or 0) + sum(self.dropped.values())

    def is_clean(self) -> bool:
        """Whether nothing is lost. What was rejected is set aside."""
        return not self.dropped and not self.abandoned and self.lost == 0
