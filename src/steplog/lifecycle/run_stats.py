"""Counting for ``Stats`` and ``Report``."""

from __future__ import annotations

from collections import Counter

from steplog.delivery.lease import Lease
from steplog.journal.cursor import Cursor
from steplog.journal.open_writer import OpenWriter
from steplog.journal.sources import OwnSource
from steplog.report import Report, Stats

__all__ = ["of_run", "of_writer", "report", "unsaved"]


def of_run(lease: Lease, own: OpenWriter, error: str | None, faults: int) -> Stats:
    """A run that this process delivers, over all writers. ``error`` is the delivery's."""
    counts = Counter(pending=lease.outbox.pending(), faults=faults)
    counts["memory full"] = lease.dropped()
    for journal in lease.outbox.journals.values():
        counts.update(_counts(journal.cursor))
    return _stats(counts, own, lease.memory_bytes(), lease.spool_bytes(), error or lease.trouble())


def of_writer(own: OpenWriter, faults: int) -> Stats:
    """What this process has written of a run that another one delivers."""
    journal = own.journal
    journal.load_cursor()
    counts = _counts(journal.cursor)
    counts["faults"] = faults
    counts["pending"] = journal.census(journal.cursor.delivered, journal.written())
    return _stats(counts, own, journal.memory.size_bytes(), 0, None)


def unsaved(own: OpenWriter) -> int:
    """The records in this process's own memory that are neither delivered nor on disk: they end with it."""
    cursor, memory = own.journal.cursor, own.journal.memory
    done = max(cursor.delivered, cursor.durable)
    extents = memory.private_extents() if isinstance(memory, OwnSource) else ()
    return sum(extent.census(max(done, extent.base), extent.limit)[0] for extent in extents if extent.limit > done)


def report(stats: Stats) -> Report:
    """The counts alone."""
    return Report(**{field: getattr(stats, field) for field in Report.__dataclass_fields__})


def _counts(mark: Cursor) -> Counter[str]:
    return Counter(
        delivered=mark.records,
        rejected=mark.rejected,
        ambiguous=mark.ambiguous,
        abandoned=mark.abandoned,
        oldest=mark.oldest,
    )


def _stats(counts: Counter[str], own: OpenWriter, memory_bytes: int, spool_bytes: int, error: str | None) -> Stats:
    cursor = own.journal.cursor
    dropped = {**own.writer.dropped, "oldest": counts["oldest"]}
    dropped["memory full"] += counts["memory full"]
    return Stats(
        logged=counts["delivered"] + counts["pending"] + counts["rejected"] + counts["oldest"],
        delivered=counts["delivered"],
        pending=counts["pending"],
        rejected=counts["rejected"],
        ambiguous=counts["ambiguous"],
        coerced=own.writer.values.coerced,
        abandoned=counts["abandoned"],
        dropped={reason: calls for reason, calls in dropped.items() if calls},
        faults=counts["faults"],
        durable=max(cursor.durable, cursor.delivered),
        memory_bytes=memory_bytes,
        spool_bytes=spool_bytes,
        last_error=error,
        append=own.writer.append.kind,
    )
