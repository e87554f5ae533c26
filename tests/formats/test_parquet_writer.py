"""A Parquet file says every point exactly, and does not show in which stretches the points came."""

from __future__ import annotations

import io
import json
import math
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.points import BEGAN_NS, INFO, VALUES, cut, stretch, written
from steplog.errors import ConfigurationError
from steplog.formats import parquet_file
from steplog.formats.run_info import RunInfo

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install 'steplog[parquet]'")
OTHER = RunInfo(id="second", name="é")
LABELS = {"first": "a,b", "second": "b"}


def read(content: bytes) -> Any:
    return parquet.ParquetFile(io.BytesIO(content))


def value_of(row: dict[str, Any]) -> Any:
    if row["json"] is not None:
        return json.loads(row["json"])
    return int(row["value"]) if row["integer"] else row["value"]


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(0, len(VALUES)), max_size=4))
def test_where_points_are_cut_into_stretches_does_not_show(cuts):
    whole = written(parquet_file.Writer, (INFO, [stretch("m", VALUES)]))
    assert written(parquet_file.Writer, (INFO, cut("m", VALUES, cuts))) == whole


def test_a_row_says_all_of_a_point():
    file = read(written(parquet_file.Writer, (INFO, [stretch("m", VALUES), stretch("n", [1, 2])])))
    rows = table_rows(file)
    assert repr([value_of(row) for row in rows]) == repr([*VALUES, 1, 2])
    assert [row["name"] for row in rows] == ["m"] * len(VALUES) + ["n"] * 2
    assert [row["step"] for row in rows] == [*range(len(VALUES)), 0, 1]
    assert [row["time"] for row in rows[:2]] == [BEGAN_NS, BEGAN_NS + 1]
    numbers = dict(zip(map(repr, VALUES), rows, strict=False))
    assert (numbers["0"]["value"], numbers["0"]["json"]) == (0.0, None)
    assert (numbers[repr(2**53 + 1)]["value"], numbers[repr(2**53 + 1)]["json"]) == (None, str(2**53 + 1))
    assert math.isnan(numbers["nan"]["value"])


def table_rows(file: Any) -> list[dict[str, Any]]:
    """The rows, with times as nanoseconds."""
    table = file.read()
    at = table.schema.get_field_index("time")
    return table.set_column(at, "time", table.column("time").cast("int64")).to_pylist()


def test_the_metadata_say_what_the_runs_are():
    file = read(written(partial(parquet_file.Writer, labels=LABELS), (INFO, [stretch("m", [0.5])]), (OTHER, [])))
    about = json.loads(file.metadata.metadata[parquet_file.METADATA])
    assert about["version"] == 1
    assert [run["label"] for run in about["runs"]] == ["a,b", "b"]
    assert [msgspec.convert(run["info"], RunInfo) for run in about["runs"]] == [INFO, OTHER]
    assert file.schema_arrow.names == ["run", "name", "step", "time", "value", "json", "integer"]
    assert [row["run"] for row in table_rows(file)] == ["a,b"]


def test_row_groups_are_bounded_in_rows_and_in_text(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 10)
    monkeypatch.setattr(parquet_file, "ROW_GROUP_TEXT_BYTES", 100)
    numbers, texts = [0.5] * 7, ["x" * 58] * 3
    make = partial(parquet_file.Writer, labels=LABELS)
    content = written(make, (INFO, [stretch("m", numbers), stretch("t", texts)]), (OTHER, [stretch("m", numbers * 2)]))
    file = read(content)
    assert [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)] == [9, 10, 5]
    rows = table_rows(file)
    assert [row["run"] for row in rows] == ["a,b"] * 10 + ["b"] * 14
    assert [row["name"] for row in rows] == ["m"] * 7 + ["t"] * 3 + ["m"] * 14
    assert [value_of(row) for row in rows] == [*numbers, *texts, *numbers, *numbers]


def test_a_file_without_points_is_still_a_table():
    file = read(written(parquet_file.Writer, (INFO, [stretch("m", [1])._replace(steps=(), times=(), values=())])))
    assert (file.metadata.num_rows, file.schema_arrow.names[0]) == (0, "name")


def test_without_pyarrow_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'steplog\[parquet\]'"):
        parquet_file.Writer(io.BytesIO())


def test_points_of_a_source_without_times_have_none():
    file = read(written(parquet_file.Writer, (INFO, [stretch("m", [0.5])._replace(times=None), stretch("n", [1])])))
    assert [row["time"] for row in table_rows(file)] == [None, BEGAN_NS]
