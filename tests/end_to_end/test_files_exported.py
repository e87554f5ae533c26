"""What a program logged and saved is exported with its files, from a server or this machine, and imported again."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import steplog
from apart import apart
from end_to_end.programs import Host
from polling import wait_until
from server.process import KEY, ServerProcess
from steplog.cli import main


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team") as started:
        yield started


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("stock"), "--user", "team", "--stock") as started:
        yield started


@pytest.fixture
def host(tmp_path: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> Host:
    """This process is a program of it, in a directory with some files."""
    made = Host(tmp_path, server)
    made.configure(monkeypatch)
    place = tmp_path / "work"
    place.mkdir()
    (place / "model.pt").write_bytes(b"weights" * 1000)
    (place / "log.txt").write_text("log")
    monkeypatch.chdir(place)
    return made


def typed(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environment)


def rows(listing: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(listing).read_text().splitlines()]


def log(run: steplog.Run) -> None:
    for step in range(2):
        run.log("page", steplog.Html(f"<b>{step}" + "x" * 100_000), step=step)
    run.save("log.txt")
    run.log_artifact("model.pt", "cnn", "model", ["best"], metadata={"acc": 0.5})


@apart
def test_a_run_that_waits_here_is_exported_with_its_files(host: Host):
    run = steplog.init("team", host.project, "here", mode="offline")
    log(run)
    assert run.flush(0) is False
    wait_until(lambda: len(run.files(logged=True)) == 3)

    done = typed("export", run.id, "--output", "out/", "--format", "jsonl")

    assert done.exit_code == 0, done.output
    assert "4 files" in done.output
    listed = rows("out/here.files.jsonl")
    assert all(Path("out", row["content"]).stat().st_size == row["size"] for row in listed if "about" not in row)
    (artifact,) = (row for row in listed if "about" in row)
    assert (artifact["artifact"], artifact["about"]["aliases"]) == ("cnn", ["best"])
    ids = {row["id"] for row in listed if "id" in row}
    points = rows("out/here.jsonl")[1:]
    assert {point["value"]["file"] for point in points if point["name"] == "page"} <= ids
    run.finish()


@apart
def test_an_import_of_an_export_has_values_whose_files_can_be_read(host: Host):
    with steplog.init("team", host.project, "first") as run:
        log(run)
    done = typed("export", f"{host.project}/first", "--output", "first.jsonl")
    assert "4 files" in done.output, done.output

    done = typed("import", "first.jsonl", "--project", f"copy-{host.project}")
    assert done.exit_code == 0, done.output

    copy = steplog.open(f"copy-{host.project}/first")
    pages = [row["page"] for row in copy.history("page")]
    assert [copy.file(page).read()[:4] for page in pages] == [b"<b>0", b"<b>1"]
    assert copy.file("log.txt").read() == b"log"
    artifact = steplog.artifact(f"copy-{host.project}", "cnn:best")
    assert (artifact.version, artifact.type, artifact.metadata) == ("v0", "model", {"acc": 0.5})
    assert artifact.file("model.pt").read() == b"weights" * 1000


@apart
def test_a_stock_server_has_no_files_to_export_and_that_is_said(host: Host, stock: ServerProcess):
    environment = {"STEPLOG_URL": stock.url, "STEPLOG_API_KEY": KEY}
    stock.ask("POST", "/team/projects/", json={"display_name": "plain", "visibility": "TEAM"})
    run = stock.ask("POST", "/team/projects/plain/runs/", json={"name": "old"}).json()
    stock.ask("POST", f"/team/projects/plain/runs/{run['uuid']}/metrics/", json={"name": "x", "value": 1})

    done = typed("export", "plain/old", "--output", "old.csv", **environment)

    assert done.exit_code == 0, done.output
    assert f"no files, {stock.url} keeps none" in done.output
    assert sorted(path.name for path in Path().iterdir() if path.name.startswith("old")) == ["old.csv"]


@apart
def test_an_export_that_is_killed_goes_on_with_what_is_missing(host: Host):
    Path("large").mkdir()
    for number in range(30):
        Path(f"large/{number}").write_bytes(os.urandom(2_000_000))
    with steplog.init("team", host.project, "large") as run:
        run.save("large")
    command = [sys.executable, "-m", "steplog", "export", f"{host.project}/large", "--output", "out/"]

    began = subprocess.Popen(command, env={**os.environ, **host.environment})
    wait_until(lambda: len(list(Path("out").rglob("files/*/*"))) > 3)
    began.send_signal(signal.SIGKILL)
    began.wait()
    there = {path: path.stat().st_mtime_ns for path in Path("out").rglob("files/*/*") if path.suffix != ".part"}
    assert 0 < len(there) < 30

    done = typed("export", f"{host.project}/large", "--output", "out/")

    assert "30 files" in done.output, done.output
    assert {path: path.stat().st_mtime_ns for path in there} == there
    assert not list(Path("out").rglob("*.part"))
    with open("out/large.files.csv", newline="") as listing:
        for row in csv.DictReader(listing):
            assert Path("out", row["content"]).read_bytes() == Path(row["path"]).read_bytes()
