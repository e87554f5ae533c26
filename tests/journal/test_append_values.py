"""What log() makes of each value, step and name, and that a mistake leaves the journal as it was."""

from __future__ import annotations

import enum
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.appends import records, told, writer_of
from steplog.journal import slot
from strategies import INT64, NAMES

FLOAT, INT, BOOL, JSON = slot.KIND_FLOAT, slot.KIND_INT, slot.KIND_BOOL, slot.KIND_JSON


class Index:
    def __init__(self, number: int) -> None:
        self.number = number

    def __index__(self) -> int:
        return self.number


class Floating:
    def __float__(self) -> float:
        return 2.5


class Half(float):
    pass


class Level(enum.IntEnum):
    HIGH = 7


class Named(str, enum.Enum):
    LOSS = "loss"


class Shouting(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper() * 1000

    def encode(self, *how: str) -> bytes:
        raise AssertionError("the text is asked of str itself")


class Raising:
    def __float__(self) -> float:
        raise ZeroDivisionError


VALUES = [
    (0.1, FLOAT, 0.1),
    (-0.0, FLOAT, -0.0),
    (math.inf, FLOAT, math.inf),
    (5e-324, FLOAT, 5e-324),
    (Half(0.5), FLOAT, 0.5),
    (Floating(), FLOAT, 2.5),
    (Decimal("1.5"), FLOAT, 1.5),
    (Fraction(1, 4), FLOAT, 0.25),
    (numpy.float32(0.5), FLOAT, 0.5),
    (numpy.float64(0.1), FLOAT, 0.1),
    (numpy.float16(0.5), FLOAT, 0.5),
    (numpy.longdouble(1.5), FLOAT, 1.5),
    (numpy.array(1.5), FLOAT, 1.5),
    (numpy.array(1.5, numpy.longdouble), FLOAT, 1.5),
    (0, INT, 0),
    (2**63 - 1, INT, 2**63 - 1),
    (-(2**63), INT, -(2**63)),
    (Level.HIGH, INT, 7),
    (Index(9), INT, 9),
    (numpy.int8(-1), INT, -1),
    (numpy.uint64(2**63 - 1), INT, 2**63 - 1),
    (numpy.array(3), INT, 3),
    (2**63, JSON, 2**63),
    (-(2**64), JSON, -(2**64)),
    (Index(2**70), JSON, 2**70),
    (numpy.uint64(2**64 - 1), JSON, 2**64 - 1),
    (10**4000, JSON, 10**4000),
    (True, BOOL, True),
    (False, BOOL, False),
    (numpy.bool_(True), BOOL, True),
    (numpy.array(False), BOOL, False),
    (None, JSON, None),
    ("", JSON, ""),
    ("Ω\0\n\U0001f600", JSON, "Ω\0\n\U0001f600"),
    ("a\ud800b", JSON, "a?b"),
    (Named.LOSS, JSON, "loss"),
    ([], JSON, []),
    ((1, 2), JSON, [1, 2]),
    ({"a": [1, {"b": None}]}, JSON, {"a": [1, {"b": None}]}),
    ({1: 2}, JSON, {"1": 2}),
    ([math.nan, {"x": (math.inf, -math.inf)}], JSON, ["NaN", {"x": ["Infinity", "-Infinity"]}]),
    ({math.nan: 1}, JSON, {"NaN": 1}),
    ([numpy.float32(0.5), numpy.int64(3), numpy.float32("nan")], JSON, [0.5, 3, "NaN"]),
    ("x" * 1_000_000, JSON, "x" * 1_000_000),
]


@pytest.mark.parametrize(("value", "as_kind", "read"), VALUES, ids=lambda value: repr(value)[:30])
def test_a_value_is_recorded_as_what_it_is(kind, value, as_kind, read):
    writer = writer_of(kind)
    assert writer.append.log("loss", value, 3) is None
    (record,) = records(writer.head)
    assert (record.name, record.kind, record.step) == ("loss", as_kind, 3)
    assert record.value == read
    assert type(record.value) is type(read)


def test_nan_is_a_value(kind):
    writer = writer_of(kind)
    for value in (math.nan, numpy.float32("nan")):
        writer.append.log("loss", value)
    assert [math.isnan(record.value) for record in records(writer.head)] == [True, True]


@given(st.lists(st.tuples(NAMES, st.floats(allow_nan=False) | INT64 | st.booleans() | st.text(max_size=9), INT64)))
def test_what_is_logged_is_what_is_read_in_the_same_order(calls):
    writer = writer_of("pure")
    calls = [(name, value, None if step == slot.NO_STEP else step) for name, value, step in calls]
    for call in calls:
        writer.append.log(*call)
    calls = [(name, value.encode("utf-8", "replace").decode() if isinstance(value, str) else value, step)
             for name, value, step in calls]  # fmt: skip
    assert told(writer.head) == calls


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def shared(levels: int, width: int) -> list[Any]:
    value: list[Any] = [1] * width
    for _ in range(levels):
        value = [value] * width
    return value


def circle_of_dicts() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["again"] = (value,)
    return value


WRONG_VALUES = [
    (object(), TypeError),
    (b"bytes", TypeError),
    ({1, 2}, TypeError),
    (1j, TypeError),
    (numpy.complex64(1), TypeError),
    (numpy.clongdouble(1), TypeError),
    (numpy.array([1.0, 2.0]), TypeError),
    (numpy.array([1, 2]), TypeError),
    (numpy.array(None), TypeError),
    (numpy.array("text"), TypeError),
    (numpy.datetime64("2020-01-01"), TypeError),
    ([object()], TypeError),
    ([math.nan, object()], TypeError),
    ({(1, 2): 3}, TypeError),
    (nested(33), ValueError),
    (circular(), ValueError),
    (circle_of_dicts(), ValueError),
    (shared(30, 2), ValueError),
    (shared(3, 300_000), ValueError),
    (10**5000, ValueError),
    ([10**5000], ValueError),
    ("x" * (1 << 20), ValueError),
    ([0] * 600_000, ValueError),
    (Raising(), ZeroDivisionError),
]


@pytest.mark.parametrize(("value", "error"), WRONG_VALUES, ids=lambda value: repr(type(value)))
def test_a_value_that_cannot_be_recorded_raises_and_leaves_the_journal_as_it_was(kind, value, error):
    writer = writer_of(kind)
    writer.append.log("loss", 1.0)
    before = bytes(writer.head.memory)
    with pytest.raises(error):
        writer.append.log("loss", value)
    with pytest.raises(error):
        writer.append.log("another name", value)
    assert bytes(writer.head.memory) == before
    writer.append.log("loss", 2.0)
    assert [record.position for record in records(writer.head)] == [0, 1]


def test_the_deepest_and_the_largest_value_are_recorded(kind):
    writer = writer_of(kind, value_bytes_max=100)
    writer.append.log("deep", nested(32))
    writer.append.log("large", "x" * 98)
    with pytest.raises(ValueError, match="value_bytes_max is 100"):
        writer.append.log("large", "x" * 99)
    assert [record.name for record in records(writer.head)] == ["deep", "large"]


STEPS = [(None, None), (0, 0), (-5, -5), (2**63 - 1, 2**63 - 1), (1 - 2**63, 1 - 2**63)]
CONVERTED_STEPS = [(Index(4), 4), (numpy.int32(5), 5), (numpy.array(6), 6), (Level.HIGH, 7)]


@pytest.mark.parametrize("value", [0.5, 1, True, "text"])
@pytest.mark.parametrize(("step", "read"), STEPS + CONVERTED_STEPS, ids=repr)
def test_a_step_is_any_integer_of_64_bits_but_the_smallest(kind, value, step, read):
    writer = writer_of(kind)
    writer.append.log("loss", value, step)
    writer.append.log("loss", value, step=step)
    assert told(writer.head) == [("loss", value, read)] * 2


WRONG_STEPS = [
    *[(step, ValueError) for step in (2**63, 2**200, -(2**63), -(2**63) - 1, Index(2**63), numpy.uint64(2**63))],
    *[(step, TypeError) for step in (True, False, 1.0, "1", [], numpy.float32(1), numpy.array([1]), int, object())],
]


@pytest.mark.parametrize(("step", "error"), WRONG_STEPS, ids=repr)
@pytest.mark.parametrize("value", [0.5, 1, "text"])
def test_a_wrong_step_raises_and_records_nothing(kind, value, step, error):
    writer = writer_of(kind)
    writer.append.log("loss", 1.0)
    for name in ("loss", "new"):
        with pytest.raises(error):
            writer.append.log(name, value, step)
    writer.append.log("loss", 2.0)
    assert told(writer.head) == [("loss", 1.0, None), ("loss", 2.0, None)]


WRONG_NAMES = [
    *[(name, TypeError) for name in (None, 5, 1.5, b"loss", ["loss"], object(), ("loss",))],
    *[(name, ValueError) for name in ("", "n" * 257, "é" * 129, "\ud800", "loss\udfff")],
]


@pytest.mark.parametrize(("name", "error"), WRONG_NAMES, ids=repr)
@pytest.mark.parametrize("value", [0.5, 1, "text"])
def test_a_wrong_name_raises_and_leaves_the_journal_as_it_was(kind, value, name, error):
    writer = writer_of(kind)
    writer.append.log("loss", 1.0)
    before = bytes(writer.head.memory)
    with pytest.raises(error):
        writer.append.log(name, value)
    assert bytes(writer.head.memory) == before


@pytest.mark.parametrize("name", ["n" * 256, "é" * 128, "a/b c\n\0\x1b[31m", "\U0001f600"], ids=ascii)
def test_any_text_of_1_to_256_bytes_is_a_name(kind, name):
    writer = writer_of(kind)
    writer.append.log(name, 1.0)
    writer.append.log(name, 2)
    assert told(writer.head) == [(name, 1.0, None), (name, 2, None)]


def test_the_name_of_a_subclass_of_str_is_its_text_and_not_what_it_prints_as(kind):
    writer = writer_of(kind)
    for name in (Named.LOSS, Shouting("loss"), numpy.str_("loss"), "loss"):
        writer.append.log(name, 1.0)
        writer.append.log(name, "text")
    assert {record.name for record in records(writer.head)} == {"loss"}


def test_a_name_that_cannot_be_hashed_raises_its_own_error_and_claims_nothing():
    """The compiled append looks up no name but a plain str."""

    class Broken(str):
        __slots__ = ()

        def __hash__(self) -> int:
            raise ZeroDivisionError

    writer = writer_of("pure")
    with pytest.raises(ZeroDivisionError):
        writer.append.log(Broken("loss"), 1.0)
    assert records(writer.head) == []


def test_a_client_given_with_a_call_is_used_from_then_on_and_the_call_recorded(kind):
    writer = writer_of(kind)
    used: list[object] = []
    writer.use_client = used.append
    writer.append.log("loss", 1.0, 1, "client")
    writer.append.log("loss", 2.0, client="another")
    assert (used, told(writer.head)) == (["client", "another"], [("loss", 1.0, 1), ("loss", 2.0, None)])
