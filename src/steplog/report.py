"""The counts of a run's values, and what is lost of them in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Report", "Stats", "losses_in_words"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Counts of values over all writers of the run on this host; ``coerced`` and ``faults`` are of this process.

    Attributes:
        logged: given to ``log``: the sum of delivered, pending, rejected, dropped, abandoned, and lost if known.
        delivered: acknowledged by the server.
        pending: still in the journal.
        rejected: refused by the server for good, and set aside in a file.
        ambiguous: sent again to a server without deduplication, after a lost answer; perhaps stored twice.
        abandoned: lost when a process died during the call, or damaged in memory.
        lost: gone with memory, at most: with a killed process's private memory; None: nobody knows how many, as after
            a power cut.
        coerced: logged as their ``repr``, or cut short.
        dropped: not taken, by reason: "memory full", "finished" (after the end), "no place" (a worker without memory
            and disk), "files full" (no room for the file of a value, or a file to save), "no run"
            (``attach(missing="ignore")``); or "oldest": given up later (``on_full``).
        faults: errors in steplog's own threads, over all runs; the first is in the log.
        files: taken: values that are kept in a file, and what was saved.
        files_pending: of these, those that the server does not have.
        files_lost: and those that never will be there: damaged on disk, or gone with memory.
    """

    logged: int = 0
    delivered: int = 0
    pending: int = 0
    rejected: int = 0
    ambiguous: int = 0
    abandoned: int = 0
    lost: int | None = 0
    coerced: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    faults: int = 0
    files: int = 0
    files_pending: int = 0
    files_lost: int = 0


@dataclass(frozen=True, kw_only=True)
class Stats(Report):
    """A report while the run goes on.

    Attributes:
        durable: the position of this process's writer below which a power cut loses nothing.
        at_risk: values of this process that a kill now would lose: in private memory, neither delivered nor on disk. A
            kill loses at most the last ``at_risk`` seen and the values logged since.
        memory_bytes: the run's journals in memory.
        spool_bytes: its journals on disk.
        last_error: why the run is not being delivered; None if it is.
        append: how ``log`` is implemented here: "c"; "pure", in Python; or "locked", in Python under a lock, as on
            free-threaded Python.
        append_reason: why it is not "c", in words.
    """

    durable: int = 0
    at_risk: int = 0
    memory_bytes: int = 0
    spool_bytes: int = 0
    last_error: str | None = None
    append: str = "pure"
    append_reason: str = ""


def losses_in_words(dropped: Mapping[str, int], abandoned: int, lost: int | None, logged: int = 0) -> str:
    """What is lost of ``logged`` values (0: of how many is not known), for people; "" if nothing is."""
    parts, number = [], sum(dropped.values())
    if number:
        reasons = (f"{values:,} {reason}" if len(dropped) > 1 else reason for reason, values in dropped.items())
        why = ", ".join(reasons)
        of = f"{number:,} of {logged:,} values were dropped: {why}"
        parts.append(of if logged else f"{_values(number)} dropped: {why}")
    if abandoned:
        parts.append(f"{_values(abandoned)} lost in memory")
    if lost is None:
        parts.append("an unknown number of values may be lost with memory that is gone")
    elif lost:
        parts.append(f"up to {_values(lost)} lost with private memory")
    return "; ".join(parts)


def _values(number: int) -> str:
    return "1 value was" if number == 1 else f"{number:,} values were"
