"""Wide files have a row a step and a column a metric, and what is missing is empty."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

import pytest

from formats.points import INFO, stretch
from steplog.formats import csv_file, parquet_file
from steplog.reading.arrow_table import ArrowColumn
from steplog.reading.points import SeriesPoints
from steplog.reading.wide import wide

LABELS = {"first": "=first"}
POINTS = [
    stretch("a", [0.5, math.nan, -math.inf]),
    stretch("b,c", [7, 8], 1),
    stretch("=d", [None, "NaN", math.nan], 2),
]


def columns_of(points: Sequence[SeriesPoints]) -> tuple[list[str], Sequence[ArrowColumn]]:
    (batch,) = wide(points).batches()
    return [column.name for column in batch[2:]], batch


def in_csv(points: Sequence[SeriesPoints], **more: Any) -> bytes:
    sink = io.BytesIO()
    names, batch = columns_of(points)
    writer = csv_file.WideWriter(sink, names, **more)
    writer.begin(INFO)
    writer.rows(batch)
    writer.close()
    return sink.getvalue()


def test_a_line_is_a_step_and_empty_where_a_metric_has_no_value():
    rows = list(csv.reader(io.StringIO(in_csv(POINTS).decode(), newline=""), strict=True))
    assert rows[0] == ["step", "time", "a", "b,c", "=d"]
    assert [row[0] for row in rows[1:]] == ["0", "1", "2", "3", "4"]
    assert rows[1][1] == "2023-11-14T22:13:20.000000001Z"
    assert [row[2:] for row in rows[1:]] == [
        ["0.5", "", ""],
        ["NaN", "7", ""],
        ["-Infinity", "8", "null"],
        ["", "", '"NaN"'],
        ["", "", "NaN"],
    ]


def test_excel_and_the_run_are_as_in_long_files():
    text = in_csv(POINTS, labels=LABELS, excel=True).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert rows[0] == ["run", "step", "time", "a", "b,c", "'=d"]
    assert rows[3] == ["'=first", "2", "2023-11-14 22:13:20.000", "'-Infinity", "8", "null"]


def test_many_rows_are_written_piece_by_piece(monkeypatch: pytest.MonkeyPatch):
    whole = in_csv(POINTS)
    monkeypatch.setattr(csv_file, "_CELLS_AT_ONCE", 10)
    assert in_csv(POINTS) == whole


def in_parquet(points: Sequence[SeriesPoints], kinds: dict[str, str], **more: Any) -> Any:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install 'steplog[parquet]'")
    sink = io.BytesIO()
    writer = parquet_file.WideWriter(sink, kinds, list(kinds), **more)
    writer.begin(INFO)
    writer.rows(columns_of(points)[1])
    writer.close()
    return parquet.ParquetFile(io.BytesIO(sink.getvalue()))


def test_a_column_of_parquet_has_the_type_of_all_its_values(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet_file, "ROW_GROUP_CELLS", 12)
    file = in_parquet(POINTS, {"a": "f8", "b,c": "i8", "=d": "json"}, labels=LABELS)
    table = file.read()
    assert [str(field.type) for field in table.schema][1:] == [
        "int64",
        "timestamp[ns, tz=UTC]",
        "double",
        "int64",
        "string",
    ]
    assert table.schema.field("=d").metadata[b"steplog:type"] == b"json"
    assert repr(table.column("a").to_pylist()) == "[0.5, nan, -inf, None, None]"
    assert table.column("b,c").to_pylist() == [None, 7, 8, None, None]
    assert table.column("=d").to_pylist() == [None, None, "null", '"\\u004eaN"', '"NaN"']
    assert table.column("run").to_pylist() == ["=first"] * 5
    assert [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)] == [2, 2, 1]
    assert json.loads(file.metadata.metadata[parquet_file.METADATA])["runs"][0]["label"] == "=first"


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ([1, 2], "f8", [1.0, 2.0]),
        ([1, 2], "json", ["1", "2"]),
        ([0.5, math.nan], "json", ["0.5", '"NaN"']),
        ([], "i8", []),
    ],
)
def test_rows_of_a_narrower_kind_fit_in(values, kind, found):
    table = in_parquet([stretch("m", values), stretch("n", [1] * 3)], {"m": kind, "n": "i8"}).read()
    assert table.column("m").to_pylist() == [*found, *[None] * (3 - len(found))]


def test_what_is_abandoned_has_no_end():
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'steplog[parquet]'")
    sink = io.BytesIO()
    writer = parquet_file.WideWriter(sink, {"m": "f8"}, ["m"])
    writer.abandon()
    del writer
    assert sink.getvalue() == b"PAR1"
