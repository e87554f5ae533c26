"""KeyboardInterrupt at the k-th bytecode of a call, for k = 1, 2, 3, … until the call gets through.

CPython 3.10 does not survive an exception from a trace function at every bytecode; there it is every line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from journal.appends import TINY, close_holes, holes, records, writer_of
from journal.tracing import AtBytecode, moments, warm_up
from steplog.journal.writer import Writer

EVENT = "opcode" if sys.version_info >= (3, 11) else "line"


def interrupt() -> None:
    raise KeyboardInterrupt


def interrupted(at: int, call: Callable[[], object]) -> bool:
    """Call it, with an interrupt at the ``at``-th bytecode; whether it got through before."""
    try:
        return AtBytecode(at, interrupt, EVENT).during(call)
    except KeyboardInterrupt:
        return False


class Interrupting:
    """A time that is interrupted as it is stored: after the claim, and before the kind."""

    def __index__(self) -> int:
        raise KeyboardInterrupt


@pytest.mark.parametrize("value", [0.5, 3, True, "text"], ids=repr)
def test_an_interrupt_between_claim_and_kind_leaves_a_tombstone_at_once(value):
    """Without it there is a hole until the upkeep comes by."""
    writer = writer_of("pure", TINY)
    writer.append.log("loss", 0.0)
    writer.append.clock = Interrupting  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        writer.append.log("loss", value)
    writer.append.clock = lambda: 0
    writer.append.log("loss", 1.0)
    assert holes(writer.head) == []
    assert [record.position for record in records(writer.head)] == [0, 2]


@pytest.mark.parametrize("value", [0.5, 3])
def test_a_step_that_no_slot_holds_leaves_a_tombstone_where_it_was_claimed(value):
    writer = writer_of("pure", TINY)
    writer.append.log("loss", 0.0)
    with pytest.raises(ValueError, match="step"):
        writer.append.log("loss", value, 2**63)
    writer.append.log("loss", 1.0)
    assert holes(writer.head) == []
    assert [record.position for record in records(writer.head)] == [0, 2]


@pytest.mark.parametrize("value", [0.5, 3, True, "text"], ids=repr)
def test_a_claim_that_finds_its_segment_closed_leaves_a_tombstone_there(value):
    writer = writer_of("pure", TINY)
    writer.append.log("loss", 0.0)
    segment = writer.append.segment
    claim = segment.claim

    def closed_after_it() -> int:
        offset, segment.claim = claim(), claim
        writer._rotate(segment, 0)  # as another thread, whose record has no room here
        return offset

    segment.claim = closed_after_it
    writer.append.log("loss", value)
    assert [(record.position, record.value) for record in records(writer.head)] == [(0, 0.0), (2, value)]
    assert holes(writer.head) == []


def fill(writer: Writer, left: int) -> int:
    """Log until the segment has room for ``left`` more; how many calls."""
    calls = writer.head.header.capacity - left
    for number in range(calls):
        writer.append.log("before", float(number))
    return calls


def full(writer: Writer) -> int:
    return fill(writer, 0)


def full_with_a_spare(writer: Writer) -> int:
    writer.prepare()
    return fill(writer, 0)


def many_names(writer: Writer) -> int:
    for number in range(3):
        writer.append.log(f"before, name {number}", float(number))
    return 3


def fresh(writer: Writer) -> int:
    return 0


CALLS = [("before", 1.5, 1), ("before", 3, 2), ("new", "x" * 400, 5), ("n" * 200, {"a": [1, None]}, 6)]


@pytest.mark.parametrize("before", [fresh, full, full_with_a_spare])
@pytest.mark.parametrize(("name", "value", "step"), CALLS, ids=lambda part: repr(part)[:12])
def test_an_interrupt_at_any_bytecode_leaves_a_journal_that_goes_on(before, name, value, step):
    """The call in flight is there whole or not at all; all before and after it is there; every hole gets closed."""
    warm_up(lambda: writer_of("pure", TINY).append.log(name, value))
    for at in moments((before.__name__, name, value)):
        writer = writer_of("pure", TINY)
        calls = before(writer)
        through = interrupted(at, lambda writer=writer: writer.append.log(name, value, step))
        after = [("after", float(number), number) for number in range(30)]
        for call in after:
            writer.append.log(*call)
        writer.append.log(name, value, step)
        close_holes(writer)
        found = [(record.name, record.value, record.step) for record in records(writer.head)]
        in_flight = len(found) - calls - len(after) - 1
        assert in_flight in ((1,) if through else (0, 1))
        assert found[calls:] == [(name, value, step)] * in_flight + after + [(name, value, step)]
        assert holes(writer.head) == []
        assert writer.dropped == {"memory full": 0, "finished": 0}
        if through:
            break
    assert at > 8


class Refused(Exception):
    pass


def refuse(name: Any, value: Any, step: Any) -> None:
    raise Refused


def test_an_interrupt_at_any_bytecode_of_the_end_leaves_a_writer_that_ends():
    for at in moments("end"):
        writer = writer_of("pure", TINY)
        writer.prepare()
        calls = many_names(writer)
        through = interrupted(at, lambda writer=writer: writer.end(refuse))
        writer.end(refuse)
        with pytest.raises(Refused):
            writer.append.log("after", 1.0)
        close_holes(writer)
        assert len(records(writer.head)) == calls
        assert holes(writer.head) == []
        if through:
            break


def test_an_interrupt_at_any_bytecode_of_reopening_leaves_a_writer_that_opens():
    for at in moments("end"):
        writer = writer_of("pure", TINY)
        many_names(writer)
        writer.end(refuse)
        through = interrupted(at, writer.reopen)
        if not through:
            writer.end(refuse)
            writer.reopen()
        writer.append.log("after", 1.0)
        close_holes(writer)
        assert [record.name for record in records(writer.head)][3:] == ["after"]
        if through:
            break
