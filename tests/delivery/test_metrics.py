"""A journal on its way to a stock server, record by record on several lanes."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest

from delivery.parts import Book, Line
from steplog.delivery.exchange import Answer
from steplog.delivery.lanes import Lanes
from steplog.delivery.metrics import MetricStream
from steplog.delivery.outbox import Outbox
from steplog.delivery.sender import InFlight
from steplog.journal import cursor
from steplog.journal.cursor import WINDOW
from steplog.testing.memory_server import Fault

NAMES = ("loss", "accuracy", "lr", "norm", "time")


def stock(*books: Book, lanes: int = 3, **more) -> Line:
    return Line(*books, batch=False, lanes=lanes, **more)


def in_order(line: Line) -> bool:
    """Whether each name's first arrivals came in the order in which they were logged."""
    last: dict[str, float] = {}
    for row in line.server.runs[line.run.uuid].rows:
        if row.value < last.get(row.name, 0):
            return False
        last[row.name] = row.value
    return True


def round_trips(line: Line, lanes: int, *runs: Outbox) -> int:
    """How many it takes to deliver these runs, with a request at a time on each lane."""
    rounds = 0
    while not all(run.idle() for run in runs):
        flying = [line.sender.next(line.now, lane) for lane in range(lanes)]
        for due in flying:
            if isinstance(due, InFlight):
                line.answer(due, line.exchange(due))
        line.now += 0.05
        rounds += 1
    return rounds


def test_a_name_is_always_on_the_same_lane_and_its_metrics_arrive_in_order():
    line = stock(Book().write(200, NAMES))
    lanes: dict[str, set[int]] = {}
    flying: dict[int, InFlight] = {}
    source = random.Random(4)
    while not line.idle():
        lane = source.randrange(3)
        if lane in flying:
            line.answer(flying[lane], line.exchange(flying.pop(lane)))
        elif isinstance(due := line.sender.next(line.now, lane), InFlight):
            name = msgspec.json.decode(due.request.body)["name"]
            lanes.setdefault(name, set()).add(lane)
            assert name not in {msgspec.json.decode(other.request.body)["name"] for other in flying.values()}
            flying[lane] = due
        line.now += 0.01
    assert all(len(used) == 1 for used in lanes.values())
    assert {lane for used in lanes.values() for lane in used} == {0, 1, 2}
    assert sorted(line.values()) == list(range(1, 201))
    assert in_order(line)


def test_the_names_of_all_writers_of_a_run_share_its_lanes():
    """Each writer's first name was on the first lane, and eight writers of a name each had one lane."""
    line = stock(*(Book(number).write(20, (name,)) for number, name in enumerate("abc")), lanes=3)
    assert round_trips(line, 3, line.outbox) < 30
    assert sorted(line.values()) == sorted([*range(1, 21)] * 3)


def test_a_new_name_takes_the_lane_with_the_fewest_names_of_all_runs():
    """Each run began at the first lane: several runs with a name each had one lane between them."""
    load: Counter[int] = Counter()
    runs = [Lanes(3) for _ in range(4)]
    for run in runs:
        run.share(load)
    assert [run.of("loss") for run in runs] == [0, 1, 2, 0]
    assert [run.used for run in runs] == [1, 2, 3, 1]
    runs[1].share(Counter())
    assert [runs[0].of("lr"), runs[2].of("lr"), runs[1].of("lr")] == [1, 1, 0]
    assert runs[1].of("loss") == 1


def test_what_is_removed_of_a_config_arrives_in_order_with_what_is_set():
    """They were sent at once, and a key was there again where its removal arrived before it."""
    names = ("steplog/config", "steplog/config/removed")
    line = stock(Book().write(30, ("loss", "lr", *names)))
    while not line.idle():
        flying = [due for lane in range(3) if isinstance(due := line.sender.next(line.now, lane), InFlight)]
        for due in reversed(flying):
            line.answer(due, line.exchange(due))
        line.now += 0.01
    of_config = [row.value for row in line.server.runs[line.run.uuid].rows if row.name in names]
    assert len(of_config) > 10
    assert of_config == sorted(of_config)


def test_runs_with_a_name_each_are_sent_at_once_and_give_their_lanes_back():
    first = stock(Book(0).write(20, ("loss",)))
    others = [first.another(Book(number).write(20, ("loss",))) for number in (1, 2)]
    assert round_trips(first, 3, first.outbox, *others) < 30
    for run in others:
        first.sender.remove(run)
    assert first.sender.lanes() == 1
    assert first.another(Book(3)).name_lanes.of("loss") == 1


def test_sent_is_stored_before_the_request_leaves():
    book = Book().write(2)
    line = stock(book, lanes=1)
    due = line.sender.next(line.now)
    assert isinstance(due, InFlight)
    assert cursor.load(book.cursor).sent == 0b1
    assert cursor.load(book.cursor).stock


def test_a_record_sent_again_after_lost_answers_counts_as_ambiguous_once():
    """It counted each time, and the report said more than there were."""
    book = Book().write(3)
    line = stock(book, lanes=1)
    line.server.faults.extend([Fault.lost(), Fault.lost(), Fault.refused()])
    line.deliver()
    assert line.values() == [1, 1, 1, 2, 3]
    assert book.journal.cursor.ambiguous == 1
    assert book.journal.cursor.records == 3


def test_an_ambiguous_record_stays_one_across_restarts_and_refusals():
    book = Book().write(2)
    line = stock(book, lanes=1)
    line.server.faults.extend([Fault.lost(), Fault.lost(), Fault(429), Fault.lost()])
    for _ in range(4):
        while not line.step():
            line.now += 1.0
        line.again()
        line.outbox.knows(False)
    line.deliver()
    assert line.values() == [1, 1, 1, 1, 2]
    assert book.journal.cursor.ambiguous == 1


def test_holes_are_counted_where_an_agent_before_had_settled_something_below_them():
    """It took one settled record for a sign that all that it reads had been looked at, and did not count the holes."""
    book = Book().write(2, NAMES)
    line = stock(book, lanes=2)
    slow = line.sender.next(line.now, 0)
    assert isinstance(slow, InFlight)
    assert line.step(1)
    book.leave_a_hole().write(1)
    book.living = False
    line.again()
    line.outbox.knows(False)
    line.deliver()
    assert book.journal.cursor.abandoned == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 425, 429, 302])
def test_an_answer_that_says_that_nothing_was_stored_is_not_ambiguous(status):
    book = Book().write(3)
    line = stock(book, lanes=1)
    line.server.faults.append(Fault(status))
    line.deliver()
    assert line.values() == [1, 2, 3]
    assert book.journal.cursor.ambiguous == 0


@pytest.mark.parametrize("status", [408, 500, 502, 503, 200])
def test_an_answer_that_may_come_after_storing_is_ambiguous(status):
    book = Book().write(3)
    line = stock(book, lanes=1)
    line.server.faults.append(Fault(status, b"", stored=True))
    line.deliver()
    assert line.values() == [1, 1, 2, 3]
    assert book.journal.cursor.ambiguous == 1


def test_after_a_restart_what_was_under_way_goes_again_and_counts():
    book = Book().write(4, NAMES)
    line = stock(book)
    flying = [line.sender.next(line.now, lane) for lane in range(3)]
    answers = [line.exchange(due) for due in flying if isinstance(due, InFlight)]
    line.answer(flying[1], answers[1])  # type: ignore[arg-type]
    line.again()
    line.outbox.knows(False)
    line.deliver()
    assert sorted(line.values()) == [1, 1, 2, 3, 3, 4]
    assert book.journal.cursor.ambiguous == 2
    assert book.journal.cursor.records == 4


def test_the_mark_does_not_move_past_a_lane_that_has_no_answer():
    book = Book().write(30, NAMES)
    line = stock(book, lanes=5)
    first = line.sender.next(line.now, 0)
    for _ in range(20):
        for lane in range(1, 5):
            line.step(lane)
    assert book.journal.cursor.delivered == 0
    assert len(line.values()) == 24
    assert isinstance(first, InFlight)
    line.answer(first, line.exchange(first))
    assert book.journal.cursor.delivered > 0
    line.deliver()
    assert sorted(line.values()) == list(range(1, 31))


def test_lanes_work_within_the_window_and_no_further():
    book = Book(size=512 * 1024).write(1, ("slow",))
    book.write(WINDOW + 100, ("fast",))
    line = stock(book, lanes=2)
    line.round_trip_s = 0.0
    slow = line.sender.next(line.now, 0)
    while line.step(1):
        pass
    assert len(line.values()) == WINDOW - 1
    assert isinstance(slow, InFlight)
    line.answer(slow, line.exchange(slow))
    line.deliver()
    assert sorted(line.values()) == list(range(1, WINDOW + 102))


def test_a_restart_in_the_middle_of_the_window_sends_only_what_is_not_settled():
    """Settled positions beyond those that were read again shifted by a negative number, and the lane was dead."""
    for seed in range(30):
        book, source = Book().write(60, NAMES), random.Random(seed)
        line = stock(book)
        for _ in range(3):
            for _ in range(source.randrange(30)):
                line.step(source.randrange(3))
            line.again()
            line.outbox.knows(False)
        line.deliver()
        assert sorted(line.values()) == list(range(1, 61))


def test_holes_and_tombstones_are_skipped_and_holes_counted_once_over_restarts():
    book = Book().write(2).leave_a_hole().write(2).leave_a_hole().write(1)
    book.living = False
    line = stock(book, lanes=1)
    for _ in range(4):
        line.step()
        line.again()
        line.outbox.knows(False)
    line.deliver()
    assert line.values() == [1, 2, 3, 4, 5]
    assert (book.journal.cursor.records, book.journal.cursor.abandoned) == (5, 2)


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("status", [400, 422, 413, 500])
def test_a_record_that_is_refused_is_set_aside_and_does_not_hold_back_the_next(status, lanes):
    """With a single name there was nothing else that could pass, and it stood in the way for ever."""
    line = stock(Book().write(30, NAMES[:lanes]), lanes=lanes)
    line.poison(7, status=status)
    line.deliver()
    assert line.set_aside() == [7]
    assert sorted(line.values()) == [value for value in range(1, 31) if value != 7]
    assert line.books[0].journal.cursor.rejected == 1


@pytest.mark.parametrize("status", [400, 403, 413, 500])
def test_while_everything_is_refused_nothing_is_set_aside(status):
    line = stock(Book().write(30, NAMES))
    end = line.now + 3600
    line.server.script = lambda request: Fault(status, b"no") if line.now < end else None
    line.deliver(3600)
    assert len(line.sent) < 1500
    line.deliver()
    assert line.set_aside() == []
    assert sorted(line.values()) == list(range(1, 31))


def test_a_record_that_cannot_be_kept_safe_stays_where_it_is():
    line = stock(Book().write(5), lanes=1)
    line.poison(3)
    line.quarantine.full = True
    line.deliver(300)
    assert line.values() == [1, 2]
    line.quarantine.full = False
    line.deliver()
    assert line.values() == [1, 2, 4, 5]


def test_a_stock_server_has_eight_times_the_throughput_on_eight_lanes():
    """In round trips, which is all that counts at 50 ms."""
    took = {}
    for lanes in (1, 8):
        line = stock(Book().write(400, tuple("abcdefgh")), lanes=lanes)
        took[lanes] = round_trips(line, lanes, line.outbox)
    assert took[1] >= 8 * (took[8] - 2)


def test_pending_and_settled_say_what_is_left():
    book = Book().write(10, NAMES)
    stream = MetricStream(book.journal, (), Lanes(3), random.Random(0))
    assert (stream.pending(), stream.empty(), stream.settled(0), stream.settled(1)) == (10, False, True, False)
    assert stream.due_at(1.0, 0) == 1.0
    assert (stream.pending(), stream.settled(1)) == (10, False)


def test_nothing_is_turned_to_stock_before_something_goes_to_one():
    book = Book().write(1)
    line = stock(book)
    assert not book.journal.cursor.stock
    line.outbox.knows(True)
    line.server.batch = True
    line.deliver()
    assert not book.journal.cursor.stock
    assert line.values() == [1]


def test_positions_that_an_earlier_agent_settled_are_moved_over_once():
    """Tombstones beside settled records: the mark had moved over them already, and the shift was negative."""
    book = Book()
    for number in range(12):
        book.write(1, (NAMES[number % 3],))
        segment = book.writer.append.segment
        segment.write_tombstone(segment.claim())
    line = stock(book)
    first = line.sender.next(line.now, 0)
    while line.step(1) or line.step(2):
        pass
    assert isinstance(first, InFlight)
    line.again()
    line.outbox.knows(False)
    line.deliver()
    assert sorted(set(line.values())) == list(range(1, 13))


@pytest.mark.parametrize("ends", ["accepted", "the connection was lost", Answer(400, b"{}"), Answer(500, b"{}")])
def test_what_was_given_up_is_skipped_and_what_went_out_before_its_turn_counts_once(ends):
    book = Book(size=1024).write(200, names=("loss", "lr"))
    line = Line(book, batch=False, lanes=2)
    first = line.sender.next(line.now, 0)
    assert isinstance(first, InFlight)
    for _ in range(20):
        line.step(1)
    before = line.values()
    assert book.journal.cursor.done  # some are on the server, and some before them are not
    end = next(extent.limit for extent in book.journal.memory.extents() if extent.limit > 120)
    line.outbox.give_up(book.journal.writer, end)
    line.answer(first, line.exchange(first) if ends == "accepted" else ends)
    before = line.values()
    line.deliver()
    cursor = book.journal.cursor
    assert sorted(set(line.values()) - set(before)) == [value for value in range(end + 1, 201) if value not in before]
    assert (cursor.records, cursor.oldest, cursor.abandoned) == (len(line.values()), 200 - len(line.values()), 0)
    assert len(set(line.values())) == len(line.values())
