"""Counting for ``Stats`` and ``Report``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager

import msgspec

from steplog.blobs.waiting_files import WaitingFiles
from steplog.delivery.lease import Lease
from steplog.delivery.loss_report import LossReport
from steplog.journal.compiled import reason_of, why_pure
from steplog.journal.cursor import Cursor
from steplog.journal.journal import Journal
from steplog.journal.late import are_modules_cleared
from steplog.journal.open_writer import OpenWriter
from steplog.lifecycle.messages import say_once
from steplog.report import Report, Stats

__all__ = ["FileCounts", "LastStats", "files_of", "lost_files", "of_run", "of_writer", "report", "told"]


class FileCounts(msgspec.Struct, frozen=True):
    """Of a run's files on this host."""

    taken: int
    pending: int
    lost: int


class LastStats:
    """The counts at the end of a program, and what came later; ``dropped`` is its writer's, as long as that counts."""

    are_modules_cleared = staticmethod(are_modules_cleared)

    def __init__(self, stats: Stats, dropped: Mapping[str, int]) -> None:
        self.stats = stats
        self._dropped, self._before = dropped, dict(dropped)

    def late(self) -> Stats | None:
        """The counts by now, once Python has cleared the modules; None before that."""
        if not self.are_modules_cleared():
            return None
        late = {reason: count - self._before.get(reason, 0) for reason, count in self._dropped.items()}
        dropped = dict(self.stats.dropped)
        for reason, count in late.items():
            if count:
                dropped[reason] = dropped.get(reason, 0) + count
        changes = {"dropped": dropped, "logged": self.stats.logged + sum(late.values())}
        return self.stats.__class__(**(vars(self.stats) | changes))


def files_of(
    files: WaitingFiles, lease: Lease | None, own: OpenWriter, lock: AbstractContextManager[object]
) -> FileCounts:
    """Count them. Lists directories, which is not done under ``lock``, the agent's."""
    with lock:
        journals = [own.journal] if lease is None else list(lease.outbox.journals.values())
        taken = sum(journal.ledger.losses.files for journal in journals)
        lost = _lost_with(journals)
    pending = files.left()
    if lease is not None:  # what has arrived may be here for a while
        pending = min(pending, lease.outbox.uploads.count_left(files.ids()))
    if own.journal.ledger.losses.settled or not own.journal.alive:  # what is in private memory counts as lost
        pending = max(0, pending - files.at_risk())
    return FileCounts(taken, pending, files.lost() + lost)


def lost_files(files: WaitingFiles, journals: Iterable[Journal]) -> int:
    """How many files are lost; with those in the private memory of writers that died, at most."""
    return files.lost() + _lost_with(journals)


def _lost_with(journals: Iterable[Journal]) -> int:
    """In the private memory of writers that died."""
    known = ((journal.ledger.losses, journal.alive) for journal in journals)
    return sum(losses.at_risk for losses, alive in known if losses.settled or not alive)


def of_run(lease: Lease, own: OpenWriter, error: str | None, faults: int, files: FileCounts) -> Stats:
    """A run that this process delivers, over all writers. ``error`` is the delivery's."""
    outbox = lease.outbox
    cursors = [journal.cursor for journal in outbox.journals.values()]
    sizes = lease.memory_bytes(), lease.spool_bytes()
    return _stats(own, cursors, outbox.pending(), outbox.losses(), sizes, error or lease.trouble(), faults, files)


def of_writer(own: OpenWriter, faults: int, files: FileCounts) -> Stats:
    """What this process has written of a run that another one delivers."""
    journal = own.journal
    journal.load_cursor()
    delivered, end = journal.cursor.delivered, max(journal.written(), own.writer.append.segment.header.base)
    pending = journal.values(delivered, end)
    pending += sum(stop - start for start, stop in journal.gaps(delivered, end))  # the agent has it on disk
    sizes = journal.memory.size_bytes(), 0
    return _stats(own, [journal.cursor], pending, LossReport.of([journal]), sizes, None, faults, files)


def told(stats: Stats, quiet: bool) -> Stats:
    """What a user has asked for; says, once a process, that ``log`` could be faster, and how."""
    if stats.append == "pure" and why_pure() == "not compiled":
        from steplog.installation import UNCOMPILED_COST, compile_again

        say_once(quiet, f"log() is not compiled: {UNCOMPILED_COST}. To have it compiled, {compile_again()}")
    return stats


def report(stats: Stats) -> Report:
    """The counts alone."""
    return Report(**{field: getattr(stats, field) for field in Report.__dataclass_fields__})


def _stats(
    own: OpenWriter,
    cursors: list[Cursor],
    pending: int,
    losses: LossReport,
    sizes: tuple[int, int],
    error: str | None,
    faults: int,
    files: FileCounts,
) -> Stats:
    cursor, delivered = own.journal.cursor, sum(cursor.records for cursor in cursors)
    return Stats(
        logged=losses.logged(delivered, pending),
        delivered=delivered,
        pending=pending,
        rejected=losses.rejected,
        ambiguous=sum(cursor.ambiguous for cursor in cursors),
        coerced=own.writer.values.coerced,
        abandoned=losses.abandoned,
        lost=losses.lost,
        dropped=losses.dropped,
        faults=faults,
        files=files.taken,
        files_pending=files.pending,
        files_lost=files.lost,
        durable=max(cursor.durable, cursor.delivered),
        at_risk=own.at_risk(),
        memory_bytes=sizes[0],
        spool_bytes=sizes[1],
        last_error=error,
        append=own.writer.append.kind,
        append_reason=reason_of(own.writer.append),
    )
