"""What became of the records of a run, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Report", "Stats"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Counts of records, over all writers of the run on this host; the last three are this process's.

    Attributes:
        logged: calls of ``log`` that were taken.
        delivered: of these, on the server by its own word.
        pending: neither delivered nor given up; still in the journal.
        rejected: refused by the server for good, and set aside in a file.
        ambiguous: sent again to a server without deduplication after an answer was lost; it may hold them twice.
        abandoned: claimed by a process that died before the call returned, or damaged in memory.
        coerced: values that were logged as their ``repr``, or cut short.
        dropped: calls that were not taken, by reason; of all writers "memory full", and "oldest": taken and given up.
        faults: errors in steplog's own threads, which went on; the first one is in the log. Of all runs together.
    """

    logged: int = 0
    delivered: int = 0
    pending: int = 0
    rejected: int = 0
    ambiguous: int = 0
    abandoned: int = 0
    coerced: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    faults: int = 0


@dataclass(frozen=True, kw_only=True)
class Stats(Report):
    """A report while the run goes on.

    Attributes:
        durable: the position of this process's writer below which a power cut loses nothing.
        memory_bytes: what the run's journals take in memory.
        spool_bytes: what they take on disk.
        last_error: what keeps the run from being delivered, in words; None while nothing does.
        append: how ``log`` is implemented here, "c" or "pure".
    """

    durable: int = 0
    memory_bytes: int = 0
    spool_bytes: int = 0
    last_error: str | None = None
    append: str = "pure"
