"""The report of losses: summed over writers, sent with the status, and only to a server that takes it."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from delivery.parts import Book, Line
from steplog.delivery.creation import Made
from steplog.delivery.loss_report import LossReport


def lossy() -> tuple[Book, Book]:
    first, second = Book(1).write(3), Book(2).write(2)
    first.journal.ledger.store(dropped={"memory full": 4, "finished": 1}, lost=5)
    second.journal.ledger.store(dropped={"memory full": 10, "struck by lightning": 2}, lost=7)
    second.journal.set_cursor(replace(second.journal.cursor, abandoned=3, oldest=6))
    return first, second


REPORT = {
    "dropped": {"finished": 1, "memory full": 14, "oldest": 6, "struck by lightning": 2},
    "abandoned": 3,
    "lost": 12,
    "rejected": 0,
}


def patched(line: Line) -> list[dict[str, object]]:
    return [msgspec.json.decode(due.request.body) for _, due, _ in line.sent if due.request.method == "PATCH"]


def test_the_report_adds_up_the_losses_of_all_writers_by_reason():
    report = LossReport.of(book.journal for book in lossy())
    assert msgspec.to_builtins(report) == REPORT
    assert report.logged(delivered=100, pending=50) == 100 + 50 + 23 + 3 + 12


def test_one_writer_of_whom_nothing_is_known_makes_the_loss_of_the_run_unknown():
    first, second = lossy()
    second.journal.ledger.store(lost=None)
    report = LossReport.of((first.journal, second.journal))
    assert report.lost is None
    assert report.logged(delivered=1, pending=0) == 1 + 23 + 3


def test_the_report_goes_with_the_status_to_a_server_that_names_it():
    line = Line(*lossy(), knows=False)
    line.outbox.end_with("COMPLETED")
    line.deliver()
    assert patched(line) == [{"status": "COMPLETED", "report": REPORT}]
    assert line.server.runs[line.run.uuid].report == REPORT


def test_the_answer_to_a_runs_creation_tells_whether_the_report_is_taken():
    line = Line(*lossy(), knows=False)
    line.outbox.made(Made(line.run.uuid, "run", 1, ["report"]), "me", takes_ranges=True)
    line.outbox.end_with("COMPLETED")
    line.deliver()
    assert patched(line) == [{"status": "COMPLETED", "report": REPORT}]


@pytest.mark.parametrize("features", [None, [], ["tags"], "report", {"report": 1}, [["report"]], 7])
def test_a_server_that_does_not_name_the_feature_gets_the_status_alone(features: object):
    line = Line(*lossy(), knows=False)
    line.server._batch_json = lambda run: {"batch": 1, "features": features}
    line.outbox.end_with("COMPLETED")
    line.deliver()
    assert patched(line) == [{"status": "COMPLETED"}]


def test_a_stock_server_gets_the_status_alone():
    line = Line(*lossy(), batch=False, knows=False)
    line.outbox.end_with("COMPLETED")
    line.deliver()
    assert patched(line) == [{"status": "COMPLETED"}]


def test_the_report_is_that_of_the_moment_in_which_the_status_is_sent():
    book = Book(1).write(3)
    line = Line(book, knows=False)
    line.outbox.end_with("COMPLETED")
    book.journal.ledger.store(dropped={"memory full": 9})
    line.deliver()
    (fields,) = patched(line)
    assert fields["report"]["dropped"] == book.journal.ledger.losses.dropped  # type: ignore[index]
