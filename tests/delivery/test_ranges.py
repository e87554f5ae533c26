"""A journal on its way to a server that takes ranges."""

from __future__ import annotations

import os
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from delivery.parts import Book, Line
from journal.spooled import Machine
from steplog.delivery.backlog import GAP_S, SLOTS_MAX
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Answer
from steplog.delivery.ranges import RangeStream
from steplog.delivery.sender import InFlight
from steplog.delivery.verdicts import Judgement, Verdict
from steplog.journal import range as ranges
from steplog.journal import slot
from steplog.journal.cursor import CURSOR_BYTES, WINDOW
from steplog.journal.directories import JournalRoots
from steplog.journal.journal import Journal
from steplog.journal.sources import DirectorySource
from steplog.journal.spool import Spool
from steplog.private_files import make_private
from steplog.testing.memory_server import Fault

HOUR = 3600.0


def bodies(line: Line) -> list[ranges.Range]:
    """The ranges that were sent."""
    sent = [due.request for _, due, _ in line.sent if due.request.path.endswith("/batch/")]
    return [ranges.decode(request.body) for request in sent if "Content-Encoding" in request.headers]


def test_a_limit_that_changes_all_the_time_is_met_by_halving():
    line = Line(Book().write(2000))
    source = random.Random(3)

    def script(request):
        line.server.body_bytes_max = source.choice((300, 1000, 10_000))

    line.server.script = script
    exchanges = line.deliver()
    assert line.values() == list(range(1, 2001))
    assert line.set_aside() == []
    assert exchanges < 1500


def test_after_a_limit_has_been_met_not_every_other_request_runs_into_it():
    line = Line(Book(size=512 * 1024).write(5000))
    line.server.body_bytes_max = 700
    line.deliver()
    refused = sum(answer.status == 413 for _, _, answer in line.sent)
    assert refused < len(line.sent) / 3


def test_a_server_that_takes_no_deflate_gets_the_range_as_it_is():
    line = Line(Book().write(10))
    add, sent = line.server._add_range, []

    def plain(run, request):
        import zlib

        from msgspec.structs import replace

        sent.append(request)
        if "Content-Encoding" in request.headers:
            return line.server._add_range.refused
        return add(run, replace(request, body=zlib.compress(request.body), headers={"Content-Encoding": "deflate"}))

    from steplog.delivery.exchange import Answer

    plain.refused = Answer(415, b'{"v": [1]}')
    line.server._add_range = plain
    assert line.deliver() == 2
    assert line.values() == list(range(1, 11))
    line.books[0].write(10)
    assert line.deliver() == 1


def test_a_range_begins_at_the_last_acknowledged_end_and_covers_empty_positions():
    book = Book().write(3)
    segment = book.writer.append.segment
    segment.write_tombstone(segment.claim())
    book.write(2)
    line = Line(book)
    line.deliver()
    assert [(batch.first, batch.end, batch.records) for batch in bodies(line)] == [(0, 6, 5)]
    book.write(1)
    line.deliver()
    assert [(batch.first, batch.end) for batch in bodies(line)][1:] == [(6, 7)]


def test_holes_of_a_dead_writer_are_passed_over_and_counted():
    book = Book().write(2).leave_a_hole().write(2)
    line = Line(book)
    line.deliver(60)
    assert line.values() == [1, 2]
    book.living = False
    line.deliver()
    assert line.values() == [1, 2, 3, 4]
    assert (book.journal.cursor.records, book.journal.cursor.abandoned) == (4, 1)


def test_records_wait_for_others_up_to_the_age_of_a_batch_unless_somebody_waits():
    book = Book().write(1)
    stream = RangeStream(book.journal, (), 0.5, random.Random(0))
    assert stream.due_at(10.0, hurry=False) == 10.04  # how fast they come is not known yet
    assert stream.due_at(10.04, hurry=False) == 10.5
    assert stream.due_at(10.4, hurry=False) == 10.5
    assert stream.due_at(10.5, hurry=False) == 10.5
    assert stream.due_at(10.1, hurry=True) == 10.1


def test_a_record_waits_from_the_last_empty_look_and_not_from_when_it_was_found():
    book = Book()
    stream = RangeStream(book.journal, (), 0.5, random.Random(0))
    assert stream.due_at(10.0, hurry=False) is None
    book.write(1)
    assert stream.due_at(10.4, hurry=False) == 10.5


def test_for_a_writer_that_logs_fast_the_next_look_is_when_a_range_is_full():
    book = Book(size=4 * 1024 * 1024)
    stream = RangeStream(book.journal, (), 0.5, random.Random(0))
    assert stream.due_at(10.0, hurry=False) is None
    book.write(SLOTS_MAX // 4)
    assert stream.due_at(10.0625, hurry=False) == 10.25
    book.write(SLOTS_MAX - SLOTS_MAX // 4)
    assert stream.due_at(10.25, hurry=False) == 10.25


def test_what_did_not_fit_into_a_range_goes_out_right_after_it():
    """Large values went at 1 MiB each batch_age_s, however fast the server was."""
    book = Book(size=4 * 1024 * 1024)
    for number in range(1, 31):
        book.writer.append.log("text", {"n": number, "text": "x" * 100_000})
    line = Line(book, batch_age_s=100.0)
    begun = line.now
    line.deliver()
    assert len(bodies(line)) >= 3
    assert len(line.values()) == 30
    assert line.now - begun < 101


def test_a_server_that_went_back_is_sent_again_what_is_still_here():
    book = Book().write(10)
    line = Line(book)
    line.deliver()
    backup = line.server.backup()
    book.write(10)
    line.deliver()
    line.server.restore(backup)
    book.write(10)
    line.deliver()
    assert line.values() == list(range(1, 31))
    assert (book.journal.cursor.records, book.journal.cursor.abandoned) == (30, 0)


def test_what_a_server_lost_and_is_not_here_any_more_is_covered_and_counted():
    """The writer was alive, so its agent waited for ever for a segment that had long been freed."""
    book = Book(size=1024)
    line = Line(book)
    backup = line.server.backup()
    book.write(100)
    line.deliver()
    line.server.restore(backup)
    book.write(1)
    line.deliver()
    held = [value for value in range(1, 102) if value in line.values()]
    assert line.values() == held
    assert held[-1] == 101
    lost = 101 - len(held)
    assert 50 < lost < 100
    assert (book.journal.cursor.records, book.journal.cursor.abandoned) == (len(held), lost)


def test_a_segment_without_records_that_was_freed_before_a_range_is_no_loss(caplog):
    """A server not known to take ranges has nothing to be sent of it; one value more than was logged was said lost."""
    book = Book(size=1024)
    book.writer.append.log("text", {"n": 0, "text": "x" * 2000})  # too long for the first segment
    line = Line(book, knows=False)
    line.outbox.knows(False)
    line.next()
    line.outbox.knows(True)
    book.write(10)
    line.deliver()
    assert line.values() == list(range(11))
    assert (book.journal.cursor.records, book.journal.cursor.abandoned) == (11, 0)
    deferred_log.tell()
    assert "went back" not in caplog.text


def test_after_a_restart_too_a_stretch_that_was_lost_is_not_waited_for():
    book = Book(size=1024)
    line = Line(book)
    backup = line.server.backup()
    book.write(100)
    line.deliver()
    line.server.restore(backup)
    book.write(1)
    while book.journal.cursor.delivered:
        if not line.step():
            line.now += 0.5
    line.again()
    begun = line.now
    line.deliver()
    assert line.values()[-1] == 101
    assert line.now - begun < GAP_S


def test_a_call_interrupted_in_the_last_slot_of_a_segment_arrives_however_late():
    book = Book(size=1024)
    segment = book.writer.append.segment
    book.write(segment.header.capacity - 1)
    offset = segment.claim()
    book.write(5)
    assert book.writer.append.segment is not segment
    line = Line(book)
    line.deliver(GAP_S + 10)
    slot.pack_float(segment.memory, offset, 7, 999.0, 1, slot.key_of(segment.names["loss"], 0))
    line.deliver()
    assert line.values() == [*range(1, segment.header.capacity), 999, *range(segment.header.capacity, book.count + 1)]
    assert book.journal.cursor.abandoned == 0


def test_a_server_that_is_further_has_the_journal_go_on_from_there():
    line = Line(Book().write(10))
    line.server.script = lambda request: Fault(409, b'{"mark": 4}') if len(line.sent) == 0 else None
    line.server.runs[line.run.uuid].marks[line.books[0].journal.writer] = 4
    line.deliver()
    assert line.values() == list(range(5, 11))


@pytest.mark.parametrize("mark", [0, 5, 10, 1000, 2**62])
def test_a_server_that_answers_409_for_ever_is_not_hammered(mark):
    """A mark that leads nowhere was followed at once, again and again."""
    line = Line(Book().write(10))
    line.server.script = lambda request: Fault(409, b'{"mark": %d}' % mark)
    line.deliver(HOUR)
    assert len(line.sent) < 250


def test_a_death_between_the_quarantine_and_the_marks_does_not_cost_the_count():
    line = Line(Book().write(5))
    line.poison(2)
    disk = line.disk

    def dies(write):
        disk(write)
        raise KeyboardInterrupt

    line.disk = dies
    with pytest.raises(KeyboardInterrupt):
        line.deliver()
    line.disk = disk
    line.again()
    line.deliver()
    assert line.set_aside() == [2]
    assert line.quarantine.twice == 0
    assert line.values() == [1, 3, 4, 5]
    assert line.books[0].journal.cursor.rejected == 1


def test_an_answer_that_confirms_another_range_is_no_acknowledgement():
    line = Line(Book().write(5))
    writer = line.books[0].journal.writer
    wrong = b'{"writer":"%s","first":0,"end":4,"accepted":4,"duplicates":0}' % writer.encode()
    line.server.script = lambda request: Fault(200, wrong) if len(line.sent) < 3 else None
    line.deliver()
    assert line.values() == [1, 2, 3, 4, 5]
    assert len(line.sent) == 4


def test_a_range_whose_answer_was_lost_arrives_once():
    line = Line(Book().write(5))
    line.server.faults.extend([Fault.lost(), Fault.lost(), Fault.refused()])
    line.deliver()
    assert line.values() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("count", [5, 3 * WINDOW])
@pytest.mark.parametrize("again", [False, True], ids=["the same agent", "another agent"])
def test_a_range_that_may_have_arrived_is_ambiguous_if_the_server_turns_stock(count, again):
    """No more than its first 4,096 records were counted."""
    line = Line(Book(size=1 << 20).write(count, tuple("abcdefgh")), lanes=8)
    line.server.faults.append(Fault.lost())
    line.step()
    line.now += 1
    line.step()
    line.server.batch = False
    if again:
        line.again()
    line.books[0].write(10)
    line.deliver()
    assert sorted(line.values()) == sorted([*range(1, count + 11), *range(1, count + 1)])
    assert line.books[0].journal.cursor.ambiguous == count


@pytest.mark.parametrize("status", [429, 413])
def test_a_range_of_which_nothing_was_stored_counts_as_sent_for_no_stock_server(status):
    line = Line(Book().write(5))
    line.server.faults.append(Fault(status))
    line.step()
    line.server.batch = False
    line.deliver()
    assert line.values() == [1, 2, 3, 4, 5]
    assert line.books[0].journal.cursor.ambiguous == 0


def test_a_fault_of_the_range_level_says_nothing_of_the_run():
    stream = RangeStream(Book().write(2).journal, (), 0.5, random.Random(0))
    sent = stream.send(Line().outbox.address)
    stream.answered(10.0, sent.ticket, Judgement(Verdict.REFUSED, "400"))
    assert stream.due_at(10.0, hurry=False) == 10.0


def test_what_was_given_up_is_covered_by_the_next_range_and_counted_as_that_alone():
    book = Book(size=1024)
    line = Line(book)
    book.write(50).leave_a_hole().write(150)
    book.living = False  # so that the hole is none that may be filled
    line.poison(3)
    line.server.script = lambda request: Fault.refused() if len(line.values()) >= 5 else None
    line.deliver(60)
    delivered = len(line.values())
    assert (line.set_aside(), 0 < delivered < 200) == ([3], True)
    end = next(extent.limit for extent in book.journal.memory.extents() if extent.limit > 120)
    line.outbox.give_up(book.journal.writer, end)
    assert line.values() == [value for value in range(1, 201) if value != 3][:delivered]
    line.again()
    line.server.script = lambda request: None
    line.deliver()
    cursor = book.journal.cursor
    assert line.values()[delivered:] == list(range(end, 201))  # the hole is one of the positions before
    assert (cursor.records, cursor.oldest, cursor.rejected, cursor.abandoned) == (
        len(line.values()),
        200 - 1 - cursor.records,
        1,
        1,
    )


@pytest.mark.parametrize("living", [True, False], ids=["living", "dead"])
@pytest.mark.parametrize("memory", [True, False], ids=["memory", "disk alone"])
def test_a_run_whose_first_spool_file_is_missing_goes_on_with_the_next_one(tmp_path, living, memory):
    root = Path(os.environ["STEPLOG_MEMORY_DIR"]) / "root"
    make_private(root)
    machine = Machine(JournalRoots(root, tmp_path / "spool", "0" * 16))
    machine.own.open_journal.spooling.spool._most = 1  # a file for each frame
    machine.own.writer.pool.segment_bytes = lambda: 8192  # so that memory begins after the second file
    for number in range(1, 20_001):
        machine.own.writer.append.log("loss", float(number))
        if number in (9_000, 18_000):
            machine.spool(everything=True)
    journal, last = machine.journal, 20_000
    min(machine.spool_directory.glob("*.spool")).unlink()
    if memory:
        machine.spool()
    if not (memory and living):
        machine.die()
    if not memory:
        spool, last = Spool(machine.spool_directory, journal.writer), 18_000
        journal = Journal(journal.writer, DirectorySource(None), bytearray(CURSOR_BYTES), lambda: living, spool)
    line = Line(SimpleNamespace(journal=journal))
    line.deliver(GAP_S + 10 if living else 5)
    assert line.values() == list(range(9_001, last + 1))
    cursor = journal.cursor
    assert (cursor.delivered, cursor.records, cursor.abandoned) == (last, last - 9_000, 9_000)


@pytest.mark.parametrize("ends", ["accepted", "not answered", "lost", 400, 413, 500])
@pytest.mark.parametrize("beyond", [20, 150])
def test_what_is_given_up_under_way_counts_as_delivered_once_it_is_and_is_not_resent(ends, beyond):
    book = Book(size=1024).write(100)
    line = Line(book)
    due = line.sender.next(line.now)
    for _ in range(9):
        if isinstance(due, InFlight):
            break
        line.now += 1
        due = line.sender.next(line.now)
    assert isinstance(due, InFlight)
    book.write(100)
    end = next(extent.limit for extent in book.journal.memory.extents() if extent.limit > beyond)
    line.outbox.give_up(book.journal.writer, end)
    assert book.journal.cursor.oldest == end
    stored = ends in ("accepted", "not answered")
    answer = line.exchange(due) if stored else "the connection was lost"
    line.answer(due, Answer(ends, b"{}") if isinstance(ends, int) else answer if ends == "accepted" else "no answer")
    line.deliver(20)
    cursor = book.journal.cursor
    assert line.values() == [value for value in range(1, 201) if value > end or (stored and value <= 100)]
    # Of what no answer came to it is not said that it is delivered.
    known = len(line.values()) if ends != "not answered" else 200 - end
    assert (cursor.records, cursor.oldest) == (known, 200 - known)
    assert (cursor.delivered, cursor.rejected, cursor.abandoned) == (200, 0, 0)
