"""The counts of a run's records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Report", "Stats"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Counts of records over all writers of the run on this host; the last three are of this process.

    Attributes:
        logged: calls of ``log`` that were accepted.
        delivered: acknowledged by the server.
        pending: still in the journal.
        rejected: refused by the server for good, and set aside in a file.
        ambiguous: sent again to a server without deduplication, after a lost answer; perhaps stored twice.
        abandoned: lost when a process died during the call, or damaged in memory.
        coerced: values logged as their ``repr``, or cut short.
        dropped: calls not accepted, by reason; of all writers "memory full", and "oldest": given up later.
        faults: errors in steplog's own threads, over all runs; the first is in the log.
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
        memory_bytes: the run's journals in memory.
        spool_bytes: its journals on disk.
        last_error: why the run is not being delivered; None if it is.
        append: how ``log`` is implemented here, "c" or "pure".
    """

    durable: int = 0
    memory_bytes: int = 0
    spool_bytes: int = 0
    last_error: str | None = None
    append: str = "pure"
