"""Counting: a run's ``Stats`` and ``Report``, from the marks and the journals."""

from __future__ import annotations

from collections import Counter

from steplog.delivery.custody import Custody
from steplog.journal.marks import Marks
from steplog.journal.opening import OpenWriter
from steplog.report import Report, Stats

__all__ = ["of_run", "of_writer", "report"]


def of_run(custody: Custody, own: OpenWriter, error: str | None, faults: int) -> Stats:
    """A run that this process delivers: all its writers. ``error`` is what keeps it from being delivered."""
    counts = Counter(pending=custody.consignment.pending(), faults=faults)
    counts["memory full"] = custody.dropped()
    for journal in custody.consignment.journals.values():
        counts.update(_counts(journal.marks))
    return _stats(counts, own, custody.memory_bytes(), custody.spool_bytes(), error or custody.trouble())


def of_writer(own: OpenWriter, faults: int) -> Stats:
    """A run that another process delivers: what this one has written of it."""
    journal = own.journal
    journal.load_marks()
    counts = _counts(journal.marks)
    counts["faults"] = faults
    counts["pending"] = journal.census(journal.marks.delivered, journal.written())
    return _stats(counts, own, journal.memory.size_bytes(), 0, None)


def report(stats: Stats) -> Report:
    """The counts alone."""
    return Report(**{field: getattr(stats, field) for field in Report.__dataclass_fields__})


def _counts(mark: Marks) -> Counter[str]:
    return Counter(
        delivered=mark.records,
        rejected=mark.rejected,
        ambiguous=mark.ambiguous,
        abandoned=mark.abandoned,
        oldest=mark.oldest,
    )


def _stats(counts: Counter[str], own: OpenWriter, memory_bytes: int, spool_bytes: int, error: str | None) -> Stats:
    marks = own.journal.marks
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
        durable=max(marks.durable, marks.delivered),
        memory_bytes=memory_bytes,
        spool_bytes=spool_bytes,
        last_error=error,
        append=own.writer.append.kind,
    )
