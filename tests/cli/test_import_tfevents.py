"""Runs as event files and back: what one server exports and another imports is exported by that one alike."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from cli.conftest import COMMAND
from server.process import ServerProcess

GOLDEN = Path(__file__).parents[1] / "golden"


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("events.out.*")}


@pytest.mark.slow
def test_what_was_exported_is_exported_alike_by_another_server(steplog: COMMAND, server: ServerProcess, tmp_path: Path):
    for name in ("tensorboard-2.21.tar.gz", "wandb-0.31.tar.gz"):
        with tarfile.open(GOLDEN / name) as archive:
            archive.extractall(tmp_path / "in", filter="data")
    for path, project in (("in/runs", ("--project", "events")), ("in/wandb", ("--project", "events"))):
        assert steplog("import", str(tmp_path / path), *project, url=server.url).exit_code == 0
    export = ("export", "--project", "events", "--format", "tfevents", "--output")
    assert steplog(*export, f"{tmp_path}/first/", url=server.url).exit_code == 0
    first = files_in(tmp_path / "first")
    assert len(first) == 6
    with ServerProcess(tmp_path / "other", "--user", "me") as other:
        assert steplog("import", str(tmp_path / "first"), url=other.url).exit_code == 0
        assert steplog(*export, f"{tmp_path}/second/", url=other.url).exit_code == 0
    assert files_in(tmp_path / "second") == first
