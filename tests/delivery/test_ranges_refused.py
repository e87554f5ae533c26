"""Records that the server refuses are found and set aside; what else it refuses is not."""

from __future__ import annotations

import random

import pytest

from delivery.parts import Book, Line
from delivery.test_given_up import is_probe
from steplog.delivery.deferred_log import deferred_log
from steplog.testing.memory_server import Fault

HOUR = 3600.0


@pytest.mark.parametrize("poison", range(1, 10))
def test_whichever_record_is_refused_exactly_that_is_set_aside(poison):
    line = Line(Book().write(9))
    line.poison(poison)
    line.deliver()
    assert line.values() == [value for value in range(1, 10) if value != poison]
    assert line.set_aside() == [poison]
    assert line.books[0].journal.cursor.rejected == 1
    assert line.books[0].journal.cursor.records == 8


def test_one_record_among_ten_thousand_is_found_by_halving():
    line = Line(Book(size=512 * 1024).write(10_000))
    line.poison(7_777)
    exchanges = line.deliver()
    assert line.set_aside() == [7_777]
    assert line.values() == [value for value in range(1, 10_001) if value != 7_777]
    assert exchanges < 40


def test_many_that_are_refused_do_not_take_the_others_with_them():
    line = Line(Book().write(200))
    bad = random.Random(1).sample(range(1, 201), 40)
    line.poison(*bad)
    line.deliver()
    assert line.set_aside() == sorted(bad)
    assert line.values() == [value for value in range(1, 201) if value not in bad]


def test_what_is_in_quarantine_and_lost_here_does_not_stand_for_what_waits():
    """The server went back to an older backup: as many records as were in quarantine before it stayed here for good."""
    book = Book(size=1024)
    line = Line(book)
    backup = line.server.backup()
    book.write(100)
    line.poison(*range(1, 71, 2))
    line.deliver()
    line.server.restore(backup)
    book.write(1)
    line.outbox.end_with("COMPLETED")
    line.deliver()
    held = [value for value in range(1, 102) if value in line.values()]
    assert held[-1] == 101
    assert held == list(range(held[0], 102))
    assert 102 - 35 <= held[0] < 102, "fewer records are here than were in quarantine"
    assert (line.server.runs[line.run.uuid].status, line.outbox.pending()) == ("COMPLETED", 0)


@pytest.mark.parametrize("status", [400, 403, 404, 413, 415, 422, 302, 200])
def test_while_everything_is_refused_nothing_is_set_aside_and_requests_are_few(status):
    line = Line(Book().write(100))
    end = line.now + HOUR
    line.server.script = lambda request: Fault(status, b"not for you") if line.now < end else None
    line.deliver(HOUR)
    refused = len(line.sent)
    assert line.set_aside() == []
    assert line.values() == []
    assert refused < 420  # three requests a try, every thirty seconds
    line.deliver()
    assert line.values() == list(range(1, 101))
    assert line.set_aside() == []


@pytest.mark.parametrize("batch", [True, False], ids=["batch", "stock"])
def test_that_everything_is_refused_is_said_once_and_again_after_it_was_well(batch, caplog):
    line = Line(Book().write(3), batch=batch)
    for words in (b"not for you", b"nor for me"):
        end = line.now + HOUR
        line.server.script = lambda request, end=end, words=words: Fault(400, words) if line.now < end else None
        line.deliver(HOUR / 2)
        assert line.outbox.trouble == f"400 {words.decode()}"
        deferred_log.tell()
        (said,) = [record.message for record in caplog.records]
        assert said == f"steplog: the server refuses everything: 400 {words.decode()}. Everything is kept."
        caplog.clear()
        line.deliver()
        assert line.outbox.trouble is None
        line.books[0].write(3)
    assert line.set_aside() == []


def test_a_proxy_that_begins_to_refuse_during_a_search_gets_nothing_set_aside():
    """What had passed before the trouble vouched for everything after it: good records were set aside."""
    line = Line(Book().write(64))
    line.poison(40)
    seen = []

    def script(request):
        seen.append(request)
        return Fault(400, b"no") if len(seen) > 3 and line.now < 2000.0 else None

    line.server.script = script
    line.deliver()
    assert line.set_aside() == [40]


def test_a_lost_answer_between_two_refusals_does_not_count_as_a_pass():
    """A refusal before one outage and one in the next came together to a verdict."""
    line = Line(Book().write(1))
    answers = [Fault(400), None, Fault.refused(), Fault(400), Fault(400), Fault(400)]
    line.server.script = lambda request: answers.pop(0) if answers else None
    line.deliver()
    assert line.set_aside() == []
    assert line.values() == [1]


@pytest.mark.parametrize("batch", [True, False], ids=["batch", "stock"])
def test_a_probe_without_an_answer_has_the_record_sent_again_before_the_next(batch):
    """The refusal was of before an outage, and proves nothing beside what passes after it."""
    line = Line(Book().write(1), batch=batch)
    answers = [Fault(400), None, Fault(400), Fault.refused()]
    line.server.script = lambda request: answers.pop(0) if answers else None
    line.deliver()
    assert [is_probe(due, batch) for _, due, _ in line.sent] == [False, True, False, True, False]
    assert (line.values(), line.set_aside()) == ([1], [])


def test_records_that_are_all_refused_are_set_aside_at_the_pace_of_back_off():
    line = Line(Book().write(100))
    line.server.refuses = lambda name, value: 400
    line.deliver(HOUR)
    assert 50 < len(line.set_aside()) < 100 or len(line.set_aside()) == 100
    first = [now for now, due, _ in line.sent]
    assert first[-1] - first[0] > 900


def test_a_record_is_sent_again_for_as_long_as_the_quarantine_cannot_be_written():
    line = Line(Book().write(5))
    line.poison(3)
    line.quarantine.full = True
    line.deliver(600)
    assert line.values() == [1, 2]
    line.quarantine.full = False
    line.deliver()
    assert line.values() == [1, 2, 4, 5]
    assert line.set_aside() == [3]


def test_a_server_fault_that_one_record_causes_is_found_and_set_aside():
    line = Line(Book().write(50))
    line.poison(17, status=500)
    line.deliver()
    assert line.set_aside() == [17]
    assert line.values() == [value for value in range(1, 51) if value != 17]


@pytest.mark.parametrize("batch", [True, False], ids=["batch", "stock"])
def test_after_five_faults_in_a_row_the_server_is_asked_whether_it_takes_anything(batch):
    line = Line(Book().write(1), batch=batch)
    line.poison(1, status=500)
    line.deliver()
    assert [is_probe(due, batch) for _, due, _ in line.sent[:6]] == [False] * 5 + [True]
    assert line.set_aside() == [1]


def test_a_server_that_fails_with_500_for_a_day_gets_nothing_set_aside():
    line = Line(Book().write(50))
    line.server.script = lambda request: Fault(500) if line.now < 1000 + 24 * HOUR else None
    line.deliver(25 * HOUR)
    assert line.set_aside() == []
    assert line.values() == list(range(1, 51))


def test_a_server_that_fails_every_third_time_gets_nothing_set_aside():
    line = Line(Book().write(300))
    source = random.Random(5)
    line.server.script = lambda request: Fault(500) if source.random() < 0.33 else None
    for _ in range(60):
        line.deliver()
        line.books[0].write(1)
    line.deliver()
    assert line.set_aside() == []
