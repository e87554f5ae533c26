"""A journal that begins anew, with all that is still here, since the server has lost the run."""

from __future__ import annotations

from msgspec.structs import replace

from delivery.parts import Book, Line
from steplog.delivery.outbox import Outbox


def delivered(line: Line, *counts: int) -> Line:
    """Write so many records at a time, and have each lot delivered."""
    for count in counts:
        line.books[0].write(count)
        line.deliver(60)
    return line


def anew(line: Line) -> Outbox:
    """Another run on the server, of the same journal."""
    line.run = line.server.add_run("me", "demo")
    line.again()
    line.outbox.knows(line.server.batch)
    return line.outbox


def test_what_was_delivered_and_is_still_here_goes_to_the_new_run():
    line = delivered(Line(Book()), 5)
    line.books[0].write(3)
    assert line.books[0].journal.restart(()) == 0
    anew(line)
    line.deliver(60)
    assert line.values() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert line.books[0].journal.cursor.records == 8


def test_what_is_not_here_any_more_is_counted_and_its_positions_are_covered():
    line = delivered(Line(Book(size=1024)), 10, 90)
    line.books[0].write(3)
    journal = line.books[0].journal
    first = journal.memory.extents()[0].base
    assert first > 0
    assert journal.restart(()) == first
    line.books[0].living = False
    anew(line)
    line.deliver(60)
    assert line.values() == list(range(first + 1, 104))
    cursor = line.books[0].journal.cursor
    assert (cursor.records, cursor.abandoned) == (103, 0)


def test_records_that_a_stock_server_has_beyond_the_first_left_go_again():
    line = Line(Book(), batch=False, lanes=3)
    line.books[0].write(9, names=("a", "b", "c"))
    line.server.refuses = lambda name, value: 400 if value == 1.0 else None
    line.disk = lambda write: None  # it takes nothing, so that the first record stays where it is
    line.deliver(10)
    journal = line.books[0].journal
    assert journal.cursor.done.bit_count() > 0
    assert journal.restart(()) == 0
    line.server.refuses = lambda name, value: None
    anew(line)
    line.deliver(60)
    assert sorted(line.values()) == list(range(1, 10))
    assert not line.books[0].journal.cursor.sent


def test_what_is_in_quarantine_stays_there_and_what_was_given_up_is_not_sent():
    line = Line(Book().write(9))
    line.server.refuses = lambda name, value: 400 if value == 4.0 else None
    line.deliver(60)
    assert line.set_aside() == [4]
    journal = line.books[0].journal
    journal.set_cursor(replace(journal.cursor, begin=2))
    assert journal.restart(line.quarantine.positions(journal.writer)) == 2
    line.server.refuses = lambda name, value: None
    anew(line)
    line.deliver(60)
    assert line.values() == [3, 5, 6, 7, 8, 9]
    assert line.books[0].journal.cursor.rejected == 1


def test_holes_are_counted_once():
    line = Line(Book().write(3).leave_a_hole().write(3))
    line.books[0].living = False
    line.deliver(60)
    journal = line.books[0].journal
    assert journal.cursor.abandoned == 1
    journal.restart(())
    anew(line)
    line.deliver(60)
    assert line.books[0].journal.cursor.abandoned == 1
