"""``stats()``: sums over the writers of a run, and what keeps it from being delivered."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from delivery.parts import Book
from steplog.delivery.loss_report import LossReport
from steplog.journal.losses import LOSSES_BYTES, LossLedger
from steplog.lifecycle import run_stats


def counted(error: str | None = None, trouble: str | None = None) -> SimpleNamespace:
    """A run of this process's writer and another one, with a different number for each count."""
    own, other = Book(1).write(3), Book(2).write(5)
    own.journal.set_cursor(replace(own.journal.cursor, delivered=1, durable=2, records=10, rejected=20, ambiguous=30))
    other.journal.set_cursor(
        replace(other.journal.cursor, durable=4, records=1, rejected=2, ambiguous=3, abandoned=4, oldest=5)
    )
    own.writer.dropped |= {"memory full": 6, "finished": 7}
    own.writer.values.coerced = 8
    journals = {"own": own.journal, "other": other.journal}
    own.journal.ledger = LossLedger(bytearray(LOSSES_BYTES), own.writer.dropped)
    other.journal.ledger.store(dropped={"memory full": 1000}, lost=50)
    lease = SimpleNamespace(
        outbox=SimpleNamespace(journals=journals, pending=lambda: 100, losses=lambda: LossReport.of(journals.values())),
        memory_bytes=lambda: 64,
        spool_bytes=lambda: 32,
        trouble=lambda: trouble,
    )
    opened = SimpleNamespace(journal=own.journal, writer=own.writer, at_risk=lambda: 70)
    return run_stats.of_run(lease, opened, error, 9, run_stats.FileCounts(7, 5, 1))  # type: ignore[arg-type]


def test_the_counts_of_all_writers_are_added_and_what_was_dropped_told_by_its_reason():
    stats = counted()
    assert (stats.delivered, stats.pending, stats.rejected, stats.ambiguous) == (11, 100, 22, 33)
    assert stats.logged == 11 + 100 + 22 + (1006 + 7 + 5) + 4 + 50
    assert stats.dropped == {"memory full": 1006, "finished": 7, "oldest": 5}
    assert (stats.abandoned, stats.lost, stats.at_risk, stats.coerced, stats.faults) == (4, 50, 70, 8, 9)
    assert (stats.memory_bytes, stats.spool_bytes, stats.durable) == (64, 32, 2)
    assert (stats.files, stats.files_pending, stats.files_lost) == (7, 5, 1)


@pytest.mark.parametrize(
    ("error", "trouble", "told"),
    [
        (None, None, None),
        ("refused", None, "refused"),
        (None, "disk full", "disk full"),
        ("refused", "disk full", "refused"),
    ],
)
def test_the_last_error_is_the_servers_or_else_that_of_the_disk(error, trouble, told):
    assert counted(error, trouble).last_error == told


def test_a_run_that_another_process_delivers_counts_what_this_one_has_written():
    book = Book().write(5)
    book.journal.set_cursor(replace(book.journal.cursor, delivered=2, records=2, durable=4))
    own = SimpleNamespace(journal=book.journal, writer=book.writer, at_risk=lambda: 1)
    stats = run_stats.of_writer(own, 3, run_stats.FileCounts(0, 0, 0))  # type: ignore[arg-type]
    assert (stats.logged, stats.delivered, stats.pending, stats.faults) == (5, 2, 3, 3)
    assert (stats.durable, stats.dropped, stats.last_error) == (4, {}, None)
    report = run_stats.report(stats)
    assert (report.logged, report.delivered, report.pending) == (5, 2, 3)
