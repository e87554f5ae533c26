"""What log() makes of each value, step and name, and that a mistake leaves the journal as it was."""

from __future__ import annotations

import array
import dataclasses
import datetime
import enum
import json
import logging
import math
import types
import uuid
from collections import deque
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.appends import records, told, writer_of
from steplog.journal import slot, values
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


@dataclasses.dataclass
class Point:
    x: float
    y: Any = None


class Settings(msgspec.Struct):
    rate: float
    where: Path


class Model:
    """What pydantic's models are to us."""

    def model_dump(self) -> dict[str, Any]:
        return {"rate": 0.5, "when": datetime.date(2026, 1, 2)}


class Tensor:
    """What a tensor of PyTorch is to us: nothing of NumPy's, and ``size`` is a method."""

    def __init__(self, content: Any, shape: tuple[int, ...]) -> None:
        self.content, self.shape = content, shape

    def size(self) -> tuple[int, ...]:
        return self.shape

    def item(self) -> Any:
        found = self.content
        while isinstance(found, list):
            (found,) = found
        return found

    def tolist(self) -> Any:
        return self.content


class Colour(enum.Enum):
    RED = "red"
    POINT = Point(1.0)


class Complex:
    def __complex__(self) -> complex:
        return 1 + 2j


ZONE = datetime.timezone(datetime.timedelta(hours=2))
NAMED = uuid.UUID(int=7)
CONVERTED = [
    (numpy.array([0.5]), FLOAT, 0.5),
    (numpy.array([[3]]), INT, 3),
    (numpy.array([True]), BOOL, True),
    (numpy.array([1.5], numpy.longdouble), FLOAT, 1.5),
    (numpy.array([1.0, math.nan]), JSON, [1.0, "NaN"]),
    (numpy.arange(4).reshape(2, 2), JSON, [[0, 1], [2, 3]]),
    (numpy.array([], numpy.float32), JSON, []),
    (numpy.array(None), JSON, None),
    (numpy.array("text"), JSON, "text"),
    (numpy.array(["a", "b"]), JSON, ["a", "b"]),
    (numpy.complex64(1 + 2j), JSON, {"real": 1.0, "imag": 2.0}),
    (numpy.clongdouble(1), JSON, {"real": 1.0, "imag": 0.0}),
    (numpy.datetime64("2020-01-01"), JSON, "2020-01-01T00:00:00"),
    (numpy.datetime64("2020-01-01T00:00:01", "ns"), JSON, "2020-01-01T00:00:01"),
    (numpy.array(["2020-01-01", "2021-01-01"], "M8[ns]"), JSON, ["2020-01-01T00:00:00", "2021-01-01T00:00:00"]),
    (numpy.timedelta64(1500, "ms"), FLOAT, 1.5),
    (numpy.ma.masked, JSON, None),
    (numpy.ma.array([1.0, 2.0], mask=[False, True]), JSON, [1.0, None]),
    (Tensor(0.5, ()), FLOAT, 0.5),
    (Tensor([[7]], (1, 1)), INT, 7),
    (Tensor([0.5, 1.5], (2,)), JSON, [0.5, 1.5]),
    (1j, JSON, {"real": 0.0, "imag": 1.0}),
    (Complex(), JSON, {"real": 1.0, "imag": 2.0}),
    (Decimal("Infinity"), FLOAT, math.inf),
    (Colour.RED, JSON, "red"),
    (Colour.POINT, JSON, {"x": 1.0, "y": None}),
    (Point(0.5, [Point(math.inf)]), JSON, {"x": 0.5, "y": [{"x": "Infinity", "y": None}]}),
    (Settings(0.5, Path("a") / "b"), JSON, {"rate": 0.5, "where": "a/b"}),
    (Model(), JSON, {"rate": 0.5, "when": "2026-01-02"}),
    (Path("a") / "b", JSON, "a/b"),
    (datetime.datetime(2026, 1, 2, 3, tzinfo=ZONE), JSON, "2026-01-02T03:00:00+02:00"),
    (datetime.date(2026, 1, 2), JSON, "2026-01-02"),
    (datetime.time(3, 4), JSON, "03:04:00"),
    (datetime.timedelta(minutes=1, milliseconds=500), FLOAT, 60.5),
    (NAMED, JSON, str(NAMED)),
    ({3, 1, 2}, JSON, [1, 2, 3]),
    (frozenset(["b", "a"]), JSON, ["a", "b"]),
    ({"a": 1}.keys(), JSON, ["a"]),
    (range(3), JSON, [0, 1, 2]),
    (deque([1]), JSON, [1]),
    (types.MappingProxyType({"a": 1}), JSON, {"a": 1}),
    (b"bytes", JSON, "bytes"),
    (bytearray(b"\xff\x00"), JSON, "data:;base64,/wA="),
    (memoryview(b"view"), JSON, "view"),
    (array.array("d", [0.5, 1.5]), JSON, [0.5, 1.5]),
    ({Path("p"): {NAMED: {1}}}, JSON, {"p": {str(NAMED): [1]}}),
    ({None: 1, True: 2, 1.5: 3, numpy.int64(4): 5, Colour.RED: 6}, JSON,
     {"null": 1, "true": 2, "1.5": 3, "4": 5, "red": 6}),
    ([numpy.array([1, 2]), {"at": datetime.date(2026, 1, 2)}], JSON, [[1, 2], {"at": "2026-01-02"}]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "as_kind", "read"), CONVERTED, ids=lambda value: repr(value)[:30])
def test_a_number_of_another_library_is_recorded_as_json_has_it_and_is_not_coerced(kind, value, as_kind, read):
    writer = writer_of(kind)
    writer.values.strict = True
    writer.append.log("loss", value, 3)
    (record,) = records(writer.head)
    assert (record.kind, record.value, type(record.value)) == (as_kind, read, type(read))
    assert writer.values.coerced == 0


class ReprRaises:
    def __repr__(self) -> str:
        raise ZeroDivisionError


class ItemRaises(Tensor):
    def item(self) -> Any:
        raise RuntimeError("no data here")

    tolist = item

    def __repr__(self) -> str:
        return "<a tensor on meta>"


class Loops:
    """Each value that it gives holds another."""

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    def item(self) -> Any:
        return [Loops()]

    def __repr__(self) -> str:
        return "<loops>"


class Words:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


REPRS = [
    (Words("<a model>"), TypeError, "<a model>"),
    (Words("x" * 2000), TypeError, "x" * 400 + "..."),
    (ReprRaises(), TypeError, "ReprRaises"),
    (int, TypeError, "<class 'int'>"),
    (Raising(), TypeError, "Raising"),
    (ItemRaises([0.5], (1,)), TypeError, "<a tensor on meta>"),
    (ItemRaises([0.5] * 2, (2,)), TypeError, "<a tensor on meta>"),
    ([1, Words("<a model>")], TypeError, [1, "<a model>"]),
    ([math.nan, ReprRaises()], TypeError, ["NaN"]),
    ({(1, 2): 3}, TypeError, {"(1, 2)": 3}),
    (nested(33), ValueError, "[]"),
    (circular(), ValueError, ["[[[[[...]]]]]"]),
    (circle_of_dicts(), ValueError, "again"),
    (shared(3, 300_000), ValueError, "[["),
    (10**5000, ValueError, "int"),
    ([10**5000, 1], ValueError, [1]),
    (Decimal("1e400"), TypeError, "Decimal('1E+400')"),
    (Fraction(10**400, 3), TypeError, "Fraction("),
    ("x" * (1 << 20), ValueError, "x" * ((1 << 20) - 5) + "…"),
    (["x" * (1 << 20)], ValueError, "['xxx"),
    ([0] * 600_000, ValueError, "[0, 0, 0, 0, 0, 0, ...]"),
    (numpy.zeros(600_000), ValueError, "array([0., 0., 0."),
    (bytes(1 << 21), ValueError, "b'"),
    ({1: [0] * 600_000}, ValueError, "{1: ["),
]


def holds(found: object, expected: object) -> bool:
    """Whether all of ``expected`` is in what was found: the beginning of a text, some items of a list or dict."""
    if isinstance(expected, str):
        return expected in json.dumps(found, ensure_ascii=False) if not isinstance(found, str) else expected in found
    if isinstance(expected, list):
        return isinstance(found, list) and all(item in found for item in expected)
    return found == expected


@pytest.mark.parametrize(("value", "error", "read"), REPRS, ids=lambda value: repr(type(value)))
def test_any_other_value_is_its_bounded_repr_and_counted_and_with_strict_an_error(kind, value, error, read):
    is_its_repr(writer_of(kind), value, error, read)


def test_a_list_that_holds_another_many_times_is_read_no_further_than_its_limit(kind):
    """Written out it would take 4 GiB; a look goes as far as ``value_bytes_max``."""
    is_its_repr(writer_of(kind, value_bytes_max=1 << 16), shared(30, 2), ValueError, "[[")


def is_its_repr(writer, value, error, read):
    writer.append.log("loss", value, 7)
    (record,) = records(writer.head)
    assert (record.kind, record.step, writer.values.coerced) == (JSON, 7, 1)
    assert holds(record.value, read)
    assert isinstance(record.value, str) or len(json.dumps(record.value)) < 3000
    writer.values.strict = True
    before = bytes(writer.head.memory)
    for name in ("loss", "another name"):
        with pytest.raises(error, match="cannot be logged"):
            writer.append.log(name, value)
    assert bytes(writer.head.memory) == before
    assert writer.values.coerced == 1
    writer.append.log("loss", 2.0)
    assert records(writer.append.segment)[-1].position == 1 + len(
        writer.head.successor
    )  # a large one took a new segment


def test_a_value_that_never_ends_is_given_up(kind):
    writer = writer_of(kind)
    writer.append.log("loss", Loops())
    assert "<loops>" in json.dumps(records(writer.head)[0].value)
    assert writer.values.coerced == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_a_program_comes_through_a_conversion(kind, error):
    class Ends(ItemRaises):
        def item(self) -> Any:
            raise error

    writer = writer_of(kind)
    for value in (Ends([0.5], (1,)), [Ends([0.5], (1,))]):
        with pytest.raises(error):
            writer.append.log("loss", value)
    assert (records(writer.head), writer.values.coerced) == ([], 0)


def test_a_type_that_is_coerced_is_said_once_though_who_hears_of_it_logs_another(kind, caplog):
    class Unheard:
        pass

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            writer.append.log("heard", Unheard())
            raise ZeroDivisionError

    writer, listener = writer_of(kind), Listener()
    logging.getLogger("steplog").addHandler(listener)
    try:
        for _ in range(3):
            writer.append.log("loss", Unheard())
    finally:
        logging.getLogger("steplog").removeHandler(listener)
        values._said.clear()
    assert writer.values.coerced == 4
    listener.close()
    writer.append.log("loss", Unheard())
    (said,) = caplog.messages
    assert said == "steplog: a value of type Unheard is logged as its repr: nothing converts it"
    values._said.clear()


def test_a_mistake_in_a_name_of_several_counts_nothing_as_coerced(kind):
    writer = writer_of(kind)
    with pytest.raises(TypeError):
        writer.append.log({"loss": object(), 5: 1.0})
    assert (records(writer.head), writer.values.coerced) == ([], 0)


def test_a_tensor_of_pytorch_is_recorded_as_what_it_holds(kind):
    torch = pytest.importorskip("torch")
    writer = writer_of(kind)
    writer.values.strict = True
    tensors = [torch.tensor(0.5, dtype=made) for made in (torch.float16, torch.bfloat16, torch.float32, torch.float64)]
    tensors += [torch.tensor([0.5], requires_grad=True), torch.tensor([[0.5]]), torch.nn.Parameter(torch.tensor(0.5))]
    for tensor in tensors:
        writer.append.log("loss", tensor)
    writer.append.log("loss", torch.tensor([0.5, 1.5], dtype=torch.bfloat16, requires_grad=True))
    writer.append.log("loss", torch.tensor(3))
    writer.append.log("loss", torch.tensor([True]))
    writer.append.log("loss", {"of": torch.Size([2, 3]), "made": torch.tensor(1 + 2j)})
    found = [record.value for record in records(writer.head)]
    assert found == [0.5] * len(tensors) + [
        [0.5, 1.5],
        3,
        True,
        {"of": [2, 3], "made": {"real": 1.0, "imag": 2.0}},
    ]
    writer.values.strict = False
    writer.append.log("loss", torch.tensor(0.5, device="meta"))
    writer.append.log("loss", torch.nn.Linear(2, 2))
    writer.append.log("loss", torch.zeros(1000, 1000))
    assert writer.values.coerced == 3


def test_the_deepest_and_the_largest_value_are_recorded(kind):
    writer = writer_of(kind, value_bytes_max=100)
    writer.append.log("deep", nested(32))
    writer.append.log("large", "x" * 98)
    assert writer.values.coerced == 0
    writer.append.log("large", "x" * 99)
    writer.append.log("large", "Ω" * 99)
    writer.append.log("large", "\0" * 99)
    assert [record.value for record in records(writer.head)[2:]] == ["x" * 95 + "…", "Ω" * 47 + "…", "\0" * 15 + "…"]
    assert writer.values.coerced == 3
    writer.values.strict = True
    with pytest.raises(ValueError, match="value_bytes_max, which is 100"):
        writer.append.log("large", "x" * 99)


STEPS = [(None, None), (0, 0), (-5, -5), (2**63 - 1, 2**63 - 1), (1 - 2**63, 1 - 2**63)]
WHOLE_STEPS = [(3.0, 3), (-0.0, 0), (numpy.float64(3), 3), (numpy.float32(-8), -8), (numpy.array(6.0), 6)]
CONVERTED_STEPS = [(Index(4), 4), (numpy.int32(5), 5), (numpy.array(6), 6), (Level.HIGH, 7), *WHOLE_STEPS]


@pytest.mark.parametrize("value", [0.5, 1, True, "text"])
@pytest.mark.parametrize(("step", "read"), STEPS + CONVERTED_STEPS, ids=repr)
def test_a_step_is_any_integer_of_64_bits_but_the_smallest(kind, value, step, read):
    writer = writer_of(kind)
    writer.append.log("loss", value, step)
    writer.append.log("loss", value, step=step)
    assert told(writer.head) == [("loss", value, read)] * 2


WRONG_STEPS = [
    *[(step, ValueError) for step in (2**63, 2**200, -(2**63), -(2**63) - 1, Index(2**63), numpy.uint64(2**63))],
    *[
        (step, TypeError)
        for step in (True, False, "1", [], numpy.bool_(True), numpy.array([1]), int, object(), Decimal(1))
    ],
    *[(step, ValueError) for step in (1.5, math.nan, math.inf, 1e300, numpy.float32(1.5), numpy.array(1.5))],
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
