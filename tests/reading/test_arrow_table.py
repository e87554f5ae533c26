"""A table gives what it holds: as plain Python, and as Arrow data, which nanoarrow reads back here."""

from __future__ import annotations

import copy
import datetime
import gc
import json
import math
import pickle
import struct
import subprocess
import sys
from array import array
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reading.arrays import nanoarrow, needs_nanoarrow, read
from steplog.reading.arrow_data import ArrowData, Repeated
from steplog.reading.arrow_table import ArrowColumn, ArrowTable, column_of
from strategies import INT64, JSON_TEXTS

UTC = datetime.timezone.utc
NOT_FINITE = {b'"NaN"': math.nan, b'"Infinity"': math.inf, b'"-Infinity"': -math.inf}  # among JSON values
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "f8": st.floats(),
    "i8": INT64,
    "time": INT64,
    "text": st.text(max_size=5),
    "json": JSON_TEXTS,
    "bool": st.booleans(),
    "texts": st.lists(st.text(max_size=5), max_size=3),
}


def bits(values: list[Any]) -> list[Any]:
    """Floats as their bits, so that NaN is equal to itself, and -0.0 is not 0.0."""
    return [struct.pack("d", value) if isinstance(value, float) else value for value in values]


@st.composite
def columns(draw: st.DrawFn, kinds: dict[str, str], rows: int) -> list[ArrowColumn]:
    made = []
    for name, kind in kinds.items():
        values = st.lists(VALUES[kind] | st.none(), min_size=rows, max_size=rows)
        made.append(column_of(name, kind, draw(values)))
    return made


@st.composite
def batches(draw: st.DrawFn) -> list[list[ArrowColumn]]:
    kinds = draw(
        st.dictionaries(
            st.text(st.characters(codec="utf-8", exclude_characters="\0")),
            st.sampled_from(list(VALUES)),
            min_size=1,
            max_size=4,
        )
    )
    return [draw(columns(kinds, draw(st.integers(0, 20)))) for _ in range(draw(st.integers(1, 3)))]


def held(made: list[list[ArrowColumn]], at: int) -> list[Any]:
    """What a column was made of, None where there is nothing."""
    values = []
    for batch in made:
        _, _, each, valid = batch[at]
        values += [value if valid is None or valid[row] else None for row, value in enumerate(each)]
    return values


@given(batches())
def test_arrow_data_and_plain_python_have_what_the_columns_were_made_of(made):
    table = ArrowTable(*made)
    arrow, plain = read(table), table.to_dict()
    for at, (name, kind, _, _) in enumerate(made[0]):
        wanted = held(made, at)
        assert bits(arrow[name]) == bits([each.decode() if isinstance(each, bytes) else each for each in wanted])
        if kind == "json":
            wanted = [each and NOT_FINITE.get(each, json.loads(each)) for each in wanted]
        if kind == "time":
            wanted = [each if each is None else each // 1000 for each in wanted]
            plain[name] = [
                each and (each - datetime.datetime(1970, 1, 1, tzinfo=UTC)) // datetime.timedelta(microseconds=1)
                for each in plain[name]
            ]
        assert bits(plain[name]) == bits(wanted)
    assert len(table) == len(next(iter(plain.values())))


def test_rows_are_dicts_and_a_column_is_asked_for_by_its_name():
    table = ArrowTable(
        [
            ArrowColumn("step", "i8", array("q", [1, 2])),
            ArrowColumn("time", "time", array("q", [0, 1_500_000_000_123_456_789])),
            column_of("loss", "f8", [0.5, None]),
            column_of("batch", "json", [b'{"size": 32}', b"null"]),
            column_of("tags", "texts", [["a", "b"], None]),
        ]
    )
    first = datetime.datetime(1970, 1, 1, tzinfo=UTC)
    second = datetime.datetime(2017, 7, 14, 2, 40, 0, 123456, tzinfo=UTC)
    assert table.rows() == [
        {"step": 1, "time": first, "loss": 0.5, "batch": {"size": 32}, "tags": ["a", "b"]},
        {"step": 2, "time": second, "loss": None, "batch": None, "tags": None},
    ]
    assert table["time"] == [first, second]
    assert table.columns == ("step", "time", "loss", "batch", "tags")
    assert "loss" in table
    assert "accuracy" not in table
    assert repr(table) == "<ArrowTable, 2 rows: step i8, time time, loss f8, batch json, tags texts>"
    assert repr(ArrowTable([ArrowColumn(str(at), "i8", [1]) for at in range(10)])).endswith("6 i8, 7 i8, 2 more>")
    with pytest.raises(KeyError, match="there is no column 'acc'; the columns: 'step', 'time', 'loss'"):
        table["acc"]


def test_a_missing_number_is_null_and_nan_is_a_value():
    table = ArrowTable([column_of("loss", "f8", [math.nan, None, 1.0])])
    (chunk,) = nanoarrow.ArrayStream(table).iter_chunks()
    assert chunk.child(0).to_pylist()[1] is None
    assert math.isnan(chunk.child(0).to_pylist()[0])
    assert table["loss"][1] is None
    assert math.isnan(table["loss"][0])


def test_numbers_are_handed_out_where_they_are():
    """What is changed in the buffer afterwards is seen in the Arrow data."""
    buffers = [array("q", [1]), memoryview(array("q", [1])), array("d", [1])]
    kinds = ["i8", "time", "f8"]
    table = ArrowTable([ArrowColumn(kind, kind, values) for kind, values in zip(kinds, buffers, strict=True)])
    (chunk,) = nanoarrow.ArrayStream(table).iter_chunks()
    for values in buffers:
        values[0] = 2
    assert [bytes(chunk.child(at).buffer(1)) for at in range(3)] == [bytes(values) for values in buffers]


def test_who_takes_the_data_keeps_them_when_the_table_is_gone():
    table = ArrowTable(
        [ArrowColumn("step", "i8", array("q", range(100_000))), ArrowColumn("name", "text", Repeated("é", 100_000))]
    )
    stream = nanoarrow.ArrayStream(table)
    del table
    gc.collect()
    (chunk,) = stream.iter_chunks()
    del stream
    gc.collect()
    others = [array("q", bytes(800_000)) for _ in range(20)]  # over what would have been given back
    assert list(chunk.child(0).iter_py()) == list(range(100_000))
    assert set(chunk.child(1).iter_py()) == {"é"}
    del others


def test_a_table_is_exported_as_often_as_it_is_asked_for_also_at_once():
    table = ArrowTable([ArrowColumn("step", "i8", array("q", range(1000))), column_of("name", "text", ["x"] * 1000)])
    first, second = nanoarrow.ArrayStream(table), nanoarrow.ArrayStream(table)
    first.close()
    assert second.read_all().child(0).to_pylist() == list(range(1000))
    wanted = {"step": list(range(1000)), "name": ["x"] * 1000}
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: read(table), range(20))) == [wanted] * 20


@needs_nanoarrow
def test_a_stream_that_nobody_reads_is_released():
    steps = array("q", range(10))
    table = ArrowTable([ArrowColumn("step", "i8", steps)])
    capsule = table.__arrow_c_stream__()
    with pytest.raises(BufferError):
        steps.append(10)  # held by the stream
    del capsule
    gc.collect()
    steps.append(10)


def test_a_schema_that_is_asked_for_does_not_change_the_types():
    """The protocol: a conversion that is not done is no error."""
    table = ArrowTable([ArrowColumn("step", "i8", array("q", [1]))])
    wanted = nanoarrow.struct({"step": nanoarrow.float64()}).__arrow_c_schema__()
    capsule = table.__arrow_c_stream__(wanted)
    assert capsule is not None
    assert nanoarrow.Schema(table).fields[0].type == nanoarrow.Type.INT64


@pytest.mark.parametrize("kinds", [[], list(VALUES)], ids=["no columns", "every kind"])
def test_a_table_of_no_rows_has_its_columns(kinds):
    table = ArrowTable([ArrowColumn(kind, kind, []) for kind in kinds])
    assert len(table) == 0
    assert table.rows() == []
    assert read(table) == table.to_dict() == {kind: [] for kind in kinds}
    assert [field.name for field in nanoarrow.Schema(table).fields] == kinds
    assert repr(ArrowTable([])) == "<ArrowTable, 0 rows: no columns>"


def test_the_types_are_those_of_arrow():
    schema = nanoarrow.Schema(ArrowTable([ArrowColumn(kind, kind, []) for kind in VALUES]))
    types = {field.name: field.type for field in schema.fields}
    assert types == {
        "f8": nanoarrow.Type.DOUBLE,
        "i8": nanoarrow.Type.INT64,
        "time": nanoarrow.Type.TIMESTAMP,
        "text": nanoarrow.Type.STRING,
        "json": nanoarrow.Type.STRING,
        "bool": nanoarrow.Type.BOOL,
        "texts": nanoarrow.Type.LIST,
    }
    assert (schema.field(2).unit.name, schema.field(2).timezone) == ("NANO", "UTC")
    assert dict(schema.field(4).metadata.items()) == {b"steplog:type": b"json"}


def test_a_table_is_pickled_with_all_its_batches():
    steps = memoryview(bytes(array("q", range(3)))).cast("q")
    batch = [
        ArrowColumn("step", "i8", steps),
        ArrowColumn("name", "text", Repeated("a", 3)),
        column_of("loss", "f8", [1.0, None, 2.0]),
    ]
    table = ArrowTable(batch, batch)
    for copied in (pickle.loads(pickle.dumps(table)), copy.deepcopy(table)):
        assert read(copied) == read(table)
        assert copied.rows() == table.rows()


def test_a_name_with_a_nul_is_not_cut_in_arrow():
    table = ArrowTable([ArrowColumn("a\0b", "i8", array("q", [1]))])
    assert table["a\0b"] == [1]
    assert nanoarrow.Schema(table).field(0).name == "a␀b"


@needs_nanoarrow
@pytest.mark.parametrize("values", [["aa", "bbb", "", "c"], Repeated("ab", 4)], ids=["a list", "repeated"])
@pytest.mark.parametrize("bytes_max", [1, 8, 100])
def test_texts_beyond_what_offsets_reach_are_cut_into_batches(values, bytes_max):
    batch = [
        ArrowColumn("step", "i8", memoryview(array("q", range(4)))),
        ArrowColumn("name", "text", values, b"\1\1\0\1"),
        ArrowColumn("tags", "texts", [["a"], [], ["b"], ["c"]]),
    ]
    stream = ArrowData().stream({"step": "i8", "name": "text", "tags": "texts"}, [batch], text_bytes_max=bytes_max)
    chunks = list(nanoarrow.ArrayStream(stream).iter_chunks())
    assert len(chunks) == {1: 4, 8: 4 if isinstance(values, Repeated) else 3, 100: 1}[bytes_max]
    rows = [list(zip(*(chunk.child(at).to_pylist() for at in range(3)), strict=True)) for chunk in chunks]
    wanted = [(at, None if at == 2 else values[at], batch[2].values[at]) for at in range(4)]
    assert [row for chunk in rows for row in chunk] == wanted


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ([("a", "i8", [1]), ("a", "i8", [1])], "two columns of one name"),
        ([("a", "i8", [1]), ("b", "i8", [1, 2])], "columns of different lengths: {'a': 1, 'b': 2}"),
        ([("a", "i4", [1])], "a kind is one of f8, i8"),
        ([("a", "i8", [1], b"")], "valid has a byte a row"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns, said):
    with pytest.raises(ValueError, match=said):
        ArrowTable([ArrowColumn(*column) for column in columns])


def test_batches_of_different_columns_are_refused():
    a, b = ArrowColumn("a", "i8", [1]), ArrowColumn("b", "i8", [1])
    for first, second in (([a], [b]), ([a], []), ([a, b], [b, a]), ([a], [ArrowColumn("a", "f8", [1])])):
        with pytest.raises(ValueError, match="batches of different columns"):
            ArrowTable(first, second)


def test_half_a_surrogate_pair_does_not_take_a_table_away():
    table = ArrowTable([ArrowColumn("a", "text", ["x\ud800"]), ArrowColumn("b", "texts", [["\udfff", "y"]])])
    assert read(table) == {"a": ["x?"], "b": [["?", "y"]]}


def test_without_nanoarrow_plain_python_is_there_and_arrow_says_what_to_install():
    program = """
import sys
sys.modules["nanoarrow"] = None
import steplog
from steplog.reading.arrow_table import ArrowColumn
table = steplog.ArrowTable([ArrowColumn("step", "i8", [1])])
print(table.rows())
try:
    table.__arrow_c_stream__()
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[{'step': 1}]",
        "Arrow data need nanoarrow (pip install nanoarrow); table.rows() and table.to_dict() do without",
    ]


@needs_nanoarrow
def test_a_table_loads_nanoarrow_only_for_arrow_data():
    program = """
import sys, steplog
from steplog.reading.arrow_table import ArrowColumn
table = steplog.ArrowTable([ArrowColumn("step", "i8", [1])])
table.rows()
print("nanoarrow" in sys.modules)
table.__arrow_c_stream__()
print("nanoarrow" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
