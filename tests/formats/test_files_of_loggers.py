"""The files that other loggers keep beside their records come along, and none from elsewhere."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from formats.events import message
from formats.test_mlflow import GOLDEN, folder
from formats.test_wandb_offline import EXIT, history, item, only, rows_of, run_record, write
from steplog.formats import trackio
from steplog.formats.imported import ImportedArtifact, ImportedFile, ImportedRun
from steplog.formats.mlflow import runs as mlflow
from steplog.formats.wandb import runs as wandb

__all__ = ["folder"]  # a fixture

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
TABLE = b'{"columns": ["a", 2], "data": [[1, "x"]], "ncols": 2}'


def contents(run: ImportedRun) -> dict[str, bytes]:
    """What is read, by the path of a saved file, else by the id."""
    for stream in run.streams:
        for _ in stream.read():
            pass
    found = {}
    for file in run.files():
        assert isinstance(file, ImportedFile)
        opened = file.open()
        if opened is not None:
            with opened:
                found[file.entry.path or file.entry.id] = opened.read()
    return found


def put(root: Path, **files: bytes) -> None:
    for name, data in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def wandb_run(folder: Path, **values: dict[str, Any]) -> tuple[ImportedRun, Path]:
    """A run of wandb's that has logged these, and where its files belong."""
    write(folder, run_record(), history(1, *(item(json.dumps(value), name) for name, value in values.items())), EXIT)
    (inner,) = (folder / "wandb").iterdir()
    return only(folder), inner / "files"


def test_media_of_wandb_are_values_that_name_their_files(tmp_path: Path):
    names = ["media/images/a.png", "media/images/b.png"]
    run, root = wandb_run(
        tmp_path,
        image={"_type": "image-file", "path": "media/images/a.png", "width": 6, "height": 4, "caption": "c"},
        several={"_type": "images/separated", "filenames": names, "captions": ["0", "1"], "width": 6, "height": 4},
        table={"_type": "table-file", "path": "media/table/t.table.json", "ncols": 2, "nrows": 1},
        page={"_type": "html-file", "path": "media/html/h.html"},
        plot={"_type": "plotly-file", "path": "media/plotly/p.plotly.json"},
    )
    put(root / "media", images__a_dot_png=PNG, images__b_dot_png=PNG + b"b", html__h_dot_html=b"<b>")
    put(root / "media", table__t_dot_table_dot_json=TABLE, plotly__p_dot_plotly_dot_json=b"{}")

    values = {name: value for name, _, _, value in rows_of(run)}

    image = values["image"]
    assert image == {
        "_type": "image",
        "file": image["file"],
        "type": "image/png",
        "width": 6,
        "height": 4,
        "caption": "c",
    }
    assert [each["caption"] for each in values["several"]] == ["0", "1"]
    assert (values["table"]["columns"], values["table"]["rows"]) == (["a", "2"], 1)
    assert (values["plot"]["_type"], values["plot"]["format"]) == ("file", "plotly")
    found = contents(run)
    assert found[image["file"]] == PNG
    assert found[values["several"][1]["file"]] == PNG + b"b"
    assert found[values["table"]["file"]] == TABLE
    assert len(found) == 5
    assert run.remarks() == []


def test_files_saved_by_wandb_keep_their_paths_and_links_are_counted(tmp_path: Path):
    run, root = wandb_run(tmp_path)
    put(root, output_dot_log=b"log", ckpt__a_dot_pt=b"a", media__images__unused_dot_png=PNG)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (root / "model.pt").symlink_to(secret)
    (root / "folder").symlink_to(tmp_path)

    assert contents(run) == {"output.log": b"log", "ckpt/a.pt": b"a"}
    assert run.remarks() == ["left out: links among its files (2); copy the folder with cp -rL, and import the copy"]


@pytest.mark.parametrize("path", ["../../../secret", "/etc/passwd", "media/link.png", "media/pipe", "media/gone.png"])
def test_a_value_of_wandb_reads_no_file_from_elsewhere(tmp_path: Path, path: str):
    run, root = wandb_run(tmp_path, image={"_type": "image-file", "path": path}, loss={"a": 1})
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "media").mkdir(parents=True)
    (root / "media/link.png").symlink_to(tmp_path / "secret")
    os.mkfifo(root / "media/pipe")

    assert contents(run) == {}
    assert len(run.remarks()) == 2  # one for the links


def test_records_of_wandb_stay_the_same_when_files_are_removed(tmp_path: Path):
    run, root = wandb_run(tmp_path, image={"_type": "image-file", "path": "media/a.png"})
    put(root, media__a_dot_png=PNG)
    before = rows_of(run)
    (root / "media/a.png").unlink()

    assert rows_of(only(tmp_path)) == before


def wandb_artifact(name: str, *files: tuple[str, bytes | str, Path], kind: str = "model") -> bytes:
    """A record; of each file the path, the content whose digest it has, or the digest, and where it is."""

    def digest(data: bytes | str) -> bytes:
        return data.encode() if isinstance(data, str) else base64.b64encode(hashlib.md5(data).digest())

    contents = [
        message(4, message(1, path.encode()), message(2, digest(data)), message(6, bytes(place)))
        for path, data, place in files
    ]
    about = message(4, kind.encode()), message(5, name.encode()), message(8, b'{"acc": 1}'), message(11, b"latest")
    return message(8, *about, message(11, b"best"), message(12, *contents))


def artifacts(run: ImportedRun) -> dict[str, ImportedArtifact]:
    return {each.entry.name: each for each in run.files() if isinstance(each, ImportedArtifact)}


def test_an_artifact_of_wandb_has_the_files_that_it_staged(tmp_path: Path):
    staged = tmp_path / "staged"
    staged.write_bytes(b"weights")
    record = wandb_artifact("my model", ("w/model.pt", b"weights", staged))
    write(tmp_path, run_record(), record, wandb_artifact("run-abc-t", kind="run_table"), EXIT)

    (artifact,) = artifacts(only(tmp_path)).values()

    assert (artifact.entry.name, artifact.entry.type, artifact.entry.aliases) == ("my-model", "model", ("best",))
    assert artifact.entry.metadata == {"acc": 1}
    (file,) = artifact.files
    opened = file.open()
    assert opened is not None
    with opened:
        assert (file.entry.path, opened.read()) == ("w/model.pt", b"weights")


def test_an_artifact_of_wandb_names_no_file_that_its_writer_did_not_know(tmp_path: Path):
    secret, pipe, link, known = (tmp_path / name for name in ("secret", "pipe", "link", "known"))
    secret.write_bytes(b"secret")
    known.write_bytes(b"known")
    link.symlink_to(known)
    os.mkfifo(pipe)
    places = (secret, pipe, tmp_path / "gone", Path("/dev/zero"), tmp_path)
    write(tmp_path, run_record(), wandb_artifact("a", *((f"{n}", b"guess", p) for n, p in enumerate(places))), EXIT)

    assert [file.open() for file in artifacts(only(tmp_path))["a"].files] == [None] * len(places)

    write(tmp_path, run_record("b"), wandb_artifact("l", ("x", b"known", link)), EXIT, run_id="b")
    runs = {run.info.id: run for run in wandb.runs(tmp_path)}
    (linked,) = artifacts(runs["wandb-b"])["l"].files
    with pytest.raises(OSError, match="link"):
        linked.open()


def test_an_artifact_of_wandb_with_a_path_outside_is_damaged(tmp_path: Path):
    write(tmp_path, run_record(), wandb_artifact("a", ("../up", b"x", tmp_path)), EXIT)
    assert artifacts(only(tmp_path)) == {}


def test_artifacts_in_a_folder_of_mlflow_are_saved_files(folder: Path):
    run_folder = next(folder.glob("*/3a7a*"))
    put(run_folder / "artifacts", model__MLmodel=b"model", a_dot_txt=b"a")
    (run_folder / "artifacts/link").symlink_to(folder)
    (run,) = (run for run in mlflow.runs(folder) if run.info.id.endswith(run_folder.name))

    assert contents(run) == {"model/MLmodel": b"model", "a.txt": b"a"}
    assert any("links among its artifacts (1)" in line for line in run.remarks())


@pytest.mark.parametrize(
    "uri",
    [
        "{root}/mlruns/1/{run}/artifacts",
        "file://{root}/mlruns/1/{run}/artifacts",
        "mlflow-artifacts:/1/{run}/artifacts",
    ],
)
def test_artifacts_of_a_database_of_mlflow_are_found(tmp_path: Path, uri: str):
    database, run = mlflow_database(tmp_path, uri)
    where = "mlartifacts" if uri.startswith("mlflow") else "mlruns"
    put(tmp_path / where / "1" / run / "artifacts", a_dot_txt=b"a")

    (found,) = (each for each in mlflow.runs(database) if each.info.id.endswith(run))
    assert contents(found) == {"a.txt": b"a"}


@pytest.mark.parametrize(
    "uri", ["{root}/secrets", "file:///etc", "{root}/{run}/../secrets/artifacts", "s3://bucket/{run}/artifacts"]
)
def test_a_database_of_mlflow_gives_no_other_folder(tmp_path: Path, uri: str):
    database, run = mlflow_database(tmp_path, uri)
    put(tmp_path / "secrets", a_dot_txt=b"secret", artifacts__b_dot_txt=b"secret")

    (found,) = (each for each in mlflow.runs(database) if each.info.id.endswith(run))
    assert contents(found) == {}
    assert any("s3://" in line for line in found.remarks()) == uri.startswith("s3")


def mlflow_database(tmp_path: Path, uri: str) -> tuple[Path, str]:
    """A database whose first run has its artifacts there, and that run's id."""
    path = tmp_path / "mlflow.db"
    path.write_bytes(gzip.decompress((GOLDEN / "mlflow-3.17.db.gz").read_bytes()))
    with closing(sqlite3.connect(path)) as connection, connection:
        (run,) = connection.execute("SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active'").fetchone()
        told = uri.format(root=tmp_path, run=run)
        connection.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (told, run))
    return path, str(run)


def trackio_run(folder: Path, **values: Any) -> ImportedRun:
    with closing(sqlite3.connect(folder / "demo.db")) as connection, connection:
        connection.execute("CREATE TABLE metrics (id INTEGER PRIMARY KEY, timestamp, run_name, step, metrics)")
        row = ("2026-01-01T00:00:00", "run", 0, json.dumps(values))
        connection.execute("INSERT INTO metrics (timestamp, run_name, step, metrics) VALUES (?, ?, ?, ?)", row)
    (run,) = trackio.runs(folder)
    return run


def test_media_of_trackio_are_values_that_name_their_files(tmp_path: Path):
    image = {"_type": "trackio.image", "file_path": "demo/run/0/a.png", "caption": "c"}
    table = {"_type": "trackio.table", "_value": [{"image": image, "n": 1}]}
    run = trackio_run(tmp_path, image=image, table=table, loss=0.5, hist={"_type": "trackio.histogram", "values": [1]})
    put(tmp_path / "media/demo/run/0", a_dot_png=PNG)

    values = {name: value for name, _, _, value in rows_of(run)}

    assert values["image"] == {"_type": "image", "file": values["image"]["file"], "type": "image/png", "caption": "c"}
    assert values["table"] == {"_type": "table", "columns": ["image", "n"], "data": [[values["image"], 1]]}
    assert values["hist"] == {"_type": "histogram", "values": [1]}
    assert contents(run) == {values["image"]["file"]: PNG}


def test_a_value_of_trackio_reads_no_file_from_elsewhere(tmp_path: Path):
    run = trackio_run(
        tmp_path,
        above={"_type": "trackio.image", "file_path": "../demo.db"},
        gone={"_type": "trackio.video", "file_path": "demo/gone.mp4"},
    )
    assert contents(run) == {}
    assert run.remarks() == ["left out: files of values that are not there (1)"]
