"""One run: what is asked first, what is sent, and the status last."""

from __future__ import annotations

import msgspec
import pytest

from delivery.parts import Book, Line
from steplog.delivery.consignment import Wait
from steplog.delivery.inquiry import GONE_INTERVAL_S
from steplog.memory_server import Fault, MemoryServer

HOUR = 3600.0


def asked(line: Line) -> list[str]:
    """Method and the last part of the path of each request."""
    return [
        f"{due.order.request.method} {due.order.request.path.rstrip('/').split('/')[-1]}" for _, due, _ in line.sent
    ]


def test_the_status_comes_after_the_records_of_all_writers_that_were_written_before_the_end():
    books = [Book(number).write(20) for number in range(3)]
    line = Line(*books)
    line.consignment.end_with("COMPLETED")
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
    line.consignment.end_with("CRASHED")
    line.deliver()
    book.write(3)
    line.deliver()
    assert line.values() == [1, 2, 3, 4, 5, 6]
    assert line.run.statuses == ["CRASHED"]


def test_a_status_whose_answer_was_lost_is_sent_again_until_it_is_confirmed():
    line = Line(Book())
    line.consignment.end_with("COMPLETED")
    line.server.faults.extend([Fault.lost(), Fault(200, b"<html>"), Fault(200, b'{"uuid": "x", "status": "RUNNING"}')])
    line.deliver()
    assert line.run.statuses == ["COMPLETED", "COMPLETED"]
    assert line.consignment.status_sent


def test_a_status_that_is_refused_lets_those_go_who_wait_for_it():
    line = Line(Book().write(1))
    line.consignment.end_with("DONE")
    told = []
    line.consignment.wait(Wait(lambda: told.append(line.consignment.refused), status=True))
    line.deliver(10)
    assert len(told) == 1
    assert told[0].status == 400
    assert line.values() == [1]


def test_a_status_that_is_refused_and_that_nobody_waits_for_is_tried_again_slowly():
    line = Line(Book())
    line.consignment.end_with("COMPLETED")
    line.server.script = lambda request: Fault(400, b"no") if line.now < 1000 + HOUR else None
    line.deliver(2 * HOUR)
    assert line.run.statuses == ["COMPLETED"]
    assert len(line.sent) < 70


def test_those_who_wait_are_let_go_when_everything_before_their_call_is_there():
    book = Book().write(5)
    line = Line(book)
    told: list[int] = []
    line.consignment.wait(Wait(lambda: told.append(len(line.values()))))
    line.deliver()
    book.write(1)
    line.consignment.wait(Wait(lambda: told.append(len(line.values()))))
    line.consignment.release_waits()
    assert told == [5]
    line.deliver()
    assert told == [5, 6]


def test_records_that_are_set_aside_do_not_keep_anybody_waiting():
    line = Line(Book().write(3))
    line.poison(3)
    told: list[int] = []
    line.consignment.wait(Wait(lambda: told.append(1)))
    line.deliver()
    assert told == [1]


def test_while_somebody_waits_a_record_does_not_wait_for_company():
    line = Line(Book().write(1), batch_age_s=100.0)
    line.consignment.wait(Wait(lambda: None))
    assert line.step()
    line.books[0].write(1)
    assert not line.step()


# -- questions ------------------------------------------------------------------------------------------------------


def test_a_run_that_was_not_made_just_now_is_asked_for_before_anything_is_sent():
    line = Line(Book().write(1), knows=False)
    line.deliver()
    assert asked(line) == [f"GET {line.run.uuid}", "POST batch"]


def test_nothing_is_asked_while_there_is_nothing_to_send():
    line = Line(Book(), knows=False)
    assert line.deliver(60) == 0


def test_a_stock_server_is_found_out_by_its_list_of_runs():
    line = Line(Book().write(1), batch=False, knows=False)
    line.deliver()
    assert asked(line) == [f"GET {line.run.uuid}", "GET runs", f"GET {line.run.uuid}", "POST metrics"]


def test_one_404_of_a_proxy_does_not_turn_a_writer_to_stock_for_good():
    line = Line(Book().write(1), knows=False)
    line.server.faults.append(Fault(404))
    line.deliver()
    assert not line.books[0].journal.marks.stock
    assert asked(line)[-1] == "POST batch"


def test_a_proxy_that_answers_400_to_the_question_does_not_make_it_a_stock_server():
    """After the hour of the proxy the list of runs was read, and the run being on it meant stock."""
    line = Line(Book().write(1), knows=False)
    line.server.script = lambda request: Fault(400) if line.now < 1000 + HOUR else None
    line.deliver(2 * HOUR)
    assert not line.books[0].journal.marks.stock
    assert line.values() == [1]
    assert len(line.sent) < 250


@pytest.mark.parametrize("status", [400, 404, 405, 409, 413, 415])
@pytest.mark.parametrize("account", [None, "me"])
def test_a_question_that_is_refused_for_an_hour_is_not_asked_again_and_again_at_once(status, account):
    line = Line(Book().write(1), knows=False, account=account)
    line.server.script = lambda request: Fault(status, b"{}") if line.now < 1000 + HOUR else None
    line.deliver(3 * HOUR)
    assert line.values() == [1]
    assert len(line.sent) < 400


def test_of_an_adopted_run_nothing_is_sent_before_the_account_is_known_to_be_its_own():
    line = Line(Book().write(1), knows=False, account="me")
    line.deliver()
    assert asked(line)[0] == "GET verify-api-key"
    assert line.values() == [1]


def test_an_adopted_run_waits_for_a_key_of_its_account_and_says_so():
    line = Line(Book().write(1), knows=False, account="somebody")
    line.deliver(HOUR)
    assert line.values() == []
    assert set(asked(line)) == {"GET verify-api-key"}
    assert len(line.sent) < 62
    assert line.consignment.trouble == "needs an API key of somebody"
    line.server.username = "somebody"
    line.deliver()
    assert line.values() == [1]
    assert line.consignment.trouble is None


def test_another_key_has_the_account_asked_again():
    """A key that was changed while the run was delivered could belong to somebody else."""
    book = Book().write(1)
    line = Line(book, knows=False, account="me")
    line.deliver()
    line.server.key, line.server.found_key, line.server.username = "new", "new", "somebody"
    book.write(1)
    line.deliver(HOUR)
    assert line.values() == [1]
    assert "somebody" not in line.consignment.trouble or line.consignment.trouble == "needs an API key of me"


# -- gone -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [True, False])
def test_of_a_run_that_was_deleted_nothing_more_is_sent_and_everything_is_kept(batch):
    book = Book().write(3)
    line = Line(book, batch=batch)
    line.deliver()
    del line.server.runs[line.run.uuid]
    book.write(3)
    told: list[int] = []
    line.consignment.wait(Wait(lambda: told.append(1)))
    line.deliver(10)
    assert line.consignment.gone
    assert told == [1]
    posts = sum(request == "POST batch" or request == "POST metrics" for request in asked(line))
    line.deliver(3 * HOUR)
    assert sum(request == "POST batch" or request == "POST metrics" for request in asked(line)) == posts
    assert line.consignment.pending() == 3
    assert len(line.sent) < 100


def test_a_run_that_seemed_gone_goes_on_when_it_is_there_again():
    """A proxy that answered 404 for a while stopped every run for the life of the process."""
    book = Book().write(3)
    line = Line(book)
    line.server.script = lambda request: Fault(404) if line.now < 1000 + HOUR else None
    line.deliver(HOUR - 60)
    assert line.consignment.gone
    line.deliver(2 * GONE_INTERVAL_S)
    assert line.values() == [1, 2, 3]
    assert not line.consignment.gone


def test_a_404_of_one_route_alone_is_not_asked_about_at_once_each_time():
    line = Line(Book().write(1))
    line.server.script = lambda request: Fault(404) if request.path.endswith("/batch/") else None
    line.deliver(HOUR)
    assert not line.consignment.gone
    assert not line.books[0].journal.marks.stock
    assert len(line.sent) < 300


# -- the mode -------------------------------------------------------------------------------------------------------


def test_a_server_that_turns_into_a_stock_one_is_served_one_by_one_from_the_mark():
    book = Book().write(3)
    line = Line(book)
    line.deliver()
    line.server.batch = False
    book.write(3)
    line.deliver()
    assert line.values() == [1, 2, 3, 4, 5, 6]
    assert asked(line)[-3:] == ["POST metrics"] * 3
    assert book.journal.marks.stock


def test_a_writer_that_delivered_to_a_stock_server_never_turns_back_but_a_new_one_may():
    old, new = Book(0).write(3), Book(1).write(3)
    line = Line(old, new, batch=False, lanes=1)
    while old.journal.marks.records < 2:
        line.step()
    line.server.batch = True
    line.books = (old, Book(2).write(2))
    line.again()
    line.deliver()
    assert old.journal.marks.stock
    assert not line.books[1].journal.marks.stock
    assert old.journal.marks.records == 3


# -- the run's own trouble ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 301, 302, 307, 308])
def test_a_run_that_is_refused_as_a_whole_is_probed_slowly_and_said_once(status, caplog):
    line = Line(Book().write(3))
    line.server.script = lambda request: Fault(status, b"no") if line.now < 1000 + HOUR else None
    line.deliver(HOUR)
    assert len(line.sent) < 200
    assert str(status) in line.consignment.trouble
    from steplog.delivery.news import news

    news.tell()
    assert sum("Everything is kept" in record.message for record in caplog.records) == 1
    line.deliver()
    assert line.values() == [1, 2, 3]
    assert line.consignment.trouble is None


def test_writers_take_turns():
    books = [Book(number, size=512 * 1024).write(40) for number in range(3)]
    line = Line(*books, batch=False, lanes=1)
    for _ in range(30):
        line.step()
    assert {book.journal.marks.delivered for book in books} == {10}


def test_a_server_in_memory_answers_as_the_contract_says():
    server = MemoryServer()
    run = server.add_run("me", "demo", "first")
    listed = msgspec.json.decode(server.exchange(_get("/api/v0/me/projects/demo/runs/"), 1.0).body)
    assert [(entry["uuid"], entry["status"]) for entry in listed] == [(run.uuid, "RUNNING")]
    assert server.exchange(_get("/api/v0/me/projects/none/"), 1.0).status == 404


def _get(path):
    from steplog.delivery.exchange import Request

    return Request("GET", path)
