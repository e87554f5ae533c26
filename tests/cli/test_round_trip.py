"""What is exported, imported elsewhere and exported again is the same, byte for byte."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest

from cli.conftest import COMMAND
from formats.points import INFO, VALUES, stretch
from server.process import ServerProcess
from steplog.formats import jsonl_file
from steplog.formats.run_info import RunInfo

SECOND = RunInfo(
    id="second",
    name="é / 2",
    status="FAILED",
    description="what",
    group="g",
    job_type="eval",
    notes="n",
    started="2023-11-14T22:13:20.000001Z",
    ended="2023-11-14T22:13:21.000002Z",
    config={"layers": [1, {"a": None}], "lr": 1e-5},
    provenance={"host": "there"},
)
EMPTY = RunInfo(id="empty", name="empty", status="CRASHED", started="2023-11-14T22:13:20Z")


def source(path: Path, *infos: RunInfo) -> Path:
    """Runs with every kind of value."""
    with io.BytesIO() as file:
        writer = jsonl_file.Writer(file)
        for info in infos:
            writer.begin(info)
            if info is not EMPTY:
                writer.points(stretch("loss", [step / 7 for step in range(500)]))
                writer.points(stretch("steplog/exception", [{"type": "ValueError"}]))
                writer.points(stretch("odd, é", VALUES))
                writer.points(stretch("n", [3, 2, 1]))
            writer.end()
        writer.close()
        path.write_bytes(file.getvalue())
    return path


def files_in(folder: Path) -> dict[str, bytes]:
    """Without what export itself notes there."""
    found = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize(
    ("kind", "apart"),
    [
        ("jsonl", False),
        *(
            pytest.param(kind, apart, marks=pytest.mark.slow)
            for kind in ("jsonl", "parquet", "csv", "tfevents")
            for apart in (True, False)
            if (kind, apart) not in (("jsonl", False), ("tfevents", False))
        ),
    ],
)
def test_export_import_export_gives_the_same_bytes(
    steplog: COMMAND, server: ServerProcess, tmp_path: Path, kind: str, apart: bool
):
    if kind == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'steplog[parquet]'")
    begun = source(tmp_path / "begun.jsonl", INFO, SECOND, *([] if kind == "csv" else [EMPTY]))

    def typed(*arguments: str) -> str:
        done = steplog(*arguments, url=server.url)
        assert done.exit_code == 0, done.output
        return done.output

    def export(space: str) -> Path:
        path = tmp_path / space / ("out/" if apart else f"all.{kind}")
        path.parent.mkdir(exist_ok=True)
        typed("export", "--project", f"{space}/trip", "--format", kind, "--output", f"{path}/" if apart else str(path))
        return path

    spaces = [f"{kind}{apart:d}{number}" for number in range(3)]
    typed("import", str(begun), "--project", f"{spaces[0]}/trip")
    paths = []
    for here, there in itertools.pairwise(spaces):
        paths.append(export(here))
        first = typed("import", str(paths[-1]), "--project", f"{there}/trip")
        again = typed("import", str(paths[-1]), "--project", f"{there}/trip")
        assert first.count(" sent") == again.count(" 0 records sent") == len(first.splitlines()) > 1
    paths.append(export(spaces[-1]))
    before, *others = [files_in(path) if apart else {"": path.read_bytes()} for path in paths]
    assert before
    assert all(sum(map(len, files.values())) > 2000 for files in (before, *others))
    assert others[1:] == others[:-1]
    if kind != "csv" or apart:  # a csv does not say when its runs began, by which they are ordered
        assert others[0] == before
