"""What is given up for want of room while it is under way, refused, in doubt: counted once, as what became of it."""

from __future__ import annotations

import random

import pytest

from delivery.parts import Book, Line
from steplog.delivery.exchange import Answer
from steplog.delivery.poison import ROUNDS
from steplog.delivery.sender import InFlight
from steplog.journal.range import decode

TURNS = 300
LANES = 2


def answer_to(line: Line, due: InFlight, source: random.Random) -> Answer | str:
    """What the sender hears: the server's answer, none to what the server has done, none, or a fault."""
    chance = source.random()
    if chance < 0.7:
        return line.exchange(due)
    if chance < 0.8:
        line.exchange(due)
        return "no answer"
    return "no connection" if chance < 0.9 else Answer(500, b"{}")


def give_up(line: Line, book: Book, source: random.Random) -> None:
    """As the keeper does it: some of the closed segments, from the oldest on."""
    ends = [extent.limit for extent in book.journal.memory.extents() if not extent.is_open]
    ends = [end for end in ends if end > book.journal.begin]
    if ends:
        end = source.choice(ends[:3])
        if book.journal.readable(book.journal.begin, end - book.journal.begin) >= end:
            line.outbox.give_up(book.journal.writer, end)


@pytest.mark.parametrize("batch", [True, False], ids=["batch", "stock"])
@pytest.mark.parametrize("seed", range(40))
def test_each_record_counts_once_and_as_what_it_is_whatever_is_given_up_when(seed, batch):
    source = random.Random(seed)
    book = Book(size=1024).write(100, ("loss", "lr"))
    line = Line(book, batch=batch, lanes=LANES)
    line.poison(*source.sample(range(1, 400), source.choice((0, 3, 30))))
    flying: dict[int, InFlight] = {}
    for _ in range(TURNS):
        chance, lane = source.random(), source.randrange(LANES)
        if chance < 0.1:
            book.write(source.randint(1, 40), ("loss", "lr"))
        elif chance < 0.2:
            give_up(line, book, source)
        elif lane in flying:
            due = flying.pop(lane)
            line.now += line.round_trip_s
            line.answer(due, answer_to(line, due, source))
        elif isinstance(due := line.sender.next(line.now, lane), InFlight):
            flying[lane] = due
        elif due is not None:
            line.now = max(due, line.now)
    for due in flying.values():
        line.answer(due, line.exchange(due))
    line.deliver(1e6)
    values, cursor = line.values(), book.journal.cursor
    assert line.idle()
    assert cursor.records + cursor.oldest + cursor.rejected == book.count
    assert cursor.rejected == len(line.set_aside())
    assert cursor.abandoned == 0
    assert cursor.records <= len(set(values))
    assert not set(values) & set(line.set_aside())
    assert len(values) - len(set(values)) <= (0 if batch else cursor.ambiguous)
    if batch:
        assert values == sorted(values)


def is_probe(due: InFlight, batch: bool) -> bool:
    """Whether it asks if the server takes anything at all."""
    return decode(due.request.body).end == 0 if batch else due.request.method == "PATCH"


def is_alone(due: InFlight, batch: bool) -> bool:
    """Whether it carries one record."""
    return not batch or decode(due.request.body).records == 1


@pytest.mark.parametrize("batch", [True, False], ids=["batch", "stock"])
@pytest.mark.parametrize("doubtful", [is_alone, is_probe])
@pytest.mark.parametrize("times", [1, ROUNDS])
def test_what_is_given_up_while_it_is_in_doubt_is_not_set_aside_nor_is_another(batch, doubtful, times):
    book = Book(size=1024).write(100)
    line = Line(book, batch=batch)
    line.poison(1)
    due = line.sender.next(line.now)
    while not (isinstance(due, InFlight) and doubtful(due, batch) and times == 1):
        if isinstance(due, InFlight):
            times -= doubtful(due, batch)
            line.answer(due, line.exchange(due))
        else:
            line.now += 1
        due = line.sender.next(line.now)
    end = next(extent.limit for extent in book.journal.memory.extents() if not extent.is_open)
    line.outbox.give_up(book.journal.writer, end)
    line.answer(due, line.exchange(due))
    line.deliver()
    assert line.values() == list(range(end + 1, 101))
    assert (line.set_aside(), book.journal.cursor.rejected, book.journal.cursor.oldest) == ([], 0, end)
