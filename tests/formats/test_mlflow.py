"""What MLflow 3.17 wrote is read as it was logged, from its database and from its files, and nothing is changed."""

from __future__ import annotations

import gzip
import io
import math
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from steplog import FormatError
from steplog.formats import imported, sqlite_file
from steplog.formats.imported import ImportedRun
from steplog.formats.mlflow import files as mlflow_files
from steplog.formats.mlflow import runs as mlflow
from steplog.formats.mlflow.found_run import FoundRun, remarks_on, run_info

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "mlflow.db"
    path.write_bytes(gzip.decompress((GOLDEN / "mlflow-3.17.db.gz").read_bytes()))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO((GOLDEN / "mlruns-3.17.tar.gz").read_bytes())) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "mlruns"


@pytest.fixture(params=["database", "folder"])
def source(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def records(run: ImportedRun) -> list[tuple[str, Any, int, Any]]:
    return [
        record
        for stream in run.streams
        for batch in stream.read()
        for record in zip(batch.names, batch.steps, batch.times, batch.values, strict=True)
    ]


def by_name(path: Path) -> dict[str, ImportedRun]:
    return {run.info.name: run for run in mlflow.runs(path)}


def test_runs_have_what_was_said_of_them(source):
    assert mlflow.recognizes(source)
    runs = by_name(source)
    assert list(runs) == ["first: a 'quoted' name", "child", "broken", "going"]
    first = runs["first: a 'quoted' name"].info
    assert (first.project, first.status, first.notes) == ("mnist: demo", "COMPLETED", "A good one.\nTwo lines.")
    assert first.config == {
        "amp": True,
        "layers": "[64, 10]",
        "lr": 0.1,
        "optim/name": "adam",
        "seed": 7,
        "warmup": None,
    }
    assert first.tags == ["reviewed", "team=blue"]
    assert first.provenance == {
        "user": "ada",
        "command": "train.py",
        "git": {"commit": "0123abc", "branch": None, "dirty": None},
    }
    assert first.started is not None
    assert first.ended is not None
    assert first.started < first.ended
    assert runs["first: a 'quoted' name"].remarks() == ["1 of 3 tags left out: a run has 64 of up to 128 bytes"]


def test_a_child_is_in_the_group_of_its_parent_and_a_deleted_run_is_left_out(source):
    runs = by_name(source)
    parent, child = runs["first: a 'quoted' name"].info, runs["child"].info
    assert child.group == parent.name
    assert child.provenance is not None
    assert child.provenance["parent"] == parent.id
    assert "deleted" not in runs


def test_each_status_has_its_own(source):
    runs = by_name(source)
    assert (runs["broken"].info.status, records(runs["broken"])) == ("FAILED", [])
    assert (runs["going"].info.status, runs["going"].info.ended) == ("RUNNING", None)


def test_points_are_in_the_order_of_logging_with_nan_and_infinities(source):
    points = records(by_name(source)["first: a 'quoted' name"])
    loss = [(step, value) for name, step, _, value in points if name == "train/loss"]
    assert [step for step, _ in loss] == [0, 1, 2, 3, 4]
    assert [str(value) for _, value in loss] == ["1.0", "0.5", "nan", "inf", "-inf"]
    assert [value for name, _, _, value in points if name == "acc"] == [0.5, 0.75]
    going = records(by_name(source)["going"])
    assert going == [("loss", step, (1_700_000_000_000 + step) * 1_000_000, float(step)) for step in range(5)]


def test_an_experiment_and_a_run_of_the_folder_may_be_given_alone(folder):
    whole = {run.info.id: run.info for run in mlflow.runs(folder)}
    (experiment,) = {path.parent.parent for path in folder.glob("*/*/meta.yaml")}
    assert mlflow.recognizes(experiment)
    assert {run.info.id: run.info for run in mlflow.runs(experiment)} == whole
    going = next(path.parent for path in experiment.glob("*/meta.yaml") if "run_name: going" in path.read_text())
    assert mlflow.recognizes(going)
    (alone,) = mlflow.runs(going)
    assert (alone.info.name, alone.info.project) == ("going", "mnist: demo")


def test_what_is_not_of_mlflow_is_not_recognized(tmp_path):
    (tmp_path / "meta.yaml").write_text("title: something else\n")
    (tmp_path / "text.db").write_text("not a database")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.executescript("CREATE TABLE metrics (key, value); CREATE TABLE runs (a)")
    assert not any(map(mlflow.recognizes, [tmp_path, *tmp_path.iterdir(), tmp_path / "missing"]))


def test_a_source_that_grew_gives_the_same_records_first(source, monkeypatch):
    before = records(by_name(source)["going"])
    if source.is_dir():
        (file,) = (path for path in source.rglob("metrics/loss") if len(path.read_bytes()) > 60)
        with file.open("a") as lines:
            lines.write("1700000000005 5.0 5\n1700000000006 6.")  # the last one is being written
    else:
        with closing(sqlite3.connect(source)) as connection, connection:
            (run,) = connection.execute("SELECT run_uuid FROM runs WHERE name = 'going'").fetchone()
            connection.execute("INSERT INTO metrics VALUES ('loss', 5.0, 1700000000005, ?, 5, 0)", (run,))
    monkeypatch.setattr(sqlite_file, "BATCH_RECORDS", 2)
    monkeypatch.setattr(mlflow_files, "BATCH_RECORDS", 2)
    after = records(by_name(source)["going"])
    assert after == [*before, ("loss", 5, 1_700_000_000_005_000_000, 5.0)]


def test_reading_changes_nothing_and_leaves_nothing_beside(source):
    files = {path: path.read_bytes() for path in source.parent.rglob("*") if path.is_file()}
    for run in mlflow.runs(source):
        records(run)
    assert {path: path.read_bytes() for path in source.parent.rglob("*") if path.is_file()} == files


def test_a_long_run_is_read_in_batches_between_which_the_program_may_write(database, monkeypatch):
    with closing(sqlite3.connect(database)) as connection, connection:
        (run,) = connection.execute("SELECT run_uuid FROM runs WHERE name = 'child'").fetchone()
        rows = [(str(step % 3), step / 7, step, run, step) for step in range(20_000)]
        connection.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, 0)", rows)
    connection.close()
    child = by_name(database)["child"]
    batches = []
    for batch in child.streams[0].read():
        batches.append(batch)
        writer = sqlite3.connect(database, timeout=0)
        writer.execute("UPDATE runs SET status = status")
        writer.commit()
        writer.close()
    assert [len(batch.names) for batch in batches] == [imported.BATCH_RECORDS] * 2 + [
        20_001 - 2 * imported.BATCH_RECORDS
    ]
    assert [value for batch in batches for value in batch.values][1:] == [step / 7 for step in range(20_000)]


def test_a_damaged_source_is_named(database, folder):
    content = bytearray(database.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    database.write_bytes(content)
    with pytest.raises(FormatError, match=r"mlflow\.db: "):
        list(mlflow.runs(database)) if mlflow.recognizes(database) else mlflow.recognizes(database)
    (file,) = (path for path in folder.rglob("metrics/loss") if len(path.read_bytes()) > 60)
    file.write_text("yesterday 1.0 2\n")
    with pytest.raises(FormatError, match="metrics/loss: not a line of time, value and step"):
        records(by_name(folder)["going"])


@pytest.mark.parametrize(
    ("table", "column", "written"),
    [
        ("metrics", "timestamp", "yesterday"),
        ("metrics", "step", b"x"),
        ("metrics", "value", "much"),
        ("runs", "start_time", "yesterday"),
    ],
)
def test_a_column_of_another_type_is_an_error_that_names_the_file(database, table, column, written):
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", (written,))
    connection.close()
    with pytest.raises(FormatError, match=r"mlflow\.db: "):
        list(map(records, mlflow.runs(database)))


def test_a_time_beyond_the_calendar_is_none(database):
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE runs SET start_time = 9000000000000000000")
    connection.close()
    assert {run.info.started for run in mlflow.runs(database)} == {None}


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("name: plain", "plain"),
        ("name: 'it''s: quoted'", "it's: quoted"),
        ('name: "\\u00e9\\n\\"x\\" \\\\"', 'é\n"x" \\'),
        ("name: a long text that yaml\n  folds", "a long text that yaml folds"),
        ("name: 'two\n\n  lines'", "two\nlines"),
        ("name: null", "folder"),
    ],
)
def test_names_are_read_as_yaml_has_them(tmp_path, written, name):
    run = tmp_path / "folder" / "run"
    run.mkdir(parents=True)
    (run.parent / "meta.yaml").write_text(f"experiment_id: '1'\n{written}\nlifecycle_stage: active\n", "utf-8")
    (run / "meta.yaml").write_text("experiment_id: '1'\nrun_id: abc\nstatus: 3\n")
    ((_, found),) = mlflow_files.file_runs(tmp_path)
    assert (found.experiment, found.status, found.name) == (name, "FINISHED", "")


@pytest.mark.parametrize(
    ("name", "time", "read"),
    [
        ('"\\xzz"', "--5", "xzz"),
        ('"\\U00110000"', "9" * 30, "\ufffd"),
        ('"\\ud800"', "soon", "\ufffd"),
        ('"', "'", '"'),
        ('"\\"', "", "\\"),
    ],
)
def test_what_yaml_would_not_have_is_read_as_some_text(tmp_path, name, time, read):
    run = tmp_path / "1" / "run"
    run.mkdir(parents=True)
    (run.parent / "meta.yaml").write_text(f"experiment_id: '1'\nname: {name}\n", "utf-8")
    (run / "meta.yaml").write_text(f"run_id: abc\nstart_time: {time}\nstatus: 3\n", "utf-8")
    (found,) = mlflow.runs(tmp_path)
    assert (found.info.project, found.info.started) == (read, None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.1),
        ("-3", -3),
        ("1e-05", 1e-05),
        ("1E5", 1e5),
        ("True", True),
        ("None", None),
        ("", ""),
        ("007", "007"),
        ("true", "true"),
        ("nan", "nan"),
        ("1_000", "1_000"),
        ("\u0661", "\u0661"),
        ("9" * 40, "9" * 40),
        ("(1, 2)", "(1, 2)"),
    ],
)
def test_a_param_is_the_number_that_python_printed_or_a_text(text, value):
    found = FoundRun("a", "", "", "FINISHED", None, None, {"param": text}, {})
    config = run_info(found, {}).config
    assert config == {"param": value}
    assert type(config["param"]) is type(value)


def test_more_tags_than_a_run_has_are_counted():
    found = FoundRun("a", "", "", "KILLED", 0, None, {}, {f"tag{number}": "" for number in range(70)})
    assert len(run_info(found, {}).tags) == 64
    assert run_info(found, {}).status == "CRASHED"
    assert remarks_on(found) == ["6 of 70 tags left out: a run has 64 of up to 128 bytes"]


def test_nan_is_a_flag_in_the_database(database):
    with closing(sqlite3.connect(database)) as connection, connection:
        assert connection.execute("SELECT value FROM metrics WHERE is_nan").fetchall() == [(0.0,)]
    assert any(math.isnan(value) for *_, value in records(by_name(database)["first: a 'quoted' name"]))
