"""One run: what is asked first, what is sent, and the status last."""

from __future__ import annotations

import msgspec
import pytest

from delivery.parts import Book, Line, asked
from steplog.delivery.ranges import RangeStream
from steplog.delivery.waiter import Waiter
from steplog.testing.memory_server import Fault, MemoryServer

HOUR = 3600.0


def test_the_status_comes_after_all_records_that_any_writer_wrote_before_the_end():
    books = [Book(number).write(20) for number in range(3)]
    line = Line(*books)
    line.outbox.end_with("COMPLETED")
    for book in books:
        book.write(5)
    seen = []
    patch = line.server._set_status

    def look(run, fields):
        seen.append(len(run.rows))
        return patch(run, fields)

    line.server._set_status = look
    line.deliver()
    assert seen == [75] or seen[0] >= 60
    assert line.run.statuses == ["COMPLETED"]
    assert len(line.values()) == 75


def test_what_is_logged_after_the_end_is_delivered_and_does_not_change_the_status():
    book = Book().write(3)
    line = Line(book)
    line.outbox.end_with("CRASHED")
    line.deliver()
    book.write(3)
    line.deliver()
    assert line.values() == [1, 2, 3, 4, 5, 6]
    assert line.run.statuses == ["CRASHED"]


def test_a_status_whose_answer_was_lost_is_sent_again_until_it_is_confirmed():
    line = Line(Book())
    line.outbox.end_with("COMPLETED")
    line.server.faults.extend([Fault.lost(), Fault(200, b"<html>"), Fault(200, b'{"uuid": "x", "status": "RUNNING"}')])
    line.deliver()
    assert line.run.statuses == ["COMPLETED", "COMPLETED"]
    assert line.outbox.status_sent


def test_a_status_that_is_refused_lets_those_go_who_wait_for_it():
    line = Line(Book().write(1))
    line.outbox.end_with("DONE")
    told = []
    line.outbox.wait(Waiter(lambda: told.append(line.outbox.refused), status=True))
    line.deliver(10)
    assert len(told) == 1
    assert told[0].status == 400
    assert line.values() == [1]


def test_a_status_that_is_refused_and_that_nobody_waits_for_is_tried_again_slowly():
    line = Line(Book())
    line.outbox.end_with("COMPLETED")
    line.server.script = lambda request: Fault(400, b"no") if line.now < 1000 + HOUR else None
    line.deliver(2 * HOUR)
    assert line.run.statuses == ["COMPLETED"]
    assert len(line.sent) < 70


def test_those_who_wait_are_let_go_when_everything_before_their_call_is_there():
    book = Book().write(5)
    line = Line(book)
    told: list[int] = []
    line.outbox.wait(Waiter(lambda: told.append(len(line.values()))))
    line.deliver()
    book.write(1)
    line.outbox.wait(Waiter(lambda: told.append(len(line.values()))))
    line.outbox.release_waiters()
    assert told == [5]
    line.deliver()
    assert told == [5, 6]


def test_records_that_are_set_aside_do_not_keep_anybody_waiting():
    line = Line(Book().write(3))
    line.poison(3)
    told: list[int] = []
    line.outbox.wait(Waiter(lambda: told.append(1)))
    line.deliver()
    assert told == [1]


def test_while_somebody_waits_a_record_does_not_wait_for_company():
    line = Line(Book().write(1), batch_age_s=100.0)
    line.outbox.wait(Waiter(lambda: None))
    assert line.step()
    line.books[0].write(1)
    assert not line.step()


def test_a_server_that_turns_into_a_stock_one_is_served_one_by_one_from_the_mark():
    book = Book().write(3)
    line = Line(book)
    line.deliver()
    line.server.batch = False
    book.write(3)
    line.deliver()
    assert line.values() == [1, 2, 3, 4, 5, 6]
    assert asked(line)[-3:] == ["POST metrics"] * 3
    assert book.journal.cursor.stock


def test_a_writer_that_delivered_to_a_stock_server_never_batches_but_a_new_one_may():
    old, new = Book(0).write(3), Book(1).write(3)
    line = Line(old, new, batch=False, lanes=1)
    while old.journal.cursor.records < 2:
        line.step()
    line.server.batch = True
    line.books = (old, Book(2).write(2))
    line.again()
    line.deliver()
    assert old.journal.cursor.stock
    assert not line.books[1].journal.cursor.stock
    assert old.journal.cursor.records == 3


@pytest.mark.parametrize("status", [403, 301, 302, 307, 308])
def test_a_run_that_is_refused_as_a_whole_is_probed_slowly_and_said_once(status, caplog):
    line = Line(Book().write(3))
    line.server.script = lambda request: Fault(status, b"no") if line.now < 1000 + HOUR else None
    line.deliver(HOUR)
    assert len(line.sent) < 200
    assert str(status) in line.outbox.trouble
    from steplog.delivery.deferred_log import deferred_log

    deferred_log.tell()
    assert sum("Everything is kept" in record.message for record in caplog.records) == 1
    line.deliver()
    assert line.values() == [1, 2, 3]
    assert line.outbox.trouble is None


def test_writers_take_turns():
    books = [Book(number, size=512 * 1024).write(40) for number in range(3)]
    line = Line(*books, batch=False, lanes=1)
    for _ in range(30):
        line.step()
    assert {book.journal.cursor.delivered for book in books} == {10}


def test_a_server_in_memory_answers_as_the_contract_says():
    server = MemoryServer()
    run = server.add_run("me", "demo", "first")
    listed = msgspec.json.decode(server.exchange(_get("/api/v0/me/projects/demo/runs/"), 1.0).body)
    assert [(entry["uuid"], entry["status"]) for entry in listed] == [(run.uuid, "RUNNING")]
    assert server.exchange(_get("/api/v0/me/projects/none/"), 1.0).status == 404


def _get(path):
    from steplog.delivery.exchange import Request

    return Request("GET", path)


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("order", [1, -1])
def test_what_a_dead_writer_has_left_comes_before_what_a_later_one_logs(batch: bool, order: int):
    """A stock server numbers what has no step as it comes."""
    dead, living = Book(0), Book(1)
    dead.write(40)
    dead.living = False
    living.count = 100
    living.write(40)
    line = Line(*[dead, living][::order], batch=batch)
    line.deliver()
    assert line.values() == [*range(1, 41), *range(101, 141)]


def test_each_journal_of_the_dead_is_looked_at_no_oftener_the_more_there_are(monkeypatch: pytest.MonkeyPatch):
    """Each exchange looked at all that were delivered before: the end of a run with many workers was slow."""
    looks: list[str] = []
    look = RangeStream.due_at

    def counted(stream: RangeStream, now: float, hurry: bool) -> float | None:
        looks.append(stream.journal.writer)
        return look(stream, now, hurry)

    monkeypatch.setattr(RangeStream, "due_at", counted)
    books = [Book(number).write(3) for number in range(100)]
    for book in books:
        book.living = False
    line = Line(*books)
    line.outbox.wait(Waiter(lambda: None))
    assert line.deliver() == len(books)
    assert len(looks) <= 3 * len(books)
    assert sorted(line.values()) == sorted([1, 2, 3] * len(books))


def test_a_journal_of_the_dead_that_was_empty_is_looked_at_again_in_the_next_round():
    book, other = Book(0).write(3), Book(1)
    book.living = False
    line = Line(book, other)
    line.deliver()
    line.now += 3600.0
    assert not line.step()
    book.write(2)
    line.now += 3600.0
    assert not line.step()
    line.outbox.look_at_all()
    assert line.deliver() == 1
    assert line.values() == [1, 2, 3, 4, 5]


def test_a_server_that_turns_stock_holds_back_no_end_for_a_dead_writers_quarantine():
    book, other = Book(0).write(3), Book(1)
    book.living = False
    line = Line(book, other)
    line.poison(3)
    line.deliver()
    assert line.set_aside() == [3]
    line.server.batch = False
    other.write(1)
    line.outbox.end_with("COMPLETED")
    line.deliver()
    assert (line.outbox.pending(), line.run.status) == (0, "COMPLETED")
    assert line.outbox.idle()
