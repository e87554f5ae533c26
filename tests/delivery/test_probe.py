"""What is asked about a run before anything is sent, and when it is gone."""

from __future__ import annotations

from itertools import pairwise

import pytest

from delivery.parts import Book, Line, asked
from steplog.delivery.probe import GONE_INTERVAL_S
from steplog.delivery.waiter import Waiter
from steplog.delivery.wire import LIST_BYTES_MAX
from steplog.testing.memory_server import Fault

HOUR = 3600.0
HTML = b"<html>default backend - 404</html>"
DETAIL = b'{"detail": "Not found."}'


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
    assert not line.books[0].journal.cursor.stock
    assert asked(line)[-1] == "POST batch"


def test_a_proxy_that_answers_400_to_the_question_does_not_make_it_a_stock_server():
    """After the hour of the proxy the list of runs was read, and the run being on it meant stock."""
    line = Line(Book().write(1), knows=False)
    line.server.script = lambda request: Fault(400) if line.now < 1000 + HOUR else None
    line.deliver(2 * HOUR)
    assert not line.books[0].journal.cursor.stock
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
    assert line.outbox.trouble == "needs an API key of somebody"
    line.server.username = "somebody"
    line.deliver()
    assert line.values() == [1]
    assert line.outbox.trouble is None


def test_another_key_has_the_account_asked_again():
    """A key that was changed while the run was delivered could belong to somebody else."""
    book = Book().write(1)
    line = Line(book, knows=False, account="me")
    line.deliver()
    line.server.key, line.server.found_key, line.server.username = "new", "new", "somebody"
    book.write(1)
    line.deliver(HOUR)
    assert line.values() == [1]
    assert "somebody" not in line.outbox.trouble or line.outbox.trouble == "needs an API key of me"


@pytest.mark.parametrize("batch", [True, False])
def test_of_a_run_that_was_deleted_nothing_more_is_sent_and_everything_is_kept(batch):
    book = Book().write(3)
    line = Line(book, batch=batch)
    line.deliver()
    del line.server.runs[line.run.uuid]
    book.write(3)
    told: list[int] = []
    line.outbox.wait(Waiter(lambda: told.append(1)))
    line.deliver(10)
    assert line.outbox.gone
    assert told == [1]
    posts = sum(request == "POST batch" or request == "POST metrics" for request in asked(line))
    line.deliver(3 * HOUR)
    assert sum(request == "POST batch" or request == "POST metrics" for request in asked(line)) == posts
    assert line.outbox.pending() == 3
    assert len(line.sent) < 100


def test_a_run_that_seemed_gone_goes_on_when_it_is_there_again():
    """A proxy that answered 404 for a while stopped every run for the life of the process."""
    book = Book().write(3)
    line = Line(book)
    line.server.script = lambda request: Fault(404, DETAIL) if line.now < 1000 + HOUR else None
    line.deliver(HOUR - 60)
    assert line.outbox.gone
    line.deliver(2 * GONE_INTERVAL_S)
    assert line.values() == [1, 2, 3]
    assert not line.outbox.gone


@pytest.mark.parametrize("body", [HTML, b"", b"{}", b'{"message": "no Route matched"}', DETAIL], ids=ascii)
@pytest.mark.parametrize("batch", [True, False])
def test_404s_of_a_proxy_for_3_s_hold_delivery_up_for_seconds(batch, body):
    """An ingress without its backend stopped delivery for ten minutes."""
    line = Line(Book().write(3), batch=batch, knows=False)
    line.server.script = lambda request: Fault(404, body) if line.now < 1003 else None
    line.deliver(HOUR)
    assert line.values() == [1, 2, 3]
    assert line.now < 1000 + 3 + 16
    assert not line.outbox.gone
    assert line.outbox.trouble is None


@pytest.mark.parametrize("body", [HTML, b"", b'{"message": "no Route matched"}'], ids=ascii)
@pytest.mark.parametrize("only", ["", "/runs/", "/demo/"], ids=["every route", "the list", "the project"])
def test_a_404_that_is_not_the_servers_own_never_says_that_a_run_is_gone(body, only):
    line = Line(Book().write(3))
    told: list[int] = []
    line.outbox.wait(Waiter(lambda: told.append(1)))

    def script(request):
        if only and not request.path.endswith(only):
            return Fault(404, DETAIL)
        return Fault(404, body)

    line.server.script = script
    line.deliver(HOUR)
    assert (told, line.outbox.gone, line.outbox.pending()) == ([], False, 3)
    assert line.outbox.trouble is not None
    assert line.outbox.trouble.startswith("404")
    assert len(line.sent) < 400


def test_a_run_is_gone_once_its_project_answers_404_with_the_servers_own_words():
    line = Line(Book().write(3))
    line.deliver(1)
    del line.server.projects["me", "demo"]
    line.books[0].write(1)
    line.deliver(10)
    assert asked(line)[1:5] == ["POST batch", f"GET {line.run.uuid}", "GET runs", "GET demo"]
    assert line.outbox.gone


def test_a_project_that_is_there_but_does_not_list_its_runs_says_nothing_of_them():
    line = Line(Book().write(3))
    line.server.script = lambda request: None if request.path.endswith("/demo/") else Fault(404, DETAIL)
    line.deliver(HOUR)
    assert not line.outbox.gone
    assert line.outbox.trouble == "the server does not list the runs of demo"
    assert len(line.sent) < 400


def test_a_run_that_is_gone_is_asked_for_soon_and_then_ever_more_seldom():
    line = Line(Book().write(3))
    del line.server.runs[line.run.uuid]
    line.deliver(3 * HOUR)
    times = [time for (time, *_), what in zip(line.sent, asked(line), strict=True) if what == "GET runs"]
    between = [round(after - before, 3) for before, after in pairwise(times)]
    assert between[0] < 5
    assert between == sorted(between)
    assert all(GONE_INTERVAL_S <= seconds < 2 * GONE_INTERVAL_S for seconds in between[-10:])


def test_a_404_of_one_route_alone_is_not_asked_about_at_once_each_time():
    line = Line(Book().write(1))
    line.server.script = lambda request: Fault(404) if request.path.endswith("/batch/") else None
    line.deliver(HOUR)
    assert not line.outbox.gone
    assert not line.books[0].journal.cursor.stock
    assert len(line.sent) < 300


def test_a_list_of_runs_without_end_holds_up_one_run_and_says_why():
    """It counted as no answer at all, and all runs of the server waited."""
    line = Line(Book().write(1), batch=False, knows=False)
    other = line.another(Book(1).write(1))
    line.server.script = lambda request: Fault(200, b"[" * LIST_BYTES_MAX) if request.path.endswith("/runs/") else None
    line.deliver(HOUR)
    assert line.outbox.trouble == "the server's list of runs is longer than 16 MiB"
    assert not line.outbox.gone
    assert len(line.sent) < 400
    assert other.idle()
