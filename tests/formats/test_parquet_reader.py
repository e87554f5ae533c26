"""Reading Parquet of others: a column a metric, or a point a row."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from formats.imports import MTIME_NS, records, write
from formats.points import INFO, stretch
from steplog import FormatError
from steplog.formats import parquet_file, parquet_reader
from steplog.formats.imported import ImportedRun
from steplog.reading.wide import wide

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'steplog[parquet]'")
parquet = pytest.importorskip("pyarrow.parquet")


def table(path: Path, **columns: Any) -> Path:
    write(path, "")
    parquet.write_table(pa.table(columns), path)
    write(path, path.read_bytes().decode("latin-1"), "latin-1")  # for its age
    return path


def only_run(path: Path, **options: Any) -> ImportedRun:
    (run,) = parquet_reader.runs(path, **options)
    return run


def test_a_column_is_a_metric_and_a_null_nothing(tmp_path: Path):
    path = table(
        tmp_path / "metrics.parquet",
        _step=[1, 2],
        loss=[0.5, None],
        ok=[True, None],
        layers=[[1, 2], None],
        n=[None, 3],
        _timestamp=[datetime(2023, 11, 14, 22, 13, 21, tzinfo=timezone.utc), None],
    )
    run = only_run(path)
    assert (run.is_anonymous, run.info.name) == (True, tmp_path.name)
    late = MTIME_NS + 10**9
    assert records(run) == [
        ("loss", 1, late, 0.5),
        ("ok", 1, late, True),
        ("layers", 1, late, [1, 2]),
        ("n", 2, MTIME_NS, 3),
    ]


def test_nanoseconds_are_kept(tmp_path: Path):
    ages = pa.array([MTIME_NS + 1], pa.timestamp("ns", "UTC"))
    path = table(tmp_path / "a.parquet", time=ages, date=ages, loss=[0.5])
    found = records(only_run(path))
    assert found == [("date", 0, MTIME_NS + 1, "2023-11-14 22:13:20.000000001Z"), ("loss", 0, MTIME_NS + 1, 0.5)]


@pytest.mark.parametrize(
    ("times", "expected"),
    [([1700000001.5], 1_500_000_000), (["2023-11-14 22:13:21"], 10**9), ([None], 0), ([b"x"], 0)],
    ids=["seconds", "text", "null", "bytes"],
)
def test_times_are_numbers_or_texts_too(tmp_path: Path, times: list[Any], expected: int):
    path = table(tmp_path / "a.parquet", loss=[0.5], time=times)
    assert records(only_run(path)) == [("loss", 0, MTIME_NS + expected, 0.5)]


def test_a_row_may_be_a_point_and_steps_may_be_floats(tmp_path: Path):
    path = table(tmp_path / "a.parquet", name=["a", "b", "a"], value=[0.5, None, 1.5], step=[1.0, 2.0, 2.5])
    assert records(only_run(path)) == [("a", 1, MTIME_NS, 0.5), ("a", None, MTIME_NS, 1.5)]


def test_another_column_can_be_named_for_the_steps_and_half_steps_are_a_metric(tmp_path: Path):
    path = table(tmp_path / "a.parquet", epoch=[0.5], seen=[128])
    assert records(only_run(path, step_columns=["seen"])) == [("epoch", 128, MTIME_NS, 0.5)]
    assert records(only_run(path)) == [("epoch", 0, MTIME_NS, 0.5), ("seen", 0, MTIME_NS, 128)]
    with pytest.raises(FormatError, match="no column 'x' for the steps; there are epoch, seen"):
        only_run(path, step_columns=["x"])


def test_a_column_that_is_added_later_makes_no_other_run(tmp_path: Path):
    before = only_run(table(tmp_path / "a.parquet", step=[0], loss=[0.5])).info.id
    assert only_run(table(tmp_path / "a.parquet", acc=[None, 1.0], step=[0, 1], loss=[0.5, 0.25])).info.id == before
    assert only_run(table(tmp_path / "a.parquet", step=[0], loss=[0.25])).info.id != before


def test_a_metric_that_is_called_run_is_a_column_of_a_wide_export(tmp_path: Path):
    points = [stretch("loss", [0.5, 0.25]), stretch("run", [7, 8])]
    (batch,) = wide(points).batches()
    with open(tmp_path / "a.parquet", "wb") as file:
        writer = parquet_file.WideWriter(file, {"loss": "f8", "run": "i8"}, ["loss", "run"])
        writer.begin(INFO)
        writer.rows(batch)
        writer.close()
    found = {(name, step, value) for name, step, _, value in records(only_run(tmp_path / "a.parquet"))}
    assert found == {("loss", 0, 0.5), ("loss", 1, 0.25), ("run", 0, 7), ("run", 1, 8)}


def test_a_file_that_is_none_is_an_error_that_names_it(tmp_path: Path):
    with pytest.raises(FormatError, match=r"a\.parquet: "):
        only_run(write(tmp_path / "a.parquet", "nothing"))
    assert list(parquet_reader.runs(table(tmp_path / "b.parquet", loss=pa.array([], pa.float64())))) == []
