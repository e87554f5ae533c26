"""log() inside log(): in what a value, a step or a name does when it is asked, in __del__, in a logging filter."""

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest

from journal.appends import SMALL, TINY, holes, records, told, writer_of


@pytest.fixture(params=[TINY, SMALL])
def writer(request, kind):
    return writer_of(kind, request.param)


class Chatty:
    """Logs whatever it is asked for; ``many`` records, so that segments are rotated in between."""

    ndim = 0

    def __init__(self, writer: Any, many: int = 40) -> None:
        self.writer = writer
        self.many = many
        self.asked = 0

    def chat(self) -> None:
        self.asked += 1
        for step in range(self.many):
            self.writer.append.log("inner", float(step), step)
            self.writer.append.log(f"inner {step}", "text", step)


class ChattyFloat(Chatty):
    ndim = 1

    def __float__(self) -> float:
        self.chat()
        return 1.5


class ChattyIndex(Chatty):
    ndim = 1

    def __index__(self) -> int:
        self.chat()
        return 15


class ChattyItem(Chatty):
    def item(self) -> float:
        self.chat()
        return 1.5


class ChattyName(str):
    __slots__ = ("chatty",)

    def __hash__(self) -> int:
        self.chatty.chat()
        return str.__hash__(self)

    def __eq__(self, other: object) -> bool:
        self.chatty.chat()
        return str.__eq__(self, other)  # type: ignore[arg-type]


class Liar(ChattyFloat):
    """What Mock(spec=float) is: its class says float, and pack_into asks it for its value after the claim."""

    __class__ = float  # type: ignore[assignment]


def inner(writer: Any) -> int:
    return sum(name.startswith("inner") for name, _, _ in told(writer.head))


@pytest.mark.parametrize("value_type", [ChattyFloat, ChattyItem, ChattyIndex, Liar])
def test_a_value_that_logs_when_it_is_asked(writer, value_type):
    value = value_type(writer)
    writer.append.log("outer", 0.0)
    for step in range(10):
        writer.append.log("outer", value, step)
    outer = [(read, step) for name, read, step in told(writer.head) if name == "outer"]
    assert outer == [(0.0, None)] + [(15 if value_type is ChattyIndex else 1.5, step) for step in range(10)]
    assert inner(writer) == value.asked * 2 * value.many
    assert value.asked >= 10
    assert holes(writer.head) == []


def test_a_step_that_logs_when_it_is_asked(writer):
    step = ChattyIndex(writer)
    for _ in range(10):
        writer.append.log("outer", 1.0, step)
        writer.append.log("outer", "text", step)
    assert [given for name, _, given in told(writer.head) if name == "outer"] == [15] * 20
    assert inner(writer) == step.asked * 2 * step.many
    assert holes(writer.head) == []


def test_a_name_that_logs_when_it_is_hashed_or_compared(writer):
    name = ChattyName("outer")
    name.chatty = Chatty(writer)
    writer.append.log("outer", 0.0)
    for step in range(1, 10):
        writer.append.log(name, float(step))
    assert [value for read, value, _ in told(writer.head) if read == "outer"] == list(range(10))
    assert inner(writer) == name.chatty.asked * 2 * name.chatty.many
    assert holes(writer.head) == []


def test_a_value_inside_a_list_that_logs_when_it_is_asked(writer):
    value = ChattyFloat(writer)
    writer.append.log("outer", [1, value, {"a": value}])
    assert [read for name, read, _ in told(writer.head) if name == "outer"] == [[1, 1.5, {"a": 1.5}]]
    assert inner(writer) == 2 * 2 * value.many


def test_a_value_that_logs_itself_until_it_is_enough(writer):
    class Deep:
        left = 100

        def __float__(self) -> float:
            self.left -= 1
            if self.left:
                writer.append.log("deep", self)
            return float(self.left)

    writer.append.log("deep", Deep())
    assert len(records(writer.head)) == 100
    assert holes(writer.head) == []


def test_objects_that_log_when_they_die(writer):
    class Dying:
        def __init__(self) -> None:
            self.circle = self

        def __del__(self) -> None:
            writer.append.log("dying", 1.0)

    for step in range(2000):
        Dying()
        writer.append.log("loss", [float(step)], step)
    gc.collect()
    names = [name for name, _, _ in told(writer.head)]
    assert (names.count("dying"), names.count("loss")) == (2000, 2000)


def test_a_logging_filter_that_logs_a_metric(writer, caplog):
    class Filter(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            writer.append.log("filtered", 1.0)
            return True

    logger = logging.getLogger("test.reentry")
    chatty = Filter()
    logger.addFilter(chatty)
    try:

        class Warning_:
            def __float__(self) -> float:
                logger.warning("converted")
                return 0.5

        for _ in range(100):
            writer.append.log("loss", Warning_())
    finally:
        logger.removeFilter(chatty)
    names = [name for name, _, _ in told(writer.head)]
    assert (names.count("filtered"), names.count("loss")) == (100, 100)


def test_a_clock_that_logs(kind):
    """Also between the look for the name and the claim, where the segment may be gone by then."""

    class Clock:
        def __init__(self) -> None:
            self.inside = False

        def __call__(self) -> int:
            if not self.inside:
                self.inside = True
                for step in range(10):
                    writer.append.log("clock", float(step))
                self.inside = False
            return 1

    clock = Clock()
    clock.inside = True
    writer = writer_of(kind, TINY, clock=clock)
    clock.inside = False
    for step in range(50):
        writer.append.log("loss", float(step), step)
    names = [(name, step) for name, _, step in told(writer.head)]
    assert [step for name, step in names if name == "loss"] == list(range(50))
    # A call that finds its segment gone looks at the clock again.
    assert len(names) >= 50 + 50 * 10
    assert holes(writer.head) == []
