"""Another call, a rotation, the end, a reader or a fork at the k-th bytecode of a call, for k = 1, 2, 3, …

This is what a signal handler of the same thread can do, and what a second thread can do while the first is preempted.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from journal.appends import TINY, Blocks, Reader, close_holes, holes, told, writer_of
from journal.tracing import STRIDE, AtBytecode, moments, warm_up
from steplog.journal.writer import EndedSegment, Writer


def fresh(writer: Writer) -> int:
    return 0


def nearly_full(writer: Writer) -> int:
    writer.prepare()
    calls = writer.head.header.capacity - 2
    for number in range(calls):
        writer.append.log("loss", float(number))
    return calls


BEFORE = [fresh, nearly_full]
CALLS = [("loss", 1.5, 1), ("loss", 3, 2), ("loss", True, 3), ("new", "x" * 400, 5)]
every_call = pytest.mark.parametrize(("name", "value", "step"), CALLS, ids=lambda part: repr(part)[:12])
every_state = pytest.mark.parametrize("before", BEFORE)


class Interleaving:
    """A writer, and its calls with ``act`` at each bytecode in turn; the bytecodes that there are."""

    def __init__(self, before: Callable[[Writer], int], call: tuple[str, Any, int]) -> None:
        self.before = before
        self.call = call
        self.parent = os.getpid()
        warm_up(lambda: writer_of("pure", TINY).append.log(*call))

    def each(
        self, act: Callable[[Writer], object], check: Callable[[Writer, int, bool], None], stride: int = STRIDE
    ) -> None:
        for at in moments((self.before.__name__, self.call), stride):
            writer = writer_of("pure", TINY)
            calls, returned, through = self.before(writer), True, False
            moment = AtBytecode(at, lambda writer=writer: act(writer))
            try:
                through = moment.during(lambda writer=writer: writer.append.log(*self.call))
            except Refused:
                returned = False
            except BaseException:
                if os.getpid() != self.parent:
                    traceback.print_exc()
                    os._exit(1)
                raise
            check(writer, calls, returned)
            if through:
                break
        assert at > 20


class Refused(Exception):
    pass


def refuse(name: Any, value: Any, step: Any) -> None:
    raise Refused


def inner_calls(writer: Writer, many: int = 15) -> None:
    for number in range(many):
        writer.append.log("inner", float(number), number)
        writer.append.log(f"inner {number % 3}", number, number)


@every_state
@every_call
def test_calls_and_rotations_in_the_middle_of_a_call(before, name, value, step):
    def check(writer: Writer, calls: int, returned: bool) -> None:
        close_holes(writer)
        found = told(writer.head)
        inner = [entry for entry in found if entry[0].startswith("inner")]
        assert len(inner) in (0, 30)
        assert found[:calls] == [("loss", float(number), None) for number in range(calls)]
        assert [entry for entry in found[calls:] if entry not in inner] == [(name, value, step)]
        assert holes(writer.head) == []

    Interleaving(before, (name, value, step)).each(inner_calls, check)


@every_state
@every_call
def test_a_run_that_ends_in_the_middle_of_a_call_has_it_or_refuses_it(before, name, value, step):
    def check(writer: Writer, calls: int, returned: bool) -> None:
        writer.end(refuse)
        assert isinstance(writer.append.segment, EndedSegment)
        close_holes(writer)
        assert told(writer.head)[calls:] == ([(name, value, step)] if returned else [])
        assert holes(writer.head) == []

    Interleaving(before, (name, value, step)).each(lambda writer: writer.end(refuse), check)


@every_state
@every_call
def test_a_run_that_ends_and_is_reopened_in_the_middle_of_a_call_has_it(before, name, value, step):
    def again(writer: Writer) -> None:
        writer.end(refuse)
        writer.reopen()

    def check(writer: Writer, calls: int, returned: bool) -> None:
        assert returned
        writer.append.log("after", 1.0)
        close_holes(writer)
        assert told(writer.head)[calls:] == [(name, value, step), ("after", 1.0, None)]
        assert holes(writer.head) == []

    Interleaving(before, (name, value, step)).each(again, check)


@every_state
@every_call
def test_a_reader_that_frees_what_it_has_read_in_the_middle_of_a_call(before, name, value, step):
    readers: dict[int, Reader] = {}

    def read(writer: Writer) -> None:
        readers[id(writer)] = Reader.of(writer)
        inner_calls(writer)
        while readers[id(writer)].read():
            pass

    def check(writer: Writer, calls: int, returned: bool) -> None:
        reader = readers.pop(id(writer), None) or Reader.of(writer)
        close_holes(writer)
        while reader.read():
            pass
        assert reader.journal.cursor.delivered == reader.journal.written()
        positions = [record.position for record in reader.found]
        assert positions == sorted(set(positions))
        mine = [(record.name, record.value, record.step) for record in reader.found]
        assert [entry for entry in mine[calls:] if "inner" not in entry[0]] == [(name, value, step)]

    Interleaving(before, (name, value, step)).each(read, check)


@pytest.mark.slow
@every_call
@pytest.mark.parametrize("child_logs", [False, True], ids=["the handler is silent", "the handler logs"])
def test_a_fork_in_the_middle_of_a_call_leaves_the_parents_journal_as_it_would_be(name, value, step, child_logs):
    """The interrupted call goes on in both: in the child to a writer of the child's own."""
    parent, forks, children = os.getpid(), [], []

    def fork(writer: Writer) -> None:
        pid = os.fork()
        if pid:
            forks.append(os.waitpid(pid, 0)[1])  # the child is first; what it does wrong the parent finds
            return

        def reopen(*call: Any) -> None:
            if not children:
                children.append(type(writer)(Blocks(TINY), b"c" * 16, value_bytes_max=1000, append=writer.append))
            writer.append.log(*call)

        writer.forked(reopen)
        if child_logs:
            inner_calls(writer)

    def check_child(writer: Writer) -> None:
        writer.append.log("after", 1.0)
        writer.append.log("after", 2)
        found = told(children[0].head)
        mine = [entry for entry in found if "inner" not in entry[0]]
        # A call that had its slot before the fork is the parent's; any other goes on in the child.
        assert mine[-2:] == [("after", 1.0, None), ("after", 2, None)]
        assert mine[:-2] in ([], [(name, value, step)])
        assert len(found) == len(mine) + 30 * child_logs
        assert all(entry[1] == entry[2] for entry in found if entry not in mine)

    def check(writer: Writer, calls: int, returned: bool) -> None:
        if os.getpid() != parent:
            in_child(lambda: check_child(writer))
        assert set(forks) <= {0}
        inner_calls(writer)
        close_holes(writer)
        found = told(writer.head)
        assert found[calls] == (name, value, step)
        assert len(found) == calls + 1 + 30
        assert holes(writer.head) == []

    Interleaving(nearly_full, (name, value, step)).each(fork, check, 3 * STRIDE)
    assert forks


def in_child(check: Callable[[], object]) -> None:
    code = 1
    try:
        check()
        code = 0
    except BaseException:  # noqa: BLE001 - told to the parent by the exit code
        traceback.print_exc()
    finally:
        os._exit(code)
