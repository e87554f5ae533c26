"""Files of runs are exported and imported with them: each content once, and what is damaged or missing counted."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from cli.conftest import named_run
from server.batches import range_of
from server.process import KEY, ServerProcess
from steplog.cli import main

IMAGE = b"\x89PNG\r\n\x1a\n" + b"image"
SAVED = {"ckpt/a.pt": b"a" * 3_000_000, "ckpt/same.pt": b"same", "log.txt": b"", "same.txt": b"same"}
KINDS = ("jsonl", "csv", "tfevents", "parquet")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def entry(data: bytes, **fields: Any) -> dict[str, Any]:
    told = {"id": secrets.token_hex(16), "sha256": sha256(data), "size": len(data), "time": 1_767_323_045_000_000_001}
    return told | fields


def send(server: ServerProcess, run: str, data: bytes) -> None:
    first, size = 0, len(data)
    for first in range(0, max(size, 1), 1024**2):
        part = data[first : first + 1024**2]
        said = f"bytes {first}-{first + len(part) - 1}/{size}" if part else "bytes */0"
        blob = f"{run.partition('runs/')[0]}blobs/{sha256(data)}"
        answer = server.ask("PUT", blob, data=part, headers={"Content-Range": said})
        assert answer.status_code in (200, 201, 308), answer.text


def keep(server: ServerProcess, run: str) -> None:
    """Have a run log an image, save files, and log two versions of an artifact."""
    image = entry(IMAGE, type="image/png", suffix=".png")
    value = {"_type": "image", "file": image["id"], "type": "image/png", "width": 28, "height": 28}
    records = [("sample", msgspec.json.encode(value), 3), ("loss", 0.5, 0), ("loss", 0.25, 1)]
    assert server.send(run, range_of(records)).status_code == 200
    files = [image, *(entry(data, path=path, type="text/plain") for path, data in SAVED.items())]
    assert server.ask("POST", f"{run}files/", json={"files": files}).status_code == 200
    for data in (IMAGE, *SAVED.values()):
        send(server, run, data)
    for weights in (b"v0", b"v1"):
        keep_artifact(server, run, {"w.pt": weights, "deep/same.pt": b"same"}, aliases=["best"])


def keep_artifact(server: ServerProcess, run: str, files: Mapping[str, bytes], **fields: Any) -> None:
    lines = "".join(sorted(f"{sha256(data)} {path}\n" for path, data in files.items()))
    about = {"name": "cnn", "type": "model", "metadata": {"acc": 0.5}, "description": "d"} | fields
    artifact = entry(b"", **about) | {"digest": sha256(lines.encode()), "count": len(files)}
    artifact["size"] = sum(map(len, files.values()))
    entries = [entry(data, path=path, artifact=artifact["id"]) for path, data in files.items()]
    assert server.ask("POST", f"{run}files/", json={"files": entries, "artifacts": [artifact]}).status_code == 200
    for data in files.values():
        send(server, run, data)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """One with a run that has files, one without, and one whose files have not come; and an empty one."""
    with (
        ServerProcess(tmp_path_factory.mktemp("one"), "--user", "me") as one,
        ServerProcess(tmp_path_factory.mktemp("other"), "--user", "you") as other,
    ):
        keep(one, named_run(one, "mnist", "with"))
        without = named_run(one, "mnist", "without")
        assert one.send(without, range_of([("loss", 0.5, 0)])).status_code == 200
        late = named_run(one, "late", "late")
        told = {"files": [entry(b"not yet", path="late.pt"), entry(b"here", path="here.pt")]}
        assert one.ask("POST", f"{late}files/", json=told).status_code == 200
        send(one, late, b"here")
        yield one, other


def typed(server: ServerProcess, home: Path, *arguments: str) -> Result:
    environment = {"STEPLOG_URL": server.url, "STEPLOG_API_KEY": KEY, "STEPLOG_DIR": str(home / "home")}
    return CliRunner().invoke(main, arguments, env=environment)


def done(server: ServerProcess, home: Path, *arguments: str) -> str:
    result = typed(server, home, *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def files(directory: Path) -> dict[str, bytes]:
    paths = [path for path in directory.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


def lines(listing: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in listing.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_files_exported_imported_and_exported_are_the_same(
    servers: tuple[ServerProcess, ServerProcess], tmp_path: Path, kind: str
):
    if kind == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'steplog[parquet]'")
    one, other = servers
    first, second = tmp_path / "first", tmp_path / "second"
    done(one, tmp_path, "export", "--project", "mnist", "--format", kind, "--output", f"{first}/")
    before = files(first)
    contents = {IMAGE, *SAVED.values(), b"v0", b"v1"}
    assert sorted(data for path, data in before.items() if path.startswith("files/")) == sorted(contents)

    project = f"{kind}/mnist"
    said = done(other, tmp_path, "import", str(first), "--project", project)
    assert "6 files" in said
    done(other, tmp_path, "export", "--project", project, "--format", kind, "--output", f"{second}/")
    if kind == "csv":  # which has no id of the run
        listing = (second / "with.files.csv").read_text()
        assert [row.split(",")[1:] for row in listing.splitlines()] == [
            row.split(",")[1:] for row in before.pop("with.files.csv").decode().splitlines()
        ]
        (second / "with.files.csv").unlink()
    assert files(second) == before

    again = done(other, tmp_path, "import", str(first), "--project", project)
    assert " file" not in again
    assert "0 records sent" in again


def test_contents_that_are_there_are_not_fetched_again(servers: tuple[ServerProcess, ServerProcess], tmp_path: Path):
    one, _ = servers
    export = ("export", "--project", "mnist", "--format", "jsonl", "--output", f"{tmp_path}/out/")
    done(one, tmp_path, *export)
    a, same = (next((tmp_path / "out/files").rglob(f"{sha256(SAVED[name])}*")) for name in ("ckpt/a.pt", "same.txt"))
    before = a.stat().st_ino, same.stat().st_ino
    same.write_bytes(b"damaged"[:4])

    assert "9 files" in done(one, tmp_path, *export)

    assert a.stat().st_ino == before[0]
    assert same.read_bytes() == b"same"


def test_a_file_that_has_not_arrived_is_listed_and_counted(
    servers: tuple[ServerProcess, ServerProcess], tmp_path: Path
):
    one, other = servers
    table = tmp_path / "late.jsonl"

    said = done(one, tmp_path, "export", "late/late", "--output", str(table))

    assert "2 files (4 bytes); 1 has not arrived yet" in said
    rows = {row["path"]: row for row in lines(tmp_path / "late.files.jsonl")}
    assert "content" not in rows["late.pt"]
    assert (tmp_path / rows["here.pt"]["content"]).read_bytes() == b"here"
    imported = done(other, tmp_path, "import", str(table), "--project", "late")
    assert "1 file (4 bytes)" in imported
    assert "1 file without a content" in imported


def test_no_files_are_exported_where_they_are_not_wanted(servers: tuple[ServerProcess, ServerProcess], tmp_path: Path):
    one, _ = servers
    (tmp_path / "out").mkdir()
    said = done(one, tmp_path, "export", "mnist/with", "--no-files", "--output", str(tmp_path / "out/run.csv"))

    assert said.startswith("3 points of 1 run in ")
    assert "; " not in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run.csv"]


@pytest.mark.parametrize("trick", ["outside", "link", "folder link", "other content", "fifo"])
def test_a_hostile_archive_sends_no_file_but_its_contents(
    servers: tuple[ServerProcess, ServerProcess], tmp_path: Path, trick: str
):
    one, other = servers
    table = tmp_path / "with.jsonl"
    done(one, tmp_path, "export", "mnist/with", "--output", str(table))
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    rows = lines(tmp_path / "with.files.jsonl")
    row = next(each for each in rows if each.get("path") == "ckpt/a.pt")
    content = tmp_path / row["content"]
    if trick == "outside":
        row["content"] = "../secret"
    elif trick == "folder link":
        content.unlink()
        content.parent.rename(tmp_path / "elsewhere")
        (tmp_path / "elsewhere" / content.name).write_bytes(SAVED["ckpt/a.pt"])
        content.parent.symlink_to(tmp_path / "elsewhere")
    else:
        content.unlink()
        if trick == "link":
            content.symlink_to(secret)
        elif trick == "fifo":
            os.mkfifo(content)
        else:
            content.write_bytes(b"another content")
    (tmp_path / "with.files.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    project = f"hostile-{trick.replace(' ', '-')}"

    told = typed(other, tmp_path, "import", str(table), "--project", project)

    assert told.exit_code == 1, told.output
    assert "left out: 1 file" in told.output
    listed = other.ask("GET", f"/you/projects/{project}/runs/").json()
    there = other.ask("GET", f"/you/projects/{project}/runs/{listed[0]['uuid']}/files/?saved=1").json()
    assert {file["path"]: file["present"] for file in there} == dict.fromkeys(SAVED, True) | {"ckpt/a.pt": False}


@pytest.mark.parametrize(
    "field", [{"path": "../up"}, {"id": "x"}, {"sha256": "0"}, {"size": -1}, {"artifact": "a/b:v1"}, {"suffix": "/x"}]
)
def test_a_damaged_listing_is_refused_in_words(
    servers: tuple[ServerProcess, ServerProcess], tmp_path: Path, field: dict[str, Any]
):
    _, other = servers
    (tmp_path / "x.jsonl").write_text('{"run":{"id":"x","name":"x"}}\n{"name":"loss","step":0,"value":1}\n')
    row = {"run": "x", "sha256": "0" * 64, "size": 1, "id": "0" * 32} | field
    (tmp_path / "x.files.jsonl").write_text(json.dumps(row) + "\n")

    told = typed(other, tmp_path, "import", str(tmp_path / "x.jsonl"), "--project", "damaged")

    assert told.exit_code == 1
    assert "x.files.jsonl: after row 0: " in told.output


def test_a_table_of_several_runs_gives_each_its_files(servers: tuple[ServerProcess, ServerProcess], tmp_path: Path):
    one, other = servers
    done(one, tmp_path, "export", "--project", "mnist", "--output", str(tmp_path / "all.csv"))

    done(other, tmp_path, "import", str(tmp_path / "all.csv"), "--project", "several")

    listed = other.ask("GET", "/you/projects/several/runs/").json()
    count = {
        run["name"]: len(other.ask("GET", f"/you/projects/several/runs/{run['uuid']}/files/").json()) for run in listed
    }
    assert count == {"with": 5, "without": 0}


def test_listings_and_contents_of_an_export_are_no_runs(servers: tuple[ServerProcess, ServerProcess], tmp_path: Path):
    one, other = servers
    logged = named_run(one, "lists", "lists")
    assert one.send(logged, range_of([("loss", 0.5, 0)])).status_code == 200
    table = b"step,loss\n0,1\n"
    files = {"files": [entry(table, path="table.csv"), entry(b'{"loss":1}\n', path="a.jsonl")]}
    assert one.ask("POST", f"{logged}files/", json=files).status_code == 200
    send(one, logged, table)
    send(one, logged, b'{"loss":1}\n')
    for kind in ("csv", "jsonl", "tfevents"):
        out = tmp_path / kind
        done(one, tmp_path, "export", "lists/lists", "--format", kind, "--output", f"{out}/")
        paths = [str(path) for path in sorted(out.iterdir()) if path.name not in ("files", ".steplog-export.jsonl")]

        for given in ([str(out)], paths):
            said = done(other, tmp_path, "import", "--dry-run", *given)
            assert said.count("1 record of loss") == 1, said


def test_a_run_called_as_the_folder_of_contents_keeps_out_of_it(
    servers: tuple[ServerProcess, ServerProcess], tmp_path: Path
):
    one, _ = servers
    run = named_run(one, "names", "files")
    keep(one, run)
    for name in ("x", "x.files"):
        keep(one, named_run(one, "names", name))
    for kind in ("tfevents", "jsonl"):
        out = tmp_path / kind
        done(one, tmp_path, "export", "--project", "names", "--format", kind, "--output", f"{out}/")
        listings = [path for path in out.iterdir() if path.name.endswith(".files.jsonl")]
        assert len(listings) == 3
        assert all(
            Path(out, row["content"]).is_file() for each in listings for row in lines(each) if "about" not in row
        )
