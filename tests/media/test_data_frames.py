"""Tables of other libraries: one that gives Arrow data always, others where they are installed."""

from __future__ import annotations

import datetime
import importlib

import pytest

import steplog
from media.keeping import Keeping
from steplog.reading.arrow_table import ArrowTable, column_of

DATA = {
    "number": [1, None, 3],
    "score": [0.5, 1.5, None],
    "name": ["a", "é", None],
    "good": [True, False, None],
}
ROWS = [[1, 0.5, "a", True], [None, 1.5, "é", False], [3, None, None, None]]


def logged(frame: object) -> dict:
    return Keeping().log(steplog.Table(dataframe=frame))


def arrow_table() -> ArrowTable:
    kinds = zip(DATA, ("i8", "f8", "text", "bool"), strict=True)
    return ArrowTable([column_of(name, kind, DATA[name]) for name, kind in kinds])


class Stream:
    """What gives Arrow data, and nothing else."""

    def __init__(self, table: object) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def test_a_table_of_steplogs_is_taken():
    assert logged(arrow_table()) == {"_type": "table", "columns": list(DATA), "data": ROWS}


def test_any_arrow_data_are_taken():
    pytest.importorskip("nanoarrow", reason="nanoarrow is not installed here")
    assert logged(Stream(arrow_table())) == {"_type": "table", "columns": list(DATA), "data": ROWS}


def test_a_frame_of_pandas_is_taken_without_its_index():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed here")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"], 3: [0.5, float("nan")]}, index=[7, 8])
    frame["when"] = pandas.Timestamp("2030-01-01")
    record = logged(frame)
    assert record["columns"] == ["a", "b", "3", "when"]
    assert record["data"] == [[1, "x", 0.5, "2030-01-01T00:00:00"], [2, "y", "NaN", "2030-01-01T00:00:00"]]


def test_missing_values_of_pandas_are_null():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed here")
    frame = pandas.DataFrame({"a": pandas.array([1, None], dtype="Int64"), "b": [pandas.Timestamp(0), None]})
    frame["c"] = pandas.array([0.5, None], dtype="Float64")
    frame["d"] = ["x", None]
    frame["e"] = [0.5, None]
    assert logged(frame)["data"] == [[1, "1970-01-01T00:00:00", 0.5, "x", 0.5], [None, None, None, None, "NaN"]]


def test_a_frame_of_polars_is_taken():
    polars = pytest.importorskip("polars", reason="polars is not installed here")
    assert logged(polars.DataFrame(DATA)) == {"_type": "table", "columns": list(DATA), "data": ROWS}
    assert logged(polars.DataFrame({"a": [[1, 2]], "b": [datetime.date(2030, 1, 1)]}))["data"] == [
        [[1, 2], "2030-01-01"]
    ]


@pytest.mark.parametrize("given", ["table", "batch", "reader"])
def test_a_table_of_pyarrow_is_taken(given):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed here")
    pytest.importorskip("nanoarrow", reason="nanoarrow is not installed here")
    table = pyarrow.table(DATA)
    frame = {"table": table, "batch": table.to_batches()[0], "reader": table.to_reader()}[given]
    assert logged(frame) == {"_type": "table", "columns": list(DATA), "data": ROWS}


def test_without_nanoarrow_arrow_data_raise_and_say_what_to_install(monkeypatch):
    importing = importlib.import_module

    def without(name: str, package: str | None = None) -> object:
        if name == "nanoarrow":
            raise ImportError(name)
        return importing(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ImportError, match="pip install nanoarrow"):
        steplog.Table(dataframe=Stream(None))
