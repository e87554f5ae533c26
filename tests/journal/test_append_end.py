"""The end of a writer: calls are refused from then on, and nothing opens it again but reopen()."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from journal.appends import TINY, records, told, writer_of
from steplog.journal.writer import EndedSegment


class Refused(Exception):
    pass


def refuse(name: Any, value: Any, step: Any) -> None:
    raise Refused


def test_after_the_end_each_call_comes_to_the_refusal_and_nothing_is_recorded(kind):
    writer = writer_of(kind, TINY)
    writer.append.log("loss", 1.0)
    writer.prepare()
    writer.end(refuse)
    for value in (1.0, 1, "text"):
        for name in ("loss", "new"):
            with pytest.raises(Refused):
                writer.append.log(name, value)
    writer.end(refuse)
    writer.prepare()
    assert told(writer.head) == [("loss", 1.0, None)]
    assert writer.pool.used_bytes() == TINY  # the spares are given back, and no new ones made


def test_a_reopened_writer_goes_on_at_the_next_position(kind):
    writer = writer_of(kind, TINY)
    for round_ in range(5):
        writer.append.log("loss", float(round_))
        writer.end(refuse)
        writer.reopen()
    writer.append.log("loss", 5)
    assert [(record.position, record.value) for record in records(writer.head)] == [(n, n) for n in range(6)]


def test_a_writer_that_is_full_can_end(kind):
    writer = writer_of(kind, TINY, bytes_max=TINY)
    for step in range(100):
        writer.append.log("loss", float(step))
    writer.end(refuse)
    with pytest.raises(Refused):
        writer.append.log("loss", 1.0)
    writer.pool.bytes_max = 1 << 20
    writer.prepare()
    with pytest.raises(Refused):
        writer.append.log("loss", 1.0)
    assert isinstance(writer.append.segment, EndedSegment)


def test_a_run_that_ends_while_a_value_is_converted_takes_it_no_more(kind):
    """The call went on to a new segment after the end, so that a finished run was open again."""

    class Ending:
        def __float__(self) -> float:
            writer.end(refuse)
            return 1.0

    writer = writer_of(kind, TINY)
    writer.append.log("loss", 0.5)
    with pytest.raises(Refused):
        writer.append.log("loss", Ending())
    with pytest.raises(Refused):
        writer.append.log("loss", 2.0)
    assert told(writer.head) == [("loss", 0.5, None)]


def test_a_run_that_ends_just_as_there_is_memory_again_stays_ended(kind):
    """A full writer with a spare rotated whatever segment there was by then, also the finished one."""

    class Spares(deque):  # type: ignore[type-arg]
        ended = False

        def __bool__(self) -> bool:
            if not self.ended:
                self.ended = True
                writer.end(refuse)  # as another thread, right after the writer has seen a spare
                return True
            return len(self) > 0

    writer = writer_of(kind, TINY, bytes_max=0)
    writer._spares = Spares()
    with pytest.raises(Refused):
        writer.append.log("loss", 1.0)
    assert isinstance(writer.append.segment, EndedSegment)
    assert records(writer.head) == []
