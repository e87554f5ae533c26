"""``steplog files`` and ``steplog artifacts`` list what a server has, and download it."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import pytest

from apart import apart
from cli.conftest import EVIL, named_run
from server.process import KEY, ServerProcess
from steplog.cli.completion import complete_artifact, complete_file, complete_project

FILES = {"ckpt/1.pt": b"one", "ckpt/2.pt": b"two" * 1000, "log.txt": b"log"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def entry(path: str, data: bytes, **fields: object) -> dict[str, object]:
    told = {"id": secrets.token_hex(16), "sha256": sha256(data), "size": len(data), "type": "text/plain"}
    return told | {"path": path, "time": 1_767_323_045_000_000_000} | fields


def keep(server: ServerProcess, run: str, files: Mapping[str, bytes], *, send: bool = True, **artifact: object) -> None:
    """Have a run keep files, those of an artifact where it is given."""
    project = run[: run.index("/runs/") + 1]
    id_ = secrets.token_hex(16)
    named = {"artifact": id_} if artifact else {}
    entries = [entry(path, data, **named) for path, data in files.items()]
    lines = "".join(sorted(f"{sha256(data)} {path}\n" for path, data in files.items()))
    size = sum(map(len, files.values()))
    whole = {"id": id_, "digest": sha256(lines.encode()), "count": len(files), "size": size, "time": 1} | artifact
    told = {"files": entries, "artifacts": [whole] if artifact else []}
    assert server.ask("POST", f"{run}files/", json=told).status_code == 200
    for data in files.values() if send else ():
        headers = {"Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"}
        sent = server.ask("PUT", f"{project}blobs/{sha256(data)}", data=data, headers=headers)
        assert sent.status_code in (200, 201), sent.text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a run that has files and artifacts, and one whose files have not come."""
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "me") as server:
        run = named_run(server, "demo", "first")
        keep(server, run, FILES)
        for data, aliases in ((b"v0", ["best"]), (b"v1", [])):
            keep(server, run, {"w.pt": data}, name="cnn", type="model", aliases=aliases, metadata={"acc": 0.5})
        keep(server, run, {"a.csv": b"a", "deep/b.csv": b"b"}, name="set", type="dataset", description=EVIL)
        keep(server, named_run(server, "late", "late"), {"here.pt": b"x", "there.pt": b"not yet"}, send=False)
        project = "/me/projects/late/"
        headers = {"Content-Range": "bytes 0-0/1"}
        assert server.ask("PUT", f"{project}blobs/{sha256(b'x')}", data=b"x", headers=headers).status_code == 201
        yield server


def test_the_files_of_a_run_are_listed(server, steplog):
    told = steplog("files", "demo/first", url=server.url)

    assert told.exit_code == 0, told.output
    lines = [line.split() for line in told.output.splitlines()]
    assert [line[0] for line in lines] == ["path", "ckpt/1.pt", "ckpt/2.pt", "log.txt"]
    assert lines[1][1:3] == ["3", "bytes"]
    assert [line.split()[0] for line in steplog("files", "demo/first", "log", url=server.url).output.splitlines()] == [
        "path",
        "log.txt",
    ]


def test_files_as_json_have_all_that_is_known(server, steplog):
    (file,) = json.loads(steplog("files", "demo/first", "ckpt/1", "--json", url=server.url).output)

    assert (file["path"], file["size"], file["sha256"], file["state"]) == ("ckpt/1.pt", 3, sha256(b"one"), "there")
    assert (file["type"], file["time"]) == ("text/plain", "2026-01-02T03:04:05+00:00")


def test_files_are_downloaded_below_a_directory(server, steplog, tmp_path):
    told = steplog("files", "demo/first", "ckpt/", "--download", str(tmp_path / "out"), url=server.url)

    assert told.exit_code == 0, told.output
    assert "2 files (2.9 KiB)" in told.output
    assert {path.name: path.read_bytes() for path in (tmp_path / "out/ckpt").iterdir()} == {
        "1.pt": b"one",
        "2.pt": b"two" * 1000,
    }


def test_another_file_of_the_name_is_left_without_replace(server, steplog, tmp_path):
    (tmp_path / "ckpt").mkdir()
    (tmp_path / "ckpt/1.pt").write_bytes(b"mine")
    command = ("files", "demo/first", "--download", str(tmp_path))

    told = steplog(*command, url=server.url)
    assert told.exit_code == 1
    assert "--replace" in told.output
    assert (tmp_path / "ckpt/1.pt").read_bytes() == b"mine"
    assert (tmp_path / "log.txt").read_bytes() == b"log"

    assert steplog(*command, "--replace", url=server.url).exit_code == 0
    assert (tmp_path / "ckpt/1.pt").read_bytes() == b"one"


def test_a_place_that_cannot_be_written_is_an_error_of_one_line(server, steplog, tmp_path):
    (tmp_path / "out").write_text("a file")

    told = steplog("files", "demo/first", "--download", str(tmp_path / "out"), url=server.url)
    assert told.exit_code == 1
    assert f"{tmp_path}/out: " in told.output
    assert "STEPLOG_DIR" not in told.output
    assert (tmp_path / "out").read_text() == "a file"


def test_what_has_not_arrived_is_said_and_the_others_come(server, steplog, tmp_path):
    assert "has not arrived yet" in steplog("files", "late/late", url=server.url).output

    told = steplog("files", "late/late", "--download", str(tmp_path / "out"), url=server.url)
    assert told.exit_code == 1
    assert "there.pt: it has not arrived yet" in told.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["here.pt"]


def test_a_download_of_a_path_that_no_file_has_is_an_error(server, steplog, tmp_path):
    told = steplog("files", "demo/first", "ckpts/", "--download", str(tmp_path / "out"), url=server.url)
    assert (told.exit_code, told.output) == (1, "steplog: no files below ckpts/ of the run first\n")

    named_run(server, "bare", "bare")
    whole = steplog("files", "bare/bare", "--download", str(tmp_path / "out"), url=server.url)
    assert (whole.exit_code, whole.output) == (0, "steplog: no files of the run bare\n")


def test_a_run_without_files_says_so(server, steplog):
    named_run(server, "none", "none")

    assert steplog("files", "none/none", url=server.url).output == "no files of the run none\n"
    assert "below x/" in steplog("files", "none/none", "x/", url=server.url).output
    assert json.loads(steplog("files", "none/none", "--json", url=server.url).output) == []


def test_a_run_that_is_not_there_and_a_wrong_option_are_errors(server, steplog):
    assert steplog("files", "demo/nothing", url=server.url).exit_code == 1
    assert steplog("files", "demo/first", "--replace", url=server.url).exit_code == 2


def test_artifacts_are_listed_by_name_with_their_latest_version(server, steplog):
    told = steplog("artifacts", "demo", url=server.url)

    assert told.exit_code == 0, told.output
    rows = [line.split()[:4] for line in told.output.splitlines()[1:]]
    assert sorted(rows) == [["cnn", "model", "v1", "2"], ["set", "dataset", "v0", "1"]]
    assert "set" not in steplog("artifacts", "demo", "--type", "model", url=server.url).output


def test_the_versions_of_an_artifact_are_listed_the_newest_first(server, steplog):
    told = steplog("artifacts", "demo", "cnn", url=server.url)

    assert [line.split()[:2] for line in told.output.splitlines()[1:]] == [["v1", "latest"], ["v0", "best"]]
    found = json.loads(steplog("artifacts", "demo", "cnn", "--json", url=server.url).output)
    assert [each["version"] for each in found] == ["v1", "v0"]


def test_a_version_shows_its_files_and_metadata(server, steplog):
    told = steplog("artifacts", "demo", "cnn:best", url=server.url).output

    for part in ("cnn:v0", "best", "acc", "0.5", "w.pt", "2 bytes", "first"):
        assert part in told
    document = json.loads(steplog("artifacts", "demo/cnn:best", "--json", url=server.url).output)
    assert (document["version"], document["metadata"]) == ("v0", {"acc": 0.5})
    assert [file["path"] for file in document["files"]] == ["w.pt"]


def test_a_version_is_downloaded(server, steplog, tmp_path):
    told = steplog("artifacts", "demo", "set", "--download", str(tmp_path / "set"), url=server.url)

    assert told.exit_code == 0, told.output
    assert (tmp_path / "set/deep/b.csv").read_bytes() == b"b"
    (tmp_path / "set/a.csv").write_bytes(b"old")
    assert steplog("artifacts", "demo", "set:v0", "--download", str(tmp_path / "set"), url=server.url).exit_code == 0
    assert (tmp_path / "set/a.csv").read_bytes() == b"a"


def test_a_file_of_one_byte_has_one_byte(server, steplog):
    lines = steplog("artifacts", "demo", "set:v0", url=server.url).output.splitlines()

    assert [line.split() for line in lines[-2:]] == [["a.csv", "1", "byte"], ["deep/b.csv", "1", "byte"]]


def test_what_a_server_says_cannot_reach_the_terminal(server, steplog):
    told = steplog("artifacts", "demo", "set:v0", url=server.url).output

    assert "\x1b" not in told
    assert "\u202e" not in told


def test_an_unknown_artifact_and_a_wrong_call_are_errors(server, steplog):
    unknown = steplog("artifacts", "demo", "cnm:v0", url=server.url)
    assert unknown.exit_code == 1
    assert "did you mean 'cnn'" in unknown.output
    assert steplog("artifacts", "demo", "a b:c", url=server.url).exit_code == 1
    assert steplog("artifacts", "demo", "--download", "x", url=server.url).exit_code == 2
    assert steplog("artifacts", "demo", "cnn:v0", "--type", "model", url=server.url).exit_code == 2
    assert "no artifacts" in steplog("artifacts", "late", url=server.url).output


@apart  # it silences logging
def test_projects_and_artifacts_are_completed(server, monkeypatch, tmp_path):
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path))
    monkeypatch.setenv("STEPLOG_URL", server.url)

    class Typed:
        params = MappingProxyType({"project": "demo", "run": "demo/first"})

    monkeypatch.setenv("STEPLOG_API_KEY", KEY)
    assert complete_project(None, None, "d") == ["demo"]  # type: ignore[arg-type]
    assert complete_project(None, None, "me/d") == ["me/demo"]  # type: ignore[arg-type]
    assert complete_artifact(Typed(), None, "") == ["cnn", "set"]  # type: ignore[arg-type]
    assert complete_file(Typed(), None, "ckpt/") == ["ckpt/1.pt", "ckpt/2.pt"]  # type: ignore[arg-type]
