"""What trackio wrote, of two versions, is read as it was logged, and nothing is changed."""

from __future__ import annotations

import gzip
import math
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from steplog import FormatError
from steplog.formats import trackio
from steplog.formats.imported import BATCH_RECORDS, ImportedRun
from steplog.formats.mlflow import runs as mlflow

GOLDEN = Path(__file__).parents[1] / "golden"


def unpacked(directory: Path, version: str) -> Path:
    path = directory / "mnistdemo.db"
    path.write_bytes(gzip.decompress((GOLDEN / f"trackio-{version}.db.gz").read_bytes()))
    return path


@pytest.fixture(params=["0.20", "0.43"])
def database(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return unpacked(tmp_path, request.param)


def records(run: ImportedRun) -> list[tuple[str, Any, int, Any]]:
    return [
        record
        for stream in run.streams
        for batch in stream.read()
        for record in zip(batch.names, batch.steps, batch.times, batch.values, strict=True)
    ]


def test_a_project_has_its_runs_with_config_group_and_times(database):
    assert trackio.recognizes(database)
    assert not mlflow.recognizes(database)
    first, second = trackio.runs(database)
    assert (first.info.name, first.info.project, first.info.status) == ("first", "mnistdemo", "COMPLETED")
    assert first.info.config == {"lr": 0.1, "layers": [64, 10], "optim": {"name": "adam"}}
    assert (first.info.group, second.info.group, second.info.config) == ("sweep", None, {})
    assert first.info.started is not None
    assert first.info.ended is not None
    assert first.info.started < first.info.ended
    assert first.remarks() == ["1 alert left out"]
    assert second.remarks() == []


def test_each_value_of_a_call_is_a_record_and_system_metrics_are_their_own(database):
    first, second = trackio.runs(database)
    points = [(name, step, value) for name, step, _, value in records(first)]
    assert points[:6] == [
        ("loss", 0, 1.0),
        ("train/acc", 0, 0),
        ("loss", 1, 0.5),
        ("train/acc", 1, 1),
        ("loss", 2, 1 / 3),
        ("train/acc", 2, 2),
    ]
    assert points[7:] == [
        ("note", 7, "odd"),
        ("flag", 7, True),
        ("nested", 7, {"a": 1}),
        ("loss", 8, math.inf),
        ("system/cpu", None, 12.5),
    ]
    assert math.isnan(points[6][2])
    assert [type(value) for _, _, value in points[:2]] == [float, int]
    assert [(name, step, value) for name, step, _, value in records(second)] == [("loss", 0, 5)]


def test_a_directory_of_projects_is_read_project_by_project(tmp_path):
    unpacked(tmp_path, "0.43").rename(tmp_path / "b.db")
    unpacked(tmp_path, "0.43").rename(tmp_path / "a.db")
    (tmp_path / "other.db").write_text("something else")
    assert trackio.recognizes(tmp_path)
    assert [(run.info.project, run.info.name) for run in trackio.runs(tmp_path)] == [
        (project, name) for project in "ab" for name in ("first", "second")
    ]
    assert not trackio.recognizes(tmp_path / "other.db")
    assert not trackio.recognizes(tmp_path / "missing.db")


def test_a_run_is_the_same_in_another_folder_and_two_of_one_name_are_two(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for version in ("0.20", "0.43"):
        ids = [run.info.id for run in trackio.runs(unpacked(tmp_path, version))]
        assert ids == [run.info.id for run in trackio.runs(unpacked(tmp_path / "elsewhere", version))]
        assert len(set(ids)) == 2
    database = unpacked(tmp_path, "0.43")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE metrics SET run_name = 'first'")
        connection.execute("UPDATE configs SET run_name = 'first'")
    connection.close()
    assert len({run.info.id for run in trackio.runs(database)}) == 2


def test_a_project_that_is_written_is_read_as_it_is_and_reading_leaves_nothing(database):
    before = [records(run) for run in trackio.runs(database)]
    assert os.listdir(database.parent) == [database.name]
    writer = sqlite3.connect(database)
    writer.execute("PRAGMA journal_mode = WAL")
    key = "run_id" if "run_id" in [row[1] for row in writer.execute("PRAGMA table_info(metrics)")] else "run_name"
    (run,) = writer.execute(f"SELECT {key} FROM metrics WHERE run_name = 'second'").fetchone()
    columns = dict.fromkeys([key, "run_name"], run) | {"run_name": "second"}
    columns |= {"timestamp": "2026-01-01T00:00:00+00:00", "step": 1, "metrics": b'{"loss":7}'}
    marks = ", ".join("?" for _ in columns)
    writer.execute(f"INSERT INTO metrics ({', '.join(columns)}) VALUES ({marks})", list(columns.values()))
    writer.commit()
    runs = {run.info.name: run for run in trackio.runs(database)}
    assert records(runs["second"]) == [*before[1], ("loss", 1, 1_767_225_600_000_000_000, 7)]
    writer.close()


def test_a_call_with_many_values_is_cut_into_batches(tmp_path):
    database = unpacked(tmp_path, "0.43")
    many = ", ".join(f'"m{number}": {number}' for number in range(BATCH_RECORDS + 5))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE metrics SET metrics = ? WHERE run_name = 'second'", (f"{{{many}}}",))
    connection.close()
    _, second = trackio.runs(database)
    assert [len(batch.names) for batch in second.streams[0].read()] == [BATCH_RECORDS, 5]


@pytest.mark.parametrize(("column", "content"), [("metrics", "{"), ("metrics", 1), ("timestamp", "yesterday")])
def test_what_trackio_would_not_write_is_named(tmp_path, column, content):
    database = unpacked(tmp_path, "0.43")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"UPDATE metrics SET {column} = ?", (content,))
    connection.close()
    with pytest.raises(FormatError, match=r"mnistdemo\.db: (not JSON|not an object, but int|Invalid isoformat string)"):
        list(map(records, trackio.runs(database)))
